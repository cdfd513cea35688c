//! What a mesh cannot do: it is refused before anything happens, or left out with a warning while the release goes on.

use std::time::Duration;

use serde_json::{Value, json};
use vexil::api::Provider;
use vexil::model::release::Settings;
use vexil::model::traffic::Capabilities;
use vexil::router::registry::MESHES;
use vexil::sim::World;

use super::release::{manifest, release};

const HOUR: Duration = Duration::from_secs(3600);

/// The providers of the meshes that move traffic by weight and lack an ability. Knative's target is no Deployment.
fn without(ability: fn(Capabilities) -> bool) -> Vec<Provider> {
    let those = MESHES.iter().filter(|mesh| mesh.abilities.weights && !ability(mesh.abilities));
    let providers = those.flat_map(|mesh| mesh.providers).copied();
    providers.filter(|provider| *provider != Provider::Knative).collect()
}

// spec: 03/UNS-01
#[tokio::test(start_paused = true)]
async fn requests_that_cannot_be_told_apart_are_no_ab_test_and_the_primary_keeps_all() {
    let ab = json!({"iterations": 2, "match": [{"headers": {"x-canary": {"exact": "insider"}}}]});
    for provider in without(|can| can.matching) {
        let settings = Settings { mesh_provider: provider.to_string(), ..Settings::default() };
        let world = World::builder().mesh(provider).settings(settings).build();
        let controller = world.start_controller();
        let apply = |object: Value| {
            world.apply(&serde_json::to_string(&object).expect("JSON")).expect("the schema takes it");
        };
        let is_refused = |world: &World| {
            let status = world.status("shop", "frontend");
            let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
            let stalled = conditions.iter().find(|condition| condition["type"] == "Stalled");
            let why = stalled.and_then(|condition| condition["message"].as_str()).unwrap_or_default();
            let text = format!(
                "spec.analysis.match: provider {provider} cannot tell requests apart: remove match or use another \
                 provider"
            );
            why.contains(&text)
        };
        let (target, canary, brought) = manifest(provider, ab.clone());
        brought.into_iter().chain([target, canary]).for_each(&apply);
        assert!(world.until(HOUR, is_refused).await, "{provider}: {:#}", world.status("shop", "frontend"));
        assert_eq!(world.weights("shop", "frontend"), None, "{provider}: nothing is written");

        // The same as an edit of a release that works.
        apply(manifest(provider, json!({"stepWeight": 20, "maxWeight": 40})).1);
        let initialized = |world: &World| world.phase("shop", "frontend") == "Initialized";
        assert!(world.until(HOUR, initialized).await, "{provider}: {:#}", world.status("shop", "frontend"));
        apply(manifest(provider, ab.clone()).1);
        assert!(world.until(HOUR, is_refused).await, "{provider}: {:#}", world.status("shop", "frontend"));
        world.set_image("shop", "frontend", "shop/frontend:2.0.0");
        tokio::time::sleep(HOUR).await;
        assert_eq!(world.weights("shop", "frontend"), Some((100, 0)), "{provider}");
        let primary = world.kube.get("deployments.apps", "shop", "frontend-primary").expect("a primary");
        let image = &primary["spec"]["template"]["spec"]["containers"][0]["image"];
        assert_eq!(image, "shop/frontend:1.0.0", "{provider}");
        controller.stop().await;
    }
}

// spec: 03/UNS-03
#[tokio::test(start_paused = true)]
async fn a_weighted_release_goes_on_without_the_mirror_and_the_cookies_that_the_mesh_has_not() {
    for provider in without(|can| can.mirror_weighted || can.session_affinity) {
        let analysis = json!({
            "stepWeight": 20, "maxWeight": 40, "mirror": true, "sessionAffinity": {"cookieName": "side"},
        });
        let events = release(provider, "weighted with a mirror", analysis).await;
        for text in [
            "spec.analysis.mirror: is ignored: provider",
            "spec.analysis.sessionAffinity: is ignored: provider",
            "Advance frontend.shop canary weight 40",
        ] {
            assert!(events.iter().any(|event| event.contains(text)), "{provider}: {text}: {events:#?}");
        }
    }
}

// spec: 03/UNS-04
#[tokio::test(start_paused = true)]
async fn a_blue_green_release_goes_on_without_the_mirror_that_the_mesh_has_not() {
    for provider in without(|can| can.mirror_blue_green) {
        let events =
            release(provider, "blue/green with a mirror", json!({"iterations": 2, "mirror": true})).await;
        for text in
            ["spec.analysis.mirror: is ignored: provider", "Advance frontend.shop canary iteration 2/2"]
        {
            assert!(events.iter().any(|event| event.contains(text)), "{provider}: {text}: {events:#?}");
        }
    }
}
