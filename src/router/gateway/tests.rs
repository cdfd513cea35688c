//! The Gateway API in front of an online shop's frontend.

use std::slice::from_ref;

use rstest::rstest;

use super::*;
use crate::api::analysis::SessionAffinity;
use crate::model::object::Write;
use crate::model::traffic::Cookies;
use crate::router::testing::{self, applied, foreign, patched, serving, with};

mod accepted;
mod proxy;
mod refused;
mod requests;
mod take_over;

const ROUTER: &dyn Router = V1.router;
const BETA: &dyn Router = V1BETA1.router;

/// The shop's frontend behind the Gateway `public`, with a service as the manifest says.
fn shop(manifest: Value) -> Release {
    let mut base = json!({"port": 80, "gatewayRefs": [{"name": "public", "namespace": "edge"}]});
    json_patch::merge(&mut base, &manifest);
    serving(testing::service(base))
}

fn ab(matches: Value, manifest: Value) -> Release {
    let mut release = shop(manifest);
    release.analysis.matches = serde_json::from_value(matches).expect("matches");
    release
}

fn insiders() -> Value {
    json!([{"headers": {"x-canary": {"exact": "insider"}}}])
}

fn sticky(primary: Option<&str>, manifest: Value) -> Release {
    let mut release = shop(manifest);
    release.analysis.session_affinity = Some(SessionAffinity {
        cookie_name: "ck".into(),
        primary_cookie_name: primary.map(Into::into),
        max_age: Some(300),
        ..SessionAffinity::default()
    });
    release
}

fn wish(canary: u32) -> RouteWish {
    RouteWish { split: Split::canary_gets(canary), ..RouteWish::default() }
}

fn mirrored() -> RouteWish {
    RouteWish { mirror: true, ..wish(0) }
}

fn with_cookies(canary: u32, cookies: [Option<&str>; 3]) -> RouteWish {
    let [canary_cookie, primary, previous] = cookies.map(|cookie| cookie.map(ToOwned::to_owned));
    RouteWish { cookies: Cookies { canary: canary_cookie, primary, previous }, ..wish(canary) }
}

const CANARY_COOKIE: &str = "ck=AbCdEfGhIj";
const PRIMARY_COOKIE: &str = "pk=KlMnOpQrSt";

fn running() -> RouteWish {
    with_cookies(10, [Some(CANARY_COOKIE), Some(PRIMARY_COOKIE), None])
}

fn ended() -> RouteWish {
    with_cookies(0, [None, None, Some(CANARY_COOKIE)])
}

fn plan(release: &Release, wish: &RouteWish, objects: &[Value]) -> Vec<Write> {
    testing::plan(ROUTER, release, wish, objects).expect("writes")
}

/// The route after the wish was planned on what is there.
fn onto(objects: &[Value], release: &Release, wish: &RouteWish) -> Value {
    let objects = applied(objects, &plan(release, wish, objects));
    assert_eq!(plan(release, wish, &objects), [], "once is enough");
    objects.into_iter().next().expect("a route")
}

fn route_of(release: &Release, wish: &RouteWish) -> Value {
    onto(&[], release, wish)
}

fn rules_of(release: &Release, wish: &RouteWish) -> Vec<Value> {
    live::rules(&route_of(release, wish)).to_vec()
}

fn state(release: &Release, route: &Value) -> Result<Option<RouteState>, Error> {
    testing::state(ROUTER, release, from_ref(route))
}

/// Where a route that is told this sends the requests.
fn read(release: &Release, route: &Value) -> RouteState {
    state(release, route).expect("a state").expect("routes")
}

fn problems(release: &Release) -> Vec<String> {
    let problems = ROUTER.problems(release, &Settings::default());
    problems.into_iter().map(|problem| format!("{}: {}", problem.field, problem.message)).collect()
}

fn backend(name: &str, weight: u32) -> Value {
    json!({"group": "", "kind": "Service", "name": name, "port": 80, "weight": weight})
}

fn split(primary: u32, canary: u32) -> Value {
    json!([backend("frontend-primary", primary), backend("frontend-canary", canary)])
}

