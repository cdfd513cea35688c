//! No share goes to a side without ready pods.

use crate::api::status::Phase;

use super::super::testing::{MESH, Stage, release};

#[test]
fn a_canary_without_ready_pods_gets_no_traffic() {
    let mut stage = Stage::detected(release(), MESH);
    // Ready by its threshold, and yet without a single pod.
    stage.target().ready_pods = 0;
    stage.forget();
    stage.tick();
    assert_eq!(stage.row(), (Phase::Progressing, 0, 0, 0, 0));
    let text = "Halt podinfo.test advancement traffic interlock: canary podinfo.test has 0 of 2 pods ready, \
                refusing weights primary 80 canary 20";
    assert_eq!(stage.said(), [text]);
    assert_eq!(stage.world.status.condition("Stalled").expect("a condition").message, text);
    stage.target().ready_pods = 2;
    stage.settle();
    assert_eq!(stage.row(), (Phase::Progressing, 20, 20, 0, 0));
    assert_eq!(stage.world.status.condition("Stalled"), None);
}

#[test]
fn a_canary_that_loses_its_pods_loses_its_traffic_at_once() {
    let mut stage = Stage::detected(release(), MESH);
    stage.tick();
    stage.forget();
    stage.target().ready_pods = 0;
    stage.settle();
    assert_eq!(stage.row(), (Phase::Progressing, 0, 0, 0, 1));
    assert_eq!(
        stage.said(),
        [
            "Halt podinfo.test advancement traffic interlock: canary podinfo.test has 0 of 2 pods ready, routing all \
          traffic to primary"
        ]
    );
}

#[test]
fn a_rollback_does_not_move_traffic_to_a_dead_primary() {
    let mut stage = Stage::detected(release(), MESH);
    stage.tick();
    stage.world.status.failed_checks = 2;
    stage.primary().ready_pods = 0;
    stage.tick();
    assert_eq!(stage.row().1, 100, "nobody else would answer");
    assert!(stage.world.status.condition("Stalled").is_some());
    stage.primary().ready_pods = 1;
    stage.settle();
    assert_eq!(stage.row().1, 0);
}

#[test]
fn the_traffic_of_a_new_canary_waits_for_a_ready_primary() {
    let mut stage = Stage::new(release(), MESH);
    while stage.world.primary.is_none() {
        stage.step();
    }
    stage.primary().ready_pods = 0;
    stage.settle();
    assert_eq!(stage.world.routes.split(), None);
    assert_eq!(stage.target().replicas, 2);
}
