//! App Mesh in both versions: nodes before the pods, names of routes, what is kept, and what App Mesh says.

use rstest::rstest;
use serde_json::{Value, json};

use super::v1beta1::AppMesh as First;
use super::v1beta2::AppMesh as Second;
use super::*;
use crate::model::object::Write;
use crate::model::release::Settings;
use crate::model::traffic::{Acceptance, RouteState, RouteWish};
use crate::router::testing::{self, applied, looking, service, serving, with};
use crate::router::{Error, Router, plan as planner};

/// A release with this `spec.service`.
fn shop(manifest: Value) -> Release {
    let mut base = json!({"port": 80, "targetPort": 8080, "meshName": "global"});
    json_patch::merge(&mut base, &manifest);
    serving(service(base))
}

fn matching(entries: Value) -> Release {
    let mut release = shop(json!({}));
    release.analysis.matches = serde_json::from_value(entries).expect("matches");
    release
}

fn plan(router: &dyn Router, release: &Release, canary: u32, objects: &[Value]) -> Vec<Write> {
    let wish = RouteWish { split: Split::canary_gets(canary), ..RouteWish::default() };
    testing::plan(router, release, &wish, objects).expect("planned")
}

fn fresh(router: &dyn Router, release: &Release, canary: u32) -> Vec<Value> {
    applied(&[], &plan(router, release, canary, &[]))
}

fn named<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let is = |object: &&Value| object["kind"] == kind && object["metadata"]["name"] == name;
    objects.iter().find(is).unwrap_or_else(|| panic!("no {kind} {name}"))
}

fn titles(objects: &[Value]) -> Vec<String> {
    let title = |object: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        format!("{} {}", text(&object["kind"]), text(&object["metadata"]["name"]))
    };
    objects.iter().map(title).collect()
}

/// The one problem of a release.
fn problem_of(router: &dyn Router, release: &Release) -> Problem {
    let problems = router.problems(release, &Settings::default());
    let [problem] = &problems[..] else { panic!("{problems:?}") };
    problem.clone()
}

// spec: 03/AM-01
#[test]
fn the_first_version_has_to_be_told_its_mesh() {
    let release = shop(json!({"meshName": null}));
    let problem = problem_of(&First, &release);
    assert_eq!(problem.field, "spec.service.meshName");
    assert!(
        problem.message.starts_with("mesh name cannot be empty: write the name of the Mesh"),
        "{problem}"
    );
    assert_eq!(Second.problems(&release, &Settings::default()), vec![]);
}

// spec: 03/AM-02 03/AM-03
#[test]
fn the_first_version_has_three_nodes_and_two_names() {
    let objects = fresh(&First, &shop(json!({})), 10);
    assert_eq!(
        titles(&objects),
        [
            "VirtualNode frontend",
            "VirtualNode frontend-primary",
            "VirtualNode frontend-canary",
            "VirtualService frontend.shop",
            "VirtualService frontend-canary.shop",
        ]
    );
    for (name, host) in [
        ("frontend", "frontend-primary.shop"),
        ("frontend-primary", "frontend-primary.shop"),
        ("frontend-canary", "frontend-canary.shop"),
    ] {
        let spec = &named(&objects, "VirtualNode", name)["spec"];
        assert_eq!(spec["serviceDiscovery"], json!({"dns": {"hostName": host}}));
        assert_eq!(spec["meshName"], "global");
    }
    let targets = |name: &str| {
        let spec = &named(&objects, "VirtualService", name)["spec"];
        (
            spec["virtualRouter"]["name"].clone(),
            spec["routes"][0]["http"]["action"]["weightedTargets"].clone(),
        )
    };
    let to = |name: &str, weight: u32| json!({"virtualNodeName": name, "weight": weight});
    assert_eq!(
        targets("frontend.shop"),
        (json!("frontend"), json!([to("frontend-canary", 10), to("frontend-primary", 90)]))
    );
    assert_eq!(
        targets("frontend-canary.shop"),
        (json!("frontend-canary"), json!([to("frontend-canary", 100)]))
    );
}