fn everything() -> Value {
    json!([{"path": {"type": "PathPrefix", "value": "/"}}])
}

// spec: 03/GW-02 03/GW-23
#[test]
fn a_route_divides_the_requests_between_the_two_services() {
    let release = shop(json!({}));
    let route = route_of(&release, &wish(10));
    assert_eq!(
        route["spec"],
        json!({
            "parentRefs": [{
                "group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "public", "namespace": "edge",
            }],
            "rules": [{"matches": everything(), "backendRefs": split(90, 10)}],
        })
    );
    assert_eq!(read(&release, &route), RouteState { split: Split::canary_gets(10), mirrored: false });
    let refs = json!([{"group": "core", "kind": "Service", "name": "frontend", "port": 80}]);
    assert_eq!(route_of(&shop(json!({"gatewayRefs": refs})), &wish(0))["spec"]["parentRefs"], refs);
}

// spec: 03/SEL-02
#[rstest]
#[case(Provider::GatewayApiV1, "gateway.networking.k8s.io/v1")]
#[case(Provider::GatewayApiV1Beta1, "gateway.networking.k8s.io/v1beta1")]
fn each_version_writes_its_own_objects(#[case] provider: Provider, #[case] version: &str) {
    let router = super::super::registry::router(provider).expect("a router");
    let writes = testing::plan(router, &shop(json!({})), &wish(0), &[]).expect("writes");
    assert_eq!(applied(&[], &writes)[0]["apiVersion"], version);
}

// spec: 03/GW-11
#[test]
fn only_requests_that_match_go_to_the_canary() {
    let release = ab(insiders(), json!({}));
    let rules = rules_of(&release, &wish(100));
    assert_eq!(rules[0]["backendRefs"], split(0, 100));
    assert_eq!(
        rules[0]["matches"],
        json!([{
            "path": {"type": "PathPrefix", "value": "/"},
            "headers": [{"type": "Exact", "name": "x-canary", "value": "insider"}],
        }])
    );
    assert_eq!(rules[1], json!({"matches": everything(), "backendRefs": [backend("frontend-primary", 100)]}));
    assert_eq!(read(&release, &route_of(&release, &wish(100))).split, Split::CANARY);
}

// spec: 03/GW-12 03/GW-13 03/UNS-03
#[test]
fn copies_of_requests_go_to_the_canary_and_it_is_read_that_they_do() {
    let release = shop(json!({"mirror": [{"backendRef": {"name": "audit", "port": 9000}}]}));
    let copied = route_of(&release, &mirrored());
    let mirror = |name: &str, port: u16| {
        let backend = json!({"group": "", "kind": "Service", "name": name, "port": port});
        json!({"type": "RequestMirror", "requestMirror": {"backendRef": backend}})
    };
    // spec: 03/GW-06
    assert_eq!(
        copied["spec"]["rules"][0]["filters"],
        json!([mirror("audit", 9000), mirror("frontend-canary", 80)])
    );
    assert_eq!(read(&release, &copied), RouteState { split: Split::PRIMARY, mirrored: true });
    let after = onto(from_ref(&copied), &release, &wish(10));
    assert_eq!(after["spec"]["rules"][0]["filters"], json!([mirror("audit", 9000)]));
    assert!(!read(&release, &after).mirrored, "the static mirror is no mirror of the release");
}

#[test]
fn a_share_of_the_copies_is_wished_once_also_where_the_api_drops_it() {
    let mut release = shop(json!({}));
    release.analysis.mirror_weight = Some(25);
    let route = route_of(&release, &mirrored());
    assert_eq!(route["spec"]["rules"][0]["filters"][0]["requestMirror"]["percent"], 25);
    let mut older = route;
    let mirror = &mut older["spec"]["rules"][0]["filters"][0]["requestMirror"];
    json_patch::merge(mirror, &json!({"percent": null}));
    assert_eq!(plan(&release, &mirrored(), &[older]), []);
}

