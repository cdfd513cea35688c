//! Contour: what its routes take of a manifest. How the objects look stands in `tests/data/routers/contour`.

use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::router::testing::{
    applied, canary_gets, plan, release, seen, service as manifest, serving, shape, state, with,
};

/// The HTTPProxy after the release has had these shares.
fn after(release: &Release, shares: &[u32]) -> Value {
    let objects = shares.iter().fold(Vec::new(), |objects, share| {
        applied(&objects, &plan(&Contour, release, &canary_gets(*share), &objects).expect("planned"))
    });
    objects.into_iter().next().expect("an HTTPProxy")
}

/// A release of those whose requests have a header like this.
fn insiders(header: Value) -> Release {
    let mut release = release();
    release.analysis.matches =
        serde_json::from_value(json!([{"headers": {"x-canary": header}}])).expect("matches");
    release
}

// spec: 03/CTR-04
#[test]
fn the_class_of_the_controllers_flag_stays_with_every_step() {
    let (release, shape) = (release(), shape());
    let settings = Settings { ingress_class: "public".into(), ..Settings::default() };
    let mut objects = Vec::new();
    for share in [0, 10, 50, 0] {
        let seen = seen(objects.clone());
        let view = View { release: &release, shape: &shape, settings: &settings, seen: &seen };
        let writes = crate::router::plan::routes(&Contour, &view, &canary_gets(share)).expect("planned");
        objects = applied(&objects, &writes);
        assert_eq!(objects[0]["spec"]["ingressClassName"], "public", "with a share of {share}");
    }
}

// spec: 03/CTR-05
#[rstest]
#[case::exact(json!({"exact": "insider"}), json!({"name": "x-canary", "exact": "insider"}))]
#[case::prefix(json!({"prefix": "in"}), json!({"name": "x-canary", "contains": "in"}))]
#[case::suffix(json!({"suffix": "sider"}), json!({"name": "x-canary", "contains": "sider"}))]
fn a_header_is_compared_as_contour_can(#[case] header: Value, #[case] condition: Value) {
    let proxy = after(&insiders(header), &[100]);
    assert_eq!(proxy["spec"]["routes"][0]["conditions"], json!([{"prefix": "/"}, {"header": condition}]));
    let everybody = &proxy["spec"]["routes"][1];
    assert_eq!(everybody["conditions"], json!([{"prefix": "/"}]));
    assert_eq!(everybody["services"][0]["weight"], 100, "others go to the primary");
}

// spec: 03/CTR-06
#[rstest]
#[case::regex(json!({"regex": "in.*"}))]
#[case::two_texts(json!({"exact": "a", "prefix": "b"}))]
#[case::none(json!({}))]
fn a_header_that_contour_would_not_compare_is_refused(#[case] header: Value) {
    let refused = plan(&Contour, &insiders(header), &canary_gets(100), &[]).expect_err("refused").to_string();
    assert!(refused.contains("spec.analysis.match[0].headers.x-canary"), "{refused}");
    assert!(refused.contains("write exact or prefix"), "{refused}");
}

// spec: 03/CTR-07
#[test]
fn retries_without_a_reason_leave_the_reasons_to_contour() {
    let of = |retries: Value| {
        let release = serving(manifest(json!({"port": 80, "retries": retries})));
        after(&release, &[0])["spec"]["routes"][0]["retryPolicy"].clone()
    };
    let without = of(json!({"attempts": 3, "perTryTimeout": "5s"}));
    assert_eq!(without, json!({"count": 3, "perTryTimeout": "5s"}));
    assert_eq!(of(json!({"attempts": 3, "retryOn": "5xx"})), json!({"count": 3, "retryOn": ["5xx"]}));
}

// spec: 03/CTR-08
#[test]
fn a_route_that_gives_nothing_to_either_side_is_an_error() {
    let proxy = after(&release(), &[0, 40]);
    let mut services = proxy["spec"]["routes"][0]["services"].clone();
    for service in services.as_array_mut().expect("a list") {
        service["weight"] = json!(0);
    }
    let mut route = proxy["spec"]["routes"][0].clone();
    route["services"] = services;
    let dead = with(&proxy, json!({"spec": {"routes": [route]}}));
    let error = state(&Contour, &release(), &[dead]).expect_err("nothing for either").to_string();
    assert!(error.contains("HTTPProxy frontend.shop"), "{error}");
}
