//! What this process remembers of a Canary between two looks, in addition to its status. A restart may lose all of it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use crate::model::object::{Kind, ObjectId};
use crate::model::release::RoutedBy;
use crate::rollout::{Answer, Answers, Ask, Event, Question, SecretsLooked};

use super::alerts::Recipient;
use super::caches::packed::Packed;

/// Whether a side has had a pod that would answer, as far as this process has seen.
#[derive(Clone, Copy, Debug, Default)]
pub enum Answering {
    /// Nobody has looked yet.
    #[default]
    Unseen,
    /// It had none at the last look.
    No,
    /// It has had one since the first look. How long before that nobody knows: a controller that restarts again and again
    /// must not begin to count again and again.
    Long,
    /// It has had one since the look of this time.
    Since(DateTime<Utc>),
}

impl Answering {
    /// Takes in how many `ready` pods a look saw; the time since which there are some, where a look saw them come.
    pub fn since(&mut self, ready: Option<i32>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        *self = match (*self, ready.is_some_and(|ready| ready > 0)) {
            (_, false) => Self::No,
            (Self::Unseen, true) => Self::Long,
            (Self::No, true) => Self::Since(now),
            (known, true) => known,
        };
        match self {
            Self::Since(since) => Some(*since),
            _ => None,
        }
    }
}

/// The memory that this process keeps of one Canary.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// The uid of the Canary that all this is about.
    uid: Option<String>,
    /// Answers to the questions of the running step.
    pub answers: Answers,
    /// The last look at the Secrets of MetricTemplates.
    pub secrets_looked: Option<SecretsLooked>,
    /// The time of the last step that left nothing in the status, such as a gate that was found closed again. The next
    /// step is due an interval later.
    pub unrecorded_step_at: Option<DateTime<Utc>>,
    /// The last look that saw that users could meet the canary. The first look of all counts as one.
    pub exposed_at: Option<DateTime<Utc>>,
    /// The fields of the status that we wrote and the cluster did not keep: the CRD is older than this controller.
    pub dropped_fields: Map<String, Value>,
    /// The record of alerts in the status, as it was when this process last sent those alerts on.
    pub alerts_sent: Option<String>,
    /// The record of events in the status, as it was when this process last told those events.
    pub events_sent: Option<String>,
    /// Recipients that alerts do not reach, as far as that was told.
    pub faults_told: BTreeSet<Recipient>,
    /// Recipients that were looked at again because an earlier process could not reach them.
    pub alerts_checked: BTreeSet<Recipient>,
    /// The time when the reason of a wait was last written into the blockers of the status.
    pub wait_recorded_at: Option<DateTime<Utc>>,
    /// The Kubernetes events that were published for the present wait or failure: the same ones are not published
    /// again.
    pub published_events: Vec<Event>,
    /// The time when they were published: others for the same wait follow at the earliest an interval later.
    pub events_published_at: Option<DateTime<Utc>>,
    /// Plans in a row of which the API refused a write.
    pub refused_plans: u32,
    /// The writes of the status that the API has refused since one was made.
    pub status_refused: Option<Refused>,
    /// The last manifest that could be used, with its generation.
    usable: Option<(Option<i64>, Packed)>,
    /// The RouteTemplate of the last manifest that could be used.
    pub routed: Option<RoutedBy>,
    /// The primary as it was last seen.
    pub primary: Option<(ObjectId, Packed)>,
    /// The time since which a Service does not lead to the pods that its workload calls ready.
    pub endpoints_behind_since: Option<DateTime<Utc>>,
    /// Whether primary and canary have had a pod that would answer.
    pub answering: [Answering; 2],
    /// What we wrote and have not seen in the caches yet.
    written: BTreeMap<ObjectId, Written>,
    /// Kinds whose watches did not show a write of ours in time.
    given_up: BTreeSet<Kind>,
    /// Writes in a row that came too late, by the kind of the object that had changed meanwhile.
    too_late: BTreeMap<Kind, u32>,
    /// Name of the Service that it last had.
    pub apex: Option<String>,
    /// Objects that it depends on, if a look has found them since they were last asked for.
    pub reads: Option<Vec<ObjectId>>,
    /// Names under which its series stand.
    pub series: Option<(String, String)>,
}

/// Writes in a row that the API has refused.
#[derive(Clone, Debug)]
pub struct Refused {
    /// How many.
    pub times: u32,
    /// What the API said last.
    pub why: String,
    /// When it said so last.
    pub at: DateTime<Utc>,
}

#[derive(Clone, Debug)]
struct Written {
    version: u64,
    until: DateTime<Utc>,
}

impl Memory {
    /// Forgets everything if `canary` is another one of the same name, created after that which is remembered was
    /// deleted.
    pub fn meet(&mut self, canary: &Value) {
        let uid = canary["metadata"]["uid"].as_str().map(str::to_owned);
        if self.uid.is_some() && self.uid != uid {
            // Its series are still there.
            *self = Self { series: self.series.take(), ..Self::default() };
        }
        self.uid = uid;
    }

    /// Remembers `canary` as one whose manifest can be used.
    pub fn understood(&mut self, canary: &Value, pack: impl FnOnce(&Value) -> Packed) {
        let generation = canary["metadata"]["generation"].as_i64();
        let known = matches!(&self.usable, Some((known, _)) if generation.is_some() && *known == generation);
        if !known {
            let manifest = json!({
                "apiVersion": canary["apiVersion"],
                "kind": canary["kind"],
                "metadata": canary["metadata"],
                "spec": canary["spec"],
            });
            self.usable = Some((generation, pack(&manifest)));
        }
    }

    /// The last manifest that could be used.
    pub fn usable(&self) -> Option<Value> {
        self.usable.as_ref().map(|(_, manifest)| manifest.open())
    }

