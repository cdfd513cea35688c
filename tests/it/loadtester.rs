//! The load tester, on its real HTTP server: what its callers are answered, what they may not do, and what becomes of
//! what they start.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use vexil::controller::clock::Clock;
use vexil::http::Egress;
use vexil::loadtester::{Declared, Limits, LoadTester, Namespaces, Proofs, Room, Rules, Settings, Store};

mod callers;
mod commands;
mod gates;
mod grpc;
mod hostile;
mod loads;
mod process;
mod release;
mod servers;

/// A load tester that runs.
struct Tester {
    url: String,
    http: reqwest::Client,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

/// A load tester that takes nothing from requests, as without any flag.
fn careful() -> Settings {
    vexil::http::install_tls_provider();
    Settings {
        port: 0,
        namespaces: Namespaces::default(),
        proofs: Proofs::default(),
        rules: Rules {
            allow_commands: false,
            declared: Declared::default(),
            load: Limits { qps: 1000, connections: 100, hosts: Vec::new() },
            timeout: Duration::from_secs(60),
        },
        room: Room { running: 8, waiting: 8, of_one: 8 },
        store: Store::Memory(Mutex::default()),
        egress: Egress::default(),
        now: || Clock::system().now(),
        process: || "process_cpu_seconds_total 1\n".to_owned(),
    }
}

/// The same with `-allow-commands`.
fn open() -> Settings {
    let careful = careful();
    Settings { rules: Rules { allow_commands: true, ..careful.rules }, ..careful }
}

async fn start(settings: Settings) -> Tester {
    let tester = LoadTester::bind(settings).await.expect("a load tester");
    let url = format!("http://127.0.0.1:{}", tester.address().port());
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(tester.run(async {
        let _ = stopped.await;
    }));
    vexil::http::install_tls_provider();
    Tester { url, http: reqwest::Client::builder().no_proxy().build().expect("a client"), stop, running }
}

impl Tester {
    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, String) {
        let method = method.parse().expect("a method");
        let mut request = self.http.request(method, format!("{}{path}", self.url)).body(body.to_vec());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a text"))
    }

    async fn post(&self, path: &str, body: Value) -> (u16, String) {
        self.send("POST", path, &[], body.to_string().as_bytes()).await
    }

    async fn get(&self, path: &str) -> (u16, String) {
        self.send("GET", path, &[], b"").await
    }

    /// Runs a task for the Canary `frontend` in `shop`.
    async fn task(&self, metadata: Value) -> (u16, String) {
        self.post("/", json!({"name": "frontend", "namespace": "shop", "metadata": metadata})).await
    }

    /// The value of a series.
    async fn series(&self, wanted: &str) -> Option<f64> {
        let (_, text) = self.get("/metrics").await;
        text.lines().find_map(|line| line.strip_prefix(wanted)?.trim().parse().ok())
    }

    async fn stop(self) {
        let _ = self.stop.send(());
        self.running.await.expect("no panic");
    }
}

/// Waits for a condition, twenty seconds at most.
async fn until(what: &str, mut met: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !met().await {
        assert!(tokio::time::Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A folder of this test alone.
fn folder(name: &str) -> std::path::PathBuf {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("loadtester-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn it_says_that_it_runs_and_shows_its_metrics() {
    // spec: 04/LT-01
    let tester = start(careful()).await;
    assert_eq!((200, "OK".to_owned()), tester.get("/healthz").await);
    assert_eq!((200, "OK".to_owned()), tester.get("/readyz").await);
    let (status, text) = tester.get("/metrics").await;
    assert_eq!(200, status);
    assert!(
        text.contains("vexil_loadtester_tasks_running 0") && text.contains("process_cpu_seconds_total"),
        "{text}"
    );
    tester.stop().await;
}
