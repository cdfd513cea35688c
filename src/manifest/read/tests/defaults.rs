//! What is not written, or out of its range.

use super::*;
use crate::api::analysis::{OnMetricError, OnNoData};
use crate::api::hooks::{HookType, Severity};

// spec: 01/API-035 01/API-036 01/API-037 01/API-038 01/API-039 02/C2
#[test]
fn what_is_not_written_has_its_documented_default() {
    let mut manifest = frontend();
    manifest["spec"]["analysis"] = json!({"stepWeight": 10, "threshold": 0, "webhooks": [
        {"name": "load", "url": "http://load.test/"},
        {"name": "gate", "url": "https://gate.test/check", "type": "", "timeout": "5", "retries": -1},
    ]});
    let release = accepted(&manifest);
    assert_eq!(release.progress_deadline, Duration::from_secs(600));
    assert_eq!((release.apex.as_str(), release.primary_service()), ("frontend", "frontend-primary".into()));
    assert_eq!((release.ingress_name(), release.route_name()), ("frontend", "frontend"));
    assert_eq!((release.provider.as_str(), release.own_provider.clone()), ("istio", None));
    assert_eq!(release.metrics_server, "http://prometheus:9090");
    assert!(!release.skip_analysis && !release.suspend && !release.revert_on_deletion);

    let plan = &release.analysis;
    assert_eq!((plan.interval, plan.threshold), (Duration::from_secs(60), 1));
    assert_eq!((plan.primary_ready_threshold, plan.canary_ready_threshold), (100, 100));
    assert_eq!((plan.step_weight_promotion, plan.mirror, plan.mirror_weight), (0, false, None));
    assert_eq!((plan.on_metric_error, plan.on_no_data), (OnMetricError::Fail, OnNoData::Fail));
    for hook in &plan.hooks {
        assert_eq!((hook.kind, hook.timeout, hook.retries), (HookType::Rollout, Duration::from_secs(10), 0));
    }
}

// spec: 01/API-035 02/C2
#[rstest]
#[case("30s", 30, None)]
#[case("1m30s", 90, None)]
#[case("", 60, None)]
#[case(
    "5minutes",
    60,
    Some(
        "spec.analysis.interval: \"5minutes\" is not a duration, 60s is used: write one like 30s, 1m or 1m30s"
    )
)]
#[case("5s", 10, Some("spec.analysis.interval: \"5s\" is too short, 10s is used: write 10s or more"))]
#[case("-5m", 10, Some("spec.analysis.interval: \"-5m\" is too short, 10s is used: write 10s or more"))]
fn the_interval(#[case] written: &str, #[case] seconds: u64, #[case] warning: Option<&str>) {
    let manifest = with("/spec/analysis/interval", json!(written));
    assert_eq!(accepted(&manifest).analysis.interval, Duration::from_secs(seconds));
    assert_eq!(warnings(&manifest), Vec::from_iter(warning));
}

#[rstest]
#[case("/spec/analysis/primaryReadyThreshold", json!(120), "120 is not a percentage, 100 is used: write 0 to 100")]
#[case("/spec/analysis/stepWeightPromotion", json!(-3), "-3 is not a percentage, 0 is used: write 0 to 100")]
#[case("/spec/progressDeadlineSeconds", json!(0), "0 leaves no time, 600 is used: write the seconds that a rollout may take")]
fn a_number_out_of_its_range_is_brought_into_it(
    #[case] at: &str,
    #[case] value: Value,
    #[case] message: &str,
) {
    let warnings = warnings(&with(at, value));
    assert_eq!(warnings, [format!("{}: {message}", at[1..].replace('/', "."))]);
}

// spec: 01/API-055
#[test]
fn a_canary_without_analysis_is_promoted_without_one() {
    let reading = read(&with("/spec/analysis", Value::Null));
    assert_eq!(reading.warnings, []);
    let release = reading.release.expect("accepted");
    assert!(release.skip_analysis);
    assert_eq!(release.analysis.strategy, Strategy::Weighted(Steps::By { step: 100, max: 100 }));
}

#[test]
fn a_missing_service_is_read_as_an_empty_one() {
    let mut manifest = with("/spec/service", Value::Null);
    manifest["spec"]["targetRef"] = json!({"apiVersion": "v1", "kind": "Service", "name": "frontend"});
    assert_eq!(accepted(&manifest).service.port, 0);
}

// spec: 01/API-060 02/C102
#[test]
fn an_alert_without_severity_is_sent_from_info_upwards() {
    let manifest = with(
        "/spec/analysis/alerts",
        json!([
            {"name": "a", "providerRef": {"name": "chat"}},
            {"name": "b", "severity": "", "providerRef": {"name": "chat", "namespace": "ops"}},
            {"name": "c", "severity": "error", "providerRef": {"name": "chat", "namespace": ""}},
        ]),
    );
    let alerts = accepted(&manifest).analysis.alerts;
    let read: Vec<_> = alerts
        .iter()
        .map(|alert| {
            (alert.severity.expect("filled in"), alert.provider_ref.namespace.as_deref().expect("filled in"))
        })
        .collect();
    assert_eq!(read, [(Severity::Info, "shop"), (Severity::Info, "ops"), (Severity::Error, "shop")]);
}

#[test]
fn cookies_live_for_a_day_and_an_empty_primary_name_is_none() {
    let affinity = json!({"cookieName": "side", "primaryCookieName": "", "maxAge": 0});
    let affinity = accepted(&with("/spec/analysis/sessionAffinity", affinity)).analysis.session_affinity;
    let affinity = affinity.expect("kept");
    assert_eq!((affinity.max_age, affinity.primary_cookie_name), (Some(86_400), None));
}
