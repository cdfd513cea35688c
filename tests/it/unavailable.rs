//! Kinds that the API does not show: not installed, not allowed, or broken.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kubesim::{ApiStatus, Fate, Verb};
use rstest::rstest;
use serde_json::Value;
use vexil::api::Provider;
use vexil::sim::{Running, World, crds};

const QUARTERS: &str = include_str!("../data/shop/frontend-quarters.yaml");
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

fn told(world: &World) -> String {
    format!("{:#}\n{:#?}", world.status("shop", "frontend"), world.events("shop", "frontend"))
}

/// What the status says is in the way.
fn stalled(world: &World) -> String {
    let status = world.status("shop", "frontend");
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let stalled = conditions.iter().find(|condition| condition["type"] == "Stalled");
    stalled.and_then(|condition| condition["message"].as_str()).unwrap_or_default().to_owned()
}

/// Requests of a verb for a resource so far, those included that never came to the log of the cluster.
fn requests(controller: &Running, verb: &str, resource: &str) -> u64 {
    let metrics = controller.telemetry.render();
    let labels = [format!("verb=\"{verb}\""), format!("resource=\"{resource}\"")];
    let those = metrics.lines().filter(|line| {
        line.starts_with("vexil_api_requests_total") && labels.iter().all(|label| line.contains(label))
    });
    those.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
}

/// The series of the watch of a kind.
fn watch_up(controller: &Running, resource: &str) -> Option<String> {
    let metrics = controller.telemetry.render();
    let series = format!("vexil_watch_up{{resource=\"{resource}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&series).map(str::to_owned))
}

const ROUTES: &str = "virtualservices.networking.istio.io";

fn refusal(code: u16) -> ApiStatus {
    match code {
        403 => ApiStatus { code, ..ApiStatus::internal("virtualservices is forbidden: no rule allows it") },
        _ => ApiStatus { code, ..ApiStatus::internal("etcdserver: request timed out") },
    }
}

/// Refuses all reads of the routes for as long as the switch is on.
fn refuse(world: &World, code: u16) -> Arc<AtomicBool> {
    let refused = Arc::new(AtomicBool::new(true));
    let on = Arc::clone(&refused);
    world.kube.intercept(move |request| {
        let reads = matches!(request.verb, Verb::List | Verb::Watch);
        if reads && request.plural == "virtualservices" && on.load(Ordering::SeqCst) {
            return Fate::Fail(refusal(code));
        }
        Fate::Pass
    });
    refused
}

#[tokio::test(start_paused = true)]
async fn a_crd_that_is_missing_is_named_asked_for_seldom_and_noticed_within_a_minute() {
    let world = World::builder().without_mesh().build();
    let controller = world.start_controller();
    world.apply(QUARTERS).expect("a manifest that the cluster takes");
    let named = |world: &World| stalled(world).contains("virtualservices.networking.istio.io");
    assert!(world.until(MINUTE, named).await, "{}", told(&world));
    assert!(stalled(&world).contains("install its CRD"), "{}", stalled(&world));
    assert!(world.events("shop", "frontend").iter().any(|text| text.contains("install its CRD")));
    tokio::time::sleep(HOUR).await;
    assert_eq!(watch_up(&controller, ROUTES), None, "a kind that is not there has no watch");
    let lists = requests(&controller, "list", "virtualservices");
    let looks = requests(&controller, "get", "api");
    assert!(lists <= 5, "{lists} lists of what is not there");
    assert!(looks <= 300, "{looks} looks at discovery in an hour");
    for crd in crds(Provider::Istio) {
        world.kube.put(crd);
    }
    let begun = |world: &World| world.kube.list("virtualservices", Some("shop")).len() == 1;
    assert!(world.until(MINUTE, begun).await, "{}", told(&world));
    assert!(world.until(HOUR, |world| world.phase("shop", "frontend") == "Initialized").await);
    controller.stop().await;
}

#[rstest]
#[case::not_allowed(403, "list and watch virtualservices.networking.istio.io")]
#[case::broken(500, "the API answers 500: ")]
#[case::down(503, "the API answers 503: ")]
#[tokio::test(start_paused = true)]
async fn a_kind_that_cannot_be_read_is_told_asked_for_seldom_and_used_when_it_can(
    #[case] code: u16,
    #[case] said: &str,
) {
    let world = World::builder().build();
    let refused = refuse(&world, code);
    let controller = world.start_controller();
    world.apply(QUARTERS).expect("a manifest that the cluster takes");
    assert!(world.until(5 * MINUTE, |world| stalled(world).contains(said)).await, "{}", told(&world));
    assert!(world.events("shop", "frontend").iter().any(|text| text.contains(said)), "{}", told(&world));
    assert_eq!(watch_up(&controller, ROUTES).as_deref(), Some("0"));
    assert_eq!(watch_up(&controller, "canaries.flagger.app").as_deref(), Some("1"));
    let before = requests(&controller, "list", "virtualservices");
    tokio::time::sleep(HOUR).await;
    let lists = requests(&controller, "list", "virtualservices") - before;
    // A 503 is asked again by the client as well, five times at most.
    assert!(lists <= 5 * 40, "{lists} lists in an hour");
    refused.store(false, Ordering::SeqCst);
    let met = world.until(5 * MINUTE, |world| world.phase("shop", "frontend") == "Initialized").await;
    assert!(met, "{}", told(&world));
    assert_eq!(watch_up(&controller, ROUTES).as_deref(), Some("1"));
    assert_eq!(stalled(&world), "");
    controller.stop().await;
}

/// The route that the team had before there was a Canary.
const ROUTE: &str = r"
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: frontend, namespace: shop}
spec:
  hosts: [shop.example.com]
  http:
  - route:
    - destination: {host: frontend}
