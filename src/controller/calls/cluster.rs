//! The cluster's own API as a way for calls: with the identity of the controller, and within the limits of all calls.

use std::error::Error;
use std::iter::successors;

use ::http as wire;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use crate::controller::client::Bounds;
use crate::http::{Cause, Request, Response, Transport};
use crate::model::call::Call;

/// The API of the cluster that this client is for.
pub(super) struct Api(pub kube::Client);

/// The call as the client counts it. The host stands for the cluster; the transport sends the path alone.
pub(super) fn request(call: &Call, path: &str) -> Request {
    super::request(call, &format!("http://{HOST}{path}"))
}

impl Transport for Api {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Cause>> {
        exchange(self.0.clone(), request).boxed()
    }
}

async fn exchange(client: kube::Client, request: Request) -> Result<Response, Cause> {
    let sent = as_sent(&request).map_err(|error| Cause::InvalidUrl(error.to_string()))?;
    let limit = request.max_bytes;
    let answer = client.send(sent).await.map_err(|error| unanswered(&error, limit))?;
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, limit).collect().await;
    let body = body.map_err(|error| unanswered(error.as_ref(), limit))?;
    Ok(Response { headers: head.headers, ..Response::new(head.status.as_u16(), body.to_bytes()) })
}

/// Why the cluster has not answered: the innermost cause, which the outer ones do not repeat.
fn unanswered(error: &(dyn Error + 'static), limit: usize) -> Cause {
    let causes = || successors(Some(error), |&error| error.source());
    if causes().any(|error| error.is::<LengthLimitError>()) {
        return Cause::TooLarge { limit };
    }
    Cause::Broken(causes().last().map_or_else(String::new, ToString::to_string))
}

fn as_sent(request: &Request) -> wire::Result<wire::Request<kube::client::Body>> {
    let mut uri = request.url.trim_start_matches("http://").trim_start_matches(HOST).to_owned();
    if !request.query.is_empty() {
        let query =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&request.query).finish();
        uri = format!("{uri}?{query}");
    }
    let builder = wire::Request::builder().method(request.method.clone()).uri(uri);
    let builder = request.headers.iter().fold(builder, |builder, (name, value)| builder.header(name, value));
    let bounds = Bounds { time: request.timeout, bytes: request.max_bytes };
    builder.extension(bounds).body(kube::client::Body::from(request.body.to_vec()))
}

const HOST: &str = "kubernetes.default.svc";
