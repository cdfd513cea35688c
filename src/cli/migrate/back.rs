//! The way back to Flagger: which Canaries it can have as they are, and what has to be done.
//!
//! Flagger compares a hash of its own with the one in the status, and takes the difference for a new revision (spec 01
//! §1.8). The hash is one of a memory dump and cannot be computed here. But a Canary without a status is initialised (spec 02
//! T1, T2): Flagger finds the primary, moves no traffic, and writes down the hash of what the target is at that moment. So the
//! status has to go, and that is right only where the primary runs what the target asks for.

use serde_json::Value;

use crate::api::Provider;
use crate::api::status::Phase;
use crate::cli::check::finding::{Check, Finding};
use crate::cli::check::installation::Instance;
use crate::cli::print::{Line, Tone};
use crate::controller::shadow::Does;

use super::canary::Facts;
use super::stop;

pub(super) const CHECKS: &[Check<Facts>] = &[
    Check { id: "back-at-rest", title: "no release is under way", judge: at_rest },
    Check { id: "back-primary", title: "the primary runs what the target asks for", judge: primary },
    Check { id: "back-fields", title: "Flagger knows all that its manifest asks for", judge: fields },
];

fn at_rest(it: &Facts) -> Vec<Finding> {
    let finding = match it.status.phase {
        Phase::Failed => Finding::wrong(
            "its last revision failed: Flagger would take that for the promoted one, or release it again",
            "put the target back to the revision that the primary runs, and wait for the phase Succeeded",
        ),
        phase if phase.is_at_rest() => Finding::fine(phase.as_str()),
        Phase::Unset => Finding::skipped("it has no status: Flagger initialises it"),
        phase => Finding::wrong(
            format!("it is {} at weight {}", phase.as_str(), it.status.canary_weight),
            format!("wait until it is over, or end it: vexil abort {} -n {}", it.name(), it.namespace()),
        ),
    };
    finding.alone()
}

fn primary(it: &Facts) -> Vec<Finding> {
    if let Some(silent) = it.silent() {
        return silent.alone();
    }
    let Some(entry) = &it.entry else { return Vec::new() };
    let finding = match &entry.next.does {
        _ if !it.status.phase.is_at_rest() || it.status.phase == Phase::Failed => {
            Finding::skipped("it is not at rest")
        }
        Does::Rest => Finding::fine(""),
        _ => Finding::wrong(
            format!(
                "Flagger would count a revision as promoted that the primary does not run: {}",
                entry.next
            ),
            "let Vexil release it first",
        ),
    };
    finding.alone()
}

/// Fields that Flagger does not have, with a place in the list for each list.
const ADDITIVE: &[&str] = &[
    "spec.routeRefs",
    "spec.analysis.onMetricError",
    "spec.analysis.onNoData",
    "spec.analysis.metrics[].severity",
    "spec.analysis.metrics[].dryRun",
    "spec.analysis.metrics[].failureLimit",
    "spec.analysis.metrics[].consecutiveErrorLimit",
    "spec.analysis.metrics[].minSamples",
    "spec.analysis.webhooks[].signature",
    "spec.analysis.webhooks[].headersFrom",
    "spec.analysis.webhooks[].cloudEvents",
];

fn fields(it: &Facts) -> Vec<Finding> {
    let used = ADDITIVE.iter().filter(|path| is_set(&it.canary, path));
    let mut found: Vec<Finding> = used
        .map(|path| {
            Finding::warning(
                "Flagger does not know it: with its CRDs the API server drops it, and nothing is done of what it asks for",
                "leave it out, or accept that",
            )
            .about(*path)
        })
        .collect();
    if it.canary["spec"]["provider"] == Provider::Alb.as_str() {
        let why = "Flagger has no provider for load balancers of AWS, and its CRDs refuse the name";
        found.push(Finding::wrong(why, "keep Vexil for it, or take another provider").about("spec.provider"));
    }
    if found.is_empty() { Finding::fine("").alone() } else { found }
}

fn is_set(value: &Value, path: &str) -> bool {
    let Some((first, rest)) = path.split_once('.') else { return !value[path].is_null() };
    match first.strip_suffix("[]") {
        Some(list) => value[list].as_array().into_iter().flatten().any(|item| is_set(item, rest)),
        None => is_set(&value[first], rest),
    }
}

/// What is to be done, in order: only for Canaries for which it is right.
pub(super) fn commands(vexil: Option<&Instance>, canaries: &[&Facts]) -> Vec<String> {
    let ready = canaries.iter().filter(|facts| {
        let rests = facts.status.phase.is_at_rest() && facts.status.phase != Phase::Failed;
        rests && facts.entry.as_ref().is_some_and(|entry| entry.next.does == Does::Rest)
    });
    let patches: Vec<String> = ready
        .map(|facts| {
            format!(
                "kubectl -n {} patch canary {} --subresource=status --type=merge -p '{{\"status\":null}}'",
                facts.namespace(),
                facts.name()
            )
        })
        .collect();
    if patches.is_empty() {
        return patches;
    }
    // Vexil would write a new status at once.
    vexil.filter(|it| it.wanted() > 0).map(stop).into_iter().chain(patches).collect()
}

/// The commands as they are shown.
pub(super) fn said(commands: &[String]) -> Vec<Line> {
    let mut lines =
        vec![Line::new(), Line::new().with(Tone::Strong, "To do, in this order, before Flagger is started")];
    lines.extend(commands.iter().map(|command| Line::from("  ").with(Tone::Accent, command.as_str())));
    lines
}
