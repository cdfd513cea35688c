//! APISIX: the copy of a user's route, what becomes of it when that one changes, and what APISIX says of it.

use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::model::object::Write;
use crate::model::release::Reference;
use crate::router::plan as planner;
use crate::router::testing::{self, applied, foreign, looking, with};

fn release() -> Release {
    let route = Reference {
        api_version: "apisix.apache.org/v2".into(),
        kind: "ApisixRoute".into(),
        name: "shop".into(),
        namespace: "shop".into(),
    };
    Release { route: Some(route), ..testing::release() }
}

fn wish(canary: u32) -> RouteWish {
    RouteWish { split: Split::canary_gets(canary), ..RouteWish::default() }
}

fn plan(canary: u32, objects: &[Value]) -> Vec<Write> {
    testing::plan(&Apisix, &release(), &wish(canary), objects).expect("planned")
}

fn state(objects: &[Value]) -> Result<Option<RouteState>, Error> {
    testing::state(&Apisix, &release(), objects)
}

fn acceptance(objects: &[Value]) -> Acceptance {
    looking(&release(), objects, |view| Apisix.acceptance(view))
}

fn shares(canary: u32) -> Option<RouteState> {
    Some(RouteState { split: Split::canary_gets(canary), mirrored: false })
}

/// The user's route with these rules.
fn users(http: Value) -> Value {
    json!({
        "apiVersion": "apisix.apache.org/v2",
        "kind": "ApisixRoute",
        "metadata": {"name": "shop", "namespace": "shop"},
        "spec": {"http": http},
    })
}

fn rule() -> Value {
    json!({
        "name": "frontend",
        "match": {"hosts": ["shop.example.com"], "paths": ["/*"]},
        "websocket": true,
        "plugins": [{"name": "limit-count", "enable": true, "config": {"count": 100}}],
        "backends": [{"serviceName": "frontend", "servicePort": "http", "subset": "eu", "resolveGranularity": "service"}],
    })
}

/// The user's route, and the copy that gives the canary `canary` per cent.
fn running(canary: u32) -> Vec<Value> {
    let before = [users(json!([rule()]))];
    applied(&before, &plan(canary, &before))
}

fn backend(side: &str, weight: u32) -> Value {
    json!({
        "serviceName": format!("frontend-{side}"), "servicePort": "http", "subset": "eu",
        "resolveGranularity": "service", "weight": weight,
    })
}

// spec: 03/APX-02 03/APX-03
#[test]
fn the_rule_that_leads_to_the_workload_is_copied_and_preferred() {
    let other = json!({"name": "api", "backends": [{"serviceName": "api", "servicePort": 80}]});
    let before = [users(json!([other, rule()]))];
    let after = applied(&before, &plan(0, &before));
    let [original, copy] = &after[..] else { panic!("{after:#?}") };
    assert_eq!(*original, before[0], "the user's is only read");
    assert_eq!(copy["metadata"]["name"], "shop-frontend-canary");
    let mut expected = rule();
    expected["priority"] = json!(10_000);
    expected["backends"] = json!([backend("primary", 100), backend("canary", 0)]);
    assert_eq!(copy["spec"], json!({"http": [expected]}));
}

#[rstest]
#[case(json!(3), 10_000)]
#[case(json!(20_000), 20_001)]
#[case(json!(i64::MAX), i64::MAX)]
fn the_copy_is_preferred_whatever_priority_the_user_gave(#[case] own: Value, #[case] expected: i64) {
    let before = [users(json!([with(&rule(), json!({"priority": own}))]))];
    let after = applied(&before, &plan(0, &before));
    assert_eq!(after[1]["spec"]["http"][0]["priority"], expected);
}

#[test]
fn labels_and_annotations_are_copied_once_but_for_what_was_applied() {
    let metadata = json!({
        "labels": {"team": "web"},
        "annotations": {"note": "a", "kubectl.kubernetes.io/last-applied-configuration": "{}"},
    });
    let before = [with(&users(json!([rule()])), json!({"metadata": metadata}))];
    let mut after = applied(&before, &plan(0, &before));
    assert_eq!(after[1]["metadata"]["labels"], json!({"team": "web"}));
    assert_eq!(
        after[1]["metadata"]["annotations"],
        json!({
            "note": "a",
            "helm.toolkit.fluxcd.io/driftDetection": "disabled",
            "kustomize.toolkit.fluxcd.io/reconcile": "disabled",
        })
    );
    // What a tool writes there every minute is no reason for a write here.
    after[0]["metadata"]["annotations"]["note"] = json!("b");
    assert_eq!(plan(0, &after), vec![]);
}

// spec: 03/APX-04
#[test]
fn a_step_changes_the_two_weights() {
    let before = running(0);
    let after = applied(&before, &plan(20, &before));
    assert_eq!(state(&after), Ok(shares(20)));
    let mut expected = before;
    expected[1]["spec"]["http"][0]["backends"] = json!([backend("primary", 80), backend("canary", 20)]);
    assert_eq!(after, expected);
}

