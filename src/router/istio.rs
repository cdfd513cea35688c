//! Istio (spec 03 §5): a DestinationRule a side, and a VirtualService that divides the traffic between them.
//!
//! Of the VirtualService `hosts`, `gateways`, `http` and `tcp` are ours, of the DestinationRules `host` and
//! `trafficPolicy`; whatever else stands in them, and all metadata of others, stays (P9). A VirtualService that was
//! there before is taken over, and its old spec kept in an annotation for the day of its return.

use prometheus_http_query::Selector;
use serde_json::{Value, json};

use super::checks::Unit;
use super::owner::Owner;
use super::promql::{literal, p99, pattern, percentage};
use super::{Access, Checks, Desired, Error, Items, Mesh, Router, View, problem, right};
use crate::api::{Provider, ServiceField};
use crate::model::object::{Kind, ObjectId};
use crate::model::release::{Problem, Release, Settings};
use crate::model::traffic::{Capabilities, RouteState, RouteWish, Split};

mod matching;
mod rules;

/// Istio.
pub static MESH: Mesh = Mesh {
    providers: &[Provider::Istio],
    title: "Istio (VirtualService, DestinationRule)",
    router: &Istio,
    abilities: Capabilities::ALL,
    // The proxies of the canary's pods report.
    checks: &Checks { success_rate, duration, unit: Unit::Milliseconds, bare_errors: false },
    honours: &[
        ServiceField::Hosts,
        ServiceField::Gateways,
        ServiceField::Delegation,
        ServiceField::Match,
        ServiceField::Rewrite,
        ServiceField::Retries,
        ServiceField::Timeout,
        ServiceField::Headers,
        ServiceField::CorsPolicy,
        ServiceField::TrafficPolicy,
    ],
    rights: &[right(VIRTUAL_SERVICE, Access::Make), right(DESTINATION_RULE, Access::Make)],
};

const VIRTUAL_SERVICE: Kind =
    Kind::new("networking.istio.io", "v1beta1", "VirtualService", "virtualservices");
const DESTINATION_RULE: Kind =
    Kind::new("networking.istio.io", "v1beta1", "DestinationRule", "destinationrules");

/// Istio's router.
pub struct Istio;

impl Router for Istio {
    fn capabilities(&self, release: &Release) -> Capabilities {
        let http = !rules::is_tcp(release);
        // Rules for matching requests leave no place for a mirror or for cookies.
        let all_requests = http && release.analysis.matches.is_empty();
        Capabilities {
            weights: true,
            matching: http,
            mirror_weighted: all_requests,
            mirror_blue_green: all_requests,
            session_affinity: all_requests,
        }
    }

    fn problems(&self, release: &Release, _settings: &Settings) -> Vec<Problem> {
        rules::problems(release)
    }

    fn reads(&self, release: &Release) -> Vec<ObjectId> {
        let mut ids = destination_rules(release).to_vec();
        ids.push(virtual_service(release));
        ids
    }

    /// The VirtualService. A user's DestinationRule keeps what it has (spec 03 §5.6).
    fn gives_back(&self, release: &Release) -> Vec<ObjectId> {
        vec![virtual_service(release)]
    }

    fn state(&self, view: &View<'_>) -> Result<Option<RouteState>, Error> {
        let release = view.release;
        let id = virtual_service(release);
        let Some(live) = view.seen.get(&id) else { return Ok(None) };
        let (canary, primary) = (release.canary_service(), release.primary_service());
        let spec = &live["spec"];
        // A share of the requests that match is not a share of everybody's, for whom the last rule is.
        let matching = !release.analysis.matches.is_empty();
        let leads = |rule: &&Value| {
            weight(rule, &canary).is_some() || (!matching && weight(rule, &primary).is_some())
        };
        let rule = [&spec["http"], &spec["tcp"]].into_iter().find_map(|rules| {
            let rules = rules.as_array()?;
            let has_canary = rules.iter().any(|rule| weight(rule, &canary).is_some());
            rules.iter().rev().find(leads).filter(|_| has_canary)
        });
        let Some(rule) = rule else {
            // Not taken over yet.
            if Owner::of(release, live) == Owner::Foreign && !mentions(spec, &primary) {
                return Ok(None);
            }
            return Err(no_routes(release));
        };
        match (weight(rule, &primary).unwrap_or(0), weight(rule, &canary).unwrap_or(0)) {
            (0, 0) => Err(no_routes(release)),
            (p, c) if p + c == 100 && (0..=100).contains(&c) => Ok(Some(RouteState {
                split: Split::canary_gets(u32::try_from(c).unwrap_or(0)),
                mirrored: rule["mirror"]["host"].as_str().is_some_and(|host| !host.is_empty()),
            })),
            (p, c) => Err(Error::Object(format!(
                "VirtualService {}.{} routes {p} to {primary} and {c} to {canary}, which is not 100 in sum",
                release.apex, release.namespace
            ))),
        }
    }

