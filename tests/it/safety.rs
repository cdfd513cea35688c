//! Traffic goes to pods that answer, and a release that got stuck has a way out: stories that once ended in an outage.

use std::time::Duration;

use kubesim::{ApiStatus, Fate, PodBehaviour, PodRules};
use rstest::rstest;
use serde_json::{Value, json};
use vexil::sim::{Running, TrafficWatch, Version, World};

const QUARTERS: &str = include_str!("../data/shop/frontend-quarters.yaml");
const NEXT: &str = "registry.example.com/shop/frontend:2.0.0";
const FIX: &str = "registry.example.com/shop/frontend:2.0.1";
const HOUR: Duration = Duration::from_secs(3600);
/// How long a side that has lost its last ready pod may keep its share.
const SOON: Duration = Duration::from_secs(2);

async fn reaches(world: &World, phase: &str) {
    let met = world.until(HOUR, |world| world.phase("shop", "frontend") == phase).await;
    assert!(met, "{phase}: {:#}\n{:#?}", world.status("shop", "frontend"), world.events("shop", "frontend"));
}

async fn has_weight(world: &World, weight: i64) {
    let met =
        world.until(HOUR, |world| world.weights("shop", "frontend") == Some((100 - weight, weight))).await;
    assert!(met, "weight {weight} never came: {:#?}", world.events("shop", "frontend"));
}

async fn initialized(manifest: &str) -> (World, Running, TrafficWatch) {
    let world = World::builder().build();
    let watch = TrafficWatch::new(&world, SOON);
    let controller = world.start_controller();
    world.apply(manifest).expect("a manifest that the cluster takes");
    reaches(&world, "Initialized").await;
    (world, controller, watch)
}

/// The shop's frontend with as many pods as are written, and without an autoscaler.
fn fixed(replicas: u32) -> String {
    let start = QUARTERS.find("---\napiVersion: autoscaling/v2").expect("an autoscaler");
    let end = QUARTERS.find("---\napiVersion: flagger.app").expect("a Canary");
    let text = format!("{}{}", &QUARTERS[..start], &QUARTERS[end..]);
    let reference = "  autoscalerRef:\n    apiVersion: autoscaling/v2\n    kind: HorizontalPodAutoscaler\n    name: frontend\n";
    assert!(text.contains(reference));
    text.replace(reference, "").replacen(
        "  minReadySeconds: 0\n",
        &format!("  minReadySeconds: 0\n  replicas: {replicas}\n"),
        1,
    )
}

fn edit_canary(world: &World, edit: impl FnOnce(&mut Value)) {
    let mut canary = world.kube.get("canaries.flagger.app", "shop", "frontend").expect("the Canary");
    edit(&mut canary);
    world.kube.put(canary);
}

fn edit_target(world: &World, edit: impl FnOnce(&mut Value)) {
    let mut target = world.kube.get("deployments.apps", "shop", "frontend").expect("the target");
    edit(&mut target);
    world.kube.put(target);
}

fn ask(world: &World, action: &str) {
    let revision =
        world.status("shop", "frontend")["lastAppliedSpec"].as_str().expect("a revision").to_owned();
    edit_canary(world, |canary| {
        canary["metadata"]["annotations"]["flagger.app/request"] = json!(format!("{action} {revision}"));
    });
}

/// Pods whose name begins with `prefix`, without those of deeper names.
fn pods(world: &World, prefix: &str) -> Vec<Value> {
    let all = world.kube.list("pods", Some("shop")).into_iter();
    let own = |pod: &Value| {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        name.strip_prefix(prefix).is_some_and(|rest| rest.matches('-').count() == 2)
    };
    all.filter(own).collect()
}

/// The pods of a workload are not ready any more.
fn die(world: &World, workload: &str) {
    let pods = pods(world, workload);
    assert!(!pods.is_empty(), "{workload} has no pods");
    for pod in pods {
        world.kube.set_pod_ready("shop", pod["metadata"]["name"].as_str().expect("a name"), Some(false));
    }
}

fn endpoints(world: &World, service: &str) -> usize {
    let slices = world.kube.list("endpointslices.discovery.k8s.io", Some("shop")).into_iter();
    let own = slices.filter(|slice| slice["metadata"]["labels"]["kubernetes.io/service-name"] == service);
    own.map(|slice| {
        let endpoints = slice["endpoints"].as_array().cloned().unwrap_or_default();
        endpoints.iter().filter(|endpoint| endpoint["conditions"]["ready"] == true).count()
    })
    .sum()
}

