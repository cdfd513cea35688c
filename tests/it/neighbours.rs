//! Others' objects in the same cluster cost nothing, and neither do Canaries that have nothing to do.

use std::time::Duration;

use kubesim::Verb;
use serde_json::json;
use vexil::sim::{Running, World};

const QUARTERS: &str = include_str!("../data/shop/frontend-quarters.yaml");
const NEXT: &str = "registry.example.com/shop/frontend:2.0.0";
const HOUR: Duration = Duration::from_secs(3600);

/// The shop's frontend under another name.
fn named(name: &str) -> String {
    QUARTERS.replace("frontend", name)
}

async fn initialized(world: &World, name: &str) {
    let met = world.until(HOUR, |world| world.phase("shop", name) == "Initialized").await;
    assert!(met, "{:#}\n{:#?}", world.status("shop", name), world.events("shop", name));
}

async fn shop() -> (World, Running) {
    let world = World::builder().build();
    let controller = world.start_controller();
    world.apply(QUARTERS).expect("a manifest that the cluster takes");
    initialized(&world, "frontend").await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    world.kube.clear_requests();
    (world, controller)
}

fn looks(controller: &Running) -> String {
    let text = controller.telemetry.render();
    text.lines().filter(|line| line.starts_with("vexil_reconciles_total")).collect::<Vec<_>>().join("\n")
}

#[tokio::test(start_paused = true)]
async fn objects_of_others_that_change_cause_neither_a_request_nor_a_look() {
    let (world, controller) = shop().await;
    let before = looks(&controller);
    for change in 0..20 {
        for name in ["backend", "frontend-2", "frontend-canary-2"] {
            let metadata =
                json!({"name": name, "namespace": "shop", "annotations": {"change": change.to_string()}});
            world.kube.put(json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": [{"port": 80}]}}));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(looks(&controller), before);
    assert_eq!(world.kube.requests_of("vexil"), []);
    controller.stop().await;
}

/// Nobody had a use for a Deployment that was there before its Canary: all but its name was forgotten.
#[tokio::test(start_paused = true)]
async fn a_canary_may_come_long_after_its_target() {
    let (world, controller) = shop().await;
    let manifest = named("backend");
    let (workload, canary) = manifest.split_once("\n---\n").expect("a workload and a Canary");
    world.apply(workload).expect("a workload");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.kube.requests_of("vexil"), []);
    world.apply(canary).expect("a Canary");
    initialized(&world, "backend").await;
    let fetched: Vec<String> = world
        .kube
        .requests_of("vexil")
        .iter()
        .filter(|request| matches!(request.verb, Verb::List | Verb::Get))
        .map(|request| request.plural.clone())
        .collect();
    assert_eq!(fetched, ["deployments", "horizontalpodautoscalers"], "each once, and nothing else");
    world.set_image("shop", "backend", NEXT);
    let met = world.until(HOUR, |world| world.phase("shop", "backend") == "Succeeded").await;
    assert!(met, "{:#}", world.status("shop", "backend"));
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_canary_finds_its_target_although_the_api_refuses_to_show_it_for_a_while() {
    let (world, controller) = shop().await;
    let manifest = named("backend");
    let (workload, canary) = manifest.split_once("\n---\n").expect("a workload and a Canary");
    world.apply(workload).expect("a workload");
    tokio::time::sleep(Duration::from_secs(60)).await;
    world.kube.intercept(|request| match (&request.verb, request.plural.as_str()) {
        (Verb::List, "deployments") => kubesim::Fate::Fail(kubesim::ApiStatus::bad_request("etcd is away")),
        _ => kubesim::Fate::Pass,
    });
    world.apply(canary).expect("a Canary");
    tokio::time::sleep(Duration::from_secs(120)).await;
    let asked = world.kube.requests_of("vexil").iter().filter(|request| request.verb == Verb::List).count();
    assert!((2..20).contains(&asked), "with pauses that grow: {asked}");
    world.kube.stop_intercepting();
    initialized(&world, "backend").await;
    controller.stop().await;
}

/// What a Canary does not name any more may go from memory, and comes back when it is named again.
#[tokio::test(start_paused = true)]
async fn a_canary_that_is_made_again_finds_its_workload() {
    let (world, controller) = shop().await;
    let canary = QUARTERS.split("\n---\n").last().expect("a Canary");
    world.kube.delete("canaries.flagger.app", "shop", "frontend");
    tokio::time::sleep(Duration::from_secs(60)).await;
    let touch = |value: &str| json!({"metadata": {"annotations": {"note": value}}});
    for (kind, name) in [("deployments", "frontend"), ("deployments", "frontend-primary")] {
        if world.kube.get(kind, "shop", name).is_some() {
            world.kube.patch("kubectl", kind, "shop", name, touch("x")).expect("a patch");
        }
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    world.apply(canary).expect("a Canary");
    initialized(&world, "frontend").await;
    world.set_image("shop", "frontend", NEXT);
    let met = world.until(HOUR, |world| world.phase("shop", "frontend") == "Succeeded").await;
    assert!(met, "{:#}", world.status("shop", "frontend"));
    controller.stop().await;
}
