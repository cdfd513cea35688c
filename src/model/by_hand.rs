//! What somebody asks of a release by hand: the annotation `flagger.app/request` of a Canary.
//!
//! ```text
//! kubectl annotate canary podinfo --overwrite flagger.app/request="pause vx1-5f6a1b2c3d4e5f60 by=alice"
//! ```
//!
//! The annotation is read and never written, so that nothing that applies manifests has to fight over it. What became
//! of a request stands in the condition `Request`; the same text is acted upon once. Other words than `by=` make two
//! equal requests differ.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use super::answer::excerpt;

/// The annotation.
pub const REQUEST: &str = "flagger.app/request";

/// One request by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Request {
    /// As written, on one line.
    pub text: String,
    /// What is asked, or what is wrong with the text.
    pub wish: Result<Wish, String>,
    /// Who says to ask.
    pub by: Option<String>,
    /// The program that set the annotation, and when, as the API server recorded it.
    pub manager: Option<String>,
    /// When the annotation was set, as the API server recorded it.
    pub at: Option<DateTime<Utc>>,
}

/// What is asked of which revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Wish {
    /// What the controller shall do.
    pub action: Action,
    /// The name of a revision, or the beginning of one.
    pub revision: String,
}

/// What can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Action {
    /// Hold the traffic where it is.
    Pause,
    /// Go on after a pause.
    Resume,
    /// Open the gate that is closed.
    Approve,
    /// Promote without further checks and gates.
    Promote,
    /// Roll back.
    Abort,
    /// Release a failed revision again.
    Retry,
}

impl Action {
    /// All actions, in the order in which messages list them.
    pub const ALL: [Self; 6] =
        [Self::Pause, Self::Resume, Self::Approve, Self::Promote, Self::Abort, Self::Retry];

    /// The word in the annotation.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Approve => "approve",
            Self::Promote => "promote",
            Self::Abort => "abort",
            Self::Retry => "retry",
        }
    }
}

impl Wish {
    /// Whether it is meant for `revision`.
    pub fn is_for(&self, revision: &str) -> bool {
        revision.starts_with(&self.revision)
    }
}

impl Request {
    /// The request in the annotations of `canary`, if there is one.
    pub fn of(canary: &Value) -> Option<Self> {
        let metadata = &canary["metadata"];
        let text = excerpt(metadata["annotations"][REQUEST].as_str()?.as_bytes(), LONGEST);
        if text.is_empty() {
            return None;
        }
        let owner = metadata["managedFields"].as_array().and_then(|entries| {
            entries
                .iter()
                .filter(|entry| entry["time"].is_string())
                .max_by_key(|entry| entry["time"].as_str())
        });
        let by = text.split(' ').find_map(|word| word.strip_prefix("by=")).filter(|by| !by.is_empty());
        Some(Self {
            wish: wish(&text),
            by: by.map(str::to_owned),
            manager: owner.and_then(|entry| entry["manager"].as_str()).map(str::to_owned),
            at: owner.and_then(|entry| entry["time"].as_str()?.parse().ok()),
            text,
        })
    }

    /// Who asked and when, as far as it is known: `by alice (kubectl-annotate, 12:00:03)`.
    pub fn origin(&self) -> String {
        let by = self.by.as_deref().map(|by| format!("by {by}"));
        let at = self.at.map(|at| at.format("%H:%M:%S").to_string());
        let recorded: Vec<String> = self.manager.clone().into_iter().chain(at).collect();
        let recorded = (!recorded.is_empty()).then(|| format!("({})", recorded.join(", ")));
        by.into_iter().chain(recorded).collect::<Vec<_>>().join(" ")
    }
}

fn wish(text: &str) -> Result<Wish, String> {
    let known = || Action::ALL.map(Action::as_str).join(", ");
    let mut words = text.split(' ');
    let verb = words.next().unwrap_or_default();
    let action = Action::ALL
        .into_iter()
        .find(|action| action.as_str() == verb)
        .ok_or_else(|| format!("unknown action {verb:?}, use one of {}", known()))?;
    let revision = words.next().filter(|word| !word.contains('=')).unwrap_or_default();
    if revision.len() < SHORTEST {
        return Err(format!(
            "the revision is missing or too short, write \"{verb} REVISION\" with at least {SHORTEST} characters of \
             status.releasing.name (for retry of status.lastAppliedSpec)"
        ));
    }
    Ok(Wish { action, revision: revision.to_owned() })
}

/// Characters of a request that are looked at.
const LONGEST: usize = 256;
/// Characters that a revision is named by at least: `vx1-` and four more.
pub const SHORTEST: usize = 8;

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn canary(text: &str) -> Value {
        json!({"metadata": {
            "annotations": {REQUEST: text},
            "managedFields": [
                {"manager": "flux", "time": "2026-11-20T11:00:00Z"},
                {"manager": "kubectl-annotate", "time": "2026-11-20T12:00:03Z"},
            ],
        }})
    }

    #[test]
    fn a_request_names_an_action_and_a_revision_and_who_asks() {
        let request = Request::of(&canary(" approve  vx1-5f6a1b2c by=alice  id=2\n")).expect("a request");
        assert_eq!(request.text, "approve vx1-5f6a1b2c by=alice id=2");
        assert_eq!(request.wish, Ok(Wish { action: Action::Approve, revision: "vx1-5f6a1b2c".to_owned() }));
        assert_eq!(request.origin(), "by alice (kubectl-annotate, 12:00:03)");
    }

    #[rstest]
    #[case::no_action(
        "please",
        "unknown action \"please\", use one of pause, resume, approve, promote, abort, retry"
    )]
    #[case::no_revision("abort", "the revision is missing or too short")]
    #[case::no_revision_but_a_name("abort by=alice", "the revision is missing or too short")]
    #[case::too_short("abort vx1-5f", "with at least 8 characters of status.releasing.name")]
    fn a_request_that_cannot_be_understood_says_how_to_write_it(#[case] text: &str, #[case] why: &str) {
        let request = Request::of(&canary(text)).expect("a request");
        let error = request.wish.expect_err("not understood");
        assert!(error.contains(why), "{error}");
    }

    #[test]
    fn nothing_is_asked_without_the_annotation() {
        assert_eq!(Request::of(&json!({"metadata": {}})), None);
        assert_eq!(Request::of(&canary("  ")), None);
    }
}
