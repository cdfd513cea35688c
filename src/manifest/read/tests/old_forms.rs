//! Manifests of former days.

use super::*;
use crate::model::release::MetricSource;

/// As users of `v1alpha3` have it, with what kubectl noted down.
fn manifest() -> Value {
    let mut manifest = json!({
        "apiVersion": "flagger.app/v1alpha3",
        "kind": "Canary",
        "metadata": {"name": "frontend", "namespace": "shop"},
        "spec": {
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "frontend"},
            "autoscalerRef": {
                "apiVersion": "autoscaling/v2beta1", "kind": "HorizontalPodAutoscaler", "name": "frontend"
            },
            "service": {"port": 9898},
            "canaryAnalysis": {
                "interval": "30s", "threshold": 10, "maxWeight": 50, "stepWeight": 5,
                "metrics": [
                    {"name": "istio_requests_total", "threshold": 99, "interval": "1m"},
                    {"name": "istio_request_duration_seconds_bucket", "threshold": 500, "interval": "30s"},
                    {"name": "404s percentage", "threshold": 5, "query": "sum(rate(not_found[1m]))"},
                ],
                "webhooks": [{"name": "load", "url": "http://load.test/", "timeout": "5s"}],
            },
        },
    });
    let applied = json!({LAST_APPLIED: manifest.to_string()});
    set(&mut manifest, "/metadata/annotations", applied);
    manifest["apiVersion"] = json!("flagger.app/v1beta1");
    manifest
}

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

#[test]
fn an_old_manifest_is_read_as_todays() {
    let release = accepted(&manifest());
    assert!(!release.skip_analysis);
    assert_eq!(release.autoscaler.expect("kept").kind, ScalerKind::HorizontalPodAutoscaler);
    let plan = release.analysis;
    assert_eq!(plan.strategy, Strategy::Weighted(Steps::By { step: 5, max: 50 }));
    assert_eq!((plan.threshold, plan.interval), (10, Duration::from_secs(30)));
    let checks: Vec<_> =
        plan.metrics.into_iter().map(|check| (check.name, check.source, check.min, check.max)).collect();
    assert_eq!(
        checks,
        [
            ("request-success-rate".into(), MetricSource::SuccessRate, Some(99.0), None),
            ("request-duration".into(), MetricSource::Duration, None, Some(500.0)),
            (
                "404s percentage".into(),
                MetricSource::Inline("sum(rate(not_found[1m]))".into()),
                None,
                Some(5.0)
            ),
        ]
    );
}

#[test]
fn every_old_form_gets_a_warning_that_names_the_new_one() {
    assert_eq!(
        warnings(&manifest()),
        [
            "apiVersion: flagger.app/v1alpha3 is deprecated: write flagger.app/v1beta1",
            "spec.canaryAnalysis: is the old name of analysis: write spec.analysis",
            "spec.canaryAnalysis.metrics[0].name: \"istio_requests_total\" is an old name: write request-success-rate",
            "spec.canaryAnalysis.metrics[0].threshold: is deprecated: write thresholdRange with min: 99",
            "spec.canaryAnalysis.metrics[1].name: \"istio_request_duration_seconds_bucket\" is an old name: write request-duration",
            "spec.canaryAnalysis.metrics[1].threshold: is deprecated: write thresholdRange with max: 500",
            "spec.canaryAnalysis.metrics[2].threshold: is deprecated: write thresholdRange with max: 5",
            "spec.canaryAnalysis.metrics[2].query: is deprecated: put the query into a MetricTemplate and name it in templateRef",
        ]
    );
}

#[test]
fn an_old_version_is_noticed_after_server_side_apply_too() {
    let manifest = with(
        "/metadata/managedFields",
        json!([
            {"manager": "kubectl", "operation": "Apply", "apiVersion": "flagger.app/v1alpha3"},
        ]),
    );
    assert_eq!(
        warnings(&manifest),
        ["apiVersion: flagger.app/v1alpha3 is deprecated: write flagger.app/v1beta1"]
    );
}

#[rstest]
#[case("istio_requests_total", MetricSource::SuccessRate)]
#[case("envoy_cluster_upstream_rq", MetricSource::SuccessRate)]
#[case("istio_request_duration_seconds_bucket", MetricSource::Duration)]
#[case("envoy_cluster_upstream_rq_time_bucket", MetricSource::Duration)]
fn an_old_metric_name_is_the_built_in_unless_it_brings_its_own_query(
    #[case] name: &str,
    #[case] source: MetricSource,
) {
    let metric = |extra: &str| {
        let mut metric = json!({"name": name, "thresholdRange": {"max": 1}});
        if !extra.is_empty() {
            metric[extra] = if extra == "query" { json!("q") } else { json!({"name": "t"}) };
        }
        let manifest = with("/spec/analysis/metrics", json!([metric]));
        accepted(&manifest).analysis.metrics.remove(0)
    };
    assert_eq!(metric("").source, source);
    assert_eq!(
        (metric("query").source, metric("query").name),
        (MetricSource::Inline("q".into()), name.into())
    );
    assert!(matches!(metric("templateRef").source, MetricSource::Template { .. }));
}

#[test]
fn todays_analysis_wins_over_the_old_one() {
    let manifest = with("/spec/canaryAnalysis", json!({"interval": "5m", "stepWeight": 1}));
    assert_eq!(accepted(&manifest).analysis.interval, Duration::from_secs(60));
    assert_eq!(warnings(&manifest), ["spec.canaryAnalysis: is ignored beside analysis: remove it"]);
}

#[test]
fn a_field_that_was_dropped_on_the_way_gets_a_warning() {
    let mut applied = frontend();
    applied["spec"]["analysis"]["stepWieght"] = json!(5);
    applied["spec"]["colour"] = json!("green");
    let manifest = with("/metadata/annotations", json!({LAST_APPLIED: applied.to_string()}));
    assert_eq!(
        warnings(&manifest),
        [
            "spec.analysis.stepWieght: is not a field of a Canary and has no effect: did you mean stepWeight?",
            "spec.colour: is not a field of a Canary and has no effect: remove it",
        ]
    );
}

#[test]
fn a_broken_note_of_kubectl_is_none() {
    assert_eq!(warnings(&with("/metadata/annotations", json!({LAST_APPLIED: "{"}))), [""; 0]);
}
