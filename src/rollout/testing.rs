//! A Canary on a stage: the effects of the core are played out on plain facts, so that whole runs can be told
//! as tables, without a runtime and without a cluster.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, TimeZone, Utc};

use crate::api::hooks::HookType;
use crate::api::status::{CanaryStatus, Phase};
use crate::model::answer::{Measured, Verdict};
use crate::model::release::{Hook, MetricCheck, MetricSource, Release, Steps, Strategy};
use crate::model::testing;
use crate::model::traffic::{Acceptance, Capabilities, Cookies, RouteState, RouteWish, SETTLE, Split};
use crate::model::workload::{Presence, PrimaryFacts, Readiness, TargetFacts};

use super::question::{Answer, Ask, Question};
use super::step::{Alert, Effect, Event, Outcome, Reason, Side, Step};
use super::{
    Answers, Checkable, Endpoints, Lifecycle, RoutesSeen, SecretsLooked, ServicesSeen, Snapshot, Turn,
    cookies, next, status,
};

/// A mesh that can do everything.
pub(super) const MESH: Capabilities = Capabilities::ALL;

/// Plain Kubernetes: no routes.
pub(super) const NO_ROUTES: Capabilities = Capabilities::NONE;

/// `podinfo` in `test`, steps of 20 up to 50, one metric, threshold 2.
pub(super) fn release() -> Release {
    let mut release =
        testing::release("podinfo", "test").advancing(Strategy::Weighted(Steps::By { step: 20, max: 50 }));
    release.analysis.threshold = 2;
    release.analysis.metrics = vec![MetricCheck {
        name: "request-success-rate".into(),
        field: "spec.analysis.metrics[0]".into(),
        interval: "1m".into(),
        source: MetricSource::SuccessRate,
        min: Some(99.0),
        max: None,
        variables: Default::default(),
        rules: Default::default(),
    }];
    release
}

/// A hook named `name`.
pub(super) fn hook(kind: HookType, name: &str) -> Hook {
    Hook {
        name: name.into(),
        url: format!("http://hooks/{name}"),
        kind,
        timeout: Duration::from_secs(10),
        retries: 0,
        disable_tls: false,
        cloud_events: None,
        mute_alert: false,
        metadata: Default::default(),
        credentials: Default::default(),
    }
}

/// The stage.
pub(super) struct Stage {
    pub world: Snapshot,
    /// Value of every metric.
    pub metric: Measured,
    /// Value of every query that counts samples.
    pub samples: Measured,
    /// Hooks that say no, by name.
    pub closed: Vec<String>,
    /// Why the metric providers do not answer at first; none if they do.
    pub offline: Option<String>,
    /// What is wrong with the Secrets of templates.
    pub secrets: Vec<String>,
    pub events: Vec<Event>,
    pub alerts: Vec<Alert>,
    pub outcomes: Vec<Outcome>,
    pub asked: Vec<Ask>,
    /// Routes that were written.
    pub routed: Vec<RouteWish>,
    /// How often the target's pods were renewed.
    pub renewals: usize,
    notices: Vec<Event>,
    /// The last that were written.
    routes: RouteWish,
}

impl Stage {
    /// A Canary before its first decision; target and primary become ready at once.
    pub fn new(release: Release, capabilities: Capabilities) -> Self {
        let target = TargetFacts {
            uid: "target-uid".into(),
            generation: 1,
            revision: "vx1-a".into(),
            replicas: 2,
            ready_pods: 2,
            readiness: Readiness::Ready,
            configs: None,
            config_problem: None,
        };
        let world = Snapshot {
            now: Utc.with_ymd_and_hms(2026, 11, 20, 12, 0, 0).single().expect("a valid time"),
            release,
            status: CanaryStatus::default(),
            warnings: Vec::new(),
            target_warnings: Vec::new(),
            lifecycle: Lifecycle::default(),
            capabilities,
            target: Ok(target),
            primary: None,
            primary_remembered: false,
            services: ServicesSeen {
                apex: Presence::Absent,
                primary: Presence::Absent,
                canary: Presence::Absent,
            },
            endpoints: Endpoints::default(),
            capacity: 50,
            scaler: Presence::InPlace,
            routes: RoutesSeen::Absent,
            acceptance: Acceptance::Accepted,
            settle: SETTLE,
            groundwork: Presence::InPlace,
            checkable: Checkable::default(),
            turn: Turn::Free,
            answers: Answers::default(),
            unrecorded_step_at: None,
            exposed_at: None,
            wait_recorded_at: None,
            images: vec!["podinfo:1".into()],
            request: None,
            cookie_values: Some(["AbCdEfGhIj".into(), "KlMnOpQrSt".into()]),
        };
        Self {
            world,
            metric: Measured::Value(100.0),
            samples: Measured::Value(100.0),
            closed: Vec::new(),
            offline: None,
            secrets: Vec::new(),
            events: Vec::new(),
            alerts: Vec::new(),
            outcomes: Vec::new(),
            asked: Vec::new(),
            routed: Vec::new(),
            renewals: 0,
            notices: Vec::new(),
            routes: RouteWish::default(),
        }
    }

