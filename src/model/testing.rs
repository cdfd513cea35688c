//! The one fixture of a release, for the tests of every room: a valid one, and what may differ.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::api::Provider;
use crate::api::analysis::{OnMetricError, OnNoData};
use crate::api::service::CanaryService;

use super::release::{Plan, Release, Steps, Strategy, Target, TargetKind};

/// The Deployment `name` in `namespace` behind Istio, released in steps of 5 up to 50, one a minute, without checks.
pub fn release(name: &str, namespace: &str) -> Release {
    Release {
        name: name.into(),
        namespace: namespace.into(),
        uid: "c-1".into(),
        generation: 1,
        target: Target { kind: TargetKind::Deployment, name: name.into() },
        provider: Provider::Istio,
        provider_name: "istio".into(),
        own_provider: None,
        metrics_server: "http://prometheus:9090".into(),
        apex: name.into(),
        service: CanaryService::default(),
        autoscaler: None,
        ingress: None,
        route: None,
        adopted: Vec::new(),
        template: None,
        upstream: None,
        annotations: BTreeMap::new(),
        analysis: Plan {
            interval: Duration::from_secs(60),
            threshold: 5,
            strategy: Strategy::Weighted(Steps::By { step: 5, max: 50 }),
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
            on_metric_error: OnMetricError::Fail,
            on_no_data: OnNoData::Fail,
        },
        skip_analysis: false,
        suspend: false,
        revert_on_deletion: false,
        progress_deadline: Duration::from_secs(600),
    }
}

impl Release {
    /// With this strategy.
    pub fn advancing(mut self, strategy: Strategy) -> Self {
        self.analysis.strategy = strategy;
        self
    }

    /// With this `spec.service`, whose name is the apex.
    pub fn served_by(mut self, service: CanaryService) -> Self {
        if let Some(name) = &service.name {
            self.apex.clone_from(name);
        }
        self.service = service;
        self
    }
}
