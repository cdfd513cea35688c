//! Service + Pods → EndpointSlice: which pods serve the traffic of a Service.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::fields::{is_ready, list, owned_by, text};
use super::index::{LabelIndex, first, labels_of};
use super::jobs::{Context, Job};
use crate::select::LabelSelector;
use crate::store::{Change, ChangeKind, Key, Object, ObjectId, string_map};
use crate::write::names::{digest, suffix_of};

/// The controller that writes the EndpointSlices.
#[derive(Default)]
pub struct Endpoints {
    /// Services by the first label of their selectors.
    services: LabelIndex,
    /// Pods by all their labels.
    pod_labels: LabelIndex,
}

impl Endpoints {
    /// Looks again at a Service that has changed.
    pub fn note_service(&mut self, cx: &mut Context<'_>, change: &Change) {
        let (before, after) =
            labels_of(change, |service| first(string_map(&service.value()["spec"]["selector"])));
        self.services.replace(&change.id.key, &before, &after);
        cx.jobs.add(Job::Endpoints(change.id.key.clone()));
    }

    /// Records the labels of a pod that has changed.
    pub fn index_pod(&mut self, change: &Change) {
        let (before, after) = labels_of(change, |pod| pod.labels().clone());
        self.pod_labels.replace(&change.id.key, &before, &after);
    }

    /// Looks again at the Services that a changed pod belongs to, or belonged to.
    pub fn note_pod(&self, cx: &mut Context<'_>, change: &Change) {
        let pods = [change.before.as_ref(), Some(&change.object)];
        let (before, after) = (pods[0].map(|p| facts(p)), facts(&change.object));
        if change.kind == ChangeKind::Modified && before.as_ref() == Some(&after) {
            return;
        }
        let slots = cx.slots;
        let namespace = &change.id.key.namespace;
        let labels = pods.iter().flatten().flat_map(|pod| pod.labels());
        let candidates: BTreeSet<&Key> =
            labels.flat_map(|(k, v)| self.services.with(namespace, k, v)).collect();
        let concerned: Vec<Key> = candidates
            .into_iter()
            .filter(|key| {
                let Some(service) = cx.api.get(slots.services, key) else { return false };
                let selector = LabelSelector::from_labels(&service.value()["spec"]["selector"]);
                pods.iter().flatten().any(|pod| selector.matches(pod.labels()))
            })
            .cloned()
            .collect();
        for key in concerned {
            cx.jobs.add(Job::Endpoints(key));
        }
    }

    /// Writes the EndpointSlice of a Service.
    pub fn sync(&self, cx: &mut Context<'_>, key: &Key) {
        let slots = cx.slots;
        let Some(service) = cx.api.get(slots.services, key).cloned() else { return };
        if service.value()["spec"]["selector"].is_null() || service.is_terminating() {
            return;
        }
        let selector = &service.value()["spec"]["selector"];
        let candidates = first(string_map(selector)).into_iter().next();
        let selector = LabelSelector::from_labels(selector);
        let candidates = candidates.iter().flat_map(|(k, v)| self.pod_labels.with(&key.namespace, k, v));
        let pods = candidates.filter_map(|key| cx.api.get(slots.pods, key));
        let pods: Vec<Arc<Object>> = pods
            .filter(|pod| selector.matches(pod.labels()) && pod.value()["status"]["podIP"].is_string())
            .cloned()
            .collect();
        let name = format!("{}-{}", key.name, suffix_of(digest(service.uid()), 5));
        let endpoints: Vec<Value> = pods.iter().map(|pod| endpoint(pod)).collect();
        let mut labels = service.value()["metadata"]["labels"].as_object().cloned().unwrap_or_default();
        labels.insert("kubernetes.io/service-name".into(), json!(&*key.name));
        labels.insert(
            "endpointslice.kubernetes.io/managed-by".into(),
            json!("endpointslice-controller.k8s.io"),
        );
        let ports = ports(service.value(), &pods);
        let id = ObjectId { bucket: slots.slices, key: Key::new(&key.namespace, &name) };
        match cx.api.object(&id) {
            Some(found) => {
                let mut value = found.value().clone();
                value["endpoints"] = json!(endpoints);
                value["ports"] = ports;
                value["metadata"]["labels"] = json!(labels);
                if value != *found.value() {
                    cx.api.update(&id, value);
                }
            }
            None => {
                let slice = json!({
                    "apiVersion": "discovery.k8s.io/v1",
                    "kind": "EndpointSlice",
                    "metadata": {
                        "name": name, "namespace": &*key.namespace, "labels": labels,
                        "generateName": format!("{}-", key.name), "ownerReferences": owned_by(&service),
                    },
                    "addressType": "IPv4",
                    "endpoints": endpoints,
                    "ports": ports,
                });
                cx.api.create("discovery.k8s.io/v1/EndpointSlice", &key.namespace, slice);
            }
        }
    }
}

/// The parts of a pod that its endpoints show.
fn facts(pod: &Object) -> (bool, bool, &str, &BTreeMap<String, String>) {
    (is_ready(pod.value()), pod.is_terminating(), text(&pod.value()["status"]["podIP"]), pod.labels())
}

fn endpoint(pod: &Object) -> Value {
    let (value, leaving) = (pod.value(), pod.is_terminating());
    let serving = is_ready(value);
    json!({
        "addresses": [value["status"]["podIP"]],
        "conditions": {"ready": serving && !leaving, "serving": serving, "terminating": leaving},
        "nodeName": value["spec"]["nodeName"],
        "targetRef": {
            "kind": "Pod",
            "name": value["metadata"]["name"],
            "namespace": value["metadata"]["namespace"],
            "uid": value["metadata"]["uid"],
        },
    })
}

/// The ports of a Service as its pods know them.
fn ports(service: &Value, pods: &[Arc<Object>]) -> Value {
    let ports = list(&service["spec"]["ports"]).iter().filter_map(|port| {
        let target = &port["targetPort"];
        let number = match target.as_str() {
            Some(name) => pods.iter().find_map(|pod| named_port(pod.value(), name))?,
            None => target.clone(),
        };
        let mut shown = json!({"name": text(&port["name"]), "port": number, "protocol": port["protocol"]});
        if port["appProtocol"].is_string() {
            shown["appProtocol"] = port["appProtocol"].clone();
        }
        Some(shown)
    });
    Value::Array(ports.collect())
}

fn named_port(pod: &Value, name: &str) -> Option<Value> {
    let containers = list(&pod["spec"]["containers"]).iter();
    let port = containers.flat_map(|c| list(&c["ports"])).find(|port| port["name"] == name)?;
    Some(port["containerPort"].clone())
}
