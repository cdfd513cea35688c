//! A VirtualService that was there before: taken over, and given back.

use std::slice::from_ref;

use super::*;

/// A VirtualService that the user made before there was a Canary.
fn users_own() -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1beta1",
        "kind": "VirtualService",
        "metadata": {
            "name": "frontend", "namespace": "shop", "resourceVersion": "5",
            "labels": {"argocd.argoproj.io/instance": "shop"},
            "annotations": {"team": "web"},
        },
        "spec": {
            "hosts": ["shop.example.com"],
            "gateways": ["public"],
            "exportTo": ["*"],
            "http": [{"route": [{"destination": {"host": "frontend"}}]}],
        },
    })
}

// spec: 03/IST-24 03/IST-25 03/OWN-03
#[test]
fn a_users_virtual_service_is_taken_over_and_its_old_spec_kept_once() {
    let release = shop(json!({"gateways": ["public"], "hosts": ["shop.example.com"]}));
    assert_eq!(state(&release, &[users_own()]), Ok(None), "it is not told anything of ours yet");
    let taken = applied(&[users_own()], &plan(&release, &wish(0), &[users_own()]));
    let taken_over = virtual_service_of(&taken);
    assert_eq!(taken_over["spec"]["http"], json!([{"route": split(100, 0)}]));
    assert_eq!(taken_over["spec"]["exportTo"], json!(["*"]));
    assert_eq!(taken_over["metadata"]["ownerReferences"], json!(null));
    assert_eq!(taken_over["metadata"]["labels"], json!({"argocd.argoproj.io/instance": "shop"}));
    let kept = taken_over["metadata"]["annotations"][ORIGINAL].as_str().expect("the old spec");
    assert_eq!(serde_json::from_str::<Value>(kept).expect("JSON"), users_own()["spec"]);

    let other = shop(json!({"gateways": ["public"], "timeout": "5s"}));
    let changed = applied(&taken, &plan(&other, &wish(10), &taken));
    assert_eq!(virtual_service_of(&changed)["metadata"]["annotations"][ORIGINAL], kept);
}

#[rstest]
#[case::kubectl_remembers(json!({"metadata": {"annotations": {LAST_APPLIED: "{\"spec\":{}}"}}}))]
#[case::it_is_generated_already(json!({"spec": {"http": [{"route": split(100, 0)}]}}))]
#[case::it_is_ours(json!({"metadata": {"ownerReferences": [{"kind": "Canary", "name": "frontend", "controller": true}]}}))]
fn nothing_is_kept_where_there_is_no_need(#[case] changes: Value) {
    let live = with(&users_own(), changes);
    let objects = applied(from_ref(&live), &plan(&shop(json!({})), &wish(10), from_ref(&live)));
    assert_eq!(virtual_service_of(&objects)["metadata"]["annotations"].get(ORIGINAL), None);
}

#[test]
fn the_virtual_service_of_another_canary_is_refused() {
    let owners = json!([{"kind": "Canary", "name": "other", "controller": true}]);
    let live = with(&users_own(), json!({"metadata": {"ownerReferences": owners}}));
    assert_eq!(
        testing::plan(&Istio, &shop(json!({})), &wish(0), &[live]),
        Err(Error::Object(
            "VirtualService frontend.shop belongs to Canary other.shop, delete that one or give frontend.shop \
             another spec.service.name"
                .into()
        ))
    );
}

fn finalize(live: &[Value]) -> Result<Vec<Write>, Error> {
    testing::finalize(&Istio, &shop(json!({})), live)
}

// spec: 03/IST-26
#[rstest]
#[case::kubectl_first(Some(json!({"spec": {"hosts": ["kubectl"]}})), Some(json!({"hosts": ["kept"]})), json!(["kubectl"]))]
#[case::then_what_was_kept(None, Some(json!({"hosts": ["kept"]})), json!(["kept"]))]
fn a_users_virtual_service_gets_its_spec_back(
    #[case] kubectl: Option<Value>,
    #[case] kept: Option<Value>,
    #[case] hosts: Value,
) {
    let taken = applied(&[users_own()], &plan(&shop(json!({})), &wish(0), &[users_own()]));
    let annotations = json!({
        LAST_APPLIED: kubectl.map(|value| value.to_string()),
        ORIGINAL: kept.map(|value| value.to_string()),
    });
    let live = with(&virtual_service_of(&taken), json!({"metadata": {"annotations": annotations}}));
    let back = applied(from_ref(&live), &finalize(from_ref(&live)).expect("writes")).remove(0);
    assert_eq!(back["spec"], json!({"hosts": hosts}));
    let mut left: Vec<_> = back["metadata"]["annotations"].as_object().expect("annotations").keys().collect();
    left.retain(|key| *key != LAST_APPLIED);
    assert_eq!(left, ["team"], "the marks are gone");
    assert_eq!(finalize(&[back]), Ok(vec![]), "once");
}

#[test]
fn take_over_and_return_are_a_round_trip() {
    let taken = applied(&[users_own()], &plan(&shop(json!({})), &wish(40), &[users_own()]));
    let live = virtual_service_of(&taken);
    let back = applied(from_ref(&live), &finalize(from_ref(&live)).expect("writes"));
    assert_eq!(back, [users_own()]);
}

// spec: 03/IST-26
#[test]
fn there_may_be_nothing_to_give_back() {
    assert_eq!(finalize(&[]), Ok(vec![]), "the object is gone");
    assert_eq!(finalize(&[users_own()]), Ok(vec![]), "nobody knows how it was");
}

#[rstest]
#[case("{not json")]
#[case("[]")]
#[case("{\"kind\":\"VirtualService\"}")]
fn an_annotation_that_cannot_be_read_is_an_error_and_nothing_is_lost(#[case] text: &str) {
    let live = with(&users_own(), json!({"metadata": {"annotations": {LAST_APPLIED: text}}}));
    let error = finalize(from_ref(&live)).expect_err("an error").to_string();
    assert!(
        error.starts_with(
            "VirtualService frontend.shop failed to unMarshal annotation kubectl.kubernetes.io/last-applied-configuration: "
        ),
        "{error}"
    );
}
