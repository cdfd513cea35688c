//! What a decision can be: find something out, do something, or wait.

pub use crate::model::traffic::Side;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::api::hooks::Severity;
use crate::api::status::{CanaryStatus, Phase};

use super::interlock::Cleared;
use super::question::Question;

/// What the controller does next for one Canary.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Step {
    /// Find these out, put the answers into the snapshot, and ask again.
    Ask(Vec<Question>),
    /// Carry this out, in order; stop at the first failure; then look again.
    Act(Box<Plan>),
    /// Nothing to do before `until`, or before a watched object changes.
    Wait(Wait),
}

/// Writes in their order, then one status, then what is said of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    pub effects: Vec<Effect>,
    /// Written last, and only if it differs from what was observed.
    pub status: CanaryStatus,
    /// Said once the status is written.
    pub events: Vec<Event>,
    pub alerts: Vec<Alert>,
    /// The end of a run, for the counters.
    pub outcome: Option<Outcome>,
    /// What is waited for afterwards, where neither phase nor times tell.
    pub waits: Option<Reason>,
    /// Whether the plan only writes the reason of a wait into the status; the step goes on.
    pub records_wait: bool,
}

impl Plan {
    /// A plan that only writes `status`.
    pub fn status(status: CanaryStatus) -> Self {
        Self {
            effects: Vec::new(),
            status,
            events: Vec::new(),
            alerts: Vec::new(),
            outcome: None,
            waits: None,
            records_wait: false,
        }
    }

    pub fn effects(mut self, effects: impl IntoIterator<Item = Effect>) -> Self {
        self.effects.extend(effects);
        self
    }

    pub fn events(mut self, events: impl IntoIterator<Item = Event>) -> Self {
        self.events.extend(events);
        self
    }

    pub fn alert(mut self, alert: Alert) -> Self {
        self.alerts.push(alert);
        self
    }

    pub fn waits(mut self, why: Reason) -> Self {
        self.waits = Some(why);
        self
    }

    pub fn outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = Some(outcome);
        self
    }
}

impl From<Plan> for Step {
    fn from(plan: Plan) -> Self {
        Self::Act(Box::new(plan))
    }
}

/// One thing to do, idempotent. The runtime turns it into writes with the objects of the same observation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Effect {
    Service(Side),
    CreatePrimary,
    /// Create the primary's autoscaler, or bring it in line with the target's.
    Scaler,
    PauseScaler,
    ResumeScaler,
    ScaleUp,
    /// Replace the target's running pods by ones that start with the ConfigMaps and Secrets of now.
    Renew,
    ScaleToZero,
    /// Give the primary the target's template, and capacity for what it will carry.
    Promote,
    /// Delete copies of ConfigMaps and Secrets that the primary does not refer to any more.
    Prune,
    /// Create what has to stand before the primary's pods start, or bring it in line.
    Groundwork,
    Route(Cleared),
    /// Delete the mesh's objects of ours that the cluster does not collect with the Canary.
    RemoveRoutes,
    AddFinalizer,
    RemoveFinalizer,
    RevertTarget,
    RevertService,
    RevertRoutes,
}

/// A Kubernetes event on the Canary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    pub kind: EventKind,
    pub message: String,
    /// What event hooks are told as the phase.
    pub phase: Phase,
}

/// Type of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum EventKind {
    Normal,
    Warning,
    /// A warning that is logged as an error (spec 01 §8.4).
    Error,
}

/// A message to the alert channels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    pub severity: Severity,
    pub message: String,
    /// Whether the fields that describe the release are attached.
    pub metadata: bool,
}

/// How a run ended, for the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Outcome {
    Completed,
    Skipped,
    Failed,
}

/// Nothing to do for now.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Wait {
    pub until: Option<DateTime<Utc>>,
    pub why: Reason,
    /// Said when the wait begins, and again only if the text changes.
    pub notices: Vec<Event>,
    /// Sent together with new notices.
    pub alerts: Vec<Alert>,
    /// Whether this wait ends a step that left nothing in the status: the next step is due one interval from now.
    pub unrecorded_step: bool,
}

impl Wait {
    /// Nothing before `until`.
    pub fn until(until: DateTime<Utc>, why: Reason) -> Self {
        Self { until: Some(until), ..Self::for_change(why) }
    }

    /// Nothing before a watched object changes.
    pub fn for_change(why: Reason) -> Self {
        Self { until: None, why, notices: Vec::new(), alerts: Vec::new(), unrecorded_step: false }
    }

    pub fn notices(mut self, notices: impl IntoIterator<Item = Event>) -> Self {
        self.notices.extend(notices);
        self
    }
}

impl From<Wait> for Step {
    fn from(wait: Wait) -> Self {
        Self::Wait(wait)
    }
}

/// Why nothing happens, in the words that users read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Reason {
    /// No new revision.
    AtRest,
    Suspended,
    NextCheck(DateTime<Utc>),
    /// A workload is not ready; the text has the numbers.
    Readiness(String),
    Gate(String),
    /// Proxies are given the time to hear of the last change.
    Settling(DateTime<Utc>),
    /// The mesh has not accepted the last route; the text is the mesh's reason.
    NotAccepted(String),
    /// Paused by hand; the text says by whom.
    Paused(String),
    /// Cannot go on before somebody changes something; the text says what.
    Blocked(String),
    /// The Canary is being deleted and there is nothing to undo.
    Deleting,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtRest => write!(f, "no new revision"),
            Self::Suspended => write!(f, "suspended by spec.suspend"),
            Self::NextCheck(at) => write!(f, "next check at {}", at.format("%H:%M:%S")),
            Self::Readiness(why) | Self::Blocked(why) | Self::Paused(why) | Self::NotAccepted(why) => {
                f.write_str(why)
            }
            Self::Gate(hook) => write!(f, "waiting for approval by {hook}"),
            Self::Settling(until) => {
                write!(f, "traffic has moved, pods stay until {}", until.format("%H:%M:%S"))
            }
            Self::Deleting => write!(f, "being deleted"),
        }
    }
}
