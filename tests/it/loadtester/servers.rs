//! Tasks that are done by other servers: Concord and nGrinder.

use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};
use vexil::loadtester::{Rules, Settings};
use wiremock::matchers::{basic_auth, header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{folder, open, start, until};

fn concord(server: &MockServer, more: Value) -> Value {
    let key = folder("concord").join("key");
    std::fs::write(&key, "s3cr3t\n").expect("writable");
    let mut metadata = json!({
        "type": "concord", "server": server.uri(), "org": "acme", "project": "shop", "repo": "tests", "entrypoint": "main",
        "endpoint": "http://frontend-canary.shop", "apiKeyPath": key, "arguments.users": "7", "pollInterval": "1",
    });
    for (key, value) in more.as_object().expect("an object") {
        metadata[key] = value.clone();
    }
    metadata
}

#[tokio::test]
async fn a_concord_process_is_started_and_waited_for() {
    // spec: 04/LT-13
    let server = MockServer::start().await;
    let started = ResponseTemplate::new(200).set_body_json(json!({"instanceId": "a1-b2", "ok": true}));
    Mock::given(method("POST"))
        .and(path("/api/v1/process"))
        .and(header("Authorization", "s3cr3t"))
        .respond_with(started)
        .mount(&server)
        .await;
    let state = |status: &str| ResponseTemplate::new(200).set_body_json(json!({"status": status}));
    let asked = || {
        Mock::given(method("GET")).and(path("/api/v1/process/a1-b2")).and(header("Authorization", "s3cr3t"))
    };
    asked().respond_with(state("RUNNING")).up_to_n_times(1).mount(&server).await;
    asked().respond_with(state("FINISHED")).up_to_n_times(1).mount(&server).await;
    asked().respond_with(state("FAILED")).mount(&server).await;
    let tester = start(open()).await;
    assert_eq!((200, String::new()), tester.task(concord(&server, json!({}))).await);
    assert_eq!(
        (500, "concord instanceID: a1-b2 failed".to_owned()),
        tester.task(concord(&server, json!({}))).await
    );
    let requests = server.received_requests().await.expect("recorded");
    let form = String::from_utf8_lossy(&requests[0].body).into_owned();
    for (name, value) in [
        ("org", "acme"),
        ("project", "shop"),
        ("repo", "tests"),
        ("entryPoint", "main"),
        ("arguments.endpoint", "http://frontend-canary.shop"),
        ("arguments.users", "7"),
    ] {
        let part = format!("Content-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n--");
        assert!(form.contains(&part), "{name}: {form}");
    }
    let kind = requests[0].headers["content-type"].to_str().expect("a text");
    let boundary = kind.strip_prefix("multipart/form-data; boundary=").expect("a form");
    assert!(
        form.starts_with(&format!("--{boundary}\r\n")) && form.ends_with(&format!("--{boundary}--\r\n")),
        "{form}"
    );
    tester.stop().await;
}

#[rstest]
#[case("server", json!(""), "`server` is required with type concord")]
#[case("org", json!(""), "`org` is required with type concord")]
#[case("entrypoint", json!(""), "`entrypoint` is required with type concord")]
#[case("endpoint", json!(""), "`endpoint` is required with type concord")]
#[case("apiKeyPath", json!("/nowhere"), "`apiKeyPath` file doesn't exist /nowhere")]
#[case("arguments.endpoint", json!("x"), "`arguments.endpoint` is not allowed with type concord: write `endpoint`")]
#[case("pollTimeout", json!("soon"), "`pollTimeout` is \"soon\", not a number of seconds")]
#[case("pollInterval", json!("0"), "`pollInterval` is \"0\", not a number of seconds")]
#[tokio::test]
async fn what_concord_lacks_is_named(#[case] key: &str, #[case] value: Value, #[case] expected: &str) {
    // spec: 04/LT-13
    let server = MockServer::start().await;
    let tester = start(open()).await;
    let mut metadata = concord(&server, json!({}));
    metadata[key] = value;
    assert_eq!((500, expected.to_owned()), tester.task(metadata).await);
    assert!(server.received_requests().await.expect("recorded").is_empty());
    tester.stop().await;
}

#[tokio::test]
async fn a_concord_process_that_goes_on_is_given_up_after_the_poll_timeout() {
    // spec: 04/LT-14
    let server = MockServer::start().await;
    let started = ResponseTemplate::new(200).set_body_json(json!({"instanceId": "a1"}));
    Mock::given(method("POST")).respond_with(started).mount(&server).await;
    Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"status": "RUNNING"})))
        .mount(&server)
        .await;
    let tester = start(open()).await;
    let (status, text) = tester.task(concord(&server, json!({"pollTimeout": "2"}))).await;
    assert_eq!(
        (500, "concord instanceID: a1 has not ended within pollTimeout, 2s".to_owned()),
        (status, text)
    );
    tester.stop().await;
}

#[rstest]
#[case::no_json("<html>")]
#[case::no_id("{}")]
#[case::a_path(r#"{"instanceId":"../../admin"}"#)]
#[case::not_ok(r#"{"instanceId":"a1","ok":false}"#)]
#[case::a_number(r#"{"instanceId":7}"#)]
#[case::nothing("")]
#[tokio::test]
async fn an_answer_that_starts_no_process_is_an_error(#[case] body: &str) {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(200).set_body_string(body))
        .mount(&server)
        .await;
    let tester = start(open()).await;
    let (status, text) = tester.task(concord(&server, json!({}))).await;
    assert!(status == 500 && text.starts_with("failed to start a process"), "{text}");
    tester.stop().await;
}

