//! Upkeep keeps what a release needs as it should be: Services, routes, the primary and its autoscaler. It runs first
//! in every phase except the first one. At rest it finds nothing to do.

use crate::api::status::{CanaryStatus, Phase};
use crate::model::object::Kind;
use crate::model::release::{Release, TargetKind};
use crate::model::traffic::{Cookies, RouteWish, Split};
use crate::model::workload::{Presence, PrimaryFacts, TargetFacts};

use super::flow::{Flow, blocked, end, stop};
use super::interlock::{self, Care, Cleared};
use super::snapshot::{RoutesSeen, Snapshot};
use super::step::{Effect, Plan, Reason, Side, Wait};
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
    turn(world, routes(world)?)?;
    Flow::Continue((target, primary))
}

/// Writes the routes. At rest that can take the canary's last share: its pods stay until the proxies know of it, which
/// is counted from here.
fn turn(world: &Snapshot, effects: Vec<Effect>) -> Flow<()> {
    let exposed = world.canary_share() > 0 || world.routes.mirrored();
    if effects.is_empty() || !exposed || !world.status.phase.is_at_rest() {
        return act(world, effects);
    }
    let mut status = status::touched(world);
    status.last_check_time = Some(world.now);
    stop(Plan::status(status).effects(effects))
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
    cleared(world, split, mirror, &world.status, Care::Capacity)
}

/// The wish for the end of a run: as `route`, and clients are told to drop the cookie of the run.
pub(super) fn last_route(world: &Snapshot, split: Split) -> Flow<Cleared> {
    let mut told = world.status.clone();
    status::release_cookies(&mut told);
    cleared(world, split, false, &told, Care::Capacity)
}

/// The routes that safety demands, which a single ready pod is enough for. `ends` if the run is over with them.
pub(super) fn safe_route(world: &Snapshot, split: Split, ends: bool) -> Flow<Cleared> {
    let mut told = world.status.clone();
    if ends {
        status::release_cookies(&mut told);
    }
    cleared(world, split, false, &told, Care::AnyPod)
}

/// A wish with the cookies of `told`, through the interlock.
fn cleared(world: &Snapshot, split: Split, mirror: bool, told: &CanaryStatus, care: Care) -> Flow<Cleared> {
    let wish = RouteWish { split, mirror, cookies: cookies(told, split) };
    let refusal = match interlock::clear(world, wish, care) {
        Ok(cleared) => return Flow::Continue(cleared),
        Err(refusal) => refusal,
    };
    if let Some(lowered) = refusal.lowered {
        let mut status = status::blocked(world, INTERLOCK, &refusal.text);
        status.canary_weight = i64::from(lowered.wish().split.canary());
        let plan = Plan::status(status).effects([Effect::Route(lowered)]);
        let said = messages::warning(world.status.phase, &refusal.text);
        return stop(plan.waits(Reason::Blocked(refusal.text)).events([said]));
    }
    // It is a matter of seconds: nothing to tell anybody, unless it lasts.
    if let Some(until) = refusal.until.filter(|until| world.now < *until) {
        return end(Wait::until(until, Reason::Readiness(refusal.text)));
    }
    blocked(world, INTERLOCK, &refusal.text)
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
        None if world.primary_remembered => {
            stop(Plan::status(status::touched_if_stalled(world)).effects([Effect::RebuildPrimary]))
        }
        // Rebuilt from the target only while the target is what was promoted (spec 02 E1.30).
        None if target.revision == world.status.last_promoted_spec || world.release.skip_analysis => {
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
             primary rebuilt, or spec.skipAnalysis to true to have it rebuilt from the target as it is",
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
            let moved =
                at_rest && !world.canary_stands_in() && (state.split != expected(world) || state.mirrored);
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

/// The reason under which a refusal of the interlock stands in the status.
const INTERLOCK: &str = "TrafficInterlock";

fn act(world: &Snapshot, effects: Vec<Effect>) -> Flow<()> {
    if effects.is_empty() {
        return Flow::Continue(());
    }
    stop(Plan::status(status::touched_if_stalled(world)).effects(effects))
}
