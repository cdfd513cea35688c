//! The end of a run that failed: the primary gets the traffic, the proxies get time to know of it, then the canary's
//! pods go. A promotion that failed ends otherwise: the healthy canary gets all traffic.

use chrono::{DateTime, Utc};

use crate::api::hooks::{HookType, Severity};
use crate::api::status::{CanaryStatus, POST_ROLLOUT, Phase};
use crate::model::traffic::Split;

use super::change::{Change, change};
use super::flow::{Flow, blocked, end, stop, taken_in};
use super::snapshot::Snapshot;
use super::step::{Alert, Effect, Event, Outcome, Plan, Reason, Step, Wait};
use super::{messages, status, upkeep};

/// Why a run is rolled back.
pub(super) enum Cause<'a> {
    /// Failed checks reached the threshold.
    Threshold,
    /// The rollback hook of this name asked for it.
    Manual { hook: &'a str },
    /// Somebody asked for it by hand. `said` is the text of the event, `alert` that of the alert.
    Request { said: &'a str, alert: &'a str },
    /// A workload missed its deadline; `why` has the numbers.
    Deadline { why: &'a str },
    /// A metric ends the release by a rule of its own; `why` says which, with the numbers.
    Metric { why: &'a str },
}

/// Rolls back: the routes turn first, and the pods go when the proxies know of it.
pub(super) fn begin(world: &Snapshot, cause: &Cause<'_>, said: Vec<Event>) -> Flow<Step> {
    let (mut events, alert) = announcement(world, cause);
    events.splice(0..0, said);
    let route = match cause {
        _ if !world.is_exposed() => None,
        // Whoever asks for it knows why.
        Cause::Manual { .. } | Cause::Request { .. } => {
            Some(upkeep::safe_route(world, Split::PRIMARY, true)?)
        }
        Cause::Threshold | Cause::Deadline { .. } | Cause::Metric { .. } => {
            Some(upkeep::last_route(world, Split::PRIMARY)?)
        }
    };
    if route.is_none() && parting_since(world).is_none() {
        return Flow::Continue(finish(world, events, Some(alert)).into());
    }
    let plan = Plan::status(settled(world, Phase::Failed)).effects(route.map(Effect::Route));
    Flow::Continue(plan.events(events).alert(alert).into())
}

/// The primary lost its pods while the traffic settled on it, and the canary carries everything again: it keeps its pods
/// until the primary answers, and then the traffic settles once more.
fn stand_in(world: &Snapshot) -> Flow<Step> {
    let (next, _) = world.status.settling().unwrap_or((Phase::Failed, world.now));
    if world.primary_answers() == Some(false) {
        let fix = world
            .target
            .as_ref()
            .is_ok_and(|target| change(&world.status, target, world.primary.as_ref()) == Change::New);
        if !fix {
            return blocked(world, "PrimaryNotReady", &messages::stands_in(world));
        }
        // It is released from where the traffic is.
        let mut plan = match next {
            Phase::Succeeded => cancel_finish(world),
            _ => finish(world, Vec::new(), None),
        };
        plan.effects.clear();
        return Flow::Continue(plan.into());
    }
    let route = Effect::Route(upkeep::last_route(world, Split::PRIMARY)?);
    let event = messages::normal(world.status.phase, messages::ROUTE_ALL_TO_PRIMARY);
    Flow::Continue(Plan::status(settled(world, next)).effects([route]).events([event]).into())
}

/// Goes on once every proxy has had the time to hear that the canary has lost its share.
pub(super) fn parted(world: &Snapshot) -> Flow<()> {
    match parting_since(world) {
        Some(since) => {
            let until = since + world.settle;
            end(Wait::until(until, Reason::Settling(until)))
        }
        None => Flow::Continue(()),
    }
}

/// Since when the canary may have lost its share, if that is so short a time ago that proxies may not know it yet: with
/// the step before this one, or with a write whose answer was lost.
fn parting_since(world: &Snapshot) -> Option<DateTime<Utc>> {
    let pods = world.target.as_ref().is_ok_and(|target| target.replicas > 0);
    let recent = |at: &DateTime<Utc>| *at <= world.now && world.now < *at + world.settle;
    let last = world.status.last_check_time.filter(recent).max(world.exposed_at.filter(recent));
    last.filter(|_| world.has_routes() && pods)
}

/// The status while the proxies get to know that the canary has lost its traffic; then comes `next`.
fn settled(world: &Snapshot, next: Phase) -> CanaryStatus {
    let mut status = status::touched(world);
    status.canary_weight = 0;
    status::settle(&mut status, next, world.now);
    status::release_cookies(&mut status);
    status
}

/// Waits after the routes were turned at `since`, and then stops the canary's pods. If safety had to turn them once more
/// meanwhile, the wait begins anew.
pub(super) fn settling(world: &Snapshot, since: DateTime<Utc>) -> Flow<Step> {
    let turned = world.status.last_check_time.filter(|at| *at <= world.now);
    let since = turned.map_or(since, |turned| turned.max(since));
    let until = since + world.settle;
    if world.now < until {
        return Flow::Continue(Wait::until(until, Reason::Settling(until)).into());
    }
    taken_in(world, since)?;
    if world.is_exposed() {
        return stand_in(world);
    }
    let cancelled = world.status.settling().is_some_and(|(next, _)| next == Phase::Succeeded);
    if cancelled {
        return Flow::Continue(cancel_finish(world).into());
    }
    Flow::Continue(finish(world, Vec::new(), None).into())
}

/// Ends a run whose target went back to the promoted revision. Nothing has failed (spec 02 E1.17).
pub(super) fn cancel(world: &Snapshot) -> Flow<Step> {
    let event = messages::normal(world.status.phase, messages::cancelled(&world.release));
    let route = match world.is_exposed() {
        true => Some(upkeep::last_route(world, Split::PRIMARY)?),
        false => None,
    };
    if route.is_none() && parting_since(world).is_none() {
        return Flow::Continue(cancel_finish(world).events([event]).into());
    }
    let plan = Plan::status(settled(world, Phase::Succeeded)).effects(route.map(Effect::Route));
    Flow::Continue(plan.events([event]).into())
}

fn cancel_finish(world: &Snapshot) -> Plan {
    let mut status = world.status.clone();
    match &world.target {
        Ok(target) if change(&status, target, world.primary.as_ref()) == Change::Promoted => {
            status::record(&mut status, target);
        }
        // Pushed while the routes settled: nobody has released it yet.
        _ => {
            status.last_applied_spec.clone_from(&status.last_promoted_spec);
            status.applied_target = None;
        }
    }
    let recorded = Snapshot { status, ..world.clone() };
    let mut status = status::phase(&recorded, Phase::Succeeded);
    status.failed_checks = 0;
    close(&mut status, world, Ending::RolledBack);
    Plan::status(status).effects([Effect::PauseScaler, Effect::ScaleToZero])
}

fn finish(world: &Snapshot, mut events: Vec<Event>, alert: Option<Alert>) -> Plan {
    let mut status = status::phase(world, Phase::Failed);
    status.failed_checks = 0;
    close(&mut status, world, Ending::RolledBack);
    events.push(messages::warning(Phase::Failed, messages::failed(&world.release)));
    let mut plan = Plan::status(status)
        .effects([Effect::PauseScaler, Effect::ScaleToZero])
        .events(events)
        .outcome(Outcome::Failed);
    plan.alerts.extend(alert);
    plan
}

/// Ends a promotion whose primary cannot become ready: the healthy canary gets all traffic and keeps its pods (spec 02
/// T17).
pub(super) fn promotion_failed(world: &Snapshot, why: &str) -> Flow<Step> {
    let mut status = status::phase(world, Phase::Failed);
    status.failed_checks = 0;
    let mut effects = Vec::new();
    let analysed =
        world.target.as_ref().is_ok_and(|target| target.revision == world.status.last_applied_spec);
    if world.has_routes() && analysed && world.canary_pods() > 0 {
        if world.routes.split() != Some(Split::CANARY) {
            effects.push(Effect::Route(upkeep::last_route(world, Split::CANARY)?));
        }
        status.canary_weight = 100;
    } else if world.has_routes() {
        status.canary_weight = i64::from(world.canary_share());
    }
    close(&mut status, world, Ending::RolledBack);
    let plan = Plan::status(status)
        .effects(effects)
        .events([
            messages::warning(world.status.phase, why),
            messages::warning(Phase::Failed, messages::promotion_failed(&world.release, why)),
        ])
        .alert(messages::alert(Severity::Error, messages::promotion_failed_alert(why)))
        .outcome(Outcome::Failed);
    stop(plan)
}

/// How a run ended. It decides on the event and alert after the post-rollout hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Completed,
    Skipped,
    RolledBack,
}

impl Ending {
    fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "Completed",
            Self::Skipped => "Skipped",
            Self::RolledBack => "RolledBack",
        }
    }

    /// The ending of the run whose post-rollout hooks are still to be called; `None` if there is no such run.
    pub(super) fn pending(world: &Snapshot) -> Option<Self> {
        let condition = world.status.condition(POST_ROLLOUT)?;
        let endings = [Self::Completed, Self::Skipped];
        Some(
            endings
                .into_iter()
                .find(|ending| ending.as_str() == condition.reason)
                .unwrap_or(Self::RolledBack),
        )
    }

    /// The last event and the last alert of the run; a rollback has said all before.
    pub(super) fn last_words(self, world: &Snapshot) -> Option<(Event, Alert)> {
        let (text, alert) = match self {
            Self::Completed => (messages::completed(&world.release), messages::COMPLETED_ALERT),
            Self::Skipped => (messages::skipped(&world.release), messages::SKIPPED_ALERT),
            Self::RolledBack => return None,
        };
        Some((messages::normal(Phase::Succeeded, text), messages::alert(Severity::Info, alert)))
    }
}

