//! One case in motion: what the controller decides in a world, and what becomes of the world when that is done. The
//! decisions are those of the core that ships; the plans are carried out write by write, as `controller::act` does it.

use vexil::api::hooks::HookType;
use vexil::api::status::{CanaryStatus, Phase};
use vexil::model::release::{Problem, Release};
use vexil::rollout::{self, Effect, Side, Snapshot, Step, status};

use super::canon::{HORIZON, Statuses, now};
use super::evidence;
use super::spec::{Spec, Trouble};
use super::view::{self, NAN, NO, NO_DATA, YES};
use super::world::{A, B, C, Pods, REVS, SLOTS, Seen, World, X};

/// What the controller does next.
pub enum Turn {
    /// It asks the question of this code.
    Ask(u16),
    /// It writes these, and then this status.
    Act { effects: Vec<Effect>, status: Box<CanaryStatus>, records_wait: bool },
    /// It waits: so many seconds, or for a change. `notes` where the wait ends a step.
    Wait { until: Option<i64>, notes: bool, why: String },
    /// The Canary is gone.
    Gone,
}

/// A case in motion.
pub struct Machine<'a> {
    pub spec: &'a Spec,
    pub statuses: Statuses,
    snapshot: Snapshot,
    shown: u8,
}

impl<'a> Machine<'a> {
    pub fn new(spec: &'a Spec) -> Self {
        let mut machine = Self { spec, statuses: Statuses::default(), snapshot: view::blank(spec), shown: 0 };
        machine.statuses.store(&mut World::new(spec.pods), CanaryStatus::default());
        machine
    }

    /// The first world of the case.
    pub fn first(&mut self) -> World {
        let mut world = World::new(self.spec.pods);
        self.statuses.store(&mut world, CanaryStatus::default());
        world
    }

