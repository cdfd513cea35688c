//! Releases behind an Ingress of the user's: what happens when that changes, goes or comes in the middle of it.

use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};
use vexil::api::Provider;
use vexil::model::release::Settings;
use vexil::sim::{Running, World};

const HOUR: Duration = Duration::from_secs(3600);
const INGRESSES: &str = "ingresses.networking.k8s.io";

/// A Deployment and its Canary: twenty per cent a step, a step every half minute.
fn manifests(analysis: &Value) -> [Value; 2] {
    let labels = json!({"app": "frontend"});
    let container =
        json!({"name": "frontend", "image": "shop/frontend:1.0.0", "ports": [{"containerPort": 80}]});
    let mut all = json!({
        "interval": "30s", "threshold": 2,
        "metrics": [{"name": "request-success-rate", "thresholdRange": {"min": 99}, "interval": "1m"}],
    });
    json_patch::merge(&mut all, analysis);
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
                "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "frontend"},
                "ingressRef": {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "shop"},
                "service": {"port": 80}, "revertOnDeletion": true, "analysis": all,
            },
        }),
    ]
}

/// The user's Ingress with these hosts, all of which lead to the Service.
fn ingress(hosts: &[&str], service: &str) -> Value {
    let backend = json!({"service": {"name": service, "port": {"number": 80}}});
    let paths = json!([{"path": "/", "pathType": "Prefix", "backend": backend}]);
    let rules: Vec<Value> =
        hosts.iter().map(|host| json!({"host": host, "http": {"paths": paths}})).collect();
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": "shop", "namespace": "shop"},
        "spec": {"rules": rules},
    })
}

fn world(provider: Provider) -> World {
    let settings = Settings { mesh_provider: provider.to_string(), ..Settings::default() };
    World::builder().mesh(provider).settings(settings).build()
}

fn apply(world: &World, object: &Value) {
    world.apply(&object.to_string()).expect("a manifest that the cluster takes");
}

/// A release that has reached its first weight.
async fn under_way(provider: Provider) -> (World, Running) {
    let world = world(provider);
    let controller = world.start_controller();
    apply(&world, &ingress(&["shop.example.com"], "frontend"));
    for object in manifests(&json!({"stepWeight": 20, "maxWeight": 60})) {
        apply(&world, &object);
    }
    reaches(&world, "Initialized").await;
    world.set_image("shop", "frontend", "shop/frontend:2.0.0");
    let met = world.until(HOUR, |world| world.weights("shop", "frontend") == Some((80, 20))).await;
    assert!(met, "{:#?}", world.events("shop", "frontend"));
    (world, controller)
}

async fn reaches(world: &World, phase: &str) {
    let met = world.until(HOUR, |world| world.phase("shop", "frontend") == phase).await;
    assert!(met, "{phase} never came: {:#?}", world.events("shop", "frontend"));
}

/// The copy that leads to the canary.
fn copy(world: &World) -> Value {
    world.kube.get(INGRESSES, "shop", "shop-canary").unwrap_or_default()
}

fn says(world: &World, text: &str) -> bool {
    world.events("shop", "frontend").iter().any(|event| event.contains(text))
}

// spec: 03/NGX-03
#[tokio::test(start_paused = true)]
async fn the_canarys_ingress_of_nginx_is_there_with_weight_0_before_the_first_release() {
    let world = world(Provider::Nginx);
    let controller = world.start_controller();
    let mut users = ingress(&["shop.example.com"], "frontend");
    users["metadata"]["labels"] = json!({"team": "web"});
    users["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/last-applied-configuration": "{}"});
    apply(&world, &users);
    for object in manifests(&json!({"stepWeight": 20, "maxWeight": 60})) {
        apply(&world, &object);
    }
    reaches(&world, "Initialized").await;
    let copy = copy(&world);
    assert_eq!(copy["metadata"]["labels"], json!({"team": "web"}));
    let annotations = &copy["metadata"]["annotations"];
    assert_eq!(annotations["nginx.ingress.kubernetes.io/canary"], "true");
    assert_eq!(annotations["nginx.ingress.kubernetes.io/canary-weight"], "0");
    assert!(annotations["kubectl.kubernetes.io/last-applied-configuration"].is_null(), "{annotations}");
    controller.stop().await;
}

// spec: 03/NGX-10 03/NGX-13
#[rstest]
#[case::nginx(Provider::Nginx, "nginx.ingress.kubernetes.io/rewrite-target", "/app")]
#[case::skipper(Provider::Skipper, "zalando.org/skipper-filter", "compress()")]
#[tokio::test(start_paused = true)]
async fn what_the_user_edits_in_the_middle_of_a_run_reaches_the_canary_and_the_weights_stay(
    #[case] provider: Provider,
    #[case] annotation: &str,
    #[case] value: &str,
) {
    let (world, controller) = under_way(provider).await;
    let mut edited = ingress(&["shop.example.com", "www.example.com"], "frontend");
    edited["metadata"]["annotations"] = json!({annotation: value});
    apply(&world, &edited);
    // Long before the next step.
    let follows = |world: &World| {
        let copy = copy(world);
        copy["spec"]["rules"][1]["host"] == "www.example.com"
            && copy["metadata"]["annotations"][annotation] == value
    };
    assert!(world.until(Duration::from_secs(5), follows).await, "{:#}", copy(&world));
    assert_eq!(world.weights("shop", "frontend"), Some((80, 20)));

    apply(&world, &ingress(&["shop.example.com"], "frontend"));
    let follows = |world: &World| {
        let copy = copy(world);
        copy["spec"]["rules"][1].is_null() && copy["metadata"]["annotations"][annotation].is_null()
    };
    assert!(world.until(Duration::from_secs(5), follows).await, "{:#}", copy(&world));
    assert_eq!(world.weights("shop", "frontend"), Some((80, 20)));
    reaches(&world, "Succeeded").await;
    controller.stop().await;
}

