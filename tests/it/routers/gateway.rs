//! The Gateway API in front of hostile manifests, and gateways that do not want the route.

use std::cell::Cell;
use std::time::Duration;

use kubesim::KubeSim;
use proptest::prelude::{BoxedStrategy, Just, ProptestConfig, Strategy, prop_assert, prop_oneof};
use proptest::sample::{select, subsequence};
use proptest::test_runner::{TestCaseError, TestRunner};
use serde_json::{Value, json};
use vexil::api::Provider;
use vexil::manifest::{decode, read};
use vexil::model::object::Objects;
use vexil::model::release::{Release, Settings};
use vexil::model::traffic::{Cookies, RouteWish, Split};
use vexil::model::workload::TargetShape;
use vexil::router::{View, plan, registry};
use vexil::sim::World;

use super::case::{applied, cases};
use super::cluster::with_crds;

/// Texts that users write where others belong.
const TEXTS: [&str; 16] = [
    "",
    "/",
    "/shop",
    "/a//b",
    "/a?b",
    "shop",
    "*",
    "*.example.com",
    "example.com",
    "https://a.example.com",
    "GET",
    "5s",
    "0s",
    "1.5s",
    "100us",
    "a.*",
];
const NAMES: [&str; 6] = ["x-a", "X-A", "x-b", "Set-Cookie", ":authority", "a b"];

fn text() -> impl Strategy<Value = Value> {
    select(&TEXTS[..]).prop_map(Value::from)
}

fn comparison() -> impl Strategy<Value = Value> {
    let way = select(&["exact", "exact", "regex", "prefix"][..]);
    (way, text()).prop_map(|(way, text)| json!({way: text}))
}

fn map(of: impl Strategy<Value = Value> + Clone) -> impl Strategy<Value = Value> {
    let entry = (select(&NAMES[..]).prop_map(str::to_owned), of);
    proptest::collection::vec(entry, 0..4).prop_map(|all| Value::Object(all.into_iter().collect()))
}

/// An object with some of these fields.
fn some_of(fields: Vec<(&'static str, BoxedStrategy<Value>)>) -> BoxedStrategy<Value> {
    let all = fields.len();
    subsequence(fields, 0..=all.min(3))
        .prop_flat_map(|fields| {
            let values: Vec<_> = fields.iter().map(|(_, value)| value.clone()).collect();
            let names: Vec<_> = fields.iter().map(|(name, _)| *name).collect();
            values.prop_map(move |values| {
                Value::Object(names.iter().map(|name| (*name).to_owned()).zip(values).collect())
            })
        })
        .boxed()
}

fn list(of: impl Strategy<Value = Value> + 'static, longest: usize) -> BoxedStrategy<Value> {
    proptest::collection::vec(of, 0..longest).prop_map(Value::from).boxed()
}

fn operations() -> BoxedStrategy<Value> {
    some_of(vec![
        ("add", map(text().boxed()).boxed()),
        ("set", map(text().boxed()).boxed()),
        ("remove", list(select(&NAMES[..]).prop_map(Value::from), 3)),
    ])
}

fn service() -> BoxedStrategy<Value> {
    let entry = some_of(vec![
        ("uri", comparison().boxed()),
        ("method", comparison().boxed()),
        ("headers", map(comparison().boxed()).boxed()),
        ("queryParams", map(comparison().boxed()).boxed()),
        ("authority", comparison().boxed()),
    ]);
    let parent = some_of(vec![
        ("name", select(&["a", "b"][..]).prop_map(Value::from).boxed()),
        ("namespace", Just(json!("edge")).boxed()),
        ("sectionName", Just(json!("http")).boxed()),
    ]);
    let kind = select(&["ReplacePrefixMatch", "ReplaceFullPath"][..]).prop_map(Value::from);
    some_of(vec![
        ("hosts", list(text(), 3)),
        ("match", list(entry, 4)),
        ("gatewayRefs", list(parent, 3)),
        ("timeout", text().boxed()),
        ("backendTimeout", text().boxed()),
        ("headers", some_of(vec![("request", operations()), ("response", operations())])),
        (
            "rewrite",
            some_of(vec![("uri", text().boxed()), ("authority", text().boxed()), ("type", kind.boxed())]),
        ),
        (
            "corsPolicy",
            some_of(vec![
                ("allowOrigin", list(text(), 3)),
                ("allowMethods", list(text(), 3)),
                ("exposeHeaders", list(text(), 3)),
                ("maxAge", text().boxed()),
            ]),
        ),
    ])
}

fn analysis() -> BoxedStrategy<Value> {
    let entry = some_of(vec![
        ("headers", map(comparison().boxed()).boxed()),
        ("queryParams", map(comparison().boxed()).boxed()),
    ]);
    prop_oneof![
        Just(json!({"stepWeight": 10, "mirror": true})),
        Just(json!({"stepWeight": 10, "sessionAffinity": {"cookieName": "a", "primaryCookieName": "b"}})),
        list(entry, 3).prop_map(|entries| json!({"iterations": 2, "match": entries})),
    ]
    .boxed()
}

/// The release that the controller makes of a manifest; `None` if it is refused.
fn read(provider: &str, service: Value, analysis: &Value) -> Option<Release> {
    let mut with_parent = json!({"port": 80, "gatewayRefs": [{"name": "public"}]});
    json_patch::merge(&mut with_parent, &service);
    let canary = json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "Canary",
        "metadata": {"name": "frontend", "namespace": "shop", "uid": "u-1"},
        "spec": {
            "provider": provider,
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "frontend"},
            "service": with_parent, "analysis": analysis,
        },
    });
    let (settings, known) = (Settings::default(), registry::known_names());
    let facts = |release: &Release| registry::facts(release, &settings);
    let canary = decode::canary(&canary).ok()?;
    let reading = read::release(&canary, &settings, &read::Providers { known: &known, facts: &facts });
    reading.release.ok().map(|release| *release)
}

