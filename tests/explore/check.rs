//! The promises, written from ARCHITECTURE.md and DESIGN. Nothing here knows how the core decides: it looks at worlds,
//! at writes, and at statuses that were stored.

use vexil::api::status::{CanaryStatus, Phase};
use vexil::model::traffic::Side;
use vexil::rollout::{Effect, status};

use super::evidence;
use super::machine::{Machine, Turn};
use super::world::{NONE, Seen, World, letter};

/// A promise that is broken, and how.
#[derive(Clone, Debug)]
pub struct Broken {
    pub promise: &'static str,
    pub how: String,
}

fn broken(promise: &'static str, how: impl Into<String>) -> Result<(), Broken> {
    Err(Broken { promise, how: how.into() })
}

/// Whether the controller has a say about the routes.
fn routed(machine: &Machine<'_>, world: &World) -> bool {
    let can = &machine.spec.capabilities;
    let handed_over = world.given_back || world.gone || world.deleting && !world.finalizer;
    (can.weights || can.matching) && world.routes.seen == Seen::There && !handed_over
}

/// How many pods would answer for primary and canary; `None` where nobody can know.
fn answering(world: &World) -> [Option<u8>; 2] {
    let [primary, canary] = world.endpoints();
    [
        primary.or(world.primary.there.then(|| world.primary.serving().min(world.primary.want))),
        canary.or(world.target.there.then(|| world.target.serving().min(world.target.want))),
    ]
}

/// What is unsafe about the routes (P1).
fn unsafe_now(machine: &Machine<'_>, world: &World, phase: Phase) -> Option<String> {
    if !routed(machine, world) {
        return None;
    }
    let [Some(primary), Some(canary)] = answering(world) else { return None };
    let routes = &world.routes;
    if (routes.share > 0 || routes.mirrored) && canary == 0 && primary > 0 {
        return Some(format!(
            "the canary has {}% and no pod that answers, the primary has {primary}",
            routes.share
        ));
    }
    // A new Canary's traffic is not the controller's yet.
    let new = matches!(phase, Phase::Unset | Phase::Initializing);
    if routes.share < 100 && primary == 0 && canary > 0 && !new {
        return Some(format!(
            "the primary has {}% and no pod that answers, the canary has {canary}",
            100 - routes.share
        ));
    }
    None
}

/// The largest share that the canary may have now. A manifest that is edited takes nothing back, and the promoted
/// revision needs no evidence.
fn most(machine: &Machine<'_>, world: &World) -> u32 {
    let given = match world.target.rev {
        rev if rev == world.ghost.promoted || rev == world.ghost.rev => u32::from(world.ghost.top),
        _ => 0,
    };
    evidence::allowed(machine.release(world), machine.status(world), world).max(given)
}

/// What holds in every world.
///
/// # Errors
/// With the promise that is broken.
pub fn state(machine: &Machine<'_>, world: &World, turn: &Turn) -> Result<(), Broken> {
    let status = machine.status(world);
    let phase = status.phase;
    if world.primary.there && world.primary.want == 0 {
        return broken("P3", "the primary is scaled to zero");
    }
    let first_route = match turn {
        Turn::Act { effects, .. } => match effects.first() {
            Some(Effect::Route(cleared)) => Some(cleared.wish().clone()),
            _ => None,
        },
        _ => None,
    };
    if let Some(how) = unsafe_now(machine, world, phase) {
        let mended = first_route.as_ref().is_some_and(|wish| {
            let mut after = *world;
            after.routes.share = u8::try_from(wish.split.canary()).expect("a percentage");
            after.routes.mirrored = wish.mirror;
            unsafe_now(machine, &after, phase).is_none()
        });
        if !mended {
            return broken("P1", format!("{how}, and the next look does not change it"));
        }
    }
    let runs = matches!(phase, Phase::Progressing | Phase::WaitingPromotion);
    let stands_in = answering(world)[0].unwrap_or(0) == 0;
    if runs && routed(machine, world) && !stands_in && status.settling().is_none() {
        let most = most(machine, world);
        let share = u32::from(world.routes.share);
        let lowered = first_route.as_ref().is_some_and(|wish| wish.split.canary() < share);
        if share > most && !lowered {
            return broken("P2", format!("the canary keeps {share}% although it has earned {most}%"));
        }
    }
    match turn {
        Turn::Wait { until: Some(seconds), .. } if *seconds <= 0 => {
            broken("P8", "it waits for a time that is over, so it would look again and again")
        }
        Turn::Wait { .. } => at_rest(machine, world, status),
        Turn::Act { effects, status: wanted, records_wait } => {
            let nothing = effects.is_empty() && !status::differs(status, wanted);
            if nothing {
                return broken("P8", "a plan that writes nothing");
            }
            let _ = records_wait;
            Ok(())
        }
        _ => Ok(()),
    }
}

