use std::collections::BTreeSet;

use rstest::rstest;
use serde_json::{Value, json};

use super::*;

fn definition(kind: &str) -> Value {
    let crd = crds().into_iter().find(|crd| crd.spec.names.kind == kind).expect("one of ours");
    serde_json::to_value(crd).expect("a CRD is JSON")
}

fn schema(kind: &str) -> Value {
    definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// What the schema says against `object`: where, and what.
fn complaints(object: &Value) -> Vec<String> {
    let schema = schema(object["kind"].as_str().expect("a kind"));
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    validator.iter_errors(object).map(|error| format!("{} {error}", error.instance_path())).collect()
}

fn canary() -> Value {
    json!({
        "apiVersion": "flagger.app/v1beta1",
        "kind": "Canary",
        "metadata": {"name": "frontend", "namespace": "shop"},
        "spec": {
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "frontend"},
            "service": {"port": 80},
            "analysis": {"interval": "1m", "threshold": 5, "stepWeight": 10},
        },
    })
}

fn template() -> Value {
    json!({"apiVersion": "flagger.app/v1beta1", "kind": "MetricTemplate", "metadata": {"name": "errors"},
        "spec": {"provider": {"type": "prometheus"}, "query": "1"}})
}

fn provider() -> Value {
    json!({"apiVersion": "flagger.app/v1beta1", "kind": "AlertProvider", "metadata": {"name": "chat"},
        "spec": {"type": "slack", "address": "https://hooks.test/"}})
}

/// Puts `value` at `path`, which may be new; `null` takes it away.
fn set(object: &mut Value, path: &str, value: Value) {
    let (parent, name) = path.rsplit_once('/').expect("a path");
    let parent = object.pointer_mut(parent).expect("in the manifest").as_object_mut().expect("an object");
    match value {
        Value::Null => parent.remove(name),
        value => parent.insert(name.to_owned(), value),
    };
}

// spec: 01/API-001 01/API-003 01/API-006
#[rstest]
#[case("Canary", "canaries", "canary")]
#[case("MetricTemplate", "metrictemplates", "metrictemplate")]
#[case("AlertProvider", "alertproviders", "alertprovider")]
#[case("RouteTemplate", "routetemplates", "routetemplate")]
fn the_kinds_have_the_names_that_users_know(
    #[case] kind: &str,
    #[case] plural: &str,
    #[case] singular: &str,
) {
    let crd = definition(kind);
    assert_eq!(crd["metadata"]["name"], format!("{plural}.flagger.app"));
    assert_eq!(crd["metadata"]["annotations"], json!({"helm.sh/resource-policy": "keep"}));
    assert_eq!(crd["spec"]["scope"], "Namespaced");
    assert_eq!(
        crd["spec"]["names"],
        json!({"kind": kind, "listKind": format!("{kind}List"), "plural": plural, "singular": singular, "categories": ["all"]})
    );
    let version = &crd["spec"]["versions"][0];
    assert_eq!(
        (&version["name"], &version["served"], &version["storage"]),
        (&json!("v1beta1"), &json!(true), &json!(true))
    );
    assert_eq!(version["subresources"], json!({"status": {}}));
    assert_eq!(crd["spec"].get("conversion"), None);
}

#[test]
fn canaries_of_the_old_version_are_served_with_a_warning_and_stored_in_the_new_one() {
    let crd = definition("Canary");
    let [today, old] = crd["spec"]["versions"].as_array().expect("a list").as_slice() else {
        panic!("two versions")
    };
    assert_eq!(
        (&old["name"], &old["served"], &old["storage"]),
        (&json!("v1alpha3"), &json!(true), &json!(false))
    );
    assert_eq!(old["deprecated"], true);
    assert!(old["deprecationWarning"].as_str().is_some_and(|text| text.contains("flagger.app/v1beta1")));
    assert_eq!((&old["schema"], &old["subresources"]), (&today["schema"], &today["subresources"]));
}

