//! Many releases under one scenario: how probable its ends are, how long they take and how many users they hurt.

use std::num::NonZero;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Serialize;

use super::chance::number;
use super::outcome::{Outcome, Verdict};
use super::plan::Plan;
use super::run::run;
use super::scenario::Scenario;

/// What many releases of one Canary came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Study {
    /// `name.namespace` of the Canary.
    pub canary: String,
    /// How many of them were promoted.
    pub promoted: u64,
    /// How many were rolled back.
    pub rolled_back: u64,
    /// How many had not ended when the time was over.
    pub unfinished: u64,
    /// Seconds until the end, in rising order.
    pub seconds: Vec<f64>,
    /// Users' requests that were hurt, in rising order.
    pub hurt: Vec<f64>,
}

/// What is sure about a number: with 95 of 100 it lies between the two.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// What was found.
    pub value: f64,
    /// The lower bound.
    pub low: f64,
    /// The upper bound.
    pub high: f64,
}

impl Study {
    /// How many releases there were.
    pub fn runs(&self) -> u64 {
        self.promoted + self.rolled_back + self.unfinished
    }

    /// How many of them had this end, as a share.
    pub fn share(&self, verdict: Verdict) -> Interval {
        let count = match verdict {
            Verdict::Promoted => self.promoted,
            Verdict::RolledBack => self.rolled_back,
            Verdict::Unfinished => self.unfinished,
        };
        wilson(count, self.runs())
    }

    /// Collects the outcomes of one Canary.
    fn of(canary: &str, outcomes: &[&Outcome]) -> Self {
        let count = |verdict| outcomes.iter().filter(|outcome| outcome.verdict == verdict).count() as u64;
        let sorted = |value: &dyn Fn(&Outcome) -> f64| {
            let mut values: Vec<f64> = outcomes.iter().map(|outcome| value(outcome)).collect();
            values.sort_by(f64::total_cmp);
            values
        };
        Self {
            canary: canary.to_owned(),
            promoted: count(Verdict::Promoted),
            rolled_back: count(Verdict::RolledBack),
            unfinished: count(Verdict::Unfinished),
            seconds: sorted(&|outcome| outcome.seconds),
            hurt: sorted(&|outcome| number(outcome.requests.hurt)),
        }
    }
}

/// The confidence interval of a share (Wilson, 95 %): it is right for few runs and at the ends, too.
pub fn wilson(hits: u64, of: u64) -> Interval {
    if of == 0 {
        return Interval { value: 0.0, low: 0.0, high: 1.0 };
    }
    let (share, runs) = (number(hits) / number(of), number(of));
    let centre = share + Z * Z / (2.0 * runs);
    let spread = Z * (share * (1.0 - share) / runs + Z * Z / (4.0 * runs * runs)).sqrt();
    let scale = 1.0 + Z * Z / runs;
    let low = if hits == 0 { 0.0 } else { (centre - spread) / scale };
    let high = if hits == of { 1.0 } else { (centre + spread) / scale };
    Interval { value: share, low, high }
}

/// A quantile of values in rising order, with the confidence interval that their order gives (95 %).
pub fn quantile(values: &[f64], quantile: f64) -> Interval {
    let Some((first, last)) = values.first().zip(values.last()) else {
        return Interval { value: 0.0, low: f64::NEG_INFINITY, high: f64::INFINITY };
    };
    let runs = number(values.len() as u64);
    let spread = Z * (runs * quantile * (1.0 - quantile)).sqrt();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is checked to be an index"
    )]
    let at = |rank: f64| values.get(rank.max(0.0) as usize).copied();
    let rank = runs * quantile;
    let (low, high) = ((rank - spread).floor(), (rank + spread).ceil());
    // Beyond the first and the last nothing is known, unless all are the same.
    let same = first.total_cmp(last).is_eq();
    let beyond = |value: Option<f64>, otherwise: f64| {
        value.unwrap_or(if same && runs >= FEW { *last } else { otherwise })
    };
    Interval {
        value: at((rank - 0.5).floor()).unwrap_or(*last),
        low: beyond(at(low).filter(|_| low >= 1.0), f64::NEG_INFINITY),
        high: beyond(at(high), f64::INFINITY),
    }
}

/// What became of the Canaries in one run.
type Run = Result<Vec<Outcome>, String>;

/// Simulates `count` releases, on all processors. The outcomes do not depend on how many those are.
///
/// # Errors
/// If the Canaries do not come up.
pub fn runs(plan: &Plan, scenario: &Scenario, seed: u64, count: usize) -> Result<Vec<Vec<Outcome>>, String> {
    let next = AtomicUsize::new(0);
    let found: Mutex<Vec<Option<Run>>> = Mutex::new(vec![None; count]);
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(count.max(1));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        return;
                    }
                    let outcome = run(plan, scenario, seed.wrapping_add(index as u64));
                    let failed = outcome.is_err();
                    found.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(outcome);
                    if failed {
                        // The others would fail as well.
                        next.store(count, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.into_iter().flatten().collect()
}

/// Simulates many releases and counts what they came to: a study for each Canary, in the order of the plan.
///
/// # Errors
/// As [`runs`].
pub fn study(plan: &Plan, scenario: &Scenario, seed: u64, count: usize) -> Result<Vec<Study>, String> {
    let all = runs(plan, scenario, seed, count)?;
    let of = |(index, subject): (usize, &super::plan::Subject)| {
        let own: Vec<&Outcome> = all.iter().filter_map(|outcomes| outcomes.get(index)).collect();
        Study::of(&subject.title(), &own)
    };
    Ok(plan.subjects.iter().enumerate().map(of).collect())
}

/// Of the normal distribution, for 95 of 100.
const Z: f64 = 1.959_964;
/// From so many equal values on, the next one is taken to be equal as well.
const FEW: f64 = 20.0;

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(0, 1000, 0.0, 0.003_827)]
    #[case(1000, 1000, 0.996_173, 1.0)]
    #[case(5, 10, 0.236_593, 0.763_407)]
    #[case(1, 1, 0.206_543, 1.0)]
    #[case(0, 0, 0.0, 1.0)]
    fn the_interval_of_wilson(#[case] hits: u64, #[case] of: u64, #[case] low: f64, #[case] high: f64) {
        let found = wilson(hits, of);
        assert!((found.low - low).abs() < 1e-4 && (found.high - high).abs() < 1e-4, "{found:?}");
    }

    #[test]
    fn a_quantile_is_known_from_the_order_of_the_values() {
        let values: Vec<f64> = (1..=1000_u32).map(f64::from).collect();
        let median = quantile(&values, 0.5);
        assert!((median.value - 500.0).abs() < 1.5, "{median:?}");
        assert!(median.low > 460.0 && median.high < 540.0, "{median:?}");
        let few = quantile(&values[..3], 0.95);
        assert_eq!((f64::INFINITY, 3.0), (few.high, few.value));
        let same = quantile(&[7.0; 400], 0.95);
        assert_eq!((7.0, 7.0, 7.0), (same.low, same.value, same.high));
    }
}
