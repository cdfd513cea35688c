//! What is a new revision and what is not.

use proptest::prelude::*;
use rstest::rstest;
use serde_json::json;

use super::*;
use crate::model::workload::is_own_revision;
use crate::workload::testing::{frontend, frontend_primary};

fn matches(wanted: &Value, primary: &Value) -> bool {
    matches_primary(wanted, primary, |name, copy| copy == format!("{name}-primary"))
}

fn template() -> Value {
    frontend()["spec"]["template"].clone()
}

fn changed(pointer: &str, value: Value) -> Value {
    let mut template = template();
    *template.pointer_mut(pointer).unwrap_or_else(|| panic!("nothing at {pointer}")) = value;
    template
}

fn merged(changes: Value) -> Value {
    let mut template = template();
    json_patch::merge(&mut template, &changes);
    template
}

#[test]
fn a_revision_is_marked_as_ours_and_never_changes_with_the_code() {
    // A change of this text would start a rollout of everything that is released anywhere: change the prefix too.
    assert_eq!(revision(&template()), "vx1-1a42c4c1e81e6d44");
    assert!(is_own_revision(&revision(&template())));
    assert!(!is_own_revision("5498f4fcd6"));
}

/// The template as its user wrote it, without anything that the API server adds.
fn as_written() -> Value {
    json!({
        "metadata": template()["metadata"],
        "spec": {
            "affinity": template()["spec"]["affinity"],
            "serviceAccountName": "frontend",
            "containers": [{
                "name": "server",
                "image": "shop/frontend:v0.10.1",
                "ports": [{"name": "http", "containerPort": 8080}],
                "env": [
                    {"name": "PORT", "value": "8080"},
                    {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                    {"name": "CURRENCY", "valueFrom": {"configMapKeyRef": {"name": "frontend-settings", "key": "currency"}}},
                ],
                "resources": {"limits": {"cpu": "0.2", "memory": "131072Ki"}, "requests": {"cpu": 0.1, "memory": "67108864"}},
                "readinessProbe": {"httpGet": {"path": "/_healthz", "port": 8080}, "initialDelaySeconds": 10},
                "securityContext": {"readOnlyRootFilesystem": true, "capabilities": {"add": []}},
            }],
        },
    })
}

#[test]
fn defaults_and_units_that_the_api_server_writes_are_no_revision() {
    assert_eq!(revision(&as_written()), revision(&template()));
}

#[rstest]
#[case::pod_defaults(json!({"spec": {"enableServiceLinks": true, "preemptionPolicy": "PreemptLowerPriority", "hostNetwork": false}}))]
#[case::nulls(json!({"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}}))]
#[case::empty_lists(json!({"spec": {"volumes": [], "initContainers": [], "tolerations": [], "nodeSelector": {}}}))]
#[case::empty_texts(json!({"spec": {"hostname": "", "priorityClassName": ""}}))]
#[case::our_own_mark(json!({"metadata": {"annotations": {"flagger-id": "0c34"}}}))]
fn what_means_nothing_is_no_revision(#[case] changes: Value) {
    assert_eq!(revision(&merged(changes)), revision(&template()));
}

#[rstest]
#[case::config_map(json!({"name": "v", "configMap": {"name": "a"}}), json!({"name": "v", "configMap": {"name": "a", "defaultMode": 420}}))]
#[case::secret(json!({"name": "v", "secret": {"secretName": "a", "optional": false}}), json!({"name": "v", "secret": {"secretName": "a", "defaultMode": 420}}))]
#[case::empty_dir(json!({"name": "v"}), json!({"name": "v", "emptyDir": {}}))]
#[case::size(json!({"name": "v", "emptyDir": {"sizeLimit": "1Gi"}}), json!({"name": "v", "emptyDir": {"sizeLimit": "1024Mi"}}))]
#[case::projected(
    json!({"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}, {"downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}}]}}),
    json!({"name": "v", "projected": {"defaultMode": 420, "sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}, {"downwardAPI": {"items": [{"path": "l", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.labels"}}]}}]}}),
)]
#[case::claim(
    json!({"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {"resources": {"requests": {"storage": "1Gi"}}}}}}),
    json!({"name": "v", "ephemeral": {"volumeClaimTemplate": {"metadata": {"creationTimestamp": null}, "spec": {"volumeMode": "Filesystem", "resources": {"requests": {"storage": "1024Mi"}}}}}}),
)]
fn defaults_of_volumes_are_no_revision(#[case] written: Value, #[case] returned: Value) {
    let with = |volume: Value| revision(&merged(json!({"spec": {"volumes": [volume]}})));
    assert_eq!(with(written), with(returned));
}

