//! Weighted canary (spec 02 §2.1).

use crate::api::analysis::AnalysisMatch;
use crate::model::answer::Measured;
use crate::model::release::{Release, Steps, Strategy};

use super::super::super::RoutesSeen;
use super::super::super::testing::{MESH, release};
use super::Timeline;

fn steps(steps: Steps) -> Release {
    let mut release = release();
    release.analysis.strategy = Strategy::Weighted(steps);
    release
}

fn by(step: u32, max: u32) -> Release {
    steps(Steps::By { step, max })
}

// spec: 02/C1 02/C20 02/C34 02/C36 02/C14 02/C15 02/C40
#[test]
fn a_good_revision_climbs_and_is_promoted() {
    let mut stage = Timeline::of(by(20, 50), MESH).ticks(7).shows("
          0 Progressing      100/0          0 0 0  New revision detected! Scaling up podinfo.test
                                                   @ Info New revision detected, progressing canary analysis.
          1 Progressing      80/20         20 0 0  Starting canary analysis for podinfo.test
                                                   Advance podinfo.test canary weight 20
          2 Progressing      60/40         40 0 0  Advance podinfo.test canary weight 40
          3 Progressing      40/60         60 0 0  Advance podinfo.test canary weight 60
          4 Promoting        40/60         60 0 0  Copying podinfo.test template spec to podinfo-primary.test
          5 Finalising       100/0          0 0 0  Routing all traffic to primary
          6 Succeeded        100/0          0 0 0  Promotion completed! Scaling down podinfo.test
                                                   @ Info Canary analysis completed successfully, promotion finished.
                                                   = Completed
          7 Succeeded        100/0          0 0 0
    ");
    assert_eq!(stage.target().replicas, 0);
    assert_eq!(stage.world.status.last_promoted_spec, "vx1-b");
}

// spec: 02/C27 02/C28 02/C26 02/C98
#[test]
fn a_failing_metric_ends_the_run_one_interval_after_the_threshold() {
    let mut stage = Timeline::of(by(10, 50), MESH)
        .ticks(2)
        .when("the canary fails", |stage| stage.metric = Measured::Value(80.0))
        .ticks(4)
        .shows("
          0 Progressing      100/0          0 0 0  New revision detected! Scaling up podinfo.test
                                                   @ Info New revision detected, progressing canary analysis.
          1 Progressing      90/10         10 0 0  Starting canary analysis for podinfo.test
                                                   Advance podinfo.test canary weight 10
          2 Progressing      80/20         20 0 0  Advance podinfo.test canary weight 20
        -- the canary fails
          3 Progressing      80/20         20 0 1  ! Halt podinfo.test advancement success rate 80.00% < 99%
          4 Progressing      80/20         20 0 2  ! Halt podinfo.test advancement success rate 80.00% < 99%
          5 Progressing      100/0          0 0 2  ! Rolling back podinfo.test failed checks threshold reached 2
                                                   @ Error Failed checks threshold reached 2
        +5s Failed           100/0          0 0 0  ! Canary failed! Scaling down podinfo.test
                                                   = Failed
          6 Failed           100/0          0 0 0
    ");
    assert_eq!(stage.target().replicas, 0);
    assert_eq!(stage.world.status.last_promoted_spec, "vx1-a");
}

// spec: 04/FA-04
#[test]
fn a_recovered_check_does_not_take_back_a_failed_one() {
    Timeline::of(by(10, 50), MESH)
        .ticks(1)
        .when("the canary fails", |stage| stage.metric = Measured::Value(80.0))
        .ticks(1)
        .when("it recovers", |stage| stage.metric = Measured::Value(100.0))
        .ticks(1)
        .when("and fails again", |stage| stage.metric = Measured::Value(80.0))
        .ticks(2)
        .shows("
          0 Progressing      100/0          0 0 0  New revision detected! Scaling up podinfo.test
                                                   @ Info New revision detected, progressing canary analysis.
          1 Progressing      90/10         10 0 0  Starting canary analysis for podinfo.test
                                                   Advance podinfo.test canary weight 10
        -- the canary fails
          2 Progressing      90/10         10 0 1  ! Halt podinfo.test advancement success rate 80.00% < 99%
        -- it recovers
          3 Progressing      80/20         20 0 1  Advance podinfo.test canary weight 20
        -- and fails again
          4 Progressing      80/20         20 0 2  ! Halt podinfo.test advancement success rate 80.00% < 99%
          5 Progressing      100/0          0 0 2  ! Rolling back podinfo.test failed checks threshold reached 2
                                                   @ Error Failed checks threshold reached 2
        +5s Failed           100/0          0 0 0  ! Canary failed! Scaling down podinfo.test
                                                   = Failed
    ");
}

// spec: 02/C34
#[test]
fn promotion_by_steps_moves_the_traffic_back_in_steps() {
    let mut release = by(100, 100);
    release.analysis.step_weight_promotion = 50;
    Timeline::of(release, MESH).ticks(5).shows("
          0 Progressing      100/0          0 0 0  New revision detected! Scaling up podinfo.test
                                                   @ Info New revision detected, progressing canary analysis.
          1 Progressing      0/100        100 0 0  Starting canary analysis for podinfo.test
                                                   Advance podinfo.test canary weight 100
          2 Promoting        0/100        100 0 0  Copying podinfo.test template spec to podinfo-primary.test
          3 Promoting        50/50         50 0 0  Advance podinfo.test primary weight 50
          4 Finalising       100/0          0 0 0  Advance podinfo.test primary weight 100
          5 Succeeded        100/0          0 0 0  Promotion completed! Scaling down podinfo.test
                                                   @ Info Canary analysis completed successfully, promotion finished.
                                                   = Completed
    ");
}

// spec: 02/C34 02/C44
#[test]
fn a_list_of_steps_is_walked_up_and_the_promotion_ends_on_what_is_left_of_a_step() {
    let mut release = steps(Steps::List(vec![1, 2, 10, 80]));
    release.analysis.step_weight_promotion = 30;
    Timeline::of(release, MESH).ticks(10).shows("
          0 Progressing      100/0          0 0 0  New revision detected! Scaling up podinfo.test
                                                   @ Info New revision detected, progressing canary analysis.
          1 Progressing      99/1           1 0 0  Starting canary analysis for podinfo.test
                                                   Advance podinfo.test canary weight 1
          2 Progressing      98/2           2 0 0  Advance podinfo.test canary weight 2
          3 Progressing      90/10         10 0 0  Advance podinfo.test canary weight 10
          4 Progressing      20/80         80 0 0  Advance podinfo.test canary weight 80
          5 Promoting        20/80         80 0 0  Copying podinfo.test template spec to podinfo-primary.test
          6 Promoting        50/50         50 0 0  Advance podinfo.test primary weight 50
          7 Promoting        80/20         20 0 0  Advance podinfo.test primary weight 80
          8 Finalising       100/0          0 0 0  Advance podinfo.test primary weight 100
          9 Succeeded        100/0          0 0 0  Promotion completed! Scaling down podinfo.test
                                                   @ Info Canary analysis completed successfully, promotion finished.
                                                   = Completed
         10 Succeeded        100/0          0 0 0
    ");
}

// spec: 02/C44
#[test]
fn a_list_that_ends_with_all_traffic_is_promoted_from_there() {
    Timeline::of(steps(Steps::List(vec![50, 100])), MESH).ticks(5).shows("
          0 Progressing      100/0          0 0 0  New revision detected! Scaling up podinfo.test
                                                   @ Info New revision detected, progressing canary analysis.
          1 Progressing      50/50         50 0 0  Starting canary analysis for podinfo.test
                                                   Advance podinfo.test canary weight 50
          2 Progressing      0/100        100 0 0  Advance podinfo.test canary weight 100
          3 Promoting        0/100        100 0 0  Copying podinfo.test template spec to podinfo-primary.test
          4 Finalising       100/0          0 0 0  Routing all traffic to primary
          5 Succeeded        100/0          0 0 0  Promotion completed! Scaling down podinfo.test
                                                   @ Info Canary analysis completed successfully, promotion finished.
                                                   = Completed
    ");
}

#[test]
fn a_list_that_is_edited_in_a_run_goes_on_at_the_next_larger_step() {
    let edited = Strategy::Weighted(Steps::List(vec![5, 20, 60]));
    Timeline::of(steps(Steps::List(vec![10, 30])), MESH)
        .ticks(1)
        .when("stepWeights: [5, 20, 60]", |stage| stage.world.release.analysis.strategy = edited)
        .ticks(3)
        .shows(
            "
          0 Progressing      100/0          0 0 0  New revision detected! Scaling up podinfo.test
                                                   @ Info New revision detected, progressing canary analysis.
          1 Progressing      90/10         10 0 0  Starting canary analysis for podinfo.test
                                                   Advance podinfo.test canary weight 10
        -- stepWeights: [5, 20, 60]
          2 Progressing      80/20         20 0 0  Advance podinfo.test canary weight 20
          3 Progressing      40/60         60 0 0  Advance podinfo.test canary weight 60
          4 Promoting        40/60         60 0 0  Copying podinfo.test template spec to podinfo-primary.test
    ",
        );
}

// spec: 02/C35
#[test]
fn a_stepped_promotion_that_finds_no_traffic_left_ends() {
    let mut release = by(100, 100);
    release.analysis.step_weight_promotion = 50;
    Timeline::of(release, MESH)
        .ticks(2)
        .when("the routes were turned, and the controller died", |stage| {
            stage.world.routes = RoutesSeen::Seen { state: Default::default(), in_place: true };
        })
        .ticks(2)
        .shows("
          0 Progressing      100/0          0 0 0  New revision detected! Scaling up podinfo.test
                                                   @ Info New revision detected, progressing canary analysis.
          1 Progressing      0/100        100 0 0  Starting canary analysis for podinfo.test
                                                   Advance podinfo.test canary weight 100
          2 Promoting        0/100        100 0 0  Copying podinfo.test template spec to podinfo-primary.test
        -- the routes were turned, and the controller died
          3 Finalising       100/0          0 0 0
          4 Succeeded        100/0          0 0 0  Promotion completed! Scaling down podinfo.test
                                                   @ Info Canary analysis completed successfully, promotion finished.
                                                   = Completed
    ");
}

// spec: 01/API-133 02/C24 04/FA-05
#[test]
fn another_revision_restarts_the_analysis_at_once() {
    Timeline::of(by(10, 50), MESH)
        .ticks(2)
        .when("nothing is measured", |stage| stage.metric = Measured::NoData("no values found".into()))
        .ticks(1)
        .pushed("vx1-c")
        .ticks(1)
        .shows("
          0 Progressing      100/0          0 0 0  New revision detected! Scaling up podinfo.test
                                                   @ Info New revision detected, progressing canary analysis.
          1 Progressing      90/10         10 0 0  Starting canary analysis for podinfo.test
                                                   Advance podinfo.test canary weight 10
          2 Progressing      80/20         20 0 0  Advance podinfo.test canary weight 20
        -- nothing is measured
          3 Progressing      80/20         20 0 1  ! Halt advancement no values found for istio metric request-success-rate probably podinfo.test is not receiving traffic: no values found
          3 Progressing      100/0          0 0 0  New revision detected! Restarting analysis for podinfo.test
          4 Progressing      90/10         10 0 0  Starting canary analysis for podinfo.test
                                                   Advance podinfo.test canary weight 10
    ");
}

#[test]
fn with_a_match_the_weights_count_within_the_matching_requests() {
    let mut release = by(50, 50);
    release.analysis.matches = vec![AnalysisMatch::default()];
    Timeline::of(release, MESH).ticks(4).shows("
          0 Progressing      100/0          0 0 0  New revision detected! Scaling up podinfo.test
                                                   @ Info New revision detected, progressing canary analysis.
          1 Progressing      50/50         50 0 0  Starting canary analysis for podinfo.test
                                                   Advance podinfo.test canary weight 50
          2 Promoting        50/50         50 0 0  Copying podinfo.test template spec to podinfo-primary.test
          3 Finalising       100/0          0 0 0  Routing all traffic to primary
          4 Succeeded        100/0          0 0 0  Promotion completed! Scaling down podinfo.test
                                                   @ Info Canary analysis completed successfully, promotion finished.
                                                   = Completed
    ");
}
