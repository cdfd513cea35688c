//! Gloo Edge (spec 03 §12): one RouteTable that divides the requests between two Upstreams, one for each Service. Its
//! user brings the VirtualService with the host name, which delegates to this table, and may bring an Upstream whose
//! settings the two take.

use serde_json::{Map, Value, json};

use super::checks::Unit;
use super::promql::{envoy_duration, envoy_success_rate, pattern};
use super::shares::{self, Backends};
use super::{Access, Checks, Desired, Error, Items, Lists, Mesh, Router, View, right};
use crate::api::Provider;
use crate::model::object::{Kind, ObjectId};
use crate::model::release::{Problem, Release, Settings};
use crate::model::traffic::{Acceptance, Capabilities, RouteState, RouteWish, Split};

mod matchers;
mod statuses;

/// Gloo Edge.
pub static MESH: Mesh = Mesh {
    providers: &[Provider::Gloo],
    title: "Gloo Edge (RouteTable, Upstream)",
    router: &Gloo,
    abilities: ABILITIES,
    checks: &Checks { success_rate, duration, unit: Unit::Milliseconds, bare_errors: false },
    honours: &[],
    rights: &[right(ROUTE_TABLE, Access::Make), right(UPSTREAM, Access::Make)],
};

const ROUTE_TABLE: Kind = Kind::new("gateway.solo.io", "v1", "RouteTable", "routetables");
const UPSTREAM: Kind = Kind::new("gloo.solo.io", "v1", "Upstream", "upstreams");

const ABILITIES: Capabilities = Capabilities { matching: true, ..Capabilities::WEIGHTS };

const ROUTES: Lists = &[
    ("spec.routes", Items::Matched("matchers")),
    ("spec.routes[].routeAction.multi.destinations", Items::Keyed("destination")),
];

/// What the two Upstreams take from the one that `spec.upstreamRef` names.
const TAKEN: [&str; 9] = [
    "labels",
    "sslConfig",
    "circuitBreakers",
    "connectionConfig",
    "loadBalancerConfig",
    "useHttp2",
    "initialStreamWindowSize",
    "initialConnectionWindowSize",
    "httpProxyHostname",
];

/// What is taken is taken to the letter: what goes there goes here.
const SETTINGS: Lists = &[
    ("spec.kube.selector", Items::Whole),
    ("spec.labels", Items::Verbatim),
    ("spec.sslConfig", Items::Verbatim),
    ("spec.circuitBreakers", Items::Verbatim),
    ("spec.connectionConfig", Items::Verbatim),
    ("spec.loadBalancerConfig", Items::Verbatim),
];

/// Gloo Edge's router.
pub struct Gloo;

impl Router for Gloo {
    fn capabilities(&self, _release: &Release) -> Capabilities {
        ABILITIES
    }

    fn problems(&self, release: &Release, _settings: &Settings) -> Vec<Problem> {
        matchers::all(release).err().into_iter().collect()
    }

    fn reads(&self, release: &Release) -> Vec<ObjectId> {
        self.gives_back(release).into_iter().chain(config(release)).collect()
    }

    fn state(&self, view: &View<'_>) -> Result<Option<RouteState>, Error> {
        let id = route_table(view.release);
        let Some(live) = view.seen.get(&id) else { return Ok(None) };
        let [primary, canary] = upstreams(view.release).map(|id| id.name);
        shares::state(view, &id, live, &live["spec"]["routes"], weight, &Backends { primary, canary })
    }

    fn acceptance(&self, view: &View<'_>) -> Acceptance {
        if let Err(missing) = settings(view) {
            return Acceptance::Pending(missing);
        }
        let ours = self.gives_back(view.release);
        let pending = ours.iter().find_map(|id| {
            let names = upstreams(view.release).map(|id| id.name);
            statuses::complaint(id, view.seen.get(id)?, &names)
        });
        pending.map_or(Acceptance::Accepted, Acceptance::Pending)
    }

