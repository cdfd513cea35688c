//! Whose a TrafficRoute is, and what it says.

use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::model::object::Write;
use crate::model::traffic::Split;
use crate::router::plan as planning;
use crate::router::services::{self, Side};
use crate::router::testing::{
    applied, finalize, looking, patched, plan, release as fixture, seen, service, serving, shape, state, with,
};

fn release() -> Release {
    let mut release = fixture();
    (release.provider, release.provider_name) = (Provider::Kuma, "kuma".into());
    release
}

fn in_stage() -> Release {
    let mut release = release();
    release.namespace = "stage".into();
    release
}

fn wish(canary: u32) -> RouteWish {
    RouteWish { split: Split::canary_gets(canary), ..RouteWish::default() }
}

fn seen_split(canary: u32) -> Result<Option<RouteState>, Error> {
    Ok(Some(RouteState { split: Split::canary_gets(canary), mirrored: false }))
}

fn made(release: &Release, canary: u32) -> Value {
    let writes = plan(&Kuma, release, &wish(canary), &[]).expect("planned");
    applied(&[], &writes).remove(0)
}

/// The route as Flagger makes it: without a mark.
fn of_flagger(release: &Release, canary: u32) -> Value {
    with(&made(release, canary), json!({"metadata": {"annotations": {MADE_BY: null}}}))
}

fn names(objects: &[Value]) -> Vec<&str> {
    objects.iter().map(|object| object["metadata"]["name"].as_str().unwrap_or_default()).collect()
}

// spec: 03/KUM-01
#[test]
fn the_route_is_named_after_the_apex_and_names_the_three_services() {
    let route = made(&release(), 10);
    assert_eq!((&route["metadata"]["name"], &route["mesh"]), (&json!("frontend"), &json!("default")));
    assert_eq!(route["metadata"].get("namespace"), None);
    assert_eq!(route["metadata"].get("ownerReferences"), None);
    assert_eq!(
        route["spec"],
        json!({
            "sources": [{"match": {"kuma.io/service": "*"}}],
            "destinations": [{"match": {"kuma.io/service": "frontend_shop_svc_80"}}],
            "conf": {"split": [
                {"weight": 90, "destination": {"kuma.io/service": "frontend-primary_shop_svc_80"}},
                {"weight": 10, "destination": {"kuma.io/service": "frontend-canary_shop_svc_80"}},
            ]},
        })
    );
}

// spec: 03/KUM-02
#[test]
fn the_mesh_is_the_one_that_the_canary_says_and_another_one_later_is_told() {
    let mut release = release();
    let first = made(&release, 0);
    release.annotations.insert("kuma.io/mesh".into(), "m".into());
    assert_eq!(made(&release, 0)["mesh"], "m");
    let mut nameless = release.clone();
    nameless.annotations.insert("kuma.io/mesh".into(), String::new());
    assert_eq!(made(&nameless, 0)["mesh"], "default");

    assert_eq!(plan(&Kuma, &release, &wish(0), std::slice::from_ref(&first)), Ok(vec![]), "its mesh stays");
    let told = looking(&release, &[first], |view| Kuma.acceptance(view));
    let text = "TrafficRoute frontend is in the mesh default, but the annotation kuma.io/mesh of the Canary says m: \
                delete the TrafficRoute, and it is made anew";
    assert_eq!(told, Acceptance::Pending(text.into()));
    let told = looking(&release, &[made(&release, 0)], |view| Kuma.acceptance(view));
    assert_eq!(told, Acceptance::Accepted);
}

// spec: 03/KUM-03
#[test]
fn metadata_of_the_apex_is_on_the_service_and_on_the_route() {
    let protocol = json!({"80.service.kuma.io/protocol": "http"});
    let apex = json!({"port": 80, "apex": {"annotations": protocol}});
    let mut release = serving(service(apex));
    release.provider = Provider::Kuma;
    let services = services::plan(&release, &shape(), Side::Apex, &seen([])).expect("planned");
    let [Write::Create { object, .. }] = &services[..] else { panic!("{services:?}") };
    for object in [object, &made(&release, 0)] {
        assert_eq!(object["metadata"]["annotations"]["80.service.kuma.io/protocol"], "http", "{object:#}");
    }
}

