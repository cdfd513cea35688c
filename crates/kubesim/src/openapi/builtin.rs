//! The schemas of the built-in kinds, as k8s-openapi knows them, with the marks that patches need.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use k8s_openapi::api::{
    admissionregistration, apps, authentication, authorization, autoscaling, batch, coordination, core,
    discovery, events, networking, policy, rbac,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

use super::super::kinds::{self, ResourceKind};
use super::super::merge_schema::{ListType, MergeSchema, Node, PatchStrategy};

type Definitions = Map<String, Value>;

const PREFIX: &str = "#/components/schemas/";

/// All definitions, and which of them is which kind.
struct Catalogue {
    definitions: Definitions,
    /// By group, version and kind.
    names: BTreeMap<(String, String, String), String>,
}

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(Catalogue::new);

impl Catalogue {
    fn new() -> Self {
        let mut generator = SchemaSettings::openapi3().into_generator();
        let mut names = BTreeMap::new();
        for kind in kinds::builtin() {
            if let Some(name) = definition_of(&kind, &mut generator) {
                names.insert((kind.group, kind.version, kind.kind), name);
            }
        }
        generator.subschema_for::<ObjectMeta>();
        let mut definitions = generator.take_definitions(true);
        for ((group, version, kind), name) in &names {
            if let Some(definition) = definitions.get_mut(name) {
                definition["x-kubernetes-group-version-kind"] =
                    json!([{"group": group, "version": version, "kind": kind}]);
            }
            mark(&mut definitions, name, MergeSchema::for_builtin(group, kind).root());
        }
        Self { definitions, names }
    }

    fn name(&self, kind: &ResourceKind) -> Option<&str> {
        let key = (kind.group.clone(), kind.version.clone(), kind.kind.clone());
        self.names.get(&key).map(String::as_str)
    }

    /// Copies a definition and all that it refers to.
    fn copy(&self, name: &str, to: &mut Definitions) {
        if to.contains_key(name) {
            return;
        }
        let Some(definition) = self.definitions.get(name) else { return };
        to.insert(name.into(), definition.clone());
        let mut references = Vec::new();
        collect_references(definition, &mut references);
        for reference in references {
            self.copy(&reference, to);
        }
    }
}

/// Adds the schema of a kind, and those of its parts.
pub(super) fn add_schemas(kind: &ResourceKind, schemas: &mut Definitions) {
    if let Some(name) = CATALOGUE.name(kind) {
        CATALOGUE.copy(name, schemas);
    }
}

/// The schema of `metadata`, whose parts are added.
pub(super) fn object_meta(schemas: &mut Definitions) -> Value {
    let name = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
    CATALOGUE.copy(name, schemas);
    json!({"allOf": [{"$ref": format!("{PREFIX}{name}")}], "description": "Name, labels, owners and the like."})
}

fn definition_of(kind: &ResourceKind, generator: &mut SchemaGenerator) -> Option<String> {
    macro_rules! schema {
        ($($group:literal / $version:literal: $($kind:ident: $type:ty),+;)+) => {
            match (kind.group.as_str(), kind.version.as_str(), kind.kind.as_str()) {
                $($(($group, $version, stringify!($kind)) => generator.subschema_for::<$type>(),)+)+
                _ => return None,
            }
        };
    }
    let schema = schema! {
        "" / "v1":
            ConfigMap: core::v1::ConfigMap, Endpoints: core::v1::Endpoints, Event: core::v1::Event,
            Namespace: core::v1::Namespace, Node: core::v1::Node, Pod: core::v1::Pod, Secret: core::v1::Secret,
            ServiceAccount: core::v1::ServiceAccount, Service: core::v1::Service;
        "apps" / "v1":
            ControllerRevision: apps::v1::ControllerRevision, DaemonSet: apps::v1::DaemonSet,
            Deployment: apps::v1::Deployment, ReplicaSet: apps::v1::ReplicaSet, StatefulSet: apps::v1::StatefulSet;
        "events.k8s.io" / "v1": Event: events::v1::Event;
        "admissionregistration.k8s.io" / "v1":
            MutatingWebhookConfiguration: admissionregistration::v1::MutatingWebhookConfiguration,
            ValidatingWebhookConfiguration: admissionregistration::v1::ValidatingWebhookConfiguration,
            ValidatingAdmissionPolicy: admissionregistration::v1::ValidatingAdmissionPolicy,
            ValidatingAdmissionPolicyBinding: admissionregistration::v1::ValidatingAdmissionPolicyBinding;
        "authentication.k8s.io" / "v1":
            SelfSubjectReview: authentication::v1::SelfSubjectReview, TokenReview: authentication::v1::TokenReview;
        "authorization.k8s.io" / "v1":
            LocalSubjectAccessReview: authorization::v1::LocalSubjectAccessReview,
            SelfSubjectAccessReview: authorization::v1::SelfSubjectAccessReview,
            SelfSubjectRulesReview: authorization::v1::SelfSubjectRulesReview,
            SubjectAccessReview: authorization::v1::SubjectAccessReview;
        "autoscaling" / "v2": HorizontalPodAutoscaler: autoscaling::v2::HorizontalPodAutoscaler;
        "autoscaling" / "v1": HorizontalPodAutoscaler: autoscaling::v1::HorizontalPodAutoscaler;
        "batch" / "v1": CronJob: batch::v1::CronJob, Job: batch::v1::Job;
        "networking.k8s.io" / "v1": IngressClass: networking::v1::IngressClass, Ingress: networking::v1::Ingress;
        "policy" / "v1": PodDisruptionBudget: policy::v1::PodDisruptionBudget;
        "rbac.authorization.k8s.io" / "v1":
            ClusterRoleBinding: rbac::v1::ClusterRoleBinding, ClusterRole: rbac::v1::ClusterRole,
            RoleBinding: rbac::v1::RoleBinding, Role: rbac::v1::Role;
        "apiextensions.k8s.io" / "v1": CustomResourceDefinition: apiextensions::v1::CustomResourceDefinition;
        "coordination.k8s.io" / "v1": Lease: coordination::v1::Lease;
        "discovery.k8s.io" / "v1": EndpointSlice: discovery::v1::EndpointSlice;
    };
    reference_of(schema.as_value()).map(String::from)
}

