//! How many calls may be under way at once: in all, and to one host, so that one slow endpoint cannot take every
//! place.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many calls may be under way at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many calls may be under way in all.
    pub total: usize,
    /// How many calls may be under way to one host and port.
    pub per_host: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { total: 256, per_host: 32 }
    }
}

/// Counts the calls that are under way.
#[derive(Clone)]
pub(super) struct Slots {
    total: Arc<Semaphore>,
    hosts: Arc<Mutex<BTreeMap<String, Weak<Semaphore>>>>,
    per_host: usize,
}

/// A place among the calls under way; free again when dropped.
pub(super) struct Slot {
    _host: OwnedSemaphorePermit,
    _total: OwnedSemaphorePermit,
}

impl Slots {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            total: Arc::new(Semaphore::new(limits.total.max(1))),
            hosts: Arc::default(),
            per_host: limits.per_host.max(1),
        }
    }

    /// Waits for a place. The host's comes first: who waits for a slow host must not hold a place of all.
    pub(super) async fn take(&self, host: &str) -> Slot {
        const OPEN: &str = "the semaphores are never closed";
        let host = self.host(host).acquire_owned().await.expect(OPEN);
        let total = self.total.clone().acquire_owned().await.expect(OPEN);
        Slot { _host: host, _total: total }
    }

    fn host(&self, host: &str) -> Arc<Semaphore> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(semaphore) = hosts.get(host).and_then(Weak::upgrade) {
            return semaphore;
        }
        // Hosts without calls are forgotten here, so the map stays as small as the number of hosts in use.
        hosts.retain(|_, semaphore| semaphore.strong_count() > 0);
        let semaphore = Arc::new(Semaphore::new(self.per_host));
        hosts.insert(host.to_owned(), Arc::downgrade(&semaphore));
        semaphore
    }
}
