//! What may happen next in a world: the controller's own step with each answer and each crash, the pods, the mesh, and
//! people. One of them is the kind one: what happens when nothing goes wrong any more.

use vexil::model::by_hand::Action;
use vexil::rollout::status;

use super::check::{self, Broken};
use super::evidence;
use super::machine::{Machine, Turn};
use super::spec::Trouble;
use super::view;
use super::world::{Pods, REVS, Rev, Seen, World};

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    Heard(u16, u8),
    Carried,
    Crashed(u8),
    Failed(u8),
    Noted,
    Passed(i16),
    Slept,
    Ready(bool),
    OldGone(bool),
    Died(bool, Rev),
    Stuck(bool),
    Followed,
    Accepted,
    Pushed(Rev, bool),
    Edited(u8),
    Refused,
    Mended,
    Deleted,
    Moved(u8),
    Mirrored,
    Drifted,
    RoutesGone,
    RoutesHidden,
    RoutesBack,
    Asked(Action),
    PrimaryDeleted,
    TargetDeleted,
    TargetBack,
    ServiceDeleted(u8),
    Autoscaled(bool, u8),
    ConfigEdited,
}

/// A world that follows.
pub struct Next {
    pub what: Move,
    pub world: World,
    /// Whether a push begins with it that has to end well (`Some(true)`) or badly.
    pub owes: Option<bool>,
}

/// Which of the moves is the kind one, and what the controller waits for; or the move that breaks a promise.
type Forked = Result<(Option<usize>, Option<String>), (Option<Move>, Broken)>;

/// All that may follow `world`, after the promises were checked in it.
///
/// # Errors
/// If a promise is broken in `world`, or by what the controller does in it.
pub fn fork(machine: &mut Machine<'_>, world: &World, all: &mut Vec<Next>) -> Forked {
    all.clear();
    let mut here = *world;
    let turn = machine.decide(&mut here);
    check::state(machine, &here, &turn).map_err(|broken| (None, broken))?;
    let mut kind = None;
    let mut waits = None;
    match &turn {
        Turn::Gone => return Ok((None, None)),
        Turn::Ask(code) => {
            kind = Some(0);
            for heard in machine.answers(&here, *code) {
                let mut next = here;
                Machine::hear(&mut next, *code, heard);
                push(all, Move::Heard(*code, heard), next);
            }
        }
        Turn::Act { effects, status, records_wait } => {
            kind = Some(0);
            let mut noted = here;
            if !records_wait {
                let before = machine.status(&here).clone();
                evidence::decided(machine.release(&here), &before, &mut noted);
            }
            let mut next = noted;
            for effect in effects {
                check::write(machine, &next, effect, status)
                    .map_err(|broken| (Some(Move::Carried), broken))?;
                machine.apply(&mut next, effect);
            }
            let before = machine.status(&next).clone();
            machine.record(&mut next, status, *records_wait);
            check::step(machine, &here, &next, &before, status)
                .map_err(|broken| (Some(Move::Carried), broken))?;
            push(all, Move::Carried, next);
            let differs = status::differs(&before, status);
            if machine.spec.has(Trouble::Crash) {
                let last = if differs { effects.len() } else { effects.len().saturating_sub(1) };
                for writes in 1..=last {
                    let mut next = noted;
                    machine.write(&mut next, effects, writes);
                    let code = u8::try_from(writes).expect("few writes");
                    // What a failed write leaves unrecorded is outside: docs/correctness.md says so.
                    next.ghost.parted = None;
                    if next.memory.answers != super::world::Memory::default().answers {
                        push(all, Move::Failed(code), next);
                    }
                    next.forget();
                    // Another process takes over when the lease has run out: that takes longer than proxies need.
                    next.ghost.parted = None;
                    push(all, Move::Crashed(code), next);
                }
            }
        }
        Turn::Wait { until, notes, why } => {
            waits = Some(why.clone());
            if *notes {
                kind = Some(0);
                let mut next = here;
                next.memory.unrecorded = Some(0);
                next.memory.answers = Default::default();
                push(all, Move::Noted, next);
            } else if let Some(seconds) = until {
                let mut next = here;
                let seconds = i16::try_from(*seconds).unwrap_or(super::canon::HORIZON);
                machine.age(&mut next, seconds);
                push(all, Move::Passed(seconds), next);
            }
        }
    }
    let by_itself = all.len();
    pods(machine, &here, all);
    if kind.is_none() {
        // What happens to pods and mesh by itself comes first, then time.
        kind = if all.len() > by_itself { Some(by_itself) } else { (by_itself > 0).then_some(0) };
    }
    if kind.is_none() {
        // A revision that never becomes ready misses its deadline.
        for (is_target, pods) in [(true, here.target), (false, here.primary)] {
            if pods.there && pods.want > 0 && !pods.stuck && !pods.complete() && !Machine::runs(pods.rev) {
                kind = Some(all.len());
                push(all, Move::Stuck(is_target), stuck(&here, is_target));
                break;
            }
        }
    }
    troubles(machine, &here, all);
    if matches!(turn, Turn::Ask(_) | Turn::Wait { .. })
        && machine.spec.has(Trouble::Crash)
        && here.memory != super::world::Memory::default()
    {
        let mut next = here;
        next.forget();
        push(all, Move::Crashed(0), next);
    }
    Ok((kind, waits))
}

