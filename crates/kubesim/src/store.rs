//! Objects by key, one global resourceVersion, and the history that watches read: no rules of Kubernetes yet.
//!
//! A write replaces an object as a whole. Objects are shared (`Arc`) between the store, its history and every watch,
//! and each is serialised at most once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::Notify;

/// A place where the objects of one resource are kept, whatever versions it is served in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketId(usize);

/// Namespace and name; the namespace of a cluster-wide object is empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The namespace; empty for a cluster-wide object.
    pub namespace: Arc<str>,
    /// The object's name.
    pub name: Arc<str>,
}

impl Key {
    /// The key of `namespace/name`.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

/// A bucket and a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId {
    /// Where the objects of its resource are kept.
    pub bucket: BucketId,
    /// Its namespace and name.
    pub key: Key,
}

/// An object as it is stored, at one resourceVersion.
#[derive(Debug)]
pub struct Object {
    value: Value,
    revision: u64,
    labels: BTreeMap<String, String>,
    json: OnceLock<Bytes>,
    untyped_json: OnceLock<Bytes>,
}

impl Object {
    fn new(value: Value, revision: u64) -> Self {
        let labels = string_map(&value["metadata"]["labels"]);
        Self { value, revision, labels, json: OnceLock::new(), untyped_json: OnceLock::new() }
    }

    /// An object that is shown but not stored: the answer to a dry run.
    pub fn draft(value: Value, revision: u64) -> Self {
        Self::new(value, revision)
    }

    /// The object itself.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The same object under another resourceVersion.
    pub fn at_revision(&self, revision: u64) -> Self {
        let mut value = self.value.clone();
        value["metadata"]["resourceVersion"] = Value::String(revision.to_string());
        Self::new(value, revision)
    }

    /// Its resourceVersion.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Its labels.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.labels
    }

    /// `metadata.uid`.
    pub fn uid(&self) -> &str {
        self.value["metadata"]["uid"].as_str().unwrap_or_default()
    }

    /// Whether it is on its way out.
    pub fn is_terminating(&self) -> bool {
        self.value["metadata"].get("deletionTimestamp").is_some()
    }

    /// Its JSON, serialised once.
    pub fn json(&self) -> Bytes {
        self.json.get_or_init(|| to_json(&self.value)).clone()
    }
}

impl Object {
    /// Its JSON without `apiVersion` and `kind`, as it stands in lists of built-in kinds.
    pub fn untyped_json(&self) -> Bytes {
        let write = || {
            let fields = self.value.as_object().into_iter().flatten();
            let fields: BTreeMap<&String, &Value> =
                fields.filter(|(field, _)| !matches!(field.as_str(), "apiVersion" | "kind")).collect();
            Bytes::from(
                serde_json::to_vec(&fields).expect("a JSON value with string keys can always be written"),
            )
        };
        self.untyped_json.get_or_init(write).clone()
    }
}

/// The JSON of a value.
pub fn to_json(value: &Value) -> Bytes {
    Bytes::from(serde_json::to_vec(value).expect("a JSON value with string keys can always be written"))
}

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It was created.
    Added,
    /// It was replaced.
    Modified,
    /// It is gone.
    Deleted,
}

/// One committed write.
#[derive(Debug)]
pub struct Change {
    /// The resourceVersion of the write.
    pub revision: u64,
    /// Which object was written.
    pub id: ObjectId,
    /// What happened to it.
    pub kind: ChangeKind,
    /// The object after the write; of a deletion its last state, at the deletion's resourceVersion.
    pub object: Arc<Object>,
    /// The object before the write.
    pub before: Option<Arc<Object>>,
}

/// The asked-for history is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired {
    /// The oldest resourceVersion that is still known.
    pub oldest: u64,
}

struct Bucket {
    objects: BTreeMap<Key, Arc<Object>>,
    history: VecDeque<Arc<Change>>,
    /// Changes up to this one are forgotten.
    forgotten: u64,
    changed: Arc<Notify>,
}

/// Called with each committed change, while the cluster is locked.
pub type Observer = Arc<dyn Fn(&Change) + Send + Sync>;

