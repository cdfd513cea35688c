//! Routes of the user's that are adopted (`spec.routeRefs`), on the embedded cluster under their published schemas: what
//! is theirs stays, all routes have one split, GitOps is not fought with, and everything is given back.

use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};
use vexil::api::Provider;
use vexil::judge::route_template::Known;
use vexil::model::object::Write;
use vexil::model::traffic::{RouteWish, Split};
use vexil::router::adopt::ADOPTED;
use vexil::router::plan;
use vexil::sim::{Running, Version, World, adopted_crds};

use super::case::{Case, applied, cases, title};
use super::release::deployment;
use super::{equal, holds, next_wishes};

const HOUR: Duration = Duration::from_secs(3600);
const HTTP: &str = "httproutes.gateway.networking.k8s.io";

fn adopted() -> impl Iterator<Item = Case> {
    cases().into_iter().filter(is_of_routes)
}

/// Ingresses have laws of their own, in `ingresses.rs`.
fn is_of_routes(case: &Case) -> bool {
    let adopted = &case.release.adopted;
    !adopted.is_empty() && adopted.iter().all(|entry| entry.route.kind != "Ingress")
}

fn wish(canary: u32) -> RouteWish {
    RouteWish { split: Split::canary_gets(canary), ..RouteWish::default() }
}

#[test]
fn without_a_share_a_route_is_to_the_letter_what_its_user_wrote() {
    for case in adopted() {
        assert_eq!(case.plan(&wish(0), &case.before), Ok(vec![]), "{}: at rest", case.title);
        for on_the_way in next_wishes().into_iter().chain([case.wish.clone()]) {
            let out = applied(&case.before, &case.plan(&on_the_way, &case.before).expect("planned"));
            let further = applied(&out, &case.plan(&wish(70), &out).expect("planned"));
            for objects in [&out, &further] {
                let back = applied(objects, &case.plan(&wish(0), objects).expect("planned"));
                assert_eq!(plain(&back), plain(&case.before), "{} after {on_the_way:?}", case.title);
            }
        }
    }
}

/// The objects without the empty maps that a taken annotation leaves behind.
fn plain(objects: &[Value]) -> Vec<Value> {
    let mut objects = objects.to_vec();
    for object in &mut objects {
        let metadata = object["metadata"].as_object_mut().expect("metadata");
        metadata.retain(|_, value| value.as_object().is_none_or(|fields| !fields.is_empty()));
    }
    objects
}

#[test]
fn a_deletion_in_the_middle_gives_each_backend_back_what_it_had() {
    for case in adopted() {
        assert!(plan::needs_cleanup(case.mesh.router, &case.release, &case.settings), "{}", case.title);
        let writes = case.plan(&case.wish, &case.before).expect("planned");
        // Also after a crash between two writes.
        for done in 0..=writes.len() {
            let objects = applied(&case.before, &writes[..done]);
            for reverts in [false, true] {
                let back = case.looking(&objects, |view| match reverts {
                    true => plan::restoration(case.mesh.router, view),
                    false => plan::removal(case.mesh.router, view),
                });
                let back = applied(&objects, &back.expect("planned"));
                assert_eq!(plain(&back), plain(&case.before), "{} behind write {done}", case.title);
            }
        }
    }
}

#[test]
fn marks_of_others_survive_in_every_rule_and_backend() {
    holds(|case| {
        if !is_of_routes(case) {
            return Ok(());
        }
        let mut before = case.before.clone();
        for object in &mut before {
            mark_all(&mut object["spec"]);
        }
        let mut objects = before.clone();
        for next in next_wishes().into_iter().chain([case.wish.clone()]) {
            objects = applied(&objects, &case.plan(&next, &objects).map_err(|error| error.to_string())?);
            for object in &objects {
                let unmarked = unmarked(&object["spec"]);
                if unmarked > 0 {
                    return Err(format!(
                        "{unmarked} lost their mark at {next:?}:\n{}",
                        super::case::yaml(&objects)
                    ));
                }
            }
        }
        let back = applied(&objects, &case.plan(&wish(0), &objects).map_err(|error| error.to_string())?);
        equal("at rest there are", &plain(&back), &plain(&before))
    });
}

/// The lists whose items somebody else may add fields to.
const SHARED: [&str; 7] = ["rules", "http", "tcp", "routes", "backendRefs", "route", "services"];

