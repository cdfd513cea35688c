//! On whose behalf calls are made, so that one does not use up what is there for all.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// On whose behalf a call is made, and what sort of call it is. The default is the controller itself, which has no share
/// that could be used up.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Party {
    /// The sort of its calls; each sort has limits of its own.
    pub sort: Sort,
    /// The namespace that its calls count for.
    pub namespace: Arc<str>,
    /// Who it is in that namespace: a Canary, a receiver.
    pub name: Arc<str>,
}

/// The sorts of calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sort {
    /// Questions to metrics servers, which take seconds. Identical ones of one moment are sent once.
    Query,
    /// Hooks that a release waits for, which may take minutes.
    #[default]
    Hook,
    /// Alerts and events, for which nobody waits.
    Delivery,
}

impl Party {
    /// The party `name` of `namespace`, with calls of this sort.
    pub fn new(sort: Sort, namespace: &str, name: &str) -> Self {
        Self { sort, namespace: namespace.into(), name: name.into() }
    }

    /// Whether it is the controller itself.
    pub(super) fn is_own(&self) -> bool {
        self.name.is_empty()
    }
}

/// How long calls have waited for their places, since it was made. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Waits(Arc<Mutex<Waited>>);

#[derive(Default)]
struct Waited {
    over: Duration,
    /// Calls that wait now, and since when one does.
    now: usize,
    since: Option<Instant>,
}

/// A wait that ends when this is dropped.
pub(super) struct Waiting(Waits);

impl Waits {
    pub(super) fn begin(&self) -> Waiting {
        let mut waited = self.waited();
        waited.now += 1;
        waited.since.get_or_insert_with(Instant::now);
        Waiting(self.clone())
    }

    /// The time in which at least one call waited.
    pub(super) fn total(&self) -> Duration {
        let waited = self.waited();
        waited.over + waited.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn waited(&self) -> MutexGuard<'_, Waited> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut waited = self.0.waited();
        waited.now -= 1;
        if waited.now == 0
            && let Some(since) = waited.since.take()
        {
            waited.over += since.elapsed();
        }
    }
}
