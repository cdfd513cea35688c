//! Deployment → ReplicaSets: revisions, rolling updates, the progress deadline, and the status that tells of them.

use std::sync::Arc;

use chrono::TimeDelta;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::fields::{annotation, condition, int, list, metadata, owned_by, text, time, without_zeros};
use super::jobs::{Context, Job};
use super::rollout::{self, Bounds, Set};
use crate::store::{Key, Object, ObjectId};
use crate::write::names::{digest, suffix_of};

const REVISION: &str = "deployment.kubernetes.io/revision";
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MOST: &str = "deployment.kubernetes.io/max-replicas";
const HASH: &str = "pod-template-hash";

/// Annotations of a Deployment that its ReplicaSets do not get.
const OWN_ANNOTATIONS: &[&str] =
    &["kubectl.kubernetes.io/last-applied-configuration", REVISION, REVISION_HISTORY, DESIRED, MOST];

/// A Deployment and its ReplicaSets, as one pass sees them.
struct Rollout {
    id: ObjectId,
    deployment: Arc<Object>,
    /// The set of the current template.
    new: Option<Arc<Object>>,
    /// The others, oldest first.
    old: Vec<Arc<Object>>,
    bounds: Bounds,
}

impl Rollout {
    fn spec(&self) -> &Value {
        &self.deployment.value()["spec"]
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.old.iter().chain(&self.new)
    }

    fn total(&self) -> i64 {
        self.all().map(|set| replicas(set)).sum()
    }

    fn is_rolling(&self) -> bool {
        self.spec()["strategy"]["type"] != "Recreate"
    }
}

fn replicas(set: &Object) -> i64 {
    int(&set.value()["spec"]["replicas"])
}

fn numbers(set: &Object) -> Set {
    Set { spec: replicas(set), available: int(&set.value()["status"]["availableReplicas"]) }
}

/// Brings the ReplicaSets and the status of a Deployment one step further.
pub fn sync(cx: &mut Context<'_>, key: &Key) {
    let id = ObjectId { bucket: cx.slots.deployments, key: key.clone() };
    let Some(mut rollout) = read(cx, &id) else { return };
    if rollout.deployment.is_terminating() {
        return report(cx, &rollout, None);
    }
    if rollout.spec()["paused"] == true {
        number_revisions(cx, &mut rollout);
        scale_sets(cx, &mut rollout);
        let paused = progress("Unknown", "DeploymentPaused", "Deployment is paused");
        return report(
            cx,
            &rollout,
            Some(paused).filter(|_| {
                has_deadline(&rollout) && progress_reason(&rollout) != "ProgressDeadlineExceeded"
            }),
        );
    }
    if rollout.all().any(|set| {
        replicas(set) > 0 && annotation(set.value(), DESIRED) != rollout.bounds.replicas.to_string()
    }) {
        number_revisions(cx, &mut rollout);
        scale_sets(cx, &mut rollout);
        // The sets' own changes bring the rollout back here.
        return report(cx, &rollout, None);
    }
    let started = match rollout.is_rolling() {
        true => roll(cx, &mut rollout),
        false => recreate(cx, &mut rollout),
    };
    report(cx, &rollout, started);
    forget_old_sets(cx, &rollout);
}

fn read(cx: &Context<'_>, id: &ObjectId) -> Option<Rollout> {
    let deployment = cx.api.object(id)?.clone();
    let slots = cx.slots;
    let sets = cx.api.owned(deployment.uid(), slots.replica_sets).map(|(_, set)| set.clone());
    let mut sets: Vec<Arc<Object>> = sets.filter(|set| !set.is_terminating()).collect();
    sets.sort_by_cached_key(|set| {
        (annotation(set.value(), REVISION).parse::<u64>().unwrap_or(0), set.revision())
    });
    let template = template_of(&deployment.value()["spec"]["template"]);
    let current = sets.iter().position(|set| template_of(&set.value()["spec"]["template"]) == template);
    let new = current.map(|at| sets.remove(at));
    let bounds = Bounds::of(&deployment.value()["spec"]);
    Some(Rollout { id: id.clone(), deployment, new, old: sets, bounds })
}

