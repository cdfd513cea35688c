//! The gateways of the simulated world: whatever parents a route of the Gateway API names, their controllers accept it a
//! moment after it was written.

use std::time::Duration;

use kubesim::KubeSim;
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// Starts the controllers. Needs a runtime, with which they end.
pub(super) fn start(kube: &KubeSim) {
    let (written, mut writes) = mpsc::unbounded_channel();
    kube.observe(move |change| {
        let route = change.object.value();
        let routes = KINDS.iter().find(|(kind, _)| route["kind"] == *kind).map(|(_, routes)| *routes);
        if let Some(routes) = routes.filter(|_| has_parents(route) && !is_taken_in(route)) {
            let text = |field: &str| route["metadata"][field].as_str().unwrap_or_default().to_owned();
            // Nobody hears it once the world ends.
            let _ = written.send((routes, text("namespace"), text("name")));
        }
    });
    let kube = kube.clone();
    tokio::spawn(async move {
        while let Some((routes, namespace, name)) = writes.recv().await {
            tokio::time::sleep(LATENCY).await;
            let Some(route) = kube.get(routes, &namespace, &name).filter(|route| !is_taken_in(route)) else {
                continue;
            };
            let now = kube.now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
            // A route that goes meanwhile needs no answer.
            let _ =
                kube.patch_status("gateway-controller", routes, &namespace, &name, accepted(&route, &now));
        }
    });
}

/// The kinds of routes, and their resources.
const KINDS: [(&str, &str); 5] = [
    ("HTTPRoute", "httproutes.gateway.networking.k8s.io"),
    ("GRPCRoute", "grpcroutes.gateway.networking.k8s.io"),
    ("TLSRoute", "tlsroutes.gateway.networking.k8s.io"),
    ("TCPRoute", "tcproutes.gateway.networking.k8s.io"),
    ("UDPRoute", "udproutes.gateway.networking.k8s.io"),
];

/// How long a controller takes.
const LATENCY: Duration = Duration::from_millis(300);

fn has_parents(route: &Value) -> bool {
    route["spec"]["parentRefs"].as_array().is_some_and(|parents| !parents.is_empty())
}

/// Whether the status is about the spec as it is now.
fn is_taken_in(route: &Value) -> bool {
    let generation = &route["metadata"]["generation"];
    route["status"]["parents"][0]["conditions"][0]["observedGeneration"] == *generation
}

fn accepted(route: &Value, now: &str) -> Value {
    let condition = |kind: &str| {
        json!({
            "type": kind,
            "status": "True",
            "reason": kind,
            "message": "",
            "observedGeneration": route["metadata"]["generation"],
            "lastTransitionTime": now,
        })
    };
    let parents = route["spec"]["parentRefs"].as_array().map_or(&[][..], Vec::as_slice);
    let parents: Vec<Value> = parents
        .iter()
        .map(|parent| {
            json!({
                "parentRef": parent,
                "controllerName": "example.com/simulated",
                "conditions": [condition("Accepted"), condition("ResolvedRefs")],
            })
        })
        .collect();
    json!({"status": {"parents": parents}})
}
