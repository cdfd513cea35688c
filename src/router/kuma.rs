//! Kuma (spec 03 §17): one TrafficRoute, which belongs to the whole cluster, divides the requests between the two
//! Services. No owner reference can bind it to its Canary, so it is deleted by us.

use prometheus_http_query::Selector;
use serde_json::{Value, json};

use super::checks::Unit;
use super::marks::{FLUX, LAST_APPLIED, ORIGINAL, annotation};
use super::owner::{MADE_BY, Owner, made_by};
use super::promql::{p99, pattern, percentage};
use super::{Access, Checks, Desired, Error, Items, Lists, Mesh, Router, View, right, weights};
use crate::api::Provider;
use crate::model::object::{Kind, ObjectId, controller};
use crate::model::release::Release;
use crate::model::traffic::{Acceptance, Capabilities, RouteState, RouteWish};

/// Kuma.
pub static MESH: Mesh = Mesh {
    providers: &[Provider::Kuma],
    title: "Kuma (TrafficRoute)",
    router: &Kuma,
    abilities: Capabilities::WEIGHTS,
    checks: &Checks { success_rate, duration, unit: Unit::Milliseconds, bare_errors: false },
    honours: &[],
    rights: &[right(TRAFFIC_ROUTE, Access::Own)],
};

const TRAFFIC_ROUTE: Kind = Kind::new("kuma.io", "v1alpha1", "TrafficRoute", "trafficroutes").cluster_wide();

/// Annotation of a Canary: the mesh of its workload.
const MESH_NAME: &str = "kuma.io/mesh";

/// The tag that names a Service: `frontend_shop_svc_80`.
const SERVICE: &str = "kuma.io/service";

const LISTS: Lists = &[("spec.conf.split", Items::Matched("destination"))];

/// Kuma's router.
pub struct Kuma;

impl Router for Kuma {
    fn capabilities(&self, _release: &Release) -> Capabilities {
        Capabilities::WEIGHTS
    }

    fn reads(&self, release: &Release) -> Vec<ObjectId> {
        vec![plain(release), with_namespace(release)]
    }

    fn state(&self, view: &View<'_>) -> Result<Option<RouteState>, Error> {
        let release = view.release;
        let id = ours(view);
        let Some(live) = view.seen.get(&id) else { return Ok(None) };
        let (primary, canary) = (release.primary_service(), release.canary_service());
        let split = live["spec"]["conf"]["split"].as_array().map_or(&[][..], Vec::as_slice);
        let leads = |entry: &Value, service: &str| is_port_of(&entry["destination"], release, service);
        let to_us = |entry: &&Value| leads(entry, &primary) || leads(entry, &canary);
        if Owner::of(release, live) == Owner::Foreign && !split.iter().any(|entry| to_us(&entry)) {
            // Not taken over yet.
            return Ok(None);
        }
        // A weight that is left out is zero.
        let weight = |entry: &Value| match &entry["weight"] {
            Value::Null => Some(0),
            weight => weight.as_u64().map(i128::from),
        };
        let sum = |service: &str| -> Option<i128> {
            let mut those = split.iter().filter(|entry| leads(entry, service)).peekable();
            those.peek()?;
            those.try_fold(0_i128, |sum, entry| sum.checked_add(weight(entry)?))
        };
        let mut others = split.iter().filter(|entry| !to_us(entry));
        let nothing_to_others = others.all(|other| weight(other) == Some(0));
        let shares = sum(&primary).zip(sum(&canary)).filter(|_| nothing_to_others);
        match shares.and_then(|(primary, canary)| weights::split(primary, canary)) {
            Some(split) => Ok(Some(RouteState { split, mirrored: false })),
            None => Err(Error::Object(format!(
                "{id} does not divide the requests between {primary} and {canary} alone"
            ))),
        }
    }

    /// A TrafficRoute works in its own mesh, in which it stays.
    fn acceptance(&self, view: &View<'_>) -> Acceptance {
        let id = ours(view);
        let wanted = mesh_name(view.release);
        match view.seen.get(&id).map(|live| live["mesh"].as_str().unwrap_or("default")) {
            Some(present) if present != wanted => Acceptance::Pending(format!(
                "{id} is in the mesh {present}, but the annotation {MESH_NAME} of the Canary says {wanted}: delete \
                 the TrafficRoute, and it is made anew"
            )),
            _ => Acceptance::Accepted,
        }
    }