/// One step of a rolling update; answers what there is to say about its progress.
fn roll(cx: &mut Context<'_>, rollout: &mut Rollout) -> Option<Value> {
    let started = ensure_new_set(cx, rollout, Rollout::room_for_new);
    let Some(new) = rollout.new.clone() else { return started };
    let size = if replicas(&new) > rollout.bounds.replicas {
        rollout.bounds.replicas
    } else {
        rollout.bounds.grow(numbers(&new), rollout.total())
    };
    if size != replicas(&new) {
        rollout.new = Some(resize(cx, &new, size, rollout.bounds));
        return started;
    }
    let old: Vec<Set> = rollout.old.iter().map(|set| numbers(set)).collect();
    let sizes = rollout.bounds.shrink(numbers(&new), &old);
    resize_old(cx, rollout, &sizes);
    started
}

/// One step of a recreation: nothing new before everything old is gone.
fn recreate(cx: &mut Context<'_>, rollout: &mut Rollout) -> Option<Value> {
    number_revisions(cx, rollout);
    let none = vec![0; rollout.old.len()];
    resize_old(cx, rollout, &none);
    let pods = cx.slots.pods;
    let running = |set: &Arc<Object>| cx.api.owned(set.uid(), pods).next().is_some();
    if rollout.old.iter().any(running) {
        return None;
    }
    let started = ensure_new_set(cx, rollout, |rollout| rollout.bounds.replicas);
    if let Some(new) = rollout.new.clone().filter(|new| replicas(new) != rollout.bounds.replicas) {
        rollout.new = Some(resize(cx, &new, rollout.bounds.replicas, rollout.bounds));
    }
    started
}

fn resize_old(cx: &mut Context<'_>, rollout: &mut Rollout, sizes: &[i64]) {
    let bounds = rollout.bounds;
    for (set, size) in rollout.old.iter_mut().zip(sizes) {
        if replicas(set) != *size {
            *set = resize(cx, set, *size, bounds);
        }
    }
}

/// Sees to it that the current template has a ReplicaSet.
fn ensure_new_set(
    cx: &mut Context<'_>,
    rollout: &mut Rollout,
    size: impl Fn(&Rollout) -> i64,
) -> Option<Value> {
    if rollout.new.is_some() {
        number_revisions(cx, rollout);
        let name = rollout.new.as_ref().map(|new| metadata(new.value(), "name").to_owned())?;
        let known = condition(&rollout.deployment.value()["status"], "Progressing").is_some();
        let found = progress("True", "FoundNewReplicaSet", &format!("Found new replica set {name:?}"));
        return (!known && has_deadline(rollout)).then_some(found);
    }
    let set = new_set(rollout, size(rollout));
    let name = metadata(&set, "name").to_owned();
    let namespace = rollout.id.key.namespace.to_string();
    rollout.new = cx.api.create("apps/v1/ReplicaSet", &namespace, set);
    number_revisions(cx, rollout);
    let created = progress("True", "NewReplicaSetCreated", &format!("Created new replica set {name:?}"));
    has_deadline(rollout).then_some(created)
}

/// Gives the current set the highest revision, and the Deployment the revision of the current set.
fn number_revisions(cx: &mut Context<'_>, rollout: &mut Rollout) {
    let Some(new) = &rollout.new else { return };
    let highest = rollout
        .old
        .iter()
        .filter_map(|set| annotation(set.value(), REVISION).parse::<u64>().ok())
        .max()
        .unwrap_or(0);
    let current = annotation(new.value(), REVISION).parse::<u64>().unwrap_or(0);
    let revision = if current > highest { current } else { highest + 1 };
    let mut set = new.value().clone();
    if current != revision {
        let annotations = &mut set["metadata"]["annotations"];
        annotations[REVISION] = json!(revision.to_string());
        if current > 0 {
            let earlier = text(&annotations[REVISION_HISTORY]).to_owned();
            let history =
                if earlier.is_empty() { current.to_string() } else { format!("{earlier},{current}") };
            annotations[REVISION_HISTORY] = json!(history);
        }
    }
    for (key, value) in inherited(rollout.deployment.value()) {
        set["metadata"]["annotations"][key] = value.clone();
    }
    let minimum = &rollout.spec()["minReadySeconds"];
    if set["spec"]["minReadySeconds"] != *minimum {
        set["spec"]["minReadySeconds"] = minimum.clone();
    }
    if int(minimum) == 0 {
        drop(set["spec"].as_object_mut().and_then(|spec| spec.remove("minReadySeconds")));
    }
    rollout.new = Some(write_set(cx, new, set));
    if annotation(rollout.deployment.value(), REVISION) != revision.to_string() {
        let mut value = rollout.deployment.value().clone();
        value["metadata"]["annotations"][REVISION] = json!(revision.to_string());
        cx.api.update(&rollout.id, value);
        if let Some(written) = cx.api.object(&rollout.id) {
            rollout.deployment = written.clone();
        }
    }
}

