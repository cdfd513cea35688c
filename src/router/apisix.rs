//! APISIX (spec 03 §16): a copy of the user's ApisixRoute, which is preferred to it and divides the requests between the
//! two Services. The user's own is never written; it leads to the primary, also when the copy is lost.

use prometheus_http_query::Selector;
use serde_json::{Value, json};

use super::checks::Unit;
use super::conditions;
use super::marks::{LAST_APPLIED, flux};
use super::owner::Owner;
use super::promql::{p99, pattern, percentage};
use super::shares::{self, Backends};
use super::{Access, Checks, Desired, Error, Items, Mesh, Router, View, problem, right};
use crate::api::Provider;
use crate::model::object::{Kind, ObjectId};
use crate::model::release::{Problem, Release, Settings};
use crate::model::traffic::{Acceptance, Capabilities, RouteState, RouteWish, Split};

/// Apache APISIX.
pub static MESH: Mesh = Mesh {
    providers: &[Provider::Apisix],
    title: "APISIX (ApisixRoute)",
    router: &Apisix,
    abilities: Capabilities::WEIGHTS,
    checks: &Checks { success_rate, duration, unit: Unit::Milliseconds, bare_errors: false },
    honours: &[],
    rights: &[right(APISIX_ROUTE, Access::Make)],
};

const APISIX_ROUTE: Kind = Kind::new("apisix.apache.org", "v2", "ApisixRoute", "apisixroutes");

/// APISIX takes the route with the highest priority among those that match; 0 is what users' routes have.
const PRIORITY: i64 = 10_000;

/// APISIX's router.
pub struct Apisix;

impl Router for Apisix {
    fn capabilities(&self, _release: &Release) -> Capabilities {
        Capabilities::WEIGHTS
    }

    fn problems(&self, release: &Release, _settings: &Settings) -> Vec<Problem> {
        ids(release).err().into_iter().collect()
    }

    fn reads(&self, release: &Release) -> Vec<ObjectId> {
        ids(release).map_or_else(|_| Vec::new(), |ids| vec![ids.users, ids.copy])
    }

    fn state(&self, view: &View<'_>) -> Result<Option<RouteState>, Error> {
        let Ids { copy, .. } = ids(view.release).map_err(Error::Unsupported)?;
        let Some(live) = view.seen.get(&copy) else { return Ok(None) };
        let (primary, canary) = (view.release.primary_service(), view.release.canary_service());
        shares::state(view, &copy, live, &live["spec"]["http"], weight, &Backends { primary, canary })
    }

    fn acceptance(&self, view: &View<'_>) -> Acceptance {
        let Ok(ids) = ids(view.release) else { return Acceptance::Accepted };
        if let Err(why) = original(view, &ids.users) {
            return Acceptance::Pending(why);
        }
        // The first name is that of version 1 of APISIX's controller, the second that of version 2.
        let conditions = ["ResourcesAvailable", "Accepted"];
        let copy = view.seen.get(&ids.copy);
        copy.map_or(Acceptance::Accepted, |live| conditions::accepted(&ids.copy, live, "APISIX", &conditions))
    }

    fn desired(&self, view: &View<'_>, wish: &RouteWish) -> Result<Vec<Desired>, Error> {
        let release = view.release;
        let ids = ids(release).map_err(Error::Unsupported)?;
        let live = view.seen.get(&ids.copy);
        let copied = live.and_then(|live| copied(live, release));
        if live.is_some_and(|live| copied.is_none() && Owner::of(release, live) == Owner::Foreign) {
            return Err(Error::Object(format!(
                "{} is in the way: Vexil makes a route of this name out of {}, so give that one another name",
                ids.copy, ids.users
            )));
        }
        let spec = match (original(view, &ids.users), copied) {
            (Ok(original), _) => original.copy(release, wish.split),
            // It goes on as it is, so that the traffic can be taken back at any time.
            (Err(_), Some((rule, backend))) => {
                json!({"http": [divided(rule, backend, release, wish.split)]})
            }
            (Err(why), None) => return Err(Error::Object(why)),
        };
        let mut copy = Desired::new(ids.copy, spec).lists(&[("spec.http", Items::Verbatim)]);
        if let (None, Some(users)) = (live, view.seen.get(&ids.users)) {
            let of = |field: &str| users["metadata"][field].as_object().cloned().unwrap_or_default();
            copy.labels = of("labels");
            copy.annotations = of("annotations");
            // It tells what was applied as the user's route, which this one is not.
            copy.annotations.remove(LAST_APPLIED);
        }
        Ok(vec![copy.annotated(flux())])
    }

    /// The user's route is only read, and the copy was never anybody else's.
    fn gives_back(&self, _release: &Release) -> Vec<ObjectId> {
        Vec::new()
    }

    /// As long as the copy is there it is preferred: it leads where the user's route does until it goes as well.
    fn released(&self, view: &View<'_>) -> Result<Vec<Desired>, Error> {
        let release = view.release;
        let Ok(Ids { copy, .. }) = ids(release) else { return Ok(Vec::new()) };
        let Some(live) = view.seen.get(&copy) else { return Ok(Vec::new()) };
        let Some((rule, backend)) = copied(live, release) else { return Ok(Vec::new()) };
        if matches!(Owner::of(release, live), Owner::Sibling(_)) {
            return Ok(Vec::new());
        }
        let mut rule = rule.clone();
        rule["backends"] = json!([side(backend, &release.apex, 100)]);
        Ok(vec![Desired::new(copy, json!({"http": [rule]})).never_created()])
    }
}

