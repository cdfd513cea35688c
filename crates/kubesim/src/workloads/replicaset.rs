//! ReplicaSet → Pods: as many as wanted, and a count of those that are ready.

use std::sync::Arc;

use chrono::TimeDelta;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::fields::{condition, int, is_ready, metadata, owned_by, text, time, without_zeros};
use super::jobs::{Context, Job};
use crate::store::{Key, Object, ObjectId};

/// Creates or stops pods until a ReplicaSet has as many as it wants, and writes its status.
pub fn sync(cx: &mut Context<'_>, key: &Key) {
    let slots = cx.slots;
    let id = ObjectId { bucket: slots.replica_sets, key: key.clone() };
    let Some(set) = cx.api.object(&id).cloned() else { return };
    let spec = &set.value()["spec"];
    let wanted = usize::try_from(int(&spec["replicas"])).unwrap_or(0);
    let mut pods: Vec<Arc<Object>> = cx
        .api
        .owned(set.uid(), slots.pods)
        .map(|(_, pod)| pod.clone())
        .filter(|pod| is_active(pod))
        .collect();
    if !set.is_terminating() {
        if pods.len() > wanted {
            pods.sort_by_cached_key(|pod| value_of(pod));
            for pod in pods.drain(..pods.len() - wanted) {
                stop_pod(cx, &pod);
            }
        }
        for _ in pods.len()..wanted {
            let pod = pod_of(&set, &spec["template"]);
            pods.extend(cx.api.create("v1/Pod", &key.namespace, pod));
        }
    }
    let minimum = int(&spec["minReadySeconds"]);
    let available = count_available(cx, &pods, minimum, &Job::ReplicaSet(key.clone()));
    let ready = pods.iter().filter(|pod| is_ready(pod.value())).count();
    let mut status = without_zeros(json!({
        "fullyLabeledReplicas": pods.len(),
        "readyReplicas": ready,
        "availableReplicas": available,
        "observedGeneration": set.value()["metadata"]["generation"],
    }));
    status["replicas"] = json!(pods.len());
    let leaving = cx.api.owned(set.uid(), slots.pods).filter(|(_, pod)| pod.is_terminating()).count();
    status["terminatingReplicas"] = json!(leaving);
    cx.api.update_status(&id, status);
}

/// How many pods have been ready for `minimum` seconds. `job` comes back when the next one has been.
pub fn count_available(cx: &mut Context<'_>, pods: &[Arc<Object>], minimum: i64, job: &Job) -> usize {
    let now = cx.api.now();
    let mut available = 0;
    for pod in pods.iter().filter(|pod| is_ready(pod.value())) {
        let since = condition(&pod.value()["status"], "Ready").and_then(|c| time(&c["lastTransitionTime"]));
        match since.map(|since| since + TimeDelta::seconds(minimum)) {
            Some(due) if minimum > 0 && due > now => {
                let pause = (due - now).to_std().unwrap_or_default();
                cx.jobs.add_at(Instant::now() + pause, job.clone());
            }
            _ => available += 1,
        }
    }
    available
}

/// Deletes a pod, gracefully.
pub fn stop_pod(cx: &mut Context<'_>, pod: &Object) {
    let key = Key::new(metadata(pod.value(), "namespace"), metadata(pod.value(), "name"));
    cx.api.delete(&ObjectId { bucket: cx.slots.pods, key });
}

/// Whether a pod counts: it runs or may yet run.
pub fn is_active(pod: &Object) -> bool {
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
pub fn pod_of(owner: &Object, template: &Value) -> Value {
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
