//! Checks of a Canary: its manifest, how it stands, and the lists of all others.

use chrono::{DateTime, TimeDelta, Utc};

use crate::api::status::{BlockerKind, PAUSED, Phase};
use crate::cli::check::finding::{Check, Finding};
use crate::cli::picture::words;
use crate::cli::print::program;

use super::{Facts, metrics, neighbours, objects, references};

pub(in crate::cli::check) const CHECKS: &[Check<Facts>] = &[
    Check { id: "canary-usable", title: "its manifest can be released", judge: usable },
    Check {
        id: "canary-warnings",
        title: "nothing in its manifest is without effect or out of date",
        judge: warnings,
    },
    Check { id: "canary-watched", title: "the controller works in its namespace", judge: watched },
    Check { id: "canary-seen", title: "the controller has looked at it", judge: seen },
    Check { id: "canary-stalled", title: "the controller goes on with it", judge: stalled },
    Check { id: "canary-failed", title: "its last release did not fail", judge: failed },
    Check { id: "canary-paused", title: "nobody holds it", judge: paused },
    Check { id: "gate-waits", title: "no gate keeps it waiting for long", judge: gates },
    Check { id: "target-there", title: "its target is there", judge: objects::target_there },
    Check {
        id: "target-selector",
        title: "the target's selector has a label that tells it from the primary",
        judge: objects::selector,
    },
    Check { id: "target-claimed", title: "no other Canary points to the target", judge: objects::claimed },
    Check { id: "target-ready", title: "the target is ready", judge: objects::target_ready },
    Check {
        id: "target-port",
        title: "a container declares the port that requests go to",
        judge: objects::port,
    },
    Check { id: "primary-ready", title: "the primary is ready", judge: objects::primary_ready },
    Check { id: "autoscaler-there", title: "its autoscaler is there", judge: objects::scaler_there },
    Check {
        id: "autoscaler-target",
        title: "the autoscaler scales the target",
        judge: objects::scaler_target,
    },
    Check {
        id: "autoscaler-known",
        title: "no autoscaler of the target is unknown to it",
        judge: neighbours::scalers,
    },
    Check { id: "canary-mesh", title: "the cluster serves the kinds of its mesh", judge: objects::mesh },
    Check { id: "routes-possible", title: "its routes can be written", judge: objects::routes },
    Check { id: "routes-accepted", title: "the mesh works by its routes", judge: objects::accepted },
    Check {
        id: "service-selects",
        title: "no other Service leads to the target alone",
        judge: neighbours::services,
    },
    Check {
        id: "budget-selects",
        title: "no PodDisruptionBudget is for the target alone",
        judge: neighbours::budgets,
    },
    Check {
        id: "policy-selects",
        title: "no NetworkPolicy is for the target alone",
        judge: neighbours::policies,
    },
    Check {
        id: "policy-admits",
        title: "no NetworkPolicy admits the target alone",
        judge: neighbours::admissions,
    },
    Check {
        id: "monitor-selects",
        title: "no ServiceMonitor or PodMonitor is for the target alone",
        judge: neighbours::monitors,
    },
    Check { id: "template-there", title: "the MetricTemplate is there", judge: references::templates },
    Check {
        id: "template-secret",
        title: "the Secret of the MetricTemplate can be used",
        judge: references::template_secrets,
    },
    Check { id: "metric-askable", title: "the metric can be asked", judge: metrics::askable },
    Check {
        id: "metric-answers",
        title: "the metric is answered with a number now",
        judge: metrics::answers,
    },
    Check { id: "alert-there", title: "the AlertProvider is there", judge: references::alerts },
    Check { id: "alert-usable", title: "the AlertProvider can be used", judge: references::alert_usable },
    Check {
        id: "alert-secret",
        title: "the Secret of the AlertProvider can be used",
        judge: references::alert_secrets,
    },
    Check { id: "hook-service", title: "the Service of the hook is there", judge: references::hook_services },
    Check { id: "hook-endpoints", title: "pods answer for the hook", judge: references::hook_endpoints },
    Check { id: "hook-secret", title: "the Secret of the hook can be used", judge: references::hook_secrets },
];

fn usable(it: &Facts) -> Vec<Finding> {
    let cure = "correct the field; kubectl explain canary says what it takes";
    match &it.reading.release {
        Ok(_) => Finding::fine("").alone(),
        Err(problems) => problems
            .iter()
            .map(|problem| Finding::wrong(problem.message.clone(), cure).about(problem.field.as_str()))
            .collect(),
    }
}

fn warnings(it: &Facts) -> Vec<Finding> {
    let cure = "write it as it says, and the warning goes";
    let each = it.reading.warnings.iter();
    let found: Vec<Finding> =
        each.map(|one| Finding::warning(one.message.clone(), cure).about(one.field.as_str())).collect();
    if found.is_empty() { Finding::fine("").alone() } else { found }
}

