//! All that a report tells, whatever its form.

use serde::Serialize;
use serde_json::{Value, json};

use super::assertion::Judged;
use super::words;
use crate::sim::simulate::{Outcome, Plan, Pods, Scenario, Study, Verdict, quantile};

/// A report.
pub(super) struct Report {
    pub releases: Vec<Release>,
    /// The scenario, a sentence a line.
    pub scenario: Vec<String>,
    /// What was invented or changed.
    pub notes: Vec<String>,
    pub seed: u64,
    pub studies: Option<Studies>,
    pub judged: Vec<Judged>,
}

/// A release as it was shown, and what was released.
pub(super) struct Release {
    pub image: String,
    pub strategy: String,
    pub outcome: Outcome,
}

/// What many releases came to.
pub(super) struct Studies {
    /// One for each release.
    pub found: Vec<Study>,
    /// The same with a version as good as the old one, if this one is worse.
    pub good: Option<Vec<Study>>,
}

impl Report {
    pub fn new(
        plan: &Plan,
        scenario: &Scenario,
        seed: u64,
        outcomes: Vec<Outcome>,
        studies: Option<Studies>,
        judged: Vec<Judged>,
    ) -> Self {
        let releases = plan.subjects.iter().zip(outcomes).map(|(subject, outcome)| Release {
            image: subject.image.clone(),
            strategy: format!(
                "{}, {}",
                subject.release.analysis.strategy.label(),
                subject.release.provider_name
            ),
            outcome,
        });
        Self {
            releases: releases.collect(),
            scenario: sentences(scenario),
            notes: plan.notes.clone(),
            seed,
            studies,
            judged,
        }
    }

    /// The study of release number `index`, and that of a good version.
    pub fn study(&self, index: usize) -> Option<(&Study, Option<&Study>)> {
        let studies = self.studies.as_ref()?;
        let good = studies.good.as_ref().and_then(|good| good.get(index));
        Some((studies.found.get(index)?, good))
    }

    /// As JSON, for programs.
    pub fn json(&self) -> String {
        let releases: Vec<Value> = self
            .releases
            .iter()
            .enumerate()
            .map(|(index, release)| {
                let study = self.study(index).map(|(study, good)| numbers(study, good));
                json!({
                    "image": release.image, "strategy": release.strategy, "example": value(&release.outcome),
                    "study": study,
                })
            })
            .collect();
        let whole = json!({
            "scenario": self.scenario, "notes": self.notes, "seed": self.seed, "releases": releases,
            "assertions": value(&self.judged),
        });
        format!("{whole:#}\n")
    }
}

fn value(of: &impl Serialize) -> Value {
    serde_json::to_value(of).unwrap_or_default()
}

fn numbers(study: &Study, good: Option<&Study>) -> Value {
    // JSON has no infinity: null is unknown.
    let parts = |values: &[f64]| {
        json!({
            "p50": value(&quantile(values, 0.5)), "p95": value(&quantile(values, 0.95)),
            "least": values.first(), "most": values.last(),
        })
    };
    json!({
        "runs": study.runs(),
        "promoted": value(&study.share(Verdict::Promoted)),
        "rolledBack": value(&study.share(Verdict::RolledBack)),
        "unfinished": value(&study.share(Verdict::Unfinished)),
        "falseRollback": value(&good.unwrap_or(study).share(Verdict::RolledBack)),
        "seconds": parts(&study.seconds),
        "hurt": parts(&study.hurt),
    })
}

fn sentences(scenario: &Scenario) -> Vec<String> {
    let usual = scenario.usual;
    let share = |share: f64| words::percent(share);
    let mut all = vec![
        format!("{} requests in a second", usual.rps),
        format!(
            "{} of the requests fail, {} on the old version",
            share(usual.error),
            share(usual.base_error)
        ),
        format!(
            "99 of 100 requests take at most {} ms, {} ms on the old version",
            usual.latency, usual.base_latency
        ),
    ];
    match usual.pods {
        Pods::Ready => {}
        Pods::NeverReady => all.push("pods of the new version never get ready".to_owned()),
        Pods::Crash => all.push("pods of the new version crash".to_owned()),
        Pods::BadImage => all.push("the new version's image cannot be pulled".to_owned()),
    }
    for span in &scenario.metrics_down {
        let at = |time: std::time::Duration| words::clock(time.as_secs_f64());
        all.push(format!("the metrics servers are away from {} to {}", at(span.from), at(span.to)));
    }
    all.push(format!("hooks say {}", usual.hooks));
    all.extend(scenario.hooks.iter().map(|(name, say)| format!("the hook {name} says {say}")));
    if !scenario.phases.is_empty() {
        all.push(match scenario.phases.len() {
            1 => "1 phase changes this, see the timeline".to_owned(),
            number => format!("{number} phases change this, see the timeline"),
        });
    }
    all
}
