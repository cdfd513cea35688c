//! What the API server says of a Canary under our definitions, as somebody with kubectl reads it.

use rstest::rstest;
use serde_json::{Value, json};
use vexil::api::crds;

use super::kubectl::{Bench, cells};

async fn bench(name: &str) -> Bench {
    let bench = Bench::start(name).await;
    for crd in crds::crds() {
        bench.sim.put(serde_json::to_value(crd).expect("a CRD is JSON"));
    }
    bench
}

fn canary() -> Value {
    json!({
        "apiVersion": "flagger.app/v1beta1",
        "kind": "Canary",
        "metadata": {"name": "frontend", "namespace": "default"},
        "spec": {
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "frontend"},
            "service": {"port": 80},
            "analysis": {"interval": "1m", "threshold": 5, "stepWeight": 10},
        },
    })
}

fn with(changes: &[(&str, Value)]) -> String {
    let mut canary = canary();
    for (path, value) in changes {
        let (parent, name) = path.rsplit_once('/').expect("a path");
        let parent = canary.pointer_mut(parent).expect("in the manifest").as_object_mut().expect("an object");
        match value {
            Value::Null => parent.remove(name),
            value => parent.insert(name.to_owned(), value.clone()),
        };
    }
    canary.to_string()
}

const LONG: &str = "a-name-of-fifty-six-characters-is-one-too-many-for-us-all";

// spec: 01/API-018 01/API-019 01/API-020
#[rstest]
#[case::two_strategies("two", vec![("/spec/analysis/stepWeights", json!([5, 50]))],
    "spec.analysis: Invalid value: \"object\": write exactly one of iterations, stepWeight and stepWeights: stepWeight moves \
     the traffic in equal steps")]
#[case::iterations_beside_steps("beside", vec![("/spec/analysis/iterations", json!(10))],
    "write exactly one of iterations, stepWeight and stepWeights")]
#[case::no_strategy("none", vec![("/spec/analysis/stepWeight", Value::Null)],
    "write exactly one of iterations, stepWeight and stepWeights")]
#[case::no_interval("interval", vec![("/spec/analysis/interval", Value::Null)], "spec.analysis.interval: Required value")]
#[case::no_threshold("threshold", vec![("/spec/analysis/threshold", Value::Null)], "spec.analysis.threshold: Required value")]
#[case::negative_threshold("negative", vec![("/spec/analysis/threshold", json!(-1))],
    "spec.analysis.threshold: Invalid value: \"number\": threshold cannot be negative: write how many failed checks end a release")]
#[case::negative_weight("weight", vec![("/spec/analysis/maxWeight", json!(-50))],
    "spec.analysis.maxWeight: Invalid value: \"number\": maxWeight cannot be negative")]
#[case::negative_age("age", vec![("/spec/analysis/sessionAffinity", json!({"cookieName": "side", "maxAge": -1}))],
    "spec.analysis.sessionAffinity.maxAge: Invalid value: \"number\": maxAge cannot be negative")]
#[case::host_with_a_scheme("host", vec![("/spec/service/hosts", json!(["a.example.com", "https://b.example.com"]))],
    "spec.service.hosts[1]: Invalid value: \"string\": is an address, not a host: write it without its scheme")]
#[case::no_service_name("service", vec![("/spec/service/name", json!("My_App"))],
    "spec.service.name: Invalid value: \"string\": is no name that a Service can have")]
#[case::long_target("target", vec![("/spec/targetRef/name", json!(LONG))],
    "write a spec.service.name of at most 55")]
