//! Session affinity (spec 02 §2.7): the cookies of a run from their making to the day that clients drop them.

use crate::api::analysis::SessionAffinity;
use crate::model::answer::Measured;
use crate::model::release::{Release, Steps, Strategy};
use crate::model::workload::Readiness;

use super::super::super::testing::{MESH, Stage, release};
use super::Timeline;

fn sticky(step: u32, max: u32) -> Release {
    let mut release = release();
    release.analysis.strategy = Strategy::Weighted(Steps::By { step, max });
    release.analysis.session_affinity = Some(SessionAffinity {
        cookie_name: "ck".into(),
        primary_cookie_name: Some("pk".into()),
        ..SessionAffinity::default()
    });
    release
}

/// The controller draws other values for the next run.
fn redraw(stage: &mut Stage) {
    stage.world.cookie_values = Some(["NextNextNx".into(), "OtherOther".into()]);
}

// spec: 02/C56 02/C57 03/SA-05 03/SA-08
#[test]
fn the_cookie_of_a_run_is_known_before_its_routes_and_dropped_at_its_end() {
    Timeline::of(sticky(40, 80), MESH)
        .ticks(5)
        .when("the next run draws other values", redraw)
        .pushed("vx1-c")
        .ticks(1)
        .shows("
          0 Progressing      100/0          0 0 0 ck=AbCdEfGhIj - pk=KlMnOpQrSt  New revision detected! Scaling up podinfo.test
                                                                                 @ Info New revision detected, progressing canary analysis.
          1 Progressing      60/40         40 0 0 ck=AbCdEfGhIj - pk=KlMnOpQrSt  > 60/40 keep ck=AbCdEfGhIj pk=KlMnOpQrSt
                                                                                 Starting canary analysis for podinfo.test
                                                                                 Advance podinfo.test canary weight 40
          2 Progressing      20/80         80 0 0 ck=AbCdEfGhIj - pk=KlMnOpQrSt  > 20/80 keep ck=AbCdEfGhIj pk=KlMnOpQrSt
                                                                                 Advance podinfo.test canary weight 80
          3 Promoting        20/80         80 0 0 ck=AbCdEfGhIj - pk=KlMnOpQrSt  Copying podinfo.test template spec to podinfo-primary.test
          4 Finalising       100/0          0 0 0 - ck=AbCdEfGhIj pk=KlMnOpQrSt  > 100/0 forget ck=AbCdEfGhIj
                                                                                 Routing all traffic to primary
          5 Succeeded        100/0          0 0 0 - ck=AbCdEfGhIj pk=KlMnOpQrSt  Promotion completed! Scaling down podinfo.test
                                                                                 @ Info Canary analysis completed successfully, promotion finished.
                                                                                 = Completed
        -- the next run draws other values
          5 Progressing      100/0          0 0 0 ck=NextNextNx ck=AbCdEfGhIj pk=KlMnOpQrSt  New revision detected! Scaling up podinfo.test
                                                                                             @ Info New revision detected, progressing canary analysis.
          6 Progressing      60/40         40 0 0 ck=NextNextNx ck=AbCdEfGhIj pk=KlMnOpQrSt  > 60/40 keep ck=NextNextNx pk=KlMnOpQrSt
                                                                                             Starting canary analysis for podinfo.test
                                                                                             Advance podinfo.test canary weight 40
    ");
}

// spec: 02/C56
#[test]
fn a_rollback_lets_the_clients_of_the_canary_forget_it() {
    Timeline::of(sticky(40, 80), MESH)
        .ticks(1)
        .when("the canary fails", |stage| stage.metric = Measured::Value(80.0))
        .ticks(4)
        .shows("
          0 Progressing      100/0          0 0 0 ck=AbCdEfGhIj - pk=KlMnOpQrSt  New revision detected! Scaling up podinfo.test
                                                                                 @ Info New revision detected, progressing canary analysis.
          1 Progressing      60/40         40 0 0 ck=AbCdEfGhIj - pk=KlMnOpQrSt  > 60/40 keep ck=AbCdEfGhIj pk=KlMnOpQrSt
                                                                                 Starting canary analysis for podinfo.test
                                                                                 Advance podinfo.test canary weight 40
        -- the canary fails
          2 Progressing      60/40         40 0 1 ck=AbCdEfGhIj - pk=KlMnOpQrSt  ! Halt podinfo.test advancement success rate 80.00% < 99%
          3 Progressing      60/40         40 0 2 ck=AbCdEfGhIj - pk=KlMnOpQrSt  ! Halt podinfo.test advancement success rate 80.00% < 99%
          4 Progressing      100/0          0 0 2 - ck=AbCdEfGhIj pk=KlMnOpQrSt  > 100/0 forget ck=AbCdEfGhIj
                                                                                 ! Rolling back podinfo.test failed checks threshold reached 2
                                                                                 @ Error Failed checks threshold reached 2
        +5s Failed           100/0          0 0 0 - ck=AbCdEfGhIj pk=KlMnOpQrSt  ! Canary failed! Scaling down podinfo.test
                                                                                 = Failed
          5 Failed           100/0          0 0 0 - ck=AbCdEfGhIj pk=KlMnOpQrSt
    ");
}

// spec: 02/C56
#[test]
fn in_a_stepped_promotion_the_cookie_holds_until_the_last_step() {
    let mut release = sticky(80, 80);
    release.analysis.step_weight_promotion = 50;
    Timeline::of(release, MESH).ticks(5).shows("
          0 Progressing      100/0          0 0 0 ck=AbCdEfGhIj - pk=KlMnOpQrSt  New revision detected! Scaling up podinfo.test
                                                                                 @ Info New revision detected, progressing canary analysis.
          1 Progressing      20/80         80 0 0 ck=AbCdEfGhIj - pk=KlMnOpQrSt  > 20/80 keep ck=AbCdEfGhIj pk=KlMnOpQrSt
                                                                                 Starting canary analysis for podinfo.test
                                                                                 Advance podinfo.test canary weight 80
          2 Promoting        20/80         80 0 0 ck=AbCdEfGhIj - pk=KlMnOpQrSt  Copying podinfo.test template spec to podinfo-primary.test
          3 Promoting        70/30         30 0 0 ck=AbCdEfGhIj - pk=KlMnOpQrSt  > 70/30 keep ck=AbCdEfGhIj pk=KlMnOpQrSt
                                                                                 Advance podinfo.test primary weight 70
          4 Finalising       100/0          0 0 0 - ck=AbCdEfGhIj pk=KlMnOpQrSt  > 100/0 forget ck=AbCdEfGhIj
                                                                                 Advance podinfo.test primary weight 100
          5 Succeeded        100/0          0 0 0 - ck=AbCdEfGhIj pk=KlMnOpQrSt  Promotion completed! Scaling down podinfo.test
                                                                                 @ Info Canary analysis completed successfully, promotion finished.
                                                                                 = Completed
    ");
}

// spec: 02/C56
#[test]
fn another_revision_gets_a_cookie_of_its_own() {
    Timeline::of(sticky(40, 80), MESH)
        .ticks(1)
        .when("the next run draws other values", redraw)
        .pushed("vx1-c")
        .ticks(1)
        .shows("
          0 Progressing      100/0          0 0 0 ck=AbCdEfGhIj - pk=KlMnOpQrSt  New revision detected! Scaling up podinfo.test
                                                                                 @ Info New revision detected, progressing canary analysis.
          1 Progressing      60/40         40 0 0 ck=AbCdEfGhIj - pk=KlMnOpQrSt  > 60/40 keep ck=AbCdEfGhIj pk=KlMnOpQrSt
                                                                                 Starting canary analysis for podinfo.test
                                                                                 Advance podinfo.test canary weight 40
        -- the next run draws other values
          1 Progressing      100/0          0 0 0 ck=NextNextNx ck=AbCdEfGhIj pk=KlMnOpQrSt  > 100/0 forget ck=AbCdEfGhIj
                                                                                             New revision detected! Restarting analysis for podinfo.test
          2 Progressing      60/40         40 0 0 ck=NextNextNx ck=AbCdEfGhIj pk=KlMnOpQrSt  > 60/40 keep ck=NextNextNx pk=KlMnOpQrSt
                                                                                             Starting canary analysis for podinfo.test
                                                                                             Advance podinfo.test canary weight 40
    ");
}

// spec: 02/C56
#[test]
fn a_run_that_is_cancelled_leaves_no_cookie_behind() {
    Timeline::of(sticky(40, 80), MESH).ticks(1).pushed("vx1-a").ticks(1).shows("
          0 Progressing      100/0          0 0 0 ck=AbCdEfGhIj - pk=KlMnOpQrSt  New revision detected! Scaling up podinfo.test
                                                                                 @ Info New revision detected, progressing canary analysis.
          1 Progressing      60/40         40 0 0 ck=AbCdEfGhIj - pk=KlMnOpQrSt  > 60/40 keep ck=AbCdEfGhIj pk=KlMnOpQrSt
                                                                                 Starting canary analysis for podinfo.test
                                                                                 Advance podinfo.test canary weight 40
          1 Progressing      100/0          0 0 0 - ck=AbCdEfGhIj pk=KlMnOpQrSt  > 100/0 forget ck=AbCdEfGhIj
                                                                                 podinfo.test is back at the promoted revision, cancelling its analysis
        +5s Succeeded        100/0          0 0 0 - ck=AbCdEfGhIj pk=KlMnOpQrSt
          2 Succeeded        100/0          0 0 0 - ck=AbCdEfGhIj pk=KlMnOpQrSt
    ");
}

// spec: 02/C56
#[test]
fn a_canary_that_loses_its_pods_while_it_is_promoted_leaves_no_cookie_behind() {
    Timeline::of(sticky(80, 80), MESH)
        .ticks(2)
        .when("the canary loses its pods", |stage| stage.target().ready_pods = 0)
        .ticks(2)
        .shows("
          0 Progressing      100/0          0 0 0 ck=AbCdEfGhIj - pk=KlMnOpQrSt  New revision detected! Scaling up podinfo.test
                                                                                 @ Info New revision detected, progressing canary analysis.
          1 Progressing      20/80         80 0 0 ck=AbCdEfGhIj - pk=KlMnOpQrSt  > 20/80 keep ck=AbCdEfGhIj pk=KlMnOpQrSt
                                                                                 Starting canary analysis for podinfo.test
                                                                                 Advance podinfo.test canary weight 80
          2 Promoting        20/80         80 0 0 ck=AbCdEfGhIj - pk=KlMnOpQrSt  Copying podinfo.test template spec to podinfo-primary.test
        -- the canary loses its pods
          3 Finalising       100/0          0 0 0 - ck=AbCdEfGhIj pk=KlMnOpQrSt  > 100/0 forget ck=AbCdEfGhIj
                                                                                 Routing all traffic to primary
          4 Succeeded        100/0          0 0 0 - ck=AbCdEfGhIj pk=KlMnOpQrSt  Promotion completed! Scaling down podinfo.test
                                                                                 @ Info Canary analysis completed successfully, promotion finished.
                                                                                 = Completed
    ");
}

// spec: 02/C56
#[test]
fn without_a_name_for_it_the_primary_has_no_cookie() {
    let mut release = sticky(80, 80);
    release.analysis.session_affinity =
        Some(SessionAffinity { cookie_name: "ck".into(), ..SessionAffinity::default() });
    Timeline::of(release, MESH).ticks(1).shows("
          0 Progressing      100/0          0 0 0 ck=AbCdEfGhIj - -  New revision detected! Scaling up podinfo.test
                                                                     @ Info New revision detected, progressing canary analysis.
          1 Progressing      20/80         80 0 0 ck=AbCdEfGhIj - -  > 20/80 keep ck=AbCdEfGhIj -
                                                                     Starting canary analysis for podinfo.test
                                                                     Advance podinfo.test canary weight 80
    ");
}

// spec: 02/C31 02/C56
#[test]
fn with_all_traffic_on_the_canary_nobody_is_kept_on_a_primary_that_may_be_broken() {
    Timeline::of(sticky(50, 100), MESH)
        .ticks(3)
        .when("the primary does not start", |stage| {
            stage.primary().readiness = Readiness::Stuck { why: "late".into() };
            stage.primary().ready_pods = 0;
        })
        .ticks(2)
        .shows("
          0 Progressing      100/0          0 0 0 ck=AbCdEfGhIj - pk=KlMnOpQrSt  New revision detected! Scaling up podinfo.test
                                                                                 @ Info New revision detected, progressing canary analysis.
          1 Progressing      50/50         50 0 0 ck=AbCdEfGhIj - pk=KlMnOpQrSt  > 50/50 keep ck=AbCdEfGhIj pk=KlMnOpQrSt
                                                                                 Starting canary analysis for podinfo.test
                                                                                 Advance podinfo.test canary weight 50
          2 Progressing      0/100        100 0 0 ck=AbCdEfGhIj - pk=KlMnOpQrSt  > 0/100 keep ck=AbCdEfGhIj -
                                                                                 Advance podinfo.test canary weight 100
          3 Promoting        0/100        100 0 0 ck=AbCdEfGhIj - pk=KlMnOpQrSt  Copying podinfo.test template spec to podinfo-primary.test
        -- the primary does not start
          4 Failed           0/100        100 0 0 - ck=AbCdEfGhIj pk=KlMnOpQrSt  > 0/100 keep - -
                                                                                 ! late
                                                                                 ! Promotion of podinfo.test failed, primary not ready: late
                                                                                 @ Error Promotion failed, primary not ready: late
                                                                                 = Failed
          5 Failed           0/100        100 0 0 - ck=AbCdEfGhIj pk=KlMnOpQrSt
    ");
}

// spec: 02/C56
#[test]
fn a_canary_that_lost_its_pods_in_its_run_goes_on_with_its_cookie() {
    Timeline::of(sticky(40, 80), MESH)
        .ticks(1)
        .when("the canary loses its pods", |stage| stage.target().ready_pods = 0)
        .ticks(1)
        .when("they are back", |stage| stage.target().ready_pods = 2)
        .ticks(1)
        .shows("
          0 Progressing      100/0          0 0 0 ck=AbCdEfGhIj - pk=KlMnOpQrSt  New revision detected! Scaling up podinfo.test
                                                                                 @ Info New revision detected, progressing canary analysis.
          1 Progressing      60/40         40 0 0 ck=AbCdEfGhIj - pk=KlMnOpQrSt  > 60/40 keep ck=AbCdEfGhIj pk=KlMnOpQrSt
                                                                                 Starting canary analysis for podinfo.test
                                                                                 Advance podinfo.test canary weight 40
        -- the canary loses its pods
          2 Progressing      100/0          0 0 1 ck=AbCdEfGhIj - pk=KlMnOpQrSt  > 100/0 forget -
                                                                                 ! Halt podinfo.test advancement traffic interlock: canary podinfo.test has 0 of 2 pods ready, routing all traffic to primary
        -- they are back
          3 Progressing      60/40         40 0 1 ck=AbCdEfGhIj - pk=KlMnOpQrSt  > 60/40 keep ck=AbCdEfGhIj pk=KlMnOpQrSt
                                                                                 Starting canary analysis for podinfo.test
                                                                                 Advance podinfo.test canary weight 40
    ");
}
