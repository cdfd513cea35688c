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

use super::case::{Case, cases};

const HOUR: Duration = Duration::from_secs(3600);
const STRATEGIES: [&str; 6] =
    ["weighted", "blue/green", "A/B", "mirroring", "mirroring blue/green", "session affinity"];

#[tokio::test(start_paused = true)]
async fn every_strategy_of_a_mesh_works_from_start_to_end() {
    let mut tried = Vec::new();
    for mesh in MESHES {
        for provider in mesh.providers {
            for strategy in STRATEGIES {
                let Some(analysis) = analysis(strategy, mesh.abilities) else { continue };
                release(*provider, strategy, analysis).await;
                tried.push(format!("{provider} {strategy}"));
            }
        }
    }
    assert!(tried.len() >= MESHES.len(), "{tried:?}");
    assert!(tried.contains(&"knative weighted".to_owned()), "{tried:?}");
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
            let (target, mut canary, brought) = manifest(mesh.providers[0], analysis);
            canary["spec"]["provider"] = json!(mesh.providers[0].as_str());
            for object in brought.into_iter().chain([target, canary]) {
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

/// Releases a good version and a bad one. Gives the messages of all events.
pub async fn release(provider: Provider, strategy: &str, analysis: Value) -> Vec<String> {
    let title = format!("{provider}, {strategy}");
    let settings = Settings { mesh_provider: provider.to_string(), ..Settings::default() };
    let world = World::builder().mesh(provider).settings(settings).build();
    world.backend.version("broken", Version { success_rate: 80.0, p99_millis: 95.0 });
    let controller = world.start_controller();
    let (target, canary, brought) = manifest(provider, analysis);
    for object in brought.into_iter().chain([target, canary]) {
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
        assert_eq!(image_of_the_primary(&world, provider), format!("shop/frontend:{primary}"), "{title}");
        if let Some(weights) = world.weights("shop", "frontend") {
            assert_eq!(weights, (100, 0), "{title}: all traffic is on the primary");
        }
    }
    controller.stop().await;
    world.events("shop", "frontend")
}

/// The target, the Canary with this analysis, and what users of the mesh bring beside them: where that is more than an
/// Ingress, it is that of the weighted case of the mesh.
pub fn manifest(provider: Provider, analysis: Value) -> (Value, Value, Vec<Value>) {
    let target = if provider == Provider::Knative { knative_service() } else { deployment() };
    let mut canary = canary(analysis);
    let mut brought: Vec<Value> = surroundings(provider).into_iter().collect();
    let case = cases().into_iter().find(|case| {
        let own = case.canary["spec"]["routeRefs"].is_null();
        own && case.release.provider == provider && case.title.ends_with("weighted") && brought.is_empty()
    });
    if let Some(case) = case.filter(needs_more) {
        let mut spec = case.canary["spec"].clone();
        spec["analysis"] = canary["spec"]["analysis"].take();
        canary["spec"] = spec;
        brought = case.before;
    }
    for object in &mut brought {
        // The server gives it a version of its own.
        json_patch::merge(object, &json!({"metadata": {"resourceVersion": null}}));
    }
    let kind = json!({"apiVersion": target["apiVersion"], "kind": target["kind"], "name": "frontend"});
    canary["spec"]["targetRef"] = kind;
    if provider == Provider::Knative {
        // A Knative Service is only released if its Canary itself names the provider.
        canary["spec"]["provider"] = json!("knative");
    }
    (target, canary, brought)
}

/// Whether the mesh releases nothing without what its users name in the Canary.
fn needs_more(case: &Case) -> bool {
    let spec = &case.canary["spec"];
    let refers = ["routeRef", "upstreamRef"].iter().any(|field| spec[*field].is_object());
    refers || spec["service"]["meshName"].is_string() || spec["service"]["gatewayRefs"].is_array()
}

/// What the users of a mesh bring, without which there is no route.
fn surroundings(provider: Provider) -> Option<Value> {
    let has_ingress = [Provider::Alb, Provider::Nginx, Provider::Skipper].contains(&provider);
    has_ingress.then(|| {
        // A load balancer is told by actions, and of an A/B test by one of its own.
        let paths = match provider {
            Provider::Alb => ["frontend-match", "frontend"]
                .map(|action| {
                    let service = json!({"name": action, "port": {"name": "use-annotation"}});
                    json!({"path": "/*", "pathType": "ImplementationSpecific", "backend": {"service": service}})
                })
                .to_vec(),
            _ => {
                let backend = json!({"service": {"name": "frontend", "port": {"number": 80}}});
                vec![json!({"path": "/", "pathType": "Prefix", "backend": backend})]
            }
        };
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {"name": "frontend", "namespace": "shop"},
            "spec": {"rules": [{
                "host": "shop.example.com",
                "http": {"paths": paths},
            }]},
        })
    })
}

/// The Canary `frontend`, whose analysis is checked by the metrics of the mesh.
fn canary(mut analysis: Value) -> Value {
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
    json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "Canary",
        "metadata": {"name": "frontend", "namespace": "shop"},
        "spec": {
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "frontend"},
            "service": {"port": 80},
            "ingressRef": {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "frontend"},
            "analysis": analysis,
        },
    })
}

fn image_of_the_primary(world: &World, provider: Provider) -> Value {
    let get = |kind: &str, name: &str| world.kube.get(kind, "shop", name).unwrap_or_default();
    let spec = if provider == Provider::Knative {
        let service = get("serving.knative.dev/v1/Service", "frontend");
        let name = service["metadata"]["annotations"]["flagger.app/primary-revision"].as_str();
        get("serving.knative.dev/v1/Revision", name.unwrap_or_default())["spec"].clone()
    } else {
        get("apps/v1/Deployment", "frontend-primary")["spec"]["template"]["spec"].clone()
    };
    spec["containers"][0]["image"].clone()
}

fn knative_service() -> Value {
    json!({
        "apiVersion": "serving.knative.dev/v1", "kind": "Service",
        "metadata": {"name": "frontend", "namespace": "shop"},
        "spec": {"template": {"spec": {"containers": [{"image": "shop/frontend:1.0.0"}]}}},
    })
}

/// Its target, in version 1.0.0.
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