#[case::long_service("long", vec![("/spec/service/name", json!(LONG))], "write a spec.service.name of at most 55")]
#[tokio::test(flavor = "multi_thread")]
async fn what_can_never_run_is_refused_in_words_when_it_is_applied(
    #[case] name: &str,
    #[case] changes: Vec<(&str, Value)>,
    #[case] said: &str,
) {
    let bench = bench(&format!("refused-{name}")).await;
    let refused = bench.refused("apply -f -", &with(&changes));
    assert!(refused.contains(said), "{refused}");
    assert!(!refused.contains("valid alternatives"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_flaggers_definition_takes_and_a_controller_can_run_is_taken() {
    let bench = bench("taken").await;
    let none: Value = Value::Null;
    for changes in [
        vec![],
        vec![("/spec/analysis/stepWeight", none.clone()), ("/spec/analysis/stepWeights", json!([5, 50.0]))],
        vec![("/spec/analysis/stepWeight", none.clone()), ("/spec/analysis/iterations", json!(10))],
        vec![("/spec/analysis/stepWeight", json!(0))],
        vec![("/spec/analysis/threshold", json!(0)), ("/spec/analysis/maxWeight", json!(0))],
        vec![("/spec/analysis/maxWeight", json!(150.0))],
        vec![("/spec/analysis/sessionAffinity", json!({"cookieName": "side"}))],
        vec![("/spec/service/name", json!(""))],
        vec![("/spec/service/name", json!("1-app")), ("/spec/targetRef/name", json!(LONG))],
        vec![("/spec/service/hosts", json!(["*", "*.example.com", "frontend.shop.svc.cluster.local"]))],
        vec![("/spec/service", none.clone())],
        vec![
            ("/spec/analysis", none.clone()),
            (
                "/spec/canaryAnalysis",
                json!({"interval": "1m", "threshold": -1, "stepWeight": 10, "stepWeights": [20]}),
            ),
        ],
        vec![(
            "/spec/targetRef",
            json!({"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": LONG}),
        )],
    ] {
        bench.run_with("apply --dry-run=server -f -", &with(&changes));
    }
}

// spec: 01/API-008
#[tokio::test(flavor = "multi_thread")]
async fn a_status_in_a_manifest_that_is_applied_has_no_effect() {
    let bench = bench("status").await;
    let status = ("/status", json!({"phase": "Succeeded", "canaryWeight": 100}));
    bench.run_with("apply -f -", &with(&[status]));
    assert_eq!(bench.run("get canary frontend -o jsonpath={.status}"), "");
}

fn stored(name: &str, phase: &str, conditions: Value) -> Value {
    let mut canary = canary();
    canary["metadata"]["name"] = name.into();
    canary["status"] = json!({
        "phase": phase, "canaryWeight": 20, "failedChecks": 1, "iterations": 0, "conditions": conditions,
        "lastTransitionTime": "2026-11-30T12:00:00Z",
    });
    canary
}

// spec: 01/API-004
#[tokio::test(flavor = "multi_thread")]
async fn the_wide_table_tells_what_is_ready_refused_and_paused() {
    let bench = bench("columns").await;
    let condition =
        |kind: &str, status: &str, reason: &str| json!({"type": kind, "status": status, "reason": reason});
    let unknown = condition("Ready", "Unknown", "Progressing");
    bench.sim.put(stored("good", "Succeeded", json!([condition("Ready", "True", "Succeeded")])));
    bench.sim.put(stored("held", "Progressing", json!([unknown, condition("Paused", "True", "Requested")])));
    bench.sim.put(stored("wrong", "Initializing", json!([condition("Ready", "False", "InvalidSpec")])));
    let table = bench.run("get canaries");
    let lines: Vec<Vec<&str>> = table.lines().map(cells).collect();
    assert_eq!(lines[0], ["NAME", "STATUS", "WEIGHT", "LASTTRANSITIONTIME"]);
    assert_eq!(lines[1], ["good", "Succeeded", "20", "2026-11-30T12:00:00Z"]);

    let table = bench.run("get canaries -o wide");
    let lines: Vec<Vec<&str>> = table.lines().map(cells).collect();
    assert_eq!(lines[0][lines[0].len() - 4..], ["LASTTRANSITIONTIME", "READY", "REASON", "PAUSED"]);
    let tail = |line: usize| {
        table.lines().nth(line).and_then(|line| line.split_once("12:00:00Z")).map(|it| cells(it.1))
    };
    assert_eq!(tail(1), Some(vec!["True", "Succeeded"]));
    assert_eq!(tail(2), Some(vec!["Unknown", "Progressing", "True"]));
    assert_eq!(tail(3), Some(vec!["False", "InvalidSpec"]));
}
