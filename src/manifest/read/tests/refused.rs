//! What no release can be made of.

use super::*;

#[rstest]
#[case("/spec/targetRef/kind", json!("StatefulSet"), "spec.targetRef.kind: \"StatefulSet\" cannot be released: write Deployment, DaemonSet or Service")]
#[case("/spec/targetRef/name", json!(""), "spec.targetRef.name: is empty: write a name")]
#[case("/spec/targetRef/name", json!("a-name-of-fifty-six-characters-is-one-too-many-for-us-all"), "spec.targetRef.name: \"a-name-of-fifty-six-characters-is-one-too-many-for-us-all\" is too long for a Service name: with -primary it may have 63 characters, so write at most 55 here, or another spec.service.name")]
#[case("/spec/targetRef/name", json!("my.app"), "spec.targetRef.name: \"my.app\" is no name that a Service can have: write small letters, digits and dashes into spec.service.name")]
#[case("/spec/service/name", json!("My_App"), "spec.service.name: \"My_App\" is no name that a Service can have: write small letters, digits and dashes into spec.service.name")]
#[case("/spec/service/hosts", json!(["a.test", "https://b.test:443/c"]), "spec.service.hosts[1]: \"https://b.test:443/c\" is an address, not a host: write \"b.test\"")]
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
    // spec: 04/AL-24
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

#[rstest]
#[case::plain_http(json!({"url": "http://gate.example.com/"}), Some("would be sent over plain http to gate.example.com, which is not known to be in the cluster"))]
#[case::unverified(json!({"url": "https://gate/", "disableTLS": true}), Some("would be sent to gate, whose certificate is not checked"))]
#[case::https(json!({"url": "https://gate.example.com/"}), None)]
#[case::in_the_cluster(json!({"url": "http://gate.shop/"}), None)]
#[case::in_another_namespace(json!({"url": "http://gate.ops.svc/"}), None)]
fn headers_of_a_secret_do_not_go_where_others_read_them(#[case] hook: Value, #[case] refused: Option<&str>) {
    let mut hook = hook;
    hook["name"] = json!("gate");
    hook["headersFrom"] = json!({"secretRef": {"name": "headers"}});
    let manifest = with("/spec/analysis/webhooks", json!([hook.clone()]));
    let problems = read(&manifest).release.err().map(|problems| lines(&problems)).unwrap_or_default();
    assert_eq!(refused.is_some(), !problems.is_empty(), "{problems:?}");
    if let Some(why) = refused {
        assert!(
            problems[0].starts_with(&format!("spec.analysis.webhooks[0].headersFrom: {why}")),
            "{problems:?}"
        );
        let told = Settings { allow_insecure_credentials: true, ..Settings::default() };
        assert!(read_with(&manifest, &told).release.is_ok());
    }
    // A signature gives no secret away.
    hook["signature"] = hook["headersFrom"].take();
    hook.as_object_mut().expect("an object").remove("headersFrom");
    assert!(read(&with("/spec/analysis/webhooks", json!([hook]))).release.is_ok());
}

#[test]
fn a_password_in_an_address_of_flaggers_users_is_worth_a_warning() {
    let hooks = |url: &str| with("/spec/analysis/webhooks", json!([{"name": "gate", "url": url}]));
    let told = warnings(&hooks("http://bob:s3cret@gate.example.com/"));
    assert!(
        told[0].starts_with("spec.analysis.webhooks[0].url: sends its password over plain http"),
        "{told:?}"
    );
    assert!(!told[0].contains("s3cret"), "{told:?}");
    assert!(warnings(&hooks("http://bob:s3cret@gate/")).is_empty());
}

#[rstest]
#[case::capped("100h", Settings::default(), 600, true)]
#[case::as_long_as_allowed("10m", Settings::default(), 600, false)]
#[case::short("5s", Settings::default(), 5, false)]
#[case::allowed_more("30m", Settings { max_webhook_timeout: Duration::from_secs(3600), ..Settings::default() }, 1800, false)]
#[case::allowed_less("30s", Settings { max_webhook_timeout: Duration::from_secs(5), ..Settings::default() }, 5, true)]
fn a_hook_gets_no_more_time_than_the_controller_allows(
    #[case] timeout: &str,
    #[case] settings: Settings,
    #[case] seconds: u64,
    #[case] warned: bool,
) {
    let hook = json!([{"name": "gate", "url": "http://gate/", "timeout": timeout}]);
    let reading = read_with(&with("/spec/analysis/webhooks", hook), &settings);
    let release = reading.release.expect("accepted");
    assert_eq!(Duration::from_secs(seconds), release.analysis.hooks[0].timeout);
    let told = lines(&reading.warnings);
    assert_eq!(
        warned,
        told.iter().any(|text| text.starts_with("spec.analysis.webhooks[0].timeout: ")),
        "{told:?}"
    );
}

