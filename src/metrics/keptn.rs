//! Keptn's metrics operator, through the cluster's API: the value of a KeptnMetric, or the verdict of an Analysis that
//! is created for the question and deleted afterwards (spec 04 §2.12).
//!
//! ```text
//! KeptnMetric  get ─▶ done
//! Analysis     create ─▶ wait ─▶ get ─▶ … until it is completed, or ten seconds are over ─▶ delete ─▶ done
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::model::answer::excerpt;
use crate::model::call::{Address, Body, Call, Heard, Method, Next, What};

use super::shared::{
    NO_VALUES, NOT_A_QUERY, SHOWN, TIMEOUT, accepted, object, one_call, one_probe, query, refused,
};
use super::{Asked, Measured, Provider};

/// Keptn in this cluster.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keptn;

impl Provider for Keptn {
    fn name(&self) -> &'static str {
        PROVIDER
    }

    fn next(&self, asked: &Asked, heard: &[Heard]) -> Next<Measured> {
        let wanted = query(PROVIDER, asked)
            .and_then(|query| Wanted::parse(&query).map_err(|why| format!("{PROVIDER}: {why}")));
        match wanted {
            Ok(Wanted { kind: Kind::Metric, namespace, name, .. }) => {
                let call =
                    || Ok(cluster(Method::Get, format!("{API}/namespaces/{namespace}/keptnmetrics/{name}")));
                one_call(PROVIDER, heard, call, read_metric)
            }
            Ok(wanted) => Run { id: wanted.id(asked), wanted }.next(heard),
            Err(why) => Next::Done(Measured::Failed(why)),
        }
    }

    fn probe(&self, _: &Asked, heard: &[Heard]) -> Next<Result<(), String>> {
        // The kinds that the cluster serves: none of them, and a 404, where Keptn is not installed.
        one_probe(PROVIDER, heard, || cluster(Method::Get, API.to_owned()), |_| Ok(()))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Metric,
    Analysis,
}

/// What a query asks for.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    kind: Kind,
    namespace: String,
    name: String,
    /// How far back an Analysis looks.
    timeframe: String,
    arguments: BTreeMap<String, String>,
}

impl Wanted {
    /// `<type>/<namespace>/<name>[/<timeframe>[/<key>=<value>;…]]`. What is behind the fourth slash are arguments, in
    /// which a slash is one.
    fn parse(query: &str) -> Result<Self, String> {
        let malformed = |why: &str| format!("the query {:?} {why}", excerpt(query.as_bytes(), 120));
        let mut parts = query.splitn(5, '/').map(str::trim);
        let (Some(kind), Some(namespace), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(malformed("is not <type>/<namespace>/<name>"));
        };
        let kind = match kind.to_ascii_lowercase().as_str() {
            "keptnmetric" | "keptnmetrics" => Kind::Metric,
            "analysis" | "analyses" => Kind::Analysis,
            other => return Err(malformed(&format!("has the type {other:?}: use keptnmetric or analysis"))),
        };
        let (namespace, name) = (namespace.to_ascii_lowercase(), name.to_ascii_lowercase());
        if !is_name(&namespace) || !is_name(&name) {
            return Err(malformed(
                "names no object: namespace and name are lower case letters, digits, - and .",
            ));
        }
        let timeframe = parts.next().filter(|part| !part.is_empty()).unwrap_or("1m").to_ascii_lowercase();
        let mut arguments = BTreeMap::new();
        for pair in parts.next().unwrap_or_default().split(';').map(str::trim).filter(|pair| !pair.is_empty())
        {
            let Some((key, value)) = pair.split_once('=') else {
                return Err(malformed(&format!("has the argument {pair:?}, which is not <key>=<value>")));
            };
            arguments.insert(key.trim().to_owned(), value.trim().to_owned());
        }
        Ok(Self { kind, namespace, name, timeframe, arguments })
    }

    /// The name of the object for this question. It follows from the question, so that the object can be deleted even
    /// if the answer to its creation was lost.
    fn id(&self, asked: &Asked) -> String {
        let moment = asked.now.timestamp_nanos_opt().unwrap_or_default();
        let digest = Sha256::digest(format!("{moment} {}", asked.query));
        let hex: String = digest.iter().take(3).map(|byte| format!("{byte:02x}")).collect();
        format!("{}-{hex}", self.name)
    }
}

/// Whether a text can be a part of a path that names an object.
fn is_name(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    text.chars().all(inner) && text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.len() < 254
}

