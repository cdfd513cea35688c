//! What is known when a decision is taken: plain values, no handles. Printed in a bug report, it is the bug.

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
    pub now: DateTime<Utc>,
    pub release: Release,
    pub status: CanaryStatus,
    /// What the manifest should say differently; told once per generation.
    pub warnings: Vec<String>,
    pub lifecycle: Lifecycle,
    #[serde(skip)]
    pub capabilities: Capabilities,
    /// The target, or why it cannot be used.
    pub target: Result<TargetFacts, String>,
    pub primary: Option<PrimaryFacts>,
    pub services: ServicesSeen,
    /// The primary's autoscaler; in place when none is wanted.
    pub scaler: Presence,
    pub routes: RoutesSeen,
    /// Whether the mesh works by the routes that it was told.
    pub acceptance: Acceptance,
    /// The mesh's objects that have to stand before the primary's pods start; in place where there are none.
    pub groundwork: Presence,
    /// Answers to the questions of this step.
    pub answers: Answers,
    /// The time of the last step that left nothing in the status, such as a gate that was found closed again.
    pub unrecorded_step_at: Option<DateTime<Utc>>,
    /// The time when the reason of a wait was last written into the blockers of the status.
    pub wait_recorded_at: Option<DateTime<Utc>>,
    /// Images of the target's containers.
    pub images: Vec<String>,
    /// What somebody asks for by hand.
    pub request: Option<Request>,
    /// Values for the affinity cookies of a run that starts now, where the release asks for some.
    pub cookie_values: Option<[String; 2]>,
}

/// Where the Canary object itself stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Lifecycle {
    pub deleting: bool,
    /// Whether `finalizer.flagger.app` is set.
    pub has_finalizer: bool,
    /// Whether there are objects that only we can delete: the cluster does not collect them with the Canary.
    pub needs_cleanup: bool,
}

/// The three Services of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServicesSeen {
    pub apex: Presence,
    pub primary: Presence,
    pub canary: Presence,
}

/// The routes as the router reads them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum RoutesSeen {
    Absent,
    Seen {
        state: RouteState,
        /// Whether all but the split is as it should be.
        in_place: bool,
    },
    /// They cannot be read or brought into place; the text is for the user.
    Refused(String),
}

impl RoutesSeen {
    /// The split that the mesh was told, if there are routes.
    pub fn split(&self) -> Option<Split> {
        match self {
            Self::Seen { state, .. } => Some(state.split),
            _ => None,
        }
    }

    /// Whether requests are copied to the canary.
    pub fn mirrored(&self) -> bool {
        matches!(self, Self::Seen { state, .. } if state.mirrored)
    }
}

/// Answers found so far. A list, since a question is no JSON key.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Answers(Vec<(Question, Answer)>);

impl Answers {
    pub fn get(&self, question: &Question) -> Option<&Answer> {
        self.0.iter().find(|(asked, _)| asked == question).map(|(_, answer)| answer)
    }

    /// Adds an answer; a second one to the same question replaces the first.
    pub fn insert(&mut self, question: Question, answer: Answer) {
        self.0.retain(|(asked, _)| *asked != question);
        self.0.push((question, answer));
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

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

    /// `readiness` with a deadline where the workload has no clock of its own: a DaemonSet is waited for from the
    /// moment that a step was due, and no longer than the Canary's deadline (spec 02 E1.24).
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

    /// Whether traffic can be split at all.
    pub fn has_routes(&self) -> bool {
        self.capabilities.weights || self.capabilities.matching
    }

    /// Pods of the primary that can serve now.
    pub fn primary_pods(&self) -> i32 {
        self.primary.as_ref().map_or(0, |primary| primary.ready_pods)
    }

    /// Pods of the target that can serve now.
    pub fn canary_pods(&self) -> i32 {
        self.target.as_ref().map_or(0, |target| target.ready_pods)
    }

    /// The canary's share. A provider without routes reports all once the first check is done (spec 03 §3).
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
