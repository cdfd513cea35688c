//! The garbage collector: dependents are deleted after their owner, and the content of a namespace with the namespace.

use std::sync::Arc;

use serde_json::{Value, json};

use super::jobs::{Context, Job};
use crate::store::{Change, ChangeKind, Key, Object, ObjectId};
use crate::write::{FOREGROUND, ORPHAN, Propagation};

/// Puts on the list of jobs what a change means for the garbage collector.
pub fn note(cx: &mut Context<'_>, change: &Change) {
    let (uid, object) = (change.object.uid(), &change.object);
    if change.kind == ChangeKind::Deleted {
        if cx.api.dependents(uid).next().is_some() {
            cx.jobs.add(Job::Collect(uid.to_owned()));
        }
    } else if object.is_terminating() && holds(object) {
        cx.jobs.add(Job::Finalize(change.id.clone()));
    }
    for owner in owners(object) {
        let held = match cx.api.by_uid(owner) {
            None => {
                cx.jobs.add(Job::Collect(owner.to_owned()));
                continue;
            }
            Some((id, owner)) => (owner.is_terminating() && holds(owner)).then(|| id.clone()),
        };
        // An owner that goes last looks whether this was the last of its dependents.
        if let Some(id) = held {
            cx.jobs.add(Job::Finalize(id));
        }
    }
    note_namespace(cx, change);
}

fn note_namespace(cx: &mut Context<'_>, change: &Change) {
    let namespace = match &*change.id.key.namespace {
        "" if change.object.value()["kind"] == "Namespace" && change.object.is_terminating() => {
            &change.id.key.name
        }
        "" => return,
        _ if change.kind == ChangeKind::Deleted => &change.id.key.namespace,
        _ => return,
    };
    let found = cx.api.get(cx.slots.namespaces, &Key::new("", namespace));
    if found.is_some_and(|namespace| namespace.is_terminating()) {
        let namespace = namespace.clone();
        cx.jobs.add(Job::Namespace(namespace));
    }
}

/// Deletes the dependents of an owner that is gone, unless another owner holds them.
pub fn collect(cx: &mut Context<'_>, uid: &str) {
    if cx.api.by_uid(uid).is_some() {
        return;
    }
    let dependents: Vec<ObjectId> = cx.api.dependents(uid).cloned().collect();
    for id in dependents {
        let Some(object) = cx.api.object(&id).cloned() else { continue };
        let held = owners(&object).any(|owner| cx.api.by_uid(owner).is_some());
        match held {
            true => disown(cx, &id, &object, uid),
            false => discard(cx, &id, &object),
        }
    }
}

/// Does what the finalizers of the garbage collector ask for.
pub fn finalize(cx: &mut Context<'_>, id: &ObjectId) {
    let Some(object) = cx.api.object(id).filter(|o| o.is_terminating()).cloned() else { return };
    let uid = object.uid();
    let dependents: Vec<ObjectId> = cx.api.dependents(uid).cloned().collect();
    if has_finalizer(&object, ORPHAN) {
        for dependent in dependents {
            if let Some(found) = cx.api.object(&dependent).cloned() {
                disown(cx, &dependent, &found, uid);
            }
        }
        release(cx, id, ORPHAN);
    } else if has_finalizer(&object, FOREGROUND) {
        let mut blocked = false;
        for dependent in dependents {
            let Some(found) = cx.api.object(&dependent).cloned() else { continue };
            blocked |= blocks(&found, uid);
            if !found.is_terminating() {
                delete_for_owner(cx, &dependent, &found, Propagation::Foreground);
            }
        }
        let still =
            blocked && cx.api.dependents(uid).any(|d| cx.api.object(d).is_some_and(|o| blocks(o, uid)));
        if !still {
            release(cx, id, FOREGROUND);
        }
    }
}

/// Deletes the content of a namespace, and the namespace once it is empty.
pub fn end_namespace(cx: &mut Context<'_>, name: &str) {
    let mut empty = true;
    for id in cx.api.content(name) {
        if cx.api.object(&id).is_some_and(|object| !object.is_terminating()) {
            cx.api.delete(&id);
        }
        empty &= cx.api.object(&id).is_none();
    }
    let id = ObjectId { bucket: cx.slots.namespaces, key: Key::new("", name) };
    if let (true, Some(namespace)) = (empty, cx.api.object(&id)) {
        let mut value = namespace.value().clone();
        value["spec"]["finalizers"] = json!([]);
        cx.api.update(&id, value);
    }
}

fn discard(cx: &mut Context<'_>, id: &ObjectId, object: &Object) {
    // A dependent that waits for its own dependents goes on waiting.
    if !object.is_terminating() {
        delete_for_owner(cx, id, object, Propagation::Background);
    }
}

fn delete_for_owner(cx: &mut Context<'_>, id: &ObjectId, object: &Object, propagation: Propagation) {
    let waits = propagation == Propagation::Foreground && cx.api.dependents(object.uid()).next().is_none();
    let propagation = if waits { Propagation::Background } else { propagation };
    // A finalizer of the collector that a user asked for stays.
    let propagation = (!holds(object)).then_some(propagation);
    cx.api.delete_with(id, propagation);
}

/// Takes a reference to an owner off an object.
fn disown(cx: &mut Context<'_>, id: &ObjectId, object: &Arc<Object>, uid: &str) {
    let mut value = object.value().clone();
    if let Some(references) = value["metadata"]["ownerReferences"].as_array_mut() {
        references.retain(|owner| owner["uid"] != uid);
        if references.is_empty() {
            drop(value["metadata"].as_object_mut().and_then(|m| m.remove("ownerReferences")));
        }
    }
    cx.api.update(id, value);
}

fn release(cx: &mut Context<'_>, id: &ObjectId, finalizer: &str) {
    let Some(object) = cx.api.object(id) else { return };
    let mut value = object.value().clone();
    if let Some(finalizers) = value["metadata"]["finalizers"].as_array_mut() {
        finalizers.retain(|f| f != finalizer);
        if finalizers.is_empty() {
            drop(value["metadata"].as_object_mut().and_then(|m| m.remove("finalizers")));
        }
    }
    cx.api.update(id, value);
}

fn has_finalizer(object: &Object, finalizer: &str) -> bool {
    object.value()["metadata"]["finalizers"].as_array().is_some_and(|all| all.iter().any(|f| f == finalizer))
}

/// Whether the garbage collector's finalizers hold it.
fn holds(object: &Object) -> bool {
    has_finalizer(object, FOREGROUND) || has_finalizer(object, ORPHAN)
}

fn owners(object: &Object) -> impl Iterator<Item = &str> {
    references(object).filter_map(|owner| owner["uid"].as_str())
}

fn references(object: &Object) -> impl Iterator<Item = &Value> {
    object.value()["metadata"].get("ownerReferences").and_then(Value::as_array).into_iter().flatten()
}

/// Whether an owner that goes in the foreground has to wait for this dependent.
fn blocks(dependent: &Object, uid: &str) -> bool {
    references(dependent).any(|owner| owner["uid"] == uid && owner["blockOwnerDeletion"] == true)
}
