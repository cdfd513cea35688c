//! Blue/green, without routes and with a mesh (spec 02 §2.4, §2.5).

use crate::model::answer::Measured;
use crate::model::release::{Release, Strategy};

use super::super::super::testing::{MESH, NO_ROUTES, release};
use super::Timeline;

fn checks(iterations: u32) -> Release {
    let mut release = release();
    release.analysis.strategy = Strategy::BlueGreen { iterations };
    release
}

fn mirrored() -> Release {
    let mut release = checks(2);
    release.analysis.mirror = true;
    release
}

// spec: 02/C50
#[test]
fn blue_green_on_plain_kubernetes_never_moves_traffic() {
    Timeline::of(checks(3), NO_ROUTES).ticks(7).shows("
          0 Progressing      -              0 0 0  New revision detected! Scaling up podinfo.test
                                                   @ Info New revision detected, progressing canary analysis.
          1 Progressing      -              0 1 0  Starting canary analysis for podinfo.test
                                                   Advance podinfo.test canary iteration 1/3
          2 Progressing      -              0 2 0  Advance podinfo.test canary iteration 2/3
          3 Progressing      -              0 3 0  Advance podinfo.test canary iteration 3/3
          4 Progressing      -              0 4 0
          5 Promoting        -              0 4 0  Copying podinfo.test template spec to podinfo-primary.test
          6 Finalising       -              0 0 0
          7 Succeeded        -              0 0 0  Promotion completed! Scaling down podinfo.test
                                                   @ Info Canary analysis completed successfully, promotion finished.
                                                   = Completed
    ");
}

// spec: 02/C50
#[test]
fn a_failing_blue_green_on_plain_kubernetes_only_loses_its_pods() {
    let mut stage = Timeline::of(checks(3), NO_ROUTES)
        .ticks(2)
        .when("the canary fails", |stage| stage.metric = Measured::Value(80.0))
        .ticks(3)
        .shows("
          0 Progressing      -              0 0 0  New revision detected! Scaling up podinfo.test
                                                   @ Info New revision detected, progressing canary analysis.
          1 Progressing      -              0 1 0  Starting canary analysis for podinfo.test
                                                   Advance podinfo.test canary iteration 1/3
          2 Progressing      -              0 2 0  Advance podinfo.test canary iteration 2/3
        -- the canary fails
          3 Progressing      -              0 2 1  ! Halt podinfo.test advancement success rate 80.00% < 99%
          4 Progressing      -              0 2 2  ! Halt podinfo.test advancement success rate 80.00% < 99%
          5 Failed           -              0 0 0  ! Rolling back podinfo.test failed checks threshold reached 2
                                                   ! Canary failed! Scaling down podinfo.test
                                                   @ Error Failed checks threshold reached 2
                                                   = Failed
    ");
    assert_eq!(stage.target().replicas, 0);
}

// spec: 02/C51
#[test]
fn blue_green_with_a_mesh_ends_on_live_traffic() {
    Timeline::of(checks(2), MESH).ticks(6).shows("
          0 Progressing      100/0          0 0 0  New revision detected! Scaling up podinfo.test
                                                   @ Info New revision detected, progressing canary analysis.
          1 Progressing      100/0          0 1 0  Starting canary analysis for podinfo.test
                                                   Advance podinfo.test canary iteration 1/2
          2 Progressing      100/0          0 2 0  Advance podinfo.test canary iteration 2/2
          3 Progressing      0/100          0 3 0  Routing all traffic to canary
          4 Promoting        0/100          0 3 0  Copying podinfo.test template spec to podinfo-primary.test
          5 Finalising       100/0          0 0 0  Routing all traffic to primary
          6 Succeeded        100/0          0 0 0  Promotion completed! Scaling down podinfo.test
                                                   @ Info Canary analysis completed successfully, promotion finished.
                                                   = Completed
    ");
}

// spec: 02/C51
#[test]
fn mirroring_lasts_until_all_traffic_moves() {
    Timeline::of(mirrored(), MESH).ticks(6).shows("
          0 Progressing      100/0          0 0 0  New revision detected! Scaling up podinfo.test
                                                   @ Info New revision detected, progressing canary analysis.
          1 Progressing      100/0 mirror   0 1 0  Starting canary analysis for podinfo.test
                                                   Advance podinfo.test canary iteration 1/2
          2 Progressing      100/0 mirror   0 2 0  Advance podinfo.test canary iteration 2/2
          3 Progressing      0/100          0 3 0  Stop traffic mirroring and route all traffic to canary
          4 Promoting        0/100          0 3 0  Copying podinfo.test template spec to podinfo-primary.test
          5 Finalising       100/0          0 0 0  Routing all traffic to primary
          6 Succeeded        100/0          0 0 0  Promotion completed! Scaling down podinfo.test
                                                   @ Info Canary analysis completed successfully, promotion finished.
                                                   = Completed
    ");
}

// spec: 02/C51
#[test]
fn a_canary_that_fails_on_copied_requests_never_goes_live() {
    Timeline::of(mirrored(), MESH)
        .ticks(2)
        .when("the canary fails", |stage| stage.metric = Measured::Value(80.0))
        .ticks(3)
        .shows("
          0 Progressing      100/0          0 0 0  New revision detected! Scaling up podinfo.test
                                                   @ Info New revision detected, progressing canary analysis.
          1 Progressing      100/0 mirror   0 1 0  Starting canary analysis for podinfo.test
                                                   Advance podinfo.test canary iteration 1/2
          2 Progressing      100/0 mirror   0 2 0  Advance podinfo.test canary iteration 2/2
        -- the canary fails
          3 Progressing      100/0 mirror   0 2 1  ! Halt podinfo.test advancement success rate 80.00% < 99%
          4 Progressing      100/0 mirror   0 2 2  ! Halt podinfo.test advancement success rate 80.00% < 99%
          5 Progressing      100/0          0 2 2  ! Rolling back podinfo.test failed checks threshold reached 2
                                                   @ Error Failed checks threshold reached 2
        +5s Failed           100/0          0 0 0  ! Canary failed! Scaling down podinfo.test
                                                   = Failed
    ");
}

// spec: 02/C51
#[test]
fn a_canary_that_fails_on_live_traffic_loses_it_at_its_threshold() {
    Timeline::of(checks(1), MESH)
        .ticks(2)
        .when("the canary fails", |stage| stage.metric = Measured::Value(80.0))
        .ticks(3)
        .shows("
          0 Progressing      100/0          0 0 0  New revision detected! Scaling up podinfo.test
                                                   @ Info New revision detected, progressing canary analysis.
          1 Progressing      100/0          0 1 0  Starting canary analysis for podinfo.test
                                                   Advance podinfo.test canary iteration 1/1
          2 Progressing      0/100          0 2 0  Routing all traffic to canary
        -- the canary fails
          3 Progressing      0/100          0 2 1  ! Halt podinfo.test advancement success rate 80.00% < 99%
          4 Progressing      0/100          0 2 2  ! Halt podinfo.test advancement success rate 80.00% < 99%
          5 Progressing      100/0          0 2 2  ! Rolling back podinfo.test failed checks threshold reached 2
                                                   @ Error Failed checks threshold reached 2
        +5s Failed           100/0          0 0 0  ! Canary failed! Scaling down podinfo.test
                                                   = Failed
    ");
}

// spec: 02/C34 02/C51
#[test]
fn all_traffic_can_come_back_in_steps() {
    let mut release = checks(1);
    release.analysis.step_weight_promotion = 50;
    Timeline::of(release, MESH).ticks(6).shows("
          0 Progressing      100/0          0 0 0  New revision detected! Scaling up podinfo.test
                                                   @ Info New revision detected, progressing canary analysis.
          1 Progressing      100/0          0 1 0  Starting canary analysis for podinfo.test
                                                   Advance podinfo.test canary iteration 1/1
          2 Progressing      0/100          0 2 0  Routing all traffic to canary
          3 Promoting        0/100          0 2 0  Copying podinfo.test template spec to podinfo-primary.test
          4 Promoting        50/50         50 2 0  Advance podinfo.test primary weight 50
          5 Finalising       100/0          0 0 0  Advance podinfo.test primary weight 100
          6 Succeeded        100/0          0 0 0  Promotion completed! Scaling down podinfo.test
                                                   @ Info Canary analysis completed successfully, promotion finished.
                                                   = Completed
    ");
}

#[test]
fn another_revision_on_live_traffic_starts_over_on_the_primary() {
    Timeline::of(checks(1), MESH).ticks(2).pushed("vx1-c").ticks(2).shows(
        "
          0 Progressing      100/0          0 0 0  New revision detected! Scaling up podinfo.test
                                                   @ Info New revision detected, progressing canary analysis.
          1 Progressing      100/0          0 1 0  Starting canary analysis for podinfo.test
                                                   Advance podinfo.test canary iteration 1/1
          2 Progressing      0/100          0 2 0  Routing all traffic to canary
          2 Progressing      100/0          0 0 0  New revision detected! Restarting analysis for podinfo.test
          3 Progressing      100/0          0 1 0  Starting canary analysis for podinfo.test
                                                   Advance podinfo.test canary iteration 1/1
          4 Progressing      0/100          0 2 0  Routing all traffic to canary
    ",
    );
}