#[derive(Deserialize)]
struct Metric {
    #[serde(default)]
    kind: String,
    status: Option<MetricStatus>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MetricStatus {
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    err_msg: Option<String>,
}

fn read_metric(body: &[u8]) -> Result<Measured, String> {
    let Metric { kind, status } = object(body)?;
    if kind != "KeptnMetric" {
        return Err(format!("{NOT_A_QUERY}: it is no KeptnMetric"));
    }
    let status = status.unwrap_or_default();
    if let Some(error) = status.err_msg.filter(|error| !error.is_empty()) {
        return Err(format!("the metric could not be fetched: {}", excerpt(error.as_bytes(), SHOWN)));
    }
    match status.value.as_deref().map(str::trim).unwrap_or_default() {
        "" => Ok(Measured::NoData(format!("{PROVIDER}: the metric has no value yet: {NO_VALUES}"))),
        text => match text.parse() {
            Ok(number) => Ok(Measured::number(number)),
            Err(_) => Err(format!("the value is not a number: {}", excerpt(text.as_bytes(), 80))),
        },
    }
}

/// An Analysis on its way.
struct Run {
    wanted: Wanted,
    id: String,
}

impl Run {
    fn next(&self, heard: &[Heard]) -> Next<Measured> {
        let Some((created, later)) = heard.split_first() else { return Next::send(self.create()) };
        // The step after which nothing more is waited for.
        let mut end = match &created.what {
            What::Answer(answer) if (200..300).contains(&answer.status) => None,
            // Nothing was created, so there is nothing to delete.
            What::Answer(answer) => return Next::Done(Measured::Failed(refused(PROVIDER, answer))),
            what => accepted(PROVIDER, what).err().map(|why| (0, Measured::Failed(why))),
        };
        for (step, heard) in later.iter().enumerate() {
            if end.is_none() {
                end = self.verdict(heard).map(|verdict| (step + 1, verdict));
            }
        }
        match (end, heard.last().map(|heard| &heard.what)) {
            (Some((step, verdict)), _) if heard.len() > step + 1 => Next::Done(verdict),
            (Some(_), _) => Next::send(cluster(Method::Delete, self.path())),
            (None, Some(What::Waited)) => Next::send(cluster(Method::Get, self.path())),
            (None, _) => Next::Wait(PAUSE),
        }
    }

    /// What a look at the object says; none if it has to be looked at again.
    fn verdict(&self, heard: &Heard) -> Option<Measured> {
        let body = match &heard.what {
            What::Waited => return None,
            what => match accepted(PROVIDER, what) {
                Ok(body) => body,
                Err(why) => return Some(Measured::Failed(why)),
            },
        };
        match read_analysis(body) {
            Err(why) => Some(Measured::Failed(format!("{PROVIDER}: {why}"))),
            Ok(Some(pass)) => Some(Measured::Value(f64::from(u8::from(pass)))),
            Ok(None) if heard.after >= PATIENCE => Some(Measured::Failed(format!(
                "encountered timeout while waiting for {TITLE} {}/{} to be finished",
                self.wanted.namespace, self.id
            ))),
            Ok(None) => None,
        }
    }

    fn create(&self) -> Call {
        let body = json!({
            "apiVersion": "metrics.keptn.sh/v1beta1",
            "kind": "Analysis",
            "metadata": {"name": self.id, "namespace": self.wanted.namespace},
            "spec": {
                "analysisDefinition": {"name": self.wanted.name},
                "timeframe": {"recent": self.wanted.timeframe},
                "args": self.wanted.arguments,
            },
        });
        Call { body: Body::json(&body), creates: true, ..cluster(Method::Post, self.collection()) }
    }

    fn collection(&self) -> String {
        format!("{API}/namespaces/{}/analyses", self.wanted.namespace)
    }

    fn path(&self) -> String {
        format!("{}/{}", self.collection(), self.id)
    }
}

/// Whether an Analysis passed; none while it is not completed.
fn read_analysis(body: &[u8]) -> Result<Option<bool>, String> {
    let analysis: Value = object(body)?;
    if analysis["kind"] != "Analysis" {
        return Err(format!("{NOT_A_QUERY}: it is no Analysis"));
    }
    let status = &analysis["status"];
    if status["state"] != "Completed" {
        return Ok(None);
    }
    match status.get("pass") {
        // A verdict that is false is left out by some versions.
        None => Ok(Some(false)),
        Some(Value::Bool(pass)) => Ok(Some(*pass)),
        Some(_) => Err("the verdict is neither true nor false".to_owned()),
    }
}

fn cluster(method: Method, path: String) -> Call {
    Call { timeout: TIMEOUT, ..Call::new(method, Address::Cluster(path)) }
}

const PROVIDER: &str = "keptn";
const TITLE: &str = "Keptn Analysis";
const API: &str = "/apis/metrics.keptn.sh/v1beta1";
/// Between two looks at an Analysis.
const PAUSE: Duration = Duration::from_secs(1);
/// How long an Analysis may take.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
