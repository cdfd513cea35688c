//! The metrics backend and the hooks of the simulated world, in the place of the network: what Prometheus would
//! say follows from the version that the target runs and from the traffic that it gets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use crate::http::{Cause, Request, Response, Transport};
use crate::model::object::Kind;
use crate::model::release::{MetricCheck, Reference, Release, Settings, Strategy, TargetKind};
use crate::router::checks::{Builtin, Checks, Unit};
use crate::router::registry;
use kubesim::KubeSim;

use super::knative;
use super::observed::{self, Meaning};
use super::routes::Routes;

/// How a version of an application behaves under traffic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Version {
    /// Percent of requests that succeed.
    pub success_rate: f64,
    /// 99th percentile of the time that requests take.
    pub p99_millis: f64,
}

impl Default for Version {
    fn default() -> Self {
        Self { success_rate: 100.0, p99_millis: 95.0 }
    }
}

/// What is wrong with the metrics backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nobody listens.
    Unreachable,
    /// The answer never comes.
    Hangs,
    /// A page of HTML.
    NotJson,
    /// Ten megabytes.
    Huge,
    /// An answer without samples.
    NoData,
    /// Not a number.
    NotANumber,
}

/// What a built-in check was told.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Namespace of the Canary.
    pub namespace: String,
    /// Name of its target.
    pub target: String,
    /// As a Canary names it.
    pub metric: &'static str,
    /// Percent, or milliseconds; nothing if the target gets no requests.
    pub value: Option<f64>,
}

type Observer = Arc<dyn Fn(&Sample) + Send + Sync>;
type Behaviour = Arc<dyn Fn(&str) -> Version + Send + Sync>;

/// A call of a hook, as it arrived.
#[derive(Clone, Debug, PartialEq)]
pub struct HookCall {
    /// The address that was called.
    pub url: String,
    /// The headers that came along.
    pub headers: Vec<(String, String)>,
    /// The payload.
    pub body: Value,
}

/// The network of the simulated world.
#[derive(Clone)]
pub struct Backend {
    kube: KubeSim,
    routes: Routes,
    settings: Settings,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// By a part of the image name.
    versions: BTreeMap<String, Version>,
    /// How all other versions behave, by their image.
    otherwise: Option<Behaviour>,
    /// Whether queries are answered that are not in our words.
    freely: bool,
    /// Values of queries that are not built in, by a part of the query.
    queries: BTreeMap<String, f64>,
    fault: Option<Fault>,
    /// Hooks that say no, by a part of the URL.
    closed: BTreeSet<String>,
    /// Hooks and metrics servers that never answer.
    hanging: BTreeSet<String>,
    /// How long hooks and metrics servers take, by a part of the address or the query.
    slow: BTreeMap<String, Duration>,
    hook_calls: Vec<HookCall>,
    /// Who answers calls in the place of this backend, by a part of the URL.
    services: BTreeMap<String, Arc<dyn Transport>>,
    asked: Vec<String>,
    observer: Option<Observer>,
}

impl Backend {
    /// A network around `kube`, under a controller with these settings.
    pub fn new(kube: KubeSim, settings: Settings) -> Self {
        let routes = Routes::new(kube.clone(), settings.clone());
        Self { kube, routes, settings, state: Arc::default() }
    }

    /// Versions whose image contains `image` behave so.
    pub fn version(&self, image: &str, version: Version) {
        self.state().versions.insert(image.to_owned(), version);
    }

    /// Versions that were not told of behave as `rule` says of their image; without one they are good.
    pub fn behave(&self, rule: impl Fn(&str) -> Version + Send + Sync + 'static) {
        self.state().otherwise = Some(Arc::new(rule));
    }

    /// From now on also understands what other controllers, and the MetricTemplates of users, ask about a release.
    pub fn read_freely(&self) {
        self.state().freely = true;
    }

    /// Queries that contain `part` have this value.
    pub fn query(&self, part: &str, value: f64) {
        self.state().queries.insert(part.to_owned(), value);
    }

    /// Breaks the metrics backend, or repairs it.
    pub fn fault(&self, fault: Option<Fault>) {
        self.state().fault = fault;
    }

    /// Hooks whose URL contains `part` say no from now on, or yes again.
    pub fn close(&self, part: &str, closed: bool) {
        let mut state = self.state();
        if closed {
            state.closed.insert(part.to_owned());
        } else {
            state.closed.remove(part);
        }
    }

