//! Gloo Edge: names, settings of an Upstream of the user's, matchers, and what Gloo says of it all.

use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::model::object::Write;
use crate::model::release::Reference;
use crate::router::plan as planner;
use crate::router::testing::{self, applied, foreign, looking, release, with};

const PRIMARY: &str = "shop-frontend-primaryupstream-80";
const CANARY: &str = "shop-frontend-canaryupstream-80";

fn wish(canary: u32) -> RouteWish {
    RouteWish { split: Split::canary_gets(canary), ..RouteWish::default() }
}

fn plan(release: &Release, canary: u32, objects: &[Value]) -> Vec<Write> {
    testing::plan(&Gloo, release, &wish(canary), objects).expect("planned")
}

/// The objects that there are once `canary` per cent were wished.
fn objects(release: &Release, canary: u32, before: &[Value]) -> Vec<Value> {
    applied(before, &plan(release, canary, before))
}

fn named<'a>(objects: &'a [Value], name: &str) -> &'a Value {
    objects.iter().find(|object| object["metadata"]["name"] == name).expect("an object of this name")
}

/// A release whose Upstreams take the settings of `settings.mesh`.
fn configured() -> Release {
    let upstream = Reference {
        api_version: "gloo.solo.io/v1".into(),
        kind: "Upstream".into(),
        name: "settings".into(),
        namespace: "mesh".into(),
    };
    Release { upstream: Some(upstream), ..release() }
}

fn config(spec: Value) -> Value {
    json!({
        "apiVersion": "gloo.solo.io/v1",
        "kind": "Upstream",
        "metadata": {"name": "settings", "namespace": "mesh"},
        "spec": spec,
    })
}

fn matching(entries: Value) -> Release {
    let mut release = release();
    release.analysis.matches = serde_json::from_value(entries).expect("matches");
    release
}

// spec: 03/GLO-01
#[test]
fn two_upstreams_and_a_table_divide_the_requests() {
    let objects = objects(&release(), 0, &[]);
    let titles: Vec<String> = objects
        .iter()
        .map(|object| format!("{} {}", object["kind"], object["metadata"]["name"]).replace('"', ""))
        .collect();
    assert_eq!(
        titles,
        [format!("Upstream {PRIMARY}"), format!("Upstream {CANARY}"), "RouteTable frontend".into()]
    );
    for (name, service, pods) in
        [(PRIMARY, "frontend-primary", "frontend-primary"), (CANARY, "frontend-canary", "frontend")]
    {
        let kube = json!({
            "serviceName": service, "serviceNamespace": "shop", "servicePort": 80, "selector": {"app": pods},
        });
        assert_eq!(named(&objects, name)["spec"], json!({"kube": kube}));
    }
    let to = |name: &str, weight: u32| json!({"destination": {"upstream": {"name": name, "namespace": "shop"}}, "weight": weight});
    assert_eq!(
        named(&objects, "frontend")["spec"]["routes"],
        json!([{
            "inheritablePathMatchers": true,
            "routeAction": {"multi": {"destinations": [to(PRIMARY, 100), to(CANARY, 0)]}},
        }])
    );
}

// spec: 03/GLO-02
#[test]
fn the_settings_of_the_users_upstream_are_taken_and_nothing_else_of_it() {
    let taken = json!({
        "sslConfig": {"sni": "shop.example.com"},
        "circuitBreakers": {"maxRetries": 3},
        "connectionConfig": {"connectTimeout": "5s"},
        "loadBalancerConfig": {"random": {}},
        "useHttp2": true,
        "initialStreamWindowSize": 65_536,
        "initialConnectionWindowSize": 65_537,
        "httpProxyHostname": "proxy",
    });
    let users =
        config(with(&taken, json!({"static": {"hosts": [{"addr": "x", "port": 1}]}, "failover": {"a": 1}})));
    let before = [users.clone()];
    let after = objects(&configured(), 0, &before);
    for name in [PRIMARY, CANARY] {
        let spec = named(&after, name)["spec"].clone();
        assert_eq!(with(&spec, json!({"kube": null})), taken, "{name}");
    }
    assert_eq!(after[0], users, "it is only read");
    // It has no owner and is not ours to give back.
    let back = testing::finalize(&Gloo, &configured(), &after).expect("planned");
    assert!(back.iter().all(|write| write.id().name != "settings"), "{back:?}");
}

