//! The promises of ARCHITECTURE.md, seen from outside: in the request log and in the objects.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kubesim::{Fate, Request};
use serde_json::Value;
use vexil::sim::{Running, Version, World};

const QUARTERS: &str = include_str!("../data/shop/frontend-quarters.yaml");
const NEXT: &str = "registry.example.com/shop/frontend:2.0.0";
const HOUR: Duration = Duration::from_secs(3600);

async fn initialized() -> (World, Running) {
    let world = World::builder().build();
    let controller = world.start_controller();
    world.apply(QUARTERS).expect("a manifest that the cluster takes");
    assert!(world.until(HOUR, |world| world.phase("shop", "frontend") == "Initialized").await);
    (world, controller)
}

fn listed(requests: &[Request]) -> String {
    requests.iter().map(|request| format!("{request}\n")).collect()
}

// spec: 02/C42
#[tokio::test(start_paused = true)]
async fn a_canary_at_rest_causes_no_request_in_ten_minutes() {
    let (world, controller) = initialized().await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    world.kube.clear_requests();
    tokio::time::sleep(Duration::from_secs(600)).await;
    let requests = world.kube.requests_of("vexil");
    assert!(requests.is_empty(), "{}", listed(&requests));
    controller.stop().await;
}

// spec: 01/API-138
#[tokio::test(start_paused = true)]
async fn a_canary_that_failed_causes_no_request_either() {
    let (world, controller) = initialized().await;
    world.backend.version("broken", Version { success_rate: 80.0, p99_millis: 95.0 });
    world.set_image("shop", "frontend", "registry.example.com/shop/frontend:2.0.0-broken");
    assert!(world.until(HOUR, |world| world.phase("shop", "frontend") == "Failed").await);
    tokio::time::sleep(Duration::from_secs(60)).await;
    world.kube.clear_requests();
    tokio::time::sleep(Duration::from_secs(600)).await;
    let requests = world.kube.requests_of("vexil");
    assert!(requests.is_empty(), "{}", listed(&requests));
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_crds_of_flagger_are_enough_for_a_release_and_for_rest() {
    let world = World::builder().older_crds().build();
    let controller = world.start_controller();
    world.apply(QUARTERS).expect("a manifest that the cluster takes");
    assert!(world.until(HOUR, |world| world.phase("shop", "frontend") == "Initialized").await);
    world.set_image("shop", "frontend", NEXT);
    assert!(world.until(HOUR, |world| world.phase("shop", "frontend") == "Succeeded").await);
    tokio::time::sleep(Duration::from_secs(30)).await;
    world.kube.clear_requests();
    tokio::time::sleep(Duration::from_secs(600)).await;
    let requests = world.kube.requests_of("vexil");
    assert!(requests.is_empty(), "{}", listed(&requests));
    controller.stop().await;
}

// spec: 02/C42
#[tokio::test(start_paused = true)]
async fn a_weight_step_costs_one_route_write_one_status_write_its_event_and_no_read() {
    let (world, controller) = initialized().await;
    a_step_costs_three_writes(&world).await;
    controller.stop().await;
}

/// Releases the next version, and holds its second step to the promise.
pub(super) async fn a_step_costs_three_writes(world: &World) {
    world.set_image("shop", "frontend", NEXT);
    assert!(world.until(HOUR, |world| world.weights("shop", "frontend") == Some((75, 25))).await);
    tokio::time::sleep(Duration::from_secs(5)).await;
    world.kube.clear_requests();
    assert!(world.until(HOUR, |world| world.weights("shop", "frontend") == Some((50, 50))).await);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let requests = world.kube.requests_of("vexil");
    let made: Vec<(String, String)> =
        requests.iter().map(|request| (request.verb.to_string(), request.plural.clone())).collect();
    let expected = [("patch", "virtualservices"), ("patch", "canaries"), ("create", "events")]
        .map(|(verb, plural)| (verb.to_owned(), plural.to_owned()));
    assert_eq!(made, expected, "{}", listed(&requests));
}

/// What a release leaves behind, without what differs between any two runs.
fn remains(world: &World) -> Vec<Value> {
    let mut objects = Vec::new();
    for kind in
        ["deployments.apps", "services", "horizontalpodautoscalers", "virtualservices", "destinationrules"]
    {
        objects.extend(world.kube.list(kind, Some("shop")).into_iter().map(|object| {
            let mut spec = object["spec"].clone();
            if let Some(annotations) = spec["template"]["metadata"]["annotations"].as_object_mut() {
                annotations.remove("flagger-id");
            }
            if let Some(spec) = spec.as_object_mut() {
                spec.remove("clusterIP");
                spec.remove("clusterIPs");
            }
            serde_json::json!({"kind": kind, "name": object["metadata"]["name"], "spec": spec})
        }));
    }
    let mut status = world.status("shop", "frontend");
    if let Some(status) = status.as_object_mut() {
        for field in ["lastTransitionTime", "lastCheckTime", "conditions", "appliedTarget"] {
            status.remove(field);
        }
    }
    // What was measured and not written down before the crash is not in the history, which nothing is decided on.
    for measurement in status["measurements"].as_array_mut().into_iter().flatten() {
        measurement.as_object_mut().expect("a measurement").remove("history");
    }
    if let Some(promoted) = status["promoted"].as_object_mut() {
        promoted.remove("since");
    }
    objects.push(status);
    objects
}

/// Runs a release to its end; the controller dies right after its `n`th write and is started again. Gives what is
/// left and how many writes there were.
async fn release_with_death_after(n: u64, image: &str, end: &str) -> (Vec<Value>, u64) {
    let (world, controller) = initialized().await;
    world.backend.version("broken", Version { success_rate: 10.0, p99_millis: 50.0 });
    let writes = Arc::new(AtomicU64::new(0));
    let fence = Arc::new(Mutex::new(controller.fence.clone()));
    let (counted, closed) = (Arc::clone(&writes), Arc::clone(&fence));
    world.kube.intercept(move |request| {
        if request.caller != "vexil" || !request.is_write() || request.is_kind("events") {
            return Fate::Pass;
        }
        if counted.fetch_add(1, Ordering::SeqCst) + 1 == n {
            closed.lock().expect("no panic").publish(vexil::controller::fence::Claim::None);
            return Fate::DropAfter;
        }
        Fate::Pass
    });
    world.set_image("shop", "frontend", image);
    let mut controller = Some(controller);
    for _ in 0..7200 {
        if writes.load(Ordering::SeqCst) >= n && controller.as_ref().is_some_and(|c| !is_open(c)) {
            controller.take().expect("a controller").kill();
            let fresh = world.start_controller();
            *fence.lock().expect("no panic") = fresh.fence.clone();
            controller = Some(fresh);
        }
        if world.phase("shop", "frontend") == end {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(
        world.phase("shop", "frontend"),
        end,
        "after write {n}: {:#?}",
        world.events("shop", "frontend")
    );
    tokio::time::sleep(Duration::from_secs(60)).await;
    if let Some(controller) = controller {
        controller.kill();
    }
    (remains(&world), writes.load(Ordering::SeqCst))
}

fn is_open(controller: &Running) -> bool {
    controller.fence.claim().is_valid(tokio::time::Instant::now())
}

// spec: 02/C41
#[tokio::test(start_paused = true)]
async fn dying_between_any_two_writes_of_a_good_release_changes_nothing_in_the_end() {
    let (expected, writes) = release_with_death_after(u64::MAX, NEXT, "Succeeded").await;
    assert!(writes > 10, "{writes} writes");
    for n in 1..=writes {
        let (left, _) = release_with_death_after(n, NEXT, "Succeeded").await;
        assert_eq!(left, expected, "after write {n}");
    }
}

// spec: 02/C41
#[tokio::test(start_paused = true)]
async fn dying_between_any_two_writes_of_a_bad_release_changes_nothing_in_the_end() {
    let image = "registry.example.com/shop/frontend:broken";
    let (expected, writes) = release_with_death_after(u64::MAX, image, "Failed").await;
    for n in 1..=writes {
        let (left, _) = release_with_death_after(n, image, "Failed").await;
        assert_eq!(left, expected, "after write {n}");
    }
}