    /// A Canary at rest after its initialization.
    pub fn initialized(release: Release, capabilities: Capabilities) -> Self {
        let mut stage = Self::new(release, capabilities);
        for _ in 0..3 {
            stage.settle();
            stage.advance(TimeDelta::seconds(5));
        }
        stage.settle();
        assert_eq!(stage.world.status.phase, Phase::Initialized, "{:?}", stage.events);
        stage.forget();
        stage
    }

    /// A Canary whose revision B was just detected.
    pub fn detected(release: Release, capabilities: Capabilities) -> Self {
        let mut stage = Self::initialized(release, capabilities);
        stage.push("vx1-b");
        stage.settle();
        stage
    }

    /// The user gives the target another template.
    pub fn push(&mut self, revision: &str) {
        let target = self.target();
        target.revision = revision.into();
        target.generation += 1;
        let promoted = self.promoted();
        if let Some(primary) = &mut self.world.primary {
            primary.matches_target = promoted == revision;
        }
    }

    pub fn target(&mut self) -> &mut TargetFacts {
        self.world.target.as_mut().expect("a usable target")
    }

    pub fn primary(&mut self) -> &mut PrimaryFacts {
        self.world.primary.as_mut().expect("a primary")
    }

    /// One interval passes and everything that is due is done.
    pub fn tick(&mut self) -> Reason {
        self.advance(TimeDelta::from_std(self.world.release.analysis.interval).expect("a short interval"));
        self.settle()
    }

    pub fn advance(&mut self, by: TimeDelta) {
        self.world.now += by;
    }

    /// Decides and plays until there is only waiting left at this moment.
    pub fn settle(&mut self) -> Reason {
        for _ in 0..50 {
            if let Some(reason) = self.step() {
                return reason;
            }
        }
        panic!("the core does not come to rest: {:?}", next(&self.world));
    }

    /// One decision; the reason if it was to wait.
    pub fn step(&mut self) -> Option<Reason> {
        self.see_cookies();
        match next(&self.world) {
            Step::Ask(questions) => {
                for question in questions {
                    assert_eq!(self.world.answers.get(&question), None, "asked twice: {question:?}");
                    self.answer(question);
                }
                None
            }
            Step::Act(plan) => {
                for effect in &plan.effects {
                    self.play(effect);
                }
                if status::differs(&self.world.status, &plan.status) {
                    self.world.status = plan.status;
                } else {
                    assert!(!plan.effects.is_empty(), "a plan that does nothing: {:?}", plan.events);
                }
                if plan.records_wait {
                    self.world.wait_recorded_at = Some(self.world.now);
                    return None;
                }
                self.world.answers.clear();
                self.world.unrecorded_step_at = None;
                self.events.extend(plan.events);
                self.alerts.extend(plan.alerts);
                self.outcomes.extend(plan.outcome);
                None
            }
            Step::Wait(wait) => {
                if wait.notices != self.notices {
                    self.events.extend(wait.notices.clone());
                    self.alerts.extend(wait.alerts);
                    self.notices = wait.notices;
                }
                if wait.unrecorded_step {
                    self.world.unrecorded_step_at = Some(self.world.now);
                    self.world.answers.clear();
                }
                Some(wait.why)
            }
        }
    }

    /// Texts of the events since the last call.
    pub fn said(&mut self) -> Vec<String> {
        std::mem::take(&mut self.events).into_iter().map(|event| event.message).collect()
    }

