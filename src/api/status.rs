//! `status` of a Canary (spec 01 §1.8): what Flagger's users and tools read, and a few additive fields that
//! make a release survive a restart at any point.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::analysis::MetricSeverity;

/// Where a release stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CanaryStatus {
    /// Where the release stands.
    #[serde(default)]
    pub phase: Phase,
    /// Failed checks of this run; never counts down.
    #[serde(default, deserialize_with = "super::number::or_zero")]
    #[schemars(with = "f64")]
    pub failed_checks: i64,
    /// Share of the traffic that the canary gets, in percent.
    #[serde(default, deserialize_with = "super::number::or_zero")]
    #[schemars(with = "f64")]
    pub canary_weight: i64,
    /// Checks done in a blue/green or A/B run.
    #[serde(default, deserialize_with = "super::number::or_zero")]
    #[schemars(with = "f64")]
    pub iterations: i64,
    /// ConfigMaps and Secrets of the last run, with their checksums.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracked_configs: Option<BTreeMap<String, String>>,
    /// Revision that the last run was started with.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub last_applied_spec: String,
    /// Revision that the primary was last given.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub last_promoted_spec: String,
    /// Time of the last status write.
    #[serde(default, with = "seconds", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub last_transition_time: Option<DateTime<Utc>>,
    /// Cookie of the canary in this run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_affinity_cookie: Option<String>,
    /// Cookie of the primary in this run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary_session_affinity_cookie: Option<String>,
    /// Cookie of the canary in the last run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_session_affinity_cookie: Option<String>,
    /// Promoted, and for tools that wait: Ready, Reconciling, Stalled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Vec<CanaryCondition>>,

    /// Additive: generation of the Canary that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Additive: when the last step was decided; the next is due one interval later, restarts or not.
    #[serde(default, with = "millis", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub last_check_time: Option<DateTime<Utc>>,
    /// Additive: the target as it was when `lastAppliedSpec` was recorded (the change fence, DESIGN §4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_target: Option<AppliedTarget>,
    /// Additive: the revision under release, or waiting for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub releasing: Option<Revision>,
    /// Additive: the revision that the primary was last given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promoted: Option<Revision>,
    /// Additive: what the release waits for at this moment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blockers: Vec<Blocker>,
    /// Additive: what the metric checks found when they were last made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub measurements: Vec<Measurement>,
}

/// A revision of the target, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    /// Its name, which a request by hand has to give.
    pub name: String,
    /// Images of its containers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
    /// Since when it is released, or promoted.
    #[serde(default, with = "seconds", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub since: Option<DateTime<Utc>>,
}

/// Something that a release waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Blocker {
    /// What sort of thing it is.
    #[serde(rename = "type")]
    pub kind: BlockerKind,
    /// The hook whose approval is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What is missing, with the numbers.
    pub message: String,
    /// Since when.
    #[serde(default, with = "seconds", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub since: Option<DateTime<Utc>>,
    /// When it ends by itself, or is given up; absent where only somebody's doing ends it.
    #[serde(default, with = "seconds", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub until: Option<DateTime<Utc>>,
}

/// The sorts of things that a release can wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum BlockerKind {
    /// The interval between two steps.
    #[default]
    NextCheck,
    /// A check of the last step did not pass.
    Check,
    /// A workload is not ready.
    Readiness,
    /// A hook has not given its approval.
    Gate,
    /// Other releases go on, and no more may at once.
    Queue,
    /// Proxies are given the time to hear of the last change.
    Settling,
    /// The mesh has not accepted the last route.
    Route,
    /// Somebody has to change something first.
    Blocked,
    /// `spec.suspend`.
    Suspended,
    /// Paused by hand.
    Paused,
}

/// What a metric check found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Measurement {
    /// Name of the metric.
    pub name: String,
    /// `Passed`, `Failed`, `Held` if it counts as neither, or `NotYet` if there are too few samples.
    pub verdict: String,
    /// The value, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// The bounds that it is held against.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    #[expect(missing_docs, reason = "the CRD shows every sentence; that of `min` is about both")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// Why there is no value, or none that counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// `critical` or `warn`, where a failed check means more or less than usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<MetricSeverity>,
    /// Whether the verdict has no effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
    /// Failed checks of this metric in this run, where it has a limit of its own.
    #[serde(default, deserialize_with = "super::number::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64")]
    pub failures: Option<u32>,
    /// Errors of this metric in a row, where it has a limit for them.
    #[serde(default, deserialize_with = "super::number::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64")]
    pub errors: Option<u32>,
    /// Samples that were counted, where some are needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<f64>,
    /// Since when there are too few samples.
    #[serde(default, with = "seconds", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub since: Option<DateTime<Utc>>,
    /// The last values of this run, the oldest first: at most twelve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<f64>,
}

/// Type of the condition that a run's traffic has moved and the side that lost it still has its pods. Its reason is
/// the phase that follows. What a restart must not forget stands in conditions, not in fields of our own: the schema
/// of an older Canary CRD keeps those.
pub const SETTLING: &str = "Settling";

/// Type of the condition that a run is paused by hand. It and the next two belong to one revision, which their
/// message begins with.
pub const PAUSED: &str = "Paused";

/// Type of the condition that gates were opened by hand.
pub const APPROVED: &str = "Approved";

/// Type of the condition that a run goes to its promotion without further checks, by hand.
pub const PROMOTE: &str = "Promote";

