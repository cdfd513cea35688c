//! A route that was there before: taken over where nothing of it is lost, and given back.

use super::*;
use crate::router::marks::ORIGINAL;

/// A route that the user made before there was a Canary.
fn users_own() -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "frontend", "namespace": "shop", "resourceVersion": "5", "labels": {"team": "web"}},
        "spec": {
            "parentRefs": [{"name": "public", "namespace": "edge"}],
            "hostnames": ["shop.example.com"],
            "rules": [
                {"matches": [{"path": {"type": "PathPrefix", "value": "/static"}}], "backendRefs": [{"name": "cdn"}]},
                {
                    "filters": [login(), tenant()],
                    "timeouts": {"request": "20s"},
                    "retry": {"attempts": 2},
                    "backendRefs": [{"name": "frontend", "port": 80}],
                },
            ],
        },
    })
}

/// What a user put in front of the frontend.
fn login() -> Value {
    json!({"type": "ExtensionRef", "extensionRef": {"group": "auth.example.com", "kind": "Login", "name": "customers"}})
}

fn tenant() -> Value {
    json!({"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x-tenant", "value": "a"}]}})
}

/// The user's route with a rule in the place of the one that leads to the frontend.
fn users_rule(rule: Value) -> Value {
    let mut route = users_own();
    route["spec"]["rules"][1] = rule;
    route
}

// spec: 03/OWN-03 03/GW-25
#[test]
fn rules_and_filters_of_others_stay() {
    let release = shop(json!({}));
    assert_eq!(state(&release, &users_own()), Ok(None), "it is told nothing of ours yet");
    let taken = onto(&[users_own()], &release, &wish(10));
    assert_eq!(taken["spec"]["rules"][0], users_own()["spec"]["rules"][0]);
    assert_eq!(
        taken["spec"]["rules"][1],
        json!({
            "filters": [login(), tenant()],
            "timeouts": {"request": "20s"},
            "retry": {"attempts": 2},
            "backendRefs": split(90, 10),
        })
    );
    assert_eq!(taken["spec"]["rules"].as_array().map(Vec::len), Some(2));
    assert_eq!(taken["spec"]["hostnames"], json!(["shop.example.com"]));
    assert_eq!(taken["metadata"]["ownerReferences"], Value::Null);
    assert_eq!(read(&release, &taken).split.canary(), 10);
    let back = testing::finalize(ROUTER, &release, from_ref(&taken)).expect("planned");
    let back = applied(&[taken], &back);
    assert_eq!(back[0]["spec"], users_own()["spec"]);
    assert_eq!(back[0]["metadata"]["annotations"], Value::Null);
}

#[rstest]
#[case::insiders(ab(insiders(), json!({})), wish(100))]
#[case::holders_of_a_cookie(sticky(Some("pk"), json!({})), running())]
#[case::who_is_to_forget_it(sticky(Some("pk"), json!({})), ended())]
fn nobody_passes_by_what_the_user_put_in_front(#[case] release: Release, #[case] wish: RouteWish) {
    let taken = onto(&[users_own()], &release, &wish);
    let rules = live::rules(&taken);
    let ours: Vec<&Value> =
        rules.iter().filter(|rule| rule["backendRefs"] != json!([{"name": "cdn"}])).collect();
    assert!(ours.len() > 1, "{rules:#?}");
    for rule in ours {
        assert_eq!(live::list(&rule["filters"])[..2], [login(), tenant()], "{rule:#}");
        assert_eq!(
            (&rule["timeouts"], &rule["retry"]),
            (&json!({"request": "20s"}), &json!({"attempts": 2}))
        );
    }
}

#[test]
fn the_manifest_has_its_say_where_it_says_something() {
    let release = shop(json!({
        "timeout": "5s", "hosts": ["shop.example.com", "b.example.com"],
        "headers": {"request": {"set": {"x-tenant": "b"}}},
    }));
    let taken = onto(&[users_own()], &release, &wish(10));
    let rule = &taken["spec"]["rules"][1];
    assert_eq!(rule["timeouts"], json!({"request": "5s"}));
    let mut ours = tenant();
    ours["requestHeaderModifier"]["set"][0]["value"] = json!("b");
    assert_eq!(rule["filters"], json!([login(), ours]));
    assert_eq!(taken["spec"]["hostnames"], json!(["shop.example.com", "b.example.com"]));
}

#[test]
fn filters_of_the_users_backend_hold_for_both_sides_beside_our_cookies() {
    let hide = json!({"type": "ResponseHeaderModifier", "responseHeaderModifier": {"remove": ["server"]}});
    let users = users_rule(json!({"backendRefs": [{"name": "frontend", "port": 80, "filters": [hide]}]}));
    let release = sticky(Some("pk"), json!({}));
    let during = onto(&[users], &release, &running());
    let both = |route: &Value| {
        let rules = live::rules(route);
        let weighted = rules.last().expect("rules").clone();
        [0, 1].map(|side| weighted["backendRefs"][side]["filters"][0]["responseHeaderModifier"].clone())
    };
    for modifier in both(&during) {
        assert_eq!(
            (&modifier["remove"], modifier["add"].as_array().map(Vec::len)),
            (&json!(["server"]), Some(1))
        );
    }
    let after = onto(&[during], &release, &ended());
    assert_eq!(both(&after), [json!({"remove": ["server"]}), json!({"remove": ["server"]})]);
}

