//! Requests by hand: pause, resume, approve, promote, abort, retry. Each is for one revision, is carried out once,
//! and is answered in an event and in the condition `Request`. One that comes late is refused, and cannot hit the
//! next release.

use chrono::TimeDelta;

use crate::api::status::{APPROVED, BlockerKind, CanaryStatus, PAUSED, PROMOTE, Phase};
use crate::model::by_hand::{Action, Request};
use crate::model::workload::TargetFacts;

use super::change::SUPERSEDED;
use super::flow::{Flow, end, stop};
use super::holds::approved;
use super::resting;
use super::rollback::{self, Cause};
use super::snapshot::Snapshot;
use super::status::{self, hold, unhold};
use super::step::{Plan, Reason};
use super::{messages, upkeep};

/// Carries out or refuses a request that has no answer yet.
pub(super) fn requested(world: &Snapshot) -> Flow<()> {
    let (Some(request), Ok(target)) = (&world.request, &world.target) else { return Flow::Continue(()) };
    if world.status.conditions.is_none() || status::is_answered(&world.status, request) {
        return Flow::Continue(());
    }
    match &request.wish {
        Err(why) => refuse(world, request, why),
        Ok(wish) if !wish.is_for(&target.revision) => {
            let why = format!("it is for revision {}, the target is at {}", wish.revision, target.revision);
            refuse(world, request, &why)
        }
        Ok(wish) => grant(world, request, wish.action, target),
    }
}

/// Why `action` cannot be carried out for `revision`, as far as the status tells; `None` if nothing in it speaks
/// against it. The command line asks the same before it asks the controller, which sees more.
pub fn objection(status: &CanaryStatus, revision: &str, action: Action) -> Option<String> {
    let phase = status.phase;
    let undecided = matches!(phase, Phase::Waiting | Phase::Progressing | Phase::WaitingPromotion);
    let held = status.said_of(PAUSED, revision);
    match action {
        Action::Resume => held.is_none().then(|| "it is not paused".to_owned()),
        Action::Retry if phase == Phase::Failed => None,
        Action::Retry => {
            Some(format!("only a failed revision can be released again, the phase is {}", named(phase)))
        }
        _ if matches!(phase, Phase::Promoting | Phase::Finalising) => {
            Some("the primary has been given the revision already, it cannot be held up".to_owned())
        }
        _ if !undecided => {
            let hint = if phase == Phase::Failed { ", ask for retry to release it again" } else { "" };
            Some(format!("nothing is being released in phase {}{hint}", named(phase)))
        }
        Action::Pause => held.map(|by| format!("it is {by} already")),
        Action::Approve => closed_gate(status).is_none().then(|| "no gate waits for an approval".to_owned()),
        Action::Promote | Action::Abort => None,
    }
}

fn grant(world: &Snapshot, request: &Request, action: Action, target: &TargetFacts) -> Flow<()> {
    if let Some(why) = objection(&world.status, &target.revision, action) {
        return refuse(world, request, &why);
    }
    match action {
        Action::Pause => suspend(world, request, target),
        Action::Resume => resume(world, request),
        Action::Approve => approve(world, request, target),
        Action::Promote => promote(world, request, target),
        Action::Abort => abort(world, request, target),
        Action::Retry => retry(world, request),
    }
}

/// The first gate that waits for an approval.
fn closed_gate(status: &CanaryStatus) -> Option<&str> {
    let gate = status.blockers.iter().find(|blocker| blocker.kind == BlockerKind::Gate)?;
    gate.name.as_deref()
}

fn named(phase: Phase) -> &'static str {
    match phase {
        Phase::Unset => "Initializing",
        phase => phase.as_str(),
    }
}

fn suspend(world: &Snapshot, request: &Request, target: &TargetFacts) -> Flow<()> {
    let by = with_origin("paused", request);
    let mut status = status::touched(world);
    hold(&mut status, PAUSED, &target.revision, &by, world.now);
    let outcome = match world.status.phase {
        Phase::Waiting => "the release does not start before it is resumed".to_owned(),
        _ => format!("traffic stays at weight {}", world.canary_share()),
    };
    stop(done(world, request, status, &outcome).waits(Reason::Paused(by)))
}

