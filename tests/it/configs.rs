//! ConfigMaps and Secrets that belong to a release, on the embedded cluster (spec 02 §4).

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kubesim::{ApiStatus, Fate, Request};
use serde_json::{Value, json};
use vexil::controller::fence::Claim;
use vexil::model::release::Settings;
use vexil::sim::{Fault, Running, World};

const MANIFEST: &str = include_str!("../data/shop/frontend-settings.yaml");
const PLAIN: &str = include_str!("../data/shop/frontend-quarters.yaml");
const NEXT: &str = "registry.example.com/shop/frontend:2.0.0";
const HOUR: Duration = Duration::from_secs(3600);

/// Checksums of `currency: EUR` and `currency: USD`.
const EUR: &str = "f2fd0a823b2e34bd";
const USD: &str = "ea14a2ae6724a06e";

async fn reaches(world: &World, canary: &str, phase: &str) {
    let met = world.until(HOUR, |world| world.phase("shop", canary) == phase).await;
    assert!(
        met,
        "{canary} does not reach {phase}: {:#}\n{:#?}",
        world.status("shop", canary),
        world.events("shop", canary)
    );
}

async fn has_weight(world: &World, apex: &str, weight: i64) {
    let met = world.until(HOUR, |world| world.weights("shop", apex) == Some((100 - weight, weight))).await;
    assert!(met, "weight {weight} never came: {:#?}", world.events("shop", apex));
}

async fn initialized() -> (World, Running) {
    let world = World::builder().build();
    let controller = world.start_controller();
    world.apply(MANIFEST).expect("a manifest that the cluster takes");
    reaches(&world, "frontend", "Initialized").await;
    (world, controller)
}

fn set_currency(world: &World, currency: &str) {
    let patch = json!({"data": {"currency": currency}});
    world.kube.patch("kubectl", "configmaps", "shop", "settings", patch).expect("a ConfigMap");
}

fn currency(world: &World, config_map: &str) -> String {
    let object = world.kube.get("configmaps", "shop", config_map).unwrap_or_default();
    object["data"]["currency"].as_str().unwrap_or_default().to_owned()
}

/// The template of a Deployment, as an API server would show it: without an empty list of annotations.
fn template(world: &World, deployment: &str) -> Value {
    let object = world.kube.get("deployments.apps", "shop", deployment).expect("a Deployment");
    let mut template = object["spec"]["template"].clone();
    if template["metadata"]["annotations"] == json!({}) {
        json_patch::merge(&mut template, &json!({"metadata": {"annotations": null}}));
    }
    template
}

/// Name of the ConfigMap that a Deployment's variable comes from.
fn reference(world: &World, deployment: &str) -> String {
    let source = &template(world, deployment)["spec"]["containers"][0]["env"][0]["valueFrom"];
    source["configMapKeyRef"]["name"].as_str().unwrap_or_default().to_owned()
}

/// Names of the pods of a Deployment.
fn pods(world: &World, app: &str) -> BTreeSet<String> {
    let pods = world.kube.list("pods", Some("shop")).into_iter();
    pods.filter(|pod| {
        pod["metadata"]["labels"]["app"] == app && pod["metadata"]["deletionTimestamp"].is_null()
    })
    .filter_map(|pod| pod["metadata"]["name"].as_str().map(str::to_owned))
    .collect()
}

fn listed(requests: &[Request]) -> String {
    requests.iter().map(|request| format!("{request}\n")).collect()
}

async fn stays(world: &World, phase: &str) {
    let left = world.until(Duration::from_secs(1800), |world| world.phase("shop", "frontend") != phase).await;
    assert!(!left, "{:#?}", world.events("shop", "frontend"));
}

// spec: 02/C80 02/C82 01/API-051
#[tokio::test(start_paused = true)]
async fn a_changed_config_map_is_released_like_a_new_version() {
    let (world, controller) = initialized().await;
    let recorded = world.status("shop", "frontend")["trackedConfigs"].clone();
    assert_eq!(recorded["configmap/settings"], EUR);
    assert_eq!(recorded.as_object().map(|all| all.len()), Some(2), "{recorded}");
    assert_eq!(reference(&world, "frontend-primary"), "settings-primary");
    let before = pods(&world, "frontend-primary");

    set_currency(&world, "USD");
    has_weight(&world, "frontend", 50).await;
    assert_eq!(currency(&world, "settings-primary"), "EUR", "not before its analysis");
    assert_eq!(pods(&world, "frontend-primary"), before);
    reaches(&world, "frontend", "Succeeded").await;
    controller.stop().await;
    assert_eq!(currency(&world, "settings-primary"), "USD");
    assert!(pods(&world, "frontend-primary").is_disjoint(&before), "the primary's pods start with it");
    assert_eq!(world.status("shop", "frontend")["trackedConfigs"]["configmap/settings"], USD);
}

