//! The ledger knows what was written about which object lately. It tells new messages from repetitions, and stops a
//! flood. It is pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::outbox::{Object, object};
use super::{EventType, Notice};
use crate::controller::rate::Bucket;

/// Messages written within the last minutes, and what each object may still write.
#[derive(Default)]
pub(super) struct Ledger {
    lately: BTreeMap<Key, Line>,
    budgets: BTreeMap<Object, Bucket>,
}

type Key = (Object, EventType, String);

struct Line {
    entry: Entry,
    last: Instant,
}

/// An event object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The number from which the object gets its name.
    pub stamp: i64,
    /// How often the message was sent.
    pub count: u32,
    /// When it was sent first.
    pub first: DateTime<Utc>,
}

/// What to write.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Writing {
    /// An event object is created.
    New(Entry),
    /// The event exists: only its count and time change.
    Again(Entry),
    /// As `Again`, but the object has used up its budget: the count shows with the next repetition.
    AgainLater,
    /// The object has used up its budget.
    TooMany,
}

impl Ledger {
    /// Enters a notice, and says what to write about it.
    pub fn enter(&mut self, notice: &Notice, now: Instant) -> Writing {
        let object = object(&notice.about);
        self.forget_old(now);
        let budget = self.budgets.entry(object.clone()).or_insert_with(|| Bucket::new(REFILL, BURST, now));
        let may_write = budget.try_take(now);
        let key = (object, notice.kind, notice.message.clone());
        match self.lately.get_mut(&key) {
            Some(line) if now.duration_since(line.last) < WINDOW => {
                line.last = now;
                line.entry.count += 1;
                if may_write { Writing::Again(line.entry.clone()) } else { Writing::AgainLater }
            }
            _ if !may_write => Writing::TooMany,
            _ => {
                let entry = Entry { stamp: notice.stamp, count: 1, first: notice.at };
                self.lately.insert(key, Line { entry: entry.clone(), last: now });
                Writing::New(entry)
            }
        }
    }

    /// The event of `notice` had to be given this stamp, or was not written at all.
    pub fn settle(&mut self, notice: &Notice, stamp: Option<i64>) {
        let key = (object(&notice.about), notice.kind, notice.message.clone());
        match (self.lately.get_mut(&key), stamp) {
            (Some(line), Some(stamp)) => line.entry.stamp = stamp,
            (_, None) => drop(self.lately.remove(&key)),
            (None, _) => {}
        }
    }

    #[cfg(test)]
    pub fn size(&self) -> (usize, usize) {
        (self.lately.len(), self.budgets.len())
    }

    /// Keeps the memory small: old lines go, and if that is not enough, all do, which costs only counts.
    fn forget_old(&mut self, now: Instant) {
        if self.lately.len() < MOST_LINES {
            return;
        }
        self.lately.retain(|_, line| now.duration_since(line.last) < WINDOW);
        if self.lately.len() >= MOST_LINES {
            self.lately.clear();
        }
        let active: BTreeSet<&Object> = self.lately.keys().map(|(object, ..)| object).collect();
        self.budgets.retain(|object, _| active.contains(object));
    }
}

/// Repetitions within this time are counted together.
const WINDOW: Duration = Duration::from_mins(10);
/// A release of a hundred steps with several hooks each stays below these.
const BURST: u32 = 200;
const REFILL: Duration = Duration::from_secs(1);
const MOST_LINES: usize = 4096;
