//! The `Canary` kind, as it stands in a manifest (spec 01 §1). Nothing is defaulted or judged here:
//! see `release.rs` for what the controller works with.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::analysis::Analysis;
use super::reference::CrossRef;
use super::service::CanaryService;
use super::status::CanaryStatus;

/// What a user asks for: which workload to release, how it is exposed and how a release is judged.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "flagger.app",
    version = "v1beta1",
    kind = "Canary",
    plural = "canaries",
    singular = "canary",
    category = "all",
    namespaced,
    status = "CanaryStatus",
    derive = "PartialEq",
    derive = "Default",
    annotation("helm.sh/resource-policy", "keep"),
    printcolumn = r#"{"name": "Status", "type": "string", "jsonPath": ".status.phase"}"#,
    printcolumn = r#"{"name": "Weight", "type": "string", "jsonPath": ".status.canaryWeight"}"#,
    printcolumn = r#"{"name": "Suspended", "type": "boolean", "jsonPath": ".spec.suspend", "priority": 1}"#,
    printcolumn = r#"{"name": "FailedChecks", "type": "string", "jsonPath": ".status.failedChecks", "priority": 1}"#,
    printcolumn = r#"{"name": "Interval", "type": "string", "jsonPath": ".spec.analysis.interval", "priority": 1}"#,
    printcolumn = r#"{"name": "Mirror", "type": "boolean", "jsonPath": ".spec.analysis.mirror", "priority": 1}"#,
    printcolumn = r#"{"name": "StepWeight", "type": "string", "jsonPath": ".spec.analysis.stepWeight", "priority": 1}"#,
    printcolumn = r#"{"name": "StepWeights", "type": "string", "jsonPath": ".spec.analysis.stepWeights", "priority": 1}"#,
    printcolumn = r#"{"name": "MaxWeight", "type": "string", "jsonPath": ".spec.analysis.maxWeight", "priority": 1}"#,
    printcolumn = r#"{"name": "LastTransitionTime", "type": "string", "jsonPath": ".status.lastTransitionTime"}"#,
    // Ours come last, so that scripts that count Flagger's columns find them in their places.
    printcolumn = r#"{"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status", "priority": 1}"#,
    printcolumn = r#"{"name": "Reason", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].reason", "priority": 1}"#,
    printcolumn = r#"{"name": "Paused", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Paused\")].status", "priority": 1}"#,
    // `crds.rs` adds it: the derive knows no numbers without a format and no defaults of a part.
    schema = "disabled"
)]
#[serde(rename_all = "camelCase")]
// `analysis` first: the API server reports what the first alternative lacks.
#[schemars(extend(
    "anyOf" = [{"required": ["analysis"]}, {"required": ["canaryAnalysis"]}],
    "x-kubernetes-validations" = [{
        "rule": "self.targetRef.apiVersion == 'serving.knative.dev/v1' || size(has(self.service) && \
                 has(self.service.name) && size(self.service.name) > 0 ? self.service.name : self.targetRef.name) <= 55",
        "message": "the generated Services are named after spec.service.name, or else the target, with -primary and \
                    -canary behind it, and may have 63 characters: write a spec.service.name of at most 55",
    }],
))]
pub struct CanarySpec {
    /// Mesh or ingress that shifts the traffic; overrides `--mesh-provider`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = super::provider::Provider::NAMES))]
    pub provider: Option<String>,
    /// Prometheus address for the built-in checks and inline queries of this Canary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics_server: Option<String>,
    /// The workload under control.
    pub target_ref: TargetRef,
    /// Autoscaler of the target; the primary gets a copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaler_ref: Option<AutoscalerRef>,
    /// Ingress of the target (NGINX, Skipper, ALB).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::ingress_ref")]
    pub ingress_ref: Option<ObjectRef>,
    /// APISIX route of the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::route_ref")]
    pub route_ref: Option<ObjectRef>,
    /// Routes of yours whose weights Vexil sets, instead of writing routes of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route_refs: Option<Vec<RouteRef>>,
    /// The RouteTemplate by which the traffic is shifted, instead of by the provider's router.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route_template_ref: Option<CrossRef>,
    /// Gloo upstream whose settings the generated upstreams take over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_ref: Option<NamespacedObjectRef>,
    /// How the workload is exposed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<CanaryService>,
    /// How a release advances and is judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analysis: Option<Analysis>,
    /// Name of `analysis` before v1beta1; read when `analysis` is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::anything")]
    pub canary_analysis: Option<Analysis>,
    /// Seconds a workload may stay unready before the release fails; 600 when unset.
    #[serde(default, deserialize_with = "super::number::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64")]
    pub progress_deadline_seconds: Option<i64>,
    /// Promote without analysing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip_analysis: Option<bool>,
    /// Give the target back its replicas, Service and routes when the Canary is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revert_on_deletion: Option<bool>,
    /// Leave everything as it is while true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
}

