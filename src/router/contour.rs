//! Contour (spec 03 §11): one HTTPProxy whose routes divide the requests between the two Services. Its user brings the
//! root HTTPProxy with the host name, which includes this one.

use serde_json::{Value, json};

use super::checks::Unit;
use super::predicates::prefix;
use super::promql::{envoy_duration, envoy_success_rate, pattern};
use super::shares::{self, Backends};
use super::{Access, Checks, Desired, Error, Items, Lists, Mesh, Router, View, problem, right};
use crate::api::analysis::AnalysisMatch;
use crate::api::{Provider, ServiceField};
use crate::model::object::{Kind, ObjectId};
use crate::model::release::{Problem, Release, Settings};
use crate::model::traffic::{Acceptance, Capabilities, RouteState, RouteWish, Split};

/// Contour.
pub static MESH: Mesh = Mesh {
    providers: &[Provider::Contour],
    title: "Contour (HTTPProxy)",
    router: &Contour,
    abilities: ABILITIES,
    checks: &Checks { success_rate, duration, unit: Unit::Milliseconds, bare_errors: false },
    honours: &[ServiceField::Match, ServiceField::Retries, ServiceField::Timeout],
    rights: &[right(HTTP_PROXY, Access::Make)],
};

const HTTP_PROXY: Kind = Kind::new("projectcontour.io", "v1", "HTTPProxy", "httpproxies");

const ABILITIES: Capabilities = Capabilities { matching: true, ..Capabilities::WEIGHTS };

const LISTS: Lists = &[
    ("spec.routes", Items::Matched("conditions")),
    ("spec.routes[].services", Items::Keyed("name")),
    ("spec.routes[].services[].requestHeadersPolicy.set", Items::Keyed("name")),
    ("spec.routes[].retryPolicy", Items::Whole),
    ("spec.routes[].timeoutPolicy", Items::Whole),
];

/// Contour's router.
pub struct Contour;

impl Router for Contour {
    fn capabilities(&self, _release: &Release) -> Capabilities {
        ABILITIES
    }

    fn problems(&self, release: &Release, _settings: &Settings) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (index, entry) in release.analysis.matches.iter().enumerate() {
            if let Err(problem) = headers(entry, &format!("spec.analysis.match[{index}]")) {
                problems.push(problem);
            }
        }
        if let Err(problem) = retry_policy(release) {
            problems.push(problem);
        }
        problems
    }

    fn reads(&self, release: &Release) -> Vec<ObjectId> {
        vec![id(release)]
    }

    fn state(&self, view: &View<'_>) -> Result<Option<RouteState>, Error> {
        let release = view.release;
        let id = id(release);
        let Some(live) = view.seen.get(&id) else { return Ok(None) };
        let (primary, canary) = (release.primary_service(), release.canary_service());
        shares::state(view, &id, live, &live["spec"]["routes"], weight, &Backends { primary, canary })
    }

    /// Contour says of each HTTPProxy whether it is valid, and of which generation it speaks.
    fn acceptance(&self, view: &View<'_>) -> Acceptance {
        let id = id(view.release);
        view.seen.get(&id).map_or(Acceptance::Accepted, |live| accepted(&id, live))
    }

    fn desired(&self, view: &View<'_>, wish: &RouteWish) -> Result<Vec<Desired>, Error> {
        let release = view.release;
        let route = |headers: Vec<Value>, split: Split| -> Result<Value, Error> {
            let conditions: Vec<Value> =
                [json!({"prefix": prefix(release)})].into_iter().chain(headers).collect();
            Ok(json!({
                "conditions": conditions,
                "timeoutPolicy": timeout_policy(release),
                "retryPolicy": retry_policy(release).map_err(Error::Unsupported)?,
                // A route either answers by itself or leads to Services.
                "requestRedirectPolicy": null,
                "directResponsePolicy": null,
                "services": [
                    service(release, &release.primary_service(), split.primary()),
                    service(release, &release.canary_service(), split.canary()),
                ],
            }))
        };
        let mut routes = Vec::new();
        // Any of the entries is enough; within an entry all headers have to match.
        for (index, entry) in release.analysis.matches.iter().enumerate() {
            let headers =
                headers(entry, &format!("spec.analysis.match[{index}]")).map_err(Error::Unsupported)?;
            routes.push(route(headers, wish.split)?);
        }
        let everybody = if routes.is_empty() { wish.split } else { Split::PRIMARY };
        routes.push(route(Vec::new(), everybody)?);

        let mut spec = json!({"routes": routes});
        if !view.settings.ingress_class.is_empty() {
            spec["ingressClassName"] = json!(view.settings.ingress_class);
        }
        let proxy = Desired::new(id(release), spec).lists(LISTS).apex_metadata(view);
        Ok(vec![proxy.keeping_the_original()])
    }
}

