//! How a simulated release went, as values for reports.

use serde::Serialize;

use crate::api::number::shortest;
use crate::api::status::Measurement;

/// How one release went. All times are seconds since the push.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// `name.namespace` of the Canary.
    pub canary: String,
    /// How it ended.
    pub verdict: Verdict,
    /// When it ended, or was given up.
    pub seconds: f64,
    /// The event that says why it was rolled back, or what an unfinished one waits for.
    pub reason: Option<String>,
    /// The check that stopped it, with its numbers.
    pub stopped_by: Option<String>,
    /// The largest weight that the canary had, in percent.
    pub highest_weight: u32,
    /// The requests of users until then.
    pub requests: Requests,
    /// What happened, in its order.
    pub timeline: Vec<Entry>,
    /// Weight and failures in the course of time.
    pub plot: Vec<Point>,
}

/// How a release ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// The new version is the primary.
    Promoted,
    /// The old version has all traffic again.
    RolledBack,
    /// Neither had happened when the time was over.
    Unfinished,
}

impl Verdict {
    /// As a sentence has it: `rolled back`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Promoted => "promoted",
            Self::RolledBack => "rolled back",
            Self::Unfinished => "unfinished",
        }
    }
}

/// Requests of users during a release.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Requests {
    /// All of them.
    pub all: u64,
    /// Those that met the new version.
    pub new_version: u64,
    /// Those of them that failed.
    pub new_version_failed: u64,
    /// So many more failed than would have on the old version; with those that nobody answered.
    pub hurt: u64,
    /// Those that met the old version and failed.
    pub old_version_failed: u64,
    /// Those that nobody answered.
    pub unanswered: u64,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// When.
    pub at: f64,
    /// The canary's weight from then on, in percent.
    pub weight: u32,
    /// What it is.
    pub kind: EntryKind,
    /// What happened, for people; empty for checks.
    pub text: String,
    /// What the checks of a step found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
}

/// The sorts of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum EntryKind {
    /// The scenario does something.
    Scenario,
    /// An event of the Canary.
    Event,
    /// An event that warns.
    Warning,
    /// The checks of a step.
    Checks,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// Its name.
    pub name: String,
    /// The controller's verdict: `Passed`, `Failed`, `Held` or `NotYet`.
    pub verdict: String,
    /// The value, if there is one.
    pub value: Option<f64>,
    /// The bounds.
    pub min: Option<f64>,
    #[expect(missing_docs, reason = "the sentence of `min` is about both")]
    pub max: Option<f64>,
    /// Why there is no value.
    pub message: Option<String>,
}

impl From<Measurement> for Check {
    fn from(found: Measurement) -> Self {
        let Measurement { name, verdict, value, min, max, message, .. } = found;
        Self { name, verdict, value, min, max, message }
    }
}

/// The state of things in a short time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Point {
    /// When it begins.
    pub at: f64,
    /// The canary's share of the users' requests, in percent.
    pub share: f64,
    /// Requests that the canary's pods answered, copies and those of tests included.
    pub measured: u64,
    /// Percent of them that failed; nothing without requests.
    pub error_rate: Option<f64>,
    /// Percent of all users' requests that failed.
    pub users_error_rate: f64,
}

impl Check {
    /// `request-success-rate 97.31 % (at least 99 %)`.
    pub fn text(&self) -> String {
        let unit = match self.name.as_str() {
            "request-success-rate" => " %",
            "request-duration" => " ms",
            _ => "",
        };
        let value = match (self.value, &self.message) {
            (Some(value), _) if unit == " ms" => format!("{value:.0}{unit}"),
            (Some(value), _) if unit == " %" => format!("{value:.2}{unit}"),
            (Some(value), _) => shortest((value * 1000.0).round() / 1000.0),
            (None, Some(message)) => format!("without a value: {message}"),
            (None, None) => "without a value".to_owned(),
        };
        let bounds = match (self.min, self.max) {
            (Some(min), Some(max)) => format!(" ({} to {}{unit})", shortest(min), shortest(max)),
            (Some(min), None) => format!(" (at least {}{unit})", shortest(min)),
            (None, Some(max)) => format!(" (at most {}{unit})", shortest(max)),
            (None, None) => String::new(),
        };
        format!("{} {value}{bounds}", self.name)
    }
}
