//! What the core asks the world while it decides, and what the world answers.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::api::status::Phase;
use crate::model::answer::{Measured, Verdict};

/// Something that the core cannot know by itself. The same question after a crash is equal to the one before;
/// the answer to a question of another revision or step is never taken for an answer to this one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Question {
    /// Revision of the target that is asked about.
    pub revision: String,
    /// The step that it belongs to: when the one before it was decided.
    pub step: Option<DateTime<Utc>>,
    pub ask: Ask,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Ask {
    /// Whether the metric providers answer at all.
    Providers,
    /// A hook, by its place in the plan, and the phase that it is told.
    Hook { index: usize, phase: Phase },
    /// A metric check, by its place in the plan.
    Metric { index: usize },
}

/// The answer to a [`Question`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Answer {
    Providers(Result<(), String>),
    Hook(Verdict),
    Metric(Measured),
}
