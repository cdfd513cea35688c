//! The Kubernetes client, with what every request of ours goes through, whether it ends at a real cluster or at an
//! embedded one:
//!
//! ```text
//! 30 s limit ─▶ retries ─▶ rate limit ─▶ fence ─▶ metrics, log ─▶ the API
//!               429, 503                 writes
//! ```
//!
//! A watch has its limit twice: its answer must begin within 30 s, and once it has begun it must not fall silent.
//!
//! The fence stands after everything that can wait, so that no write passes it early and leaves late (P7).

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderValue, RETRY_AFTER, USER_AGENT};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Either, Full, Limited};
use kube::Config;
use kube::client::Body;
use kube::config::{InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};
use tower::{BoxError, Service, ServiceExt};
use tracing::debug;

use self::request::Described;
use self::silence::Watched;
use super::backoff;
use super::fence::{Fence, NotLeading, Shadowed};
use super::rate::Bucket;
use super::telemetry::Telemetry;

mod request;
mod silence;
mod transport;

/// What requests go through.
#[derive(Clone)]
pub struct Layers {
    /// Stops writes while this process does not lead.
    pub fence: Fence,
    /// Counts the requests.
    pub telemetry: Arc<Telemetry>,
    /// The rate limit; `None` for none.
    pub limit: Option<Limit>,
}

/// The rate limit of the requests to the API: so many at once, and after that so many per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Requests per second.
    pub per_second: u32,
    /// Requests at once.
    pub burst: u32,
}

impl Default for Limit {
    fn default() -> Self {
        Self { per_second: 100, burst: 250 }
    }
}

