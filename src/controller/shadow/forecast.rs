//! What we would do next: the decision core is asked again and again, as if each of our writes had been made and the time
//! had passed, until something would move that users see, or somebody else is waited for.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::join_all;
use serde::Serialize;

use crate::api::hooks::HookType;
use crate::model::answer::{Measured, Verdict as Said};
use crate::model::release::Release;
use crate::model::traffic::RouteState;
use crate::model::workload::Presence;
use crate::rollout::{
    self, Answer, Ask, Effect, EventKind, Question, Reason, RoutesSeen, Side, Snapshot, Step, status,
};

use crate::controller::Runtime;
use crate::controller::act::Writer;
use crate::controller::fence::Shadowed;
use crate::controller::memory::Memory;
use crate::controller::observe::Observed;
use crate::controller::turns::Next;

use super::compare::Position;
use super::writes::Change;

/// What we would do next with a Canary.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Intent {
    /// The next thing that users would see.
    #[serde(flatten)]
    pub does: Does,
    /// What would be written now, beside the status: objects that are not as this controller wants them, or the writes
    /// of the step.
    pub writes: Vec<Change>,
    /// What events would warn of at once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warns: Vec<String>,
}

/// The next thing that users would see.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "does", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Does {
    /// Nothing: there is no new revision.
    Rest,
    /// A step: the release would stand elsewhere after it.
    Step {
        /// When.
        at: DateTime<Utc>,
        /// Where the release would stand.
        to: Position,
        /// What the events would say.
        says: Vec<String>,
        /// Hooks that were not called and are taken for passed.
        assumes: Vec<String>,
    },
    /// Ask the checks of the next step, when it is due.
    Check {
        /// When.
        at: DateTime<Utc>,
        /// What would be asked.
        asks: Vec<String>,
    },
    /// Wait for something.
    Wait {
        /// Until then at the latest.
        until: Option<DateTime<Utc>>,
        /// For what.
        why: String,
    },
    /// Leave the Canary alone: the controller cannot work by its manifest.
    Refuse {
        /// What is wrong with it.
        why: String,
    },
    /// Nobody knows.
    Unknown {
        /// The reason.
        why: String,
    },
}

impl Intent {
    pub(super) fn new(does: Does) -> Self {
        Self { does, writes: Vec::new(), warns: Vec::new() }
    }

    /// When to look again, if nothing happens before.
    pub(super) fn look_again(&self, now: DateTime<Utc>, interval: Duration) -> Next {
        match &self.does {
            Does::Step { at, .. } if *at > now => Next::At(*at),
            Does::Step { .. } | Does::Unknown { .. } => Next::At(now + interval),
            Does::Check { at, .. } => Next::At((*at - LEAD).max(now + TimeDelta::seconds(1))),
            Does::Wait { until: Some(until), .. } if *until > now => Next::At(*until),
            Does::Wait { until: Some(_), .. } => Next::At(now + interval),
            Does::Rest | Does::Wait { until: None, .. } | Does::Refuse { .. } => Next::Change,
        }
    }

    /// Whether it would lead there.
    pub(super) fn leads_to(&self, place: &Position) -> bool {
        matches!(&self.does, Does::Step { to, .. } if to == place)
    }

    /// Whether it is no news after the other.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        match (&self.does, &other.does) {
            (Does::Step { to, says, .. }, Does::Step { to: too, says: said, .. }) => {
                to == too && says == said
            }
            (Does::Check { .. }, Does::Check { .. }) => true,
            (Does::Wait { why, .. }, Does::Wait { why: other, .. }) => why == other,
            (own, other) => own == other,
        }
    }
}

impl fmt::Display for Intent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.does {
            Does::Rest => write!(f, "I would do nothing: there is no new revision"),
            Does::Step { at, to, says, assumes } => {
                write!(f, "I would go to {to} at {}", at.format("%H:%M:%S"))?;
                if !says.is_empty() {
                    write!(f, " ({})", says.join("; "))?;
                }
                if !assumes.is_empty() {
                    write!(f, ", if these pass: {}", assumes.join(", "))?;
                }
                Ok(())
            }
            Does::Check { at, asks } => {
                write!(f, "I would ask the checks at {}", at.format("%H:%M:%S"))?;
                if asks.is_empty() { Ok(()) } else { write!(f, ": {}", asks.join(", ")) }
            }
            Does::Wait { why, .. } => write!(f, "I would wait: {why}"),
            Does::Refuse { why } => write!(f, "I would not work on this Canary: {why}"),
            Does::Unknown { why } => write!(f, "{why}"),
        }
    }
}

