//! Kuma's TrafficRoutes belong to no namespace: releases of one name share them out, and nobody else deletes them.

use std::time::Duration;

use serde_json::Value;
use vexil::api::Provider;
use vexil::model::release::Settings;
use vexil::sim::World;

const HOUR: Duration = Duration::from_secs(3600);

fn world() -> World {
    let settings = Settings { mesh_provider: "kuma".into(), ..Settings::default() };
    World::builder().mesh(Provider::Kuma).settings(settings).build()
}

/// The example, in another namespace.
fn apply(world: &World, namespace: &str) {
    let text = include_str!("../../examples/kuma/weighted.yaml");
    let text = text.replace("namespace: shop", &format!("namespace: {namespace}"));
    world.apply(&text).expect("a manifest that the cluster takes");
}

async fn initialized(world: &World, namespace: &str) {
    let met = world.until(HOUR, |world| world.phase(namespace, "frontend") == "Initialized").await;
    assert!(met, "{:#}", world.status(namespace, "frontend"));
}

/// Each route by its name, with the service that it is for.
fn routes(world: &World) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of = |route: Value| {
        let service = &route["spec"]["destinations"][0]["match"]["kuma.io/service"];
        (text(&route["metadata"]["name"]), text(service))
    };
    let mut all: Vec<_> = world.kube.list("trafficroutes.kuma.io", None).into_iter().map(of).collect();
    all.sort();
    all
}

fn named(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, service)| ((*name).to_owned(), (*service).to_owned())).collect()
}

// spec: 03/KUM-04 03/KUM-05
#[tokio::test(start_paused = true)]
async fn two_namespaces_have_a_route_each_and_it_goes_with_its_canary() {
    let world = world();
    let controller = world.start_controller();
    apply(&world, "shop");
    initialized(&world, "shop").await;
    apply(&world, "stage");
    initialized(&world, "stage").await;
    let both = named(&[("frontend", "frontend_shop_svc_80"), ("frontend.stage", "frontend_stage_svc_80")]);
    assert_eq!(routes(&world), both);
    for namespace in ["shop", "stage"] {
        assert_eq!(world.weights(namespace, "frontend"), Some((100, 0)), "{namespace}");
    }

    // A release in one leaves the route of the other alone, and nobody fights over one.
    world.set_image("stage", "frontend", "registry.example.com/shop/frontend:2.0.0");
    assert!(world.until(HOUR, |world| world.weights("stage", "frontend") == Some((90, 10))).await);
    assert_eq!(world.weights("shop", "frontend"), Some((100, 0)));
    let succeeded = |world: &World| world.phase("stage", "frontend") == "Succeeded";
    assert!(world.until(HOUR, succeeded).await, "{:#?}", world.events("stage", "frontend"));

    for (namespace, left) in [("shop", &both[1..]), ("stage", &[][..])] {
        world.kube.delete("canaries.flagger.app", namespace, "frontend");
        let gone = |world: &World| world.kube.get("canaries.flagger.app", namespace, "frontend").is_none();
        assert!(world.until(HOUR, gone).await, "{namespace}: {:#}", world.status(namespace, "frontend"));
        assert_eq!(routes(&world), left, "without the Canary of {namespace}");
    }
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_controller_of_one_namespace_sees_its_routes_which_are_in_none() {
    let settings = Settings { mesh_provider: "kuma".into(), ..Settings::default() };
    let world = World::builder().mesh(Provider::Kuma).settings(settings).namespace("shop").build();
    let controller = world.start_controller();
    apply(&world, "shop");
    initialized(&world, "shop").await;
    world.set_image("shop", "frontend", "registry.example.com/shop/frontend:2.0.0");
    let succeeded = |world: &World| world.phase("shop", "frontend") == "Succeeded";
    assert!(world.until(HOUR, succeeded).await, "{:#?}", world.events("shop", "frontend"));
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_route_in_another_mesh_is_told_and_made_anew_when_it_is_deleted() {
    let world = world();
    let controller = world.start_controller();
    apply(&world, "shop");
    initialized(&world, "shop").await;
    let mut canary = world.kube.get("canaries.flagger.app", "shop", "frontend").expect("a Canary");
    canary["metadata"]["annotations"]["kuma.io/mesh"] = "shops".into();
    world.kube.put(canary);
    world.set_image("shop", "frontend", "registry.example.com/shop/frontend:2.0.0");
    let told = |world: &World| {
        world.status("shop", "frontend").to_string().contains("TrafficRoute frontend is in the mesh default")
    };
    assert!(world.until(HOUR, told).await, "{:#}", world.status("shop", "frontend"));

    world.kube.delete("trafficroutes.kuma.io", "", "frontend");
    let anew = |world: &World| {
        let route = world.kube.get("trafficroutes.kuma.io", "", "frontend").unwrap_or_default();
        route["mesh"] == "shops"
    };
    assert!(world.until(HOUR, anew).await, "{:#}", world.status("shop", "frontend"));
    controller.stop().await;
}
