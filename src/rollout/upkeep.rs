//! Upkeep keeps what a release needs as it should be: Services, routes, the primary and its autoscaler. It runs first
//! in every phase except the first one. At rest it finds nothing to do.

use crate::api::status::{CanaryStatus, Phase};
use crate::model::object::Kind;
use crate::model::release::{Release, TargetKind};
use crate::model::traffic::{Cookies, RouteWish, Split};
use crate::model::workload::{Presence, PrimaryFacts, TargetFacts};

use super::flow::{Flow, blocked, stop};
use super::interlock::{self, Cleared};
use super::snapshot::{RoutesSeen, Snapshot};
use super::step::{Effect, Plan, Side};
use super::{messages, status};

/// Creates what is missing and repairs what drifted. If there was nothing to do, the decision goes on with both
/// workloads.
pub(super) fn upkeep(world: &Snapshot) -> Flow<(&TargetFacts, &PrimaryFacts)> {
    let target = target(world)?;
    // Before the Services: without a primary the traffic stays where it is.
    let primary = primary(world, target)?;
    let services = services(world, &[Side::Canary, Side::Primary, Side::Apex])?;
    act(world, services)?;
    act(world, scaler(world)?)?;
    act(world, routes(world)?)?;
    Flow::Continue((target, primary))
}

/// The target, or the reason why there is none.
pub(super) fn target(world: &Snapshot) -> Flow<&TargetFacts> {
    match &world.target {
        Ok(target) => Flow::Continue(target),
        Err(why) => blocked(world, "TargetUnusable", why),
    }
}

/// Stops if a ConfigMap or Secret that the target needs cannot be used.
pub(super) fn complete(world: &Snapshot, target: &TargetFacts) -> Flow<()> {
    match &target.config_problem {
        Some(why) => blocked(world, "ConfigUnavailable", why),
        None => Flow::Continue(()),
    }
}

/// The writes for those of `sides` whose Service is not in place.
pub(super) fn services(world: &Snapshot, sides: &[Side]) -> Flow<Vec<Effect>> {
    let mut effects = Vec::new();
    for side in sides {
        let presence = match side {
            Side::Apex => &world.services.apex,
            Side::Primary => &world.services.primary,
            Side::Canary => &world.services.canary,
        };
        match presence {
            Presence::InPlace => {}
            Presence::Absent | Presence::Drifted => effects.push(Effect::Service(*side)),
            Presence::Refused(why) => return blocked(world, "ServiceRefused", why),
        }
    }
    Flow::Continue(effects)
}

/// The write for the primary's autoscaler, if it is not in place.
pub(super) fn scaler(world: &Snapshot) -> Flow<Vec<Effect>> {
    match &world.scaler {
        Presence::InPlace => Flow::Continue(Vec::new()),
        Presence::Absent | Presence::Drifted => Flow::Continue(vec![Effect::Scaler]),
        Presence::Refused(why) => blocked(world, "ScalerUnusable", why),
    }
}

/// The wish to split the traffic so, with the cookies of this run, after the interlock has let it through. If it
/// refuses, the decision stops with the numbers.
pub(super) fn route(world: &Snapshot, split: Split, mirror: bool) -> Flow<Cleared> {
    let wish = RouteWish { split, mirror, cookies: cookies(&world.status, split) };
    match interlock::clear(world, wish) {
        Ok(cleared) => Flow::Continue(cleared),
        Err(refusal) => blocked(world, "TrafficInterlock", &refusal.0),
    }
}

/// The wish for the end of a run: as `route`, and clients are told to drop the cookie of the run.
pub(super) fn last_route(world: &Snapshot, split: Split) -> Flow<Cleared> {
    let mut status = world.status.clone();
    status::release_cookies(&mut status);
    route(&Snapshot { status, ..world.clone() }, split, false)
}

/// The cookies that routes with `split` carry. The canary's is left out while it has no traffic, since no client can
/// hold it. The primary's is left out where the canary has all traffic, so that no client is kept on a primary that
/// may be out of service.
pub fn cookies(status: &CanaryStatus, split: Split) -> Cookies {
    let canary = status.session_affinity_cookie.clone().filter(|cookie| !cookie.is_empty());
    let primary = status.primary_session_affinity_cookie.clone();
    Cookies {
        canary: canary.filter(|_| split.canary() > 0),
        primary: primary.filter(|_| split.canary() < 100),
        previous: status.previous_session_affinity_cookie.clone(),
    }
}

fn primary<'a>(world: &'a Snapshot, target: &TargetFacts) -> Flow<&'a PrimaryFacts> {
    match &world.primary {
        Some(primary) => Flow::Continue(primary),
        None if is_another(world, target) => {
            let status = status::phase(world, Phase::Initializing);
            let event = messages::normal(Phase::Initializing, messages::another_target(&world.release));
            stop(Plan::status(status).events([event]))
        }
        // Rebuilt from the target only while the target is what was promoted (spec 02 E1.30).
        None if target.revision == world.status.last_promoted_spec => {
            stop(Plan::status(status::touched_if_stalled(world)).effects([Effect::CreatePrimary]))
        }
        None => blocked(world, "PrimaryMissing", &missing(&world.release)),
    }
}

/// The text for a primary that is gone, with the way to get it back.
fn missing(release: &Release) -> String {
    let target = release.target_title();
    match release.target.kind {
        TargetKind::Knative => format!(
            "the annotation {} of Knative Service {target} is missing: set it to the revision that spec.traffic names",
            Kind::PRIMARY_REVISION
        ),
        _ => format!(
            "{}.{} is missing and {target} is not at the promoted revision: set the target back to it to have the \
             primary rebuilt",
            release.primary_name(),
            release.namespace
        ),
    }
}

/// Whether `spec.targetRef` names another object than in the last run. Such a target is initialised like that of a new
/// Canary, and the old primary keeps the traffic until that is done (spec 02 §9.4).
fn is_another(world: &Snapshot, target: &TargetFacts) -> bool {
    world.status.applied_target.as_ref().is_some_and(|applied| applied.uid != target.uid)
}

fn routes(world: &Snapshot) -> Flow<Vec<Effect>> {
    if !world.has_routes() {
        return Flow::Continue(Vec::new());
    }
    let (split, mirror) = match &world.routes {
        RoutesSeen::Refused(why) => return blocked(world, "RoutesRefused", why),
        RoutesSeen::Absent => (expected(world), false),
        RoutesSeen::Seen { state, in_place } => {
            // At rest nobody but the primary has pods, whatever somebody wrote into the routes.
            let at_rest = world.status.phase.is_at_rest();
            let moved = at_rest && (state.split != expected(world) || state.mirrored);
            match (moved, in_place) {
                (true, _) => (expected(world), false),
                (false, false) => (state.split, state.mirrored),
                (false, true) => return Flow::Continue(Vec::new()),
            }
        }
    };
    Flow::Continue(vec![Effect::Route(route(world, split, mirror)?)])
}

/// The split that the weight in the status stands for.
fn expected(world: &Snapshot) -> Split {
    Split::canary_gets(u32::try_from(world.status.canary_weight).unwrap_or(0))
}

fn act(world: &Snapshot, effects: Vec<Effect>) -> Flow<()> {
    if effects.is_empty() {
        return Flow::Continue(());
    }
    stop(Plan::status(status::touched_if_stalled(world)).effects(effects))
}
