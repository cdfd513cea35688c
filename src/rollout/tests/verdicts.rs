//! What a measurement means, and how that is said (spec 04 §1.6, §7).

use Phase::{Initialized, Progressing, WaitingPromotion};
use rstest::rstest;

use crate::api::hooks::HookType;
use crate::api::status::Phase;
use crate::model::answer::Measured;
use crate::model::release::{MetricCheck, MetricSource, Strategy};

use super::super::analysis::{Judgement, judge_one};
use super::super::question::Ask;
use super::super::step::EventKind;
use super::super::testing::{MESH, Stage, hook, release};

fn check(source: MetricSource, min: Option<f64>, max: Option<f64>) -> MetricCheck {
    MetricCheck { name: "errors".into(), source, min, max, ..release().analysis.metrics[0].clone() }
}

fn template() -> MetricSource {
    MetricSource::Template { name: "errors".into(), namespace: "test".into() }
}

fn inline() -> MetricSource {
    MetricSource::Inline("errors()".into())
}

#[rstest]
#[case::below_the_minimum(
    MetricSource::SuccessRate,
    Some(99.0),
    None,
    98.996,
    "Halt podinfo.test advancement success rate 99.00% < 99%"
)]
#[case::half_a_percent(
    MetricSource::SuccessRate,
    Some(99.5),
    None,
    80.0,
    "Halt podinfo.test advancement success rate 80.00% < 99.5%"
)]
#[case::over_the_maximum(
    MetricSource::SuccessRate,
    None,
    Some(50.0),
    51.0,
    "Halt podinfo.test advancement success rate 51.00% > 50%"
)]
#[case::at_the_minimum(MetricSource::SuccessRate, Some(99.0), None, 99.0, "")]
#[case::at_the_maximum(MetricSource::SuccessRate, None, Some(50.0), 50.0, "")]
#[case::slow(
    MetricSource::Duration,
    None,
    Some(500.0),
    1515.0,
    "Halt podinfo.test advancement request duration 1.515s > 500ms"
)]
#[case::fast_enough(MetricSource::Duration, None, Some(500.0), 500.0, "")]
#[case::too_fast(
    MetricSource::Duration,
    Some(1.0),
    None,
    0.5,
    "Halt podinfo.test advancement request duration 500µs < 1ms"
)]
#[case::of_ones_own(template(), None, Some(1.0), 1.005_1, "Halt podinfo.test advancement errors 1.01 > 1")]
#[case::of_ones_own_below(
    template(),
    Some(0.5),
    None,
    0.25,
    "Halt podinfo.test advancement errors 0.25 < 0.5"
)]
#[case::of_ones_own_at_the_bound(template(), Some(1.0), Some(1.0), 1.0, "")]
#[case::inline_query(inline(), None, Some(5.0), 7.0, "Halt podinfo.test advancement errors 7.00 > 5")]
#[case::without_bounds(template(), None, None, -7.0, "")]
fn a_value_within_its_bounds_passes_and_any_other_is_told_with_the_bound(
    #[case] source: MetricSource,
    #[case] min: Option<f64>,
    #[case] max: Option<f64>,
    #[case] value: f64,
    #[case] told: &str,
) {
    // spec: 04/TH-01 04/TH-02 04/TH-03 04/TH-04 04/TH-05
    let (judgement, event) = judge_one(&release(), &check(source, min, max), &Measured::Value(value));
    assert_eq!(told, event.map(|event| event.message).unwrap_or_default());
    assert_eq!(judgement, if told.is_empty() { Judgement::Passed } else { Judgement::Failed });
}

fn no_data(why: &str) -> Measured {
    Measured::NoData(why.into())
}

fn failed(why: &str) -> Measured {
    Measured::Failed(why.into())
}