// spec: 03/GLO-03
#[test]
fn an_edit_of_the_settings_reaches_the_upstreams_and_leaves_the_weights_alone() {
    let before =
        config(json!({"loadBalancerConfig": {"leastRequest": {"choiceCount": 2}}, "useHttp2": true}));
    let mut running = objects(&configured(), 30, &[before]);
    let table = named(&running, "frontend").clone();
    for (edit, expected) in [
        (json!({"loadBalancerConfig": {"random": {}}}), json!({"random": {}})),
        (json!({"loadBalancerConfig": {"roundRobin": {}}}), json!({"roundRobin": {}})),
        // What is taken out there goes here as well.
        (json!({"useHttp2": false}), Value::Null),
    ] {
        running[0] = config(edit);
        running = objects(&configured(), 30, &running);
        assert_eq!(named(&running, PRIMARY)["spec"]["loadBalancerConfig"], expected);
        assert_eq!(named(&running, CANARY)["spec"]["loadBalancerConfig"], expected);
        assert_eq!(named(&running, "frontend"), &table);
        assert_eq!(plan(&configured(), 30, &running), vec![], "once is enough");
    }
}

#[test]
fn without_a_reference_the_settings_of_the_upstreams_are_their_users() {
    let mut after = objects(&release(), 30, &[]);
    after[0]["spec"]["loadBalancerConfig"] = json!({"random": {}});
    assert_eq!(plan(&release(), 30, &after), vec![]);
}

#[test]
fn a_reference_to_nothing_is_told_before_anything_is_written() {
    let refused = testing::plan(&Gloo, &configured(), &wish(0), &[]);
    assert_eq!(
        refused,
        Err(Error::Object(
            "Upstream settings.mesh, whose settings spec.upstreamRef asks for, does not exist: create it, or take \
             spec.upstreamRef out of the Canary"
                .into()
        ))
    );
}

#[test]
fn a_reference_that_vanishes_in_a_run_holds_it_but_the_traffic_can_be_taken_back() {
    let running = objects(&configured(), 30, &[config(json!({"useHttp2": true}))]);
    let without = &running[1..];
    let acceptance = looking(&configured(), without, |view| Gloo.acceptance(view));
    let Acceptance::Pending(why) = acceptance else { panic!("{acceptance:?}") };
    assert!(why.contains("Upstream settings.mesh") && why.contains("create it"), "{why}");
    let back = objects(&configured(), 0, without);
    assert_eq!(testing::state(&Gloo, &configured(), &back), Ok(Some(RouteState::default())));
    assert_eq!(named(&back, CANARY)["spec"]["useHttp2"], true, "the settings stay");
}

// spec: 03/GLO-04 03/GLO-05
#[test]
fn a_matcher_has_all_headers_of_its_entry_and_everybody_else_has_a_route() {
    let release = matching(json!([
        {"headers": {"x-canary": {"exact": "insider"}, "user-agent": {"regex": "Fire.*"}}},
        {"headers": {"x-region": {"prefix": "eu."}, "x-account": {"suffix": "-test"}}},
        {"queryParams": {"canary": {"exact": "always"}}},
    ]));
    let objects = objects(&release, 100, &[]);
    let routes = named(&objects, "frontend")["spec"]["routes"].as_array().expect("routes").clone();
    assert_eq!(
        routes[0]["matchers"],
        json!([
            {"headers": [
                {"name": "user-agent", "value": "Fire.*", "regex": true},
                {"name": "x-canary", "value": "insider"},
            ]},
            {"headers": [
                {"name": "x-account", "value": ".*-test", "regex": true},
                {"name": "x-region", "value": "eu\\..*", "regex": true},
            ]},
            {"queryParameters": [{"name": "canary", "value": "always"}]},
        ])
    );
    assert_eq!((weight(&routes[0], PRIMARY), weight(&routes[0], CANARY)), (Some(0), Some(100)));
    assert_eq!(routes[1]["matchers"], Value::Null);
    assert_eq!((weight(&routes[1], PRIMARY), weight(&routes[1], CANARY)), (Some(100), Some(0)));
    assert_eq!(routes.len(), 2);
}