// spec: 03/APX-05
#[rstest]
#[case::another_path(json!({"match": {"paths": ["/v2/*"]}}))]
#[case::no_plugins(json!({"plugins": null}))]
#[case::another_name(json!({"name": "web"}))]
#[case::another_port(json!({"backends": [{"serviceName": "frontend", "servicePort": 8080}]}))]
fn an_edit_of_the_users_route_reaches_the_copy_and_leaves_the_weights_alone(#[case] edit: Value) {
    let mut objects = running(30);
    json_patch::merge(&mut objects[0]["spec"]["http"][0], &edit);
    let after = applied(&objects, &plan(30, &objects));
    assert_eq!(state(&after), Ok(shares(30)));
    let (original, copy) = (&after[0]["spec"]["http"][0], &after[1]["spec"]["http"][0]);
    for field in ["name", "match", "plugins", "websocket"] {
        assert_eq!(copy[field], original[field], "{field}");
    }
    assert_eq!(copy["backends"][1]["servicePort"], original["backends"][0]["servicePort"]);
    assert_eq!(plan(30, &after), vec![], "once is enough");
}

#[test]
fn the_class_follows_too_and_what_others_add_stays() {
    let mut objects = running(30);
    objects[1]["spec"]["x-foreign"] = json!(1);
    for class in [json!("public"), Value::Null] {
        objects[0]["spec"]["ingressClassName"] = class.clone();
        objects = applied(&objects, &plan(30, &objects));
        assert_eq!(objects[1]["spec"]["ingressClassName"], class);
        assert_eq!(objects[1]["spec"]["x-foreign"], 1);
    }
}

// spec: 03/APX-06
#[test]
fn streams_are_not_copied_and_go_from_a_copy_that_has_them() {
    let stream = json!([{"name": "db", "protocol": "TCP"}]);
    let before = [with(&users(json!([rule()])), json!({"spec": {"stream": stream}}))];
    let mut after = applied(&before, &plan(30, &before));
    assert!(after[1]["spec"].get("stream").is_none(), "{:#}", after[1]);
    after[1]["spec"]["stream"] = stream;
    let repaired = applied(&after, &plan(30, &after));
    assert!(repaired[1]["spec"].get("stream").is_none(), "{:#}", repaired[1]);
}

// spec: 03/APX-01
#[rstest]
#[case::no_route(&[], "shop.shop, which spec.routeRef names, does not exist: create it")]
#[case::no_rules(&[users(json!([]))], "APISIX route shop.shop's spec.http is empty: add a rule")]
#[case::rules_of_no_shape(&[users(json!("rules"))], "spec.http is empty")]
#[case::other_backends(
    &[users(json!([{"name": "api", "backends": [{"serviceName": "api"}]}, 7]))],
    "Can not find frontend backend on apisix route shop.shop: add a rule"
)]
#[case::two_backends(
    &[users(json!([{"name": "web", "backends": [{"serviceName": "frontend"}, {"serviceName": "api"}]}]))],
    "http route web only one http backend is supported: leave the Service frontend alone"
)]
#[case::an_upstream_beside(
    &[users(json!([{"name": "web", "backends": [{"serviceName": "frontend"}], "upstreams": [{"name": "x"}]}]))],
    "http route web only one http backend is supported"
)]
fn a_route_that_cannot_be_copied_is_told_with_name_and_remedy(
    #[case] before: &[Value],
    #[case] expected: &str,
) {
    let refused = testing::plan(&Apisix, &release(), &wish(0), before);
    let Err(Error::Object(why)) = &refused else { panic!("{refused:?}") };
    assert!(why.contains(expected), "{why}");
    // In a run it is a reason to wait, and the traffic can be taken back.
    let mut objects = running(30);
    objects.splice(..1, before.to_vec());
    assert_eq!(acceptance(&objects), Acceptance::Pending(why.clone()));
    assert_eq!(plan(30, &objects), vec![]);
    let back = applied(&objects, &plan(0, &objects));
    assert_eq!(state(&back), Ok(shares(0)));
}

// spec: 03/APX-01
#[rstest]
#[case::none(None)]
#[case::empty(Some(""))]
fn a_canary_without_a_route_is_refused(#[case] name: Option<&str>) {
    let mut release = release();
    release.route = release.route.zip(name).map(|(route, name)| Reference { name: name.into(), ..route });
    let problems = Apisix.problems(&release, &Settings::default());
    let [problem] = &problems[..] else { panic!("{problems:?}") };
    assert_eq!(problem.field, "spec.routeRef");
    assert!(problem.message.contains("name the ApisixRoute that leads to the Service frontend"), "{problem}");
    assert_eq!(Apisix.reads(&release), vec![]);
    let refused = testing::plan(&Apisix, &release, &wish(0), &[]);
    assert_eq!(refused, Err(Error::Unsupported(problem.clone())));
}

