//! The demo application: a small web server whose version, errors and latency are set from outside.
//!
//! | variable | what |
//! |---|---|
//! | `VERSION` | what it says it is (by default the tag of its image) |
//! | `PORT` | where it listens (8080) |
//! | `GRPC_PORT` | where it answers gRPC health checks (9000) |
//! | `ERROR_RATE` | per cent of the requests to `/` that fail with 500, spread evenly |
//! | `LATENCY_MS` | how long each request to `/` takes |
//! | `READY` | `never`: `/readyz` always says 503, and gRPC that it does not serve |
//! | `MESSAGE` | a text that `/` returns; for seeing which configuration a pod has |
//!
//! Paths: `/`, `/status/{code}`, `/delay/{seconds}`, `/version`, `/healthz`, `/readyz`, `/metrics`; a POST to `/ready/off` or
//! `/ready/on` makes the pod say that it is not ready, and takes that back, while it goes on serving.
//! Every answer names the version that gave it in the header `x-version`, and the pod in `x-pod`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use axum::extract::{Path, Request, State};
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use super::health;

/// How long connections are told to end before they are ended, so that no request meets a closed one on its way.
const LAST_CALL: Duration = Duration::from_secs(3);

const BUCKETS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// How the application behaves.
#[derive(Clone, Debug)]
pub struct Behaviour {
    pub version: String,
    pub port: u16,
    pub grpc_port: u16,
    pub error_percent: u64,
    pub latency: Duration,
    pub ready: bool,
    pub message: String,
}

impl Behaviour {
    pub fn from_env() -> Behaviour {
        let text = |name: &str| std::env::var(name).unwrap_or_default();
        Behaviour {
            version: std::env::var("VERSION").unwrap_or_else(|_| "0".into()),
            port: text("PORT").parse().unwrap_or(8080),
            grpc_port: text("GRPC_PORT").parse().unwrap_or(9000),
            error_percent: text("ERROR_RATE").parse().unwrap_or(0),
            latency: Duration::from_millis(text("LATENCY_MS").parse().unwrap_or(0)),
            ready: text("READY") != "never",
            message: text("MESSAGE"),
        }
    }
}

struct App {
    behaviour: Behaviour,
    /// The name of its pod.
    pod: String,
    /// What it was told last.
    ready: AtomicBool,
    requests: AtomicU64,
    /// It was told to end.
    leaving: AtomicBool,
    durations: Mutex<BTreeMap<u16, Histogram>>,
}

#[derive(Default)]
struct Histogram {
    counts: [u64; BUCKETS.len()],
    count: u64,
    sum: f64,
}

/// Serves until SIGTERM, then ends the requests that are under way.
pub async fn serve(behaviour: Behaviour) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let listener = TcpListener::bind(("0.0.0.0", behaviour.port)).await.context("cannot listen")?;
    let health =
        TcpListener::bind(("0.0.0.0", behaviour.grpc_port)).await.context("cannot listen for gRPC")?;
    tokio::spawn(health::serve(health, behaviour.ready));
    println!("version {} listens on {}", behaviour.version, behaviour.port);
    let pod = rustix::system::uname().nodename().to_string_lossy().into_owned();
    serve_at(listener, behaviour, pod, LAST_CALL, async move { _ = terminate.recv().await }).await
}

/// Serves as this pod until it is told to leave. From then on each connection is told to end, and after the last call those
/// that are left end with the requests that are under way.
///
/// # Errors
/// The listener fails.
pub async fn serve_at(
    listener: TcpListener,
    behaviour: Behaviour,
    pod: String,
    last_call: Duration,
    leave: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let app = Arc::new(App {
        ready: AtomicBool::new(behaviour.ready),
        pod,
        behaviour,
        requests: AtomicU64::new(0),
        leaving: AtomicBool::new(false),
        durations: Mutex::default(),
    });
    let end = {
        let app = app.clone();
        async move {
            leave.await;
            app.leaving.store(true, Ordering::Relaxed);
            sleep(last_call).await;
        }
    };
    axum::serve(listener, router(app)).with_graceful_shutdown(end).await?;
    Ok(())
}

fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/", get(front).post(front))
        .route("/status/{code}", get(status))
        .route("/delay/{seconds}", get(delay))
        .route("/version", get(version))
        .layer(middleware::from_fn_with_state(app.clone(), measure))
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(ready))
        .route("/ready/{what}", post(become_ready))
        .route("/metrics", get(metrics))
        .layer(middleware::from_fn_with_state(app.clone(), sign))
        .with_state(app)
}

async fn front(State(app): State<Arc<App>>) -> Response {
    let n = app.requests.fetch_add(1, Ordering::Relaxed);
    if !app.behaviour.latency.is_zero() {
        sleep(app.behaviour.latency).await;
    }
    // Request n fails when the number of failures that are due grows with it: evenly spread, and exact.
    let percent = app.behaviour.error_percent;
    if (n + 1) * percent / 100 > n * percent / 100 {
        return (StatusCode::INTERNAL_SERVER_ERROR, "this version is broken\n").into_response();
    }
    Json(json!({"version": app.behaviour.version, "message": app.behaviour.message})).into_response()
}

async fn status(Path(code): Path<u16>) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_REQUEST)
}

async fn delay(Path(seconds): Path<f64>) -> String {
    let seconds = if seconds.is_finite() { seconds.clamp(0.0, 30.0) } else { 0.0 };
    sleep(Duration::from_secs_f64(seconds)).await;
    format!("{seconds}\n")
}

async fn version(State(app): State<Arc<App>>) -> String {
    app.behaviour.version.clone()
}

async fn ready(State(app): State<Arc<App>>) -> StatusCode {
    if app.ready.load(Ordering::Relaxed) { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

async fn become_ready(State(app): State<Arc<App>>, Path(what): Path<String>) -> StatusCode {
    let ready = match &*what {
        "on" => true,
        "off" => false,
        _ => return StatusCode::NOT_FOUND,
    };
    app.ready.store(ready, Ordering::Relaxed);
    StatusCode::OK
}

async fn sign(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if let Ok(version) = HeaderValue::from_str(&app.behaviour.version) {
        response.headers_mut().insert("x-version", version);
    }
    if let Ok(pod) = HeaderValue::from_str(&app.pod) {
        response.headers_mut().insert("x-pod", pod);
    }
    if app.leaving.load(Ordering::Relaxed) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn measure(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let response = next.run(request).await;
    let took = start.elapsed().as_secs_f64();
    if let Ok(mut durations) = app.durations.lock() {
        let histogram = durations.entry(response.status().as_u16()).or_default();
        histogram.count += 1;
        histogram.sum += took;
        for (bucket, count) in BUCKETS.iter().zip(&mut histogram.counts) {
            *count += u64::from(took <= *bucket);
        }
    }
    response
}

async fn metrics(State(app): State<Arc<App>>) -> String {
    let name = "http_request_duration_seconds";
    let mut out = format!("# TYPE {name} histogram\n");
    if let Ok(durations) = app.durations.lock() {
        for (status, histogram) in durations.iter() {
            for (bucket, count) in BUCKETS.iter().zip(&histogram.counts) {
                let _ = writeln!(out, "{name}_bucket{{status=\"{status}\",le=\"{bucket}\"}} {count}");
            }
            let _ = writeln!(out, "{name}_bucket{{status=\"{status}\",le=\"+Inf\"}} {}", histogram.count);
            let _ = writeln!(out, "{name}_sum{{status=\"{status}\"}} {}", histogram.sum);
            let _ = writeln!(out, "{name}_count{{status=\"{status}\"}} {}", histogram.count);
        }
    }
    out
}