fn push(all: &mut Vec<Next>, what: Move, world: World) {
    all.push(Next { what, world, owes: None });
}

/// What pods and mesh do by themselves.
fn pods(machine: &Machine<'_>, here: &World, all: &mut Vec<Next>) {
    let mut happens = |what: Move, change: &dyn Fn(&mut World)| {
        let mut next = *here;
        change(&mut next);
        if !machine.spec.has(Trouble::Lag) {
            next.follow();
        }
        push(all, what, next);
    };
    if !here.routes.accepted && here.routes.seen == Seen::There {
        happens(Move::Accepted, &|world| world.routes.accepted = true);
    }
    if here.routes.seen == Seen::Refused {
        happens(Move::RoutesBack, &|world| world.routes.seen = Seen::There);
    }
    if here.ends != [here.primary.serving(), here.target.serving()] {
        happens(Move::Followed, &World::follow);
    }
    for is_target in [false, true] {
        let pods = side(here, is_target);
        if !pods.there {
            continue;
        }
        if pods.fresh() < pods.want && pods.serving() <= pods.want && Machine::runs(pods.rev) {
            happens(Move::Ready(is_target), &|world| {
                let pods = side_mut(world, is_target);
                pods.ready[usize::from(pods.rev)] += 1;
                if pods.fresh() >= pods.want {
                    pods.stuck = false;
                }
            });
        }
        if pods.old() > 0 && pods.serving() > pods.want {
            happens(Move::OldGone(is_target), &|world| {
                let pods = side_mut(world, is_target);
                let rev = (0..REVS).find(|rev| *rev != usize::from(pods.rev) && pods.ready[*rev] > 0);
                pods.ready[rev.expect("an old pod")] -= 1;
                pods.stuck &= !pods.complete();
            });
        }
    }
}

fn side(world: &World, is_target: bool) -> &Pods {
    if is_target { &world.target } else { &world.primary }
}

fn side_mut(world: &mut World, is_target: bool) -> &mut Pods {
    if is_target { &mut world.target } else { &mut world.primary }
}

fn stuck(here: &World, is_target: bool) -> World {
    let mut next = *here;
    side_mut(&mut next, is_target).stuck = true;
    next
}