fn mark_all(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                if let (true, Value::Array(items)) = (SHARED.contains(&key.as_str()), &mut *value) {
                    items.iter_mut().for_each(|item| item["x-foreign"] = json!(1));
                }
                mark_all(value);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mark_all),
        _ => {}
    }
}

fn unmarked(value: &Value) -> usize {
    match value {
        Value::Object(fields) => {
            let of = |(key, value): (&String, &Value)| {
                let items = value.as_array().filter(|_| SHARED.contains(&key.as_str()));
                let here = items.into_iter().flatten().filter(|item| item["x-foreign"] != 1).count();
                here + unmarked(value)
            };
            fields.iter().map(of).sum()
        }
        Value::Array(items) => items.iter().map(unmarked).sum(),
        _ => 0,
    }
}

#[test]
fn all_routes_have_one_split_and_a_half_written_set_is_completed() {
    let case = adopted().find(|case| case.title == "adopted/several").expect("the case");
    let writes = case.plan(&wish(40), &case.before).expect("planned");
    assert_eq!(writes.len(), 5, "a write for each route: {writes:#?}");
    let state = |objects: &[Value]| {
        let state = case.looking(objects, |view| case.mesh.router.state(view));
        state.expect("readable").map(|state| state.split.canary())
    };
    for done in 1..writes.len() {
        let half = applied(&case.before, &writes[..done]);
        assert_eq!(state(&half), Some(40), "the largest share counts");
        let whole = applied(&half, &case.plan(&wish(40), &half).expect("planned"));
        assert_eq!(whole, applied(&case.before, &writes), "completed behind write {done}");
    }
}

#[test]
fn a_share_of_a_rule_with_others_in_it_is_divided_without_changing_theirs() {
    let case = adopted().find(|case| case.title == "adopted/shared").expect("the case");
    for percent in [1, 35, 99, 100] {
        let out = applied(&case.before, &case.plan(&wish(percent), &case.before).expect("planned"));
        for (rule, ours, others) in [(0, 75.0, 25.0), (1, 50.0, 50.0)] {
            let weights: std::collections::BTreeMap<&str, f64> = out[0]["spec"]["rules"][rule]["backendRefs"]
                .as_array()
                .expect("backends")
                .iter()
                .map(|one| {
                    (one["name"].as_str().unwrap_or_default(), one["weight"].as_f64().unwrap_or_default())
                })
                .collect();
            let all: f64 = weights.values().sum();
            let share = |name: &str| weights[name] * 100.0 / all;
            assert!((share("legacy") - others).abs() < 1e-9, "{percent}: {weights:?}");
            let canary = ours * f64::from(percent) / 100.0;
            assert!((share("frontend-canary") - canary).abs() < 1e-9, "{percent}: {weights:?}");
        }
    }
}

#[test]
fn rules_of_a_user_that_lead_to_the_canary_alone_stay_theirs() {
    let case = adopted().find(|case| case.title == "adopted/weighted").expect("the case");
    let mut objects = case.before.clone();
    let preview = json!({
        "name": "preview", "matches": [{"path": {"type": "PathPrefix", "value": "/"}, "headers": [{"name": "x-preview", "value": "1"}]}],
        "backendRefs": [{"group": "", "kind": "Service", "name": "frontend-canary", "port": 80, "weight": 1}],
    });
    objects[0]["spec"]["rules"].as_array_mut().expect("rules").push(preview.clone());
    let state = case.looking(&objects, |view| case.mesh.router.state(view)).expect("readable");
    assert_eq!(state.map(|state| state.split), Some(Split::PRIMARY), "a preview is no share");
    let out = applied(&objects, &case.plan(&wish(20), &objects).expect("planned"));
    assert_eq!(out[0]["spec"]["rules"][2], preview);
}

#[test]
fn a_rule_of_the_users_for_the_very_requests_of_the_test_stays_behind_ours() {
    let case = adopted().find(|case| case.title == "adopted/grpc-ab").expect("the case");
    let mut objects = case.before.clone();
    let theirs = json!({
        "matches": [{"headers": [{"type": "Exact", "name": "x-canary", "value": "insider"}]}],
        "backendRefs": [
            {"group": "", "kind": "Service", "name": "frontend-primary", "port": 9090, "weight": 100},
            {"group": "", "kind": "Service", "name": "frontend-canary", "port": 9090, "weight": 0},
        ],
    });
    objects[0]["spec"]["rules"] = json!([theirs]);
    let out = applied(&objects, &case.plan(&wish(100), &objects).expect("planned"));
    assert_eq!(case.plan(&wish(100), &out), Ok(vec![]));
    assert_eq!(out[0]["spec"]["rules"].as_array().map(Vec::len), Some(2), "{out:#?}");
    assert_eq!(out[0]["spec"]["rules"][1], theirs);
    let back = applied(&out, &case.plan(&wish(0), &out).expect("planned"));
    assert_eq!(plain(&back), plain(&objects));
}

