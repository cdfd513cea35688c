//! The Service Mesh Interface (spec 03 §8): one TrafficSplit that divides the requests between the two Services, in the
//! version that the provider names. Linkerd and Open Service Mesh read it as well.

use prometheus_http_query::Selector;
use serde_json::{Map, Value, json};

use super::checks::Unit;
use super::marks::flux;
use super::owner::Owner;
use super::promql::{literal, p99, pattern, percentage};
use super::{
    Access, Checks, Desired, Error, Items, Lists, Mesh, Router, View, istio, problem, right, weights,
};
use crate::api::{Provider, ServiceField};
use crate::model::object::{Kind, ObjectId};
use crate::model::quantity;
use crate::model::release::{Problem, Release, TargetKind};
use crate::model::traffic::{Capabilities, RouteState, RouteWish};

/// Any mesh that follows SMI.
pub static SMI: Mesh = Mesh {
    providers: &[Provider::SmiV1Alpha1, Provider::SmiV1Alpha2, Provider::SmiV1Alpha3],
    title: "Service Mesh Interface (TrafficSplit)",
    router: &Smi,
    abilities: Capabilities::WEIGHTS,
    // Which mesh it is does not follow from the provider; the reference asks for Istio's metrics.
    checks: istio::MESH.checks,
    honours: &[ServiceField::Hosts, ServiceField::Gateways],
    rights: &[right(V1ALPHA1, Access::Make), right(V1ALPHA2, Access::Make), right(V1ALPHA3, Access::Make)],
};

/// Linkerd with its SMI extension.
pub static LINKERD: Mesh = Mesh {
    providers: &[Provider::Linkerd],
    title: "Linkerd (SMI TrafficSplit)",
    router: &Smi,
    abilities: Capabilities::WEIGHTS,
    checks: &Checks {
        success_rate: linkerd::success_rate,
        duration: linkerd::duration,
        unit: Unit::Milliseconds,
        bare_errors: false,
    },
    honours: &[ServiceField::Hosts],
    rights: &[right(V1ALPHA1, Access::Make)],
};

/// Open Service Mesh.
pub static OSM: Mesh = Mesh {
    providers: &[Provider::Osm],
    title: "Open Service Mesh (SMI TrafficSplit)",
    router: &Smi,
    abilities: Capabilities::WEIGHTS,
    checks: &Checks {
        success_rate: osm::success_rate,
        duration: osm::duration,
        unit: Unit::Milliseconds,
        bare_errors: false,
    },
    honours: &[ServiceField::Hosts],
    rights: &[right(V1ALPHA2, Access::Make)],
};

const V1ALPHA1: Kind = traffic_split("v1alpha1");
const V1ALPHA2: Kind = traffic_split("v1alpha2");
const V1ALPHA3: Kind = traffic_split("v1alpha3");

const fn traffic_split(version: &'static str) -> Kind {
    Kind::new("split.smi-spec.io", version, "TrafficSplit", "trafficsplits")
}

const LISTS: Lists = &[("spec.backends", Items::Keyed("service"))];

/// The annotation that tells the adapter of Istio to which gateways the split belongs, as a JSON list.
const GATEWAYS: &str = "VirtualService.v1alpha3.networking.istio.io/spec.gateways";

/// The router of TrafficSplits.
pub struct Smi;

impl Router for Smi {
    fn capabilities(&self, _release: &Release) -> Capabilities {
        Capabilities::WEIGHTS
    }

    fn warnings(&self, release: &Release) -> Vec<Problem> {
        let mut warnings = Vec::new();
        if let [first, _, ..] = hosts(release) {
            let message = format!(
                "only {first} is used, since a TrafficSplit divides the requests to one: remove the others"
            );
            warnings.push(problem("spec.service.hosts", message));
        }
        // Linkerd and OSM honour none, which is said for them already.
        let smi = SMI.providers.contains(&release.provider);
        if smi && ServiceField::Gateways.is_set(&release.service) && target_mesh(release) != "istio" {
            let message = format!(
                "has no effect: only -mesh-provider={}:istio hands it on, set that or remove it",
                release.provider
            );
            warnings.push(problem("spec.service.gateways", message));
        }
        warnings
    }

    fn reads(&self, release: &Release) -> Vec<ObjectId> {
        vec![id(release)]
    }

    fn state(&self, view: &View<'_>) -> Result<Option<RouteState>, Error> {
        let release = view.release;
        let id = id(release);
        let Some(live) = view.seen.get(&id) else { return Ok(None) };
        let (primary, canary) = (release.primary_service(), release.canary_service());
        let backends = live["spec"]["backends"].as_array().map_or(&[][..], Vec::as_slice);
        let leads = |backend: &Value, service: &str| backend["service"] == service;
        let to_us = |backend: &&Value| leads(backend, &primary) || leads(backend, &canary);
        if Owner::of(release, live) == Owner::Foreign && !backends.iter().any(|backend| to_us(&backend)) {
            // Not taken over yet.
            return Ok(None);
        }
        let weight = |service: &str| -> Option<i128> {
            let mut those = backends.iter().filter(|backend| leads(backend, service)).peekable();
            those.peek()?;
            those.try_fold(0_i128, |sum, backend| sum.checked_add(quantity::billionths(&backend["weight"])?))
        };
        let others = backends.iter().filter(|backend| !to_us(backend));
        let nothing_to_others =
            others.into_iter().all(|other| quantity::billionths(&other["weight"]) == Some(0));
        let shares = weight(&primary).zip(weight(&canary)).filter(|_| nothing_to_others);
        match shares.and_then(|(primary, canary)| weights::split(primary, canary)) {
            Some(split) => Ok(Some(RouteState { split, mirrored: false })),
            None => Err(Error::Object(format!(
                "{id} does not divide the requests between {primary} and {canary} alone"
            ))),
        }
    }