#[rstest]
#[case("shop/frontend", "Always")]
#[case("shop/frontend:latest", "Always")]
#[case("registry:5000/frontend", "Always")]
#[case("registry:5000/frontend:1.0", "IfNotPresent")]
#[case("shop/frontend@sha256:00", "IfNotPresent")]
fn the_pull_policy_that_the_tag_implies_is_no_revision(#[case] image: &str, #[case] implied: &str) {
    let with = |policy: Value| {
        let mut template = changed("/spec/containers/0/image", json!(image));
        template["spec"]["containers"][0]["imagePullPolicy"] = policy;
        revision(&template)
    };
    assert_eq!(with(Value::Null), with(json!(implied)));
    assert_ne!(with(Value::Null), with(json!("Never")));
}

#[rstest]
#[case::image("/spec/containers/0/image", json!("shop/frontend:v0.10.2"))]
#[case::order_of_variables("/spec/containers/0/env", json!([{"name": "B", "value": "1"}, {"name": "A", "value": "2"}]))]
#[case::amount("/spec/containers/0/resources/limits/cpu", json!("201m"))]
#[case::probe("/spec/containers/0/readinessProbe/failureThreshold", json!(4))]
#[case::grace_period("/spec/terminationGracePeriodSeconds", json!(31))]
#[case::account("/spec/serviceAccountName", json!("other"))]
#[case::label("/metadata/labels/tier", json!("edge"))]
#[case::empty_label("/metadata/labels/tier", json!(""))]
#[case::config_name("/spec/containers/0/env/2/valueFrom/configMapKeyRef/name", json!("frontend-settings-v2"))]
fn a_change_of_the_template_is_a_revision(#[case] pointer: &str, #[case] value: Value) {
    assert_ne!(revision(&changed(pointer, value)), revision(&template()));
}

#[rstest]
#[case::rollout_restart(json!({"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "2026-11-20T12:00:00Z"}}}))]
#[case::a_selector_of_everything(json!({"spec": {"topologySpreadConstraints": [{"topologyKey": "z", "labelSelector": {}}]}}))]
#[case::not_the_default(json!({"spec": {"hostNetwork": true}}))]
#[case::no_token(json!({"spec": {"automountServiceAccountToken": false}}))]
#[case::no_grace(json!({"spec": {"terminationGracePeriodSeconds": 0}}))]
#[case::an_empty_node_label(json!({"spec": {"nodeSelector": {"node-role.kubernetes.io/web": ""}}}))]
fn an_addition_that_means_something_is_a_revision(#[case] changes: Value) {
    assert_ne!(revision(&merged(changes)), revision(&template()));
}

#[test]
fn a_selector_of_everything_is_not_a_selector_of_nothing() {
    let with =
        |constraint: Value| revision(&merged(json!({"spec": {"topologySpreadConstraints": [constraint]}})));
    assert_ne!(with(json!({"topologyKey": "z", "labelSelector": {}})), with(json!({"topologyKey": "z"})));
}

