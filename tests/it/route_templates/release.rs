//! Releases through a mesh that nobody has built, by a RouteTemplate: the real controller on the embedded cluster.

use std::time::Duration;

use serde_json::{Value, json};
use vexil::model::release::Settings;
use vexil::sim::{Running, TrafficWatch, Version, World};

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);
/// How long a side that has lost its last ready pod may keep its share.
const SOON: Duration = Duration::from_secs(2);
const LANES: &str = "lanes.mesh.example.com";
const TEMPLATES: &str = "routetemplates.flagger.app";

/// The kind of the mesh.
fn kind() -> Value {
    let anything = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": LANES},
        "spec": {
            "group": "mesh.example.com",
            "names": {"kind": "Lane", "listKind": "LaneList", "plural": "lanes", "singular": "lane"},
            "scope": "Namespaced",
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": anything, "status": anything}}},
            }],
        },
    })
}

fn template() -> Value {
    json!({
        "apiVersion": "flagger.app/v1beta1",
        "kind": "RouteTemplate",
        "metadata": {"name": "lanes", "namespace": "shop"},
        "spec": {"objects": [{
            "apiVersion": "mesh.example.com/v1",
            "kind": "Lane",
            "template": "spec:\n  to: {{ .apex }}\n  backends:\n    - {service: {{ .primary }}, share: {{ .primaryWeight }}}\n    - {service: {{ .canary }}, share: {{ .canaryWeight }}}\n",
            "weights": {"backends": "spec.backends[]", "name": "service", "weight": "share"},
        }]},
    })
}

fn manifests() -> [Value; 2] {
    let labels = json!({"app": "frontend"});
    let container =
        json!({"name": "frontend", "image": "shop/frontend:1.0.0", "ports": [{"containerPort": 80}]});
    [
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "frontend", "namespace": "shop"},
            "spec": {
                "replicas": 2, "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
            },
        }),
        json!({
            "apiVersion": "flagger.app/v1beta1", "kind": "Canary",
            "metadata": {"name": "frontend", "namespace": "shop"},
            "spec": {
                "provider": "istio",
                "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "frontend"},
                "routeTemplateRef": {"name": "lanes"},
                "service": {"port": 80}, "revertOnDeletion": true,
                "analysis": {
                    "interval": "30s", "threshold": 2, "stepWeight": 20, "maxWeight": 60,
                    "metrics": [{"name": "request-success-rate", "thresholdRange": {"min": 99}, "interval": "1m"}],
                },
            },
        }),
    ]
}

fn apply(world: &World, object: &Value) {
    world.apply(&object.to_string()).expect("a manifest that the cluster takes");
}

/// What the lane gives to primary and canary, as the mesh reads it.
fn shares(world: &World) -> Option<(i64, i64)> {
    let lane = world.kube.get(LANES, "shop", "frontend")?;
    let share = |service: &str| {
        let backends = lane["spec"]["backends"].as_array()?;
        backends.iter().find(|backend| backend["service"] == service)?["share"].as_i64()
    };
    Some((share("frontend-primary")?, share("frontend-canary")?))
}

fn told(world: &World) -> String {
    format!("{:#}\n{:#?}", world.status("shop", "frontend"), world.events("shop", "frontend"))
}

fn stalled(world: &World) -> String {
    let status = world.status("shop", "frontend");
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let stalled = conditions.iter().find(|condition| condition["type"] == "Stalled");
    stalled.and_then(|condition| condition["message"].as_str()).unwrap_or_default().to_owned()
}

async fn reaches(world: &World, phase: &str) {
    let met = world.until(HOUR, |world| world.phase("shop", "frontend") == phase).await;
    assert!(met, "{phase} never came: {}", told(world));
}

async fn has_share(world: &World, canary: i64) {
    let met = world.until(HOUR, |world| shares(world) == Some((100 - canary, canary))).await;
    assert!(met, "{canary} never came: {:?} {}", shares(world), told(world));
}

fn world() -> World {
    let world = World::builder().settings(Settings::default()).without_mesh().build();
    world.kube.put(kind());
    world.backend.version("broken", Version { success_rate: 80.0, p99_millis: 95.0 });
    world
}

async fn initialized() -> (World, Running, TrafficWatch) {
    let world = world();
    let watch = TrafficWatch::new(&world, SOON);
    let controller = world.start_controller();
    apply(&world, &template());
    manifests().iter().for_each(|object| apply(&world, object));
    reaches(&world, "Initialized").await;
    has_share(&world, 0).await;
    (world, controller, watch)
}

async fn under_way() -> (World, Running, TrafficWatch) {
    let (world, controller, watch) = initialized().await;
    world.set_image("shop", "frontend", "shop/frontend:2.0.0");
    has_share(&world, 20).await;
    (world, controller, watch)
}

fn image_of_the_primary(world: &World) -> Value {
    let primary = world.kube.get("deployments.apps", "shop", "frontend-primary").expect("a primary");
    primary["spec"]["template"]["spec"]["containers"][0]["image"].clone()
}

