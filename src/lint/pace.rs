//! How a good release goes: its steps, by the code that takes them, and how long it takes at least.

use std::time::Duration;

use crate::api::duration;
use crate::model::release::{Release, Strategy};
use crate::rollout::strategy::{Advance, Position, advance};
use crate::router::registry;

/// A round of checks of a good release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The canary's share of the traffic while it is checked, in percent. An A/B test has none: its requests are chosen.
    pub share: u32,
}

/// The rounds of checks of a good release, in their order; none where there is no analysis.
pub fn steps(release: &Release) -> Vec<Step> {
    let mut steps = Vec::new();
    if release.skip_analysis {
        return steps;
    }
    let can = registry::router_of(release).map(|router| router.capabilities(release)).unwrap_or_default();
    let mut at = Position { share: 0, mirrored: false, iterations: 0 };
    while steps.len() < MOST {
        match advance(&release.analysis, &can, at) {
            Advance::Shift { split, mirror } => {
                at.share = split.canary();
                at.mirrored |= mirror;
            }
            Advance::Iterate { routes, .. } => {
                at.iterations += 1;
                if let Some((split, mirror)) = routes {
                    at.share = split.canary();
                    at.mirrored |= mirror;
                }
            }
            Advance::RouteAll => {
                at.iterations += 1;
                at.share = 100;
            }
            Advance::Promote { .. } => break,
        }
        steps.push(Step { share: at.share });
    }
    steps
}

/// How long a release takes in which every check passes, pods are ready at once and gates are open.
pub fn length(release: &Release) -> Duration {
    let steps = steps(release);
    let checks = u32::try_from(steps.len()).unwrap_or(u32::MAX);
    let share = steps.last().map_or(0, |step| step.share);
    let back = match release.analysis.step_weight_promotion {
        0 => 1,
        step => share.div_ceil(step).max(1),
    };
    release.analysis.interval.saturating_mul(checks.saturating_add(back).saturating_add(1))
}

/// The steps for people: `10, 20, 30 %`, `10 checks`.
pub fn described(release: &Release) -> String {
    let steps = steps(release);
    match &release.analysis.strategy {
        _ if release.skip_analysis => "promoted at once".to_owned(),
        Strategy::Weighted(_) => {
            let shares: Vec<String> = steps.iter().map(|step| step.share.to_string()).collect();
            match shares.as_slice() {
                many if many.len() > SHOWN => {
                    format!("{}, … {} %", many[..3].join(", "), many.last().map_or("", String::as_str))
                }
                few => format!("{} %", few.join(", ")),
            }
        }
        Strategy::BlueGreen { iterations } => {
            format!("{iterations} checks beside the primary, then all traffic")
        }
        Strategy::AbTesting { iterations } => format!("{iterations} checks with the requests that match"),
    }
}

/// A duration without the parts that are nothing: `2m`, `1h30m`.
pub fn people(time: Duration) -> String {
    let text = duration::format(time);
    let text = text.strip_suffix("m0s").map_or(text.clone(), |rest| format!("{rest}m"));
    text.strip_suffix("h0m").map_or(text.clone(), |rest| format!("{rest}h"))
}

/// The most steps that are looked at.
const MOST: usize = 1_000;

/// The most weights that are listed.
const SHOWN: usize = 12;
