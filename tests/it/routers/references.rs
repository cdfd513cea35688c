//! Objects of the user's that a router builds upon, and objects that pods build upon: on the embedded cluster, with
//! the real controller.

use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};
use vexil::api::Provider;
use vexil::sim::{Running, World};

const MINUTES: Duration = Duration::from_secs(600);

const APISIX: &str = include_str!("../../../examples/apisix/weighted.yaml");
const GLOO: &str = include_str!("../../../examples/gloo/weighted.yaml");
const APP_MESH: [(Provider, &str); 2] = [
    (Provider::AppMesh, include_str!("../../../examples/appmesh/weighted-v1beta1.yaml")),
    (Provider::AppMeshV1Beta2, include_str!("../../../examples/appmesh/weighted.yaml")),
];

async fn started(mesh: Provider, manifest: &str) -> (World, Running) {
    let world = World::builder().mesh(mesh).build();
    let controller = world.start_controller();
    world.apply(manifest).expect("a manifest that the cluster takes");
    (world, controller)
}

async fn reaches(world: &World, phase: &str) {
    let met = world.until(MINUTES, |world| world.phase("shop", "frontend") == phase).await;
    assert!(met, "{phase} never came: {:#?}", world.events("shop", "frontend"));
}

fn stalled(world: &World) -> Option<Value> {
    let status = world.status("shop", "frontend");
    let conditions = status["conditions"].as_array()?.clone();
    conditions.into_iter().find(|condition| condition["type"] == "Stalled" && condition["status"] == "True")
}

// spec: 03/ORD-02
#[tokio::test(start_paused = true)]
async fn the_nodes_of_app_mesh_stand_before_the_primary_and_its_routes_come_when_that_is_ready() {
    for (provider, manifest) in APP_MESH {
        let (world, controller) = started(provider, manifest).await;
        reaches(&world, "Initialized").await;
        let created: Vec<String> = world
            .kube
            .writes_of("vexil")
            .iter()
            .filter(|request| request.info.verb.to_string() == "create" && request.info.plural != "events")
            .map(|request| request.info.kind.clone())
            .collect();
        let first = |kind: &str| created.iter().position(|created| created == kind);
        let last = |kind: &str| created.iter().rposition(|created| created == kind);
        assert!(last("VirtualNode").is_some(), "{provider}: {created:?}");
        assert!(last("VirtualNode") < first("Deployment"), "{provider}: {created:?}");
        assert!(first("Deployment") < first("VirtualService"), "{provider}: {created:?}");
        assert!(last("Service") < first("VirtualService"), "{provider}: {created:?}");
        controller.stop().await;
    }
}

#[rstest]
#[case::at_rest(false)]
#[case::in_a_run(true)]
#[tokio::test(start_paused = true)]
async fn an_edit_of_the_users_apisix_route_reaches_the_copy_and_no_weight_moves(#[case] in_a_run: bool) {
    // spec: 03/APX-05
    let (world, controller) = started(Provider::Apisix, APISIX).await;
    reaches(&world, "Initialized").await;
    let mut weights = (100, 0);
    if in_a_run {
        world.set_image("shop", "frontend", "registry.example.com/shop/frontend:2.0.0");
        weights = (90, 10);
        assert!(world.until(MINUTES, |world| world.weights("shop", "frontend") == Some(weights)).await);
    }
    let mut rules =
        world.kube.get("apisixroutes.apisix.apache.org", "shop", "shop").expect("a route")["spec"]["http"]
            .clone();
    rules[0]["match"]["paths"] = json!(["/v2/*"]);
    let edit = json!({"spec": {"http": rules}});
    let edited = world.kube.patch("kubectl", "apisixroutes.apisix.apache.org", "shop", "shop", edit);
    edited.expect("an edit that the cluster takes");
    let copied = |world: &World| {
        let copy = world.kube.get("apisixroutes.apisix.apache.org", "shop", "shop-frontend-canary");
        copy.is_some_and(|copy| copy["spec"]["http"][0]["match"]["paths"] == json!(["/v2/*"]))
    };
    assert!(world.until(Duration::from_secs(5), copied).await, "the copy never followed");
    assert_eq!(world.weights("shop", "frontend"), Some(weights));
    controller.stop().await;
}

