//! What a shadow knows of each Canary, and the page that shows it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio::sync::watch;

use crate::controller::caches::lock;
use crate::model::object::ObjectId;

use super::compare::{Position, Verdict, compare};
use super::forecast::{Does, Intent};

/// What a shadow knows. It is lost with the process.
pub struct Shadow {
    entries: Mutex<BTreeMap<ObjectId, Entry>>,
    asks: AtomicBool,
    looks: watch::Sender<u64>,
}

/// What a shadow knows of one Canary.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Where the other controller stands.
    pub other: Position,
    /// What we would do next.
    pub next: Intent,
    /// How many of its steps were judged so.
    pub compared: Compared,
    /// The last differences, the newest first.
    pub differences: VecDeque<Difference>,
    /// The revision of the target when the intent was formed.
    #[serde(skip)]
    revision: String,
    /// Since when our step is due and the other controller has not made it.
    #[serde(skip)]
    due_since: Option<DateTime<Utc>>,
    /// Whether it was told that the other does not move.
    #[serde(skip)]
    told: bool,
}

/// How many steps were judged so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// The same as ours.
    pub same: u64,
    /// Another than ours.
    pub different: u64,
    /// Not to be compared.
    pub uncompared: u64,
}

/// A step of the other controller that was not ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// When it was seen.
    pub at: DateTime<Utc>,
    /// What both did.
    pub says: String,
}

/// The page at `/shadow`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Each Canary with its namespace and name, in their order.
    pub canaries: Vec<Line>,
}

/// One Canary of the page.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    namespace: String,
    name: String,
    #[serde(flatten)]
    entry: Entry,
}

impl Default for Shadow {
    fn default() -> Self {
        Self { entries: Mutex::default(), asks: AtomicBool::new(true), looks: watch::Sender::new(0) }
    }
}

impl Shadow {
    /// From now on no metrics server is asked: what a step's checks say stays open.
    pub fn ask_nothing(&self) {
        self.asks.store(false, Ordering::Relaxed);
    }

    pub(super) fn asks(&self) -> bool {
        self.asks.load(Ordering::Relaxed)
    }

    /// Tells of each look at a Canary.
    pub fn looks(&self) -> watch::Receiver<u64> {
        self.looks.subscribe()
    }

    /// What is known of a Canary; `None` before it was looked at.
    pub fn entry(&self, id: &ObjectId) -> Option<Entry> {
        lock(&self.entries).get(id).cloned()
    }

    /// The page.
    pub fn report(&self) -> Report {
        let line = |(id, entry): (&ObjectId, &Entry)| Line {
            namespace: id.namespace.clone(),
            name: id.name.clone(),
            entry: entry.clone(),
        };
        Report { canaries: lock(&self.entries).iter().map(line).collect() }
    }

    pub(super) fn forget(&self, id: &ObjectId) {
        lock(&self.entries).remove(id);
    }

    /// Takes note of where the other controller stands now; the verdict if that is another place than before.
    pub(super) fn moved(
        &self,
        id: &ObjectId,
        position: &Position,
        revision: &str,
        now: DateTime<Utc>,
    ) -> Option<Verdict> {
        let mut entries = lock(&self.entries);
        let entry = entries.get_mut(id)?;
        let before = std::mem::replace(&mut entry.other, *position);
        if before == *position {
            return None;
        }
        let verdict = compare(&before, position, &entry.next, entry.revision != revision);
        (entry.due_since, entry.told) = (None, false);
        entry.count(&verdict, now);
        Some(verdict)
    }

    /// Takes note of an intent; whether it is news.
    pub(super) fn note(&self, id: &ObjectId, other: Position, revision: &str, next: Intent) -> bool {
        let mut entries = lock(&self.entries);
        let before = entries.get(id).cloned();
        let news = before.as_ref().is_none_or(|before| !before.next.says_the_same(&next));
        let due = match &next.does {
            Does::Step { at, to, .. } => {
                let went_on = before.as_ref().filter(|before| before.next.leads_to(to));
                Some(went_on.and_then(|before| before.due_since).unwrap_or(*at))
            }
            _ => None,
        };
        let entry = Entry {
            other,
            next,
            revision: revision.to_owned(),
            due_since: due,
            told: before.as_ref().is_some_and(|before| before.told),
            compared: before.as_ref().map(|before| before.compared).unwrap_or_default(),
            differences: before.map(|before| before.differences).unwrap_or_default(),
        };
        entries.insert(id.clone(), entry);
        drop(entries);
        self.looks.send_modify(|looks| *looks += 1);
        news
    }

    /// What is said, once, of a step that was due long ago and that the other controller does not make.
    pub(super) fn overdue(&self, id: &ObjectId, now: DateTime<Utc>, interval: Duration) -> Option<String> {
        let mut entries = lock(&self.entries);
        let entry = entries.get_mut(id)?;
        let due = entry.due_since?;
        if entry.told || now < due + interval * PATIENCE {
            return None;
        }
        let Does::Step { to, says, .. } = &entry.next.does else { return None };
        let why = says.first().map(|said| format!(" ({said})")).unwrap_or_default();
        let text = format!(
            "the other stays at {} for {PATIENCE} intervals; I would have gone to {to} at {}{why}",
            entry.other,
            due.format("%H:%M:%S"),
        );
        entry.told = true;
        entry.count(&Verdict::Different(text.clone()), now);
        Some(text)
    }
}

impl Entry {
    fn count(&mut self, verdict: &Verdict, now: DateTime<Utc>) {
        match verdict {
            Verdict::Same(_) => self.compared.same += 1,
            Verdict::Uncompared(_) => self.compared.uncompared += 1,
            Verdict::Different(says) => {
                self.compared.different += 1;
                self.differences.push_front(Difference { at: now, says: says.clone() });
                self.differences.truncate(KEPT);
            }
        }
    }
}

/// How many intervals a step of ours may be late in the other controller's hands.
const PATIENCE: u32 = 3;
/// How many differences are kept of each Canary.
const KEPT: usize = 20;