#[rstest]
#[case::one_backend(json!([{"backends": [backend("primary", 100)]}]))]
#[case::no_weights(json!([{"backends": [{"serviceName": "frontend-primary"}, {"serviceName": "frontend-canary"}]}]))]
#[case::another_sum(json!([{"backends": [backend("primary", 70), backend("canary", 70)]}]))]
#[case::nothing(Value::Null)]
#[case::of_no_shape(json!([1, {"backends": {"a": 1}}]))]
fn a_copy_that_does_not_divide_is_an_error_and_is_put_right(#[case] http: Value) {
    let mut objects = running(30);
    objects[1]["spec"]["http"] = http;
    let read = state(&objects);
    let Err(Error::Object(why)) = &read else { panic!("{read:?}") };
    assert!(why.contains("ApisixRoute shop-frontend-canary.shop does not divide 100"), "{why}");
    let repaired = applied(&objects, &plan(30, &objects));
    assert_eq!(state(&repaired), Ok(shares(30)));
}

#[test]
fn a_route_of_the_users_that_has_the_name_of_the_copy_is_left_alone() {
    let mut objects = running(0);
    objects[1] =
        with(&foreign(&objects[1]), json!({"spec": {"http": [{"backends": [{"serviceName": "x"}]}]}}));
    let refused = testing::plan(&Apisix, &release(), &wish(10), &objects);
    let Err(Error::Object(why)) = &refused else { panic!("{refused:?}") };
    assert!(why.contains("ApisixRoute shop-frontend-canary.shop is in the way"), "{why}");
    assert_eq!(state(&objects), Ok(None));
}

#[test]
fn a_copy_without_an_owner_is_gone_on_with() {
    let mut objects = running(30);
    objects[1] = foreign(&objects[1]);
    let after = applied(&objects, &plan(40, &objects));
    assert_eq!(state(&after), Ok(shares(40)));
}

#[test]
fn in_another_cluster_the_copy_is_deleted_and_the_users_route_is_not() {
    let (shape, settings) = (testing::shape(), Settings { remote_mesh: true, ..Settings::default() });
    let before = vec![users(json!([rule()]))];
    let release = release();
    let look = |objects: &[Value], look: &dyn Fn(&View<'_>) -> Vec<Write>| {
        let seen = testing::seen(objects.to_vec());
        look(&View { release: &release, shape: &shape, settings: &settings, seen: &seen })
    };
    let made = look(&before, &|view| planner::routes(&Apisix, view, &wish(0)).expect("planned"));
    let objects = applied(&before, &made);
    assert!(planner::needs_cleanup(&Apisix, &release, &settings));
    let left =
        applied(&objects, &look(&objects, &|view| planner::removal(&Apisix, view).expect("a removal")));
    assert_eq!(left, before);
}

#[rstest]
#[case::nothing_said(json!({}), None)]
#[case::synchronised(json!([{"type": "ResourcesAvailable", "status": "True", "observedGeneration": 2}]), None)]
#[case::not_synchronised(
    json!([{"type": "ResourcesAvailable", "status": "False", "reason": "ResourceSyncAborted", "message": "service not found"}]),
    Some("ApisixRoute shop-frontend-canary.shop is not ResourcesAvailable: service not found")
)]
#[case::not_accepted(
    json!([{"type": "Accepted", "status": "False", "reason": "InvalidSpec", "message": "no such plugin"}]),
    Some("ApisixRoute shop-frontend-canary.shop is not Accepted: no such plugin")
)]
#[case::of_the_last_step(
    json!([{"type": "Accepted", "status": "True", "observedGeneration": 1}]),
    Some("APISIX has not taken in the last change of ApisixRoute shop-frontend-canary.shop yet")
)]
fn a_copy_counts_when_apisix_works_by_it(#[case] conditions: Value, #[case] expected: Option<&str>) {
    let mut objects = running(30);
    objects[1]["metadata"]["generation"] = json!(2);
    objects[1]["status"] = json!({"conditions": conditions});
    let expected = expected.map_or(Acceptance::Accepted, |why| Acceptance::Pending(why.into()));
    assert_eq!(acceptance(&objects), expected);
}

#[test]
fn a_copy_whose_canary_goes_leads_where_the_users_route_does() {
    let objects = running(30);
    let back = testing::finalize(&Apisix, &release(), &objects).expect("planned");
    let after = applied(&objects, &back);
    let backends = &after[1]["spec"]["http"][0]["backends"];
    assert_eq!(*backends, json!([with(&backend("primary", 100), json!({"serviceName": "frontend"}))]));
    assert_eq!(after[0], objects[0]);
    assert_eq!(testing::finalize(&Apisix, &release(), &after), Ok(vec![]), "once is enough");

    // What is gone, or another's, keeps no Canary from going.
    assert_eq!(testing::finalize(&Apisix, &release(), &objects[..1]), Ok(vec![]));
    let owner = json!([{"kind": "Canary", "name": "another", "controller": true}]);
    let others = with(&objects[1], json!({"metadata": {"ownerReferences": owner}}));
    assert_eq!(testing::finalize(&Apisix, &release(), &[others]), Ok(vec![]));
}
