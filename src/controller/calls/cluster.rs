//! The cluster's own API as a way for calls: with the identity of the controller, and within the limits of all calls.

use ::http as wire;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

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
    let answer = client.send(sent).await.map_err(|error| Cause::Broken(error.to_string()))?;
    let (parts, body) = answer.into_parts();
    let limit = request.max_bytes;
    let body =
        Limited::new(body, limit).collect().await.map_err(|error| match error.is::<LengthLimitError>() {
            true => Cause::TooLarge { limit },
            false => Cause::Broken(format!("the answer cannot be read: {error}")),
        })?;
    Ok(Response { headers: parts.headers, ..Response::new(parts.status.as_u16(), body.to_bytes()) })
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
    builder.body(kube::client::Body::from(request.body.to_vec()))
}

const HOST: &str = "kubernetes.default.svc";
