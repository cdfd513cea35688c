//! A release to be observed, for the tests of this room.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::release::{MetricCheck, MetricSource, Plan, Release, Strategy, Target, TargetKind};

/// The Deployment `podinfo` in `test`, behind Istio.
pub(super) fn podinfo() -> Release {
    let plan = Plan {
        interval: Duration::from_secs(60),
        threshold: 5,
        strategy: Strategy::BlueGreen { iterations: 10 },
        mirror: false,
        mirror_weight: None,
        step_weight_promotion: 0,
        primary_ready_threshold: 100,
        canary_ready_threshold: 100,
        matches: Vec::new(),
        metrics: Vec::new(),
        hooks: Vec::new(),
        alerts: Vec::new(),
        session_affinity: None,
        on_metric_error: Default::default(),
        on_no_data: Default::default(),
    };
    Release {
        name: "podinfo".into(),
        namespace: "test".into(),
        uid: "1".into(),
        generation: 1,
        target: Target { kind: TargetKind::Deployment, name: "podinfo".into() },
        provider: crate::api::Provider::Istio,
        provider_name: "istio".into(),
        own_provider: None,
        metrics_server: "http://prometheus:9090".into(),
        apex: "podinfo".into(),
        service: Default::default(),
        autoscaler: None,
        ingress: None,
        route: None,
        upstream: None,
        annotations: std::collections::BTreeMap::new(),
        analysis: plan,
        skip_analysis: false,
        suspend: false,
        revert_on_deletion: false,
        progress_deadline: Duration::from_secs(600),
    }
}

/// A check by the template `latency`.
pub(super) fn check() -> MetricCheck {
    MetricCheck {
        name: "latency".into(),
        interval: "1m".into(),
        source: MetricSource::Template { name: "latency".into(), namespace: "test".into() },
        min: None,
        max: Some(500.0),
        variables: BTreeMap::new(),
    }
}
