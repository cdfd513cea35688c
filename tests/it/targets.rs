//! Targets that have no pods of their own: a Kubernetes Service, and a Knative Service.

use std::time::Duration;

use serde_json::{Value, json};
use vexil::api::Provider;
use vexil::sim::{Running, World, crds};

const HOUR: Duration = Duration::from_secs(3600);

const ANALYSIS: &str = "
  analysis:
    interval: 30s
    threshold: 2
    stepWeight: 25
    maxWeight: 50
    metrics:
      - name: errors
        thresholdRange: {max: 1}
        query: errors
";

const SHOP: &str = "
apiVersion: v1
kind: Service
metadata:
  name: frontend
  namespace: shop
  labels: {team: web}
spec:
  selector: {app: frontend, version: v1}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: frontend, namespace: shop}
spec:
  targetRef: {apiVersion: core/v1, kind: Service, name: frontend}
  service: {port: 80}
";

const KNATIVE: &str = "
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: frontend, namespace: shop}
spec:
  template: {spec: {containers: [{image: 'frontend:1'}]}}
---
apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: frontend, namespace: shop}
spec:
  provider: knative
  targetRef: {apiVersion: serving.knative.dev/v1, kind: Service, name: frontend}
  service: {port: 80}
";

async fn reaches(world: &World, phase: &str) {
    let met = world.until(HOUR, |world| world.phase("shop", "frontend") == phase).await;
    assert!(met, "{phase}: {:#}\n{:#?}", world.status("shop", "frontend"), world.events("shop", "frontend"));
}

fn version(world: &World, service: &str) -> String {
    let object = world.kube.get("services", "shop", service).expect("a Service");
    object["spec"]["selector"]["version"].as_str().unwrap_or_default().to_owned()
}

fn select(world: &World, version: &str) {
    let patch = json!({"spec": {"selector": {"version": version}}});
    world.kube.patch("kubectl", "services", "shop", "frontend", patch).expect("the target");
}

// spec: 02/C75 03/SVC-26
#[tokio::test(start_paused = true)]
async fn a_service_is_released_by_its_copies() {
    let world = World::builder().build();
    world.backend.query("errors", 0.0);
    let controller = world.start_controller();
    world.apply(&format!("{SHOP}{ANALYSIS}")).expect("a manifest that the cluster takes");
    reaches(&world, "Initialized").await;
    assert_eq!(
        (version(&world, "frontend-primary"), version(&world, "frontend-canary")),
        ("v1".into(), "v1".into())
    );

    select(&world, "v2");
    assert!(world.until(HOUR, |world| world.weights("shop", "frontend") == Some((75, 25))).await);
    assert_eq!(
        (version(&world, "frontend-primary"), version(&world, "frontend-canary")),
        ("v1".into(), "v2".into())
    );
    reaches(&world, "Succeeded").await;
    assert_eq!(version(&world, "frontend-primary"), "v2");
    assert_eq!(world.weights("shop", "frontend"), Some((100, 0)));

    world.backend.query("errors", 5.0);
    select(&world, "v3");
    reaches(&world, "Failed").await;
    assert_eq!(
        (version(&world, "frontend-primary"), version(&world, "frontend-canary")),
        ("v2".into(), "v3".into())
    );
    assert_eq!(world.weights("shop", "frontend"), Some((100, 0)));

    tokio::time::sleep(Duration::from_secs(30)).await;
    world.kube.clear_requests();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(world.kube.requests_of("vexil").len(), 0, "at rest");
    let asked = world.kube.requests();
    assert!(asked.iter().all(|request| request.group != "serving.knative.dev"), "there is no Knative here");
    controller.stop().await;
}

fn deploy(world: &World, image: &str) {
    edit(world, json!({"spec": {"template": {"spec": {"containers": [{"image": image}]}}}}));
}

fn edit(world: &World, patch: Value) {
    let target = world.kube.patch("kubectl", "services.serving.knative.dev", "shop", "frontend", patch);
    target.expect("the target");
}