#[rstest]
#[case::bare("frontend", None)]
#[case::own_namespace("frontend.shop.svc.cluster.local", None)]
#[case::own_in_short("frontend.shop", None)]
#[case::outside("www.example.com", None)]
#[case::subdomains("*.shop.example.com", None)]
#[case::all("*", None)]
#[case::other("frontend.bank.svc.cluster.local", Some("Service of namespace bank"))]
#[case::other_with_a_dot("frontend.bank.svc.cluster.local.", Some("Service of namespace bank"))]
#[case::other_in_capitals("frontend.BANK.SVC.cluster.local", Some("Service of namespace bank"))]
#[case::other_in_short("frontend.bank.svc", Some("Service of namespace bank"))]
#[case::other_domain("frontend.bank.svc.corp", Some("Service of namespace bank"))]
#[case::two_words("frontend.bank", Some("Service of namespace bank, or may be"))]
#[case::whole_namespace("*.bank.svc.cluster.local", Some("Service of namespace bank"))]
#[case::whole_namespace_in_short("*.bank", Some("Service of namespace bank, or may be"))]
#[case::whole_cluster("*.svc.cluster.local", Some("Services of all namespaces"))]
#[case::whole_domain("*.local", Some("Services of all namespaces"))]
fn another_namespaces_traffic_can_be_kept_out_of_reach(#[case] host: &str, #[case] refused: Option<&str>) {
    let manifest = with("/spec/service/hosts", json!(["frontend", host]));
    assert!(read(&manifest).release.is_ok());
    let settings = Settings { no_cross_namespace_refs: true, ..Settings::default() };
    let problems = read_with(&manifest, &settings).release.err().map(|problems| lines(&problems));
    match (refused, problems.unwrap_or_default().as_slice()) {
        (None, []) => {}
        (Some(why), [problem]) => {
            assert!(
                problem.starts_with("spec.service.hosts[1]: can't take ") && problem.contains(why),
                "{problem}"
            );
        }
        (_, other) => panic!("{other:?}"),
    }
}

#[rstest]
#[case::mesh("/spec/service/gateways", json!(["mesh"]), None)]
#[case::own("/spec/service/gateways", json!(["public", "shop/public", "./public"]), None)]
#[case::other("/spec/service/gateways", json!(["ingress/public"]), Some("spec.service.gateways[0]: can't access gateway ingress/public of namespace ingress"))]
#[case::old_form("/spec/service/gateways", json!(["public.ingress.svc.cluster.local"]), Some("spec.service.gateways[0]"))]
#[case::own_ref("/spec/service/gatewayRefs", json!([{"name": "public"}, {"name": "public", "namespace": "shop"}]), None)]
#[case::other_ref("/spec/service/gatewayRefs", json!([{"name": "public", "namespace": "ingress"}]), Some("spec.service.gatewayRefs[0].namespace"))]
#[case::own_mirror("/spec/service/mirror", json!([{"backendRef": {"name": "copy", "port": 80}}]), None)]
#[case::mirror("/spec/service/mirror", json!([{"backendRef": {"name": "copy", "namespace": "ingress", "port": 80}}]), Some("spec.service.mirror[0].backendRef.namespace"))]
fn gateways_of_other_namespaces_can_be_kept_out_of_reach(
    #[case] at: &str,
    #[case] value: Value,
    #[case] refused: Option<&str>,
) {
    let manifest = with(at, value);
    assert!(read(&manifest).release.is_ok());
    let settings = Settings { no_cross_namespace_refs: true, ..Settings::default() };
    let problems = read_with(&manifest, &settings).release.err().map(|problems| lines(&problems));
    match (refused, problems.unwrap_or_default().as_slice()) {
        (None, []) => {}
        (Some(start), [problem]) => assert!(problem.starts_with(start), "{problem}"),
        (_, other) => panic!("{other:?}"),
    }
    let shared = Settings { shared_gateway_namespaces: vec!["ingress".into()], ..settings };
    assert!(read_with(&manifest, &shared).release.is_ok());
}

/// The definition refuses them now; one that is older takes them, and such Canaries have always run so.
#[rstest]
#[case("/spec/analysis/threshold", json!(-1), "spec.analysis.threshold: -1 is no number of checks, 1 is used: write how many failed checks end a release")]
#[case("/spec/analysis/maxWeight", json!(-50), "spec.analysis.maxWeight: -50 is no share of the traffic, 100 is used: write 1 to 100")]
#[case("/spec/analysis/sessionAffinity", json!({"cookieName": "a", "maxAge": -5}), "spec.analysis.sessionAffinity.maxAge: -5 would take every cookie back at once, 86400 is used: write the seconds that it is to be kept")]
fn a_negative_number_is_told_with_what_is_used_instead(
    #[case] at: &str,
    #[case] value: Value,
    #[case] message: &str,
) {
    assert_eq!(warnings(&with(at, value)), [message]);
}
