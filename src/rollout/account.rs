//! Adds to a decision what its status tells people: the revision under release, the promoted one, and what the release
//! waits for. It never changes what is done.

use chrono::SubsecRound;

use crate::api::status::{Blocker, BlockerKind, CanaryStatus, Phase, Revision};

use super::blockers::{blocker, since};
use super::change::SUPERSEDED;
use super::snapshot::Snapshot;
use super::status;
use super::step::{Plan, Reason, Step, Wait};

/// `step`, with a status that tells of it. A wait that the status does not show yet becomes a plan that writes it down
/// first.
pub(super) fn account(world: &Snapshot, step: Step) -> Step {
    match step {
        Step::Act(mut plan) if status::differs(&world.status, &plan.status) => {
            name_revisions(world, &mut plan.status);
            plan.status.blockers = after(world, &plan);
            Step::Act(plan)
        }
        // Without a finalizer an object that is being deleted is gone before anybody reads its status.
        Step::Wait(wait) if !world.lifecycle.deleting || world.lifecycle.has_finalizer => note(world, wait),
        step => step,
    }
}

/// The blockers once `plan` is carried out.
fn after(world: &Snapshot, plan: &Plan) -> Vec<Blocker> {
    let status = &plan.status;
    let running = status.phase.is_stepping();
    let checks = status.blockers.iter().filter(|blocker| blocker.kind == BlockerKind::Check).cloned();
    let reason = match (&plan.waits, status.last_check_time) {
        (Some(reason), _) => Some(reason.clone()),
        _ if status.settling().is_some() => Some(Reason::Settling(world.now + world.settle)),
        (None, Some(checked)) if running && status.last_check_time != world.status.last_check_time => {
            Some(Reason::NextCheck(checked + world.release.analysis.interval))
        }
        _ if running || matches!(status.phase, Phase::Waiting | Phase::Initializing) => {
            return status.blockers.clone();
        }
        _ => return Vec::new(),
    };
    let gates = gates(world, status.phase);
    let next = reason.filter(|_| gates.is_empty()).and_then(|reason| blocker(&reason, None));
    since(&world.status.blockers, checks.chain(gates).chain(next), world.now)
}

/// Writes down a wait that the status does not show yet. If only the numbers in a text change, they are written once
/// per interval.
fn note(world: &Snapshot, mut wait: Wait) -> Step {
    let known = &world.status.blockers;
    let passing = match wait.why {
        // The cluster has not looked at the last edit yet: over in a moment.
        Reason::Readiness(_) => wait.notices.is_empty(),
        // A suspended Canary is left as it is, unless what it says would be wrong.
        Reason::Suspended => known.is_empty(),
        _ => false,
    };
    if passing {
        return wait.into();
    }
    let mut blockers = Vec::new();
    if matches!(wait.why, Reason::NextCheck(_)) {
        blockers.extend(known.iter().filter(|blocker| blocker.kind == BlockerKind::Check).cloned());
        blockers.extend(gates(world, world.status.phase));
    }
    if !blockers.iter().any(|blocker| blocker.kind == BlockerKind::Gate) {
        blockers.extend(blocker(&wait.why, wait.until));
    }
    let blockers = since(known, blockers, world.now);
    if blockers == *known {
        return wait.into();
    }
    let facts = |blockers: &[Blocker]| -> Vec<_> {
        blockers.iter().map(|blocker| (blocker.kind, blocker.name.clone(), blocker.until)).collect()
    };
    if facts(&blockers) == facts(known)
        && let Some(noted) = world.wait_recorded_at
        && world.now < noted + world.release.analysis.interval
    {
        let again = noted + world.release.analysis.interval;
        wait.until = Some(wait.until.map_or(again, |until| until.min(again)));
        return wait.into();
    }
    let mut plan = Plan::status(CanaryStatus { blockers, ..world.status.clone() });
    name_revisions(world, &mut plan.status);
    plan.records_wait = true;
    plan.into()
}

/// The gates that were closed when they were last asked.
fn gates(world: &Snapshot, phase: Phase) -> Vec<Blocker> {
    let stay = phase == Phase::WaitingPromotion && world.status.phase == phase;
    let polled = phase == Phase::Progressing && world.unrecorded_step_at.is_some();
    let known = world.status.blockers.iter().filter(|_| stay || polled);
    known.filter(|blocker| blocker.kind == BlockerKind::Gate).cloned().collect()
}

fn name_revisions(world: &Snapshot, status: &mut CanaryStatus) {
    let now = Some(world.now.trunc_subsecs(0));
    let target = world.target.as_ref().map_or("", |target| target.revision.as_str());
    let before = world.status.releasing.clone();
    let images = |name: &str| match &before {
        _ if name == target => world.images.clone(),
        Some(before) if before.name == name => before.images.clone(),
        _ => Vec::new(),
    };
    let named = |name: &str, known: Option<Revision>| match known {
        _ if name.is_empty() || name == SUPERSEDED => None,
        Some(known) if known.name == name => Some(known),
        _ => Some(Revision { name: name.to_owned(), images: images(name), since: now }),
    };
    status.releasing = match status.phase {
        Phase::Waiting => named(target, status.releasing.take()),
        phase if phase.is_stepping() => named(&status.last_applied_spec, status.releasing.take()),
        _ => None,
    };
    status.promoted = named(&status.last_promoted_spec, status.promoted.take());
}
