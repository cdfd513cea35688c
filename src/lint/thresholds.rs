//! Bounds that cannot do what they are for, and windows that do not fit the steps.

use std::time::Duration;

use super::book::Book;
use super::code::{Code, Severity};
use super::pace::{self, people};
use crate::api::analysis::MetricSeverity;
use crate::api::duration;
use crate::api::hooks::HookType;
use crate::api::number::shortest;
use crate::model::release::{MetricCheck, MetricSource, Release};

/// Writes down what is odd about the checks of `release`.
pub fn check(release: &Release, book: &mut Book<'_>) {
    let path = book.analysis();
    let written = &release.analysis;
    if release.suspend {
        book.say(
            Code::Suspended,
            "spec.suspend",
            "nothing is released while it is true: remove it when it is no longer needed",
        );
    }
    if release.skip_analysis {
        if book.analysis_is_written() {
            let sentence =
                "revisions are promoted without being analysed: remove it when it is no longer needed";
            book.say(Code::NotAnalysed, "spec.skipAnalysis", sentence);
        }
        return;
    }
    let judged = || written.metrics.iter().filter(|check| !check.rules.counts_samples);
    let hooks_judge =
        written.hooks.iter().any(|hook| !matches!(hook.kind, HookType::Event | HookType::PostRollout));
    let toothless = |check: &MetricCheck| check.rules.dry_run || check.rules.severity == MetricSeverity::Warn;
    if judged().next().is_none() && !hooks_judge {
        let sentence = "checks nothing, so that every version is promoted whose pods get ready: add metrics, or a webhook that tests the canary";
        book.say(Code::Unchecked, path, sentence);
    } else if judged().next().is_some() && judged().all(toothless) && !hooks_judge {
        let sentence =
            "no check can fail a release: leave dryRun or severity: warn out of at least one metric";
        book.say(Code::Toothless, &format!("{path}.metrics"), sentence);
    }
    let mut known: Vec<&MetricCheck> = Vec::new();
    for check in judged() {
        bounds(check, book);
        window(release, check, book);
        limits(release, check, book);
        let same = |other: &&&MetricCheck| {
            let (a, b) = (&***other, check);
            a.field != b.field
                && a.source == b.source
                && a.variables == b.variables
                && a.interval == b.interval
                && a.min == b.min
                && a.max == b.max
        };
        if let Some(other) = known.iter().find(same)
            && check.source != MetricSource::Unusable
        {
            let sentence = format!("is the same check as {}: remove one of the two", other.field);
            book.say(Code::SameCheck, &check.field, &sentence);
        }
        known.push(check);
    }
    for hook in written.hooks.iter().filter(|hook| hook.kind == HookType::Rollout) {
        let attempts = hook.retries.saturating_add(1);
        let longest = hook.timeout.saturating_mul(attempts);
        if longest > written.interval {
            let sentence = format!(
                "webhook {} may take {} at each step, which is longer than the interval of {}: write a shorter timeout, or \
                 fewer retries",
                hook.name,
                people(longest),
                people(written.interval)
            );
            book.say(Code::SlowHook, &format!("{path}.webhooks"), &sentence);
        }
    }
    late_rollback(release, book);
}

fn bounds(check: &MetricCheck, book: &mut Book<'_>) {
    let written = ["thresholdRange", "threshold"].map(|name| format!("{}.{name}", check.field));
    // The controller warns of one without a bound.
    let Some(field) = written.into_iter().find(|field| book.exists(field)) else { return };
    if check.min.is_none() && check.max.is_none() {
        return;
    }
    let show = shortest;
    match check.source {
        MetricSource::SuccessRate => match (check.min, check.max) {
            (Some(min), _) if min > 100.0 => {
                let sentence = format!(
                    "no success rate reaches {} per cent, so that every check fails: write 100 or less",
                    show(min)
                );
                book.say(Code::NeverPasses, &format!("{field}{}", side(&field, "min")), &sentence);
            }
            (_, Some(max)) if max < 0.0 => {
                let sentence = format!(
                    "no success rate is as low as {}, so that every check fails: write min",
                    show(max)
                );
                book.say(Code::NeverPasses, &format!("{field}{}", side(&field, "max")), &sentence);
            }
            (None | Some(..=0.0), Some(max)) if max < 100.0 => {
                let sentence = format!(
                    "fails when more than {} per cent of the requests succeed: write min for the least success rate",
                    show(max)
                );
                book.say(Code::WrongSide, &format!("{field}{}", side(&field, "max")), &sentence);
            }
            (None | Some(..=0.0), _) => {
                let sentence =
                    "every success rate passes, since none is under 0 or over 100: write min, 99 for example";
                let at = written_side(&field, book);
                book.say(Code::NeverFails, &at, sentence);
            }
            (Some(min), _) if min > 0.0 && min <= 1.0 => {
                let sentence = format!(
                    "a success rate is in per cent, so that {} lets nearly everything pass: write {}",
                    show(min),
                    show(min * 100.0)
                );
                book.say(Code::NeverFails, &format!("{field}{}", side(&field, "min")), &sentence);
            }
            _ => {}
        },
        MetricSource::Duration => match (check.min, check.max) {
            (_, Some(max)) if max <= 0.0 => {
                let sentence = format!(
                    "no request takes {} milliseconds or less, so that every check fails: write more",
                    show(max)
                );
                book.say(Code::NeverPasses, &format!("{field}{}", side(&field, "max")), &sentence);
            }
            (Some(min), None) if min > 0.0 => {
                let sentence = format!(
                    "fails when requests take less than {} milliseconds: write max for the longest duration",
                    show(min)
                );
                book.say(Code::WrongSide, &format!("{field}{}", side(&field, "min")), &sentence);
            }
            (Some(_), None) => {
                let at = written_side(&field, book);
                book.say(
                    Code::NeverFails,
                    &at,
                    "every duration passes: write max, 500 for example, in milliseconds",
                );
            }
            _ => {}
        },
        _ => {}
    }
}

