//! `spec.analysis`: how a release advances and how it is judged (spec 01 §1.6).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::hooks::{AlertRef, Webhook};
use super::reference::CrossRef;
use super::service::StringMatch;

/// Steps, thresholds, metrics, hooks and alerts of a release.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["interval", "threshold"], "x-kubernetes-validations" = [{
    "rule": "(has(self.iterations) ? 1 : 0) + (has(self.stepWeight) ? 1 : 0) + (has(self.stepWeights) ? 1 : 0) == 1",
    "message": "write exactly one of iterations, stepWeight and stepWeights: stepWeight moves the traffic in equal steps, \
                stepWeights lists the steps, iterations checks the canary beside the primary",
}]))]
pub struct Analysis {
    /// Time between two steps, `30s` or `1m`; 60 s when unparsable, never under 10 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = super::schema::DURATION))]
    pub interval: Option<String>,
    /// Failed checks that end the release; 1 when not positive.
    #[serde(default, deserialize_with = "super::number::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64", extend("x-kubernetes-validations" = [{
        "rule": "self >= 0.0",
        "message": "threshold cannot be negative: write how many failed checks end a release",
    }]))]
    pub threshold: Option<i64>,
    /// Highest canary weight; 100 when unset.
    #[serde(default, deserialize_with = "super::number::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64", extend("x-kubernetes-validations" = [{
        "rule": "self >= 0.0",
        "message": "maxWeight cannot be negative: write the highest share of the traffic that the canary is to get, 1 to 100",
    }]))]
    pub max_weight: Option<i64>,
    /// Increment of the canary weight per step.
    #[serde(default, deserialize_with = "super::number::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64")]
    pub step_weight: Option<i64>,
    /// Canary weight of each step.
    #[serde(default, deserialize_with = "super::number::list", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<f64>")]
    pub step_weights: Option<Vec<i64>>,
    /// Increment of the primary weight during promotion; all at once when unset.
    #[serde(default, deserialize_with = "super::number::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64")]
    pub step_weight_promotion: Option<i64>,
    /// Number of checks of a blue/green or A/B release.
    #[serde(default, deserialize_with = "super::number::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64")]
    pub iterations: Option<i64>,
    /// Copy requests to the canary before it gets any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<bool>,
    /// Percentage of requests that are copied; all when unset.
    #[serde(default, deserialize_with = "super::number::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64")]
    pub mirror_weight: Option<i64>,
    /// Percentage of primary pods that must be available; 100 when unset.
    #[serde(default, deserialize_with = "super::number::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64")]
    pub primary_ready_threshold: Option<i64>,
    /// Percentage of canary pods that must be available; 100 when unset.
    #[serde(default, deserialize_with = "super::number::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64")]
    pub canary_ready_threshold: Option<i64>,
    /// Which requests go to the canary (A/B testing).
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub matches: Option<Vec<AnalysisMatch>>,
    /// Checks of every step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Vec<Metric>>,
    /// Where to tell of the release; the global notifier when empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alerts: Option<Vec<AlertRef>>,
    /// Hooks and gates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhooks: Option<Vec<Webhook>>,
    /// Keep a client on the side that it first met.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_affinity: Option<SessionAffinity>,
    /// What a metric that cannot be read means. Additive; `fail` as in Flagger when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_metric_error: Option<OnMetricError>,
    /// What a metric without data, or NaN, means. Additive; `fail` as in Flagger when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_no_data: Option<OnNoData>,
}

/// What a metric that cannot be read means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnMetricError {
    /// A failed check.
    #[default]
    Fail,
    /// Neither passed nor failed: wait for the next interval.
    Hold,
}

/// What a metric without data means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnNoData {
    /// A failed check.
    #[default]
    Fail,
    /// Neither passed nor failed: wait for the next interval.
    Hold,
    /// A passed check.
    Pass,
}

/// One condition under which a request goes to the canary.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnalysisMatch {
    /// Header name to what its value must be; exactly one of `exact`, `prefix`, `suffix`, `regex`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::header_matches")]
    pub headers: Option<BTreeMap<String, StringMatch>>,
    /// Query parameter to what its value must be; at most one of `exact`, `prefix`, `regex`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::string_matches")]
    pub query_params: Option<BTreeMap<String, StringMatch>>,
    /// Labels of the pods that the request comes from, inside the mesh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_labels: Option<BTreeMap<String, String>>,
}

/// One check: a built-in, a `MetricTemplate` or an inline query, and its bounds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metric {
    /// `request-success-rate`, `request-duration`, or any name for a template or query.
    pub name: String,
    /// Window of the query; `1m` when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = super::schema::DURATION))]
    pub interval: Option<String>,
    /// Old form of `thresholdRange`: minimum of a success rate, maximum of all else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// Bounds of the value, both included; milliseconds for `request-duration`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold_range: Option<ThresholdRange>,
    /// Old form of a template: a query run on the Canary's metrics server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The MetricTemplate to ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_ref: Option<CrossRef>,
    /// What `variables` holds in the template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_variables: Option<BTreeMap<String, String>>,
    /// Additive: what a value out of bounds means; `fail` when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<MetricSeverity>,
    /// Additive: measured and shown in the status, and nothing more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
    /// Additive: failed checks of this metric that end the release; they count for `threshold` as well.
    #[serde(default, deserialize_with = "super::number::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64")]
    pub failure_limit: Option<i64>,
    /// Additive: errors of this metric in a row that end the release, also with `onMetricError: hold`.
    #[serde(default, deserialize_with = "super::number::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64")]
    pub consecutive_error_limit: Option<i64>,
    /// Additive: how much has to be measured before a value counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_samples: Option<MinSamples>,
}

/// What a value out of bounds means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MetricSeverity {
    /// The release is rolled back at once.
    Critical,
    /// A failed check.
    #[default]
    Fail,
    /// An event, and nothing more.
    Warn,
}

/// How many samples there have to be, and the query that counts them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MinSamples {
    /// Samples from which on the metric is judged; before that the step waits.
    #[serde(deserialize_with = "super::number::or_zero")]
    #[schemars(with = "f64")]
    pub count: i64,
    /// The query that counts, run on the Canary's metrics server. One of it and `templateRef` is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The MetricTemplate that counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_ref: Option<CrossRef>,
    /// How long to wait for them; after that there is no data. `10m` when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = super::schema::DURATION))]
    pub within: Option<String>,
}

/// Inclusive bounds of a metric.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ThresholdRange {
    /// Lowest value that passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// Highest value that passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

/// Cookies that keep a client on its side.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionAffinity {
    /// Cookie that keeps a client on the canary.
    pub cookie_name: String,
    /// Cookie that keeps a client on the primary for one interval; none when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary_cookie_name: Option<String>,
    /// Seconds; 86400 when unset.
    #[serde(default, deserialize_with = "super::number::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64", extend("x-default" = 86400, "x-kubernetes-validations" = [{
        "rule": "self >= 0.0",
        "message": "maxAge cannot be negative: write for how many seconds a client is to keep its cookie",
    }]))]
    pub max_age: Option<i64>,
    /// Attribute `Domain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Attribute `HttpOnly`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_only: Option<bool>,
    /// Attribute `Partitioned`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitioned: Option<bool>,
    /// Attribute `Path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Attribute `SameSite`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["Strict", "Lax", "None"]))]
    pub same_site: Option<String>,
    /// Attribute `Secure`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secure: Option<bool>,
}
