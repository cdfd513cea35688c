//! What no schema can say: checks of a manifest as a whole (spec 01 §3.1, 02 §1.4). The texts of the first group are
//! compatible to the letter.

use super::defaults;
use super::notes::{Notes, shown};
use crate::api::analysis::Analysis;
use crate::api::canary::{AutoscalerRef, Canary, TargetRef};
use crate::model::release::{Settings, TargetKind};

/// References into other namespaces, where they are forbidden.
pub(super) fn cross_namespace(
    canary: &Canary,
    analysis: Option<(&Analysis, &str)>,
    namespace: &str,
    settings: &Settings,
    notes: &mut Notes,
) {
    if !settings.no_cross_namespace_refs {
        return;
    }
    exposure(canary, namespace, settings, notes);
    let mut check = |what: &str, field: String, name: &str, written: Option<&str>| {
        let other = defaults::name(written, namespace);
        if other != namespace {
            notes.refuse(
                &field,
                format!("can't access {what} {name}.{other}, cross-namespace references are blocked"),
            );
        }
    };
    if let Some(upstream) = &canary.spec.upstream_ref {
        check(
            "gloo upstream",
            "spec.upstreamRef.namespace".into(),
            &upstream.name,
            upstream.namespace.as_deref(),
        );
    }
    for (index, route) in canary.spec.route_refs.iter().flatten().enumerate() {
        let field = format!("spec.routeRefs[{index}].namespace");
        check("route", field, &route.name, route.namespace.as_deref());
    }
    if let Some(template) = &canary.spec.route_template_ref {
        let field = "spec.routeTemplateRef.namespace".to_owned();
        check("route template", field, &template.name, template.namespace.as_deref());
    }
    let Some((analysis, path)) = analysis else { return };
    for (index, metric) in analysis.metrics.iter().flatten().enumerate() {
        if let Some(template) = &metric.template_ref {
            let field = format!("{path}.metrics[{index}].templateRef.namespace");
            check("metric template", field, &template.name, template.namespace.as_deref());
        }
    }
    for (index, alert) in analysis.alerts.iter().flatten().enumerate() {
        let field = format!("{path}.alerts[{index}].providerRef.namespace");
        check("alert provider", field, &alert.provider_ref.name, alert.provider_ref.namespace.as_deref());
    }
}

/// What the routes take and where they are bound to. A host that is the name of another namespace's Service would
/// take that Service's traffic from it, in a mesh.
fn exposure(canary: &Canary, namespace: &str, settings: &Settings, notes: &mut Notes) {
    let Some(service) = &canary.spec.service else { return };
    for (index, host) in service.hosts.iter().flatten().enumerate() {
        if let Some(why) = foreign_host(host, namespace) {
            let message =
                format!("can't take {}, cross-namespace references are blocked: {why}", shown(host));
            notes.refuse(&format!("spec.service.hosts[{index}]"), message);
        }
    }
    let shared = |other: &str| settings.shared_gateway_namespaces.iter().any(|shared| shared == other);
    let mut check = |field: String, what: &str, name: &str, other: &str| {
        if other != namespace && !shared(other) {
            let message = format!(
                "can't access {what} {name} of namespace {other}, cross-namespace references are blocked (the flag \
                 -shared-gateway-namespaces makes exceptions)"
            );
            notes.refuse(&field, message);
        }
    };
    for (index, gateway) in service.gateways.iter().flatten().enumerate() {
        // `namespace/name`, or the older form of a full name; a bare name is one of the own namespace.
        let other = match gateway.split_once('/') {
            Some((other, _)) => other,
            None => gateway.split('.').nth(1).unwrap_or(namespace),
        };
        if !matches!(other, "" | ".") {
            check(format!("spec.service.gateways[{index}]"), "gateway", gateway, other);
        }
    }
    for (index, gateway) in service.gateway_refs.iter().flatten().enumerate() {
        let other = defaults::name(gateway["namespace"].as_str(), namespace);
        let name = gateway["name"].as_str().unwrap_or_default();
        check(format!("spec.service.gatewayRefs[{index}].namespace"), "gateway", name, other);
    }
    for (index, mirror) in service.mirror.iter().flatten().enumerate() {
        let backend = &mirror["backendRef"];
        let other = defaults::name(backend["namespace"].as_str(), namespace);
        let name = backend["name"].as_str().unwrap_or_default();
        check(format!("spec.service.mirror[{index}].backendRef.namespace"), "backend", name, other);
    }
}

