//! From the first sight of a Canary to its deletion.

use chrono::TimeDelta;

use crate::api::analysis::{OnMetricError, OnNoData};
use crate::api::status::{BlockerKind, CanaryStatus, Phase};
use crate::model::answer::Measured;
use crate::model::workload::Readiness;

use super::super::analysis::{Judgement, judge_one};
use super::super::step::{Effect, Reason, Side, Step};
use super::super::testing::{MESH, NO_ROUTES, Stage, release};
use super::super::{next, status};

// spec: 02/C8 02/C9 02/C13 02/C16 02/C19 01/API-047 01/API-052
#[test]
fn a_new_canary_gets_its_primary_before_the_traffic_moves_and_the_target_is_parked_last() {
    let mut stage = Stage::new(release(), MESH);
    let mut effects = Vec::new();
    for _ in 0..20 {
        if let Step::Act(plan) = next(&stage.world) {
            effects.extend(plan.effects.clone());
        }
        if stage.step().is_some() {
            stage.advance(TimeDelta::seconds(5));
        }
    }
    let names: Vec<&str> = effects
        .iter()
        .map(|effect| match effect {
            Effect::Service(Side::Canary) => "canary service",
            Effect::Service(Side::Primary) => "primary service",
            Effect::Service(Side::Apex) => "apex service",
            Effect::CreatePrimary => "primary",
            Effect::Route(_) => "routes",
            Effect::PauseScaler => "pause",
            Effect::ScaleToZero => "park",
            _ => "other",
        })
        .collect();
    assert_eq!(
        names,
        ["canary service", "primary service", "primary", "apex service", "routes", "pause", "park"]
    );
    let status = &stage.world.status;
    assert_eq!(status.phase, Phase::Initialized);
    assert_eq!(status.last_applied_spec, "vx1-a");
    assert_eq!(status.last_promoted_spec, "vx1-a");
    let promoted = status.condition("Promoted").expect("a condition");
    assert_eq!(
        (promoted.status.as_str(), promoted.reason.as_str(), promoted.message.as_str()),
        ("True", "Initialized", "Deployment initialization completed.")
    );
    assert_eq!(
        stage.said(),
        [
            "all the metrics providers are available!",
            "all the metrics providers are available!",
            "Initialization done! podinfo.test"
        ]
    );
    assert_eq!(stage.alerts[0].message, "New Deployment detected, initialization completed.");
}

// spec: 02/C72
#[test]
fn at_rest_there_is_nothing_to_do() {
    for capabilities in [MESH, NO_ROUTES] {
        let mut stage = Stage::initialized(release(), capabilities);
        let before: CanaryStatus = stage.world.status.clone();
        for _ in 0..10 {
            assert_eq!(stage.tick(), Reason::AtRest);
        }
        stage.target().generation += 1;
        stage.target().replicas = 7;
        assert_eq!(stage.tick(), Reason::AtRest);
        assert_eq!(stage.tick(), Reason::AtRest);
        assert_eq!(stage.said(), [""; 0]);
        assert_eq!(stage.world.status.phase, before.phase);
        let known = stage.world.status.applied_target.clone().expect("the record of the fence");
        assert_eq!(
            known.generation,
            stage.target().generation,
            "the fence follows edits that are no revision"
        );
    }
}

// spec: 01/API-065 01/API-129 02/C110
#[test]
fn a_suspended_canary_is_left_alone_and_says_so_once() {
    let mut release = release();
    release.suspend = true;
    let mut stage = Stage::new(release, MESH);
    assert_eq!(stage.settle(), Reason::Suspended);
    assert_eq!(stage.tick(), Reason::Suspended);
    assert_eq!(stage.said(), ["skipping canary run as object is suspended"]);
    assert_eq!(stage.world.status, CanaryStatus::default());
}

// spec: 01/API-064 02/C105
#[test]
fn deletion_with_revert_gives_the_target_its_pods_back_before_the_finalizer_goes() {
    let mut release = release();
    release.revert_on_deletion = true;
    let mut stage = Stage::initialized(release, MESH);
    assert!(stage.world.lifecycle.has_finalizer);
    stage.world.lifecycle.deleting = true;
    stage.settle();
    assert_eq!(stage.row().0, Phase::Terminating);
    assert_eq!(stage.target().replicas, 2);
    assert!(
        stage.world.lifecycle.has_finalizer,
        "the Service is given back, proxies are still hearing of it"
    );
    stage.advance(TimeDelta::seconds(5));
    stage.settle();
    assert!(stage.world.lifecycle.has_finalizer, "routes are reverted, proxies are still hearing of it");
    stage.advance(TimeDelta::seconds(5));
    stage.settle();
    assert!(!stage.world.lifecycle.has_finalizer);
    assert_eq!(stage.said(), ["Terminating canary podinfo.test", "Terminated canary podinfo.test"]);
}

