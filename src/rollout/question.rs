//! The questions that the core asks while it decides, and their answers.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::api::status::Phase;
use crate::model::answer::{Measured, Verdict};

/// A question that only somebody else can answer: a metric provider, or a hook. After a crash the same question is
/// equal to the one before it. Revision and step are part of it, so an answer never counts for another step.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Question {
    /// The revision of the target that the question is about.
    pub revision: String,
    /// Which step asks: the time of the step before it, or `None` for the first one.
    pub step: Option<DateTime<Utc>>,
    /// What the question is.
    pub ask: Ask,
}

/// What a question is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Ask {
    /// Do the metric providers answer at all?
    Providers,
    /// Can the Secrets be used that the MetricTemplates name?
    Secrets {
        /// What is asked for: the Canary and the templates as they are now.
        of: String,
    },
    /// What does this hook say?
    Hook {
        /// The place of the hook in the list of the manifest, from 0.
        index: usize,
        /// The phase that the hook is told.
        phase: Phase,
    },
    /// What is the value of this metric?
    Metric {
        /// The place of the check in the list of the manifest, from 0.
        index: usize,
    },
}

/// The answer to a [`Question`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Answer {
    /// Whether all providers answer; the text names one that does not, and why.
    Providers(Result<(), String>),
    /// What is wrong with the Secrets, in words for the user.
    Secrets(Vec<String>),
    /// What the hook said.
    Hook(Verdict),
    /// What the provider measured.
    Metric(Measured),
}
