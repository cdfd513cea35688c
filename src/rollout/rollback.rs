//! The end of a run that failed: the primary gets the traffic, the proxies get time to know of it, then the canary's
//! pods go. A promotion that failed ends otherwise: the healthy canary gets all traffic.

use chrono::{DateTime, Utc};

use crate::api::hooks::{HookType, Severity};
use crate::api::status::{CanaryStatus, POST_ROLLOUT, Phase};
use crate::model::traffic::Split;

use super::change::{Change, change};
use super::flow::{Flow, SETTLE, stop, taken_in};
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
    let moves = world.has_routes() && (world.canary_share() > 0 || world.routes.mirrored());
    if !moves {
        return Flow::Continue(finish(world, events, Some(alert)).into());
    }
    let route = match cause {
        // Whoever asks for it knows why.
        Cause::Manual { .. } | Cause::Request { .. } => upkeep::safe_route(world, Split::PRIMARY, true)?,
        Cause::Threshold | Cause::Deadline { .. } | Cause::Metric { .. } => {
            upkeep::last_route(world, Split::PRIMARY)?
        }
    };
    let route = Effect::Route(route);
    let mut status = status::touched(world);
    status.canary_weight = 0;
    status::settle(&mut status, Phase::Failed, world.now);
    status::release_cookies(&mut status);
    Flow::Continue(Plan::status(status).effects([route]).events(events).alert(alert).into())
}

/// Waits after the routes were turned at `since`, and then stops the canary's pods.
pub(super) fn settling(world: &Snapshot, since: DateTime<Utc>) -> Flow<Step> {
    let until = since + SETTLE;
    if world.now < until {
        return Flow::Continue(Wait::until(until, Reason::Settling(until)).into());
    }
    taken_in(world, since)?;
    let cancelled = world.status.settling().is_some_and(|(next, _)| next == Phase::Succeeded);
    if cancelled {
        return Flow::Continue(cancel_finish(world).into());
    }
    Flow::Continue(finish(world, Vec::new(), None).into())
}

/// Ends a run whose target went back to the promoted revision. Nothing has failed (spec 02 E1.17).
pub(super) fn cancel(world: &Snapshot) -> Flow<Step> {
    let event = messages::normal(world.status.phase, messages::cancelled(&world.release));
    if world.has_routes() && (world.canary_share() > 0 || world.routes.mirrored()) {
        let route = Effect::Route(upkeep::last_route(world, Split::PRIMARY)?);
        let mut status = status::touched(world);
        status.canary_weight = 0;
        status::settle(&mut status, Phase::Succeeded, world.now);
        status::release_cookies(&mut status);
        return Flow::Continue(Plan::status(status).effects([route]).events([event]).into());
    }
    Flow::Continue(cancel_finish(world).events([event]).into())
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
