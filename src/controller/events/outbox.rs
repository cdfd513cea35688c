//! Notices that wait for the API: in which order they go, and what has to be dropped when there are too many. Pure.
//!
//! The end of a transition ("Initialization done", "Promotion completed") is told once and never again; progress is
//! told many times over. So the former goes first, and has room for itself. What was dropped is not forgotten: the
//! Canary's events say how many are missing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chrono::{DateTime, Utc};

use super::{EventType, Notice, Subject};

/// What a notice is about, which decides who waits for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    /// Something has ended or begun: it is told once.
    Transition,
    /// Something goes on: more of this will follow.
    Progress,
}

/// Namespace, name, uid.
pub(super) type Object = (String, String, String);

/// The waiting notices.
#[derive(Default)]
pub(super) struct Outbox {
    transitions: VecDeque<Notice>,
    progress: VecDeque<Notice>,
    /// Objects of which an event is being written: the next one must not overtake it.
    busy: BTreeSet<Object>,
    /// How many notices of an object were dropped since that was last told.
    lost: BTreeMap<Object, (Subject, u32)>,
    last_stamp: i64,
    overflowing: bool,
}

impl Outbox {
    /// A stamp for a notice of the time `at`, higher than all before.
    pub fn stamp(&mut self, at: DateTime<Utc>) -> i64 {
        self.last_stamp = at.timestamp_nanos_opt().unwrap_or_default().max(self.last_stamp + 1);
        self.last_stamp
    }

    /// Adds a notice. What had to make room for it: the oldest of its rank.
    pub fn put(&mut self, notice: Notice, rank: Rank) -> Option<Notice> {
        let (queue, most) = match rank {
            Rank::Transition => (&mut self.transitions, MOST_TRANSITIONS),
            Rank::Progress => (&mut self.progress, MOST_PROGRESS),
        };
        queue.push_back(notice);
        let dropped = if queue.len() > most { queue.pop_front() } else { None }?;
        let object = object(&dropped.about);
        if self.lost.len() < MOST_TRANSITIONS || self.lost.contains_key(&object) {
            let lost = self.lost.entry(object).or_insert_with(|| (dropped.about.clone(), 0));
            lost.1 = lost.1.saturating_add(1);
        }
        Some(dropped)
    }

    /// Whether notices are being dropped, and nobody has been told yet.
    pub fn begins_to_overflow(&mut self) -> bool {
        !std::mem::replace(&mut self.overflowing, true)
    }

    /// The next notice to write, of an object of which none is being written. It is being written until
    /// [`Outbox::done`]. When nothing else waits, one that tells at `now` how many were dropped.
    pub fn take(&mut self, now: DateTime<Utc>) -> Option<Notice> {
        let busy = &self.busy;
        let next = [&mut self.transitions, &mut self.progress].into_iter().find_map(|queue| {
            let free = queue.iter().position(|notice| !busy.contains(&object(&notice.about)))?;
            queue.remove(free)
        });
        let notice = match next {
            Some(notice) => notice,
            None if self.len() == 0 => {
                self.overflowing = false;
                let (_, (about, number)) = self.lost.pop_first()?;
                let message = format!(
                    "{number} events of this Canary are missing: the API took events too slowly, and those that \
                     repeat were dropped first"
                );
                let stamp = self.stamp(now);
                Notice { about, kind: EventType::Warning, message, at: now, stamp }
            }
            None => return None,
        };
        self.busy.insert(object(&notice.about));
        Some(notice)
    }

    /// The event about `about` is written, or never will be.
    pub fn done(&mut self, about: &Subject) {
        self.busy.remove(&object(about));
    }

    /// Notices that wait.
    pub fn len(&self) -> usize {
        self.transitions.len() + self.progress.len()
    }
}

pub(super) fn object(about: &Subject) -> Object {
    (about.namespace.clone(), about.name.clone(), about.uid.clone())
}

/// One for each Canary of a large cluster.
const MOST_TRANSITIONS: usize = 10_000;
const MOST_PROGRESS: usize = 1000;