#[rstest]
#[case::of_apisix(
    Provider::Apisix,
    APISIX,
    "APISIX route shop.shop",
    "apisixroutes.apisix.apache.org",
    "shop"
)]
#[case::of_gloo(Provider::Gloo, GLOO, "Upstream settings.shop", "upstreams.gloo.solo.io", "settings")]
#[tokio::test(start_paused = true)]
async fn an_object_that_is_missing_is_named_and_nothing_moves_until_it_is_there(
    #[case] provider: Provider,
    #[case] manifest: &str,
    #[case] named: &str,
    #[case] kind: &str,
    #[case] name: &str,
) {
    // spec: 03/APX-01
    let world = World::builder().mesh(provider).build();
    let controller = world.start_controller();
    let manifest = manifest.replace(
        "  provider: gloo\n",
        "  provider: gloo\n  upstreamRef: {apiVersion: gloo.solo.io/v1, kind: Upstream, name: settings}\n",
    );
    let documents: Vec<&str> = manifest.split("\n---\n").collect();
    let canary = format!("{}\n---\n{}", documents[0], documents[1]);
    world.apply(&canary).expect("a manifest that the cluster takes");
    assert!(
        world.until(MINUTES, |world| stalled(world).is_some()).await,
        "{:#?}",
        world.events("shop", "frontend")
    );
    let said = stalled(&world).expect("a condition")["message"].as_str().unwrap_or_default().to_owned();
    assert!(said.contains(named) && said.contains("does not exist: create it"), "{said}");
    assert!(world.events("shop", "frontend").contains(&said), "{:#?}", world.events("shop", "frontend"));
    let target = world.kube.get("deployments.apps", "shop", "frontend").expect("the target");
    assert_eq!(target["spec"]["replicas"], 2, "the target keeps its pods");
    world.apply(documents[2]).expect("what the user brings");
    if provider == Provider::Gloo {
        world.kube.put(json!({
            "apiVersion": "gloo.solo.io/v1", "kind": "Upstream",
            "metadata": {"name": "settings", "namespace": "shop"}, "spec": {"useHttp2": true},
        }));
    }
    reaches(&world, "Initialized").await;
    assert_eq!(stalled(&world), None);

    // In a run its absence is a reason to give up, with all traffic on the primary.
    world.set_image("shop", "frontend", "registry.example.com/shop/frontend:2.0.0");
    assert!(world.until(MINUTES, |world| world.weights("shop", "frontend") == Some((90, 10))).await);
    assert!(world.kube.delete(kind, "shop", name));
    let told = |world: &World| world.status("shop", "frontend")["blockers"].to_string().contains(named);
    assert!(world.until(MINUTES, told).await, "{:#}", world.status("shop", "frontend"));
    assert!(world.until(6 * MINUTES, |world| world.phase("shop", "frontend") == "Failed").await);
    assert_eq!(world.weights("shop", "frontend"), Some((100, 0)));
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_edit_of_the_users_upstream_reaches_both_of_the_release() {
    // spec: 03/GLO-03
    let manifest = GLOO.replace(
        "  provider: gloo\n",
        "  provider: gloo\n  upstreamRef: {apiVersion: gloo.solo.io/v1, kind: Upstream, name: settings}\n",
    );
    let world = World::builder().mesh(Provider::Gloo).build();
    let settings = |balancer: Value| {
        json!({
            "apiVersion": "gloo.solo.io/v1", "kind": "Upstream",
            "metadata": {"name": "settings", "namespace": "shop"}, "spec": {"loadBalancerConfig": balancer},
        })
    };
    world.kube.put(settings(json!({"random": {}})));
    let controller = world.start_controller();
    world.apply(&manifest).expect("a manifest that the cluster takes");
    reaches(&world, "Initialized").await;
    let edited = json!({"leastRequest": {"choiceCount": 3}});
    world.kube.put(settings(edited.clone()));
    let both = |world: &World| {
        ["primary", "canary"].iter().all(|side| {
            let name = format!("shop-frontend-{side}upstream-80");
            let upstream = world.kube.get("upstreams.gloo.solo.io", "shop", &name);
            upstream.is_some_and(|upstream| upstream["spec"]["loadBalancerConfig"] == edited)
        })
    };
    assert!(world.until(Duration::from_secs(5), both).await, "the edit never came");
    controller.stop().await;
}
