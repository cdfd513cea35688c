//! Ingresses that are adopted (`spec.routeRefs`): the user's stay as they are, each is divided by what its class offers,
//! and everything is given back.

use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};
use vexil::api::Provider;
use vexil::judge::route_template::Known;
use vexil::model::traffic::{RouteWish, Split};
use vexil::router::plan;
use vexil::sim::{Running, Version, World};

use super::case::{Case, applied, cases, title};
use super::next_wishes;
use super::release::deployment;

const HOUR: Duration = Duration::from_secs(3600);
const INGRESSES: &str = "ingresses.networking.k8s.io";
const ACTION: &str = "alb.ingress.kubernetes.io/actions.frontend";
const APEX_ALONE: &str =
    r#"{"type":"forward","forwardConfig":{"targetGroups":[{"serviceName":"frontend","servicePort":80}]}}"#;

fn of_ingresses() -> impl Iterator<Item = Case> {
    cases().into_iter().filter(|case| case.release.adopted.iter().any(|entry| entry.route.kind == "Ingress"))
}

fn wish(canary: u32) -> RouteWish {
    RouteWish { split: Split::canary_gets(canary), ..RouteWish::default() }
}

/// The objects that are among `users`, without the annotations of a load balancer's action.
fn theirs(objects: &[Value], users: &[Value]) -> Vec<Value> {
    let is_users = |object: &&Value| users.iter().any(|user| title(user) == title(object));
    let mut all: Vec<Value> = objects.iter().filter(is_users).cloned().collect();
    for object in &mut all {
        if let Some(annotations) = object["metadata"]["annotations"].as_object_mut() {
            annotations.retain(|key, _| {
                !key.starts_with("alb.ingress.kubernetes.io/actions.")
                    && !key.starts_with("alb.ingress.kubernetes.io/conditions.")
                    && key != "flagger.app/original-actions"
            });
        }
    }
    all
}

#[test]
fn whatever_is_wished_the_users_ingresses_stay_to_the_letter_but_for_the_actions() {
    let mut tried = 0;
    for case in of_ingresses() {
        let mut objects = case.before.clone();
        for next in next_wishes().into_iter().chain([case.wish.clone()]) {
            objects = applied(&objects, &case.plan(&next, &objects).expect("planned"));
            let (found, expected) = (theirs(&objects, &case.before), theirs(&case.before, &case.before));
            assert_eq!(found, expected, "{} at {next:?}", case.title);
        }
        tried += 1;
    }
    assert!(tried >= 3, "{tried} cases");
}

#[test]
fn a_deletion_gives_back_the_actions_and_takes_what_was_made_beside_the_ingresses() {
    for case in of_ingresses() {
        assert!(plan::needs_cleanup(case.mesh.router, &case.release, &case.settings), "{}", case.title);
        let writes = case.plan(&case.wish, &case.before).expect("planned");
        // Also after a crash between two writes.
        for done in 0..=writes.len() {
            let objects = applied(&case.before, &writes[..done]);
            let back = case.looking(&objects, |view| plan::restoration(case.mesh.router, view));
            let back = applied(&objects, &back.expect("planned"));
            assert_eq!(back, case.before, "{} behind write {done}", case.title);
            // Without revertOnDeletion the cluster collects the copies with their Canary.
            let removed = case.looking(&objects, |view| plan::removal(case.mesh.router, view));
            let removed = applied(&objects, &removed.expect("planned"));
            let users = |object: &&Value| case.before.iter().any(|user| title(user) == title(object));
            let kept: Vec<Value> = removed.iter().filter(users).cloned().collect();
            assert_eq!(kept, case.before, "{} behind write {done}", case.title);
            let owned = |object: &Value| object["metadata"]["ownerReferences"][0]["name"] == "frontend";
            assert!(removed.iter().filter(|object| !users(object)).all(owned), "{}", case.title);
        }
    }
}