/// Percent of the latest revision, and the primary's name.
fn traffic(world: &World) -> (Value, Value) {
    let service = world.kube.get("services.serving.knative.dev", "shop", "frontend").expect("the target");
    let traffic = &service["spec"]["traffic"];
    (traffic[0]["percent"].clone(), traffic[1]["revisionName"].clone())
}

/// A Knative Service that is initialised.
async fn knative() -> (World, Running) {
    let world = World::builder().build();
    for crd in crds(Provider::Knative) {
        world.kube.put(crd);
    }
    world.backend.query("errors", 0.0);
    let controller = world.start_controller();
    world.apply(&format!("{KNATIVE}{ANALYSIS}")).expect("a manifest that the cluster takes");
    reaches(&world, "Initialized").await;
    (world, controller)
}

// spec: 02/C76 03/KN-02 03/KN-03 03/KN-05
#[tokio::test(start_paused = true)]
async fn a_knative_service_is_released_revision_by_revision() {
    let (world, controller) = knative().await;
    assert_eq!(traffic(&world), (json!(0), json!("frontend-00001")));
    assert!(world.kube.get("services", "shop", "frontend-primary").is_none(), "no Services of ours");

    deploy(&world, "frontend:2");
    for share in [25, 50] {
        let met = world.until(HOUR, |world| traffic(world) == (json!(share), json!("frontend-00001"))).await;
        assert!(met, "{share}: {:#?}", world.events("shop", "frontend"));
    }
    reaches(&world, "Succeeded").await;
    assert_eq!(traffic(&world), (json!(0), json!("frontend-00002")));

    world.backend.query("errors", 5.0);
    deploy(&world, "frontend:3");
    reaches(&world, "Failed").await;
    assert_eq!(traffic(&world), (json!(0), json!("frontend-00002")));

    deploy(&world, "frontend:bad-image");
    let why = "Knative Revision frontend-00004.shop is not ready: Unable to fetch image \"frontend:bad-image\": not found";
    let waits = |world: &World| world.status("shop", "frontend")["blockers"][0]["message"] == why;
    assert!(world.until(HOUR, waits).await, "{:#}", world.status("shop", "frontend"));
    assert_eq!(traffic(&world), (json!(0), json!("frontend-00002")));
    controller.stop().await;
}

// spec: 02/C76
#[tokio::test(start_paused = true)]
async fn traffic_that_somebody_gives_to_the_latest_revision_goes_back_to_what_it_has_earned() {
    let (world, controller) = knative().await;
    let everything = json!({"spec": {"traffic": [{"latestRevision": true, "percent": 100}]}});
    deploy(&world, "frontend:2");
    assert!(world.until(HOUR, |world| traffic(world).0 == json!(25)).await);
    edit(&world, everything.clone());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(traffic(&world), (json!(25), json!("frontend-00001")));

    reaches(&world, "Succeeded").await;
    edit(&world, everything);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(traffic(&world), (json!(0), json!("frontend-00002")));

    tokio::time::sleep(Duration::from_secs(30)).await;
    world.kube.clear_requests();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(world.kube.requests_of("vexil").len(), 0, "at rest");
    controller.stop().await;
}

// spec: 03/KN-06
#[tokio::test(start_paused = true)]
async fn a_knative_service_whose_canary_is_deleted_serves_its_latest_revision() {
    let (world, controller) = knative().await;
    let revert = json!({"spec": {"revertOnDeletion": true}});
    world.kube.patch("kubectl", "canaries.flagger.app", "shop", "frontend", revert).expect("the Canary");
    let canary = |world: &World| world.kube.get("canaries.flagger.app", "shop", "frontend");
    let held =
        |world: &World| canary(world).is_some_and(|canary| canary["metadata"]["finalizers"].is_array());
    assert!(world.until(HOUR, held).await);
    world.kube.delete("canaries.flagger.app", "shop", "frontend");
    assert!(world.until(HOUR, |world| canary(world).is_none()).await);
    let service = world.kube.get("services.serving.knative.dev", "shop", "frontend").expect("the target");
    assert!(service["metadata"]["annotations"]["flagger.app/primary-revision"].is_null());
    assert_eq!(service["spec"]["traffic"], json!([{"latestRevision": true, "percent": 100}]));
    controller.stop().await;
}
