//! What is remembered of an adopted route while it is another than its user wrote: an annotation on the route itself,
//! written together with the weights, so that no crash can come between the two.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::model::release::Release;
use crate::router::marks::{FLUX, annotation};

/// The annotation. It is there as long as a release is under way, and gone at rest.
pub const ADOPTED: &str = "flagger.app/adopted";

/// All that the annotation says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Records {
    /// By namespace and name of the Canary: several may have rules of one route.
    releases: BTreeMap<String, Record>,
    /// The annotations for Flux as they were before; null where there was none.
    marks: Map<String, Value>,
}

/// What one release has made of a route.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Record {
    /// The share that the canary was given, in percent.
    pub canary: u32,
    /// Whether that is a share of the requests that match.
    pub matching: bool,
    /// Whether requests are copied to the canary.
    pub mirror: bool,
    /// How often somebody else has put the route back, and was answered.
    pub answered: u32,
    /// The rules that were changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Changed>,
    /// The rules that were added.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<Added>,
}

/// A rule that was changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Changed {
    /// The field of the spec that it is in, and its place there among the user's own.
    pub list: String,
    pub index: usize,
    /// Its name, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its backends as they were.
    pub was: Vec<Value>,
}

/// A rule that was added.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Added {
    /// The field of the spec that it is in.
    pub list: String,
    /// Which requests it is for.
    pub matches: Value,
}

impl Records {
    /// What a route says; nothing where the annotation is not there, or is not readable.
    pub(super) fn of(live: &Value) -> Self {
        let text = annotation(live, ADOPTED);
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    pub(super) fn get(&self, release: &Release) -> Option<&Record> {
        self.releases.get(&key(release))
    }

    /// What other releases have made of the route, by namespace and name of the Canary.
    pub(super) fn of_others(&self, release: &Release) -> impl Iterator<Item = (&str, &Record)> {
        let own = key(release);
        self.releases.iter().filter(move |(key, _)| **key != own).map(|(key, record)| (&**key, record))
    }

    /// The annotations of a route with this record of the release; `None` takes it away.
    pub(super) fn annotations(
        mut self,
        live: &Value,
        release: &Release,
        record: Option<Record>,
    ) -> Map<String, Value> {
        let was_known = !self.releases.is_empty();
        match record {
            Some(record) => self.releases.insert(key(release), record),
            None => self.releases.remove(&key(release)),
        };
        let is_out = self.releases.values().any(Record::changes_something);
        let mut all = Map::new();
        if is_out && self.marks.is_empty() {
            let present = |key: &&str| live["metadata"]["annotations"][*key].clone();
            self.marks = FLUX.iter().map(|key| ((*key).to_owned(), present(key))).collect();
        }
        for key in FLUX {
            if is_out {
                all.insert(key.to_owned(), json!("disabled"));
            } else if let Some(before) = self.marks.get(key).filter(|_| was_known) {
                all.insert(key.to_owned(), before.clone());
            }
        }
        if !is_out {
            self.marks = Map::new();
        }
        let text = (!self.releases.is_empty()).then(|| serde_json::to_string(&self).ok()).flatten();
        all.insert(ADOPTED.to_owned(), json!(text));
        all
    }
}

impl Record {
    /// Whether the route is another than its user's, by this record.
    pub(super) fn changes_something(&self) -> bool {
        self.canary > 0 || self.mirror
    }
}

fn key(release: &Release) -> String {
    format!("{}/{}", release.namespace, release.name)
}
