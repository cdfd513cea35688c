//! What a TrafficSplit says, and what of a manifest cannot be brought into one.

use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::model::traffic::Split;
use crate::router::registry;
use crate::router::testing::{applied, finalize, foreign, patched, plan, service, serving, state, with};

/// A release by a provider as it is written, with this `spec.service`.
fn release(provider: &str, manifest: Value) -> Release {
    let mut release = serving(service(manifest));
    release.provider = Provider::parse(provider).expect("a provider");
    release.provider_name = provider.to_owned();
    release
}

fn plain(provider: &str) -> Release {
    release(provider, json!({"port": 80}))
}

fn wish(canary: u32) -> RouteWish {
    RouteWish { split: Split::canary_gets(canary), ..RouteWish::default() }
}

fn seen_split(canary: u32) -> Result<Option<RouteState>, Error> {
    Ok(Some(RouteState { split: Split::canary_gets(canary), mirrored: false }))
}

/// The split as it is made.
fn made(release: &Release, canary: u32) -> Value {
    let writes = plan(&Smi, release, &wish(canary), &[]).expect("planned");
    applied(&[], &writes).remove(0)
}

#[rstest]
#[case::linkerd("linkerd", "v1alpha1", json!("0"), json!("100"))]
#[case::osm("osm", "v1alpha2", json!(0), json!(100))]
#[case::v1alpha1("smi:v1alpha1", "v1alpha1", json!("0"), json!("100"))]
#[case::v1alpha2("smi:v1alpha2", "v1alpha2", json!(0), json!(100))]
#[case::v1alpha3("smi:v1alpha3", "v1alpha3", json!(0), json!(100))]
#[case::of_the_flag("smi:v1alpha3:istio", "v1alpha3", json!(0), json!(100))]
fn each_version_has_its_form_of_a_weight_also_of_zero(
    #[case] provider: &str,
    #[case] version: &str,
    #[case] nothing: Value,
    #[case] all: Value,
) {
    // spec: 03/SMI-01 03/SMI-02 03/SMI-03
    let split = made(&plain(provider), 0);
    assert_eq!(split["apiVersion"], format!("split.smi-spec.io/{version}"));
    assert_eq!(
        split["spec"],
        json!({
            "service": "frontend",
            "backends": [
                {"service": "frontend-canary", "weight": nothing},
                {"service": "frontend-primary", "weight": all},
            ],
        })
    );
}

// spec: 03/SMI-04
#[rstest]
#[case::first(json!({"port": 80, "hosts": ["x", "y"]}), "x")]
#[case::none(json!({"port": 80, "hosts": []}), "frontend")]
#[case::empty(json!({"port": 80, "hosts": [""]}), "frontend")]
#[case::apex(json!({"port": 80, "name": "web"}), "web")]
fn the_requests_to_the_first_host_or_to_the_apex_are_divided(#[case] service: Value, #[case] root: &str) {
    assert_eq!(made(&release("smi:v1alpha2", service), 0)["spec"]["service"], root);
}

// spec: 03/SMI-06
#[rstest]
#[case("linkerd")]
#[case("osm")]
#[case("smi:v1alpha3")]
fn flux_leaves_the_split_alone_and_metadata_of_the_apex_stays_on_the_service(#[case] provider: &str) {
    let apex = json!({"port": 80, "apex": {"labels": {"team": "web"}, "annotations": {"note": "x"}}});
    let metadata = made(&release(provider, apex), 0)["metadata"].clone();
    let marks = json!({
        "kustomize.toolkit.fluxcd.io/reconcile": "disabled",
        "helm.toolkit.fluxcd.io/driftDetection": "disabled",
    });
    assert_eq!((&metadata["annotations"], &metadata["labels"]), (&marks, &Value::Null));
}