// spec: 03/UNS-02
#[rstest]
#[case::no_condition(json!([{}]), "spec.analysis.match[0]", "give it headers")]
#[case::empty_maps(json!([{"headers": {}, "queryParams": {}}]), "spec.analysis.match[0]", "give it headers")]
#[case::no_text(json!([{"headers": {"x-canary": {}}}]), "spec.analysis.match[0].headers.x-canary", "write one of")]
#[case::an_empty_text(json!([{"headers": {"x-canary": {"exact": ""}}}]), "spec.analysis.match[0].headers.x-canary", "write one of")]
#[case::two_texts(json!([{"headers": {"x-canary": {"exact": "a", "regex": "b"}}}]), "spec.analysis.match[0].headers.x-canary", "write one of")]
#[case::labels(json!([{"headers": {"x-canary": {"exact": "a"}}}, {"headers": {"x-canary": {"exact": "a"}}, "sourceLabels": {"app": "x"}}]), "spec.analysis.match[1].sourceLabels", "match a header")]
#[case::a_parameter(json!([{"queryParams": {"canary": {}}}]), "spec.analysis.match[0].queryParams.canary", "write one of")]
fn what_gloo_cannot_check_is_refused_and_never_a_route_for_everybody(
    #[case] entries: Value,
    #[case] field: &str,
    #[case] remedy: &str,
) {
    let release = matching(entries);
    let problems = Gloo.problems(&release, &Settings::default());
    let [problem] = &problems[..] else { panic!("{problems:?}") };
    assert_eq!(problem.field, field);
    assert!(problem.message.contains(remedy), "{problem}");
    let refused = testing::plan(&Gloo, &release, &wish(100), &[]);
    assert_eq!(refused, Err(Error::Unsupported(problem.clone())));
}

// spec: 03/GLO-06
#[rstest]
#[case::one_destination(json!([{"routeAction": {"multi": {"destinations": [{"destination": {"upstream": {"name": PRIMARY}}, "weight": 100}]}}}]))]
#[case::no_route(json!([]))]
#[case::nothing(Value::Null)]
#[case::another_sum(json!([{"routeAction": {"multi": {"destinations": [
    {"destination": {"upstream": {"name": PRIMARY}}, "weight": 60},
    {"destination": {"upstream": {"name": CANARY}}, "weight": 60},
]}}}]))]
#[case::huge(json!([{"routeAction": {"multi": {"destinations": [
    {"destination": {"upstream": {"name": PRIMARY}}, "weight": u64::MAX},
    {"destination": {"upstream": {"name": CANARY}}, "weight": u64::MAX},
]}}}]))]
#[case::of_no_shape(json!({"a": [1, "b"]}))]
fn routes_that_do_not_divide_are_an_error_and_are_put_right(#[case] routes: Value) {
    let mut live = objects(&release(), 30, &[]);
    live[2]["spec"]["routes"] = routes;
    let state = testing::state(&Gloo, &release(), &live);
    let Err(Error::Object(why)) = &state else { panic!("{state:?}") };
    assert!(why.contains("RouteTable frontend.shop does not divide 100"), "{why}");
    let repaired = objects(&release(), 30, &live);
    let expected = RouteState { split: Split::canary_gets(30), mirrored: false };
    assert_eq!(testing::state(&Gloo, &release(), &repaired), Ok(Some(expected)));
}

#[test]
fn a_table_that_was_there_before_is_given_back() {
    let users = json!({
        "apiVersion": "gateway.solo.io/v1", "kind": "RouteTable",
        "metadata": {"name": "frontend", "namespace": "shop"},
        "spec": {"weight": 5, "routes": [{"delegateAction": {"ref": {"name": "other", "namespace": "shop"}}}]},
    });
    assert_eq!(testing::state(&Gloo, &release(), std::slice::from_ref(&users)), Ok(None));
    let taken = objects(&release(), 30, std::slice::from_ref(&users));
    let route = &taken[0]["spec"]["routes"][0];
    assert!(route.get("delegateAction").is_none(), "a route does one thing: {route}");
    let back = testing::finalize(&Gloo, &release(), &taken).expect("planned");
    assert_eq!(applied(&taken, &back)[0], users);
}

/// A report in `status`, of Gloo's control plane.
fn reported(report: Value) -> Value {
    json!({"statuses": {"gloo-system": report}})
}

