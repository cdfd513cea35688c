//! A release to be observed, and words of a conversation, for the tests of this room.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Asked, Provider, SecretData};
use crate::api::metric_template::MetricProvider;
use crate::model::call::{Address, Answer, Call, Heard, What};
use crate::model::release::{MetricCheck, MetricSource, Release, Strategy};
use crate::model::testing;

/// The Deployment `podinfo` in `test`, behind Istio.
pub(super) fn podinfo() -> Release {
    testing::release("podinfo", "test").advancing(Strategy::BlueGreen { iterations: 10 })
}

/// A check by the template `latency`.
pub(super) fn check() -> MetricCheck {
    MetricCheck {
        name: "latency".into(),
        field: "spec.analysis.metrics[0]".into(),
        interval: "1m".into(),
        source: MetricSource::Template { name: "latency".into(), namespace: "test".into() },
        min: None,
        max: Some(500.0),
        variables: BTreeMap::new(),
        rules: Default::default(),
    }
}

/// `query`, asked a moment after noon.
pub(crate) fn asked(query: &str) -> Asked {
    let now: DateTime<Utc> = "2026-07-21T12:00:00.75Z".parse().expect("a time");
    Asked { query: query.into(), interval: Duration::from_secs(60), now }
}

/// An answer a second later.
pub(super) fn answered(status: u16, body: &[u8]) -> Heard {
    Heard { after: Duration::from_secs(1), what: What::Answer(Answer::new(status, body)) }
}

/// `data` of a Secret.
pub(super) fn secret(pairs: &[(&str, &str)]) -> SecretData {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect()
}

/// Where a call goes to: a URL, or `cluster` and a path of its API.
pub(super) fn place(call: &Call) -> String {
    match &call.to {
        Address::Url(url) => url.clone(),
        Address::Cluster(path) => format!("cluster {path}"),
    }
}

/// A backend and its answers, from `tests/data/metrics`.
#[derive(serde::Deserialize)]
pub(crate) struct Sample {
    /// That of its file: one backend can have several, for each way in which it answers.
    #[serde(skip)]
    pub name: String,
    pub provider: MetricProvider,
    secret: BTreeMap<String, String>,
    #[serde(default = "up")]
    query: String,
    /// What the answer `value` says.
    pub value: f64,
    /// By their kind; not all kinds are possible everywhere.
    pub answers: BTreeMap<String, String>,
}

const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/metrics");

impl Sample {
    /// # Panics
    /// If there is no such file of answers.
    pub fn of(name: &str) -> Self {
        let path = format!("{SAMPLES}/{name}.yaml");
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let sample = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        Self { name: name.to_owned(), ..sample }
    }

    /// Those of all backends.
    ///
    /// # Panics
    /// If a registered backend has none.
    pub fn all() -> Vec<Self> {
        let files = std::fs::read_dir(SAMPLES).expect("a folder").flatten();
        let mut names: Vec<_> =
            files.filter_map(|file| Some(file.path().file_stem()?.to_str()?.to_owned())).collect();
        names.sort();
        for backend in super::known() {
            assert!(names.iter().any(|name| name == backend), "{SAMPLES} has no {backend}.yaml");
        }
        names.iter().map(|name| Self::of(name)).collect()
    }

    /// Whether a text says whose answer it speaks of. Events of built-in and inline checks name Prometheus themselves, and
    /// its texts are known to alert rules.
    pub fn is_named_in(&self, text: &str) -> bool {
        let kind = self.provider.kind.as_str();
        kind == "prometheus" || text.to_lowercase().contains(kind)
    }

    /// All that is secret in it.
    pub fn credentials(&self) -> Vec<&str> {
        let headers = self.provider.headers.iter().flat_map(BTreeMap::values).flatten();
        let all = self.secret.values().chain(headers).map(String::as_str);
        let password = "s3cret-pw";
        let in_address = self.provider.address.iter().filter(|address| address.contains(password));
        all.chain(in_address.map(|_| password)).collect()
    }

    /// A value of its secret.
    pub fn secret(&self, key: &str) -> String {
        self.secret[key].clone()
    }

    /// Its query.
    pub fn asked(&self) -> Asked {
        asked(&self.query)
    }

    pub fn backend(&self) -> Box<dyn Provider> {
        let data = self.secret.iter().map(|(key, value)| (key.clone(), value.as_bytes().to_vec())).collect();
        super::provider(&self.provider, Some(&data)).expect("a backend")
    }
}

fn up() -> String {
    "up".to_owned()
}
