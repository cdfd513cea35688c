//! The endpoints (spec 04 §5.2).

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use tokio::time::timeout;
use tracing::{error, info, warn};

use super::Parts;
use super::access::Caller;
use super::book::Kind;
use super::gates::Failed;
use super::payload::{self, Payload};
use super::proof::Doubt;
use super::queue::Taken;
use super::task::{Mode, Task};
use crate::http::Working;

/// The endpoints of a load tester.
pub fn routes(parts: Arc<Parts>) -> Router {
    let mut router = Router::new()
        .route("/healthz", any(|| async { "OK" }))
        .route("/readyz", any(ready))
        .route("/metrics", any(metrics))
        .route("/gate/approve", any(|| async { "OK" }))
        .route("/gate/halt", any(|| async { forbidden() }));
    for kind in [Kind::Gate, Kind::Rollback] {
        let path = |what: &str| format!("/{}/{what}", kind.word());
        router = router
            .route(&path("check"), any(move |parts, request| gate(parts, request, kind, What::Check)))
            .route(&path("open"), any(move |parts, request| gate(parts, request, kind, What::Open)))
            .route(&path("close"), any(move |parts, request| gate(parts, request, kind, What::Close)));
    }
    router.fallback(task).with_state(parts)
}

#[derive(Clone, Copy)]
enum What {
    Check,
    Open,
    Close,
}

async fn ready(State(parts): State<Arc<Parts>>) -> Response {
    match parts.gates.open().await {
        Ok(_) => "OK".into_response(),
        Err(trouble) => unavailable(&trouble),
    }
}

async fn metrics(State(parts): State<Arc<Parts>>) -> Response {
    // Whoever cannot read them sees the last figures.
    for (kind, count) in parts.gates.open().await.into_iter().flatten() {
        parts.telemetry.gates(kind, count);
    }
    let text = parts.telemetry.render() + &(parts.settings.process)();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

async fn gate(State(parts): State<Arc<Parts>>, request: Request<Body>, kind: Kind, what: What) -> Response {
    let (payload, caller) = match admit(&parts, request).await {
        Ok(admitted) => admitted,
        Err(refused) => return *refused,
    };
    let now = (parts.settings.now)();
    let (canary, by) = (&payload.canary, caller.name());
    // The words of the reference's log.
    let check = if kind == Kind::Gate { "gate check" } else { "rollback check" };
    let key = if kind == Kind::Gate { canary.to_string() } else { format!("rollback.{canary}") };
    match what {
        What::Check => match parts.gates.check(kind, &payload, now).await {
            Ok(open) => {
                parts.telemetry.check(kind, open);
                info!(canary = %canary, "{key} {check}: approved {open}");
                if open { "Approved".into_response() } else { forbidden() }
            }
            Err(trouble) => unavailable(&trouble),
        },
        What::Open => match parts.gates.set_open(kind, &payload, by, now).await {
            Ok(()) => {
                info!(canary = %canary, by, "{key} {} opened", kind.word());
                StatusCode::ACCEPTED.into_response()
            }
            Err(Failed::Wrong(text)) => (StatusCode::BAD_REQUEST, text).into_response(),
            Err(Failed::Store(trouble)) => unavailable(&trouble),
        },
        What::Close => match parts.gates.set_closed(kind, canary).await {
            Ok(()) => {
                info!(canary = %canary, by, "{key} {} closed", kind.word());
                StatusCode::ACCEPTED.into_response()
            }
            Err(trouble) => unavailable(&trouble),
        },
    }
}

async fn task(State(parts): State<Arc<Parts>>, request: Request<Body>) -> Response {
    let working = request.extensions().get::<Working>().cloned();
    let (payload, _) = match admit(&parts, request).await {
        Ok(admitted) => admitted,
        Err(refused) => return *refused,
    };
    let task = match Task::read(&payload, &parts.rules) {
        Ok(task) => task,
        Err(refused) => {
            warn!(canary = %payload.canary, "task refused: {}", refused.text);
            parts.telemetry.refused("task");
            let status = StatusCode::from_u16(refused.status).unwrap_or(StatusCode::BAD_REQUEST);
            return (status, refused.text).into_response();
        }
    };
    let mode = task.mode;
    let (mut ended, untold) = match parts.queue.take(task) {
        Taken::Started(ended, untold) => (ended, untold),
        Taken::Already(ended) => (ended, None),
        Taken::Full(text) => {
            warn!(canary = %payload.canary, "task refused: {text}");
            parts.telemetry.refused("full");
            return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
        }
    };
    let return_output = match mode {
        Mode::Background { .. } => {
            return match untold {
                Some(why) => (StatusCode::INTERNAL_SERVER_ERROR, why).into_response(),
                None => StatusCode::ACCEPTED.into_response(),
            };
        }
        Mode::Blocking { return_output } => return_output,
    };
    // The connection of a caller that waits is not idle.
    let _working = working.as_ref().map(Working::begin);
    let ended = ended.wait_for(Option::is_some).await.ok().and_then(|ended| ended.clone());
    match ended {
        Some(Ok(said)) => (if return_output { said } else { String::new() }).into_response(),
        Some(Err(why)) => (StatusCode::INTERNAL_SERVER_ERROR, why).into_response(),
        None => (StatusCode::INTERNAL_SERVER_ERROR, "the task has got lost").into_response(),
    }
}

/// Reads a request, and finds out whether its sender may send it.
async fn admit(parts: &Parts, request: Request<Body>) -> Result<(Payload, Caller), Box<Response>> {
    let (head, body) = request.into_parts();
    if head.method != Method::POST {
        let text = "this is called by POST, with the JSON of a webhook";
        return Err(Box::new(
            (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "POST")], text).into_response(),
        ));
    }
    let body = collect(body).await.map_err(|refused| Box::new(refused.into_response()))?;
    let payload = payload::read(&body).map_err(|why| {
        parts.telemetry.refused("payload");
        Box::new((StatusCode::BAD_REQUEST, why).into_response())
    })?;
    let caller = identify(parts, &head.headers, &body, &payload).await?;
    if let Err(why) = parts.settings.namespaces.allow(&caller, &payload.canary.namespace) {
        warn!(canary = %payload.canary, "call refused: {why}");
        parts.telemetry.refused("namespace");
        return Err(Box::new(forbidden()));
    }
    Ok((payload, caller))
}

