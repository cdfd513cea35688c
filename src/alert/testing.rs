//! Messages and channels for the tests of this room.

use std::time::Duration;

use crate::api::hooks::Severity;
use crate::model::call::Auth;
use crate::model::release::{Plan, Release, Strategy, Target, TargetKind};

use super::{Call, Channel, Field, Message};

/// A message without fields.
pub(super) fn bare(severity: Severity, text: &str) -> Message {
    let (name, namespace) = ("podinfo".to_owned(), "test".to_owned());
    Message { name, namespace, severity, text: text.to_owned(), good_end: false, fields: Vec::new() }
}

/// The message at the start of an analysis, with the first of its fields.
pub(super) fn started() -> Message {
    let field = |name: &str, value: &str| Field { name: name.to_owned(), value: value.to_owned() };
    Message {
        fields: vec![field("Cluster", "prod"), field("Target", "Deployment/podinfo.test")],
        ..bare(Severity::Info, "New revision detected, progressing canary analysis.")
    }
}

/// A channel with all defaults.
pub(super) fn channel(address: &str) -> Channel {
    Channel { address: address.to_owned(), ..Channel::default() }.settled()
}

pub(super) fn body(call: &Call) -> String {
    String::from_utf8(call.body.bytes()).expect("JSON is text")
}

/// The bearer token of `call`.
pub(super) fn token(call: &Call) -> Option<&str> {
    match &call.auth {
        Auth::Bearer(token) => Some(token.reveal()),
        _ => None,
    }
}

/// The Deployment `podinfo` in `test`.
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
