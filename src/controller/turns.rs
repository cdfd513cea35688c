//! Whose turn it is: the queue together with the rules of those who use it. Pure: the time is an argument.
//!
//! ```text
//! wake ──▶ queue ──start──▶ a look ──finished──▶ at a time, after a pause, at once, or when something changes
//! ```
//!
//! The rule that all depends on: a wish that comes while a Canary is being looked at is about something that this look
//! may not have seen. Nothing that a look finds out takes it back.
//!
//! What happens to a Canary comes in bursts: its own writes come back, its pods get ready one by one. So two looks for
//! the reason that something changed have a little time between them, in which the burst comes to its end.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::backoff::Backoff;
use super::queue::Queue;

/// When a Canary must be looked at again, if nothing happens before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// When a watched object changes.
    Change,
    At(DateTime<Utc>),
    /// Something failed: after a pause that grows.
    Retry,
    /// We did not lead, and so it was not decided: as soon as we do.
    Led,
    /// It does not exist any more.
    Gone,
}

impl Next {
    /// How the look ended, for the metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Change | Self::At(_) => "done",
            Self::Retry => "retry",
            Self::Led => "not_leading",
            Self::Gone => "gone",
        }
    }
}

/// Who has to be looked at, and when.
pub struct Turns<K> {
    queue: Queue<K, DateTime<Utc>, ()>,
    backoff: Backoff<K>,
    recent: Recent<K>,
}

impl<K: Ord + Clone> Turns<K> {
    /// Nobody's turn yet. What fails is tried again after `first`, later after `longest`. What changes again within
    /// `burst` of a look waits until that time is over.
    pub fn new(first: Duration, longest: Duration, burst: Duration) -> Self {
        Self { queue: Queue::new(), backoff: Backoff::new(first, longest), recent: Recent::new(burst) }
    }

    /// Something about `key` may have changed: it has to be looked at, if it is being looked at now then once more.
    pub fn wake(&mut self, key: K, now: DateTime<Utc>) {
        let due = self.recent.quiet_from(&key, now);
        self.queue.add(key, due, ());
    }

    /// When the next one is due, if nothing happens before.
    pub fn next_due(&self) -> Option<DateTime<Utc>> {
        self.queue.next_due()
    }

    /// One whose turn it is. The look that begins now must end with [`Turns::finished`].
    pub fn start(&mut self, now: DateTime<Utc>) -> Option<K> {
        let (key, _) = self.queue.pop(now)?;
        self.recent.looked(key.clone(), now);
        Some(key)
    }

    /// The look at `key` is over.
    pub fn finished(&mut self, key: &K, next: Next, now: DateTime<Utc>) {
        self.queue.done(key);
        self.recent.looked(key.clone(), now);
        if next != Next::Retry && next != Next::Led {
            self.backoff.succeeded(key);
        }
        match next {
            // Wishes that came in meanwhile stay: what is gone may have been created again.
            Next::Change | Next::Gone => {}
            Next::At(at) => self.queue.add(key.clone(), at, ()),
            Next::Retry => {
                let pause = self.backoff.failed(key.clone());
                self.queue.add(key.clone(), now + pause, ());
            }
            Next::Led => self.queue.add(key.clone(), now, ()),
        }
    }

    /// Those that wait for their time.
    pub fn waiting(&self) -> usize {
        self.queue.waiting()
    }

    /// Those that are being looked at.
    pub fn in_flight(&self) -> usize {
        self.queue.in_flight()
    }
}

/// Who was looked at a moment ago.
struct Recent<K> {
    burst: Duration,
    looks: BTreeMap<K, DateTime<Utc>>,
    /// The same looks in their order, to forget them in time.
    order: VecDeque<(DateTime<Utc>, K)>,
}

impl<K: Ord + Clone> Recent<K> {
    fn new(burst: Duration) -> Self {
        Self { burst, looks: BTreeMap::new(), order: VecDeque::new() }
    }

    /// A look at `key` begins or ends.
    fn looked(&mut self, key: K, now: DateTime<Utc>) {
        // Also what lies in the future: the clock was set back.
        while let Some((at, _)) = self.order.front().filter(|(at, _)| *at > now || *at + self.burst <= now) {
            let at = *at;
            if let Some((_, key)) = self.order.pop_front()
                && self.looks.get(&key) == Some(&at)
            {
                self.looks.remove(&key);
            }
        }
        if !self.burst.is_zero() {
            self.looks.insert(key.clone(), now);
            self.order.push_back((now, key));
        }
    }

    /// When another look at `key` is worth it.
    fn quiet_from(&self, key: &K, now: DateTime<Utc>) -> DateTime<Utc> {
        match self.looks.get(key) {
            Some(at) if *at <= now => now.max(*at + self.burst),
            _ => now,
        }
    }
}

#[cfg(test)]
mod tests;
