//! ReplicaSet → Pods: as many as wanted, and a count of those that are ready.

use std::sync::Arc;

use chrono::TimeDelta;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Job;
use super::fields::{condition, int, is_ready, owned_by, text, time, without_zeros};
use crate::cluster::Cluster;
use crate::store::{Key, Object, ObjectId};
use crate::write::{DeleteOptions, Propagation, Target};

impl Cluster {
    pub(super) fn sync_replica_set(&mut self, key: &Key) {
        let slots = self.workloads.slots;
        let id = ObjectId { bucket: slots.replica_sets, key: key.clone() };
        let Some(set) = self.object(&id).cloned() else { return };
        let spec = &set.value()["spec"];
        let wanted = usize::try_from(int(&spec["replicas"])).unwrap_or(0);
        let mut pods: Vec<Arc<Object>> = self
            .store
            .owned(set.uid(), slots.pods)
            .map(|(_, pod)| pod.clone())
            .filter(|pod| is_active(pod))
            .collect();
        if !set.is_terminating() {
            if pods.len() > wanted {
                pods.sort_by_cached_key(|pod| value_of(pod));
                for pod in pods.drain(..pods.len() - wanted) {
                    self.stop_pod(&pod);
                }
            }
            for _ in pods.len()..wanted {
                let pod = pod_of(&set, &spec["template"]);
                pods.extend(self.spawn("v1/Pod", &key.namespace, pod));
            }
        }
        let minimum = int(&spec["minReadySeconds"]);
        let available = self.count_available(&pods, minimum, &Job::ReplicaSet(key.clone()));
        let ready = pods.iter().filter(|pod| is_ready(pod.value())).count();
        let mut status = without_zeros(json!({
            "fullyLabeledReplicas": pods.len(),
            "readyReplicas": ready,
            "availableReplicas": available,
            "observedGeneration": set.value()["metadata"]["generation"],
        }));
        status["replicas"] = json!(pods.len());
        let leaving = self.store.owned(set.uid(), slots.pods).filter(|(_, pod)| pod.is_terminating()).count();
        status["terminatingReplicas"] = json!(leaving);
        self.write_status(&id, status);
    }

    /// How many have been ready for long enough; asks to be woken when the next one will have been.
    pub(super) fn count_available(&mut self, pods: &[Arc<Object>], minimum: i64, job: &Job) -> usize {
        let now = self.clock.now();
        let mut available = 0;
        for pod in pods.iter().filter(|pod| is_ready(pod.value())) {
            let since =
                condition(&pod.value()["status"], "Ready").and_then(|c| time(&c["lastTransitionTime"]));
            match since.map(|since| since + TimeDelta::seconds(minimum)) {
                Some(due) if minimum > 0 && due > now => {
                    let pause = (due - now).to_std().unwrap_or_default();
                    self.workloads.enqueue_at(Instant::now() + pause, job.clone());
                }
                _ => available += 1,
            }
        }
        available
    }

    /// Deletes a pod, gracefully.
    pub(super) fn stop_pod(&mut self, pod: &Object) {
        let Some(served) = self.registry.in_bucket(self.workloads.slots.pods).cloned() else { return };
        let key = Key::new(Self::metadata(pod.value(), "namespace"), Self::metadata(pod.value(), "name"));
        let options =
            DeleteOptions { propagation: Some(Propagation::Background), ..DeleteOptions::default() };
        let _ = self.delete(&Target { served, key }, &options);
    }
}

/// Whether a pod counts: it runs or may yet run.
pub(super) fn is_active(pod: &Object) -> bool {
    !pod.is_terminating() && !matches!(text(&pod.value()["status"]["phase"]), "Succeeded" | "Failed")
}

/// Pods that are worth less go first: not placed, not running, not ready, ready for a shorter time, younger.
fn value_of(pod: &Object) -> impl Ord + use<> {
    let value = pod.value();
    let since = condition(&value["status"], "Ready")
        .filter(|c| c["status"] == "True")
        .and_then(|c| time(&c["lastTransitionTime"]));
    (
        value["spec"]["nodeName"].is_string(),
        value["status"]["phase"] == "Running",
        is_ready(value),
        std::cmp::Reverse(since),
        std::cmp::Reverse(time(&value["metadata"]["creationTimestamp"])),
        text(&value["metadata"]["name"]).to_owned(),
    )
}

/// A pod of a workload's template.
pub(super) fn pod_of(owner: &Object, template: &Value) -> Value {
    let meta = &owner.value()["metadata"];
    let mut metadata = json!({
        "generateName": format!("{}-", text(&meta["name"])),
        "namespace": meta["namespace"],
        "ownerReferences": owned_by(owner),
    });
    for field in ["labels", "annotations", "finalizers"] {
        let value = &template["metadata"][field];
        if !value.is_null() {
            metadata[field] = value.clone();
        }
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
}
