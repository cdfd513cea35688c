//! What a check of a success rate can see: a step gives the canary so many requests, each fails or does not, and the
//! check fails if more fail than its bound allows. That is a binomial distribution.

/// The probability that at most `k` of `n` requests fail when each fails with probability `p`.
pub fn at_most(k: u64, n: u64, p: f64) -> f64 {
    if k >= n || p <= 0.0 {
        return 1.0;
    }
    if p >= 1.0 {
        return 0.0;
    }
    // The terms in logarithms: their factors are far too small and too large for a number.
    let (log_p, log_q) = (p.ln(), (-p).ln_1p());
    let mut log_term = n as f64 * log_q;
    let mut sum = 0.0;
    for i in 0..=k {
        sum += log_term.exp();
        log_term += ((n - i) as f64 / (i + 1) as f64).ln() + log_p - log_q;
    }
    sum.min(1.0)
}

/// How many of `n` requests may fail so that the success rate in percent is not under `min`.
pub fn allowed(n: u64, min: f64) -> u64 {
    let share = ((100.0 - min) / 100.0).clamp(0.0, 1.0);
    // What is a hair under a whole number is that number: 1 - 0.99 is not 0.01 in binary.
    let allowed = (n as f64 * share + 1e-9).floor();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    {
        allowed.max(0.0) as u64
    }
}

/// The smallest share of failing requests, between 0 and 1, that a check of `n` requests fails for with a probability of
/// at least `wanted`.
pub fn smallest_seen(n: u64, min: f64, wanted: f64) -> f64 {
    let k = allowed(n, min);
    if k >= n {
        return 1.0;
    }
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..50 {
        let middle = f64::midpoint(low, high);
        if 1.0 - at_most(k, n, middle) >= wanted {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}

/// The probability that a version of which the share `p` of requests fails is promoted. `requests` are those of the
/// checks, one after the other; a check that fails is repeated, and `threshold` failed ones end the release.
pub fn promoted(requests: &[u64], min: f64, threshold: u32, p: f64) -> f64 {
    let threshold = usize::try_from(threshold).unwrap_or(MOST_FAILURES).min(MOST_FAILURES);
    // The probability of having come to this check with so many failed ones.
    let mut with_failures = vec![0.0; threshold];
    if let Some(none) = with_failures.first_mut() {
        *none = 1.0;
    }
    for n in requests {
        let passes = at_most(allowed(*n, min), *n, p);
        let mut next = vec![0.0; threshold];
        let mut coming = 0.0;
        for (failures, here) in with_failures.iter().enumerate() {
            // Those who come here for the first time, and those whose check has just failed.
            coming = here + coming * (1.0 - passes);
            next[failures] = coming * passes;
        }
        with_failures = next;
    }
    with_failures.iter().sum::<f64>().clamp(0.0, 1.0)
}

/// More failed checks than anybody waits for.
const MOST_FAILURES: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn near(value: f64, expected: f64) {
        assert!((value - expected).abs() < 1e-4, "{value} is not {expected}");
    }

    #[test]
    fn the_distribution_is_the_binomial_one() {
        near(at_most(0, 10, 0.1), 0.34868);
        near(at_most(2, 10, 0.1), 0.92981);
        near(at_most(5, 10, 0.5), 0.62305);
        near(at_most(60, 6000, 0.01), 0.534_2);
        near(at_most(10, 10, 0.9), 1.0);
        near(at_most(0, 1, 1.0), 0.0);
    }

    #[test]
    fn a_bound_allows_whole_requests() {
        assert_eq!(
            [allowed(100, 99.0), allowed(99, 99.0), allowed(1000, 99.5), allowed(10, 100.0)],
            [1, 0, 5, 0]
        );
        assert_eq!([allowed(10, 0.0), allowed(10, -5.0), allowed(0, 99.0)], [10, 10, 0]);
    }

    #[test]
    fn more_requests_show_smaller_regressions() {
        near(smallest_seen(1, 99.0, 0.8), 0.8);
        near(smallest_seen(60, 99.0, 0.8), 0.02647);
        assert!(smallest_seen(6000, 99.0, 0.8) < 0.0115);
        near(smallest_seen(10, 0.0, 0.8), 1.0);
    }

    #[test]
    fn a_release_is_promoted_if_its_checks_pass_before_too_many_have_failed() {
        let passes = at_most(allowed(60, 99.0), 60, 0.02);
        near(promoted(&[60], 99.0, 1, 0.02), passes);
        near(promoted(&[60], 99.0, 2, 0.02), passes + (1.0 - passes) * passes);
        near(promoted(&[60, 60], 99.0, 1, 0.02), passes * passes);
        let twice = passes * passes;
        near(promoted(&[60, 60], 99.0, 2, 0.02), twice + 2.0 * twice * (1.0 - passes));
        near(promoted(&[60, 600], 99.0, 5, 0.0), 1.0);
        near(promoted(&[60, 600], 99.0, 5, 1.0), 0.0);
    }
}
