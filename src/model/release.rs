//! A Canary with every default filled in and every duration parsed: what the controller works with.
//! Behind this door nobody meets an optional string again.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::api::analysis::{AnalysisMatch, MetricSeverity, OnMetricError, OnNoData, SessionAffinity};
use crate::api::hooks::{AlertRef, CloudEvents, HookType};
use crate::api::service::CanaryService;
use crate::api::{Provider, RouteTemplateSpec, ServiceField};

use super::traffic::Capabilities;

/// What a Canary asks for, checked and complete.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Release {
    /// Name of the Canary.
    pub name: String,
    /// Namespace of the Canary, and of all that belongs to the release.
    pub namespace: String,
    /// `metadata.uid` of the Canary.
    pub uid: String,
    /// `metadata.generation` of the Canary.
    pub generation: i64,
    /// `spec.targetRef`, the workload that is released.
    pub target: Target,
    /// The provider that shifts the traffic: `spec.provider`, else the controller's.
    pub provider: Provider,
    /// That provider as it was written, which can say more than the list of providers (`smi:v1alpha1:istio`).
    pub provider_name: String,
    /// `spec.provider` as written; the built-in checks are chosen by both (spec 02 §7.2).
    pub own_provider: Option<String>,
    /// Prometheus address for built-in checks and inline queries.
    pub metrics_server: String,
    /// Name of the apex Service.
    pub apex: String,
    /// `spec.service`, from which the Services and routes are made.
    pub service: CanaryService,
    /// `spec.autoscalerRef`, the target's autoscaler.
    pub autoscaler: Option<Autoscaler>,
    /// `spec.ingressRef`, the Ingress that leads to the workload.
    pub ingress: Option<Reference>,
    /// `spec.routeRef`, the route that leads to the workload.
    pub route: Option<Reference>,
    /// `spec.routeRefs`: routes of the user's whose weights are set; without any, the provider's router writes its own.
    pub adopted: Vec<AdoptedRoute>,
    /// `spec.routeTemplateRef`: the template by which the release is routed, in place of the provider's router.
    pub template: Option<RoutedBy>,
    /// `spec.upstreamRef`, the upstream whose settings the generated ones take (Gloo).
    pub upstream: Option<Reference>,
    /// Annotations of the Canary.
    pub annotations: BTreeMap<String, String>,
    /// How the release advances and is judged, from `spec.analysis`.
    pub analysis: Plan,
    /// Also true when there is no analysis.
    pub skip_analysis: bool,
    /// `spec.suspend`: the release stays as it is.
    pub suspend: bool,
    /// `spec.revertOnDeletion`: the target gets its replicas and its traffic back when the Canary is deleted.
    pub revert_on_deletion: bool,
    /// How long a workload may stay unready.
    pub progress_deadline: Duration,
}

impl Release {
    /// `name.namespace`, as events and alerts write it.
    pub fn title(&self) -> String {
        format!("{}.{}", self.name, self.namespace)
    }

    /// `target.namespace`, as events write it.
    pub fn target_title(&self) -> String {
        format!("{}.{}", self.target.name, self.namespace)
    }

    /// What templates call `ingress`: the name of the referenced Ingress, else of the first that is adopted, else the
    /// target's.
    pub fn ingress_name(&self) -> &str {
        let adopted = || self.adopted.iter().map(|entry| &entry.route).find(|route| route.kind == "Ingress");
        self.ingress.as_ref().or_else(adopted).map_or(&self.target.name, |ingress| &ingress.name)
    }

    /// What templates call `route`: the name of the referenced route, else the target's.
    pub fn route_name(&self) -> &str {
        self.route.as_ref().map_or(&self.target.name, |route| &route.name)
    }

    /// Name of the primary workload.
    pub fn primary_name(&self) -> String {
        format!("{}-primary", self.target.name)
    }

    /// Name of the Service in front of the primary.
    pub fn primary_service(&self) -> String {
        format!("{}-primary", self.apex)
    }

    /// Name of the Service in front of the canary.
    pub fn canary_service(&self) -> String {
        format!("{}-canary", self.apex)
    }