    /// Remembers the version that an object has after a write of ours.
    pub fn wrote(&mut self, id: ObjectId, resource_version: Option<&str>, now: DateTime<Utc>) {
        self.too_late.remove(&id.kind);
        if let Some(version) = resource_version.and_then(|version| version.parse().ok()) {
            self.written.insert(id, Written { version, until: now + PATIENCE });
        }
    }

    /// Forgets what the caches have seen meanwhile, and what they will not see. The time until which a decision
    /// must wait if there is something left: it would be taken on objects from before our own writes. `cached` is the
    /// version of an object that the caches hold.
    pub fn unseen(
        &mut self,
        cached: impl Fn(&ObjectId) -> Option<u64>,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        self.written.retain(|id, written| {
            let missing = cached(id).is_none_or(|seen| seen < written.version);
            // A clock that was set back must not make it longer.
            let patient = now < written.until && written.until - now <= PATIENCE;
            if missing && !patient {
                self.given_up.insert(id.kind);
            }
            missing && patient
        });
        self.written.values().map(|written| written.until).min()
    }

    /// Kinds whose watches have not shown a write of ours in time, since it was asked last.
    pub fn given_up(&mut self) -> BTreeSet<Kind> {
        std::mem::take(&mut self.given_up)
    }

    /// A write came too late for an object of `kind`; whether so many did in a row that what we see of the kind must be
    /// old.
    pub fn too_late(&mut self, kind: Kind) -> bool {
        let number = self.too_late.entry(kind).or_default();
        *number += 1;
        *number >= TOO_LATE
    }

    /// Keeps the answer to a question: for the running step, or, if it is about Secrets, until they are looked at again.
    pub fn heard(&mut self, question: Question, answer: Answer, now: DateTime<Utc>) {
        match (question, answer) {
            (Question { ask: Ask::Secrets { of }, .. }, Answer::Secrets(problems)) => {
                self.secrets_looked = Some(SecretsLooked { of, at: now, problems });
            }
            (question, answer) => self.answers.insert(question, answer),
        }
    }

    /// The step is over: its answers count for no other.
    pub fn step_done(&mut self) {
        self.answers.clear();
        self.unrecorded_step_at = None;
        self.published_events.clear();
        self.events_published_at = None;
    }
}

/// How long a watch that has not shown our write is waited for. After that it is safe to go on: the next write names
/// the version that it replaces, and is refused if that is old.
const PATIENCE: TimeDelta = TimeDelta::seconds(10);
/// One conflict or two are somebody else's edits.
const TOO_LATE: u32 = 3;

#[cfg(test)]
mod tests {
    use chrono::TimeZone;
    use serde_json::json;

    use super::*;
    use crate::model::object::Kind;

    #[test]
    fn a_decision_waits_until_the_caches_have_seen_our_own_write() {
        let now = Utc.with_ymd_and_hms(2026, 11, 20, 12, 0, 0).single().expect("a time");
        let id = Kind::DEPLOYMENT.at("shop", "frontend");
        let mut memory = Memory::default();
        memory.wrote(id, Some("12"), now);
        assert_eq!(memory.unseen(|_| Some(9), now), Some(now + PATIENCE));
        assert_eq!(memory.unseen(|_| Some(13), now), None);
    }

    #[test]
    fn a_watch_that_hangs_is_not_waited_for_for_ever() {
        let now = Utc.with_ymd_and_hms(2026, 11, 20, 12, 0, 0).single().expect("a time");
        let mut memory = Memory::default();
        memory.wrote(Kind::DEPLOYMENT.at("a", "b"), Some("12"), now);
        assert_eq!(memory.unseen(|_| None, now + PATIENCE), None);
        assert_eq!(memory.given_up(), BTreeSet::from([Kind::DEPLOYMENT]), "it is listed anew");
        assert_eq!(memory.given_up(), BTreeSet::new());
    }

    #[test]
    fn pods_that_were_seen_to_come_are_new_and_those_that_were_there_are_not() {
        let now = Utc.with_ymd_and_hms(2026, 11, 20, 12, 0, 0).single().expect("a time");
        let later = now + TimeDelta::seconds(1);
        let mut there = Answering::default();
        assert_eq!([there.since(Some(1), now), there.since(Some(2), later)], [None; 2]);
        let mut came = Answering::default();
        let seen = [None, Some(1), Some(2), Some(0), Some(1)].map(|ready| came.since(ready, now));
        assert_eq!(seen, [None, Some(now), Some(now), None, Some(now)]);
        assert_eq!(came.since(Some(1), later), Some(now), "it is counted from the look that saw them come");
    }

    #[test]
    fn a_canary_that_was_created_again_inherits_nothing() {
        let canary = |uid: &str| json!({"metadata": {"uid": uid}});
        let mut memory = Memory::default();
        memory.meet(&canary("first"));
        memory.apex = Some("frontend".to_owned());
        memory.meet(&canary("first"));
        assert_eq!(memory.apex.as_deref(), Some("frontend"));
        memory.meet(&canary("second"));
        assert_eq!(memory.apex, None);
    }

    #[test]
    fn three_conflicts_in_a_row_are_no_chance() {
        let now = Utc.with_ymd_and_hms(2026, 11, 20, 12, 0, 0).single().expect("a time");
        let mut memory = Memory::default();
        assert_eq!([false, false], [(); 2].map(|()| memory.too_late(Kind::DEPLOYMENT)));
        assert!(!memory.too_late(Kind::CANARY), "another kind");
        assert!(memory.too_late(Kind::DEPLOYMENT));
        memory.wrote(Kind::DEPLOYMENT.at("a", "b"), None, now);
        assert!(!memory.too_late(Kind::DEPLOYMENT), "a write went through in between");
    }
}
