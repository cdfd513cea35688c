//! The controller's own HTTP server: `/healthz` (the process runs), `/readyz` (its caches are filled; true of a
//! standby too, so that a rolling update goes on), `/metrics`, and of a shadow `/shadow`. Plain HTTP on all interfaces, as
//! in spec 01 §5.4.
//!
//! Anybody who reaches the pod can connect, so it takes no more than [`MOST`] connections of the process's budget. When
//! they are used up, the one that has been quiet for longest makes room: a probe asks at once, and so gets its answer.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing::{info, warn};

use super::shadow::Shadow;
use super::telemetry::{CONTENT_TYPE, Telemetry};
use crate::http;

/// A server that has its port, and answers once [`Server::run`] is called.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    pages: Pages,
}

#[derive(Clone)]
struct Pages {
    telemetry: Arc<Telemetry>,
    ready: watch::Receiver<bool>,
    shadow: Option<Arc<Shadow>>,
}

/// Why the server cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("HTTP server crashed: port {port} cannot be listened on: {source} (choose another with -port)")]
pub struct Error {
    /// The port that was asked for.
    pub port: u16,
    source: std::io::Error,
}

impl Server {
    /// Takes `port` on all interfaces; 0 takes any free one.
    ///
    /// # Errors
    /// If the port is in use or may not be used.
    pub async fn bind(
        port: u16,
        telemetry: Arc<Telemetry>,
        ready: watch::Receiver<bool>,
    ) -> Result<Self, Error> {
        let failed = |source| Error { port, source };
        let listener = match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
            Ok(listener) => listener,
            // A machine without IPv6; any other trouble shows here again.
            Err(_) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await.map_err(failed)?,
        };
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, pages: Pages { telemetry, ready, shadow: None } })
    }

    /// Shows at `/shadow` what `shadow` knows, if there is one.
    #[must_use]
    pub fn showing(mut self, shadow: Option<Arc<Shadow>>) -> Self {
        self.pages.shadow = shadow;
        self
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop` is done, and then the requests that have begun, for three seconds at most.
    pub async fn run(self, stop: impl Future<Output = ()> + Send + 'static) {
        info!("Starting HTTP server on port {}", self.address.port());
        if http::serve(self.listener, routes(self.pages), MOST, stop, GRACE).await {
            info!("HTTP server stopped");
        } else {
            warn!("HTTP server graceful shutdown failed: requests still run after {GRACE:?}");
        }
    }
}

fn routes(pages: Pages) -> Router {
    Router::new()
        .route("/healthz", any(|| async { "OK" }))
        .route("/readyz", any(readiness))
        .route("/metrics", any(metrics))
        .route("/shadow", any(shadow))
        .with_state(pages)
}

async fn readiness(State(pages): State<Pages>) -> Response {
    if *pages.ready.borrow() {
        "OK".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the caches are not filled yet").into_response()
    }
}

async fn metrics(State(pages): State<Pages>) -> Response {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], pages.telemetry.render()).into_response()
}

async fn shadow(State(pages): State<Pages>) -> Response {
    match &pages.shadow {
        Some(shadow) => axum::Json(shadow.report()).into_response(),
        None => (StatusCode::NOT_FOUND, "this controller works, it is no shadow (-shadow)\n").into_response(),
    }
}

const GRACE: Duration = Duration::from_secs(3);
/// Connections at once. Two Prometheus servers and the kubelet need a handful; the rest of the process's descriptors is
/// for its own calls.
const MOST: usize = 128;

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt;
    use rstest::rstest;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::time::Instant;
    use tower::ServiceExt;

    use super::*;
    use crate::controller::fence::{Claim, Fence};

    fn telemetry() -> Arc<Telemetry> {
        // A standby.
        Arc::new(Telemetry::new("0.1.0", "istio", Fence::new(Claim::None)))
    }

    async fn ask(method: &str, path: &str, ready: bool) -> (u16, String, String) {
        let pages = Pages { telemetry: telemetry(), ready: watch::channel(ready).1, shadow: None };
        let request = Request::builder().method(method).uri(path).body(Body::empty()).expect("a request");
        let response = routes(pages).oneshot(request).await.expect("infallible");
        let (head, body) = response.into_parts();
        let kind =
            head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let body = body.collect().await.expect("a body").to_bytes();
        (head.status.as_u16(), kind.to_owned(), String::from_utf8_lossy(&body).into_owned())
    }

    #[rstest]
    #[case("GET")]
    #[case("POST")]
    #[tokio::test]
    async fn healthz_answers_ok_to_any_method_on_a_standby_too(#[case] method: &str) {
        // spec: 01/API-095 01/API-093
        let (status, _, body) = ask(method, "/healthz", false).await;
        assert_eq!((200, "OK"), (status, body.as_str()));
    }

    #[rstest]
    #[case::filled(true, 200)]
    #[case::not_yet(false, 503)]
    #[tokio::test]
    async fn readyz_follows_the_caches(#[case] ready: bool, #[case] expected: u16) {
        assert_eq!(expected, ask("GET", "/readyz", ready).await.0);
    }

    #[tokio::test]
    async fn metrics_are_text_for_prometheus_on_a_standby_too() {
        // spec: 01/API-093 01/API-096
        let (status, kind, body) = ask("GET", "/metrics", false).await;
        assert_eq!((200, "text/plain; version=0.0.4; charset=utf-8"), (status, kind.as_str()));
        for series in
            ["flagger_info{mesh_provider=\"istio\",version=\"0.1.0\"} 1", "process_cpu_seconds_total "]
        {
            assert!(body.contains(series), "{body}");
        }
    }

    #[tokio::test]
    async fn other_paths_do_not_exist() {
        for path in ["/", "/debug/pprof/", "/healthz/x"] {
            assert_eq!(404, ask("GET", path, true).await.0, "{path}");
        }
    }

    #[tokio::test]
    async fn a_port_in_use_is_an_error_that_names_it() {
        let ready = watch::channel(true).1;
        let first = Server::bind(0, telemetry(), ready.clone()).await.expect("a free port");
        let port = first.address().port();
        let error = Server::bind(port, telemetry(), ready).await.err().expect("it is taken").to_string();
        assert!(error.contains(&format!("port {port}")) && error.contains("-port"), "{error}");
    }

    #[tokio::test]
    async fn it_answers_on_its_port_until_it_is_stopped() {
        let server = Server::bind(0, telemetry(), watch::channel(true).1).await.expect("a free port");
        let address = (Ipv4Addr::LOCALHOST, server.address().port());
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let running = tokio::spawn(server.run(async move {
            let _ = stopped.await;
        }));
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .await
            .expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nOK"), "{answer}");
        stop.send(()).expect("it runs");
        running.await.expect("no panic");
        assert!(TcpStream::connect(address).await.is_err());
    }

    /// A server on a port of its own, for as long as the test runs.
    async fn serve() -> (Ipv4Addr, u16) {
        let server = Server::bind(0, telemetry(), watch::channel(true).1).await.expect("a free port");
        let port = server.address().port();
        tokio::spawn(server.run(std::future::pending()));
        (Ipv4Addr::LOCALHOST, port)
    }

    async fn half_sent(address: (Ipv4Addr, u16)) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n").await.expect("sent");
        stream
    }

    #[tokio::test]
    async fn a_crowd_of_half_sent_requests_neither_stops_healthz_nor_uses_up_the_descriptors() {
        let address = serve().await;
        let mut crowd = Vec::new();
        for _ in 0..400 {
            crowd.push(half_sent(address).await);
        }
        let mut probe = half_sent(address).await;
        probe.write_all(b"Connection: close\r\n\r\n").await.expect("sent");
        let mut answer = String::new();
        let answered = tokio::time::timeout(Duration::from_secs(5), probe.read_to_string(&mut answer)).await;
        answered.expect("at once").expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        // Those that had to make room see the end of their connection; the others' is open still.
        let mut open = 0;
        for stream in &mut crowd {
            let read = tokio::time::timeout(Duration::from_millis(2), stream.read(&mut [0; 512])).await;
            open += usize::from(read.is_err());
        }
        assert!(open <= MOST, "{open} connections are open");
    }

    #[tokio::test]
    async fn a_request_that_is_never_finished_is_given_up() {
        let address = serve().await;
        let mut stream = half_sent(address).await;
        tokio::time::pause();
        let began = Instant::now();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        assert!(!answer.contains("200"), "{answer}");
        assert!(began.elapsed() <= Duration::from_secs(15), "{:?}", began.elapsed());
    }
}