async fn identify(
    parts: &Parts,
    headers: &HeaderMap,
    body: &[u8],
    payload: &Payload,
) -> Result<Caller, Box<Response>> {
    let now = (parts.settings.now)();
    parts.proofs.caller(headers, body, &payload.canary.namespace, now).await.map_err(|doubt| {
        Box::new(match doubt {
            Doubt::Refused(text) => {
                warn!(canary = %payload.canary, "call refused: {text}");
                parts.telemetry.refused("caller");
                (StatusCode::UNAUTHORIZED, text).into_response()
            }
            Doubt::Unknown(text) => {
                error!("{text}");
                (StatusCode::SERVICE_UNAVAILABLE, "who calls cannot be found out: see the log")
                    .into_response()
            }
        })
    })
}

async fn collect(body: Body) -> Result<Bytes, (StatusCode, &'static str)> {
    match timeout(SLOWEST, Limited::new(body, LARGEST).collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err((StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 256 KiB"))
        }
        Ok(Err(_)) => Err((StatusCode::BAD_REQUEST, "the body cannot be read")),
        Err(_) => Err((StatusCode::REQUEST_TIMEOUT, "the body does not come")),
    }
}

fn forbidden() -> Response {
    (StatusCode::FORBIDDEN, "Forbidden").into_response()
}

fn unavailable(trouble: &impl std::fmt::Display) -> Response {
    error!("{trouble}");
    (StatusCode::SERVICE_UNAVAILABLE, trouble.to_string()).into_response()
}

const LARGEST: usize = 256 * 1024;
const SLOWEST: Duration = Duration::from_secs(10);
