//! Nobody is forgotten: neither who is created again at once, nor who waits while leadership lapses, nor who has a name
//! that leaves no room for more.

use std::time::Duration;

use tokio::time::Instant;
use vexil::controller::fence::Claim;
use vexil::sim::{Fault, World};

const QUARTERS: &str = include_str!("../data/shop/frontend-quarters.yaml");
const NEXT: &str = "registry.example.com/shop/frontend:2.0.0";
const HOUR: Duration = Duration::from_secs(3600);

/// On threads and in real time: who is faster differs each time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_canary_that_is_deleted_and_created_again_at_once_is_looked_at() {
    let world = World::builder().build();
    let controller = world.start_controller();
    let manifest = QUARTERS.split("\n---\n").last().expect("a Canary");
    for number in 0..200 {
        world.apply(manifest).expect("a Canary");
        let looked_at = |world: &World| !world.status("shop", "frontend").is_null();
        let deadline = Instant::now() + Duration::from_secs(20);
        while !looked_at(&world) {
            assert!(Instant::now() < deadline, "nobody looked at number {number}");
            tokio::task::yield_now().await;
        }
        world.kube.delete("canaries.flagger.app", "shop", "frontend");
    }
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_lapses_for_a_moment_while_a_question_is_open_delays_the_release_and_no_more() {
    let world = World::builder().build();
    let controller = world.start_controller();
    world.apply(QUARTERS).expect("a manifest that the cluster takes");
    assert!(world.until(HOUR, |world| world.phase("shop", "frontend") == "Initialized").await);
    world.set_image("shop", "frontend", NEXT);
    assert!(world.until(HOUR, |world| world.weights("shop", "frontend") == Some((75, 25))).await);
    // The next step asks for metrics, and the answer takes 30 seconds: in between we do not lead.
    world.backend.fault(Some(Fault::Hangs));
    tokio::time::sleep(Duration::from_secs(40)).await;
    controller.fence.publish(Claim::Until(Instant::now() + Duration::from_secs(1)));
    tokio::time::sleep(Duration::from_secs(60)).await;
    world.backend.fault(None);
    controller.fence.publish(Claim::Always);
    let met = world.until(HOUR, |world| world.phase("shop", "frontend") == "Succeeded").await;
    assert!(met, "{:#}\n{:#?}", world.status("shop", "frontend"), world.events("shop", "frontend"));
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_events_of_a_canary_with_a_very_long_name_are_recorded() {
    let world = World::builder().build();
    let controller = world.start_controller();
    let name = format!("{}.frontend", ["long"; 48].join("-"));
    assert!(name.len() > 236);
    let (workloads, canary) = QUARTERS.split_once("kind: Canary").expect("a Canary");
    let canary = canary.replacen("name: frontend", &format!("name: {name}"), 1);
    world.apply(&format!("{workloads}kind: Canary{canary}")).expect("a manifest that the cluster takes");
    assert!(world.until(HOUR, |world| world.phase("shop", &name) == "Initialized").await);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let events = world.events("shop", &name);
    assert!(events.iter().any(|text| text.starts_with("Initialization done!")), "{events:#?}");
    controller.stop().await;
}
