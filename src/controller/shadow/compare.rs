//! Compares a step of the other controller with our own intent. Pure.

use std::fmt;

use serde::Serialize;

use crate::api::status::{CanaryStatus, Phase};

use super::forecast::{Does, Intent};

/// Where a release stands, as far as two controllers can be compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Position {
    /// The phase.
    pub phase: Phase,
    /// The canary's share of the traffic, in percent.
    pub weight: i64,
    /// The checks that were done in a blue/green or A/B run.
    pub iterations: i64,
    /// The failed checks of this run.
    pub failed_checks: i64,
}

impl Position {
    /// The position that `status` tells.
    pub fn of(status: &CanaryStatus) -> Self {
        Self {
            phase: status.phase,
            weight: status.canary_weight,
            iterations: status.iterations,
            failed_checks: status.failed_checks,
        }
    }

    /// Whether two controllers that came here did the same. Failed checks are told and not compared, since they follow from
    /// the rest; behind the gate of a promotion Flagger writes figures of its own (spec 01 EC-6).
    fn agrees(&self, other: &Self) -> bool {
        self.phase == other.phase
            && (self.phase == Phase::WaitingPromotion
                || (self.weight == other.weight && self.iterations == other.iterations))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = if self.phase == Phase::Unset { "no phase" } else { self.phase.as_str() };
        write!(f, "{phase}, weight {}", self.weight)?;
        if self.iterations != 0 {
            write!(f, ", iteration {}", self.iterations)?;
        }
        match self.failed_checks {
            0 => Ok(()),
            1 => write!(f, ", 1 failed check"),
            failed => write!(f, ", {failed} failed checks"),
        }
    }
}

/// What is said of a step of the other controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the step that we would have made.
    Same(String),
    /// We would have done something else.
    Different(String),
    /// Nothing can be said, because of this.
    Uncompared(String),
}

impl Verdict {
    /// All labels.
    pub const LABELS: [&str; 3] = ["same", "different", "uncompared"];

    /// The label in metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Same(_) => "same",
            Self::Different(_) => "different",
            Self::Uncompared(_) => "uncompared",
        }
    }

    /// The text for the user.
    pub fn text(&self) -> &str {
        match self {
            Self::Same(text) | Self::Different(text) | Self::Uncompared(text) => text,
        }
    }
}

/// What is said of the other controller's step from `before` to `after`, where we had this intent before it. `edited` tells
/// whether somebody has changed the target since.
pub(super) fn compare(before: &Position, after: &Position, intent: &Intent, edited: bool) -> Verdict {
    let step = format!("the other went from {before} to {after}");
    match &intent.does {
        Does::Step { to, says, .. } if to.agrees(after) => {
            let why = says.first().map(|said| format!(" ({said})")).unwrap_or_default();
            Verdict::Same(format!("from {before} to {after}{why}"))
        }
        // The intent is from before the edit that the other one answers.
        _ if edited => Verdict::Uncompared(format!("{step}, as somebody changed the target")),
        Does::Step { to, says, .. } => {
            let why = says.last().map(|said| format!(", because: {said}")).unwrap_or_default();
            Verdict::Different(format!("{step}; I would have gone to {to}{why}"))
        }
        Does::Check { at, .. } => Verdict::Uncompared(format!(
            "{step} before my step was due at {}, so that I had not asked the checks",
            at.format("%H:%M:%S")
        )),
        Does::Unknown { why } => Verdict::Uncompared(format!("{step}; {why}")),
        Does::Rest => {
            Verdict::Different(format!("{step}; I would have done nothing: there is no new revision"))
        }
        Does::Wait { why, .. } => Verdict::Different(format!("{step}; I would have waited: {why}")),
        Does::Refuse { why } => Verdict::Different(format!("{step}; I would not work on this Canary: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use chrono::{TimeZone as _, Utc};
    use rstest::rstest;

    use super::*;

    fn at(phase: Phase, weight: i64, failed_checks: i64) -> Position {
        Position { phase, weight, failed_checks, iterations: 0 }
    }

    const TEN: Position = Position { phase: Phase::Progressing, weight: 10, iterations: 0, failed_checks: 0 };

    fn step(to: Position, says: &str) -> Does {
        let at = Utc.with_ymd_and_hms(2026, 11, 30, 12, 0, 0).single().expect("a time");
        Does::Step { at, to, says: vec![says.to_owned()], assumes: Vec::new() }
    }

    fn later() -> Does {
        let at = Utc.with_ymd_and_hms(2026, 11, 30, 12, 0, 0).single().expect("a time");
        Does::Check { at, asks: Vec::new() }
    }

    #[rstest]
    #[case::advanced(
        step(at(Phase::Progressing, 20, 0), "Advance"),
        at(Phase::Progressing, 20, 0),
        false,
        "same",
        "(Advance)"
    )]
    #[case::failed(
        step(at(Phase::Progressing, 10, 1), "Halt"),
        at(Phase::Progressing, 10, 1),
        false,
        "same",
        "1 failed check"
    )]
    #[case::gate(
        step(at(Phase::WaitingPromotion, 50, 0), ""),
        at(Phase::WaitingPromotion, 0, 0),
        false,
        "same",
        ""
    )]
    #[case::held(
        step(at(Phase::Progressing, 10, 1), "Halt x"),
        at(Phase::Progressing, 20, 0),
        false,
        "different",
        "I would have gone to Progressing, weight 10, 1 failed check, because: Halt x"
    )]
    #[case::rolled_back(
        step(at(Phase::Progressing, 20, 0), "Advance"),
        at(Phase::Failed, 0, 0),
        false,
        "different",
        "to Failed, weight 0; I would have gone to Progressing, weight 20"
    )]
    #[case::started(Does::Rest, at(Phase::Progressing, 0, 0), false, "different", "there is no new revision")]
    #[case::edited(
        Does::Rest,
        at(Phase::Progressing, 0, 0),
        true,
        "uncompared",
        "somebody changed the target"
    )]
    #[case::early(later(), at(Phase::Progressing, 20, 0), false, "uncompared", "due at 12:00:00")]
    #[case::refused(Does::Refuse { why: "spec.x".into() }, at(Phase::Progressing, 20, 0), false, "different", "spec.x")]
    #[case::waited(Does::Wait { until: None, why: "1 of 2 ready".into() }, at(Phase::Progressing, 20, 0), false, "different", "waited: 1 of 2 ready")]
    fn a_step_is_the_same_or_another_or_cannot_be_compared(
        #[case] does: Does,
        #[case] after: Position,
        #[case] edited: bool,
        #[case] label: &str,
        #[case] says: &str,
    ) {
        let verdict = compare(&TEN, &after, &Intent::new(does), edited);
        assert_eq!(label, verdict.label(), "{verdict:?}");
        assert!(verdict.text().contains(says), "{verdict:?}");
    }
}
