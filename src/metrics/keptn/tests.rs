//! Questions to Keptn: what they ask for, and how an Analysis is led from its creation to its deletion.

use rstest::rstest;

use super::*;
use crate::metrics::testing::{answered, asked, place};
use crate::model::call::{Answer, Silence};

const METRIC: &str = "/apis/metrics.keptn.sh/v1beta1/namespaces/shop/keptnmetrics/errors";
const ANALYSES: &str = "/apis/metrics.keptn.sh/v1beta1/namespaces/shop/analyses";

/// `GET path`, `wait 1s`, or what it came to.
fn step(query: &str, heard: &[Heard]) -> String {
    match Keptn.next(&asked(query), heard) {
        Next::Send(call) => format!("{:?} {}", call.method, call.url()),
        Next::Wait(pause) => format!("wait {pause:?}"),
        Next::Done(measured) => format!("{measured:?}"),
    }
}

fn at(seconds: u64, what: What) -> Heard {
    Heard { after: Duration::from_secs(seconds), what }
}

fn says(seconds: u64, status: u16, body: &str) -> Heard {
    at(seconds, What::Answer(Answer::new(status, body)))
}

/// The name that the object of this question gets.
fn id(query: &str) -> String {
    Wanted::parse(query).expect("a query").id(&asked(query))
}

#[rstest]
#[case::short("keptnmetric/shop/errors", METRIC)]
#[case::plural("keptnmetrics/shop/errors/5m\n", METRIC)]
#[case::upper_case("KeptnMetric/Shop/Errors", METRIC)]
fn a_metric_is_read(#[case] query: &str, #[case] path: &str) {
    // spec: 04/PR-33
    assert_eq!(format!("Get {path}"), step(query, &[]));
}

#[rstest]
#[case::value(r#"{"value":"1.5"}"#, Measured::Value(1.5))]
#[case::nan(r#"{"value":"NaN"}"#, Measured::NotANumber)]
#[case::not_yet(r#"{"value":""}"#, Measured::NoData("keptn: the metric has no value yet: no values found".into()))]
#[case::nothing("{}", Measured::NoData("keptn: the metric has no value yet: no values found".into()))]
#[case::error(r#"{"value":"3","errMsg":"no such host"}"#, Measured::Failed("keptn: the metric could not be fetched: no such host".into()))]
#[case::word(r#"{"value":"much"}"#, Measured::Failed("keptn: the value is not a number: much".into()))]
fn the_value_of_a_metric_counts(#[case] status: &str, #[case] expected: Measured) {
    // spec: 04/PR-33
    let body = format!(r#"{{"kind":"KeptnMetric","status":{status}}}"#);
    let heard = [answered(200, body.as_bytes())];
    assert_eq!(Next::Done(expected), Keptn.next(&asked("keptnmetric/shop/errors"), &heard));
}

#[test]
fn an_analysis_is_created_with_its_arguments() {
    // spec: 04/PR-33
    let query = "analysis/shop/release/10m/service=Podinfo;path=/api/v1;empty=";
    let Next::Send(call) = Keptn.next(&asked(query), &[]) else { panic!("no call") };
    assert_eq!((Method::Post, ANALYSES), (call.method, call.url()));
    let body: Value = serde_json::from_slice(&call.body.bytes()).expect("JSON");
    let name = body["metadata"]["name"].as_str().expect("a name");
    let suffix = name.strip_prefix("release-").expect("the name of the definition");
    assert!(suffix.len() == 6 && suffix.chars().all(|c| c.is_ascii_hexdigit()), "{name}");
    let expected = json!({
        "analysisDefinition": {"name": "release"},
        "timeframe": {"recent": "10m"},
        "args": {"service": "Podinfo", "path": "/api/v1", "empty": ""},
    });
    assert_eq!((expected, "shop"), (body["spec"].clone(), body["metadata"]["namespace"].as_str().unwrap()));
    let Next::Send(call) = Keptn.next(&asked("analyses/shop/release"), &[]) else { panic!("no call") };
    let body: Value = serde_json::from_slice(&call.body.bytes()).expect("JSON");
    assert_eq!(json!({"recent": "1m"}), body["spec"]["timeframe"]);
}

#[rstest]
#[case::passed(r#"{"state":"Completed","pass":true}"#, "Value(1.0)")]
#[case::failed(r#"{"state":"Completed","pass":false}"#, "Value(0.0)")]
#[case::failed_silently(r#"{"state":"Completed"}"#, "Value(0.0)")]
fn an_analysis_is_polled_judged_and_deleted(#[case] status: &str, #[case] expected: &str) {
    // spec: 04/PR-33
    let query = "analysis/shop/release";
    let path = format!("{ANALYSES}/{}", id(query));
    let busy = r#"{"kind":"Analysis","status":{"state":"Progressing"}}"#;
    let done = format!(r#"{{"kind":"Analysis","status":{status}}}"#);
    let heard = [
        says(0, 201, "{}"),
        at(1, What::Waited),
        says(1, 200, busy),
        at(2, What::Waited),
        says(2, 200, &done),
        says(2, 200, "{}"),
    ];
    let steps: Vec<String> = (0..=heard.len()).map(|length| step(query, &heard[..length])).collect();
    let expected = [
        format!("Post {ANALYSES}"),
        "wait 1s".to_owned(),
        format!("Get {path}"),
        "wait 1s".to_owned(),
        format!("Get {path}"),
        format!("Delete {path}"),
        expected.to_owned(),
    ];
    assert_eq!(expected.as_slice(), steps);
}

#[test]
fn an_analysis_that_does_not_end_is_deleted_after_ten_seconds() {
    // spec: 04/PR-33
    let query = "analysis/shop/release";
    let busy = r#"{"kind":"Analysis","status":{}}"#;
    let mut heard = vec![says(0, 201, "{}")];
    for second in 1..=10 {
        assert_eq!("wait 1s", step(query, &heard));
        heard.extend([at(second, What::Waited), says(second, 200, busy)]);
    }
    assert_eq!(format!("Delete {ANALYSES}/{}", id(query)), step(query, &heard));
    heard.push(says(10, 404, "gone"));
    let why =
        format!("encountered timeout while waiting for Keptn Analysis shop/{} to be finished", id(query));
    assert_eq!(format!("{:?}", Measured::Failed(why)), step(query, &heard));
}

#[rstest]
#[case::overloaded(
    503,
    "etcdserver: leader changed",
    "keptn error response: etcdserver: leader changed: 503 Service Unavailable"
)]
#[case::cut_off(
    200,
    r#"{"kind":"Analysis","status":{"state":"Comp"#,
    "keptn: the answer is not JSON but 42 bytes of something else"
)]
#[case::no_verdict(
    200,
    r#"{"kind":"Analysis","status":{"state":"Completed","pass":"yes"}}"#,
    "keptn: the verdict is neither true nor false"
)]
#[case::null(
    200,
    r#"{"kind":"Analysis","status":{"state":"Completed","pass":null}}"#,
    "keptn: the verdict is neither true nor false"
)]
fn a_look_that_fails_is_no_verdict_and_the_object_is_deleted(
    #[case] status: u16,
    #[case] body: &str,
    #[case] why: &str,
) {
    let query = "analysis/shop/release";
    let mut heard = vec![says(0, 201, "{}"), at(1, What::Waited), says(1, status, body)];
    assert_eq!(format!("Delete {ANALYSES}/{}", id(query)), step(query, &heard));
    heard.push(says(1, 200, "{}"));
    assert_eq!(format!("{:?}", Measured::Failed(why.to_owned())), step(query, &heard));
}