#[rstest]
#[case::bad_value(
    MetricSource::SuccessRate,
    Measured::Value(80.0),
    "Halt podinfo.test advancement success rate 80.00% < 99%"
)]
#[case::no_success_rate(
    MetricSource::SuccessRate,
    no_data("running query failed: no values found"),
    "Halt advancement no values found for istio metric request-success-rate probably podinfo.test is not receiving traffic: running query failed: no values found"
)]
#[case::no_duration(
    MetricSource::Duration,
    no_data("running query failed: no values found"),
    "Halt advancement no values found for istio metric request-duration probably podinfo.test is not receiving traffic"
)]
#[case::no_inline(
    inline(),
    no_data("no values found"),
    "Halt advancement no values found for metric: errors"
)]
#[case::no_template(
    template(),
    no_data("no values found"),
    "Halt advancement no values found for custom metric: errors: no values found"
)]
#[case::not_a_number(
    template(),
    Measured::NotANumber,
    "Halt advancement no values found for custom metric: errors: running query failed: no values found (the result is NaN)"
)]
#[case::built_in_error(
    MetricSource::Duration,
    failed("502 Bad Gateway"),
    "Prometheus query failed: 502 Bad Gateway"
)]
#[case::inline_error(inline(), failed("parse error"), "Prometheus query failed for errors: parse error")]
#[case::template_error(template(), failed("datadog: 403"), "Metric query failed for errors: datadog: 403")]
#[case::no_such_template(
    template(),
    failed("Metric template errors.test error: not found"),
    "Metric template errors.test error: not found"
)]
#[case::no_such_secret(
    template(),
    failed("Metric template errors.test secret key error: not found"),
    "Metric template errors.test secret key error: not found"
)]
#[case::no_provider(
    template(),
    failed("Metric template errors.test provider x error: unknown"),
    "Metric template errors.test provider x error: unknown"
)]
#[case::no_query(
    template(),
    failed("Metric template errors.test query render error: bad"),
    "Metric template errors.test query render error: bad"
)]
#[case::nothing_to_ask(
    MetricSource::Unusable,
    failed("no usable metrics template and query were configured"),
    "Metric query failed for no usable metrics template and query were configured"
)]
#[case::no_server(
    MetricSource::SuccessRate,
    failed("Error building Prometheus client for x relative URL"),
    "Error building Prometheus client for x relative URL"
)]
#[case::no_knative(
    MetricSource::SuccessRate,
    failed("Error fetching Knative service test/podinfo not found"),
    "Error fetching Knative service test/podinfo not found"
)]
fn whatever_is_no_good_value_is_told_once_and_costs_one_failed_check(
    #[case] source: MetricSource,
    #[case] measured: Measured,
    #[case] told: &str,
) {
    // spec: 04/FA-02
    let mut release = release();
    release.analysis.metrics = vec![check(source, Some(99.0), None)];
    let mut stage = Stage::detected(release, MESH);
    stage.tick();
    stage.forget();
    stage.metric = measured;
    stage.tick();
    assert_eq!(stage.row(), (Progressing, 20, 20, 0, 1), "the share stays");
    let warnings: Vec<_> = stage
        .events
        .iter()
        .filter(|event| event.kind != EventKind::Normal)
        .map(|event| &event.message)
        .collect();
    assert_eq!(warnings, [told]);
}

#[test]
fn all_checks_of_a_step_are_judged_and_all_failures_are_one_failed_check() {
    // spec: 04/FA-03
    let mut release = release();
    release.analysis.metrics =
        vec![check(MetricSource::SuccessRate, Some(99.0), None), check(template(), Some(99.0), None)];
    let mut stage = Stage::detected(release, MESH);
    stage.tick();
    stage.forget();
    stage.metric = Measured::Value(80.0);
    stage.tick();
    assert_eq!(stage.row(), (Progressing, 20, 20, 0, 1));
    assert_eq!(
        stage.said(),
        [
            "Halt podinfo.test advancement success rate 80.00% < 99%",
            "Halt podinfo.test advancement errors 80.00 < 99"
        ]
    );
}

#[test]
fn without_metrics_a_release_advances() {
    // spec: 04/FA-07
    let mut release = release();
    release.analysis.metrics = Vec::new();
    let mut stage = Stage::detected(release, MESH);
    stage.tick();
    stage.tick();
    assert_eq!(stage.row(), (Progressing, 40, 40, 0, 0));
}

#[test]
fn a_provider_that_is_away_at_first_is_told_and_holds_nothing_up() {
    // spec: 04/FA-01
    for (offline, told) in [
        (
            Some("prometheus not avaiable: connection refused"),
            "Error checking metric providers: prometheus not avaiable: connection refused",
        ),
        (None, "all the metrics providers are available!"),
    ] {
        let mut stage = Stage::new(release(), MESH);
        stage.offline = offline.map(str::to_owned);
        stage.settle();
        stage.advance(chrono::TimeDelta::seconds(5));
        stage.settle();
        assert_eq!(stage.row().0, Initialized);
        let said = stage.said();
        assert!(said.iter().any(|text| text == told), "{said:?}");
    }
}

/// How often metrics were asked in a tick.
fn asked(stage: &Stage) -> usize {
    stage.asked.iter().filter(|ask| matches!(ask, Ask::Metric { .. })).count()
}

#[test]
fn metrics_are_asked_while_a_release_runs_or_waits_for_its_promotion_and_at_no_other_time() {
    // spec: 04/FA-06
    let gated = |kind| {
        let mut release = release();
        release.analysis.strategy = Strategy::BlueGreen { iterations: 1 };
        release.analysis.hooks = vec![hook(kind, "gate")];
        release
    };
    let mut stage = Stage::initialized(gated(HookType::ConfirmRollout), MESH);
    stage.closed = vec!["gate".into()];
    stage.push("vx1-b");
    for _ in 0..3 {
        stage.tick();
    }
    assert_eq!((stage.row().0, asked(&stage)), (Phase::Waiting, 0));
    stage.closed.clear();
    let mut seen = Vec::new();
    while stage.row().0 != Phase::Succeeded {
        let before = stage.row().0;
        stage.forget();
        stage.tick();
        seen.push((before, asked(&stage) > 0));
        assert!(seen.len() < 20, "{seen:?}");
    }
    let asked_in = |phase| seen.iter().any(|(at, asked)| *at == phase && *asked);
    assert!(asked_in(Progressing), "{seen:?}");
    assert!(!asked_in(Phase::Promoting) && !asked_in(Phase::Finalising), "{seen:?}");

    let mut stage = Stage::detected(gated(HookType::ConfirmPromotion), MESH);
    stage.closed = vec!["gate".into()];
    for _ in 0..3 {
        stage.tick();
    }
    stage.forget();
    stage.tick();
    assert_eq!((stage.row().0, asked(&stage)), (WaitingPromotion, 1));
}