/// What would come next for `world`; `asks` says whether metrics servers may be asked.
pub(super) async fn forecast(shared: &Runtime, world: &Observed, memory: &mut Memory, asks: bool) -> Intent {
    let now = world.snapshot.now;
    let horizon = now + world.snapshot.release.analysis.interval * 2;
    let mut snapshot = world.snapshot.clone();
    snapshot.answers.clear();
    let mut writes: Vec<Change> = Vec::new();
    let mut warns: Vec<String> = Vec::new();
    let mut assumes: Vec<String> = Vec::new();
    for _ in 0..MOST {
        let does = match rollout::next(&snapshot) {
            Step::Ask(questions) => {
                let open: Vec<&Question> =
                    questions.iter().filter(|question| snapshot.answers.get(question).is_none()).collect();
                if snapshot.now > now + LEAD || !asks {
                    let asks = open.iter().map(|question| named(&snapshot.release, &question.ask)).collect();
                    Some(Does::Check { at: snapshot.now, asks })
                } else {
                    ask(shared, &mut snapshot, memory, &open, &mut assumes).await
                }
            }
            Step::Act(plan) => {
                for effect in &plan.effects {
                    for change in foreseen(shared, effect, world) {
                        if !writes.contains(&change) {
                            writes.push(change);
                        }
                    }
                }
                if Position::of(&plan.status) == Position::of(&snapshot.status) {
                    let warning = plan.events.iter().filter(|event| event.kind != EventKind::Normal);
                    warns.extend(warning.map(|event| event.message.clone()));
                    written(&mut snapshot, &plan)
                } else {
                    Some(Does::Step {
                        at: snapshot.now,
                        to: Position::of(&plan.status),
                        says: plan.events.iter().map(|event| event.message.clone()).collect(),
                        assumes: std::mem::take(&mut assumes),
                    })
                }
            }
            Step::Wait(wait) => match wait.until {
                Some(until) if until > snapshot.now && until <= horizon && !wait.unrecorded_step => {
                    snapshot.now = until;
                    None
                }
                _ if wait.why == Reason::AtRest => Some(Does::Rest),
                until => Some(Does::Wait { until, why: wait.why.to_string() }),
            },
        };
        if let Some(does) = does {
            return Intent { does, writes, warns };
        }
    }
    let why =
        format!("I cannot say what comes after {MOST} decisions without seeing what comes of the first");
    Intent { does: Does::Unknown { why }, writes, warns }
}

/// Answers the open questions: metrics servers are asked, hooks are not.
async fn ask(
    shared: &Runtime,
    snapshot: &mut Snapshot,
    memory: &mut Memory,
    open: &[&Question],
    assumes: &mut Vec<String>,
) -> Option<Does> {
    let answer = async |question: &Question| match &question.ask {
        Ask::Hook { index, .. } => Answer::Hook(assumed(&snapshot.release, *index)),
        _ => shared.inquirer.ask(snapshot, question).await,
    };
    let answers = join_all(open.iter().map(|question| answer(question))).await;
    for (question, answer) in open.iter().zip(answers) {
        match (&question.ask, &answer) {
            (Ask::Hook { .. }, Answer::Hook(Said::Passed)) => {
                let hook = named(&snapshot.release, &question.ask);
                if !assumes.contains(&hook) {
                    assumes.push(hook);
                }
            }
            // A backend that works by objects of the cluster (Keptn) cannot be asked without a write.
            (_, Answer::Metric(Measured::Failed(why))) if why.contains(&Shadowed.to_string()) => {
                let metric = named(&snapshot.release, &question.ask);
                return Some(Does::Unknown { why: format!("{metric} cannot be asked without a write") });
            }
            (Ask::Secrets { .. }, _) => {
                memory.heard((*question).clone(), answer.clone(), snapshot.now);
                snapshot.checkable.looked.clone_from(&memory.secrets_looked);
            }
            _ => {}
        }
        snapshot.answers.insert((*question).clone(), answer);
    }
    None
}

/// What is taken for the answer of a hook that is not called: it lets the release go on.
fn assumed(release: &Release, index: usize) -> Said {
    match release.analysis.hooks.get(index).map(|hook| hook.kind) {
        Some(HookType::Rollback) | None => Said::Failed("a shadow does not call it".to_owned()),
        Some(_) => Said::Passed,
    }
}

