//! The time between two runs, and the gate before one: it waits for a new revision and starts its release.

use crate::api::hooks::{HookType, Severity};
use crate::api::status::{BlockerKind, Phase};
use crate::model::traffic::Split;
use crate::model::workload::TargetFacts;

use super::change::{Change, applied, change, configs_changed};
use super::flow::{Flow, stop, unrecorded_step};
use super::gates::Round;
use super::rollback::{Cause, Ending};
use super::snapshot::Snapshot;
use super::step::{Effect, Event, Outcome, Plan, Reason, Step, Wait};
use super::{checkable, gates, holds, line, messages, rollback, status, upkeep};

pub(super) fn resting(world: &Snapshot) -> Flow<Step> {
    let (target, primary) = upkeep::upkeep(world)?;
    close(world)?;
    upkeep::complete(world, target)?;
    match change(&world.status, target, Some(primary)) {
        Change::None | Change::Promoted if world.status.phase == Phase::Waiting => withdrawn(world, target),
        Change::None => unchanged(world, target),
        Change::Promoted if world.status.phase == Phase::Failed => taken_back(world, target),
        Change::Adopt | Change::Promoted => {
            // The fence: the record follows, no run starts (spec 02 E3.1).
            let mut status = world.status.clone();
            status::record(&mut status, target);
            if primary.matches_target {
                status.last_promoted_spec = target.revision.clone();
            }
            status.last_transition_time = Some(world.now);
            stop(Plan::status(status).effects(parked(world, target)?))
        }
        Change::New => start(world, target),
    }
}

/// The writes that stop the pods of a target that is back at the promoted revision. It has some if its release was given
/// up after its promotion failed, or at a gate. Somebody who only scales it by hand is left alone.
fn parked(world: &Snapshot, target: &TargetFacts) -> Flow<Vec<Effect>> {
    let back = change(&world.status, target, world.primary.as_ref()) == Change::Promoted;
    let unused = world.canary_share() == 0 && !world.routes.mirrored();
    if !back || !unused || target.replicas == 0 || world.primary_answers() != Some(true) {
        return Flow::Continue(Vec::new());
    }
    rollback::parted(world)?;
    Flow::Continue(vec![Effect::PauseScaler, Effect::ScaleToZero])
}

/// Calls the post-rollout hooks of the last run, and sends its last event and alert after them.
fn close(world: &Snapshot) -> Flow<()> {
    let Some(ending) = Ending::pending(world) else { return Flow::Continue(()) };
    let phase = world.status.phase;
    let round = gates::round(world, HookType::PostRollout, phase)?;
    let mut events: Vec<Event> = round
        .passed
        .iter()
        .map(|hook| messages::normal(phase, messages::post_rollout_passed(&hook.name)))
        .collect();
    if let Some((hook, why)) = &round.closed {
        events.push(messages::warning(phase, messages::post_rollout_failed(&hook.name, why)));
    }
    let mut status = status::touched(world);
    status::closed(&mut status);
    let plan = Plan::status(status).events(events);
    stop(match ending.last_words(world) {
        Some((event, alert)) => plan.events([event]).alert(alert),
        None => plan,
    })
}

/// The revision that failed was taken back: what the target asks for runs on the primary, and nothing is left to do.
fn taken_back(world: &Snapshot, target: &TargetFacts) -> Flow<Step> {
    let mut status = status::phase(world, Phase::Succeeded);
    status::record(&mut status, target);
    status.last_promoted_spec = status.last_applied_spec.clone();
    let event = messages::normal(status.phase, messages::taken_back(&world.release));
    Flow::Continue(Plan::status(status).effects(parked(world, target)?).events([event]).into())
}

/// Clears a `Stalled` that is over. It also records the target's generation, which our own scaling has raised: so the
/// change fence still sees that nobody has edited the object if only its encoding changes. An older CRD does not keep
/// that record, and then it is not written.
fn unchanged(world: &Snapshot, target: &TargetFacts) -> Flow<Step> {
    let mut status = status::touched_if_stalled(world);
    if status.applied_target.is_some() {
        status.applied_target = Some(applied(target));
    }
    if status::differs(&world.status, &status) {
        return stop(Plan::status(status));
    }
    let mut rest = Wait::for_change(Reason::AtRest);
    rest.until = checkable::look_again(world);
    Flow::Continue(rest.into())
}

/// Ends the wait for approval of a revision that was taken back (spec 02 E1.19).
fn withdrawn(world: &Snapshot, target: &TargetFacts) -> Flow<Step> {
    let promoted = target.revision == world.status.last_promoted_spec;
    let mut status = status::phase(world, if promoted { Phase::Succeeded } else { Phase::Failed });
    if promoted {
        status::record(&mut status, target);
        status.last_promoted_spec = status.last_applied_spec.clone();
    }
    let event = messages::normal(status.phase, messages::cancelled(&world.release));
    Flow::Continue(Plan::status(status).events([event]).into())
}