// spec: 02/C82
#[tokio::test(start_paused = true)]
async fn a_config_that_fails_never_reaches_the_primary_and_is_not_tried_again() {
    let (world, controller) = initialized().await;
    let primary = template(&world, "frontend-primary");
    world.backend.fault(Some(Fault::Unreachable));
    set_currency(&world, "USD");
    reaches(&world, "frontend", "Failed").await;
    world.backend.fault(None);
    stays(&world, "Failed").await;
    controller.stop().await;
    assert_eq!(currency(&world, "settings-primary"), "EUR");
    assert_eq!(template(&world, "frontend-primary"), primary);
}

// spec: 02/C82
#[tokio::test(start_paused = true)]
async fn a_config_change_in_a_run_restarts_the_analysis_with_fresh_pods() {
    let (world, controller) = initialized().await;
    let written = template(&world, "frontend");
    world.set_image("shop", "frontend", NEXT);
    has_weight(&world, "frontend", 25).await;
    let before = pods(&world, "frontend");
    set_currency(&world, "USD");
    assert!(
        world
            .until(Duration::from_secs(5), |world| world.weights("shop", "frontend") == Some((100, 0)))
            .await,
        "it does not wait for the next interval"
    );
    has_weight(&world, "frontend", 25).await;
    assert!(pods(&world, "frontend").is_disjoint(&before), "pods that started with euros are not analysed");
    // Whoever applies the manifest again takes nothing away.
    world
        .apply(&MANIFEST.replace("frontend:1.0.0", "frontend:2.0.0").replace("EUR", "USD"))
        .expect("applied again");
    let restarts = |world: &World| {
        world
            .events("shop", "frontend")
            .iter()
            .filter(|text| text.starts_with("New revision detected! Restarting"))
            .count()
    };
    reaches(&world, "frontend", "Succeeded").await;
    controller.stop().await;
    assert_eq!(restarts(&world), 1);
    assert_eq!(currency(&world, "settings-primary"), "USD");
    let mut expected = written;
    expected["spec"]["containers"][0]["image"] = NEXT.into();
    assert_eq!(template(&world, "frontend"), expected, "at rest the target is as its user wrote it");
}

// spec: 02/C78
#[tokio::test(start_paused = true)]
async fn a_missing_config_stops_the_canary_with_its_name_until_it_is_there() {
    let world = World::builder().build();
    let controller = world.start_controller();
    let (config_map, rest) = MANIFEST.split_once("\n---\n").expect("several documents");
    world.apply(rest).expect("a manifest that the cluster takes");
    let text = "configmap settings.shop get query error: configmaps \"settings\" not found";
    let told = |world: &World| world.events("shop", "frontend").iter().any(|event| event == text);
    assert!(world.until(HOUR, told).await, "{:#?}", world.events("shop", "frontend"));
    assert!(world.kube.get("deployments.apps", "shop", "frontend-primary").is_none());
    world.apply(config_map).expect("a ConfigMap");
    reaches(&world, "frontend", "Initialized").await;

    // In a run it costs nothing but time; and the pods that run keep their traffic.
    world.set_image("shop", "frontend", NEXT);
    has_weight(&world, "frontend", 25).await;
    world.kube.delete("configmaps", "shop", "settings");
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(world.weights("shop", "frontend"), Some((75, 25)));
    assert_eq!(world.status("shop", "frontend")["failedChecks"], 0);
    world.apply(config_map).expect("a ConfigMap");
    reaches(&world, "frontend", "Succeeded").await;
    controller.stop().await;
    assert!(!world.events("shop", "frontend").iter().any(|text| text.contains("Restarting analysis")));
}