#[rstest]
#[case::nothing_said(json!({}), None)]
#[case::accepted(reported(json!({"state": "Accepted", "reportedBy": "gloo"})), None)]
#[case::accepted_as_a_number(json!({"state": 1}), None)]
#[case::pending(reported(json!({"state": "Pending"})), Some("is Pending: no reason is given"))]
#[case::rejected(
    reported(json!({"state": "Rejected", "reason": "1 error occurred: bad weights\n"})),
    Some("is Rejected: 1 error occurred: bad weights")
)]
#[case::warned(reported(json!({"state": "Warning", "reason": "secret not found"})), Some("is Warning: secret not found"))]
#[case::rejected_as_a_number(json!({"state": 2, "reason": "bad"}), Some("is Rejected: bad"))]
#[case::a_state_of_the_future(json!({"state": 9}), Some("is unknown: no reason is given"))]
#[case::one_of_two_control_planes(
    json!({"statuses": {"a": {"state": "Accepted"}, "b": {"state": "Rejected", "reason": "bad"}}}),
    Some("is Rejected: bad")
)]
#[case::a_proxy_that_misses_an_upstream_of_ours(
    reported(json!({"state": "Accepted", "subresourceStatuses": {"*v1.Proxy.gateway-proxy_gloo-system": {
        "state": "Warning", "reason": format!("Route Warning: *v1.Upstream {{{CANARY} shop}} not found"),
    }}})),
    Some("is Warning: Route Warning")
)]
// The trouble of another route on the same proxy is not this release's.
#[case::a_proxy_that_misses_somebody_elses(
    reported(json!({"state": "Accepted", "subresourceStatuses": {"*v1.Proxy.gateway-proxy_gloo-system": {
        "state": "Rejected", "reason": format!("*v1.Upstream {{{CANARY}80 shop}} not found, nor {{a-{CANARY} shop}}"),
    }}})),
    None
)]
#[case::of_no_shape(json!({"statuses": ["Rejected"], "state": {"a": 1}}), None)]
fn a_table_counts_when_gloo_works_by_it(#[case] status: Value, #[case] expected: Option<&str>) {
    let mut live = objects(&release(), 30, &[]);
    live[2]["status"] = status.clone();
    match (looking(&release(), &live, |view| Gloo.acceptance(view)), expected) {
        (Acceptance::Accepted, None) => {}
        (Acceptance::Pending(why), Some(text)) => {
            assert!(why.starts_with(&format!("RouteTable frontend.shop {text}")), "{why}");
        }
        other => panic!("{other:?}"),
    }
    // Of an Upstream it is no different.
    live[2]["status"] = json!({});
    live[1]["status"] = status;
    let acceptance = looking(&release(), &live, |view| Gloo.acceptance(view));
    assert_eq!(acceptance == Acceptance::Accepted, expected.is_none(), "{acceptance:?}");
}

#[test]
fn what_gloo_reports_is_no_drift() {
    let mut live = objects(&release(), 30, &[]);
    for object in &mut live {
        object["status"] = reported(json!({"state": "Accepted"}));
    }
    assert_eq!(plan(&release(), 30, &live), vec![]);
}

#[test]
fn another_port_comes_with_other_upstreams_and_the_same_share() {
    let live = objects(&release(), 30, &[]);
    let mut edited = release();
    edited.service.port = 8080;
    // Read as not ours, so the share that the status stands for is written again.
    assert!(testing::state(&Gloo, &edited, &live).is_err());
    let after = objects(&edited, 30, &live);
    let expected = RouteState { split: Split::canary_gets(30), mirrored: false };
    assert_eq!(testing::state(&Gloo, &edited, &after), Ok(Some(expected)));
}

#[test]
fn an_upstream_of_somebody_elses_is_given_back_as_well() {
    let objects = objects(&release(), 0, &[]);
    let users = with(&foreign(&objects[1]), json!({"spec": {"kube": {"serviceName": "other"}}}));
    let taken = applied(std::slice::from_ref(&users), &plan(&release(), 0, std::slice::from_ref(&users)));
    let (shape, settings) = (testing::shape(), Settings::default());
    let seen = testing::seen(taken.clone());
    let view = View { release: &release(), shape: &shape, settings: &settings, seen: &seen };
    let back = planner::restoration(&Gloo, &view).expect("planned");
    assert_eq!(applied(&taken, &back)[0], users);
}
