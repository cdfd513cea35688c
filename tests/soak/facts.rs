//! The embedded cluster as an observer reads it from the committed changes: plain JSON, nothing of the controller's.

use std::collections::BTreeMap;
use std::sync::Arc;

use kubesim::{Change, ChangeKind, Object};
use serde_json::Value;

use super::manifest::version_of;

/// What is there now.
#[derive(Clone, Default)]
pub struct Facts {
    /// Ready endpoints by slice, with the Service that it belongs to.
    slices: BTreeMap<String, (String, usize)>,
    pub routes: Option<Routes>,
    /// The label `app` that the apex Service selects.
    pub apex: Option<String>,
    pub target: Option<Workload>,
    pub primary: Option<Workload>,
    pub canary: Option<Arc<Object>>,
    /// The version that a primary had last.
    pub promoted: usize,
}

/// What the mesh is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    /// The canary's percentage of the requests that no rule picks out.
    pub share: u64,
    /// Whether a rule sends the requests that it picks out to the canary.
    pub picked: bool,
    pub mirrored: bool,
}

impl Routes {
    /// Whether a user can meet the canary.
    pub fn exposed(self) -> bool {
        self.share > 0 || self.picked || self.mirrored
    }
}

/// A Deployment or a DaemonSet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    pub uid: String,
    pub version: usize,
    /// Pods that it should have; of a DaemonSet 0 or 1.
    pub replicas: u64,
}

impl Facts {
    /// Takes a change in.
    pub fn note(&mut self, change: &Change) {
        let value = change.object.value();
        let kind = value["kind"].as_str().unwrap_or_default();
        let name = value["metadata"]["name"].as_str().unwrap_or_default();
        let gone = change.kind == ChangeKind::Deleted;
        match (kind, name) {
            ("EndpointSlice", _) if gone => drop(self.slices.remove(name)),
            ("EndpointSlice", _) => {
                let service = text(&value["metadata"]["labels"]["kubernetes.io/service-name"]);
                let endpoints = value["endpoints"].as_array().map_or(&[][..], Vec::as_slice);
                let ready = endpoints.iter().filter(|one| one["conditions"]["ready"] == true).count();
                self.slices.insert(name.to_owned(), (service, ready));
            }
            ("VirtualService", "app") => self.routes = (!gone).then(|| istio(value)),
            ("HTTPRoute", "app") => self.routes = (!gone).then(|| gateway(value)),
            ("Service", "app") => self.apex = (!gone).then(|| text(&value["spec"]["selector"]["app"])),
            ("Deployment" | "DaemonSet", "app") => self.target = (!gone).then(|| workload(value)),
            ("Deployment" | "DaemonSet", "app-primary") => {
                self.primary = (!gone).then(|| workload(value));
                self.promoted = self.primary.as_ref().map_or(self.promoted, |primary| primary.version);
            }
            ("Canary", "app") => self.canary = (!gone).then(|| Arc::clone(&change.object)),
            _ => {}
        }
    }

    /// The ready endpoints of a Service.
    pub fn ready(&self, service: &str) -> usize {
        self.slices.values().filter(|(of, _)| of == service).map(|(_, ready)| ready).sum()
    }

    /// The status of the Canary; null without one.
    pub fn status(&self) -> &Value {
        self.canary.as_ref().map_or(&Value::Null, |canary| &canary.value()["status"])
    }

    pub fn phase(&self) -> &str {
        self.status()["phase"].as_str().unwrap_or_default()
    }

