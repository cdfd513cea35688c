//! What goes wrong, and what becomes of it (spec 02 §1.14, §1.15).

use Phase::{Failed, Finalising, Progressing, Promoting, Succeeded};
use chrono::TimeDelta;

use crate::api::hooks::Severity;
use crate::api::status::Phase;
use crate::model::answer::Measured;
use crate::model::traffic::Split;
use crate::model::workload::{Form, Lack, Presence, Readiness, Subject, Unready};

use super::super::step::{Effect, Reason, Step};
use super::super::testing::{MESH, Stage, release};
use super::super::{RoutesSeen, next};

fn running_at_20() -> Stage {
    let mut stage = Stage::detected(release(), MESH);
    stage.tick();
    assert_eq!(stage.row(), (Progressing, 20, 20, 0, 0));
    stage.forget();
    stage
}

// spec: 01/API-128 02/C30 04/AL-22
#[test]
fn a_canary_that_misses_its_deadline_is_rolled_back_with_an_alert() {
    let mut stage = running_at_20();
    stage.target().readiness =
        Readiness::Stuck { why: "canary deployment podinfo.test not ready: late".into() };
    stage.tick();
    stage.advance(TimeDelta::seconds(5));
    stage.settle();
    assert_eq!(stage.row(), (Failed, 0, 0, 0, 0));
    assert_eq!(
        stage.said(),
        [
            "canary deployment podinfo.test not ready: late",
            "Rolling back podinfo.test progress deadline exceeded canary deployment podinfo.test not ready: late",
            "Canary failed! Scaling down podinfo.test"
        ]
    );
    assert_eq!(
        (stage.alerts[0].severity, stage.alerts[0].message.as_str()),
        (Severity::Error, "Progress deadline exceeded canary deployment podinfo.test not ready: late")
    );
}

#[test]
fn waiting_for_the_canary_costs_no_failed_check() {
    let mut stage = running_at_20();
    stage.target().readiness = Readiness::Waiting { why: "1 of 2".into(), stuck_at: None };
    stage.target().ready_pods = 1;
    assert_eq!(stage.tick(), Reason::Readiness("1 of 2".into()));
    assert_eq!(stage.said(), ["1 of 2"]);
    stage.settle();
    assert_eq!(stage.said(), [""; 0], "said once");
    stage.target().readiness = Readiness::Ready;
    stage.target().ready_pods = 2;
    stage.settle();
    assert_eq!(
        stage.row(),
        (Progressing, 40, 40, 0, 0),
        "goes on when the pods are there, not at the next interval"
    );
}

// spec: 01/API-063 02/C31
#[test]
fn a_promotion_whose_primary_stays_unready_leaves_the_traffic_on_the_canary() {
    for finalising in [false, true] {
        let mut stage = running_at_20();
        stage.tick();
        stage.tick();
        stage.tick();
        assert_eq!(stage.row().0, Promoting);
        if finalising {
            stage.tick();
            assert_eq!(stage.row().0, Finalising);
        }
        stage.forget();
        stage.primary().readiness = Readiness::Stuck { why: "late".into() };
        stage.tick();
        assert_eq!(stage.row(), (Failed, 100, 100, 0, 0));
        assert_eq!(stage.target().replicas, 2, "the canary stays");
        assert_eq!(stage.said(), ["late", "Promotion of podinfo.test failed, primary not ready: late"]);
        assert_eq!(stage.alerts[0].message, "Promotion failed, primary not ready: late");
    }
}

// spec: 02/C32 02/C33
#[test]
fn the_fix_after_a_failed_promotion_never_meets_the_broken_primary() {
    let mut stage = running_at_20();
    for _ in 0..3 {
        stage.tick();
    }
    stage.primary().readiness = Readiness::Stuck { why: "late".into() };
    stage.primary().ready_pods = 0;
    stage.tick();
    assert_eq!(stage.row(), (Failed, 100, 100, 0, 0));
    stage.push("vx1-fix");
    stage.settle();
    assert_eq!(stage.row(), (Progressing, 100, 100, 0, 0));
    stage.tick();
    assert_eq!(stage.row().0, Promoting, "analysed on its live traffic, then copied to the primary");
    assert_eq!(stage.row().1, 100);
    stage.primary().readiness = Readiness::Ready;
    stage.primary().ready_pods = 2;
    stage.tick();
    assert_eq!(stage.row(), (Finalising, 0, 0, 0, 0));
    stage.tick();
    assert_eq!(stage.row().0, Succeeded);
}

// spec: 02/C33
#[test]
fn a_run_after_a_failed_promotion_starts_from_the_primary_if_that_is_healthy_again() {
    let mut stage = running_at_20();
    for _ in 0..3 {
        stage.tick();
    }
    stage.primary().readiness = Readiness::Stuck { why: "late".into() };
    stage.tick();
    stage.primary().readiness = Readiness::Ready;
    stage.push("vx1-c");
    stage.settle();
    assert_eq!(stage.row(), (Progressing, 0, 0, 0, 0));
}

