//! What share of the requests a version served, and whether that is what the gateway's weights promise.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::time::Instant;

use crate::apps::load::{Sample, Summary};
use crate::routes::Held;
use crate::shop::Shop;

/// A share may be off by this many standard deviations: one false alarm in 15,000 steps.
const DEVIATIONS: f64 = 4.0;
/// The gateway's threads take over new routes within this.
pub const TAKE_OVER: Duration = Duration::from_millis(200);
/// The primary changes a moment before its Canary is seen to be promoting.
const BEFORE_PROMOTION: Duration = Duration::from_secs(2);

/// Until when the primary surely had the old version: from the promotion on shares say nothing any more.
pub fn promotion(shop: &Shop, start: Instant) -> Result<Duration> {
    let promoting = shop.first_seen("Promoting").context("it was never promoting")?;
    Ok(promoting.duration_since(start).saturating_sub(BEFORE_PROMOTION))
}

/// What a step's weight was, and what it came to.
pub struct Step {
    pub weight: i64,
    pub requests: usize,
    pub share: f64,
}

impl Step {
    pub fn show(&self) -> String {
        format!("{} % → {:.1} % of {}", self.weight, self.share, self.requests)
    }
}

/// # Errors
/// A step's share is further from its weight than chance allows.
pub fn by_step(samples: &[Sample], held: &[Held], end: Duration, version: &str) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    for held in held.iter().filter(|held| held.weight() > 0) {
        let (weight, since, until) = (held.weight(), held.first + TAKE_OVER, end.min(held.last));
        let inside = |sample: &&Sample| sample.sent > since && sample.done < until;
        let summary = Summary::of(samples.iter().filter(inside));
        let step = Step { weight, requests: summary.requests, share: summary.share(version) };
        let p = weight as f64 / 100.0;
        let deviation = 100.0 * (p * (1.0 - p) / (step.requests.max(1) as f64)).sqrt();
        ensure!(step.requests >= 100, "only {} requests at a weight of {weight}", step.requests);
        ensure!(
            (step.share - weight as f64).abs() <= DEVIATIONS * deviation,
            "at a weight of {weight} the new version served {:.2} % of {} requests (one deviation is {deviation:.2} %)",
            step.share,
            step.requests
        );
        steps.push(step);
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(new: usize, old: usize) -> Vec<Sample> {
        (0..new + old)
            .map(|n| Sample {
                sent: Duration::from_secs(5),
                done: Duration::from_secs(5),
                status: 200,
                note: if n < new { "1.1.0".into() } else { "1.0.0".into() },
                ..Sample::default()
            })
            .collect()
    }

    #[test]
    fn a_share_near_its_weight_passes_and_one_far_off_does_not() {
        let held = [Held { weights: vec![10], first: Duration::from_secs(1), last: Duration::from_secs(9) }];
        assert!(by_step(&samples(105, 895), &held, Duration::MAX, "1.1.0").is_ok());
        assert!(by_step(&samples(160, 840), &held, Duration::MAX, "1.1.0").is_err());
    }
}