// spec: 02/C106
#[test]
fn deletion_does_not_hang_on_a_target_that_is_gone() {
    let mut release = release();
    release.revert_on_deletion = true;
    let mut stage = Stage::initialized(release, MESH);
    stage.world.lifecycle.deleting = true;
    stage.world.target = Err("deployment podinfo.test get query error: not found".into());
    for _ in 0..2 {
        stage.settle();
        stage.advance(TimeDelta::seconds(5));
    }
    stage.settle();
    assert!(!stage.world.lifecycle.has_finalizer);
}

// Found by the end-to-end run: the Service changed hands while the routes already led to it, and for a second the proxy
// knew none of its pods.
// spec: 02/E9.5
#[test]
fn a_deletion_gives_back_the_service_before_the_routes_and_only_to_pods_that_proxies_know() {
    let mut release = release();
    release.revert_on_deletion = true;
    let mut stage = Stage::initialized(release, MESH);
    stage.world.lifecycle.deleting = true;
    let given_back = |stage: &Stage| {
        let written = |effect: &&Effect| matches!(effect, Effect::RevertService | Effect::RevertRoutes);
        match next(&stage.world) {
            Step::Act(plan) => plan.effects.iter().find(written).cloned(),
            _ => None,
        }
    };
    stage.world.endpoints.canary = Some(2);
    stage.world.endpoints.canary_since = Some(stage.world.now);
    stage.step();
    stage.step();
    assert_eq!(given_back(&stage), None, "the pods have only just become ready");
    let waits = |stage: &Stage| stage.world.status.blockers.iter().any(|it| it.kind == BlockerKind::Settling);
    stage.settle();
    assert!(waits(&stage), "the status says what the deletion waits for: {:?}", stage.world.status.blockers);
    stage.advance(TimeDelta::seconds(5));
    assert_eq!(given_back(&stage), Some(Effect::RevertService));
    stage.settle();
    assert_eq!(given_back(&stage), None, "proxies have not heard of the Service's new pods");
    assert!(waits(&stage));
    stage.advance(TimeDelta::seconds(5));
    assert_eq!(given_back(&stage), Some(Effect::RevertRoutes));
}

// Found by a history: the deletion waited for ever, and only an event named what it waited for.
#[test]
fn a_deletion_whose_target_misses_its_deadline_says_the_ways_out() {
    let mut release = release();
    release.revert_on_deletion = true;
    let mut stage = Stage::initialized(release, MESH);
    stage.world.lifecycle.deleting = true;
    stage.step();
    stage.target().ready_pods = 0;
    stage.target().readiness = Readiness::Stuck { why: "0 of 2".into() };
    stage.settle();
    assert!(stage.world.lifecycle.has_finalizer, "nobody would answer");
    let blockers = &stage.world.status.blockers;
    let says = |words: &str| blockers.iter().any(|blocker| blocker.message.contains(words));
    assert!(
        says("podinfo-primary keeps the traffic") && says("spec.revertOnDeletion to false"),
        "{blockers:?}"
    );
    stage.push("vx1-c");
    stage.target().ready_pods = 2;
    stage.target().readiness = Readiness::Ready;
    for _ in 0..2 {
        stage.settle();
        stage.advance(TimeDelta::seconds(5));
    }
    stage.settle();
    assert!(!stage.world.lifecycle.has_finalizer);
}

// spec: 02/C107
#[test]
fn the_finalizer_goes_when_it_is_no_longer_wanted() {
    let mut stage = Stage::initialized(release(), MESH);
    stage.world.lifecycle.has_finalizer = true;
    stage.settle();
    assert!(!stage.world.lifecycle.has_finalizer);
}

// Found by a history: the target was mended, and the primary kept the template that does not run.
#[test]
fn a_first_revision_that_does_not_run_says_how_to_begin_with_another() {
    let mut stage = Stage::new(release(), MESH);
    while stage.world.primary.is_none() {
        stage.step();
    }
    stage.primary().readiness = Readiness::Stuck { why: "0 of 2".into() };
    stage.settle();
    let stalled =
        |stage: &Stage| stage.world.status.condition("Stalled").expect("a condition").message.clone();
    assert!(!stalled(&stage).contains("delete"), "{}", stalled(&stage));
    stage.push("vx1-b");
    stage.primary().matches_target = false;
    stage.settle();
    assert!(stalled(&stage).contains("delete Deployment podinfo-primary"), "{}", stalled(&stage));
    stage.world.primary = None;
    stage.settle();
    assert!(stage.primary().matches_target);
}

#[test]
fn a_missing_target_is_in_status_and_events_once() {
    let mut stage = Stage::new(release(), MESH);
    let text = "deployment podinfo.test get query error: deployments.apps \"podinfo\" not found";
    let target = stage.world.target.clone();
    stage.world.target = Err(text.into());
    stage.settle();
    stage.tick();
    assert_eq!(stage.said(), [text]);
    assert_eq!(stage.world.status.condition("Stalled").expect("a condition").message, text);
    stage.world.target = target;
    stage.settle();
    stage.advance(TimeDelta::seconds(5));
    stage.settle();
    assert_eq!(stage.row().0, Phase::Initialized);
}

