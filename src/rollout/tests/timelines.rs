//! Tick by tick, as in spec 02 §2.

use Phase::{Failed, Finalising, Progressing, Promoting, Succeeded};

use crate::api::analysis::AnalysisMatch;
use crate::api::answer::Measured;
use crate::api::release::{Steps, Strategy};
use crate::api::status::Phase;

use super::super::step::Outcome;
use super::super::testing::{MESH, NO_ROUTES, Stage, release};

fn weighted(step: u32, max: u32) -> crate::api::Release {
    let mut release = release();
    release.analysis.strategy = Strategy::Weighted(Steps::By { step, max });
    release
}

// spec: 02/C1 02/C20 02/C34 02/C36 02/C14 02/C15 02/C40
#[test]
fn a_good_revision_climbs_and_is_promoted() {
    let mut stage = Stage::detected(weighted(20, 50), MESH);
    assert_eq!(stage.row(), (Progressing, 0, 0, 0, 0));
    assert_eq!(stage.said(), ["New revision detected! Scaling up podinfo.test"]);
    stage.tick();
    assert_eq!(stage.row(), (Progressing, 20, 20, 0, 0));
    assert_eq!(
        stage.said(),
        ["Starting canary analysis for podinfo.test", "Advance podinfo.test canary weight 20"]
    );
    stage.tick();
    assert_eq!(stage.row(), (Progressing, 40, 40, 0, 0));
    stage.tick();
    assert_eq!(stage.row(), (Progressing, 60, 60, 0, 0));
    stage.said();
    stage.tick();
    assert_eq!(stage.row(), (Promoting, 60, 60, 0, 0));
    assert_eq!(stage.said(), ["Copying podinfo.test template spec to podinfo-primary.test"]);
    stage.tick();
    assert_eq!(stage.row(), (Finalising, 0, 0, 0, 0));
    assert_eq!(stage.said(), ["Routing all traffic to primary"]);
    stage.tick();
    assert_eq!(stage.row(), (Succeeded, 0, 0, 0, 0));
    assert_eq!(stage.said(), ["Promotion completed! Scaling down podinfo.test"]);
    assert_eq!(stage.outcomes, [Outcome::Completed]);
    assert_eq!(stage.target().replicas, 0);
    assert_eq!(stage.world.status.last_promoted_spec, "vx1-b");
}

// spec: 02/C27 02/C28 02/C26 02/C98
#[test]
fn a_failing_metric_ends_the_run_one_interval_after_the_threshold() {
    let mut stage = Stage::detected(weighted(10, 50), MESH);
    stage.tick();
    stage.tick();
    assert_eq!(stage.row(), (Progressing, 20, 20, 0, 0));
    stage.forget();
    stage.metric = Measured::Value(80.0);
    stage.tick();
    assert_eq!(stage.row(), (Progressing, 20, 20, 0, 1));
    assert_eq!(stage.said(), ["Halt podinfo.test advancement success rate 80.00% < 99%"]);
    stage.tick();
    assert_eq!(stage.row(), (Progressing, 20, 20, 0, 2));
    stage.forget();
    stage.tick();
    assert_eq!(stage.row(), (Progressing, 0, 0, 0, 2), "the traffic goes first");
    assert_eq!(stage.target().replicas, 2, "the pods stay until the proxies have heard");
    stage.advance(chrono::TimeDelta::seconds(5));
    stage.settle();
    assert_eq!(stage.row(), (Failed, 0, 0, 0, 0));
    assert_eq!(
        stage.said(),
        [
            "Rolling back podinfo.test failed checks threshold reached 2",
            "Canary failed! Scaling down podinfo.test"
        ]
    );
    assert_eq!(stage.alerts[0].message, "Failed checks threshold reached 2");
    assert_eq!(stage.target().replicas, 0);
    assert_eq!(stage.outcomes, [Outcome::Failed]);
    stage.tick();
    assert_eq!(stage.said(), [""; 0], "a failed revision rests");
    assert_eq!(stage.row().0, Failed);
}

#[test]
fn a_recovered_check_does_not_take_back_a_failed_one() {
    let mut stage = Stage::detected(weighted(10, 50), MESH);
    stage.tick();
    stage.metric = Measured::Value(80.0);
    stage.tick();
    stage.metric = Measured::Value(100.0);
    stage.tick();
    assert_eq!(stage.row(), (Progressing, 20, 20, 0, 1));
}

