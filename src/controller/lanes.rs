//! Lanes: what waits to be told to others. Each receiver has a lane of its own, and nobody waits for it.
//!
//! ```text
//! put ──▶ lane of A: 3 2 1 ──▶ one at a time, in order ──▶ carry, again if that can help
//!         lane of B:   2 1 ──▶ one at a time, in order ──▶ carry, again if that can help
//! ```
//!
//! A receiver that is slow or gone keeps its own lane waiting and no other. How many calls are under way at once is the
//! affair of the HTTP client; pauses between attempts take no place there. As long as something is on its way, the Canary
//! that it is about owes it, and says so in its status (`owed.rs`): a restart sends it again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep};
use tracing::{debug, error, warn};

use crate::model::object::ObjectId;

use super::backoff;
use super::caches::{Noticed, lock};

/// Where things are left for the receivers `R`. Clones are the same.
pub(super) struct Outbox<R, T>(Arc<Lanes<R, T>>);

/// Sees to it that what is in an outbox is carried.
pub(super) struct Worker<R, T>(Outbox<R, T>);

/// Carries things to receivers.
pub(super) trait Carrier<R, T>: Send + Sync {
    /// Delivers `content`, or gives up.
    fn carry<'a>(&'a self, receiver: &'a R, content: &'a T) -> BoxFuture<'a, ()>;
}

struct Lanes<R, T> {
    /// What the things are called, in the log.
    called: &'static str,
    waiting: Mutex<Waiting<R, T>>,
    wake: Notify,
    /// Told of a Canary that owes nothing any more.
    settled: mpsc::UnboundedSender<Noticed>,
}

struct Waiting<R, T> {
    lanes: BTreeMap<R, Lane<T>>,
    /// Lanes that nobody works on yet.
    idle: VecDeque<R>,
    number: usize,
    /// Things that are not delivered yet, by Canary.
    owed: BTreeMap<ObjectId, usize>,
    closed: bool,
}

/// What waits for one receiver.
struct Lane<T> {
    parcels: VecDeque<Parcel<T>>,
}

struct Parcel<T> {
    canary: ObjectId,
    content: T,
}

/// An outbox and the worker that empties it. `called` is what the log calls the things in it.
pub(super) fn lanes<R: Ord + Clone, T>(
    called: &'static str,
    settled: mpsc::UnboundedSender<Noticed>,
) -> (Outbox<R, T>, Worker<R, T>) {
    let waiting = Waiting {
        lanes: BTreeMap::new(),
        idle: VecDeque::new(),
        number: 0,
        owed: BTreeMap::new(),
        closed: false,
    };
    let outbox =
        Outbox(Arc::new(Lanes { called, waiting: Mutex::new(waiting), wake: Notify::new(), settled }));
    (outbox.clone(), Worker(outbox))
}

impl<R, T> Clone for Outbox<R, T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<R: Ord + Clone, T> Outbox<R, T> {
    /// Leaves `content`, which is about `canary`, for `receiver`. If too much waits, the oldest of the lane goes, or of
    /// the longest lane.
    pub fn put(&self, receiver: R, canary: ObjectId, content: T) {
        let mut waiting = lock(&self.0.waiting);
        *waiting.owed.entry(canary.clone()).or_default() += 1;
        let dropped = waiting.add(receiver, Parcel { canary, content });
        drop(waiting);
        if let Some(dropped) = dropped {
            warn!(canary = %dropped.canary, "too many {}s wait: the oldest is dropped", self.0.called);
            self.settle(&dropped.canary);
        }
        self.0.wake.notify_one();
    }

    /// Whether anything about this Canary is still on its way.
    pub fn owes(&self, canary: &ObjectId) -> bool {
        lock(&self.0.waiting).owed.contains_key(canary)
    }

    /// Takes nothing more; the worker ends when it has delivered what is left, or after a little while.
    pub fn close(&self) {
        lock(&self.0.waiting).closed = true;
        self.0.wake.notify_one();
    }

    /// Counts one thing less that a Canary owes.
    fn settle(&self, canary: &ObjectId) {
        let mut waiting = lock(&self.0.waiting);
        let Some(owed) = waiting.owed.get_mut(canary) else { return };
        *owed = owed.saturating_sub(1);
        if *owed == 0 {
            waiting.owed.remove(canary);
            // Nobody hears it after the end, when nothing is written any more.
            let _ = self.0.settled.send(Noticed::Object(canary.clone()));
        }
    }

    /// The next thing for `receiver`; if there is none, its lane is over.
    fn next(&self, receiver: &R) -> Option<Parcel<T>> {
        let mut waiting = lock(&self.0.waiting);
        let parcel = waiting.lanes.get_mut(receiver)?.parcels.pop_front();
        match parcel {
            Some(_) => waiting.number -= 1,
            None => drop(waiting.lanes.remove(receiver)),
        }
        parcel
    }

