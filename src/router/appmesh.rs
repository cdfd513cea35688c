//! AWS App Mesh (spec 03 §9, §10): what the objects of both versions have in common. The nodes, which tell a pod what
//! it is in the mesh, stand before the primary's pods start; the routes come when it is ready.
//!
//! AWS has ended App Mesh. This is for those who still have it: compatible, and no more than that.

use std::time::Duration;

use prometheus_http_query::Selector;
use serde_json::{Map, Value, json};

use super::checks::Unit;
use super::marks::flux;
use super::predicates::{Text, no_source_labels, texts};
use super::promql::{p99, percentage};
use super::{Checks, Desired, View, kubernetes, problem};
use crate::api::duration;
use crate::model::object::Kind;
use crate::model::release::{Problem, Release};
use crate::model::traffic::{Capabilities, Split};

pub mod v1beta1;
pub mod v1beta2;

const ABILITIES: Capabilities = Capabilities { matching: true, ..Capabilities::WEIGHTS };

/// The Envoys beside the canary's pods report.
static CHECKS: Checks =
    Checks { success_rate, duration: request_duration, unit: Unit::Milliseconds, bare_errors: false };

const fn kind(version: &'static str, kind: &'static str, plural: &'static str) -> Kind {
    Kind::new("appmesh.k8s.aws", version, kind, plural)
}

/// A rule for requests, in the words of neither version.
struct Rule {
    name: String,
    /// The mesh takes the rule with the lowest number among those that match.
    priority: Option<usize>,
    /// The headers that have to be there; null if it is for everybody.
    headers: Value,
    split: Split,
}

/// The rules of the apex: for everybody, or for the requests that match and then for everybody else.
///
/// # Errors
/// If App Mesh cannot check an entry of `analysis.match`.
fn rules(release: &Release, split: Split) -> Result<Vec<Rule>, Problem> {
    let apex = &release.apex;
    let matches = &release.analysis.matches;
    if matches.is_empty() {
        return Ok(vec![Rule { name: apex.clone(), priority: None, headers: Value::Null, split }]);
    }
    let mut rules = Vec::new();
    for (index, entry) in matches.iter().enumerate() {
        let path = format!("spec.analysis.match[{index}]");
        no_source_labels(entry, &path)?;
        if entry.query_params.as_ref().is_some_and(|conditions| !conditions.is_empty()) {
            let message = "cannot be checked by every version of App Mesh: match a header instead";
            return Err(problem(format!("{path}.queryParams"), message));
        }
        let headers: Vec<Value> = texts(entry.headers.as_ref(), &format!("{path}.headers"))?
            .into_iter()
            .map(|(name, text)| json!({"name": name, "match": compared(text)}))
            .collect();
        if headers.is_empty() {
            let message = "has no condition, so every request would go to the canary: give it headers";
            return Err(problem(path, message));
        }
        let name = if index == 0 { format!("{apex}-a") } else { format!("{apex}-a{}", index + 1) };
        rules.push(Rule { name, priority: Some(10 + index), headers: json!(headers), split });
    }
    let last = 20.max(10 + matches.len());
    let everybody = Split::PRIMARY;
    rules.push(Rule {
        name: format!("{apex}-b"),
        priority: Some(last),
        headers: Value::Null,
        split: everybody,
    });
    Ok(rules)
}

/// The rule of the name that leads to the canary alone.
fn rule_of_canary(release: &Release) -> Rule {
    let name = release.canary_service();
    Rule { name, priority: None, headers: Value::Null, split: Split::CANARY }
}

fn compared(text: Text<'_>) -> Value {
    match text {
        Text::Exact(text) => json!({"exact": text}),
        Text::Prefix(text) => json!({"prefix": text}),
        Text::Suffix(text) => json!({"suffix": text}),
        Text::Regex(text) => json!({"regex": text}),
    }
}

/// `service.retries`, with what App Mesh takes where it says nothing.
struct Retries {
    timeout: Duration,
    attempts: i64,
    events: Vec<String>,
}

