//! How long to leave a thing alone that failed: longer each time, up to a cap, and not at all once it succeeded.
//! Pure, and without jitter, so that a simulated history replays exactly.

use std::collections::BTreeMap;
use std::time::Duration;

/// Counts failures by key.
#[derive(Clone, Debug)]
pub struct Backoff<K> {
    first: Duration,
    cap: Duration,
    failures: BTreeMap<K, u32>,
}

impl<K: Ord> Backoff<K> {
    /// Waits `first` after the first failure, twice as long after each further one, never longer than `cap`.
    pub fn new(first: Duration, cap: Duration) -> Self {
        Self { first, cap, failures: BTreeMap::new() }
    }

    /// Notes a failure of `key`; answers how long to wait before the next try.
    pub fn failed(&mut self, key: K) -> Duration {
        let failures = self.failures.entry(key).or_default();
        *failures = failures.saturating_add(1);
        delay(self.first, self.cap, *failures)
    }

    /// Forgets the failures of `key`: it succeeded, or is gone.
    pub fn succeeded(&mut self, key: &K) {
        self.failures.remove(key);
    }

    /// Failures of `key` since its last success.
    pub fn failures(&self, key: &K) -> u32 {
        self.failures.get(key).copied().unwrap_or_default()
    }
}

/// The wait after the given number of failures in a row: `first` doubled each time, at most `cap`.
pub fn delay(first: Duration, cap: Duration, failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(31);
    first.saturating_mul(1 << doublings).min(cap)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn each_failure_doubles_the_wait_up_to_the_cap() {
        let mut backoff = Backoff::new(SECOND, 10 * SECOND);
        let waits: Vec<u64> = (0..6).map(|_| backoff.failed("shop/frontend").as_secs()).collect();
        assert_eq!(vec![1, 2, 4, 8, 10, 10], waits);
        assert_eq!(6, backoff.failures(&"shop/frontend"));
    }

    #[test]
    fn success_starts_over_and_keys_do_not_mix() {
        let mut backoff = Backoff::new(SECOND, 10 * SECOND);
        backoff.failed("a");
        backoff.failed("a");
        assert_eq!(SECOND, backoff.failed("b"));
        backoff.succeeded(&"a");
        assert_eq!(SECOND, backoff.failed("a"));
    }

    #[test]
    fn a_million_failures_do_not_overflow() {
        assert_eq!(10 * SECOND, delay(SECOND, 10 * SECOND, u32::MAX));
        assert_eq!(Duration::MAX, delay(Duration::MAX, Duration::MAX, 1_000_000));
    }
}
