//! A/B testing (spec 02 §2.3): the shares are those of the matching requests.

use crate::api::analysis::AnalysisMatch;
use crate::model::answer::Measured;
use crate::model::release::{Release, Strategy};

use super::super::super::testing::{MESH, release};
use super::Timeline;

fn three_checks() -> Release {
    let mut release = release();
    release.analysis.strategy = Strategy::AbTesting { iterations: 3 };
    release.analysis.matches = vec![AnalysisMatch::default()];
    release
}

// spec: 02/C48
#[test]
fn ab_testing_sends_the_matching_requests_to_the_canary() {
    Timeline::of(three_checks(), MESH).ticks(6).shows("
          0 Progressing      100/0          0 0 0  New revision detected! Scaling up podinfo.test
                                                   @ Info New revision detected, progressing canary analysis.
          1 Progressing      0/100          0 1 0  Starting canary analysis for podinfo.test
                                                   Advance podinfo.test canary iteration 1/3
          2 Progressing      0/100          0 2 0  Advance podinfo.test canary iteration 2/3
          3 Progressing      0/100          0 3 0  Advance podinfo.test canary iteration 3/3
          4 Promoting        0/100          0 3 0  Copying podinfo.test template spec to podinfo-primary.test
          5 Finalising       100/0          0 0 0  Routing all traffic to primary
          6 Succeeded        100/0          0 0 0  Promotion completed! Scaling down podinfo.test
                                                   @ Info Canary analysis completed successfully, promotion finished.
                                                   = Completed
    ");
}

// spec: 02/C48
#[test]
fn a_failing_ab_test_takes_the_matching_requests_back() {
    Timeline::of(three_checks(), MESH)
        .ticks(1)
        .when("the canary fails", |stage| stage.metric = Measured::Value(80.0))
        .ticks(4)
        .shows("
          0 Progressing      100/0          0 0 0  New revision detected! Scaling up podinfo.test
                                                   @ Info New revision detected, progressing canary analysis.
          1 Progressing      0/100          0 1 0  Starting canary analysis for podinfo.test
                                                   Advance podinfo.test canary iteration 1/3
        -- the canary fails
          2 Progressing      0/100          0 1 1  ! Halt podinfo.test advancement success rate 80.00% < 99%
          3 Progressing      0/100          0 1 2  ! Halt podinfo.test advancement success rate 80.00% < 99%
          4 Progressing      100/0          0 1 2  ! Rolling back podinfo.test failed checks threshold reached 2
                                                   @ Error Failed checks threshold reached 2
        +5s Failed           100/0          0 0 0  ! Canary failed! Scaling down podinfo.test
                                                   = Failed
          5 Failed           100/0          0 0 0
    ");
}

// spec: 02/C49
#[test]
fn an_ab_test_whose_iterations_are_lowered_ends_with_those_it_has() {
    Timeline::of(three_checks(), MESH)
        .ticks(2)
        .when("iterations: 1", |stage| {
            stage.world.release.analysis.strategy = Strategy::AbTesting { iterations: 1 };
        })
        .ticks(1)
        .shows(
            "
          0 Progressing      100/0          0 0 0  New revision detected! Scaling up podinfo.test
                                                   @ Info New revision detected, progressing canary analysis.
          1 Progressing      0/100          0 1 0  Starting canary analysis for podinfo.test
                                                   Advance podinfo.test canary iteration 1/3
          2 Progressing      0/100          0 2 0  Advance podinfo.test canary iteration 2/3
        -- iterations: 1
          3 Promoting        0/100          0 2 0  Copying podinfo.test template spec to podinfo-primary.test
    ",
        );
}

#[test]
fn another_revision_begins_its_ab_test_from_the_first_check() {
    Timeline::of(three_checks(), MESH).ticks(2).pushed("vx1-c").ticks(1).shows(
        "
          0 Progressing      100/0          0 0 0  New revision detected! Scaling up podinfo.test
                                                   @ Info New revision detected, progressing canary analysis.
          1 Progressing      0/100          0 1 0  Starting canary analysis for podinfo.test
                                                   Advance podinfo.test canary iteration 1/3
          2 Progressing      0/100          0 2 0  Advance podinfo.test canary iteration 2/3
          2 Progressing      100/0          0 0 0  New revision detected! Restarting analysis for podinfo.test
          3 Progressing      0/100          0 1 0  Starting canary analysis for podinfo.test
                                                   Advance podinfo.test canary iteration 1/3
    ",
    );
}

#[test]
fn an_ab_test_is_promoted_in_steps_if_asked_to() {
    let mut release = three_checks();
    release.analysis.strategy = Strategy::AbTesting { iterations: 1 };
    release.analysis.step_weight_promotion = 60;
    Timeline::of(release, MESH).ticks(5).shows("
          0 Progressing      100/0          0 0 0  New revision detected! Scaling up podinfo.test
                                                   @ Info New revision detected, progressing canary analysis.
          1 Progressing      0/100          0 1 0  Starting canary analysis for podinfo.test
                                                   Advance podinfo.test canary iteration 1/1
          2 Promoting        0/100          0 1 0  Copying podinfo.test template spec to podinfo-primary.test
          3 Promoting        60/40         40 1 0  Advance podinfo.test primary weight 60
          4 Finalising       100/0          0 0 0  Advance podinfo.test primary weight 100
          5 Succeeded        100/0          0 0 0  Promotion completed! Scaling down podinfo.test
                                                   @ Info Canary analysis completed successfully, promotion finished.
                                                   = Completed
    ");
}