/// All objects of the cluster.
pub struct Store {
    buckets: Vec<Bucket>,
    revision: u64,
    history_limit: usize,
    by_uid: BTreeMap<String, ObjectId>,
    dependents: BTreeMap<String, BTreeSet<ObjectId>>,
    /// Changes that the in-process controllers have not taken yet.
    untaken: Option<Vec<Arc<Change>>>,
    /// Rings when there are such changes.
    bell: Arc<Notify>,
    observers: Vec<Observer>,
}

impl Store {
    /// An empty store that remembers up to `history_limit` changes of each resource.
    pub fn new(history_limit: usize) -> Self {
        Self {
            buckets: Vec::new(),
            revision: 1,
            history_limit: history_limit.max(1),
            by_uid: BTreeMap::new(),
            dependents: BTreeMap::new(),
            untaken: None,
            bell: Arc::new(Notify::new()),
            observers: Vec::new(),
        }
    }

    /// A new, empty bucket.
    pub fn add_bucket(&mut self) -> BucketId {
        self.buckets.push(Bucket {
            objects: BTreeMap::new(),
            history: VecDeque::new(),
            forgotten: 0,
            changed: Arc::new(Notify::new()),
        });
        BucketId(self.buckets.len() - 1)
    }

    /// From now on, tells `observer` of each change.
    pub fn observe(&mut self, observer: Observer) {
        self.observers.push(observer);
    }

    /// From now on, keeps changes for `take_changes` and rings `bell` for them.
    pub fn record_changes(&mut self, bell: Arc<Notify>) {
        self.untaken.get_or_insert_default();
        self.bell = bell;
    }

    /// The changes since the last call, oldest first.
    pub fn take_changes(&mut self) -> Vec<Arc<Change>> {
        self.untaken.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Whether there are changes to take.
    pub fn has_untaken_changes(&self) -> bool {
        self.untaken.as_ref().is_some_and(|c| !c.is_empty())
    }

    /// The newest resourceVersion.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The object at `key`.
    pub fn get(&self, bucket: BucketId, key: &Key) -> Option<&Arc<Object>> {
        self.buckets[bucket.0].objects.get(key)
    }

    /// The object at `key`, with the key.
    pub fn entry(&self, bucket: BucketId, key: &Key) -> Option<(&Key, &Arc<Object>)> {
        self.buckets[bucket.0].objects.get_key_value(key)
    }

    /// The object that has this uid.
    pub fn by_uid(&self, uid: &str) -> Option<(&ObjectId, &Arc<Object>)> {
        let id = self.by_uid.get(uid)?;
        Some((id, self.get(id.bucket, &id.key)?))
    }

    /// The objects that name `uid` as an owner.
    pub fn dependents(&self, uid: &str) -> impl Iterator<Item = &ObjectId> {
        self.dependents.get(uid).into_iter().flatten()
    }

    /// The dependents of `uid` that live in `bucket`.
    pub fn owned(&self, uid: &str, bucket: BucketId) -> impl Iterator<Item = (&Key, &Arc<Object>)> {
        self.dependents(uid)
            .filter(move |id| id.bucket == bucket)
            .filter_map(move |id| Some((&id.key, self.get(bucket, &id.key)?)))
    }

    /// The objects of a bucket, of one namespace or of all, in order of their keys, those after `after` only.
    pub fn list<'a>(
        &'a self,
        bucket: BucketId,
        namespace: Option<&'a str>,
        after: Option<&Key>,
    ) -> impl Iterator<Item = (&'a Key, &'a Arc<Object>)> {
        in_namespace(&self.buckets[bucket.0].objects, namespace, after)
    }

    /// The objects of a bucket as they were at `revision`; `None` when nothing has changed since.
    pub fn snapshot(
        &self,
        bucket: BucketId,
        revision: u64,
    ) -> Result<Option<BTreeMap<Key, Arc<Object>>>, Expired> {
        let since = self.changes_since(bucket, revision)?;
        if since.len() == 0 {
            return Ok(None);
        }
        let mut objects = self.buckets[bucket.0].objects.clone();
        for change in since.rev() {
            match &change.before {
                Some(before) => objects.insert(change.id.key.clone(), before.clone()),
                None => objects.remove(&change.id.key),
            };
        }
        Ok(Some(objects))
    }

