//! DaemonSet → one Pod on each node that its node selector fits.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::fields::{int, is_ready, metadata, owned_by, text};
use super::jobs::{Context, Job};
use super::replicaset::{count_available, is_active, pod_of, stop_pod};
use super::rollout::daemon_unavailable;
use crate::store::{Key, Object, ObjectId, string_map};
use crate::write::names::{digest, suffix_of};

const HASH: &str = "controller-revision-hash";

/// Gives each fitting node its pod of a DaemonSet, and writes the status.
pub fn sync(cx: &mut Context<'_>, key: &Key) {
    let slots = cx.slots;
    let id = ObjectId { bucket: slots.daemon_sets, key: key.clone() };
    let Some(set) = cx.api.object(&id).cloned() else { return };
    let spec = set.value()["spec"].clone();
    let hash = suffix_of(digest(&spec["template"].to_string()), 10);
    let nodes = fitting_nodes(cx, &spec["template"]["spec"]);
    let mut pods = daemon_pods(cx, &set);
    let misplaced: Vec<String> = pods.keys().filter(|node| !nodes.contains(node)).cloned().collect();
    if !set.is_terminating() {
        keep_revision(cx, &set, &hash);
        for node in &misplaced {
            for pod in pods.get(node).into_iter().flatten().filter(|pod| is_active(pod)) {
                stop_pod(cx, pod);
            }
        }
        for node in &nodes {
            if pods.get(node).is_none_or(Vec::is_empty) {
                let pod = daemon_pod(&set, &spec["template"], &hash, node);
                let made = cx.api.create("v1/Pod", &key.namespace, pod);
                pods.entry(node.clone()).or_default().extend(made);
            }
        }
        roll_daemons(cx, &spec, &hash, &nodes, &pods);
    }
    report_daemons(cx, &id, &set, &hash, &nodes, misplaced.len());
}

fn fitting_nodes(cx: &Context<'_>, pod: &Value) -> Vec<String> {
    let selector = string_map(&pod["nodeSelector"]);
    let nodes = cx.api.list(cx.slots.nodes);
    let fits = |node: &Object| selector.iter().all(|(k, v)| node.labels().get(k) == Some(v));
    nodes.filter(|(_, node)| fits(node)).map(|(key, _)| key.name.to_string()).collect()
}

/// The set's pods by node, those on their way out included.
fn daemon_pods(cx: &Context<'_>, set: &Object) -> BTreeMap<String, Vec<Arc<Object>>> {
    let mut by_node: BTreeMap<String, Vec<Arc<Object>>> = BTreeMap::new();
    for (_, pod) in cx.api.owned(set.uid(), cx.slots.pods) {
        by_node.entry(text(&pod.value()["spec"]["nodeName"]).to_owned()).or_default().push(pod.clone());
    }
    by_node
}

/// Stops pods of an older template, as many as may be unavailable.
fn roll_daemons(
    cx: &mut Context<'_>,
    spec: &Value,
    hash: &str,
    nodes: &[String],
    pods: &BTreeMap<String, Vec<Arc<Object>>>,
) {
    if spec["updateStrategy"]["type"] != "RollingUpdate" {
        return;
    }
    let may = daemon_unavailable(spec, i64::try_from(nodes.len()).unwrap_or(i64::MAX));
    let active = |node: &String| pods.get(node).into_iter().flatten().find(|pod| is_active(pod));
    let down = nodes.iter().filter(|node| active(node).is_none_or(|pod| !is_ready(pod.value()))).count();
    let mut budget = may - i64::try_from(down).unwrap_or(may);
    let mut stale: Vec<&Arc<Object>> = nodes
        .iter()
        .filter_map(active)
        .filter(|pod| pod.labels().get(HASH).is_none_or(|h| h != hash))
        .collect();
    // Those that serve nobody cost nothing.
    stale.sort_by_key(|pod| is_ready(pod.value()));
    for pod in stale {
        if is_ready(pod.value()) {
            if budget <= 0 {
                break;
            }
            budget -= 1;
        }
        stop_pod(cx, pod);
    }
}

fn report_daemons(
    cx: &mut Context<'_>,
    id: &ObjectId,
    set: &Object,
    hash: &str,
    nodes: &[String],
    misplaced: usize,
) {
    let pods = daemon_pods(cx, set);
    let on_node: Vec<Arc<Object>> =
        nodes.iter().filter_map(|node| pods.get(node)?.iter().find(|pod| is_active(pod)).cloned()).collect();
    let updated = on_node.iter().filter(|pod| pod.labels().get(HASH).is_some_and(|h| h == hash)).count();
    let ready = on_node.iter().filter(|pod| is_ready(pod.value())).count();
    let minimum = int(&set.value()["spec"]["minReadySeconds"]);
    let available = count_available(cx, &on_node, minimum, &Job::DaemonSet(id.key.clone()));
    let mut status = json!({
        "currentNumberScheduled": on_node.len(),
        "numberMisscheduled": misplaced,
        "desiredNumberScheduled": nodes.len(),
        "numberReady": ready,
    });
    for (field, count) in [
        ("updatedNumberScheduled", updated),
        ("numberAvailable", available),
        ("numberUnavailable", nodes.len() - available.min(nodes.len())),
    ] {
        if count > 0 {
            status[field] = json!(count);
        }
    }
    status["observedGeneration"] = set.value()["metadata"]["generation"].clone();
    cx.api.update_status(id, status);
}

/// Keeps the template for `kubectl rollout history`.
fn keep_revision(cx: &mut Context<'_>, set: &Object, hash: &str) {
    let slots = cx.slots;
    let (namespace, set_name) = (metadata(set.value(), "namespace"), metadata(set.value(), "name"));
    let key = Key::new(namespace, &format!("{set_name}-{hash}"));
    let numbers = cx.api.owned(set.uid(), slots.revisions).map(|(_, r)| int(&r.value()["revision"]));
    let highest = numbers.max().unwrap_or(0);
    match cx.api.get(slots.revisions, &key).cloned() {
        Some(found) if int(&found.value()["revision"]) < highest => {
            let mut value = found.value().clone();
            value["revision"] = json!(highest + 1);
            cx.api.update(&ObjectId { bucket: slots.revisions, key }, value);
        }
        Some(_) => {}
        None => {
            let mut template = set.value()["spec"]["template"].clone();
            template["$patch"] = json!("replace");
            let mut labels = set.value()["spec"]["template"]["metadata"]["labels"].clone();
            labels[HASH] = json!(hash);
            let revision = json!({
                "apiVersion": "apps/v1",
                "kind": "ControllerRevision",
                "metadata": {"name": &*key.name, "namespace": namespace, "labels": labels, "ownerReferences": owned_by(set)},
                "data": {"spec": {"template": template}},
                "revision": highest + 1,
            });
            let namespace = namespace.to_owned();
            cx.api.create("apps/v1/ControllerRevision", &namespace, revision);
        }
    }
}

fn daemon_pod(set: &Object, template: &Value, hash: &str, node: &str) -> Value {
    let mut pod = pod_of(set, template);
    pod["metadata"]["labels"][HASH] = json!(hash);
    pod["spec"]["nodeName"] = json!(node);
    pod
}
