//! Conversations with Google Cloud Monitoring: credentials first, then the query.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rstest::rstest;
use rustls::SignatureScheme;

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

const TOKEN: &[u8] = br#"{"access_token":"t0ken","expires_in":3599}"#;
const QUERY: &str = "fetch k8s_container | metric 'x' | within 1m";

/// The end of a conversation of a workload whose query is answered like this.
fn measured(status: u16, body: &str) -> Measured {
    let heard = [answered(200, TOKEN), answered(status, body.as_bytes())];
    match workload(Some(&[("project", "shop-1")])).next(&asked(QUERY), &heard) {
        Next::Done(measured) => measured,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_workload_asks_its_machine_for_project_and_token() {
    // spec: 04/PR-27
    let provider = workload(None);
    let heard = [answered(200, b"shop-1\n"), answered(200, TOKEN)];
    let flavor = vec![("Metadata-Flavor".to_owned(), Secret::from("Google"))];
    for (length, path) in [(0, "project/project-id"), (1, "instance/service-accounts/default/token")] {
        let call = sent(provider.next(&asked(QUERY), &heard[..length]));
        let url = format!("http://metadata.google.internal/computeMetadata/v1/{path}");
        assert_eq!((Method::Get, url.as_str(), &flavor), (call.method, call.url(), &call.headers));
    }
    let call = sent(provider.next(&asked(QUERY), &heard));
    assert_eq!("https://monitoring.googleapis.com/v3/projects/shop-1/timeSeries:query", call.url());
    assert_eq!((Method::Post, Auth::Bearer("t0ken".into())), (call.method, call.auth.clone()));
    assert_eq!(json!({"query": QUERY}), serde_json::from_slice::<Value>(&call.body.bytes()).expect("JSON"));
}

#[test]
fn an_account_signs_for_its_token() {
    let key = account_key();
    let provider = workload(Some(&[("project", "example.com:shop"), ("serviceAccountKey", &key)]));
    let call = sent(provider.next(&asked(QUERY), &[]));
    assert_eq!("https://oauth2.googleapis.com/token", call.url());
    let Body::Form(fields) = &call.body else { panic!("{call:?}") };
    assert_eq!("urn:ietf:params:oauth:grant-type:jwt-bearer", fields[0].1);
    let (statement, signature) = fields[1].1.rsplit_once('.').expect("a signature");
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).expect("base64");
    let parts: Vec<Value> =
        statement.split('.').map(|part| serde_json::from_slice(&decode(part)).expect("JSON")).collect();
    let claims = json!({
        "iss": "vexil@shop-1.iam.gserviceaccount.com",
        "scope": "https://www.googleapis.com/auth/monitoring.read",
        "aud": "https://oauth2.googleapis.com/token",
        "iat": 1_784_635_200,
        "exp": 1_784_638_800,
    });
    assert_eq!(vec![json!({"alg": "RS256", "typ": "JWT", "kid": "k1"}), claims], parts);
    let known = rustls::crypto::ring::default_provider().signature_verification_algorithms.mapping;
    let (_, algorithms) =
        known.iter().find(|(scheme, _)| *scheme == SignatureScheme::RSA_PKCS1_SHA256).expect("RS256");
    let public = STANDARD.decode(PUBLIC_KEY).expect("base64");
    let valid = |statement: &str| {
        let signature = decode(signature);
        algorithms.iter().any(|one| one.verify_signature(&public, statement.as_bytes(), &signature).is_ok())
    };
    assert!(valid(statement) && !valid("e30.e30"));

    let call = sent(provider.next(&asked(QUERY), &[answered(200, TOKEN)]));
    assert_eq!("https://monitoring.googleapis.com/v3/projects/example.com:shop/timeSeries:query", call.url());
    assert_eq!(Auth::Bearer("t0ken".into()), call.auth);
}

const PUBLIC_KEY: &str = "MIIBCgKCAQEAv6VUCPAEhFb5CbRp0qrpyKsKez9/B1WtpqleE8CpgssdqVxr2GTvtZPmtF1c4PNRiKeMRtjQzjNmLjIuqZPfIm9gPr0Cuu7nR4g8pyGs/kLEGwoaFvpeJo7aLsDz5jcVjxHDDaouIhsw8ipcvFkVn+iSIXo4EFERT6G6efGgtuAWBgHDWx69kdQDHrFONvlQ9pLbBdK1OZoPJ5NEnGEazHiIGRxtJqFOSZmwLuDDdgZj0fgPIV1zkkzH8dTvnuFyyGCDAhq+VvGN8Rv65+v0GoE6jD+Tg+TJ6EvKqD+wOchZn9mk73PNzn/WX6Ug5GlJaCg+efrZToiiibezci38PwIDAQAB";

#[rstest]
#[case::no_project(&[], "stackdriver credentials does not contain a project id")]
#[case::path(&[("project", "a/../b")], "stackdriver credentials contain a project that is not the id of one")]
#[case::no_json(&[("project", "a"), (ACCOUNT_KEY, "s3cret")], "stackdriver credentials contain a serviceAccountKey that cannot be used: it is not the JSON file of a key")]
#[case::other_file(&[("project", "a"), (ACCOUNT_KEY, "{\"type\":\"authorized_user\"}")], "stackdriver credentials contain a serviceAccountKey that cannot be used: it is not the file of a service account's key")]
#[case::no_key(&[("project", "a"), (ACCOUNT_KEY, "{\"type\":\"service_account\",\"client_email\":\"a@b\",\"private_key\":\"s3cret\"}")], "stackdriver credentials contain a serviceAccountKey that cannot be used: its private_key is not an RSA key in PEM")]
#[case::plain_http(&[("project", "a"), (ACCOUNT_KEY, "{\"type\":\"service_account\",\"client_email\":\"a@b\",\"token_uri\":\"http://x\"}")], "stackdriver credentials contain a serviceAccountKey that cannot be used: its token_uri is not an https URL")]
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
        step(&[answered(200, b"<html>"), answered(200, TOKEN)])
    );
    assert_eq!(
        "stackdriver: the answer to the request for a token holds none",
        step(&[answered(200, b"shop-1"), answered(200, b"{\"access_token\":7}")])
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
    let Next::Send(call) = provider.probe(&asked(""), &[answered(200, TOKEN)]) else { panic!("no call") };
    assert_eq!(json!({"query": ""}), serde_json::from_slice::<Value>(&call.body.bytes()).expect("JSON"));
    let heard = [answered(200, TOKEN), answered(status, body.as_bytes())];
    let Next::Done(online) = provider.probe(&asked(""), &heard) else { panic!("no end") };
    assert_eq!(there, online.is_ok(), "{online:?}");
}

#[test]
fn every_call_has_a_deadline() {
    // spec: 04/PR-28
    let provider = workload(None);
    let heard = [answered(200, b"shop-1"), answered(200, TOKEN)];
    for length in 0..3 {
        assert_eq!(Duration::from_secs(10), sent(provider.next(&asked(QUERY), &heard[..length])).timeout);
    }
}