#[test]
fn all_have_one_split_and_the_largest_share_counts() {
    let case = of_ingresses().find(|case| case.title == "adopted-ingresses/several").expect("the case");
    let writes = case.plan(&wish(40), &case.before).expect("planned");
    assert_eq!(writes.len(), 3, "a write for each Ingress: {writes:#?}");
    for done in 1..=writes.len() {
        let half = applied(&case.before, &writes[..done]);
        let state = case.looking(&half, |view| case.mesh.router.state(view)).expect("readable");
        assert_eq!(state.map(|state| state.split.canary()), Some(40), "behind write {done}");
        let whole = applied(&half, &case.plan(&wish(40), &half).expect("planned"));
        assert_eq!(whole, applied(&case.before, &writes), "completed behind write {done}");
    }
}

#[test]
fn one_that_goes_away_in_the_middle_leaves_the_others_to_be_moved_and_taken_back() {
    let case = of_ingresses().find(|case| case.title == "adopted-ingresses/several").expect("the case");
    let out = applied(&case.before, &case.plan(&wish(40), &case.before).expect("planned"));
    // The load balancer's has no copy that could tell of it.
    let gone: Vec<Value> =
        out.iter().filter(|object| object["metadata"]["name"] != "edge").cloned().collect();
    let share = |objects: &[Value]| {
        let state = case.looking(objects, |view| case.mesh.router.state(view));
        state.expect("readable").map(|state| state.split.canary())
    };
    assert_eq!(share(&gone), Some(40));
    let back = applied(&gone, &case.plan(&wish(0), &gone).expect("planned"));
    let copies = back.iter().filter(|object| object["metadata"]["name"].to_string().contains("-canary"));
    for copy in copies {
        let annotations = &copy["metadata"]["annotations"];
        let off = annotations["nginx.ingress.kubernetes.io/canary-weight"] == "0"
            || annotations["zalando.org/skipper-predicate"] == "False()";
        assert!(off, "{annotations:#}");
    }
    // At rest the missing one is told.
    let why = case.looking(&back, |view| case.mesh.router.state(view)).expect_err("told").to_string();
    assert_eq!(
        why,
        "spec.routeRefs[2].name: Ingress edge.shop does not exist: create it, or correct the reference"
    );
}

fn backend(action: bool) -> Value {
    let port = if action { json!({"name": "use-annotation"}) } else { json!({"number": 80}) };
    json!({"service": {"name": "frontend", "port": port}})
}

fn ingress(name: &str, class: &str) -> Value {
    let action = class.contains("alb");
    let path = json!({"path": "/", "pathType": "Prefix", "backend": backend(action)});
    let annotations = if action { json!({ACTION: APEX_ALONE}) } else { json!({"team": "web"}) };
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": name, "namespace": "shop", "annotations": annotations},
        "spec": {"ingressClassName": class, "rules": [{"host": format!("{name}.example.com"), "http": {"paths": [path]}}]},
    })
}

fn canary(entries: &Value, analysis: &Value) -> Value {
    let mut analysis = analysis.clone();
    json_patch::merge(&mut analysis, &json!({"interval": "60s", "threshold": 3}));
    let named = |entry: &Value| {
        let mut whole = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress"});
        json_patch::merge(&mut whole, entry);
        whole
    };
    let refs: Vec<Value> = entries.as_array().expect("entries").iter().map(named).collect();
    json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "Canary",
        "metadata": {"name": "frontend", "namespace": "shop"},
        "spec": {
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "frontend"},
            "routeRefs": refs, "service": {"port": 80}, "revertOnDeletion": true, "analysis": analysis,
        },
    })
}

fn steps() -> Value {
    let checks = json!([{"name": "request-success-rate", "thresholdRange": {"min": 99}, "interval": "1m"}]);
    json!({"stepWeight": 20, "maxWeight": 40, "metrics": checks})
}

/// A world with these Ingresses and a Canary that adopts them.
fn opened(ingresses: &[Value], canary: &Value) -> (World, Running) {
    let settings = vexil::model::release::Settings {
        mesh_provider: Provider::Nginx.to_string(),
        ..vexil::model::release::Settings::default()
    };
    let world = World::builder().mesh(Provider::Nginx).settings(settings).build();
    world.backend.version("broken", Version { success_rate: 80.0, p99_millis: 95.0 });
    for object in ingresses.iter().chain([&deployment(), canary]) {
        world.apply(&object.to_string()).expect("a manifest that the cluster takes");
    }
    let controller = world.start_controller();
    (world, controller)
}

