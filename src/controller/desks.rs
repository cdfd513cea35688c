//! How many looks may have their objects open at once. When thousands of Canaries are due, most of their looks wait for the
//! API: that shall not take thousands of times the room. And no namespace gets all places, so that one whose writes hang
//! does not keep the others waiting.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Looks that have their objects open at a time: some 150 KB each, and a write takes a few milliseconds.
const ALL: usize = 64;
/// Those of one namespace.
const OF_A_NAMESPACE: usize = 8;

/// The places.
pub struct Desks {
    all: Arc<Semaphore>,
    namespaces: Mutex<BTreeMap<String, Arc<Semaphore>>>,
}

/// A place; free again when dropped. Nobody closes the places, so that each is there.
pub struct Desk {
    _places: [Option<OwnedSemaphorePermit>; 2],
}

impl Default for Desks {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(ALL)), namespaces: Mutex::default() }
    }
}

impl Desks {
    /// A place for a look at a Canary of `namespace`, as soon as there is one.
    pub async fn take(&self, namespace: &str) -> Desk {
        let own = {
            let mut namespaces = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
            // Those that nobody holds any more.
            namespaces.retain(|_, places| Arc::strong_count(places) > 1);
            let places = namespaces.entry(namespace.to_owned());
            Arc::clone(places.or_insert_with(|| Arc::new(Semaphore::new(OF_A_NAMESPACE))))
        };
        // The namespace's first: who waits for that holds none of all.
        let own = own.acquire_owned().await.ok();
        Desk { _places: [own, Arc::clone(&self.all).acquire_owned().await.ok()] }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_namespace_whose_looks_hang_leaves_places_for_others() {
        let desks = Desks::default();
        let mut held = Vec::new();
        while let Some(desk) = desks.take("hangs").now_or_never() {
            held.push(desk);
        }
        assert_eq!(held.len(), OF_A_NAMESPACE);
        assert!(desks.take("works").now_or_never().is_some());
        held.pop();
        assert!(desks.take("hangs").now_or_never().is_some());
    }

    #[tokio::test]
    async fn there_are_only_so_many_in_all() {
        let desks = Desks::default();
        let names: Vec<String> = (0..2 * ALL).map(|n| n.to_string()).collect();
        let held: Vec<Desk> = names.iter().map_while(|name| desks.take(name).now_or_never()).collect();
        assert_eq!(held.len(), ALL);
        drop(held);
        let _one = desks.take("a").await;
        assert_eq!(
            desks.namespaces.lock().expect("places").len(),
            1,
            "namespaces without looks are forgotten"
        );
    }
}