/// Starts the release of a new revision: the gate is asked, and one write of the status records what is started. The
/// canary's pods follow.
fn start(world: &Snapshot, target: &TargetFacts) -> Flow<Step> {
    let release = &world.release;
    let phase = world.status.phase;
    if phase == Phase::Waiting {
        let pause = holds::pause(world);
        if world.now < world.due() && !line::is_called(world) {
            let why = pause.or_else(|| line::waits(world)).unwrap_or_else(|| gate(world));
            return Flow::Continue(Wait::until(world.due(), why).into());
        }
        reject(world, target)?;
        if let Some(pause) = pause {
            return Flow::Continue(unrecorded_step(world, pause).into());
        }
    }
    checkable::usable(world)?;
    line::stand(world)?;
    let kind = HookType::ConfirmRollout;
    let round = if holds::promotes(world) { Round::open() } else { gates::round(world, kind, phase)? };
    if let Some((hook, _)) = round.closed {
        return Flow::Continue(closed(world, &hook.name, hook.mute_alert));
    }
    let mut events: Vec<Event> = round
        .passed
        .iter()
        .map(|hook| messages::normal(phase, messages::confirm_rollout_passed(&hook.name)))
        .collect();
    events.push(messages::normal(Phase::Progressing, messages::detected(release)));
    let mut status = status::started(world, target);
    let mut effects = Vec::new();
    if target.replicas > 0 {
        effects.push(Effect::ResumeScaler);
    }
    if configs_changed(&world.status, target) {
        // Pods that run already, after a failed promotion, started with the old ones.
        effects.push(Effect::Renew);
    }
    if world.has_routes() && (world.canary_share() > 0 || world.routes.mirrored()) {
        if world.primary_pods() > 0 {
            effects.insert(0, Effect::Route(upkeep::last_route(world, Split::PRIMARY)?));
        } else {
            // After a failed promotion the canary carries everything: the fix is released from there, and the
            // broken primary gets nothing before it is repaired (spec 02 E1.15).
            status.canary_weight = i64::from(world.canary_share());
        }
    }
    Flow::Continue(
        Plan::status(status)
            .effects(effects)
            .events(events)
            .alert(messages::alert_with_fields(Severity::Info, messages::STARTED_ALERT))
            .into(),
    )
}

/// Waits at a closed gate. Users are told once; the gate is asked once per interval.
fn closed(world: &Snapshot, hook: &str, muted: bool) -> Step {
    if world.status.phase == Phase::Waiting {
        return unrecorded_step(world, Reason::Gate(hook.to_owned())).into();
    }
    let status = status::checked(status::phase(world, Phase::Waiting), world);
    let plan = Plan::status(status)
        .events([messages::warning(Phase::Waiting, messages::waiting_for_approval(&world.release, hook))])
        .waits(Reason::Gate(hook.to_owned()));
    if muted {
        plan.into()
    } else {
        plan.alert(messages::alert(Severity::Warn, messages::WAITING_ALERT)).into()
    }
}

/// Lets a rollback hook end a run that still waits for its approval (spec 02 E1.20).
fn reject(world: &Snapshot, target: &TargetFacts) -> Flow<()> {
    let (_, passed) = gates::first_passed(world, HookType::Rollback, world.status.phase)?;
    let Some(hook) = passed else { return Flow::Continue(()) };
    stop(abandon(world, target, &Cause::Manual { hook: &hook.name }))
}

/// Gives up a revision that waits for its approval.
pub(super) fn abandon(world: &Snapshot, target: &TargetFacts, cause: &Cause<'_>) -> Plan {
    let mut status = status::phase(world, Phase::Failed);
    status::record(&mut status, target);
    status.failed_checks = 0;
    rollback::close(&mut status, world, Ending::RolledBack);
    let (events, alert) = rollback::announcement(world, cause);
    Plan::status(status)
        .events(events)
        .events([messages::warning(Phase::Failed, messages::failed(&world.release))])
        .alert(alert)
        .outcome(Outcome::Failed)
}

/// The wait for the gate that was closed when it was last asked, or for all gates if none is known.
fn gate(world: &Snapshot) -> Reason {
    let closed = world.status.blockers.iter().find(|blocker| blocker.kind == BlockerKind::Gate);
    Reason::Gate(closed.and_then(|blocker| blocker.name.clone()).unwrap_or_else(|| {
        let hooks = world.release.hooks(HookType::ConfirmRollout);
        hooks.map(|hook| hook.name.as_str()).collect::<Vec<_>>().join(", ")
    }))
}
