//! Traefik (spec 03 §15): one weighted TraefikService that divides the requests between the two Services. Its user
//! brings the IngressRoute that leads to it.
//!
//! A side without a share is not in the list at all. Traefik takes a whole service out when a member has no endpoints,
//! which the canary has not at rest; and it reads an absent weight as 1.

use prometheus_http_query::Selector;
use serde_json::{Value, json};

use super::checks::Unit;
use super::owner::Owner;
use super::promql::{p99, pattern, percentage};
use super::{Access, Checks, Desired, Error, Items, Lists, Mesh, Router, View, right};
use crate::api::Provider;
use crate::model::object::{Kind, ObjectId};
use crate::model::release::Release;
use crate::model::traffic::{Capabilities, RouteState, RouteWish, Split};

/// Traefik.
pub static MESH: Mesh = Mesh {
    providers: &[Provider::Traefik],
    title: "Traefik (TraefikService)",
    router: &Traefik,
    abilities: Capabilities::WEIGHTS,
    checks: &Checks { success_rate, duration, unit: Unit::Milliseconds, bare_errors: false },
    honours: &[],
    rights: &[right(TRAEFIK_SERVICE, Access::Make)],
};

const TRAEFIK_SERVICE: Kind = Kind::new("traefik.io", "v1alpha1", "TraefikService", "traefikservices");

const LISTS: Lists = &[("spec.weighted.services", Items::Keyed("name"))];

/// Traefik's router.
pub struct Traefik;

impl Router for Traefik {
    fn capabilities(&self, _release: &Release) -> Capabilities {
        Capabilities::WEIGHTS
    }

    fn reads(&self, release: &Release) -> Vec<ObjectId> {
        vec![id(release)]
    }

    /// The share is the canary's part of the sum of both weights, which is how Traefik reads them.
    fn state(&self, view: &View<'_>) -> Result<Option<RouteState>, Error> {
        let release = view.release;
        let Some(live) = view.seen.get(&id(release)) else { return Ok(None) };
        let services = live["spec"]["weighted"]["services"].as_array().map_or(&[][..], Vec::as_slice);
        let weight = |name: &str| {
            let named = services.iter().filter(|service| service["name"] == name);
            named.map(|service| service["weight"].as_u64().unwrap_or(1)).reduce(u64::saturating_add)
        };
        let (primary, canary) = (weight(&release.primary_service()), weight(&release.canary_service()));
        let share = match (primary, canary) {
            // Not taken over yet.
            (None, None) if Owner::of(release, live) == Owner::Foreign => return Ok(None),
            (Some(_), None) => Some(0),
            (None, Some(_)) => Some(100),
            (Some(primary), Some(canary)) => {
                let (canary, sum) = (u128::from(canary), u128::from(primary) + u128::from(canary));
                // Rounded up, so that nobody gets more than is read.
                (canary * 100).checked_add(sum.saturating_sub(1)).and_then(|share| share.checked_div(sum))
            }
            (None, None) => None,
        };
        match share.and_then(|share| u32::try_from(share).ok()) {
            Some(share) => Ok(Some(RouteState { split: Split::canary_gets(share), mirrored: false })),
            None => Err(Error::Object(format!(
                "TraefikService {}.{} services not found: it leads neither to {} nor to {}",
                release.apex,
                release.namespace,
                release.primary_service(),
                release.canary_service()
            ))),
        }
    }

    fn desired(&self, view: &View<'_>, wish: &RouteWish) -> Result<Vec<Desired>, Error> {
        let release = view.release;
        let sides = [
            (release.primary_service(), wish.split.primary()),
            (release.canary_service(), wish.split.canary()),
        ];
        let services: Vec<Value> = sides
            .iter()
            .filter(|(_, weight)| *weight > 0)
            .map(|(name, weight)| {
                json!({
                    "name": name,
                    "namespace": release.namespace,
                    "port": release.service.port,
                    "weight": weight,
                    // A Service, not another TraefikService.
                    "kind": null,
                })
            })
            .collect();
        let spec = json!({
            "weighted": {"services": services},
            // A TraefikService is of one type.
            "mirroring": null,
            "failover": null,
            "highestRandomWeight": null,
        });
        let service = Desired::new(id(release), spec).lists(LISTS).apex_metadata(view);
        Ok(vec![service.keeping_the_original()])
    }
}

fn id(release: &Release) -> ObjectId {
    TRAEFIK_SERVICE.at(&release.namespace, &release.apex)
}

fn success_rate(release: &Release, interval: &str) -> String {
    let services = services(release);
    let all = Selector::new().regex_eq("service", &services).eq("le", "+Inf");
    let good = all.clone().regex_ne("code", "5..");
    percentage("traefik_service_request_duration_seconds_bucket", &good, &all, interval)
}

fn duration(release: &Release, interval: &str) -> String {
    let services = services(release);
    let all = Selector::new().regex_eq("service", &services);
    p99("traefik_service_request_duration_seconds_bucket", &all, interval) + " * 1000"
}

/// What Traefik calls the canary's Service in its metrics: by namespace, name and port, or, with the option
/// `safenaming`, by the path that leads there. No name of Kubernetes has an underscore.
fn services(release: &Release) -> String {
    let (namespace, canary) = (pattern(&release.namespace), pattern(&release.canary_service()));
    format!(
        "({namespace}-{canary}-[0-9a-zA-Z-]+\
         |{namespace}_[0-9a-zA-Z.-]+_wrr_[0-9]+_{namespace}_{canary}_[0-9a-zA-Z-]+)@kubernetescrd"
    )
}

#[cfg(test)]
mod tests;
