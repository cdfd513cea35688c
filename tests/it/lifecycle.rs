//! Canaries beside their releases: first sight, faults, edits in a run, restarts, deletion.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kubesim::{ApiStatus, Fate};
use serde_json::{Value, json};
use vexil::model::release::Settings;
use vexil::sim::{Running, World};

const QUARTERS: &str = include_str!("../data/shop/frontend-quarters.yaml");
const NEXT: &str = "registry.example.com/shop/frontend:2.0.0";
const HOUR: Duration = Duration::from_secs(3600);

async fn reaches(world: &World, phase: &str) {
    let met = world.until(HOUR, |world| world.phase("shop", "frontend") == phase).await;
    assert!(met, "{phase}: {:#}\n{:#?}", world.status("shop", "frontend"), world.events("shop", "frontend"));
}

async fn has_weight(world: &World, weight: i64) {
    let met =
        world.until(HOUR, |world| world.weights("shop", "frontend") == Some((100 - weight, weight))).await;
    assert!(met, "weight {weight} never came: {:#?}", world.events("shop", "frontend"));
}

async fn initialized(world: World) -> (World, Running) {
    let controller = world.start_controller();
    world.apply(QUARTERS).expect("a manifest that the cluster takes");
    reaches(&world, "Initialized").await;
    (world, controller)
}

fn edit(world: &World, edit: impl FnOnce(&mut Value)) {
    let mut canary = world.kube.get("canaries.flagger.app", "shop", "frontend").expect("the Canary");
    edit(&mut canary["spec"]);
    world.kube.put(canary);
}

fn replicas(world: &World, deployment: &str) -> i64 {
    let object = world.kube.get("deployments.apps", "shop", deployment).expect("a Deployment");
    object["spec"]["replicas"].as_i64().unwrap_or_default()
}

// spec: 02/C3
#[tokio::test(start_paused = true)]
async fn a_new_canary_and_a_new_revision_are_seen_at_once() {
    let world = World::builder().build();
    let controller = world.start_controller();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let soon = Duration::from_secs(2);
    world.apply(QUARTERS).expect("a manifest that the cluster takes");
    assert!(world.until(soon, |world| world.phase("shop", "frontend") == "Initializing").await);
    reaches(&world, "Initialized").await;
    world.set_image("shop", "frontend", NEXT);
    assert!(world.until(soon, |world| world.phase("shop", "frontend") == "Progressing").await);
    controller.stop().await;
}

// spec: 02/C4
#[tokio::test(start_paused = true)]
async fn writes_that_the_api_refuses_for_a_while_are_made_later() {
    let world = World::builder().build();
    let refused = AtomicUsize::new(0);
    world.kube.intercept(move |request| {
        if request.caller == "vexil" && request.is_write() && refused.fetch_add(1, Ordering::SeqCst) < 20 {
            return Fate::Fail(ApiStatus::internal("etcdserver: leader changed"));
        }
        Fate::Pass
    });
    let (world, controller) = initialized(world).await;
    controller.stop().await;
    assert_eq!(world.weights("shop", "frontend"), Some((100, 0)));
}

// spec: 02/C7
#[tokio::test(start_paused = true)]
async fn a_bug_that_panics_in_the_middle_of_a_release_does_not_end_it() {
    let (world, controller) = initialized(World::builder().build()).await;
    let met = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&met);
    world.backend.observe(move |_| assert!(counted.fetch_add(1, Ordering::SeqCst) > 0, "a bug"));
    world.set_image("shop", "frontend", NEXT);
    reaches(&world, "Succeeded").await;
    assert!(met.load(Ordering::SeqCst) > 1);
    controller.stop().await;
}

