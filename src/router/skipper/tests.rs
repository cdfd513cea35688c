//! Skipper: its annotations, and what happens when the user's Ingress does not fit. How the objects look stands in
//! `tests/data/routers/skipper`.

use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::model::object::Write;
use crate::router::testing::{
    applied, behind_ingress, canary_gets, finalize, foreign, ingress, plan, state, with,
};

fn annotated(annotations: Value) -> Value {
    with(&ingress(), json!({"metadata": {"annotations": annotations}}))
}

/// The user's Ingress and the copy after these shares.
fn after(users: &Value, shares: &[u32]) -> Vec<Value> {
    shares.iter().fold(vec![users.clone()], |objects, share| {
        let writes = plan(&Skipper, &behind_ingress(), &canary_gets(*share), &objects).expect("planned");
        applied(&objects, &writes)
    })
}

fn share(objects: &[Value]) -> Option<u32> {
    state(&Skipper, &behind_ingress(), objects).expect("read").map(|state| state.split.canary())
}

fn told(objects: &[Value]) -> (&str, &str) {
    let copy =
        objects.iter().find(|object| object["metadata"]["name"] == "frontend-canary").expect("the copy");
    (annotation(copy, WEIGHTS), annotation(copy, PREDICATE))
}

fn refused(users: &Value) -> String {
    let objects = [users.clone()];
    plan(&Skipper, &behind_ingress(), &canary_gets(0), &objects).expect_err("refused").to_string()
}

