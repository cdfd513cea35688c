//! From a phase to its function: the only `match` over phases that decides.

use crate::api::status::Phase;

use super::account::account;
use super::by_hand;
use super::snapshot::Snapshot;
use super::step::{Effect, Event, Plan, Reason, Step, Wait};
use super::{initialize, messages, progress, promote, resting, rollback, status, terminate};

/// A decision in the making: `Err` is a step that ends it early.
pub(super) type Flow<T> = Result<T, Box<Step>>;

/// What the controller does next for this Canary. Asks only for what has no answer yet.
pub fn next(world: &Snapshot) -> Step {
    account(world, decide(world).unwrap_or_else(|step| *step))
}

fn decide(world: &Snapshot) -> Flow<Step> {
    if world.lifecycle.deleting {
        return terminate::deleting(world);
    }
    finalizer(world)?;
    if world.release.suspend {
        return Ok(wait(Reason::Suspended, [messages::normal(world.status.phase, messages::SUSPENDED)]));
    }
    announce(world)?;
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
        Phase::Terminating | Phase::Terminated => Ok(wait(Reason::Deleting, [])),
    }
}

/// The finalizer is there exactly while it is wanted (spec 02 E9.3).
fn finalizer(world: &Snapshot) -> Flow<()> {
    let wanted = world.release.revert_on_deletion || world.lifecycle.needs_cleanup;
    let effect = match (wanted, world.lifecycle.has_finalizer) {
        (true, false) => Effect::AddFinalizer,
        (false, true) => Effect::RemoveFinalizer,
        _ => return Ok(()),
    };
    stop(Plan::status(world.status.clone()).effects([effect]))
}

/// Records a new generation of the manifest once, and says what it should say differently.
fn announce(world: &Snapshot) -> Flow<()> {
    let recorded = world.status.observed_generation == Some(world.release.generation);
    if world.status.conditions.is_none() || recorded {
        return Ok(());
    }
    stop(Plan::status(status::touched(world)).events(warnings(world)))
}

pub(super) fn warnings(world: &Snapshot) -> Vec<Event> {
    world.warnings.iter().map(|text| messages::warning(world.status.phase, text)).collect()
}

/// Ends the decision with `plan`.
pub(super) fn stop<T>(plan: Plan) -> Flow<T> {
    Err(Box::new(plan.into()))
}

/// Waits for a watched object to change.
pub(super) fn wait(why: Reason, notices: impl IntoIterator<Item = Event>) -> Step {
    Wait::for_change(why).notices(notices).into()
}

/// Stops with the reason in the status and an event, once; then waits for something to change.
pub(super) fn blocked<T>(world: &Snapshot, reason: &str, message: &str) -> Flow<T> {
    let status = status::blocked(world, reason, message);
    if status::differs(&world.status, &status) {
        let plan = Plan::status(status).waits(Reason::Blocked(message.to_owned()));
        return stop(plan.events([messages::warning(world.status.phase, message)]));
    }
    Err(Box::new(wait(Reason::Blocked(message.to_owned()), [])))
}

/// A step that left nothing in the status: the next one is due an interval from now.
pub(super) fn polled(world: &Snapshot, why: Reason) -> Wait {
    let mut wait = Wait::until(world.now + world.release.analysis.interval, why);
    wait.polled = true;
    wait
}