// spec: 03/KUM-04
#[test]
fn releases_of_one_name_in_two_namespaces_have_a_route_each() {
    let (shop, stage) = (release(), in_stage());
    let mut objects = vec![made(&shop, 10)];
    let writes = plan(&Kuma, &stage, &wish(40), &objects).expect("planned");
    objects = applied(&objects, &writes);
    assert_eq!(names(&objects), ["frontend", "frontend.stage"]);
    assert_eq!(state(&Kuma, &shop, &objects), seen_split(10));
    assert_eq!(state(&Kuma, &stage, &objects), seen_split(40));
    for release in [&shop, &stage] {
        let canary = if release.namespace == "shop" { 10 } else { 40 };
        assert_eq!(plan(&Kuma, release, &wish(canary), &objects), Ok(vec![]), "{}", release.title());
    }

    // The first goes; the other keeps the route that it has.
    let removal = looking(&shop, &objects, |view| planning::removal(&Kuma, view)).expect("a removal");
    objects = applied(&objects, &removal);
    assert_eq!(names(&objects), ["frontend.stage"]);
    assert_eq!(state(&Kuma, &stage, &objects), seen_split(40));
    assert_eq!(plan(&Kuma, &stage, &wish(40), &objects), Ok(vec![]));
}

#[test]
fn a_name_that_both_have_at_once_is_one_of_them_alone() {
    // Both planned before either was seen: the API lets one create it.
    let (shop, stage) = (release(), in_stage());
    let objects = vec![made(&stage, 0)];
    let writes = plan(&Kuma, &shop, &wish(0), &objects).expect("planned");
    assert_eq!(names(&applied(&objects, &writes)), ["frontend", "frontend.shop"]);
}

#[test]
fn a_users_route_by_that_name_for_another_service_is_left_alone() {
    let users = json!({
        "apiVersion": "kuma.io/v1alpha1", "kind": "TrafficRoute", "mesh": "default",
        "metadata": {"name": "frontend", "resourceVersion": "1"},
        "spec": {
            "sources": [{"match": {"kuma.io/service": "*"}}],
            "destinations": [{"match": {"kuma.io/service": "frontend_shop-eu_svc_80"}}],
            "conf": {"destination": {"kuma.io/service": "frontend_shop-eu_svc_80"}},
        },
    });
    let objects = [users.clone()];
    assert_eq!(state(&Kuma, &release(), &objects), Ok(None));
    let objects = applied(&objects, &plan(&Kuma, &release(), &wish(0), &objects).expect("planned"));
    assert_eq!(names(&objects), ["frontend", "frontend.shop"]);
    assert_eq!(objects[0], users);
}

#[test]
fn the_route_of_flagger_is_adopted_with_its_weights_and_goes_with_the_canary() {
    let release = release();
    let live = of_flagger(&release, 30);
    assert_eq!(state(&Kuma, &release, std::slice::from_ref(&live)), seen_split(30));
    let writes = plan(&Kuma, &release, &wish(30), std::slice::from_ref(&live)).expect("planned");
    assert_eq!(patched(&writes), json!({"metadata": {"annotations": {MADE_BY: "shop/frontend"}}}));
    let objects = applied(&[live], &writes);
    assert_eq!(finalize(&Kuma, &release, &objects), Ok(vec![Write::Delete { id: plain(&release) }]));
}

