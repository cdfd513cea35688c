//! The analysis makes one step per interval: readiness, gates, hooks and metrics are checked, then the strategy says
//! what comes next.

use crate::api::hooks::{HookType, Severity};
use crate::api::status::{APPROVED, Blocker, CanaryStatus, Measurement, Phase};
use crate::model::release::Strategy;
use crate::model::traffic::{Acceptance, Split};
use crate::model::workload::TargetFacts;

use super::analysis::Judgement;
use super::evidence;
use super::flow::{Flow, end, stop, unrecorded_step, wait};
use super::rollback::{self, Cause};
use super::snapshot::Snapshot;
use super::step::{Effect, Event, Plan, Reason, Step, Wait};
use super::strategy::{self, Advance, Position};
use super::{blockers, gates, holds, messages, promote, ready, revision, status, upkeep};

pub(super) fn progressing(world: &Snapshot) -> Flow<Step> {
    let (target, primary) = upkeep::upkeep(world)?;
    revision::changed(world, target, primary)?;
    let promotes = holds::promotes(world);
    let failed = world.status.failed_checks >= world.release.analysis.threshold;
    if failed && !promotes && world.now >= world.due() {
        return rollback::begin(world, &Cause::Threshold, Vec::new());
    }
    rescale(world, target)?;
    if promotes {
        ready::primary_ready(world, primary)?;
        ready::canary_ready(world, target)?;
        return promote::promote(world, Vec::new());
    }
    pause(world)?;
    if world.now < world.due() {
        return Flow::Continue(Wait::until(world.due(), Reason::NextCheck(world.due())).into());
    }
    ready::primary_ready(world, primary)?;
    ready::canary_ready(world, target)?;
    if world.release.skip_analysis {
        return promote::skip(world);
    }
    let mut said = Vec::new();
    rollback_hooks(world, &mut said)?;
    accepted(world)?;
    let measurements = check(world, &mut said)?;
    let status = CanaryStatus { measurements, ..world.status.clone() };
    advance(&Snapshot { status, ..world.clone() }, said)
}

/// Keeps the traffic where it is while the release is paused by hand. Only a rollback hook is still asked.
fn pause(world: &Snapshot) -> Flow<()> {
    let Some(pause) = holds::pause(world) else { return Flow::Continue(()) };
    if world.release.hooks(HookType::Rollback).next().is_none() {
        return end(wait(pause, []));
    }
    if world.now < world.due() {
        return end(Wait::until(world.due(), pause));
    }
    rollback_hooks(world, &mut Vec::new())?;
    end(unrecorded_step(world, pause))
}

/// Starts the canary's pods: at the beginning of its run, which is on record by then so that they are stopped again
/// whatever happens, and if somebody scaled it to zero in the middle (spec 02 E1.8).
fn rescale(world: &Snapshot, target: &TargetFacts) -> Flow<()> {
    if target.replicas > 0 {
        return Flow::Continue(());
    }
    stop(Plan::status(world.status.clone()).effects([Effect::ResumeScaler, Effect::ScaleUp]))
}

/// Waits until the mesh has accepted the route, because before that a measurement says nothing. A mesh that is late by
/// one interval costs a failed check.
fn accepted(world: &Snapshot) -> Flow<()> {
    let Acceptance::Pending(why) = &world.acceptance else { return Flow::Continue(()) };
    let until = world.due() + world.release.analysis.interval;
    if world.now < until {
        return end(Wait::until(until, Reason::NotAccepted(why.clone())));
    }
    let mut status = status::checked(status::touched(world), world);
    status.failed_checks += 1;
    let event = messages::warning(world.status.phase, messages::route_not_accepted(&world.release, why));
    stop(Plan::status(status).events([event]))
}

