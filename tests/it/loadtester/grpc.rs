//! Loads over gRPC, of a real gRPC server.

use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use vexil::loadtester::{Limits, Rules, Settings};

use super::{Tester, careful, start, until};

/// A server with nothing but the health service.
struct Server {
    port: u16,
    health: HealthReporter,
    /// How many connections it has taken.
    taken: tokio::sync::watch::Receiver<usize>,
    running: AbortHandle,
}

async fn server() -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (health, service) = tonic_health::server::health_reporter();
    let service = TowerToHyperService::new(service);
    let (count, taken) = tokio::sync::watch::channel(0);
    let running = tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            count.send_modify(|count| *count += 1);
            let server = http2::Builder::new(TokioExecutor::new());
            connections.spawn(server.serve_connection(TokioIo::new(stream), service.clone()));
        }
    });
    Server { port, health, taken, running: running.abort_handle() }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn near() -> Tester {
    let careful = careful();
    let load = Limits { qps: 1000, connections: 100, hosts: vec!["127.0.0.1".into()] };
    start(Settings { rules: Rules { load, ..careful.rules }, ..careful }).await
}

fn load(server: &Server, path: &str, more: Value) -> Value {
    let url = format!("grpc://127.0.0.1:{}{path}", server.port);
    let mut metadata = json!({"type": "load", "url": url, "duration": "400ms", "qps": "100", "connections": "4", "wait": "true"});
    for (key, value) in more.as_object().expect("an object") {
        metadata[key] = value.clone();
    }
    metadata
}

#[tokio::test]
async fn a_load_calls_a_grpc_server_and_its_percentiles_are_metrics() {
    let server = server().await;
    let tester = near().await;
    let (status, text) = tester.task(load(&server, "", json!({"minSuccessRate": "100"}))).await;
    assert!(status == 200 && text.contains("; OK: ") && text.contains("; p99 "), "{status} {text}");
    // One connection would lead to one pod.
    assert_eq!(4, *server.taken.borrow());
    let of = "name=\"frontend\",namespace=\"shop\"";
    let sent = tester.series(&format!("vexil_loadtester_requests_total{{code=\"OK\",{of}}}")).await;
    assert!(sent.is_some_and(|sent| (5.0..=41.0).contains(&sent)), "{sent:?}");
    let p99 =
        tester.series(&format!("vexil_loadtester_load_latency_seconds{{{of},quantile=\"0.99\"}}")).await;
    assert!(p99.is_some_and(|p99| p99 > 0.0 && p99 < 10.0), "{p99:?}");
    tester.stop().await;
}

#[tokio::test]
async fn a_server_that_does_not_serve_or_does_not_know_fails_the_load() {
    let server = server().await;
    server.health.set_service_status("shop.Cart", ServingStatus::NotServing).await;
    let tester = near().await;
    let wanted = |more: Value| {
        let mut wanted = json!({"minSuccessRate": "99"});
        wanted.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        wanted
    };
    for (path, more, code) in [
        ("", json!({"service": "shop.Cart"}), "NOT_SERVING"),
        ("", json!({"service": "shop.Basket"}), "NOT_FOUND"),
        ("/shop.Cart/Add", json!({"bodyBase64": "CAE="}), "UNIMPLEMENTED"),
        ("/grpc.health.v1.Health/Check", json!({"bodyBase64": "/////w=="}), "INTERNAL"),
    ] {
        let (status, text) = tester.task(load(&server, path, wanted(more))).await;
        assert!(status == 500 && text.contains(&format!("; {code}: ")), "{code}: {status} {text}");
        assert!(text.contains("success rate 0.00 % is below 99 %"), "{text}");
    }
    server.health.set_service_status("shop.Cart", ServingStatus::Serving).await;
    let (status, text) = tester.task(load(&server, "", wanted(json!({"service": "shop.Cart"})))).await;
    assert!(status == 200 && text.contains("; OK: "), "{status} {text}");
    // A method by its name, with a message that was encoded elsewhere: shop.Cart as field 1.
    let raw = json!({"bodyBase64": "CglzaG9wLkNhcnQ="});
    let (status, text) = tester.task(load(&server, "/grpc.health.v1.Health/Check", wanted(raw))).await;
    assert!(status == 200 && text.contains("; OK: "), "{status} {text}");
    tester.stop().await;
}

#[tokio::test]
async fn a_server_that_goes_away_and_one_that_speaks_no_grpc_are_said_to_be_so() {
    let gone = server().await;
    let tester = near().await;
    gone.running.abort();
    until("it is gone", async || TcpStream::connect(("127.0.0.1", gone.port)).await.is_err()).await;
    let (status, text) = tester.task(load(&gone, "", json!({}))).await;
    assert!(
        status == 500 && text.contains("connect: ") && text.contains("no request was answered"),
        "{text}"
    );
    let web = wiremock::MockServer::start().await;
    let url = web.uri().replace("http", "grpc");
    let (status, text) = tester
        .task(json!({"type": "load", "url": url, "duration": "200ms", "wait": "true", "minSuccessRate": "1"}))
        .await;
    assert!(status == 500 && text.contains("404: "), "{status} {text}");
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("grpc://{}", silent.local_addr().expect("an address"));
    let (status, text) = tester
        .task(json!({"type": "load", "url": url, "duration": "200ms", "wait": "true", "timeout": "50ms"}))
        .await;
    assert!(status == 500 && text.contains("timeout: "), "{status} {text}");
    // Where it goes is said as it was written.
    let (status, text) = tester
        .task(
            json!({"type": "load", "url": "grpc://frontend.bank:9090", "duration": "200ms", "wait": "true"}),
        )
        .await;
    assert!(status == 400 && text.contains("grpc://frontend.bank"), "{status} {text}");
    tester.stop().await;
}
