//! Releases without an analysis (spec 02 §2.6).

use crate::api::hooks::HookType;
use crate::model::release::{Release, Strategy};
use crate::model::workload::Readiness;

use super::super::super::testing::{MESH, NO_ROUTES, hook, release};
use super::Timeline;

fn skipped() -> Release {
    let mut release = release();
    release.skip_analysis = true;
    release
}

// spec: 02/C37
#[test]
fn a_release_without_analysis_is_promoted_when_the_canary_is_ready() {
    Timeline::of(skipped(), MESH)
        .when("the canary takes its time", |stage| {
            stage.target().readiness = Readiness::Waiting { why: "1 of 2".into(), stuck_at: None };
        })
        .ticks(1)
        .when("the canary is ready", |stage| stage.target().readiness = Readiness::Ready)
        .ticks(1)
        .shows("
          0 Progressing      100/0          0 0 0  New revision detected! Scaling up podinfo.test
                                                   @ Info New revision detected, progressing canary analysis.
        -- the canary takes its time
          1 Progressing      100/0          0 0 0  ! 1 of 2
        -- the canary is ready
          2 Succeeded        100/0          0 0 0  Copying podinfo.test template spec to podinfo-primary.test
                                                   Promotion completed! Canary analysis was skipped for podinfo.test
                                                   @ Info Canary analysis was skipped, promotion finished.
                                                   = Skipped
    ");
}

// spec: 02/C37
#[test]
fn nobody_is_asked_but_the_gate_before_it_and_the_hooks_after_it() {
    let types = [
        (HookType::ConfirmRollout, "gate"),
        (HookType::PreRollout, "before"),
        (HookType::Rollout, "during"),
        (HookType::Rollback, "back"),
        (HookType::ConfirmTrafficIncrease, "traffic"),
        (HookType::ConfirmPromotion, "promotion"),
        (HookType::PostRollout, "after"),
    ];
    let mut release = skipped();
    release.analysis.hooks = types.map(|(kind, name)| hook(kind, name)).into();
    Timeline::behind(&["gate", "back"], release, MESH)
        .ticks(1)
        .when("the gate opens", |stage| stage.closed = vec!["back".into()])
        .ticks(2)
        .shows("
          0 Waiting          100/0          0 0 0  ? gate
                                                   ! Halt podinfo.test advancement waiting for approval gate
                                                   @ Warn Canary is waiting for approval.
          1 Waiting          100/0          0 0 0  ? back
                                                   ? gate
        -- the gate opens
          2 Progressing      100/0          0 0 0  ? back
                                                   ? gate
                                                   Confirm-rollout check gate passed
                                                   New revision detected! Scaling up podinfo.test
                                                   @ Info New revision detected, progressing canary analysis.
          3 Succeeded        100/0          0 0 0  ? after
                                                   Copying podinfo.test template spec to podinfo-primary.test
                                                   Post-rollout check after passed
                                                   Promotion completed! Canary analysis was skipped for podinfo.test
                                                   @ Info Canary analysis was skipped, promotion finished.
                                                   = Skipped
    ");
}

// spec: 02/C38
#[test]
fn a_release_without_analysis_whose_canary_dies_fails() {
    let mut stage = Timeline::of(skipped(), MESH)
        .when("the canary misses its deadline", |stage| {
            stage.target().readiness = Readiness::Stuck { why: "late".into() };
            stage.target().ready_pods = 0;
        })
        .ticks(1)
        .shows(
            "
          0 Progressing      100/0          0 0 0  New revision detected! Scaling up podinfo.test
                                                   @ Info New revision detected, progressing canary analysis.
        -- the canary misses its deadline
          1 Failed           100/0          0 0 0  ! late
                                                   ! Rolling back podinfo.test progress deadline exceeded late
                                                   ! Canary failed! Scaling down podinfo.test
                                                   @ Error Progress deadline exceeded late
                                                   = Failed
    ",
        );
    assert_eq!(stage.target().replicas, 0);
    assert_eq!(stage.world.status.last_promoted_spec, "vx1-a");
}

// spec: 02/C37
#[test]
fn a_release_whose_analysis_is_skipped_in_the_middle_is_promoted_at_its_next_step() {
    Timeline::of(release(), MESH)
        .ticks(2)
        .when("skipAnalysis: true", |stage| stage.world.release.skip_analysis = true)
        .ticks(4)
        .shows("
          0 Progressing      100/0          0 0 0  New revision detected! Scaling up podinfo.test
                                                   @ Info New revision detected, progressing canary analysis.
          1 Progressing      80/20         20 0 0  Starting canary analysis for podinfo.test
                                                   Advance podinfo.test canary weight 20
          2 Progressing      60/40         40 0 0  Advance podinfo.test canary weight 40
        -- skipAnalysis: true
          3 Promoting        60/40         40 0 0  Copying podinfo.test template spec to podinfo-primary.test
          4 Finalising       100/0          0 0 0  Routing all traffic to primary
          5 Succeeded        100/0          0 0 0  Promotion completed! Scaling down podinfo.test
                                                   @ Info Canary analysis completed successfully, promotion finished.
                                                   = Completed
          6 Succeeded        100/0          0 0 0
    ");
}

#[test]
fn a_release_that_waits_for_its_promotion_goes_on_when_its_analysis_is_skipped() {
    let mut release = release();
    release.analysis.strategy = Strategy::BlueGreen { iterations: 1 };
    release.analysis.hooks = vec![hook(HookType::ConfirmPromotion, "gate")];
    Timeline::behind(&["gate"], release, NO_ROUTES)
        .ticks(2)
        .when("skipAnalysis: true", |stage| stage.world.release.skip_analysis = true)
        .ticks(1)
        .shows("
          0 Progressing      -              0 0 0  New revision detected! Scaling up podinfo.test
                                                   @ Info New revision detected, progressing canary analysis.
          1 Progressing      -              0 1 0  Starting canary analysis for podinfo.test
                                                   Advance podinfo.test canary iteration 1/1
          2 WaitingPromotion -              0 1 0  ? gate
                                                   ! Halt podinfo.test advancement waiting for promotion approval gate
                                                   @ Warn Canary promotion is waiting for approval.
        -- skipAnalysis: true
          3 Succeeded        -              0 0 0  Copying podinfo.test template spec to podinfo-primary.test
                                                   Promotion completed! Canary analysis was skipped for podinfo.test
                                                   @ Info Canary analysis was skipped, promotion finished.
                                                   = Skipped
    ");
}
