//! Promotion: the primary gets the template, then it gets the traffic, then the canary's pods go.

use crate::api::status::{PROMOTE, Phase};
use crate::model::traffic::Split;
use crate::model::workload::{PrimaryFacts, Readiness, TargetFacts};

use super::flow::{Flow, end, taken_in, unready};
use super::rollback::Ending;
use super::snapshot::Snapshot;
use super::step::{Effect, Event, Outcome, Plan, Reason, Step, Wait};
use super::{messages, ready, revision, rollback, status, upkeep};

/// Ends the analysis: the primary gets the template, at once or after its traffic has left it.
pub(super) fn promote(world: &Snapshot, mut said: Vec<Event>) -> Flow<Step> {
    if makes_way(world) {
        said.push(messages::normal(world.status.phase, messages::ROUTE_ALL_TO_CANARY));
        let status = status::checked(status::phase(world, Phase::Promoting), world);
        let route = Effect::Route(upkeep::route(world, Split::CANARY, false)?);
        return Flow::Continue(Plan::status(status).effects([route]).events(said).into());
    }
    Flow::Continue(copy(world, said).into())
}

/// Whether the traffic has to leave the primary first: its pods are all replaced at once, and until the new ones are
/// ready nobody would answer.
fn makes_way(world: &Snapshot) -> bool {
    let replaced = world.primary.as_ref().is_some_and(|primary| primary.replaced_at_once);
    replaced && world.has_routes() && world.canary_share() < 100 && world.canary_pods() > 0
}

/// Copies the template to the primary. The revision was compared with the one under analysis in this very
/// observation, so nothing else can be copied (spec 02 E1.18).
fn copy(world: &Snapshot, mut said: Vec<Event>) -> Plan {
    said.push(messages::normal(world.status.phase, messages::copying(&world.release)));
    revision::promoted(world, said).effects([Effect::Promote])
}

/// The traffic has left the primary; once the proxies have heard of it the primary gets the template.
fn after_making_way(world: &Snapshot, target: &TargetFacts, primary: &PrimaryFacts) -> Flow<Step> {
    revision::changed(world, target, primary)?;
    ready::canary_ready(world, target)?;
    if makes_way(world) {
        return promote(world, Vec::new());
    }
    let since = world.status.last_check_time.unwrap_or(world.now);
    let until = since + world.settle;
    if world.now < until {
        return Flow::Continue(Wait::until(until, Reason::Settling(until)).into());
    }
    taken_in(world, since)?;
    Flow::Continue(copy(world, Vec::new()).into())
}

/// Promotes without an analysis (spec 02 T18).
pub(super) fn skip(world: &Snapshot) -> Flow<Step> {
    if world.has_routes() && (world.canary_share() > 0 || world.routes.mirrored()) || makes_way(world) {
        // The flag was set in the middle of a run: traffic first, as in every promotion.
        return promote(world, Vec::new());
    }
    taken_in(world, world.due())?;
    let mut status = status::checked(status::phase(world, Phase::Succeeded), world);
    let open = rollback::close(&mut status, world, Ending::Skipped);
    let plan = Plan::status(status)
        .effects([Effect::Promote, Effect::Scaler, Effect::PauseScaler, Effect::ScaleToZero])
        .events([messages::normal(world.status.phase, messages::copying(&world.release))])
        .outcome(Outcome::Skipped);
    Flow::Continue(last_words(world, plan, Ending::Skipped, open).into())
}

/// Adds the last event and alert of the run, unless post-rollout hooks have to be called first (`open`).
fn last_words(world: &Snapshot, plan: Plan, ending: Ending, open: bool) -> Plan {
    match ending.last_words(world) {
        Some((event, alert)) if !open => plan.events([event]).alert(alert),
        _ => plan,
    }
}

