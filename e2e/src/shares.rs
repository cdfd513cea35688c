//! What share of the requests the canary's pods served, and whether that is what the gateway's weights promise.

use std::sync::Arc;

use anyhow::{Result, ensure};

use crate::apps::load::{Running, Sample, Samples};
use crate::routes::{Held, Routes, View};
use std::time::Duration;

/// The share of one step may be off by this many standard deviations: one false alarm in a million.
const DEVIATIONS: f64 = 5.0;
/// The shares of all steps together may be off by this many: one false alarm in 15,000.
const ALL_DEVIATIONS: f64 = 4.0;
/// So many requests say something about a share.
const ENOUGH: usize = 150;
/// The gateway's threads take over new routes within this.
pub const TAKE_OVER: Duration = Duration::from_millis(200);

/// What a step's weight was, and what it came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    pub weight: i64,
    pub requests: usize,
    /// Those that the canary's pods answered.
    pub canary: usize,
}

impl Step {
    pub fn show(&self) -> String {
        let share = self.canary as f64 * 100.0 / self.requests.max(1) as f64;
        format!("{} % → {share:.1} % of {}", self.weight, self.requests)
    }

    fn chance(&self) -> f64 {
        self.weight as f64 / 100.0
    }

    fn expected(&self) -> f64 {
        self.requests as f64 * self.chance()
    }

    fn variance(&self) -> f64 {
        self.expected() * (1.0 - self.chance())
    }
}

/// All steps in words.
pub fn show(steps: &[Step]) -> String {
    steps.iter().map(Step::show).collect::<Vec<_>>().join(", ")
}

/// What the gateway did with a load while it held each weight. Requests that were under way when routes changed are left out.
///
/// # Errors
/// A share is further from its weight than chance allows, in one step or in all together; or the canary gave another version.
pub fn by_step(samples: &[Sample], held: &[Held], version: &str) -> Result<Vec<Step>> {
    by_step_of(samples, held, version, ENOUGH)
}

/// The same, if so many requests of a step are enough to say something.
///
/// # Errors
/// As [`by_step`].
pub fn by_step_of(samples: &[Sample], held: &[Held], version: &str, enough: usize) -> Result<Vec<Step>> {
    let steps: Vec<Step> =
        held.iter().filter(|held| held.weight() > 0).map(|held| step(samples, held)).collect();
    let strange = samples.iter().find(|sample| sample.by_canary() && sample.note != version);
    ensure!(strange.is_none(), "the canary gave another version than {version}: {strange:?}");
    for step in &steps {
        ensure!(step.requests >= enough, "only {} requests at a weight of {}", step.requests, step.weight);
        let off = (step.canary as f64 - step.expected()).abs();
        ensure!(
            off <= DEVIATIONS * step.variance().sqrt(),
            "the canary's share is off by {off:.0} requests: {} (one deviation is {:.1} requests)",
            step.show(),
            step.variance().sqrt()
        );
    }
    let sum = |of: fn(&Step) -> f64| steps.iter().map(of).sum::<f64>();
    let off = sum(|step| step.canary as f64 - step.expected()).abs();
    let deviation = sum(Step::variance).sqrt();
    ensure!(
        off <= ALL_DEVIATIONS * deviation,
        "over all steps the canary's share is off by {off:.0} requests (one deviation is {deviation:.1}): {}",
        show(&steps)
    );
    Ok(steps)
}

fn step(samples: &[Sample], held: &Held) -> Step {
    let inside = samples.iter().filter(|sample| is_inside(sample, held));
    let (mut requests, mut canary) = (0, 0);
    for sample in inside {
        requests += 1;
        canary += usize::from(sample.by_canary());
    }
    Step { weight: held.weight(), requests, canary }
}

fn is_inside(sample: &Sample, held: &Held) -> bool {
    !sample.pod.is_empty() && sample.sent > held.first + TAKE_OVER && sample.done < held.last
}

/// Tells whether the step that a release has come to has seen enough requests to be judged by.
#[derive(Clone)]
pub struct Judge {
    samples: Vec<Samples>,
    routes: View,
    fits: Arc<dyn Fn(&Sample) -> bool + Send + Sync>,
}

impl Judge {
    /// Of those requests of these users that fit.
    pub fn new<'a>(
        users: impl IntoIterator<Item = &'a Running>,
        routes: &Routes,
        fits: impl Fn(&Sample) -> bool + Send + Sync + 'static,
    ) -> Judge {
        let samples = users.into_iter().map(Running::samples).collect();
        Judge { samples, routes: routes.view(), fits: Arc::new(fits) }
    }

    /// Whether the gateway holds this weight and has held it for enough requests; true of no weight at all.
    pub fn has_enough(&self, weight: i64) -> bool {
        if weight == 0 {
            return true;
        }
        let Some(held) = self.routes.so_far().pop() else { return false };
        let fits = |sample: &Sample| is_inside(sample, &held) && (self.fits)(sample);
        held.weight() == weight
            && self.samples.iter().map(|samples| samples.count(fits)).sum::<usize>() >= ENOUGH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(new: usize, old: usize) -> Vec<Sample> {
        let seconds = Duration::from_secs;
        let sample = |pod: &str, note: &str| Sample {
            sent: seconds(5),
            done: seconds(5),
            status: 200,
            note: note.into(),
            pod: pod.into(),
            ..Sample::default()
        };
        let canary = (0..new).map(|_| sample("frontend-abc-1", "1.1.0"));
        // After the promotion the primary has the new version too, and is still no canary.
        canary.chain((0..old).map(|n| sample("frontend-primary-abc-1", ["1.0.0", "1.1.0"][n % 2]))).collect()
    }

    fn held(weight: i64) -> Held {
        Held { weights: vec![weight], first: Duration::from_secs(1), last: Duration::from_secs(9) }
    }

    #[test]
    fn a_share_near_its_weight_passes_and_one_far_off_does_not() {
        let steps = by_step(&samples(105, 895), &[held(0), held(10)], "1.1.0").expect("near");
        assert_eq!(steps, [Step { weight: 10, requests: 1000, canary: 105 }]);
        assert!(by_step(&samples(160, 840), &[held(10)], "1.1.0").is_err());
        assert!(by_step(&samples(105, 895), &[held(10)], "1.2.0").is_err(), "another version");
        assert!(by_step(&samples(5, 45), &[held(10)], "1.1.0").is_err(), "too few to say anything");
    }

    #[test]
    fn steps_that_are_all_off_by_a_little_are_off() {
        let off = samples(136, 864);
        assert!(by_step(&off, &[held(10)], "1.1.0").is_ok(), "by chance, once in 6,000");
        assert!(by_step(&off, &[held(10), held(10)], "1.1.0").is_err());
    }
}
