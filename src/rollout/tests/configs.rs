//! ConfigMaps and Secrets in the decisions (spec 02 §4.4).

use Phase::{Failed, Finalising, Initialized, Progressing, Promoting, Succeeded};
use chrono::TimeDelta;
use rstest::rstest;

use crate::api::status::Phase;
use crate::model::answer::Measured;
use crate::model::workload::{REVISION_PREFIX, Readiness};

use super::super::step::Reason;
use super::super::testing::{MESH, Stage, release};

const MISSING: &str = "configmap settings.test get query error: configmaps \"settings\" not found";

/// At rest, with tracked settings.
fn resting() -> Stage {
    let mut stage = Stage::initialized(release(), MESH);
    edit(&mut stage, "11");
    let world = &mut stage.world;
    world.status.tracked_configs = world.target.as_ref().expect("a target").configs.clone();
    stage.primary().matches_target = true;
    stage.primary().other_configs = false;
    stage.settle();
    stage.forget();
    stage
}

/// The user gives the settings other contents.
fn edit(stage: &mut Stage, checksum: &str) {
    stage.target().configs = Some([("configmap/settings".to_owned(), checksum.to_owned())].into());
    stage.primary().matches_target = false;
    stage.primary().other_configs = true;
}

fn recorded(stage: &Stage) -> Option<&str> {
    stage.world.status.tracked_configs.as_ref()?.get("configmap/settings").map(String::as_str)
}

// spec: 02/C82
#[test]
fn a_config_change_is_released_like_a_revision() {
    let mut stage = resting();
    edit(&mut stage, "22");
    stage.settle();
    assert_eq!(stage.row(), (Progressing, 0, 0, 0, 0));
    assert_eq!(recorded(&stage), Some("22"));
    assert_eq!(stage.said(), ["New revision detected! Scaling up podinfo.test"]);
    let mut phases = Vec::new();
    for _ in 0..8 {
        stage.tick();
        phases.push(stage.world.status.phase);
    }
    phases.dedup();
    assert_eq!(phases, [Progressing, Promoting, Finalising, Succeeded]);
}

// spec: 02/C82
#[test]
fn a_config_change_in_a_run_restarts_it_and_renews_the_pods() {
    let mut stage = resting();
    stage.push("vx1-b");
    stage.settle();
    stage.tick();
    assert_eq!(stage.row(), (Progressing, 20, 20, 0, 0));
    let before = stage.renewals;
    stage.forget();
    edit(&mut stage, "22");
    stage.settle();
    assert_eq!(stage.row(), (Progressing, 0, 0, 0, 0));
    assert_eq!((stage.renewals - before, recorded(&stage)), (1, Some("22")));
    assert_eq!(stage.said(), ["New revision detected! Restarting analysis for podinfo.test"]);
}

#[test]
fn a_new_template_renews_its_pods_by_itself() {
    let mut stage = resting();
    stage.push("vx1-b");
    stage.settle();
    stage.push("vx1-c");
    stage.settle();
    assert_eq!(stage.renewals, 0);
}

// spec: 02/C82
#[test]
fn undoing_a_config_edit_is_a_revision_of_its_own() {
    let mut stage = resting();
    stage.metric = Measured::Value(0.0);
    edit(&mut stage, "22");
    for _ in 0..6 {
        stage.tick();
        stage.advance(TimeDelta::seconds(5));
        stage.settle();
    }
    assert_eq!(stage.world.status.phase, Failed);
    stage.settle();
    assert_eq!(stage.world.status.phase, Failed, "what failed is not tried again");
    edit(&mut stage, "11");
    stage.settle();
    assert_eq!(stage.world.status.phase, Progressing);
}

#[test]
fn what_is_not_known_is_no_change_and_keeps_its_record() {
    let mut stage = resting();
    // As the runtime says it: what cannot be read is what was recorded.
    stage.target().configs = stage.world.status.tracked_configs.clone();
    stage.push("vx1-b");
    stage.settle();
    assert_eq!((stage.world.status.phase, recorded(&stage)), (Progressing, Some("11")));
}

#[test]
fn the_promoted_template_with_configs_that_failed_beside_another_is_released() {
    let mut stage = resting();
    stage.metric = Measured::Value(0.0);
    edit(&mut stage, "22");
    stage.push("vx1-b");
    for _ in 0..6 {
        stage.tick();
        stage.advance(TimeDelta::seconds(5));
        stage.settle();
    }
    assert_eq!(stage.world.status.phase, Failed);
    stage.push("vx1-a");
    stage.primary().matches_target = false;
    stage.settle();
    assert_eq!(stage.world.status.phase, Progressing, "the settings are still to be released");
}

// spec: 02/C78
#[test]
fn at_rest_a_config_problem_is_told_once_and_starts_nothing() {
    let mut stage = resting();
    stage.target().config_problem = Some(MISSING.to_owned());
    stage.push("vx1-b");
    assert_eq!(stage.settle(), Reason::Blocked(MISSING.to_owned()));
    stage.tick();
    assert_eq!(stage.said(), [MISSING]);
    assert_eq!(stage.world.status.phase, Initialized);
    assert_eq!(
        stage.world.status.condition("Stalled").map(|stalled| stalled.reason.as_str()),
        Some("ConfigUnavailable")
    );
    stage.target().config_problem = None;
    stage.settle();
    assert_eq!(stage.world.status.phase, Progressing);
}

// spec: 02/C78
#[test]
fn in_a_run_a_config_problem_holds_the_next_step_and_nothing_else() {
    let mut stage = resting();
    stage.push("vx1-b");
    stage.settle();
    stage.tick();
    stage.forget();
    stage.target().config_problem = Some(MISSING.to_owned());
    assert_eq!(stage.tick(), Reason::Readiness(MISSING.to_owned()));
    assert_eq!(stage.row(), (Progressing, 20, 20, 0, 0));
    // Its pods die for want of it: their traffic goes to the primary as ever.
    stage.target().ready_pods = 0;
    stage.target().readiness = Readiness::Waiting { why: "0 of 2".into(), stuck_at: None };
    stage.settle();
    assert_eq!(stage.row(), (Progressing, 0, 0, 0, 1));
}

#[test]
fn a_config_change_while_promoting_hands_the_traffic_to_the_primary() {
    let mut stage = resting();
    stage.push("vx1-b");
    stage.settle();
    while stage.world.status.phase == Progressing {
        stage.tick();
    }
    assert_eq!((stage.world.status.phase, stage.row().1), (Promoting, 60));
    edit(&mut stage, "22");
    stage.settle();
    assert_eq!(stage.row().1, 0, "nobody has analysed these settings");
}

// spec: 02/C17
#[rstest]
#[case::edited_since(true)]
#[case::as_copied(false)]
fn a_config_that_was_edited_while_the_primary_was_made_is_released_afterwards(#[case] edited: bool) {
    let mut stage = Stage::new(release(), MESH);
    stage.target().configs = Some([("configmap/settings".to_owned(), "11".to_owned())].into());
    stage.settle();
    if edited {
        edit(&mut stage, "22");
    }
    for _ in 0..3 {
        stage.settle();
        stage.advance(TimeDelta::seconds(5));
    }
    let superseded = stage.world.status.last_promoted_spec == format!("{REVISION_PREFIX}superseded");
    assert_eq!(
        (superseded, stage.world.status.phase),
        (edited, if edited { Progressing } else { Initialized })
    );
}