#[rstest]
#[case::percent(json!([["frontend-canary", 10], ["frontend-primary", 90]]), Some(10))]
#[case::texts(json!([["frontend-canary", "10"], ["frontend-primary", "90"]]), Some(10))]
#[case::thousandths(json!([["frontend-canary", "100m"], ["frontend-primary", "900m"]]), Some(10))]
#[case::both_forms(json!([["frontend-canary", "500m"], ["frontend-primary", 1]]), Some(34))]
#[case::other_order(json!([["frontend-primary", "1"], ["frontend-canary", "3"]]), Some(75))]
#[case::named_twice(json!([["frontend-primary", 80], ["frontend-canary", 10], ["frontend-canary", 10]]), Some(20))]
#[case::a_third_without_a_share(json!([["frontend-primary", 1], ["frontend-canary", 0], ["x", 0]]), Some(0))]
#[case::a_third(json!([["frontend-primary", 80], ["frontend-canary", 10], ["x", 10]]), None)]
#[case::both_zero(json!([["frontend-primary", 0], ["frontend-canary", "0"]]), None)]
#[case::one_side(json!([["frontend-primary", 100]]), None)]
#[case::no_weight(json!([["frontend-primary", 100], ["frontend-canary", null]]), None)]
#[case::no_quantity(json!([["frontend-primary", 100], ["frontend-canary", "much"]]), None)]
#[case::below_zero(json!([["frontend-primary", 110], ["frontend-canary", -10]]), None)]
#[case::huge(json!([["frontend-primary", "9e27"], ["frontend-canary", "9e27"]]), None)]
#[case::nothing(json!([]), None)]
fn what_a_split_says_is_read_by_the_sum_of_its_weights(
    #[case] backends: Value,
    #[case] canary: Option<u32>,
    #[values("smi:v1alpha1", "smi:v1alpha2", "smi:v1alpha3")] provider: &str,
) {
    // spec: 03/SMI-05
    let release = plain(provider);
    let backends: Vec<Value> = backends
        .as_array()
        .expect("backends")
        .iter()
        .map(|backend| json!({"service": backend[0], "weight": backend[1]}))
        .collect();
    let live = with(&made(&release, 0), json!({"spec": {"backends": backends}}));
    match (state(&Smi, &release, &[live]), canary) {
        (Err(Error::Object(why)), None) => {
            let text = "TrafficSplit frontend.shop does not divide the requests between frontend-primary and \
                        frontend-canary alone";
            assert_eq!(why, text);
        }
        (found, expected) => assert_eq!(found, seen_split(expected.expect("a share"))),
    }
}

#[rstest]
#[case::no_spec(json!({"spec": null}))]
#[case::no_list(json!({"spec": {"backends": "all"}}))]
#[case::no_objects(json!({"spec": {"backends": [1, null, []]}}))]
fn a_split_of_an_odd_shape_is_an_error_and_no_crash(#[case] shape: Value) {
    let release = plain("linkerd");
    let live = with(&made(&release, 0), shape);
    assert!(matches!(state(&Smi, &release, std::slice::from_ref(&live)), Err(Error::Object(_))));
    // A user's has not been taken over yet.
    assert_eq!(state(&Smi, &release, &[foreign(&live)]), Ok(None));
    assert!(plan(&Smi, &release, &wish(0), &[live]).is_ok());
}

#[test]
fn the_old_form_of_a_weight_is_rewritten_once_and_the_share_stays() {
    let release = plain("smi:v1alpha1");
    let old = json!({"spec": {"backends": [
        {"service": "frontend-primary", "weight": "900m"},
        {"service": "frontend-canary", "weight": "100m"},
    ]}});
    let live = with(&made(&release, 0), old);
    let writes = plan(&Smi, &release, &wish(10), std::slice::from_ref(&live)).expect("planned");
    let backends = json!([
        {"service": "frontend-primary", "weight": "90"},
        {"service": "frontend-canary", "weight": "10"},
    ]);
    assert_eq!(patched(&writes), json!({"spec": {"backends": backends}}));
    assert_eq!(plan(&Smi, &release, &wish(10), &applied(&[live], &writes)), Ok(vec![]));
}

