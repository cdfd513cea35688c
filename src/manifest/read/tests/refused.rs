//! What no release can be made of.

use super::*;

#[rstest]
#[case("/spec/targetRef/kind", json!("StatefulSet"), "spec.targetRef.kind: \"StatefulSet\" cannot be released: write Deployment, DaemonSet or Service")]
#[case("/spec/targetRef/name", json!(""), "spec.targetRef.name: is empty: write a name")]
#[case("/spec/targetRef/name", json!("a-name-of-fifty-six-characters-is-one-too-many-for-us-all"), "spec.targetRef.name: \"a-name-of-fifty-six-characters-is-one-too-many-for-us-all\" is too long for a Service name: with -primary it may have 63 characters, so write at most 55 here, or another spec.service.name")]
#[case("/spec/autoscalerRef", json!({"apiVersion": "x/v1", "kind": "VPA", "name": "a"}), "spec.autoscalerRef.kind: \"VPA\" is not known: write HorizontalPodAutoscaler or ScaledObject")]
#[case("/spec/autoscalerRef", json!({"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": ""}), "spec.autoscalerRef.name: is empty: write a name")]
#[case("/spec/autoscalerRef", json!({"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": "a", "primaryScalerReplicas": {"minReplicas": 5, "maxReplicas": 2}}), "spec.autoscalerRef.primaryScalerReplicas: minReplicas 5 is more than maxReplicas 2: write the smaller one first")]
#[case(
    "/spec/service",
    Value::Null,
    "spec.service.port: is missing: write the port that the Services are to have"
)]
#[case("/spec/service/port", json!(0), "spec.service.port: is missing: write the port that the Services are to have")]
#[case("/spec/service/port", json!(70000), "spec.service.port: 70000 is not a port: write one from 1 to 65535")]
#[case("/spec/provider", json!("istoi"), "spec.provider: \"istoi\" is not known: write istio, knative or kubernetes")]
#[case("/spec/analysis/alerts", json!([{"name": "a", "providerRef": {"name": ""}}]), "spec.analysis.alerts[0].providerRef.name: is empty: write a name")]
#[case("/spec/analysis/sessionAffinity", json!({"cookieName": ""}), "spec.analysis.sessionAffinity.cookieName: is empty: write a name")]
#[case("/spec/analysis/webhooks", json!([{"name": "a", "url": "load.test:80"}]), "spec.analysis.webhooks[0].url: \"load.test:80\" is not an address: write one like http://gate.test/check")]
#[case("/spec/analysis/webhooks", json!([{"name": "a", "url": ""}]), "spec.analysis.webhooks[0].url: \"\" is not an address: write one like http://gate.test/check")]
#[case("/spec/analysis/webhooks", json!([{"name": "a", "url": "http://a.test/", "timeout": "soon"}]), "spec.analysis.webhooks[0].timeout: \"soon\" is not a duration: write one like 30s, 1m or 1m30s")]
#[case("/spec/analysis/webhooks", json!([{"name": "a", "url": "http://a.test/", "timeout": "0s"}]), "spec.analysis.webhooks[0].timeout: \"0s\" is not more than 0s: write one like 30s, 1m or 1m30s")]
fn one_broken_field_is_named(#[case] at: &str, #[case] value: Value, #[case] message: &str) {
    assert_eq!(refusals(read(&with(at, value))), [message]);
}

// spec: 01/API-074 02/C5 03/KN-07
#[rstest]
#[case(json!({"targetRef": {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "f"}, "provider": "istio"}), "can't use istio provider with Knative Service as target")]
#[case(json!({"targetRef": {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "f"}}), "can't use  provider with Knative Service as target")]
#[case(json!({"provider": "knative"}), "can't use apps/v1/Deployment as target if provider is set to knative")]
#[case(json!({"targetRef": {"apiVersion": "v1", "kind": "Service", "name": "f"}, "provider": "knative"}), "can't use v1/Service as target if provider is set to knative")]
#[case(json!({"targetRef": {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "f"}, "provider": "knative", "autoscalerRef": {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "name": "f"}}), "can't use autoscaler with Knative Service")]
fn knative_goes_with_knative_only(#[case] fields: Value, #[case] message: &str) {
    let mut manifest = frontend();
    manifest["spec"]
        .as_object_mut()
        .expect("an object")
        .extend(fields.as_object().expect("an object").clone());
    let problems = read(&manifest).release.expect_err("refused");
    assert_eq!(problems.iter().map(|problem| problem.message.as_str()).collect::<Vec<_>>(), [message]);
}