/// Writes into the definitions how lists and objects merge. Clients make their patches by it.
fn mark(definitions: &mut Definitions, name: &str, node: &Node) {
    for (field, child) in node.fields() {
        let Some(property) = definitions.get_mut(name).and_then(|d| d["properties"].get_mut(field)) else {
            continue;
        };
        mark_property(property, child);
        let item = property["items"].is_object();
        let below = if item { &property["items"] } else { &*property };
        if let Some(next) = reference_of(below).map(String::from) {
            mark(definitions, &next, if item { child.item() } else { child });
        }
    }
}

fn mark_property(property: &mut Value, node: &Node) {
    match node.list() {
        ListType::Atomic => {}
        ListType::Set => property["x-kubernetes-list-type"] = json!("set"),
        ListType::Map(keys) => {
            let names: Vec<&str> = keys.iter().map(|k| k.name.as_str()).collect();
            property["x-kubernetes-list-type"] = json!("map");
            property["x-kubernetes-list-map-keys"] = json!(names);
        }
    }
    if node.is_atomic() {
        property["x-kubernetes-map-type"] = json!("atomic");
    }
    let mut strategies = Vec::new();
    match node.patch_strategy() {
        PatchStrategy::Replace => {}
        PatchStrategy::MergeValues => strategies.push("merge"),
        PatchStrategy::MergeBy(key) => {
            strategies.push("merge");
            property["x-kubernetes-patch-merge-key"] = json!(key);
        }
    }
    if node.retains_keys() {
        strategies.push("retainKeys");
    }
    if !strategies.is_empty() {
        property["x-kubernetes-patch-strategy"] = json!(strategies.join(","));
    }
}

/// The definition that a schema refers to, directly or as the whole of its `allOf`.
fn reference_of(schema: &Value) -> Option<&str> {
    let direct = schema["$ref"].as_str();
    direct.or_else(|| schema["allOf"][0]["$ref"].as_str())?.strip_prefix(PREFIX)
}

fn collect_references(schema: &Value, found: &mut Vec<String>) {
    match schema {
        Value::Object(fields) => {
            let reference = fields.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix(PREFIX));
            found.extend(reference.map(String::from));
            fields.values().for_each(|v| collect_references(v, found));
        }
        Value::Array(items) => items.iter().for_each(|v| collect_references(v, found)),
        _ => {}
    }
}

/// See [`super::prune_builtin`].
pub(super) fn prune(kind: &ResourceKind, object: &mut Value) -> Vec<String> {
    let mut gone = Vec::new();
    if let Some(definition) = CATALOGUE.name(kind).and_then(|name| CATALOGUE.definitions.get(name)) {
        prune_value(definition, object, "", &mut gone);
    }
    gone
}

fn prune_value(schema: &Value, value: &mut Value, path: &str, gone: &mut Vec<String>) {
    if let Some(next) = reference_of(schema).and_then(|name| CATALOGUE.definitions.get(name)) {
        return prune_value(next, value, path, gone);
    }
    match value {
        Value::Array(items) => {
            for (i, item) in items.iter_mut().enumerate() {
                prune_value(&schema["items"], item, &format!("{path}[{i}]"), gone);
            }
        }
        Value::Object(fields) => {
            let properties = schema["properties"].as_object();
            let values = &schema["additionalProperties"];
            fields.retain(|name, value| {
                let here = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                match properties.map(|known| known.get(name)) {
                    // Anything may stand here.
                    None if !values.is_object() => true,
                    None => {
                        prune_value(values, value, &here, gone);
                        true
                    }
                    Some(Some(below)) => {
                        prune_value(below, value, &here, gone);
                        true
                    }
                    Some(None) => {
                        gone.push(here);
                        false
                    }
                }
            });
        }
        _ => {}
    }
}
