//! Gates and rollback hooks in the course of a release (spec 02 §2.8).

use rstest::rstest;

use crate::api::analysis::AnalysisMatch;
use crate::api::hooks::HookType;
use crate::api::status::Phase;
use crate::model::answer::Measured;
use crate::model::release::{Release, Steps, Strategy};
use crate::model::traffic::Capabilities;

use super::super::super::testing::{MESH, NO_ROUTES, hook, release};
use super::Timeline;

fn gated(kind: HookType, strategy: Strategy) -> Release {
    let mut release = release();
    if matches!(strategy, Strategy::AbTesting { .. }) {
        release.analysis.matches = vec![AnalysisMatch::default()];
    }
    release.analysis.strategy = strategy;
    release.analysis.hooks = vec![hook(kind, "gate")];
    release
}

fn weighted(kind: HookType) -> Release {
    gated(kind, Strategy::Weighted(Steps::By { step: 50, max: 50 }))
}

// spec: 02/C23
#[test]
fn a_closed_rollout_gate_is_told_once_and_asked_once_per_interval() {
    Timeline::behind(&["gate"], weighted(HookType::ConfirmRollout), MESH)
        .ticks(2)
        .when("the gate opens", |stage| stage.closed.clear())
        .ticks(2)
        .shows(
            "
          0 Waiting          100/0          0 0 0  ? gate
                                                   ! Halt podinfo.test advancement waiting for approval gate
                                                   @ Warn Canary is waiting for approval.
          1 Waiting          100/0          0 0 0  ? gate
          2 Waiting          100/0          0 0 0  ? gate
        -- the gate opens
          3 Progressing      100/0          0 0 0  ? gate
                                                   Confirm-rollout check gate passed
                                                   New revision detected! Scaling up podinfo.test
                                                   @ Info New revision detected, progressing canary analysis.
          4 Progressing      50/50         50 0 0  Starting canary analysis for podinfo.test
                                                   Advance podinfo.test canary weight 50
    ",
        );
}