/// What a call keeps to that is not one of the controller's own, as an extension of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// An answer that asks for another try stands, if that would come later than this.
    pub time: Duration,
    /// The longest answer that is read; a longer one is none.
    pub bytes: usize,
}

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No flag names a cluster, and the process does not run in one.
    #[error("neither -kubeconfig nor -master is given, and this process is not in a pod: {0}")]
    InCluster(#[source] InClusterError),
    /// The kubeconfig cannot be read or used.
    #[error("-kubeconfig {path}: {source}")]
    Kubeconfig {
        /// The file that the flag names.
        path: String,
        /// What is wrong with it.
        source: KubeconfigError,
    },
    /// The address of the API server is no URL.
    #[error("-master {value:?} is not an address of an API server (use https://host:port): {source}")]
    Master {
        /// The value of the flag.
        value: String,
        /// What is wrong with it.
        source: http::uri::InvalidUri,
    },
    /// No client can be made from the settings of the cluster, such as its certificates.
    #[error("the settings of the cluster's API cannot be used: {0}")]
    Settings(#[source] kube::Error),
}

/// Why a request of ours did not get an answer, where it is not the API's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The fence has stopped a write, as this process does not lead.
    #[error(transparent)]
    NotLeading(#[from] NotLeading),
    /// The fence has stopped a write, as this process is a shadow.
    #[error(transparent)]
    Shadowed(#[from] Shadowed),
    /// The API did not answer in time.
    #[error("no answer to {verb} {resource} within {} s", .after.as_secs())]
    TimedOut {
        /// The verb, in the words of RBAC.
        verb: &'static str,
        /// The resource, in the words of RBAC.
        resource: String,
        /// How long the request was waited for.
        after: Duration,
    },
}

impl CallError {
    /// Finds it in what kube makes of it.
    pub fn find(error: &kube::Error) -> Option<&Self> {
        match error {
            kube::Error::Service(cause) => cause.downcast_ref(),
            _ => None,
        }
    }
}

/// The cluster that the flags `-kubeconfig` and `-master` name; the one that this pod runs in if both are empty.
/// The variable KUBECONFIG is not read.
///
/// # Errors
/// If the file cannot be read, the address is none, or there is no cluster around us.
pub async fn config(kubeconfig: &str, master: &str) -> Result<Config, Error> {
    let address =
        || master.parse::<http::Uri>().map_err(|source| Error::Master { value: master.to_owned(), source });
    if kubeconfig.is_empty() {
        return if master.is_empty() {
            Config::incluster().map_err(Error::InCluster)
        } else {
            Ok(Config::new(address()?))
        };
    }
    let failed = |source| Error::Kubeconfig { path: kubeconfig.to_owned(), source };
    let file = Kubeconfig::read_from(kubeconfig).map_err(failed)?;
    let mut config =
        Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.map_err(failed)?;
    if !master.is_empty() {
        config.cluster_url = address()?;
    }
    Ok(config)
}

/// A client of a real cluster.
///
/// # Errors
/// If TLS or the way to log in cannot be set up.
pub fn connect(config: &Config, layers: Layers) -> Result<kube::Client, Error> {
    let transport = transport::transport(config).map_err(Error::Settings)?;
    Ok(layered(transport, &config.default_namespace, layers))
}

/// A client of whatever `base` is, for example an embedded cluster. Needs a runtime.
pub fn layered<S, B>(base: S, default_namespace: &str, layers: Layers) -> kube::Client
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let bucket = layers.limit.map(|limit| {
        let interval = Duration::from_secs(1) / limit.per_second.max(1);
        Mutex::new(Bucket::new(interval, limit.burst, Instant::now()))
    });
    let watched = std::sync::Mutex::default();
    let shared = Arc::new(Passage { fence: layers.fence, telemetry: layers.telemetry, bucket, watched });
    kube::Client::new(Layered { base, shared }, default_namespace)
}

#[derive(Clone)]
struct Layered<S> {
    base: S,
    shared: Arc<Passage>,
}

/// What every request to the API server passes: the fence of the leader, the rate limit and the metrics.
struct Passage {
    fence: Fence,
    telemetry: Arc<Telemetry>,
    /// Those who wait for a token stand in line before it.
    bucket: Option<Mutex<Bucket>>,
    /// When a watch of each resource was last begun.
    watched: std::sync::Mutex<BTreeMap<String, Instant>>,
}

/// Answers are read to their end within the limit; those of watches go on for as long as they say something.
type Answer<B> = Response<Either<Full<Bytes>, Watched<B>>>;

impl<S, B> Service<Request<Body>> for Layered<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Answer<B>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        // The base is asked for each try.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let (base, shared) = (self.base.clone(), Arc::clone(&self.shared));
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
        Box::pin(async move {
            let what = Described::new(&request);
            let (is_watch, resource) = (what.is_watch(), what.resource.clone());
            if is_watch {
                shared.wait_for_its_time(&what).await;
                shared.wait_for_a_token().await;
            }
            let bounds = Bounds::of(&request);
            let deadline = Instant::now() + LIMIT;
            let answered = async {
                if is_watch {
                    let answer = shared.send(base, request, &what).await?;
                    return Ok(answer.map(|body| Either::Right(Watched::new(body, resource))));
                }
                let answer = shared.send_and_retry(base, request, &what, bounds).await?;
                Ok(answer.map(Either::Left))
            };
            match timeout_at(deadline, answered).await {
                Ok(answer) => answer,
                Err(_) => {
                    shared.note(&what, "timeout", LIMIT);
                    Err(CallError::TimedOut { verb: what.verb, resource: what.resource, after: LIMIT }.into())
                }
            }
        })
    }
}

