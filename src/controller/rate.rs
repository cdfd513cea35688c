//! A token bucket: so many at once, so many a second after that. Pure; time is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// Counts by one point in time: the one up to which the bucket is spent. It may lie ahead of now by as much as
/// the burst allows.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// Time that one token takes to come back.
    interval: Duration,
    /// How far `spent` may lie ahead.
    ahead: Duration,
    spent: Instant,
}

impl Bucket {
    /// A full bucket of `burst` tokens (at least one), refilled with one token each `interval`.
    pub fn new(interval: Duration, burst: u32, now: Instant) -> Self {
        Self { interval, ahead: interval * burst.saturating_sub(1), spent: now }
    }

    /// How long it takes until there is a token.
    pub fn wait(&self, now: Instant) -> Duration {
        self.spent.saturating_duration_since(now).saturating_sub(self.ahead)
    }

    /// Takes a token if there is one.
    pub fn try_take(&mut self, now: Instant) -> bool {
        let free = self.wait(now).is_zero();
        if free {
            self.spent = self.spent.max(now) + self.interval;
        }
        free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENTH: Duration = Duration::from_millis(100);

    #[tokio::test(start_paused = true)]
    async fn a_burst_goes_at_once_and_the_rest_at_the_rate() {
        let now = Instant::now();
        let mut bucket = Bucket::new(TENTH, 3, now);
        let mut at = now;
        let mut taken_after = || {
            at += bucket.wait(at);
            assert!(bucket.try_take(at), "what was waited for is there");
            at.duration_since(now).as_millis()
        };
        assert_eq!([0, 0, 0, 100, 200], [(); 5].map(|()| taken_after()));
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_come_back_but_never_more_than_the_burst() {
        let now = Instant::now();
        let mut bucket = Bucket::new(TENTH, 2, now);
        assert_eq!([true, true, false], [(); 3].map(|()| bucket.try_take(now)));
        assert_eq!([true, false], [(); 2].map(|()| bucket.try_take(now + TENTH)));
        let much_later = now + 100 * TENTH;
        assert_eq!([true, true, false], [(); 3].map(|()| bucket.try_take(much_later)));
    }
}
