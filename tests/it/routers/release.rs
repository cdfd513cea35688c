//! Every strategy that a mesh says it can do works from start to end: the real controller on the embedded cluster, a
//! good version and a bad one.

use std::time::Duration;

use serde_json::{Value, json};
use vexil::api::Provider;
use vexil::model::release::Settings;
use vexil::model::traffic::Capabilities;
use vexil::router::Mesh;
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

// spec: 03/UNS-03 03/UNS-04
#[tokio::test(start_paused = true)]
async fn mirroring_where_the_mesh_cannot_is_a_warning_and_the_release_goes_on_without_it() {
    let without = |mesh: &&&Mesh| mesh.abilities.weights && !mesh.abilities.mirror_weighted;
    let mut tried = 0;
    for mesh in MESHES.iter().filter(without).filter(|mesh| mesh.providers[0] != Provider::Knative) {
        for strategy in [json!({"stepWeight": 20, "maxWeight": 40}), json!({"iterations": 2})] {
            if strategy["iterations"].is_u64() && mesh.abilities.mirror_blue_green {
                continue;
            }
            let mut analysis = json!({"interval": "30s", "threshold": 2, "mirror": true});
            json_patch::merge(&mut analysis, &strategy);
            let world = World::builder().mesh(mesh.providers[0]).build();
            let controller = world.start_controller();
            let (mut canary, brought) = manifest(mesh.providers[0], analysis);
            canary["spec"]["provider"] = json!(mesh.providers[0].as_str());
            for object in brought.into_iter().chain([deployment(), canary]) {
                world.apply(&object.to_string()).expect("a manifest that the cluster takes");
            }
            let reaches = async |phase: &str| {
                let met = world.until(HOUR, |world| world.phase("shop", "frontend") == phase).await;
                assert!(met, "{}: {phase} never came: {:#?}", mesh.title, world.events("shop", "frontend"));
            };
            reaches("Initialized").await;
            world.set_image("shop", "frontend", "shop/frontend:2.0.0");
            reaches("Succeeded").await;
            let events = world.events("shop", "frontend");
            let warned = events.iter().any(|text| text.contains("spec.analysis.mirror: "));
            assert!(warned, "{}: {events:#?}", mesh.title);
            controller.stop().await;
            tried += 1;
        }
    }
    assert!(tried > 0, "every mesh mirrors");
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
    let (canary, brought) = manifest(provider, analysis);
    for object in brought.into_iter().chain([deployment(), canary]) {
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

/// A Canary with this analysis, and what users of the mesh bring beside it: both are those of its weighted case.
fn manifest(provider: Provider, analysis: Value) -> (Value, Vec<Value>) {
    let mut cases = cases().into_iter();
    let case = cases.find(|case| case.release.provider == provider && case.title.ends_with("weighted"));
    let (mut spec, mut brought) = case.map_or((json!({"service": {"port": 80}}), Vec::new()), |case| {
        (case.canary["spec"].clone(), case.before)
    });
    for object in &mut brought {
        // The server gives it a version of its own.
        json_patch::merge(object, &json!({"metadata": {"resourceVersion": null}}));
    }
    spec["targetRef"] = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "frontend"});
    spec["analysis"] = analysis;
    let canary = json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "Canary",
        "metadata": {"name": "frontend", "namespace": "shop"},
        "spec": spec,
    });
    (canary, brought)
}

fn deployment() -> Value {
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
