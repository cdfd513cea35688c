//! No share goes to a side without ready pods.

use std::time::Duration;

use chrono::TimeDelta;

use crate::api::status::Phase;

use super::super::snapshot::Endpoints;
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

#[test]
fn a_canary_gets_no_traffic_before_the_proxies_have_heard_of_its_pods() {
    let mut stage = Stage::detected(release(), MESH);
    stage.advance(TimeDelta::seconds(60));
    stage.forget();
    stage.world.endpoints = Endpoints { canary_since: Some(stage.now()), ..Endpoints::default() };
    let waits = stage.settle().to_string();
    assert!(waits.contains("the proxies have until"), "{waits}");
    assert_eq!(stage.row(), (Phase::Progressing, 0, 0, 0, 0));
    assert_eq!(stage.said(), [""; 0], "it is a matter of seconds");
    stage.advance(TimeDelta::seconds(5));
    stage.settle();
    assert_eq!(stage.row(), (Phase::Progressing, 20, 20, 0, 0));
}

#[test]
fn a_mesh_that_takes_its_time_is_given_it_before_a_share_and_before_the_pods_go() {
    let mut stage = Stage::detected(release(), MESH);
    stage.world.settle = Duration::from_secs(45);
    stage.advance(TimeDelta::seconds(60));
    stage.world.endpoints = Endpoints { canary_since: Some(stage.now()), ..Endpoints::default() };
    stage.settle();
    stage.advance(TimeDelta::seconds(44));
    stage.settle();
    assert_eq!(stage.row(), (Phase::Progressing, 0, 0, 0, 0));
    stage.advance(TimeDelta::seconds(1));
    stage.settle();
    assert_eq!(stage.row(), (Phase::Progressing, 20, 20, 0, 0));

    stage.world.status.failed_checks = stage.world.release.analysis.threshold;
    stage.tick();
    assert_eq!((stage.row().1, stage.target().replicas), (0, 2), "requests may still come");
    stage.advance(TimeDelta::seconds(44));
    stage.settle();
    assert_eq!(stage.target().replicas, 2);
    stage.advance(TimeDelta::seconds(1));
    stage.settle();
    assert_eq!((stage.world.status.phase, stage.target().replicas), (Phase::Failed, 0));
}

#[test]
fn a_primary_whose_pods_were_replaced_at_once_gets_its_traffic_back_when_the_proxies_know_the_new_ones() {
    let mut stage = Stage::detected(release(), MESH);
    stage.world.primary.as_mut().expect("a primary").replaced_at_once = true;
    while stage.world.status.phase != Phase::Promoting || stage.row().1 < 100 {
        stage.tick();
    }
    stage.advance(TimeDelta::seconds(5));
    stage.settle();
    assert_eq!(stage.world.status.last_promoted_spec, stage.world.status.last_applied_spec);
    stage.advance(TimeDelta::seconds(60));
    stage.world.endpoints = Endpoints { primary_since: Some(stage.now()), ..Endpoints::default() };
    stage.settle();
    assert_eq!((stage.row().0, stage.row().1), (Phase::Promoting, 100), "nobody knows its pods yet");
    stage.advance(TimeDelta::seconds(5));
    stage.settle();
    assert_eq!((stage.row().0, stage.row().1), (Phase::Finalising, 0));
}

#[test]
fn a_primary_that_just_came_back_takes_over_at_once_from_a_canary_without_pods() {
    let mut stage = Stage::detected(release(), MESH);
    stage.tick();
    let back = Some(stage.now());
    stage.world.endpoints =
        Endpoints { primary: Some(1), canary: Some(0), primary_since: back, ..Endpoints::default() };
    stage.settle();
    assert_eq!(stage.row().1, 0);
}
