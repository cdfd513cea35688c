//! The Gateway API (spec 03 §6, §7): one HTTPRoute whose rules divide the requests between the two Services. Its user
//! brings the Gateway, or in a mesh the Service, to which the route is attached: Linkerd is used so.
//!
//! Of the route `parentRefs`, `hostnames` and those rules are ours that lead to one of the two Services; a rule that
//! leads elsewhere stays as it is. A route that was there before is taken over where nothing of it would be lost, and
//! its old spec kept in an annotation for the day of its return.

use serde_json::{Value, json};

use super::kubernetes::APPLICATION;
use super::owner::Owner;
use super::{Access, Desired, Error, Items, Lists, Mesh, Router, View, right};
use crate::api::{Provider, ServiceField};
use crate::model::object::{Kind, ObjectId};
use crate::model::release::{Problem, Release, Settings};
use crate::model::traffic::{Acceptance, Capabilities, RouteState, RouteWish, Split};

mod acceptance;
mod cors;
mod filters;
mod headers;
mod limits;
mod live;
mod names;
mod parents;
mod requests;
mod rules;
mod take_over;
mod timeouts;

/// The Gateway API, version v1.
pub static V1: Mesh = Mesh {
    providers: &[Provider::GatewayApiV1],
    title: "Gateway API (HTTPRoute)",
    router: &Gateway { route: HTTP_ROUTE, version: Version::V1 },
    abilities: Capabilities::ALL,
    checks: &APPLICATION,
    honours: &[
        ServiceField::Hosts,
        ServiceField::GatewayRefs,
        ServiceField::Match,
        ServiceField::Rewrite,
        ServiceField::Timeout,
        ServiceField::BackendTimeout,
        ServiceField::Headers,
        ServiceField::Mirror,
        ServiceField::CorsPolicy,
    ],
    rights: &[right(HTTP_ROUTE, Access::Make)],
};

/// The Gateway API, version v1beta1, which knew neither time-outs nor CORS.
pub static V1BETA1: Mesh = Mesh {
    providers: &[Provider::GatewayApiV1Beta1],
    title: "Gateway API v1beta1, Linkerd (HTTPRoute)",
    router: &Gateway { route: HTTP_ROUTE_BETA, version: Version::V1Beta1 },
    abilities: Capabilities::ALL,
    checks: &APPLICATION,
    honours: &[
        ServiceField::Hosts,
        ServiceField::GatewayRefs,
        ServiceField::Match,
        ServiceField::Rewrite,
        ServiceField::Headers,
        ServiceField::Mirror,
    ],
    rights: &[right(HTTP_ROUTE_BETA, Access::Make)],
};

const GROUP: &str = "gateway.networking.k8s.io";
const HTTP_ROUTE: Kind = Kind::new(GROUP, "v1", "HTTPRoute", "httproutes");
const HTTP_ROUTE_BETA: Kind = Kind::new(GROUP, "v1beta1", "HTTPRoute", "httproutes");

const LISTS: Lists = &[
    ("spec.rules", Items::Matched("matches")),
    ("spec.rules[].backendRefs", Items::Keyed("name")),
    ("spec.rules[].timeouts", Items::Whole),
    ("spec.rules[].retry", Items::Whole),
];

/// What the API of a version can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V1,
    V1Beta1,
}

/// The router of one version.
pub struct Gateway {
    route: Kind,
    version: Version,
}

impl Router for Gateway {
    fn capabilities(&self, release: &Release) -> Capabilities {
        // Rules for matching requests leave no place for a mirror or for cookies.
        let all_requests = release.analysis.matches.is_empty();
        Capabilities {
            weights: true,
            matching: true,
            mirror_weighted: all_requests,
            mirror_blue_green: all_requests,
            session_affinity: all_requests,
        }
    }

    fn problems(&self, release: &Release, _settings: &Settings) -> Vec<Problem> {
        rules::problems(self.version, release)
    }

    fn reads(&self, release: &Release) -> Vec<ObjectId> {
        vec![self.id(release)]
    }

    fn state(&self, view: &View<'_>) -> Result<Option<RouteState>, Error> {
        let release = view.release;
        let Some(live) = view.seen.get(&self.id(release)) else { return Ok(None) };
        let sides = live::Sides::of(release);
        let rules = live::rules(live);
        let last = if release.analysis.matches.is_empty() {
            rules.iter().rev().find(|rule| sides.are_in(rule))
        } else {
            // A share of the requests that match is not a share of everybody's, for whom the last rules are.
            rules.iter().rev().find(|rule| sides.canary(rule).is_some())
        };
        let to_canary = rules.iter().any(|rule| sides.canary(rule).is_some());
        match last.filter(|_| to_canary).map(|rule| (rule, sides.shares(rule))) {
            Some((rule, (primary, canary))) if primary.saturating_add(canary) == 100 => {
                Ok(Some(RouteState {
                    split: Split::canary_gets(u32::try_from(canary).unwrap_or(0)),
                    mirrored: filters::mirrors_to_canary(release, rule),
                }))
            }
            Some((_, (primary, canary))) => Err(Error::Object(format!(
                "{} routes {primary} to {} and {canary} to {}, which is not 100 in sum",
                self.id(release),
                sides.primary,
                sides.canary
            ))),
            // Not taken over yet.
            None if Owner::of(release, live) == Owner::Foreign && last.is_none() => Ok(None),
            None => Err(Error::Object(format!(
                "{} does not contain routes for {} and {}",
                self.id(release),
                sides.primary,
                sides.canary
            ))),
        }
    }

    fn acceptance(&self, view: &View<'_>) -> Acceptance {
        let id = self.id(view.release);
        view.seen.get(&id).map_or(Acceptance::Accepted, |live| acceptance::of(view.release, &id, live))
    }

    fn desired(&self, view: &View<'_>, wish: &RouteWish) -> Result<Vec<Desired>, Error> {
        let id = self.id(view.release);
        let spec = rules::spec(self.version, view.release, wish, &id, view.seen.get(&id))?;
        let route = Desired::new(id, spec).lists(LISTS).apex_metadata(view);
        Ok(vec![route.keeping_the_original()])
    }
}

impl Gateway {
    fn id(&self, release: &Release) -> ObjectId {
        self.route.at(&release.namespace, &release.apex)
    }
}

/// Whether the parents that a live route names work by it.
pub(super) fn accepted_by_its_parents(id: &ObjectId, live: &Value) -> Acceptance {
    acceptance::by(&parents::of_live(live), id, live)
}

/// The conditions of `spec.analysis.match`, each as a match of a rule.
///
/// # Errors
/// If the Gateway API cannot compare so.
pub(super) fn conditions(release: &Release) -> Result<Vec<Value>, Problem> {
    requests::of_analysis(release).into_iter().map(|one| one.map(|one| one.written())).collect()
}

/// A backend of a rule or of a mirror: one of the two Services.
fn service(release: &Release, name: &str) -> Value {
    json!({"group": "", "kind": "Service", "name": name, "port": release.service.port})
}

#[cfg(test)]
mod tests;
