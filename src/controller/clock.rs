//! The only place that asks the system for the time. Everybody else is given a [`Clock`], or a time as a value.
//!
//! Wall time is the wall time at the start plus what tokio's clock says has passed since. So a paused tokio clock
//! pauses wall time too, and an hour of simulated release takes milliseconds. It also never runs backwards when
//! somebody sets the machine's clock.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

/// Tells the time. Cheap to copy; all copies agree.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: DateTime<Utc>,
    origin: Instant,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        #[allow(clippy::disallowed_methods)]
        let now = Utc::now();
        Self::starting_at(now)
    }

    /// A clock that shows `start` now and follows tokio's clock from here on.
    pub fn starting_at(start: DateTime<Utc>) -> Self {
        Self { start, origin: Instant::now() }
    }

    /// The wall time.
    pub fn now(&self) -> DateTime<Utc> {
        self.start + self.origin.elapsed()
    }

    /// The instant on tokio's clock at which the wall shows `at`; for times before this clock began, its beginning.
    pub fn instant(&self, at: DateTime<Utc>) -> Instant {
        let since_start = (at - self.start).to_std().unwrap_or(Duration::ZERO);
        // A time beyond what an instant can hold is as good as never.
        self.origin.checked_add(since_start).unwrap_or_else(|| self.origin + NEVER)
    }

    /// Sleeps until the wall shows `at`; returns at once if that is past.
    pub async fn sleep_until(&self, at: DateTime<Utc>) {
        tokio::time::sleep_until(self.instant(at)).await;
    }
}

/// Thirty years: what tokio itself takes for the far future.
const NEVER: Duration = Duration::from_secs(86_400 * 365 * 30);

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn noon() -> DateTime<Utc> {
        "2026-07-21T12:00:00Z".parse().expect("a time")
    }

    #[tokio::test(start_paused = true)]
    async fn wall_time_follows_the_paused_clock() {
        let clock = Clock::starting_at(noon());
        assert_eq!(noon(), clock.now());
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(noon() + TimeDelta::hours(1), clock.now());
    }

    #[tokio::test(start_paused = true)]
    async fn sleeping_until_a_wall_time_ends_at_that_time() {
        let clock = Clock::starting_at(noon());
        clock.sleep_until(noon() + TimeDelta::minutes(10)).await;
        assert_eq!(noon() + TimeDelta::minutes(10), clock.now());
        clock.sleep_until(noon()).await;
        assert_eq!(noon() + TimeDelta::minutes(10), clock.now());
    }

    #[tokio::test(start_paused = true)]
    async fn a_time_beyond_all_calendars_is_no_panic() {
        let clock = Clock::starting_at(noon());
        assert!(clock.instant(DateTime::<Utc>::MAX_UTC) > clock.instant(noon()));
        assert_eq!(clock.instant(noon()), clock.instant(DateTime::<Utc>::MIN_UTC));
    }
}
