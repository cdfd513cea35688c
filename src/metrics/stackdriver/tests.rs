//! Conversations with Google Cloud Monitoring: credentials first, then the query.

use std::time::Duration;

use rstest::rstest;

use super::*;
use crate::metrics::testing::{Sample, answered, asked, secret};
use crate::model::call::{Method, Silence};

/// As a workload of the cluster, with or without a project from a secret.
fn workload(pairs: Option<&[(&str, &str)]>) -> Stackdriver {
    Stackdriver::new(&MetricProvider::default(), pairs.map(secret).as_ref()).expect("valid")
}

fn account_key() -> String {
    let key = Sample::of("stackdriver").secret(ACCOUNT_KEY);
    assert!(key.contains("PRIVATE KEY"));
    key
}

fn sent(step: Next<Measured>) -> Call {
    match step {
        Next::Send(call) => *call,
        other => panic!("{other:?}"),
    }
}

const QUERY: &str = "fetch k8s_container | metric 'x' | within 1m";

/// The end of a conversation of a workload whose query is answered like this.
fn measured(status: u16, body: &str) -> Measured {
    let heard = [answered(status, body.as_bytes())];
    match workload(Some(&[("project", "shop-1")])).next(&asked(QUERY), &heard) {
        Next::Done(measured) => measured,
        other => panic!("{other:?}"),
    }
}

/// The call shows a token of the account with this key.
fn with_a_token(key: Option<&str>) -> Auth {
    Auth::Google(Box::new(GoogleIdentity { key: key.map(Secret::from) }))
}

#[test]
fn a_workload_asks_its_machine_for_the_project_and_shows_its_own_token() {
    // spec: 04/PR-27
    let provider = workload(None);
    let call = sent(provider.next(&asked(QUERY), &[]));
    let url = "http://metadata.google.internal/computeMetadata/v1/project/project-id";
    let flavor = vec![("Metadata-Flavor".to_owned(), Secret::from("Google"))];
    assert_eq!((Method::Get, url, &flavor), (call.method, call.url(), &call.headers));
    let call = sent(provider.next(&asked(QUERY), &[answered(200, b"shop-1\n")]));
    assert_eq!("https://monitoring.googleapis.com/v3/projects/shop-1/timeSeries:query", call.url());
    assert_eq!((Method::Post, with_a_token(None)), (call.method, call.auth.clone()));
    assert_eq!(json!({"query": QUERY}), serde_json::from_slice::<Value>(&call.body.bytes()).expect("JSON"));
}

#[test]
fn the_account_of_a_key_shows_its_token() {
    let key = account_key();
    let provider = workload(Some(&[("project", "example.com:shop"), ("serviceAccountKey", &key)]));
    let call = sent(provider.next(&asked(QUERY), &[]));
    assert_eq!("https://monitoring.googleapis.com/v3/projects/example.com:shop/timeSeries:query", call.url());
    assert_eq!(with_a_token(Some(&key)), call.auth);
}

#[rstest]
#[case::no_project(&[], "stackdriver credentials does not contain a project id")]
#[case::path(&[("project", "a/../b")], "stackdriver credentials contain a project that is not the id of one")]
#[case::no_json(&[("project", "a"), (ACCOUNT_KEY, "s3cret")], "stackdriver credentials contain a serviceAccountKey that cannot be used: it is not the JSON file of a key")]
#[case::other_file(&[("project", "a"), (ACCOUNT_KEY, "{\"type\":\"authorized_user\"}")], "stackdriver credentials contain a serviceAccountKey that cannot be used: it is not the file of a service account's key")]
#[case::no_key(&[("project", "a"), (ACCOUNT_KEY, "{\"type\":\"service_account\",\"client_email\":\"a@b\",\"private_key\":\"s3cret\"}")], "stackdriver credentials contain a serviceAccountKey that cannot be used: its private_key is not an RSA key in PEM")]
fn a_secret_that_cannot_be_used_is_named(#[case] pairs: &[(&str, &str)], #[case] expected: &str) {
    let error = Stackdriver::new(&MetricProvider::default(), Some(&secret(pairs))).unwrap_err();
    assert_eq!(expected, error.to_string());
}

