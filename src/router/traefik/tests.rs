//! Traefik: the weights of its list. How the objects look stands in `tests/data/routers/traefik`.

use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::api::service::CanaryService;
use crate::router::testing::{applied, canary_gets, foreign, plan, release, service, serving, state, with};

fn after(shares: &[u32]) -> Value {
    let objects = shares.iter().fold(Vec::new(), |objects, share| {
        applied(&objects, &plan(&Traefik, &release(), &canary_gets(*share), &objects).expect("planned"))
    });
    objects.into_iter().next().expect("a TraefikService")
}

fn weights(object: &Value) -> Vec<(String, Value)> {
    let services = object["spec"]["weighted"]["services"].as_array().expect("a list");
    services
        .iter()
        .map(|side| (side["name"].as_str().unwrap_or_default().to_owned(), side["weight"].clone()))
        .collect()
}

fn listing(services: Value) -> Value {
    with(&after(&[0]), json!({"spec": {"weighted": {"services": services}}}))
}

fn share(object: &Value) -> Option<u32> {
    state(&Traefik, &release(), std::slice::from_ref(object)).expect("read").map(|state| state.split.canary())
}

// spec: 03/TRF-01 03/TRF-02 03/TRF-05
#[rstest]
#[case::at_rest(&[0], &[("frontend-primary", 100)])]
#[case::a_step(&[0, 10], &[("frontend-primary", 90), ("frontend-canary", 10)])]
#[case::back(&[10, 0], &[("frontend-primary", 100)])]
#[case::all(&[10, 100], &[("frontend-canary", 100)])]
#[case::and_back(&[100, 40], &[("frontend-canary", 40), ("frontend-primary", 60)])]
fn a_side_without_a_share_is_not_in_the_list(#[case] shares: &[u32], #[case] expected: &[(&str, u32)]) {
    let object = after(shares);
    assert_eq!(object["apiVersion"], "traefik.io/v1alpha1");
    let expected: Vec<(String, Value)> =
        expected.iter().map(|(name, weight)| ((*name).to_owned(), json!(weight))).collect();
    assert_eq!(weights(&object), expected);
    assert_eq!(share(&object), shares.last().copied());
}

// spec: 03/TRF-03 03/TRF-04
#[test]
fn what_drifts_is_repaired_and_the_weights_stay() {
    let release = serving(CanaryService {
        port: 80,
        ..service(json!({"port": 80, "apex": {"labels": {"team": "web"}}}))
    });
    let wish = canary_gets(40);
    let objects = applied(&[], &plan(&Traefik, &release, &wish, &[]).expect("planned"));
    assert_eq!(plan(&Traefik, &release, &wish, &objects), Ok(vec![]));
    let drifted = [with(&objects[0], json!({"metadata": {"labels": {"team": "other"}}}))];
    let repaired = applied(&drifted, &plan(&Traefik, &release, &wish, &drifted).expect("planned"));
    assert_eq!(repaired[0]["spec"], objects[0]["spec"]);
    assert_eq!(repaired[0]["metadata"]["labels"]["team"], "web");
    assert_eq!(share(&repaired[0]), Some(40));
}

#[rstest]
#[case::absent_is_one(json!([{"name": "frontend-primary"}, {"name": "frontend-canary", "weight": 100}]), 100)]
#[case::both_absent(json!([{"name": "frontend-primary"}, {"name": "frontend-canary"}]), 50)]
#[case::equal_weights(json!([{"name": "frontend-primary", "weight": 100}, {"name": "frontend-canary", "weight": 100}]), 50)]
#[case::another_sum(json!([{"name": "frontend-primary", "weight": 9}, {"name": "frontend-canary", "weight": 1}]), 10)]
#[case::rounded_up(json!([{"name": "frontend-primary", "weight": 999}, {"name": "frontend-canary", "weight": 1}]), 1)]
#[case::zero(json!([{"name": "frontend-primary", "weight": 5}, {"name": "frontend-canary", "weight": 0}]), 0)]
#[case::alone(json!([{"name": "frontend-primary", "weight": 7}]), 0)]
#[case::huge(json!([{"name": "frontend-primary", "weight": u64::MAX}, {"name": "frontend-canary", "weight": u64::MAX}]), 50)]
fn a_share_is_what_traefik_makes_of_the_weights(#[case] services: Value, #[case] expected: u32) {
    assert_eq!(share(&listing(services)), Some(expected));
}

// spec: 03/TRF-06
#[rstest]
#[case::empty(json!([]))]
#[case::others(json!([{"name": "other", "weight": 1}]))]
#[case::nothing_for_either(json!([{"name": "frontend-primary", "weight": 0}, {"name": "frontend-canary", "weight": 0}]))]
fn a_list_that_leads_to_neither_side_is_an_error(#[case] services: Value) {
    let error = state(&Traefik, &release(), &[listing(services)]).expect_err("neither").to_string();
    assert!(error.starts_with("TraefikService frontend.shop services not found"), "{error}");
}

#[test]
fn a_service_of_another_type_that_its_user_made_is_not_ours_yet() {
    let users = json!({
        "apiVersion": "traefik.io/v1alpha1", "kind": "TraefikService",
        "metadata": {"name": "frontend", "namespace": "shop"},
        "spec": {"mirroring": {"name": "frontend", "port": 80}},
    });
    assert_eq!(share(&users), None);
    assert_eq!(share(&foreign(&listing(json!([{"name": "other", "port": 80}])))), None);
}