/// Reference to the workload under control, in the Canary's namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetRef {
    /// Only looked at for a `Service`: `serving.knative.dev/v1` makes it a Knative Service.
    pub api_version: String,
    /// `Deployment`, `DaemonSet` or `Service`.
    #[schemars(extend("enum" = ["DaemonSet", "Deployment", "Service"]))]
    pub kind: String,
    /// Name of the workload.
    pub name: String,
}

/// Reference to the target's autoscaler, in the Canary's namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AutoscalerRef {
    /// Accepted and not looked at: `autoscaling/v2` and `keda.sh/v1alpha1` are used.
    pub api_version: String,
    /// `HorizontalPodAutoscaler` or `ScaledObject`.
    #[schemars(extend("enum" = ["HorizontalPodAutoscaler", "ScaledObject"]))]
    pub kind: String,
    /// Name of the autoscaler.
    pub name: String,
    /// ScaledObject only: trigger name to the query that its copy uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary_scaler_queries: Option<BTreeMap<String, String>>,
    /// Bounds of the primary's autoscaler where they differ from the target's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary_scaler_replicas: Option<ScalerReplicas>,
}

/// Replica bounds of the primary's autoscaler.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScalerReplicas {
    /// Fewest replicas of the primary.
    #[serde(default, deserialize_with = "super::number::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64", extend("minimum" = 1))]
    pub min_replicas: Option<i32>,
    /// Most replicas of the primary.
    #[serde(default, deserialize_with = "super::number::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64", extend("minimum" = 1))]
    pub max_replicas: Option<i32>,
}

/// Reference to an object in the Canary's namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// Accepted and not looked at.
    pub api_version: String,
    /// Kind of the object.
    pub kind: String,
    /// Name of the object.
    pub name: String,
}

/// Reference to an object that may live in another namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamespacedObjectRef {
    /// Accepted and not looked at.
    pub api_version: String,
    /// Kind of the object.
    #[schemars(extend("enum" = ["Upstream"]))]
    pub kind: String,
    /// Name of the object.
    pub name: String,
    /// The Canary's namespace when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// A route of the user's whose weights are set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteRef {
    /// Group and version of the route, `gateway.networking.k8s.io/v1` for example.
    pub api_version: String,
    /// Kind of the route.
    #[schemars(extend("enum" = ["GRPCRoute", "HTTPProxy", "HTTPRoute", "Ingress", "TCPRoute", "TLSRoute", "TraefikService", "UDPRoute", "VirtualService"]))]
    pub kind: String,
    /// Name of the route.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The Canary's namespace when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The rules that are meant: by name, or by place, counted from 0; those of an Ingress by host, by host and path, or
    /// by place. When unset, all that lead to the Service of the release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<Vec<String>>,
    /// The ports of the backends that are meant; all when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(inner(range(min = 1, max = 65535)))]
    pub ports: Option<Vec<u16>>,
    /// Backends of another kind than Service, by which a route of the Gateway API leads to the release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backends: Option<RouteBackends>,
}

/// Backends of another kind than Service. They are the user's to make.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteBackends {
    /// Kind of the backends, `InferencePool` or `ServiceImport` for example.
    #[schemars(length(min = 1))]
    pub kind: String,
    /// Group of that kind; known of InferencePool (`inference.networking.k8s.io`) and ServiceImport
    /// (`multicluster.x-k8s.io`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The backend that stands in the route at rest, beside or in place of the primary's; the name of the release's Service
    /// when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apex: Option<String>,
    /// The primary's backend; the apex with `-primary` when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary: Option<String>,
    /// The canary's backend; the apex with `-canary` when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<String>,
}

/// Group and version of manifests before v1beta1.
pub const OLD_API_VERSION: &str = "flagger.app/v1alpha3";
