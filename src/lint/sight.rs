//! What the checks of a release can see at a given traffic: how small a regression, and with which probability.

use super::book::Book;
use super::chance::{allowed, promoted, smallest_seen};
use super::code::Code;
use super::pace;
use crate::api::analysis::MetricSeverity;
use crate::api::duration;
use crate::model::release::{MetricCheck, MetricSource, Release, Strategy};

/// What a step can see.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepSight {
    /// The canary's share, in percent.
    pub share: u32,
    /// The requests that the check looks at.
    pub requests: u64,
    /// How many of them may fail.
    pub allowed: u64,
    /// The smallest error rate, in percent, that the check fails for four times out of five.
    pub seen: f64,
}

/// What the check of the success rate can see in a release.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sight {
    /// The lowest success rate that passes, in percent.
    pub min: f64,
    /// Each step.
    pub steps: Vec<StepSight>,
    /// For some error rates, in percent, the probability in percent that such a version is promoted.
    pub promoted: Vec<(f64, f64)>,
}

/// What `release` sees at `rps` requests a second; `None` for one without a success rate or without shares.
pub fn of(release: &Release, rps: f64) -> Option<Sight> {
    let check = release.analysis.metrics.iter().find(|check| counts(check))?;
    let min = check.min?;
    let window = duration::parse(&check.interval).ok()?.as_secs_f64();
    if !matches!(release.analysis.strategy, Strategy::Weighted(_)) {
        return None;
    }
    let requests = |share: u32| {
        let requests = (rps * window * f64::from(share) / 100.0).floor().clamp(0.0, MOST);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        {
            requests as u64
        }
    };
    let mut steps: Vec<StepSight> = Vec::new();
    for step in pace::steps(release).iter().filter(|step| step.share > 0) {
        let n = requests(step.share);
        let seen = match steps.last() {
            Some(last) if last.requests == n => last.seen,
            _ if n == 0 => 100.0,
            _ => smallest_seen(n, min, WANTED) * 100.0,
        };
        steps.push(StepSight { share: step.share, requests: n, allowed: allowed(n, min), seen });
    }
    if steps.is_empty() {
        return None;
    }
    let counts: Vec<u64> = steps.iter().map(|step| step.requests).collect();
    let threshold = u32::try_from(release.analysis.threshold).unwrap_or(u32::MAX);
    let bound = 100.0 - min;
    let promoted = [bound / 2.0, bound, bound * 2.0, bound * 5.0, bound * 10.0]
        .into_iter()
        .filter(|rate| *rate > 0.0 && *rate <= 100.0)
        .map(|rate| (rate, promoted(&counts, min, threshold, rate / 100.0) * 100.0))
        .collect();
    Some(Sight { min, steps, promoted })
}

/// Writes down which steps see too little.
pub fn check(sight: &Sight, release: &Release, rps: f64, book: &mut Book<'_>) {
    let Some(check) = release.analysis.metrics.iter().find(|check| counts(check)) else { return };
    let window = &check.interval;
    let few: Vec<&StepSight> = sight.steps.iter().filter(|step| step.requests < FEW).collect();
    if let Some(first) = few.first() {
        let sentence = format!(
            "at {rps} requests a second the canary gets {} in {window} at {} %, {}: write a longer interval or a larger \
             first step",
            many(first.requests),
            first.share,
            match (first.requests, first.allowed) {
                (0, _) => "so that the check has no data",
                (_, 0) => "where a single failure fails the check",
                _ => "which says little",
            }
        );
        book.say(Code::FewRequests, &format!("{}.interval", check.field), &sentence);
        return;
    }
    let bound = 100.0 - sight.min;
    let blind = sight.steps.iter().find(|step| bound > 0.0 && step.seen > bound * 5.0 && step.seen > 5.0);
    if let Some(step) = blind {
        let sentence = format!(
            "at {rps} requests a second the check sees {} at {} %, and notices four times out of five only an error rate of \
             {:.0} % and more: write a longer interval or a larger step",
            many(step.requests),
            step.share,
            step.seen
        );
        book.say(Code::BlindStep, &format!("{}.interval", check.field), &sentence);
    }
}

fn many(requests: u64) -> String {
    match requests {
        0 => "no request".to_owned(),
        1 => "1 request".to_owned(),
        n => format!("{n} requests"),
    }
}

fn counts(check: &MetricCheck) -> bool {
    check.source == MetricSource::SuccessRate
        && check.min.is_some()
        && !check.rules.dry_run
        && check.rules.severity != MetricSeverity::Warn
}

/// With which probability a regression has to be noticed to be called seen.
const WANTED: f64 = 0.8;

/// With fewer requests one that fails by chance decides.
const FEW: u64 = 10;

/// Beyond this number a check sees its bound as exactly as anybody needs.
const MOST: f64 = 20_000.0;
