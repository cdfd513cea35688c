//! The flow of a decision: it goes on with `?`, or it ends early with a step. The steps that every phase uses are here
//! as well.

use std::ops::ControlFlow;

use chrono::{DateTime, Utc};

use crate::model::traffic::Acceptance;
use crate::model::workload::Readiness;

use super::snapshot::Snapshot;
use super::step::{Event, Plan, Reason, Step, Wait};
use super::{messages, status};

/// A part of a decision: it continues with a value, or breaks off with the step that is decided.
pub(super) type Flow<T> = ControlFlow<Box<Step>, T>;

/// The events that say what the manifest should say differently.
pub(super) fn warnings(world: &Snapshot) -> Vec<Event> {
    world.warnings.iter().map(|text| messages::warning(world.status.phase, text)).collect()
}

/// The events that say what the target does not bear out.
pub(super) fn target_warnings(world: &Snapshot) -> Vec<Event> {
    world.target_warnings.iter().map(|text| messages::warning(world.status.phase, text)).collect()
}

/// Ends the decision with `step`.
pub(super) fn end<T>(step: impl Into<Step>) -> Flow<T> {
    Flow::Break(Box::new(step.into()))
}

/// Ends the decision with `plan`.
pub(super) fn stop<T>(plan: Plan) -> Flow<T> {
    end(plan)
}

/// A wait that ends when a watched object changes.
pub(super) fn wait(why: Reason, notices: impl IntoIterator<Item = Event>) -> Step {
    Wait::for_change(why).notices(notices).into()
}

/// Writes the reason into the status and sends an event, once. After that it waits for something to change.
pub(super) fn blocked<T>(world: &Snapshot, reason: &str, message: &str) -> Flow<T> {
    let status = status::blocked(world, reason, message);
    if status::differs(&world.status, &status) {
        let plan = Plan::status(status).waits(Reason::Blocked(message.to_owned()));
        return stop(plan.events([messages::warning(world.status.phase, message)]));
    }
    end(wait(Reason::Blocked(message.to_owned()), []))
}

/// Waits while the mesh may still send requests to the side that lost its share at `since`. It waits no longer than the
/// progress deadline: a mesh that never answers must not keep a release from its end.
pub(super) fn taken_in(world: &Snapshot, since: DateTime<Utc>) -> Flow<()> {
    let until = since + world.release.progress_deadline;
    match &world.acceptance {
        Acceptance::Pending(why) if world.now < until => {
            end(Wait::until(until, Reason::NotAccepted(why.clone())))
        }
        _ => Flow::Continue(()),
    }
}

/// The end of a step that changes nothing in the status: the next step is due one interval from now.
pub(super) fn unrecorded_step(world: &Snapshot, why: Reason) -> Wait {
    let mut wait = Wait::until(world.now + world.release.analysis.interval, why);
    wait.unrecorded_step = true;
    wait
}

/// A wait for pods. A change of the workload ends it, or the time at which the workload counts as stuck.
pub(super) fn unready(world: &Snapshot, readiness: &Readiness) -> Step {
    let (why, until) = match readiness {
        Readiness::Ready => (String::new(), None),
        Readiness::Waiting { why, stuck_at } => (why.to_string(), *stuck_at),
        Readiness::Stuck { why } => (why.to_string(), None),
    };
    let told = !readiness.is_unobserved();
    let mut wait = Wait::for_change(Reason::Readiness(why.clone()))
        .notices(told.then(|| messages::warning(world.status.phase, why)));
    wait.until = until;
    wait.into()
}