#[test]
fn weights_that_cannot_be_divided_are_refused_with_what_to_do() {
    let case = adopted().find(|case| case.title == "adopted/shared").expect("the case");
    let mut objects = case.before.clone();
    objects[0]["spec"]["rules"][0]["backendRefs"][0]["weight"] = json!(999_999);
    let why = case.plan(&wish(20), &objects).expect_err("too large").to_string();
    assert!(
        why.starts_with("spec.routeRefs[0]: 0 of HTTPRoute shop.shop: ")
            && why.contains("write smaller ones"),
        "{why}"
    );
}

fn gateway_route() -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": "shop", "namespace": "shop", "labels": {"team": "web"}},
        "spec": {
            "parentRefs": [{"name": "public", "namespace": "edge"}],
            "hostnames": ["shop.example.com"],
            "rules": [
                {"matches": [{"path": {"type": "PathPrefix", "value": "/static"}}], "backendRefs": [{"name": "cdn", "port": 80}]},
                {
                    "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
                    "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x-tenant", "value": "shop"}]}}],
                    "timeouts": {"request": "20s"},
                    "backendRefs": [{"name": "frontend", "port": 80}],
                },
            ],
        },
    })
}

fn virtual_service() -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": "shop", "namespace": "shop"},
        "spec": {"hosts": ["shop.example.com"], "http": [{"name": "shop", "route": [{"destination": {"host": "frontend"}}]}]},
    })
}

fn connections(kind: &str) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": kind,
        "metadata": {"name": "shop", "namespace": "shop"},
        "spec": {"rules": [{"backendRefs": [{"name": "frontend", "port": 80}]}]},
    })
}

pub(super) fn canary(analysis: &Value, route: &Value) -> Value {
    let mut analysis = analysis.clone();
    json_patch::merge(&mut analysis, &json!({"interval": "30s", "threshold": 3}));
    json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "Canary",
        "metadata": {"name": "frontend", "namespace": "shop"},
        "spec": {
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "frontend"},
            "routeRefs": [{"apiVersion": route["apiVersion"], "kind": route["kind"], "name": "shop"}],
            "service": {"port": 80},
            "analysis": analysis,
        },
    })
}

/// A world with a route as its user applies it, a Canary that adopts it, and a controller.
pub(super) struct Shop {
    pub world: World,
    controller: Option<Running>,
    route: Value,
    resource: String,
}