/// The primary cannot run version 2.0.0, whatever the canary can.
fn primary_fails() -> PodRules {
    let broken = |facts: &kubesim::PodFacts| {
        facts.pod.starts_with("frontend-primary") && facts.image.ends_with(":2.0.0")
    };
    PodRules::default().rule(broken, PodBehaviour::never_ready())
}

/// A promotion that failed: the primary's rollout sticks, its old pods are ready, the canary has all traffic.
async fn stuck(manifest: &str) -> (World, Running, TrafficWatch) {
    let (world, controller, watch) = initialized(manifest).await;
    world.kube.set_pod_rules(primary_fails());
    world.set_image("shop", "frontend", NEXT);
    reaches(&world, "Failed").await;
    assert_eq!(world.weights("shop", "frontend"), Some((0, 100)), "{:#?}", world.events("shop", "frontend"));
    assert!(endpoints(&world, "frontend-primary") > 0, "the old pods of the primary");
    (world, controller, watch)
}

async fn succeeded(world: World, controller: Running, watch: TrafficWatch) {
    reaches(&world, "Succeeded").await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(world.weights("shop", "frontend"), Some((100, 0)));
    assert!(endpoints(&world, "frontend-primary") > 0);
    assert_eq!(watch.broken(), [""; 0]);
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_fix_is_analysed_and_promoted_after_a_promotion_that_stuck() {
    let (world, controller, watch) = stuck(QUARTERS).await;
    world.set_image("shop", "frontend", FIX);
    // Nobody has analysed the fix: the old pods of the primary serve until somebody has.
    has_weight(&world, 0).await;
    has_weight(&world, 25).await;
    has_weight(&world, 50).await;
    succeeded(world, controller, watch).await;
}

#[derive(Clone, Copy)]
enum WayOut {
    SkipAnalysis,
    Promote,
    Retry,
    OldVersion,
    DeletedPrimary,
}

#[rstest]
#[case::skip_analysis(WayOut::SkipAnalysis)]
#[case::promote(WayOut::Promote)]
#[case::retry(WayOut::Retry)]
#[case::the_old_version(WayOut::OldVersion)]
#[case::deleting_the_primary(WayOut::DeletedPrimary)]
#[tokio::test(start_paused = true)]
async fn every_way_out_of_a_promotion_that_stuck_works(#[case] way: WayOut) {
    let (world, controller, watch) = stuck(QUARTERS).await;
    match way {
        WayOut::SkipAnalysis => {
            edit_canary(&world, |canary| canary["spec"]["skipAnalysis"] = json!(true));
            world.set_image("shop", "frontend", FIX);
        }
        WayOut::Promote => {
            world.set_image("shop", "frontend", FIX);
            reaches(&world, "Progressing").await;
            ask(&world, "promote");
        }
        WayOut::Retry => {
            // Whatever kept the primary's pods from being ready is mended.
            world.kube.set_pod_rules(PodRules::default());
            for pod in pods(&world, "frontend-primary") {
                world.kube.delete("pods", "shop", pod["metadata"]["name"].as_str().expect("a name"));
            }
            ask(&world, "retry");
        }
        WayOut::OldVersion => {
            world.set_image("shop", "frontend", "registry.example.com/shop/frontend:1.0.0");
        }
        WayOut::DeletedPrimary => {
            world.kube.delete("deployments.apps", "shop", "frontend-primary");
            let back =
                |world: &World| world.kube.get("deployments.apps", "shop", "frontend-primary").is_some();
            assert!(world.until(SOON, back).await);
            assert_eq!(world.weights("shop", "frontend"), Some((0, 100)));
            world.set_image("shop", "frontend", FIX);
        }
    }
    succeeded(world, controller, watch).await;
}

#[tokio::test(start_paused = true)]
async fn a_revision_that_nobody_analysed_gets_nothing_when_the_promotion_before_it_sticks() {
    let (world, controller, watch) = initialized(QUARTERS).await;
    world.kube.set_pod_rules(primary_fails());
    world.set_image("shop", "frontend", NEXT);
    reaches(&world, "Promoting").await;
    world.set_image("shop", "frontend", FIX);
    let met = world.until(SOON, |world| world.weights("shop", "frontend") == Some((100, 0))).await;
    assert!(met, "{:?}", world.weights("shop", "frontend"));
    has_weight(&world, 25).await;
    succeeded(world, controller, watch).await;
}

#[tokio::test(start_paused = true)]
async fn a_revision_behind_a_closed_gate_gets_nothing_after_a_promotion_that_stuck() {
    let gated = QUARTERS.to_owned()
        + "    webhooks:\n      - name: approval\n        type: confirm-rollout\n        url: http://approval.shop/\n";
    let (world, controller, watch) = stuck(&gated).await;
    world.backend.close("approval", true);
    world.set_image("shop", "frontend", FIX);
    let met = world.until(SOON, |world| world.weights("shop", "frontend") == Some((100, 0))).await;
    assert!(met, "{:?}", world.weights("shop", "frontend"));
    reaches(&world, "Waiting").await;
    tokio::time::sleep(HOUR).await;
    assert_eq!(world.weights("shop", "frontend"), Some((100, 0)));
    world.backend.close("approval", false);
    succeeded(world, controller, watch).await;
}

#[derive(Clone, Copy)]
enum Trouble {
    None,
    TargetDeleted,
    AutoscalerDeleted,
    ManifestRefused,
    Suspended,
}

#[rstest]
#[case::in_a_run(Trouble::None)]
#[case::target_deleted(Trouble::TargetDeleted)]
#[case::autoscaler_deleted(Trouble::AutoscalerDeleted)]
#[case::manifest_refused(Trouble::ManifestRefused)]
#[case::suspended(Trouble::Suspended)]
#[tokio::test(start_paused = true)]
async fn a_canary_without_pods_loses_its_share_at_once(
    #[case] trouble: Trouble,
    #[values(false, true)] restarted: bool,
) {
    let (world, mut controller, watch) = initialized(QUARTERS).await;
    world.set_image("shop", "frontend", NEXT);
    has_weight(&world, 25).await;
    match trouble {
        Trouble::None => {}
        Trouble::TargetDeleted => {
            world.kube.delete("deployments.apps", "shop", "frontend");
        }
        Trouble::AutoscalerDeleted => {
            world.kube.delete("horizontalpodautoscalers.autoscaling", "shop", "frontend");
        }
        Trouble::ManifestRefused => {
            let cookies = json!({"cookieName": "side", "primaryCookieName": "side"});
            edit_canary(&world, |canary| canary["spec"]["analysis"]["sessionAffinity"] = cookies);
        }
        Trouble::Suspended => edit_canary(&world, |canary| canary["spec"]["suspend"] = json!(true)),
    }
    if restarted {
        controller.kill();
        controller = world.start_controller();
    }
    if !matches!(trouble, Trouble::TargetDeleted) {
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(world.weights("shop", "frontend"), Some((75, 25)));
        die(&world, "frontend");
    }
    let met = world.until(SOON, |world| world.weights("shop", "frontend") == Some((100, 0))).await;
    assert!(met, "{:?}\n{:#?}", world.weights("shop", "frontend"), world.events("shop", "frontend"));
    assert_eq!(watch.broken(), [""; 0]);
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_carries_everything_after_a_failed_promotion_gives_it_back_with_its_last_pod() {
    let (world, controller, watch) = stuck(QUARTERS).await;
    die(&world, "frontend");
    let met = world.until(SOON, |world| world.weights("shop", "frontend") == Some((100, 0))).await;
    assert!(met, "{:?}", world.weights("shop", "frontend"));
    assert_eq!(watch.broken(), [""; 0]);
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_canary_stands_in_for_a_primary_without_pods_and_gives_back_what_it_has_not_earned() {
    let (world, controller, watch) = initialized(QUARTERS).await;
    world.set_image("shop", "frontend", NEXT);
    has_weight(&world, 25).await;
    die(&world, "frontend-primary");
    let met = world.until(SOON, |world| world.weights("shop", "frontend") == Some((0, 100))).await;
    assert!(met, "{:?}", world.weights("shop", "frontend"));
    for pod in pods(&world, "frontend-primary") {
        world.kube.set_pod_ready("shop", pod["metadata"]["name"].as_str().expect("a name"), None);
    }
    let met = world.until(SOON, |world| world.weights("shop", "frontend") == Some((75, 25))).await;
    assert!(met, "{:?}", world.weights("shop", "frontend"));
    succeeded(world, controller, watch).await;
}

#[tokio::test(start_paused = true)]
async fn a_target_with_another_selector_label_leaves_no_service_without_endpoints() {
    let (world, controller, watch) = initialized(&fixed(2)).await;
    let mut target = world.kube.get("deployments.apps", "shop", "frontend").expect("the target");
    world.kube.delete("deployments.apps", "shop", "frontend");
    target["metadata"] = json!({"name": "frontend", "namespace": "shop"});
    target["spec"]["replicas"] = json!(2);
    target["spec"]["selector"]["matchLabels"] = json!({"app": "storefront"});
    target["spec"]["template"]["metadata"]["labels"] = json!({"app": "storefront"});
    world.kube.put(target);
    for _ in 0..120 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        for service in ["frontend", "frontend-primary"] {
            assert!(endpoints(&world, service) > 0, "{service} leads nowhere");
        }
    }
    world.set_image("shop", "frontend", NEXT);
    has_weight(&world, 25).await;
    succeeded(world, controller, watch).await;
}

#[tokio::test(start_paused = true)]
async fn the_share_leaves_a_primary_whose_pods_are_all_replaced_at_once() {
    let manifest = fixed(2).replacen(
        "  minReadySeconds: 0\n",
        "  minReadySeconds: 0\n  strategy:\n    type: Recreate\n",
        1,
    );
    let (world, controller, watch) = initialized(&manifest).await;
    world
        .kube
        .set_pod_rules(PodRules::default().otherwise(PodBehaviour::ready_after(Duration::from_secs(40))));
    world.set_image("shop", "frontend", NEXT);
    reaches(&world, "Promoting").await;
    let at_once = TrafficWatch::new(&world, Duration::ZERO);
    let mut emptied = false;
    for _ in 0..240 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        emptied |= endpoints(&world, "frontend-primary") == 0;
    }
    assert!(emptied, "the primary's pods were never replaced");
    assert_eq!(at_once.broken(), [""; 0]);
    succeeded(world, controller, watch).await;
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_users_meet_and_nobody_checks_is_rolled_back() {
    let (world, controller, watch) = initialized(&fixed(4)).await;
    world.set_image("shop", "frontend", NEXT);
    has_weight(&world, 25).await;
    let pod = pods(&world, "frontend").pop().expect("a pod of the canary");
    world.kube.set_pod_ready("shop", pod["metadata"]["name"].as_str().expect("a name"), Some(false));
    reaches(&world, "Failed").await;
    assert_eq!(world.weights("shop", "frontend"), Some((100, 0)));
    let told = world.events("shop", "frontend");
    assert!(told.iter().any(|text| text.contains("canary weight 25 goes unchecked")), "{told:#?}");
    assert_eq!(watch.broken(), [""; 0]);
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_port_that_moves_in_the_new_revision_stays_until_the_promotion() {
    let manifest = fixed(2).replacen("    targetPort: 8080\n", "    targetPort: 8080\n    portDiscovery: true\n", 1)
        .replacen("              containerPort: 8080\n", "              containerPort: 8080\n            - name: metrics\n              containerPort: 9090\n", 1);
    let (world, controller, watch) = initialized(&manifest).await;
    let metrics = |world: &World, service: &str| {
        let service = world.kube.get("services", "shop", service).expect("a Service");
        let ports = service["spec"]["ports"].as_array().cloned().unwrap_or_default();
        ports.iter().find(|port| port["name"] == "metrics").map(|port| port["port"].clone())
    };
    assert_eq!(metrics(&world, "frontend"), Some(json!(9090)));
    edit_target(&world, |target| {
        let container = &mut target["spec"]["template"]["spec"]["containers"][0];
        container["image"] = json!(NEXT);
        container["ports"][1]["containerPort"] = json!(9091);
    });
    has_weight(&world, 25).await;
    assert_eq!(metrics(&world, "frontend"), Some(json!(9090)), "what the apex leads to still serves there");
    assert_eq!(metrics(&world, "frontend-primary"), Some(json!(9090)));
    assert_eq!(metrics(&world, "frontend-canary"), Some(json!(9091)));
    reaches(&world, "Succeeded").await;
    assert_eq!(metrics(&world, "frontend"), Some(json!(9091)));
    succeeded(world, controller, watch).await;
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_is_deleted_at_rest_comes_back_as_it_was() {
    let (world, controller, watch) = initialized(&fixed(10)).await;
    let spec = |world: &World| {
        world.kube.get("deployments.apps", "shop", "frontend-primary").map(|object| object["spec"].clone())
    };
    let before = spec(&world).expect("a primary");
    assert_eq!(before["replicas"], 10);
    // A push that waits for nobody's sake: the target is not what the primary runs.
    edit_canary(&world, |canary| canary["spec"]["suspend"] = json!(true));
    world.set_image("shop", "frontend", NEXT);
    tokio::time::sleep(Duration::from_secs(5)).await;
    edit_canary(&world, |canary| canary["spec"]["suspend"] = json!(false));
    world.kube.delete("deployments.apps", "shop", "frontend-primary");
    assert!(world.until(SOON, |world| spec(world).is_some()).await);
    assert_eq!(spec(&world), Some(before));
    succeeded(world, controller, watch).await;
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_could_not_carry_the_traffic_is_given_what_it_can() {
    let (world, controller, watch) = initialized(&fixed(10)).await;
    world.set_image("shop", "frontend", NEXT);
    has_weight(&world, 50).await;
    let primary = pods(&world, "frontend-primary");
    for pod in &primary[1..] {
        world.kube.set_pod_ready("shop", pod["metadata"]["name"].as_str().expect("a name"), Some(false));
    }
    world.backend.version("2.0.0", Version { success_rate: 50.0, ..Version::default() });
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(world.weights("shop", "frontend"), Some((50, 50)));
    let told = world.events("shop", "frontend");
    let numbers = "primary frontend-primary.shop has 1 of 10 pods ready and needs 5";
    assert!(told.iter().any(|text| text.contains(numbers)), "{told:#?}");
    for pod in &primary {
        world.kube.set_pod_ready("shop", pod["metadata"]["name"].as_str().expect("a name"), None);
    }
    reaches(&world, "Failed").await;
    assert_eq!(world.weights("shop", "frontend"), Some((100, 0)));
    assert_eq!(watch.broken(), [""; 0]);
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_rollback_by_hand_does_not_wait_for_more_pods_than_one() {
    let (world, controller, watch) = initialized(&fixed(10)).await;
    world.set_image("shop", "frontend", NEXT);
    has_weight(&world, 50).await;
    for pod in &pods(&world, "frontend-primary")[1..] {
        world.kube.set_pod_ready("shop", pod["metadata"]["name"].as_str().expect("a name"), Some(false));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    ask(&world, "abort");
    let met = world.until(SOON, |world| world.weights("shop", "frontend") == Some((100, 0))).await;
    assert!(met, "{:#?}", world.events("shop", "frontend"));
    reaches(&world, "Failed").await;
    assert_eq!(watch.broken(), [""; 0]);
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_write_that_is_refused_for_hours_stands_in_the_status_with_the_words_of_the_api() {
    let (world, controller, _watch) = initialized(QUARTERS).await;
    let words =
        "admission webhook \"policy.example.com\" denied the request: weights may not change on Fridays";
    world.kube.intercept(move |request| {
        if request.is_write() && request.is_kind("virtualservices") {
            let mut status = ApiStatus::unauthorized();
            status.code = 403;
            status.message = words.into();
            return Fate::Fail(status);
        }
        Fate::Pass
    });
    world.set_image("shop", "frontend", NEXT);
    let stalled = |world: &World| {
        let status = world.status("shop", "frontend");
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        let stalled = conditions.into_iter().find(|condition| condition["type"] == "Stalled");
        stalled.map(|condition| (condition["message"].to_string(), status["blockers"].to_string()))
    };
    assert!(
        world.until(HOUR, |world| stalled(world).is_some()).await,
        "{:#}",
        world.status("shop", "frontend")
    );
    let (message, blockers) = stalled(&world).expect("a condition");
    assert!(message.contains("may not change on Fridays"), "{message}");
    assert!(blockers.contains("may not change on Fridays") && !blockers.contains("NextCheck"), "{blockers}");
    let before = world.status("shop", "frontend")["conditions"].clone();
    tokio::time::sleep(HOUR).await;
    assert_eq!(world.status("shop", "frontend")["conditions"], before, "it is written once");
    world.kube.stop_intercepting();
    reaches(&world, "Succeeded").await;
    assert_eq!(stalled(&world), None);
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn taking_back_a_revision_that_failed_ends_in_success_without_a_rollout() {
    let (world, controller, watch) = initialized(QUARTERS).await;
    world.backend.version("2.0.0", Version { success_rate: 50.0, ..Version::default() });
    world.set_image("shop", "frontend", NEXT);
    reaches(&world, "Failed").await;
    world.set_image("shop", "frontend", "registry.example.com/shop/frontend:1.0.0");
    reaches(&world, "Succeeded").await;
    let told = world.events("shop", "frontend");
    assert_eq!(
        told.last().map(String::as_str),
        Some("frontend.shop is back at the promoted revision, nothing is left to release")
    );
    let ready = world.status("shop", "frontend")["conditions"].clone();
    assert!(
        ready.as_array().is_some_and(|all| all.iter().any(|c| c["type"] == "Ready" && c["status"] == "True")),
        "{ready:#}"
    );
    assert_eq!(watch.broken(), [""; 0]);
    controller.stop().await;
}
