//! What gateways say of the route.

use super::*;

const GENERATION: i64 = 3;

/// The route with these entries of `status.parents`.
fn acceptance(release: &Release, parents: Value) -> Acceptance {
    heard(ROUTER, release, parents)
}

fn heard(router: &dyn Router, release: &Release, parents: Value) -> Acceptance {
    let writes = testing::plan(router, release, &wish(10), &[]).expect("writes");
    let route = with(
        &applied(&[], &writes)[0],
        json!({"metadata": {"generation": GENERATION}, "status": {"parents": parents}}),
    );
    testing::looking(release, &[route], |view| router.acceptance(view))
}

fn public() -> Value {
    json!({"name": "public", "namespace": "edge"})
}

fn said(parent: Value, conditions: Value) -> Value {
    json!({"parentRef": parent, "controllerName": "example.com/gateway", "conditions": conditions})
}

fn condition(kind: &str, status: &str, generation: Option<i64>) -> Value {
    let mut condition =
        json!({"type": kind, "status": status, "reason": "Why", "message": "no listener fits"});
    if let Some(generation) = generation {
        condition["observedGeneration"] = json!(generation);
    }
    condition
}

fn yes() -> Value {
    json!([
        condition("Accepted", "True", Some(GENERATION)),
        condition("ResolvedRefs", "True", Some(GENERATION))
    ])
}

const AT: &str = "HTTPRoute frontend.shop at Gateway public.edge";

// spec: 03/GW-16 03/GW-19
#[rstest]
#[case::accepted(json!([said(public(), yes())]), None)]
#[case::without_a_generation(json!([said(public(), json!([condition("Accepted", "True", None)]))]), None)]
#[case::written_out(
    json!([said(json!({"group": GROUP, "kind": "Gateway", "name": "public", "namespace": "edge"}), yes())]),
    None
)]
#[case::no_status(json!([]), Some(
    "Gateway public.edge says nothing of HTTPRoute frontend.shop yet: is there such a Gateway, and a controller of its \
     class?"
))]
#[case::another_parents_status(json!([said(json!({"name": "other"}), yes())]), Some("Gateway public.edge says nothing"))]
#[case::old(
    json!([said(public(), json!([condition("Accepted", "True", Some(2))]))]),
    Some("has not been taken in since its last change")
)]
#[case::refused(
    json!([said(public(), json!([condition("Accepted", "False", Some(GENERATION))]))]),
    Some("is not accepted: Why, no listener fits")
)]
#[case::unknown(
    json!([said(public(), json!([condition("Accepted", "Unknown", None)]))]),
    Some("is not accepted: Why, no listener fits")
)]
#[case::no_condition(json!([said(public(), json!([]))]), Some("is neither accepted nor refused yet"))]
#[case::no_backend(
    json!([said(public(), json!([
        condition("Accepted", "True", Some(GENERATION)), condition("ResolvedRefs", "False", Some(GENERATION)),
    ]))]),
    Some("refers to what cannot be used: Why, no listener fits")
)]
#[case::backend_of_an_older_generation(
    json!([said(public(), json!([
        condition("Accepted", "True", Some(GENERATION)), condition("ResolvedRefs", "False", Some(2)),
    ]))]),
    None
)]
#[case::in_part(
    json!([said(public(), json!([
        condition("Accepted", "True", Some(GENERATION)), condition("PartiallyInvalid", "True", Some(GENERATION)),
    ]))]),
    Some("is only used in part: Why, no listener fits")
)]
#[case::words_of_a_controller_that_left(
    json!([said(public(), json!([condition("Accepted", "True", Some(1))])), said(public(), yes())]),
    None
)]
fn a_gateway_has_the_word(#[case] parents: Value, #[case] expected: Option<&str>) {
    match (acceptance(&shop(json!({})), parents), expected) {
        (Acceptance::Accepted, None) => {}
        (Acceptance::Pending(why), Some(text)) => {
            assert!(why.contains(text) && (why.starts_with(AT) || why.starts_with("Gateway")), "{why}");
        }
        (found, expected) => panic!("{found:?} instead of {expected:?}"),
    }
}

// spec: 03/GW-17 03/GW-18
#[rstest]
#[case(ROUTER)]
#[case(BETA)]
fn a_mesh_that_never_says_is_taken_at_its_word(#[case] router: &dyn Router) {
    let refs = json!([{"group": "core", "kind": "Service", "name": "frontend", "port": 80}]);
    let release = shop(json!({"gatewayRefs": refs}));
    assert_eq!(heard(router, &release, json!([])), Acceptance::Accepted);
    // One that does is heard, in whatever words it names the Service.
    let service =
        json!({"group": "", "kind": "Service", "name": "frontend", "namespace": "shop", "port": 80});
    let no = json!([condition("Accepted", "False", None)]);
    assert_eq!(
        heard(router, &release, json!([said(service, no)])),
        Acceptance::Pending(
            "HTTPRoute frontend.shop at Service frontend.shop is not accepted: Why, no listener fits".into()
        )
    );
}

#[test]
fn every_parent_that_the_release_names_has_to_accept() {
    let release = shop(json!({"gatewayRefs": [
        {"name": "public", "namespace": "edge"}, {"name": "internal", "sectionName": "http"},
    ]}));
    let internal = json!({"name": "internal", "namespace": "shop", "sectionName": "http"});
    let Acceptance::Pending(why) = acceptance(&release, json!([said(public(), yes())])) else { panic!() };
    assert!(why.starts_with("Gateway internal.shop (listener http) says nothing"), "{why}");
    let both = json!([said(public(), yes()), said(internal, yes())]);
    assert_eq!(acceptance(&release, both), Acceptance::Accepted);
}

#[test]
fn a_controllers_words_are_cut_to_a_line() {
    let mut no = condition("Accepted", "False", None);
    no["message"] = json!("é".repeat(100_000));
    let Acceptance::Pending(why) = acceptance(&shop(json!({})), json!([said(public(), json!([no]))])) else {
        panic!()
    };
    assert!(why.chars().count() < 400, "{}", why.len());
}