#[rstest]
#[case::of_another_namespace(&in_stage(), json!({}))]
#[case::kept_by_kubectl(&release(), json!({"metadata": {"annotations": {LAST_APPLIED: "{}"}}}))]
#[case::taken_over_before(&release(), json!({"metadata": {"annotations": {ORIGINAL: "{}"}}}))]
#[case::not_kept_from_flux(&release(), json!({"metadata": {"annotations": {FLUX[0]: null}}}))]
fn no_other_route_is_adopted(#[case] of: &Release, #[case] change: Value) {
    let live = with(&of_flagger(of, 30), change);
    let writes = plan(&Kuma, &release(), &wish(30), std::slice::from_ref(&live)).expect("planned");
    let objects = applied(&[live], &writes);
    assert_eq!(objects[0]["metadata"]["annotations"].get(MADE_BY), None, "{:#}", objects[0]);
}

#[rstest]
#[case::sum_of_ten(json!([["frontend-primary_shop_svc_80", 9], ["frontend-canary_shop_svc_80", 1]]), Some(10))]
#[case::another_port(json!([["frontend-primary_shop_svc_8080", 90], ["frontend-canary_shop_svc_8080", 10]]), Some(10))]
#[case::no_weight_is_zero(json!([["frontend-primary_shop_svc_80", 100], ["frontend-canary_shop_svc_80", null]]), Some(0))]
#[case::both_zero(json!([["frontend-primary_shop_svc_80", 0], ["frontend-canary_shop_svc_80", 0]]), None)]
#[case::another_namespace(json!([["frontend-primary_shops_svc_80", 90], ["frontend-canary_shop_svc_80", 10]]), None)]
#[case::a_third(json!([["frontend-primary_shop_svc_80", 80], ["frontend-canary_shop_svc_80", 10], ["x", 10]]), None)]
#[case::no_number(json!([["frontend-primary_shop_svc_80", "90"], ["frontend-canary_shop_svc_80", 10]]), None)]
#[case::below_zero(json!([["frontend-primary_shop_svc_80", 110], ["frontend-canary_shop_svc_80", -10]]), None)]
fn what_a_route_says_is_read_by_the_sum_of_its_weights(#[case] split: Value, #[case] canary: Option<u32>) {
    let split: Vec<Value> = split
        .as_array()
        .expect("a split")
        .iter()
        .map(|entry| json!({"destination": {"kuma.io/service": entry[0]}, "weight": entry[1]}))
        .collect();
    let live = with(&made(&release(), 0), json!({"spec": {"conf": {"split": split}}}));
    match (state(&Kuma, &release(), &[live]), canary) {
        (Err(Error::Object(why)), None) => {
            let text = "TrafficRoute frontend does not divide the requests between frontend-primary and \
                        frontend-canary alone";
            assert_eq!(why, text);
        }
        (found, expected) => assert_eq!(found, seen_split(expected.expect("a share"))),
    }
}

#[rstest]
#[case::no_conf(json!({"spec": {"conf": null}}))]
#[case::no_spec(json!({"spec": null}))]
#[case::no_list(json!({"spec": {"conf": {"split": {"a": 1}}}}))]
#[case::no_objects(json!({"spec": {"conf": {"split": [1, null]}, "destinations": "all"}}))]
fn a_route_of_an_odd_shape_is_an_error_and_no_crash(#[case] shape: Value) {
    let live = with(&made(&release(), 0), shape);
    assert!(matches!(state(&Kuma, &release(), std::slice::from_ref(&live)), Err(Error::Object(_))));
    assert!(plan(&Kuma, &release(), &wish(0), &[live]).is_ok());
}

#[test]
fn nothing_beside_the_split_takes_requests_away_from_it() {
    let aside = json!({"spec": {"conf": {
        "http": [{"match": {"path": {"prefix": "/"}}, "destination": {"kuma.io/service": "x_shop_svc_80"}}],
        "loadBalancer": {"random": {}},
    }}});
    let live = with(&made(&release(), 20), aside);
    let writes = plan(&Kuma, &release(), &wish(20), &[live]).expect("planned");
    assert_eq!(patched(&writes), json!({"spec": {"conf": {"http": null}}}));
}