    fn desired(&self, view: &View<'_>, wish: &RouteWish) -> Result<Vec<Desired>, Error> {
        let release = view.release;
        let mut matching = Vec::new();
        let matchers = matchers::all(release).map_err(Error::Unsupported)?;
        if !matchers.is_empty() {
            matching.push(route(release, json!(matchers), wish.split));
        }
        let everybody = if matching.is_empty() { wish.split } else { Split::PRIMARY };
        matching.push(route(release, Value::Null, everybody));

        let ids = upstreams(release);
        let settings = match settings(view) {
            // They go on with the settings that they have.
            Err(_) if ids.iter().all(|id| view.seen.get(id).is_some()) => Map::new(),
            settings => settings.map_err(Error::Object)?,
        };
        let [primary, canary] = ids;
        let pods = |suffix: &str| format!("{}{suffix}", view.shape.label_value);
        let table = Desired::new(route_table(release), json!({"routes": matching})).lists(ROUTES);
        Ok(vec![
            upstream(view, primary, release.primary_service(), &pods("-primary"), &settings),
            upstream(view, canary, release.canary_service(), &pods(""), &settings),
            table.apex_metadata(view).keeping_the_original(),
        ])
    }

    /// All but the Upstream whose settings are taken: that one is only read.
    fn gives_back(&self, release: &Release) -> Vec<ObjectId> {
        upstreams(release).into_iter().chain([route_table(release)]).collect()
    }
}

/// A route whose requests are divided between the two Upstreams. It takes the paths of the route that delegates to it.
fn route(release: &Release, matchers: Value, split: Split) -> Value {
    let [primary, canary] = upstreams(release);
    let destination = |id: ObjectId, weight: u32| {
        json!({
            "destination": {"upstream": {"name": id.name, "namespace": id.namespace}},
            "weight": weight,
        })
    };
    json!({
        "inheritablePathMatchers": true,
        "matchers": matchers,
        // A route either leads to several destinations or does one of these.
        "redirectAction": null,
        "directResponseAction": null,
        "delegateAction": null,
        "routeAction": {
            "single": null,
            "upstreamGroup": null,
            "clusterHeader": null,
            "dynamicForwardProxy": null,
            "multi": {"destinations": [
                destination(primary, split.primary()),
                destination(canary, split.canary()),
            ]},
        },
    })
}

/// The Upstream in front of one Service, with the settings that it takes.
fn upstream(
    view: &View<'_>,
    id: ObjectId,
    service: String,
    pods: &str,
    settings: &Map<String, Value>,
) -> Desired {
    let release = view.release;
    let mut kube = json!({
        "serviceName": service,
        "serviceNamespace": release.namespace,
        "servicePort": release.service.port,
    });
    let key = view.shape.label_key.as_str();
    // Of a target that is a Service itself nobody knows the pods.
    if !key.is_empty() {
        kube["selector"] = json!({key: pods});
    }
    let mut spec = settings.clone();
    spec.insert("kube".to_owned(), kube);
    Desired::new(id, Value::Object(spec)).lists(SETTINGS).keeping_the_original()
}

/// What the Upstreams take from the one that the manifest names; nothing if it names none.
fn settings(view: &View<'_>) -> Result<Map<String, Value>, String> {
    let Some(id) = config(view.release) else { return Ok(Map::new()) };
    let Some(config) = view.seen.get(&id) else {
        return Err(format!(
            "{id}, whose settings spec.upstreamRef asks for, does not exist: create it, or take spec.upstreamRef out \
             of the Canary"
        ));
    };
    Ok(TAKEN.map(|field| (field.to_owned(), config["spec"][field].clone())).into_iter().collect())
}

/// The Upstream whose settings the two take.
fn config(release: &Release) -> Option<ObjectId> {
    release.upstream.as_ref().map(|reference| UPSTREAM.at(&reference.namespace, &reference.name))
}

fn route_table(release: &Release) -> ObjectId {
    ROUTE_TABLE.at(&release.namespace, &release.apex)
}

/// Primary first.
fn upstreams(release: &Release) -> [ObjectId; 2] {
    ["primary", "canary"].map(|side| {
        let Release { namespace, apex, .. } = release;
        UPSTREAM.at(namespace, &format!("{namespace}-{apex}-{side}upstream-{}", release.service.port))
    })
}

fn weight(route: &Value, upstream: &str) -> Option<u64> {
    let destinations = &route["routeAction"]["multi"]["destinations"];
    shares::sum(destinations, |to| to["destination"]["upstream"]["name"] == upstream)
}

fn success_rate(release: &Release, interval: &str) -> String {
    envoy_success_rate(&cluster(release), interval)
}

fn duration(release: &Release, interval: &str) -> String {
    envoy_duration(&cluster(release), interval)
}

/// The cluster that Envoy has for the canary's Upstream: its name and its namespace.
fn cluster(release: &Release) -> String {
    let upstream = format!("{}-{}-canaryupstream-", release.namespace, release.apex);
    pattern(&upstream) + "[0-9a-zA-Z-]+_[0-9a-zA-Z-]+"
}

#[cfg(test)]
mod tests;