fn rollback_hooks(world: &Snapshot, said: &mut Vec<Event>) -> Flow<()> {
    let phase = world.status.phase;
    let (refused, passed) = gates::first_passed(world, HookType::Rollback, phase)?;
    said.extend(
        refused.iter().map(|hook| messages::normal(phase, messages::rollback_hook_silent(&hook.name))),
    );
    let Some(hook) = passed else { return Flow::Continue(()) };
    let cause = Cause::Manual { hook: &hook.name };
    end(rollback::begin(world, &cause, std::mem::take(said))?)
}

/// Makes the checks of this step: pre-rollout hooks at the first step, rollout hooks and metrics at all others.
fn check(world: &Snapshot, said: &mut Vec<Event>) -> Flow<Vec<Measurement>> {
    let phase = world.status.phase;
    if position(world).at_start() {
        said.push(messages::normal(phase, messages::starting(&world.release)));
        let round = gates::round(world, HookType::PreRollout, Phase::Progressing)?;
        said.extend(
            round.passed.iter().map(|hook| messages::normal(phase, messages::pre_rollout_passed(&hook.name))),
        );
        if let Some((hook, why)) = round.closed {
            let text = messages::pre_rollout_failed(&world.release, &hook.name, &why);
            said.push(messages::warning(phase, &text));
            return failed_check(world, said, Vec::new(), vec![blockers::check(&hook.name, &text)]);
        }
        return Flow::Continue(Vec::new());
    }
    let round = gates::round(world, HookType::Rollout, Phase::Progressing)?;
    if let Some((hook, why)) = round.closed {
        let text = messages::rollout_hook_failed(&world.release, &hook.name, &why);
        said.push(messages::warning(phase, &text));
        // No metric was asked; what was found before is not forgotten.
        let found = world.status.measurements.clone();
        return failed_check(world, said, found, vec![blockers::check(&hook.name, &text)]);
    }
    let judged = evidence::judge(world)?;
    said.extend(judged.events);
    if let Some(why) = judged.ends {
        let mut status = CanaryStatus { measurements: judged.measurements, ..world.status.clone() };
        status.failed_checks += 1;
        let world = Snapshot { status, ..world.clone() };
        return end(rollback::begin(&world, &Cause::Metric { why: &why }, std::mem::take(said))?);
    }
    match judged.judgement {
        Judgement::Passed => Flow::Continue(judged.measurements),
        Judgement::Failed => failed_check(world, said, judged.measurements, judged.unmet),
        Judgement::Held => {
            stop(Plan::status(unmet(world, judged.measurements, judged.unmet)).events(std::mem::take(said)))
        }
    }
}

fn failed_check<T>(
    world: &Snapshot,
    said: &mut Vec<Event>,
    measurements: Vec<Measurement>,
    checks: Vec<Blocker>,
) -> Flow<T> {
    let mut status = unmet(world, measurements, checks);
    status.failed_checks += 1;
    stop(Plan::status(status).events(std::mem::take(said)))
}

/// The status after a step whose `checks` did not pass.
fn unmet(world: &Snapshot, measurements: Vec<Measurement>, checks: Vec<Blocker>) -> CanaryStatus {
    let mut status = status::checked(status::touched(world), world);
    status.measurements = measurements;
    status.blockers = checks;
    status
}

/// Goes on after passed checks, as the strategy says.
fn advance(world: &Snapshot, mut said: Vec<Event>) -> Flow<Step> {
    let release = &world.release;
    let at = position(world);
    let next = strategy::advance(&release.analysis, &world.capabilities, at);
    if matches!(release.analysis.strategy, Strategy::Weighted(_)) && !at.mirrored {
        traffic_gate(world, &mut said)?;
    }
    let mut status = status::checked(status::touched(world), world);
    status::unhold(&mut status, APPROVED);
    match next {
        Advance::Shift { split, mirror } => {
            let route = moved(world, split, mirror)?;
            status.canary_weight = i64::from(split.canary());
            said.push(messages::normal(status.phase, messages::weight(release, split.canary())));
            Flow::Continue(Plan::status(status).effects(route).events(said).into())
        }
        Advance::Iterate { routes, of } => {
            let mut effects = Vec::new();
            if let Some((split, mirror)) = routes {
                effects.extend(moved(world, split, mirror)?);
            }
            status.iterations += 1;
            said.push(messages::normal(status.phase, messages::iteration(release, status.iterations, of)));
            Flow::Continue(Plan::status(status).effects(effects).events(said).into())
        }
        Advance::RouteAll => {
            promotion_gate(world, &mut said)?;
            let mut effects = Vec::new();
            if world.has_routes() {
                effects.push(Effect::Route(upkeep::route(world, Split::CANARY, false)?));
                let text = if at.mirrored { messages::STOP_MIRRORING } else { messages::ROUTE_ALL_TO_CANARY };
                said.push(messages::normal(status.phase, text));
            }
            status.iterations += 1;
            Flow::Continue(Plan::status(status).effects(effects).events(said).into())
        }
        Advance::Promote { gated } => {
            if gated {
                promotion_gate(world, &mut said)?;
            }
            promote::promote(world, said)
        }
    }
}

