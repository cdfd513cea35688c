//! What the status tells of a run: revisions, blockers, measurements.

use chrono::TimeDelta;

use crate::api::hooks::HookType;
use crate::api::status::{Blocker, BlockerKind, Phase};
use crate::model::answer::Measured;
use crate::model::workload::Readiness;

use super::super::testing::{MESH, Stage, hook, release};

fn kinds(stage: &Stage) -> Vec<BlockerKind> {
    stage.world.status.blockers.iter().map(|blocker| blocker.kind).collect()
}

fn only(stage: &Stage) -> &Blocker {
    let [blocker] = &stage.world.status.blockers[..] else { panic!("{:?}", stage.world.status.blockers) };
    blocker
}

#[test]
fn the_status_names_the_revision_under_release_and_the_promoted_one_with_their_images() {
    let mut stage = Stage::initialized(release(), MESH);
    let promoted = stage.world.status.promoted.clone().expect("a promoted revision");
    assert_eq!((promoted.name.as_str(), &promoted.images[..]), ("vx1-a", &["podinfo:1".to_owned()][..]));
    assert_eq!(stage.world.status.releasing, None);

    stage.world.images = vec!["podinfo:2".into()];
    stage.push("vx1-b");
    stage.settle();
    let releasing = stage.world.status.releasing.clone().expect("a revision under release");
    assert_eq!((releasing.name.as_str(), &releasing.images[..]), ("vx1-b", &["podinfo:2".to_owned()][..]));
    assert_eq!(stage.world.status.promoted, Some(promoted));
    for _ in 0..8 {
        stage.tick();
    }
    assert_eq!(stage.world.status.phase, Phase::Succeeded);
    let promoted = stage.world.status.promoted.clone().expect("a promoted revision");
    assert_eq!((promoted.name.as_str(), &promoted.images[..]), ("vx1-b", &["podinfo:2".to_owned()][..]));
    assert_eq!(stage.world.status.releasing, None);
    assert_eq!(kinds(&stage), []);
}

#[test]
fn between_two_steps_the_next_check_is_waited_for_and_costs_no_write_of_its_own() {
    let mut stage = Stage::detected(release(), MESH);
    stage.tick();
    let due = stage.now() + TimeDelta::seconds(60);
    assert_eq!((only(&stage).kind, only(&stage).until), (BlockerKind::NextCheck, Some(due)));
    assert_eq!(stage.world.wait_recorded_at, None, "noted with the step");
}

#[test]
fn a_failed_check_stands_in_the_way_with_its_numbers_until_it_passes() {
    let mut stage = Stage::detected(release(), MESH);
    stage.tick();
    stage.metric = Measured::Value(91.5);
    stage.tick();
    assert_eq!(kinds(&stage), [BlockerKind::Check, BlockerKind::NextCheck]);
    let check = &stage.world.status.blockers[0];
    assert_eq!(check.name.as_deref(), Some("request-success-rate"));
    assert_eq!(check.message, "Halt podinfo.test advancement success rate 91.50% < 99%");
    let [found] = &stage.world.status.measurements[..] else { panic!("one metric") };
    assert_eq!((found.verdict.as_str(), found.value, found.min), ("Failed", Some(91.5), Some(99.0)));

    stage.metric = Measured::Value(99.9);
    stage.tick();
    assert_eq!(kinds(&stage), [BlockerKind::NextCheck]);
    assert_eq!(stage.world.status.measurements[0].verdict, "Passed");
}

#[test]
fn the_last_twelve_values_of_a_metric_are_kept_over_failed_hooks_until_the_next_run() {
    let mut hooked = release();
    hooked.analysis.threshold = 100;
    hooked.analysis.hooks = vec![hook(HookType::Rollout, "load")];
    let mut stage = Stage::detected(hooked, MESH);
    stage.tick();
    for value in 1..=15 {
        stage.metric = Measured::Value(f64::from(value));
        stage.tick();
    }
    let history = |stage: &Stage| stage.world.status.measurements[0].history.clone();
    assert_eq!(history(&stage), (4..=15).map(f64::from).collect::<Vec<_>>());
    stage.metric = Measured::NoData("no values found".into());
    stage.tick();
    assert_eq!(history(&stage).len(), 12, "no value is not a value");
    stage.closed = vec!["load".into()];
    stage.tick();
    assert_eq!(history(&stage).last(), Some(&15.0));
    stage.closed.clear();
    stage.push("vx1-c-rev");
    stage.settle();
    assert!(stage.world.status.measurements.is_empty());
}

#[test]
fn a_metric_without_a_value_says_why() {
    let mut stage = Stage::detected(release(), MESH);
    stage.tick();
    stage.metric = Measured::NoData("no values found".into());
    stage.tick();
    let [found] = &stage.world.status.measurements[..] else { panic!("one metric") };
    assert_eq!((found.value, found.message.as_deref()), (None, Some("no values found")));
}

#[test]
fn pods_that_become_ready_one_by_one_are_noted_once_per_interval() {
    let mut stage = Stage::detected(release(), MESH);
    let began = stage.now();
    let at = |stage: &mut Stage, pods: i32, after: i64| {
        stage.world.now = began + TimeDelta::seconds(after);
        stage.target().readiness =
            Readiness::Waiting { why: format!("{pods} of 9 pods are available").into(), stuck_at: None };
        stage.settle();
        only(stage).clone()
    };
    let first = at(&mut stage, 1, 60);
    assert_eq!((first.kind, first.message.as_str()), (BlockerKind::Readiness, "1 of 9 pods are available"));
    assert_eq!(at(&mut stage, 2, 70).message, "1 of 9 pods are available");
    let later = at(&mut stage, 3, 120);
    assert_eq!((later.message.as_str(), later.since), ("3 of 9 pods are available", first.since));
}

#[test]
fn a_closed_gate_is_named_from_its_first_no_to_its_yes() {
    let mut gated = release();
    gated.analysis.hooks = vec![hook(HookType::ConfirmTrafficIncrease, "slow down")];
    let mut stage = Stage::detected(gated, MESH);
    stage.closed = vec!["slow down".into()];
    stage.tick();
    let since = only(&stage).since;
    for _ in 0..3 {
        assert_eq!((only(&stage).kind, only(&stage).name.as_deref()), (BlockerKind::Gate, Some("slow down")));
        assert_eq!(only(&stage).since, since);
        stage.advance(TimeDelta::seconds(5));
        stage.settle();
        stage.tick();
    }
    stage.closed.clear();
    stage.tick();
    assert_eq!(kinds(&stage), [BlockerKind::NextCheck]);
}