fn named(release: &Release, ask: &Ask) -> String {
    match ask {
        Ask::Providers => "whether the metrics servers answer".to_owned(),
        Ask::Secrets { .. } => "the Secrets of MetricTemplates".to_owned(),
        Ask::Hook { index, .. } => {
            let name = release.analysis.hooks.get(*index).map_or("?", |hook| hook.name.as_str());
            format!("hook {name}")
        }
        Ask::Metric { index } => {
            let name = release.analysis.metrics.get(*index).map_or("?", |check| check.name.as_str());
            format!("metric {name}")
        }
    }
}

/// The snapshot as it would be after `plan`, which moves nothing that users see. `Some` if that cannot be said.
fn written(snapshot: &mut Snapshot, plan: &rollout::Plan) -> Option<Does> {
    let before = snapshot.clone();
    for effect in &plan.effects {
        if !pretend(snapshot, effect) {
            return Some(Does::Unknown { why: format!("I would first do this: {}", effect_name(effect)) });
        }
    }
    let mut wanted = plan.status.clone();
    // The other controller's clock goes on: what it wrote last decides when a step is due.
    wanted.last_transition_time = before.status.last_transition_time;
    wanted.last_check_time = before.status.last_check_time;
    if plan.records_wait {
        snapshot.wait_recorded_at = Some(snapshot.now);
    }
    let recorded = status::differs(&before.status, &wanted);
    snapshot.status = wanted;
    let same = !recorded && snapshot.routes == before.routes && snapshot.services == before.services;
    let same = same && snapshot.scaler == before.scaler && snapshot.groundwork == before.groundwork;
    let same = same && snapshot.lifecycle == before.lifecycle && !plan.records_wait;
    same.then(|| Does::Unknown { why: "I would write something that leads to nothing else".to_owned() })
}

/// Makes the snapshot what it would be after an effect; whether that can be said.
fn pretend(snapshot: &mut Snapshot, effect: &Effect) -> bool {
    match effect {
        Effect::Service(Side::Apex) => snapshot.services.apex = Presence::InPlace,
        Effect::Service(Side::Primary) => snapshot.services.primary = Presence::InPlace,
        Effect::Service(Side::Canary) => snapshot.services.canary = Presence::InPlace,
        Effect::Scaler => snapshot.scaler = Presence::InPlace,
        Effect::Groundwork => snapshot.groundwork = Presence::InPlace,
        Effect::Route(cleared) => {
            let wish = cleared.wish();
            let state = RouteState { split: wish.split, mirrored: wish.mirror };
            snapshot.routes = RoutesSeen::Seen { state, in_place: true };
        }
        Effect::AddFinalizer => snapshot.lifecycle.has_finalizer = true,
        Effect::RemoveFinalizer => snapshot.lifecycle.has_finalizer = false,
        Effect::PauseScaler | Effect::ResumeScaler | Effect::Prune => {}
        _ => return false,
    }
    true
}

fn effect_name(effect: &Effect) -> &'static str {
    match effect {
        Effect::CreatePrimary => "make the primary",
        Effect::RebuildPrimary => "make the primary again",
        Effect::ScaleUp => "start the target's pods",
        Effect::Renew => "replace the target's pods",
        Effect::ScaleToZero => "stop the target's pods",
        Effect::Promote => "promote the target's template",
        Effect::RevertTarget | Effect::RevertService | Effect::RevertRoutes | Effect::RemoveRoutes => {
            "give back what was changed"
        }
        _ => "bring an object into place",
    }
}

/// The writes of an effect on the objects as they are now. A promotion is named alone: what it copies is read when it is
/// made.
fn foreseen(shared: &Runtime, effect: &Effect, world: &Observed) -> Vec<Change> {
    let release = &world.scene.release;
    let primary = format!("{:?} {}.{}", release.target.kind, release.primary_name(), release.namespace);
    match effect {
        Effect::CreatePrimary | Effect::RebuildPrimary => return vec![Change::named("create", primary)],
        Effect::Promote => return vec![Change::named("change", primary)],
        _ => {}
    }
    let writer =
        Writer { caches: &shared.caches, settings: &shared.settings, ids: &shared.ids, clock: shared.clock };
    // What stands in the way is told by the decision itself.
    let writes = writer.foresee(effect, &world.scene).unwrap_or_default();
    writes.iter().map(|write| Change::of(write, &world.scene.objects)).collect()
}

/// How long before a step is due its checks are asked: another controller's clock is never quite ours.
const LEAD: TimeDelta = TimeDelta::seconds(5);
/// How many decisions in a row are followed.
const MOST: usize = 24;