/// The write that moves the traffic of a step. A canary that stands in for the primary keeps everything: the step is
/// what it has earned once the primary answers again.
fn moved(world: &Snapshot, split: Split, mirror: bool) -> Flow<Option<Effect>> {
    if world.canary_stands_in() {
        return Flow::Continue(None);
    }
    Flow::Continue(Some(Effect::Route(upkeep::route(world, split, mirror)?)))
}

/// Keeps a weighted run from its next step and its promotion while a confirm-traffic-increase hook says no.
fn traffic_gate(world: &Snapshot, said: &mut Vec<Event>) -> Flow<()> {
    if world.status.phase == Phase::WaitingPromotion {
        return Flow::Continue(());
    }
    let phase = world.status.phase;
    let round = gates::round(world, HookType::ConfirmTrafficIncrease, Phase::Progressing)?;
    said.extend(
        round
            .passed
            .iter()
            .map(|hook| messages::normal(phase, messages::traffic_increase_passed(&hook.name))),
    );
    let Some((hook, _)) = round.closed else { return Flow::Continue(()) };
    let text = messages::waiting_for_traffic_increase(&world.release, &hook.name);
    let mut wait =
        unrecorded_step(world, Reason::Gate(hook.name.clone())).notices([messages::warning(phase, text)]);
    if !hook.mute_alert {
        wait.alerts.push(messages::alert(Severity::Warn, messages::WAITING_TRAFFIC_ALERT));
    }
    end(wait)
}

/// Keeps the run from its promotion while a confirm-promotion hook says no. The analysis goes on meanwhile.
fn promotion_gate(world: &Snapshot, said: &mut Vec<Event>) -> Flow<()> {
    let phase = world.status.phase;
    let round = gates::round(world, HookType::ConfirmPromotion, Phase::Progressing)?;
    let Some((hook, _)) = &round.closed else {
        said.extend(
            round
                .passed
                .iter()
                .map(|hook| messages::normal(phase, messages::confirm_promotion_passed(&hook.name))),
        );
        return Flow::Continue(());
    };
    if phase == Phase::WaitingPromotion {
        return end(unrecorded_step(world, Reason::Gate(hook.name.clone())));
    }
    let status = status::checked(status::phase(world, Phase::WaitingPromotion), world);
    let text = messages::waiting_for_promotion(&world.release, &hook.name);
    said.push(messages::warning(Phase::WaitingPromotion, text));
    let mut plan = Plan::status(status).events(std::mem::take(said)).waits(Reason::Gate(hook.name.clone()));
    if !hook.mute_alert {
        plan = plan.alert(messages::alert(Severity::Warn, messages::WAITING_PROMOTION_ALERT));
    }
    stop(plan)
}

fn position(world: &Snapshot) -> Position {
    let stands_in = world.canary_stands_in();
    let weight = u32::try_from(world.status.canary_weight).unwrap_or(0);
    Position {
        share: if stands_in { weight.min(100) } else { world.canary_share() },
        mirrored: world.routes.mirrored(),
        iterations: world.status.iterations,
    }
}