/// The bound that is written, the lower one first.
fn written_side(field: &str, book: &Book<'_>) -> String {
    let sides = ["min", "max"].map(|side| format!("{field}.{side}"));
    sides.into_iter().find(|side| book.exists(side)).unwrap_or_else(|| field.to_owned())
}

/// Where the bound stands; the old form has no sides.
fn side(field: &str, side: &str) -> String {
    if field.ends_with(".threshold") { String::new() } else { format!(".{side}") }
}

fn window(release: &Release, check: &MetricCheck, book: &mut Book<'_>) {
    let Ok(window) = duration::parse(&check.interval) else { return };
    let interval = release.analysis.interval;
    let field = format!("{}.interval", check.field);
    let shown = people;
    let rate = matches!(check.source, MetricSource::SuccessRate | MetricSource::Duration);
    if rate && window < SHORTEST_RATE {
        let sentence = format!(
            "a rate over {} has no value where metrics are scraped every {} or less often: write 1m",
            shown(window),
            shown(window)
        );
        book.say(Code::NoSamples, &field, &sentence);
    }
    if window > interval.saturating_mul(4) {
        let severity = if window > interval.saturating_mul(10) { Severity::Warning } else { Severity::Note };
        let sentence = format!(
            "looks back {}, over {} steps of {}: a step that goes wrong is seen late: write an interval near that of the \
             analysis",
            shown(window),
            window.as_secs() / interval.as_secs().max(1),
            shown(interval)
        );
        book.say_as(Code::LongWindow, severity, &field, &sentence);
    }
    if !window.is_zero() && window.saturating_mul(4) < interval && check.source != MetricSource::Unusable {
        let severity = if window.saturating_mul(10) < interval { Severity::Warning } else { Severity::Note };
        let sentence = format!(
            "looks at the last {} of each step of {}, so that what goes wrong before is not seen: write {}",
            shown(window),
            shown(interval),
            shown(interval)
        );
        book.say_as(Code::ShortWindow, severity, &field, &sentence);
    }
}

fn limits(release: &Release, check: &MetricCheck, book: &mut Book<'_>) {
    let threshold = release.analysis.threshold;
    let rules = &check.rules;
    let without = rules.dry_run || rules.severity == MetricSeverity::Warn;
    if let Some(limit) = rules.failure_limit.filter(|limit| i64::from(*limit) > threshold && !without) {
        let sentence = format!(
            "{limit} failed checks of this metric are never reached, since {threshold} of all metrics end the release: write \
             less than threshold"
        );
        book.say(Code::LimitTooHigh, &format!("{}.failureLimit", check.field), &sentence);
    }
}

/// A bad version is held at a step, not taken back, until `threshold` checks have failed.
fn late_rollback(release: &Release, book: &mut Book<'_>) {
    let checks = pace::steps(release).len();
    let plan = &release.analysis;
    let Ok(threshold) = u32::try_from(plan.threshold) else { return };
    let late = plan.interval.saturating_mul(threshold);
    let good = pace::length(release);
    if checks > 0 && late > good.saturating_mul(4) && late >= LATE {
        let sentence = format!(
            "a bad version is taken back after {threshold} failed checks, {} later, while a good release takes {}: write a \
             smaller number",
            people(late),
            people(good)
        );
        book.say(Code::LateRollback, &format!("{}.threshold", book.analysis()), &sentence);
    }
}

/// The shortest window in which there are two samples almost everywhere.
const SHORTEST_RATE: Duration = Duration::from_secs(30);

/// The shortest time that a bad version stays that is worth a word.
const LATE: Duration = Duration::from_secs(30 * 60);
