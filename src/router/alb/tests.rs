//! AWS load balancers: what happens when the user's Ingress does not fit, and how long is waited. How the annotations look
//! stands in `tests/data/routers/alb`.

use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::router::testing::{
    applied, behind_ingress, canary_gets, finalize, ingress, looking, plan, state, with,
};

const ACTION: &str = "alb.ingress.kubernetes.io/actions.frontend";
const APEX: &str =
    r#"{"type":"forward","forwardConfig":{"targetGroups":[{"serviceName":"frontend","servicePort":80}]}}"#;

fn path(name: &str, kind: &str) -> Value {
    let service = json!({"name": name, "port": {"name": USE_ANNOTATION}});
    json!({"path": "/*", "pathType": kind, "backend": {"service": service}})
}

fn users(paths: Value, annotations: Value) -> Value {
    let rules = json!([{"host": "shop.example.com", "http": {"paths": paths}}]);
    with(&ingress(), json!({"metadata": {"annotations": annotations}, "spec": {"rules": rules}}))
}

fn plain(annotations: Value) -> Value {
    users(json!([path("frontend", IN_ORDER)]), annotations)
}

fn after(users: &Value, shares: &[u32]) -> Vec<Value> {
    shares.iter().fold(vec![users.clone()], |objects, share| {
        let writes = plan(&Alb, &behind_ingress(), &canary_gets(*share), &objects).expect("planned");
        applied(&objects, &writes)
    })
}

fn action(objects: &[Value]) -> Value {
    serde_json::from_str(annotation(&objects[0], ACTION).unwrap_or_default()).unwrap_or_default()
}

fn refused(release: &Release, users: &Value) -> String {
    plan(&Alb, release, &canary_gets(20), std::slice::from_ref(users)).expect_err("refused").to_string()
}

fn testing_for(matches: Value) -> Release {
    let mut release = behind_ingress();
    release.analysis.matches = serde_json::from_value(matches).expect("matches");
    release
}

#[test]
fn both_target_groups_are_in_use_at_all_times_and_nobody_is_kept_on_one() {
    for shares in [&[0][..], &[0, 20], &[0, 100], &[0, 20, 0]] {
        let action = action(&after(&plain(json!({})), shares));
        let share = *shares.last().expect("a share");
        let groups = json!([
            {"serviceName": "frontend-primary", "servicePort": 80, "weight": 100 - share},
            {"serviceName": "frontend-canary", "servicePort": 80, "weight": share},
        ]);
        assert_eq!(action["forwardConfig"]["targetGroups"], groups);
        assert_eq!(action["forwardConfig"]["targetGroupStickinessConfig"], json!({"enabled": false}));
    }
}

#[rstest]
#[case::nothing(json!({}), None)]
#[case::the_apex_alone(json!({ACTION: APEX}), Some(0))]
#[case::in_other_letters(json!({ACTION: r#"{"Type":"forward","ForwardConfig":{"TargetGroups":[{"ServiceName":"frontend-primary","ServicePort":"80","Weight":3},{"ServiceName":"frontend-canary","Weight":1}]}}"#}), Some(25))]
#[case::a_trace(json!({ACTION: r#"{"type":"forward","forwardConfig":{"targetGroups":[{"serviceName":"frontend-primary","weight":998},{"serviceName":"frontend-canary","weight":1}]}}"#}), Some(1))]
#[case::elsewhere(json!({ACTION: r#"{"type":"forward","targetGroupARN":"arn:x"}"#}), None)]
fn the_share_is_read_as_the_load_balancer_takes_it(#[case] annotations: Value, #[case] share: Option<u32>) {
    let found = state(&Alb, &behind_ingress(), &[plain(annotations)]).expect("readable");
    assert_eq!(found.map(|state| state.split.canary()), share);
}

#[rstest]
#[case::the_service_itself(
    ingress(),
    "leads to Service frontend itself, so that no weight can be set: write port: {name: use-annotation}"
)]
#[case::node_ports(plain(json!({"alb.ingress.kubernetes.io/target-type": "instance"})), "target-type is instance, which needs node ports")]
#[case::no_json(plain(json!({ACTION: "forward"})), "actions.frontend is no JSON, correct or remove it")]
#[case::a_redirect(plain(json!({ACTION: r#"{"type":"redirect"}"#})), "actions.frontend is no action that forwards")]
#[case::elsewhere(plain(json!({ACTION: r#"{"type":"forward","targetGroupARN":"arn:x"}"#})), "forwards to arn:x, which is no part of the release")]
#[case::another_too(plain(json!({ACTION: r#"{"type":"forward","forwardConfig":{"targetGroups":[{"serviceName":"frontend"},{"serviceName":"legacy"}]}}"#})), "forwards to legacy, which is no part of the release")]
fn an_ingress_that_does_not_fit_is_refused_with_what_to_do(#[case] users: Value, #[case] expected: &str) {
    let said = refused(&behind_ingress(), &users);
    assert!(said.contains(expected) && said.contains("Ingress frontend.shop"), "{said}");
}

#[test]
fn what_was_there_comes_back_and_a_path_never_names_an_action_that_says_nothing() {
    let back = |users: &Value| {
        let out = after(users, &[0, 20]);
        applied(&out, &finalize(&Alb, &behind_ingress(), &out).expect("planned"))
    };
    let users = plain(json!({ACTION: APEX}));
    assert_eq!(back(&users), std::slice::from_ref(&users));
    let left = back(&plain(json!({})));
    let groups = &action(&left)["forwardConfig"]["targetGroups"];
    assert_eq!(*groups, json!([{"serviceName": "frontend", "servicePort": 80, "weight": 100}]));
    assert_eq!(annotation(&left[0], BEFORE), None);
}

