//! What a Canary shows in each phase of a release, taken from releases.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use vexil::sim::{Version, World};

/// What a Canary's conditions are in each phase.
pub async fn seen() -> BTreeMap<String, String> {
    let world = World::builder().build();
    world.backend.version("broken", Version { success_rate: 50.0, p99_millis: 95.0 });
    world.backend.close("gate", true);
    let rows = Arc::new(Mutex::new(BTreeMap::new()));
    let scribe = Arc::clone(&rows);
    world.kube.observe(move |change| {
        let canary = change.object.value();
        let phase = canary["status"]["phase"].as_str().unwrap_or_default();
        if canary["kind"] == "Canary" && !phase.is_empty() {
            let mut rows = scribe.lock().expect("nobody panics with it");
            rows.entry(phase.to_owned()).or_insert_with(|| row(canary));
        }
    });
    let controller = world.start_controller();
    world.apply(GATED).expect("a manifest that the cluster takes");
    let reaches = async |phase: &str| {
        let met = world.until(HOURS, |world| world.phase("shop", "frontend") == phase).await;
        assert!(met, "{phase} never came: {:#?}", world.events("shop", "frontend"));
    };
    let release = |version: &str| {
        world.set_image("shop", "frontend", &format!("registry.example.com/shop/frontend:{version}"))
    };
    reaches("Initialized").await;
    release("2.0.0");
    reaches("Waiting").await;
    world.backend.close("gate/rollout", false);
    world.backend.close("gate", false);
    world.backend.close("gate/promotion", true);
    reaches("WaitingPromotion").await;
    world.backend.close("gate/promotion", false);
    reaches("Succeeded").await;
    release("3.0.0-broken");
    reaches("Failed").await;
    world.kube.delete("canaries.flagger.app", "shop", "frontend");
    let gone = world
        .until(HOURS, |world| world.kube.get("canaries.flagger.app", "shop", "frontend").is_none())
        .await;
    assert!(gone, "the Canary stays");
    controller.stop().await;
    rows.lock().expect("nobody panics with it").clone()
}

fn row(canary: &Value) -> String {
    let status = &canary["status"];
    let condition = |kind: &str| {
        let found = status["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)?;
        found["status"].as_str().map(str::to_owned)
    };
    let shown = |kind: &str| condition(kind).unwrap_or_default();
    let health = match status["phase"].as_str().unwrap_or_default() {
        "Failed" => "Degraded",
        "Progressing" | "Promoting" | "Finalising" => "Progressing",
        "Initialized" | "Succeeded" => "Healthy",
        _ => "Unknown",
    };
    let told = match (
        condition("Reconciling").as_deref(),
        condition("Stalled").as_deref(),
        condition("Ready").as_deref(),
    ) {
        (Some("True"), _, _) => "InProgress",
        (_, Some("True"), _) => "Failed",
        (_, _, Some("True") | None) => "Current",
        _ => "InProgress",
    };
    let deleted = canary["metadata"]["deletionTimestamp"].is_string();
    let told = if deleted { "Terminating" } else { told };
    format!("{} | {} | {} | {told} | {health}", shown("Promoted"), shown("Ready"), shown("Reconciling"))
}

const HOURS: Duration = Duration::from_secs(6 * 3600);

/// The frontend with two gates, and what it takes to be seen in each phase.
const GATED: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: frontend, namespace: shop, labels: {app: frontend}}
spec:
  replicas: 2
  selector: {matchLabels: {app: frontend}}
  template:
    metadata: {labels: {app: frontend}}
    spec:
      containers:
      - name: frontend
        image: registry.example.com/shop/frontend:1.0.0
        ports: [{name: http, containerPort: 8080}]
---
apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: frontend, namespace: shop}
spec:
  provider: istio
  revertOnDeletion: true
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: frontend}
  service: {port: 80, targetPort: 8080}
  analysis:
    interval: 30s
    threshold: 2
    stepWeight: 50
    maxWeight: 50
    metrics: [{name: request-success-rate, interval: 1m, thresholdRange: {min: 99}}]
    webhooks:
    - {name: start, type: confirm-rollout, url: 'http://gate/rollout'}
    - {name: promote, type: confirm-promotion, url: 'http://gate/promotion'}
";