// spec: 02/C18
#[test]
fn a_primary_that_never_gets_ready_at_first_leaves_target_and_traffic_alone() {
    let mut stage = Stage::new(release(), MESH);
    while stage.world.primary.is_none() {
        stage.step();
    }
    stage.primary().readiness = Readiness::Stuck { why: "exceeded its progress deadline".into() };
    stage.primary().ready_pods = 0;
    stage.settle();
    assert_eq!(stage.row().0, Phase::Initializing);
    assert_eq!(stage.target().replicas, 2);
    assert_eq!(stage.world.routes, RoutesSeen::Absent);
    let stalled = stage.world.status.condition("Stalled").expect("a reason in the status");
    assert_eq!(stalled.message, "exceeded its progress deadline");
    stage.primary().readiness = Readiness::Ready;
    stage.primary().ready_pods = 2;
    stage.settle();
    stage.advance(TimeDelta::seconds(5));
    stage.settle();
    assert_eq!(stage.row().0, Phase::Initialized);
    assert_eq!(stage.world.status.condition("Stalled"), None);
}

// spec: 02/C17
#[test]
fn an_edit_during_the_initialization_is_released_after_it() {
    let mut stage = Stage::new(release(), MESH);
    while stage.world.primary.is_none() {
        stage.step();
    }
    stage.target().revision = "vx1-b".into();
    stage.target().generation += 1;
    stage.primary().matches_target = false;
    stage.settle();
    stage.advance(TimeDelta::seconds(5));
    stage.settle();
    assert_eq!(stage.row().0, Progressing);
    assert_eq!(stage.world.status.last_applied_spec, "vx1-b");
}

// spec: 02/C21 02/C22
#[test]
fn a_revision_that_arrives_while_failed_is_never_lost() {
    let mut stage = running_at_20();
    stage.metric = Measured::Value(1.0);
    stage.tick();
    stage.tick();
    stage.tick();
    // Pushed while the routes are turned back.
    stage.push("vx1-c");
    stage.advance(TimeDelta::seconds(5));
    while stage.row().0 != Failed {
        stage.step();
    }
    assert_eq!(stage.world.status.last_applied_spec, "vx1-b", "the revision that failed");
    stage.primary().readiness = Readiness::Waiting { why: "a moment".into(), stuck_at: None };
    stage.settle();
    assert_eq!(stage.row().0, Progressing);
    assert_eq!(stage.world.status.last_applied_spec, "vx1-c");
}

// spec: 02/C25
#[test]
fn going_back_to_the_promoted_revision_cancels_the_run() {
    let mut stage = running_at_20();
    stage.push("vx1-a");
    stage.settle();
    assert_eq!(stage.row(), (Progressing, 0, 0, 0, 0));
    stage.advance(TimeDelta::seconds(5));
    stage.settle();
    assert_eq!(stage.row(), (Succeeded, 0, 0, 0, 0));
    assert_eq!(stage.target().replicas, 0);
    assert_eq!(stage.world.status.last_applied_spec, "vx1-a");
    assert_eq!(stage.said(), ["podinfo.test is back at the promoted revision, cancelling its analysis"]);
}

// spec: 02/C41
#[test]
fn dying_after_the_copy_to_the_primary_goes_on_with_the_promotion() {
    let mut stage = running_at_20();
    stage.tick();
    stage.tick();
    stage.advance(TimeDelta::seconds(60));
    loop {
        if let Step::Act(plan) = next(&stage.world) {
            assert!(plan.effects.contains(&Effect::Promote));
            stage.play(&Effect::Promote);
            break;
        }
        stage.step();
    }
    // The status was never written: the same controller, started again.
    stage.world.answers.clear();
    stage.asked.clear();
    stage.settle();
    assert_eq!(stage.row().0, Promoting);
    assert_eq!(stage.asked, [], "no second analysis");
}

// spec: 02/C41
#[test]
fn a_rollback_that_died_on_its_way_is_finished_and_never_resumed() {
    let mut stage = running_at_20();
    stage.metric = Measured::Value(1.0);
    stage.tick();
    stage.tick();
    stage.tick();
    assert!(stage.world.status.settling().is_some());
    stage.metric = Measured::Value(100.0);
    stage.advance(TimeDelta::seconds(3600));
    stage.settle();
    assert_eq!(stage.row(), (Failed, 0, 0, 0, 0));
}

// spec: 02/C65
#[test]
fn a_canary_parked_in_the_middle_of_its_run_is_scaled_up_again() {
    let mut stage = running_at_20();
    stage.play(&Effect::ScaleToZero);
    stage.settle();
    assert_eq!(stage.target().replicas, 2);
    assert_eq!(stage.row().1, 0, "without pods it lost its traffic");
}

#[test]
fn more_weight_than_the_checks_allow_is_taken_back() {
    let mut stage = running_at_20();
    stage.world.routes = RoutesSeen::Seen {
        state: crate::model::traffic::RouteState { split: Split::canary_gets(80), mirrored: false },
        in_place: true,
    };
    stage.settle();
    assert_eq!(stage.row(), (Progressing, 20, 20, 0, 0));
}

