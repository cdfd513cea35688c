//! The `RouteTemplate` kind: a router in a file. Additive; no such kind is in the reference.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a mesh or ingress is told what share of the requests the canary gets, and how it says so.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "flagger.app",
    version = "v1beta1",
    kind = "RouteTemplate",
    plural = "routetemplates",
    singular = "routetemplate",
    category = "all",
    namespaced,
    derive = "PartialEq",
    derive = "Default",
    annotation("helm.sh/resource-policy", "keep"),
    printcolumn = r#"{"name": "Kind", "type": "string", "jsonPath": ".spec.objects[*].kind"}"#,
    schema = "disabled"
)]
#[serde(rename_all = "camelCase")]
pub struct RouteTemplateSpec {
    /// The objects that the mesh reads, in the order in which they are written.
    #[schemars(length(min = 1, max = 8))]
    pub objects: Vec<RouteObject>,
}

/// One object that the mesh reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteObject {
    /// Group and version of the object, `example.com/v1` for example.
    pub api_version: String,
    /// Kind of the object.
    pub kind: String,
    /// The kind as paths of the API write it; the kind in small letters with an s when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plural: Option<String>,
    /// `Namespaced`, which is the default, or `Cluster`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["Namespaced", "Cluster"]))]
    pub scope: Option<String>,
    /// Name of the object, a Go template; that of the apex Service when unset. Its namespace is the Canary's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The fields of the object that are written: a Go template of YAML with `spec`, and labels and annotations within
    /// `metadata`. What it does not write stays as it is; a null takes a field away.
    pub template: String,
    /// Lists whose items are brought in line one by one: where a list is, to what within an item tells it from the
    /// others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lists: Option<BTreeMap<String, String>>,
    /// Where the object says how the requests are divided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<RouteWeights>,
    /// That the template writes the conditions of A/B tests.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub matching: Option<RouteMatching>,
    /// Where the object says that requests are copied to the canary. The template writes it where `.mirror` is true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<String>,
    /// How the mesh says that it works by the object; when unset, it is taken at its word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<RouteAccepted>,
}

/// Where an object says how the requests are divided: in a list of backends, or in one place for each side.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteWeights {
    /// The backends that share the requests, `spec.rules[].backends[]` for example. Each list of them is one rule, and
    /// the last rule that leads to the release is for everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backends: Option<String>,
    /// Where a backend says what it leads to; `name` when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where a backend says its weight; `weight` when unset. Weights count in relation to each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<String>,
    /// The weight of a backend that does not say any; 1 when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub unset: Option<u32>,
    /// With `backends`: what the name of the primary's backend is, a Go template; `{{ .primary }}` when unset. Without:
    /// where the primary's weight is; what the canary does not get of 100 when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary: Option<String>,
    /// With `backends`: what the name of the canary's backend is, a Go template; `{{ .canary }}` when unset. Without:
    /// where the canary's weight is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<String>,
}

/// The conditions of A/B tests that a template writes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteMatching {
    /// The conditions of `spec.analysis.match` that the template writes. A Canary with another one is refused.
    #[schemars(extend("items" = {"type": "string", "enum": CONDITIONS}))]
    pub conditions: Vec<String>,
    /// Where the weights have one place for each side: what is there while the requests that match go to the canary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routed: Option<String>,
}

/// How a mesh says that it works by an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteAccepted {
    /// Where it says so, `status.conditions[type=Ready].status` for example.
    pub path: String,
    /// What stands there then; `True` when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Where it says why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Where it says of which `metadata.generation` it speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<String>,
}

/// The conditions that `spec.analysis.match` can have.
pub const CONDITIONS: [&str; 8] = [
    "headers.exact",
    "headers.prefix",
    "headers.suffix",
    "headers.regex",
    "queryParams.exact",
    "queryParams.prefix",
    "queryParams.regex",
    "sourceLabels",
];