/// Hosts that are addresses: no mesh has a name for them, and most would refuse the route at the first write.
pub(super) fn hosts(canary: &Canary, notes: &mut Notes) {
    let hosts = canary.spec.service.iter().flat_map(|service| service.hosts.iter().flatten());
    for (index, host) in hosts.enumerate() {
        if let Some((_, rest)) = host.split_once("://") {
            let name = rest.split(['/', ':']).next().unwrap_or_default();
            let message = format!("{} is an address, not a host: write {}", shown(host), shown(name));
            notes.refuse(&format!("spec.service.hosts[{index}]"), message);
        }
    }
}

/// Whether a Service can have this name, as all servers see it: newer ones allow digits at the beginning.
fn is_label(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    name.chars().all(inner) && !name.starts_with('-') && !name.ends_with('-')
}

/// Why a host is, or takes in, the name of a Service of another namespace.
fn foreign_host(host: &str, namespace: &str) -> Option<String> {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let labels: Vec<&str> = host.split('.').collect();
    let of = |other: &str| format!("it is the name of a Service of namespace {other}");
    match labels.as_slice() {
        // A bare name is one of the own namespace; a star alone is nothing that a mesh takes.
        [_] => None,
        ["*", "svc"] | ["*", "svc", "cluster", "local"] | ["*", "cluster", "local"] | ["*", "local"] => {
            Some("it takes in the Services of all namespaces".to_owned())
        }
        [_, other] if *other != namespace => Some(format!("{}, or may be", of(other))),
        [_, other, "svc", ..] if *other != namespace => Some(of(other)),
        _ => None,
    }
}

/// A Knative Service and the provider `knative` belong together; only the Canary itself can say so.
pub(super) fn knative(canary: &Canary, notes: &mut Notes) {
    let spec = &canary.spec;
    let provider = spec.provider.as_deref().unwrap_or_default();
    if is_knative(&spec.target_ref) {
        if provider != "knative" {
            notes.refuse(
                "spec.provider",
                format!("can't use {provider} provider with Knative Service as target"),
            );
        }
        if spec.autoscaler_ref.is_some() {
            notes.refuse("spec.autoscalerRef", "can't use autoscaler with Knative Service".to_owned());
        }
    } else if provider == "knative" {
        let TargetRef { api_version, kind, .. } = &spec.target_ref;
        notes.refuse(
            "spec.targetRef",
            format!("can't use {api_version}/{kind} as target if provider is set to knative"),
        );
    }
}

/// Session affinity that cannot work.
pub(super) fn cookies(analysis: Option<(&Analysis, &str)>, notes: &mut Notes) {
    let Some((analysis, path)) = analysis else { return };
    let Some(affinity) = &analysis.session_affinity else { return };
    if affinity.cookie_name.is_empty() {
        notes.refuse(&format!("{path}.sessionAffinity.cookieName"), EMPTY.to_owned());
    } else if affinity.primary_cookie_name.as_ref() == Some(&affinity.cookie_name) {
        notes.refuse(
            &format!("{path}.sessionAffinity.primaryCookieName"),
            "can't use the same cookie name for both primary and cookie name; please update them to be different"
                .to_owned(),
        );
    }
}

