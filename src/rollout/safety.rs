//! What keeps users safe. It comes first in every look, in every phase, and also where the manifest is refused or
//! suspended, the target is gone, or the autoscaler cannot be used: nothing stands before it.
//!
//! | what is seen | what safety demands |
//! |---|---|
//! | the canary has a share or gets copies, and no pod of it would answer; the primary would | all to the primary |
//! | the primary has a share, and no pod of it would answer; the canary would | all to the canary |
//! | the canary has a share, but its revision is not the one that earned it; the primary would answer | all to the primary |
//! | the canary has more than it has earned; the primary would answer | back to what it has earned |
//!
//! "Would answer" is what the EndpointSlices say of the Service that the share leads to. Where nobody knows that, the
//! ready pods of the workload count; where nobody knows those either, nothing is demanded. A Service that is gone leads to
//! nobody; while this look goes on to make it again, that is sooner than any route.

use crate::api::status::Phase;
use crate::model::release::{Release, Strategy};
use crate::model::traffic::{RouteState, Split};
use crate::model::workload::Presence;

use super::change::{Change, change, configs_changed};
use super::flow::{Flow, stop};
use super::snapshot::{RoutesSeen, Snapshot};
use super::step::{Effect, Plan, Step};
use super::{messages, status, strategy, upkeep};

/// A split that safety asks for, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Demand {
    pub split: Split,
    pub why: Why,
}

/// The reason of a [`Demand`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// No pod would answer for the canary.
    CanaryIsGone,
    /// No pod would answer for the primary.
    PrimaryIsGone,
    /// The canary's pods are, or will be, of another revision than the one that was analysed.
    AnotherRevision,
    /// The share is more than the passed checks allow.
    MoreThanEarned,
}

/// Brings the routes to what safety demands; goes on where it demands nothing.
pub(super) fn first(world: &Snapshot) -> Flow<()> {
    match demanded(world) {
        Some(demand) => carry_out(world, demand),
        None => Flow::Continue(()),
    }
}

/// What safety demands of a Canary whose manifest is refused: the only thing that is done for it.
pub fn protect(world: &Snapshot) -> Option<Plan> {
    // Nothing else is done, as for one that is suspended.
    let release = Release { suspend: true, ..world.release.clone() };
    let Flow::Break(step) = first(&Snapshot { release, ..world.clone() }) else { return None };
    let Step::Act(mut plan) = *step else { return None };
    // What is said of the manifest stays.
    plan.status.conditions.clone_from(&world.status.conditions);
    plan.status.observed_generation = world.status.observed_generation;
    Some(*plan)
}

/// The split that safety demands now; `None` if the routes are safe as they are.
pub(super) fn demanded(world: &Snapshot) -> Option<Demand> {
    let RoutesSeen::Seen { state, .. } = world.routes else { return None };
    if !world.has_routes() || is_handed_over(world) {
        return None;
    }
    let (primary, canary) = answering(world);
    let primary = primary?;
    let exposed = state.split.canary() > 0 || state.mirrored;
    let demand = |split, why| Some(Demand { split, why });
    match (primary, canary) {
        (true, Some(false)) if exposed => demand(Split::PRIMARY, Why::CanaryIsGone),
        (false, Some(true)) if may_stand_in(world, state) => demand(Split::CANARY, Why::PrimaryIsGone),
        (true, _) if state.split.canary() > 0 && is_another_revision(world) => {
            demand(Split::PRIMARY, Why::AnotherRevision)
        }
        (true, _) if state.split.canary() > earned(world) => {
            demand(Split::canary_gets(earned(world)), Why::MoreThanEarned)
        }
        _ => None,
    }
}

/// Whether primary and canary would answer.
fn answering(world: &Snapshot) -> (Option<bool>, Option<bool>) {
    let gone = |service: &Presence| *service == Presence::Absent && !makes_services(world);
    let answer = |service, pods: Option<bool>| if gone(service) { Some(false) } else { pods };
    (
        answer(&world.services.primary, world.primary_answers()),
        answer(&world.services.canary, world.canary_answers()),
    )
}

/// Whether a look at `world` comes to the Services, and makes those that are gone.
fn makes_services(world: &Snapshot) -> bool {
    !world.release.suspend && !world.lifecycle.deleting
}