impl Passage {
    /// Sends until the answer is one to give back, or the next try would come too late.
    async fn send_and_retry<S, B>(
        &self,
        base: S,
        mut request: Request<Body>,
        what: &Described,
        bounds: Bounds,
    ) -> Result<Response<Full<Bytes>>, BoxError>
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone,
        S::Error: Into<BoxError>,
        B: http_body::Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let deadline = Instant::now() + bounds.time;
        for tries in 1.. {
            // The lease is what all else waits for.
            if !what.is_lease() {
                self.wait_for_a_token().await;
            }
            let again = copy(&request);
            let response = self.send(base.clone(), request, what).await?;
            let pause = pause(&response, what, tries);
            match (again, pause) {
                (Some(next), Some(pause)) if tries < TRIES && Instant::now() + pause < deadline => {
                    tokio::time::sleep(pause).await;
                    request = next;
                }
                _ => {
                    let (head, body) = response.into_parts();
                    let body = Limited::new(body, bounds.bytes).collect().await?.to_bytes();
                    return Ok(Response::from_parts(head, Full::new(body)));
                }
            }
        }
        unreachable!("the last try returns")
    }

    /// One try.
    async fn send<S, B>(
        &self,
        base: S,
        request: Request<Body>,
        what: &Described,
    ) -> Result<Response<B>, BoxError>
    where
        S: Service<Request<Body>, Response = Response<B>>,
        S::Error: Into<BoxError>,
    {
        let started = Instant::now();
        if what.is_write() && self.fence.is_shadow() {
            self.note(what, "refused", Duration::ZERO);
            return Err(CallError::from(Shadowed).into());
        }
        let pass = match what.needs_claim().then(|| self.fence.enter(started)).transpose() {
            Ok(pass) => pass,
            Err(refusal) => {
                self.note(what, "refused", Duration::ZERO);
                return Err(CallError::from(refusal).into());
            }
        };
        let overdue = async {
            match &pass {
                Some(_) => self.fence.overdue().await,
                None => std::future::pending().await,
            }
        };
        let answer = tokio::select! {
            biased;
            answer = base.oneshot(request) => answer,
            () = overdue => {
                self.note(what, "timeout", started.elapsed());
                return Err(CallError::from(NotLeading).into());
            }
        };
        match &answer {
            Ok(response) => self.note(what, response.status().as_str(), started.elapsed()),
            Err(_) => self.note(what, "error", started.elapsed()),
        }
        answer.map_err(Into::into)
    }

    /// Takes a token, first come, first served. Whoever gives up meanwhile leaves the line, and no token is lost on it.
    async fn wait_for_a_token(&self) {
        let Some(bucket) = &self.bucket else { return };
        let mut bucket = bucket.lock().await;
        while !bucket.try_take(Instant::now()) {
            let wait = bucket.wait(Instant::now());
            tokio::time::sleep(wait).await;
        }
    }

    /// Keeps watches apart that end as soon as they begin, as behind a proxy that can hold none: whoever reads them
    /// begins anew at once.
    async fn wait_for_its_time(&self, what: &Described) {
        let now = Instant::now();
        let at = {
            let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
            let before = watched.get(&what.path).copied();
            let at = before.map_or(now, |before| now.max(before + BETWEEN_WATCHES));
            watched.insert(what.path.clone(), at);
            at
        };
        if at > now {
            tokio::time::sleep_until(at).await;
        }
    }

    fn note(&self, what: &Described, code: &str, took: Duration) {
        self.telemetry.api_request(what.verb, &what.resource, code, took);
        if !what.is_lease() {
            debug!(verb = what.verb, path = what.path, code, "API request");
        }
    }
}

impl Bounds {
    /// Those of a request; the controller's own are bounded by [`LIMIT`] alone.
    fn of<B>(request: &Request<B>) -> Self {
        let own = Self { time: LIMIT, bytes: usize::MAX };
        let set = request.extensions().get::<Self>().copied().unwrap_or(own);
        Self { time: set.time.min(LIMIT), ..set }
    }
}

/// A second request like this one; `None` for bodies that can only be sent once.
fn copy(request: &Request<Body>) -> Option<Request<Body>> {
    let mut copy = Request::new(request.body().try_clone()?);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    *copy.extensions_mut() = request.extensions().clone();
    Some(copy)
}

/// How long to wait before another try; `None` if the answer stands.
fn pause<B>(response: &Response<B>, what: &Described, tries: u32) -> Option<Duration> {
    let worth_it = match response.status() {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => true,
        // The API may have done it all the same: whoever wrote has to look first.
        StatusCode::GATEWAY_TIMEOUT => !what.is_write(),
        _ => false,
    };
    let asked = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let ours = backoff::delay(FIRST_PAUSE, LIMIT, tries);
    worth_it.then(|| asked.map_or(ours, |seconds| ours.max(Duration::from_secs(seconds))))
}

/// The longest that a request may take, all its tries together. A write ends sooner where the leader's claim does (see
/// [`super::fence`]).
const LIMIT: Duration = Duration::from_secs(30);
const TRIES: u32 = 5;
/// The shortest time between the beginnings of two watches of a resource.
const BETWEEN_WATCHES: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const AGENT: &str = concat!("vexil/", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests;
