//! Objects as Flagger leaves them, written from the specification of its behaviour (docs/spec), and somebody who moves them
//! as it does. Nothing of them is made by the code under test.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use vexil::sim::World;

pub const QUARTERS: &str = include_str!("../data/shop/frontend-quarters.yaml");
pub const FIRST: &str = "registry.example.com/shop/frontend:1.0.0";
pub const NEXT: &str = "registry.example.com/shop/frontend:2.0.0";
/// Hashes of the form that Flagger writes (spec 01 §1.8), for the first revision and the next.
pub const FIRST_HASH: &str = "5498f4fcd6";
pub const NEXT_HASH: &str = "547d5765b7";

/// Flagger's hand in a world with the shop's frontend behind Istio.
pub struct Flagger {
    pub world: World,
}

impl Flagger {
    /// The frontend after Flagger's initialisation: a primary that serves, a target without pods, its objects around it.
    pub async fn initialised() -> Self {
        let it = Self { world: World::builder().build() };
        it.world.apply(QUARTERS).expect("a manifest that the cluster takes");
        let kube = &it.world.kube;
        let target = kube.get("deployments.apps", "shop", "frontend").expect("the target");
        let mut template = target["spec"]["template"].clone();
        template["metadata"]["labels"]["app"] = "frontend-primary".into();
        template["metadata"]["annotations"]["flagger-id"] = "3f8b6a52-6d4e-4e8e-9a52-0d6a2c1f7b11".into();
        it.owned(json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "frontend-primary"},
            "spec": {
                "replicas": 2, "minReadySeconds": 0, "revisionHistoryLimit": 5, "template": template,
                "selector": {"matchLabels": {"app": "frontend-primary"}},
            },
        }));
        let scaler = kube.get("horizontalpodautoscalers.autoscaling", "shop", "frontend").expect("the HPA");
        let mut spec = scaler["spec"].clone();
        spec["scaleTargetRef"]["name"] = "frontend-primary".into();
        it.owned(json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "frontend-primary"}, "spec": spec,
        }));
        for (name, selected) in [
            ("frontend-canary", "frontend"),
            ("frontend-primary", "frontend-primary"),
            ("frontend", "frontend-primary"),
        ] {
            it.owned(json!({
                "apiVersion": "v1", "kind": "Service",
                "metadata": {"name": name, "labels": {"app": name}, "annotations": kept_from_flux()},
                "spec": {
                    "type": "ClusterIP", "selector": {"app": selected},
                    "ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080}],
                },
            }));
        }
        for side in ["frontend-canary", "frontend-primary"] {
            it.owned(json!({
                "apiVersion": "networking.istio.io/v1beta1", "kind": "DestinationRule", "metadata": {"name": side},
                "spec": {"host": side, "trafficPolicy": {"tls": {"mode": "ISTIO_MUTUAL"}}},
            }));
        }
        it.routes(100, 0);
        it.scale_target(0);
        it.status("Initialized", 0, 0, FIRST_HASH, FIRST_HASH);
        let ready = |world: &World| {
            let primary = world.kube.get("deployments.apps", "shop", "frontend-primary").unwrap_or_default();
            primary["status"]["readyReplicas"] == 2
        };
        assert!(it.world.until(Duration::from_secs(300), ready).await, "the primary is ready");
        it
    }

    fn owned(&self, mut object: Value) {
        let canary = self.world.kube.get("canaries.flagger.app", "shop", "frontend").expect("the Canary");
        object["metadata"]["namespace"] = "shop".into();
        object["metadata"]["ownerReferences"] = json!([{
            "apiVersion": "flagger.app/v1beta1", "kind": "Canary", "name": "frontend",
            "uid": canary["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true,
        }]);
        self.world.kube.put(object);
    }

    /// Writes the VirtualService with these weights.
    pub fn routes(&self, primary: i64, canary: i64) {
        self.owned(json!({
            "apiVersion": "networking.istio.io/v1beta1", "kind": "VirtualService",
            "metadata": {"name": "frontend", "annotations": kept_from_flux()},
            "spec": {
                "hosts": ["shop.example.com", "frontend"],
                "gateways": ["istio-system/public-gateway"],
                "http": [{
                    "retries": {
                        "attempts": 3, "perTryTimeout": "1s",
                        "retryOn": "gateway-error,connect-failure,refused-stream",
                    },
                    "route": [
                        {"destination": {"host": "frontend-primary"}, "weight": primary},
                        {"destination": {"host": "frontend-canary"}, "weight": canary},
                    ],
                }],
            },
        }));
    }

    /// Writes the status as Flagger does: no field but its own.
    pub fn status(&self, phase: &str, weight: i64, failed: i64, applied: &str, promoted: &str) {
        let mut canary = self.world.kube.get("canaries.flagger.app", "shop", "frontend").expect("the Canary");
        let now = self.world.now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        let reached = match phase {
            "Initialized" | "Succeeded" => "True",
            "Failed" => "False",
            _ => "Unknown",
        };
        canary["status"] = json!({
            "phase": phase, "canaryWeight": weight, "failedChecks": failed, "iterations": 0,
            "lastAppliedSpec": applied, "lastPromotedSpec": promoted, "lastTransitionTime": now,
            "trackedConfigs": {},
            "conditions": [{
                "type": "Promoted", "status": reached, "reason": phase, "message": "…",
                "lastUpdateTime": now, "lastTransitionTime": now,
            }],
        });
        self.world.kube.put(canary);
    }

    pub fn scale_target(&self, replicas: i64) {
        let mut target = self.world.kube.get("deployments.apps", "shop", "frontend").expect("the target");
        target["spec"]["replicas"] = replicas.into();
        self.world.kube.put(target);
    }

    /// A release as it begins (spec 02 T5), until the canary's pods are ready.
    pub async fn begins(&self) {
        self.world.set_image("shop", "frontend", NEXT);
        self.scale_target(2);
        self.status("Progressing", 0, 0, NEXT_HASH, FIRST_HASH);
        let ready = |world: &World| {
            let target = world.kube.get("deployments.apps", "shop", "frontend").unwrap_or_default();
            target["status"]["readyReplicas"] == 2
        };
        assert!(self.world.until(Duration::from_secs(300), ready).await, "the canary is ready");
    }

    /// A step: first the routes, then the status (spec 02 §2.1).
    pub fn advances(&self, weight: i64) {
        self.routes(100 - weight, weight);
        self.status("Progressing", weight, 0, NEXT_HASH, FIRST_HASH);
    }

    /// The pods of a workload by their names, with their uids.
    pub fn pods(&self, prefix: &str) -> BTreeMap<String, String> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let pods = self.world.kube.list("pods", Some("shop")).into_iter();
        pods.map(|pod| (text(&pod["metadata"]["name"]), text(&pod["metadata"]["uid"])))
            .filter(|(name, _)| name.starts_with(prefix))
            .collect()
    }

    /// The VirtualService without what the server keeps of it.
    pub fn route_spec(&self) -> Value {
        let route = self.world.kube.get("virtualservices.networking.istio.io", "shop", "frontend");
        route.expect("the VirtualService")["spec"].clone()
    }
}

/// The annotations that keep Flux away.
fn kept_from_flux() -> Value {
    json!({
        "kustomize.toolkit.fluxcd.io/reconcile": "disabled",
        "helm.toolkit.fluxcd.io/driftDetection": "disabled",
    })
}
