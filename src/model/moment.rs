//! The moment of a release that a message speaks of.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use crate::api::status::{CanaryStatus, Phase};

/// The moment of a release that a message speaks of. It stays the same however often the message is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// Identifies the release: what hooks know as `checksum`.
    pub release: String,
    /// Where the release stood, or was about to stand once the traffic had settled.
    pub phase: Phase,
    /// When it was decided.
    pub at: DateTime<Utc>,
}

impl Moment {
    /// What `status` says of the release that `release` identifies, at `at`.
    pub fn of(release: String, status: &CanaryStatus, at: DateTime<Utc>) -> Self {
        let phase = status.settling().map_or(status.phase, |(next, _)| next);
        Self { release, phase, at }
    }

    /// The time as other programs read it (RFC 3339, UTC).
    pub fn time(&self) -> String {
        self.at.to_rfc3339_opts(SecondsFormat::Millis, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::status::{CanaryCondition, SETTLING};

    #[test]
    fn a_release_that_is_being_rolled_back_has_failed() {
        let settling =
            CanaryCondition { kind: SETTLING.into(), reason: "Failed".into(), ..CanaryCondition::default() };
        let mut status = CanaryStatus { phase: Phase::Progressing, ..CanaryStatus::default() };
        let phase = |status: &CanaryStatus| Moment::of("r".into(), status, DateTime::UNIX_EPOCH).phase;
        assert_eq!(Phase::Progressing, phase(&status));
        status.conditions = Some(vec![settling]);
        assert_eq!(Phase::Failed, phase(&status));
    }
}