/// After the end all traffic is on the primary, and the canary is at zero (P4).
fn at_rest(machine: &Machine<'_>, world: &World, status: &CanaryStatus) -> Result<(), Broken> {
    use super::spec::Trouble::{Replicas, Scaler, TargetGone};
    let release = machine.release(world);
    let left_alone = release.suspend
        || world.refused
        || world.deleting
        || !world.target.there
        || !Machine::at_rest(status.phase)
        || status.condition("Stalled").is_some();
    // The promotion failed: the healthy canary keeps the traffic (spec 02 T17). Or it stands in for a primary without
    // pods (P1).
    let excepted =
        status.phase == Phase::Failed && world.ghost.stood_in || answering(world)[0].unwrap_or(0) == 0;
    if left_alone || excepted {
        return Ok(());
    }
    let routes = &world.routes;
    if routed(machine, world) && (routes.share > 0 || routes.mirrored) {
        return broken(
            "P4",
            format!(
                "in phase {} the canary keeps {}%{}",
                status.phase,
                routes.share,
                if routes.mirrored { " and gets copies" } else { "" }
            ),
        );
    }
    let scaled = [Replicas, Scaler, TargetGone].into_iter().any(|trouble| machine.spec.has(trouble));
    if world.target.want > 0 && !scaled {
        return broken("P4", format!("in phase {} the canary keeps its pods", status.phase));
    }
    Ok(())
}