/// What Contour says of a live HTTPProxy.
pub(super) fn accepted(id: &ObjectId, live: &Value) -> Acceptance {
    let status = &live["status"];
    if status["currentStatus"] == "invalid" {
        let why = status["description"].as_str().unwrap_or("no reason is given");
        return Acceptance::Pending(format!("{id} is invalid: {why}"));
    }
    let conditions = status["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    let valid = conditions.iter().find(|condition| condition["type"] == "Valid");
    let seen = valid.and_then(|condition| condition["observedGeneration"].as_i64());
    match (seen, live["metadata"]["generation"].as_i64()) {
        (Some(seen), Some(written)) if seen < written => {
            Acceptance::Pending(format!("Contour has not taken in the last change of {id} yet"))
        }
        _ => Acceptance::Accepted,
    }
}

fn id(release: &Release) -> ObjectId {
    HTTP_PROXY.at(&release.namespace, &release.apex)
}

/// One side. The header lets Linkerd, where it is there, send the request to the Service that was chosen.
fn service(release: &Release, name: &str, weight: u32) -> Value {
    let port = release.service.port;
    let host = format!("{name}.{}.svc.cluster.local:{port}", release.namespace);
    json!({
        "name": name,
        "port": port,
        "weight": weight,
        // A side that gets copies would not get requests.
        "mirror": null,
        "requestHeadersPolicy": {"set": [{"name": "l5d-dst-override", "value": host}]},
    })
}

fn weight(route: &Value, service: &str) -> Option<u64> {
    shares::sum(&route["services"], |to| to["name"] == service)
}

fn timeout_policy(release: &Release) -> Value {
    match release.service.timeout.as_deref().filter(|timeout| !timeout.is_empty()) {
        Some(timeout) => json!({"response": timeout, "idle": "5m"}),
        None => Value::Null,
    }
}

fn retry_policy(release: &Release) -> Result<Value, Problem> {
    let Some(retries) = release.service.retries.as_ref().filter(|retries| !retries.is_null()) else {
        return Ok(Value::Null);
    };
    let text = |field: &str| retries[field].as_str().map(str::trim).filter(|text| !text.is_empty());
    let mut policy = json!({"count": retries["attempts"].as_i64().unwrap_or(0)});
    if let Some(timeout) = text("perTryTimeout") {
        policy["perTryTimeout"] = json!(timeout);
    }
    let reasons: Vec<&str> = text("retryOn")
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|reason| !reason.is_empty())
        .collect();
    if let Some(unknown) = reasons.iter().find(|reason| !RETRY_ON.contains(reason)) {
        return Err(problem(
            "spec.service.retries.retryOn",
            format!(
                "\"{unknown}\" is no reason that Contour retries for: write some of {}",
                RETRY_ON.join(", ")
            ),
        ));
    }
    if !reasons.is_empty() {
        policy["retryOn"] = json!(reasons);
    }
    Ok(policy)
}

/// The conditions of one entry of `analysis.match`. What Contour would not check is refused: the rule would take
/// every request.
fn headers(entry: &AnalysisMatch, path: &str) -> Result<Vec<Value>, Problem> {
    let mut conditions = Vec::new();
    let some = |map: Option<bool>| map == Some(false);
    if some(entry.query_params.as_ref().map(std::collections::BTreeMap::is_empty)) {
        let field = format!("{path}.queryParams");
        return Err(problem(field, "cannot be checked by every version of Contour: match a header instead"));
    }
    if some(entry.source_labels.as_ref().map(std::collections::BTreeMap::is_empty)) {
        let field = format!("{path}.sourceLabels");
        return Err(problem(field, "are not known at an ingress: match a header instead"));
    }
    for (name, text) in entry.headers.iter().flatten() {
        // An empty text is as good as none to Contour.
        let some = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let condition = match (some(&text.exact), some(&text.prefix).or(some(&text.suffix)), &text.regex) {
            (Some(exact), None, None) => json!({"header": {"name": name, "exact": exact}}),
            (None, Some(part), None) => json!({"header": {"name": name, "contains": part}}),
            _ => {
                let field = format!("{path}.headers.{name}");
                let message = "needs one text that Contour can compare: write exact or prefix, since not every \
                               version checks regex and the rule would take every request";
                return Err(problem(field, message));
            }
        };
        conditions.push(condition);
    }
    if conditions.is_empty() {
        let message = "has no condition, so every request would go to the canary: give it headers";
        return Err(problem(path, message));
    }
    Ok(conditions)
}

fn success_rate(release: &Release, interval: &str) -> String {
    envoy_success_rate(&cluster(release), interval)
}

fn duration(release: &Release, interval: &str) -> String {
    envoy_duration(&cluster(release), interval)
}

/// The cluster that Envoy has for the canary's Service; what follows is its port.
fn cluster(release: &Release) -> String {
    pattern(&format!("{}_{}", release.namespace, release.canary_service())) + "_[0-9a-zA-Z-]+"
}

/// What the CRD of HTTPProxy takes.
const RETRY_ON: [&str; 16] = [
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "envoy-ratelimited",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "retriable-headers",
    "http3-post-connect-failure",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];

#[cfg(test)]
mod tests;
