//! `-max-concurrent-rollouts`: only so many releases go on at once, the others wait in a fair line.

use std::cell::RefCell;
use std::time::Duration;

use serde_json::{Value, json};
use vexil::model::release::Settings;
use vexil::sim::{Running, World};

const QUARTERS: &str = include_str!("../data/shop/frontend-quarters.yaml");
const NEXT: &str = "registry.example.com/shop/frontend:2.0.0";
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const NAMES: [&str; 3] = ["one", "two", "three"];

async fn shops(limit: usize) -> (World, Running) {
    let world = World::builder().settings(Settings { max_rollouts: limit, ..Settings::default() }).build();
    let controller = world.start_controller();
    for name in NAMES {
        world.apply(&QUARTERS.replace("frontend", name)).expect("a manifest that the cluster takes");
    }
    let at_rest = |world: &World| NAMES.iter().all(|name| world.phase("shop", name) == "Initialized");
    assert!(world.until(HOUR, at_rest).await);
    (world, controller)
}

fn next(name: &str) -> String {
    NEXT.replace("frontend", name)
}

fn going(world: &World) -> usize {
    let phases = NAMES.map(|name| world.phase("shop", name));
    phases.iter().filter(|phase| ["Progressing", "Promoting", "Finalising"].contains(&phase.as_str())).count()
}

/// Lets all releases come to their end, one at a time; the names in the order of their ends.
async fn one_after_the_other(world: &World) -> Vec<&'static str> {
    let ended = RefCell::new(Vec::new());
    let all = world.until(HOUR, |world| {
        assert!(going(world) <= 1, "{:?}", NAMES.map(|name| world.phase("shop", name)));
        let mut ended = ended.borrow_mut();
        for name in NAMES {
            if world.phase("shop", name) == "Succeeded" && !ended.contains(&name) {
                ended.push(name);
            }
        }
        ended.len() == NAMES.len()
    });
    assert!(all.await, "{:?}", ended.borrow());
    ended.into_inner()
}

fn blocker(world: &World, name: &str) -> Value {
    world.status("shop", name)["blockers"][0].clone()
}

#[tokio::test(start_paused = true)]
async fn one_release_goes_on_and_the_others_wait_for_their_turn() {
    let (world, controller) = shops(1).await;
    for name in NAMES {
        world.set_image("shop", name, &next(name));
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    assert!(world.until(MINUTE, |world| world.phase("shop", "three") == "Waiting").await);
    assert_eq!(world.phase("shop", "one"), "Progressing");
    assert_eq!(blocker(&world, "three")["type"], "Queue");
    assert_eq!(
        blocker(&world, "three")["message"],
        "place 2 of 2 in line: 1 releases go on, and -max-concurrent-rollouts is 1"
    );
    let told = world.events("shop", "three");
    let told: Vec<&String> = told.iter().filter(|event| event.contains("Waiting for a turn")).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    let ready = world.status("shop", "three")["conditions"].to_string();
    assert!(ready.contains("Waiting for its turn."), "{ready}");

    let ended = one_after_the_other(&world).await;
    assert_eq!(ended, NAMES, "in the order in which they came");
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_line_survives_a_restart() {
    let (world, controller) = shops(1).await;
    for name in NAMES {
        world.set_image("shop", name, &next(name));
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    assert!(world.until(MINUTE, |world| world.phase("shop", "three") == "Waiting").await);
    controller.kill();
    let controller = world.start_controller();
    let order = one_after_the_other(&world).await;
    assert_eq!(order, NAMES);
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_takes_its_revision_back_or_is_deleted_leaves_the_line() {
    let (world, controller) = shops(1).await;
    let before = QUARTERS.lines().find_map(|line| line.trim().strip_prefix("image: ")).expect("an image");
    for name in NAMES {
        world.set_image("shop", name, &next(name));
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    assert!(world.until(MINUTE, |world| world.phase("shop", "three") == "Waiting").await);
    world.set_image("shop", "two", &before.replace("frontend", "two"));
    assert!(world.until(MINUTE, |world| world.phase("shop", "two") == "Succeeded").await);
    assert!(
        world
            .until(3 * MINUTE, |world| {
                blocker(world, "three")["message"]
                    .as_str()
                    .is_some_and(|text| text.starts_with("place 1 of 1"))
            })
            .await,
        "{}",
        blocker(&world, "three")
    );
    world.kube.delete("canaries.flagger.app", "shop", "one");
    let met = world.until(3 * MINUTE, |world| world.phase("shop", "three") == "Progressing").await;
    assert!(met, "{:#}", world.status("shop", "three"));
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_promotion_by_hand_does_not_wait_for_its_turn() {
    let (world, controller) = shops(1).await;
    for name in ["one", "two"] {
        world.set_image("shop", name, &next(name));
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    assert!(world.until(MINUTE, |world| world.phase("shop", "two") == "Waiting").await);
    let revision = world.status("shop", "two")["releasing"]["name"].as_str().unwrap_or_default().to_owned();
    let request = json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "Canary",
        "metadata": {"name": "two", "namespace": "shop", "annotations": {"flagger.app/request": format!("promote {revision}")}},
    });
    world.kube.apply("kubectl-annotate", request).expect("an annotation that the cluster takes");
    let met = world.until(5 * MINUTE, |world| world.phase("shop", "two") == "Succeeded").await;
    assert!(met, "{:#}", world.status("shop", "two"));
    assert_ne!(world.phase("shop", "one"), "Succeeded", "it went ahead of the other");
    controller.stop().await;
}