#[tokio::test(start_paused = true)]
async fn what_is_not_refused_is_taken_by_the_api() {
    let kube = with_crds(|name| name == "gateway-api.yaml");
    let (taken, refused) = (Cell::new(0), Cell::new(0));
    let config = ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() };
    let provider = select(&["gatewayapi:v1", "gatewayapi:v1beta1"][..]);
    let outcome =
        TestRunner::new(config).run(&(provider, service(), analysis()), |(provider, service, analysis)| {
            match read(provider, service, &analysis) {
                Some(release) => {
                    is_taken(&kube, &release)?;
                    taken.set(taken.get() + 1);
                }
                None => refused.set(refused.get() + 1),
            }
            Ok(())
        });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    assert!(taken.get() > 20 && refused.get() > 20, "{} were taken, {} refused", taken.get(), refused.get());
}

/// Stores the routes of a run under the published schema.
fn is_taken(kube: &KubeSim, release: &Release) -> Result<(), TestCaseError> {
    let router = registry::router(release.provider).expect("a router");
    let (shape, settings, seen) = (TargetShape::default(), Settings::default(), Objects::default());
    let view = View { release, shape: &shape, settings: &settings, seen: &seen };
    let cookies = Cookies {
        canary: Some("a=AAAAAAAAAA".into()),
        primary: Some("b=BBBBBBBBBB".into()),
        previous: Some("a=CCCCCCCCCC".into()),
    };
    for canary in [0, 30, 100] {
        let mirror = canary == 0 && release.analysis.mirror;
        let wish = RouteWish { split: Split::canary_gets(canary), mirror, cookies: cookies.clone() };
        let writes = plan::routes(router, &view, &wish).expect("planned");
        let mut route = applied(&[], &writes).remove(0);
        json_patch::merge(&mut route, &json!({"metadata": {"ownerReferences": null}}));
        let stored = kube.apply("vexil", route.clone());
        prop_assert!(stored.is_ok(), "{:?}\n{route:#}", stored.err());
        kube.delete(ROUTES, "shop", "frontend");
    }
    Ok(())
}

const HOUR: Duration = Duration::from_secs(3600);

/// A world in which nobody answers for a Gateway, with a Canary behind one.
fn world() -> World {
    let settings = Settings { mesh_provider: "gatewayapi:v1".into(), ..Settings::default() };
    let world = World::builder().without_mesh().settings(settings).build();
    for crd in vexil::sim::crds(Provider::GatewayApiV1) {
        world.kube.put(crd);
    }
    world
}

/// What the gateway says of the route as it is now.
fn say(world: &World, accepted: &str) {
    let route = world.kube.get(ROUTES, "shop", "frontend").expect("a route");
    let condition = json!({
        "type": "Accepted", "status": accepted, "reason": "NotAllowedByListeners", "message": "wrong namespace",
        "observedGeneration": route["metadata"]["generation"], "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    let parent = json!({
        "parentRef": route["spec"]["parentRefs"][0], "controllerName": "example.com/gateway", "conditions": [condition],
    });
    let status = json!({"status": {"parents": [parent]}});
    world.kube.patch_status("gateway", ROUTES, "shop", "frontend", status).expect("a status");
}

const ROUTES: &str = "httproutes.gateway.networking.k8s.io";

#[tokio::test(start_paused = true)]
async fn a_release_waits_for_the_gateway_and_tells_its_words() {
    let world = world();
    let controller = world.start_controller();
    let case = cases().into_iter().find(|case| case.title == "gatewayapi/weighted").expect("the case");
    let canary = json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "Canary",
        "metadata": {"name": "frontend", "namespace": "shop"},
        "spec": {
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "frontend"},
            "service": case.release.service,
            "analysis": {"interval": "30s", "threshold": 2, "stepWeight": 20, "maxWeight": 40},
        },
    });
    for object in [super::release::deployment(), canary] {
        world.apply(&serde_json::to_string(&object).expect("JSON")).expect("applied");
    }
    let blocker = |world: &World| world.status("shop", "frontend")["blockers"][0]["message"].to_string();
    let until = async |what: &str, met: &dyn Fn(&World) -> bool| {
        let met = world.until(HOUR, met).await;
        assert!(
            met,
            "{what}: {:#}\n{:#?}",
            world.status("shop", "frontend"),
            world.events("shop", "frontend")
        );
    };

    until("silence", &|world| blocker(world).contains("Gateway public.edge says nothing of HTTPRoute")).await;
    assert_eq!(world.phase("shop", "frontend"), "Initializing");
    say(&world, "False");
    until("no", &|world| blocker(world).contains("NotAllowedByListeners, wrong namespace")).await;
    let target = world.kube.get("deployments.apps", "shop", "frontend").expect("the target");
    assert_eq!(target["spec"]["replicas"], 2, "the target keeps its pods");
    say(&world, "True");
    until("yes", &|world| world.phase("shop", "frontend") == "Initialized").await;

    // A step that the gateway never takes in is no step: the release ends where it began.
    world.set_image("shop", "frontend", "shop/frontend:2.0.0");
    until("the end", &|world| world.phase("shop", "frontend") == "Failed").await;
    let said = world.events("shop", "frontend").join("\n");
    assert!(said.contains("has not been taken in since its last change"), "{said}");
    assert_eq!(world.weights("shop", "frontend"), Some((100, 0)));
    controller.stop().await;
}