impl Shop {
    pub async fn opened(provider: Provider, route: Value, analysis: Value) -> Self {
        let settings =
            vexil::model::release::Settings { mesh_provider: provider.to_string(), ..Default::default() };
        let world = World::builder().mesh(provider).settings(settings).build();
        world.backend.version("broken", Version { success_rate: 80.0, p99_millis: 95.0 });
        let case = adopted().find(|case| {
            case.release
                .adopted
                .iter()
                .any(|adopted| adopted.route.kind == route["kind"].as_str().unwrap_or_default())
        });
        let kinds = adopted_crds(&case.expect("a case of the kind").release);
        let kind = route["kind"].as_str().unwrap_or_default().to_owned();
        let crd =
            kinds.iter().find(|crd| crd["spec"]["names"]["kind"] == kind.as_str()).expect("its CRD").clone();
        let resource = crd["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        // With the published schema, and its defaults.
        world.kube.put(published(&resource).unwrap_or(crd));
        let controller = Some(world.start_controller());
        let shop = Self { world, controller, route, resource };
        shop.gitops("flux");
        for object in [deployment(), canary(&analysis, &shop.route)] {
            shop.world.apply(&object.to_string()).expect("applied");
        }
        shop
    }

    /// What a GitOps tool does: it applies the manifest of the user as it stands in git.
    fn gitops(&self, manager: &str) {
        self.world.kube.apply(manager, self.route.clone()).expect("applied");
    }

    pub fn live(&self) -> Value {
        self.world.kube.get(&self.resource, "shop", "shop").expect("the route")
    }

    /// What of the manifest the live route does not have, and what it has beside it in annotations.
    pub fn out_of_sync(&self) -> Vec<String> {
        let live = self.live();
        let mut lost = crate::examples::lost(&self.route, &live, "");
        let count = |value: &Value| value.to_string().matches("\"name\"").count();
        if count(&live["spec"]) != count(&self.route["spec"]) {
            lost.push(format!("more than was written: {:#}", live["spec"]));
        }
        let annotations = live["metadata"]["annotations"].as_object();
        lost.extend(annotations.into_iter().flatten().map(|(key, _)| key.clone()));
        lost
    }

    fn weight(&self) -> i64 {
        self.world.weights("shop", "frontend").map_or(0, |(_, canary)| canary)
    }

    pub async fn until(&self, what: &str, met: impl Fn(&Self) -> bool) {
        let reached = self.world.until(HOUR, |_| met(self)).await;
        let (status, events) = (self.world.status("shop", "frontend"), self.world.events("shop", "frontend"));
        assert!(reached, "{what} never came: {status:#}\n{events:#?}\n{:#}", self.live());
    }

    pub async fn reaches(&self, phase: &str) {
        self.until(phase, |shop| shop.world.phase("shop", "frontend") == phase).await;
    }

    pub async fn closed(mut self) {
        if let Some(controller) = self.controller.take() {
            controller.stop().await;
        }
    }

    fn blocker(&self) -> String {
        self.world.status("shop", "frontend")["blockers"].to_string()
    }
}

/// The CRD that the project of a kind publishes.
fn published(name: &str) -> Option<Value> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/crds");
    let files = ["gateway-api.yaml", "gateway-api-routes.yaml", "istio.yaml"];
    files.iter().find_map(|file| {
        let text = std::fs::read_to_string(folder.join(file)).expect("CRDs");
        let of_it = text.split("\n---").find(|document| document.contains(&format!("\n  name: {name}\n")))?;
        Some(super::case::documents(of_it).remove(0))
    })
}

pub(super) const STEPS: fn() -> Value = || json!({"stepWeight": 20, "maxWeight": 40});
const AB: fn() -> Value =
    || json!({"iterations": 2, "match": [{"headers": {"x-canary": {"exact": "insider"}}}]});