// spec: 01/API-004 01/API-005 01/API-007 04/PR-01
#[rstest]
#[case("Canary", &[
    ("Status", "string", ".status.phase", 0),
    ("Weight", "string", ".status.canaryWeight", 0),
    ("Suspended", "boolean", ".spec.suspend", 1),
    ("FailedChecks", "string", ".status.failedChecks", 1),
    ("Interval", "string", ".spec.analysis.interval", 1),
    ("Mirror", "boolean", ".spec.analysis.mirror", 1),
    ("StepWeight", "string", ".spec.analysis.stepWeight", 1),
    ("StepWeights", "string", ".spec.analysis.stepWeights", 1),
    ("MaxWeight", "string", ".spec.analysis.maxWeight", 1),
    ("LastTransitionTime", "string", ".status.lastTransitionTime", 0),
    ("Ready", "string", ".status.conditions[?(@.type==\"Ready\")].status", 1),
    ("Reason", "string", ".status.conditions[?(@.type==\"Ready\")].reason", 1),
    ("Paused", "string", ".status.conditions[?(@.type==\"Paused\")].status", 1),
])]
#[case("MetricTemplate", &[("Provider", "string", ".spec.provider.type", 0)])]
#[case("AlertProvider", &[("Type", "string", ".spec.type", 0)])]
fn the_printed_columns_are_those_that_scripts_read(
    #[case] kind: &str,
    #[case] expected: &[(&str, &str, &str, i64)],
) {
    let crd = definition(kind);
    for version in crd["spec"]["versions"].as_array().expect("a list") {
        let columns: Vec<_> = version["additionalPrinterColumns"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|column| {
                let text = |field: &str| column[field].as_str().expect("a text");
                (text("name"), text("type"), text("jsonPath"), column["priority"].as_i64().unwrap_or(0))
            })
            .collect();
        assert_eq!(columns, expected);
    }
}