#[rstest]
#[case::newest(r#"[{"values":[{"doubleValue":1.5}]},{"values":[{"doubleValue":9}]}]"#, Measured::Value(1.5))]
#[case::whole(r#"[{"values":[{"int64Value":"42"}]}]"#, Measured::Value(42.0))]
#[case::nan(r#"[{"values":[{"doubleValue":"NaN"}]}]"#, Measured::NotANumber)]
#[case::infinite(r#"[{"values":[{"doubleValue":"Infinity"}]}]"#, Measured::Failed("the result is +Inf, which no threshold can judge".into()))]
#[case::no_value(r#"[{"values":[{}]}]"#, Measured::NoData("stackdriver: no values found".into()))]
#[case::no_values(r#"[{"values":[]}]"#, Measured::NoData("stackdriver: no values found".into()))]
#[case::no_points("[]", Measured::NoData("stackdriver: no values found".into()))]
#[case::flag(r#"[{"values":[{"boolValue":true}]}]"#, Measured::Failed("stackdriver: the value is not a number: {\"boolValue\":true}".into()))]
#[case::distribution(r#"[{"values":[{"distributionValue":{"count":"3"}}]}]"#, Measured::Failed("stackdriver: the value is not a number: {\"distributionValue\":{\"count\":\"3\"}}".into()))]
fn the_newest_point_counts(#[case] points: &str, #[case] expected: Measured) {
    // spec: 04/PR-27 04/PR-28
    assert_eq!(expected, measured(200, &format!(r#"{{"timeSeriesData":[{{"pointData":{points}}}]}}"#)));
}

#[test]
fn what_goes_wrong_says_where() {
    let refused = "error requesting stackdriver error response: no: 403 Forbidden";
    assert_eq!(Measured::Failed(refused.into()), measured(403, "no"));
    let partial = r#"{"timeSeriesData":[],"partialErrors":[{"code":8,"message":"too much"}]}"#;
    assert_eq!(Measured::Failed("stackdriver: the query failed: too much".into()), measured(200, partial));

    let provider = workload(None);
    let step = |heard: &[Heard]| match provider.next(&asked(QUERY), heard) {
        Next::Done(Measured::Failed(why)) => why,
        other => panic!("{other:?}"),
    };
    let silence =
        Silence { call: "GET x".into(), cause: "no such host".into(), attempts: 1, hopeless: false };
    let silent = Heard { after: Duration::ZERO, what: What::Silence(silence) };
    assert_eq!("stackdriver request failed: GET x: no such host", step(&[silent]));
    assert_eq!(
        "stackdriver: the metadata service does not say in which project this runs",
        step(&[answered(200, b"<html>")])
    );
}

#[rstest]
#[case::answer(200, "{}", true)]
#[case::no_query(400, r#"{"error":{"status":"INVALID_ARGUMENT"}}"#, true)]
#[case::forbidden(403, r#"{"error":{"status":"PERMISSION_DENIED"}}"#, false)]
#[case::other(400, r#"{"error":{"status":"FAILED_PRECONDITION"}}"#, false)]
fn it_is_there_if_it_finds_fault_with_nothing_but_the_query(
    #[case] status: u16,
    #[case] body: &str,
    #[case] there: bool,
) {
    // spec: 04/PR-27
    let provider = workload(Some(&[("project", "shop-1")]));
    let Next::Send(call) = provider.probe(&asked(""), &[]) else { panic!("no call") };
    assert_eq!(json!({"query": ""}), serde_json::from_slice::<Value>(&call.body.bytes()).expect("JSON"));
    let heard = [answered(status, body.as_bytes())];
    let Next::Done(online) = provider.probe(&asked(""), &heard) else { panic!("no end") };
    assert_eq!(there, online.is_ok(), "{online:?}");
}

#[test]
fn every_call_has_a_deadline() {
    // spec: 04/PR-28
    let provider = workload(None);
    let heard = [answered(200, b"shop-1")];
    for length in 0..2 {
        assert_eq!(Duration::from_secs(10), sent(provider.next(&asked(QUERY), &heard[..length])).timeout);
    }
}
