//! A route that was written is not yet a route that works; and what a mesh needs beside its routes.

use crate::api::status::{BlockerKind, Phase};
use crate::model::traffic::Acceptance;
use crate::model::workload::Presence;

use super::super::next;
use super::super::question::Ask;
use super::super::step::{Effect, Reason, Step};
use super::super::testing::{MESH, Stage, release};

const INVALID: &str = "HTTPProxy podinfo.test is invalid: route not found";

fn pending() -> Acceptance {
    Acceptance::Pending(INVALID.into())
}

#[test]
fn nothing_is_measured_before_the_mesh_works_by_the_route() {
    let mut stage = Stage::detected(release(), MESH);
    stage.tick();
    let before = stage.row();
    stage.forget();
    stage.world.acceptance = pending();
    assert_eq!(stage.tick(), Reason::NotAccepted(INVALID.into()));
    assert_eq!(stage.row(), before, "neither a step nor a failed check");
    assert!(!stage.asked.iter().any(|ask| matches!(ask, Ask::Metric { .. })), "{:?}", stage.asked);
    let blocker = &stage.world.status.blockers[0];
    assert_eq!((blocker.kind, blocker.message.as_str()), (BlockerKind::Route, INVALID));

    stage.world.acceptance = Acceptance::Accepted;
    stage.settle();
    assert!(stage.row().1 > before.1, "the release goes on");
}

#[test]
fn a_route_that_is_never_accepted_ends_in_a_rollback() {
    let mut stage = Stage::detected(release(), MESH);
    stage.tick();
    stage.forget();
    stage.world.acceptance = pending();
    while stage.row().1 > 0 {
        stage.tick();
    }
    stage.tick();
    // The mesh may still send it requests.
    assert_eq!((stage.world.status.phase, stage.target().replicas), (Phase::Progressing, 2));
    // But a mesh that never answers holds nothing up for longer than a rollout may take.
    for _ in 0..11 {
        stage.tick();
    }
    assert_eq!((stage.world.status.phase, stage.target().replicas), (Phase::Failed, 0));
    assert_eq!(stage.row().1, 0);
    let said = stage.said();
    let told = format!("Halt podinfo.test advancement the route is not accepted: {INVALID}");
    assert!(said.contains(&told), "{said:#?}");
}

#[test]
fn the_target_keeps_its_pods_until_the_mesh_sends_the_requests_elsewhere() {
    let mut stage = Stage::new(release(), MESH);
    stage.world.acceptance = pending();
    for _ in 0..5 {
        stage.tick();
    }
    assert_eq!(stage.world.status.phase, Phase::Initializing);
    assert_eq!(stage.target().replicas, 2);
    stage.world.acceptance = Acceptance::Accepted;
    stage.tick();
    assert_eq!((stage.world.status.phase, stage.target().replicas), (Phase::Initialized, 0));
}

#[test]
fn what_the_mesh_needs_stands_before_the_primary() {
    let mut stage = Stage::new(release(), MESH);
    stage.world.groundwork = Presence::Absent;
    let mut effects = Vec::new();
    while stage.world.primary.is_none() {
        if let Step::Act(plan) = next(&stage.world) {
            effects.extend(plan.effects.clone());
        }
        stage.step();
    }
    let at = |wanted: Effect| effects.iter().position(|effect| *effect == wanted);
    assert!(at(Effect::Groundwork).expect("made") < at(Effect::CreatePrimary).expect("made"), "{effects:?}");
}

#[test]
fn a_canary_goes_after_what_only_we_can_delete() {
    let mut stage = Stage::initialized(release(), MESH);
    stage.world.lifecycle.needs_cleanup = true;
    stage.settle();
    assert!(stage.world.lifecycle.has_finalizer, "also without revertOnDeletion");
    stage.world.lifecycle.deleting = true;
    let Step::Act(plan) = next(&stage.world) else { panic!("nothing to do") };
    assert_eq!(plan.effects, [Effect::RemoveRoutes, Effect::RemoveFinalizer]);
}