// spec: 01/API-010 01/API-011 01/API-012 01/API-013 01/API-014 01/API-015 01/API-016 01/API-017
#[rstest]
#[case("/spec/targetRef", Value::Null, Some("targetRef"))]
#[case("/spec/analysis", Value::Null, Some("anyOf"))]
#[case("/spec/service", Value::Null, None)]
#[case("/spec/service", json!({"name": "web"}), Some("port"))]
#[case("/spec/service/port", json!(80.0), None)]
#[case("/spec/service/port", json!("80"), Some("/spec/service/port"))]
#[case("/spec/service/targetPort", json!(8080), None)]
#[case("/spec/service/targetPort", json!("http"), None)]
#[case("/spec/provider", json!(""), Some("/spec/provider"))]
#[case("/spec/provider", json!("gatewayapi"), Some("/spec/provider"))]
#[case("/spec/provider", json!("smi:linkerd"), Some("/spec/provider"))]
#[case("/spec/targetRef/kind", json!("DaemonSet"), None)]
#[case("/spec/targetRef/kind", json!("Service"), None)]
#[case("/spec/targetRef/kind", json!("StatefulSet"), Some("/spec/targetRef/kind"))]
#[case("/spec/targetRef", json!({"kind": "Deployment", "name": "frontend"}), Some("apiVersion"))]
#[case("/spec/autoscalerRef", json!({"apiVersion": "a", "kind": "HorizontalPodAutoscaler", "name": "x"}), None)]
#[case("/spec/autoscalerRef", json!({"apiVersion": "a", "kind": "ScaledObject", "name": "x", "primaryScalerReplicas": {"minReplicas": 1}}), None)]
#[case("/spec/autoscalerRef", json!({"apiVersion": "a", "kind": "ScaledObject", "name": "x", "primaryScalerReplicas": {"minReplicas": 0}}), Some("minReplicas"))]
#[case("/spec/autoscalerRef", json!({"apiVersion": "a", "kind": "ScaledObject", "name": "x", "primaryScalerReplicas": {"maxReplicas": 1.5}}), Some("maxReplicas"))]
#[case("/spec/autoscalerRef", json!({"apiVersion": "a", "kind": "VPA", "name": "x"}), Some("/spec/autoscalerRef/kind"))]
#[case("/spec/ingressRef", json!({"apiVersion": "a", "kind": "Ingress", "name": "x"}), None)]
#[case("/spec/ingressRef", json!({"apiVersion": "a", "kind": "IngressRoute", "name": "x"}), Some("/spec/ingressRef/kind"))]
#[case("/spec/routeRef", json!({"apiVersion": "a", "kind": "ApisixRoute", "name": "x"}), None)]
#[case("/spec/routeRef", json!({"apiVersion": "a", "kind": "Route", "name": "x"}), Some("/spec/routeRef/kind"))]
#[case("/spec/upstreamRef", json!({"apiVersion": "a", "kind": "Upstream", "name": "x", "namespace": "y"}), None)]
#[case("/spec/upstreamRef", json!({"apiVersion": "a", "kind": "Service", "name": "x"}), Some("/spec/upstreamRef/kind"))]
// That exactly one strategy is given is a rule in CEL: tests/it/admission.rs.
#[case("/spec/analysis", json!({"interval": "1m", "threshold": 1, "iterations": 1}), None)]
#[case("/spec/analysis", json!({"interval": "1m", "threshold": 1, "stepWeights": [1, 5.5]}), None)]
#[case("/spec/analysis", json!({"threshold": 1, "stepWeight": 1}), Some("interval"))]
#[case("/spec/analysis", json!({"interval": "1m", "stepWeight": 1}), Some("threshold"))]
#[case("/spec/analysis/interval", json!("1m30s"), None)]
#[case("/spec/analysis/interval", json!("10ms"), None)]
#[case("/spec/analysis/interval", json!("1h"), Some("/spec/analysis/interval"))]
#[case("/spec/analysis/interval", json!("90"), Some("/spec/analysis/interval"))]
#[case("/spec/analysis/stepWeight", json!(10.0), None)]
#[case("/spec/analysis/stepWeight", json!("10"), Some("/spec/analysis/stepWeight"))]
// spec: 01/API-021 01/API-022 01/API-023 01/API-024 01/API-025
#[case("/spec/analysis/metrics", json!([{"name": "a", "interval": "1m", "thresholdRange": {"min": 0.5}}]), None)]
#[case("/spec/analysis/metrics", json!([{"name": "a", "interval": "1h"}]), Some("/spec/analysis/metrics/0/interval"))]
#[case("/spec/analysis/metrics", json!([{"interval": "1m"}]), Some("/spec/analysis/metrics/0"))]
#[case("/spec/analysis/metrics", json!([{"name": "a", "templateRef": {"namespace": "b"}}]), Some("templateRef"))]
#[case("/spec/analysis/webhooks", json!([{"name": "a", "url": "http://b.test/", "timeout": "1h"}]), Some("/spec/analysis/webhooks/0/timeout"))]
#[case("/spec/analysis/webhooks", json!([{"name": "a"}]), Some("url"))]
#[case("/spec/analysis/webhooks", json!([{"name": "a", "url": "b", "type": "before"}]), Some("/spec/analysis/webhooks/0/type"))]
#[case("/spec/analysis/webhooks", json!([{"name": "a", "url": "b", "metadata": {"n": 1}}]), Some("/spec/analysis/webhooks/0/metadata/n"))]
#[case("/spec/analysis/alerts", json!([{"name": "a", "providerRef": {"name": "b"}}]), None)]
#[case("/spec/analysis/alerts", json!([{"name": "a"}]), Some("providerRef"))]
#[case("/spec/analysis/alerts", json!([{"name": "a", "providerRef": {"name": "b"}, "severity": "fatal"}]), Some("/spec/analysis/alerts/0/severity"))]
#[case("/spec/analysis/sessionAffinity", json!({"maxAge": 1}), Some("cookieName"))]
#[case("/spec/analysis/sessionAffinity", json!({"cookieName": "a", "sameSite": "None"}), None)]
#[case("/spec/analysis/sessionAffinity", json!({"cookieName": "a", "sameSite": "none"}), Some("sameSite"))]
#[case("/spec/analysis/onMetricError", json!("hold"), None)]
#[case("/spec/analysis/onMetricError", json!("pass"), Some("/spec/analysis/onMetricError"))]
#[case("/spec/analysis/onNoData", json!("pass"), None)]
// spec: 01/API-026
#[case("/spec/analysis/match", json!([{"headers": {"a": {"suffix": "b"}}, "queryParams": {"a": {}}, "sourceLabels": {"a": "b"}}]), None)]
#[case("/spec/analysis/match", json!([{"headers": {"a": {}}}]), Some("/spec/analysis/match/0/headers/a"))]
#[case("/spec/analysis/match", json!([{"headers": {"a": {"exact": "b", "regex": "b"}}}]), Some("/spec/analysis/match/0/headers/a"))]
#[case("/spec/analysis/match", json!([{"queryParams": {"a": {"exact": "b", "regex": "b"}}}]), Some("/spec/analysis/match/0/queryParams/a"))]
#[case("/spec/service/match", json!([{"uri": {}, "method": {"exact": "GET"}, "port": 80, "ignoreUriCase": true}]), None)]
#[case("/spec/service/match", json!([{"uri": {"exact": "/", "prefix": "/"}}]), Some("/spec/service/match/0/uri"))]
#[case("/spec/service/match", json!([{"withoutHeaders": {"a": {"exact": 1}}}]), Some("/spec/service/match/0/withoutHeaders/a"))]
// spec: 01/API-028 01/API-029 01/API-030 01/API-031
#[case("/spec/service/gatewayRefs", json!([{"name": "a", "namespace": "b", "port": 443, "sectionName": "c.d"}]), None)]
#[case("/spec/service/gatewayRefs", json!([{"namespace": "b"}]), Some("name"))]
#[case("/spec/service/gatewayRefs", json!([{"name": "a", "port": 65536}]), Some("/spec/service/gatewayRefs/0/port"))]
#[case("/spec/service/gatewayRefs", json!([{"name": "a", "namespace": "B"}]), Some("/spec/service/gatewayRefs/0/namespace"))]
#[case("/spec/service/gatewayRefs", Value::Array(vec![json!({"name": "a"}); 32]), None)]
#[case("/spec/service/gatewayRefs", Value::Array(vec![json!({"name": "a"}); 33]), Some("/spec/service/gatewayRefs"))]
#[case("/spec/service/mirror", json!([{"backendRef": {"name": "a", "port": 80}}]), None)]
#[case("/spec/service/mirror", json!([{"backendRef": {"port": 80}}]), Some("/spec/service/mirror/0/backendRef"))]
#[case("/spec/service/mirror", json!([{}]), Some("backendRef"))]
#[case("/spec/service/trafficDistribution", json!("PreferSameZone"), None)]
#[case("/spec/service/trafficDistribution", json!("PreferFar"), Some("/spec/service/trafficDistribution"))]
#[case("/spec/service/trafficPolicy", json!({"loadBalancer": {"warmupDurationSecs": "10s"}}), Some("/spec/service/trafficPolicy/loadBalancer"))]
#[case("/spec/service/trafficPolicy", json!({"loadBalancer": {"simple": "RANDOM", "warmupDurationSecs": "10s"}}), None)]
#[case("/spec/service/trafficPolicy", json!({"loadBalancer": {"simple": "BEST"}}), Some("simple"))]
#[case("/spec/service/trafficPolicy", json!({"loadBalancer": {"consistentHash": {"httpQueryParameterName": "a"}}}), None)]
#[case("/spec/service/trafficPolicy", json!({"loadBalancer": {"consistentHash": {"minimumRingSize": 1}}}), Some("/spec/service/trafficPolicy/loadBalancer"))]
#[case("/spec/service/trafficPolicy", json!({"tls": {"mode": "OFF"}}), Some("/spec/service/trafficPolicy/tls/mode"))]
#[case("/spec/service/corsPolicy", json!({"allowOrigins": [{"exact": "a"}], "allowOrigin": ["b"], "maxAge": "24h"}), None)]
#[case("/spec/service/corsPolicy", json!({"allowOrigins": [{}]}), Some("/spec/service/corsPolicy/allowOrigins/0"))]
#[case("/spec/service/headers", json!({"request": {"add": {"a": "b"}, "remove": ["c"]}, "response": {"set": {"a": "b"}}}), None)]
#[case("/spec/service/headers", json!({"request": {"add": {"a": 1}}}), Some("/spec/service/headers/request/add/a"))]
#[case("/spec/service/retries", json!({"attempts": "3"}), Some("/spec/service/retries/attempts"))]
#[case("/status", json!({"phase": "Finalising", "canaryWeight": 5, "conditions": [{"type": "Promoted", "status": "True", "reason": "Succeeded"}]}), None)]
#[case("/status", json!({"phase": ""}), None)]
#[case("/status", json!({"phase": "Finalizing"}), Some("/status/phase"))]
#[case("/status", json!({"conditions": [{"type": "Promoted", "status": "True"}]}), Some("reason"))]
fn a_canary_is_taken_or_refused_by_name_of_the_field(
    #[case] at: &str,
    #[case] value: Value,
    #[case] complaint: Option<&str>,
) {
    let mut object = canary();
    set(&mut object, at, value);
    judge(&object, complaint);
}