    /// A receiver whose lane nobody works on yet.
    fn idle(&self) -> Option<R> {
        lock(&self.0.waiting).idle.pop_front()
    }

    /// Whether it takes nothing more, and how much is not delivered.
    fn left(&self) -> (bool, usize) {
        let waiting = lock(&self.0.waiting);
        (waiting.closed, waiting.owed.values().sum())
    }
}

impl<R: Ord + Clone, T> Waiting<R, T> {
    /// Adds to a lane; what had to make room.
    fn add(&mut self, receiver: R, parcel: Parcel<T>) -> Option<Parcel<T>> {
        if !self.lanes.contains_key(&receiver) {
            self.idle.push_back(receiver.clone());
        }
        let lane = self.lanes.entry(receiver).or_insert_with(|| Lane { parcels: VecDeque::new() });
        lane.parcels.push_back(parcel);
        self.number += 1;
        let full = match lane.parcels.len() > MOST_IN_LANE {
            true => Some(lane),
            false if self.number > MOST => self.lanes.values_mut().max_by_key(|lane| lane.parcels.len()),
            false => None,
        };
        let dropped = full?.parcels.pop_front();
        self.number -= usize::from(dropped.is_some());
        dropped
    }
}

impl<R: Ord + Clone, T> Worker<R, T> {
    /// Has everything carried until the outbox is closed and empty; what is left then has a few seconds.
    pub async fn run(self, carrier: &impl Carrier<R, T>) {
        let Self(outbox) = self;
        let mut under_way = FuturesUnordered::new();
        let mut deadline = None;
        loop {
            while let Some(receiver) = outbox.idle() {
                under_way.push(work_off(&outbox, receiver, carrier));
            }
            let (closed, left) = outbox.left();
            if closed {
                if under_way.is_empty() {
                    return;
                }
                deadline = deadline.or_else(|| Some(Instant::now() + GRACE));
            }
            tokio::select! {
                biased;
                Some(()) = under_way.next(), if !under_way.is_empty() => {}
                () = outbox.0.wake.notified() => {}
                () = super::sleep_until(deadline), if deadline.is_some() => {
                    error!("{left} {}(s) could not be sent before the end", outbox.0.called);
                    return;
                }
            }
        }
    }
}

/// Carries what is in one lane until it is empty.
async fn work_off<R: Ord + Clone, T>(outbox: &Outbox<R, T>, receiver: R, carrier: &impl Carrier<R, T>) {
    while let Some(parcel) = outbox.next(&receiver) {
        carrier.carry(&receiver, &parcel.content).await;
        outbox.settle(&parcel.canary);
    }
}

/// Why something does not get through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    /// The text for users.
    pub why: String,
    /// The same in a word.
    pub reason: &'static str,
    /// Whether it may be over in a moment.
    pub passing: bool,
}

impl Trouble {
    /// Says what it was about.
    pub fn within(self, what: &str) -> Self {
        Self { why: format!("{what} {}", self.why), ..self }
    }
}

/// Makes `attempt` until it succeeds or no further one can help, for an hour after `told` at most. The pauses in between
/// grow. `canary` and `text` are for the log.
///
/// # Errors
/// Why it was given up.
pub(super) async fn insist<F: Future<Output = Result<(), Trouble>>>(
    told: Instant,
    canary: &str,
    text: &str,
    attempt: impl Fn() -> F,
) -> Result<(), Trouble> {
    let mut failures = 0;
    loop {
        let trouble = match attempt().await {
            Ok(()) => {
                debug!(canary, "sent: {text}");
                return Ok(());
            }
            Err(trouble) => trouble,
        };
        let why = &trouble.why;
        if !trouble.passing || told.elapsed() >= PATIENCE {
            match failures {
                0 => error!(canary, text, "{why}"),
                _ => warn!(canary, text, failures, "given up: {why}"),
            }
            return Err(trouble);
        }
        failures += 1;
        match failures {
            1 => error!(canary, text, "{why}"),
            _ => debug!(canary, text, failures, "{why}"),
        }
        sleep(backoff::delay(FIRST_PAUSE, LAST_PAUSE, failures)).await;
    }
}

/// What may wait for one receiver, and for all.
pub(super) const MOST_IN_LANE: usize = 256;
const MOST: usize = 8192;
/// How long a thing is tried again, and the pauses between two rounds of attempts.
pub(super) const PATIENCE: Duration = Duration::from_hours(1);
const FIRST_PAUSE: Duration = Duration::from_mins(1);
const LAST_PAUSE: Duration = Duration::from_mins(10);
/// How long a shutdown waits for what is left.
pub(super) const GRACE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
