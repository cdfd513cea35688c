//! Mirroring as the first step of a weighted canary (spec 02 §2.2).

use crate::api::hooks::HookType;
use crate::model::answer::Measured;
use crate::model::release::{Release, Steps, Strategy};
use crate::model::traffic::Capabilities;

use super::super::super::testing::{MESH, hook, release};
use super::Timeline;

fn mirrored() -> Release {
    let mut release = release();
    release.analysis.strategy = Strategy::Weighted(Steps::By { step: 10, max: 10 });
    release.analysis.mirror = true;
    release
}

// spec: 02/C46
#[test]
fn mirroring_takes_the_first_step() {
    Timeline::of(mirrored(), MESH).ticks(5).shows("
          0 Progressing      100/0          0 0 0  New revision detected! Scaling up podinfo.test
                                                   @ Info New revision detected, progressing canary analysis.
          1 Progressing      100/0 mirror   0 0 0  Starting canary analysis for podinfo.test
                                                   Advance podinfo.test canary weight 0
          2 Progressing      90/10         10 0 0  Advance podinfo.test canary weight 10
          3 Promoting        90/10         10 0 0  Copying podinfo.test template spec to podinfo-primary.test
          4 Finalising       100/0          0 0 0  Routing all traffic to primary
          5 Succeeded        100/0          0 0 0  Promotion completed! Scaling down podinfo.test
                                                   @ Info Canary analysis completed successfully, promotion finished.
                                                   = Completed
    ");
}

// spec: 02/C46
#[test]
fn a_canary_that_fails_on_copied_requests_never_gets_a_real_one() {
    Timeline::of(mirrored(), MESH)
        .ticks(1)
        .when("the canary fails", |stage| stage.metric = Measured::Value(80.0))
        .ticks(3)
        .shows("
          0 Progressing      100/0          0 0 0  New revision detected! Scaling up podinfo.test
                                                   @ Info New revision detected, progressing canary analysis.
          1 Progressing      100/0 mirror   0 0 0  Starting canary analysis for podinfo.test
                                                   Advance podinfo.test canary weight 0
        -- the canary fails
          2 Progressing      100/0 mirror   0 0 1  ! Halt podinfo.test advancement success rate 80.00% < 99%
          3 Progressing      100/0 mirror   0 0 2  ! Halt podinfo.test advancement success rate 80.00% < 99%
          4 Progressing      100/0          0 0 2  ! Rolling back podinfo.test failed checks threshold reached 2
                                                   @ Error Failed checks threshold reached 2
        +5s Failed           100/0          0 0 0  ! Canary failed! Scaling down podinfo.test
                                                   = Failed
    ");
}

// spec: 02/C46 02/C54
#[test]
fn the_traffic_gate_is_asked_before_the_copies_and_not_again_before_the_first_weight() {
    let mut release = mirrored();
    release.analysis.hooks = vec![hook(HookType::ConfirmTrafficIncrease, "gate")];
    Timeline::of(release, MESH).ticks(3).shows(
        "
          0 Progressing      100/0          0 0 0  New revision detected! Scaling up podinfo.test
                                                   @ Info New revision detected, progressing canary analysis.
          1 Progressing      100/0 mirror   0 0 0  ? gate
                                                   Starting canary analysis for podinfo.test
                                                   Confirm-traffic-increase check gate passed
                                                   Advance podinfo.test canary weight 0
          2 Progressing      90/10         10 0 0  Advance podinfo.test canary weight 10
          3 Promoting        90/10         10 0 0  ? gate
                                                   Confirm-traffic-increase check gate passed
                                                   Copying podinfo.test template spec to podinfo-primary.test
    ",
    );
}

#[test]
fn another_revision_ends_the_copies_of_the_one_before() {
    Timeline::of(mirrored(), MESH).ticks(1).pushed("vx1-c").ticks(2).shows(
        "
          0 Progressing      100/0          0 0 0  New revision detected! Scaling up podinfo.test
                                                   @ Info New revision detected, progressing canary analysis.
          1 Progressing      100/0 mirror   0 0 0  Starting canary analysis for podinfo.test
                                                   Advance podinfo.test canary weight 0
          1 Progressing      100/0          0 0 0  New revision detected! Restarting analysis for podinfo.test
          2 Progressing      100/0 mirror   0 0 0  Starting canary analysis for podinfo.test
                                                   Advance podinfo.test canary weight 0
          3 Progressing      90/10         10 0 0  Advance podinfo.test canary weight 10
    ",
    );
}

// spec: 02/C47
#[test]
fn mirroring_that_the_mesh_cannot_do_is_left_out() {
    let capabilities = Capabilities { mirror_weighted: false, ..MESH };
    Timeline::of(mirrored(), capabilities).ticks(2).shows(
        "
          0 Progressing      100/0          0 0 0  New revision detected! Scaling up podinfo.test
                                                   @ Info New revision detected, progressing canary analysis.
          1 Progressing      90/10         10 0 0  Starting canary analysis for podinfo.test
                                                   Advance podinfo.test canary weight 10
          2 Promoting        90/10         10 0 0  Copying podinfo.test template spec to podinfo-primary.test
    ",
    );
}
