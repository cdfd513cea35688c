//! `spec.service`: how the workload is exposed (spec 01 §1.5).
//!
//! Parts that are handed to a mesh as they are (retries, CORS, traffic policy) stay JSON: what the schema
//! lets through reaches the mesh unchanged.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Names, ports and routing of the generated Services and routes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["port"]))]
pub struct CanaryService {
    /// Name of the apex Service; the target's name when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxLength" = 63, "x-kubernetes-validations" = [{
        "rule": "self == '' || self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
        "message": "is no name that a Service can have: write small letters, digits and dashes, like my-app",
    }]))]
    pub name: Option<String>,
    /// Port of the generated Services, and of the containers unless `targetPort` says otherwise.
    #[serde(default, deserialize_with = "super::number::or_zero")]
    #[schemars(with = "f64")]
    pub port: i32,
    /// Name of the port; `http` when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_name: Option<String>,
    /// Number or name of the container port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::int_or_string")]
    pub target_port: Option<IntOrString>,
    /// Application protocol of the port; `tcp` gives TCP routes (Istio).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_protocol: Option<String>,
    /// Which endpoints a client prefers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["PreferClose", "PreferSameZone", "PreferSameNode"]))]
    pub traffic_distribution: Option<String>,
    /// Add the other container ports to the Services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_discovery: Option<bool>,
    /// Create Services without a cluster address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headless: Option<bool>,
    /// Time-out of a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// Time-out of one try (Gateway API).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend_timeout: Option<String>,
    /// Istio gateways that the route is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateways: Option<Vec<String>>,
    /// Gateways that the route is attached to (Gateway API).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::service_schema::gateway_refs")]
    pub gateway_refs: Option<Vec<Value>>,
    /// Host names of the route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::service_schema::hosts")]
    pub hosts: Option<Vec<String>>,
    /// Make the VirtualService one that others delegate to: without hosts and gateways (Istio).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegation: Option<bool>,
    /// Connections, load balancing, outliers and TLS of both sides (Istio).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::service_schema::traffic_policy")]
    pub traffic_policy: Option<Value>,
    /// Which requests the routes take; each entry is a request match of the mesh.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::service_schema::request_matches")]
    pub matches: Option<Vec<Value>>,
    /// What of a request is rewritten on its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<Rewrite>,
    /// Retries of a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::service_schema::retries")]
    pub retries: Option<Value>,
    /// Headers that are added, set or removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::service_schema::header_operations")]
    pub headers: Option<Value>,
    /// Further backends that get a copy of each request (Gateway API).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::service_schema::mirrors")]
    pub mirror: Option<Vec<Value>>,
    /// Cross-origin requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::service_schema::cors_policy")]
    pub cors_policy: Option<Value>,
    /// Name of the mesh (App Mesh v1beta1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesh_name: Option<String>,
    /// Backends that the pods may call (App Mesh).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backends: Option<Vec<String>>,
    /// Metadata of the apex Service and the route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apex: Option<CustomMetadata>,
    /// Metadata of the Service of the primary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary: Option<CustomMetadata>,
    /// Metadata of the Service of the canary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<CustomMetadata>,
    /// Keys on the Services that are left to others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unmanaged_metadata: Option<UnmanagedMetadata>,
}

/// Labels and annotations of a generated object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CustomMetadata {
    /// Labels that are added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// Annotations that are added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// Keys of labels and annotations on owned Services that others may set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UnmanagedMetadata {
    /// Keys of labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<String>>,
    /// Keys of annotations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Vec<String>>,
}

/// What of a request is rewritten on its way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rewrite {
    /// Path, or prefix of it, to put in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// Host to put in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
    /// Gateway API only: `ReplacePrefixMatch`, else the full path is replaced.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// One way to match a string; exactly one is set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StringMatch {
    /// All of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exact: Option<String>,
    /// Its beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suffix: Option<String>,
    /// A pattern in RE2 syntax.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
}