/// What goes wrong, and what people do.
fn troubles(machine: &mut Machine<'_>, here: &World, all: &mut Vec<Next>) {
    let spec = machine.spec;
    let lags = spec.has(Trouble::Lag);
    let mut happens = |what: Move, change: &dyn Fn(&mut World)| {
        let mut next = *here;
        change(&mut next);
        if !lags {
            next.follow();
        }
        push(all, what, next);
    };
    if spec.has(Trouble::Pods) {
        for is_target in [false, true] {
            let pods = side(here, is_target);
            for rev in 0..REVS {
                if pods.ready[rev] > 0 {
                    let name = Rev::try_from(rev).expect("few revisions");
                    happens(Move::Died(is_target, name), &|world| {
                        let pods = side_mut(world, is_target);
                        pods.ready[rev] -= 1;
                        pods.stuck &= !pods.complete();
                    });
                }
            }
            if pods.there && pods.want > 0 && !pods.stuck && !pods.complete() {
                happens(Move::Stuck(is_target), &|world| side_mut(world, is_target).stuck = true);
            }
        }
    }
    if spec.has(Trouble::Drift) && here.routes.seen == Seen::There {
        for share in [0, 100] {
            if here.routes.share != share {
                happens(Move::Moved(share), &|world| world.routes.share = share);
            }
        }
        if !here.routes.mirrored && spec.capabilities.mirror_weighted {
            happens(Move::Mirrored, &|world| world.routes.mirrored = true);
        }
        if !here.routes.drifted {
            happens(Move::Drifted, &|world| world.routes.drifted = true);
        }
        happens(Move::RoutesHidden, &|world| world.routes.seen = Seen::Refused);
        happens(Move::RoutesGone, &|world| {
            world.routes.seen = Seen::Absent;
            world.routes.share = 0;
            world.routes.mirrored = false;
        });
    }
    if spec.has(Trouble::Edit) {
        for manifest in 0..u8::try_from(spec.manifests.len()).expect("few manifests") {
            if manifest != here.manifest {
                happens(Move::Edited(manifest), &|world| {
                    world.manifest = manifest;
                    world.generation += 1;
                });
            }
        }
    }
    if spec.has(Trouble::Refusal) {
        let what = if here.refused { Move::Mended } else { Move::Refused };
        happens(what, &|world| {
            world.refused = !world.refused;
            world.generation += 1;
        });
    }
    if spec.has(Trouble::Deletion) && !here.deleting {
        happens(Move::Deleted, &|world| {
            world.deleting = true;
            world.gone = !world.finalizer;
        });
    }
    if spec.has(Trouble::PrimaryGone) && here.primary.there {
        happens(Move::PrimaryDeleted, &|world| {
            world.primary.there = false;
            world.primary.ready = [0; REVS];
            world.primary.stuck = false;
        });
    }
    if spec.has(Trouble::TargetGone) {
        if here.target.there {
            happens(Move::TargetDeleted, &|world| {
                world.target.there = false;
                world.target.ready = [0; REVS];
                world.target.stuck = false;
            });
        } else {
            happens(Move::TargetBack, &|world| {
                world.target.there = true;
                world.target.uid += 1;
                world.target.generation += 1;
                world.target.want = spec.pods;
            });
        }
    }
    if spec.has(Trouble::Services) {
        for place in 0..3_u8 {
            if here.services[usize::from(place)] {
                happens(Move::ServiceDeleted(place), &|world| world.services[usize::from(place)] = false);
            }
        }
    }
    if spec.has(Trouble::Config) && here.target.there {
        happens(Move::ConfigEdited, &|world| world.target.config = 1 - world.target.config);
    }
    if spec.has(Trouble::Scaler) {
        for is_target in [false, true] {
            let pods = side(here, is_target);
            let paused = is_target && here.scaler_paused;
            if pods.there && pods.want > 0 && !paused && (is_target || here.scaler) {
                let want = if pods.want == 1 { 2 } else { 1 };
                happens(Move::Autoscaled(is_target, want), &|world| side_mut(world, is_target).scale(want));
            }
        }
    }
    if spec.has(Trouble::Hand) && here.request.is_none() && here.target.there && here.primary.there {
        for (place, action) in Action::ALL.into_iter().enumerate() {
            let number = u8::try_from(place + 1).expect("few actions");
            let rev = here.target.rev;
            let asked = machine.status(here).condition(vexil::api::status::REQUEST);
            let word = (1..=2).find(|word| {
                !asked.is_some_and(|asked| asked.message.starts_with(&view::request_text(number, rev, *word)))
            });
            happens(Move::Asked(action), &|world| world.request = Some((number, rev, word.unwrap_or(1))));
        }
    }
    if spec.has(Trouble::Sleep) {
        let mut next = *here;
        machine.age(&mut next, super::canon::HORIZON);
        push(all, Move::Slept, next);
    }
    pushes(machine, here, all);
}

/// What is pushed, and what it has to come to.
fn pushes(machine: &Machine<'_>, here: &World, all: &mut Vec<Next>) {
    if !here.target.there {
        return;
    }
    let status = machine.status(here);
    let scales: &[bool] = if machine.spec.has(Trouble::Replicas) { &[false, true] } else { &[false] };
    for rev in &machine.spec.pushes {
        for scaled in scales {
            let again = here.target.rev == *rev;
            if again && (!scaled || here.target.want == machine.spec.pods) {
                continue;
            }
            let mut next = *here;
            next.target.roll(*rev, machine.spec.recreate);
            if *scaled {
                next.target.scale(machine.spec.pods);
            }
            if !again {
                next.memory.answers = Default::default();
                next.ghost.failed = super::world::NONE;
            }
            if !machine.spec.has(Trouble::Lag) {
                next.follow();
            }
            let fresh = !again && status.last_applied_spec != super::world::REVISIONS[usize::from(*rev)];
            let judged =
                machine.judges(here) || *rev == super::world::X && !machine.release(here).skip_analysis;
            let by_hand = here.request.is_some() || status.condition(vexil::api::status::PROMOTE).is_some();
            let known = here.primary.there && here.primary.rev == *rev || here.ghost.promoted == *rev;
            let owes = match Machine::is_good(*rev) {
                true if fresh && !by_hand => Some(true),
                false if fresh && judged && !by_hand && !known && !status.last_promoted_spec.is_empty() => {
                    Some(false)
                }
                _ => None,
            };
            all.push(Next { what: Move::Pushed(*rev, *scaled), world: next, owes });
        }
    }
}