/// Old manifests: whatever is in `canaryAnalysis` is taken.
#[test]
fn the_old_name_of_analysis_will_do() {
    let mut object = canary();
    set(&mut object, "/spec/analysis", Value::Null);
    let old = json!({"interval": "1h", "maxWeight": 50, "stepWeight": 10, "iterations": 5, "anything": [1]});
    set(&mut object, "/spec/canaryAnalysis", old);
    judge(&object, None);
    set(&mut object, "/spec/canaryAnalysis", json!("no object"));
    judge(&object, Some("/spec/canaryAnalysis"));
}

// spec: 01/API-013
#[test]
fn the_nineteen_providers_of_flagger_and_alb_are_taken() {
    for name in crate::api::Provider::NAMES {
        let mut object = canary();
        set(&mut object, "/spec/provider", json!(name));
        judge(&object, None);
    }
    assert_eq!(BTreeSet::from(crate::api::Provider::NAMES).len(), 20);
}

// spec: 01/API-022 01/API-024
#[test]
fn every_hook_type_and_severity_is_taken() {
    let hooks = schema("Canary")
        .pointer("/properties/spec/properties/analysis/properties/webhooks/items/properties/type/enum")
        .cloned();
    assert_eq!(
        hooks,
        Some(json!([
            "",
            "confirm-rollout",
            "pre-rollout",
            "rollout",
            "confirm-promotion",
            "post-rollout",
            "event",
            "rollback",
            "confirm-traffic-increase"
        ]))
    );
    let severities = schema("Canary")
        .pointer("/properties/spec/properties/analysis/properties/alerts/items/properties/severity/enum")
        .cloned();
    assert_eq!(severities, Some(json!(["", "info", "warn", "error"])));
}