// spec: 03/AM-04
#[test]
fn requests_that_match_have_a_route_of_their_own_before_the_others() {
    let release = matching(json!([
        {"headers": {"x-canary": {"exact": "insider"}, "x-region": {"prefix": "eu"}}},
        {"headers": {"x-account": {"suffix": "-test"}}},
    ]));
    let headers = [
        json!([
            {"name": "x-canary", "match": {"exact": "insider"}},
            {"name": "x-region", "match": {"prefix": "eu"}},
        ]),
        json!([{"name": "x-account", "match": {"suffix": "-test"}}]),
        Value::Null,
    ];
    let names = [("frontend-a", 10), ("frontend-a2", 11), ("frontend-b", 20)];
    for (router, kind, name, field) in [
        (&First as &dyn Router, "VirtualService", "frontend.shop", "http"),
        (&Second, "VirtualRouter", "frontend", "httpRoute"),
    ] {
        let objects = fresh(router, &release, 100);
        let routes = named(&objects, kind, name)["spec"]["routes"].as_array().expect("routes");
        assert_eq!(routes.len(), 3);
        for ((route, (name, priority)), headers) in routes.iter().zip(names).zip(&headers) {
            assert_eq!((&route["name"], &route["priority"]), (&json!(name), &json!(priority)));
            assert_eq!(route[field]["match"]["headers"], *headers);
            let shares = route[field]["action"]["weightedTargets"].as_array().expect("targets");
            let shares: Vec<&Value> = shares.iter().map(|target| &target["weight"]).collect();
            let expected = if headers.is_null() { [0, 100] } else { [100, 0] };
            assert_eq!(shares, expected.map(|share| json!(share)).iter().collect::<Vec<_>>());
        }
    }
}

#[test]
fn many_entries_still_come_before_everybody_else() {
    let entry = json!({"headers": {"x-canary": {"exact": "insider"}}});
    let objects = fresh(&Second, &matching(json!(vec![entry; 12])), 100);
    let routes =
        named(&objects, "VirtualRouter", "frontend")["spec"]["routes"].as_array().expect("routes").clone();
    let priorities: Vec<i64> = routes.iter().filter_map(|route| route["priority"].as_i64()).collect();
    assert_eq!(priorities, (10..=22).collect::<Vec<i64>>());
}

// spec: 03/UNS-02
#[rstest]
#[case::no_condition(json!([{}]), "spec.analysis.match[0]")]
#[case::parameters(json!([{"queryParams": {"a": {"exact": "b"}}}]), "spec.analysis.match[0].queryParams")]
#[case::labels(json!([{"headers": {"a": {"exact": "b"}}, "sourceLabels": {"a": "b"}}]), "spec.analysis.match[0].sourceLabels")]
#[case::no_text(json!([{"headers": {"a": {}}}]), "spec.analysis.match[0].headers.a")]
#[case::two_texts(json!([{"headers": {"a": {"exact": "b", "prefix": "c"}}}]), "spec.analysis.match[0].headers.a")]
fn what_app_mesh_cannot_check_is_refused_and_never_a_route_for_everybody(
    #[case] entries: Value,
    #[case] field: &str,
) {
    let release = matching(entries);
    let wish = RouteWish { split: Split::CANARY, ..RouteWish::default() };
    for router in [&First as &dyn Router, &Second] {
        let problem = problem_of(router, &release);
        assert_eq!(problem.field, field);
        assert_eq!(testing::plan(router, &release, &wish, &[]), Err(Error::Unsupported(problem)));
    }
}