#[test]
fn what_may_have_been_created_is_deleted() {
    let query = "analysis/shop/release";
    let silence = Silence { call: "POST x".into(), cause: "no answer".into(), attempts: 1, hopeless: false };
    let heard = [at(5, What::Silence(silence)), says(5, 200, "{}")];
    assert_eq!(format!("Delete {ANALYSES}/{}", id(query)), step(query, &heard[..1]));
    assert_eq!("Failed(\"keptn request failed: POST x: no answer\")", step(query, &heard));
    let refused = [says(0, 403, "analyses is forbidden")];
    assert_eq!(
        "Failed(\"keptn error response: analyses is forbidden: 403 Forbidden\")",
        step(query, &refused)
    );
}

#[rstest]
#[case::short("keptnmetric/shop", "is not <type>/<namespace>/<name>")]
#[case::type_of_another("deployment/shop/a", "has the type \"deployment\": use keptnmetric or analysis")]
#[case::up("keptnmetric/../a", "names no object: namespace and name are lower case letters, digits, - and .")]
#[case::parameters(
    "keptnmetric/shop/a?watch=1",
    "names no object: namespace and name are lower case letters, digits, - and ."
)]
#[case::argument("analysis/shop/a/1m/x", "has the argument \"x\", which is not <key>=<value>")]
fn a_query_that_is_none_says_why(#[case] query: &str, #[case] why: &str) {
    // spec: 04/PR-33
    let expected = Measured::Failed(format!("keptn: the query {query:?} {why}"));
    assert_eq!(Next::Done(expected), Keptn.next(&asked(query), &[]));
}

#[test]
fn it_is_there_if_the_cluster_serves_its_kinds() {
    let Next::Send(call) = Keptn.probe(&asked(""), &[]) else { panic!("no call") };
    assert_eq!("cluster /apis/metrics.keptn.sh/v1beta1", place(&call));
    assert_eq!(Next::Done(Ok(())), Keptn.probe(&asked(""), &[answered(200, b"{}")]));
    let missing = "keptn error response: 404 page not found: 404 Not Found".to_owned();
    assert_eq!(Next::Done(Err(missing)), Keptn.probe(&asked(""), &[answered(404, b"404 page not found")]));
}
