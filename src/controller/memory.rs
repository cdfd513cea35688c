//! What this process remembers of a Canary between two looks, in addition to its status. A restart may lose all of it.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};

use crate::model::object::ObjectId;
use crate::rollout::{Answers, Event};

/// The memory that this process keeps of one Canary.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// Answers to the questions of the running step.
    pub answers: Answers,
    /// The time of the last step that left nothing in the status, such as a gate that was found closed again. The next
    /// step is due an interval later.
    pub unrecorded_step_at: Option<DateTime<Utc>>,
    /// The fields of the status that we wrote and the cluster did not keep: the CRD is older than this controller.
    pub dropped_fields: Map<String, Value>,
    /// The record of alerts in the status, as it was when this process last sent those alerts on.
    pub alerts_sent: Option<String>,
    /// The time when the reason of a wait was last written into the blockers of the status.
    pub wait_recorded_at: Option<DateTime<Utc>>,
    /// The Kubernetes events that were published for the present wait or failure: the same ones are not published
    /// again.
    pub published_events: Vec<Event>,
    /// The time when they were published: others for the same wait follow at the earliest an interval later.
    pub events_published_at: Option<DateTime<Utc>>,
    /// What we wrote and have not seen in the caches yet.
    written: BTreeMap<ObjectId, Written>,
    /// Name of the Service that it last had.
    pub apex: Option<String>,
    /// Objects that it depends on.
    pub reads: Vec<ObjectId>,
    /// Names under which its series stand.
    pub series: Option<(String, String)>,
}

#[derive(Clone, Debug)]
struct Written {
    version: u64,
    until: DateTime<Utc>,
}

impl Memory {
    /// Remembers the answer to a write of ours.
    pub fn wrote(&mut self, id: ObjectId, object: &Value, now: DateTime<Utc>) {
        if let Some(version) = version(object) {
            self.written.insert(id, Written { version, until: now + PATIENCE });
        }
    }

    /// Forgets what the caches have seen meanwhile, and what they will not see. The time until which a decision
    /// must wait if there is something left: it would be taken on objects from before our own writes.
    pub fn unseen(
        &mut self,
        cached: impl Fn(&ObjectId) -> Option<std::sync::Arc<Value>>,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        self.written.retain(|id, written| {
            let seen = cached(id).and_then(|object| version(&object));
            seen.is_none_or(|seen| seen < written.version) && now < written.until
        });
        self.written.values().map(|written| written.until).min()
    }

    /// The step is over: its answers count for no other.
    pub fn step_done(&mut self) {
        self.answers.clear();
        self.unrecorded_step_at = None;
        self.published_events.clear();
        self.events_published_at = None;
    }
}

fn version(object: &Value) -> Option<u64> {
    object["metadata"]["resourceVersion"].as_str()?.parse().ok()
}

/// How long a watch that has not shown our write is waited for. After that it is safe to go on: the next write names
/// the version that it replaces, and is refused if that is old.
const PATIENCE: TimeDelta = TimeDelta::seconds(10);

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::TimeZone;
    use serde_json::json;

    use super::*;
    use crate::model::object::Kind;

    #[test]
    fn a_decision_waits_until_the_caches_have_seen_our_own_write() {
        let now = Utc.with_ymd_and_hms(2026, 11, 20, 12, 0, 0).single().expect("a time");
        let id = Kind::DEPLOYMENT.at("shop", "frontend");
        let object = |version: &str| Arc::new(json!({"metadata": {"resourceVersion": version}}));
        let mut memory = Memory::default();
        memory.wrote(id, &object("12"), now);
        assert_eq!(memory.unseen(|_| Some(object("9")), now), Some(now + PATIENCE));
        assert_eq!(memory.unseen(|_| Some(object("13")), now), None);
    }

    #[test]
    fn a_watch_that_hangs_is_not_waited_for_for_ever() {
        let now = Utc.with_ymd_and_hms(2026, 11, 20, 12, 0, 0).single().expect("a time");
        let mut memory = Memory::default();
        memory.wrote(Kind::DEPLOYMENT.at("a", "b"), &json!({"metadata": {"resourceVersion": "12"}}), now);
        assert_eq!(memory.unseen(|_| None, now + PATIENCE), None);
    }
}
