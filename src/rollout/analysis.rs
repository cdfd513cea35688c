//! Compares measurements with their thresholds. Every metric is judged at every step. A metric without a value, a NaN
//! and an error are told apart; by default each of them is a failed check (spec 02 §7).

use std::time::Duration;

use serde::Serialize;

use crate::api::analysis::{OnMetricError, OnNoData};
use crate::api::duration;
use crate::api::number::shortest;
use crate::model::answer::Measured;
use crate::model::release::{MetricCheck, MetricSource, Release, TargetKind};

use super::messages::{error, warning};
use super::step::Event;

/// The verdict on one check, or on all checks of a step. The order is from good to bad; the worst one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Judgement {
    /// The value is within its bounds.
    Passed,
    /// There is no usable value, and the manifest says to wait: the check is made again after one interval.
    Held,
    /// The value is out of its bounds, or there is none and the manifest does not say otherwise.
    Failed,
}

/// Judges one check. The event says why it did not pass; there is none if the value is within its bounds.
pub fn judge_one(release: &Release, check: &MetricCheck, measured: &Measured) -> (Judgement, Option<Event>) {
    let phase = crate::api::Phase::Progressing;
    let no_data = match release.analysis.on_no_data {
        OnNoData::Fail => Judgement::Failed,
        OnNoData::Hold => Judgement::Held,
        OnNoData::Pass => Judgement::Passed,
    };
    match measured {
        Measured::Value(value) => match out_of_bounds(check, *value) {
            Some((bound, limit)) => {
                (Judgement::Failed, Some(warning(phase, halt(release, check, *value, bound, limit))))
            }
            None => (Judgement::Passed, None),
        },
        Measured::NoData(why) => (no_data, Some(warning(phase, no_values(release, check, why)))),
        Measured::NotANumber => (
            no_data,
            Some(warning(
                phase,
                no_values(release, check, "running query failed: no values found (the result is NaN)"),
            )),
        ),
        Measured::Failed(why) => {
            let judgement = match release.analysis.on_metric_error {
                OnMetricError::Fail => Judgement::Failed,
                OnMetricError::Hold => Judgement::Held,
            };
            (judgement, Some(error(phase, query_failed(check, why))))
        }
    }
}

/// The bound that `value` breaks, as `<` or `>`, and its limit.
fn out_of_bounds(check: &MetricCheck, value: f64) -> Option<(&'static str, f64)> {
    if let Some(min) = check.min
        && value < min
    {
        return Some(("<", min));
    }
    if let Some(max) = check.max
        && value > max
    {
        return Some((">", max));
    }
    None
}

fn halt(release: &Release, check: &MetricCheck, value: f64, relation: &str, limit: f64) -> String {
    let title = release.title();
    match &check.source {
        MetricSource::SuccessRate => {
            format!("Halt {title} advancement success rate {value:.2}% {relation} {}%", shortest(limit))
        }
        MetricSource::Duration => {
            format!(
                "Halt {title} advancement request duration {} {relation} {}",
                millis(value),
                millis(limit)
            )
        }
        _ => format!("Halt {title} advancement {} {value:.2} {relation} {}", check.name, shortest(limit)),
    }
}

fn no_values(release: &Release, check: &MetricCheck, why: &str) -> String {
    let target = release.target_title();
    let provider = provider_label(release);
    match &check.source {
        MetricSource::SuccessRate => format!(
            "Halt advancement no values found for {provider} metric request-success-rate probably {target} is not \
             receiving traffic: {why}"
        ),
        MetricSource::Duration => format!(
            "Halt advancement no values found for {provider} metric request-duration probably {target} is not \
             receiving traffic"
        ),
        MetricSource::Inline(_) => format!("Halt advancement no values found for metric: {}", check.name),
        MetricSource::Template { .. } | MetricSource::Unusable => {
            format!("Halt advancement no values found for custom metric: {}: {why}", check.name)
        }
    }
}

/// The text for a query that failed. What fails before the query is sent, such as a missing template, has a complete
/// text already and passes through.
fn query_failed(check: &MetricCheck, why: &str) -> String {
    const COMPLETE: [&str; 3] =
        ["Metric template ", "Error building Prometheus client", "Error fetching Knative"];
    if COMPLETE.iter().any(|prefix| why.starts_with(prefix)) {
        return why.to_owned();
    }
    match &check.source {
        MetricSource::SuccessRate | MetricSource::Duration => format!("Prometheus query failed: {why}"),
        MetricSource::Inline(_) => format!("Prometheus query failed for {}: {why}", check.name),
        MetricSource::Template { .. } => format!("Metric query failed for {}: {why}", check.name),
        MetricSource::Unusable => format!("Metric query failed for {why}"),
    }
}

fn provider_label(release: &Release) -> String {
    match release.target.kind {
        TargetKind::Service => format!("{}:service", release.provider_name),
        _ => release.provider_name.clone(),
    }
}

/// A number of milliseconds as Go prints a duration: `1.515s`, `500ms`.
fn millis(value: f64) -> String {
    let seconds = (value / 1000.0).clamp(0.0, f64::from(u32::MAX));
    duration::format(Duration::from_secs_f64(seconds))
}
