//! What is checked, in which order, against which bounds.

use super::*;
use std::time::Duration;

use crate::api::analysis::MetricSeverity;
use crate::model::release::{MetricCheck, MetricRules, MetricSource, Samples};

fn metrics(metrics: Value) -> Value {
    with("/spec/analysis/metrics", metrics)
}

fn checks(written: Value) -> Vec<MetricCheck> {
    accepted(&metrics(written)).analysis.metrics
}

// spec: 02/C95
#[test]
fn built_ins_and_queries_come_before_templates() {
    let checks = checks(json!([
        {"name": "errors", "templateRef": {"name": "errors"}, "thresholdRange": {"max": 1}},
        {"name": "nothing"},
        {"name": "request-duration", "thresholdRange": {"max": 500}},
        {"name": "late", "query": "late()", "thresholdRange": {"max": 1}},
        {"name": "request-success-rate", "thresholdRange": {"min": 99}},
    ]));
    let names: Vec<_> = checks.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(names, ["request-duration", "late", "request-success-rate", "errors", "nothing"]);
    assert_eq!(checks[4].source, MetricSource::Unusable);
}

// spec: 01/API-059 02/C99 04/TH-09
#[test]
fn every_kind_of_metric_has_the_same_default_window_and_namespace() {
    let checks = checks(json!([
        {"name": "request-duration", "thresholdRange": {"max": 500}},
        {"name": "late", "query": "late()", "thresholdRange": {"max": 1}},
        {"name": "errors", "templateRef": {"name": "errors"}, "thresholdRange": {"max": 1}},
        {"name": "far", "templateRef": {"name": "far", "namespace": "ops"}, "thresholdRange": {"max": 1}},
    ]));
    assert!(checks.iter().all(|check| check.interval == "1m"));
    assert_eq!(checks[2].source, MetricSource::Template { name: "errors".into(), namespace: "shop".into() });
    assert_eq!(checks[3].source, MetricSource::Template { name: "far".into(), namespace: "ops".into() });
}

// spec: 01/API-081 02/C96 04/TH-01 04/TH-02 04/TH-03 04/TH-04
#[rstest]
#[case(json!({"name": "request-success-rate", "threshold": 99}), Some(99.0), None)]
#[case(json!({"name": "request-duration", "threshold": 500}), None, Some(500.0))]
#[case(json!({"name": "any", "query": "q", "threshold": 5}), None, Some(5.0))]
#[case(json!({"name": "any", "query": "q"}), None, Some(0.0))]
#[case(json!({"name": "request-success-rate"}), Some(0.0), None)]
#[case(json!({"name": "request-success-rate", "threshold": 50, "thresholdRange": {"min": 99.9}}), Some(99.9), None)]
#[case(json!({"name": "request-duration", "thresholdRange": {"max": 0.5}}), None, Some(0.5))]
#[case(json!({"name": "any", "query": "q", "threshold": 5, "thresholdRange": {}}), None, None)]
#[case(json!({"name": "any", "query": "q", "thresholdRange": {"min": -1, "max": 1}}), Some(-1.0), Some(1.0))]
fn the_old_threshold_is_a_minimum_of_success_and_a_maximum_of_all_else(
    #[case] metric: Value,
    #[case] min: Option<f64>,
    #[case] max: Option<f64>,
) {
    let checks = checks(json!([metric]));
    assert_eq!((checks[0].min, checks[0].max), (min, max));
}

#[test]
fn a_metric_of_several_kinds_is_checked_as_each_of_them_with_a_warning() {
    let metric = json!([{"name": "request-success-rate", "thresholdRange": {"min": 99},
        "templateRef": {"name": "mine"}}]);
    let sources: Vec<_> = checks(metric.clone()).into_iter().map(|check| check.source).collect();
    let template = MetricSource::Template { name: "mine".into(), namespace: "shop".into() };
    assert_eq!(sources, [MetricSource::SuccessRate, template]);
    let warning = "spec.analysis.metrics[0]: is checked more than once: leave one of the built-in name, query and \
                   templateRef";
    assert_eq!(warnings(&metrics(metric)), [warning]);
}

