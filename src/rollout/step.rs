//! A decision is one of three: find something out, do something, or wait.

pub use crate::model::traffic::Side;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::api::hooks::Severity;
use crate::api::status::{CanaryStatus, Phase};
use crate::model::moment::Moment;

use super::interlock::Cleared;
use super::question::Question;

/// What the controller does next for one Canary.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Step {
    /// Find the answers to these questions, put them into the snapshot, and decide again.
    Ask(Vec<Question>),
    /// Carry out this plan in its order, stop at the first failure, and observe again.
    Act(Box<Plan>),
    /// Do nothing before a time or before a watched object changes.
    Wait(Wait),
}

/// A plan has writes in their order, then one status, then the events and alerts that tell of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// The writes, in the order in which they must be done.
    pub effects: Vec<Effect>,
    /// The new status. It is written last, and only if it differs from the observed one.
    pub status: CanaryStatus,
    /// The events that are sent after the status is written.
    pub events: Vec<Event>,
    /// The alerts that are sent after the status is written.
    pub alerts: Vec<Alert>,
    /// How the run ended, for the counters; `None` if it goes on.
    pub outcome: Option<Outcome>,
    /// What the release waits for after this plan. `None` where phase and times of the status say it already.
    pub waits: Option<Reason>,
    /// Whether the plan only writes the reason of a wait into the status, so that the present step goes on.
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

    /// The same plan with `effects` after its own.
    pub fn effects(mut self, effects: impl IntoIterator<Item = Effect>) -> Self {
        self.effects.extend(effects);
        self
    }

    /// The same plan with `events` after its own.
    pub fn events(mut self, events: impl IntoIterator<Item = Event>) -> Self {
        self.events.extend(events);
        self
    }

    /// The same plan with one more alert.
    pub fn alert(mut self, alert: Alert) -> Self {
        self.alerts.push(alert);
        self
    }

    /// The same plan, after which the release waits for `why`.
    pub fn waits(mut self, why: Reason) -> Self {
        self.waits = Some(why);
        self
    }

    /// The same plan, which ends the run with `outcome`.
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

/// One thing to do. Doing it twice is the same as doing it once. The controller makes the writes from the objects of
/// the same observation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Effect {
    /// Create the Service of this side, or repair it.
    Service(Side),
    /// Create the primary from the target.
    CreatePrimary,
    /// Create the primary as it was when it was last seen.
    RebuildPrimary,
    /// Create the primary's autoscaler, or give it the settings of the target's.
    Scaler,
    /// Stop the target's autoscaler, so that it does not start pods while the target is at zero.
    PauseScaler,
    /// Let the target's autoscaler work again.
    ResumeScaler,
    /// Start the target's pods.
    ScaleUp,
    /// Replace the target's pods, so that they start with the present ConfigMaps and Secrets.
    Renew,
    /// Stop all pods of the target.
    ScaleToZero,
    /// Give the primary the target's template, and enough replicas for all traffic.
    Promote,
    /// Delete the copies of ConfigMaps and Secrets that the primary does not refer to any more.
    Prune,
    /// Create or repair the objects of the mesh that must exist before the primary's pods start.
    Groundwork,
    /// Tell the mesh this split. The interlock has let it through.
    Route(Cleared),
    /// Delete the mesh objects of this release that the cluster does not collect with the Canary.
    RemoveRoutes,
    /// Keep the Canary from going before the controller has cleaned up.
    AddFinalizer,
    /// Let the Canary go.
    RemoveFinalizer,
    /// Give the target the pods back that it had without a Canary.
    RevertTarget,
    /// Let the Service that clients call select the target's pods again.
    RevertService,
    /// Give the mesh the routes back that it had without a Canary.
    RevertRoutes,
}

/// A Kubernetes event on the Canary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// How serious it is.
    pub kind: EventKind,
    /// The text for users.
    pub message: String,
    /// The phase that event hooks are told.
    pub phase: Phase,
}

/// How serious an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventKind {
    /// Something went as it should.
    Normal,
    /// Something holds the release up, or failed.
    Warning,
    /// A Warning that the log shows as an error (spec 01 §8.4).
    Error,
}

/// A message to the alert channels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// The severity. A channel may want only those from one level on.
    pub severity: Severity,
    /// The text for users.
    pub message: String,
    /// Whether the alert carries the fields that describe the release: target, limits, strategy.
    pub metadata: bool,
    /// What it speaks of. The controller notes it down when it records the alert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moment: Option<Moment>,
}

/// How a run ended, for the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Outcome {
    /// The checks passed and the revision is promoted.
    Completed,
    /// The revision is promoted, but its checks were skipped or cut short.
    Skipped,
    /// The revision was rolled back, or its promotion failed.
    Failed,
}

/// A wait: there is nothing to do for now.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Wait {
    /// When the wait ends at the latest; `None` if only a change of a watched object ends it.
    pub until: Option<DateTime<Utc>>,
    /// What is waited for.
    pub why: Reason,
    /// Events that are sent when the wait begins, and again only if their text changes.
    pub notices: Vec<Event>,
    /// Alerts that are sent together with new notices.
    pub alerts: Vec<Alert>,
    /// Whether this wait ends a step that changed nothing in the status. The next step is then due one interval from
    /// now.
    pub unrecorded_step: bool,
}

impl Wait {
    /// A wait that ends at `until`, or earlier if a watched object changes.
    pub fn until(until: DateTime<Utc>, why: Reason) -> Self {
        Self { until: Some(until), ..Self::for_change(why) }
    }

    /// A wait that ends when a watched object changes.
    pub fn for_change(why: Reason) -> Self {
        Self { until: None, why, notices: Vec::new(), alerts: Vec::new(), unrecorded_step: false }
    }

    /// The same wait with `notices` after its own.
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

/// Why a release does not advance. Its `Display` is the text that users read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Reason {
    /// There is no new revision.
    AtRest,
    /// The manifest says `suspend: true`.
    Suspended,
    /// The next step is due at this time.
    NextCheck(DateTime<Utc>),
    /// A workload is not ready. The text has the numbers.
    Readiness(String),
    /// The hook of this name has not approved yet.
    Gate(String),
    /// Other releases go on, and no more may at once. The text says who is before it.
    InLine(String),
    /// The traffic has moved; until this time the proxies get to know of it, and the pods stay.
    Settling(DateTime<Utc>),
    /// The mesh has not accepted the last route. The text is the reason that the mesh gives.
    NotAccepted(String),
    /// Somebody has paused the release. The text says who.
    Paused(String),
    /// The release cannot go on before somebody changes something. The text says what.
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
            Self::Readiness(why)
            | Self::Blocked(why)
            | Self::Paused(why)
            | Self::NotAccepted(why)
            | Self::InLine(why) => f.write_str(why),
            Self::Gate(hook) => write!(f, "waiting for approval by {hook}"),
            Self::Settling(until) => {
                write!(f, "traffic has moved, pods stay until {}", until.format("%H:%M:%S"))
            }
            Self::Deleting => write!(f, "being deleted"),
        }
    }
}