// spec: 02/C34
#[test]
fn promotion_by_steps_moves_the_traffic_back_in_steps() {
    let mut release = weighted(100, 100);
    release.analysis.step_weight_promotion = 50;
    let mut stage = Stage::detected(release, MESH);
    stage.tick();
    assert_eq!(stage.row(), (Progressing, 100, 100, 0, 0));
    stage.tick();
    assert_eq!(stage.row(), (Promoting, 100, 100, 0, 0));
    stage.forget();
    stage.tick();
    assert_eq!(stage.row(), (Promoting, 50, 50, 0, 0));
    assert_eq!(stage.said(), ["Advance podinfo.test primary weight 50"]);
    stage.tick();
    assert_eq!(stage.row(), (Finalising, 0, 0, 0, 0));
    assert_eq!(stage.said(), ["Advance podinfo.test primary weight 100"]);
    stage.tick();
    assert_eq!(stage.row(), (Succeeded, 0, 0, 0, 0));
}

// spec: 02/C35
#[test]
fn a_stepped_promotion_that_finds_no_traffic_left_ends() {
    let mut release = weighted(100, 100);
    release.analysis.step_weight_promotion = 50;
    let mut stage = Stage::detected(release, MESH);
    stage.tick();
    stage.tick();
    stage.world.routes = super::super::RoutesSeen::Seen { state: Default::default(), in_place: true };
    stage.tick();
    assert_eq!(stage.row().0, Finalising);
}

// spec: 02/C24
#[test]
fn another_revision_restarts_the_analysis_at_once() {
    let mut stage = Stage::detected(weighted(10, 50), MESH);
    stage.tick();
    stage.tick();
    stage.metric = Measured::NoData("no values found".into());
    stage.tick();
    assert_eq!(stage.row(), (Progressing, 20, 20, 0, 1));
    stage.forget();
    stage.push("vx1-c");
    stage.settle();
    assert_eq!(stage.row(), (Progressing, 0, 0, 0, 0));
    assert_eq!(stage.said(), ["New revision detected! Restarting analysis for podinfo.test"]);
    assert_eq!(stage.alerts, []);
    stage.tick();
    assert_eq!(stage.row(), (Progressing, 10, 10, 0, 0));
}

// spec: 02/C46
#[test]
fn mirroring_takes_the_first_step() {
    let mut release = weighted(10, 50);
    release.analysis.mirror = true;
    let mut stage = Stage::detected(release, MESH);
    stage.forget();
    stage.tick();
    assert!(stage.world.routes.mirrored());
    assert_eq!(
        stage.said(),
        ["Starting canary analysis for podinfo.test", "Advance podinfo.test canary weight 0"]
    );
    stage.tick();
    assert!(!stage.world.routes.mirrored());
    assert_eq!(stage.row(), (Progressing, 10, 10, 0, 0));
}

// spec: 02/C47
#[test]
fn mirroring_that_the_mesh_cannot_do_is_left_out() {
    let mut release = weighted(10, 50);
    release.analysis.mirror = true;
    let mut stage =
        Stage::detected(release, crate::api::traffic::Capabilities { mirror_weighted: false, ..MESH });
    stage.tick();
    assert_eq!(stage.row(), (Progressing, 10, 10, 0, 0));
}

// spec: 02/C48
#[test]
fn ab_testing_sends_the_matching_requests_to_the_canary() {
    let mut release = release();
    release.analysis.strategy = Strategy::AbTesting { iterations: 3 };
    release.analysis.matches = vec![AnalysisMatch::default()];
    let mut stage = Stage::detected(release, MESH);
    for iteration in 1..=3 {
        stage.forget();
        stage.tick();
        assert_eq!(stage.row(), (Progressing, 100, 0, iteration, 0));
        assert_eq!(
            stage.said().last().map(String::as_str),
            Some(format!("Advance podinfo.test canary iteration {iteration}/3").as_str())
        );
    }
    stage.tick();
    assert_eq!(stage.row(), (Promoting, 100, 0, 3, 0));
    stage.tick();
    assert_eq!(stage.row(), (Finalising, 0, 0, 0, 0));
    stage.tick();
    assert_eq!(stage.row(), (Succeeded, 0, 0, 0, 0));
}