async fn reaches(world: &World, phase: &str) {
    let met = world.until(HOUR, |world| world.phase("shop", "frontend") == phase).await;
    let events = world.events("shop", "frontend");
    assert!(met, "{phase} never came: {events:#?}\n{:#}", world.status("shop", "frontend"));
}

fn live(world: &World, name: &str) -> Value {
    world.kube.get(INGRESSES, "shop", name).unwrap_or_default()
}

#[rstest]
#[case::nginx(&["nginx"])]
#[case::skipper(&["skipper"])]
#[case::alb(&["alb"])]
#[case::all_at_once(&["internal-nginx", "skipper", "alb-public"])]
#[tokio::test(start_paused = true)]
async fn a_release_goes_by_the_users_ingresses_from_start_to_end(#[case] classes: &[&str]) {
    let names = ["shop", "partners", "edge"];
    let users: Vec<Value> = names.iter().zip(classes).map(|(name, class)| ingress(name, class)).collect();
    let entries: Vec<Value> = users.iter().map(|user| json!({"name": user["metadata"]["name"]})).collect();
    let (world, controller) = opened(&users, &canary(&json!(entries), &steps()));
    reaches(&world, "Initialized").await;
    for (version, end, primary) in [("2.0.0", "Succeeded", "2.0.0"), ("3.0.0-broken", "Failed", "2.0.0")] {
        tokio::time::sleep(Duration::from_secs(60)).await;
        world.set_image("shop", "frontend", &format!("shop/frontend:{version}"));
        let shared = |world: &World| world.weights("shop", "frontend") == Some((80, 20));
        assert!(world.until(HOUR, shared).await, "{:#?}", world.events("shop", "frontend"));
        for user in &users {
            let name = user["metadata"]["name"].as_str().expect("a name");
            assert_eq!(live(&world, name)["spec"], user["spec"], "{name} is the user's");
        }
        reaches(&world, end).await;
        let promoted = world.kube.get("deployments.apps", "shop", "frontend-primary").expect("the primary");
        let image = &promoted["spec"]["template"]["spec"]["containers"][0]["image"];
        assert_eq!(*image, format!("shop/frontend:{primary}"));
        assert_eq!(world.weights("shop", "frontend"), Some((100, 0)));
    }
    world.kube.delete("canaries.flagger.app", "shop", "frontend");
    let gone = |world: &World| world.kube.get("canaries.flagger.app", "shop", "frontend").is_none();
    assert!(world.until(HOUR, gone).await, "{:#?}", world.events("shop", "frontend"));
    assert_eq!(world.kube.list(INGRESSES, Some("shop")).len(), users.len(), "no copy is left");
    for user in &users {
        let name = user["metadata"]["name"].as_str().expect("a name");
        let now = live(&world, name);
        assert_eq!(
            (&now["spec"], &now["metadata"]["annotations"]),
            (&user["spec"], &user["metadata"]["annotations"])
        );
    }
    controller.stop().await;
}