// spec: 01/API-076 02/C6
#[tokio::test(start_paused = true)]
async fn an_edit_that_is_forbidden_stops_a_running_release_until_it_is_taken_back() {
    let settings = Settings { no_cross_namespace_refs: true, ..Settings::default() };
    let (world, controller) = initialized(World::builder().settings(settings).build()).await;
    world.set_image("shop", "frontend", NEXT);
    has_weight(&world, 25).await;
    let template = json!({"name": "secrets", "templateRef": {"name": "secrets", "namespace": "bank"}});
    edit(&world, |spec| spec["analysis"]["metrics"].as_array_mut().expect("metrics").push(template));
    assert!(!world.until(HOUR, |world| world.weights("shop", "frontend") != Some((75, 25))).await);
    let told = world.events("shop", "frontend").pop().unwrap_or_default();
    assert!(told.contains("cross-namespace references are blocked"), "{told}");
    edit(&world, |spec| {
        spec["analysis"]["metrics"].as_array_mut().expect("metrics").pop();
    });
    reaches(&world, "Succeeded").await;
    controller.stop().await;
}

// spec: 02/C114
#[tokio::test(start_paused = true)]
async fn a_controller_that_restarts_all_the_time_takes_no_step_before_its_interval() {
    let (world, mut controller) = initialized(World::builder().build()).await;
    world.set_image("shop", "frontend", NEXT);
    has_weight(&world, 25).await;
    let began = world.now();
    while world.weights("shop", "frontend") == Some((75, 25)) {
        tokio::time::sleep(Duration::from_secs(3)).await;
        controller.kill();
        controller = world.start_controller();
        assert!((world.now() - began).num_seconds() < 3600, "no step in an hour");
    }
    let canary = world.kube.get("canaries.flagger.app", "shop", "frontend").expect("the Canary");
    assert_eq!(canary["spec"]["analysis"]["interval"], "30s");
    assert!((world.now() - began).num_seconds() >= 28, "{:#?}", world.events("shop", "frontend"));
    controller.stop().await;
}

// spec: 02/C116
#[tokio::test(start_paused = true)]
async fn an_edit_of_the_service_in_a_run_keeps_the_weights() {
    let (world, controller) = initialized(World::builder().build()).await;
    world.set_image("shop", "frontend", NEXT);
    has_weight(&world, 25).await;
    edit(&world, |spec| spec["service"]["timeout"] = json!("7s"));
    let edited = |world: &World| {
        let routes = world.kube.get("virtualservices.networking.istio.io", "shop", "frontend");
        routes.is_some_and(|routes| routes["spec"]["http"][0]["timeout"] == "7s")
    };
    let kept = world
        .until(HOUR, |world| {
            assert_eq!(world.weights("shop", "frontend"), Some((75, 25)));
            edited(world)
        })
        .await;
    assert!(kept, "the edit never reached the routes");
    has_weight(&world, 50).await;
    reaches(&world, "Succeeded").await;
    let starts = world.events("shop", "frontend");
    assert_eq!(starts.iter().filter(|text| text.starts_with("Starting canary analysis")).count(), 1);
    controller.stop().await;
}

// spec: 02/C112
#[tokio::test(start_paused = true)]
async fn a_renamed_service_leaves_a_warning_about_the_old_one() {
    let (world, controller) = initialized(World::builder().build()).await;
    edit(&world, |spec| spec["service"]["name"] = json!("storefront"));
    let text = "The service name changed to storefront, remove frontend objects to avoid routing conflicts";
    let told = |world: &World| world.events("shop", "frontend").contains(&text.to_owned());
    assert!(world.until(HOUR, told).await, "{:#?}", world.events("shop", "frontend"));
    assert!(world.until(HOUR, |world| world.weights("shop", "storefront") == Some((100, 0))).await);
    controller.stop().await;
}

// spec: 02/C109
#[tokio::test(start_paused = true)]
async fn without_revert_on_deletion_the_target_stays_parked() {
    let (world, controller) = initialized(World::builder().build()).await;
    assert!(world.kube.delete("canaries.flagger.app", "shop", "frontend"));
    let gone = |world: &World| world.kube.get("deployments.apps", "shop", "frontend-primary").is_none();
    assert!(world.until(HOUR, gone).await);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(replicas(&world, "frontend"), 0);
    controller.stop().await;
}