// Of SKP-01 all but the predicate at rest, which docs/differences.md tells of.
// spec: 03/SKP-01 03/SKP-03 03/SKP-04
#[test]
fn the_copy_is_switched_off_at_rest_and_stands_first_otherwise() {
    let copy = &after(&ingress(), &[20])[1];
    let paths = copy["spec"]["rules"][0]["http"]["paths"].as_array().expect("paths");
    let backends: Vec<&Value> = paths.iter().map(|path| &path["backend"]["service"]["name"]).collect();
    assert_eq!(backends, ["frontend-primary", "frontend-canary"]);
    assert!(paths.iter().all(|path| path["path"] == "/" && path["pathType"] == "Prefix"), "{paths:?}");
    for (shares, weights, predicate) in [
        (&[0][..], r#"{"frontend-canary":0,"frontend-primary":100}"#, "False()"),
        (&[0, 20], r#"{"frontend-canary":20,"frontend-primary":80}"#, "Weight(100)"),
        (&[0, 100], r#"{"frontend-canary":100,"frontend-primary":0}"#, "Weight(100)"),
        (&[0, 20, 0], r#"{"frontend-canary":0,"frontend-primary":100}"#, "False()"),
    ] {
        let objects = after(&ingress(), shares);
        assert_eq!(told(&objects), (weights, predicate));
        assert_eq!(share(&objects), shares.last().copied());
    }
}

// spec: 03/SKP-02 03/SKP-03
#[rstest]
#[case::one("Method(\"GET\")", "Weight(100) && Method(\"GET\")", "False() && Method(\"GET\")")]
#[case::text_that_looks_like_two(
    r#"Header("x", "a && b") && Method("GET")"#,
    r#"Weight(100) && Header("x", "a && b") && Method("GET")"#,
    r#"False() && Header("x", "a && b") && Method("GET")"#
)]
#[case::off_by_its_user("False()", "Weight(100) && False()", "False() && False()")]
#[case::blank("  ", "Weight(100)", "False()")]
fn the_conditions_of_the_users_ingress_stay(#[case] own: &str, #[case] routed: &str, #[case] at_rest: &str) {
    let users = annotated(json!({PREDICATE: own}));
    assert_eq!(told(&after(&users, &[20])).1, routed);
    assert_eq!(told(&after(&users, &[20, 0])).1, at_rest);
    // Once, not again at each step.
    assert_eq!(told(&after(&users, &[20, 30, 40])).1, routed);
}

#[test]
fn weights_of_other_services_stay() {
    let users = annotated(json!({WEIGHTS: r#"{"api": 75, "api-new": 25}"#}));
    assert_eq!(
        told(&after(&users, &[20])).0,
        r#"{"api":75,"api-new":25,"frontend-canary":20,"frontend-primary":80}"#
    );
}

// spec: 03/SKP-06
#[test]
fn an_ingress_without_annotations_is_no_trouble() {
    let mut users = ingress();
    users["metadata"]["annotations"] = Value::Null;
    assert_eq!(share(&after(&users, &[30])), Some(30));
    assert_eq!(finalize(&Skipper, &behind_ingress(), &[users]), Ok(vec![]), "what is gone needs nothing");
}

// spec: 03/SKP-05
#[test]
fn the_copy_is_deleted_when_everything_is_to_be_as_it_was() {
    let release = behind_ingress();
    let objects = after(&ingress(), &[30]);
    let copy = Pair::of(&release).expect("a pair").canarys;
    assert_eq!(finalize(&Skipper, &release, &objects), Ok(vec![Write::Delete { id: copy }]));
    let taken = [objects[0].clone(), foreign(&objects[1])];
    let writes = finalize(&Skipper, &release, &taken).expect("planned");
    assert!(!writes.iter().any(|write| matches!(write, Write::Delete { .. })), "{writes:?}");
}

#[rstest]
#[case::no_host(
    json!({"spec": {"rules": [{"http": {"paths": [{"path": "/", "backend": {"service": {"name": "frontend"}}}]}}]}}),
    "spec.rules[0] has no host, so that its copy would take the requests of every host"
)]
#[case::divided_already(
    json!({"metadata": {"annotations": {WEIGHTS: r#"{"frontend": 50, "other": 50}"#}}}),
    "has a weight for frontend, whose requests are to be divided: remove it"
)]
#[case::no_json(json!({"metadata": {"annotations": {WEIGHTS: "50"}}}), "is no JSON object, correct or remove it")]
#[case::no_path(json!({"spec": {"rules": [{"host": "a"}]}}), "backend frontend not found in ingress frontend")]
fn an_ingress_that_cannot_be_copied_is_an_error(#[case] changes: Value, #[case] expected: &str) {
    let why = refused(&with(&ingress(), changes));
    assert!(why.contains(expected), "{why}");
}

#[test]
fn an_ingress_that_serves_its_own_users_is_not_turned_into_the_copy() {
    let mut stranger = with(&ingress(), json!({"metadata": {"name": "frontend-canary"}}));
    stranger["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"] = json!("beta");
    let objects = [ingress(), stranger];
    let error =
        plan(&Skipper, &behind_ingress(), &canary_gets(0), &objects).expect_err("in the way").to_string();
    assert!(error.starts_with("Ingress frontend-canary.shop is in the way"), "{error}");
}

#[test]
fn a_release_without_an_ingress_is_refused() {
    let release = Release { ingress: None, ..behind_ingress() };
    let problems: Vec<String> =
        Skipper.problems(&release, &Settings::default()).iter().map(ToString::to_string).collect();
    assert_eq!(problems, ["spec.ingressRef: is missing: name the Ingress that leads to Service frontend"]);
    assert_eq!(finalize(&Skipper, &release, &[]), Ok(vec![]), "a deletion is not kept from its end");
}

#[rstest]
#[case::gone(None)]
#[case::led_elsewhere(Some("emergency"))]
fn an_ingress_that_its_user_leads_elsewhere_switches_the_copy_off(#[case] backend: Option<&str>) {
    let mut objects = after(&annotated(json!({PREDICATE: "Method(\"GET\")"})), &[50]);
    match backend {
        Some(name) => {
            objects[0]["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"] = json!(name)
        }
        None => drop(objects.remove(0)),
    }
    let release = behind_ingress();
    let objects = applied(&objects, &plan(&Skipper, &release, &canary_gets(50), &objects).expect("planned"));
    let at_rest = r#"{"frontend-canary":0,"frontend-primary":100}"#;
    assert_eq!(told(&objects), (at_rest, "False() && Method(\"GET\")"));
    assert_eq!(share(&objects), Some(0));
    for wish in [0, 10] {
        assert!(matches!(plan(&Skipper, &release, &canary_gets(wish), &objects), Err(Error::Object(_))));
    }
}

#[rstest]
#[case::a_side_is_missing(json!({WEIGHTS: r#"{"frontend-canary":20}"#}), "could not get zalando.org/backend-weights[frontend-primary]")]
#[case::no_weights(json!({WEIGHTS: null}), "could not get zalando.org/backend-weights[frontend-primary]")]
#[case::another_sum(json!({WEIGHTS: r#"{"frontend-canary":20,"frontend-primary":20}"#}), "gives 20 and 20, which is not 100")]
#[case::too_large(json!({WEIGHTS: r#"{"frontend-canary":18446744073709551615,"frontend-primary":1}"#}), "which is not 100")]
fn weights_that_are_not_ours_are_an_error(#[case] annotations: Value, #[case] expected: &str) {
    let mut objects = after(&ingress(), &[20]);
    objects[1] = with(&objects[1], json!({"metadata": {"annotations": annotations}}));
    let error = state(&Skipper, &behind_ingress(), &objects).expect_err("not ours").to_string();
    assert!(error.contains(expected), "{error}");
}