    /// The hooks of one type, in the order of the manifest.
    pub fn hooks(&self, kind: HookType) -> impl Iterator<Item = &Hook> {
        self.analysis.hooks.iter().filter(move |hook| hook.kind == kind)
    }
}

/// An object that a Canary refers to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reference {
    /// Group and version, as written; empty where the manifest leaves them out.
    pub api_version: String,
    /// Kind, as written; empty where the manifest leaves it out.
    pub kind: String,
    /// Name of the object.
    pub name: String,
    /// The Canary's own unless the manifest names another.
    pub namespace: String,
}

/// A route of the user's whose weights are set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AdoptedRoute {
    /// The object.
    pub route: Reference,
    /// The rules that are meant, by name or place; all that lead to the release's Services where there are none.
    pub rules: Vec<String>,
    /// The ports of the backends that are meant; all where there are none.
    pub ports: Vec<u16>,
    /// The backends by which the route leads to the release, where they are not its Services.
    pub backends: Option<Backends>,
}

/// Backends of a release that are not its Services.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Backends {
    /// Group of their kind; empty where it is not known.
    pub group: String,
    /// Their kind.
    pub kind: String,
    /// The one that leads to the primary at rest.
    pub apex: String,
    /// The primary's.
    pub primary: String,
    /// The canary's.
    pub canary: String,
}

/// The RouteTemplate by which a release is routed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RoutedBy {
    /// Name of the template.
    pub name: String,
    /// Namespace of the template.
    pub namespace: String,
    /// What it says; or why nobody knows, for the user.
    #[serde(serialize_with = "as_it_was_found")]
    pub found: Result<Arc<RouteTemplateSpec>, String>,
}

fn as_it_was_found<S: Serializer>(
    found: &Result<Arc<RouteTemplateSpec>, String>,
    to: S,
) -> Result<S::Ok, S::Error> {
    found.as_ref().map(Arc::as_ref).serialize(to)
}

impl RoutedBy {
    /// As messages write it.
    pub fn title(&self) -> String {
        format!("RouteTemplate {}.{}", self.name, self.namespace)
    }
}

/// The workload under control.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Target {
    /// The kind of workload.
    pub kind: TargetKind,
    /// Name of the workload, in the namespace of the Canary.
    pub name: String,
}

/// The kinds of workload that can be released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum TargetKind {
    /// A Deployment.
    Deployment,
    /// A DaemonSet.
    DaemonSet,
    /// A Service of the core group, whose pods somebody else takes care of.
    Service,
    /// A Service of Knative.
    Knative,
}

impl TargetKind {
    /// `targetRef.kind`, as messages write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::DaemonSet => "DaemonSet",
            Self::Service | Self::Knative => "Service",
        }
    }
}

/// The target's autoscaler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Autoscaler {
    /// The kind of autoscaler.
    pub kind: ScalerKind,
    /// Name of the target's autoscaler.
    pub name: String,
    /// The query of the primary's copy for each named trigger (KEDA); when unset, the target's queries are adapted.
    pub primary_queries: Option<BTreeMap<String, String>>,
    /// The minimum of replicas of the primary's copy, if it differs from the target's.
    pub primary_min: Option<i32>,
    /// The maximum of replicas of the primary's copy, if it differs from the target's.
    pub primary_max: Option<i32>,
}

/// The kinds of autoscaler that can be copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum ScalerKind {
    /// A HorizontalPodAutoscaler of Kubernetes.
    HorizontalPodAutoscaler,
    /// A ScaledObject of KEDA.
    ScaledObject,
}

/// How a release advances and how it is judged.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// Never under 10 s.
    pub interval: Duration,
    /// At least 1.
    pub threshold: i64,
    /// How the traffic moves to the canary.
    pub strategy: Strategy,
    /// Mirror requests before the canary gets any; only set where the router can.
    pub mirror: bool,
    /// Percentage of mirrored requests; all when unset.
    pub mirror_weight: Option<u32>,
    /// Primary weight increment of a promotion; all at once when 0.
    pub step_weight_promotion: u32,
    /// Percent of pods that must be available.
    pub primary_ready_threshold: u32,
    /// Percent of the canary's pods that must be available.
    pub canary_ready_threshold: u32,
    /// Which requests go to the canary, in an A/B test.
    pub matches: Vec<AnalysisMatch>,
    /// In the order in which they are judged: built-ins and inline queries, then templates (spec 02 §7.1).
    pub metrics: Vec<MetricCheck>,
    /// The hooks, in the order of the manifest.
    pub hooks: Vec<Hook>,
    /// The alert providers that hear of this release; the global notifier where there are none.
    pub alerts: Vec<AlertRef>,
    /// The cookies that keep a user on one side; `None` where they are off.
    pub session_affinity: Option<SessionAffinity>,
    /// What a metric that cannot be read means for the release.
    pub on_metric_error: OnMetricError,
    /// What a metric without data means for the release.
    pub on_no_data: OnNoData,
}

