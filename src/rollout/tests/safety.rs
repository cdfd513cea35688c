//! What safety demands, as the table at the top of `safety.rs` says it.

use chrono::TimeDelta;
use rstest::rstest;

use crate::api::status::Phase;
use crate::model::traffic::{RouteState, Split};
use crate::model::workload::{Presence, Readiness};

use super::super::safety::{Demand, Why, demanded, protect};
use super::super::snapshot::Endpoints;
use super::super::step::{Effect, Side};
use super::super::testing::{MESH, NO_ROUTES, Stage, release};
use super::super::{RoutesSeen, Snapshot};

/// A run with a share of 20 that was earned.
fn running() -> Stage {
    let mut stage = Stage::detected(release(), MESH);
    stage.tick();
    assert_eq!(stage.row(), (Phase::Progressing, 20, 20, 0, 0));
    stage.forget();
    stage
}

fn endpoints(primary: Option<i32>, canary: Option<i32>) -> Endpoints {
    Endpoints { primary, canary, ..Endpoints::default() }
}

#[rstest]
#[case::both_answer(endpoints(Some(2), Some(2)), None)]
#[case::nobody_answers(endpoints(Some(0), Some(0)), None)]
#[case::the_canary_is_gone(endpoints(Some(1), Some(0)), Some((Split::PRIMARY, Why::CanaryIsGone)))]
#[case::the_primary_is_gone(endpoints(Some(0), Some(1)), Some((Split::CANARY, Why::PrimaryIsGone)))]
#[case::the_workloads_count_where_nobody_knows(endpoints(None, None), None)]
fn the_endpoints_decide(#[case] endpoints: Endpoints, #[case] expected: Option<(Split, Why)>) {
    let mut stage = running();
    stage.world.endpoints = endpoints;
    assert_eq!(demanded(&stage.world), expected.map(|(split, why)| Demand { split, why }));
}

#[rstest]
#[case::of_the_canary(Side::Canary, Some((Split::PRIMARY, Why::CanaryIsGone)))]
#[case::of_the_primary(Side::Primary, Some((Split::CANARY, Why::PrimaryIsGone)))]
fn a_service_that_is_gone_leads_to_nobody_where_nothing_makes_it_again(
    #[case] side: Side,
    #[case] expected: Option<(Split, Why)>,
) {
    let mut stage = running();
    match side {
        Side::Primary => stage.world.services.primary = Presence::Absent,
        _ => stage.world.services.canary = Presence::Absent,
    }
    assert_eq!(demanded(&stage.world), None, "this very look makes it again");
    let refused = protect(&stage.world).expect("nobody makes it while the manifest is refused");
    assert!(matches!(refused.effects[..], [Effect::Route(_)]));
    let expected = expected.map(|(split, why)| Demand { split, why });
    stage.world.release.suspend = true;
    assert_eq!(demanded(&stage.world), expected);
    stage.world.release.suspend = false;
    stage.world.lifecycle.deleting = true;
    stage.world.lifecycle.has_finalizer = true;
    assert_eq!(demanded(&stage.world), expected);
}

type Change = fn(&mut Snapshot);

#[rstest]
#[case::suspended(|world: &mut Snapshot| world.release.suspend = true)]
#[case::without_target(|world: &mut Snapshot| world.target = Err("deployment podinfo.test not found".into()))]
#[case::being_reverted(|world: &mut Snapshot| { world.lifecycle.deleting = true; world.lifecycle.has_finalizer = true; })]
#[case::after_a_failed_promotion(|world: &mut Snapshot| world.status.phase = Phase::Failed)]
#[case::waiting_for_the_promotion_gate(|world: &mut Snapshot| world.status.phase = Phase::WaitingPromotion)]
#[case::promoting(|world: &mut Snapshot| world.status.phase = Phase::Promoting)]
#[case::of_a_new_target(|world: &mut Snapshot| world.status.phase = Phase::Initializing)]
fn a_canary_without_pods_loses_its_share_whatever_else_is_wrong(#[case] change: Change) {
    let mut stage = running();
    stage.world.endpoints = endpoints(Some(2), Some(0));
    change(&mut stage.world);
    stage.step();
    assert_eq!(stage.row().1, 0);
    assert!(!stage.said().is_empty(), "it is said");
}

