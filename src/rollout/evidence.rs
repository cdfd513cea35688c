//! What the rules of a metric make of its verdict: severity, dry runs, limits of its own, and samples that have to be
//! there first. All of them are additive; without any a check is judged as ever. What has to be counted from step to step
//! is kept in the status, with the measurement.

use chrono::{SubsecRound, TimeDelta};
use serde::Serialize;

use crate::api::Phase;
use crate::api::analysis::MetricSeverity;
use crate::api::duration;
use crate::api::number::shortest;
use crate::api::status::{Blocker, Measurement};
use crate::model::answer::{Measured, excerpt};
use crate::model::release::{MetricCheck, MetricRules, Samples};

use super::analysis::{Judgement, judge_one};
use super::flow::{Flow, end};
use super::question::{Answer, Ask};
use super::snapshot::Snapshot;
use super::step::{Event, Step};
use super::{blockers, gates, messages};

/// The result of all checks of a step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Judged {
    /// The verdict on all checks together.
    pub judgement: Judgement,
    /// Why a check ends the release, if one does.
    pub ends: Option<String>,
    /// One event for each check that did not pass.
    pub events: Vec<Event>,
    /// The measurements, for the status.
    pub measurements: Vec<Measurement>,
    /// The checks that did not pass, for the status.
    pub unmet: Vec<Blocker>,
}

/// Measures and judges all metrics of the step.
pub(super) fn judge(world: &Snapshot) -> Flow<Judged> {
    let checks = &world.release.analysis.metrics;
    let mut answers = Vec::with_capacity(checks.len());
    let mut open = Vec::new();
    for (index, check) in checks.iter().enumerate() {
        let question = gates::question(world, Ask::Metric { index });
        match world.answers.get(&question) {
            Some(Answer::Metric(measured)) => answers.push((check, measured)),
            _ => open.push(question),
        }
    }
    if !open.is_empty() {
        return end(Step::Ask(open));
    }
    let mut judged = Judged {
        judgement: Judgement::Passed,
        ends: None,
        events: Vec::new(),
        measurements: Vec::new(),
        unmet: Vec::new(),
    };
    let mut samples = None;
    for (check, measured) in answers {
        if check.rules.counts_samples {
            samples = Some(measured);
            continue;
        }
        let nth = judged.measurements.iter().filter(|one| one.name == check.name).count();
        let known = world.status.measurements.iter().filter(|known| known.name == check.name).nth(nth);
        let found = weigh(world, check, measured, samples.take(), known);
        judged.judgement = judged.judgement.max(found.judgement);
        judged.ends = judged.ends.or(found.ends);
        // What has a limit of its own is remembered in the status.
        if judged.measurements.len() < MEASUREMENTS || check.rules != MetricRules::default() {
            judged.measurements.push(found.measurement);
        }
        if found.judgement != Judgement::Passed {
            let why = found.event.as_ref().map_or("", |event| event.message.as_str());
            judged.unmet.push(blockers::check(&check.name, why));
        }
        judged.events.extend(found.event.map(|event| Event { phase: world.status.phase, ..event }));
    }
    Flow::Continue(judged)
}

/// What a check means for the release.
struct Weighed {
    /// The verdict, as far as it counts.
    pub judgement: Judgement,
    /// Why the release ends at once, if it does.
    pub ends: Option<String>,
    /// What is said of it.
    pub event: Option<Event>,
    /// The measurement, for the status.
    pub measurement: Measurement,
}