/// How the traffic moves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Strategy {
    /// Step by step.
    Weighted(Steps),
    /// Checked beside the primary, then all at once.
    BlueGreen {
        /// How many rounds of checks the canary has to pass.
        iterations: u32,
    },
    /// The requests that match go to the canary.
    AbTesting {
        /// How many rounds of checks the canary has to pass.
        iterations: u32,
    },
}

impl Strategy {
    /// Metric label `deployment_strategy`.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Weighted(_) => "canary",
            Self::BlueGreen { .. } => "blue-green",
            Self::AbTesting { .. } => "ab-testing",
        }
    }
}

/// The weights of a weighted release, each 1 to 100.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Steps {
    /// `stepWeight` up to `maxWeight`.
    By {
        /// What each step adds to the canary's weight.
        step: u32,
        /// The weight after which the canary is promoted.
        max: u32,
    },
    /// `stepWeights`, strictly rising.
    List(Vec<u32>),
}

/// One check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MetricCheck {
    /// Name of the check.
    pub name: String,
    /// Where it stands in the manifest, `spec.analysis.metrics[0]`.
    pub field: String,
    /// Window as written, for the query.
    pub interval: String,
    /// Where the value comes from.
    pub source: MetricSource,
    /// Inclusive bounds; milliseconds for the built-in duration.
    pub min: Option<f64>,
    /// The upper bound, which is inclusive as well.
    pub max: Option<f64>,
    /// `templateVariables`, the values that the query's template may use.
    pub variables: BTreeMap<String, String>,
    /// What the check's result means for the release, beyond its bounds.
    pub rules: MetricRules,
}

/// What the result of a check means for the release. The default is what Flagger does.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct MetricRules {
    /// What a value out of bounds means.
    pub severity: MetricSeverity,
    /// Measured and shown, and nothing more.
    pub dry_run: bool,
    /// Failed checks of this metric that end the release.
    pub failure_limit: Option<u32>,
    /// Errors in a row that end the release.
    pub error_limit: Option<u32>,
    /// How many samples there have to be. The check before this one in the list counts them.
    pub min_samples: Option<Samples>,
    /// This check counts the samples of the one after it, and is not judged itself.
    pub counts_samples: bool,
}

/// How many samples a check needs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Samples {
    /// Samples from which on the metric is judged.
    pub count: u32,
    /// How long they are waited for.
    pub within: Duration,
}

/// Where the value of a check comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum MetricSource {
    /// The built-in share of successful requests, in percent.
    SuccessRate,
    /// The built-in duration that 99 of 100 requests do not exceed, in milliseconds.
    Duration,
    /// A query in the manifest itself, for the Prometheus of the release.
    Inline(String),
    /// A MetricTemplate.
    Template {
        /// Name of the MetricTemplate.
        name: String,
        /// Namespace of the MetricTemplate.
        namespace: String,
    },
    /// Neither a known name, nor a query, nor a template: fails every time (spec 01 §4.2).
    Unusable,
}

/// One hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hook {
    /// Name of the hook, as events show it.
    pub name: String,
    /// The address that is called.
    pub url: String,
    /// Never `Unset`.
    pub kind: HookType,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// Further attempts after the first.
    pub retries: u32,
    /// Whether any certificate of the server is accepted.
    pub disable_tls: bool,
    /// Whether no alert is sent while this hook holds the release up.
    pub mute_alert: bool,
    /// What the manifest adds to the payload.
    pub metadata: BTreeMap<String, String>,
    /// The Secrets that the call is made with.
    pub credentials: Credentials,
    /// How events are wrapped as CloudEvents, if they are.
    pub cloud_events: Option<CloudEvents>,
}