fn watched(it: &Facts) -> Vec<Finding> {
    let finding = match &it.overseer.works_in {
        None => Finding::skipped("no controller was found, or none whose flags can be read"),
        Some(namespace) if namespace.is_empty() || namespace == it.namespace() => Finding::fine(""),
        Some(namespace) => Finding::wrong(
            format!("it works in namespace {namespace} alone (-namespace)"),
            "empty the value namespace of the chart, or install a controller for this namespace as well",
        ),
    };
    finding.alone()
}

fn age(since: DateTime<Utc>, it: &Facts) -> String {
    words::age(it.now - since)
}

fn seen(it: &Facts) -> Vec<Finding> {
    let metadata = &it.canary["metadata"];
    let created: Option<DateTime<Utc>> =
        metadata["creationTimestamp"].as_str().and_then(|text| text.parse().ok());
    let cure = "look at the checks of the controller, and at its log";
    let young = created.is_some_and(|created| it.now - created < SOON);
    let finding = match (it.status.phase, it.status.observed_generation, metadata["generation"].as_i64()) {
        (Phase::Unset, ..) if young => Finding::skipped("it was created just now"),
        (Phase::Unset, ..) => {
            let since =
                created.map(|created| format!(" since {} ago, when it was created", age(created, it)));
            Finding::wrong(format!("nobody has looked at it{}", since.unwrap_or_default()), cure)
        }
        (_, Some(seen), Some(generation)) if seen < generation => Finding::warning(
            format!("its status speaks of generation {seen}, and the manifest is {generation}"),
            "a paused release and a held one are looked at all the same: wait some seconds, then look at the controller",
        ),
        (phase, ..) => Finding::fine(phase.as_str()),
    };
    finding.alone()
}

fn stalled(it: &Facts) -> Vec<Finding> {
    let stalled = it.status.condition("Stalled").filter(|condition| condition.status == "True");
    // A failed revision is no trouble of the Canary itself.
    let stalled = stalled.filter(|_| it.status.phase != Phase::Failed);
    let blocked = it.status.blockers.iter().find(|blocker| blocker.kind == BlockerKind::Blocked);
    let finding = match (stalled, blocked) {
        (Some(condition), _) => {
            Finding::wrong(condition.message.clone(), "do what it asks for; it goes on by itself then")
        }
        (None, Some(blocker)) => {
            Finding::wrong(blocker.message.clone(), "do what it asks for; it goes on by itself then")
        }
        (None, None) => Finding::fine(""),
    };
    finding.alone()
}

fn failed(it: &Facts) -> Vec<Finding> {
    if it.status.phase != Phase::Failed {
        return Finding::fine("").alone();
    }
    let ready = it.status.condition("Ready").map(|condition| condition.message.clone()).unwrap_or_default();
    Finding::warning(
        format!("it failed: {ready}"),
        format!(
            "{} status {} -n {} says why; push a mended revision, or release it again with retry",
            program(),
            it.name(),
            it.namespace()
        ),
    )
    .alone()
}

fn paused(it: &Facts) -> Vec<Finding> {
    let resume = format!("{} resume {} -n {}", program(), it.name(), it.namespace());
    let finding = if it.canary["spec"]["suspend"] == true {
        Finding::warning("spec.suspend is true: no revision is released", "set it to false to go on")
    } else if let Some(condition) = it.status.condition(PAUSED) {
        let since = condition.last_transition_time.or(condition.last_update_time);
        let since = since.map(|since| format!(" since {}", age(since, it))).unwrap_or_default();
        Finding::warning(format!("it is paused by hand{since}"), resume)
    } else {
        Finding::fine("")
    };
    finding.alone()
}

fn gates(it: &Facts) -> Vec<Finding> {
    let gates = it.status.blockers.iter().filter(|blocker| blocker.kind == BlockerKind::Gate);
    let long = gates.filter(|gate| gate.since.is_some_and(|since| it.now - since > LONG));
    let found: Vec<Finding> = long
        .map(|gate| {
            let since = gate.since.map(|since| age(since, it)).unwrap_or_default();
            Finding::warning(
                format!("it waits for {since}: {}", gate.message),
                format!(
                    "open the gate, or {} approve {} -n {}; abort takes the revision back",
                    program(),
                    it.name(),
                    it.namespace()
                ),
            )
            .about(gate.name.clone().unwrap_or_default())
        })
        .collect();
    if found.is_empty() { Finding::fine("").alone() } else { found }
}

/// How long a gate may be waited for before somebody is told.
const LONG: TimeDelta = TimeDelta::hours(1);
/// How long a new Canary may wait to be looked at.
const SOON: TimeDelta = TimeDelta::minutes(1);
