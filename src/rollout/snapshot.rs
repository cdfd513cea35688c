//! The snapshot is all that a decision knows: plain values, no handles. Printed in a bug report, it lets anybody take
//! the same decision again.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::api::status::CanaryStatus;
use crate::model::by_hand::Request;
use crate::model::release::{Release, TargetKind};
use crate::model::traffic::{Acceptance, Capabilities, RouteState, Split};
use crate::model::workload::{Lack, Presence, PrimaryFacts, Readiness, TargetFacts, Unready};

use super::question::{Answer, Question};

/// One Canary and its surroundings at one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Snapshot {
    /// The time of the observation. A decision knows no other clock.
    pub now: DateTime<Utc>,
    /// The manifest, read and with its defaults.
    pub release: Release,
    /// The status that the cluster holds now.
    pub status: CanaryStatus,
    /// What the manifest should say differently. Users are told once for each generation.
    pub warnings: Vec<String>,
    /// What the manifest says of the target that the target does not bear out. Users are told when the primary is made,
    /// and once for each generation after that.
    pub target_warnings: Vec<String>,
    /// Whether the Canary is being deleted, and what has to be done before it may go.
    pub lifecycle: Lifecycle,
    /// What the router can do: weights, matching, mirroring, session affinity.
    #[serde(skip)]
    pub capabilities: Capabilities,
    /// The target, or the reason why it cannot be used, in words for the user.
    pub target: Result<TargetFacts, String>,
    /// The primary; `None` if there is none yet, or not any more.
    pub primary: Option<PrimaryFacts>,
    /// Whether a primary that is gone can be made again as it was.
    pub primary_remembered: bool,
    /// The three Services.
    pub services: ServicesSeen,
    /// The pods that would answer for each side.
    pub endpoints: Endpoints,
    /// How many of the pods that a share stands for have to be ready before a side is given it, in percent.
    pub capacity: u32,
    /// The primary's autoscaler. It counts as in place where none is wanted.
    pub scaler: Presence,
    /// What the mesh is told now.
    pub routes: RoutesSeen,
    /// Whether the mesh has accepted the routes that it was told.
    pub acceptance: Acceptance,
    /// How long every proxy is given to hear of a change of the routes, or of the pods behind them.
    pub settle: Duration,
    /// The objects of the mesh that must exist before the primary's pods start. They count as in place where the
    /// mesh needs none.
    pub groundwork: Presence,
    /// Whether the checks of the analysis can be asked at all.
    pub checkable: Checkable,
    /// Whether a new release may start now, where only so many may go on at once.
    pub turn: Turn,
    /// The answers that were found to the questions of this step.
    pub answers: Answers,
    /// When the last step ended that changed nothing in the status: a gate, for instance, was still closed.
    pub unrecorded_step_at: Option<DateTime<Utc>>,
    /// When a look saw last that users could meet the canary, as far as this process knows: it cannot tell of the time
    /// before its first look, which counts as one that did. Proxies may go on as they were told then for some seconds.
    pub exposed_at: Option<DateTime<Utc>>,
    /// When the reason of a wait was last written into the blockers of the status.
    pub wait_recorded_at: Option<DateTime<Utc>>,
    /// The images of the target's containers.
    pub images: Vec<String>,
    /// What somebody asks for by hand, by an annotation on the Canary.
    pub request: Option<Request>,
    /// The values of the affinity cookies, the canary's and the primary's, for a run that would start now. `None`
    /// where the release has no session affinity.
    pub cookie_values: Option<[String; 2]>,
}

/// The state of the Canary object itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Lifecycle {
    /// Whether somebody has deleted the Canary and a finalizer still keeps it.
    pub deleting: bool,
    /// Whether `finalizer.flagger.app` is set.
    pub has_finalizer: bool,
    /// Whether there are objects that only the controller can delete, since the cluster does not collect them with
    /// the Canary.
    pub needs_cleanup: bool,
}

/// What is known of whether the checks of the analysis can be asked at all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Checkable {
    /// What is wrong, as far as the watched objects tell: field, reason and remedy.
    pub problems: Vec<String>,
    /// The Canary and the MetricTemplates that name a Secret, as they are now. Secrets are not watched, so that they are
    /// looked at when this changes. `None` where no Secret is needed.
    pub secrets: Option<String>,
    /// The last look at the Secrets.
    pub looked: Option<SecretsLooked>,
}

/// A look at the Secrets of MetricTemplates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SecretsLooked {
    /// What [`Checkable::secrets`] was then.
    pub of: String,
    /// When it was.
    pub at: DateTime<Utc>,
    /// What was wrong with them.
    pub problems: Vec<String>,
}

/// Whether a new release may start now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub enum Turn {
    /// It may.
    #[default]
    Free,
    /// It stands in line.
    Waits(Place),
}

/// A place in the line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The place, counted from 1.
    pub place: usize,
    /// Those who stand in line.
    pub waiting: usize,
    /// Releases that go on.
    pub going: usize,
    /// How many may, and the flag that says so.
    pub limit: (usize, &'static str),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, waiting, going, limit: (limit, flag) } = self;
        write!(f, "place {place} of {waiting} in line: {going} releases go on, and {flag} is {limit}")
    }
}

/// The pods that would answer for each side, as the EndpointSlices of its Service tell. `None` where nobody knows: the
/// slices cannot be watched, or there are none yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Endpoints {
    /// The ready pods that the primary's Service leads to.
    pub primary: Option<i32>,
    /// The ready pods that the canary's Service leads to.
    pub canary: Option<i32>,
    /// The time since which a workload has ready pods that its Service does not lead to.
    pub behind_since: Option<DateTime<Utc>>,
    /// The time since which the primary has had a pod that would answer; `None` if that is long ago or nobody knows.
    pub primary_since: Option<DateTime<Utc>>,
    /// The same for the canary.
    pub canary_since: Option<DateTime<Utc>>,
}