#[test]
fn whose_routes_are_given_back_is_left_alone() {
    let mut stage = running();
    stage.world.endpoints = endpoints(Some(2), Some(0));
    stage.world.lifecycle.deleting = true;
    assert_eq!(demanded(&stage.world), None, "no finalizer of ours");
}

#[test]
fn without_routes_nothing_can_be_demanded() {
    let mut stage = Stage::detected(release(), NO_ROUTES);
    stage.world.endpoints = endpoints(Some(2), Some(0));
    assert_eq!(demanded(&stage.world), None);
}

#[test]
fn mirrored_requests_count_as_a_share() {
    let mut stage = running();
    let state = RouteState { split: Split::PRIMARY, mirrored: true };
    stage.world.routes = RoutesSeen::Seen { state, in_place: true };
    stage.world.endpoints = endpoints(Some(2), Some(0));
    let demand = Demand { split: Split::PRIMARY, why: Why::CanaryIsGone };
    assert_eq!(demanded(&stage.world), Some(demand));
}

#[test]
fn a_revision_that_did_not_earn_the_share_loses_it_in_every_phase_after_the_first() {
    for phase in [Phase::Progressing, Phase::Waiting, Phase::Failed, Phase::Promoting, Phase::Finalising] {
        let mut stage = running();
        stage.world.status.phase = phase;
        stage.push("vx1-c");
        let demand = Demand { split: Split::PRIMARY, why: Why::AnotherRevision };
        assert_eq!(demanded(&stage.world), Some(demand), "{phase}");
        stage.primary().ready_pods = 0;
        let stands_in = Demand { split: Split::CANARY, why: Why::PrimaryIsGone };
        assert_eq!(demanded(&stage.world), Some(stands_in), "{phase}: nobody else would answer");
    }
}

#[test]
fn while_the_canary_stands_in_the_analysis_earns_its_steps_without_moving_traffic() {
    let mut stage = running();
    stage.primary().ready_pods = 0;
    stage.primary().readiness = Readiness::Waiting { why: "0 of 2".into(), stuck_at: None };
    stage.settle();
    assert_eq!((stage.row().1, stage.row().2), (100, 20));
    stage.tick();
    assert_eq!((stage.row().1, stage.row().2), (100, 40), "one step is earned");
    stage.primary().ready_pods = 2;
    stage.primary().readiness = Readiness::Ready;
    stage.settle();
    assert_eq!((stage.row().1, stage.row().2), (40, 40), "and no more is kept");
}

#[test]
fn a_refused_manifest_gets_the_safe_route_and_nothing_else() {
    let mut stage = running();
    assert_eq!(protect(&stage.world), None);
    stage.world.endpoints = endpoints(Some(2), Some(0));
    let plan = protect(&stage.world).expect("a plan");
    assert_eq!(plan.effects.len(), 1);
    assert_eq!(plan.status.conditions, stage.world.status.conditions, "what is said of the manifest stays");
}

#[test]
fn endpoints_that_follow_a_moment_later_are_nothing_to_tell() {
    let mut stage = Stage::detected(release(), MESH);
    stage.forget();
    stage.advance(TimeDelta::seconds(60));
    stage.world.endpoints = Endpoints { behind_since: Some(stage.now()), ..endpoints(Some(2), Some(0)) };
    stage.settle();
    assert_eq!(stage.world.status.condition("Stalled"), None);
    stage.advance(TimeDelta::seconds(6));
    stage.settle();
    let stalled = stage.world.status.condition("Stalled").expect("it lasts");
    assert!(stalled.message.contains("canary podinfo.test has 0 of 2 pods ready"), "{}", stalled.message);
    stage.world.endpoints = endpoints(Some(2), Some(2));
    stage.settle();
    assert_eq!(stage.row().1, 20);
}
