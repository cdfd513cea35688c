//! Leads from a phase to its function. No other `match` over phases decides what comes next.

use crate::api::status::Phase;

use super::account::account;
use super::by_hand;
use super::checkable;
use super::flow::{Flow, stop, target_warnings, wait, warnings};
use super::snapshot::Snapshot;
use super::step::{Effect, Plan, Reason, Step};
use super::{initialize, messages, progress, promote, resting, rollback, safety, status, terminate};

/// What the controller does next for this Canary. A step `Ask` holds only questions that have no answer yet.
pub fn next(world: &Snapshot) -> Step {
    let step = match decide(world) {
        Flow::Continue(step) => step,
        Flow::Break(step) => *step,
    };
    account(world, step)
}

fn decide(world: &Snapshot) -> Flow<Step> {
    safety::first(world)?;
    if world.lifecycle.deleting {
        return terminate::deleting(world);
    }
    finalizer(world)?;
    if world.release.suspend {
        return Flow::Continue(wait(
            Reason::Suspended,
            [messages::normal(world.status.phase, messages::SUSPENDED)],
        ));
    }
    announce(world)?;
    checkable::review(world)?;
    match world.status.settling() {
        Some((Phase::Initialized, _)) => return initialize::initializing(world),
        Some((_, since)) => return rollback::settling(world, since),
        None => by_hand::requested(world)?,
    }
    match world.status.phase {
        Phase::Unset | Phase::Initializing => initialize::initializing(world),
        Phase::Initialized | Phase::Waiting | Phase::Succeeded | Phase::Failed => resting::resting(world),
        Phase::Progressing | Phase::WaitingPromotion => progress::progressing(world),
        Phase::Promoting => promote::promoting(world),
        Phase::Finalising => promote::finalising(world),
        // The deletion that led here was the object's; it cannot come back from it.
        Phase::Terminating | Phase::Terminated => Flow::Continue(wait(Reason::Deleting, [])),
    }
}

/// Sets the finalizer while it is wanted, and removes it otherwise (spec 02 E9.3).
fn finalizer(world: &Snapshot) -> Flow<()> {
    let wanted = world.release.revert_on_deletion || world.lifecycle.needs_cleanup;
    let effect = match (wanted, world.lifecycle.has_finalizer) {
        (true, false) => Effect::AddFinalizer,
        (false, true) => Effect::RemoveFinalizer,
        _ => return Flow::Continue(()),
    };
    stop(Plan::status(world.status.clone()).effects([effect]))
}

/// Records a new generation of the manifest once, and says what it should say differently.
fn announce(world: &Snapshot) -> Flow<()> {
    let recorded = world.status.observed_generation == Some(world.release.generation);
    if world.status.conditions.is_none() || recorded {
        return Flow::Continue(());
    }
    stop(Plan::status(status::touched(world)).events(warnings(world)).events(target_warnings(world)))
}