    fn desired(&self, view: &View<'_>, wish: &RouteWish) -> Result<Vec<Desired>, Error> {
        let release = view.release;
        let id = ours(view);
        let side = |service: &str, percent: u32| json!({"weight": percent, "destination": {SERVICE: tag(release, service)}});
        let spec = json!({
            "sources": [{"match": {SERVICE: "*"}}],
            "destinations": [{"match": {SERVICE: tag(release, &release.apex)}}],
            "conf": {
                "split": [
                    side(&release.primary_service(), wish.split.primary()),
                    side(&release.canary_service(), wish.split.canary()),
                ],
                // Both would take requests away from the split.
                "destination": null,
                "http": null,
            },
        });
        let live = view.seen.get(&id);
        let mut route = Desired::new(id, spec).lists(LISTS).apex_metadata(view);
        if live.is_none() {
            route.fields.insert("mesh".to_owned(), json!(mesh_name(release)));
        }
        if live.is_some_and(|live| is_of_the_reference(release, live)) {
            route.annotations.insert(MADE_BY.to_owned(), json!(made_by(release)));
        } else {
            route = route.keeping_the_original();
        }
        Ok(vec![route])
    }
}

/// The TrafficRoute that is this release's. It bears the name of the apex, as everybody expects it, unless a Canary of
/// another namespace was first, or a user routes something else by that name.
fn ours(view: &View<'_>) -> ObjectId {
    let release = view.release;
    let (plain, with_namespace) = (plain(release), with_namespace(release));
    let owner = |id: &ObjectId| view.seen.get(id).map(|live| Owner::of(release, live));
    let taken = match owner(&plain) {
        None | Some(Owner::Ours) => false,
        Some(Owner::Sibling(_)) => true,
        Some(Owner::Foreign) => !view.seen.get(&plain).is_some_and(|live| is_for_apex(release, live)),
    };
    if taken || owner(&with_namespace) == Some(Owner::Ours) { with_namespace } else { plain }
}

fn plain(release: &Release) -> ObjectId {
    TRAFFIC_ROUTE.at("", &release.apex)
}

/// Neither part has a dot, so no two releases have the same.
fn with_namespace(release: &Release) -> ObjectId {
    TRAFFIC_ROUTE.at("", &format!("{}.{}", release.apex, release.namespace))
}

fn mesh_name(release: &Release) -> &str {
    release
        .annotations
        .get(MESH_NAME)
        .map(String::as_str)
        .filter(|name| !name.is_empty())
        .unwrap_or("default")
}

/// What Kuma calls the port of a Service.
fn tag(release: &Release, service: &str) -> String {
    format!("{service}_{}_svc_{}", release.namespace, release.service.port)
}

/// Whether tags mean a port of this Service, be it not the one of the manifest any more.
fn is_port_of(tags: &Value, release: &Release, service: &str) -> bool {
    let rest = tags[SERVICE].as_str().and_then(|tag| tag.strip_prefix(service)?.strip_prefix('_'));
    let rest = rest.and_then(|rest| rest.strip_prefix(release.namespace.as_str()));
    rest.is_some_and(|rest| rest.starts_with("_svc_"))
}

/// Whether a TrafficRoute is for requests to the apex.
fn is_for_apex(release: &Release, live: &Value) -> bool {
    let destinations = live["spec"]["destinations"].as_array().into_iter().flatten();
    destinations.into_iter().any(|to| is_port_of(&to["match"], release, &release.apex))
}

/// Whether Flagger made the TrafficRoute for this release. It leaves neither owner nor mark, but both sides and what
/// keeps Flux away; what a user had there before would be on record.
fn is_of_the_reference(release: &Release, live: &Value) -> bool {
    let split = live["spec"]["conf"]["split"].as_array().map_or(&[][..], Vec::as_slice);
    let leads = |service: &str| split.iter().any(|entry| is_port_of(&entry["destination"], release, service));
    let is_annotated = |key: &str| annotation(live, key).is_some();
    Owner::of(release, live) == Owner::Foreign
        && controller(live).is_none()
        && leads(&release.primary_service())
        && leads(&release.canary_service())
        && FLUX.into_iter().all(is_annotated)
        && ![LAST_APPLIED, ORIGINAL].into_iter().any(is_annotated)
}

fn success_rate(release: &Release, interval: &str) -> String {
    let service = canary(release);
    let all = Selector::new().regex_eq("service", &service);
    let good = all.clone().regex_ne("envoy_response_code", "5.*");
    percentage("envoy_cluster_upstream_rq", &good, &all, interval)
}

fn duration(release: &Release, interval: &str) -> String {
    let service = canary(release);
    p99("envoy_cluster_upstream_rq_time_bucket", &Selector::new().regex_eq("service", &service), interval)
}

/// Any port of the canary's Service.
fn canary(release: &Release) -> String {
    pattern(&format!("{}_{}_svc_", release.canary_service(), release.namespace)) + "[0-9a-zA-Z-]+"
}

#[cfg(test)]
mod tests;