#[rstest]
#[case::nginx(Provider::Nginx)]
#[case::skipper(Provider::Skipper)]
#[tokio::test(start_paused = true)]
async fn a_run_stops_without_traffic_when_the_user_leads_the_ingress_elsewhere_and_goes_on_when_it_is_back(
    #[case] provider: Provider,
) {
    let (world, controller) = under_way(provider).await;
    apply(&world, &ingress(&["shop.example.com"], "emergency"));
    let taken = |world: &World| world.weights("shop", "frontend") == Some((100, 0));
    assert!(world.until(Duration::from_secs(5), taken).await, "{:#}", copy(&world));
    let told =
        |world: &World| says(world, "backend frontend not found in ingress shop: make Service frontend");
    assert!(world.until(Duration::from_secs(5), told).await, "{:#?}", world.events("shop", "frontend"));
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(world.weights("shop", "frontend"), Some((100, 0)));
    assert_eq!(world.phase("shop", "frontend"), "Progressing");

    apply(&world, &ingress(&["shop.example.com"], "frontend"));
    reaches(&world, "Succeeded").await;
    controller.stop().await;
}

#[rstest]
#[case::nginx(Provider::Nginx)]
#[case::skipper(Provider::Skipper)]
#[tokio::test(start_paused = true)]
async fn an_ingress_that_is_missing_is_asked_for_and_then_used(#[case] provider: Provider) {
    let world = world(provider);
    let controller = world.start_controller();
    for object in manifests(&json!({"iterations": 2})) {
        apply(&world, &object);
    }
    let told = |world: &World| says(world, "Ingress shop.shop does not exist: create it");
    assert!(world.until(HOUR, told).await, "{:#?}", world.events("shop", "frontend"));
    assert_eq!(world.phase("shop", "frontend"), "Initializing");
    apply(&world, &ingress(&["shop.example.com"], "frontend"));
    reaches(&world, "Initialized").await;
    controller.stop().await;
}

// spec: 03/SKP-05
#[rstest]
#[case::nginx(Provider::Nginx)]
#[case::skipper(Provider::Skipper)]
#[tokio::test(start_paused = true)]
async fn the_canarys_ingress_goes_before_the_canary_and_the_users_was_never_touched(
    #[case] provider: Provider,
) {
    let (world, controller) = under_way(provider).await;
    let users = world.kube.get(INGRESSES, "shop", "shop");
    world.kube.delete("canaries.flagger.app", "shop", "frontend");
    assert!(world.until(HOUR, |world| copy(world).is_null()).await);
    assert!(world.kube.get("canaries.flagger.app", "shop", "frontend").is_some());
    assert!(
        world.until(HOUR, |world| world.kube.get("canaries.flagger.app", "shop", "frontend").is_none()).await
    );
    assert_eq!(world.kube.get(INGRESSES, "shop", "shop"), users);
    let writes = world.kube.writes_of("vexil").into_iter();
    assert_eq!(
        writes.filter(|write| write.is_kind("Ingress") && write.name.as_deref() == Some("shop")).count(),
        0
    );
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_second_canary_of_one_ingress_is_told_whose_it_is() {
    let (world, controller) = under_way(Provider::Nginx).await;
    for mut object in manifests(&json!({"stepWeight": 20, "maxWeight": 60})) {
        let text = object.to_string().replace("\"frontend\"", "\"backend\"");
        object = serde_json::from_str(&text).expect("JSON");
        apply(&world, &object);
    }
    let mut users = ingress(&["shop.example.com"], "frontend");
    let other = ingress(&["api.example.com"], "backend")["spec"]["rules"][0].clone();
    users["spec"]["rules"].as_array_mut().expect("rules").push(other);
    apply(&world, &users);
    let told = |world: &World| {
        let events = world.events("shop", "backend");
        events.iter().any(|event| {
            event.contains("Ingress shop-canary.shop belongs to Canary frontend.shop")
                && event.contains("another spec.ingressRef")
        })
    };
    assert!(world.until(HOUR, told).await, "{:#?}", world.events("shop", "backend"));
    reaches(&world, "Succeeded").await;
    controller.stop().await;
}

// spec: 03/UNS-03 03/UNS-04
#[rstest]
#[case::weighted(json!({"stepWeight": 20, "maxWeight": 40, "mirror": true}))]
#[case::blue_green(json!({"iterations": 2, "mirror": true}))]
#[tokio::test(start_paused = true)]
async fn mirroring_that_an_ingress_cannot_do_is_a_warning_and_the_release_goes_on(#[case] analysis: Value) {
    for provider in [Provider::Nginx, Provider::Skipper, Provider::Traefik] {
        let world = world(provider);
        let controller = world.start_controller();
        apply(&world, &ingress(&["shop.example.com"], "frontend"));
        for object in manifests(&analysis) {
            apply(&world, &object);
        }
        reaches(&world, "Initialized").await;
        let warning = format!("spec.analysis.mirror: is ignored: provider {provider} cannot copy requests");
        assert!(says(&world, &warning), "{:#?}", world.events("shop", "frontend"));
        world.set_image("shop", "frontend", "shop/frontend:2.0.0");
        reaches(&world, "Progressing").await;
        reaches(&world, "Succeeded").await;
        controller.stop().await;
    }
}