#[test]
fn a_revision_that_is_taken_back_leaves_the_rollout_gate() {
    Timeline::behind(&["gate"], weighted(HookType::ConfirmRollout), MESH)
        .ticks(1)
        .pushed("vx1-a")
        .ticks(1)
        .shows("
          0 Waiting          100/0          0 0 0  ? gate
                                                   ! Halt podinfo.test advancement waiting for approval gate
                                                   @ Warn Canary is waiting for approval.
          1 Waiting          100/0          0 0 0  ? gate
          1 Succeeded        100/0          0 0 0  podinfo.test is back at the promoted revision, cancelling its analysis
          2 Succeeded        100/0          0 0 0
    ");
}

// spec: 02/C52
#[test]
fn a_closed_promotion_gate_holds_a_weighted_run_and_keeps_its_numbers() {
    Timeline::behind(&["gate"], weighted(HookType::ConfirmPromotion), MESH)
        .ticks(3)
        .when("the gate opens", |stage| stage.closed.clear())
        .ticks(3)
        .shows("
          0 Progressing      100/0          0 0 0  New revision detected! Scaling up podinfo.test
                                                   @ Info New revision detected, progressing canary analysis.
          1 Progressing      50/50         50 0 0  Starting canary analysis for podinfo.test
                                                   Advance podinfo.test canary weight 50
          2 WaitingPromotion 50/50         50 0 0  ? gate
                                                   ! Halt podinfo.test advancement waiting for promotion approval gate
                                                   @ Warn Canary promotion is waiting for approval.
          3 WaitingPromotion 50/50         50 0 0  ? gate
        -- the gate opens
          4 Promoting        50/50         50 0 0  ? gate
                                                   Confirm-promotion check gate passed
                                                   Copying podinfo.test template spec to podinfo-primary.test
          5 Finalising       100/0          0 0 0  Routing all traffic to primary
          6 Succeeded        100/0          0 0 0  Promotion completed! Scaling down podinfo.test
                                                   @ Info Canary analysis completed successfully, promotion finished.
                                                   = Completed
    ");
}

// spec: 02/C52
#[test]
fn a_canary_that_fails_while_it_waits_for_its_promotion_is_rolled_back() {
    Timeline::behind(&["gate"], weighted(HookType::ConfirmPromotion), MESH)
        .ticks(2)
        .when("the canary fails", |stage| stage.metric = Measured::Value(80.0))
        .ticks(3)
        .shows("
          0 Progressing      100/0          0 0 0  New revision detected! Scaling up podinfo.test
                                                   @ Info New revision detected, progressing canary analysis.
          1 Progressing      50/50         50 0 0  Starting canary analysis for podinfo.test
                                                   Advance podinfo.test canary weight 50
          2 WaitingPromotion 50/50         50 0 0  ? gate
                                                   ! Halt podinfo.test advancement waiting for promotion approval gate
                                                   @ Warn Canary promotion is waiting for approval.
        -- the canary fails
          3 WaitingPromotion 50/50         50 0 1  ! Halt podinfo.test advancement success rate 80.00% < 99%
          4 WaitingPromotion 50/50         50 0 2  ! Halt podinfo.test advancement success rate 80.00% < 99%
          5 WaitingPromotion 100/0          0 0 2  ! Rolling back podinfo.test failed checks threshold reached 2
                                                   @ Error Failed checks threshold reached 2
        +5s Failed           100/0          0 0 0  ! Canary failed! Scaling down podinfo.test
                                                   = Failed
    ");
}

// spec: 02/C24 02/C52
#[test]
fn another_revision_at_the_promotion_gate_restarts_the_analysis() {
    Timeline::behind(&["gate"], weighted(HookType::ConfirmPromotion), MESH)
        .ticks(2)
        .pushed("vx1-c")
        .ticks(2)
        .shows("
          0 Progressing      100/0          0 0 0  New revision detected! Scaling up podinfo.test
                                                   @ Info New revision detected, progressing canary analysis.
          1 Progressing      50/50         50 0 0  Starting canary analysis for podinfo.test
                                                   Advance podinfo.test canary weight 50
          2 WaitingPromotion 50/50         50 0 0  ? gate
                                                   ! Halt podinfo.test advancement waiting for promotion approval gate
                                                   @ Warn Canary promotion is waiting for approval.
          2 Progressing      100/0          0 0 0  New revision detected! Restarting analysis for podinfo.test
          3 Progressing      50/50         50 0 0  Starting canary analysis for podinfo.test
                                                   Advance podinfo.test canary weight 50
          4 WaitingPromotion 50/50         50 0 0  ? gate
                                                   ! Halt podinfo.test advancement waiting for promotion approval gate
                                                   @ Warn Canary promotion is waiting for approval.
    ");
}

// spec: 02/C53
#[test]
fn ab_testing_asks_the_promotion_gate_each_interval() {
    let strategy = Strategy::AbTesting { iterations: 1 };
    Timeline::behind(&["gate"], gated(HookType::ConfirmPromotion, strategy), MESH)
        .ticks(4)
        .when("the gate opens", |stage| stage.closed.clear())
        .ticks(2)
        .shows("
          0 Progressing      100/0          0 0 0  New revision detected! Scaling up podinfo.test
                                                   @ Info New revision detected, progressing canary analysis.
          1 Progressing      0/100          0 1 0  Starting canary analysis for podinfo.test
                                                   Advance podinfo.test canary iteration 1/1
          2 WaitingPromotion 0/100          0 1 0  ? gate
                                                   ! Halt podinfo.test advancement waiting for promotion approval gate
                                                   @ Warn Canary promotion is waiting for approval.
          3 WaitingPromotion 0/100          0 1 0  ? gate
          4 WaitingPromotion 0/100          0 1 0  ? gate
        -- the gate opens
          5 Promoting        0/100          0 1 0  ? gate
                                                   Confirm-promotion check gate passed
                                                   Copying podinfo.test template spec to podinfo-primary.test
          6 Finalising       100/0          0 0 0  Routing all traffic to primary
    ");
}

// spec: 02/C53
#[test]
fn blue_green_asks_the_promotion_gate_each_interval_and_once_when_it_opens() {
    let strategy = Strategy::BlueGreen { iterations: 1 };
    Timeline::behind(&["gate"], gated(HookType::ConfirmPromotion, strategy), MESH)
        .ticks(3)
        .when("the gate opens", |stage| stage.closed.clear())
        .ticks(1)
        .when("and closes after its one pass", |stage| stage.closed = vec!["gate".into()])
        .ticks(2)
        .shows("
          0 Progressing      100/0          0 0 0  New revision detected! Scaling up podinfo.test
                                                   @ Info New revision detected, progressing canary analysis.
          1 Progressing      100/0          0 1 0  Starting canary analysis for podinfo.test
                                                   Advance podinfo.test canary iteration 1/1
          2 WaitingPromotion 100/0          0 1 0  ? gate
                                                   ! Halt podinfo.test advancement waiting for promotion approval gate
                                                   @ Warn Canary promotion is waiting for approval.
          3 WaitingPromotion 100/0          0 1 0  ? gate
        -- the gate opens
          4 WaitingPromotion 0/100          0 2 0  ? gate
                                                   Confirm-promotion check gate passed
                                                   Routing all traffic to canary
        -- and closes after its one pass
          5 Promoting        0/100          0 2 0  Copying podinfo.test template spec to podinfo-primary.test
          6 Finalising       100/0          0 0 0  Routing all traffic to primary
    ");
}

// spec: 02/C53
#[test]
fn blue_green_without_routes_waits_at_the_same_place() {
    let strategy = Strategy::BlueGreen { iterations: 1 };
    Timeline::behind(&["gate"], gated(HookType::ConfirmPromotion, strategy), NO_ROUTES)
        .ticks(3)
        .when("the gate opens", |stage| stage.closed.clear())
        .ticks(3)
        .shows("
          0 Progressing      -              0 0 0  New revision detected! Scaling up podinfo.test
                                                   @ Info New revision detected, progressing canary analysis.
          1 Progressing      -              0 1 0  Starting canary analysis for podinfo.test
                                                   Advance podinfo.test canary iteration 1/1
          2 WaitingPromotion -              0 1 0  ? gate
                                                   ! Halt podinfo.test advancement waiting for promotion approval gate
                                                   @ Warn Canary promotion is waiting for approval.
          3 WaitingPromotion -              0 1 0  ? gate
        -- the gate opens
          4 WaitingPromotion -              0 2 0  ? gate
                                                   Confirm-promotion check gate passed
          5 Promoting        -              0 2 0  Copying podinfo.test template spec to podinfo-primary.test
          6 Finalising       -              0 0 0
    ");
}

// spec: 02/C54
#[test]
fn a_closed_traffic_gate_holds_the_weight_and_the_promotion() {
    Timeline::behind(&["gate"], weighted(HookType::ConfirmTrafficIncrease), MESH)
        .ticks(2)
        .when("the gate opens", |stage| stage.closed.clear())
        .ticks(1)
        .when("the gate closes", |stage| stage.closed = vec!["gate".into()])
        .ticks(2)
        .when("the gate opens", |stage| stage.closed.clear())
        .ticks(1)
        .shows("
          0 Progressing      100/0          0 0 0  New revision detected! Scaling up podinfo.test
                                                   @ Info New revision detected, progressing canary analysis.
          1 Progressing      100/0          0 0 0  ? gate
                                                   ! Halt podinfo.test advancement waiting for traffic increase approval gate
                                                   @ Warn Canary traffic increase is waiting for approval.
          2 Progressing      100/0          0 0 0  ? gate
        -- the gate opens
          3 Progressing      50/50         50 0 0  ? gate
                                                   Starting canary analysis for podinfo.test
                                                   Confirm-traffic-increase check gate passed
                                                   Advance podinfo.test canary weight 50
        -- the gate closes
          4 Progressing      50/50         50 0 0  ? gate
                                                   ! Halt podinfo.test advancement waiting for traffic increase approval gate
                                                   @ Warn Canary traffic increase is waiting for approval.
          5 Progressing      50/50         50 0 0  ? gate
        -- the gate opens
          6 Promoting        50/50         50 0 0  ? gate
                                                   Confirm-traffic-increase check gate passed
                                                   Copying podinfo.test template spec to podinfo-primary.test
    ");
}

// spec: 02/C29 02/C90
#[test]
fn a_rollback_hook_that_says_yes_ends_the_run() {
    Timeline::behind(&["gate"], weighted(HookType::Rollback), MESH)
        .ticks(1)
        .when("the hook says yes", |stage| stage.closed.clear())
        .ticks(2)
        .shows(
            "
          0 Progressing      100/0          0 0 0  New revision detected! Scaling up podinfo.test
                                                   @ Info New revision detected, progressing canary analysis.
          1 Progressing      50/50         50 0 0  ? gate
                                                   Rollback hook gate not signaling a rollback
                                                   Starting canary analysis for podinfo.test
                                                   Advance podinfo.test canary weight 50
        -- the hook says yes
          2 Progressing      100/0          0 0 0  ? gate
                                                   ! Rollback check gate passed
                                                   ! Rolling back podinfo.test manual webhook invoked
                                                   @ Warn Rolling back manual webhook invoked
        +5s Failed           100/0          0 0 0  ! Canary failed! Scaling down podinfo.test
                                                   = Failed
          3 Failed           100/0          0 0 0
    ",
        );
}

// spec: 01/API-131 02/C29 04/WH-09
#[rstest]
#[case::before_its_start(HookType::ConfirmRollout, Strategy::Weighted(Steps::By { step: 50, max: 50 }), MESH, Phase::Waiting)]
#[case::before_its_first_weight(HookType::ConfirmTrafficIncrease, Strategy::Weighted(Steps::By { step: 50, max: 50 }), MESH, Phase::Progressing)]
#[case::before_the_promotion_of_a_weighted_run(HookType::ConfirmPromotion, Strategy::Weighted(Steps::By { step: 50, max: 50 }), MESH, Phase::WaitingPromotion)]
#[case::before_the_promotion_of_an_ab_test(HookType::ConfirmPromotion, Strategy::AbTesting { iterations: 1 }, MESH, Phase::WaitingPromotion)]
#[case::before_all_traffic_moves(HookType::ConfirmPromotion, Strategy::BlueGreen { iterations: 1 }, MESH, Phase::WaitingPromotion)]
#[case::before_the_promotion_without_routes(HookType::ConfirmPromotion, Strategy::BlueGreen { iterations: 1 }, NO_ROUTES, Phase::WaitingPromotion)]
fn a_rollback_hook_ends_a_release_wherever_it_waits(
    #[case] kind: HookType,
    #[case] strategy: Strategy,
    #[case] capabilities: Capabilities,
    #[case] waits: Phase,
) {
    let mut release = gated(kind, strategy);
    release.analysis.hooks.push(hook(HookType::Rollback, "back"));
    let timeline = Timeline::behind(&["gate", "back"], release, capabilities).ticks(3);
    assert_eq!(timeline.stage.world.status.phase, waits);
    let timeline =
        timeline.when("the rollback hook says yes", |stage| stage.closed = vec!["gate".into()]).ticks(1);
    let mut stage = timeline.stage;
    assert_eq!(stage.row(), (Phase::Failed, 0, 0, 0, 0));
    assert!(!stage.world.routes.mirrored());
    assert_eq!(stage.target().replicas, 0);
    let told = timeline.lines.join("\n");
    assert!(told.contains("! Rolling back podinfo.test manual webhook invoked"), "{told}");
    stage.tick();
    assert_eq!(stage.row().0, Phase::Failed, "a rejected revision is not tried again");
}