    /// Hooks and metrics servers whose URL contains `part` never answer from now on.
    pub fn hang(&self, part: &str) {
        self.state().hanging.insert(part.to_owned());
    }

    /// Calls whose URL or query contains `part` are answered after this time.
    pub fn slow(&self, part: &str, takes: Duration) {
        self.state().slow.insert(part.to_owned(), takes);
    }

    /// Hooks whose URL contains `part`, as it was given to [`Backend::hang`], answer again.
    pub fn recover(&self, part: &str) {
        self.state().hanging.remove(part);
    }

    /// Calls whose URL contains `part` are answered by `service` from now on.
    pub fn serve(&self, part: &str, service: Arc<dyn Transport>) {
        self.state().services.insert(part.to_owned(), service);
    }

    /// Calls of hooks so far.
    pub fn hook_calls(&self) -> Vec<HookCall> {
        self.state().hook_calls.clone()
    }

    /// Queries so far.
    pub fn asked(&self) -> Vec<String> {
        self.state().asked.clone()
    }

    /// Calls `observer` with each sample that a built-in check is given, at once and in order.
    pub fn observe(&self, observer: impl Fn(&Sample) + Send + Sync + 'static) {
        self.state().observer = Some(Arc::new(observer));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn metrics(&self, request: &Request) -> Result<Response, Cause> {
        let text = request.query.iter().find(|(key, _)| key == "query").map_or("", |(_, value)| value);
        let fault = {
            let mut state = self.state();
            state.asked.push(text.to_owned());
            state.fault
        };
        match fault {
            Some(Fault::Unreachable) => return Err(Cause::Connect("connection refused".to_owned())),
            Some(Fault::NotJson) => return Ok(Response::new(200, "<html>It works!</html>")),
            Some(Fault::Huge) => return Ok(Response::new(200, vec![b' '; request.max_bytes + 1])),
            Some(Fault::NoData) => return Ok(vector(None)),
            Some(Fault::NotANumber) => return Ok(vector(Some("NaN".to_owned()))),
            Some(Fault::Hangs) | None => {}
        }
        Ok(vector(self.value(text).map(|value| value.to_string())))
    }

    fn value(&self, query: &str) -> Option<f64> {
        if query == "vector(1)" {
            return Some(1.0);
        }
        let custom = self
            .state()
            .queries
            .iter()
            .find(|(part, _)| query.contains(part.as_str()))
            .map(|(_, value)| *value);
        if custom.is_some() {
            return custom;
        }
        match self.subject(query) {
            Some((release, checks, check)) => self.measure(release, check, checks.unit),
            None if self.state().freely => self.freely(query),
            None => None,
        }
    }

    /// The value of a query that is not in our words.
    fn freely(&self, query: &str) -> Option<f64> {
        let mut releases = self.routes.releases();
        let meaning = observed::meaning(query, &releases)?;
        let mut measure = |index: usize, check| {
            let release = releases.swap_remove(index);
            let checks = registry::checks(&release, &self.settings).ok()?;
            self.measure(release, check, checks.unit)
        };
        match meaning {
            Meaning::Check(index, check) => measure(index, check),
            Meaning::Errors(index) => Some(100.0 - measure(index, Builtin::SuccessRate)?),
            Meaning::Number(number) => Some(number),
        }
    }

    fn measure(&self, release: Release, check: Builtin, unit: Unit) -> Option<f64> {
        let version = self.running(&release);
        let (metric, value, unit) = match check {
            Builtin::Duration => {
                let unit = if unit == Unit::Seconds { 1000.0 } else { 1.0 };
                ("request-duration", version.map(|version| version.p99_millis), unit)
            }
            Builtin::SuccessRate => {
                ("request-success-rate", version.map(|version| version.success_rate), 1.0)
            }
        };
        let observer = self.state().observer.clone();
        if let Some(observer) = observer {
            observer(&Sample { namespace: release.namespace, target: release.target.name, metric, value });
        }
        value.map(|value| value / unit)
    }

    /// The release that a built-in query asks about: the one whose checks ask just that.
    fn subject(&self, query: &str) -> Option<(Release, &'static Checks, Builtin)> {
        self.routes.releases().into_iter().find_map(|release| {
            let release = self.routed(release);
            let checks = registry::checks(&release, &self.settings).ok()?;
            let asks = |check: &MetricCheck| {
                let builtin = Builtin::of(&check.source)?;
                (checks.query(builtin, &release, &check.interval) == query).then_some(builtin)
            };
            let builtin = release.analysis.metrics.iter().find_map(asks)?;
            Some((release, checks, builtin))
        })
    }

    /// The release with the route that its metrics are found under: for Knative the latest revision.
    pub(super) fn routed(&self, release: Release) -> Release {
        if release.target.kind != TargetKind::Knative {
            return release;
        }
        let service = self.kube.get(knative::SERVICE, &release.namespace, &release.target.name);
        let route =
            service.as_ref().and_then(|service| service["status"]["latestCreatedRevisionName"].as_str());
        let route = route.map(|name| Reference {
            api_version: Kind::KNATIVE_REVISION.api_version(),
            kind: Kind::KNATIVE_REVISION.kind.to_owned(),
            name: name.to_owned(),
            namespace: release.namespace.clone(),
        });
        Release { route, ..release }
    }

    /// The behaviour of what the canary runs, if it can serve and gets requests.
    fn running(&self, release: &Release) -> Option<Version> {
        let image = observed::image(&self.kube, release)?;
        // Without routes a load test sends requests, and to a green side that nobody else calls.
        let plan = &release.analysis;
        let load_tested = matches!(plan.strategy, Strategy::BlueGreen { .. }) && !plan.mirror;
        let routed = self.routes.of(release).is_none_or(|state| state.split.canary() > 0 || state.mirrored)
            || load_tested;
        if !routed {
            return None;
        }
        let state = self.state();
        let known = state.versions.iter().find(|(part, _)| image.contains(part.as_str()));
        let otherwise = || state.otherwise.as_ref().map(|rule| rule(&image)).unwrap_or_default();
        Some(known.map_or_else(otherwise, |(_, version)| *version))
    }

    fn hook(&self, request: &Request) -> Response {
        let body = serde_json::from_slice(&request.body).unwrap_or_default();
        let mut state = self.state();
        let headers = request.headers.clone();
        state.hook_calls.push(HookCall { url: request.url.clone(), headers, body });
        if state.closed.iter().any(|part| request.url.contains(part.as_str())) {
            return Response::new(403, "Forbidden");
        }
        Response::new(200, "")
    }

    fn service(&self, url: &str) -> Option<Arc<dyn Transport>> {
        let state = self.state();
        let found = state.services.iter().find(|(part, _)| url.contains(part.as_str()));
        found.map(|(_, service)| Arc::clone(service))
    }

    fn hangs(&self, request: &Request) -> bool {
        let state = self.state();
        let broken = is_metrics(request) && state.fault == Some(Fault::Hangs);
        broken || state.hanging.iter().any(|part| request.url.contains(part.as_str()))
    }

    fn takes(&self, request: &Request) -> Option<Duration> {
        let state = self.state();
        let query = request.query.iter().find(|(key, _)| key == "query").map_or("", |(_, value)| value);
        let concerns = |part: &str| request.url.contains(part) || query.contains(part);
        state.slow.iter().find(|(part, _)| concerns(part.as_str())).map(|(_, takes)| *takes)
    }
}

impl Transport for Backend {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Cause>> {
        async move {
            if self.hangs(&request) {
                return std::future::pending().await;
            }
            if let Some(takes) = self.takes(&request) {
                tokio::time::sleep(takes).await;
            }
            let service = self.service(&request.url);
            if is_metrics(&request) {
                return match service {
                    Some(service) => service.send(request).await,
                    None => self.metrics(&request),
                };
            }
            let answer = self.hook(&request);
            match service {
                Some(service) => service.send(request).await,
                None => Ok(answer),
            }
        }
        .boxed()
    }
}

fn is_metrics(request: &Request) -> bool {
    request.url.contains("/api/v1/query")
}

/// An answer of Prometheus with one sample, or none.
fn vector(value: Option<String>) -> Response {
    let result: Vec<Value> =
        value.into_iter().map(|value| json!({"metric": {}, "value": [1_545_905_245.458, value]})).collect();
    let body = json!({"status": "success", "data": {"resultType": "vector", "result": result}});
    Response::new(200, body.to_string())
}