#[rstest]
#[case::weighted(Provider::GatewayApiV1, gateway_route(), STEPS())]
#[case::blue_green(Provider::GatewayApiV1, gateway_route(), json!({"iterations": 2}))]
#[case::ab(Provider::GatewayApiV1, gateway_route(), AB())]
#[case::mirror(Provider::GatewayApiV1, gateway_route(), json!({"stepWeight": 20, "maxWeight": 40, "mirror": true}))]
#[case::virtual_service(Provider::Istio, virtual_service(), STEPS())]
#[case::virtual_service_ab(Provider::Istio, virtual_service(), AB())]
#[case::tcp(Provider::Kubernetes, connections("TCPRoute"), STEPS())]
#[case::udp(Provider::Kubernetes, connections("UDPRoute"), STEPS())]
#[case::grpc(Provider::Kubernetes, connections("GRPCRoute"), STEPS())]
#[tokio::test(start_paused = true)]
async fn a_release_uses_the_users_own_route_and_leaves_it_as_it_was(
    #[case] provider: Provider,
    #[case] route: Value,
    #[case] mut analysis: Value,
) {
    if provider != Provider::Kubernetes {
        let checks =
            json!([{"name": "request-success-rate", "thresholdRange": {"min": 99}, "interval": "1m"}]);
        analysis["metrics"] = checks;
    }
    let shop = Shop::opened(provider, route, analysis.clone()).await;
    shop.reaches("Initialized").await;
    assert_eq!(shop.out_of_sync(), Vec::<String>::new(), "taken over without a write");
    let versions: &[(&str, &str)] = match provider {
        // Nobody measures anything there.
        Provider::Kubernetes => &[("2.0.0", "Succeeded")],
        _ => &[("2.0.0", "Succeeded"), ("3.0.0-broken", "Failed")],
    };
    for (version, end) in versions {
        shop.world.set_image("shop", "frontend", &format!("shop/frontend:{version}"));
        shop.reaches("Progressing").await;
        shop.until("a share", |shop| shop.weight() > 0 || shop.world.phase("shop", "frontend") == *end).await;
        if shop.weight() > 0 {
            let live = shop.live();
            assert!(live["metadata"]["annotations"][ADOPTED].is_string(), "{live:#}");
            assert_eq!(live["spec"]["hostnames"], shop.route["spec"]["hostnames"]);
            assert_eq!(live["spec"]["parentRefs"][0]["name"], shop.route["spec"]["parentRefs"][0]["name"]);
            assert!(live["spec"].to_string().contains("frontend-canary"), "{live:#}");
        }
        // In the meantime the pods' labels say who answers: what is measured is the canary.
        shop.reaches(end).await;
        shop.until("rest", |shop| shop.out_of_sync().is_empty()).await;
    }
    // What is applied again at rest changes nothing, and nobody writes.
    let writes = shop.world.kube.writes_of("vexil").len();
    shop.gitops("flux");
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(shop.world.kube.writes_of("vexil").len(), writes, "a Canary at rest writes nothing");
    shop.closed().await;
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_is_deleted_in_the_middle_gives_the_route_back() {
    for reverts in [false, true] {
        let shop = Shop::opened(Provider::GatewayApiV1, gateway_route(), STEPS()).await;
        shop.reaches("Initialized").await;
        shop.world
            .kube
            .patch(
                "kubectl",
                "canaries.flagger.app",
                "shop",
                "frontend",
                json!({"spec": {"revertOnDeletion": reverts}}),
            )
            .expect("patched");
        shop.world.set_image("shop", "frontend", "shop/frontend:2.0.0");
        shop.until("a share", |shop| shop.weight() > 0).await;
        shop.world.kube.delete("canaries.flagger.app", "shop", "frontend");
        let gone = |shop: &Shop| shop.world.kube.get("canaries.flagger.app", "shop", "frontend").is_none();
        shop.until("the end of the Canary", gone).await;
        assert_eq!(shop.out_of_sync(), Vec::<String>::new(), "reverts: {reverts}");
        shop.closed().await;
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_keeps_putting_the_route_back_is_named_and_not_fought() {
    let shop = Shop::opened(Provider::GatewayApiV1, gateway_route(), STEPS()).await;
    shop.reaches("Initialized").await;
    shop.world.set_image("shop", "frontend", "shop/frontend:2.0.0");
    let mut answered = 0;
    while !shop.blocker().contains("does not fight") {
        assert!(answered < 10, "it goes on and on: {}", shop.blocker());
        shop.until("a share, or the end of it", |shop| {
            shop.weight() > 0 || shop.blocker().contains("does not fight")
        })
        .await;
        shop.gitops("argocd-controller");
        answered += 1;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(answered, 4, "three times the weights are put back");
    let said = shop.blocker();
    for part in [
        "field manager argocd-controller",
        "HTTPRoute shop.shop",
        "docs/gitops.md",
        ADOPTED,
        "kubectl annotate",
    ] {
        assert!(said.contains(part), "no {part} in {said}");
    }
    let writes =
        shop.world.kube.writes_of("vexil").iter().filter(|write| write.path.contains("httproutes")).count();
    tokio::time::sleep(Duration::from_secs(1800)).await;
    shop.gitops("argocd-controller");
    tokio::time::sleep(Duration::from_secs(1800)).await;
    let after =
        shop.world.kube.writes_of("vexil").iter().filter(|write| write.path.contains("httproutes")).count();
    assert_eq!(after, writes, "it waits");
    // The cure that the message names.
    let annotations = json!({"metadata": {"annotations": {ADOPTED: null}}});
    shop.world.kube.patch("kubectl", HTTP, "shop", "shop", annotations).expect("patched");
    shop.reaches("Succeeded").await;
    shop.closed().await;
}

#[tokio::test(start_paused = true)]
async fn a_route_that_is_taken_back_once_gets_its_share_again() {
    let shop = Shop::opened(Provider::GatewayApiV1, gateway_route(), STEPS()).await;
    shop.reaches("Initialized").await;
    shop.world.set_image("shop", "frontend", "shop/frontend:2.0.0");
    shop.until("a share", |shop| shop.weight() > 0).await;
    shop.gitops("kubectl");
    shop.until("the share again", |shop| shop.weight() > 0).await;
    shop.reaches("Succeeded").await;
    shop.until("rest", |shop| shop.out_of_sync().is_empty()).await;
    shop.closed().await;
}

#[rstest]
#[case::no_such_route(json!({"name": "shpo"}), "spec.routeRefs[0].name: HTTPRoute shpo.shop does not exist: did you mean shop?")]
#[case::no_such_rule(json!({"name": "shop", "rules": ["web"]}), "spec.routeRefs[0].rules[0]: HTTPRoute shop.shop has no rule \\\"web\\\"")]
#[case::another_rule(json!({"name": "shop", "rules": ["0"]}), "does not lead to Service frontend or frontend-primary")]
#[case::another_port(json!({"name": "shop", "ports": [9000]}), "no rule of HTTPRoute shop.shop leads to Service frontend or frontend-primary on port 9000")]
#[tokio::test(start_paused = true)]
async fn a_reference_that_leads_nowhere_is_told_with_what_there_is(
    #[case] reference: Value,
    #[case] expected: &str,
) {
    let shop = Shop::opened(Provider::GatewayApiV1, gateway_route(), STEPS()).await;
    let mut wrong = canary(&STEPS(), &shop.route);
    json_patch::merge(&mut wrong["spec"]["routeRefs"][0], &reference);
    shop.world.kube.delete("canaries.flagger.app", "shop", "frontend");
    shop.until("its end", |shop| shop.world.kube.get("canaries.flagger.app", "shop", "frontend").is_none())
        .await;
    shop.world.apply(&wrong.to_string()).expect("applied");
    shop.until(expected, |shop| {
        shop.blocker().contains(expected)
            || shop.world.status("shop", "frontend")["conditions"].to_string().contains(expected)
    })
    .await;
    let target = shop.world.kube.get("deployments.apps", "shop", "frontend").expect("the target");
    assert_eq!(target["spec"]["replicas"], 2, "the target keeps its pods");
    shop.closed().await;
}

#[rstest]
#[case::matches(json!({"iterations": 2, "match": [{"headers": {"x-canary": {"exact": "insider"}}}]}), "spec.analysis.match: asks TCPRoute shop.shop (spec.routeRefs[0]) to tell requests apart")]
#[case::mirror(json!({"stepWeight": 20, "maxWeight": 40, "mirror": true}), "spec.analysis.mirror: asks TCPRoute shop.shop (spec.routeRefs[0]) to copy requests")]
#[case::affinity(json!({"stepWeight": 20, "maxWeight": 40, "sessionAffinity": {"cookieName": "side"}}), "spec.analysis.sessionAffinity: is not kept by adopted routes")]
#[tokio::test(start_paused = true)]
async fn what_a_kind_cannot_do_is_refused_before_anything_happens(
    #[case] analysis: Value,
    #[case] expected: &str,
) {
    let shop = Shop::opened(Provider::Kubernetes, connections("TCPRoute"), analysis).await;
    let told = |shop: &Shop| {
        let events = shop.world.events("shop", "frontend").join("\n");
        events.contains(expected)
    };
    shop.until(expected, told).await;
    assert!(
        shop.world.kube.get("deployments.apps", "shop", "frontend-primary").is_none(),
        "nothing was made"
    );
    assert_eq!(shop.out_of_sync(), Vec::<String>::new());
    shop.closed().await;
}

fn pools() -> Value {
    let mut route = gateway_route();
    let pool = json!({"group": "inference.networking.k8s.io", "kind": "InferencePool", "name": "frontend"});
    route["spec"]["rules"][1]["backendRefs"] = json!([pool]);
    route
}

#[rstest]
#[case::of_another_kind_of_route(virtual_service(), json!({"kind": "InferencePool"}), "spec.routeRefs[0].backends: is known to routes of the Gateway API alone: a VirtualService leads to the Services")]
#[case::no_group(gateway_route(), json!({"kind": "Pool"}), "spec.routeRefs[0].backends.group: is missing: write the group of Pool")]
#[case::one_for_both(gateway_route(), json!({"kind": "InferencePool", "canary": "frontend"}), "spec.routeRefs[0].backends.canary: is frontend, as the primary's: write the name of a InferencePool")]
fn backends_that_cannot_be_told_apart_are_refused(
    #[case] route: Value,
    #[case] backends: Value,
    #[case] expected: &str,
) {
    let mut written = canary(&STEPS(), &route);
    written["spec"]["provider"] = json!("kubernetes");
    written["spec"]["routeRefs"][0]["backends"] = backends;
    let refused =
        vexil::judge::reading(&written, &Default::default(), &Known::default()).release.expect_err("refused");
    let refused: Vec<String> = refused.iter().map(ToString::to_string).collect();
    assert!(refused.iter().any(|problem| problem.contains(expected)), "{refused:#?}");
}

#[tokio::test(start_paused = true)]
async fn the_weights_of_a_release_move_between_pools_of_the_users() {
    let shop = Shop::opened(Provider::GatewayApiV1, pools(), STEPS()).await;
    let mut written = canary(&STEPS(), &shop.route);
    written["spec"]["routeRefs"][0]["backends"] = json!({"kind": "InferencePool"});
    shop.world.apply(&written.to_string()).expect("the schema takes it");
    shop.reaches("Initialized").await;
    for (version, end) in [("2.0.0", "Succeeded"), ("3.0.0", "Progressing")] {
        shop.world.set_image("shop", "frontend", &format!("shop/frontend:{version}"));
        shop.until("a share", |shop| shop.weight() > 0).await;
        let backends = shop.live()["spec"]["rules"][1]["backendRefs"].clone();
        for (index, side) in ["primary", "canary"].into_iter().enumerate() {
            assert_eq!(backends[index]["kind"], "InferencePool");
            assert_eq!(backends[index]["name"], format!("frontend-{side}"));
        }
        shop.reaches(end).await;
    }
    // Deleted in the middle, the pool that stood there is there again.
    shop.world.kube.delete("canaries.flagger.app", "shop", "frontend");
    shop.until("its end", |shop| shop.world.kube.get("canaries.flagger.app", "shop", "frontend").is_none())
        .await;
    assert_eq!(shop.out_of_sync(), Vec::<String>::new());
    shop.closed().await;
}

#[tokio::test(start_paused = true)]
async fn a_route_in_another_namespace_needs_the_permission_for_it_and_a_grant() {
    let case = adopted().find(|case| case.title == "adopted/weighted").expect("the case");
    let mut written = case.canary.clone();
    written["spec"]["routeRefs"][0]["namespace"] = json!("edge");
    let read = |blocked: bool| {
        let settings =
            vexil::model::release::Settings { no_cross_namespace_refs: blocked, ..Default::default() };
        vexil::judge::reading(&written, &settings, &vexil::judge::Nowhere)
    };
    let refused = read(true)
        .release
        .expect_err("refused")
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n");
    assert!(refused.contains("spec.routeRefs[0].namespace: can't access route shop.edge, cross-namespace references are blocked"), "{refused}");
    let warned = read(false).warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(warned.contains("a ReferenceGrant there has to let HTTPRoutes of edge refer to Services frontend-primary and frontend-canary"), "{warned}");
}

#[test]
fn a_patch_carries_only_the_rules_and_our_annotations_under_the_version_that_was_seen() {
    let case = adopted().find(|case| case.title == "adopted/weighted").expect("the case");
    let writes = case.plan(&wish(20), &case.before).expect("planned");
    let [Write::Patch { resource_version, patch, .. }] = &writes[..] else { panic!("{writes:#?}") };
    assert_eq!(resource_version, "7");
    let keys = |value: &Value| value.as_object().map(|fields| fields.keys().cloned().collect::<Vec<_>>());
    assert_eq!(keys(&patch["spec"]), Some(vec!["rules".to_owned()]));
    assert_eq!(keys(&patch["metadata"]), Some(vec!["annotations".to_owned()]));
    assert_eq!(title(&case.before[0]), "HTTPRoute shop.shop");
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_is_killed_after_any_write_ends_where_it_would_have_ended() {
    let shop = Shop::opened(Provider::GatewayApiV1, gateway_route(), STEPS()).await;
    shop.reaches("Initialized").await;
    shop.world.set_image("shop", "frontend", "shop/frontend:2.0.0");
    let mut shop = shop;
    let mut seen = shop.live()["metadata"]["resourceVersion"].clone();
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = shop.live()["metadata"]["resourceVersion"].clone();
        if now != seen {
            seen = now;
            if let Some(controller) = shop.controller.take() {
                controller.kill();
            }
            shop.controller = Some(shop.world.start_controller());
        }
        if shop.world.phase("shop", "frontend") == "Succeeded" {
            break;
        }
    }
    shop.reaches("Succeeded").await;
    shop.until("rest", |shop| shop.out_of_sync().is_empty()).await;
    shop.closed().await;
}