/// The share that the passed checks of this run allow, in percent.
pub(super) fn earned(world: &Snapshot) -> u32 {
    let status = &world.status;
    let plan = &world.release.analysis;
    let weight = u32::try_from(status.canary_weight).unwrap_or(0);
    let all_or_nothing = |all: bool| if all { 100 } else { 0 };
    if !matches!(status.phase, Phase::Progressing | Phase::WaitingPromotion) {
        // Elsewhere the phase itself says where the traffic belongs, and brings it there.
        return 100;
    }
    match &plan.strategy {
        // A run that began with everything on the canary, since the primary had no pods, has earned nothing yet.
        Strategy::Weighted(steps) if weight == 100 && strategy::most(steps) < 100 => 0,
        Strategy::Weighted(_) => weight,
        Strategy::AbTesting { .. } => all_or_nothing(status.iterations > 0),
        Strategy::BlueGreen { iterations } => all_or_nothing(status.iterations > i64::from(*iterations)),
    }
}

/// The routes have been given back to the user, or nobody will write them any more.
fn is_handed_over(world: &Snapshot) -> bool {
    let deleting = world.lifecycle.deleting;
    let given_back = matches!(world.status.settling(), Some((Phase::Terminated, _)));
    deleting && (!world.lifecycle.has_finalizer || given_back)
}

/// The canary stands in only for a primary that has been released once: a new Canary's traffic is not ours yet.
fn may_stand_in(world: &Snapshot, state: RouteState) -> bool {
    let initializing = matches!(world.status.phase, Phase::Unset | Phase::Initializing);
    state.split.primary() > 0 && !initializing
}

/// Whether the target has been given another revision since its share was earned.
fn is_another_revision(world: &Snapshot) -> bool {
    let Ok(target) = &world.target else { return false };
    match world.status.phase {
        Phase::Unset | Phase::Initializing | Phase::Terminating | Phase::Terminated => false,
        // The primary has the revision already, and the target's pods are those that were analysed.
        Phase::Promoting | Phase::Finalising => {
            target.revision != world.status.last_applied_spec || configs_changed(&world.status, target)
        }
        _ => change(&world.status, target, world.primary.as_ref()) == Change::New,
    }
}

fn carry_out(world: &Snapshot, Demand { split, why }: Demand) -> Flow<()> {
    let phase = world.status.phase;
    let stepping = matches!(phase, Phase::Progressing | Phase::WaitingPromotion);
    let mut status = status::touched(world);
    let mut said = Vec::new();
    match why {
        Why::PrimaryIsGone => {
            said.push(messages::warning(phase, messages::primary_gone(world)));
        }
        Why::MoreThanEarned => {
            status.canary_weight = i64::from(split.canary());
            let text = messages::weight_restored(&world.release, split.canary(), world.canary_share());
            said.push(messages::warning(phase, text));
        }
        Why::CanaryIsGone | Why::AnotherRevision if matches!(phase, Phase::Promoting | Phase::Finalising) => {
            status.canary_weight = 0;
            status::release_cookies(&mut status);
            said.push(messages::normal(phase, messages::ROUTE_ALL_TO_PRIMARY));
        }
        Why::CanaryIsGone => {
            status.canary_weight = 0;
            if stepping {
                // The run starts over when the pods return.
                status = status::checked(status, world);
                status.iterations = 0;
                status.failed_checks += 1;
            }
            said.push(messages::warning(phase, messages::canary_gone(world)));
        }
        Why::AnotherRevision => {
            status.canary_weight = 0;
            status::release_cookies(&mut status);
            // In a run the event of its new start follows at once.
            if !stepping {
                said.push(messages::normal(phase, messages::another_revision(&world.release)));
            }
        }
    }
    if split == Split::PRIMARY && why != Why::CanaryIsGone {
        // The canary's pods stay until the proxies know of it, which is counted from here.
        status.last_check_time = Some(world.now);
    }
    let ends = why == Why::AnotherRevision || (split == Split::PRIMARY && !stepping);
    let route = upkeep::safe_route(world, split, ends)?;
    stop(Plan::status(status).effects([Effect::Route(route)]).events(said))
}