    /// The changes of a bucket after `revision`, oldest first.
    pub fn changes_since(
        &self,
        bucket: BucketId,
        revision: u64,
    ) -> Result<impl DoubleEndedIterator<Item = &Arc<Change>> + ExactSizeIterator, Expired> {
        let bucket = &self.buckets[bucket.0];
        if revision < bucket.forgotten {
            return Err(Expired { oldest: bucket.forgotten });
        }
        let first = bucket.history.partition_point(|c| c.revision <= revision);
        Ok(bucket.history.range(first..))
    }

    /// Rings whenever something in the bucket changes.
    pub fn changed(&self, bucket: BucketId) -> Arc<Notify> {
        self.buckets[bucket.0].changed.clone()
    }

    /// Forgets the history up to `revision`, as a compaction does.
    pub fn forget(&mut self, revision: u64) {
        let revision = revision.min(self.revision);
        for bucket in &mut self.buckets {
            bucket.forgotten = bucket.forgotten.max(revision);
            while bucket.history.front().is_some_and(|c| c.revision <= revision) {
                bucket.history.pop_front();
            }
        }
    }

    /// Writes `value` and gives it the next resourceVersion; a value that is already there is left alone.
    pub fn put(&mut self, bucket: BucketId, key: &Key, mut value: Value) -> Arc<Object> {
        let before = self.get(bucket, key).cloned();
        if let Some(before) = &before {
            value["metadata"]["resourceVersion"] = before.value["metadata"]["resourceVersion"].clone();
            if value == before.value {
                return before.clone();
            }
        }
        let object = self.next(value);
        let id = ObjectId { bucket, key: key.clone() };
        if let Some(before) = &before {
            self.unindex(&id, before);
        }
        self.index(&id, &object);
        self.buckets[bucket.0].objects.insert(key.clone(), object.clone());
        let kind = if before.is_some() { ChangeKind::Modified } else { ChangeKind::Added };
        self.remember(Change { revision: object.revision, id, kind, object: object.clone(), before });
        object
    }

    /// Removes the object at `key`; answers its last state.
    pub fn remove(&mut self, bucket: BucketId, key: &Key) -> Option<Arc<Object>> {
        let before = self.buckets[bucket.0].objects.remove(key)?;
        let id = ObjectId { bucket, key: key.clone() };
        self.unindex(&id, &before);
        let object = self.next(before.value.clone());
        self.remember(Change {
            revision: object.revision,
            id,
            kind: ChangeKind::Deleted,
            object: object.clone(),
            before: Some(before),
        });
        Some(object)
    }

    fn next(&mut self, mut value: Value) -> Arc<Object> {
        self.revision += 1;
        value["metadata"]["resourceVersion"] = Value::String(self.revision.to_string());
        Arc::new(Object::new(value, self.revision))
    }

    fn remember(&mut self, change: Change) {
        let change = Arc::new(change);
        for observer in &self.observers {
            observer(&change);
        }
        if let Some(untaken) = &mut self.untaken {
            untaken.push(change.clone());
            self.bell.notify_one();
        }
        let bucket = &mut self.buckets[change.id.bucket.0];
        bucket.history.push_back(change);
        if bucket.history.len() > self.history_limit {
            bucket.forgotten = bucket.history.pop_front().map_or(bucket.forgotten, |c| c.revision);
        }
        bucket.changed.notify_waiters();
    }

    fn index(&mut self, id: &ObjectId, object: &Object) {
        self.by_uid.insert(object.uid().to_owned(), id.clone());
        for owner in owner_uids(&object.value) {
            self.dependents.entry(owner.to_owned()).or_default().insert(id.clone());
        }
    }

    fn unindex(&mut self, id: &ObjectId, object: &Object) {
        self.by_uid.remove(object.uid());
        for owner in owner_uids(&object.value) {
            if let Some(of_owner) = self.dependents.get_mut(owner) {
                of_owner.remove(id);
                if of_owner.is_empty() {
                    self.dependents.remove(owner);
                }
            }
        }
    }
}

