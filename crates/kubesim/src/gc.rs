//! The garbage collector: dependents follow their owners, and namespaces take their content along.

use std::sync::Arc;

use serde_json::{Value, json};

use super::cluster::Cluster;
use super::store::{Change, ChangeKind, Key, Object, ObjectId};
use super::workloads::Job;
use super::write::{DeleteOptions, FOREGROUND, ORPHAN, Part, Propagation, Target};

impl Cluster {
    /// Queues what a change means to the garbage collector.
    pub(super) fn note_garbage(&mut self, change: &Change) {
        let (uid, object) = (change.object.uid(), &change.object);
        if change.kind == ChangeKind::Deleted {
            if self.store.dependents(uid).next().is_some() {
                self.workloads.enqueue(Job::Collect(uid.to_owned()));
            }
        } else if object.is_terminating() && holds(object) {
            self.workloads.enqueue(Job::Finalize(change.id.clone()));
        }
        for owner in owners(object) {
            let held = match self.store.by_uid(owner) {
                None => {
                    self.workloads.enqueue(Job::Collect(owner.to_owned()));
                    continue;
                }
                Some((id, owner)) => (owner.is_terminating() && holds(owner)).then(|| id.clone()),
            };
            // An owner that goes last looks whether this was the last of its dependents.
            if let Some(id) = held {
                self.workloads.enqueue(Job::Finalize(id));
            }
        }
        self.note_namespace(change);
    }

    fn note_namespace(&mut self, change: &Change) {
        let namespace = match &*change.id.key.namespace {
            "" if change.object.value()["kind"] == "Namespace" && change.object.is_terminating() => {
                &change.id.key.name
            }
            "" => return,
            _ if change.kind == ChangeKind::Deleted => &change.id.key.namespace,
            _ => return,
        };
        let terminating = self.find("v1/Namespace", "", namespace).is_some_and(|n| n.is_terminating());
        if terminating {
            let namespace = namespace.clone();
            self.workloads.enqueue(Job::Namespace(namespace));
        }
    }

    /// Deletes the dependents of an owner that is gone, unless another owner holds them.
    pub(super) fn collect(&mut self, uid: &str) {
        if self.store.by_uid(uid).is_some() {
            return;
        }
        let dependents: Vec<ObjectId> = self.store.dependents(uid).cloned().collect();
        for id in dependents {
            let Some(object) = self.object(&id).cloned() else { continue };
            let held = owners(&object).any(|owner| self.store.by_uid(owner).is_some());
            match held {
                true => self.disown(&id, &object, uid),
                false => self.discard(&id, &object),
            }
        }
    }

    /// Does what the finalizers of the garbage collector ask for.
    pub(super) fn finalize(&mut self, id: &ObjectId) {
        let Some(object) = self.object(id).filter(|o| o.is_terminating()).cloned() else { return };
        let uid = object.uid();
        let dependents: Vec<ObjectId> = self.store.dependents(uid).cloned().collect();
        if has_finalizer(&object, ORPHAN) {
            for dependent in dependents {
                if let Some(found) = self.object(&dependent).cloned() {
                    self.disown(&dependent, &found, uid);
                }
            }
            self.release(id, ORPHAN);
        } else if has_finalizer(&object, FOREGROUND) {
            let mut blocked = false;
            for dependent in dependents {
                let Some(found) = self.object(&dependent).cloned() else { continue };
                blocked |= blocks(&found, uid);
                if !found.is_terminating() {
                    self.delete_for_owner(&dependent, &found, Propagation::Foreground);
                }
            }
            let still =
                blocked && self.store.dependents(uid).any(|d| self.object(d).is_some_and(|o| blocks(o, uid)));
            if !still {
                self.release(id, FOREGROUND);
            }
        }
    }

    /// Deletes the content of a namespace, and the namespace once it is empty.
    pub(super) fn end_namespace(&mut self, name: &str) {
        let kinds: Vec<_> =
            self.registry.iter().filter(|s| s.kind.namespaced && s.kind.is_stored()).cloned().collect();
        let mut empty = true;
        for served in kinds {
            let keys: Vec<Key> =
                self.store.list(served.bucket, Some(name), None).map(|(key, _)| key.clone()).collect();
            for key in keys {
                let target = Target { served: served.clone(), key };
                let options =
                    DeleteOptions { propagation: Some(Propagation::Background), ..DeleteOptions::default() };
                if self.existing(&target).is_ok_and(|o| !o.is_terminating()) {
                    let _ = self.delete(&target, &options);
                }
                empty &= self.existing(&target).is_err();
            }
        }
        let Some(namespaces) = self.registry.named("v1/Namespace").cloned() else { return };
        let target = Target { served: namespaces, key: Key::new("", name) };
        if let (true, Ok(namespace)) = (empty, self.existing(&target)) {
            let mut value = namespace.value().clone();
            value["spec"]["finalizers"] = json!([]);
            self.write(&target, Part::Main, value);
        }
    }

    fn discard(&mut self, id: &ObjectId, object: &Object) {
        // A dependent that itself waits for its dependents keeps waiting.
        if !object.is_terminating() {
            self.delete_for_owner(id, object, Propagation::Background);
        }
    }

    fn delete_for_owner(&mut self, id: &ObjectId, object: &Object, propagation: Propagation) {
        let Some(served) = self.registry.in_bucket(id.bucket).cloned() else { return };
        let target = Target { served, key: id.key.clone() };
        let waits =
            propagation == Propagation::Foreground && self.store.dependents(object.uid()).next().is_none();
        let propagation = if waits { Propagation::Background } else { propagation };
        // A finalizer of the collector that a user asked for stays.
        let propagation = (!holds(object)).then_some(propagation);
        let _ = self.delete(&target, &DeleteOptions { propagation, ..DeleteOptions::default() });
    }

    /// Takes a reference to an owner off an object.
    fn disown(&mut self, id: &ObjectId, object: &Arc<Object>, uid: &str) {
        let mut value = object.value().clone();
        if let Some(references) = value["metadata"]["ownerReferences"].as_array_mut() {
            references.retain(|owner| owner["uid"] != uid);
            if references.is_empty() {
                drop(value["metadata"].as_object_mut().and_then(|m| m.remove("ownerReferences")));
            }
        }
        self.write_back(id, value);
    }

    fn release(&mut self, id: &ObjectId, finalizer: &str) {
        let Some(object) = self.object(id) else { return };
        let mut value = object.value().clone();
        if let Some(finalizers) = value["metadata"]["finalizers"].as_array_mut() {
            finalizers.retain(|f| f != finalizer);
            if finalizers.is_empty() {
                drop(value["metadata"].as_object_mut().and_then(|m| m.remove("finalizers")));
            }
        }
        self.write_back(id, value);
    }
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