// spec: 02/C50
#[test]
fn blue_green_on_plain_kubernetes_never_moves_traffic() {
    let mut release = release();
    release.analysis.strategy = Strategy::BlueGreen { iterations: 3 };
    let mut stage = Stage::detected(release, NO_ROUTES);
    stage.forget();
    for iteration in 1..=3 {
        stage.tick();
        assert_eq!(stage.row(), (Progressing, 0, 0, iteration, 0));
    }
    stage.forget();
    stage.tick();
    assert_eq!(stage.row(), (Progressing, 0, 0, 4, 0));
    assert_eq!(stage.said(), [""; 0]);
    stage.tick();
    assert_eq!(stage.row(), (Promoting, 0, 0, 4, 0));
    stage.forget();
    stage.tick();
    assert_eq!(stage.row(), (Finalising, 0, 0, 0, 0));
    assert_eq!(stage.said(), [""; 0]);
    stage.tick();
    assert_eq!(stage.row(), (Succeeded, 0, 0, 0, 0));
    assert_eq!(stage.said(), ["Promotion completed! Scaling down podinfo.test"]);
}

// spec: 02/C51
#[test]
fn blue_green_with_a_mesh_ends_on_live_traffic() {
    let mut release = release();
    release.analysis.strategy = Strategy::BlueGreen { iterations: 2 };
    release.analysis.mirror = true;
    let mut stage = Stage::detected(release, MESH);
    stage.tick();
    assert_eq!(stage.row(), (Progressing, 0, 0, 1, 0));
    assert!(stage.world.routes.mirrored());
    stage.tick();
    assert_eq!(stage.row(), (Progressing, 0, 0, 2, 0));
    stage.forget();
    stage.tick();
    assert_eq!(stage.row(), (Progressing, 100, 0, 3, 0));
    assert_eq!(stage.said(), ["Stop traffic mirroring and route all traffic to canary"]);
    stage.tick();
    assert_eq!(stage.row(), (Promoting, 100, 0, 3, 0));
    stage.tick();
    assert_eq!(stage.row(), (Finalising, 0, 0, 0, 0));
    stage.tick();
    assert_eq!(stage.row(), (Succeeded, 0, 0, 0, 0));
}

// spec: 02/C37
#[test]
fn a_release_without_analysis_is_promoted_when_the_canary_is_ready() {
    let mut release = release();
    release.skip_analysis = true;
    let mut stage = Stage::detected(release, MESH);
    stage.forget();
    stage.tick();
    assert_eq!(stage.row(), (Succeeded, 0, 0, 0, 0));
    assert_eq!(
        stage.said(),
        [
            "Copying podinfo.test template spec to podinfo-primary.test",
            "Promotion completed! Canary analysis was skipped for podinfo.test"
        ]
    );
    assert_eq!(stage.outcomes, [Outcome::Skipped]);
}

// spec: 02/C56 02/C57
#[test]
fn the_cookie_of_a_run_is_known_before_its_routes_and_dropped_at_its_end() {
    let mut release = weighted(50, 50);
    release.analysis.session_affinity = Some(crate::api::analysis::SessionAffinity {
        cookie_name: "ck".into(),
        primary_cookie_name: Some("pk".into()),
        ..Default::default()
    });
    let mut stage = Stage::detected(release, MESH);
    assert_eq!(stage.world.status.session_affinity_cookie.as_deref(), Some("ck=AbCdEfGhIj"));
    assert_eq!(stage.world.status.primary_session_affinity_cookie.as_deref(), Some("pk=KlMnOpQrSt"));
    for _ in 0..5 {
        stage.tick();
    }
    assert_eq!(stage.row().0, Succeeded);
    assert_eq!(stage.world.status.session_affinity_cookie, None);
    assert_eq!(stage.world.status.previous_session_affinity_cookie.as_deref(), Some("ck=AbCdEfGhIj"));
    assert_eq!(stage.world.status.primary_session_affinity_cookie.as_deref(), Some("pk=KlMnOpQrSt"));
}
