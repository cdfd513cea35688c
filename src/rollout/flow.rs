//! How a decision runs: it goes on with `?`, or it ends early with a step. And the steps that every phase ends with.

use std::ops::ControlFlow;

use chrono::{DateTime, TimeDelta, Utc};

use crate::model::traffic::Acceptance;
use crate::model::workload::Readiness;

use super::snapshot::Snapshot;
use super::step::{Event, Plan, Reason, Step, Wait};
use super::{messages, status};

/// A decision in the making: it continues with a value, or breaks off with the step that was decided.
pub(super) type Flow<T> = ControlFlow<Box<Step>, T>;

/// How long proxies are given to hear of a route before the side that lost the traffic loses its pods.
pub(super) const SETTLE: TimeDelta = TimeDelta::seconds(5);

/// The events for what the manifest should say differently.
pub(super) fn warnings(world: &Snapshot) -> Vec<Event> {
    world.warnings.iter().map(|text| messages::warning(world.status.phase, text)).collect()
}

/// Ends the decision with `step`.
pub(super) fn end<T>(step: impl Into<Step>) -> Flow<T> {
    Flow::Break(Box::new(step.into()))
}

/// Ends the decision with `plan`.
pub(super) fn stop<T>(plan: Plan) -> Flow<T> {
    end(plan)
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
    end(wait(Reason::Blocked(message.to_owned()), []))
}

/// Waits as long as the mesh may still send requests to the side that has lost its share at `since`, but no longer than
/// a rollout may take: a mesh that never answers must not keep a release from its end.
pub(super) fn taken_in(world: &Snapshot, since: DateTime<Utc>) -> Flow<()> {
    let until = since + world.release.progress_deadline;
    match &world.acceptance {
        Acceptance::Pending(why) if world.now < until => {
            end(Wait::until(until, Reason::NotAccepted(why.clone())))
        }
        _ => Flow::Continue(()),
    }
}

/// The end of a step that leaves nothing in the status: the next step is due an interval from now.
pub(super) fn unrecorded_step(world: &Snapshot, why: Reason) -> Wait {
    let mut wait = Wait::until(world.now + world.release.analysis.interval, why);
    wait.unrecorded_step = true;
    wait
}

/// Waits for pods; the wait ends with the watch, not with the clock.
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