/// After a change of `replicas`: all active sets get their share.
fn scale_sets(cx: &mut Context<'_>, rollout: &mut Rollout) {
    let bounds = rollout.bounds;
    let active: Vec<Arc<Object>> = rollout.all().filter(|set| replicas(set) > 0).cloned().collect();
    let newest = rollout.new.clone().or_else(|| rollout.old.last().cloned());
    if active.len() <= 1 {
        let fits = |set: &Object| {
            replicas(set) == bounds.replicas
                && annotation(set.value(), DESIRED) == bounds.replicas.to_string()
        };
        if let Some(only) = active.first().cloned().or(newest).filter(|only| !fits(only)) {
            resize(cx, &only, bounds.replicas, bounds);
        }
    } else if rollout.new.as_ref().is_some_and(|new| is_saturated(new, bounds.replicas)) {
        for set in rollout.old.iter().filter(|set| replicas(set) > 0) {
            resize(cx, set, 0, bounds);
        }
    } else if rollout.is_rolling() {
        let sizes: Vec<i64> = active.iter().map(|set| replicas(set)).collect();
        let was = active
            .iter()
            .find_map(|set| annotation(set.value(), MOST).parse().ok())
            .unwrap_or_else(|| sizes.iter().sum());
        for (set, size) in active.iter().zip(rollout::scale(&sizes, was, bounds)) {
            resize(cx, set, size, bounds);
        }
    }
    if let Some(fresh) = read(cx, &rollout.id) {
        *rollout = fresh;
    }
}

fn resize(cx: &mut Context<'_>, set: &Arc<Object>, size: i64, bounds: Bounds) -> Arc<Object> {
    let mut value = set.value().clone();
    value["spec"]["replicas"] = json!(size);
    value["metadata"]["annotations"][DESIRED] = json!(bounds.replicas.to_string());
    value["metadata"]["annotations"][MOST] = json!(bounds.most().to_string());
    write_set(cx, set, value)
}

fn write_set(cx: &mut Context<'_>, set: &Arc<Object>, value: Value) -> Arc<Object> {
    let slots = cx.slots;
    let key = Key::new(metadata(set.value(), "namespace"), metadata(set.value(), "name"));
    cx.api.update(&ObjectId { bucket: slots.replica_sets, key: key.clone() }, value);
    cx.api.get(slots.replica_sets, &key).unwrap_or(set).clone()
}

/// Deletes the empty sets beyond the history limit.
fn forget_old_sets(cx: &mut Context<'_>, rollout: &Rollout) {
    let limit = usize::try_from(rollout.spec()["revisionHistoryLimit"].as_i64().unwrap_or(10)).unwrap_or(10);
    let over = |object: &Arc<Object>| is_complete(&object.value()["status"], rollout.bounds.replicas);
    if rollout.old.len() <= limit || !cx.api.object(&rollout.id).is_some_and(over) {
        return;
    }
    let idle = |set: &&Arc<Object>| replicas(set) == 0 && int(&set.value()["status"]["replicas"]) == 0;
    let surplus: Vec<ObjectId> = rollout.old[..rollout.old.len() - limit]
        .iter()
        .filter(idle)
        .map(|set| {
            let key = Key::new(&rollout.id.key.namespace, metadata(set.value(), "name"));
            ObjectId { bucket: cx.slots.replica_sets, key }
        })
        .collect();
    for id in surplus {
        cx.api.delete(&id);
    }
}

