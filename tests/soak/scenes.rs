//! Scenes: acts and faults that belong together, and that single ones drawn by themselves seldom come to.

use super::chance::Chance;
use super::history::{Act, Broken, Fault, Side, Spec, Trouble, Version};

/// What a scene adds to a history.
#[derive(Default)]
pub struct Scene {
    pub script: Vec<(u64, Act)>,
    pub faults: Vec<Fault>,
}

/// One or two scenes of the first `kinds` of them, of a release that begins with the push at `push`; all is over at `until`.
pub fn scenes(
    chance: &mut Chance,
    kinds: u64,
    spec: &mut Spec,
    versions: &mut Vec<Version>,
    push: u64,
    until: u64,
) -> Scene {
    let mut scene = Scene::default();
    for _ in 0..chance.within(1, 2) {
        match chance.within(1, kinds) {
            1 => held_up(chance, spec, push, &mut scene),
            2 => at_rest(chance, until, &mut scene),
            3 | 4 => gates(chance, spec, push, until, &mut scene),
            5 | 6 => another_push(chance, spec, versions, push, &mut scene),
            7 => reverted(chance, push, &mut scene),
            8 => deleted(chance, spec, push, until, &mut scene),
            9 => tried_again(chance, spec, versions, push, &mut scene),
            _ => unheard(chance, spec, versions, push, &mut scene),
        }
    }
    scene.script.retain(|(at, _)| *at < until);
    scene.faults.retain(|fault| fault.from < until);
    for fault in &mut scene.faults {
        fault.to = fault.to.min(until);
    }
    scene
}

/// A moment in the run that the push at `push` begins.
fn in_the_run(chance: &mut Chance, spec: &Spec, push: u64) -> u64 {
    push + 6 + chance.within(0, 5 * spec.interval)
}

/// Pods die while the Canary is suspended, or its manifest is refused, in the middle of a run.
fn held_up(chance: &mut Chance, spec: &Spec, push: u64, scene: &mut Scene) {
    let at = in_the_run(chance, spec, push);
    let (begins, ends) = chance.one(&[
        (Act::Suspend(true), Act::Suspend(false)),
        (Act::Suspend(true), Act::Suspend(false)),
        (Act::Break(true), Act::Break(false)),
    ]);
    let dies = at + chance.within(1, 15);
    scene.script.push((at, begins));
    scene.script.push((dies, Act::Die(chance.one(&[Side::Canary, Side::Canary, Side::Primary]))));
    let back = dies + chance.within(8, 60);
    scene.script.push((back, Act::Recover));
    scene.script.push((back + chance.within(0, 30), ends));
}

/// Pods die, routes move, and then nothing is released: late enough for most runs to be over.
fn at_rest(chance: &mut Chance, until: u64, scene: &mut Scene) {
    let at = chance.within(until * 2 / 3, until - 1);
    let share = chance.within(1, 100);
    let act = chance.one(&[
        Act::Die(Side::Canary),
        Act::Die(Side::Primary),
        Act::Drift(share),
        Act::Scale(1),
        Act::DeleteRoutes,
    ]);
    scene.script.push((at, act));
    scene.script.push((at + chance.within(5, 60), Act::Recover));
}

/// Gates that stay closed for a while, or for good.
fn gates(chance: &mut Chance, spec: &mut Spec, push: u64, until: u64, scene: &mut Scene) {
    let gate = chance.one(&[
        "confirm-promotion",
        "confirm-promotion",
        "confirm-rollout",
        "confirm-traffic-increase",
        "pre-rollout",
        "rollout",
    ]);
    if !spec.hooks.contains(&gate) {
        spec.hooks.push(gate);
    }
    scene.script.push((push.saturating_sub(1), Act::Close(gate)));
    if chance.percent(60) {
        scene.script.push((push + chance.within(20, until), Act::Open(gate)));
    }
}

/// Another revision, most of the time a bad one, in the middle of a run.
fn another_push(chance: &mut Chance, spec: &Spec, versions: &mut Vec<Version>, push: u64, scene: &mut Scene) {
    versions.push(chance.one(&[
        Version::Errors,
        Version::Errors,
        Version::Slow,
        Version::NeverReady,
        Version::Good,
    ]));
    let at = in_the_run(chance, spec, push) + chance.within(0, 4 * spec.interval);
    scene.script.push((at, Act::Push(versions.len())));
}

/// A push is taken back within seconds, and the controller may die over it.
fn reverted(chance: &mut Chance, push: u64, scene: &mut Scene) {
    scene.script.push((push + chance.within(0, 8), Act::Push(1)));
    if chance.percent(70) {
        let crash = Trouble::Crash { write: chance.within(1, 4), after: chance.percent(70) };
        scene.faults.push(Fault { from: push, to: push + chance.within(9, 20), what: crash });
    }
}

/// A bad revision fails while answers to writes are lost.
fn unheard(chance: &mut Chance, spec: &mut Spec, versions: &mut [Version], push: u64, scene: &mut Scene) {
    versions[1] = Version::Errors;
    spec.threshold = 1;
    let from = push + chance.within(10, 60);
    scene.faults.push(Fault { from, to: from + chance.within(20, 60), what: Trouble::Lost(60) });
}

/// The Canary is deleted, most of the time with everything reverted, in a run or at rest.
fn deleted(chance: &mut Chance, spec: &mut Spec, push: u64, until: u64, scene: &mut Scene) {
    spec.revert = chance.percent(80);
    let at = chance.within(push, until - 1);
    scene.script.push((at, Act::DeleteCanary));
    scene.script.push((at + chance.within(30, 90), Act::CreateCanary));
}

/// A bad revision fails, and later something else happens that it must not be released again for.
fn tried_again(chance: &mut Chance, spec: &mut Spec, versions: &mut [Version], push: u64, scene: &mut Scene) {
    versions[1] = chance.one(&[Version::Errors, Version::Slow]);
    spec.threshold = 1;
    let later = push + 60 + chance.within(0, 100);
    scene.script.push((later, chance.one(&[Act::Timeout(9), Act::Threshold(3), Act::Die(Side::Primary)])));
    scene.script.push((later + 30, Act::Recover));
    if chance.percent(30) {
        let silent = Trouble::Metrics(Broken::Nothing);
        scene.faults.push(Fault { from: later, to: later + 20, what: silent });
    }
}