// spec: 03/AM-05
#[test]
fn hosts_are_told_to_the_gateway() {
    let annotations = |release: &Release, router: &dyn Router, name: &str| {
        let objects = fresh(router, release, 0);
        let all = named(&objects, "VirtualService", name)["metadata"]["annotations"].clone();
        let all: Map<String, Value> = all.as_object().cloned().unwrap_or_default();
        let ours = all.into_iter().filter_map(|(key, value)| {
            Some((key.strip_prefix("gateway.appmesh.k8s.aws/")?.to_owned(), value))
        });
        Value::Object(ours.collect())
    };
    let routers = [(&First as &dyn Router, "frontend.shop"), (&Second, "frontend")];
    for (router, name) in routers {
        let hosts = shop(json!({"hosts": ["a", "b"]}));
        assert_eq!(annotations(&hosts, router, name), json!({"expose": "true", "domain": "a,b,"}));
        let all = shop(json!({"hosts": ["a"], "timeout": "15s", "retries": {"attempts": 3}}));
        assert_eq!(
            annotations(&all, router, name),
            json!({"expose": "true", "domain": "a,", "timeout": "15s", "retries": "3"})
        );
        assert_eq!(annotations(&shop(json!({"timeout": "15s"})), router, name), json!({}));
    }
}

// spec: 03/AM-06
#[rstest]
#[case(json!({}), json!({"perRetryTimeoutMillis": 250, "maxRetries": 1, "httpRetryEvents": ["gateway-error"]}))]
#[case(
    json!({"attempts": 3, "perTryTimeout": "1.5s", "retryOn": "server-error, client-error"}),
    json!({"perRetryTimeoutMillis": 1500, "maxRetries": 3, "httpRetryEvents": ["server-error", "client-error"]})
)]
fn retries_have_defaults(#[case] retries: Value, #[case] expected: Value) {
    let release = shop(json!({"retries": retries}));
    let objects = fresh(&First, &release, 0);
    let route = &named(&objects, "VirtualService", "frontend.shop")["spec"]["routes"][0];
    assert_eq!(route["http"]["retryPolicy"], expected);
    let objects = fresh(&Second, &release, 0);
    let policy =
        &named(&objects, "VirtualRouter", "frontend")["spec"]["routes"][0]["httpRoute"]["retryPolicy"];
    let time = json!({"unit": "ms", "value": expected["perRetryTimeoutMillis"]});
    assert_eq!(
        *policy,
        json!({"perRetryTimeout": time, "maxRetries": expected["maxRetries"], "httpRetryEvents": expected["httpRetryEvents"]})
    );
}

#[rstest]
#[case(json!({"retries": {"retryOn": "5xx"}}), "spec.service.retries.retryOn", "write some of server-error")]
#[case(json!({"retries": {"perTryTimeout": "soon"}}), "spec.service.retries.perTryTimeout", "write a time")]
fn what_app_mesh_would_not_take_is_refused(
    #[case] manifest: Value,
    #[case] field: &str,
    #[case] remedy: &str,
) {
    for router in [&First as &dyn Router, &Second] {
        let problem = problem_of(router, &shop(manifest.clone()));
        assert_eq!(problem.field, field);
        assert!(problem.message.contains(remedy), "{problem}");
    }
}

// spec: 03/AM-07
#[test]
fn an_annotation_turns_the_access_log_on_and_off() {
    for router in [&First as &dyn Router, &Second] {
        let mut release = shop(json!({}));
        release.annotations.insert("appmesh.flagger.app/accesslog".into(), "enabled".into());
        let objects = fresh(router, &release, 0);
        let log = &named(&objects, "VirtualNode", "frontend-canary")["spec"]["logging"];
        assert_eq!(*log, json!({"accessLog": {"file": {"path": "/dev/stdout"}}}));
        release.annotations.clear();
        let after = applied(&objects, &plan(router, &release, 0, &objects));
        assert!(named(&after, "VirtualNode", "frontend-canary")["spec"].get("logging").is_none());
    }
}

// spec: 03/AM-08
#[test]
fn another_prefix_leaves_the_weights_alone() {
    let edited = shop(json!({"match": [{"uri": {"prefix": "/shop"}}]}));
    for (router, kind, name, field) in [
        (&First as &dyn Router, "VirtualService", "frontend.shop", "http"),
        (&Second, "VirtualRouter", "frontend", "httpRoute"),
    ] {
        let objects = fresh(router, &shop(json!({})), 50);
        let state = testing::state(router, &edited, &objects).expect("read").expect("routes");
        assert_eq!(state, RouteState { split: Split::canary_gets(50), mirrored: false });
        let after = applied(&objects, &plan(router, &edited, state.split.canary(), &objects));
        assert_eq!(named(&after, kind, name)["spec"]["routes"][0][field]["match"]["prefix"], "/shop");
        assert_eq!(testing::state(router, &edited, &after), Ok(Some(state)));
    }
}

