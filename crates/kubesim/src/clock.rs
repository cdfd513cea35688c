//! The simulated cluster's wall clock: it follows tokio's clock, so that paused time is paused here too.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use tokio::time::Instant;

/// Wall time as `start + (tokio time since the cluster began)`.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: DateTime<Utc>,
    origin: Instant,
}

impl Clock {
    /// A clock that shows `start` now.
    pub fn starting_at(start: DateTime<Utc>) -> Self {
        Self { start, origin: Instant::now() }
    }

    /// The wall time.
    pub fn now(&self) -> DateTime<Utc> {
        self.start + self.elapsed()
    }

    /// How long the cluster has been running.
    pub fn elapsed(&self) -> Duration {
        Instant::now().saturating_duration_since(self.origin)
    }

    /// The wall time as `metav1.Time` writes it: whole seconds.
    pub fn stamp(&self) -> String {
        stamp(self.now())
    }
}

/// `metav1.Time`.
pub fn stamp(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A stamp read back; `None` when it is not RFC 3339.
pub fn parse_stamp(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|at| at.with_timezone(&Utc))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn wall_time_follows_the_paused_clock() {
        let start = parse_stamp("2026-01-01T00:00:00Z").unwrap();
        let clock = Clock::starting_at(start);
        assert_eq!("2026-01-01T00:00:00Z", clock.stamp());
        tokio::time::advance(Duration::from_secs(3661)).await;
        assert_eq!("2026-01-01T01:01:01Z", clock.stamp());
    }
}