/// Type of the condition that says what became of the last request by hand.
pub const REQUEST: &str = "Request";

/// Type of the condition that alerts are not delivered yet. Its message lists them.
pub const ALERTS: &str = "Alerts";

/// Type of the condition that events are not told to all their hooks yet. Its message lists them.
pub const EVENTS: &str = "Events";

/// Type of the condition that alerts do not reach somebody. It is there while that is so.
pub const ALERTS_DELIVERED: &str = "AlertsDelivered";

/// Type of the condition that post-rollout hooks are still to be called. Its reason says how the run ended.
pub const POST_ROLLOUT: &str = "PostRollout";

/// Type of the condition that checks of the analysis cannot be asked as they are. It is there only while that is so,
/// with the status `False`; its message names what is wrong and how to mend it.
pub const ANALYSIS: &str = "AnalysisUsable";

impl CanaryStatus {
    /// The condition of type `kind`, if there is one.
    pub fn condition(&self, kind: &str) -> Option<&CanaryCondition> {
        self.conditions.iter().flatten().find(|condition| condition.kind == kind)
    }

    /// What the condition of type `kind` says about `revision`, if it is about that one.
    pub fn said_of(&self, kind: &str, revision: &str) -> Option<&str> {
        let (about, said) = self.condition(kind)?.message.split_once(": ")?;
        (about == revision).then_some(said)
    }

    /// The phase that follows when the traffic has settled, and since when it settles.
    pub fn settling(&self) -> Option<(Phase, DateTime<Utc>)> {
        let condition = self.condition(SETTLING)?;
        let next = match condition.reason.as_str() {
            "Initialized" => Phase::Initialized,
            "Succeeded" => Phase::Succeeded,
            "Terminating" => Phase::Terminating,
            "Terminated" => Phase::Terminated,
            _ => Phase::Failed,
        };
        Some((next, condition.last_transition_time.unwrap_or_default()))
    }
}

/// Identity of the target at the moment when its revision was recorded. While uid and generation stay the
/// same nobody has edited it, whatever an upgrade makes of its hash.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppliedTarget {
    /// `metadata.uid` of the target.
    pub uid: String,
    /// `metadata.generation` of the target.
    pub generation: i64,
}

/// The phases of a release. `Finalising` is spelled so.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum Phase {
    /// The empty string: the controller has not written the status yet.
    #[default]
    #[serde(rename = "")]
    Unset,
    /// Primary, Services and routes are being made.
    Initializing,
    /// The primary serves, and nothing was released yet.
    Initialized,
    /// A new revision waits for approval.
    Waiting,
    /// A new revision is analysed.
    Progressing,
    /// A new revision has passed its analysis and waits for approval.
    WaitingPromotion,
    /// The primary gets the new revision, and then the traffic.
    Promoting,
    /// All traffic is on the primary, and the canary's pods go.
    Finalising,
    /// The last release was promoted.
    Succeeded,
    /// The last release failed.
    Failed,
    /// The Canary is being deleted, and what it changed is reverted.
    Terminating,
    /// Everything is reverted.
    Terminated,
}

impl Phase {
    /// All phases that have a name, in the order of a release.
    pub const ALL: [Self; 11] = [
        Self::Initializing,
        Self::Initialized,
        Self::Waiting,
        Self::Progressing,
        Self::WaitingPromotion,
        Self::Promoting,
        Self::Finalising,
        Self::Succeeded,
        Self::Failed,
        Self::Terminating,
        Self::Terminated,
    ];

    /// Whether no release is under way.
    pub fn is_at_rest(self) -> bool {
        matches!(self, Self::Initialized | Self::Succeeded | Self::Failed)
    }

    /// Whether a step follows a step.
    pub fn is_stepping(self) -> bool {
        matches!(self, Self::Progressing | Self::WaitingPromotion | Self::Promoting | Self::Finalising)
    }

    /// The text in the status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unset => "",
            Self::Initializing => "Initializing",
            Self::Initialized => "Initialized",
            Self::Waiting => "Waiting",
            Self::Progressing => "Progressing",
            Self::WaitingPromotion => "WaitingPromotion",
            Self::Promoting => "Promoting",
            Self::Finalising => "Finalising",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Terminating => "Terminating",
            Self::Terminated => "Terminated",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A condition: `Promoted` as Flagger has it; `Ready`, `Reconciling` and `Stalled` for tools that wait (kstatus).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CanaryCondition {
    /// Which condition it is.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// When the condition was last written.
    #[serde(default, with = "seconds", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub last_update_time: Option<DateTime<Utc>>,
    /// When its status last changed.
    #[serde(default, with = "seconds", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub last_transition_time: Option<DateTime<Utc>>,
    /// One word that says why.
    pub reason: String,
    /// A sentence that says why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// Times as Kubernetes writes them: whole seconds, UTC.
mod seconds {
    use chrono::{DateTime, SecondsFormat, Utc};
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Option<DateTime<Utc>>, to: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => to.serialize_str(&time.to_rfc3339_opts(SecondsFormat::Secs, true)),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<DateTime<Utc>>, D::Error> {
        Option::<DateTime<Utc>>::deserialize(from)
    }
}

/// Times that intervals are counted from: a second would be too coarse.
mod millis {
    use chrono::{DateTime, SecondsFormat, Utc};
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Option<DateTime<Utc>>, to: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => to.serialize_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true)),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<DateTime<Utc>>, D::Error> {
        Option::<DateTime<Utc>>::deserialize(from)
    }
}
