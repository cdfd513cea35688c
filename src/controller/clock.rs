//! The only place that asks the system for the time. Everybody else is given a [`Clock`], or a time as a value.
//!
//! The machine's clock is asked each time: it may have been wrong when we started, and it goes on while the machine is
//! suspended, which tokio's clock does not. So a wall time says when something is due, and tokio only when to look at
//! the wall again. A simulated clock follows tokio's: a paused tokio clock pauses it too, and an hour of simulated
//! release takes milliseconds.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

/// Tells the time. Cheap to copy; all copies agree.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Wall);

#[derive(Clone, Copy, Debug)]
enum Wall {
    Machine(fn() -> DateTime<Utc>),
    Simulated { start: DateTime<Utc>, origin: Instant },
}

impl Clock {
    /// The machine's clock.
    #[allow(clippy::disallowed_methods)]
    pub fn system() -> Self {
        Self::asking(Utc::now)
    }

    /// A clock on a wall where somebody may set it: it shows what `wall` says at the moment.
    pub fn asking(wall: fn() -> DateTime<Utc>) -> Self {
        Self(Wall::Machine(wall))
    }

    /// A clock that shows `start` now and follows tokio's clock from here on.
    pub fn starting_at(start: DateTime<Utc>) -> Self {
        Self(Wall::Simulated { start, origin: Instant::now() })
    }

    /// The wall time.
    pub fn now(&self) -> DateTime<Utc> {
        match self.0 {
            Wall::Machine(wall) => wall(),
            Wall::Simulated { start, origin } => start + origin.elapsed(),
        }
    }

    /// The instant on tokio's clock at which the wall will show `at` if nobody sets it; for times that are past, one
    /// that is past too.
    pub fn instant(&self, at: DateTime<Utc>) -> Instant {
        let (origin, start) = match self.0 {
            Wall::Machine(wall) => (Instant::now(), wall()),
            Wall::Simulated { start, origin } => (origin, start),
        };
        let until = (at - start).to_std().unwrap_or(Duration::ZERO);
        // A time beyond what an instant can hold is as good as never.
        origin.checked_add(until).unwrap_or_else(|| origin + NEVER)
    }

    /// The instant at which to look at the wall again to see whether it shows `at`.
    pub fn alarm(&self, at: DateTime<Utc>) -> Instant {
        match self.0 {
            Wall::Machine(_) => self.instant(at).min(Instant::now() + NAP),
            Wall::Simulated { .. } => self.instant(at),
        }
    }

    /// Sleeps until the wall shows `at`; returns at once if that is past.
    pub async fn sleep_until(&self, at: DateTime<Utc>) {
        while self.now() < at {
            tokio::time::sleep_until(self.alarm(at)).await;
        }
    }
}

/// Notices that the wall clock was set, or that the machine was suspended.
pub struct Drift {
    clock: Clock,
    wall: DateTime<Utc>,
    instant: Instant,
}

impl Drift {
    /// Compares with the present moment.
    pub fn new(clock: Clock) -> Self {
        Self { clock, wall: clock.now(), instant: Instant::now() }
    }

    /// By how much the wall clock went wrong since it was asked last, if that is more than clocks are adjusted by in
    /// passing.
    pub fn look(&mut self) -> Option<TimeDelta> {
        let now = Self::new(self.clock);
        let passed = TimeDelta::from_std(now.instant.duration_since(self.instant)).unwrap_or(TimeDelta::MAX);
        let drift = (now.wall - self.wall).checked_sub(&passed).unwrap_or(TimeDelta::MIN);
        *self = now;
        (drift.abs() > ADJUSTMENT).then_some(drift)
    }
}

/// Thirty years: what tokio itself takes for the far future.
const NEVER: Duration = Duration::from_secs(86_400 * 365 * 30);
/// How soon it is noticed that the machine's clock was set.
const NAP: Duration = Duration::from_secs(30);
/// What time servers change without being worth a word.
const ADJUSTMENT: TimeDelta = TimeDelta::seconds(2);

#[cfg(test)]
mod tests {
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

    thread_local! {
        static SET_BY: std::cell::Cell<i64> = const { std::cell::Cell::new(0) };
    }

    fn set_by(seconds: i64) {
        SET_BY.set(seconds);
    }

    /// A wall clock that runs with tokio's, and can be set.
    fn wall() -> DateTime<Utc> {
        thread_local! {
            static BEGAN: Instant = Instant::now();
        }
        noon() + BEGAN.with(Instant::elapsed) + TimeDelta::seconds(SET_BY.get())
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_is_followed_at_once_and_by_those_who_sleep_within_half_a_minute() {
        let clock = Clock::asking(wall);
        let mut drift = Drift::new(clock);
        let began = Instant::now();
        let sleeper = tokio::spawn(async move { clock.sleep_until(noon() + TimeDelta::hours(2)).await });
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(None, drift.look());
        // An hour of sleep, say: for tokio no time has passed.
        set_by(7200);
        assert_eq!(noon() + TimeDelta::seconds(7260), clock.now());
        assert_eq!(Some(TimeDelta::hours(2)), drift.look());
        sleeper.await.expect("no panic");
        assert!(began.elapsed() <= Duration::from_secs(90), "{:?}", began.elapsed());
        set_by(0);
        assert_eq!(noon() + began.elapsed(), clock.now(), "and back again");
        assert_eq!(Some(TimeDelta::hours(-2)), drift.look());
    }

    #[tokio::test(start_paused = true)]
    async fn a_time_beyond_all_calendars_is_no_panic() {
        let clock = Clock::starting_at(noon());
        assert!(clock.instant(DateTime::<Utc>::MAX_UTC) > clock.instant(noon()));
        assert_eq!(clock.instant(noon()), clock.instant(DateTime::<Utc>::MIN_UTC));
        let machine = Clock::system();
        assert!(machine.instant(DateTime::<Utc>::MAX_UTC) > machine.instant(DateTime::<Utc>::MIN_UTC));
    }
}
