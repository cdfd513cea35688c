//! Leads a new Canary to its first `Initialized`: Services, a ready primary, then the traffic moves to it, then the
//! target's pods go. While the primary is not ready, neither traffic nor target is touched (spec 02 E1.12).

use crate::api::hooks::Severity;
use crate::api::status::Phase;
use crate::model::traffic::{Acceptance, Split};
use crate::model::workload::{Presence, PrimaryFacts, Readiness, TargetFacts};

use super::change::SUPERSEDED;
use super::flow::{Flow, blocked, end, stop, target_warnings, unready, warnings};
use super::question::{Answer, Ask};
use super::snapshot::{RoutesSeen, Snapshot};
use super::step::{Effect, Event, Plan, Reason, Side, Step, Wait};
use super::{checkable, gates, messages, status, upkeep};

pub(super) fn initializing(world: &Snapshot) -> Flow<Step> {
    if world.status.conditions.is_none() {
        return stop(Plan::status(status::phase(world, Phase::Initializing)).events(warnings(world)));
    }
    let target = upkeep::target(world)?;
    upkeep::complete(world, target)?;
    let mut services = upkeep::services(world, &[Side::Canary, Side::Primary])?;
    // What is there already may carry the traffic of an older target: it moves when the new primary is ready.
    services.retain(|effect| {
        *effect != Effect::Service(Side::Primary) || world.services.primary == Presence::Absent
    });
    let Some(primary) = &world.primary else {
        let probed = probe(world)?;
        let effects = services.into_iter().chain(groundwork(world)?).chain([Effect::CreatePrimary]);
        let plan = Plan::status(status::touched_if_stalled(world)).effects(effects);
        return stop(plan.events(target_warnings(world)).events(probed));
    };
    if !services.is_empty() {
        return stop(Plan::status(status::touched_if_stalled(world)).effects(services));
    }
    ready(world, primary)?;
    traffic(world, target)?;
    initialized(world, target, primary)
}

/// The write for what the mesh needs before the primary's pods start, if it is not in place.
fn groundwork(world: &Snapshot) -> Flow<Option<Effect>> {
    match &world.groundwork {
        Presence::InPlace => Flow::Continue(None),
        Presence::Absent | Presence::Drifted => Flow::Continue(Some(Effect::Groundwork)),
        Presence::Refused(why) => blocked(world, "RoutesRefused", why),
    }
}

/// Waits for the primary. If it misses its deadline, that is reported, and the wait goes on.
fn ready(world: &Snapshot, primary: &PrimaryFacts) -> Flow<()> {
    match &world.within_deadline(&primary.readiness) {
        Readiness::Ready => Flow::Continue(()),
        waiting @ Readiness::Waiting { .. } => end(unready(world, waiting)),
        // The target has been given another template since, which nobody has released.
        Readiness::Stuck { why } if !primary.matches_target => {
            let text = messages::primary_of_another_template(&world.release, &why.to_string());
            blocked(world, "PrimaryNotReady", &text)
        }
        Readiness::Stuck { why } => blocked(world, "PrimaryNotReady", &why.to_string()),
    }
}

/// Moves the traffic to the ready primary, and then waits until the proxies know of it.
fn traffic(world: &Snapshot, target: &TargetFacts) -> Flow<()> {
    let mut effects = upkeep::scaler(world)?;
    let services = upkeep::services(world, &[Side::Primary, Side::Apex])?;
    let routed = match &world.routes {
        _ if !world.has_routes() => true,
        RoutesSeen::Seen { state, in_place } => *in_place && state.split == Split::PRIMARY && !state.mirrored,
        RoutesSeen::Absent => false,
        RoutesSeen::Refused(why) => return blocked(world, "RoutesRefused", why),
    };
    let moved = !services.is_empty() || !routed;
    effects.extend(services);
    if !routed {
        effects.push(Effect::Route(upkeep::route(world, Split::PRIMARY, false)?));
    }
    if target.replicas > 0 {
        if effects.is_empty() && world.primary_answers() == Some(false) {
            // Its pods are ready, and its Service does not lead to them yet.
            return end(Wait::for_change(Reason::Readiness(messages::stands_in(world))));
        }
        let since = world.status.settling().map(|(_, since)| since);
        match since {
            Some(since) if !moved && effects.is_empty() => {
                let until = since + world.settle;
                if world.now < until {
                    return end(Wait::until(until, Reason::Settling(until)));
                }
                // The target keeps its pods as long as the mesh may still send it requests.
                if let Acceptance::Pending(why) = &world.acceptance {
                    let wait = Wait::for_change(Reason::NotAccepted(why.clone()));
                    return end(wait);
                }
            }
            _ => {
                let mut status = status::touched_if_stalled(world);
                status::settle(&mut status, Phase::Initialized, world.now);
                return stop(Plan::status(status).effects(effects));
            }
        }
    } else if !effects.is_empty() {
        return stop(Plan::status(status::touched_if_stalled(world)).effects(effects));
    }
    Flow::Continue(())
}

fn initialized(world: &Snapshot, target: &TargetFacts, primary: &PrimaryFacts) -> Flow<Step> {
    let events = probe(world)?;
    let (noted, unusable) = checkable::noted(world)?;
    let world = &Snapshot { status: noted, ..world.clone() };
    let mut status = status::phase(world, Phase::Initialized);
    status::record(&mut status, target);
    status.failed_checks = 0;
    if !primary.matches_target {
        // The target, or a ConfigMap of its, was edited after it was copied: what the primary runs has no name of
        // ours, and the edit is a revision to release (spec 02 E1.7).
        status.last_applied_spec = SUPERSEDED.to_owned();
        status.applied_target = None;
    }
    status.last_promoted_spec = status.last_applied_spec.clone();
    // A scaler that idles at zero has to be paused as well, or it would run the next revision unanalysed.
    let park = [Some(Effect::PauseScaler), (target.replicas > 0).then_some(Effect::ScaleToZero)];
    Flow::Continue(
        Plan::status(status::checked(status, world))
            .effects(park.into_iter().flatten())
            .events(events)
            .events(unusable)
            .events([messages::normal(Phase::Initialized, messages::initialized(&world.release))])
            .alert(messages::alert_with_fields(Severity::Info, messages::initialized_alert(&world.release)))
            .into(),
    )
}

/// Asks whether the metric providers answer. The answer becomes an event and never holds the release up.
fn probe(world: &Snapshot) -> Flow<Option<Event>> {
    if world.release.skip_analysis {
        return Flow::Continue(None);
    }
    let question = gates::question(world, Ask::Providers);
    match world.answers.get(&question) {
        Some(Answer::Providers(Ok(()))) => {
            Flow::Continue(Some(messages::normal(Phase::Initializing, messages::PROVIDERS_AVAILABLE)))
        }
        Some(Answer::Providers(Err(why))) => {
            Flow::Continue(Some(messages::error(Phase::Initializing, messages::providers_unavailable(why))))
        }
        _ => end(Step::Ask(vec![question])),
    }
}
