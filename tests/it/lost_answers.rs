//! Writes whose answers are lost or that are refused: what is not on record is not forgotten, and is not done again and
//! again. Found by `make soak`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kubesim::{ApiStatus, Fate};
use vexil::sim::{Running, Version, World};

const QUARTERS: &str = include_str!("../data/shop/frontend-quarters.yaml");
const NEXT: &str = "registry.example.com/shop/frontend:2.0.0";
const HOUR: Duration = Duration::from_secs(3600);
/// How long proxies take to hear of a route.
const SETTLE: Duration = Duration::from_secs(5);

async fn with_a_quarter(version: Version) -> (World, Running) {
    let world = World::builder().build();
    let controller = world.start_controller();
    world.apply(QUARTERS).expect("a manifest that the cluster takes");
    assert!(world.until(HOUR, |world| world.phase("shop", "frontend") == "Initialized").await);
    world.backend.version("2.0.0", version);
    world.set_image("shop", "frontend", NEXT);
    let quarter = |world: &World| world.weights("shop", "frontend") == Some((75, 25));
    assert!(world.until(HOUR, quarter).await, "{:#?}", world.events("shop", "frontend"));
    (world, controller)
}

fn parked(world: &World) -> bool {
    let target = world.kube.get("deployments.apps", "shop", "frontend").expect("the target");
    target["spec"]["replicas"] == 0
}

/// The route of a rollback is written and its answer lost: the next look finds the traffic on the primary already.
#[tokio::test(start_paused = true)]
async fn pods_stay_until_proxies_know_also_if_the_answer_to_the_route_is_lost() {
    let (world, controller) = with_a_quarter(Version { success_rate: 80.0, ..Version::default() }).await;
    let lost = AtomicBool::new(false);
    world.kube.intercept(move |request| {
        let returns = request.plural == "virtualservices" && request.is_write();
        let all = String::from_utf8_lossy(&request.body).contains("\"weight\":100");
        if returns && all && !lost.swap(true, Ordering::SeqCst) {
            return Fate::FailAfter(ApiStatus::timeout("the server did not answer in time"));
        }
        Fate::Pass
    });
    let back = |world: &World| world.weights("shop", "frontend") == Some((100, 0));
    assert!(world.until(HOUR, back).await, "{:#?}", world.events("shop", "frontend"));
    tokio::time::sleep(SETTLE - Duration::from_secs(1)).await;
    assert!(!parked(&world), "the pods went before proxies knew: {:#?}", world.events("shop", "frontend"));
    assert!(world.until(HOUR, |world| world.phase("shop", "frontend") == "Failed").await);
    assert!(parked(&world));
    controller.stop().await;
}

/// A step that cannot be recorded is not tried again and again: users would be sent to and fro.
#[tokio::test(start_paused = true)]
async fn traffic_does_not_swing_while_the_status_cannot_be_written() {
    let (world, controller) = with_a_quarter(Version::default()).await;
    let refused = Arc::new(AtomicBool::new(true));
    let on = Arc::clone(&refused);
    world.kube.intercept(move |request| {
        if request.is_write() && request.plural == "canaries" && on.load(Ordering::SeqCst) {
            let mut status = ApiStatus::unauthorized();
            status.code = 403;
            status.message = "admission webhook \"policy.example.com\" denied the request".into();
            return Fate::Fail(status);
        }
        Fate::Pass
    });
    world.kube.clear_requests();
    tokio::time::sleep(HOUR).await;
    let writes = world.kube.writes_of("vexil");
    let routes = writes.iter().filter(|write| write.plural == "virtualservices").count();
    assert!(routes <= 8, "{routes} writes of routes in an hour");
    assert!(writes.len() < 400, "{} writes in an hour", writes.len());
    assert!(world.weights("shop", "frontend").is_some_and(|(_, canary)| canary <= 25));
    refused.store(false, Ordering::SeqCst);
    let met = world.until(HOUR, |world| world.phase("shop", "frontend") == "Succeeded").await;
    assert!(met, "{:#?}", world.events("shop", "frontend"));
    controller.stop().await;
}
