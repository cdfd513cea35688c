//! Rules of a metric: severity, dry runs, limits of its own, samples that have to be there first.

use std::time::Duration;

use chrono::TimeDelta;

use crate::api::analysis::{MetricSeverity, OnMetricError, OnNoData};
use crate::api::hooks::HookType;
use crate::api::status::{Measurement, Phase};
use crate::model::answer::Measured;
use crate::model::release::{MetricCheck, MetricRules, Release, Samples};

use super::super::testing::{MESH, Stage, hook, release};

fn ruled(rules: MetricRules) -> Release {
    let mut release = release();
    release.analysis.threshold = 10;
    release.analysis.metrics[0].rules = rules;
    release
}

/// A run whose first step is made.
fn running(release: Release) -> Stage {
    let mut stage = Stage::detected(release, MESH);
    stage.tick();
    stage.said();
    stage
}

fn found(stage: &Stage) -> &Measurement {
    let [found] = &stage.world.status.measurements[..] else {
        panic!("{:?}", stage.world.status.measurements)
    };
    found
}

#[test]
fn a_critical_metric_out_of_bounds_ends_the_release_at_once() {
    let rules = MetricRules { severity: MetricSeverity::Critical, ..MetricRules::default() };
    let mut stage = running(ruled(rules));
    stage.metric = Measured::Value(91.5);
    stage.tick();
    assert_eq!(
        stage.said()[..2],
        [
            "Halt podinfo.test advancement success rate 91.50% < 99%",
            "Rolling back podinfo.test critical metric request-success-rate is out of bounds",
        ]
    );
    assert_eq!(
        (found(&stage).verdict.as_str(), found(&stage).severity),
        ("Failed", Some(MetricSeverity::Critical))
    );
    assert_eq!(
        stage.world.routes.split().map(|split| split.canary()),
        Some(0),
        "all traffic is the primary's"
    );
    let alert = stage.alerts.last().expect("an alert");
    assert_eq!("Rolling back: critical metric request-success-rate is out of bounds", alert.message);
    stage.tick();
    assert_eq!(stage.world.status.phase, Phase::Failed);
}

#[test]
fn an_outage_of_the_provider_is_no_verdict_of_a_critical_metric() {
    let rules = MetricRules { severity: MetricSeverity::Critical, ..MetricRules::default() };
    let mut stage = running(ruled(rules));
    for answer in [Measured::Failed("connection refused".into()), Measured::NoData("no values found".into())]
    {
        stage.metric = answer;
        stage.tick();
    }
    assert_eq!((stage.world.status.phase, stage.world.status.failed_checks), (Phase::Progressing, 2));
}

#[test]
fn a_metric_that_only_warns_says_so_and_the_release_goes_on() {
    let rules =
        MetricRules { severity: MetricSeverity::Warn, failure_limit: Some(1), ..MetricRules::default() };
    let mut stage = running(ruled(rules));
    let before = stage.row().1;
    stage.metric = Measured::Value(91.5);
    stage.tick();
    let said = stage.said();
    assert!(
        said.contains(
            &"Metric request-success-rate of podinfo.test only warns: success rate 91.50% < 99%".to_owned()
        ),
        "{said:?}"
    );
    assert!(stage.row().1 > before && stage.row().4 == 0, "{:?}", stage.row());
    assert_eq!(
        (found(&stage).verdict.as_str(), found(&stage).severity),
        ("Failed", Some(MetricSeverity::Warn))
    );
}

// spec: 04/FA-08
#[test]
fn a_dry_run_is_seen_in_the_status_and_nowhere_else() {
    let rules = MetricRules { dry_run: true, severity: MetricSeverity::Critical, ..MetricRules::default() };
    let mut stage = running(ruled(rules));
    stage.metric = Measured::Value(91.5);
    stage.tick();
    let said = stage.said();
    assert!(said.iter().all(|text| text.starts_with("Advance")), "{said:?}");
    assert_eq!((found(&stage).verdict.as_str(), found(&stage).dry_run), ("Failed", Some(true)));
    assert_eq!(stage.row().4, 0);
}