/// The password is `pässword`.
fn ngrinder(server: &MockServer, more: Value) -> Value {
    let mut metadata = json!({
        "type": "ngrinder", "server": server.uri(), "clone": "960", "username": "admin", "passwd": "cMOkc3N3b3Jk",
        "pollInterval": "20ms", "report": "true",
    });
    for (key, value) in more.as_object().expect("an object") {
        metadata[key] = value.clone();
    }
    metadata
}

fn of(status: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({"status": [{"id": 7, "status_id": status}]}))
}

async fn started(server: &MockServer) {
    let cloned = ResponseTemplate::new(200).set_body_json(json!({"id": 7}));
    let wanted = Mock::given(method("POST"))
        .and(path("/perftest/api/960/clone_and_start"))
        .and(basic_auth("admin", "pässword"));
    wanted.respond_with(cloned).mount(server).await;
}

#[rstest]
#[case("FINISHED", None)]
#[case("STOP_BY_ERROR", Some("test 7 has ended as STOP_BY_ERROR"))]
#[case("CANCELED", Some("test 7 has ended as CANCELED"))]
#[case("UNKNOWN", Some("test 7 has ended as UNKNOWN"))]
#[tokio::test]
async fn a_test_of_ngrinder_is_copied_started_and_waited_for(
    #[case] end: &str,
    #[case] expected: Option<&str>,
) {
    // spec: 04/LT-15 04/LT-16
    let server = MockServer::start().await;
    started(&server).await;
    let asked = || {
        Mock::given(method("GET")).and(path("/perftest/api/7/status")).and(basic_auth("admin", "pässword"))
    };
    asked().respond_with(of("TESTING")).up_to_n_times(1).mount(&server).await;
    // Trouble that may pass.
    asked()
        .respond_with(ResponseTemplate::new(502).set_body_string("<html>"))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    asked().respond_with(of(end)).mount(&server).await;
    let tester = start(open()).await;
    let begun = tokio::time::Instant::now();
    assert_eq!(202, tester.task(ngrinder(&server, json!({}))).await.0);
    let outcome = if expected.is_some() { "failed" } else { "succeeded" };
    let series = format!("vexil_loadtester_tasks_total{{outcome=\"{outcome}\",type=\"ngrinder\"}}");
    until("it has ended", async || tester.series(&series).await == Some(1.0)).await;
    assert!(begun.elapsed() < Duration::from_secs(19), "the interval is that of the hook");
    let (status, text) = tester.task(ngrinder(&server, json!({}))).await;
    assert_eq!(expected.map_or((202, ""), |text| (500, text)), (status, text.as_str()));
    tester.stop().await;
}

#[tokio::test]
async fn a_test_that_takes_too_long_is_stopped_over_there() {
    // spec: 04/LT-15
    let server = MockServer::start().await;
    started(&server).await;
    Mock::given(method("GET")).respond_with(of("TESTING")).mount(&server).await;
    let stop = Mock::given(method("PUT")).and(path("/perftest/api/7")).and(query_param("action", "stop"));
    stop.respond_with(ResponseTemplate::new(200).set_body_json(json!({"success": true})))
        .expect(1)
        .mount(&server)
        .await;
    let open = open();
    let rules = Rules { timeout: Duration::from_millis(300), ..open.rules };
    let tester = start(Settings { rules, ..open }).await;
    assert_eq!(202, tester.task(ngrinder(&server, json!({}))).await.0);
    let series = "vexil_loadtester_tasks_total{outcome=\"failed\",type=\"ngrinder\"}";
    until("it has ended", async || tester.series(series).await == Some(1.0)).await;
    let (status, text) = tester.task(ngrinder(&server, json!({}))).await;
    assert_eq!((500, "test 7 has not ended within 300ms, and was stopped"), (status, text.as_str()));
    tester.stop().await;
}

#[rstest]
#[case::no_id(json!({"success": true}))]
#[case::id_of_another_kind(json!({"id": "7; rm"}))]
#[case::no_object(json!([1]))]
#[case::said_no(json!({"success": false, "message": "no such test"}))]
#[tokio::test]
async fn an_answer_of_ngrinder_that_is_none_ends_the_task_and_nothing_else(#[case] answer: Value) {
    // spec: 04/LT-16
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(200).set_body_json(&answer))
        .mount(&server)
        .await;
    let tester = start(open()).await;
    assert_eq!(202, tester.task(ngrinder(&server, json!({}))).await.0);
    let series = "vexil_loadtester_tasks_total{outcome=\"failed\",type=\"ngrinder\"}";
    until("it has ended", async || tester.series(series).await == Some(1.0)).await;
    let (status, text) = tester.task(ngrinder(&server, json!({}))).await;
    assert!(status == 500 && text.contains("nGrinder"), "{text}");
    assert_eq!(200, tester.get("/healthz").await.0);
    tester.stop().await;
}

#[rstest]
#[case("server", "", "server, clone, username and passwd are required metadata")]
#[case("passwd", "", "server, clone, username and passwd are required metadata")]
#[case("passwd", "not base64!", "passwd is not the base64 of a password")]
#[case("clone", "x", "clone \"x\" is not the number of a test")]
#[case("pollInterval", "1", "pollInterval: time: missing unit in duration \"1\"")]
#[case("pollInterval", "0s", "pollInterval is shorter than 10ms")]
#[case("pollInterval", "-1s", "pollInterval: duration \"-1s\" is negative")]
#[tokio::test]
async fn what_ngrinder_lacks_is_named(#[case] key: &str, #[case] value: &str, #[case] expected: &str) {
    // spec: 04/LT-15
    let server = MockServer::start().await;
    let tester = start(open()).await;
    let mut metadata = ngrinder(&server, json!({}));
    metadata[key] = value.into();
    assert_eq!((400, expected.to_owned()), tester.task(metadata).await);
    tester.stop().await;
}
