//! Whole releases on the embedded cluster in virtual time, with manifests as users have them.

use std::time::Duration;

use vexil::sim::{Fault, Version, World};

const FRONTEND: &str = include_str!("../data/shop/frontend.yaml");
const QUARTERS: &str = include_str!("../data/shop/frontend-quarters.yaml");
const LEGACY: &str = include_str!("../data/shop/legacy-v1alpha3.yaml");
const PAYMENTS: &str = include_str!("../data/shop/payments-kubernetes.yaml");

const NEXT: &str = "registry.example.com/shop/frontend:2.0.0";

/// Waits for a phase of the Canary, and says what happened if it does not come.
async fn reaches(world: &World, canary: &str, phase: &str) {
    let met = world.until(Duration::from_secs(3600), |world| world.phase("shop", canary) == phase).await;
    assert!(
        met,
        "{canary} does not reach {phase}: {:#}\n{:#?}",
        world.status("shop", canary),
        world.events("shop", canary)
    );
}

async fn initialized(manifest: &str, canary: &str) -> (World, vexil::sim::Running) {
    let world = World::builder().build();
    let controller = world.start_controller();
    world.apply(manifest).expect("a manifest that the cluster takes");
    reaches(&world, canary, "Initialized").await;
    (world, controller)
}

fn image(world: &World, deployment: &str) -> String {
    let object = world.kube.get("deployments.apps", "shop", deployment).expect("a Deployment");
    object["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(start_paused = true)]
async fn the_frontend_climbs_in_steps_of_five_to_fifty_and_is_promoted() {
    let (world, controller) = initialized(FRONTEND, "frontend").await;
    assert_eq!(world.weights("shop", "frontend"), Some((100, 0)));
    world.set_image("shop", "frontend", NEXT);
    for weight in (5..=50).step_by(5) {
        let met = world
            .until(Duration::from_secs(300), |world| {
                world.weights("shop", "frontend") == Some((100 - weight, weight))
            })
            .await;
        assert!(met, "weight {weight} never came: {:#?}", world.events("shop", "frontend"));
    }
    reaches(&world, "frontend", "Succeeded").await;
    assert_eq!(world.weights("shop", "frontend"), Some((100, 0)));
    assert_eq!(image(&world, "frontend-primary"), NEXT);
    let target = world.kube.get("deployments.apps", "shop", "frontend").expect("the target");
    assert_eq!(target["spec"]["replicas"], 0);
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_release_in_quarters_tells_its_story_in_order() {
    let (world, controller) = initialized(QUARTERS, "frontend").await;
    let before = world.events("shop", "frontend").len();
    world.set_image("shop", "frontend", NEXT);
    reaches(&world, "frontend", "Succeeded").await;
    controller.stop().await;
    let story: Vec<String> = world.events("shop", "frontend").split_off(before);
    let told: Vec<&str> =
        story.iter().map(String::as_str).filter(|text| !text.contains("not ready")).collect();
    assert_eq!(
        told,
        [
            "New revision detected! Scaling up frontend.shop",
            "Starting canary analysis for frontend.shop",
            "Advance frontend.shop canary weight 25",
            "Advance frontend.shop canary weight 50",
            "Copying frontend.shop template spec to frontend-primary.shop",
            "Routing all traffic to primary",
            "Promotion completed! Scaling down frontend.shop",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_version_with_errors_is_rolled_back_and_not_tried_again() {
    let (world, controller) = initialized(QUARTERS, "frontend").await;
    world.backend.version("2.0.0", Version { success_rate: 93.0, p99_millis: 100.0 });
    world.set_image("shop", "frontend", NEXT);
    reaches(&world, "frontend", "Failed").await;
    assert_eq!(world.weights("shop", "frontend"), Some((100, 0)));
    assert_eq!(image(&world, "frontend-primary"), "registry.example.com/shop/frontend:1.0.0");
    let events = world.events("shop", "frontend");
    assert!(
        events.contains(&"Halt frontend.shop advancement success rate 93.00% < 99%".to_owned()),
        "{events:#?}"
    );
    assert!(
        !world.until(Duration::from_secs(1800), |world| world.phase("shop", "frontend") != "Failed").await
    );
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_prometheus_ends_in_a_rollback_that_says_so() {
    let (world, controller) = initialized(QUARTERS, "frontend").await;
    world.backend.fault(Some(Fault::Unreachable));
    world.set_image("shop", "frontend", NEXT);
    reaches(&world, "frontend", "Failed").await;
    controller.stop().await;
    let events = world.events("shop", "frontend");
    assert!(events.iter().any(|text| text.starts_with("Prometheus query failed: ")), "{events:#?}");
    let end: Vec<&str> = events.iter().rev().take(2).rev().map(String::as_str).collect();
    assert_eq!(
        end,
        [
            "Rolling back frontend.shop failed checks threshold reached 5",
            "Canary failed! Scaling down frontend.shop"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn an_old_manifest_is_understood_and_its_query_judged() {
    let (world, controller) = initialized(LEGACY, "catalog").await;
    let events = world.events("shop", "catalog");
    assert!(
        events.iter().any(|text| text.contains("canaryAnalysis") && text.contains("analysis")),
        "{events:#?}"
    );
    world.backend.query("!=\"404\"", 7.5);
    world.set_image("shop", "catalog", "registry.example.com/shop/catalog:2.0.0");
    reaches(&world, "catalog", "Failed").await;
    controller.stop().await;
    let events = world.events("shop", "catalog");
    assert!(
        events.contains(&"Halt catalog.shop advancement 404s percentage 7.50 > 5".to_owned()),
        "{events:#?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_change_to_a_running_release_restarts_its_analysis() {
    let (world, controller) = initialized(QUARTERS, "frontend").await;
    world.set_image("shop", "frontend", NEXT);
    assert!(
        world
            .until(Duration::from_secs(300), |world| world.weights("shop", "frontend") == Some((75, 25)))
            .await
    );
    world.set_image("shop", "frontend", "registry.example.com/shop/frontend:2.0.1");
    assert!(
        world
            .until(Duration::from_secs(5), |world| world.weights("shop", "frontend") == Some((100, 0)))
            .await,
        "the new revision does not wait for the next interval"
    );
    reaches(&world, "frontend", "Succeeded").await;
    assert_eq!(image(&world, "frontend-primary"), "registry.example.com/shop/frontend:2.0.1");
    let events = world.events("shop", "frontend");
    assert!(events.contains(&"New revision detected! Restarting analysis for frontend.shop".to_owned()));
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_version_that_never_gets_ready_is_rolled_back_at_its_deadline() {
    let (world, controller) = initialized(QUARTERS, "frontend").await;
    world.set_image("shop", "frontend", "registry.example.com/shop/frontend:bad-image");
    reaches(&world, "frontend", "Failed").await;
    let events = world.events("shop", "frontend");
    assert!(
        events.iter().any(|text| text.starts_with("Rolling back frontend.shop progress deadline exceeded"))
    );
    assert_eq!(image(&world, "frontend-primary"), "registry.example.com/shop/frontend:1.0.0");
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn blue_green_on_plain_kubernetes_promotes_after_its_checks() {
    let (world, controller) = initialized(PAYMENTS, "payments").await;
    world.set_image("shop", "payments", "registry.example.com/shop/payments:2.0.0");
    reaches(&world, "payments", "Succeeded").await;
    controller.stop().await;
    assert_eq!(image(&world, "payments-primary"), "registry.example.com/shop/payments:2.0.0");
    assert_eq!(world.backend.hook_calls().len(), 1, "the smoke test ran once");
    let service = world.kube.get("services", "shop", "payments").expect("the apex Service");
    assert_eq!(service["spec"]["selector"]["app"], "payments-primary");
}

// spec: 02/C93 02/C88 02/C92
#[tokio::test(start_paused = true)]
async fn every_type_of_hook_is_called_at_its_moment_and_the_event_hook_hears_the_whole_story() {
    let types = [
        "confirm-rollout",
        "pre-rollout",
        "rollout",
        "confirm-traffic-increase",
        "confirm-promotion",
        "post-rollout",
        "event",
    ];
    let hooks: String = types
        .iter()
        .map(|kind| {
            format!("      - name: {kind}\n        type: {kind}\n        url: http://hooks.shop/{kind}\n")
        })
        .collect();
    let manifest = QUARTERS
        .replace("stepWeight: 25", "stepWeight: 100\n    stepWeightPromotion: 50")
        .replace("maxWeight: 50", "maxWeight: 100")
        .replace("    metrics:\n", &format!("    webhooks:\n{hooks}    metrics:\n"));
    let (world, controller) = initialized(&manifest, "frontend").await;
    world.set_image("shop", "frontend", NEXT);
    reaches(&world, "frontend", "Succeeded").await;
    controller.stop().await;
    let told: Vec<String> = world
        .backend
        .hook_calls()
        .iter()
        .map(|call| match call.url.trim_start_matches("http://hooks.shop/") {
            "event" => call.body["metadata"]["eventMessage"].as_str().unwrap_or_default().to_owned(),
            kind => format!("({kind} {})", call.body["phase"].as_str().unwrap_or_default()),
        })
        .filter(|text| !text.contains("not ready"))
        .collect();
    assert_eq!(
        told,
        [
            "all the metrics providers are available!",
            "all the metrics providers are available!",
            "Initialization done! frontend.shop",
            "(confirm-rollout Initialized)",
            "Confirm-rollout check confirm-rollout passed",
            "New revision detected! Scaling up frontend.shop",
            "(pre-rollout Progressing)",
            "(confirm-traffic-increase Progressing)",
            "Starting canary analysis for frontend.shop",
            "Pre-rollout check pre-rollout passed",
            "Confirm-traffic-increase check confirm-traffic-increase passed",
            "Advance frontend.shop canary weight 100",
            "(rollout Progressing)",
            "(confirm-traffic-increase Progressing)",
            "(confirm-promotion Progressing)",
            "Confirm-traffic-increase check confirm-traffic-increase passed",
            "Confirm-promotion check confirm-promotion passed",
            "Copying frontend.shop template spec to frontend-primary.shop",
            "Advance frontend.shop primary weight 50",
            "Advance frontend.shop primary weight 100",
            "(post-rollout Succeeded)",
            "Post-rollout check post-rollout passed",
            "Promotion completed! Scaling down frontend.shop",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_is_turned_to_another_target_never_has_a_service_without_pods() {
    let named = QUARTERS.replace("  service:\n", "  service:\n    name: shop\n");
    assert_ne!(named, QUARTERS);
    let (world, controller) = initialized(&named, "frontend").await;
    // The same program under another name, and the Canary that points to it.
    let turned = named.replace("name: frontend\n", "name: storefront\n");
    let turned = turned.replace("app: frontend\n", "app: storefront\n");
    let turned = turned.replacen(
        "kind: Canary\nmetadata:\n  name: storefront",
        "kind: Canary\nmetadata:\n  name: frontend",
        1,
    );
    let selector = |world: &World, service: &str| {
        let service = world.kube.get("services", "shop", service).expect("a Service of the Canary");
        service["spec"]["selector"]["app"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(selector(&world, "shop"), "frontend-primary");
    world.apply(&turned).expect("a manifest that the cluster takes");
    let ready = |world: &World| {
        let primary = world.kube.get("deployments.apps", "shop", "storefront-primary");
        primary.is_some_and(|primary| primary["status"]["readyReplicas"].as_i64() > Some(0))
    };
    let moved = world
        .until(Duration::from_secs(3600), |world| {
            for service in ["shop", "shop-primary"] {
                let with_pods = selector(world, service) == "frontend-primary" || ready(world);
                assert!(with_pods, "{service} has no pods");
            }
            selector(world, "shop") == "storefront-primary"
        })
        .await;
    assert!(moved, "{:#?}", world.events("shop", "frontend"));
    reaches(&world, "frontend", "Initialized").await;
    let events = world.events("shop", "frontend");
    assert!(
        events.contains(&"The target is Deployment storefront.shop now, initializing it".to_owned()),
        "{events:#?}"
    );
    controller.stop().await;
}