/// Where the secrets of a hook are; never what they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Credentials {
    /// Name of the Secret whose keys and values are headers.
    pub headers: Option<String>,
    /// Name of the Secret with the signing key, and the key's name in it.
    pub signing: Option<(String, String)>,
}

/// What the controller was told that a Canary does not say itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `--mesh-provider`.
    pub mesh_provider: String,
    /// `--metrics-server`.
    pub metrics_server: String,
    /// `--ingress-class`: the class of the ingresses and proxies that are made; empty for none.
    pub ingress_class: String,
    /// `--ingress-annotations-prefix`: what the annotations of NGINX ingresses begin with.
    pub ingress_annotations_prefix: String,
    /// Whether the routes live in another cluster than the workloads (`--kubeconfig-service-mesh`).
    pub remote_mesh: bool,
    /// `--no-cross-namespace-refs`.
    pub no_cross_namespace_refs: bool,
    /// `--selector-labels`, in order of preference.
    pub selector_labels: Vec<String>,
    /// `--include-label-prefix`.
    pub include_label_prefixes: Vec<String>,
    /// `--enable-config-tracking`.
    pub config_tracking: bool,
    /// `--min-serving-capacity`: how many of the pods that a share stands for have to be ready before a side is given
    /// it, in percent; 0 if a single pod is enough.
    pub serving_capacity: u32,
    /// `--max-concurrent-rollouts`: how many releases may go on at once; 0 if any number.
    pub max_rollouts: usize,
    /// `--max-concurrent-rollouts-per-namespace`: the same for each namespace.
    pub max_rollouts_per_namespace: usize,
    /// `--max-webhook-timeout`: what a hook's longer time-out is cut to.
    pub max_webhook_timeout: Duration,
    /// `--shared-gateway-namespaces`: those whose gateways any Canary may name, also with `no_cross_namespace_refs`.
    pub shared_gateway_namespaces: Vec<String>,
    /// `--require-secret-labels`: whether MetricTemplates and AlertProviders use only Secrets that are labelled for it.
    pub require_secret_labels: bool,
    /// `--allow-insecure-credentials`: whether hooks may send headers of Secrets so that others can read them.
    pub allow_insecure_credentials: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mesh_provider: "istio".into(),
            metrics_server: "http://prometheus:9090".into(),
            ingress_class: String::new(),
            ingress_annotations_prefix: "nginx.ingress.kubernetes.io".into(),
            remote_mesh: false,
            no_cross_namespace_refs: false,
            selector_labels: ["app", "name", "app.kubernetes.io/name"].map(Into::into).into(),
            include_label_prefixes: Vec::new(),
            config_tracking: true,
            serving_capacity: 50,
            max_rollouts: 0,
            max_rollouts_per_namespace: 0,
            max_webhook_timeout: Duration::from_secs(600),
            shared_gateway_namespaces: vec!["istio-system".into()],
            require_secret_labels: false,
            allow_insecure_credentials: false,
        }
    }
}

/// Something in a manifest that is wrong, or that should be written another way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// Path of the field, `spec.analysis.interval`.
    pub field: String,
    /// What is wrong with which value, and what to do: one sentence, no full stop.
    pub message: String,
}

/// As one line: `spec.analysis.stepWeight: 0 moves no traffic: …`.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// What the reading of a manifest has to know of the release's provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderFacts {
    /// What it can do for this release.
    pub capabilities: Capabilities,
    /// What it cannot do with this manifest.
    pub problems: Vec<Problem>,
    /// What of this manifest it leaves out.
    pub warnings: Vec<Problem>,
    /// Fields of `spec.service` that are set and that it ignores.
    pub ignored: Vec<ServiceField>,
}

/// A Canary as read: the release, or why there cannot be one; and what the user should change in any case.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The release, or all that is wrong with the manifest.
    pub release: Result<Box<Release>, Vec<Problem>>,
    /// What works but should be written another way.
    pub warnings: Vec<Problem>,
    /// What could be read of a manifest that is refused: enough to keep its traffic safe.
    pub refused: Option<Box<Release>>,
}
