//! An analysis that could never work is found when it is written, not at the first step of a release; the release waits
//! until it is mended.

use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};
use vexil::sim::{Running, World};

const QUARTERS: &str = include_str!("../data/shop/frontend-quarters.yaml");
const NEXT: &str = "registry.example.com/shop/frontend:2.0.0";
const HOUR: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_secs(5);

async fn initialized() -> (World, Running) {
    let world = World::builder().build();
    // The definition of a program with more providers takes a name that we do not know.
    let definition = world.kube.get("customresourcedefinitions", "", "metrictemplates.flagger.app");
    let mut open = definition.expect("a definition");
    let kind = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/provider/properties/type";
    open.pointer_mut(kind).and_then(Value::as_object_mut).expect("a field").remove("enum");
    world.kube.put(open);
    let controller = world.start_controller();
    world.apply(QUARTERS).expect("a manifest that the cluster takes");
    reaches(&world, "Initialized").await;
    (world, controller)
}

async fn reaches(world: &World, phase: &str) {
    let met = world.until(HOUR, |world| world.phase("shop", "frontend") == phase).await;
    assert!(met, "{phase} never came: {:#?}", world.events("shop", "frontend"));
}

fn condition(world: &World, kind: &str) -> Option<(String, String)> {
    let status = world.status("shop", "frontend");
    let condition = status["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)?;
    let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
    Some((text("status"), text("message")))
}

fn metrics(world: &World, metrics: Value) {
    let mut canary = world.kube.get("canaries.flagger.app", "shop", "frontend").expect("a Canary");
    canary["spec"]["analysis"]["metrics"] = metrics;
    world.kube.put(canary);
}

fn template(provider: Value, query: &str) -> Value {
    json!({
        "apiVersion": "flagger.app/v1beta1",
        "kind": "MetricTemplate",
        "metadata": {"name": "errors", "namespace": "shop"},
        "spec": {"provider": provider, "query": query},
    })
}

fn by_template(name: &str) -> Value {
    json!([{"name": "errors", "templateRef": {"name": name}, "thresholdRange": {"max": 1}}])
}

fn prometheus() -> Value {
    json!({"type": "prometheus", "address": "http://prometheus.test:9090"})
}

const HERE: &str = "spec.analysis.metrics[0].templateRef: MetricTemplate errors.shop";

#[rstest]
#[case::no_template(None, by_template("errors"),
    format!("{HERE} does not exist: create it, or correct templateRef"))]
#[case::mistyped_template(
    Some(template(prometheus(), "1")),
    by_template("erors"),
    "spec.analysis.metrics[0].templateRef: MetricTemplate erors.shop does not exist: create it, or did you mean errors?".to_owned()
)]
#[case::no_template_text(Some(template(prometheus(), "rate(x{{ target )")), by_template("errors"),
    format!("{HERE}, spec.query: "))]
#[case::unknown_variable(Some(template(prometheus(), "x{{ variables.host }}")), by_template("errors"),
    format!("{HERE}, spec.query: "))]
#[case::unknown_type(Some(template(json!({"type": "promtheus"}), "1")), by_template("errors"),
    format!("{HERE}, spec.provider.type: \"promtheus\" is not known: did you mean prometheus?"))]
#[case::empty_query(Some(template(prometheus(), "{{ if false }}1{{ end }} ")), by_template("errors"),
    format!("{HERE}, spec.query: is empty: write what is to be asked"))]
#[case::no_scheme(Some(template(json!({"type": "prometheus", "address": "prometheus.test:9090"}), "1")), by_template("errors"),
    format!("{HERE}, spec.provider: prometheus address prometheus.test:9090 is not a valid URL: write it with its scheme, like \
              http://prometheus.monitoring:9090"))]
#[case::no_secret(Some(template(json!({"type": "datadog", "secretRef": {"name": "datadog"}}), "1")), by_template("errors"),
    format!("{HERE}, spec.provider.secretRef: Secret datadog.shop cannot be used: secrets \"datadog\" not found"))]
#[case::mistyped_metric(None, json!([{"name": "request-succes-rate", "thresholdRange": {"min": 99}}]),
    "spec.analysis.metrics[0].name: \"request-succes-rate\" is no built-in metric (those are request-success-rate and \
     request-duration) and has neither templateRef nor query: did you mean request-success-rate?".to_owned())]
#[case::forgotten_template(Some(template(prometheus(), "1")), json!([{"name": "errors", "thresholdRange": {"max": 1}}]),
    "has neither templateRef nor query: is templateRef.name: errors missing?".to_owned())]
#[case::inline_query(None, json!([{"name": "errors", "query": "rate(x{{ host }})", "thresholdRange": {"max": 1}}]),
    "spec.analysis.metrics[0].query: ".to_owned())]