impl Retries {
    /// The retries of a release; `None` if it asks for none.
    ///
    /// # Errors
    /// If App Mesh knows no such reason, or the time is none.
    fn of(release: &Release) -> Result<Option<Self>, Problem> {
        let Some(retries) = release.service.retries.as_ref().filter(|retries| !retries.is_null()) else {
            return Ok(None);
        };
        let text = |field: &str| retries[field].as_str().map(str::trim).filter(|text| !text.is_empty());
        let timeout = match text("perTryTimeout") {
            Some(text) => time(text, "spec.service.retries.perTryTimeout")?,
            None => Duration::from_millis(250),
        };
        let reasons = text("retryOn").unwrap_or("gateway-error").split(',').map(str::trim);
        let events: Vec<String> = reasons.filter(|reason| !reason.is_empty()).map(str::to_owned).collect();
        if let Some(unknown) = events.iter().find(|event| !EVENTS.contains(&event.as_str())) {
            let message = format!(
                "\"{unknown}\" is no reason that App Mesh retries for: write some of {}",
                EVENTS.join(", ")
            );
            return Err(problem("spec.service.retries.retryOn", message));
        }
        Ok(Some(Self { timeout, attempts: attempts(release).unwrap_or(1), events }))
    }
}

/// What the API of App Mesh takes.
const EVENTS: [&str; 4] = ["server-error", "gateway-error", "client-error", "stream-error"];

fn attempts(release: &Release) -> Option<i64> {
    release.service.retries.as_ref()?["attempts"].as_i64().filter(|attempts| *attempts > 0)
}

fn time(text: &str, field: &str) -> Result<Duration, Problem> {
    duration::parse(text)
        .map_err(|error| problem(field, format!("{error}: write a time such as 15s or 500ms")))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn protocol(release: &Release) -> &'static str {
    let name = release.service.port_name.as_deref().unwrap_or_default();
    if name.contains("grpc") { "grpc" } else { "http" }
}

/// The access log of a node, which an annotation of the Canary turns on.
fn logging(release: &Release) -> Value {
    match release.annotations.get("appmesh.flagger.app/accesslog").map(String::as_str) {
        Some("enabled") => json!({"accessLog": {"file": {"path": "/dev/stdout"}}}),
        _ => Value::Null,
    }
}

/// A node with the metadata of the apex. The label of the apex Service is not for nodes.
fn node(desired: Desired, view: &View<'_>) -> Desired {
    let mut desired = desired.apex_metadata(view);
    let own = view.release.service.apex.as_ref().and_then(|block| block.labels.as_ref());
    match own.and_then(|labels| labels.get(&view.shape.label_key)) {
        Some(value) => desired.labels.insert(view.shape.label_key.clone(), json!(value)),
        None => desired.labels.remove(&view.shape.label_key),
    };
    desired.keeping_the_original()
}

/// A route, or the name that leads to one.
fn route(desired: Desired) -> Desired {
    desired.annotated(flux()).keeping_the_original()
}

/// How the mesh's ingress leads to the apex; nothing if the release has no hosts.
fn gateway(release: &Release) -> Map<String, Value> {
    let hosts = release.service.hosts.as_deref().unwrap_or_default();
    if hosts.is_empty() {
        return Map::new();
    }
    let timeout = release.service.timeout.as_deref().filter(|timeout| !timeout.is_empty());
    let domains: String = hosts.iter().map(|host| format!("{host},")).collect();
    Map::from_iter([
        ("gateway.appmesh.k8s.aws/expose".to_owned(), json!("true")),
        ("gateway.appmesh.k8s.aws/domain".to_owned(), json!(domains)),
        ("gateway.appmesh.k8s.aws/timeout".to_owned(), json!(timeout)),
        (
            "gateway.appmesh.k8s.aws/retries".to_owned(),
            json!(attempts(release).map(|attempts| attempts.to_string())),
        ),
    ])
}

fn success_rate(release: &Release, interval: &str) -> String {
    let (namespace, pods) = kubernetes::names(release);
    let all = kubernetes::canary(&namespace, &pods);
    let good = all.clone().regex_ne("envoy_response_code", "5.*");
    percentage("envoy_cluster_upstream_rq", &good, &all, interval)
}

fn request_duration(release: &Release, interval: &str) -> String {
    let (namespace, pods) = kubernetes::names(release);
    let all: Selector<'_> = kubernetes::canary(&namespace, &pods);
    p99("envoy_cluster_upstream_rq_time_bucket", &all, interval)
}

#[cfg(test)]
mod tests;