fn resume(world: &Snapshot, request: &Request) -> Flow<()> {
    let mut status = status::touched(world);
    unhold(&mut status, PAUSED);
    stop(done(world, request, status, "the release goes on"))
}

fn approve(world: &Snapshot, request: &Request, target: &TargetFacts) -> Flow<()> {
    let gate = closed_gate(&world.status).unwrap_or_default();
    let mut names = approved(world);
    names.push(gate.to_owned());
    let mut status = due(world);
    let list = serde_json::to_string(&names).unwrap_or_default();
    hold(&mut status, APPROVED, &target.revision, &list, world.now);
    stop(done(world, request, status, &format!("gate {gate} is open")))
}

fn promote(world: &Snapshot, request: &Request, target: &TargetFacts) -> Flow<()> {
    let mut status = due(world);
    unhold(&mut status, PAUSED);
    hold(&mut status, PROMOTE, &target.revision, &with_origin("promoted", request), world.now);
    stop(done(world, request, status, "it is promoted without further checks as soon as it is ready"))
}

fn abort(world: &Snapshot, request: &Request, target: &TargetFacts) -> Flow<()> {
    if world.has_routes() && world.primary_answers() == Some(false) {
        return refuse(
            world,
            request,
            "no pod of the primary is ready, nobody else would answer: repair it first",
        );
    }
    let mut status = world.status.clone();
    let outcome = "rolling back";
    status::answer(&mut status, request, true, outcome, world.now);
    let answered = Snapshot { status, ..world.clone() };
    let said = messages::request(request, &target.revision, outcome);
    let by = with_origin("Rolling back as requested", request);
    let cause = Cause::Request { said: &said, alert: &by };
    let step = match world.status.phase {
        Phase::Waiting => resting::abandon(&answered, target, &cause).into(),
        _ => rollback::begin(&answered, &cause, Vec::new())?,
    };
    end(step)
}

/// Releases a failed revision again as if it were new. If its promotion failed, the primary runs it already, and the
/// promotion goes on.
fn retry(world: &Snapshot, request: &Request) -> Flow<()> {
    let (_, primary) = upkeep::upkeep(world)?;
    if primary.matches_target {
        let mut status = status::checked(status::phase(world, Phase::Promoting), world);
        status.canary_weight = i64::from(world.canary_share());
        return stop(done(world, request, status, "the promotion goes on"));
    }
    let mut status = status::touched(world);
    status.last_applied_spec = SUPERSEDED.to_owned();
    status.applied_target = None;
    stop(done(world, request, status, "it is released again"))
}

fn done(world: &Snapshot, request: &Request, mut status: CanaryStatus, outcome: &str) -> Plan {
    let revision = world.target.as_ref().map_or("", |target| target.revision.as_str());
    status::answer(&mut status, request, true, outcome, world.now);
    let said = messages::request(request, revision, outcome);
    Plan::status(status).events([messages::normal(world.status.phase, said)])
}

fn refuse(world: &Snapshot, request: &Request, why: &str) -> Flow<()> {
    let mut status = status::touched_if_stalled(world);
    status::answer(&mut status, request, false, why, world.now);
    let said = messages::request_refused(request, why);
    stop(Plan::status(status).events([messages::warning(world.status.phase, said)]))
}

/// The status with which the next step is due now, so that the one who asked does not wait for another interval.
fn due(world: &Snapshot) -> CanaryStatus {
    let mut status = status::touched(world);
    status.last_check_time = TimeDelta::from_std(world.release.analysis.interval)
        .ok()
        .and_then(|interval| world.now.checked_sub_signed(interval));
    status
}

fn with_origin(what: &str, request: &Request) -> String {
    match request.origin() {
        origin if origin.is_empty() => format!("{what} by request"),
        origin => format!("{what} {origin}"),
    }
}
