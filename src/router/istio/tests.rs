//! Istio in front of an online shop's frontend: what its cases under `tests/data/routers/istio` cannot say. They show
//! whole objects; here are tables, single writes and refusals.

use std::slice::from_ref;

use rstest::rstest;

use super::*;
use crate::api::service::CanaryService;
use crate::model::object::Write;
use crate::router::marks::{LAST_APPLIED, ORIGINAL};
use crate::router::testing::{self, applied, foreign, patched, service, serving, with};

mod affinity;
mod take_over;

/// The shop's frontend with a service as the manifest says.
fn shop(manifest: Value) -> Release {
    let mut base = json!({"port": 80, "targetPort": 8080});
    json_patch::merge(&mut base, &manifest);
    serving(service(base))
}

fn ab(matches: Value, manifest: Value) -> Release {
    let mut release = shop(manifest);
    release.analysis.matches = serde_json::from_value(matches).expect("matches");
    release
}

fn wish(canary: u32) -> RouteWish {
    RouteWish { split: Split::canary_gets(canary), ..RouteWish::default() }
}

fn mirrored() -> RouteWish {
    RouteWish { mirror: true, ..wish(0) }
}

fn plan(release: &Release, wish: &RouteWish, objects: &[Value]) -> Vec<Write> {
    testing::plan(&Istio, release, wish, objects).expect("writes")
}

/// All that is there after the wish was planned on nothing.
fn fresh(release: &Release, wish: &RouteWish) -> Vec<Value> {
    applied(&[], &plan(release, wish, &[]))
}

fn virtual_service_of(objects: &[Value]) -> Value {
    objects.iter().find(|object| object["kind"] == "VirtualService").expect("a VirtualService").clone()
}

fn routing_of(release: &Release, wish: &RouteWish) -> Value {
    virtual_service_of(&fresh(release, wish))["spec"].clone()
}

fn http_of(release: &Release, wish: &RouteWish) -> Value {
    routing_of(release, wish)["http"].clone()
}

fn state(release: &Release, objects: &[Value]) -> Result<Option<RouteState>, Error> {
    testing::state(&Istio, release, objects)
}

fn split(primary: u32, canary: u32) -> Value {
    json!([
        {"destination": {"host": "frontend-primary"}, "weight": primary},
        {"destination": {"host": "frontend-canary"}, "weight": canary},
    ])
}

// spec: 03/IST-02 03/IST-03 03/IST-04 03/IST-05
#[rstest]
#[case::none(json!({}), json!(["frontend"]), json!(["mesh"]))]
#[case::host(json!({"hosts": ["a.example.com"]}), json!(["a.example.com", "frontend"]), json!(["mesh"]))]
#[case::apex_is_there(json!({"hosts": ["frontend", "b"]}), json!(["frontend", "b"]), json!(["mesh"]))]
#[case::all_hosts(json!({"hosts": ["*"], "gateways": ["ns/gw"]}), json!(["*"]), json!(["ns/gw"]))]
#[case::empty_lists(json!({"hosts": [], "gateways": []}), json!(["frontend"]), json!(["mesh"]))]
#[case::another_apex(json!({"name": "web", "gateways": ["ns/gw"]}), json!(["web"]), json!(["ns/gw"]))]
fn hosts_and_gateways(#[case] manifest: Value, #[case] hosts: Value, #[case] gateways: Value) {
    let spec = routing_of(&shop(manifest), &wish(0));
    assert_eq!((&spec["hosts"], &spec["gateways"]), (&hosts, &gateways));
}

// spec: 03/IST-06 03/IST-07 03/IST-08
#[rstest]
#[case::gateway(json!({"portDiscovery": true, "gateways": ["ns/gw"]}), true)]
#[case::mesh(json!({"portDiscovery": true, "gateways": ["mesh"]}), false)]
#[case::mesh_first(json!({"portDiscovery": true, "gateways": ["mesh", "ns/gw"]}), false)]
#[case::no_gateway(json!({"portDiscovery": true}), false)]
#[case::one_port(json!({"gateways": ["ns/gw"]}), false)]
#[case::delegate(json!({"portDiscovery": true, "delegation": true}), true)]
#[case::delegate_with_one_port(json!({"delegation": true}), false)]
fn a_destination_names_its_port_where_the_mesh_cannot_know_it(#[case] manifest: Value, #[case] named: bool) {
    let expected = if named { json!({"number": 80}) } else { json!(null) };
    let http = http_of(&shop(manifest), &mirrored());
    assert_eq!(http[0]["route"][0]["destination"]["port"], expected);
    assert_eq!(http[0]["route"][1]["destination"]["port"], expected);
    assert_eq!(http[0]["mirror"]["port"], expected);
}

