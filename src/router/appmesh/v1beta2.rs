//! App Mesh v1beta2 (spec 03 §10): two VirtualNodes, and a VirtualService with its VirtualRouter for the apex and for the
//! canary alone. Which Mesh they are in is said by App Mesh's controller, in fields of its own.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Value, json};

use super::{
    ABILITIES, CHECKS, Retries, Rule, gateway, kind, logging, millis, node, protocol, route, rule_of_canary,
    rules, time,
};
use crate::api::{Provider, ServiceField};
use crate::model::object::{Kind, ObjectId};
use crate::model::release::{Problem, Release, Settings};
use crate::model::traffic::{Acceptance, Capabilities, RouteState, RouteWish};
use crate::router::predicates::prefix;
use crate::router::shares::{self, Backends};
use crate::router::{Access, Desired, Error, Items, Lists, Mesh, Router, View, conditions, right};

/// App Mesh with a controller of version 1.
pub static MESH: Mesh = Mesh {
    providers: &[Provider::AppMeshV1Beta2],
    title: "App Mesh v1beta2 (VirtualNode, VirtualRouter, VirtualService)",
    router: &AppMesh,
    abilities: ABILITIES,
    checks: &CHECKS,
    honours: &[
        ServiceField::Hosts,
        ServiceField::Match,
        ServiceField::Retries,
        ServiceField::Timeout,
        ServiceField::Backends,
    ],
    rights: &[
        right(VIRTUAL_NODE, Access::Make),
        right(VIRTUAL_ROUTER, Access::Make),
        right(VIRTUAL_SERVICE, Access::Make),
    ],
};

const VIRTUAL_NODE: Kind = kind("v1beta2", "VirtualNode", "virtualnodes");
const VIRTUAL_ROUTER: Kind = kind("v1beta2", "VirtualRouter", "virtualrouters");
const VIRTUAL_SERVICE: Kind = kind("v1beta2", "VirtualService", "virtualservices");

const NODE: Lists = &[
    ("spec.listeners", Items::Matched("portMapping")),
    ("spec.listeners[].timeout", Items::Whole),
    ("spec.podSelector", Items::Whole),
];

const ROUTES: Lists = &[
    ("spec.routes", Items::Keyed("name")),
    ("spec.routes[].httpRoute.action.weightedTargets", Items::Keyed("virtualNodeRef")),
    ("spec.routes[].httpRoute.retryPolicy", Items::Whole),
    ("spec.routes[].httpRoute.timeout", Items::Whole),
];

/// The router of App Mesh v1beta2.
pub struct AppMesh;

impl Router for AppMesh {
    fn capabilities(&self, _release: &Release) -> Capabilities {
        ABILITIES
    }

    fn problems(&self, release: &Release, _settings: &Settings) -> Vec<Problem> {
        let all =
            [rules(release, super::Split::PRIMARY).err(), Retries::of(release).err(), timeout(release).err()];
        all.into_iter().flatten().collect()
    }

    fn reads(&self, release: &Release) -> Vec<ObjectId> {
        let of = |kind: Kind, name: String| kind.at(&release.namespace, &name);
        let (apex, primary, canary) =
            (release.apex.clone(), release.primary_service(), release.canary_service());
        vec![
            of(VIRTUAL_NODE, primary),
            of(VIRTUAL_NODE, canary.clone()),
            of(VIRTUAL_ROUTER, apex.clone()),
            of(VIRTUAL_SERVICE, apex),
            of(VIRTUAL_ROUTER, canary.clone()),
            of(VIRTUAL_SERVICE, canary),
        ]
    }

    fn state(&self, view: &View<'_>) -> Result<Option<RouteState>, Error> {
        let id = router(view.release);
        let Some(live) = view.seen.get(&id) else { return Ok(None) };
        let (primary, canary) = (view.release.primary_service(), view.release.canary_service());
        shares::state(view, &id, live, &live["spec"]["routes"], weight, &Backends { primary, canary })
    }

    fn acceptance(&self, view: &View<'_>) -> Acceptance {
        let id = router(view.release);
        let live = view.seen.get(&id);
        live.map_or(Acceptance::Accepted, |live| {
            conditions::accepted(&id, live, "App Mesh", &["VirtualRouterActive"])
        })
    }

    fn groundwork(&self, view: &View<'_>) -> Result<Vec<Desired>, Error> {
        let release = view.release;
        let timeout = timeout(release).map_err(Error::Unsupported)?;
        let pods = &view.shape.label_value;
        Ok(vec![
            virtual_node(view, release.primary_service(), &format!("{pods}-primary"), &timeout),
            virtual_node(view, release.canary_service(), pods, &timeout),
        ])
    }