// spec: 04/TP-05
#[tokio::test(start_paused = true)]
async fn an_analysis_that_cannot_work_is_named_at_once_and_holds_the_release_until_it_is_mended(
    #[case] object: Option<Value>,
    #[case] checks: Value,
    #[case] said: String,
) {
    let (world, controller) = initialized().await;
    assert_eq!(condition(&world, "Ready").map(|(status, _)| status).as_deref(), Some("True"));
    if let Some(object) = object {
        world.kube.put(object);
    }
    metrics(&world, checks);
    let met = world.until(SOON, |world| condition(world, "AnalysisUsable").is_some()).await;
    assert!(met, "nothing is said of it");
    let (status, message) = condition(&world, "AnalysisUsable").expect("there");
    assert!(status == "False" && message.contains(&said), "{message}");
    assert_eq!(condition(&world, "Ready").map(|(status, _)| status).as_deref(), Some("False"));
    let events = world.events("shop", "frontend");
    assert!(events.iter().any(|event| event.contains(&said)), "{events:#?}");

    world.set_image("shop", "frontend", NEXT);
    assert!(world.until(SOON, |world| condition(world, "Stalled").is_some()).await, "the release starts");
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(world.phase("shop", "frontend"), "Initialized");
    assert_eq!(world.weights("shop", "frontend"), Some((100, 0)));
    let blockers = world.status("shop", "frontend")["blockers"].to_string();
    assert!(blockers.contains("the analysis cannot be asked"), "{blockers}");

    metrics(&world, json!([{"name": "request-success-rate", "thresholdRange": {"min": 99}}]));
    reaches(&world, "Succeeded").await;
    assert_eq!(condition(&world, "AnalysisUsable"), None);
    assert_eq!(condition(&world, "Ready").map(|(status, _)| status).as_deref(), Some("True"));
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_wait_ends_by_itself_when_template_and_secret_are_created() {
    let (world, controller) = initialized().await;
    metrics(&world, by_template("errors"));
    world.set_image("shop", "frontend", NEXT);
    assert!(world.until(SOON, |world| condition(world, "Stalled").is_some()).await);
    let provider = json!({"type": "prometheus", "address": "http://prometheus.test:9090", "secretRef": {"name": "token"}});
    world.kube.put(template(provider, "errors"));
    let waits = |world: &World| {
        condition(world, "Stalled").is_some_and(|(_, text)| text.contains("Secret token.shop cannot be used"))
    };
    assert!(world.until(SOON, waits).await, "{:?}", condition(&world, "Stalled"));
    world.backend.query("errors", 0.5);
    world.kube.put(json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "token", "namespace": "shop"},
        "data": {"token": "dA=="},
    }));
    let interval = Duration::from_secs(35);
    assert!(
        world.until(interval, |world| world.phase("shop", "frontend") == "Progressing").await,
        "{:#?}",
        world.events("shop", "frontend")
    );
    reaches(&world, "Succeeded").await;
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn without_an_analysis_a_revision_is_promoted_whatever_is_wrong_with_that() {
    let (world, controller) = initialized().await;
    metrics(&world, by_template("errors"));
    world.set_image("shop", "frontend", NEXT);
    assert!(world.until(SOON, |world| condition(world, "Stalled").is_some()).await);
    let mut canary = world.kube.get("canaries.flagger.app", "shop", "frontend").expect("a Canary");
    canary["spec"]["skipAnalysis"] = json!(true);
    world.kube.put(canary);
    reaches(&world, "Succeeded").await;
    assert_eq!(condition(&world, "AnalysisUsable"), None);
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_template_with_a_secret_costs_no_request_at_rest_and_is_noticed_when_it_is_deleted() {
    let (world, controller) = initialized().await;
    let provider = json!({"type": "prometheus", "address": "http://prometheus.test:9090", "secretRef": {"name": "token"}});
    world.kube.put(template(provider, "errors"));
    metrics(&world, by_template("errors"));
    assert!(world.until(SOON, |world| condition(world, "AnalysisUsable").is_some()).await, "no Secret");
    tokio::time::sleep(Duration::from_secs(1800)).await;
    world.kube.clear_requests();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    // The API server ends each watch after a while.
    let mut requests = world.kube.requests_of("vexil");
    requests.retain(|request| request.verb.to_string() != "watch");
    assert!(requests.is_empty(), "{} requests, the first: {}", requests.len(), requests[0]);
    world.kube.delete("metrictemplates.flagger.app", "shop", "errors");
    let gone = |world: &World| {
        condition(world, "AnalysisUsable").is_some_and(|(_, text)| text.contains("does not exist"))
    };
    assert!(world.until(SOON, gone).await, "{:?}", condition(&world, "AnalysisUsable"));
    controller.stop().await;
}
