//! Clocks that were wrong, and statuses from another time.

use std::cell::Cell;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use tokio::time::Instant;
use vexil::controller::clock::Clock;
use vexil::sim::World;

const QUARTERS: &str = include_str!("../data/shop/frontend-quarters.yaml");
const NEXT: &str = "registry.example.com/shop/frontend:2.0.0";
const HOUR: Duration = Duration::from_secs(3600);

thread_local! {
    static BEGAN: Instant = Instant::now();
    static AHEAD: Cell<i64> = const { Cell::new(0) };
}

/// The machine's clock: it shows what somebody has set it to.
fn wall() -> DateTime<Utc> {
    let right: DateTime<Utc> = "2026-01-01T09:00:00Z".parse().expect("a time");
    right + BEGAN.with(Instant::elapsed) + TimeDelta::seconds(AHEAD.get())
}

fn set_ahead_by(seconds: i64) {
    AHEAD.set(seconds);
}

async fn at_a_quarter(interval: &str) -> (World, vexil::sim::Running) {
    let _ = wall();
    let world = World::builder().clock(Clock::asking(wall)).build();
    let controller = world.start_controller();
    let manifest = QUARTERS.replacen("interval: 30s", &format!("interval: {interval}"), 1);
    world.apply(&manifest).expect("a manifest that the cluster takes");
    assert!(world.until(24 * HOUR, |world| world.phase("shop", "frontend") == "Initialized").await);
    world.set_image("shop", "frontend", NEXT);
    let quarter = |world: &World| world.weights("shop", "frontend") == Some((75, 25));
    assert!(world.until(24 * HOUR, quarter).await, "{:#}", world.status("shop", "frontend"));
    tokio::time::sleep(Duration::from_secs(5)).await;
    (world, controller)
}

fn told(world: &World) -> String {
    format!("{:#}\n{:#?}", world.status("shop", "frontend"), world.events("shop", "frontend"))
}

#[tokio::test(start_paused = true)]
async fn the_time_that_a_machine_was_suspended_counts() {
    let (world, controller) = at_a_quarter("5m").await;
    set_ahead_by(300);
    let half = |world: &World| world.weights("shop", "frontend") == Some((50, 50));
    assert!(world.until(Duration::from_secs(40), half).await, "{}", told(&world));
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_run_does_not_wait_for_the_time_that_a_wrong_clock_wrote_into_its_status() {
    let (world, controller) = at_a_quarter("30s").await;
    set_ahead_by(3 * 3600);
    let half = |world: &World| world.weights("shop", "frontend") == Some((50, 50));
    assert!(world.until(Duration::from_secs(60), half).await, "{}", told(&world));
    // The last check is three hours ahead now.
    set_ahead_by(0);
    let moved = |world: &World| world.phase("shop", "frontend") != "Progressing";
    assert!(world.until(Duration::from_secs(120), moved).await, "{}", told(&world));
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_status_of_a_newer_version_is_told_of_and_left_alone_with_the_traffic() {
    let (world, controller) = at_a_quarter("30s").await;
    controller.stop().await;
    // The newer version's CRD knows a phase that this one does not.
    let mut crd =
        world.kube.get("customresourcedefinitions", "", "canaries.flagger.app").expect("the CRD of Canaries");
    for version in crd["spec"]["versions"].as_array_mut().expect("versions") {
        let phase = &mut version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]["phase"];
        phase["enum"].as_array_mut().expect("an enum").push(json!("Rehearsing"));
    }
    world.kube.put(crd);
    let mut canary = world.kube.get("canaries.flagger.app", "shop", "frontend").expect("a Canary");
    canary["status"]["phase"] = json!("Rehearsing");
    world.kube.put(canary);
    let route = |world: &World| world.kube.get("virtualservices", "shop", "frontend").expect("a route");
    let (before, routed): (Value, Value) = (world.status("shop", "frontend"), route(&world));
    assert_eq!(before["phase"], "Rehearsing");
    let controller = world.start_controller();
    tokio::time::sleep(HOUR).await;
    let said = |text: &String| text.contains("status.phase") && text.contains("Rehearsing");
    assert!(world.events("shop", "frontend").iter().any(said), "{}", told(&world));
    assert_eq!(world.status("shop", "frontend"), before);
    assert_eq!(route(&world), routed);
    // The newer version is back, or somebody has mended it.
    let mut canary = world.kube.get("canaries.flagger.app", "shop", "frontend").expect("a Canary");
    canary["status"]["phase"] = json!("Progressing");
    world.kube.put(canary);
    let met = world.until(HOUR, |world| world.phase("shop", "frontend") == "Succeeded").await;
    assert!(met, "{}", told(&world));
    controller.stop().await;
}
