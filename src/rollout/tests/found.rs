//! What the exploration of every state has found (docs/correctness.md), each as its smallest story.

use Phase::{Progressing, Succeeded};
use chrono::TimeDelta;

use crate::api::status::{CanaryStatus, Phase};
use crate::model::traffic::{RouteState, Split};
use crate::model::workload::Readiness;

use super::super::step::{Effect, Step};
use super::super::testing::{MESH, Stage, release};
use super::super::{Endpoints, RoutesSeen, next, status};

fn running_at_20() -> Stage {
    let mut stage = Stage::detected(release(), MESH);
    stage.tick();
    assert_eq!(stage.row(), (Progressing, 20, 20, 0, 0));
    stage
}

fn stops_pods(stage: &Stage) -> bool {
    matches!(next(&stage.world), Step::Act(plan) if plan.effects.contains(&Effect::ScaleToZero))
}

#[test]
fn a_push_and_its_revert_leave_the_pods_until_every_proxy_knows() {
    let mut stage = running_at_20();
    stage.push("vx1-c");
    stage.settle();
    assert_eq!(stage.row().1, 0, "the push takes the canary's share");
    stage.push("vx1-a");
    stage.settle();
    assert_eq!(stage.target().replicas, 2, "proxies may not know yet that it has no share");
    stage.advance(TimeDelta::seconds(5));
    stage.settle();
    assert_eq!((stage.row().0, stage.target().replicas), (Succeeded, 0));
}

#[test]
fn a_canary_that_stands_in_when_its_run_ends_keeps_its_pods() {
    let mut stage = running_at_20();
    stage.push("vx1-a");
    stage.settle();
    assert!(stage.world.status.settling().is_some());
    stage.world.endpoints = Endpoints { primary: Some(0), canary: Some(2), ..Endpoints::default() };
    stage.primary().ready_pods = 0;
    stage.primary().readiness = Readiness::Waiting { why: "0 of 2".into(), stuck_at: None };
    stage.settle();
    assert_eq!(stage.row().1, 100, "it stands in for the primary");
    stage.advance(TimeDelta::seconds(5));
    stage.settle();
    assert_eq!(stage.target().replicas, 2, "nobody else would answer");
    assert!(stage.world.status.condition("Stalled").is_some(), "and the status says so");
    stage.world.endpoints = Endpoints { primary: Some(2), canary: Some(2), ..Endpoints::default() };
    stage.primary().ready_pods = 2;
    stage.primary().readiness = Readiness::Ready;
    stage.settle();
    assert_eq!((stage.row().1, stage.target().replicas), (0, 2));
    stage.advance(TimeDelta::seconds(5));
    stage.settle();
    assert_eq!((stage.row().0, stage.target().replicas), (Succeeded, 0));
}

#[test]
fn a_revert_after_a_promotion_that_died_unrecorded_is_released() {
    let mut stage = running_at_20();
    // The primary was given B, and the controller died before that was on record.
    stage.push("vx1-a");
    stage.primary().matches_target = false;
    for _ in 0..12 {
        stage.tick();
    }
    assert_eq!(stage.row().0, Succeeded);
    assert!(stage.primary().matches_target, "the primary must not stay at B while the status says A");
}

#[test]
fn pods_that_start_are_on_record_first() {
    let mut stage = Stage::initialized(release(), MESH);
    stage.push("vx1-b");
    let Step::Act(plan) = next(&stage.world) else { panic!("a plan") };
    assert!(!plan.effects.contains(&Effect::ScaleUp), "a crash would leave pods that nobody stops");
    assert!(status::differs(&stage.world.status, &plan.status));
}

#[test]
fn the_end_of_an_older_run_does_not_switch_safety_off_when_the_canary_is_deleted() {
    let mut stage = running_at_20();
    stage.push("vx1-a");
    stage.settle();
    stage.world.lifecycle.deleting = true;
    stage.world.lifecycle.has_finalizer = true;
    stage.world.release.revert_on_deletion = true;
    stage.world.endpoints = Endpoints { primary: Some(0), canary: Some(2), ..Endpoints::default() };
    let Step::Act(plan) = next(&stage.world) else { panic!("a plan") };
    assert!(
        matches!(plan.effects.first(), Some(Effect::Route(route)) if route.wish().split == Split::CANARY)
    );
}

#[test]
fn a_new_canary_keeps_its_targets_pods_until_the_primarys_service_leads_somewhere() {
    let mut stage = Stage::new(release(), MESH);
    stage.settle();
    stage.advance(TimeDelta::seconds(5));
    assert!(stops_pods(&stage) || stage.world.answers.is_empty());
    stage.world.endpoints = Endpoints { primary: Some(0), canary: Some(0), ..Endpoints::default() };
    stage.settle();
    assert_eq!(stage.target().replicas, 2);
    let state = RouteState { split: Split::PRIMARY, mirrored: false };
    assert_eq!(stage.world.routes, RoutesSeen::Seen { state, in_place: true });
}

// Found by a history: an API server that asked for patience took a rollback's route eight seconds late, and the pods were
// stopped in that moment.
#[test]
fn what_a_plan_begins_is_counted_from_its_last_write() {
    let mut stage = running_at_20();
    stage.push("vx1-a");
    let decided = stage.now();
    let Step::Act(plan) = next(&stage.world) else { panic!("a plan") };
    let since = |at| status::as_of(&plan.status, decided, at).settling().map(|(_, since)| since);
    assert_eq!(since(decided), Some(decided));
    let late = decided + TimeDelta::seconds(8);
    assert_eq!(since(late), Some(late));
    let ready = |status: &CanaryStatus| status.condition("Ready").cloned();
    assert_eq!(ready(&status::as_of(&stage.world.status, decided, late)), ready(&stage.world.status));
}
