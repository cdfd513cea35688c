use rstest::rstest;

use super::*;
use crate::kinds;

fn document(group: &str, version: &str) -> Value {
    let kinds = kinds::builtin();
    v3(kinds.iter().map(|k| (k, None)), group, version).expect("a document")
}

fn kind(group: &str, kind: &str) -> ResourceKind {
    kinds::find(group, kind).expect("built in")
}

#[test]
fn the_index_names_a_document_for_each_version() {
    let index = v3_index(&kinds::builtin());
    for path in ["api/v1", "apis/apps/v1", "apis/autoscaling/v1", "apis/autoscaling/v2"] {
        assert_eq!(format!("/openapi/v3/{path}"), index["paths"][path]["serverRelativeURL"]);
    }
}

#[test]
fn a_version_that_is_not_served_has_no_document() {
    let kinds = kinds::builtin();
    assert_eq!(None, v3(kinds.iter().map(|k| (k, None)), "apps", "v7"));
}

#[test]
fn every_reference_of_every_document_leads_somewhere() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|v| references(v, found));
            }
            Value::Array(items) => items.iter().for_each(|v| references(v, found)),
            _ => {}
        }
    }
    for kind in kinds::builtin() {
        let document = document(&kind.group, &kind.version);
        let mut found = Vec::new();
        references(&document, &mut found);
        for reference in found {
            let pointer = reference.strip_prefix('#').expect("a reference within");
            assert!(document.pointer(pointer).is_some(), "{reference} of {}", kind.resource());
        }
        let gvk = json!([gvk(&kind)]);
        let schemas = document["components"]["schemas"].as_object().expect("schemas");
        let mut own = schemas.values().filter(|s| s["x-kubernetes-group-version-kind"] == gvk);
        assert!(own.next().is_some(), "{} has no schema", kind.resource());
    }
}

#[test]
fn kubectl_finds_the_parameters_that_it_asks_for() {
    let document = document("apps", "v1");
    let patch = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
    assert_eq!(
        json!({"group": "apps", "version": "v1", "kind": "Deployment"}),
        patch["x-kubernetes-group-version-kind"]
    );
    let names: Vec<&Value> =
        patch["parameters"].as_array().expect("a list").iter().map(|p| &p["name"]).collect();
    assert_eq!(vec!["dryRun", "fieldManager", "fieldValidation", "force"], names);
    assert!(patch["requestBody"]["content"]["application/strategic-merge-patch+json"].is_object());
}

#[rstest]
#[case("apps.v1.DeploymentSpec", "strategy", json!(["retainKeys", null]))]
#[case("core.v1.PodSpec", "containers", json!(["merge", "name"]))]
#[case("core.v1.PodSpec", "volumes", json!(["merge,retainKeys", "name"]))]
#[case("core.v1.Container", "ports", json!(["merge", "containerPort"]))]
#[case("core.v1.Container", "env", json!(["merge", "name"]))]
#[case("core.v1.PodSpec", "tolerations", json!([null, null]))]
#[case("apps.v1.DeploymentStatus", "conditions", json!(["merge", "type"]))]
fn schemas_say_how_lists_are_patched(#[case] name: &str, #[case] field: &str, #[case] expected: Value) {
    let document = document("apps", "v1");
    let property = &document["components"]["schemas"][format!("io.k8s.api.{name}")]["properties"][field];
    assert!(property.is_object());
    assert_eq!(
        expected,
        json!([property["x-kubernetes-patch-strategy"], property["x-kubernetes-patch-merge-key"]])
    );
}

#[test]
fn a_custom_kind_is_explained_by_its_own_schema() {
    let mut canary = kind("", "ConfigMap");
    (canary.group, canary.version, canary.kind, canary.plural) =
        ("flagger.app".into(), "v1beta1".into(), "Canary".into(), "canaries".into());
    let schema = json!({"description": "a release", "properties": {"spec": {"type": "object"}}});
    let document = v3([(&canary, Some(&schema))], "flagger.app", "v1beta1").expect("a document");
    let own = &document["components"]["schemas"]["app.flagger.v1beta1.Canary"];
    assert_eq!(json!("a release"), own["description"]);
    assert_eq!(
        json!([{"group": "flagger.app", "version": "v1beta1", "kind": "Canary"}]),
        own["x-kubernetes-group-version-kind"]
    );
    assert!(own["properties"]["metadata"]["allOf"][0]["$ref"].is_string());
    assert!(document["components"]["schemas"]["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"].is_object());
    let content = &document["paths"]["/apis/flagger.app/v1beta1/namespaces/{namespace}/canaries/{name}"]["patch"]
        ["requestBody"]["content"];
    assert_eq!(Value::Null, content["application/strategic-merge-patch+json"]);
}

#[test]
fn the_old_document_names_every_resource() {
    let kinds = kinds::builtin();
    let paths = v2(&kinds)["paths"].as_object().map_or(0, Map::len);
    assert_eq!(kinds.len(), paths);
}

#[test]
fn unknown_fields_of_built_in_kinds_go_and_are_named() {
    let mut object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "labels": {"any": "thing"}, "colour": "red"},
        "spec": {
            "replica": 1,
            "selector": {"matchLabels": {"any": "thing"}},
            "strategy": {"rollingUpdate": {"maxSurge": "25%"}},
            "template": {"spec": {
                "containers": [{"name": "a", "imag": "x", "resources": {"limits": {"cpu": "1"}}}],
                "volumes": [{"name": "v", "configMap": {"items": [{"key": "k", "pth": "p"}]}}],
            }},
        },
        "status": {"foo": 1},
    });
    let mut gone = prune_builtin(&kind("apps", "Deployment"), &mut object);
    gone.sort();
    assert_eq!(
        vec![
            "metadata.colour",
            "spec.replica",
            "spec.template.spec.containers[0].imag",
            "spec.template.spec.volumes[0].configMap.items[0].pth",
            "status.foo",
        ],
        gone
    );
    assert_eq!(
        json!({"limits": {"cpu": "1"}}),
        object["spec"]["template"]["spec"]["containers"][0]["resources"]
    );
    assert_eq!(Vec::<String>::new(), prune_builtin(&kind("apps", "Deployment"), &mut object));
}

#[test]
fn free_form_parts_are_kept() {
    let fields = json!({"f:spec": {"f:replicas": {}}});
    let mut map = json!({
        "metadata": {"name": "x", "managedFields": [{"manager": "m", "fieldsV1": fields}]},
        "data": {"any": "thing"},
    });
    assert_eq!(Vec::<String>::new(), prune_builtin(&kind("", "ConfigMap"), &mut map));
    let mut revision = json!({"metadata": {"name": "x"}, "data": {"any": {"deep": 1}}, "revision": 1});
    assert_eq!(Vec::<String>::new(), prune_builtin(&kind("apps", "ControllerRevision"), &mut revision));
    let mut definition = json!({"spec": {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": {
        "type": "object", "properties": {"spec": {"type": "object", "default": {"a": 1}, "x-kubernetes-preserve-unknown-fields": true}}}}}]}});
    let gone = prune_builtin(&kind("apiextensions.k8s.io", "CustomResourceDefinition"), &mut definition);
    assert_eq!(Vec::<String>::new(), gone);
}
