//! Who would answer for a Service: the pods behind it that are ready, as its EndpointSlices tell.
//!
//! The Services in front of primary and canary carry the label [`SIDE`]. The cluster copies the labels of a Service to
//! its slices, so that a watch on that label sees the slices of Canaries and no others.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::model::object::Kind;

/// An EndpointSlice: some of the endpoints of a Service.
pub const ENDPOINT_SLICE: Kind = Kind::new("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices");

/// Label of the Services of a release that share its traffic: `primary` or `canary`.
pub const SIDE: &str = "flagger.app/side";

/// The name of the Service that a slice belongs to.
pub fn service_of(slice: &Value) -> Option<&str> {
    slice["metadata"]["labels"]["kubernetes.io/service-name"].as_str()
}

/// What is kept of a slice: the pods, or the addresses, that are ready.
pub fn reduced(slice: &Value) -> Value {
    let endpoints = slice["endpoints"].as_array().map_or(&[][..], Vec::as_slice);
    // An endpoint that does not say is ready.
    let ready = endpoints.iter().filter(|endpoint| endpoint["conditions"]["ready"] != false);
    let named: BTreeSet<&str> = ready
        .filter_map(|endpoint| {
            let pod = endpoint["targetRef"]["uid"].as_str();
            pod.or_else(|| endpoint["addresses"].get(0).and_then(Value::as_str))
        })
        .collect();
    json!({ READY: named })
}

/// The ready pods of all slices of a Service, each counted once: a Service of two address families has two slices for
/// the same pods. `None` if it has no slice yet, so that nobody knows.
pub fn ready<'a>(slices: impl IntoIterator<Item = &'a Value>) -> Option<i32> {
    let mut known = false;
    let mut pods = BTreeSet::new();
    for slice in slices {
        known = true;
        pods.extend(slice[READY].as_array().into_iter().flatten().filter_map(Value::as_str));
    }
    known.then(|| i32::try_from(pods.len()).unwrap_or(i32::MAX))
}

const READY: &str = "ready";

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(endpoints: Value) -> Value {
        reduced(&json!({"metadata": {"labels": {"kubernetes.io/service-name": "a"}}, "endpoints": endpoints}))
    }

    #[test]
    fn the_pods_that_are_ready_are_counted_once() {
        let pod =
            |uid: &str, ready: Value| json!({"targetRef": {"uid": uid}, "conditions": {"ready": ready}});
        let v4 = slice(json!([pod("a", json!(true)), pod("b", json!(false)), pod("c", json!(null))]));
        let v6 = slice(json!([pod("a", json!(true)), {"addresses": ["fd00::1"]}]));
        assert_eq!(ready([&v4, &v6]), Some(3));
    }

    #[test]
    fn a_service_without_a_slice_is_not_one_without_pods() {
        assert_eq!(ready([]), None);
        assert_eq!(ready([&slice(json!([]))]), Some(0));
        assert_eq!(ready([&slice(json!(null))]), Some(0));
    }
}