/// The part of a map of objects that lies in `namespace` and after `after`.
pub fn in_namespace<'a>(
    objects: &'a BTreeMap<Key, Arc<Object>>,
    namespace: Option<&'a str>,
    after: Option<&Key>,
) -> impl Iterator<Item = (&'a Key, &'a Arc<Object>)> {
    let from = match (after, namespace) {
        (Some(after), _) => Bound::Excluded(after.clone()),
        (None, Some(namespace)) => Bound::Included(Key::new(namespace, "")),
        (None, None) => Bound::Unbounded,
    };
    objects
        .range((from, Bound::Unbounded))
        .take_while(move |(key, _)| namespace.is_none_or(|ns| &*key.namespace == ns))
}

fn owner_uids(value: &Value) -> impl Iterator<Item = &str> {
    let owners = value["metadata"].get("ownerReferences").and_then(Value::as_array);
    owners.into_iter().flatten().filter_map(|o| o["uid"].as_str())
}

/// The strings of a JSON object; anything else in it is left out.
pub fn string_map(value: &Value) -> BTreeMap<String, String> {
    let entries = value.as_object().into_iter().flatten();
    entries.filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn named(name: &str, data: u32) -> Value {
        json!({"metadata": {"name": name, "uid": format!("uid-{name}")}, "data": data})
    }

    fn store() -> (Store, BucketId) {
        let mut store = Store::new(100);
        let bucket = store.add_bucket();
        (store, bucket)
    }

    #[test]
    fn a_write_that_changes_nothing_keeps_the_resource_version_and_makes_no_history() {
        let (mut store, bucket) = store();
        let key = Key::new("shop", "a");
        let first = store.put(bucket, &key, named("a", 1));
        let second = store.put(bucket, &key, named("a", 1));
        assert_eq!(first.revision(), second.revision());
        assert_eq!(1, store.changes_since(bucket, 0).unwrap().len());
    }

    #[test]
    fn a_deletion_carries_the_last_state_at_a_version_of_its_own() {
        let (mut store, bucket) = store();
        let key = Key::new("shop", "a");
        let written = store.put(bucket, &key, named("a", 1)).revision();
        let gone = store.remove(bucket, &key).unwrap();
        assert!(gone.revision() > written);
        assert_eq!(json!(1), gone.value()["data"]);
        assert_eq!(gone.revision().to_string(), gone.value()["metadata"]["resourceVersion"]);
    }

    #[test]
    fn a_snapshot_shows_the_objects_of_back_then() {
        let (mut store, bucket) = store();
        store.put(bucket, &Key::new("", "a"), named("a", 1));
        let then = store.put(bucket, &Key::new("", "b"), named("b", 1)).revision();
        store.put(bucket, &Key::new("", "b"), named("b", 2));
        store.remove(bucket, &Key::new("", "a"));
        store.put(bucket, &Key::new("", "c"), named("c", 1));
        let past = store.snapshot(bucket, then).unwrap().unwrap();
        let seen: Vec<_> = past.iter().map(|(k, o)| (&*k.name, o.value()["data"].clone())).collect();
        assert_eq!(vec![("a", json!(1)), ("b", json!(1))], seen);
    }

    #[test]
    fn history_beyond_the_limit_is_expired() {
        let mut store = Store::new(2);
        let bucket = store.add_bucket();
        let first = store.put(bucket, &Key::new("", "a"), named("a", 0)).revision();
        for data in 1..4 {
            store.put(bucket, &Key::new("", "a"), named("a", data));
        }
        assert!(store.changes_since(bucket, first).is_err());
        assert_eq!(2, store.changes_since(bucket, first + 1).unwrap().len());
    }

    #[test]
    fn a_namespace_is_listed_without_its_neighbours() {
        let (mut store, bucket) = store();
        for (ns, name) in [("a", "x"), ("shop", "y"), ("shop", "z"), ("shop2", "w")] {
            store.put(bucket, &Key::new(ns, name), named(&format!("{ns}-{name}"), 0));
        }
        let names = |after| {
            store.list(bucket, Some("shop"), after).map(|(k, _)| k.name.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(vec!["y", "z"], names(None));
        assert_eq!(vec!["z"], names(Some(&Key::new("shop", "y"))));
    }
}
