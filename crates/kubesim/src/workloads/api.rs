//! The cluster as a controller sees it, and the writes that it can make. Only this file knows the API server.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::store::{BucketId, Change, Key, Object, ObjectId};
use crate::write::{DeleteOptions, Part, Propagation, Target, Writer};

/// A view of the cluster and a small writer, for a controller that runs inside it.
///
/// The writes are those of a trusted component: they pass no admission and do not show in the request log. None of
/// them fails: an object that is gone or that the cluster refuses is left as it is, and the next change brings the
/// controller back to it.
pub struct ControllerApi<'a> {
    cluster: &'a mut Cluster,
}

/// What a controller can see.
impl<'a> ControllerApi<'a> {
    pub(crate) fn of(cluster: &'a mut Cluster) -> Self {
        Self { cluster }
    }

    /// The cluster's wall time.
    pub fn now(&self) -> DateTime<Utc> {
        self.cluster.clock.now()
    }

    /// The cluster's wall time as objects carry it: RFC 3339, whole seconds.
    pub fn stamp(&self) -> String {
        self.cluster.clock.stamp()
    }

    /// The object of a kind (`apps/v1/Deployment`, or a word that kubectl knows) with this name.
    pub fn find(&self, kind: &str, namespace: &str, name: &str) -> Option<&Arc<Object>> {
        self.cluster.find(kind, namespace, name)
    }

    /// The id of the object of a kind with this name, whether or not there is one. `None` if there is no such kind.
    pub fn id(&self, kind: &str, namespace: &str, name: &str) -> Option<ObjectId> {
        let served = self.cluster.registry.named(kind)?;
        let namespace = if served.kind.namespaced { namespace } else { "" };
        Some(ObjectId { bucket: served.bucket, key: Key::new(namespace, name) })
    }

    /// The object with this id.
    pub fn object(&self, id: &ObjectId) -> Option<&Arc<Object>> {
        self.cluster.object(id)
    }

    pub(super) fn get(&self, bucket: BucketId, key: &Key) -> Option<&Arc<Object>> {
        self.cluster.store.get(bucket, key)
    }

    /// All objects of a bucket, in order of namespace and name.
    pub(super) fn list(&self, bucket: BucketId) -> impl Iterator<Item = (&Key, &Arc<Object>)> {
        self.cluster.store.list(bucket, None, None)
    }

    /// The objects of a bucket that name `uid` as an owner.
    pub(super) fn owned(&self, uid: &str, bucket: BucketId) -> impl Iterator<Item = (&Key, &Arc<Object>)> {
        self.cluster.store.owned(uid, bucket)
    }

    pub(super) fn by_uid(&self, uid: &str) -> Option<(&ObjectId, &Arc<Object>)> {
        self.cluster.store.by_uid(uid)
    }

    /// All objects that name `uid` as an owner.
    pub(super) fn dependents(&self, uid: &str) -> impl Iterator<Item = &ObjectId> {
        self.cluster.store.dependents(uid)
    }

    /// The objects that are in a namespace.
    pub(super) fn content(&self, namespace: &str) -> Vec<ObjectId> {
        let kinds = self.cluster.registry.iter().filter(|s| s.kind.namespaced && s.kind.is_stored());
        kinds
            .flat_map(|served| {
                let objects = self.cluster.store.list(served.bucket, Some(namespace), None);
                objects.map(|(key, _)| ObjectId { bucket: served.bucket, key: key.clone() })
            })
            .collect()
    }

    /// Where a built-in kind that has a scale is kept.
    pub(super) fn scalable(&self, api_version: &str, kind: &str) -> Option<BucketId> {
        let served = self.cluster.registry.of(api_version, kind)?;
        (served.kind.has_scale && served.custom.is_none()).then_some(served.bucket)
    }

    pub(super) fn take_changes(&mut self) -> Vec<Arc<Change>> {
        self.cluster.store.take_changes()
    }
}

/// What a controller can do.
impl ControllerApi<'_> {
    /// Creates an object of this kind (`apps/v1/ReplicaSet`), status included. `None` if the cluster refuses it, for
    /// instance because one of that name is there already.
    pub fn create(&mut self, kind: &str, namespace: &str, object: Value) -> Option<Arc<Object>> {
        let served = self.cluster.registry.named(kind)?.clone();
        let mut writer = Writer::named("kube-controller-manager");
        writer.whole = true;
        match self.cluster.create(&served, namespace, object, &writer) {
            Ok(outcome) => Some(outcome.object),
            Err(why) => {
                tracing::debug!(kind, namespace, %why, "the embedded cluster refused an object of its own controllers");
                None
            }
        }
    }

    /// Replaces an object, status included.
    pub fn update(&mut self, id: &ObjectId, object: Value) {
        self.write(id, Part::Main, object);
    }

    /// Replaces the status of an object, if it differs.
    pub fn update_status(&mut self, id: &ObjectId, status: Value) {
        let Some(object) = self.object(id).filter(|o| o.value()["status"] != status) else { return };
        let mut value = object.value().clone();
        value["status"] = status;
        self.write(id, Part::Main, value);
    }

    /// Replaces an object, of which only the number of replicas differs.
    pub(super) fn update_scale(&mut self, id: &ObjectId, object: Value) {
        self.write(id, Part::Scale, object);
    }

    /// Deletes an object. Its dependents follow in the background.
    pub fn delete(&mut self, id: &ObjectId) {
        self.delete_with(id, Some(Propagation::Background));
    }

    /// Deletes an object; `None` leaves to the object's finalizers what happens to its dependents.
    pub(super) fn delete_with(&mut self, id: &ObjectId, propagation: Option<Propagation>) {
        let Some(target) = self.target(id) else { return };
        // It is gone already, which was the aim.
        let _ = self.cluster.delete(&target, &DeleteOptions { propagation, ..DeleteOptions::default() });
    }

    fn write(&mut self, id: &ObjectId, part: Part, object: Value) {
        if let Some(target) = self.target(id) {
            self.cluster.write(&target, part, object);
        }
    }

    fn target(&self, id: &ObjectId) -> Option<Target> {
        let served = self.cluster.registry.in_bucket(id.bucket)?.clone();
        Some(Target { served, key: id.key.clone() })
    }
}