// spec: 01/API-032 04/PR-01
#[rstest]
#[case("/spec/query", Value::Null, Some("query"))]
#[case("/spec/provider", json!({"address": "a"}), Some("type"))]
#[case("/spec/provider/type", json!("wavefront"), Some("/spec/provider/type"))]
#[case("/spec/provider/type", json!("keptn"), None)]
#[case("/spec/provider/headers", json!({"a": ["b"]}), None)]
#[case("/spec/provider/headers", json!({"a": "b"}), Some("/spec/provider/headers/a"))]
#[case("/spec/provider/secretRef", json!({}), Some("name"))]
fn a_metric_template_is_taken_or_refused(
    #[case] at: &str,
    #[case] value: Value,
    #[case] complaint: Option<&str>,
) {
    let mut object = template();
    set(&mut object, at, value);
    judge(&object, complaint);
}

// spec: 01/API-034 04/AL-01
#[rstest]
#[case("/spec/secretRef", json!({"name": "token"}), None)]
#[case("/spec/address", Value::Null, Some("anyOf"))]
#[case("/spec/type", Value::Null, Some("anyOf"))]
#[case("/spec/type", json!("irc"), Some("/spec/type"))]
#[case("/spec/type", json!("gchat"), None)]
fn an_alert_provider_is_taken_or_refused(
    #[case] at: &str,
    #[case] value: Value,
    #[case] complaint: Option<&str>,
) {
    let mut object = provider();
    set(&mut object, at, value);
    judge(&object, complaint);
}