#[rstest]
#[case(json!({"name": "any", "templateRef": {"name": "t"}}), "has no bound, so that every value above 0 fails: write thresholdRange with min or max")]
#[case(json!({"name": "request-success-rate"}), "has no bound, so that every value passes: write thresholdRange with min or max")]
#[case(json!({"name": "any", "templateRef": {"name": "t"}, "thresholdRange": {}}), "has no bound, so that every value passes: write thresholdRange with min or max")]
fn a_forgotten_bound_gets_a_warning(#[case] metric: Value, #[case] message: &str) {
    assert_eq!(warnings(&metrics(json!([metric]))), [format!("spec.analysis.metrics[0]: {message}")]);
}

#[rstest]
#[case(json!({"interval": "1x"}), "interval: \"1x\" is not a duration: write one like 30s, 1m or 1m30s")]
#[case(json!({"interval": "0s"}), "interval: \"0s\" is not more than 0s: write one like 30s, 1m or 1m30s")]
#[case(json!({"thresholdRange": {"min": 99.5, "max": 1e6}, "interval": "5minutes"}), "interval: \"5minutes\" is not a duration: write one like 30s, 1m or 1m30s")]
#[case(json!({"thresholdRange": {"min": 99, "max": 0.5}}), "thresholdRange: min 99 is more than max 0.5, so that no value passes: write the smaller one as min")]
#[case(json!({"templateRef": {"name": ""}}), "templateRef.name: is empty: write a name")]
#[case(json!({"failureLimit": 0}), "failureLimit: is not more than 0: write 1 or more, or leave it out")]
#[case(json!({"consecutiveErrorLimit": -1}), "consecutiveErrorLimit: is not more than 0: write 1 or more, or leave it out")]
#[case(json!({"minSamples": {"count": 0, "query": "q"}}), "minSamples.count: is not more than 0: write 1 or more, or leave it out")]
#[case(json!({"minSamples": {"count": 1}}), "minSamples: needs a query that counts: write one of query and templateRef.name")]
#[case(json!({"minSamples": {"count": 1, "query": "q", "templateRef": {"name": "t"}}}), "minSamples: needs a query that counts: write one of query and templateRef.name")]
#[case(json!({"minSamples": {"count": 1, "query": "q", "within": "soon"}}), "minSamples.within: \"soon\" is not a duration: write one like 30s, 1m or 1m30s")]
fn a_metric_that_cannot_be_checked_is_refused(#[case] fields: Value, #[case] message: &str) {
    let mut metric = json!({"name": "any", "templateRef": {"name": "t"}, "thresholdRange": {"max": 1}});
    metric.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
    assert_eq!(refusals(read(&metrics(json!([metric])))), [format!("spec.analysis.metrics[0].{message}")]);
}

#[test]
fn a_metric_has_rules_of_its_own_and_no_others() {
    let checks = checks(json!([
        {"name": "errors", "templateRef": {"name": "errors"}, "thresholdRange": {"max": 1}, "severity": "critical",
            "failureLimit": 2, "consecutiveErrorLimit": 10.0,
            "minSamples": {"count": 500, "templateRef": {"name": "requests"}, "within": "5m"}},
        {"name": "late", "query": "late()", "thresholdRange": {"max": 1}, "dryRun": true,
            "minSamples": {"count": 1, "query": "all()"}},
        {"name": "plain", "query": "plain()", "thresholdRange": {"max": 1}},
    ]));
    let names: Vec<_> = checks.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(
        names,
        ["late samples", "late", "plain", "errors samples", "errors"],
        "who counts stands before"
    );
    assert_eq!(checks[0].source, MetricSource::Inline("all()".into()));
    assert!(checks[0].rules.counts_samples && checks[3].rules.counts_samples);
    assert_eq!(checks[2].rules, MetricRules::default());
    let samples = |count, seconds| Some(Samples { count, within: Duration::from_secs(seconds) });
    assert_eq!((checks[1].rules.dry_run, checks[1].rules.min_samples.clone()), (true, samples(1, 600)));
    let expected = MetricRules {
        severity: MetricSeverity::Critical,
        failure_limit: Some(2),
        error_limit: Some(10),
        min_samples: samples(500, 300),
        ..MetricRules::default()
    };
    assert_eq!(checks[4].rules, expected);
}

#[test]
fn limits_of_a_metric_that_has_no_effect_get_a_warning() {
    let metric = json!([{"name": "any", "query": "q", "thresholdRange": {"max": 1}, "severity": "warn", "failureLimit": 1}]);
    let warned = warnings(&metrics(metric));
    assert!(
        warned
            .iter()
            .any(|text| text.starts_with("spec.analysis.metrics[0]: has limits that have no effect")),
        "{warned:?}"
    );
}