// spec: 01/API-079 02/C5 03/KN-01
#[test]
fn the_provider_of_the_controller_is_not_enough_for_knative() {
    let settings = Settings { mesh_provider: "knative".into(), ..Settings::default() };
    let knative = json!({"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "frontend"});
    let problems = read_with(&with("/spec/targetRef", knative), &settings).release.expect_err("refused");
    assert_eq!(problems[0].message, "can't use  provider with Knative Service as target");
}

// spec: 01/API-074 02/C5 03/SA-10
#[test]
fn one_cookie_cannot_name_both_sides() {
    let manifest =
        with("/spec/analysis/sessionAffinity", json!({"cookieName": "a", "primaryCookieName": "a"}));
    let problems = read(&manifest).release.expect_err("refused");
    assert_eq!(
        problems[0].message,
        "can't use the same cookie name for both primary and cookie name; please update them to be different"
    );
}

// spec: 01/API-074 02/C5 03/SA-10 04/PR-03
#[test]
fn references_into_other_namespaces_can_be_forbidden() {
    let mut manifest = frontend();
    manifest["spec"]["upstreamRef"] =
        json!({"apiVersion": "gloo.solo.io/v1", "kind": "Upstream", "name": "up", "namespace": "gloo"});
    manifest["spec"]["analysis"]["metrics"] = json!([
        {"name": "own", "templateRef": {"name": "own"}, "threshold": 1},
        {"name": "other", "templateRef": {"name": "other", "namespace": "ops"}, "threshold": 1},
    ]);
    manifest["spec"]["analysis"]["alerts"] =
        json!([{"name": "a", "providerRef": {"name": "chat", "namespace": "ops"}}]);
    assert!(read(&manifest).release.is_ok());
    let settings = Settings { no_cross_namespace_refs: true, ..Settings::default() };
    assert_eq!(
        refusals(read_with(&manifest, &settings)),
        [
            "spec.upstreamRef.namespace: can't access gloo upstream up.gloo, cross-namespace references are blocked",
            "spec.analysis.metrics[1].templateRef.namespace: can't access metric template other.ops, cross-namespace references are blocked",
            "spec.analysis.alerts[0].providerRef.namespace: can't access alert provider chat.ops, cross-namespace references are blocked",
        ]
    );
}

#[test]
fn an_unknown_provider_of_the_controller_is_told_as_such() {
    let settings = Settings { mesh_provider: "typo".into(), ..Settings::default() };
    assert_eq!(
        refusals(read_with(&frontend(), &settings)),
        [
            "spec.provider: is not set, and --mesh-provider is \"typo\", which is not known: write istio, knative or kubernetes",
        ]
    );
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let mut manifest = with("/spec/service/port", json!(0));
    manifest["spec"]["provider"] = json!("typo");
    manifest["spec"]["analysis"]["stepWeight"] = json!(0);
    manifest["spec"]["analysis"]["webhooks"] = json!([{"name": "a", "url": "?"}]);
    assert_eq!(refusals(read(&manifest)).len(), 4);
}

#[test]
fn a_canary_that_is_being_deleted_is_not_refused() {
    let mut manifest = with("/metadata/deletionTimestamp", json!("2026-01-01T00:00:00Z"));
    manifest["spec"]["provider"] = json!("typo");
    manifest["spec"]["analysis"]["stepWeight"] = json!(0);
    let reading = read(&manifest);
    assert_eq!(reading.release.expect("its finalizer must run").target.name, "frontend");
    assert_eq!(reading.warnings.len(), 2, "{:?}", reading.warnings);

    manifest["spec"]["targetRef"]["kind"] = json!("StatefulSet");
    assert!(read(&manifest).release.is_err(), "there is nothing to give back");
}

#[test]
fn a_long_value_is_cut_in_messages() {
    let manifest = with("/spec/provider", json!("é".repeat(10_000)));
    assert!(refusals(read(&manifest))[0].len() < 300);
}
