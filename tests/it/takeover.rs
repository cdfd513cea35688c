//! The way from Flagger to Vexil and back, on objects as Flagger leaves them.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use vexil::sim::{Running, TrafficWatch};

use crate::flagger::{FIRST, FIRST_HASH, Flagger, NEXT};

const HOUR: Duration = Duration::from_secs(3600);

async fn reaches(flagger: &Flagger, phase: &str) {
    let world = &flagger.world;
    let met = world.until(HOUR, |world| world.phase("shop", "frontend") == phase).await;
    assert!(met, "{phase}: {:#}\n{:#?}", world.status("shop", "frontend"), world.events("shop", "frontend"));
}

fn image(flagger: &Flagger, deployment: &str) -> String {
    let object = flagger.world.kube.get("deployments.apps", "shop", deployment).expect("a Deployment");
    object["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap_or_default().to_owned()
}

/// What the controller changed, but for its own Canary: `Service frontend`.
fn changed(flagger: &Flagger) -> BTreeSet<String> {
    let requests = flagger.world.kube.requests().into_iter();
    requests
        .filter(|request| request.caller == "vexil" && request.is_write())
        .filter(|request| !request.is_kind("Canary") && !request.is_kind("Event"))
        .map(|request| format!("{} {}", request.kind, request.name.clone().unwrap_or_default()))
        .collect()
}

// spec: 01/API-054
#[tokio::test(start_paused = true)]
async fn at_rest_no_pod_restarts_and_no_route_changes() {
    let flagger = Flagger::initialised().await;
    let (pods, route) = (flagger.pods("frontend-primary"), flagger.route_spec());
    let controller = flagger.world.start_controller();
    tokio::time::sleep(Duration::from_secs(600)).await;
    let status = flagger.world.status("shop", "frontend");
    assert_eq!(status["phase"], "Initialized", "{status:#}");
    assert!(status["lastAppliedSpec"].as_str().unwrap_or_default().starts_with("vx1-"), "{status:#}");
    assert_eq!((pods, route), (flagger.pods("frontend-primary"), flagger.route_spec()));
    // One label each, by which their EndpointSlices are told apart.
    let labelled = ["Service frontend-canary", "Service frontend-primary"].map(str::to_owned);
    assert_eq!(changed(&flagger), BTreeSet::from(labelled));
    controller.stop().await;
}

async fn taken_over_at(weight: i64) -> (Flagger, Running, TrafficWatch) {
    let flagger = Flagger::initialised().await;
    flagger.begins().await;
    for step in (25..=weight).step_by(25) {
        tokio::time::sleep(Duration::from_secs(30)).await;
        flagger.advances(step);
    }
    let watch = TrafficWatch::new(&flagger.world, Duration::from_secs(2));
    let controller = flagger.world.start_controller();
    (flagger, controller, watch)
}

#[tokio::test(start_paused = true)]
async fn in_the_middle_of_a_release_it_goes_on_at_its_weight() {
    let (flagger, controller, watch) = taken_over_at(25).await;
    let (pods, route) = (flagger.pods("frontend-primary"), flagger.route_spec());
    // Until the step that Flagger would have made.
    tokio::time::sleep(Duration::from_secs(25)).await;
    let status = flagger.world.status("shop", "frontend");
    assert_eq!(
        (&status["phase"], &status["canaryWeight"]),
        (&json!("Progressing"), &json!(25)),
        "{status:#}"
    );
    assert_eq!((&pods, &route), (&flagger.pods("frontend-primary"), &flagger.route_spec()));
    let met = flagger
        .world
        .until(Duration::from_secs(30), |world| world.weights("shop", "frontend") == Some((50, 50)))
        .await;
    assert!(met, "{:#?}", flagger.world.events("shop", "frontend"));
    assert_eq!(pods, flagger.pods("frontend-primary"));
    reaches(&flagger, "Succeeded").await;
    assert_eq!(image(&flagger, "frontend-primary"), NEXT);
    assert_eq!(watch.broken(), Vec::<String>::new());
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn behind_the_gate_of_a_promotion_the_traffic_is_taken_back() {
    let flagger = Flagger::initialised().await;
    flagger.begins().await;
    flagger.advances(50);
    // There Flagger's status says weight 0 and iteration -1, whatever the routes say (spec 01 EC-6).
    flagger.status("WaitingPromotion", 0, 0, "547d5765b7", FIRST_HASH);
    let controller = flagger.world.start_controller();
    let met = flagger
        .world
        .until(Duration::from_secs(60), |world| world.weights("shop", "frontend") == Some((100, 0)))
        .await;
    assert!(met, "{:#}", flagger.world.status("shop", "frontend"));
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_revision_that_failed_stays_failed() {
    let flagger = Flagger::initialised().await;
    flagger.world.set_image("shop", "frontend", NEXT);
    flagger.status("Failed", 0, 0, "547d5765b7", FIRST_HASH);
    let controller = flagger.world.start_controller();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(flagger.world.phase("shop", "frontend"), "Failed");
    assert_eq!(image(&flagger, "frontend-primary"), FIRST);
    controller.stop().await;
}

/// What Flagger reads of a Canary, and of which form it has to be (spec 01 §1.8).
fn read_by_flagger(status: &Value) {
    let known =
        ["phase", "failedChecks", "canaryWeight", "iterations", "lastAppliedSpec", "lastPromotedSpec"];
    for field in known {
        assert!(!status[field].is_null(), "{field} is missing in {status:#}");
    }
    let promoted = status["conditions"].as_array().into_iter().flatten().find(|it| it["type"] == "Promoted");
    assert_eq!(promoted.map(|it| it["status"].clone()), Some(json!("True")), "{status:#}");
}

#[tokio::test(start_paused = true)]
async fn on_the_way_back_flagger_finds_its_objects_and_a_status_to_begin_anew_with() {
    let (flagger, controller, _) = taken_over_at(25).await;
    reaches(&flagger, "Succeeded").await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    controller.stop().await;
    let kube = &flagger.world.kube;
    let status = flagger.world.status("shop", "frontend");
    read_by_flagger(&status);
    // This hash is not Flagger's: to Flagger the revision is a new one, unless the status is taken away.
    assert!(status["lastAppliedSpec"].as_str().unwrap_or_default().starts_with("vx1-"), "{status:#}");
    // The objects have the names, selectors and weights that Flagger looks for.
    for (service, selected) in [
        ("frontend", "frontend-primary"),
        ("frontend-primary", "frontend-primary"),
        ("frontend-canary", "frontend"),
    ] {
        let object = kube.get("services", "shop", service).expect("a Service");
        assert_eq!(object["spec"]["selector"], json!({"app": selected}), "{service}");
        assert_eq!(object["metadata"]["ownerReferences"][0]["kind"], "Canary");
    }
    let route = flagger.route_spec();
    let weights: Vec<&Value> =
        route["http"][0]["route"].as_array().into_iter().flatten().map(|side| &side["weight"]).collect();
    assert_eq!(weights, [&json!(100), &json!(0)]);
    let primary = kube.get("deployments.apps", "shop", "frontend-primary").expect("the primary");
    assert!(primary["spec"]["template"]["metadata"]["annotations"]["flagger-id"].is_string());
    let target = kube.get("deployments.apps", "shop", "frontend").expect("the target");
    assert_eq!(target["spec"]["replicas"], 0);

    // The cure of `vexil migrate back`: without a status Flagger initialises, which starts no release. So does Vexil,
    // without a restart of the primary and without a change of the routes.
    let (pods, route) = (flagger.pods("frontend-primary"), flagger.route_spec());
    kube.patch_status("kubectl", "canaries.flagger.app", "shop", "frontend", json!({"status": null}))
        .expect("the API server takes it");
    assert_eq!(flagger.world.status("shop", "frontend"), Value::Null);
    let controller = flagger.world.start_controller();
    reaches(&flagger, "Initialized").await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(flagger.world.phase("shop", "frontend"), "Initialized");
    assert_eq!((pods, route), (flagger.pods("frontend-primary"), flagger.route_spec()));
    controller.stop().await;
}