#[test]
fn a_user_who_leads_the_ingress_elsewhere_leaves_the_canary_nothing() {
    let out = after(&plain(json!({})), &[0, 20]);
    let mut led = out.clone();
    led[0]["spec"]["rules"][0]["http"]["paths"] = json!([path("emergency", IN_ORDER)]);
    let writes = plan(&Alb, &behind_ingress(), &canary_gets(20), &led).expect("planned");
    let taken = applied(&led, &writes);
    let state = state(&Alb, &behind_ingress(), &taken).expect("readable");
    assert_eq!(state.map(|state| state.split), Some(Split::PRIMARY));
    let said = plan(&Alb, &behind_ingress(), &canary_gets(20), &taken).expect_err("refused").to_string();
    assert!(said.contains("backend frontend not found in ingress frontend"), "{said}");
}

#[rstest]
#[case::no_path(json!([path("frontend", IN_ORDER)]))]
#[case::behind(json!([path("frontend", IN_ORDER), path("frontend-match", IN_ORDER)]))]
#[case::not_in_order(json!([path("frontend-match", "Prefix"), path("frontend", "Prefix")]))]
fn an_ab_test_needs_a_path_for_the_requests_that_match_before_the_others(#[case] paths: Value) {
    let release = testing_for(json!([{"headers": {"x-canary": {"exact": "insider"}}}]));
    let said = refused(&release, &users(paths, json!({})));
    assert!(
        said.contains("has no path before it for the requests that match: write one with the same path"),
        "{said}"
    );
}

#[rstest]
#[case::one(json!([{"headers": {"X-Canary": {"exact": "insider"}}}]), json!([{"field": "http-header", "httpHeaderConfig": {"httpHeaderName": "x-canary", "values": ["insider"]}}]))]
#[case::all_of_them(
    json!([{"headers": {"x-canary": {"prefix": "in"}}, "queryParams": {"v": {"exact": "2"}}}]),
    json!([
        {"field": "http-header", "httpHeaderConfig": {"httpHeaderName": "x-canary", "values": ["in*"]}},
        {"field": "query-string", "queryStringConfig": {"values": [{"key": "v", "value": "2"}]}},
    ])
)]
#[case::any_of_them(
    json!([{"headers": {"x-canary": {"exact": "a"}}}, {"headers": {"X-Canary": {"suffix": "b"}}}]),
    json!([{"field": "http-header", "httpHeaderConfig": {"httpHeaderName": "x-canary", "values": ["a", "*b"]}}])
)]
fn a_match_is_a_condition_of_the_load_balancer(#[case] matches: Value, #[case] expected: Value) {
    let release = testing_for(matches);
    assert_eq!(matching::conditions(&release.analysis.matches).map(Value::Array), Ok(expected));
}

#[rstest]
#[case::expression(json!([{"headers": {"x": {"regex": "a.*"}}}]), "spec.analysis.match[0].headers.x: is an expression")]
#[case::wildcard(json!([{"headers": {"x": {"exact": "a*"}}}]), "spec.analysis.match[0].headers.x: has *, ? or \\ in it")]
#[case::two_rules(json!([{"headers": {"x": {"exact": "a"}}}, {"headers": {"y": {"exact": "a"}}}]), "spec.analysis.match[1]: would need a rule of its own")]
#[case::nothing(json!([{}]), "spec.analysis.match[0]: has no condition")]
#[case::labels(json!([{"sourceLabels": {"app": "x"}}]), "spec.analysis.match[0].sourceLabels: are not known at an ingress")]
#[case::too_many(json!([{"headers": {"a": {"exact": "1"}, "b": {"exact": "1"}, "c": {"exact": "1"}, "d": {"exact": "1"}}}]), "spec.analysis.match: compares with 4 values")]
fn a_match_that_one_rule_cannot_check_is_refused(#[case] matches: Value, #[case] expected: &str) {
    let problems = Alb.problems(&testing_for(matches), &Settings::default());
    let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(said.iter().any(|problem| problem.starts_with(expected)), "{said:?}");
}

#[rstest]
#[case::defaults(json!({}), 45)]
#[case::own(json!({"alb.ingress.kubernetes.io/healthcheck-interval-seconds": "10", "alb.ingress.kubernetes.io/healthy-threshold-count": "3"}), 45)]
#[case::slow(json!({"alb.ingress.kubernetes.io/healthcheck-interval-seconds": "60"}), 135)]
#[case::no_numbers(json!({"alb.ingress.kubernetes.io/healthcheck-interval-seconds": "soon"}), 45)]
#[case::endless(json!({"alb.ingress.kubernetes.io/healthcheck-interval-seconds": "300", "alb.ingress.kubernetes.io/healthy-threshold-count": "10"}), 600)]
fn a_target_group_is_given_the_time_that_its_health_checks_take(
    #[case] annotations: Value,
    #[case] seconds: u64,
) {
    let settle = looking(&behind_ingress(), &[plain(annotations)], |view| Alb.settles(view));
    assert_eq!(settle, Duration::from_secs(seconds));
}