// spec: 03/IST-09
#[rstest]
#[case(json!({"delegation": true, "hosts": ["a"]}))]
#[case(json!({"delegation": true, "gateways": ["mesh"]}))]
fn a_delegate_with_hosts_or_gateways_is_refused(#[case] manifest: Value) {
    let error = testing::plan(&Istio, &shop(manifest), &wish(0), &[]).expect_err("an error");
    assert!(
        matches!(&error, Error::Unsupported(problem) if problem.field == "spec.service.delegation"),
        "{error}"
    );
}

#[test]
fn a_destination_rule_keeps_what_is_not_ours() {
    let release = shop(json!({"trafficPolicy": {"tls": {"mode": "ISTIO_MUTUAL"}}}));
    let mut objects = fresh(&release, &wish(0));
    let others =
        json!({"metadata": {"labels": {"team": "web"}}, "spec": {"subsets": [{"name": "v1"}], "host": "x"}});
    objects[0] = with(&objects[0], others);
    let writes = plan(&release, &wish(0), &objects);
    assert_eq!(patched(&writes), json!({"spec": {"host": "frontend-canary"}}));

    // A rule that its user made keeps its policy as long as the manifest has none.
    objects[0] = foreign(&objects[0]);
    let writes = plan(&shop(json!({})), &wish(0), &objects);
    let rules = applied(&objects, &writes);
    assert_eq!(rules[0]["spec"]["trafficPolicy"], json!({"tls": {"mode": "ISTIO_MUTUAL"}}));
}

#[test]
fn a_step_is_one_write_of_the_rules_alone() {
    let release = shop(json!({}));
    let writes = plan(&release, &wish(10), &fresh(&release, &wish(5)));
    assert_eq!(patched(&writes), json!({"spec": {"http": [{"route": split(90, 10)}]}}));
}

// spec: 03/IST-27 03/IST-23 03/ORD-04
#[rstest]
#[case::gateway(json!({"spec": {"gateways": ["mesh", "ns/other"]}}))]
#[case::host(json!({"spec": {"hosts": ["other"]}}))]
#[case::rule(json!({"spec": {"http": [
    {"fault": {"abort": {"httpStatus": 500}}, "route": split(70, 30)},
]}}))]
#[case::another_rule(json!({"spec": {"http": [{"route": split(70, 30)}, {"route": split(70, 30)}]}}))]
#[case::tcp(json!({"spec": {"tcp": [{"route": [{"destination": {"host": "x"}}]}]}}))]
#[case::mark(json!({"metadata": {"annotations": {"helm.toolkit.fluxcd.io/driftDetection": null}}}))]
fn drift_is_undone_and_the_weights_are_kept(#[case] drift: Value) {
    let release = shop(json!({}));
    let objects = fresh(&release, &wish(30));
    let mut drifted = objects.clone();
    drifted[2] = with(&drifted[2], drift);
    let seen_split = state(&release, &drifted).expect("a state").expect("objects").split;
    assert_eq!(seen_split.canary(), 30);
    let writes = plan(&release, &RouteWish { split: seen_split, ..RouteWish::default() }, &drifted);
    assert_eq!(applied(&drifted, &writes), objects);
}

#[test]
fn an_edit_of_the_manifest_in_the_middle_of_a_release_keeps_the_weights() {
    let objects = fresh(&shop(json!({})), &wish(30));
    let writes = plan(&shop(json!({"timeout": "5s", "hosts": ["a"]})), &wish(30), &objects);
    assert_eq!(
        patched(&writes),
        json!({"spec": {"hosts": ["a", "frontend"], "http": [{"route": split(70, 30), "timeout": "5s"}]}})
    );
}