#[test]
fn a_split_for_some_requests_becomes_one_for_all() {
    let release = plain("smi:v1alpha3");
    let some = json!({"spec": {"matches": [{"kind": "HTTPRouteGroup", "name": "insiders"}]}});
    let live = with(&made(&release, 20), some);
    let writes = plan(&Smi, &release, &wish(20), &[live]).expect("planned");
    assert_eq!(patched(&writes), json!({"spec": {"matches": null}}));
}

// spec: 03/SEL-07
#[test]
fn the_adapter_of_istio_is_told_the_gateways_and_told_so_when_they_go() {
    let with_gateways = release("smi:v1alpha1:istio", json!({"port": 80, "gateways": ["a/b"]}));
    let split = made(&with_gateways, 0);
    assert_eq!(split["metadata"]["annotations"][GATEWAYS], r#"["a/b"]"#);

    let without = plain("smi:v1alpha1:istio");
    let writes = plan(&Smi, &without, &wish(0), std::slice::from_ref(&split)).expect("planned");
    assert_eq!(patched(&writes), json!({"metadata": {"annotations": {GATEWAYS: null}}}));
    // What a user wrote on a split of their own stays.
    assert_eq!(plan(&Smi, &without, &wish(0), &[foreign(&split)]), Ok(vec![]));
}

#[rstest]
#[case::another_mesh("smi:v1alpha1:other", json!({"gateways": ["a"]}), &["spec.service.gateways: has no effect: only -mesh-provider=smi:v1alpha1:istio hands it on, set that or remove it"])]
#[case::no_mesh("smi:v1alpha2", json!({"gateways": ["a"]}), &["spec.service.gateways: has no effect: only -mesh-provider=smi:v1alpha2:istio hands it on, set that or remove it"])]
#[case::istio("smi:v1alpha2:istio", json!({"gateways": ["a"]}), &[])]
#[case::no_gateway("smi:v1alpha2", json!({"gateways": []}), &[])]
#[case::many_hosts("osm", json!({"hosts": ["a", "b"]}), &["spec.service.hosts: only a is used, since a TrafficSplit divides the requests to one: remove the others"])]
#[case::one_host("osm", json!({"hosts": ["a"]}), &[])]
fn what_is_left_out_is_a_warning(#[case] provider: &str, #[case] service: Value, #[case] expected: &[&str]) {
    let mut service = service;
    service["port"] = json!(80);
    let release = release(provider, service);
    let found: Vec<String> = Smi.warnings(&release).iter().map(ToString::to_string).collect();
    assert_eq!(found, expected);
}

#[rstest]
#[case("linkerd", true)]
#[case("osm", true)]
#[case("smi:v1alpha1", false)]
fn gateways_are_warned_of_once(#[case] provider: &str, #[case] by_field: bool) {
    let release = release(provider, json!({"port": 80, "gateways": ["a"]}));
    let facts = registry::facts(&release, &crate::model::release::Settings::default()).expect("built");
    assert_eq!(
        (facts.ignored.contains(&ServiceField::Gateways), facts.warnings.is_empty()),
        (by_field, by_field)
    );
}

#[test]
fn the_users_split_comes_back() {
    let release = plain("linkerd");
    let users = json!({
        "apiVersion": "split.smi-spec.io/v1alpha1", "kind": "TrafficSplit",
        "metadata": {"name": "frontend", "namespace": "shop", "resourceVersion": "1"},
        "spec": {"service": "frontend", "backends": [{"service": "frontend", "weight": "1"}, {"service": "b", "weight": "1"}]},
    });
    assert_eq!(state(&Smi, &release, std::slice::from_ref(&users)), Ok(None));
    let taken = applied(
        std::slice::from_ref(&users),
        &plan(&Smi, &release, &wish(30), std::slice::from_ref(&users)).expect("planned"),
    );
    assert_eq!(state(&Smi, &release, &taken), seen_split(30));
    let back = applied(&taken, &finalize(&Smi, &release, &taken).expect("planned"));
    assert_eq!(back, [users]);
}
