//! App Mesh v1beta1 (spec 03 §9): three VirtualNodes, and two VirtualServices that have their routes in themselves.

use serde_json::{Value, json};

use super::{
    ABILITIES, CHECKS, Retries, Rule, gateway, kind, logging, millis, node, protocol, route, rule_of_canary,
    rules,
};
use crate::api::{Provider, ServiceField};
use crate::model::object::{Kind, ObjectId};
use crate::model::release::{Problem, Release, Settings};
use crate::model::traffic::{Acceptance, Capabilities, RouteState, RouteWish};
use crate::router::predicates::prefix;
use crate::router::shares::{self, Backends};
use crate::router::{Access, Desired, Error, Items, Lists, Mesh, Router, View, conditions, problem, right};

/// App Mesh with a controller of version 0.
pub static MESH: Mesh = Mesh {
    providers: &[Provider::AppMesh],
    title: "App Mesh v1beta1 (VirtualNode, VirtualService)",
    router: &AppMesh,
    abilities: ABILITIES,
    checks: &CHECKS,
    honours: &[
        ServiceField::Hosts,
        ServiceField::Match,
        ServiceField::Retries,
        ServiceField::Timeout,
        ServiceField::MeshName,
        ServiceField::Backends,
    ],
    rights: &[right(VIRTUAL_NODE, Access::Make), right(VIRTUAL_SERVICE, Access::Make)],
};

const VIRTUAL_NODE: Kind = kind("v1beta1", "VirtualNode", "virtualnodes");
const VIRTUAL_SERVICE: Kind = kind("v1beta1", "VirtualService", "virtualservices");

const NODE: Lists = &[("spec.listeners", Items::Matched("portMapping"))];

const ROUTES: Lists = &[
    ("spec.routes", Items::Keyed("name")),
    ("spec.routes[].http.action.weightedTargets", Items::Keyed("virtualNodeName")),
    ("spec.routes[].http.retryPolicy", Items::Whole),
];

/// The router of App Mesh v1beta1.
pub struct AppMesh;

impl Router for AppMesh {
    fn capabilities(&self, _release: &Release) -> Capabilities {
        ABILITIES
    }

    fn problems(&self, release: &Release, _settings: &Settings) -> Vec<Problem> {
        let all =
            [mesh(release).err(), rules(release, super::Split::PRIMARY).err(), Retries::of(release).err()];
        all.into_iter().flatten().collect()
    }

    fn reads(&self, release: &Release) -> Vec<ObjectId> {
        let nodes = nodes(release).map(|(id, _)| id);
        nodes.into_iter().chain([apex(release), canary(release)]).collect()
    }

    fn state(&self, view: &View<'_>) -> Result<Option<RouteState>, Error> {
        let id = apex(view.release);
        let Some(live) = view.seen.get(&id) else { return Ok(None) };
        let (primary, canary) = (view.release.primary_service(), view.release.canary_service());
        shares::state(view, &id, live, &live["spec"]["routes"], weight, &Backends { primary, canary })
    }

    fn acceptance(&self, view: &View<'_>) -> Acceptance {
        let id = apex(view.release);
        let active = ["VirtualServiceActive", "VirtualRouterActive", "RoutesActive"];
        let live = view.seen.get(&id);
        live.map_or(Acceptance::Accepted, |live| conditions::accepted(&id, live, "App Mesh", &active))
    }

    fn groundwork(&self, view: &View<'_>) -> Result<Vec<Desired>, Error> {
        let mesh = mesh(view.release).map_err(Error::Unsupported)?;
        Ok(nodes(view.release).map(|(id, host)| virtual_node(view, id, &host, mesh)).into())
    }