#[rstest]
#[case::unknown("haproxy", json!({}), "has the class \"haproxy\", whose way to divide requests is not known: known are nginx, skipper and alb")]
#[case::traefik("traefik", json!({}), "no annotation gives weights to an Ingress of Traefik: adopt a TraefikService or an HTTPRoute")]
#[case::part_of_a_word("nginxx", json!({}), "whose way to divide requests is not known")]
#[case::none("", json!({}), "has no class, so that nobody knows who serves it: write spec.ingressClassName")]
#[case::absent("nginx", json!({"name": "shpo"}), "spec.routeRefs[0].name: Ingress shpo.shop does not exist")]
#[case::no_such_path("nginx", json!({"rules": ["shop.example.org"]}), "spec.routeRefs[0].rules[0]: Ingress shop.shop has no path \"shop.example.org\" that leads to Service frontend: did you mean shop.example.com/?")]
#[case::no_such_port("nginx", json!({"ports": [9000]}), "spec.routeRefs[0]: backend frontend not found in ingress shop")]
#[case::rules_of_a_load_balancer("alb", json!({"rules": ["0"]}), "spec.routeRefs[0].rules: cannot be chosen for a load balancer")]
#[tokio::test(start_paused = true)]
async fn what_cannot_be_adopted_is_told_before_anything_happens(
    #[case] class: &str,
    #[case] entry: Value,
    #[case] expected: &str,
) {
    let mut user = ingress("shop", class);
    if class.is_empty() {
        user["spec"].as_object_mut().expect("a spec").remove("ingressClassName");
    }
    let mut named = json!({"name": "shop"});
    json_patch::merge(&mut named, &entry);
    let (world, controller) = opened(std::slice::from_ref(&user), &canary(&json!([named]), &steps()));
    let told = |world: &World| {
        let conditions = world.status("shop", "frontend")["conditions"].clone();
        let mut all = conditions.as_array().into_iter().flatten();
        all.any(|condition| condition["message"].as_str().is_some_and(|text| text.contains(expected)))
    };
    assert!(world.until(HOUR, told).await, "{:#}", world.status("shop", "frontend"));
    assert_eq!(world.kube.list(INGRESSES, Some("shop")).len(), 1, "nothing is made");
    assert_eq!(live(&world, "shop")["spec"], user["spec"]);
    let target = world.kube.get("deployments.apps", "shop", "frontend").expect("the target");
    assert_eq!(target["spec"]["replicas"], 2, "the target keeps its pods");
    controller.stop().await;
}

#[rstest]
#[case::elsewhere(json!([{"name": "shop", "namespace": "edge"}]), json!({"stepWeight": 20, "maxWeight": 40}), "spec.routeRefs[0].namespace: is edge, and an Ingress leads to Services of its own namespace")]
#[case::mirror(json!([{"name": "shop"}]), json!({"stepWeight": 20, "maxWeight": 40, "mirror": true}), "spec.analysis.mirror: asks Ingress shop.shop (spec.routeRefs[0]) to copy requests")]
#[case::twice(json!([{"name": "shop"}, {"name": "shop"}]), json!({"iterations": 2}), "spec.routeRefs[1]: names Ingress shop.shop once more")]
#[case::version(json!([{"name": "shop", "apiVersion": "extensions/v1beta1"}]), json!({"iterations": 2}), "spec.routeRefs[0].apiVersion: \"extensions/v1beta1\" of Ingress is not known: write networking.k8s.io/v1")]
fn what_no_ingress_can_do_is_refused_by_its_manifest(
    #[case] entries: Value,
    #[case] analysis: Value,
    #[case] expected: &str,
) {
    let reading = vexil::judge::reading(&canary(&entries, &analysis), &Default::default(), &Known::default());
    let refused: Vec<String> =
        reading.release.expect_err("refused").iter().map(ToString::to_string).collect();
    assert!(refused.iter().any(|problem| problem.contains(expected)), "{refused:#?}");
}

#[tokio::test(start_paused = true)]
async fn an_ab_test_that_one_of_the_classes_cannot_do_is_refused_with_its_ingress() {
    let ab = json!({"iterations": 2, "match": [{"headers": {"x-canary": {"exact": "insider"}}}]});
    let users = [ingress("shop", "nginx"), ingress("partners", "skipper")];
    let (world, controller) = opened(&users, &canary(&json!([{"name": "shop"}, {"name": "partners"}]), &ab));
    let told = |world: &World| {
        let conditions = world.status("shop", "frontend")["conditions"].to_string();
        conditions
            .contains("spec.analysis.match: asks Ingress partners (spec.routeRefs[1]) to tell requests apart")
    };
    assert!(world.until(HOUR, told).await, "{:#}", world.status("shop", "frontend"));
    assert_eq!(world.kube.list(INGRESSES, Some("shop")).len(), 2, "nothing is made");
    controller.stop().await;
}