/// Records that the post-rollout hooks are to be called. `false` if there are none: then the last event can be sent
/// now.
pub(super) fn close(status: &mut CanaryStatus, world: &Snapshot, ending: Ending) -> bool {
    let hooks = world.release.hooks(HookType::PostRollout).next().is_some();
    if hooks {
        status::close(status, ending.as_str(), world.now);
    }
    hooks
}

/// The events of a rollback that the hook `hook` asked for. Those of every rollback follow.
pub(super) fn manual_events(world: &Snapshot, hook: &str) -> [Event; 2] {
    let phase = world.status.phase;
    [
        messages::warning(phase, messages::rollback_hook_passed(hook)),
        messages::warning(phase, messages::manual_rollback(&world.release)),
    ]
}

pub(super) fn announcement(world: &Snapshot, cause: &Cause<'_>) -> (Vec<Event>, Alert) {
    let release = &world.release;
    let phase = world.status.phase;
    match cause {
        Cause::Threshold => {
            let failed = world.status.failed_checks;
            (
                vec![messages::warning(phase, messages::threshold_reached(release, failed))],
                messages::alert(Severity::Error, messages::threshold_alert(failed)),
            )
        }
        Cause::Manual { hook } => (
            manual_events(world, hook).into(),
            messages::alert(Severity::Warn, messages::MANUAL_ROLLBACK_ALERT),
        ),
        Cause::Request { said, alert } => {
            (vec![messages::warning(phase, *said)], messages::alert(Severity::Warn, *alert))
        }
        Cause::Metric { why } => (
            vec![messages::warning(phase, messages::metric_ends(release, why))],
            messages::alert(Severity::Error, messages::metric_alert(why)),
        ),
        Cause::Deadline { why } => (
            vec![
                messages::warning(phase, *why),
                messages::warning(phase, messages::deadline_exceeded(release, why)),
            ],
            messages::alert(Severity::Error, messages::deadline_alert(why)),
        ),
    }
}