/// What holds for every write.
///
/// # Errors
/// With the promise that is broken.
pub fn write(
    machine: &Machine<'_>,
    world: &World,
    effect: &Effect,
    wanted: &CanaryStatus,
) -> Result<(), Broken> {
    let status = machine.status(world);
    let release = machine.release(world);
    let [primary, canary] = answering(world).map(|pods| pods.unwrap_or(0));
    match effect {
        Effect::Route(cleared) => {
            let (share, was) = (cleared.wish().split.canary(), u32::from(world.routes.share));
            let was = if world.routes.seen == Seen::There { was } else { 0 };
            let more = share > was || cleared.wish().mirror;
            if more && canary == 0 && primary > 0 {
                return broken("P1", format!("the canary is given {share}% and has no pod that answers"));
            }
            if share < was && primary == 0 && canary > 0 {
                return broken(
                    "P1",
                    format!("the primary is given {}% and has no pod that answers", 100 - share),
                );
            }
            raised(machine, world, wanted, share, was)
        }
        Effect::ScaleToZero if world.target.serving() > 0 => {
            let routes = &world.routes;
            if routed(machine, world) && (routes.share > 0 || routes.mirrored) {
                return broken("P1", format!("the canary's pods are stopped while it has {}%", routes.share));
            }
            let meets = routed(machine, world) || !Machine::at_rest(status.phase) && !world.services[0];
            if primary == 0 && canary > 0 && meets {
                return broken("P1", "the canary's pods are stopped while the primary has none");
            }
            if routed(machine, world) && world.ghost.parted.is_some() {
                return broken(
                    "P1",
                    "the canary's pods are stopped before every proxy knows that it has no share",
                );
            }
            Ok(())
        }
        Effect::Promote => promoted(machine, world, status),
        Effect::CreatePrimary if !world.primary.there => {
            let known = world.ghost.promoted == NONE || world.ghost.promoted == world.target.rev;
            // A target that is another object is initialised like that of a new Canary (spec 02 §9.4).
            let another = world.target.uid != 1 || status.phase == Phase::Initializing;
            if !known && !another && !release.skip_analysis {
                return broken(
                    "P3",
                    format!("the primary is made from {}, which was not promoted", letter(world.target.rev)),
                );
            }
            Ok(())
        }
        Effect::RevertService | Effect::RevertRoutes => {
            if world.target.there && world.target.serving() == 0 && world.primary.serving() > 0 {
                return broken("P1", "the traffic is given back to a target without pods");
            }
            Ok(())
        }
        Effect::Service(Side::Apex) => {
            if matches!(status.phase, Phase::Unset | Phase::Initializing)
                && primary == 0
                && world.target.serving() > 0
                && !world.services[0]
            {
                return broken("P1", "the apex Service is led to a primary without pods");
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// A share rises only as far as it is earned, and by one step in an interval (P2).
fn raised(
    machine: &Machine<'_>,
    world: &World,
    wanted: &CanaryStatus,
    share: u32,
    was: u32,
) -> Result<(), Broken> {
    let status = machine.status(world);
    let release = machine.release(world);
    let stands_in = answering(world)[0].unwrap_or(0) == 0;
    let runs = matches!(status.phase, Phase::Progressing | Phase::WaitingPromotion);
    if share <= was || stands_in || !runs {
        // Elsewhere the canary is given traffic where a promotion cannot go on without it (spec 02 T17).
        let elsewhere = matches!(status.phase, Phase::Promoting | Phase::Finalising);
        if share > was && !stands_in && !elsewhere {
            return broken("P2", format!("the canary is given {share}% in phase {}", status.phase));
        }
        return Ok(());
    }
    let most = most(machine, world);
    if share > most {
        return broken("P2", format!("the canary is given {share}% and has earned {most}%"));
    }
    let promotes = evidence::may_promote(release, status, world);
    if share > u32::from(world.ghost.top) && world.ghost.raised.is_some() && !promotes {
        return broken("P2", format!("the canary is given {share}% within an interval of its last step"));
    }
    let weighted = matches!(release.analysis.strategy, vexil::model::release::Strategy::Weighted(_));
    let again = share <= u32::from(world.ghost.top);
    if weighted && status.phase == Phase::Progressing && !world.ghost.traffic && !promotes && !again {
        return broken("P3", "the canary's share rises past a closed gate");
    }
    let _ = wanted;
    Ok(())
}

/// The primary's template changes only by a promotion that was earned (P3), and never to what has failed (P4).
fn promoted(machine: &Machine<'_>, world: &World, status: &CanaryStatus) -> Result<(), Broken> {
    let release = machine.release(world);
    let (target, primary) = (&world.target, &world.primary);
    if machine.spec.recreate
        && routed(machine, world)
        && primary.rev != target.rev
        && primary.serving() > 0
        && world.routes.share < 100
        && target.serving() > 0
    {
        return broken(
            "P1",
            format!("all pods of the primary are replaced while it has {}%", 100 - world.routes.share),
        );
    }
    if primary.rev == target.rev && primary.config == target.config {
        return Ok(());
    }
    let name = letter(target.rev);
    if world.ghost.failed == target.rev {
        return broken("P4", format!("{name} has failed, has not changed since, and is promoted"));
    }
    if !evidence::may_promote(release, status, world) {
        let how = match evidence::has_passed(release, world) {
            true => "is promoted past a closed gate",
            false => "is promoted and its checks have not passed",
        };
        return broken("P3", format!("{name} {how}"));
    }
    Ok(())
}

/// What holds for a plan as a whole.
///
/// # Errors
/// With the promise that is broken.
pub fn step(
    machine: &Machine<'_>,
    before: &World,
    after: &World,
    old: &CanaryStatus,
    new: &CanaryStatus,
) -> Result<(), Broken> {
    if before == after {
        return broken("P8", "a plan that changes nothing, and would be decided again");
    }
    let ends = Machine::at_rest(new.phase) && !Machine::at_rest(old.phase);
    let _ = (machine, ends);
    Ok(())
}

/// What a world has to be in which nothing more happens by itself (P10, P11). `owes` is what a push has to come to.
///
/// # Errors
/// With the promise that is broken.
pub fn end(
    machine: &Machine<'_>,
    world: &World,
    waits: Option<&str>,
    owes: Option<bool>,
) -> Result<&'static str, Broken> {
    if world.gone {
        return Ok("gone");
    }
    let status = machine.status(world);
    let release = machine.release(world);
    if release.suspend {
        return Ok("suspended");
    }
    if world.refused {
        let says = status.condition("Stalled").is_some();
        return if says {
            Ok("manifest refused")
        } else {
            Err(Broken { promise: "P10", how: "a refused manifest is not in the status".into() })
        };
    }
    let says = !status.blockers.is_empty() || status.condition("Stalled").is_some();
    let fail = |promise, how: String| Err(Broken { promise, how });
    if !Machine::at_rest(status.phase) || says {
        if says {
            return Ok(if status.condition("Paused").is_some() {
                "paused by hand"
            } else if !world.target.there {
                "target missing"
            } else {
                "blocked, and says so"
            });
        }
        let waits = waits.unwrap_or("nothing");
        return fail(
            "P11",
            format!(
                "it stays in phase {} for ever, waits for {waits:?}, and the status does not say what for",
                status.phase
            ),
        );
    }
    let (target, primary) = (&world.target, &world.primary);
    let failed = status.phase == Phase::Failed;
    match owes {
        Some(true) if failed || primary.rev != target.rev => {
            return fail(
                "P11",
                format!("{} was pushed and is good, and ends in {}", letter(target.rev), status.phase),
            );
        }
        Some(false) if !failed || primary.rev == target.rev => {
            return fail(
                "P11",
                format!("{} was pushed and is bad, and ends in {}", letter(target.rev), status.phase),
            );
        }
        _ => {}
    }
    if !failed && (primary.rev != target.rev || primary.config != target.config) {
        return fail(
            "P11",
            format!(
                "it rests in {} while the target is at {} and the primary at {}",
                status.phase,
                letter(target.rev),
                letter(primary.rev)
            ),
        );
    }
    Ok(if failed { "Failed" } else { "Succeeded" })
}
