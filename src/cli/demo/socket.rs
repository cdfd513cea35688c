//! What the demo answers beside the API, for a controller that does not run inside it: a Prometheus that knows the
//! simulated traffic, and the gates.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http::{StatusCode, header};

use super::gates::Gates;
use crate::http::{self as calls, Transport};
use crate::sim::Backend;

/// Where Prometheus is, below the address of the API.
pub(super) const PROMETHEUS: &str = "/prometheus";
/// Where the gates are, below the address of the API.
pub(super) const GATES: &str = "/gates/";

/// The routes of both.
pub(super) fn routes(backend: Backend, gates: Gates) -> Router {
    let query = any(query).with_state(backend);
    Router::new()
        .route(&format!("{PROMETHEUS}/api/v1/query"), query)
        .route(&format!("{PROMETHEUS}/{{*rest}}"), any(|| async { (StatusCode::NOT_FOUND, ONLY_QUERIES) }))
        .route(&format!("{GATES}{{name}}"), any(gate).with_state(gates))
}

/// An instant query, in the address or as a form.
async fn query(State(backend): State<Backend>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let address = parts.uri.query().unwrap_or_default().to_owned();
    let form = match read(body).await {
        Ok(form) => form,
        Err(refusal) => return refusal,
    };
    let parameters = |text: &[u8]| url::form_urlencoded::parse(text).into_owned().collect::<Vec<_>>();
    let query = [parameters(address.as_bytes()), parameters(&form)].concat();
    let asked = calls::Request { query, ..calls::Request::get("http://prometheus.demo/api/v1/query") };
    match backend.send(asked).await {
        Ok(answer) => {
            let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
            (status, [(header::CONTENT_TYPE, "application/json")], answer.body).into_response()
        }
        Err(why) => (StatusCode::BAD_GATEWAY, format!("{why}\n")).into_response(),
    }
}

/// A hook that asks a gate.
async fn gate(State(gates): State<Gates>, Path(name): Path<String>, request: Request) -> Response {
    let payload = match read(request.into_body()).await {
        Ok(payload) => payload,
        Err(refusal) => return refusal,
    };
    let (status, text) = gates.answer(&name, &payload);
    (StatusCode::from_u16(status).unwrap_or(StatusCode::FORBIDDEN), text + "\n").into_response()
}

async fn read(body: Body) -> Result<axum::body::Bytes, Response> {
    let too_much = (StatusCode::PAYLOAD_TOO_LARGE, "that is more than a query or a hook can be\n");
    to_bytes(body, LARGEST).await.map_err(|_| too_much.into_response())
}

const ONLY_QUERIES: &str = "the demo answers /api/v1/query alone\n";
/// In bytes.
const LARGEST: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use tower::ServiceExt;

    use super::*;
    use crate::sim::World;

    #[rstest]
    #[case::in_the_address("GET", "/prometheus/api/v1/query?query=vector(7)", "", 200, r#""7""#)]
    #[case::as_a_form("POST", "/prometheus/api/v1/query", "query=vector%288%29&time=1", 200, r#""8""#)]
    #[case::no_query("GET", "/prometheus/api/v1/query", "", 200, r#""result":[]"#)]
    #[case::a_range("GET", "/prometheus/api/v1/query_range?query=up", "", 404, "/api/v1/query alone")]
    #[case::a_gate("POST", "/gates/promote", r#"{"name":"x","namespace":"y"}"#, 404, "no Canary x")]
    #[case::a_gate_by_hand("GET", "/gates/promote", "", 400, "payload")]
    #[tokio::test(start_paused = true)]
    async fn a_controller_outside_is_answered(
        #[case] method: &str,
        #[case] path: &str,
        #[case] body: &'static str,
        #[case] status: u16,
        #[case] expected: &str,
    ) {
        let world = World::builder().build();
        world.backend.read_freely();
        let routes = routes(world.backend.clone(), Gates(world.kube.clone()));
        let request = Request::builder().method(method).uri(path).body(Body::from(body)).expect("a request");
        let answer = routes.oneshot(request).await.expect("an answer");
        assert_eq!(status, answer.status().as_u16());
        let text = to_bytes(answer.into_body(), LARGEST).await.expect("a body");
        let text = String::from_utf8_lossy(&text);
        assert!(text.contains(expected), "{text}");
    }
}