// spec: 03/IST-30
#[rstest]
#[case::empty_match(json!({"match": []}))]
#[case::empty_lists_inside(json!({"corsPolicy": {"allowMethods": []}, "headers": {}, "retries": null}))]
fn what_means_nothing_is_not_written_again_and_again(#[case] manifest: Value) {
    let release = shop(manifest);
    let objects = fresh(&release, &wish(30));
    assert_eq!(plan(&release, &wish(30), &objects), []);
    let bare = fresh(&shop(json!({})), &wish(30));
    assert_eq!(plan(&release, &wish(30), &bare), []);
}

// spec: 03/IST-28
#[test]
fn what_is_not_ours_stays() {
    let release = shop(json!({}));
    let mut objects = fresh(&release, &wish(0));
    let others = json!({
        "metadata": {"labels": {"argocd.argoproj.io/instance": "shop"}, "annotations": {"meta.helm.sh/release-name": "shop"}},
        "spec": {"exportTo": ["."], "tls": [{"match": [{"sniHosts": ["x"]}]}]},
    });
    objects[2] = with(&objects[2], others);
    assert_eq!(plan(&release, &wish(0), &objects), [], "and is no drift");
    let stepped = applied(&objects, &plan(&release, &wish(5), &objects));
    assert_eq!(stepped[2]["metadata"], objects[2]["metadata"]);
    assert_eq!(stepped[2]["spec"]["exportTo"], json!(["."]));
    assert_eq!(stepped[2]["spec"]["tls"], objects[2]["spec"]["tls"]);
}

// spec: 03/IST-21
#[test]
fn metadata_of_the_apex_follows_the_manifest() {
    let objects = fresh(&shop(json!({"apex": {"annotations": {"c": "d"}}})), &wish(0));
    let changed = shop(json!({"apex": {"annotations": {"c": "e"}}}));
    assert_eq!(
        patched(&plan(&changed, &wish(0), &objects)),
        json!({"metadata": {"annotations": {"c": "e"}}})
    );
    assert_eq!(virtual_service_of(&fresh(&shop(json!({})), &wish(0)))["metadata"]["labels"], json!(null));
}

fn no_routes_text() -> String {
    "VirtualService frontend.shop does not contain routes for frontend-primary and frontend-canary".into()
}

// spec: 03/IST-19
#[rstest]
#[case::no_rules(json!(null), no_routes_text())]
#[case::other_hosts(json!([{"route": [{"destination": {"host": "frontend"}, "weight": 100}]}]), no_routes_text())]
#[case::only_primary(json!([{"route": [{"destination": {"host": "frontend-primary"}}]}]), no_routes_text())]
#[case::nothing(json!([{"route": split(0, 0)}]), no_routes_text())]
#[case::no_weights(json!([{"route": [{"destination": {"host": "frontend-primary"}}, {"destination": {"host": "frontend-canary"}}]}]), no_routes_text())]
#[case::too_much(json!([{"route": split(60, 60)}]), "VirtualService frontend.shop routes 60 to frontend-primary and 60 to frontend-canary, which is not 100 in sum".into())]
#[case::nonsense(json!("x"), no_routes_text())]
fn an_object_of_ours_that_does_not_route_to_both_sides_is_an_error(
    #[case] http: Value,
    #[case] expected: String,
) {
    let release = shop(json!({}));
    let mut objects = fresh(&release, &wish(0));
    objects[2]["spec"]["http"] = http;
    assert_eq!(state(&release, &objects), Err(Error::Object(expected)));
    // And is repaired.
    let repaired = applied(&objects, &plan(&release, &wish(20), &objects));
    assert_eq!(state(&release, &repaired).expect("a state").expect("objects").split.canary(), 20);
}

#[test]
fn without_objects_there_is_no_state() {
    assert_eq!(state(&shop(json!({})), &[]), Ok(None));
}

#[rstest]
#[case::a_weight_of_zero_left_out(json!([{"destination": {"host": "frontend-primary"}, "weight": 100}, {"destination": {"host": "frontend-canary"}}]), 0)]
#[case::a_single_destination(json!([{"destination": {"host": "frontend-canary"}}]), 100)]
fn weights_that_were_left_out_are_understood(#[case] route: Value, #[case] canary: u32) {
    let release = shop(json!({}));
    let mut objects = fresh(&release, &wish(0));
    objects[2]["spec"]["http"] = json!([{"route": route}]);
    assert_eq!(state(&release, &objects).expect("a state").expect("objects").split.canary(), canary);
}