    fn desired(&self, view: &View<'_>, wish: &RouteWish) -> Result<Vec<Desired>, Error> {
        let release = view.release;
        let id = id(release);
        let backend =
            |service: String, percent: u32| json!({"service": service, "weight": weight(id.kind, percent)});
        let spec = json!({
            "service": hosts(release).first().unwrap_or(&release.apex),
            "backends": [
                backend(release.canary_service(), wish.split.canary()),
                backend(release.primary_service(), wish.split.primary()),
            ],
            // A share of the requests that match would not be a share of everybody's.
            "matches": null,
        });
        let gateways = release.service.gateways.as_deref().unwrap_or_default();
        let mut annotations = flux();
        let mut split = Desired::new(id, spec).lists(LISTS).keeping_the_original();
        if target_mesh(release) == "istio" && !gateways.is_empty() {
            annotations.insert(GATEWAYS.to_owned(), json!(json!(gateways).to_string()));
        } else {
            // On a split that was there before, the annotation is its user's.
            let gone = json!({"annotations": Map::from_iter([(GATEWAYS.to_owned(), Value::Null)])});
            split.if_made_by_us.insert("metadata".to_owned(), gone);
        }
        Ok(vec![split.annotated(annotations)])
    }
}

fn id(release: &Release) -> ObjectId {
    let kind = match release.provider {
        Provider::Osm | Provider::SmiV1Alpha2 => V1ALPHA2,
        Provider::SmiV1Alpha3 => V1ALPHA3,
        _ => V1ALPHA1,
    };
    kind.at(&release.namespace, &release.apex)
}

/// A weight as its version writes it. Zero is written too: meshes refuse a backend without a weight.
fn weight(kind: Kind, percent: u32) -> Value {
    // A quantity, which is a text.
    if kind == V1ALPHA1 { json!(percent.to_string()) } else { json!(percent) }
}

/// The hosts of the manifest, of which a split takes the first.
fn hosts(release: &Release) -> &[String] {
    let hosts = release.service.hosts.as_deref().unwrap_or_default();
    if hosts.first().is_some_and(|first| first.is_empty()) { &[] } else { hosts }
}

/// The mesh behind SMI: the third part of the provider's name, which the flag alone can have.
fn target_mesh(release: &Release) -> &str {
    release.provider_name.splitn(3, ':').nth(2).unwrap_or_default()
}

/// What Linkerd's proxies report (spec 04 §1.4, §1.5).
mod linkerd {
    use super::{Release, Selector, TargetKind, literal, p99, pattern, percentage};

    pub(super) fn success_rate(release: &Release, interval: &str) -> String {
        let (namespace, workload) = (literal(&release.namespace), pattern(&release.target.name));
        let all = inbound(release, &namespace, &workload);
        percentage("response_total", &all.clone().ne("classification", "failure"), &all, interval)
    }

    pub(super) fn duration(release: &Release, interval: &str) -> String {
        let (namespace, workload) = (literal(&release.namespace), pattern(&release.target.name));
        p99("response_latency_ms_bucket", &inbound(release, &namespace, &workload), interval)
    }

    /// What the canary's pods receive. The label that names the workload is called by its kind.
    fn inbound<'a>(release: &Release, namespace: &'a str, workload: &'a str) -> Selector<'a> {
        let kind = match release.target.kind {
            TargetKind::DaemonSet => "daemonset",
            TargetKind::Deployment | TargetKind::Service | TargetKind::Knative => "deployment",
        };
        Selector::new().eq("namespace", namespace).regex_eq(kind, workload).eq("direction", "inbound")
    }
}

/// What the proxies of Open Service Mesh report (spec 04 §1.4, §1.5).
mod osm {
    use super::{Release, Selector, TargetKind, literal, p99, percentage};

    pub(super) fn success_rate(release: &Release, interval: &str) -> String {
        let (namespace, workload) = (literal(&release.namespace), literal(&release.target.name));
        let all = canary(release, &namespace, &workload);
        percentage("osm_request_total", &all.clone().regex_ne("response_code", "5.*"), &all, interval)
    }

    pub(super) fn duration(release: &Release, interval: &str) -> String {
        let (namespace, workload) = (literal(&release.namespace), literal(&release.target.name));
        p99("osm_request_duration_ms_bucket", &canary(release, &namespace, &workload), interval)
    }

    fn canary<'a>(release: &Release, namespace: &'a str, workload: &'a str) -> Selector<'a> {
        let kind = match release.target.kind {
            TargetKind::DaemonSet => "DaemonSet",
            TargetKind::Deployment | TargetKind::Service | TargetKind::Knative => "Deployment",
        };
        Selector::new()
            .eq("destination_namespace", namespace)
            .eq("destination_kind", kind)
            .eq("destination_name", workload)
    }
}

#[cfg(test)]
mod tests;