    pub fn forget(&mut self) {
        self.events.clear();
        self.alerts.clear();
        self.outcomes.clear();
        self.asked.clear();
        self.routed.clear();
    }

    /// Phase, canary share, weight, iterations, failed checks: a row of the chapter's tables.
    pub fn row(&self) -> (Phase, u32, i64, i64, i64) {
        let status = &self.world.status;
        let share = self.world.routes.split().map_or(0, Split::canary);
        (status.phase, share, status.canary_weight, status.iterations, status.failed_checks)
    }

    fn answer(&mut self, question: Question) {
        let answer = match &question.ask {
            Ask::Secrets { of } => {
                let (of, at, problems) = (of.clone(), self.world.now, self.secrets.clone());
                self.world.checkable.looked = Some(SecretsLooked { of, at, problems });
                self.asked.push(question.ask);
                return;
            }
            Ask::Providers => Answer::Providers(self.offline.clone().map_or(Ok(()), Err)),
            Ask::Metric { index } => {
                let counts = self.world.release.analysis.metrics[*index].rules.counts_samples;
                Answer::Metric(if counts { self.samples.clone() } else { self.metric.clone() })
            }
            Ask::Hook { index, .. } => {
                let name = &self.world.release.analysis.hooks[*index].name;
                if self.closed.contains(name) {
                    Answer::Hook(Verdict::Failed("closed".into()))
                } else {
                    Answer::Hook(Verdict::Passed)
                }
            }
        };
        self.asked.push(question.ask.clone());
        self.world.answers.insert(question, answer);
    }

    pub fn play(&mut self, effect: &Effect) {
        match effect {
            Effect::Service(Side::Apex) => self.world.services.apex = Presence::InPlace,
            Effect::Service(Side::Primary) => self.world.services.primary = Presence::InPlace,
            Effect::Service(Side::Canary) => self.world.services.canary = Presence::InPlace,
            Effect::CreatePrimary | Effect::RebuildPrimary => {
                self.world.primary = Some(PrimaryFacts {
                    replicas: 2,
                    ready_pods: 2,
                    readiness: Readiness::Ready,
                    matches_target: true,
                    other_configs: false,
                    replaced_at_once: false,
                });
            }
            Effect::Promote => self.primary().matches_target = true,
            Effect::Renew => self.renewals += 1,
            Effect::ScaleToZero => {
                let target = self.target();
                target.replicas = 0;
                target.ready_pods = 0;
                target.readiness = Readiness::Waiting { why: "0 replicas".into(), stuck_at: None };
            }
            Effect::ScaleUp | Effect::RevertTarget => {
                let Ok(target) = self.world.target.as_mut() else { return };
                target.replicas = 2;
                target.ready_pods = 2;
                target.readiness = Readiness::Ready;
            }
            Effect::Route(cleared) => {
                let wish = cleared.wish();
                let state = RouteState { split: wish.split, mirrored: wish.mirror };
                self.world.routes = RoutesSeen::Seen { state, in_place: true };
                self.routes = wish.clone();
                self.routed.push(wish.clone());
            }
            Effect::AddFinalizer => self.world.lifecycle.has_finalizer = true,
            Effect::RemoveFinalizer => self.world.lifecycle.has_finalizer = false,
            Effect::Scaler => self.world.scaler = Presence::InPlace,
            Effect::Groundwork => self.world.groundwork = Presence::InPlace,
            Effect::Prune
            | Effect::RemoveRoutes
            | Effect::PauseScaler
            | Effect::ResumeScaler
            | Effect::RevertService
            | Effect::RevertRoutes => {}
        }
    }

    /// Routes whose rules are for other cookies than the status says are not in place.
    fn see_cookies(&mut self) {
        let Some(split) = self.world.routes.split() else { return };
        let rules = |cookies: &Cookies| match split.canary() {
            0 => [cookies.previous.clone(), None],
            _ => [cookies.canary.clone(), cookies.primary.clone()],
        };
        let wanted = cookies(&self.world.status, split);
        let affine = self.world.release.analysis.session_affinity.is_some();
        if affine
            && rules(&self.routes.cookies) != rules(&wanted)
            && let RoutesSeen::Seen { in_place, .. } = &mut self.world.routes
        {
            *in_place = false;
        }
    }

    fn promoted(&self) -> String {
        self.world.status.last_promoted_spec.clone()
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.world.now
    }
}
