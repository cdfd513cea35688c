//! gRPC health checks, both sides: what the demo application answers and what a probe asks.
//!
//! One method, `grpc.health.v1.Health/Check`, with messages of one field; that needs no code generator.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};

const METHOD: &str = "/grpc.health.v1.Health/Check";
const SERVING: u8 = 1;
const NOT_SERVING: u8 = 2;
/// What gRPC calls a method that does not exist.
const UNIMPLEMENTED: &str = "12";

/// Answers for as long as the listener lives.
pub async fn serve(listener: TcpListener, serving: bool) {
    while let Ok((stream, _)) = listener.accept().await {
        let answers = service_fn(move |request: Request<Incoming>| async move {
            Ok::<_, Infallible>(answer(request.uri().path(), serving))
        });
        tokio::spawn(async move {
            // A client that goes away is no failure of the server.
            let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), answers)
                .await;
        });
    }
}

fn answer(path: &str, serving: bool) -> Response<impl Body<Data = Bytes, Error = Infallible> + Send + use<>> {
    let (message, status) = if path == METHOD {
        // Field 1 of the answer, a number.
        (frame(&[0x08, if serving { SERVING } else { NOT_SERVING }]), "0")
    } else {
        (Bytes::new(), UNIMPLEMENTED)
    };
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(status));
    let body = Full::new(message).with_trailers(async move { Some(Ok(trailers)) });
    let mut response = Response::new(body);
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}

/// Asks whether a service serves; an empty name is the server as a whole.
///
/// # Errors
/// It does not, or nobody answers; the text says which.
pub async fn check(address: SocketAddr, service: &str) -> Result<(), String> {
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(|error| error.to_string())?;
    let connection = tokio::spawn(connection);
    let result = ask(&mut sender, address, service).await;
    connection.abort();
    result
}

async fn ask(
    sender: &mut hyper::client::conn::http2::SendRequest<Full<Bytes>>,
    address: SocketAddr,
    service: &str,
) -> Result<(), String> {
    let mut message = Vec::new();
    if !service.is_empty() {
        let length = u8::try_from(service.len()).map_err(|_| "the service's name is too long".to_owned())?;
        message.extend([0x0a, length]);
        message.extend(service.as_bytes());
    }
    let request = Request::post(format!("http://{address}{METHOD}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(frame(&message)))
        .map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let body = response.into_body().collect().await.map_err(|error| error.to_string())?;
    let status = body.trailers().and_then(|trailers| trailers.get("grpc-status")).cloned();
    if status.as_ref().is_none_or(|status| status != "0") {
        return Err(format!("the health check failed with gRPC status {status:?}"));
    }
    // The frame's head, then field 1.
    match body.to_bytes().get(5..) {
        Some([0x08, SERVING]) => Ok(()),
        other => Err(format!("the service does not serve: {other:?}")),
    }
}

/// A message as gRPC sends it: not compressed, with its length.
fn frame(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap_or(0);
    let mut out = vec![0];
    out.extend(length.to_be_bytes());
    out.extend(message);
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn checked(serving: bool) -> Result<(), String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = tokio::spawn(serve(listener, serving));
        let result = check(address, "shop").await;
        server.abort();
        result
    }

    #[tokio::test]
    async fn a_service_that_serves_is_healthy() {
        assert_eq!(checked(true).await, Ok(()));
    }

    #[tokio::test]
    async fn a_service_that_does_not_serve_is_not() {
        assert!(checked(false).await.expect_err("not serving").contains("does not serve"));
    }

    #[tokio::test]
    async fn nobody_there_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        assert!(check(address, "").await.is_err());
    }
}
