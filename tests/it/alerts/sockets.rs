//! Receivers over sockets, through the client that the controller has: a bot of Slack that finds its thread, and what every
//! service can do wrong.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::join_all;
use serde_json::json;
use vexil::alert::{self, Message, Refused};
use vexil::api::hooks::Severity;
use vexil::api::{AlertProviderSpec, Phase};
use vexil::controller::calls::Calls;
use vexil::http::{Client, Limits};
use vexil::model::moment::Moment;
use wiremock::matchers::{bearer_token, body_partial_json, method, path, query_param};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::*;
use crate::providers::rough::{Manner, Rough};
use crate::providers::sample::{Led, network};

const TOKEN: &str = "s3cret-token";

fn told() -> Message {
    Message {
        name: "frontend".into(),
        namespace: "shop".into(),
        severity: Severity::Error,
        text: "Failed checks threshold reached 5".into(),
        good_end: false,
        fields: Vec::new(),
        moment: Some(Moment {
            release: "7c9d467496".into(),
            phase: Phase::Failed,
            at: chrono::DateTime::from_timestamp(1_796_000_000, 0).expect("a time"),
        }),
        commit: Some("4f2c1d9".into()),
    }
}

/// What comes of a message if `server` is where the service's name leads.
async fn delivered(name: &str, address: &str, server: &str) -> Result<(), Refused> {
    let spec = AlertProviderSpec {
        kind: Some(name.to_owned()),
        channel: Some(if name == "matrix" { "!room:chat.test" } else { "C0123456789" }.to_owned()),
        threads: Some(true),
        ..AlertProviderSpec::default()
    };
    let secret = [("address", address), ("token", TOKEN)];
    let secret = BTreeMap::from(secret.map(|(key, value)| (key.to_owned(), value.as_bytes().to_vec())));
    let made = alert::notifier(&spec, Some(&secret)).expect(name).expect("an address");
    let led = Led { network: network(), server: server.to_owned() };
    let calls = Calls::outside(Client::over(Arc::new(led), Limits::default()));
    let message = told();
    let ended = calls.converse(Duration::from_secs(60), |heard| made.next(&message, heard)).await;
    let outcome = ended.outcome.clone().unwrap_or_else(|endless| panic!("{name}: {endless}"));
    outcome.map_err(|refused| Refused { why: ended.redact(&refused.why), ..refused })
}

#[tokio::test]
async fn a_bot_of_slack_finds_the_thread_of_the_release_and_answers_in_it() {
    let slack = MockServer::start().await;
    let first = json!({
        "ts": "1796000000.000100",
        "metadata": {"event_type": "vexil_release", "event_payload": {"release": "shop/frontend/7c9d467496"}},
    });
    Mock::given(method("GET"))
        .and(path("/api/conversations.history"))
        .and(query_param("channel", "C0123456789"))
        .and(bearer_token(TOKEN))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"ok": true, "messages": [first]})))
        .expect(1)
        .mount(&slack)
        .await;
    Mock::given(method("POST"))
        .and(path("/api/chat.postMessage"))
        .and(bearer_token(TOKEN))
        .and(body_partial_json(json!({"thread_ts": "1796000000.000100", "reply_broadcast": true})))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"ok": true})))
        .expect(1)
        .mount(&slack)
        .await;
    let outcome = delivered("slack", "https://slack.com/api/chat.postMessage", &slack.uri()).await;
    assert_eq!(Ok(()), outcome);
}

/// The services that are reached over HTTP.
fn services() -> impl Iterator<Item = &'static str> {
    alert::known().iter().copied().filter(|name| *name != "email")
}

const ADDRESS: &str = "https://chat.test/s3cret-path/shop";

fn nothing_secret(name: &str, outcome: Result<(), Refused>) -> String {
    let Err(Refused { why, .. }) = outcome else { panic!("{name} takes it") };
    assert!(!why.contains("s3cret"), "{name}: {why}");
    why
}

#[rstest::rstest]
#[case::not_known(401)]
#[case::not_found(404)]
#[case::overloaded(429)]
#[case::broken(503)]
#[tokio::test]
async fn a_service_that_refuses_is_quoted_without_what_is_secret(#[case] status: u16) {
    join_all(services().map(async |name| {
        let server = MockServer::start().await;
        // With all that it was sent.
        let repeats = move |request: &Request| {
            let headers = request.headers.values().filter_map(|value| value.to_str().ok());
            let said = headers.chain([request.url.as_str()]).collect::<Vec<_>>().join(" ");
            ResponseTemplate::new(status).insert_header("Retry-After", "1").set_body_string(said)
        };
        Mock::given(|_: &Request| true).respond_with(repeats).mount(&server).await;
        let why = nothing_secret(name, delivered(name, ADDRESS, &server.uri()).await);
        assert!(why.contains(&status.to_string()), "{name}: {why}");
    }))
    .await;
}

#[tokio::test]
async fn a_service_that_leads_elsewhere_is_not_followed() {
    for name in services() {
        let elsewhere = MockServer::start().await;
        let server = MockServer::start().await;
        let away = ResponseTemplate::new(307).insert_header("Location", elsewhere.uri());
        Mock::given(|_: &Request| true).respond_with(away).mount(&server).await;
        nothing_secret(name, delivered(name, ADDRESS, &server.uri()).await);
        assert!(elsewhere.received_requests().await.expect("recorded").is_empty(), "{name}");
    }
}

#[tokio::test]
async fn a_connection_that_is_lost_is_no_delivery() {
    join_all(services().map(async |name| {
        let server = Rough::start(r#"{"ok": true}"#, Manner::Lost).await;
        let why = nothing_secret(name, delivered(name, ADDRESS, &server.url).await);
        assert!(why.contains("connection closed before message completed"), "{name}: {why}");
    }))
    .await;
}
