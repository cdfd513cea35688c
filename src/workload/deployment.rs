//! Deployments as targets (spec 02 §3): the primary is a second Deployment, and a parked target has no replicas.

use serde_json::{Value, json};

use super::primary::Copied;
use super::readiness::{self, Standard, number};
use super::templated::{Templated, primary_id};
use super::{config, scaler};
use crate::model::object::{Kind, Objects};
use crate::model::release::Release;
use crate::model::workload::{Readiness, Subject};

/// A Deployment as target.
pub struct Deployment;

impl Templated for Deployment {
    const KIND: Kind = Kind::DEPLOYMENT;

    const COPIED: &'static [Copied] = &[
        ("minReadySeconds", || json!(0)),
        ("progressDeadlineSeconds", || json!(600)),
        ("revisionHistoryLimit", || json!(10)),
        (
            "strategy",
            || json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}),
        ),
    ];

    fn canary_called(&self, title: String) -> Subject {
        Subject::CanaryDeployment(title)
    }

    fn primary_called(&self, title: String) -> Subject {
        Subject::PrimaryDeployment(title)
    }

    fn replicas(&self, deployment: &Value) -> i32 {
        replicas(deployment)
    }

    /// The ready pods of the status, which right after scaling down still counts pods that are already leaving.
    fn ready_pods(&self, deployment: &Value) -> i32 {
        number(&deployment["status"]["readyReplicas"]).unwrap_or(0).clamp(0, replicas(deployment))
    }

    /// The primary gets the target's strategy together with the template.
    fn replaces_at_once(&self, target: &Value, primary: &Value) -> bool {
        let strategy = &target["spec"]["strategy"];
        let (rolling, pods) = (&strategy["rollingUpdate"], replicas(primary));
        let unavailable = readiness::part_of(&rolling["maxUnavailable"], "25%", pods);
        // Percentages of a surge are rounded up.
        let surges = readiness::part_of(&rolling["maxSurge"], "25%", pods.saturating_mul(100)) > 0;
        // A rollout that may neither add a pod nor miss one misses one.
        let unavailable = if surges { unavailable } else { unavailable.max(1) };
        strategy["type"] == "Recreate" || unavailable >= pods
    }

    fn readiness(&self, deployment: &Value, standard: Standard) -> Readiness {
        readiness::deployment(deployment, standard)
    }

    /// Never none. With an autoscaler they are its business, except that the primary must be able to carry what the
    /// target carries before traffic moves to it.
    fn primary_replicas(&self, release: &Release, target: &Value, primary: Option<&Value>) -> Option<i32> {
        let (target, primary) = (replicas(target), primary.map_or(0, replicas));
        Some(match &release.autoscaler {
            Some(_) => primary.max(target).max(1),
            None if target > 0 => target,
            None => primary.max(1),
        })
    }

    fn parked(&self, target: &Value) -> Value {
        let mut changes = config::unmarked(&target["spec"]["template"]);
        changes["spec"]["replicas"] = json!(0);
        changes
    }

    fn unparked(&self, release: &Release, target: &Value, seen: &Objects) -> Value {
        scaled_to(match replicas(target) {
            present if present > 0 => present,
            _ => usual_replicas(release, seen),
        })
    }

    fn reverted(&self, release: &Release, target: &Value, seen: &Objects) -> Value {
        match primary_replicas(release, seen) {
            Some(primary) if primary > 0 => scaled_to(primary),
            _ => self.unparked(release, target, seen),
        }
    }
}

/// Replicas asked for.
fn replicas(deployment: &Value) -> i32 {
    number(&deployment["spec"]["replicas"]).unwrap_or(1).max(0)
}

/// Replicas that the primary asks for.
fn primary_replicas(release: &Release, seen: &Objects) -> Option<i32> {
    seen.get(&primary_id::<Deployment>(release)).map(replicas)
}

/// Replicas of a target that had none: the primary's, or where an autoscaler takes over, its minimum.
fn usual_replicas(release: &Release, seen: &Objects) -> i32 {
    let usual = match scaler::of(release) {
        Some(scaler) => scaler.min_replicas(seen),
        None => primary_replicas(release, seen),
    };
    usual.unwrap_or(1).max(1)
}

fn scaled_to(replicas: i32) -> Value {
    json!({"spec": {"replicas": replicas}})
}

#[cfg(test)]
mod tests;
