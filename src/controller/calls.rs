//! The one place that sends calls: metrics, hooks and alerts only say what to send, and hear what came back.
//!
//! ```text
//! next(heard) ──▶ Send ──▶ HTTP client or the cluster's API ──▶ Heard ─┐
//!       ▲     └─▶ Wait ──▶ sleep ──▶ Heard ────────────────────────────┤
//!       └──────────────────────────────────────────────────────────────┘ … Done, or too long, or too many turns
//! ```
//!
//! Dropping the future ends a conversation wherever it is.

use std::time::Duration;

use ::http as wire;
use http_body_util::{BodyExt as _, Limited};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::instrument::WithSubscriber as _;
use tracing::{Dispatch, debug};

use crate::http::{self, Cause, Oversize};
use crate::metrics::{Asked, Provider};
use crate::model::answer::{Measured, excerpt};
use crate::model::call::{Address, Answer, Auth, Call, Heard, Method, Next, Silence, What, redact};

/// Sends calls and leads conversations. Clones are the same.
#[derive(Clone)]
pub struct Calls {
    /// For calls of the cluster's own API; none before there is a cluster.
    client: Option<kube::Client>,
    http: http::Client,
}

/// The end of a conversation.
pub struct Ended<T> {
    pub outcome: Result<T, Endless>,
    calls: Vec<Call>,
}

/// Why a conversation was broken off.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Endless {
    #[error("no result within {0:?}")]
    TooLong(Duration),
    #[error("no result after {0} steps")]
    TooMany(usize),
}

impl Calls {
    pub fn new(client: kube::Client, http: http::Client) -> Self {
        Self { client: Some(client), http }
    }

    /// Calls of the network alone.
    pub fn outside(http: http::Client) -> Self {
        Self { client: None, http }
    }

    /// What `provider` says to `asked`. Texts name no credential, whatever the backend repeats.
    pub async fn measure(&self, provider: &dyn Provider, asked: &Asked) -> Measured {
        let ended = self.converse(LONGEST, |heard| provider.next(asked, heard)).await;
        match ended.outcome {
            Ok(Measured::NoData(why)) => Measured::NoData(redact(&ended.calls, &why)),
            Ok(Measured::Failed(why)) => Measured::Failed(redact(&ended.calls, &why)),
            Ok(measured) => measured,
            Err(endless) => Measured::Failed(format!("{} query: {endless}", provider.name())),
        }
    }

    /// Whether `provider` is there.
    ///
    /// # Errors
    /// Why it cannot be used, for the user.
    pub async fn online(&self, provider: &dyn Provider, asked: &Asked) -> Result<(), String> {
        let ended = self.converse(LONGEST, |heard| provider.probe(asked, heard)).await;
        match ended.outcome {
            Ok(online) => online.map_err(|why| redact(&ended.calls, &why)),
            Err(endless) => Err(endless.to_string()),
        }
    }

    /// Leads a conversation to its end, for `longest` and [`TURNS`] steps at most.
    pub async fn converse<T>(
        &self,
        longest: Duration,
        mut next: impl FnMut(&[Heard]) -> Next<T>,
    ) -> Ended<T> {
        let began = Instant::now();
        let (mut heard, mut calls) = (Vec::new(), Vec::new());
        while heard.len() < TURNS {
            let step = match next(&heard) {
                Next::Done(outcome) => return Ended { outcome: Ok(outcome), calls },
                step => step,
            };
            if let Next::Send(call) = &step {
                calls.push(call.as_ref().clone());
            }
            match timeout_at(began + longest, self.step(step)).await {
                Ok(what) => heard.push(Heard { after: began.elapsed(), what }),
                Err(_) => return Ended { outcome: Err(Endless::TooLong(longest)), calls },
            }
        }
        match next(&heard) {
            Next::Done(outcome) => Ended { outcome: Ok(outcome), calls },
            _ => Ended { outcome: Err(Endless::TooMany(TURNS)), calls },
        }
    }

    async fn step<T>(&self, step: Next<T>) -> What {
        match step {
            Next::Send(call) => match self.send(&call).await {
                Ok(answer) => What::Answer(answer),
                Err(silence) => What::Silence(silence),
            },
            Next::Wait(pause) => {
                sleep(pause).await;
                What::Waited
            }
            Next::Done(_) => What::Waited,
        }
    }

    /// Makes one call. Any status is an answer.
    ///
    /// # Errors
    /// If there is no answer, or none that may be read to its end.
    pub async fn send(&self, call: &Call) -> Result<Answer, Silence> {
        match &call.to {
            Address::Url(url) => self.send_outside(call, url).await,
            Address::Cluster(path) => self.send_to_cluster(call, path).await,
        }
    }

