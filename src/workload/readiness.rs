//! Whether a workload is ready, and if not, why, with the numbers (spec 02 §3.5).
//!
//! Two clocks run: the Deployment's own deadline, which it reports itself, and the Canary's.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use crate::model::workload::{Form, Lack, Readiness, Subject, Unready};

/// What a workload is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Standard {
    /// Percent of the pods that must be available.
    pub threshold: u32,
    /// Pods that an autoscaler keeps at least; those that it adds are its own affair.
    pub scaled_from: Option<i32>,
    /// How long it may stay unavailable.
    pub deadline: Duration,
    /// The time of the look.
    pub now: DateTime<Utc>,
}

/// A number of pods that is written as such or as a percentage of `total`, rounded down.
pub fn part_of(value: &Value, default: &str, total: i32) -> i32 {
    if let Some(count) = number(value) {
        return count;
    }
    let text = value.as_str().unwrap_or(default);
    match text.strip_suffix('%').map(str::parse::<i64>) {
        Some(Ok(percent)) => i32::try_from(i64::from(total) * percent / 100).unwrap_or(total),
        _ => text.parse().unwrap_or(0),
    }
}

/// Readiness of a Deployment.
pub fn deployment(object: &Value, standard: Standard) -> Readiness {
    let wanted = number(&object["spec"]["replicas"]).unwrap_or(1);
    let status = &object["status"];
    let count = |field: &str| number(&status[field]).unwrap_or(0);
    let (updated, available) = (count("updatedReplicas"), count("availableReplicas"));
    let name = object["metadata"]["name"].as_str().unwrap_or_default();

    if is_behind(object) {
        return waiting(Lack::Unobserved(Form::Deployment));
    }
    if wanted <= 0 {
        return waiting(Lack::NothingWanted(Form::Deployment));
    }
    let progressing = condition(status, "Progressing");
    if progressing.is_some_and(|condition| condition["reason"] == "ProgressDeadlineExceeded") {
        return Readiness::Stuck { why: Lack::PastOwnDeadline(name.to_owned()).into() };
    }
    // Once its revision is rolled out, a Deployment that an autoscaler sizes is measured by what that one keeps at
    // least: pods that come and go with the load are no part of a release.
    let rolled_out = progressing.is_some_and(|condition| condition["reason"] == "NewReplicaSetAvailable");
    let (expected, counted) = match standard.scaled_from.filter(|_| rolled_out) {
        Some(least) => (wanted.min(least.max(1)), updated.min(least.max(1))),
        None => (wanted, updated),
    };
    let needed = share(counted, standard.threshold);
    let lack = if updated < expected {
        Lack::NotUpdated { form: Form::Deployment, updated, wanted: expected }
    } else if count("replicas") > updated {
        Lack::OldReplicas(count("replicas") - updated)
    } else if available < needed {
        Lack::NotAvailable { form: Form::Deployment, available, needed, threshold: standard.threshold }
    } else {
        return Readiness::Ready;
    };
    let paused = (object["spec"]["paused"] == true).then(|| name.to_owned());
    let why = Unready { subject: None, lack, paused };
    let stuck_at = progressing
        .and(condition(status, "Available"))
        .filter(|available| {
            available["status"] == "False" && available["reason"] == "MinimumReplicasUnavailable"
        })
        .and_then(|available| time(&available["lastUpdateTime"]))
        .and_then(|since| since.checked_add_signed(TimeDelta::from_std(standard.deadline).ok()?));
    match stuck_at {
        Some(deadline) if standard.now >= deadline => Readiness::Stuck { why },
        stuck_at => Readiness::Waiting { why, stuck_at },
    }
}

/// Readiness of a DaemonSet that is not parked. It has no clock of its own: how long it has been waited for only
/// the release knows, so this never says that it is stuck.
pub fn daemon_set(object: &Value, standard: Standard) -> Readiness {
    let status = &object["status"];
    let count = |field: &str| number(&status[field]).unwrap_or(0);
    let (updated, desired, available) =
        (count("updatedNumberScheduled"), count("desiredNumberScheduled"), count("numberAvailable"));
    if is_behind(object) {
        return waiting(Lack::Unobserved(Form::DaemonSet));
    }
    let needed = share(desired, standard.threshold);
    if desired <= 0 {
        waiting(Lack::NoNodeFits)
    } else if updated < desired {
        waiting(Lack::NotUpdated { form: Form::DaemonSet, updated, wanted: desired })
    } else if available < needed {
        waiting(Lack::NotAvailable {
            form: Form::DaemonSet,
            available,
            needed,
            threshold: standard.threshold,
        })
    } else {
        Readiness::Ready
    }
}

/// `readiness`, with `subject` as the workload that its reason names.
pub fn about(subject: Subject, readiness: Readiness) -> Readiness {
    let named = |why: Unready| Unready { subject: Some(subject), ..why };
    match readiness {
        Readiness::Ready => Readiness::Ready,
        Readiness::Waiting { why, stuck_at } => Readiness::Waiting { why: named(why), stuck_at },
        Readiness::Stuck { why } => Readiness::Stuck { why: named(why) },
    }
}

/// A number of replicas or pods.
pub(super) fn number(value: &Value) -> Option<i32> {
    value.as_i64().map(|number| i32::try_from(number).unwrap_or(i32::MAX))
}

/// Whether the workload's controller has not seen its latest spec yet: its status speaks of an older one.
fn is_behind(object: &Value) -> bool {
    let generation = |value: &Value| value.as_i64().unwrap_or(0);
    generation(&object["metadata"]["generation"]) > generation(&object["status"]["observedGeneration"])
}

fn condition<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
    status["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}

fn time(value: &Value) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(value.as_str()?).ok().map(|time| time.with_timezone(&Utc))
}

/// `percent` of `pods`, rounded up and at least 1: something must be there to be called ready.
fn share(pods: i32, percent: u32) -> i32 {
    let exact = i64::from(pods) * i64::from(percent);
    i32::try_from(exact.div_euclid(100) + i64::from(exact.rem_euclid(100) > 0)).unwrap_or(pods).max(1)
}

fn waiting(lack: Lack) -> Readiness {
    Readiness::Waiting { why: lack.into(), stuck_at: None }
}

#[cfg(test)]
mod tests;