// spec: 03/AM-09
#[test]
fn a_backend_is_named_or_is_an_arn() {
    let release = shop(json!({"backends": ["db", "arn:aws:appmesh:eu:1:mesh/a/virtualService/b"]}));
    let objects = fresh(&Second, &release, 0);
    assert_eq!(
        named(&objects, "VirtualNode", "frontend-primary")["spec"]["backends"],
        json!([
            {"virtualService": {"virtualServiceRef": {"name": "db"}}},
            {"virtualService": {"virtualServiceARN": "arn:aws:appmesh:eu:1:mesh/a/virtualService/b"}},
        ])
    );
    let without = applied(&objects, &plan(&Second, &shop(json!({})), 0, &objects));
    assert!(named(&without, "VirtualNode", "frontend-primary")["spec"].get("backends").is_none());
}

// spec: 03/AM-10
#[test]
fn a_time_out_stands_at_the_listener_and_at_the_route() {
    let objects = fresh(&Second, &shop(json!({"timeout": "15s"})), 0);
    let time = json!({"perRequest": {"unit": "ms", "value": 15_000}});
    let listener = &named(&objects, "VirtualNode", "frontend-canary")["spec"]["listeners"][0];
    assert_eq!(listener["timeout"], json!({"http": time}));
    assert_eq!(listener["portMapping"], json!({"port": 8080, "protocol": "http"}));
    let route = &named(&objects, "VirtualRouter", "frontend")["spec"]["routes"][0];
    assert_eq!(route["httpRoute"]["timeout"], time);
    let problem = problem_of(&Second, &shop(json!({"timeout": "15"})));
    assert_eq!(problem.field, "spec.service.timeout");
}

// spec: 03/AM-11 03/AM-12
#[test]
fn what_app_meshs_controller_adds_stays_and_what_is_deleted_comes_back() {
    let release = shop(json!({}));
    let mut objects = fresh(&Second, &release, 30);
    for object in &mut objects {
        let spec = json!({"awsName": "x_shop", "meshRef": {"name": "global", "uid": "m-1"}});
        json_patch::merge(object, &json!({"spec": spec}));
    }
    assert_eq!(plan(&Second, &release, 30, &objects), vec![]);
    let stepped = applied(&objects, &plan(&Second, &release, 40, &objects));
    assert!(stepped.iter().all(|object| object["spec"]["meshRef"]["uid"] == "m-1"), "{stepped:#?}");

    for missing in 0..objects.len() {
        let mut rest = objects.clone();
        let gone = rest.remove(missing);
        let after = applied(&rest, &plan(&Second, &release, 30, &rest));
        assert!(titles(&after).contains(&titles(&[gone])[0]));
    }
}

// spec: 03/AM-13
#[test]
fn at_rest_nothing_is_written_also_with_labels_on_the_nodes() {
    let apex = json!({"labels": {"team": "web"}, "annotations": {"note": "a"}});
    let release = shop(json!({"apex": apex, "backends": ["db"]}));
    for router in [&First as &dyn Router, &Second] {
        let objects = fresh(router, &release, 0);
        assert_eq!(plan(router, &release, 0, &objects), vec![]);
        let labels = &named(&objects, "VirtualNode", "frontend-canary")["metadata"]["labels"];
        assert_eq!(*labels, json!({"team": "web"}), "without that of the Service");
    }
}

#[test]
fn the_nodes_come_first_and_route_nothing() {
    let release = shop(json!({}));
    for router in [&First as &dyn Router, &Second] {
        let writes = looking(&release, &[], |view| planner::groundwork(router, view)).expect("planned");
        let objects = applied(&[], &writes);
        assert!(objects.iter().all(|object| object["kind"] == "VirtualNode"), "{objects:#?}");
        assert_eq!(testing::state(router, &release, &objects), Ok(None));
        let all = applied(&objects, &plan(router, &release, 0, &objects));
        assert_eq!(all, fresh(router, &release, 0));
    }
}