    /// The manifest in force.
    pub fn release(&self, world: &World) -> &'a Release {
        &self.spec.manifests[usize::from(world.manifest)]
    }

    /// The status as stored.
    pub fn status(&self, world: &World) -> &CanaryStatus {
        self.statuses.get(world.status)
    }

    /// What the controller decides. A look may leave something in its memory.
    pub fn decide(&mut self, world: &mut World) -> Turn {
        if world.gone {
            return Turn::Gone;
        }
        view::look(self.spec, &self.statuses, world, &mut self.snapshot, &mut self.shown);
        if world.refused {
            return self.refuse(world);
        }
        match rollout::next(&self.snapshot) {
            Step::Ask(questions) => {
                let open = questions.iter().map(|question| view::code_of(&question.ask));
                Turn::Ask(open.min().expect("a question"))
            }
            Step::Act(plan) => Turn::Act {
                effects: plan.effects,
                status: Box::new(plan.status),
                records_wait: plan.records_wait,
            },
            Step::Wait(wait) => Turn::Wait {
                until: wait.until.map(|until| (until - now()).num_seconds()),
                notes: wait.unrecorded_step,
                why: wait.why.to_string(),
            },
        }
    }

    /// A manifest that cannot be used: its traffic is kept safe, and its status says what is wrong.
    fn refuse(&self, world: &World) -> Turn {
        let observed = &self.snapshot.status;
        if let Some(plan) = rollout::protect(&self.snapshot) {
            let status = Box::new(plan.status);
            return Turn::Act { effects: plan.effects, status, records_wait: false };
        }
        let waits = || Turn::Wait { until: None, notes: false, why: "the manifest is refused".into() };
        if world.deleting {
            return match world.finalizer {
                true => Turn::Act {
                    effects: vec![Effect::RemoveFinalizer],
                    status: Box::new(observed.clone()),
                    records_wait: false,
                },
                false => waits(),
            };
        }
        let problem = Problem { field: "spec.analysis.interval".into(), message: "no duration".into() };
        let wanted = status::refused(observed, i64::from(world.generation), &[problem], now());
        if status::differs(observed, &wanted) {
            return Turn::Act { effects: Vec::new(), status: Box::new(wanted), records_wait: false };
        }
        waits()
    }

    /// The answers that may come to the question of this code; the true one first.
    pub fn answers(&self, world: &World, code: u16) -> Vec<u8> {
        let mut all = vec![self.truth(world, code)];
        let mut also = |heard: &[u8]| {
            for heard in heard {
                if !all.contains(heard) {
                    all.push(*heard);
                }
            }
        };
        if self.spec.has(Trouble::Lies) && code >= 0x100 {
            also(&[YES, NO]);
        }
        if self.spec.has(Trouble::Silence) && view::metric_of(code).is_some() {
            also(&[NO_DATA, NAN, view::ERROR]);
        }
        all
    }

    /// What a truthful answer says of the revision that the target has.
    fn truth(&self, world: &World, code: u16) -> u8 {
        let bad = match view::hook_kind(self.spec, world, code) {
            Some(kind) => kind == HookType::Rollback,
            None => view::metric_of(code).is_some() && world.target.rev == C,
        };
        if bad { NO } else { YES }
    }

    /// Keeps an answer.
    pub fn hear(world: &mut World, code: u16, heard: u8) {
        let free = world.memory.answers.iter_mut().find(|(asked, _)| *asked == 0);
        *free.unwrap_or_else(|| panic!("a step has more than {SLOTS} questions")) = (code, heard);
        world.memory.answers[..].sort_by_key(|(asked, _)| if *asked == 0 { u16::MAX } else { *asked });
    }

    /// Lets time pass.
    pub fn age(&mut self, world: &mut World, seconds: i16) {
        world.age(seconds, HORIZON);
        self.statuses.age(world, seconds);
    }

    /// Carries out the first `writes` writes of a plan.
    pub fn write(&self, world: &mut World, effects: &[Effect], writes: usize) {
        for effect in &effects[..writes] {
            self.apply(world, effect);
        }
    }

    /// Writes the status of a plan, as its last write, and ends the step.
    pub fn record(&mut self, world: &mut World, status: &CanaryStatus, records_wait: bool) {
        let before = self.statuses.get(world.status).clone();
        evidence::recorded(self.release(world), &before, status, world);
        if status::differs(&before, status) {
            self.statuses.store(world, status.clone());
        }
        if records_wait {
            world.memory.wait_recorded = Some(0);
        } else {
            world.memory.answers = Default::default();
            world.memory.unrecorded = None;
        }
    }

    /// What a write does to the world.
    pub fn apply(&self, world: &mut World, effect: &Effect) {
        let release = self.release(world);
        let (target, primary) = (&mut world.target, &mut world.primary);
        match effect {
            Effect::Service(side) => {
                let place = match side {
                    Side::Apex => 0,
                    Side::Primary => 1,
                    Side::Canary => 2,
                };
                world.services[place] = true;
            }
            Effect::CreatePrimary if !primary.there => {
                *primary = Pods {
                    there: true,
                    rev: target.rev,
                    config: target.config,
                    want: target.want.max(1),
                    ..Pods::GONE
                };
                world.ghost.promoted = target.rev;
            }
            Effect::RebuildPrimary if !primary.there => {
                primary.there = true;
                primary.ready = [0; REVS];
                primary.stuck = false;
            }
            Effect::CreatePrimary | Effect::RebuildPrimary => {}
            Effect::Scaler => world.scaler = true,
            Effect::PauseScaler => world.scaler_paused = true,
            Effect::ResumeScaler => world.scaler_paused = false,
            Effect::ScaleUp => {
                let usual = if release.autoscaler.is_some() { 1 } else { primary.want.max(1) };
                if target.want == 0 {
                    target.scale(usual);
                }
            }
            Effect::Renew => target.generation += u8::from(target.want > 0),
            Effect::ScaleToZero => target.scale(0),
            Effect::Promote => {
                primary.roll(target.rev, self.spec.recreate);
                primary.config = target.config;
                let want = match release.autoscaler {
                    Some(_) => primary.want.max(target.want).max(1),
                    None if target.want > 0 => target.want,
                    None => primary.want.max(1),
                };
                primary.scale(want);
                world.ghost.promoted = target.rev;
            }
            Effect::Prune | Effect::Groundwork => {}
            Effect::Route(cleared) => {
                let wish = cleared.wish();
                let share = u8::try_from(wish.split.canary()).expect("a percentage");
                let told = (share, wish.mirror);
                let routes = &mut world.routes;
                if self.spec.has(Trouble::Acceptance)
                    && (routes.seen != Seen::There || told != (routes.share, routes.mirrored))
                {
                    routes.accepted = false;
                }
                let exposed = |routes: &super::world::Routes| {
                    routes.seen == Seen::There && (routes.share > 0 || routes.mirrored)
                };
                let was = exposed(routes);
                routes.seen = Seen::There;
                (routes.share, routes.mirrored) = told;
                routes.drifted = false;
                routes.cookies = view::letters(&wish.cookies);
                if was && !exposed(routes) {
                    world.ghost.parted = Some(0);
                }
                if share > world.ghost.top {
                    world.ghost.top = share;
                    world.ghost.raised = Some(0);
                }
            }
            Effect::RemoveRoutes => world.routes.seen = Seen::Absent,
            Effect::AddFinalizer => world.finalizer = true,
            Effect::RemoveFinalizer => {
                world.finalizer = false;
                world.gone = world.deleting;
            }
            Effect::RevertTarget => {
                if target.there {
                    let want = if primary.there { primary.want.max(1) } else { target.want.max(1) };
                    target.scale(want);
                }
            }
            // The mesh routes lead past the apex Service until they are given back as well.
            Effect::RevertService => {}
            Effect::RevertRoutes => {
                world.given_back = true;
                world.routes.share = 0;
                world.routes.mirrored = false;
                world.routes.seen = Seen::Absent;
            }
        }
        if !self.spec.has(Trouble::Lag) {
            world.follow();
        }
    }

    /// Whether checks of this release can tell a good revision from a bad one.
    pub fn judges(&self, world: &World) -> bool {
        let release = self.release(world);
        !release.skip_analysis
            && release.analysis.metrics.iter().any(|check| check.rules == Default::default())
    }

    /// Whether the revision of the target is worth releasing.
    pub fn is_good(rev: u8) -> bool {
        matches!(rev, A | B)
    }

    /// Whether pods of this revision ever become ready.
    pub fn runs(rev: u8) -> bool {
        rev != X
    }

    /// Whether no release is under way.
    pub fn at_rest(phase: Phase) -> bool {
        matches!(phase, Phase::Initialized | Phase::Succeeded | Phase::Failed)
    }
}