#[test]
fn requests_that_match_stay_on_the_primary_before_and_after_a_run() {
    let release = ab(json!([{"headers": {"x-canary": {"exact": "a"}}}]), json!({}));
    let objects = fresh(&release, &wish(0));
    let http = &virtual_service_of(&objects)["spec"]["http"];
    assert_eq!(http[0]["route"], split(100, 0));
    assert_eq!(state(&release, &objects).expect("a state").expect("objects").split, Split::PRIMARY);
}

// spec: 03/UNS-02
#[rstest]
#[case::empty(json!([{"headers": {"x": {"exact": "a"}}}, {}]), "spec.analysis.match[1]: has no condition")]
#[case::empty_maps(json!([{"headers": {}, "sourceLabels": {}}]), "spec.analysis.match[0]: has no condition")]
#[case::suffix(json!([{"headers": {"x": {"suffix": "a"}}}]), "spec.analysis.match[0].headers.x.suffix: ")]
fn a_condition_that_istio_cannot_check_is_refused(#[case] matches: Value, #[case] expected: &str) {
    for manifest in [json!({}), json!({"match": [{"uri": {"prefix": "/"}}]})] {
        let release = ab(matches.clone(), manifest);
        let error = testing::plan(&Istio, &release, &wish(100), &[]).expect_err("an error");
        assert!(
            matches!(&error, Error::Unsupported(problem) if problem.to_string().starts_with(expected)),
            "{error}"
        );
    }
}

// spec: 03/IST-18
#[test]
fn a_change_of_protocol_leaves_no_old_rules() {
    let objects = fresh(&shop(json!({"appProtocol": "TCP", "timeout": "5s"})), &wish(30));
    assert_eq!(virtual_service_of(&objects)["spec"]["tcp"], json!([{"route": split(70, 30)}]));
    let http = shop(json!({}));
    let changed = applied(&objects, &plan(&http, &wish(30), &objects));
    assert_eq!(virtual_service_of(&changed)["spec"].get("tcp"), None);
}

// spec: 03/UNS-01
#[test]
fn connections_cannot_be_matched() {
    let release = ab(json!([{"headers": {"x": {"exact": "a"}}}]), json!({"appProtocol": "tcp"}));
    let error = testing::plan(&Istio, &release, &wish(100), &[]).expect_err("an error");
    assert!(matches!(error, Error::Unsupported(_)));
    assert!(!Istio.capabilities(&release).matching);
}

#[rstest]
#[case::http(shop(json!({})), [true, true, true, true, true])]
#[case::matched_requests(ab(json!([{"headers": {"x": {"exact": "a"}}}]), json!({})), [true, true, false, false, false])]
#[case::tcp(shop(json!({"appProtocol": "tcp"})), [true, false, false, false, false])]
fn capabilities_follow_the_manifest(#[case] release: Release, #[case] expected: [bool; 5]) {
    let can = Istio.capabilities(&release);
    let found = [can.weights, can.matching, can.mirror_weighted, can.mirror_blue_green, can.session_affinity];
    assert_eq!(found, expected);
}

#[test]
fn nonsense_does_no_harm() {
    let live = json!({
        "apiVersion": "networking.istio.io/v1beta1", "kind": "VirtualService",
        "metadata": {"name": "frontend", "namespace": "shop", "annotations": 7, "ownerReferences": [1]},
        "spec": {"http": {"a": 1}, "hosts": 3},
    });
    let release = shop(json!({"match": ["x", null, {"headers": 3}]}));
    let repaired = applied(from_ref(&live), &plan(&release, &wish(10), from_ref(&live)));
    assert_eq!(state(&release, &repaired).expect("a state").expect("objects").split.canary(), 10);
    let mut release =
        ab(json!([{"headers": {"x": {"exact": "a"}}}]), json!({"match": ["x", null, {"headers": 3}]}));
    release.service = CanaryService { matches: release.service.matches.clone(), ..CanaryService::default() };
    assert!(testing::plan(&Istio, &release, &wish(10), &[]).is_ok());
}