/// Writes the status; `said` is what this pass has to say about the progress.
fn report(cx: &mut Context<'_>, rollout: &Rollout, said: Option<Value>) {
    let now = cx.api.stamp();
    let old = &rollout.deployment.value()["status"];
    let sum = |field: &str| rollout.all().map(|set| int(&set.value()["status"][field])).sum::<i64>();
    let (replicas, available) = (sum("replicas"), sum("availableReplicas"));
    let updated = rollout.new.as_ref().map_or(0, |new| int(&new.value()["status"]["replicas"]));
    let generation = int(&rollout.deployment.value()["metadata"]["generation"]);
    let mut status = without_zeros(json!({
        "observedGeneration": generation,
        "replicas": replicas,
        "updatedReplicas": updated,
        "readyReplicas": sum("readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": (rollout.total() - available).max(0),
    }));
    status["terminatingReplicas"] = json!(sum("terminatingReplicas"));
    let mut conditions: Vec<Value> = list(&old["conditions"]).to_vec();
    let available = match available >= rollout.bounds.fewest() {
        true => progress_like(
            "Available",
            "True",
            "MinimumReplicasAvailable",
            "Deployment has minimum availability.",
        ),
        false => progress_like(
            "Available",
            "False",
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
        ),
    };
    set_condition(&mut conditions, available, &now);
    match has_deadline(rollout) {
        true => {
            if let Some(said) = said {
                set_condition(&mut conditions, said, &now);
            }
            if rollout.spec()["paused"] != true {
                judge_progress(cx, rollout, &status, &mut conditions, &now);
            }
        }
        false => conditions.retain(|c| c["type"] != "Progressing"),
    }
    status["conditions"] = Value::Array(conditions);
    cx.api.update_status(&rollout.id, status);
}

/// Is the rollout over, moving, or stuck?
fn judge_progress(
    cx: &mut Context<'_>,
    rollout: &Rollout,
    status: &Value,
    conditions: &mut Vec<Value>,
    now: &str,
) {
    let old = &rollout.deployment.value()["status"];
    let wanted = rollout.bounds.replicas;
    let count = |status: &Value, field: &str| int(&status[field]);
    let current = conditions.iter().find(|c| c["type"] == "Progressing").cloned();
    let reason = current.as_ref().map_or("", |c| text(&c["reason"]));
    if reason == "DeploymentPaused" {
        set_condition(conditions, progress("Unknown", "DeploymentResumed", "Deployment is resumed"), now);
    }
    let over =
        reason == "NewReplicaSetAvailable" && count(status, "replicas") == count(status, "updatedReplicas");
    if over {
        return;
    }
    let subject = match &rollout.new {
        Some(new) => format!("ReplicaSet {:?}", metadata(new.value(), "name")),
        None => format!("Deployment {:?}", &*rollout.id.key.name),
    };
    let left = |status: &Value| count(status, "replicas") - count(status, "updatedReplicas");
    let moved = ["updatedReplicas", "readyReplicas", "availableReplicas"]
        .iter()
        .any(|f| count(status, f) > count(old, f))
        || left(status) < left(old);
    if is_complete(status, wanted) {
        set_condition(
            conditions,
            progress("True", "NewReplicaSetAvailable", &format!("{subject} has successfully progressed.")),
            now,
        );
        return;
    }
    if moved {
        let moving = progress("True", "ReplicaSetUpdated", &format!("{subject} is progressing."));
        let since =
            current.as_ref().filter(|c| c["status"] == "True").map(|c| c["lastTransitionTime"].clone());
        conditions.retain(|c| c["type"] != "Progressing");
        set_condition(conditions, moving, now);
        if let (Some(since), Some(written)) = (since, conditions.last_mut()) {
            written["lastTransitionTime"] = since;
        }
    }
    let Some(condition) = conditions.iter().find(|c| c["type"] == "Progressing") else { return };
    if matches!(text(&condition["reason"]), "ProgressDeadlineExceeded" | "NewReplicaSetAvailable") {
        return;
    }
    let deadline = TimeDelta::seconds(int(&rollout.spec()["progressDeadlineSeconds"]));
    let Some(due) = time(&condition["lastUpdateTime"]).map(|from| from + deadline) else { return };
    if cx.api.now() > due {
        set_condition(
            conditions,
            progress("False", "ProgressDeadlineExceeded", &format!("{subject} has timed out progressing.")),
            now,
        );
    } else {
        let pause = (due - cx.api.now()).to_std().unwrap_or_default() + std::time::Duration::from_millis(1);
        cx.jobs.add_at(Instant::now() + pause, Job::Deployment(rollout.id.key.clone()));
    }
}

impl Rollout {
    fn room_for_new(&self) -> i64 {
        self.bounds.grow(Set::default(), self.total())
    }
}

/// Whether all wanted pods are there, of the current template and available, and no others.
fn is_complete(status: &Value, wanted: i64) -> bool {
    ["updatedReplicas", "replicas", "availableReplicas"].iter().all(|field| int(&status[*field]) == wanted)
}

fn has_deadline(rollout: &Rollout) -> bool {
    rollout.spec()["progressDeadlineSeconds"].as_i64().is_some_and(|n| n < i64::from(i32::MAX))
}

fn progress_reason(rollout: &Rollout) -> &str {
    condition(&rollout.deployment.value()["status"], "Progressing").map_or("", |c| text(&c["reason"]))
}

fn is_saturated(set: &Object, wanted: i64) -> bool {
    replicas(set) == wanted
        && annotation(set.value(), DESIRED) == wanted.to_string()
        && int(&set.value()["status"]["availableReplicas"]) == wanted
}

fn progress(status: &str, reason: &str, message: &str) -> Value {
    progress_like("Progressing", status, reason, message)
}

fn progress_like(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": message})
}

/// Sets a condition; one that says the same keeps its times, one with the same status its transition time.
fn set_condition(conditions: &mut Vec<Value>, mut condition: Value, now: &str) {
    let before = conditions.iter().position(|c| c["type"] == condition["type"]);
    condition["lastUpdateTime"] = json!(now);
    condition["lastTransitionTime"] = json!(now);
    if let Some(at) = before {
        let found = &conditions[at];
        if found["status"] == condition["status"] {
            if found["reason"] == condition["reason"] {
                return;
            }
            condition["lastTransitionTime"] = found["lastTransitionTime"].clone();
        }
        conditions.remove(at);
    }
    conditions.push(condition);
}

/// A pod template without the label that its ReplicaSet added.
fn template_of(template: &Value) -> Value {
    let mut template = template.clone();
    if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
        labels.remove(HASH);
    }
    template
}

