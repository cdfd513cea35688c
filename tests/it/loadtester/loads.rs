//! Tasks of type `load`: what is sent, what comes of it, and where it may not go.

use std::time::Duration;

use serde_json::{Value, json};
use vexil::http::Egress;
use vexil::loadtester::{Limits, Rules, Settings};
use wiremock::matchers::{body_string, header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{Tester, careful, start, until};

/// A load tester that may load this machine.
async fn near() -> Tester {
    let careful = careful();
    let load = Limits { qps: 1000, connections: 100, hosts: vec!["127.0.0.1".into()] };
    start(Settings { rules: Rules { load, ..careful.rules }, ..careful }).await
}

fn load(url: &str, more: Value) -> Value {
    let mut metadata =
        json!({"type": "load", "url": url, "duration": "400ms", "qps": "100", "connections": "4"});
    for (key, value) in more.as_object().expect("an object") {
        metadata[key] = value.clone();
    }
    metadata
}

#[tokio::test]
async fn a_load_needs_no_command_and_its_percentiles_are_metrics() {
    let server = MockServer::start().await;
    let slow = ResponseTemplate::new(200).set_delay(Duration::from_millis(20));
    let wanted = Mock::given(method("POST"))
        .and(path("/buy"))
        .and(header("X-Canary", "always"))
        .and(header("Host", "shop.example.com"))
        .and(body_string("{}"));
    wanted.respond_with(slow).mount(&server).await;
    let tester = near().await;
    let more = json!({"method": "POST", "body": "{}", "header.X-Canary": "always", "header.Host": "shop.example.com"});
    assert_eq!((202, String::new()), tester.task(load(&format!("{}/buy", server.uri()), more)).await);
    until("it has ended", async || {
        tester.series("vexil_loadtester_tasks_total{outcome=\"succeeded\",type=\"load\"}").await == Some(1.0)
    })
    .await;
    let of = "name=\"frontend\",namespace=\"shop\"";
    let sent = tester
        .series(&format!("vexil_loadtester_requests_total{{code=\"200\",{of}}}"))
        .await
        .expect("a series");
    // A hundred a second for four tenths, on a machine that may be busy.
    assert!((5.0..=41.0).contains(&sent), "{sent}");
    assert_eq!(sent, server.received_requests().await.expect("recorded").len() as f64);
    let percentile = async |quantile: &str| {
        let series = format!("vexil_loadtester_load_latency_seconds{{{of},quantile=\"{quantile}\"}}");
        tester.series(&series).await.expect("a series")
    };
    let (p50, p99) = (percentile("0.5").await, percentile("0.99").await);
    assert!(p50 >= 0.02 && p99 >= p50, "{p50} {p99}");
    let below = format!("vexil_loadtester_request_duration_seconds_bucket{{{of},le=\"0.01\"}}");
    assert_eq!(Some(0.0), tester.series(&below).await);
    assert_eq!(Some(100.0), tester.series(&format!("vexil_loadtester_load_success_percent{{{of}}}")).await);
    tester.stop().await;
}

#[tokio::test]
async fn a_load_that_is_waited_for_passes_or_fails_with_its_numbers() {
    let server = MockServer::start().await;
    Mock::given(path("/good")).respond_with(ResponseTemplate::new(200)).mount(&server).await;
    Mock::given(path("/bad")).respond_with(ResponseTemplate::new(503)).mount(&server).await;
    let slow = ResponseTemplate::new(200).set_delay(Duration::from_millis(60));
    Mock::given(path("/slow")).respond_with(slow).mount(&server).await;
    let tester = near().await;
    let wanted = json!({"wait": "true", "minSuccessRate": "99", "maxP99": "50s"});
    let (status, text) = tester.task(load(&format!("{}/good", server.uri()), wanted.clone())).await;
    assert!(status == 200 && text.contains("; 200: ") && text.contains("; p99 "), "{status} {text}");
    let (status, text) = tester.task(load(&format!("{}/bad", server.uri()), wanted)).await;
    assert!(
        status == 500 && text.starts_with("load failed: success rate 0.00 % is below 99 %"),
        "{status} {text}"
    );
    let (status, text) =
        tester.task(load(&format!("{}/slow", server.uri()), json!({"wait": "true", "maxP50": "50ms"}))).await;
    assert!(status == 500 && text.contains("p50 ") && text.contains("is above 50ms"), "{status} {text}");
    // What sends a redirect is what is measured.
    let away = ResponseTemplate::new(302).insert_header("Location", format!("{}/bad", server.uri()));
    Mock::given(path("/away")).respond_with(away).mount(&server).await;
    let (status, text) = tester.task(load(&format!("{}/away", server.uri()), json!({"wait": "true"}))).await;
    assert!(status == 200 && text.contains("302: "), "{status} {text}");
    tester.stop().await;
}

#[tokio::test]
async fn nobody_at_home_and_nobody_who_answers_are_failures_with_a_reason() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("an address").port()
    };
    let tester = near().await;
    for (port, more, kind) in [
        (gone, json!({"wait": "true"}), "connect"),
        (
            silent.local_addr().expect("an address").port(),
            json!({"wait": "true", "timeout": "50ms"}),
            "timeout",
        ),
    ] {
        let (status, text) = tester.task(load(&format!("http://127.0.0.1:{port}/"), more)).await;
        assert!(
            status == 500 && text.contains("no request was answered") && text.contains(kind),
            "{status} {text}"
        );
    }
    tester.stop().await;
}

#[tokio::test]
async fn a_load_stays_in_the_callers_namespace_and_out_of_denied_networks() {
    let tester = start(careful()).await;
    for url in ["http://127.0.0.1:1/", "http://frontend.bank/", "http://169.254.169.254/", "http://frontend/"]
    {
        let (status, text) = tester.task(load(url, json!({}))).await;
        assert!(status == 400 && text.contains("-load-hosts"), "{url}: {status} {text}");
    }
    tester.stop().await;
    // Whatever hosts are allowed, networks are denied all the same.
    let careful = careful();
    let load_all = Limits { qps: 10, connections: 1, hosts: vec!["*".into()] };
    let egress = Egress::new(&["127.0.0.0/8"], &[]).expect("networks");
    let tester =
        start(Settings { rules: Rules { load: load_all, ..careful.rules }, egress, ..careful }).await;
    for url in ["http://169.254.169.254/", "http://127.0.0.1:1/", "http://localhost:1/"] {
        let metadata = json!({"type": "load", "url": url, "wait": "true", "duration": "100ms"});
        let (status, text) = tester.task(metadata).await;
        assert!(status == 500 && text.contains("may not be called"), "{url}: {status} {text}");
    }
    let (status, text) = tester.task(load("http://frontend.shop/", json!({"qps": "11"}))).await;
    assert!(status == 400 && text.contains("-load-max-qps"), "{text}");
    let (status, text) = tester
        .task(load("http://frontend.shop/", json!({"qps": "1", "connections": "1", "duration": "61s"})))
        .await;
    assert!(status == 400 && text.contains("-timeout"), "{text}");
    tester.stop().await;
}
