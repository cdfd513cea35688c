//! `spec.analysis.metrics`: what is checked, in which order and against which bounds (spec 02 §7.1, §7.3).

use super::plan::positive;
use crate::api::analysis::{Analysis, Metric, MetricSeverity, ThresholdRange};
use crate::api::number::shortest;
use crate::manifest::defaults;
use crate::manifest::legacy::{self, DURATION, SUCCESS_RATE};
use crate::manifest::notes::Notes;
use crate::manifest::validate::EMPTY;
use crate::model::release::{MetricCheck, MetricRules, MetricSource, Samples};

/// The checks in the order in which they are judged: built-in ones and inline queries, then all others. A metric that
/// is several of these is checked as each.
pub(super) fn read(analysis: &Analysis, path: &str, namespace: &str, notes: &mut Notes) -> Vec<MetricCheck> {
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for (index, metric) in analysis.metrics.iter().flatten().enumerate() {
        let path = format!("{path}.metrics[{index}]");
        let name = legacy::metric_name(metric, &path, notes);
        legacy::note_metric(metric, name, &path, notes);
        judge(metric, &path, notes);

        let sources = sources(metric, name, namespace);
        if sources.len() > 1 {
            let message = "is checked more than once: leave one of the built-in name, query and templateRef";
            notes.warn(&path, message.to_owned());
        }
        note_missing_bound(metric, &sources, &path, notes);
        let rules = rules(metric, &path, notes);
        let samples = samples(metric, name, namespace, &path, notes);
        for source in sources {
            let pass = match source {
                MetricSource::Template { .. } | MetricSource::Unusable => &mut second,
                _ => &mut first,
            };
            pass.extend(samples.clone());
            pass.push(MetricCheck { rules: rules.clone(), ..check(metric, name, &path, source) });
        }
    }
    first.extend(second);
    first
}

fn sources(metric: &Metric, name: &str, namespace: &str) -> Vec<MetricSource> {
    let builtin = match name {
        SUCCESS_RATE => Some(MetricSource::SuccessRate),
        DURATION => Some(MetricSource::Duration),
        _ => None,
    };
    let query = legacy::query(metric).map(|query| MetricSource::Inline(query.to_owned()));
    let template = metric.template_ref.as_ref().map(|template| MetricSource::Template {
        name: template.name.clone(),
        namespace: defaults::name(template.namespace.as_deref(), namespace).to_owned(),
    });
    let sources: Vec<_> = builtin.into_iter().chain(query).chain(template).collect();
    if sources.is_empty() { vec![MetricSource::Unusable] } else { sources }
}

fn check(metric: &Metric, name: &str, path: &str, source: MetricSource) -> MetricCheck {
    let threshold = metric.threshold.unwrap_or(defaults::METRIC_THRESHOLD);
    let (min, max) = match (metric.threshold_range, &source) {
        (Some(ThresholdRange { min, max }), _) => (min, max),
        (None, MetricSource::SuccessRate) => (Some(threshold), None),
        (None, _) => (None, Some(threshold)),
    };
    MetricCheck {
        name: name.to_owned(),
        field: path.to_owned(),
        interval: defaults::name(metric.interval.as_deref(), defaults::METRIC_INTERVAL).to_owned(),
        source,
        min,
        max,
        variables: metric.template_variables.clone().unwrap_or_default(),
        rules: MetricRules::default(),
    }
}

/// What the result means for the release.
fn rules(metric: &Metric, path: &str, notes: &mut Notes) -> MetricRules {
    let mut limit = |field: &str, limit: Option<i64>| match limit.map(u32::try_from) {
        None => None,
        Some(Ok(limit @ 1..)) => Some(limit),
        Some(_) => {
            notes.refuse(
                &format!("{path}.{field}"),
                "is not more than 0: write 1 or more, or leave it out".to_owned(),
            );
            None
        }
    };
    let failure_limit = limit("failureLimit", metric.failure_limit);
    let error_limit = limit("consecutiveErrorLimit", metric.consecutive_error_limit);
    let count =
        metric.min_samples.as_ref().and_then(|samples| limit("minSamples.count", Some(samples.count)));
    let severity = metric.severity.unwrap_or_default();
    let dry_run = metric.dry_run.unwrap_or_default();
    if (dry_run || severity == MetricSeverity::Warn) && (failure_limit.is_some() || error_limit.is_some()) {
        let message = "has limits that have no effect, since its result has none: leave them out, or dryRun and severity";
        notes.warn(path, message.to_owned());
    }
    let within = metric.min_samples.as_ref().and_then(|samples| samples.within.as_deref());
    let within = within.and_then(|within| positive(within, &format!("{path}.minSamples.within"), notes));
    let within = within.unwrap_or(defaults::SAMPLES_WITHIN);
    let min_samples = count.map(|count| Samples { count, within });
    MetricRules { severity, dry_run, failure_limit, error_limit, min_samples, counts_samples: false }
}

/// The check that counts the samples of `metric`.
fn samples(
    metric: &Metric,
    name: &str,
    namespace: &str,
    path: &str,
    notes: &mut Notes,
) -> Option<MetricCheck> {
    let samples = metric.min_samples.as_ref()?;
    let query = samples.query.as_deref().filter(|query| !query.trim().is_empty());
    let source = match (query, &samples.template_ref) {
        (Some(query), None) => MetricSource::Inline(query.to_owned()),
        (None, Some(template)) if !template.name.is_empty() => MetricSource::Template {
            name: template.name.clone(),
            namespace: defaults::name(template.namespace.as_deref(), namespace).to_owned(),
        },
        _ => {
            let message = "needs a query that counts: write one of query and templateRef.name".to_owned();
            notes.refuse(&format!("{path}.minSamples"), message);
            return None;
        }
    };
    let rules = MetricRules { counts_samples: true, ..MetricRules::default() };
    let field = format!("{path}.minSamples");
    Some(MetricCheck {
        min: None,
        max: None,
        rules,
        ..check(metric, &format!("{name} samples"), &field, source)
    })
}

fn judge(metric: &Metric, path: &str, notes: &mut Notes) {
    if let Some(interval) = metric.interval.as_deref().filter(|interval| !interval.is_empty()) {
        positive(interval, &format!("{path}.interval"), notes);
    }
    if metric.template_ref.as_ref().is_some_and(|template| template.name.is_empty()) {
        notes.refuse(&format!("{path}.templateRef.name"), EMPTY.to_owned());
    }
    if let Some(ThresholdRange { min: Some(min), max: Some(max) }) = metric.threshold_range
        && min > max
    {
        let (min, max) = (shortest(min), shortest(max));
        let message = format!(
            "min {min} is more than max {max}, so that no value passes: write the smaller one as min"
        );
        notes.refuse(&format!("{path}.thresholdRange"), message);
    }
}

/// A forgotten bound is 0 in the old form and no bound in the new one (spec 01 EC-21).
fn note_missing_bound(metric: &Metric, sources: &[MetricSource], path: &str, notes: &mut Notes) {
    let open = matches!(metric.threshold_range, Some(ThresholdRange { min: None, max: None }));
    if !open && (metric.threshold_range.is_some() || metric.threshold.is_some()) {
        return;
    }
    let verdict = if open || sources.contains(&MetricSource::SuccessRate) {
        "every value passes"
    } else {
        "every value above 0 fails"
    };
    notes.warn(path, format!("has no bound, so that {verdict}: write thresholdRange with min or max"));
}
