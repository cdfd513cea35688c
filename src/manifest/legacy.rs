//! Old manifests, understood as what they would be called today, with a warning that names today's form
//! (spec 01 §4).

use serde_json::Value;

use super::notes::{Notes, shown};
use crate::api::analysis::{Analysis, Metric};
use crate::api::canary::Canary;
use crate::api::number::shortest;

/// Today's group and version.
pub const API_VERSION: &str = "flagger.app/v1beta1";

/// The built-in check of the share of good answers.
pub const SUCCESS_RATE: &str = "request-success-rate";

/// The built-in check of the time that answers take.
pub const DURATION: &str = "request-duration";

/// The manifest as the user applied it, if kubectl noted it down: the API server has dropped what it did not know and
/// shows the object in today's version.
pub fn last_applied(canary: &Canary) -> Option<Value> {
    let text = canary.metadata.annotations.as_ref()?.get(LAST_APPLIED)?;
    serde_json::from_str(text).ok()
}

/// Warns of an old `apiVersion` in the manifest, or noted by the API server where the manifest was applied on the
/// server.
pub(super) fn note_api_version(canary: &Canary, manifest: Option<&Value>, notes: &mut Notes) {
    let applied = manifest.and_then(|manifest| manifest["apiVersion"].as_str());
    let managed =
        canary.metadata.managed_fields.iter().flatten().filter_map(|entry| entry.api_version.as_deref());
    let old = applied.into_iter().chain(managed).find(|version| version.starts_with("flagger.app/v1alpha"));
    if let Some(old) = old {
        notes.warn("apiVersion", format!("{old} is deprecated: write {API_VERSION}"));
    }
}

/// The analysis and its path, under whichever name it is written.
pub(super) fn analysis<'a>(canary: &'a Canary, notes: &mut Notes) -> Option<(&'a Analysis, &'static str)> {
    match (&canary.spec.analysis, &canary.spec.canary_analysis) {
        (Some(analysis), old) => {
            if old.is_some() {
                notes.warn(OLD_ANALYSIS, "is ignored beside analysis: remove it".to_owned());
            }
            Some((analysis, "spec.analysis"))
        }
        (None, Some(old)) => {
            notes.warn(OLD_ANALYSIS, "is the old name of analysis: write spec.analysis".to_owned());
            Some((old, OLD_ANALYSIS))
        }
        (None, None) => None,
    }
}

/// Today's name of a metric. Old names of the built-in checks are understood unless the metric brings its own query.
pub(super) fn metric_name<'a>(metric: &'a Metric, path: &str, notes: &mut Notes) -> &'a str {
    let today = match metric.name.as_str() {
        _ if brings_query(metric) => None,
        "istio_requests_total" | "envoy_cluster_upstream_rq" => Some(SUCCESS_RATE),
        "istio_request_duration_seconds_bucket" | "envoy_cluster_upstream_rq_time_bucket" => Some(DURATION),
        _ => None,
    };
    match today {
        Some(today) => {
            notes.warn(
                &format!("{path}.name"),
                format!("{} is an old name: write {today}", shown(&metric.name)),
            );
            today
        }
        None => &metric.name,
    }
}

/// Warns of the forms that `thresholdRange` and MetricTemplates have replaced.
pub(super) fn note_metric(metric: &Metric, name: &str, path: &str, notes: &mut Notes) {
    if let Some(threshold) = metric.threshold {
        let field = format!("{path}.threshold");
        if metric.threshold_range.is_some() {
            notes.warn(&field, "is ignored beside thresholdRange: remove it".to_owned());
        } else {
            let bound = if name == SUCCESS_RATE { "min" } else { "max" };
            let value = shortest(threshold);
            notes.warn(&field, format!("is deprecated: write thresholdRange with {bound}: {value}"));
        }
    }
    if query(metric).is_some() {
        notes.warn(
            &format!("{path}.query"),
            "is deprecated: put the query into a MetricTemplate and name it in templateRef".to_owned(),
        );
    }
}

/// The inline query, if there is one.
pub(super) fn query(metric: &Metric) -> Option<&str> {
    metric.query.as_deref().filter(|query| !query.is_empty())
}

fn brings_query(metric: &Metric) -> bool {
    query(metric).is_some() || metric.template_ref.is_some()
}

const OLD_ANALYSIS: &str = "spec.canaryAnalysis";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