#[rstest]
#[case::a_named_port(json!({"targetPort": "http"}), 80)]
#[case::no_target_port(json!({"targetPort": null}), 80)]
#[case::a_number(json!({"targetPort": 9090}), 9090)]
fn the_second_version_listens_to_the_port_of_the_pods(#[case] manifest: Value, #[case] expected: i32) {
    let objects = fresh(&Second, &shop(manifest), 0);
    for (kind, name) in [("VirtualNode", "frontend-primary"), ("VirtualRouter", "frontend")] {
        assert_eq!(named(&objects, kind, name)["spec"]["listeners"][0]["portMapping"]["port"], expected);
    }
}

#[test]
fn the_second_version_selects_the_pods_as_the_services_do() {
    let objects = fresh(&Second, &shop(json!({"name": "web"})), 0);
    for (name, pods) in [("web-primary", "frontend-primary"), ("web-canary", "frontend")] {
        let spec = &named(&objects, "VirtualNode", name)["spec"];
        assert_eq!(spec["podSelector"], json!({"matchLabels": {"app": pods}}));
        assert_eq!(
            spec["serviceDiscovery"],
            json!({"dns": {"hostname": format!("{name}.shop.svc.cluster.local.")}})
        );
    }
}

#[rstest]
#[case::no_http(json!([{"name": "frontend"}]))]
#[case::one_target(json!([{"name": "frontend", "http": {"action": {"weightedTargets": [{"virtualNodeName": "frontend-primary", "weight": 100}]}},
    "httpRoute": {"action": {"weightedTargets": [{"virtualNodeRef": {"name": "frontend-primary"}, "weight": 100}]}}}]))]
#[case::of_no_shape(json!([1, {"http": [], "httpRoute": 7}]))]
#[case::nothing(Value::Null)]
fn routes_that_do_not_divide_are_an_error_and_are_put_right(#[case] routes: Value) {
    let release = shop(json!({}));
    for (router, index) in [(&First as &dyn Router, 3), (&Second, 2)] {
        let mut objects = fresh(router, &release, 30);
        objects[index]["spec"]["routes"] = routes.clone();
        let state = testing::state(router, &release, &objects);
        assert!(
            matches!(&state, Err(Error::Object(why)) if why.contains("does not divide 100")),
            "{state:?}"
        );
        let after = applied(&objects, &plan(router, &release, 30, &objects));
        let state = testing::state(router, &release, &after).expect("read").expect("routes");
        assert_eq!(state.split, Split::canary_gets(30));
    }
}

#[rstest]
#[case::nothing_said(json!({}), None)]
#[case::active(json!({"observedGeneration": 2, "conditions": [{"type": "VirtualRouterActive", "status": "True"}]}), None)]
#[case::not_active(
    json!({"conditions": [{"type": "VirtualRouterActive", "status": "False", "message": "no such node"}]}),
    Some("is not VirtualRouterActive: no such node")
)]
#[case::of_the_last_step(
    json!({"observedGeneration": 1, "conditions": [{"type": "VirtualRouterActive", "status": "True"}]}),
    Some("App Mesh has not taken in the last change")
)]
fn routes_count_when_app_mesh_works_by_them(#[case] status: Value, #[case] expected: Option<&str>) {
    let release = shop(json!({}));
    for (router, index) in [(&First as &dyn Router, 3), (&Second, 2)] {
        let mut objects = fresh(router, &release, 30);
        objects[index] = with(&objects[index], json!({"status": status, "metadata": {"generation": 2}}));
        match (looking(&release, &objects, |view| router.acceptance(view)), expected) {
            (Acceptance::Accepted, None) => {}
            (Acceptance::Pending(why), Some(text)) => assert!(why.contains(text), "{why}"),
            other => panic!("{other:?}"),
        }
    }
}
