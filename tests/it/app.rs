//! `vexil app`: what the application of first releases answers.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A running application.
struct App {
    process: Child,
    port: u16,
    client: reqwest::Client,
}

impl App {
    fn start(version: &str, arguments: &[&str]) -> Self {
        vexil::http::install_tls_provider();
        let mut process = Command::new(env!("CARGO_BIN_EXE_vexil"))
            .args(["app", "--port", "0", "--app-version", version])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut line = String::new();
        let mut said = BufReader::new(process.stdout.take().expect("a pipe"));
        said.read_line(&mut line).expect("a line");
        let port = line.trim().rsplit(' ').next().and_then(|word| word.parse().ok()).expect("a port");
        Self { process, port, client: reqwest::Client::builder().no_proxy().build().expect("a client") }
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let answer = self.client.get(url).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a body"))
    }

    /// Of this many requests, how many fail.
    async fn fails(&self, requests: usize) -> usize {
        let mut failed = 0;
        for _ in 0..requests {
            failed += usize::from(self.get("/").await.0 != 200);
        }
        failed
    }

    fn tell(&self, signal: Signal) {
        let pid = Pid::from_child(&self.process);
        kill_process(pid, signal).expect("it runs");
    }
}

impl Drop for App {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn it_says_who_answers_and_in_which_version() {
    let app = App::start("2.0", &["--message", "hello <you>"]);
    let (status, body) = app.get("/any/path").await;
    let body: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((status, &body["version"], &body["message"]), (200, &"2.0".into(), &"hello <you>".into()));
    assert_eq!(app.get("/version").await, (200, "2.0".to_owned()));
    let url = format!("http://127.0.0.1:{}/", app.port);
    let page = app.client.get(url).header("accept", "text/html").send().await.expect("an answer");
    let page = page.text().await.expect("a body");
    assert!(page.contains("<h1") && page.contains("hello &lt;you&gt;"), "{page}");
}

#[rstest]
#[case("2.0", 0..=1)]
#[case("3.0-broken", 7..=7)]
#[case("4.0-errors-50", 50..=50)]
#[case("4.0-errors-100", 100..=100)]
#[tokio::test]
async fn as_many_requests_fail_as_its_version_says(
    #[case] version: &str,
    #[case] expected: std::ops::RangeInclusive<usize>,
) {
    let app = App::start(version, &[]);
    let failed = app.fails(100).await;
    assert!(expected.contains(&failed), "{version}: {failed} of 100");
    let metrics = app.get("/metrics").await.1;
    let of = |status: &str| {
        let line = format!("http_requests_total{{method=\"GET\",path=\"/\",status=\"{status}\"}} ");
        metrics.lines().find_map(|found| found.strip_prefix(&line)?.parse::<usize>().ok()).unwrap_or(0)
    };
    assert_eq!((of("500"), of("200")), (failed, 100 - failed), "{metrics}");
    assert!(metrics.contains("http_request_duration_seconds_bucket{"), "{metrics}");
}

#[tokio::test]
async fn a_slow_version_is_slow_for_some() {
    let app = App::start("4.0-latency-300ms", &[]);
    for _ in 0..50 {
        app.get("/").await;
    }
    let metrics = app.get("/metrics").await.1;
    let within = |seconds: &str| {
        let line = format!(
            "http_request_duration_seconds_bucket{{method=\"GET\",path=\"/\",status=\"200\",le=\"{seconds}\"}} 50"
        );
        metrics.contains(&line)
    };
    assert!(!within("0.25"), "one of fifty takes 300 ms: {metrics}");
}

#[tokio::test]
async fn a_version_that_gets_stuck_is_never_ready_and_one_that_crashes_ends() {
    let stuck = App::start("5.0-stuck", &[]);
    assert_eq!((stuck.get("/readyz").await.0, stuck.get("/healthz").await.0), (503, 200));
    let mut crashes = App::start("5.0-crash", &[]);
    assert_eq!(crashes.get("/readyz").await.0, 503);
    let end = tokio::task::spawn_blocking(move || crashes.process.wait()).await.expect("no panic");
    assert!(!end.expect("a status").success());
}

#[tokio::test]
async fn when_it_is_told_to_end_it_goes_on_serving_for_a_while_and_is_not_ready() {
    let mut app = App::start("2.0", &["--drain", "5s"]);
    assert_eq!(app.get("/readyz").await.0, 200);
    app.tell(Signal::TERM);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while app.get("/readyz").await.0 != 503 {
        assert!(tokio::time::Instant::now() < deadline, "it is still ready");
    }
    assert_eq!(app.get("/").await.0, 200, "proxies may send it requests still");
    let process = std::mem::replace(&mut app.process, Command::new("true").spawn().expect("a process"));
    let end = tokio::task::spawn_blocking(move || {
        let mut process = process;
        process.wait()
    });
    assert!(end.await.expect("no panic").expect("a status").success());
}

#[rstest]
#[case("/status/418", 418)]
#[case("/status/99", 400)]
#[case("/delay/1ms", 200)]
#[case("/delay/9h", 400)]
#[tokio::test]
async fn it_answers_as_it_is_asked_to(#[case] path: &str, #[case] expected: u16) {
    assert_eq!(App::start("2.0", &[]).get(path).await.0, expected);
}

#[test]
fn a_version_that_no_tag_could_be_is_refused() {
    for version in ["", "a b", "<b>", "1/2"] {
        let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_vexil"));
        let refused = command.args(["app", "--app-version", version]).output().expect("it runs");
        assert_eq!(refused.status.code(), Some(2), "{version}");
    }
}