    fn desired(&self, view: &View<'_>, wish: &RouteWish) -> Result<Vec<Desired>, Error> {
        // The rules first: if they cannot be made, nothing is written.
        let routing = rules::routing(view.release, wish)?;
        let [canary, primary] = destination_rules(view.release).map(|id| destination_rule(view.release, id));
        let routes = Desired::new(virtual_service(view.release), Value::Object(routing));
        Ok(vec![canary, primary, routes.apex_metadata(view).keeping_the_original()])
    }
}

/// How one side is called; its traffic policy is the manifest's.
fn destination_rule(release: &Release, id: ObjectId) -> Desired {
    let policy = release.service.traffic_policy.as_ref().filter(|policy| !policy.is_null());
    let host = json!({"host": id.name});
    match policy {
        Some(policy) => Desired::new(id.clone(), json!({"host": id.name, "trafficPolicy": policy}))
            .lists(&[("spec.trafficPolicy", Items::Whole)]),
        // On a rule that was there before, the policy is its user's.
        None => Desired::new(id, host).spec_if_made_by_us(json!({"trafficPolicy": null})),
    }
}

fn virtual_service(release: &Release) -> ObjectId {
    VIRTUAL_SERVICE.at(&release.namespace, &release.apex)
}

/// Canary first.
fn destination_rules(release: &Release) -> [ObjectId; 2] {
    [release.canary_service(), release.primary_service()]
        .map(|service| DESTINATION_RULE.at(&release.namespace, &service))
}

/// The conditions of `spec.analysis.match`, each as a match of a rule.
///
/// # Errors
/// If Istio cannot compare so.
pub(super) fn conditions(release: &Release) -> Result<Vec<Value>, Problem> {
    matching::conditions(release).map_err(|error| match error {
        Error::Unsupported(problem) => problem,
        other => problem("spec.analysis.match", other.to_string()),
    })
}

/// The matches of a rule for those of its requests that meet one of the conditions.
pub(super) fn within(matches: &[Value], conditions: &[Value]) -> Vec<Value> {
    conditions.iter().flat_map(|condition| matching::within(matches, condition)).collect()
}

/// Weight of a host in a rule, if the rule leads there. A single destination gets everything.
fn weight(rule: &Value, host: &str) -> Option<i64> {
    let route = rule["route"].as_array()?;
    let to_host = route.iter().filter(|to| to["destination"]["host"] == host);
    let alone = if route.len() == 1 { 100 } else { 0 };
    to_host.map(|to| to["weight"].as_i64().unwrap_or(alone)).reduce(i64::saturating_add)
}

fn mentions(spec: &Value, host: &str) -> bool {
    [&spec["http"], &spec["tcp"]]
        .into_iter()
        .filter_map(Value::as_array)
        .flatten()
        .any(|rule| weight(rule, host).is_some())
}

fn no_routes(release: &Release) -> Error {
    Error::Object(format!(
        "VirtualService {}.{} does not contain routes for {} and {}",
        release.apex,
        release.namespace,
        release.primary_service(),
        release.canary_service()
    ))
}

fn success_rate(release: &Release, interval: &str) -> String {
    let (namespace, workload) = names(release);
    let all = canary(&namespace, &workload);
    percentage("istio_requests_total", &all.clone().regex_ne("response_code", "5.*"), &all, interval)
}

fn duration(release: &Release, interval: &str) -> String {
    let (namespace, workload) = names(release);
    p99("istio_request_duration_milliseconds_bucket", &canary(&namespace, &workload), interval)
}

fn names(release: &Release) -> (String, String) {
    (literal(&release.namespace), pattern(&release.target.name))
}

fn canary<'a>(namespace: &'a str, workload: &'a str) -> Selector<'a> {
    Selector::new()
        .eq("reporter", "destination")
        .eq("destination_workload_namespace", namespace)
        .regex_eq("destination_workload", workload)
}

#[cfg(test)]
mod tests;
