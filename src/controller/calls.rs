//! Sends all calls to the outside. Metrics, hooks and alerts only say what to send, and are told what came back.
//!
//! ```text
//! next(heard) ──▶ Send ──▶ HTTP client or the cluster's API ──▶ Heard ─┐
//!       ▲     └─▶ Wait ──▶ sleep ──▶ Heard ────────────────────────────┤
//!       └──────────────────────────────────────────────────────────────┘ … Done, or too long, or too many turns
//! ```
//!
//! Dropping the future ends a conversation wherever it is.

use std::error::Error;
use std::iter::successors;
use std::sync::Arc;
use std::time::Duration;

use ::http as wire;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::time::{Instant, sleep, timeout};
use tracing::instrument::WithSubscriber as _;
use tracing::{Dispatch, debug};

use crate::http::{self, Cause, Oversize};
use crate::metrics::{Asked, Provider};
use crate::model::answer::{Measured, excerpt};
use crate::model::call::{
    Address, Answer, Auth, AwsIdentity, Body, Call, Heard, Method, Next, Silence, What, redact,
};

use super::client::Bounds;

use self::aws::Keyring;
use self::google::Tokens;

mod aws;
mod google;

/// Sends calls, and leads conversations of several calls. Clones share all they have.
#[derive(Clone)]
pub struct Calls {
    /// For calls of the cluster's own API; none before there is a cluster.
    client: Option<kube::Client>,
    http: http::Client,
    /// The identity of this process at AWS.
    aws: Arc<Keyring>,
    /// The identity of this process at Google, and those of the accounts whose keys it was given.
    google: Arc<Tokens>,
}

/// The end of a conversation.
pub struct Ended<T> {
    /// The result, or why there is none.
    pub outcome: Result<T, Endless>,
    calls: Vec<Call>,
}

/// Why a conversation was broken off.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Endless {
    /// It took longer than this.
    #[error("no result within {0:?}")]
    TooLong(Duration),
    /// It did not end after so many calls and waits.
    #[error("no result after {0} steps")]
    TooMany(usize),
}

impl Calls {
    /// Calls to the network and to the cluster's own API.
    pub fn new(client: kube::Client, http: http::Client) -> Self {
        Self { client: Some(client), ..Self::outside(http) }
    }

    /// Calls to the network only.
    pub fn outside(http: http::Client) -> Self {
        Self { client: None, http, aws: Arc::default(), google: Arc::default() }
    }