    /// Whether users of the target's own pods can be met: by routes, or since nothing stands before them.
    pub fn canary_is_met(&self) -> bool {
        match self.routes {
            Some(routes) => routes.exposed(),
            None => self.apex.as_deref() == Some("app"),
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn workload(value: &Value) -> Workload {
    let spec = &value["spec"];
    let image = spec["template"]["spec"]["containers"][0]["image"].as_str().unwrap_or_default();
    let parked = spec["template"]["spec"]["nodeSelector"].get("flagger.app/scale-to-zero").is_some();
    let replicas = match value["kind"] == "DaemonSet" {
        true => u64::from(!parked),
        false => spec["replicas"].as_u64().unwrap_or(1),
    };
    Workload { uid: text(&value["metadata"]["uid"]), version: version_of(image), replicas }
}

/// The percentage that a list of weighted destinations gives the canary.
fn share(destinations: &Value, name: impl Fn(&Value) -> &Value) -> u64 {
    let all = destinations.as_array().map_or(&[][..], Vec::as_slice);
    let weight = |one: &Value| one["weight"].as_u64().unwrap_or(if all.len() == 1 { 100 } else { 0 });
    let total: u64 = all.iter().map(weight).sum();
    let canary: u64 = all.iter().filter(|one| *name(one) == "app-canary").map(weight).sum();
    (canary * 100).checked_div(total).unwrap_or(0)
}

fn istio(value: &Value) -> Routes {
    let mut routes = Routes::default();
    for rule in value["spec"]["http"].as_array().map_or(&[][..], Vec::as_slice) {
        let given = share(&rule["route"], |one| &one["destination"]["host"]);
        if rule["match"].is_array() {
            routes.picked |= given > 0
        } else {
            routes.share = given
        }
        let mirrors = rule["mirrors"].as_array().map_or(&[][..], Vec::as_slice);
        routes.mirrored |= rule["mirror"]["host"] == "app-canary"
            || mirrors.iter().any(|one| one["destination"]["host"] == "app-canary");
    }
    routes
}

fn gateway(value: &Value) -> Routes {
    let mut routes = Routes::default();
    for rule in value["spec"]["rules"].as_array().map_or(&[][..], Vec::as_slice) {
        let given = share(&rule["backendRefs"], |one| &one["name"]);
        let matches = rule["matches"].as_array().map_or(&[][..], Vec::as_slice);
        let picks = matches.iter().any(|one| one["headers"].is_array() || one["queryParams"].is_array());
        if picks {
            routes.picked |= given > 0
        } else {
            routes.share = given
        }
        let filters = rule["filters"].as_array().map_or(&[][..], Vec::as_slice);
        let mirrors = |one: &Value| one["requestMirror"]["backendRef"]["name"] == "app-canary";
        routes.mirrored |= filters.iter().any(mirrors);
    }
    routes
}

/// The part of the facts that promises are about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Brief {
    pub routes: Option<Routes>,
    pub apex: Option<String>,
    /// Ready endpoints of apex, primary and canary.
    pub ready: [usize; 3],
    /// Whether there are endpoints of the primary's Service to speak of.
    pub primary_served: bool,
    pub target: Option<(usize, u64)>,
    pub primary: Option<(usize, u64)>,
    pub phase: String,
    pub canary: bool,
    pub deleting: bool,
    pub met: bool,
}

/// The names of the three Services, in the order of [`Brief::ready`].
pub const SERVICES: [&str; 3] = ["app", "app-primary", "app-canary"];

impl Facts {
    /// The part that promises are about.
    pub fn brief(&self) -> Brief {
        let canary = self.canary.as_ref().map(|canary| canary.value());
        Brief {
            routes: self.routes,
            apex: self.apex.clone(),
            ready: SERVICES.map(|service| self.ready(service)),
            primary_served: self.slices.values().any(|(of, _)| of == SERVICES[1]),
            target: self.target.as_ref().map(|target| (target.version, target.replicas)),
            primary: self.primary.as_ref().map(|primary| (primary.version, primary.replicas)),
            phase: self.phase().to_owned(),
            canary: canary.is_some(),
            deleting: canary.is_some_and(|canary| canary["metadata"]["deletionTimestamp"].is_string()),
            met: self.canary_is_met(),
        }
    }
}

impl Brief {
    /// The percentages of requests that each of [`SERVICES`] gets.
    pub fn shares(&self) -> [u64; 3] {
        match self.routes {
            Some(routes) => {
                let canary =
                    if routes.picked || routes.mirrored { routes.share.max(1) } else { routes.share };
                [0, 100 - routes.share, canary]
            }
            None => [100, 0, 0],
        }
    }
}