#[rstest]
#[case(json!(null))]
#[case(json!("a text"))]
#[case(json!({"spec": "a text", "metadata": []}))]
#[case(json!({"spec": {"containers": [1, null, {"ports": "x", "env": [3], "resources": {"limits": []}}], "volumes": {"a": 1}}}))]
#[case(json!({"spec": {"affinity": [], "topologySpreadConstraints": [7, {"labelSelector": "x"}]}}))]
fn nonsense_has_a_revision_too(#[case] template: Value) {
    assert!(is_own_revision(&revision(&template)));
    assert!(matches(&template, &template));
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-z0-9]{0,4}".prop_map(Value::from),
    ];
    let key = prop_oneof![
        "[a-z]{1,3}",
        Just("spec".to_owned()),
        Just("containers".to_owned()),
        Just("labels".to_owned()),
        Just("volumes".to_owned())
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map(key.clone(), inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

proptest! {
    #[test]
    fn the_one_form_is_its_own_form(value in json_value()) {
        let once = normal::template(&json!({"spec": value}));
        prop_assert_eq!(normal::template(&once), once);
    }
}

/// The primary's template, and what the target's would be rewritten to.
fn pair() -> (Value, Value) {
    let primary = frontend_primary()["spec"]["template"].clone();
    let mut wanted = primary.clone();
    json_patch::merge(&mut wanted, &json!({"metadata": {"annotations": {"flagger-id": null}}}));
    (wanted, primary)
}

// spec: 02/C73
#[test]
fn a_primary_matches_whatever_its_id() {
    let (wanted, mut primary) = pair();
    assert!(matches(&wanted, &primary));
    primary["metadata"]["annotations"]["flagger-id"] = json!("another");
    assert!(matches(&wanted, &primary));
}

// spec: 02/C73
#[test]
fn a_primary_whose_config_references_were_renamed_matches() {
    let (mut wanted, mut primary) = pair();
    let volumes = |suffix: &str| {
        json!([
            {"name": "a", "configMap": {"name": format!("a{suffix}")}},
            {"name": "b", "secret": {"secretName": format!("b{suffix}")}},
            {"name": "c", "projected": {"sources": [
                {"configMap": {"name": format!("c{suffix}")}}, {"secret": {"name": format!("d{suffix}")}},
            ]}},
        ])
    };
    let init = |suffix: &str| {
        json!([{"name": "migrate", "envFrom": [
            {"configMapRef": {"name": format!("e{suffix}")}}, {"secretRef": {"name": format!("f{suffix}")}},
        ], "env": [{"name": "T", "valueFrom": {"secretKeyRef": {"name": format!("g{suffix}"), "key": "k"}}}]}])
    };
    for (template, suffix) in [(&mut wanted, ""), (&mut primary, "-primary")] {
        template["spec"]["volumes"] = volumes(suffix);
        template["spec"]["initContainers"] = init(suffix);
    }
    primary["spec"]["containers"][0]["env"][2]["valueFrom"]["configMapKeyRef"]["name"] =
        json!("frontend-settings-primary");
    assert!(matches(&wanted, &primary));

    primary["spec"]["volumes"][0]["configMap"]["name"] = json!("z-primary");
    assert!(!matches(&wanted, &primary));
}

// spec: 02/C73
#[test]
fn a_primary_whose_affinity_was_not_rewritten_matches() {
    let (wanted, mut primary) = pair();
    let place = "/spec/affinity/podAntiAffinity/preferredDuringSchedulingIgnoredDuringExecution/0/podAffinityTerm\
                 /labelSelector/matchExpressions/0/values";
    *primary.pointer_mut(place).expect("values") = json!(["frontend"]);
    assert!(matches(&wanted, &primary));
    *primary.pointer_mut(place).expect("values") = json!(["checkout"]);
    assert!(!matches(&wanted, &primary));
}

#[rstest]
#[case::nobody(None, None, true)]
#[case::the_primary_alone(None, Some("2026-11-20T12:00:00Z"), true)]
#[case::the_primary_later(Some("2026-11-20T12:00:00Z"), Some("2026-11-20T14:00:00+01:00"), true)]
#[case::both_at_once(Some("2026-11-20T12:00:00Z"), Some("2026-11-20T12:00:00Z"), true)]
#[case::the_target_since(Some("2026-11-20T13:00:00Z"), Some("2026-11-20T12:00:00Z"), false)]
#[case::the_target_alone(Some("2026-11-20T12:00:00Z"), None, false)]
fn a_restart_of_the_target_is_a_change_and_one_of_the_primary_is_not(
    #[case] target: Option<&str>,
    #[case] own: Option<&str>,
    #[case] same: bool,
) {
    let (mut wanted, mut primary) = pair();
    for (template, time) in [(&mut wanted, target), (&mut primary, own)] {
        json_patch::merge(template, &json!({"metadata": {"annotations": {RESTARTED_AT: time}}}));
    }
    assert_eq!(matches(&wanted, &primary), same);
}