    fn desired(&self, view: &View<'_>, wish: &RouteWish) -> Result<Vec<Desired>, Error> {
        let release = view.release;
        let retries = Retries::of(release).map_err(Error::Unsupported)?;
        let timeout = timeout(release).map_err(Error::Unsupported)?;
        let http = |rule: Rule, both: bool| {
            let policy = json!({"retries": retries.as_ref().map(policy), "timeout": timeout});
            http_route(release, rule, &policy, both)
        };
        let rules = rules(release, wish.split).map_err(Error::Unsupported)?;
        let routes: Vec<Value> = rules.into_iter().map(|rule| http(rule, true)).collect();
        let mut all = self.groundwork(view)?;
        all.push(virtual_router(release, &release.apex, &routes));
        all.push(virtual_service(release, &release.apex).annotated(gateway(release)));
        let canary = release.canary_service();
        all.push(virtual_router(release, &canary, &[http(rule_of_canary(release), false)]));
        all.push(virtual_service(release, &canary));
        Ok(all)
    }
}

/// The router that users' requests meet.
fn router(release: &Release) -> ObjectId {
    VIRTUAL_ROUTER.at(&release.namespace, &release.apex)
}

fn virtual_node(view: &View<'_>, name: String, pods: &str, timeout: &Value) -> Desired {
    let release = view.release;
    let timeout = if timeout.is_null() { Value::Null } else { json!({protocol(release): timeout}) };
    let mut spec = json!({
        "listeners": [{"portMapping": port_mapping(release), "timeout": timeout}],
        // The dot at the end spares the resolver the search list.
        "serviceDiscovery": {
            "dns": {"hostname": format!("{name}.{}.svc.cluster.local.", release.namespace)},
        },
    });
    let key = view.shape.label_key.as_str();
    // Of a target that is a Service itself nobody knows the pods.
    if !key.is_empty() {
        spec["podSelector"] = json!({"matchLabels": {key: pods}});
    }
    let mut unset = json!({});
    match release.service.backends.as_deref().filter(|backends| !backends.is_empty()) {
        Some(backends) => spec["backends"] = backends.iter().map(|name| backend(name)).collect(),
        None => unset["backends"] = Value::Null,
    }
    match logging(release) {
        Value::Null => unset["logging"] = Value::Null,
        logging => spec["logging"] = logging,
    }
    let id = VIRTUAL_NODE.at(&release.namespace, &name);
    node(Desired::new(id, spec).lists(NODE).spec_if_made_by_us(unset), view)
}

fn backend(name: &str) -> Value {
    if name.starts_with("arn:aws") {
        json!({"virtualService": {"virtualServiceARN": name}})
    } else {
        json!({"virtualService": {"virtualServiceRef": {"name": name}}})
    }
}

fn virtual_router(release: &Release, name: &str, routes: &[Value]) -> Desired {
    let spec = json!({"listeners": [{"portMapping": port_mapping(release)}], "routes": routes});
    route(Desired::new(VIRTUAL_ROUTER.at(&release.namespace, name), spec).lists(ROUTES))
}

/// The name within the mesh that leads to the router of the same name.
fn virtual_service(release: &Release, name: &str) -> Desired {
    let spec = json!({"provider": {
        "virtualRouter": {"virtualRouterRef": {"name": name}},
        "virtualNode": null,
    }});
    route(Desired::new(VIRTUAL_SERVICE.at(&release.namespace, name), spec))
}

/// The port that the pods listen to. One that is only named cannot be looked up here.
fn port_mapping(release: &Release) -> Value {
    let port = match release.service.target_port {
        Some(IntOrString::Int(port)) if port > 0 => port,
        _ => release.service.port,
    };
    json!({"port": port, "protocol": protocol(release)})
}

fn timeout(release: &Release) -> Result<Value, Problem> {
    match release.service.timeout.as_deref().filter(|timeout| !timeout.is_empty()) {
        Some(text) => Ok(json!({"perRequest": in_millis(time(text, "spec.service.timeout")?)})),
        None => Ok(Value::Null),
    }
}

fn in_millis(time: std::time::Duration) -> Value {
    json!({"unit": "ms", "value": millis(time)})
}

fn policy(retries: &Retries) -> Value {
    json!({
        "maxRetries": retries.attempts,
        "perRetryTimeout": in_millis(retries.timeout),
        "httpRetryEvents": retries.events,
    })
}

/// A route to `both` sides, or to the canary alone.
fn http_route(release: &Release, rule: Rule, policy: &Value, both: bool) -> Value {
    let target = |name: String, weight: u32| json!({"virtualNodeRef": {"name": name}, "weight": weight});
    let mut targets = vec![target(release.canary_service(), rule.split.canary())];
    targets.extend(both.then(|| target(release.primary_service(), rule.split.primary())));
    json!({
        "name": rule.name,
        "priority": rule.priority,
        // A route is for one protocol.
        "grpcRoute": null,
        "http2Route": null,
        "tcpRoute": null,
        "httpRoute": {
            "match": {"prefix": prefix(release), "headers": rule.headers},
            "action": {"weightedTargets": targets},
            "retryPolicy": policy["retries"],
            "timeout": policy["timeout"],
        },
    })
}

fn weight(route: &Value, node: &str) -> Option<u64> {
    let targets = &route["httpRoute"]["action"]["weightedTargets"];
    shares::sum(targets, |to| to["virtualNodeRef"]["name"] == node)
}
