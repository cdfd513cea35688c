//! The line before a run.

use crate::api::hooks::HookType;
use crate::api::status::{BlockerKind, Phase};

use super::super::snapshot::{Place, Turn};
use super::super::testing::{MESH, Stage, hook, release};

fn second() -> Turn {
    Turn::Waits(Place { place: 2, waiting: 5, going: 3, limit: (3, "-max-concurrent-rollouts") })
}

#[test]
fn a_new_revision_waits_for_its_turn_without_a_pod_or_a_hook() {
    let mut release = release();
    release.analysis.hooks = vec![hook(HookType::ConfirmRollout, "gate")];
    let mut stage = Stage::initialized(release, MESH);
    stage.world.turn = second();
    stage.push("vx1-b");
    stage.settle();
    assert_eq!(stage.world.status.phase, Phase::Waiting);
    assert_eq!(stage.asked, [], "its gate is asked when its turn comes");
    let blocker = &stage.world.status.blockers[0];
    assert_eq!(
        (blocker.kind, blocker.message.as_str()),
        (BlockerKind::Queue, "place 2 of 5 in line: 3 releases go on, and -max-concurrent-rollouts is 3")
    );
    stage.forget();
    stage.world.turn = Turn::Free;
    stage.settle();
    assert_eq!(stage.world.status.phase, Phase::Progressing, "at once, and not at the next interval");
}

#[test]
fn whose_gate_is_closed_leaves_the_line() {
    let mut release = release();
    release.analysis.hooks = vec![hook(HookType::ConfirmRollout, "gate")];
    let mut stage = Stage::initialized(release, MESH);
    stage.closed = vec!["gate".into()];
    stage.world.turn = second();
    stage.push("vx1-b");
    stage.settle();
    stage.world.turn = Turn::Free;
    stage.settle();
    let kinds: Vec<BlockerKind> = stage.world.status.blockers.iter().map(|blocker| blocker.kind).collect();
    assert_eq!((stage.world.status.phase, kinds), (Phase::Waiting, vec![BlockerKind::Gate]));
}

#[test]
fn the_line_is_told_once() {
    let mut stage = Stage::initialized(release(), MESH);
    stage.world.turn = second();
    stage.push("vx1-b");
    stage.settle();
    for _ in 0..3 {
        stage.tick();
    }
    let said = stage.said();
    let told = said.iter().filter(|text| text.contains("Waiting for a turn")).count();
    assert_eq!(told, 1, "{said:?}");
    assert_eq!(stage.alerts, [], "nobody has to do anything");
}