/// Gives the traffic back to the primary, which has the new template: at once or step by step (spec 02 T10, T11).
pub(super) fn promoting(world: &Snapshot) -> Flow<Step> {
    let (target, primary) = upkeep::upkeep(world)?;
    let share = world.canary_share();
    let copied = world.status.last_promoted_spec == world.status.last_applied_spec || primary.matches_target;
    if !copied {
        return after_making_way(world, target, primary);
    }
    if world.now < world.due() {
        return Flow::Continue(Wait::until(world.due(), Reason::NextCheck(world.due())).into());
    }
    primary_ready(world, primary)?;
    if world.has_routes() && share > 0 {
        match &target.readiness {
            waiting @ Readiness::Waiting { .. } if target.revision == world.status.last_applied_spec => {
                return Flow::Continue(unready(world, waiting));
            }
            _ => {}
        }
    }
    let step = world.release.analysis.step_weight_promotion;
    let status = status::checked(status::phase(world, Phase::Finalising), world);
    let handed_back = share == 0 && !world.routes.mirrored();
    if !world.has_routes() || handed_back {
        return Flow::Continue(Plan::status(status).into());
    }
    if step == 0 || share <= step {
        let split = Split::PRIMARY;
        let text = match step {
            0 => messages::ROUTE_ALL_TO_PRIMARY.to_owned(),
            _ => messages::primary_weight(&world.release, split.primary()),
        };
        let route = Effect::Route(upkeep::last_route(world, split)?);
        return Flow::Continue(
            Plan::status(status).effects([route]).events([messages::normal(Phase::Promoting, text)]).into(),
        );
    }
    let split = Split::canary_gets(share - step);
    let route = Effect::Route(upkeep::route(world, split, false)?);
    let mut status = status::checked(status::touched(world), world);
    status.canary_weight = i64::from(split.canary());
    let text = messages::primary_weight(&world.release, split.primary());
    Flow::Continue(
        Plan::status(status).effects([route]).events([messages::normal(Phase::Promoting, text)]).into(),
    )
}

/// Stops the canary's pods, as all traffic is on the primary (spec 02 T12).
pub(super) fn finalising(world: &Snapshot) -> Flow<Step> {
    let (_, primary) = upkeep::upkeep(world)?;
    if world.now < world.due() {
        return Flow::Continue(Wait::until(world.due(), Reason::NextCheck(world.due())).into());
    }
    primary_ready(world, primary)?;
    if world.has_routes() && world.canary_share() > 0 {
        // Somebody moved it back: the canary keeps its pods until the primary has the traffic.
        let route = Effect::Route(upkeep::route(world, Split::PRIMARY, false)?);
        let status = status::checked(status::touched(world), world);
        return Flow::Continue(Plan::status(status).effects([route]).into());
    }
    let mut status = status::checked(status::phase(world, Phase::Succeeded), world);
    let open = rollback::close(&mut status, world, Ending::Completed);
    // Its checks were cut short by hand.
    let skipped = world.status.condition(PROMOTE).is_some();
    let outcome = if skipped { Outcome::Skipped } else { Outcome::Completed };
    let effects = [Effect::PauseScaler, Effect::ScaleToZero, Effect::Prune];
    let plan = Plan::status(status).effects(effects).outcome(outcome);
    Flow::Continue(last_words(world, plan, Ending::Completed, open).into())
}

fn primary_ready(world: &Snapshot, primary: &PrimaryFacts) -> Flow<()> {
    match &world.within_deadline(&primary.readiness) {
        Readiness::Ready => Flow::Continue(()),
        waiting @ Readiness::Waiting { .. } => end(unready(world, waiting)),
        Readiness::Stuck { why } => match status::retried_at(&world.status) {
            // Somebody asked for another try: the workload's own deadline is that of the first one.
            Some(at) if world.now < at + world.release.progress_deadline => {
                let until = at + world.release.progress_deadline;
                let waiting = Readiness::Waiting { why: why.clone(), stuck_at: Some(until) };
                end(unready(world, &waiting))
            }
            _ => end(rollback::promotion_failed(world, &why.to_string())?),
        },
    }
}