    fn desired(&self, view: &View<'_>, wish: &RouteWish) -> Result<Vec<Desired>, Error> {
        let release = view.release;
        let mesh = mesh(release).map_err(Error::Unsupported)?;
        let retries = Retries::of(release).map_err(Error::Unsupported)?;
        let routes = |rules: Vec<Rule>, both: bool| -> Vec<Value> {
            rules.into_iter().map(|rule| http(release, rule, retries.as_ref(), both)).collect()
        };
        let rules = rules(release, wish.split).map_err(Error::Unsupported)?;
        let service = |id: ObjectId, router: &str, routes: Vec<Value>| {
            let spec = json!({
                "meshName": mesh,
                "virtualRouter": {"name": router, "listeners": [listener(release)]},
                "routes": routes,
            });
            route(Desired::new(id, spec).lists(ROUTES))
        };
        let mut all = self.groundwork(view)?;
        all.push(service(apex(release), &release.apex, routes(rules, true)).annotated(gateway(release)));
        let only = routes(vec![rule_of_canary(release)], false);
        all.push(service(canary(release), &release.canary_service(), only));
        Ok(all)
    }
}

fn mesh(release: &Release) -> Result<&str, Problem> {
    let name = release.service.mesh_name.as_deref().filter(|name| !name.is_empty());
    let message = "mesh name cannot be empty: write the name of the Mesh, or use provider appmesh:v1beta2";
    name.ok_or_else(|| problem("spec.service.meshName", message))
}

/// The nodes and the Services that their names are for. That of the apex stands for the pods before there was a Canary.
fn nodes(release: &Release) -> [(ObjectId, String); 3] {
    let (primary, canary) = (release.primary_service(), release.canary_service());
    [(release.apex.clone(), primary.clone()), (primary.clone(), primary), (canary.clone(), canary)]
        .map(|(name, host)| (VIRTUAL_NODE.at(&release.namespace, &name), host))
}

/// The name within the mesh that users call.
fn apex(release: &Release) -> ObjectId {
    VIRTUAL_SERVICE.at(&release.namespace, &format!("{}.{}", release.apex, release.namespace))
}

/// The name within the mesh of the canary alone.
fn canary(release: &Release) -> ObjectId {
    VIRTUAL_SERVICE.at(&release.namespace, &format!("{}.{}", release.canary_service(), release.namespace))
}

fn virtual_node(view: &View<'_>, id: ObjectId, host: &str, mesh: &str) -> Desired {
    let release = view.release;
    let mut spec = json!({
        "meshName": mesh,
        "listeners": [listener(release)],
        "serviceDiscovery": {"dns": {"hostName": format!("{host}.{}", release.namespace)}},
    });
    let mut unset = json!({});
    match release.service.backends.as_deref().filter(|backends| !backends.is_empty()) {
        Some(backends) => {
            let backend = |name: &String| json!({"virtualService": {"virtualServiceName": name}});
            spec["backends"] = backends.iter().map(backend).collect();
        }
        None => unset["backends"] = Value::Null,
    }
    match logging(release) {
        Value::Null => unset["logging"] = Value::Null,
        logging => spec["logging"] = logging,
    }
    node(Desired::new(id, spec).lists(NODE).spec_if_made_by_us(unset), view)
}

fn listener(release: &Release) -> Value {
    json!({"portMapping": {"port": release.service.port, "protocol": protocol(release)}})
}

/// A route to `both` sides, or to the canary alone.
fn http(release: &Release, rule: Rule, retries: Option<&Retries>, both: bool) -> Value {
    let target = |name: String, weight: u32| json!({"virtualNodeName": name, "weight": weight});
    let mut targets = vec![target(release.canary_service(), rule.split.canary())];
    targets.extend(both.then(|| target(release.primary_service(), rule.split.primary())));
    json!({
        "name": rule.name,
        "priority": rule.priority,
        "http": {
            "match": {"prefix": prefix(release), "headers": rule.headers},
            "action": {"weightedTargets": targets},
            "retryPolicy": retries.map(|retries| json!({
                "perRetryTimeoutMillis": millis(retries.timeout),
                "maxRetries": retries.attempts,
                "httpRetryEvents": retries.events,
            })),
        },
    })
}

fn weight(route: &Value, node: &str) -> Option<u64> {
    shares::sum(&route["http"]["action"]["weightedTargets"], |to| to["virtualNodeName"] == node)
}