/// Weighs what `check` has found. `samples` is the answer of the check that counts its samples, and `known` what the
/// status says of it since the last step.
fn weigh(
    world: &Snapshot,
    check: &MetricCheck,
    measured: &Measured,
    samples: Option<&Measured>,
    known: Option<&Measurement>,
) -> Weighed {
    let (release, rules) = (&world.release, &check.rules);
    let counted = rules.min_samples.as_ref().map(|rule| Counted::of(world, rule, samples, known));
    let (state, effective) = match &counted {
        Some(Counted { state: state @ (State::NotYet(why) | State::TooLate(why)), .. }) => {
            (state, Measured::NoData(why.clone()))
        }
        Some(Counted { state: state @ State::Unknown(why), .. }) => (state, Measured::Failed(why.clone())),
        Some(Counted { state: State::Enough, .. }) | None => (&State::Enough, measured.clone()),
    };
    let (found, event) = match state {
        State::NotYet(why) => {
            let text = messages::too_few_samples(release, &check.name, why);
            (Judgement::Held, Some(messages::warning(Phase::Progressing, text)))
        }
        _ => judge_one(release, check, &effective),
    };
    let failures = known.and_then(|known| known.failures).unwrap_or(0);
    let failures = failures.saturating_add(u32::from(found == Judgement::Failed));
    let errors = match &effective {
        Measured::Failed(_) => known.and_then(|known| known.errors).unwrap_or(0).saturating_add(1),
        _ => 0,
    };
    let value = match measured {
        Measured::Value(value) => Some(rounded(*value)),
        _ => None,
    };
    let message = match &effective {
        Measured::Value(_) => None,
        Measured::NotANumber => Some("the result is NaN".to_owned()),
        Measured::NoData(why) | Measured::Failed(why) => Some(excerpt(why.as_bytes(), 256)),
    };
    let measurement = Measurement {
        name: check.name.clone(),
        verdict: verdict(state, found).to_owned(),
        value,
        min: check.min,
        max: check.max,
        message,
        severity: (rules.severity != MetricSeverity::Fail).then_some(rules.severity),
        dry_run: rules.dry_run.then_some(true),
        failures: rules.failure_limit.map(|_| failures),
        errors: rules.error_limit.map(|_| errors),
        samples: counted.as_ref().and_then(|counted| counted.samples.map(rounded)),
        since: counted.as_ref().and_then(|counted| counted.since),
        history: lengthened(known, value),
    };
    let weighed = |judgement, ends, event| Weighed { judgement, ends, event, measurement };
    if rules.dry_run {
        return weighed(Judgement::Passed, None, None);
    }
    if rules.severity == MetricSeverity::Warn {
        let said = |event: Event| {
            let text = messages::only_warns(release, &check.name, &event.message);
            messages::warning(event.phase, text)
        };
        return weighed(Judgement::Passed, None, event.map(said));
    }
    let out_of_bounds = found == Judgement::Failed && matches!(effective, Measured::Value(_));
    let ends = if rules.severity == MetricSeverity::Critical && out_of_bounds {
        Some(format!("critical metric {} is out of bounds", check.name))
    } else if let Some(limit) = rules.failure_limit.filter(|limit| failures >= *limit) {
        Some(format!("metric {} has failed {failures} times (failureLimit {limit})", check.name))
    } else if let Some(limit) = rules.error_limit.filter(|limit| errors >= *limit) {
        let times = "times in a row (consecutiveErrorLimit";
        Some(format!("metric {} could not be read {errors} {times} {limit})", check.name))
    } else {
        None
    };
    weighed(found, ends, event)
}

/// The samples of a check.
struct Counted {
    samples: Option<f64>,
    /// Since when there are too few.
    since: Option<chrono::DateTime<chrono::Utc>>,
    state: State,
}

enum State {
    Enough,
    NotYet(String),
    /// They were waited for in vain.
    TooLate(String),
    /// They could not be counted.
    Unknown(String),
}

impl Counted {
    fn of(world: &Snapshot, rule: &Samples, samples: Option<&Measured>, known: Option<&Measurement>) -> Self {
        let found = match samples {
            Some(Measured::Value(value)) => *value,
            Some(Measured::Failed(why)) => {
                let state = State::Unknown(format!("the samples could not be counted: {why}"));
                return Self { samples: None, since: known.and_then(|known| known.since), state };
            }
            // Where nothing was measured there is no sample.
            Some(Measured::NoData(_) | Measured::NotANumber) | None => 0.0,
        };
        if found >= f64::from(rule.count) {
            return Self { samples: Some(found), since: None, state: State::Enough };
        }
        let since = known.and_then(|known| known.since).unwrap_or_else(|| world.now.trunc_subsecs(0));
        let why = format!("{} of {} samples", shortest(rounded(found)), rule.count);
        let within = TimeDelta::from_std(rule.within).unwrap_or(TimeDelta::MAX);
        let state = if world.now - since < within {
            State::NotYet(why)
        } else {
            State::TooLate(format!(
                "no values found that count: {why} within {}",
                duration::format(rule.within)
            ))
        };
        Self { samples: Some(found), since: Some(since), state }
    }
}

fn verdict(state: &State, found: Judgement) -> &'static str {
    match (state, found) {
        (State::NotYet(_), _) => "NotYet",
        (_, Judgement::Passed) => "Passed",
        (_, Judgement::Held) => "Held",
        (_, Judgement::Failed) => "Failed",
    }
}

/// The values of this run so far, with the newest behind them.
fn lengthened(known: Option<&Measurement>, value: Option<f64>) -> Vec<f64> {
    let before = known.map_or(&[][..], |known| &known.history);
    let all = before.iter().copied().chain(value.filter(|value| value.is_finite()));
    let mut all: Vec<f64> = all.collect();
    all.drain(..all.len().saturating_sub(HISTORY));
    all
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// The most measurements that a status shows.
const MEASUREMENTS: usize = 32;
/// The most values of a metric that a status shows. It is written with each step, so it has to stay small.
const HISTORY: usize = 12;
