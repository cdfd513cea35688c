//! The hooks of a release, and what their verdicts mean. Hooks of one type are called in the order of the manifest;
//! the first failure ends the round (spec 02 §6).

use crate::api::hooks::HookType;
use crate::api::status::Phase;
use crate::model::answer::Verdict;
use crate::model::release::Hook;

use super::flow::{Flow, end};
use super::holds;
use super::question::{Answer, Ask, Question};
use super::snapshot::Snapshot;
use super::step::Step;

/// The result of one round through the hooks of one type.
pub(super) struct Round<'a> {
    /// The hooks that said yes, in order.
    pub passed: Vec<&'a Hook>,
    /// The first hook that did not say yes, and its answer.
    pub closed: Option<(&'a Hook, String)>,
}

impl Round<'_> {
    /// A round in which no hook is asked.
    pub(super) fn open() -> Self {
        Self { passed: Vec::new(), closed: None }
    }
}

/// Calls the hooks of type `kind` until one fails. Each is told `phase`. A gate that was opened by hand is not called.
pub(super) fn round<'a>(world: &'a Snapshot, kind: HookType, phase: Phase) -> Flow<Round<'a>> {
    let mut round = Round::open();
    for (index, hook) in numbered(world, kind) {
        if is_gate(kind) && holds::is_approved(world, &hook.name) {
            round.passed.push(hook);
            continue;
        }
        match verdict(world, index, phase)? {
            Verdict::Passed => round.passed.push(hook),
            Verdict::Failed(why) => {
                round.closed = Some((hook, why));
                break;
            }
        }
    }
    Flow::Continue(round)
}

/// The hooks of type `kind` that said no, and the first one that says yes.
pub(super) fn first_passed(
    world: &Snapshot,
    kind: HookType,
    phase: Phase,
) -> Flow<(Vec<&Hook>, Option<&Hook>)> {
    let mut refused = Vec::new();
    for (index, hook) in numbered(world, kind) {
        match verdict(world, index, phase)? {
            Verdict::Passed => return Flow::Continue((refused, Some(hook))),
            Verdict::Failed(_) => refused.push(hook),
        }
    }
    Flow::Continue((refused, None))
}

/// The question `ask`, for this revision and this step.
pub(super) fn question(world: &Snapshot, ask: Ask) -> Question {
    let revision = world.target.as_ref().map(|target| target.revision.clone()).unwrap_or_default();
    Question { revision, step: world.status.last_check_time, ask }
}

fn is_gate(kind: HookType) -> bool {
    matches!(kind, HookType::ConfirmRollout | HookType::ConfirmTrafficIncrease | HookType::ConfirmPromotion)
}

fn numbered(world: &Snapshot, kind: HookType) -> impl Iterator<Item = (usize, &Hook)> {
    world.release.analysis.hooks.iter().enumerate().filter(move |(_, hook)| hook.kind == kind)
}

fn verdict(world: &Snapshot, index: usize, phase: Phase) -> Flow<Verdict> {
    let question = question(world, Ask::Hook { index, phase });
    match world.answers.get(&question) {
        Some(Answer::Hook(verdict)) => Flow::Continue(verdict.clone()),
        _ => end(Step::Ask(vec![question])),
    }
}