    async fn send_outside(&self, call: &Call, url: &str) -> Result<Answer, Silence> {
        let request = request(call, url);
        let sent = self.http.send(request);
        // The client logs where each call went, and a password-like address has to stay out of the log as a whole
        // (spec 04 A10).
        let answer = match call.secret_address {
            true => sent.with_subscriber(Dispatch::none()).await,
            false => sent.await,
        };
        if let Ok(answer) = &answer {
            // Events and statuses repeat no answer of a shape that nobody knows: who looks for the reason finds it here.
            let text = call.redact(&excerpt(&answer.body, SHOWN));
            debug!(to = call.host(), status = answer.status, text, "the answer's beginning");
        }
        match answer {
            Ok(answer) => Ok(Answer {
                status: answer.status,
                retry_after: answer.retry_after(),
                attempts: answer.attempts,
                body: answer.body.into(),
            }),
            Err(error) => Err(Silence {
                call: match call.secret_address {
                    true => format!("{} {}", error.method, call.host()),
                    false => format!("{} {}", error.method, error.url),
                },
                hopeless: error.cause.never_sent(),
                cause: error.cause.to_string(),
                attempts: error.attempts,
            }),
        }
    }

    async fn send_to_cluster(&self, call: &Call, path: &str) -> Result<Answer, Silence> {
        let silence = |attempts, cause: String| Silence {
            call: format!("{} {path}", method(call.method)),
            cause,
            attempts,
            hopeless: attempts == 0,
        };
        let client =
            self.client.clone().ok_or_else(|| silence(0, "there is no cluster to ask".to_owned()))?;
        let request = cluster_request(call, path).map_err(|error| silence(0, error.to_string()))?;
        let exchange = async {
            let answer = client.send(request).await.map_err(|error| silence(1, error.to_string()))?;
            let status = answer.status().as_u16();
            let limited = Limited::new(answer.into_body(), call.max_bytes).collect().await;
            let body = limited.map_err(|error| silence(1, format!("the answer cannot be read: {error}")))?;
            Ok(Answer::new(status, body.to_bytes()))
        };
        match tokio::time::timeout(call.timeout, exchange).await {
            Ok(outcome) => outcome,
            Err(_) => Err(silence(1, Cause::Timeout(call.timeout).to_string())),
        }
    }
}

impl<T> Ended<T> {
    /// `text` without the credentials of the calls that were made.
    pub fn redact(&self, text: &str) -> String {
        redact(&self.calls, text)
    }
}

fn request(call: &Call, url: &str) -> http::Request {
    let content_type = call.body.content_type().map(|kind| ("Content-Type".to_owned(), kind.to_owned()));
    let own = call.headers.iter().map(|(name, value)| (name.clone(), value.reveal().to_owned()));
    http::Request {
        query: call.query.clone(),
        headers: content_type.into_iter().chain(own).collect(),
        body: call.body.bytes().into(),
        auth: match &call.auth {
            Auth::None => http::Auth::None,
            Auth::Bearer(token) => http::Auth::Bearer(token.reveal().to_owned()),
            Auth::Basic { username, password } => {
                http::Auth::Basic { username: username.clone(), password: password.reveal().to_owned() }
            }
        },
        timeout: call.timeout,
        max_bytes: call.max_bytes,
        oversize: if call.cut { Oversize::Cut } else { Oversize::Refuse },
        retries: call.retries,
        insecure: call.insecure,
        proxy: call.proxy.as_ref().map(|proxy| proxy.reveal().to_owned()),
        ..http::Request::new(method(call.method), url)
    }
}

fn cluster_request(call: &Call, path: &str) -> wire::Result<wire::Request<kube::client::Body>> {
    let mut uri = path.to_owned();
    if !call.query.is_empty() {
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&call.query).finish();
        uri = format!("{uri}?{query}");
    }
    let mut builder = wire::Request::builder().method(method(call.method)).uri(uri);
    if let Some(kind) = call.body.content_type() {
        builder = builder.header(wire::header::CONTENT_TYPE, kind);
    }
    for (name, value) in &call.headers {
        builder = builder.header(name, value.reveal());
    }
    builder.body(kube::client::Body::from(call.body.bytes()))
}

fn method(method: Method) -> http::Method {
    match method {
        Method::Get => http::Method::GET,
        Method::Post => http::Method::POST,
        Method::Put => http::Method::PUT,
        Method::Delete => http::Method::DELETE,
    }
}

/// How long a metrics backend may take to come to a result, all its calls and pauses together.
const LONGEST: Duration = Duration::from_secs(30);
/// Characters of an answer that get into the log.
const SHOWN: usize = 300;
/// How many calls and pauses one conversation may have.
const TURNS: usize = 64;

#[cfg(test)]
mod tests;