    /// The same calls, which count for `party`.
    pub fn on_behalf_of(&self, party: http::Party) -> Self {
        Self { http: self.http.on_behalf_of(party), ..self.clone() }
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

    /// Leads a conversation to its end, for `longest` and [`TURNS`] steps at most. The time in which its calls wait for a
    /// connection does not count: that is not the other side's doing.
    pub async fn converse<T>(
        &self,
        longest: Duration,
        mut next: impl FnMut(&[Heard]) -> Next<T>,
    ) -> Ended<T> {
        let mine = Self { http: self.http.counting_anew(), ..self.clone() };
        let began = Instant::now();
        let worked = || began.elapsed().saturating_sub(mine.http.waited());
        let (mut heard, mut calls) = (Vec::new(), Vec::new());
        while heard.len() < TURNS {
            let step = match next(&heard) {
                Next::Done(outcome) => return Ended { outcome: Ok(outcome), calls },
                step => step,
            };
            if let Next::Send(call) = &step {
                calls.push(call.as_ref().clone());
            }
            let step = mine.step(step);
            tokio::pin!(step);
            let what = loop {
                let left = longest.saturating_sub(worked()).max(SHORTEST_LOOK);
                match timeout(left, &mut step).await {
                    Ok(what) => break what,
                    Err(_) if worked() >= longest => {
                        return Ended { outcome: Err(Endless::TooLong(longest)), calls };
                    }
                    Err(_) => {}
                }
            };
            heard.push(Heard { after: worked(), what });
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
        let (request, signed) = self.signed(call, url).await?;
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
                body: match &signed {
                    // What refuses a signature likes to repeat what it was made of.
                    Some(signed) if answer.status != 200 => {
                        signed.redact(&String::from_utf8_lossy(&answer.body)).into_bytes()
                    }
                    _ => answer.body.into(),
                },
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

    /// The request of a call; for AWS and Google with what shows whose it is, and the call with the secrets of that.
    async fn signed(&self, call: &Call, url: &str) -> Result<(http::Request, Option<Call>), Silence> {
        let mut request = request(call, url);
        let silence = |request: &http::Request, cause| Silence {
            call: format!("{} {}", request.method, request.shown_url()),
            cause,
            attempts: 0,
            hopeless: false,
        };
        match &call.auth {
            Auth::Aws(identity) => {
                let keys = match &identity.keys {
                    Some(keys) => Ok(keys.clone()),
                    // All wait for these keys, so they are nobody's calls.
                    None => {
                        let nobody = http::Party { sort: http::Sort::Query, ..http::Party::default() };
                        let own = self.http.on_behalf_of(nobody);
                        self.aws.keys(&own, &identity.region, identity.at).await
                    }
                };
                let keys = keys.map_err(|cause| silence(&request, cause))?;
                let headers =
                    aws::signature(&request, identity, &keys).map_err(|cause| silence(&request, cause))?;
                request.headers.extend(headers);
                let identity = AwsIdentity { keys: Some(keys), ..(**identity).clone() };
                Ok((request, Some(Call { auth: Auth::Aws(Box::new(identity)), ..call.clone() })))
            }
            Auth::Google(identity) => {
                let token = self.google.token(identity.key.as_ref(), call.timeout).await;
                let token = token.map_err(|cause| silence(&request, cause))?;
                request.auth = http::Auth::Bearer(token.reveal().to_owned());
                Ok((request, Some(Call { auth: Auth::Bearer(token), ..call.clone() })))
            }
            _ => Ok((request, None)),
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
            let answer = client.send(request).await.map_err(|error| silence(1, unanswered(&error, call)))?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, call.max_bytes).collect().await;
            let body = body.map_err(|error| silence(1, unanswered(error.as_ref(), call)))?;
            let status = head.status.as_u16();
            let answer =
                http::Response { headers: head.headers, ..http::Response::new(status, body.to_bytes()) };
            Ok(Answer { retry_after: answer.retry_after(), ..Answer::new(status, answer.body) })
        };
        match timeout(call.timeout, exchange).await {
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
            // A signature is made of all the rest, and added to it.
            Auth::None | Auth::Aws(_) | Auth::Google(_) => http::Auth::None,
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
        ca: call.ca.clone(),
        identity: call.identity.as_ref().map(|identity| identity.reveal().to_owned()),
        mail: match &call.body {
            Body::Mail(mail) => Some(http::Envelope { from: mail.from.clone(), to: mail.to.clone() }),
            _ => None,
        },
        own_address: call.own_address,
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
    let bounds = Bounds { time: call.timeout, bytes: call.max_bytes };
    builder.extension(bounds).body(kube::client::Body::from(call.body.bytes()))
}

/// Why the cluster has not answered: the innermost cause, which the outer ones do not repeat.
fn unanswered(error: &(dyn Error + 'static), call: &Call) -> String {
    let causes = || successors(Some(error), |&error| error.source());
    if causes().any(|error| error.is::<LengthLimitError>()) {
        return Cause::TooLarge { limit: call.max_bytes }.to_string();
    }
    causes().last().map_or_else(String::new, ToString::to_string)
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
/// How often a conversation that has waited for a connection looks at its time, at most.
const SHORTEST_LOOK: Duration = Duration::from_millis(50);
/// Characters of an answer that get into the log.
const SHOWN: usize = 300;
/// How many calls and pauses one conversation may have.
const TURNS: usize = 64;

#[cfg(test)]
mod tests;