// spec: 03/GW-03
#[rstest]
#[case::both(json!({"timeout": "10s", "backendTimeout": "2s"}), json!({"request": "10s", "backendRequest": "2s"}))]
#[case::one(json!({"timeout": "1m"}), json!({"request": "1m"}))]
#[case::in_the_words_of_the_api(json!({"timeout": "1.5s"}), json!({"request": "1s500ms"}))]
#[case::never(json!({"timeout": "0s", "backendTimeout": "2s"}), json!({"request": "0s", "backendRequest": "2s"}))]
#[case::empty(json!({"timeout": ""}), Value::Null)]
#[case::unset(json!({}), Value::Null)]
fn time_outs_are_those_of_the_manifest(#[case] manifest: Value, #[case] expected: Value) {
    let release = shop(manifest);
    assert_eq!(problems(&release), [] as [String; 0]);
    assert_eq!(rules_of(&release, &wish(0))[0]["timeouts"], expected);
    let beta = testing::plan(BETA, &release, &wish(0), &[]).expect("writes");
    assert_eq!(applied(&[], &beta)[0]["spec"]["rules"][0]["timeouts"], Value::Null);
}

#[test]
fn a_time_out_that_leaves_the_manifest_leaves_the_route() {
    let route = route_of(&shop(json!({"timeout": "10s", "backendTimeout": "2s"})), &wish(0));
    let one = onto(from_ref(&route), &shop(json!({"timeout": "10s"})), &wish(0));
    assert_eq!(one["spec"]["rules"][0]["timeouts"], json!({"request": "10s"}));
    let none = onto(&[one], &shop(json!({})), &wish(0));
    assert_eq!(none["spec"]["rules"][0]["timeouts"], Value::Null);
}

// spec: 03/GW-04
#[test]
fn headers_are_changed_in_the_order_of_their_names() {
    let release = shop(json!({"headers": {
        "request": {"add": {"x-b": "2", "x-a": "1"}, "set": {"x-c": "3"}, "remove": ["x-z", "X-Z", "x-y"]},
        "response": {"set": {"x-d": "4"}, "add": {}},
    }}));
    assert_eq!(
        rules_of(&release, &wish(0))[0]["filters"],
        json!([
            {"type": "RequestHeaderModifier", "requestHeaderModifier": {
                "add": [{"name": "x-a", "value": "1"}, {"name": "x-b", "value": "2"}],
                "set": [{"name": "x-c", "value": "3"}],
                "remove": ["x-z", "x-y"],
            }},
            {"type": "ResponseHeaderModifier", "responseHeaderModifier": {
                "set": [{"name": "x-d", "value": "4"}],
            }},
        ])
    );
}

// spec: 03/GW-05
#[rstest]
#[case(json!({"uri": "/a", "type": "ReplacePrefixMatch"}), json!({"type": "ReplacePrefixMatch", "replacePrefixMatch": "/a"}))]
#[case(json!({"uri": "/a", "type": "replaceprefixmatch"}), json!({"type": "ReplaceFullPath", "replaceFullPath": "/a"}))]
#[case(json!({"uri": "/a", "type": "ReplaceFullPath"}), json!({"type": "ReplaceFullPath", "replaceFullPath": "/a"}))]
#[case(json!({"uri": "/a"}), json!({"type": "ReplaceFullPath", "replaceFullPath": "/a"}))]
fn a_path_is_rewritten(#[case] rewrite: Value, #[case] path: Value) {
    let rules = rules_of(&shop(json!({"rewrite": rewrite})), &wish(0));
    assert_eq!(rules[0]["filters"], json!([{"type": "URLRewrite", "urlRewrite": {"path": path}}]));
}

// spec: 03/GW-07 03/GW-21
#[test]
fn pages_of_other_origins_may_call_where_the_version_can_say_it() {
    let policy = json!({"allowOrigin": ["https://a.example.com"], "allowOrigins": [{"exact": "https://b.example.com"}]});
    let release = shop(json!({"corsPolicy": policy}));
    let cors = json!({
        "allowOrigins": ["https://a.example.com", "https://b.example.com"],
        // What the API would fill in, so that it is no drift.
        "maxAge": 5,
    });
    assert_eq!(rules_of(&release, &wish(0))[0]["filters"], json!([{"type": "CORS", "cors": cors}]));
    let day =
        shop(json!({"corsPolicy": {"maxAge": "24h", "allowCredentials": true, "allowMethods": ["GET"]}}));
    let cors = json!({"maxAge": 86400, "allowCredentials": true, "allowMethods": ["GET"]});
    assert_eq!(rules_of(&day, &wish(0))[0]["filters"], json!([{"type": "CORS", "cors": cors}]));
    let beta = testing::plan(BETA, &release, &wish(0), &[]).expect("writes");
    assert_eq!(applied(&[], &beta)[0]["spec"]["rules"][0]["filters"], Value::Null);
}