/// The annotations that a Deployment hands down to its current set.
fn inherited(deployment: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let annotations = deployment["metadata"]["annotations"].as_object().into_iter().flatten();
    annotations.filter(|(key, _)| !OWN_ANNOTATIONS.contains(&key.as_str()))
}

fn new_set(rollout: &Rollout, size: i64) -> Value {
    let spec = rollout.spec();
    let hash = suffix_of(digest(&spec["template"].to_string()), 10);
    let mut template = spec["template"].clone();
    template["metadata"]["labels"][HASH] = json!(hash);
    let mut selector = spec["selector"].clone();
    selector["matchLabels"][HASH] = json!(hash);
    let mut annotations: Map<String, Value> =
        inherited(rollout.deployment.value()).map(|(k, v)| (k.clone(), v.clone())).collect();
    annotations.insert(DESIRED.into(), json!(rollout.bounds.replicas.to_string()));
    annotations.insert(MOST.into(), json!(rollout.bounds.most().to_string()));
    let mut set = json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": format!("{}-{hash}", &*rollout.id.key.name),
            "namespace": &*rollout.id.key.namespace,
            "labels": template["metadata"]["labels"],
            "annotations": annotations,
            "ownerReferences": owned_by(&rollout.deployment),
        },
        "spec": {"replicas": size, "selector": selector, "template": template},
    });
    if int(&spec["minReadySeconds"]) > 0 {
        set["spec"]["minReadySeconds"] = spec["minReadySeconds"].clone();
    }
    set
}
