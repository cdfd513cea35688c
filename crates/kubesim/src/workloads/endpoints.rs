//! Service + Pods → EndpointSlice: who serves a Service's traffic.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::Job;
use super::fields::{is_ready, list, owned_by, text};
use super::index::first;
use crate::cluster::Cluster;
use crate::select::LabelSelector;
use crate::store::{Change, ChangeKind, Key, Object, ObjectId, string_map};
use crate::write::names::{digest, suffix_of};

impl Cluster {
    /// Queues the Services that this pod belongs to, or belonged to.
    pub(super) fn note_endpoints(&mut self, change: &Change) {
        let pods = [change.before.as_ref(), Some(&change.object)];
        let (before, after) = (pods[0].map(|p| facts(p)), facts(&change.object));
        if change.kind == ChangeKind::Modified && before.as_ref() == Some(&after) {
            return;
        }
        let slots = self.workloads.slots;
        let namespace = &change.id.key.namespace;
        let labels = pods.iter().flatten().flat_map(|pod| pod.labels());
        let candidates: BTreeSet<&Key> =
            labels.flat_map(|(k, v)| self.workloads.services.with(namespace, k, v)).collect();
        let concerned: Vec<Key> = candidates
            .into_iter()
            .filter(|key| {
                let Some(service) = self.store.get(slots.services, key) else { return false };
                let selector = LabelSelector::from_labels(&service.value()["spec"]["selector"]);
                pods.iter().flatten().any(|pod| selector.matches(pod.labels()))
            })
            .cloned()
            .collect();
        for key in concerned {
            self.workloads.enqueue(Job::Endpoints(key));
        }
    }

    pub(super) fn sync_endpoints(&mut self, key: &Key) {
        let slots = self.workloads.slots;
        let Some(service) = self.store.get(slots.services, key).cloned() else { return };
        if service.value()["spec"]["selector"].is_null() || service.is_terminating() {
            return;
        }
        let selector = &service.value()["spec"]["selector"];
        let candidates = first(string_map(selector)).into_iter().next();
        let selector = LabelSelector::from_labels(selector);
        let candidates =
            candidates.iter().flat_map(|(k, v)| self.workloads.pod_labels.with(&key.namespace, k, v));
        let pods = candidates.filter_map(|key| self.store.get(slots.pods, key));
        let pods: Vec<Arc<Object>> = pods
            .filter(|pod| selector.matches(pod.labels()) && pod.value()["status"]["podIP"].is_string())
            .cloned()
            .collect();
        let name = format!("{}-{}", key.name, suffix_of(digest(service.uid()), 5));
        let endpoints: Vec<Value> = pods.iter().map(|pod| endpoint(pod)).collect();
        let ports = ports(service.value(), &pods);
        let id = ObjectId { bucket: slots.slices, key: Key::new(&key.namespace, &name) };
        match self.object(&id) {
            Some(found) => {
                let mut value = found.value().clone();
                value["endpoints"] = json!(endpoints);
                value["ports"] = ports;
                if value != *found.value() {
                    self.write_back(&id, value);
                }
            }
            None => {
                let mut labels =
                    service.value()["metadata"]["labels"].as_object().cloned().unwrap_or_default();
                labels.insert("kubernetes.io/service-name".into(), json!(&*key.name));
                labels.insert(
                    "endpointslice.kubernetes.io/managed-by".into(),
                    json!("endpointslice-controller.k8s.io"),
                );
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
                self.spawn("discovery.k8s.io/v1/EndpointSlice", &key.namespace, slice);
            }
        }
    }
}

/// What of a pod its endpoints show.
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