// spec: 03/SA-04
#[test]
fn a_client_that_met_the_canary_stays_with_it() {
    let release = sticky(None, json!({}));
    let route = route_of(&release, &running());
    let rules = live::rules(&route);
    assert_eq!(rules.len(), 2);
    assert_eq!(
        rules[0]["matches"][0]["headers"],
        json!([{"type": "RegularExpression", "name": "Cookie", "value": ".*ck.*AbCdEfGhIj.*"}])
    );
    assert_eq!(rules[0]["backendRefs"], split(0, 100));
    let mut expected = split(90, 10);
    expected[1]["filters"] = set_cookie("ck=AbCdEfGhIj; Max-Age=300");
    assert_eq!(rules[1]["backendRefs"], expected);
    assert_eq!(read(&release, &route).split.canary(), 10);
}

fn set_cookie(cookie: &str) -> Value {
    json!([{"type": "ResponseHeaderModifier", "responseHeaderModifier": {
        "add": [{"name": "Set-Cookie", "value": cookie}],
    }}])
}

// spec: 03/SA-06
#[rstest]
#[case(ROUTER)]
#[case(BETA)]
fn a_client_that_met_the_primary_stays_until_the_next_step(#[case] router: &dyn Router) {
    let release = sticky(Some("pk"), json!({}));
    let writes = testing::plan(router, &release, &running(), &[]).expect("writes");
    let rules = applied(&[], &writes)[0]["spec"]["rules"].clone();
    assert_eq!(rules.as_array().map(Vec::len), Some(3));
    assert_eq!(rules[1]["backendRefs"], split(100, 0));
    assert_eq!(rules[2]["backendRefs"][0]["filters"], set_cookie("pk=KlMnOpQrSt; Max-Age=30"));
}

// spec: 03/SA-07 03/SA-12 03/GW-22
#[test]
fn after_the_run_a_client_forgets_the_cookie_and_nobody_else_is_told() {
    let release = sticky(Some("pk"), json!({"headers": {"response": {"add": {"x-shop": "1"}}}}));
    let during = route_of(&release, &running());
    let after = onto(from_ref(&during), &release, &ended());
    let rules = live::rules(&after);
    assert_eq!(rules.len(), 2);
    assert_eq!(
        rules[0]["filters"],
        json!([{"type": "ResponseHeaderModifier", "responseHeaderModifier": {"add": [
            {"name": "x-shop", "value": "1"}, {"name": "Set-Cookie", "value": "ck=AbCdEfGhIj; Max-Age=-1"},
        ]}}])
    );
    assert_eq!(rules[0]["backendRefs"], split(100, 0));
    assert_eq!(rules[1]["backendRefs"], split(100, 0), "no cookie is left on the sides");
    assert_eq!(rules[1]["filters"].to_string().matches("Cookie").count(), 0);
    assert_eq!(read(&release, &after).split, Split::PRIMARY);
}

// spec: 03/SA-09
#[test]
fn the_rules_stay_in_the_middle_of_a_run_and_follow_an_edit() {
    let release = sticky(Some("pk"), json!({}));
    let route = route_of(&release, &running());
    assert_eq!(plan(&release, &running(), from_ref(&route)), []);
    let edited = sticky(Some("pk"), json!({"hosts": ["b.example.com"]}));
    let writes = plan(&edited, &running(), from_ref(&route));
    assert_eq!(patched(&writes), json!({"spec": {"hostnames": ["b.example.com"]}}));
}