#[tokio::test(start_paused = true)]
async fn a_good_version_is_promoted_and_a_bad_one_rolled_back_through_a_mesh_that_a_template_describes() {
    let (world, controller, watch) = under_way().await;
    for share in [40, 60] {
        has_share(&world, share).await;
    }
    reaches(&world, "Succeeded").await;
    assert_eq!(image_of_the_primary(&world), "shop/frontend:2.0.0");
    has_share(&world, 0).await;
    tokio::time::sleep(MINUTE).await;
    world.set_image("shop", "frontend", "shop/frontend:3.0.0-broken");
    has_share(&world, 20).await;
    reaches(&world, "Failed").await;
    assert_eq!(image_of_the_primary(&world), "shop/frontend:2.0.0");
    assert_eq!(shares(&world), Some((100, 0)), "{}", told(&world));
    assert_eq!(watch.broken(), Vec::<String>::new());

    world.kube.delete("canaries.flagger.app", "shop", "frontend");
    let gone = |world: &World| world.kube.get(LANES, "shop", "frontend").is_none();
    assert!(world.until(HOUR, gone).await, "the lane is left behind: {}", told(&world));
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_somebody_bends_is_put_right_and_what_somebody_adds_stays() {
    let (world, controller, _watch) = initialized().await;
    let mut lane = world.kube.get(LANES, "shop", "frontend").expect("a lane");
    lane["spec"]["backends"][0]["share"] = json!(30);
    lane["spec"]["backends"][0]["zone"] = json!("north");
    lane["spec"]["timeout"] = json!("3s");
    world.kube.put(lane);
    has_share(&world, 0).await;
    let lane = world.kube.get(LANES, "shop", "frontend").expect("a lane");
    assert_eq!(lane["spec"]["timeout"], "3s");
    assert_eq!(lane["spec"]["backends"][0]["zone"], "north", "{lane:#}");
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_template_that_is_missing_is_told_with_its_cure_and_noticed_when_it_comes() {
    let world = world();
    let controller = world.start_controller();
    let mut other = template();
    other["metadata"]["name"] = json!("lane");
    apply(&world, &other);
    manifests().iter().for_each(|object| apply(&world, object));
    let text =
        "spec.routeTemplateRef: RouteTemplate lanes.shop does not exist: create it, or did you mean lane?";
    assert!(world.until(HOUR, |world| stalled(world).contains(text)).await, "{}", told(&world));
    assert!(world.events("shop", "frontend").iter().any(|event| event.contains(text)), "{}", told(&world));
    tokio::time::sleep(MINUTE).await;
    world.kube.clear_requests();
    tokio::time::sleep(5 * MINUTE).await;
    assert_eq!(world.kube.requests_of("vexil").len(), 0, "told once, and quiet since");
    apply(&world, &template());
    reaches(&world, "Initialized").await;
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_template_that_goes_in_the_middle_of_a_release_is_no_outage_and_the_release_goes_on_when_it_is_back()
 {
    for nonsense in [false, true] {
        let (world, controller, watch) = under_way().await;
        let said = if nonsense {
            let mut broken = template();
            broken["spec"]["objects"][0]["template"] = json!("spec: {{ .nothing }}");
            world.kube.put(broken);
            "map has no entry for key"
        } else {
            world.kube.delete(TEMPLATES, "shop", "lanes");
            "RouteTemplate lanes.shop does not exist"
        };
        assert!(world.until(HOUR, |world| stalled(world).contains(said)).await, "{}", told(&world));
        tokio::time::sleep(5 * MINUTE).await;
        assert_eq!(shares(&world), Some((80, 20)), "the routes stay as they are: {}", told(&world));

        // And yet nobody is sent where nobody answers.
        for pod in world.kube.list("pods", Some("shop")) {
            let name = pod["metadata"]["name"].as_str().expect("a name");
            if name.starts_with("frontend-") && !name.starts_with("frontend-primary-") {
                world.kube.set_pod_ready("shop", name, Some(false));
            }
        }
        assert!(
            world.until(SOON, |world| shares(world) == Some((100, 0))).await,
            "{:?} {}",
            shares(&world),
            told(&world)
        );
        for pod in world.kube.list("pods", Some("shop")) {
            world.kube.set_pod_ready("shop", pod["metadata"]["name"].as_str().expect("a name"), Some(true));
        }
        world.kube.put(template());
        reaches(&world, "Succeeded").await;
        assert_eq!(image_of_the_primary(&world), "shop/frontend:2.0.0");
        assert_eq!(watch.broken(), Vec::<String>::new());
        controller.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_the_cluster_does_not_serve_is_told() {
    let world = World::builder().without_mesh().build();
    let controller = world.start_controller();
    apply(&world, &template());
    manifests().iter().for_each(|object| apply(&world, object));
    let text = "the cluster does not serve lanes.mesh.example.com in version v1: install its CRD";
    assert!(world.until(HOUR, |world| stalled(world).contains(text)).await, "{}", told(&world));
    world.kube.put(kind());
    reaches(&world, "Initialized").await;
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn without_a_canary_that_names_one_nobody_asks_for_route_templates() {
    let world = world();
    world.kube.delete("customresourcedefinitions", "", TEMPLATES);
    let controller = world.start_controller();
    let [deployment, mut canary] = manifests();
    canary["spec"].as_object_mut().expect("a spec").remove("routeTemplateRef");
    canary["spec"]["provider"] = json!("kubernetes");
    canary["spec"]["analysis"] = json!({"interval": "30s", "threshold": 2, "iterations": 2});
    for object in [deployment, canary] {
        apply(&world, &object);
    }
    reaches(&world, "Initialized").await;
    let metrics = controller.telemetry.render();
    assert!(!metrics.contains("routetemplates"), "{metrics}");
    controller.stop().await;
}
