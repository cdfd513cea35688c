//! Promotion: the primary gets the template, then it gets the traffic, then the canary's pods go.

use crate::api::status::{APPROVED, PROMOTE, Phase};
use crate::model::traffic::Split;
use crate::model::workload::{PrimaryFacts, Readiness, TargetFacts};

use super::change::configs_changed;
use super::flow::{Flow, end, stop, taken_in, unready};
use super::rollback::Ending;
use super::snapshot::Snapshot;
use super::step::{Effect, Event, Outcome, Plan, Reason, Step, Wait};
use super::{messages, rollback, status, upkeep};

/// Copies the template to the primary. The same observation has shown that it is the revision that was analysed, so
/// nothing else can be copied (spec 02 E1.18).
pub(super) fn promote(world: &Snapshot, mut said: Vec<Event>) -> Plan {
    said.push(messages::normal(world.status.phase, messages::copying(&world.release)));
    promoted(world, said).effects([Effect::Promote])
}

/// Records that the primary has the template.
pub(super) fn promoted(world: &Snapshot, said: Vec<Event>) -> Plan {
    let mut status = status::checked(status::phase(world, Phase::Promoting), world);
    status.last_promoted_spec = status.last_applied_spec.clone();
    status::unhold(&mut status, APPROVED);
    Plan::status(status).events(said)
}

/// Promotes without an analysis (spec 02 T18).
pub(super) fn skip(world: &Snapshot) -> Flow<Step> {
    if world.has_routes() && (world.canary_share() > 0 || world.routes.mirrored()) {
        // The flag was set in the middle of a run: traffic first, as in every promotion.
        return Flow::Continue(promote(world, Vec::new()).into());
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
    hand_back(world, target, primary)?;
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

/// Gives the canary's traffic to the primary's ready pods at once if the canary changes while the primary rolls out:
/// its pods are gone, or they run a newer revision that nobody has analysed.
fn hand_back(world: &Snapshot, target: &TargetFacts, primary: &PrimaryFacts) -> Flow<()> {
    let replaced =
        target.revision != world.status.last_applied_spec || configs_changed(&world.status, target);
    if !world.has_routes() || world.canary_share() == 0 || primary.ready_pods == 0 {
        return Flow::Continue(());
    }
    if !replaced && target.ready_pods > 0 {
        return Flow::Continue(());
    }
    let route = Effect::Route(upkeep::last_route(world, Split::PRIMARY)?);
    let mut status = status::touched(world);
    status.canary_weight = 0;
    status::release_cookies(&mut status);
    let event = messages::normal(Phase::Promoting, messages::ROUTE_ALL_TO_PRIMARY);
    stop(Plan::status(status).effects([route]).events([event]))
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
        Readiness::Stuck { why } => end(rollback::promotion_failed(world, &why.to_string())?),
    }
}