#[test]
fn cookies_that_leave_the_manifest_leave_the_route() {
    let route = route_of(&sticky(Some("pk"), json!({})), &running());
    let plain = onto(&[route], &shop(json!({})), &wish(10));
    assert_eq!(plain["spec"]["rules"], json!([{"matches": everything(), "backendRefs": split(90, 10)}]));
}

// spec: 03/GW-20 03/GW-24
#[test]
fn what_the_api_fills_in_is_written_out_in_a_stable_order() {
    let release = shop(json!({"match": [{"headers": {"x-b": {"exact": "2"}, "X-A": {"exact": "1"}}}]}));
    let rules = rules_of(&release, &wish(0));
    assert_eq!(
        rules[0]["matches"],
        json!([{
            "path": {"type": "PathPrefix", "value": "/"},
            "headers": [
                {"type": "Exact", "name": "X-A", "value": "1"}, {"type": "Exact", "name": "x-b", "value": "2"},
            ],
        }])
    );
    // Whoever wrote it in another order, or spelled a name otherwise, asked for the same.
    let mut live = route_of(&release, &wish(10));
    live["spec"]["rules"][0]["matches"] = json!([{"headers": [
        {"name": "X-B", "value": "2"}, {"name": "x-a", "value": "1"},
    ]}]);
    assert_eq!(plan(&release, &wish(10), from_ref(&live)), []);
}

// spec: 03/GW-14 03/GW-15
#[test]
fn metadata_of_others_stays() {
    let release = shop(json!({"apex": {"labels": {"tier": "web"}}}));
    let route = with(
        &route_of(&release, &wish(0)),
        json!({"metadata": {"labels": {"team": "a"}, "annotations": {"aws": "arn"}}}),
    );
    let after = onto(&[route], &release, &wish(10));
    assert_eq!(after["metadata"]["labels"], json!({"app": "frontend", "team": "a", "tier": "web"}));
    assert_eq!(after["metadata"]["annotations"]["aws"], "arn");
}

#[rstest]
#[case::one_side_only(json!([backend("frontend-primary", 100)]))]
#[case::not_a_hundred(json!([backend("frontend-primary", 50), backend("frontend-canary", 60)]))]
#[case::weights_of_their_own(json!([{"name": "frontend-primary"}, {"name": "frontend-canary"}]))]
#[case::nothing(json!([]))]
fn a_route_of_ours_that_does_not_divide_a_hundred_is_no_state_and_is_mended(#[case] backends: Value) {
    let release = shop(json!({}));
    let mut route = route_of(&release, &wish(10));
    route["spec"]["rules"][0]["backendRefs"] = backends;
    assert!(matches!(state(&release, &route), Err(Error::Object(_))), "{:?}", state(&release, &route));
    let mended = onto(&[route], &release, &wish(10));
    assert_eq!(read(&release, &mended).split.canary(), 10);
}

#[test]
fn somebody_elses_backend_gets_none_of_the_requests() {
    let release = shop(json!({}));
    let mut route = route_of(&release, &wish(10));
    route["spec"]["rules"][0]["backendRefs"] =
        json!([backend("frontend-primary", 90), backend("frontend-canary", 10), backend("legacy", 100),]);
    assert_eq!(onto(&[route], &release, &wish(10))["spec"]["rules"][0]["backendRefs"], split(90, 10));
}

#[test]
fn sessions_that_a_gateway_would_keep_on_the_canary_are_not_kept() {
    let release = shop(json!({}));
    let mut route = route_of(&release, &wish(10));
    route["spec"]["rules"][0]["sessionPersistence"] = json!({"sessionName": "s"});
    let after = onto(&[route], &release, &wish(0));
    assert_eq!(after["spec"]["rules"][0].get("sessionPersistence"), None);
}

// spec: 03/GW-26
#[test]
fn a_route_of_ours_is_left_as_it_is_when_the_canary_goes() {
    let release = shop(json!({}));
    let route = route_of(&release, &wish(0));
    assert_eq!(testing::finalize(ROUTER, &release, &[route]), Ok(vec![]));
    assert_eq!(testing::finalize(ROUTER, &release, &[]), Ok(vec![]), "nor is one missed");
}