fn judge(object: &Value, complaint: Option<&str>) {
    let complaints = complaints(object);
    match complaint {
        None => assert_eq!(complaints, [""; 0]),
        Some(part) => {
            assert!(complaints.iter().any(|one| one.contains(part)), "{part:?} not in {complaints:?}")
        }
    }
}

// spec: 01/API-025 01/API-028 01/API-029
#[test]
fn the_api_server_fills_in_five_defaults_and_no_more() {
    let mut found = Vec::new();
    walk("", &schema("Canary"), &mut |path, schema| {
        if let Some(default) = schema.get("default") {
            found.push(format!("{path} {default}"));
        }
    });
    assert_eq!(
        found,
        [
            ".spec.analysis.sessionAffinity.maxAge 86400",
            ".spec.service.gatewayRefs[].group \"gateway.networking.k8s.io\"",
            ".spec.service.gatewayRefs[].kind \"Gateway\"",
            ".spec.service.mirror[].backendRef.group \"\"",
            ".spec.service.mirror[].backendRef.kind \"Service\"",
        ]
    );
}

// spec: 01/API-029
#[test]
fn a_mirror_to_a_service_needs_a_port() {
    let rules = schema("Canary").pointer("/properties/spec/properties/service/properties/mirror/items/properties/backendRef/x-kubernetes-validations").cloned();
    let rules = rules.expect("rules");
    assert_eq!(rules[0]["message"], "Must have port for Service reference");
    assert!(rules[0]["rule"].as_str().is_some_and(|rule| rule.contains("has(self.port)")));
}

// spec: 01/API-009 01/API-027
#[test]
fn nothing_unknown_is_kept_but_in_the_old_analysis() {
    let mut open = Vec::new();
    for kind in ["Canary", "MetricTemplate", "AlertProvider"] {
        walk(kind, &schema(kind), &mut |path, schema| {
            if schema.get("x-kubernetes-preserve-unknown-fields").is_some() {
                open.push(path.to_owned());
            }
        });
    }
    assert_eq!(open, ["Canary.spec.canaryAnalysis"]);
    let uri = schema("Canary")
        .pointer("/properties/spec/properties/service/properties/match/items/properties/uri/properties")
        .cloned();
    assert_eq!(uri.expect("known").get("suffix"), None);
}

/// What the API server demands of a structural schema, and what we demand of a quiet one.
#[test]
fn every_part_of_a_schema_has_a_type_and_knows_no_null() {
    for kind in ["Canary", "MetricTemplate", "AlertProvider"] {
        walk(kind, &schema(kind), &mut |path, schema| {
            assert!(
                schema["type"].is_string() || schema["x-kubernetes-int-or-string"] == true,
                "{path} has no type: {schema}"
            );
            assert_eq!(schema.get("nullable"), None, "{path}");
            if let Some(format) = schema.get("format") {
                assert!(["int32", "date-time"].iter().any(|known| format == known), "{path} {format}");
            }
        });
    }
}

/// The types of the API server know fewer keywords than JSON Schema does, and drop the rest.
#[test]
fn no_keyword_is_lost_on_the_way_into_the_definition() {
    let ours = structural::<CanarySpec>();
    let defined = schema("Canary")["properties"]["spec"].clone();
    assert_eq!(normal(ours), normal(defined));
}

fn normal(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields.into_iter().map(|(key, value)| (key, normal(value))).collect(),
        Value::Array(items) => items.into_iter().map(normal).collect(),
        Value::Number(number) => number.as_f64().into(),
        other => other,
    }
}

fn walk(path: &str, schema: &Value, visit: &mut dyn FnMut(&str, &Value)) {
    visit(path, schema);
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        walk(&format!("{path}.{name}"), inner, visit);
    }
    for (keyword, mark) in [("items", "[]"), ("additionalProperties", ".*")] {
        if schema[keyword].is_object() {
            walk(&format!("{path}{mark}"), &schema[keyword], visit);
        }
    }
}

#[test]
fn the_yaml_reads_back_as_the_definition() {
    for crd in crds() {
        let read: Value = serde_saphyr::from_str(&to_yaml(&crd)).expect("YAML");
        assert_eq!(normal(read), normal(serde_json::to_value(&crd).expect("JSON")));
    }
}