#[test]
fn drift_of_the_routes_is_repaired_without_a_change_of_the_weights() {
    let mut stage = running_at_20();
    let RoutesSeen::Seen { in_place, .. } = &mut stage.world.routes else { panic!("routes") };
    *in_place = false;
    stage.settle();
    assert_eq!(stage.row(), (Progressing, 20, 20, 0, 0));
    assert!(matches!(stage.world.routes, RoutesSeen::Seen { in_place: true, .. }));
}

#[test]
fn deleted_routes_come_back_with_the_weights_of_the_run() {
    let mut stage = running_at_20();
    stage.world.routes = RoutesSeen::Absent;
    stage.settle();
    assert_eq!(stage.row(), (Progressing, 20, 20, 0, 0));
}

#[test]
fn traffic_that_was_handed_back_while_promoting_is_told_once() {
    let mut stage = running_at_20();
    stage.tick();
    stage.tick();
    stage.tick();
    assert_eq!(stage.row().0, Promoting);
    stage.forget();
    stage.target().ready_pods = 0;
    stage.settle();
    assert_eq!(stage.row(), (Promoting, 0, 0, 0, 0), "the canary lost its pods, the primary has the traffic");
    stage.tick();
    assert_eq!(stage.row().0, Finalising);
    assert_eq!(stage.said(), ["Routing all traffic to primary"]);
}

// spec: 02/C70
#[test]
fn a_daemon_set_is_waited_for_since_its_step_was_due_and_no_longer_than_the_deadline() {
    let mut release = release();
    release.target.kind = crate::model::release::TargetKind::DaemonSet;
    let mut stage = Stage::detected(release, MESH);
    // Days at rest do not count.
    let why = Unready {
        subject: Some(Subject::CanaryDaemonSet("podinfo.test".into())),
        lack: Lack::NotUpdated { form: Form::DaemonSet, updated: 1, wanted: 2 },
        paused: None,
    };
    stage.target().readiness = Readiness::Waiting { why, stuck_at: None };
    let why = "canary damonset podinfo.test not ready with retryable true: waiting for rollout to finish: 1 out of 2 \
               new pods have been updated";
    assert_eq!(stage.tick(), Reason::Readiness(why.into()));
    assert_eq!(stage.row().0, Progressing);
    stage.advance(TimeDelta::seconds(600));
    stage.settle();
    assert_eq!(stage.row().0, Failed);
    let late = "canary damonset podinfo.test not ready with retryable false: exceeded its progressDeadlineSeconds: 600";
    assert!(stage.said().contains(&late.to_owned()));
}

#[test]
fn another_target_is_initialised_before_it_gets_any_traffic() {
    let mut stage = Stage::initialized(release(), MESH);
    stage.target().uid = "another-uid".into();
    stage.target().revision = "vx1-other".into();
    stage.target().replicas = 2;
    stage.target().ready_pods = 2;
    stage.target().readiness = Readiness::Ready;
    stage.world.primary = None;
    // Its selector is that of the new primary.
    stage.world.services.apex = Presence::Drifted;
    stage.step();
    assert_eq!(stage.world.status.phase, Phase::Initializing);
    assert_eq!(stage.said(), ["The target is Deployment podinfo.test now, initializing it"]);
    for _ in 0..10 {
        if stage.world.primary.is_some() {
            break;
        }
        stage.step();
    }
    stage.primary().readiness = Readiness::Waiting { why: "0 of 2".into(), stuck_at: None };
    stage.primary().ready_pods = 0;
    stage.settle();
    assert_eq!(stage.world.services.apex, Presence::Drifted, "the old primary keeps the traffic");
    stage.primary().readiness = Readiness::Ready;
    stage.primary().ready_pods = 2;
    stage.settle();
    stage.advance(chrono::TimeDelta::seconds(5));
    stage.settle();
    assert_eq!(stage.world.services.apex, Presence::InPlace);
    assert_eq!(stage.world.status.phase, Phase::Initialized);
    assert_eq!(stage.world.status.last_applied_spec, "vx1-other");
}

// spec: 02/C117
#[test]
fn a_lost_primary_leaves_the_services_alone_until_it_can_be_rebuilt() {
    let mut stage = Stage::initialized(release(), MESH);
    stage.push("vx1-b");
    stage.world.primary = None;
    stage.world.services.apex = Presence::Drifted;
    let reason = stage.settle();
    assert!(reason.to_string().contains("podinfo-primary.test is missing"), "{reason}");
    assert_eq!(stage.world.services.apex, Presence::Drifted);
    stage.push("vx1-a");
    stage.settle();
    assert!(stage.world.primary.is_some());
}

#[test]
fn a_revision_that_is_pushed_while_a_cancelled_run_settles_is_released_after_it() {
    let mut stage = running_at_20();
    stage.push("vx1-a");
    stage.settle();
    assert_eq!(stage.row().1, 0, "cancelled, and the routes settle");
    stage.push("vx1-c");
    stage.advance(TimeDelta::seconds(5));
    stage.settle();
    assert_eq!(stage.row(), (Progressing, 0, 0, 0, 0));
    assert_eq!(stage.world.status.last_applied_spec, "vx1-c");
    assert_eq!(stage.world.status.last_promoted_spec, "vx1-a");
}