#[test]
fn a_spec_that_cannot_be_used_keeps_everything_but_says_why() {
    let stage = Stage::initialized(release(), MESH);
    let problem = crate::model::release::Problem {
        field: "spec.analysis.stepWeight".into(),
        message: "0 moves nothing".into(),
    };
    let refused = status::refused(&stage.world.status, 2, &[problem], stage.now());
    assert_eq!(refused.phase, Phase::Initialized);
    assert_eq!(refused.last_applied_spec, "vx1-a");
    assert_eq!(
        refused.condition("Stalled").expect("a condition").message,
        "invalid canary spec: spec.analysis.stepWeight: 0 moves nothing"
    );
}

#[test]
fn warnings_of_a_manifest_are_told_once_per_generation() {
    let mut stage = Stage::initialized(release(), MESH);
    stage.world.warnings = vec!["use spec.analysis".into()];
    stage.world.release.generation = 2;
    stage.settle();
    stage.tick();
    assert_eq!(stage.said(), ["use spec.analysis"]);
    assert_eq!(stage.world.status.observed_generation, Some(2));
}

// spec: 02/C97
#[test]
fn no_data_nan_and_errors_are_three_things_that_all_fail_unless_told_otherwise() {
    let mut release = release();
    let check = release.analysis.metrics[0].clone();
    let answers = [
        Measured::NoData("no values found".into()),
        Measured::NotANumber,
        Measured::Failed("connection refused".into()),
    ];
    for answer in &answers {
        assert_eq!(judge_one(&release, &check, answer).0, Judgement::Failed);
    }
    release.analysis.on_no_data = OnNoData::Pass;
    release.analysis.on_metric_error = OnMetricError::Hold;
    let judged: Vec<Judgement> = answers.iter().map(|answer| judge_one(&release, &check, answer).0).collect();
    assert_eq!(judged, [Judgement::Passed, Judgement::Passed, Judgement::Held]);
    assert_eq!(
        judge_one(&release, &check, &answers[2]).1.expect("an event").message,
        "Prometheus query failed: connection refused"
    );
}

#[test]
fn a_held_check_neither_counts_nor_advances() {
    let mut release = release();
    release.analysis.on_metric_error = OnMetricError::Hold;
    let mut stage = Stage::detected(release, MESH);
    stage.tick();
    stage.metric = Measured::Failed("down".into());
    stage.tick();
    stage.tick();
    assert_eq!(stage.row(), (Phase::Progressing, 20, 20, 0, 0));
    stage.metric = Measured::Value(100.0);
    stage.tick();
    assert_eq!(stage.row(), (Phase::Progressing, 40, 40, 0, 0));
}

// spec: 02/C10 02/C11 01/API-048 01/API-050
#[test]
fn a_condition_keeps_its_time_while_its_status_stays_and_every_write_moves_the_status() {
    let mut stage = Stage::initialized(release(), MESH);
    let first = stage.world.status.clone();
    stage.push("vx1-b");
    stage.settle();
    let started = stage.world.status.condition("Promoted").cloned().expect("a condition");
    assert_eq!(started.status, "Unknown");
    assert!(stage.world.status.last_transition_time >= first.last_transition_time);
    stage.tick();
    let stepped = stage.world.status.clone();
    assert_eq!(stepped.condition("Promoted"), Some(&started), "a step is no change of the condition");
    assert_eq!(stepped.last_transition_time, Some(stage.now()));
    for _ in 0..3 {
        stage.tick();
    }
    let promoting = stage.world.status.condition("Promoted").cloned().expect("a condition");
    assert_eq!((promoting.status.as_str(), promoting.reason.as_str()), ("Unknown", "Promoting"));
    assert_eq!(promoting.last_transition_time, started.last_transition_time, "only the reason changed");
    assert_eq!(promoting.last_update_time, Some(stage.now()));
    let json = serde_json::to_value(&stage.world.status).expect("a status");
    assert!(["canaryWeight", "failedChecks", "iterations"].iter().all(|counter| json[counter].is_i64()));
}

// spec: 02/C12
#[test]
fn counters_stay_in_a_run_and_go_with_it() {
    let mut stage = Stage::detected(release(), MESH);
    stage.tick();
    for phase in [Phase::Progressing, Phase::Waiting, Phase::WaitingPromotion, Phase::Promoting] {
        assert_eq!(status::phase(&stage.world, phase).canary_weight, 20, "{phase}");
    }
    for phase in [Phase::Initialized, Phase::Finalising, Phase::Succeeded, Phase::Failed, Phase::Terminating]
    {
        assert_eq!(status::phase(&stage.world, phase).canary_weight, 0, "{phase}");
    }
}

// spec: 02/C39
#[test]
fn the_phase_terminated_is_never_written() {
    let mut release = release();
    release.revert_on_deletion = true;
    let mut stage = Stage::initialized(release, MESH);
    stage.world.lifecycle.deleting = true;
    for _ in 0..10 {
        stage.settle();
        stage.advance(TimeDelta::seconds(5));
        assert_eq!(stage.row().0, Phase::Terminating);
    }
}