// spec: 02/C78 02/C82
#[tokio::test(start_paused = true)]
async fn an_optional_config_that_appears_is_a_change() {
    let (world, controller) = initialized().await;
    let flags =
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: flags, namespace: shop}, data: {beta: 'on'}}";
    world.apply(flags).expect("a ConfigMap");
    reaches(&world, "frontend", "Succeeded").await;
    controller.stop().await;
    let source = &template(&world, "frontend-primary")["spec"]["containers"][0]["envFrom"][0]["configMapRef"];
    assert_eq!(*source, json!({"name": "flags-primary", "optional": true}));
    assert!(world.kube.get("configmaps", "shop", "flags-primary").is_some());
}

/// From now on the API refuses to list and watch Secrets.
fn forbid_secrets(world: &World) {
    world.kube.intercept(|request| {
        if request.caller == "vexil" && request.is_kind("secrets") && request.name.is_none() {
            let mut status = ApiStatus::unauthorized();
            status.code = 403;
            status.message = "secrets is forbidden".into();
            return Fate::Fail(status);
        }
        Fate::Pass
    });
}

#[tokio::test(start_paused = true)]
async fn configs_that_cannot_be_read_are_unknown_and_not_changed() {
    let (world, controller) = initialized().await;
    controller.stop().await;
    forbid_secrets(&world);
    let controller = world.start_controller();
    stays(&world, "Initialized").await;
    let told = "secret payment-key.shop get query error: secrets is forbidden (allow our service account to list and watch \
                secrets)"
        .to_owned();
    assert!(world.events("shop", "frontend").contains(&told), "{:#?}", world.events("shop", "frontend"));
    // Nothing that cannot be promoted in the end is begun.
    set_currency(&world, "USD");
    stays(&world, "Initialized").await;
    world.kube.stop_intercepting();
    reaches(&world, "frontend", "Succeeded").await;
    controller.stop().await;
    assert_eq!(currency(&world, "settings-primary"), "USD");
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_starts_begins_no_run_while_it_fills_its_caches() {
    let (world, controller) = initialized().await;
    controller.stop().await;
    world.kube.intercept(|request| {
        let slow = request.is_kind("configmaps") || request.is_kind("secrets");
        if slow { Fate::Delay(Duration::from_secs(20)) } else { Fate::Pass }
    });
    let controller = world.start_controller();
    stays(&world, "Initialized").await;
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn contents_that_changed_after_the_decision_are_not_promoted() {
    let (world, controller) = initialized().await;
    set_currency(&world, "USD");
    has_weight(&world, "frontend", 50).await;
    // The controller does not hear of it before it promotes.
    world.kube.stall_watches_of("vexil");
    set_currency(&world, "CHF");
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(currency(&world, "settings-primary"), "EUR");
    assert_eq!(world.phase("shop", "frontend"), "Progressing");
    world.kube.resume_watches();
    reaches(&world, "frontend", "Succeeded").await;
    controller.stop().await;
    let restarted = "New revision detected! Restarting analysis for frontend.shop".to_owned();
    assert!(world.events("shop", "frontend").contains(&restarted));
    assert_eq!(currency(&world, "settings-primary"), "CHF");
}

#[tokio::test(start_paused = true)]
async fn a_canary_with_configs_costs_no_request_at_rest_and_three_a_step() {
    let (world, controller) = initialized().await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    world.kube.clear_requests();
    tokio::time::sleep(Duration::from_secs(600)).await;
    let requests = world.kube.requests_of("vexil");
    assert!(requests.is_empty(), "{}", listed(&requests));

    set_currency(&world, "USD");
    has_weight(&world, "frontend", 25).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    world.kube.clear_requests();
    has_weight(&world, "frontend", 50).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let requests = world.kube.requests_of("vexil");
    let told: Vec<&str> = requests.iter().map(|request| request.plural.as_str()).collect();
    assert_eq!(told, ["virtualservices", "canaries", "events"], "{}", listed(&requests));
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nobody_looks_at_configs_that_no_release_refers_to() {
    for (manifest, tracking) in [(PLAIN, true), (MANIFEST, false)] {
        let settings = Settings { config_tracking: tracking, ..Settings::default() };
        let world = World::builder().settings(settings).build();
        let controller = world.start_controller();
        world.apply(manifest).expect("a manifest that the cluster takes");
        reaches(&world, "frontend", "Initialized").await;
        world.set_image("shop", "frontend", NEXT);
        reaches(&world, "frontend", "Succeeded").await;
        controller.stop().await;
        let requests = world.kube.requests_of("vexil");
        let looked: Vec<Request> = requests
            .into_iter()
            .filter(|request| request.is_kind("configmaps") || request.is_kind("secrets"))
            .collect();
        assert!(looked.is_empty(), "{}", listed(&looked));
        assert!(world.status("shop", "frontend").get("trackedConfigs").is_none_or(|all| *all == json!({})));
    }
}

/// Turns status and primary into what Flagger leaves.
fn hand_over_from_flagger(world: &World) {
    let status = json!({"status": {
        "lastAppliedSpec": "5498f4fcd6", "lastPromotedSpec": "5498f4fcd6", "appliedTarget": null,
        "lastCheckTime": null, "observedGeneration": null,
    }});
    world.kube.patch_status("flagger", "canaries.flagger.app", "shop", "frontend", status).expect("a Canary");
    let pods =
        json!({"spec": {"template": {"metadata": {"annotations": {"flagger.app/config-checksum": null}}}}});
    world.kube.patch("flagger", "deployments.apps", "shop", "frontend-primary", pods).expect("a primary");
}

// spec: 02/C73 02/C79
#[tokio::test(start_paused = true)]
async fn taking_over_from_flagger_starts_no_run_and_keeps_the_copies() {
    let (world, controller) = initialized().await;
    controller.stop().await;
    hand_over_from_flagger(&world);
    let controller = world.start_controller();
    stays(&world, "Initialized").await;
    assert_eq!(world.status("shop", "frontend")["trackedConfigs"]["configmap/settings"], EUR);

    world.set_image("shop", "frontend", NEXT);
    reaches(&world, "frontend", "Succeeded").await;
    controller.stop().await;
    assert_eq!(reference(&world, "frontend-primary"), "settings-primary");
    assert_eq!(currency(&world, "settings-primary"), "EUR");
}

// spec: 02/C73 02/C82
#[tokio::test(start_paused = true)]
async fn an_edit_between_flagger_and_us_is_released() {
    let (world, controller) = initialized().await;
    controller.stop().await;
    hand_over_from_flagger(&world);
    set_currency(&world, "USD");
    let controller = world.start_controller();
    reaches(&world, "frontend", "Succeeded").await;
    controller.stop().await;
    assert_eq!(currency(&world, "settings-primary"), "USD");
    let events = world.events("shop", "frontend");
    assert!(events.contains(&"Advance frontend.shop canary weight 25".to_owned()), "{events:#?}");
}

#[tokio::test(start_paused = true)]
async fn tracking_that_is_switched_on_adopts_what_it_finds() {
    let (world, controller) = initialized().await;
    controller.stop().await;
    let untracked = json!({"status": {"trackedConfigs": null}});
    world
        .kube
        .patch_status("vexil", "canaries.flagger.app", "shop", "frontend", untracked)
        .expect("a Canary");
    let controller = world.start_controller();
    stays(&world, "Initialized").await;
    assert_eq!(world.status("shop", "frontend")["trackedConfigs"]["configmap/settings"], EUR);
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_copy_of_a_config_map_that_was_renamed_goes_once_the_primary_has_the_new_one() {
    // spec: 02/C80
    let (world, controller) = initialized().await;
    assert!(world.kube.get("configmaps", "shop", "settings-primary").is_some());
    let named = MANIFEST.replace("name: settings", "name: settings-v2");
    assert_ne!(named, MANIFEST);
    world.apply(&named).expect("a manifest that the cluster takes");
    has_weight(&world, "frontend", 25).await;
    assert!(world.kube.get("configmaps", "shop", "settings-primary").is_some(), "the primary still needs it");
    reaches(&world, "frontend", "Succeeded").await;
    assert!(world.kube.get("configmaps", "shop", "settings-v2-primary").is_some());
    assert!(
        world.until(HOUR, |world| world.kube.get("configmaps", "shop", "settings-primary").is_none()).await
    );
    assert!(world.kube.get("configmaps", "shop", "settings").is_some(), "the user's own object stays");
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn two_canaries_do_not_promote_a_shared_config_map_for_each_other() {
    let (world, controller) = initialized().await;
    let (_, rest) = MANIFEST.split_once("\n---\n").expect("several documents");
    let (_, rest) = rest.split_once("\n---\n").expect("several documents");
    let checkout = rest
        .replace("frontend", "checkout")
        .replace("interval: 30s", "interval: 10m")
        .replace("shop.example.com", "pay.example.com");
    world.apply(&checkout).expect("a manifest that the cluster takes");
    reaches(&world, "checkout", "Initialized").await;
    assert_eq!(reference(&world, "checkout-primary"), "settings-primary");

    set_currency(&world, "USD");
    reaches(&world, "frontend", "Succeeded").await;
    assert_eq!(world.phase("shop", "checkout"), "Progressing");
    assert_eq!(currency(&world, "settings-primary"), "EUR", "the checkout's primary still runs with euros");
    assert_eq!(reference(&world, "frontend-primary"), "settings-primary-frontend");
    assert_eq!(currency(&world, "settings-primary-frontend"), "USD");

    reaches(&world, "checkout", "Succeeded").await;
    controller.stop().await;
    assert_eq!(reference(&world, "checkout-primary"), "settings-primary");
    assert_eq!(currency(&world, "settings-primary"), "USD");
}

#[tokio::test(start_paused = true)]
async fn going_back_to_the_promoted_version_does_not_lose_a_changed_config() {
    let (world, controller) = initialized().await;
    world.set_image("shop", "frontend", NEXT);
    set_currency(&world, "USD");
    has_weight(&world, "frontend", 25).await;
    world.set_image("shop", "frontend", "registry.example.com/shop/frontend:1.0.0");
    reaches(&world, "frontend", "Succeeded").await;
    controller.stop().await;
    assert_eq!(currency(&world, "settings-primary"), "USD");
}

/// What a release leaves behind: the copies, and what the primary's and the target's pods are.
fn remains(world: &World) -> Vec<Value> {
    let mut left: Vec<Value> = ["frontend", "frontend-primary"]
        .map(|name| {
            let mut template = template(world, name);
            if let Some(annotations) = template["metadata"]["annotations"].as_object_mut() {
                annotations.remove("flagger-id");
            }
            template
        })
        .into();
    left.extend(world.kube.list("configmaps", Some("shop")).into_iter().map(|object| {
        json!({"name": object["metadata"]["name"], "data": object["data"], "owners": object["metadata"]["ownerReferences"][0]["name"]})
    }));
    left.push(world.status("shop", "frontend")["trackedConfigs"].clone());
    left
}

/// Releases another currency, and changes it again in the middle of the run; the controller dies right after its
/// `n`th write and is started again. Gives what is left and how many writes there were.
async fn release_with_death_after(n: u64) -> (Vec<Value>, u64) {
    let (world, controller) = initialized().await;
    let writes = Arc::new(AtomicU64::new(0));
    let fence = Arc::new(Mutex::new(controller.fence.clone()));
    let (counted, closed) = (Arc::clone(&writes), Arc::clone(&fence));
    world.kube.intercept(move |request| {
        if request.caller != "vexil" || !request.is_write() || request.is_kind("events") {
            return Fate::Pass;
        }
        if counted.fetch_add(1, Ordering::SeqCst) + 1 == n {
            closed.lock().expect("no panic").publish(Claim::None);
            return Fate::DropAfter;
        }
        Fate::Pass
    });
    set_currency(&world, "USD");
    let mut controller = Some(controller);
    let mut changed = false;
    for _ in 0..7200 {
        let dead =
            controller.as_ref().is_some_and(|c| !c.fence.claim().is_valid(tokio::time::Instant::now()));
        if dead && writes.load(Ordering::SeqCst) >= n {
            controller.take().expect("a controller").kill();
            let fresh = world.start_controller();
            *fence.lock().expect("no panic") = fresh.fence.clone();
            controller = Some(fresh);
        }
        if !changed && world.weights("shop", "frontend") == Some((75, 25)) {
            set_currency(&world, "CHF");
            changed = true;
        }
        if world.phase("shop", "frontend") == "Succeeded" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(
        world.phase("shop", "frontend"),
        "Succeeded",
        "after write {n}: {:#?}",
        world.events("shop", "frontend")
    );
    tokio::time::sleep(Duration::from_secs(60)).await;
    if let Some(controller) = controller {
        controller.kill();
    }
    (remains(&world), writes.load(Ordering::SeqCst))
}

// spec: 02/C41
#[tokio::test(start_paused = true)]
async fn dying_between_any_two_writes_of_a_config_release_changes_nothing_in_the_end() {
    let (expected, writes) = release_with_death_after(u64::MAX).await;
    assert!(writes > 10, "{writes} writes");
    for n in 1..=writes {
        let (left, _) = release_with_death_after(n).await;
        assert_eq!(left, expected, "after write {n}");
    }
}