// spec: 02/C105 02/C108
#[tokio::test(start_paused = true)]
async fn a_deletion_with_revert_in_the_middle_of_a_run_starts_nothing_and_serves_all_the_time() {
    let (world, controller) = initialized(World::builder().build()).await;
    edit(&world, |spec| spec["revertOnDeletion"] = json!(true));
    let finalizer = |world: &World| {
        let canary = world.kube.get("canaries.flagger.app", "shop", "frontend");
        canary.is_some_and(|canary| canary["metadata"]["finalizers"] == json!(["finalizer.flagger.app"]))
    };
    assert!(world.until(HOUR, finalizer).await);
    world.set_image("shop", "frontend", NEXT);
    has_weight(&world, 25).await;
    let before = world.events("shop", "frontend").len();
    assert!(world.kube.delete("canaries.flagger.app", "shop", "frontend"));
    world.set_image("shop", "frontend", "registry.example.com/shop/frontend:3.0.0");
    let gone = |world: &World| world.kube.get("canaries.flagger.app", "shop", "frontend").is_none();
    assert!(world.until(HOUR, gone).await, "{:#?}", world.events("shop", "frontend"));
    let told = world.events("shop", "frontend").split_off(before);
    let told: Vec<&str> =
        told.iter().map(String::as_str).filter(|text| !text.contains("not ready")).collect();
    assert_eq!(told, ["Terminating canary frontend.shop", "Terminated canary frontend.shop"]);
    assert!(replicas(&world, "frontend") > 0);
    controller.stop().await;
}

// spec: 02/C106
#[tokio::test(start_paused = true)]
async fn a_deletion_does_not_hang_on_objects_that_are_gone() {
    let (world, controller) = initialized(World::builder().build()).await;
    edit(&world, |spec| spec["revertOnDeletion"] = json!(true));
    tokio::time::sleep(Duration::from_secs(5)).await;
    for (kind, name) in [
        ("virtualservices.networking.istio.io", "frontend"),
        ("services", "frontend"),
        ("deployments.apps", "frontend"),
    ] {
        world.kube.delete(kind, "shop", name);
    }
    assert!(world.kube.delete("canaries.flagger.app", "shop", "frontend"));
    let gone = |world: &World| world.kube.get("canaries.flagger.app", "shop", "frontend").is_none();
    assert!(world.until(HOUR, gone).await, "{:#?}", world.events("shop", "frontend"));
    controller.stop().await;
}

// spec: 01/API-078
#[tokio::test(start_paused = true)]
async fn the_younger_of_two_rivals_can_be_deleted_although_it_asks_for_reverting() {
    let (world, controller) = initialized(World::builder().build()).await;
    edit(&world, |spec| spec["revertOnDeletion"] = json!(true));
    let held = |world: &World| {
        let canary = world.kube.get("canaries.flagger.app", "shop", "frontend").unwrap_or_default();
        canary["metadata"]["finalizers"] == json!(["finalizer.flagger.app"])
    };
    assert!(world.until(HOUR, held).await);
    // An older Canary is edited to the same target.
    let mut older = world.kube.get("canaries.flagger.app", "shop", "frontend").expect("a Canary");
    older["metadata"] =
        json!({"name": "first", "namespace": "shop", "creationTimestamp": "2020-01-01T00:00:00Z"});
    older["status"] = Value::Null;
    world.kube.put(older);
    let told = |world: &World| {
        let said = world.events("shop", "frontend");
        said.iter().any(|text| text.contains("belongs to the older Canary first"))
    };
    assert!(world.until(HOUR, told).await, "{:#?}", world.events("shop", "frontend"));

    assert!(world.kube.delete("canaries.flagger.app", "shop", "frontend"));
    let gone = |world: &World| world.kube.get("canaries.flagger.app", "shop", "frontend").is_none();
    assert!(world.until(HOUR, gone).await, "{:#?}", world.events("shop", "frontend"));
    let said = world.events("shop", "frontend");
    assert!(said.iter().any(|text| text.starts_with("Deleted without reverting: ")), "{said:#?}");
    controller.stop().await;
}