";

/// A Canary at rest that has taken over a route, and gives it back in the end.
async fn reverting(world: &World) -> Running {
    let controller = world.start_controller();
    world.apply(ROUTE).expect("a route");
    world
        .apply(&QUARTERS.replace("  service:\n", "  revertOnDeletion: true\n  service:\n"))
        .expect("a manifest");
    let met = world.until(HOUR, |world| world.phase("shop", "frontend") == "Initialized").await;
    assert!(met, "{}", told(world));
    controller
}

fn canary(world: &World) -> Option<Value> {
    world.kube.get("canaries.flagger.app", "shop", "frontend")
}

#[rstest]
#[case::not_allowed(403)]
#[case::broken(500)]
#[tokio::test(start_paused = true)]
async fn a_canary_that_is_deleted_while_its_routes_cannot_be_read_waits_and_restores_them(#[case] code: u16) {
    let world = World::builder().build();
    reverting(&world).await.stop().await;
    let route = world.kube.get("virtualservices", "shop", "frontend").expect("a route");
    assert!(route["spec"].to_string().contains("frontend-primary"), "{route:#}");
    // A controller that starts now has never seen the routes.
    let refused = refuse(&world, code);
    let controller = world.start_controller();
    tokio::time::sleep(MINUTE).await;
    world.kube.delete("canaries.flagger.app", "shop", "frontend");
    tokio::time::sleep(10 * MINUTE).await;
    assert!(canary(&world).is_some(), "it is gone, and its routes are as they were");
    let says = stalled(&world);
    assert!(says.contains("VirtualService cannot be watched") && says.contains("finalizer"), "{says}");
    assert!(world.events("shop", "frontend").contains(&says), "{}", told(&world));
    refused.store(false, Ordering::SeqCst);
    assert!(world.until(10 * MINUTE, |world| canary(world).is_none()).await, "{}", told(&world));
    let route = world.kube.get("virtualservices", "shop", "frontend").expect("the route stays");
    let destinations = route["spec"]["http"].to_string();
    assert!(!destinations.contains("primary") && destinations.contains("frontend"), "{destinations}");
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_canary_whose_mesh_was_uninstalled_is_let_go() {
    let world = World::builder().build();
    let controller = reverting(&world).await;
    for crd in crds(Provider::Istio) {
        let name = crd["metadata"]["name"].as_str().expect("a name").to_owned();
        world.kube.delete("customresourcedefinitions", "", &name);
    }
    tokio::time::sleep(10 * MINUTE).await;
    world.kube.delete("canaries.flagger.app", "shop", "frontend");
    assert!(world.until(10 * MINUTE, |world| canary(world).is_none()).await, "{}", told(&world));
    controller.stop().await;
}