/// What is seen of the three Services of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServicesSeen {
    /// The Service that clients call.
    pub apex: Presence,
    /// The Service of the primary's pods.
    pub primary: Presence,
    /// The Service of the target's pods.
    pub canary: Presence,
}

/// The routes, as the router reads them in the objects of the mesh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum RoutesSeen {
    /// There are no routes yet.
    Absent,
    /// There are routes.
    Seen {
        /// What the mesh is told to do with the traffic.
        state: RouteState,
        /// Whether everything except the split is as it should be.
        in_place: bool,
    },
    /// The routes cannot be read or written. The text says why, for the user.
    Refused(String),
}

impl RoutesSeen {
    /// The split that the mesh is told, in percent; `None` if there are no routes.
    pub fn split(&self) -> Option<Split> {
        match self {
            Self::Seen { state, .. } => Some(state.split),
            _ => None,
        }
    }

    /// Whether the mesh is told to copy requests to the canary.
    pub fn mirrored(&self) -> bool {
        matches!(self, Self::Seen { state, .. } if state.mirrored)
    }
}

/// The answers that were found so far. They are a list, because a question cannot be a key in JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Answers(Vec<(Question, Answer)>);

impl Answers {
    /// The answer to `question`, if it was found.
    pub fn get(&self, question: &Question) -> Option<&Answer> {
        self.0.iter().find(|(asked, _)| asked == question).map(|(_, answer)| answer)
    }

    /// Adds an answer. It replaces an older answer to the same question.
    pub fn insert(&mut self, question: Question, answer: Answer) {
        self.0.retain(|(asked, _)| *asked != question);
        self.0.push((question, answer));
    }

    /// Forgets all answers, as the next step has questions of its own.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether no answer was found yet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Snapshot {
    /// When the next analysis step is due: one interval after the last, whoever decided it. A time that is more than an
    /// interval ahead was written by a clock that was wrong, and must not be waited for.
    pub fn due(&self) -> DateTime<Utc> {
        let interval = self.release.analysis.interval;
        let possible = |at: &DateTime<Utc>| *at <= self.now + interval;
        let last = self.status.last_check_time.or(self.status.last_transition_time);
        match last.filter(possible).max(self.unrecorded_step_at.filter(possible)) {
            Some(last) => last + interval,
            None => self.now,
        }
    }

    /// `readiness`, with a deadline where the workload reports none of its own. The wait for a DaemonSet begins when a
    /// step was due, and lasts no longer than the Canary's deadline (spec 02 E1.24).
    pub fn within_deadline(&self, readiness: &Readiness) -> Readiness {
        let deadline = self.release.progress_deadline;
        match readiness {
            Readiness::Waiting { why, stuck_at: None }
                if self.release.target.kind == TargetKind::DaemonSet =>
            {
                let until = self.due() + deadline;
                if self.now < until {
                    return Readiness::Waiting { why: why.clone(), stuck_at: Some(until) };
                }
                let (subject, lack) = (why.subject.clone(), Lack::PastDeadline(deadline));
                Readiness::Stuck { why: Unready { subject, lack, paused: None } }
            }
            _ => readiness.clone(),
        }
    }

    /// Whether the mesh can divide traffic, by weights or by matching.
    pub fn has_routes(&self) -> bool {
        self.capabilities.weights || self.capabilities.matching
    }

    /// Whether users can meet the canary by what the mesh is told.
    pub fn is_exposed(&self) -> bool {
        self.has_routes() && (self.canary_share() > 0 || self.routes.mirrored())
    }

    /// How many pods of the primary can serve now.
    pub fn primary_pods(&self) -> i32 {
        self.known_primary_pods().unwrap_or(0)
    }

    /// Whether a pod of the primary would answer now; `None` if nobody knows.
    pub fn primary_answers(&self) -> Option<bool> {
        self.known_primary_pods().map(|pods| pods > 0)
    }

    fn known_primary_pods(&self) -> Option<i32> {
        let by_workload = || self.primary.as_ref().map(|primary| primary.ready_pods);
        self.endpoints.primary.or_else(by_workload)
    }

    /// How many pods of the target can serve now.
    pub fn canary_pods(&self) -> i32 {
        self.known_canary_pods().unwrap_or(0)
    }

    /// Whether a pod of the target would answer now; `None` if nobody knows.
    pub fn canary_answers(&self) -> Option<bool> {
        self.known_canary_pods().map(|pods| pods > 0)
    }

    fn known_canary_pods(&self) -> Option<i32> {
        let by_workload = || self.target.as_ref().ok().map(|target| target.ready_pods);
        self.endpoints.canary.or_else(by_workload)
    }

    /// Whether the canary carries everything for want of a primary that would answer.
    pub fn canary_stands_in(&self) -> bool {
        let all = self.routes.split() == Some(Split::CANARY);
        all && self.has_routes() && self.primary_answers() == Some(false)
    }

    /// The canary's share of the traffic, in percent. Without routes it counts as 100 once the first check has passed
    /// (spec 03 §3).
    pub fn canary_share(&self) -> u32 {
        if self.has_routes() {
            self.routes.split().map_or(0, Split::canary)
        } else if self.status.iterations > 0 {
            100
        } else {
            0
        }
    }
}
