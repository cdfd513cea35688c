//! Chance by seed: how many requests arrive, how many of them fail, how long they take.

use rand::SeedableRng;
use rand_distr::{Binomial, Distribution, Poisson};
use rand_pcg::Pcg64Mcg;

/// Draws. The same seed gives the same draws in the same order.
#[derive(Clone, Debug)]
pub(super) struct Chance(Pcg64Mcg);

impl Chance {
    pub fn seeded(seed: u64) -> Self {
        Self(Pcg64Mcg::seed_from_u64(seed))
    }

    /// How many requests arrive where `mean` are to be expected.
    pub fn arrivals(&mut self, mean: f64) -> u64 {
        // There is no distribution around nothing.
        Poisson::new(mean).map_or(0, |poisson| whole(poisson.sample(&mut self.0)))
    }

    /// How many of `requests` meet with something that has the probability `share`.
    pub fn of(&mut self, requests: u64, share: f64) -> u64 {
        if requests == 0 || share <= 0.0 {
            return 0;
        }
        if share >= 1.0 {
            return requests;
        }
        Binomial::new(requests, share).map_or(0, |binomial| binomial.sample(&mut self.0))
    }

    /// In which buckets of a histogram `requests` fall, where `shares` are those up to each bound.
    pub fn spread(&mut self, requests: u64, shares: &Cumulative, into: &mut Histogram) {
        let (mut left, mut below) = (requests, 0.0);
        for (bucket, share) in into.iter_mut().zip(shares) {
            if left == 0 {
                return;
            }
            // Of those that exceed the bound before, these do not exceed this one.
            let here = if below < 1.0 { (share - below) / (1.0 - below) } else { 1.0 };
            let drawn = self.of(left, here);
            *bucket += drawn;
            left -= drawn;
            below = *share;
        }
        if let Some(last) = into.last_mut() {
            *last += left;
        }
    }
}

/// Upper bounds of a histogram's buckets in milliseconds, as Envoy's proxies have them.
pub(super) const BOUNDS: [f64; 16] = [
    0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10_000.0, 30_000.0,
    60_000.0, 300_000.0,
];
/// Requests in each bucket; the last has no bound.
pub(super) type Histogram = [u64; BOUNDS.len() + 1];
/// The share of requests that do not exceed each bound.
pub(super) type Cumulative = [f64; BOUNDS.len()];

/// The shares where 99 of 100 requests take at most `p99` milliseconds: times are log-normal, the median is a third of
/// that.
pub(super) fn cumulative(p99: f64) -> Cumulative {
    let median = p99.max(f64::MIN_POSITIVE).ln() - Z99 * SIGMA;
    BOUNDS.map(|bound| normal((bound.ln() - median) / SIGMA))
}

/// The quantile as Prometheus reads it from a histogram; nothing without requests.
pub(super) fn quantile(histogram: &Histogram, quantile: f64) -> Option<f64> {
    let all: u64 = histogram.iter().sum();
    if all == 0 {
        return None;
    }
    let rank = quantile * number(all);
    let (mut below, mut start) = (0.0, 0.0);
    for (count, bound) in histogram.iter().zip(BOUNDS) {
        let count = number(*count);
        if below + count >= rank && count > 0.0 {
            return Some(start + (bound - start) * (rank - below) / count);
        }
        below += count;
        start = bound;
    }
    Some(start)
}

/// The mean, with all requests in the middle of their buckets; nothing without requests.
pub(super) fn mean(histogram: &Histogram) -> Option<f64> {
    let all: u64 = histogram.iter().sum();
    let starts = std::iter::once(0.0).chain(BOUNDS);
    let ends = BOUNDS.into_iter().chain([BOUNDS[BOUNDS.len() - 1]]);
    let sum: f64 = histogram
        .iter()
        .zip(starts.zip(ends))
        .map(|(count, (start, end))| number(*count) * f64::midpoint(start, end))
        .sum();
    (all > 0).then(|| sum / number(all))
}

/// A count as a number to calculate with.
#[expect(clippy::cast_precision_loss, reason = "there are not 2^53 requests")]
pub(super) fn number(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is a count")]
fn whole(number: f64) -> u64 {
    number.max(0.0) as u64
}

/// The share of a normal distribution below `z` (Abramowitz and Stegun 7.1.26, exact to 10⁻⁷).
fn normal(z: f64) -> f64 {
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let series = ((((1.061_405_429 * t - 1.453_152_027) * t + 1.421_413_741) * t - 0.284_496_736) * t
        + 0.254_829_592)
        * t;
    let erf = 1.0 - series * (-x * x).exp();
    f64::midpoint(1.0, if z < 0.0 { -erf } else { erf })
}

/// Spread of the logarithms of times.
const SIGMA: f64 = 0.5;
/// The 99th percentile of the standard normal distribution.
const Z99: f64 = 2.326_347_9;

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn a_seed_gives_the_same_draws_again() {
        let draws = |seed| {
            let mut chance = Chance::seeded(seed);
            (0..20).map(|_| (chance.arrivals(50.0), chance.of(1000, 0.02))).collect::<Vec<_>>()
        };
        assert_eq!(draws(7), draws(7));
        assert_ne!(draws(7), draws(8));
    }

    #[test]
    fn draws_are_around_what_is_to_be_expected() {
        let mut chance = Chance::seeded(1);
        let arrived: u64 = (0..1000).map(|_| chance.arrivals(50.0)).sum();
        assert!((49_000..51_000).contains(&arrived), "{arrived}");
        let failed: u64 = (0..1000).map(|_| chance.of(1000, 0.02)).sum();
        assert!((19_500..20_500).contains(&failed), "{failed}");
        assert_eq!((0, 0, 9), (chance.arrivals(0.0), chance.of(9, 0.0), chance.of(9, 1.0)));
    }

    #[rstest]
    #[case(40.0, 25.0, 50.0)]
    #[case(100.0, 80.0, 130.0)]
    #[case(500.0, 400.0, 600.0)]
    #[case(1400.0, 1000.0, 2500.0)]
    fn the_99th_percentile_is_found_again(#[case] p99: f64, #[case] least: f64, #[case] most: f64) {
        let (mut chance, mut histogram) = (Chance::seeded(1), Histogram::default());
        chance.spread(1_000_000, &cumulative(p99), &mut histogram);
        assert_eq!(1_000_000, histogram.iter().sum::<u64>());
        let found = quantile(&histogram, 0.99).expect("requests");
        assert!((least..most).contains(&found), "{found}");
        assert!(mean(&histogram).expect("requests") < found);
    }

    #[test]
    fn without_requests_there_is_no_value() {
        assert_eq!((None, None), (quantile(&Histogram::default(), 0.99), mean(&Histogram::default())));
    }
}