/// What kind of workload is referred to; `None` if it is one that cannot be released.
pub(super) fn target_kind(target: &TargetRef, notes: &mut Notes) -> Option<TargetKind> {
    match target.kind.as_str() {
        "Deployment" => Some(TargetKind::Deployment),
        "DaemonSet" => Some(TargetKind::DaemonSet),
        "Service" if is_knative(target) => Some(TargetKind::Knative),
        "Service" => Some(TargetKind::Service),
        other => {
            let message =
                format!("{} cannot be released: write Deployment, DaemonSet or Service", shown(other));
            notes.refuse("spec.targetRef.kind", message);
            None
        }
    }
}

/// Names and the port: that there are such, and that what is derived from them can exist.
pub(super) fn names(canary: &Canary, kind: TargetKind, apex: &str, notes: &mut Notes) {
    let spec = &canary.spec;
    let target = &spec.target_ref.name;
    let mut not_empty = |field: &str, name: Option<&str>| {
        if name == Some("") {
            notes.refuse(field, EMPTY.to_owned());
        }
    };
    not_empty("spec.targetRef.name", Some(target));
    not_empty("spec.autoscalerRef.name", spec.autoscaler_ref.as_ref().map(|scaler| scaler.name.as_str()));
    not_empty("spec.upstreamRef.name", spec.upstream_ref.as_ref().map(|upstream| upstream.name.as_str()));

    for (index, route) in spec.route_refs.iter().flatten().enumerate() {
        not_empty(&format!("spec.routeRefs[{index}].name"), Some(&route.name));
    }

    if let Some(template) = &spec.route_template_ref {
        not_empty("spec.routeTemplateRef.name", Some(&template.name));
        if spec.route_refs.iter().flatten().next().is_some() {
            let message = "cannot be combined with spec.routeRefs: remove one of the two".to_owned();
            notes.refuse("spec.routeTemplateRef", message);
        }
    }

    let written = spec.service.as_ref().and_then(|service| service.name.as_deref());
    let field = if written == Some(apex) { "spec.service.name" } else { "spec.targetRef.name" };
    if kind != TargetKind::Knative && !is_label(apex) {
        let message = format!(
            "{} is no name that a Service can have: write small letters, digits and dashes into spec.service.name",
            shown(apex)
        );
        notes.refuse(field, message);
    }
    if kind != TargetKind::Knative && apex.len() > LONGEST_APEX {
        notes.refuse(field, format!(
            "{} is too long for a Service name: with -primary it may have 63 characters, so write at most {LONGEST_APEX} \
             here, or another spec.service.name",
            shown(apex)
        ));
    }
    if matches!(kind, TargetKind::Deployment | TargetKind::DaemonSet) {
        match spec.service.as_ref().map_or(0, |service| service.port) {
            1..=65_535 => {}
            0 => notes.refuse(
                "spec.service.port",
                "is missing: write the port that the Services are to have".to_owned(),
            ),
            other => {
                notes.refuse("spec.service.port", format!("{other} is not a port: write one from 1 to 65535"))
            }
        }
    }
}

/// Replica bounds of the primary's autoscaler.
pub(super) fn scaler_bounds(scaler: &AutoscalerRef, notes: &mut Notes) {
    let Some(bounds) = &scaler.primary_scaler_replicas else { return };
    if let (Some(min), Some(max)) = (bounds.min_replicas, bounds.max_replicas)
        && min > max
    {
        let field = "spec.autoscalerRef.primaryScalerReplicas";
        notes.refuse(
            field,
            format!("minReplicas {min} is more than maxReplicas {max}: write the smaller one first"),
        );
    }
}

fn is_knative(target: &TargetRef) -> bool {
    target.kind == "Service" && target.api_version == "serving.knative.dev/v1"
}

/// Of what must be named.
pub(super) const EMPTY: &str = "is empty: write a name";

/// A Service name has 63 characters at most, eight of which are `-primary`.
const LONGEST_APEX: usize = 55;