#[test]
fn an_old_spec_is_kept_once() {
    let release = shop(json!({}));
    let taken = onto(&[users_own()], &release, &wish(0));
    let kept = taken["metadata"]["annotations"][ORIGINAL].clone();
    assert_eq!(
        serde_json::from_str::<Value>(kept.as_str().expect("kept")).expect("JSON"),
        users_own()["spec"]
    );
    let stepped = onto(&[taken], &release, &wish(10));
    assert_eq!(stepped["metadata"]["annotations"][ORIGINAL], kept);
}

// spec: 03/GW-25
#[rstest]
#[case::of_another_gateway(
    with(&users_own(), json!({"spec": {"parentRefs": [{"name": "public", "namespace": "edge"}, {"name": "internal"}]}})),
    json!({}),
    "it is attached to Gateway internal.shop as well, add that to spec.service.gatewayRefs"
)]
#[case::of_another_host(
    users_own(),
    json!({"hosts": ["b.example.com"]}),
    "it is for host \"shop.example.com\" as well, add that to spec.service.hosts"
)]
#[case::of_every_host(
    with(&users_own(), json!({"spec": {"hostnames": null}})),
    json!({"hosts": ["b.example.com"]}),
    "it is for every host, and spec.service.hosts for some"
)]
#[case::rules_for_other_requests(
    users_rule(json!({"matches": [{"path": {"value": "/api"}}], "backendRefs": [{"name": "frontend"}]})),
    json!({}),
    "rule 1 leads to Service frontend for other requests than spec.service.match names"
)]
#[case::to_elsewhere(users_rule(json!({"backendRefs": [{"name": "legacy"}]})), json!({}), "rule 1 has the requests")]
#[case::to_elsewhere_as_well(
    users_rule(json!({"backendRefs": [{"name": "frontend"}, {"name": "legacy"}]})),
    json!({}),
    "rule 1 has the requests"
)]
#[case::a_redirect(
    users_rule(json!({"filters": [{"type": "RequestRedirect", "requestRedirect": {"scheme": "https"}}]})),
    json!({}),
    "rule 1 has the requests that the release is for, and does not lead to Service frontend alone"
)]
#[case::sessions_of_the_gateway(
    users_rule(json!({"sessionPersistence": {"sessionName": "s"}, "backendRefs": [{"name": "frontend"}]})),
    json!({}),
    "rule 1 has sessionPersistence, which would keep clients on the canary after a rollback"
)]
fn what_would_be_lost_is_told_instead(#[case] route: Value, #[case] manifest: Value, #[case] expected: &str) {
    let refused = testing::plan(ROUTER, &shop(manifest), &wish(0), &[route]).expect_err("refused");
    let start = format!("HTTPRoute frontend.shop cannot be taken over: {expected}");
    assert!(refused.to_string().starts_with(&start), "{refused}");
}

#[test]
fn too_many_rules_are_told_before_the_route_is_taken_over() {
    let mut route = users_own();
    let other = |n: usize| json!({"matches": [{"path": {"value": format!("/{n}")}}], "backendRefs": [{"name": "cdn"}]});
    let rules = (0..14).map(other).chain([users_own()["spec"]["rules"][1].clone()]);
    route["spec"]["rules"] = rules.collect();
    let plan = |release: &Release| testing::plan(ROUTER, release, &wish(0), from_ref(&route));
    assert!(plan(&shop(json!({}))).is_ok());
    let refused = plan(&sticky(Some("pk"), json!({}))).expect_err("refused");
    assert_eq!(
        refused.to_string(),
        "HTTPRoute frontend.shop cannot be taken over: it would have 17 rules of the route, and the Gateway API takes 16"
    );
}

#[test]
fn a_route_that_is_taken_over_is_never_refused_in_the_middle_of_a_run() {
    let release = shop(json!({}));
    let mut taken = onto(&[users_own()], &release, &wish(10));
    taken["spec"]["parentRefs"] = json!([{"name": "public", "namespace": "edge"}, {"name": "internal"}]);
    taken["spec"]["rules"][1]["sessionPersistence"] = json!({"sessionName": "s"});
    let after = onto(&[taken], &release, &wish(0));
    assert_eq!(read(&release, &after).split, Split::PRIMARY);
    assert_eq!(after["spec"]["rules"][1].get("sessionPersistence"), None);
}

#[test]
fn a_route_that_somebody_made_of_ours_is_a_users() {
    // Taken over by Flagger, which keeps no original.
    let release = shop(json!({}));
    let route = foreign(&route_of(&release, &wish(10)));
    assert_eq!(read(&release, &route).split.canary(), 10);
    assert_eq!(plan(&release, &wish(10), &[route]), []);
}
