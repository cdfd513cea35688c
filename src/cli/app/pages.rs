//! What the application answers. How many requests fail or take long is counted out, not drawn: of each hundred as many as
//! its version says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{any, get};
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder};
use serde_json::json;
use tokio::time::Instant;

use crate::api::duration;
use crate::cli::tags::{Behaviour, Pods};

/// A running application.
pub(super) struct App {
    version: String,
    message: String,
    pod: String,
    behaviour: Behaviour,
    ends: AtomicBool,
    answered: AtomicU64,
    registry: Registry,
    requests: IntCounterVec,
    durations: HistogramVec,
}

impl App {
    pub fn new(version: &str, message: &str, behaviour: Behaviour) -> Self {
        let labels = ["method", "path", "status"];
        let requests = Opts::new("http_requests_total", "Requests, by method, path and status");
        let requests = IntCounterVec::new(requests, &labels).expect("names and labels are well-formed");
        let durations = HistogramOpts::new("http_request_duration_seconds", "Time that requests took")
            .buckets(vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]);
        let durations = HistogramVec::new(durations, &labels).expect("names and labels are well-formed");
        let registry = Registry::new();
        for collector in
            [Box::new(requests.clone()) as Box<dyn prometheus::core::Collector>, Box::new(durations.clone())]
        {
            registry.register(collector).expect("each name is registered once");
        }
        Self {
            version: version.to_owned(),
            message: message.to_owned(),
            pod: std::env::var("HOSTNAME").unwrap_or_default(),
            behaviour,
            ends: AtomicBool::new(false),
            answered: AtomicU64::new(0),
            registry,
            requests,
            durations,
        }
    }

    /// It was told to end: it is not ready any more, and goes on serving.
    pub fn ends(&self) {
        self.ends.store(true, Ordering::Relaxed);
    }

    fn is_ready(&self) -> bool {
        self.behaviour.pods == Pods::Ready && !self.ends.load(Ordering::Relaxed)
    }

    /// What becomes of the next request: whether it succeeds, and how long it takes.
    fn next(&self) -> (bool, Duration) {
        let number = self.answered.fetch_add(1, Ordering::Relaxed);
        let share = (100.0 - self.behaviour.success_rate.value()) / 100.0;
        let failed = |requests: u64| (requests as f64 * share + ROUNDING).floor();
        let fails = failed(number + 1) > failed(number);
        // Two of a hundred are slow, so that the slowest hundredth is.
        let slow = number % 50 == 49;
        let took = if slow { self.behaviour.p99_millis.value() } else { 0.0 };
        (!fails, Duration::from_secs_f64((took / 1000.0).min(LONGEST.as_secs_f64())))
    }

    fn note(&self, path: &str, status: StatusCode, took: Duration) {
        let labels = ["GET", path, status.as_str()];
        self.requests.with_label_values(&labels).inc();
        self.durations.with_label_values(&labels).observe(took.as_secs_f64());
    }
}

/// All pages.
pub(super) fn routes(app: Arc<App>) -> Router {
    Router::new()
        .route("/healthz", any(|| async { "OK" }))
        .route("/readyz", any(ready))
        .route("/metrics", get(metrics))
        .route("/version", get(|State(app): State<Arc<App>>| async move { app.version.clone() }))
        .route("/status/{code}", get(status))
        .route("/delay/{duration}", get(delay))
        .fallback(front)
        .with_state(app)
}

async fn ready(State(app): State<Arc<App>>) -> Response {
    match app.is_ready() {
        true => "OK".into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready").into_response(),
    }
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    let text = TextEncoder::new().encode_to_string(&app.registry.gather()).unwrap_or_default();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

/// What users come for: who answers, in which version.
async fn front(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let began = Instant::now();
    let (succeeds, takes) = app.next();
    tokio::time::sleep(takes).await;
    let status = if succeeds { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
    app.note("/", status, began.elapsed());
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let body = json!({"version": app.version, "message": app.message, "pod": app.pod});
    if accepts.contains("text/html") {
        return (status, Html(page(&app, succeeds))).into_response();
    }
    (status, axum::Json(body)).into_response()
}

async fn status(State(app): State<Arc<App>>, Path(code): Path<u16>) -> Response {
    let status = StatusCode::from_u16(code).ok().filter(|status| !status.is_informational());
    let Some(status) = status else {
        return (StatusCode::BAD_REQUEST, "a status is a number from 200 to 999\n").into_response();
    };
    app.note("/status", status, Duration::ZERO);
    status.into_response()
}

async fn delay(State(app): State<Arc<App>>, Path(text): Path<String>) -> Response {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let Some(asked) = seconds.or_else(|| duration::parse(&text).ok()).filter(|asked| *asked <= LONGEST)
    else {
        let text = format!("a delay is like 2 or 500ms, and {} s at most\n", LONGEST.as_secs());
        return (StatusCode::BAD_REQUEST, text).into_response();
    };
    tokio::time::sleep(asked).await;
    app.note("/delay", StatusCode::OK, asked);
    "OK\n".into_response()
}

/// The page for browsers; each version has a colour of its own.
fn page(app: &App, succeeds: bool) -> String {
    let hue =
        app.version.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())) % 360;
    let [version, message, pod] = [&app.version, &app.message, &app.pod].map(|text| escaped(text));
    let word = if succeeds { message } else { "this request failed, as some of this version do".to_owned() };
    format!(
        "<!doctype html><meta charset=utf-8><meta name=viewport content=\"width=device-width\"><title>{version}</title>\
         <body style=\"margin:0;min-height:100vh;display:grid;place-content:center;text-align:center;color:#fff;\
         background:hsl({hue} 60% 32%);font-family:system-ui,sans-serif\">\
         <h1 style=\"font-size:5rem;margin:0\">{version}</h1><p>{word}</p><p style=\"opacity:.7\">{pod}</p>\n"
    )
}

/// As text between HTML tags.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Percentages are rarely whole in binary.
const ROUNDING: f64 = 1e-6;
/// The longest time that a request takes.
const LONGEST: Duration = Duration::from_secs(60);