/// The two routes of a release.
struct Ids {
    /// The one that `spec.routeRef` names.
    users: ObjectId,
    /// The one that is made of it.
    copy: ObjectId,
}

fn ids(release: &Release) -> Result<Ids, Problem> {
    let named = release.route.as_ref().map(|route| route.name.as_str()).filter(|name| !name.is_empty());
    let Some(name) = named else {
        let message = format!(
            "apisix route selector is empty: name the ApisixRoute that leads to the Service {}",
            release.apex
        );
        return Err(problem("spec.routeRef", message));
    };
    let of = |name: &str| APISIX_ROUTE.at(&release.namespace, name);
    Ok(Ids { users: of(name), copy: of(&format!("{name}-{}-canary", release.apex)) })
}

/// What is copied of the user's route.
struct Original<'a> {
    spec: &'a Value,
    /// The rule that leads to the workload.
    rule: &'a Value,
    /// Its one backend.
    backend: &'a Value,
}

/// The user's route, if it can be copied; else what is wrong with it, and what to do.
fn original<'a>(view: &View<'a>, id: &ObjectId) -> Result<Original<'a>, String> {
    let apex = &view.release.apex;
    let title = format!("{}.{}", id.name, id.namespace);
    let Some(live) = view.seen.get(id) else {
        return Err(format!(
            "APISIX route {title}, which spec.routeRef names, does not exist: create it with a rule that leads to the \
             Service {apex}, or name another"
        ));
    };
    let spec = &live["spec"];
    let Some(rules) = spec["http"].as_array().filter(|rules| !rules.is_empty()) else {
        return Err(format!(
            "APISIX route {title}'s spec.http is empty: add a rule that leads to the Service {apex}"
        ));
    };
    let leads = |rule: &&Value| backends(rule).iter().any(|backend| backend["serviceName"] == apex.as_str());
    let Some(rule) = rules.iter().find(leads) else {
        return Err(format!(
            "Can not find {apex} backend on apisix route {title}: add a rule that leads to the Service {apex}"
        ));
    };
    let elsewhere = rule["upstreams"].as_array().is_some_and(|upstreams| !upstreams.is_empty());
    let [backend] = backends(rule) else { return Err(shared(&title, rule, apex)) };
    if elsewhere {
        return Err(shared(&title, rule, apex));
    }
    Ok(Original { spec, rule, backend })
}

/// What is said of a rule that leads to others as well.
fn shared(title: &str, rule: &Value, apex: &str) -> String {
    let name = rule["name"].as_str().unwrap_or_default();
    format!(
        "APISIX route {title}'s http route {name} only one http backend is supported: leave the Service {apex} alone \
         in it, without other backends or upstreams"
    )
}

impl Original<'_> {
    /// The spec of the copy: the one rule, and of the rest all but what would be a route of its own.
    fn copy(&self, release: &Release, split: Split) -> Value {
        let own = self.rule["priority"].as_i64().unwrap_or(0);
        let mut rule = divided(self.rule, self.backend, release, split);
        rule["priority"] = json!(PRIORITY.max(own.saturating_add(1)));
        let mut spec = self.spec.clone();
        spec["http"] = json!([rule]);
        // Null where the user's has none, so that it goes from the copy as well.
        spec["ingressClassName"] = self.spec["ingressClassName"].clone();
        // Flagger's copies have them.
        spec["stream"] = Value::Null;
        spec
    }
}

/// The rule and a backend of a copy, if it leads to both sides.
fn copied<'a>(live: &'a Value, release: &Release) -> Option<(&'a Value, &'a Value)> {
    let (primary, canary) = (release.primary_service(), release.canary_service());
    live["spec"]["http"].as_array()?.iter().find_map(|rule| {
        let of = |name: &str| backends(rule).iter().find(|backend| backend["serviceName"] == name);
        Some((rule, of(&primary).filter(|_| of(&canary).is_some())?))
    })
}

/// The rule with its backend once for each side.
fn divided(rule: &Value, backend: &Value, release: &Release, split: Split) -> Value {
    let mut rule = rule.clone();
    rule["backends"] = json!([
        side(backend, &release.primary_service(), split.primary()),
        side(backend, &release.canary_service(), split.canary()),
    ]);
    rule
}

/// The backend as it leads to a Service.
fn side(backend: &Value, service: &str, weight: u32) -> Value {
    let mut backend = backend.clone();
    backend["serviceName"] = json!(service);
    backend["weight"] = json!(weight);
    backend
}

fn backends(rule: &Value) -> &[Value] {
    rule["backends"].as_array().map_or(&[], Vec::as_slice)
}

fn weight(rule: &Value, service: &str) -> Option<u64> {
    shares::sum(&rule["backends"], |backend| backend["serviceName"] == service)
}

fn success_rate(release: &Release, interval: &str) -> String {
    let route = route(release);
    let all = Selector::new().regex_eq("route", &route);
    percentage("apisix_http_status", &all.clone().regex_ne("code", "5.."), &all, interval)
}

fn duration(release: &Release, interval: &str) -> String {
    let route = route(release);
    let all = Selector::new().regex_eq("type", "request").regex_eq("route", &route);
    p99("apisix_http_latency_bucket", &all, interval)
}

/// The name that the rule of the copy has in APISIX: namespace, route, rule.
fn route(release: &Release) -> String {
    pattern(&format!("{}_{}-{}-canary_", release.namespace, release.route_name(), release.apex)) + ".+"
}

#[cfg(test)]
mod tests;