#[test]
fn failures_of_a_metric_have_a_limit_of_their_own_that_failing_hooks_do_not_reset() {
    let mut release = ruled(MetricRules { failure_limit: Some(3), ..MetricRules::default() });
    release.analysis.hooks = vec![hook(HookType::Rollout, "load")];
    let mut stage = running(release);
    stage.metric = Measured::Value(91.5);
    for (failures, closed) in [(1, false), (1, true), (2, false)] {
        stage.closed = if closed { vec!["load".to_owned()] } else { Vec::new() };
        stage.tick();
        assert_eq!((found(&stage).failures, stage.world.status.phase), (Some(failures), Phase::Progressing));
    }
    stage.said();
    stage.tick();
    assert!(
        stage.said().contains(
            &"Rolling back podinfo.test metric request-success-rate has failed 3 times (failureLimit 3)"
                .to_owned()
        )
    );
    stage.tick();
    assert_eq!(stage.world.status.phase, Phase::Failed);
}

#[test]
fn errors_in_a_row_have_a_limit_even_where_they_are_waited_out() {
    let mut release = ruled(MetricRules { error_limit: Some(2), ..MetricRules::default() });
    release.analysis.on_metric_error = OnMetricError::Hold;
    let mut stage = running(release);
    let error = || Measured::Failed("connection refused".into());
    for (answer, errors) in [(error(), 1), (Measured::Value(100.0), 0), (error(), 1)] {
        stage.metric = answer;
        stage.tick();
        assert_eq!((found(&stage).errors, stage.world.status.failed_checks), (Some(errors), 0));
    }
    stage.said();
    stage.tick();
    let text = "Rolling back podinfo.test metric request-success-rate could not be read 2 times in a row \
                (consecutiveErrorLimit 2)";
    assert!(stage.said().contains(&text.to_owned()));
}

/// A run whose metric needs 500 samples within three minutes.
fn sampled() -> Release {
    let within = Duration::from_secs(180);
    let mut release =
        ruled(MetricRules { min_samples: Some(Samples { count: 500, within }), ..MetricRules::default() });
    let check = release.analysis.metrics[0].clone();
    let rules = MetricRules { counts_samples: true, ..MetricRules::default() };
    let samples = MetricCheck { name: "samples".into(), min: None, max: None, rules, ..check };
    release.analysis.metrics.insert(0, samples);
    release
}

#[test]
fn with_too_few_samples_a_metric_is_not_judged_yet() {
    let mut stage = running(sampled());
    let before = stage.row();
    stage.metric = Measured::Value(0.0);
    stage.samples = Measured::Value(12.0);
    stage.tick();
    assert_eq!(stage.row(), before, "neither passed nor failed");
    assert_eq!(
        stage.said(),
        ["Halt podinfo.test advancement request-success-rate is not judged yet: 12 of 500 samples"]
    );
    let Measurement { verdict, samples, since, .. } = found(&stage);
    assert_eq!((verdict.as_str(), *samples, since.is_some()), ("NotYet", Some(12.0), true));
    stage.metric = Measured::Value(100.0);
    stage.samples = Measured::Value(500.0);
    stage.tick();
    assert_eq!((found(&stage).verdict.as_str(), found(&stage).since), ("Passed", None));
    assert!(stage.row().1 > before.1);
}

#[test]
fn samples_that_never_come_are_no_data_in_the_end() {
    let mut stage = running(sampled());
    stage.samples = Measured::NoData("no values found".into());
    let mut failed = Vec::new();
    for _ in 0..5 {
        stage.tick();
        failed.push(stage.world.status.failed_checks);
    }
    assert_eq!(failed, [0, 0, 0, 1, 2], "one failed check for each step after three minutes");
    let message = found(&stage).message.clone().expect("a reason");
    assert_eq!("no values found that count: 0 of 500 samples within 3m0s", message);
}

#[test]
fn what_no_data_means_is_said_for_samples_that_never_come_as_well() {
    let mut release = sampled();
    release.analysis.on_no_data = OnNoData::Pass;
    let mut stage = running(release);
    stage.samples = Measured::Value(1.0);
    let before = stage.row().1;
    stage.tick();
    assert_eq!(stage.row().1, before);
    stage.advance(TimeDelta::seconds(180));
    stage.tick();
    assert!(stage.row().1 > before && stage.world.status.failed_checks == 0);
}

#[test]
fn samples_that_cannot_be_counted_are_an_error_of_the_metric() {
    let mut stage = running(sampled());
    stage.samples = Measured::Failed("connection refused".into());
    stage.tick();
    assert_eq!(stage.world.status.failed_checks, 1);
    let said = stage.said().join("\n");
    assert!(said.contains("the samples could not be counted: connection refused"), "{said}");
}
