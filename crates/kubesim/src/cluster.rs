//! The cluster's state behind one lock, and the parts that wait for its changes.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::Notify;

use super::clock::Clock;
use super::fault::Interceptor;
use super::log::Log;
use super::registry::Registry;
use super::store::{Object, ObjectId, Store};
use super::watch::Watches;
use super::write::names::Names;

/// Whether a namespace must exist before something is put into it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Namespaces {
    /// A namespace is created with its first object.
    #[default]
    Implicit,
    /// A namespace must exist, as in a real cluster; without it the answer is 404.
    Strict,
}

/// All that the cluster knows.
pub(super) struct Cluster {
    pub clock: Clock,
    pub registry: Registry,
    pub store: Store,
    pub names: Names,
    pub namespaces: Namespaces,
    pub watches: Watches,
    /// Whether pods run here: one that runs takes its time to stop when it is deleted.
    pub runs_pods: bool,
    /// The addresses that Services have.
    pub service_ips: BTreeSet<Ipv4Addr>,
    pub requests: u64,
    pub writes: u64,
}

impl Cluster {
    /// The object of a resource that people know by this word.
    pub(super) fn find(&self, kind: &str, namespace: &str, name: &str) -> Option<&Arc<Object>> {
        let served = self.registry.named(kind)?;
        let namespace = if served.kind.namespaced { namespace } else { "" };
        self.store.get(served.bucket, &super::store::Key::new(namespace, name))
    }

    /// The object with this id.
    pub(super) fn object(&self, id: &ObjectId) -> Option<&Arc<Object>> {
        self.store.get(id.bucket, &id.key)
    }

    /// A field of an object's metadata, as text.
    pub(super) fn metadata<'a>(object: &'a Value, field: &str) -> &'a str {
        object["metadata"][field].as_str().unwrap_or_default()
    }
}

/// What all handles, requests and tasks of one cluster share.
pub(super) struct Shared {
    cluster: Mutex<Cluster>,
    pub log: Mutex<Log>,
    pub interceptor: Mutex<Option<Interceptor>>,
    /// Rings after each change, and when the cluster ends.
    bell: Arc<Notify>,
}

impl Shared {
    pub(super) fn new(cluster: Cluster, log: Log, bell: Arc<Notify>) -> Self {
        Self { cluster: Mutex::new(cluster), log: Mutex::new(log), interceptor: Mutex::new(None), bell }
    }

    /// The state. Never held over an await.
    pub(super) fn lock(&self) -> MutexGuard<'_, Cluster> {
        lock(&self.cluster)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Tasks that work for the cluster hold no handle of it: they end when they find it gone.
        self.bell.notify_one();
    }
}

/// Takes a lock, also if its last holder panicked: writes happen as a whole, so nothing is half done.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
