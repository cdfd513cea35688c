//! Every strategy that a mesh says it can do works from start to end: the real controller on the embedded cluster, a
//! good version and a bad one.

use std::time::Duration;

use serde_json::{Value, json};
use vexil::api::Provider;
use vexil::model::release::Settings;
use vexil::model::traffic::Capabilities;
use vexil::router::registry::MESHES;
use vexil::sim::{Version, World};

use super::case::cases;

const HOUR: Duration = Duration::from_secs(3600);
const STRATEGIES: [&str; 6] =
    ["weighted", "blue/green", "A/B", "mirroring", "mirroring blue/green", "session affinity"];

#[tokio::test(start_paused = true)]
async fn every_strategy_of_a_mesh_works_from_start_to_end() {
    let mut tried = Vec::new();
    for mesh in MESHES {
        for provider in mesh.providers.iter().filter(|provider| **provider != Provider::Knative) {
            for strategy in STRATEGIES {
                let Some(analysis) = analysis(strategy, mesh.abilities) else { continue };
                release(*provider, strategy, analysis).await;
                tried.push(format!("{provider} {strategy}"));
            }
        }
    }
    // Knative's target is no Deployment: `targets.rs` releases it.
    assert!(tried.len() >= MESHES.len(), "{tried:?}");
}

/// The part of `spec.analysis` that makes the strategy; `None` if the mesh cannot do it.
fn analysis(strategy: &str, can: Capabilities) -> Option<Value> {
    let steps = json!({"stepWeight": 20, "maxWeight": 40});
    let with = |more: Value| {
        let mut all = steps.clone();
        json_patch::merge(&mut all, &more);
        all
    };
    match strategy {
        "weighted" => can.weights.then_some(steps),
        "blue/green" => Some(json!({"iterations": 2})),
        "A/B" => can
            .matching
            .then(|| json!({"iterations": 2, "match": [{"headers": {"x-canary": {"exact": "insider"}}}]})),
        "mirroring" => can.mirror_weighted.then(|| with(json!({"mirror": true}))),
        "mirroring blue/green" => can.mirror_blue_green.then(|| json!({"iterations": 2, "mirror": true})),
        _ => can.session_affinity.then(|| with(json!({"sessionAffinity": {"cookieName": "side"}}))),
    }
}

async fn release(provider: Provider, strategy: &str, mut analysis: Value) {
    let title = format!("{provider}, {strategy}");
    json_patch::merge(
        &mut analysis,
        &json!({
            "interval": "30s", "threshold": 2,
            "metrics": [
                {"name": "request-success-rate", "thresholdRange": {"min": 99}, "interval": "1m"},
                {"name": "request-duration", "thresholdRange": {"max": 500}, "interval": "1m"},
            ],
        }),
    );
    let settings = Settings { mesh_provider: provider.to_string(), ..Settings::default() };
    let world = World::builder().mesh(provider).settings(settings).build();
    world.backend.version("broken", Version { success_rate: 80.0, p99_millis: 95.0 });
    let controller = world.start_controller();
    let canary = json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "Canary",
        "metadata": {"name": "frontend", "namespace": "shop"},
        "spec": {
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "frontend"},
            "service": service(provider),
            "analysis": analysis,
        },
    });
    for object in [deployment(), canary] {
        world
            .apply(&serde_json::to_string(&object).expect("JSON"))
            .expect("a manifest that the cluster takes");
    }
    let reaches = async |phase: &str| {
        let met = world.until(HOUR, |world| world.phase("shop", "frontend") == phase).await;
        assert!(met, "{title}: {phase} never came: {:#?}", world.events("shop", "frontend"));
    };
    reaches("Initialized").await;
    for (version, phase, primary) in [("2.0.0", "Succeeded", "2.0.0"), ("3.0.0-broken", "Failed", "2.0.0")] {
        tokio::time::sleep(Duration::from_secs(60)).await;
        world.set_image("shop", "frontend", &format!("shop/frontend:{version}"));
        reaches("Progressing").await;
        reaches(phase).await;
        let runs = world.kube.get("deployments.apps", "shop", "frontend-primary").unwrap_or_default();
        let image = &runs["spec"]["template"]["spec"]["containers"][0]["image"];
        assert_eq!(image, &format!("shop/frontend:{primary}"), "{title}");
        if let Some(weights) = world.weights("shop", "frontend") {
            assert_eq!(weights, (100, 0), "{title}: all traffic is on the primary");
        }
    }
    controller.stop().await;
}

/// The `spec.service` of the mesh's plainest case: some meshes need to be told of a gateway.
fn service(provider: Provider) -> Value {
    let plainest = cases()
        .into_iter()
        .find(|case| case.release.provider == provider && case.title.ends_with("weighted"));
    plainest.map_or(json!({"port": 80}), |case| json!(case.release.service))
}

/// The Deployment that is released.
pub fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "frontend", "namespace": "shop"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "frontend"}},
            "template": {
                "metadata": {"labels": {"app": "frontend"}},
                "spec": {"containers": [{
                    "name": "frontend", "image": "shop/frontend:1.0.0", "ports": [{"containerPort": 80}],
                }]},
            },
        },
    })
}
