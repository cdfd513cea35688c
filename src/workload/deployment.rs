//! Deployments as targets (spec 02 §3): the primary is a second Deployment, and a parked target has no replicas.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::config::{self, Occasion, Tracked};
use super::live::{self, edit, find};
use super::primary::{Copied, Twin};
use super::readiness::{self, Standard, about, number};
use super::{Error, Workload, owner, revision, scaler, shape};
use crate::model::object::{Kind, ObjectId, Objects, Write};
use crate::model::release::{Release, Settings};
use crate::model::workload::{PrimaryFacts, Subject, TargetFacts, TargetShape};

/// A Deployment as target.
pub struct Deployment;

impl Workload for Deployment {
    fn reads(&self, release: &Release) -> Vec<ObjectId> {
        let mut ids = vec![target_id(release), primary_id(release)];
        ids.extend(scaler::of(release).into_iter().flat_map(|scaler| scaler.reads()));
        ids
    }

    fn images(&self, release: &Release, seen: &Objects) -> Vec<String> {
        find(seen, &target_id(release)).map(live::images).unwrap_or_default()
    }

    fn shape(&self, release: &Release, settings: &Settings, seen: &Objects) -> Result<TargetShape, Error> {
        let id = target_id(release);
        shape::shape(release, settings, &id, find(seen, &id)?)
    }

    fn config_reads(&self, release: &Release, seen: &Objects) -> Vec<ObjectId> {
        find(seen, &target_id(release))
            .map(|target| config::reads(release, &target["spec"]["template"]))
            .unwrap_or_default()
    }

    fn target(
        &self,
        release: &Release,
        settings: &Settings,
        seen: &Objects,
        now: DateTime<Utc>,
    ) -> Result<TargetFacts, Error> {
        let target = find(seen, &target_id(release))?;
        let standard = Standard {
            threshold: release.analysis.canary_ready_threshold,
            scaled_from: scaler::of(release).map(|scaler| scaler.least(seen)),
            deadline: release.progress_deadline,
            now,
        };
        let configs = config::track(release, settings, &target["spec"]["template"], seen);
        Ok(TargetFacts {
            uid: target["metadata"]["uid"].as_str().unwrap_or_default().to_owned(),
            generation: target["metadata"]["generation"].as_i64().unwrap_or(0),
            revision: revision::revision(&target["spec"]["template"]),
            replicas: replicas(target),
            ready_pods: ready_pods(target),
            readiness: about(
                Subject::CanaryDeployment(release.target_title()),
                readiness::deployment(target, standard),
            ),
            config_problem: configs.as_ref().and_then(Tracked::problem),
            configs: configs.and_then(|configs| configs.record()),
        })
    }

    fn primary(
        &self,
        release: &Release,
        settings: &Settings,
        seen: &Objects,
        now: DateTime<Utc>,
    ) -> Option<PrimaryFacts> {
        let primary = seen.get(&primary_id(release))?;
        let standard = Standard {
            threshold: release.analysis.primary_ready_threshold,
            scaled_from: scaler::of(release).map(|scaler| scaler.least_of_primary(seen)),
            deadline: release.progress_deadline,
            now,
        };
        let twin = twin(release, settings, seen);
        Some(PrimaryFacts {
            replicas: replicas(primary),
            ready_pods: ready_pods(primary),
            readiness: about(
                Subject::PrimaryDeployment(format!("{}.{}", release.primary_name(), release.namespace)),
                readiness::deployment(primary, standard),
            ),
            matches_target: twin.as_ref().is_ok_and(|twin| twin.matches(primary)),
            other_configs: twin.is_ok_and(|twin| !twin.agrees(primary)),
        })
    }

    fn create_primary(
        &self,
        release: &Release,
        settings: &Settings,
        seen: &Objects,
        id: &str,
    ) -> Result<Vec<Write>, Error> {
        let primary = primary_id(release);
        if let Some(present) = seen.get(&primary) {
            return owner::check(release, &primary, present).map(|()| Vec::new());
        }
        let target = find(seen, &target_id(release))?;
        let failed = |error: Error| error.within("createPrimaryDeployment failed");
        let twin = twin(release, settings, seen).map_err(failed)?;
        let copies = twin
            .copies(Occasion::Creation)
            .map_err(|error| failed(error.within("CreatePrimaryConfigs failed")))?;
        let mut object = twin.object(&primary, &copies, id);
        object["spec"]["replicas"] = json!(replicas(target).max(1));
        Ok(copies.around([Write::Create { id: primary, object }]))
    }

    fn contents(
        &self,
        release: &Release,
        settings: &Settings,
        seen: &Objects,
    ) -> Result<Vec<ObjectId>, Error> {
        twin(release, settings, seen)?.contents(occasion(release, seen))
    }

    fn promote(
        &self,
        release: &Release,
        settings: &Settings,
        seen: &Objects,
        id: &str,
    ) -> Result<Vec<Write>, Error> {
        let primary_id = primary_id(release);
        let (target, primary) = (find(seen, &target_id(release))?, find(seen, &primary_id)?);
        owner::check(release, &primary_id, primary)?;
        let twin = twin(release, settings, seen)?;
        let copies = twin.copies(Occasion::Promotion)?;
        let mut changes = twin.promotion(primary, &copies, id);
        changes["spec"]["replicas"] = json!(promoted_replicas(release, target, primary));
        Ok(copies.around(edit(primary_id, primary, &changes)))
    }

    fn prune(&self, release: &Release, seen: &Objects, owned: &Objects) -> Vec<Write> {
        let primary = seen.get(&primary_id(release));
        primary.map_or_else(Vec::new, |primary| config::prune(release, &primary["spec"]["template"], owned))
    }

    fn renew(&self, release: &Release, settings: &Settings, seen: &Objects) -> Vec<Write> {
        let id = target_id(release);
        let Some(target) = seen.get(&id).filter(|target| replicas(target) > 0) else { return Vec::new() };
        let changes = config::renewal(release, settings, &target["spec"]["template"], seen);
        edit(id, target, &changes).into_iter().collect()
    }

    fn scale_to_zero(&self, release: &Release, seen: &Objects) -> Vec<Write> {
        let id = target_id(release);
        let parked = |target: &Value| {
            let mut changes = config::unmarked(&target["spec"]["template"]);
            changes["spec"]["replicas"] = json!(0);
            edit(id.clone(), target, &changes)
        };
        seen.get(&id).and_then(parked).into_iter().collect()
    }

    fn scale_up(&self, release: &Release, seen: &Objects) -> Vec<Write> {
        scale(release, seen, |target| match replicas(target) {
            present if present > 0 => present,
            _ => usual_replicas(release, seen),
        })
    }

    fn revert(&self, release: &Release, seen: &Objects) -> Vec<Write> {
        scale(release, seen, |target| match seen.get(&primary_id(release)).map(replicas) {
            Some(primary) if primary > 0 => primary,
            _ if replicas(target) > 0 => replicas(target),
            _ => usual_replicas(release, seen),
        })
    }
}

fn target_id(release: &Release) -> ObjectId {
    Kind::DEPLOYMENT.at(&release.namespace, &release.target.name)
}

fn primary_id(release: &Release) -> ObjectId {
    Kind::DEPLOYMENT.at(&release.namespace, &release.primary_name())
}

fn twin<'a>(release: &'a Release, settings: &'a Settings, seen: &'a Objects) -> Result<Twin<'a>, Error> {
    let id = target_id(release);
    let target = find(seen, &id)?;
    Twin::new(release, settings, &id, target, target["spec"]["template"].clone(), COPIED, seen)
}

/// As long as there is no primary one is created.
fn occasion(release: &Release, seen: &Objects) -> Occasion {
    if seen.get(&primary_id(release)).is_some() { Occasion::Promotion } else { Occasion::Creation }
}

/// Replicas asked for.
fn replicas(deployment: &Value) -> i32 {
    number(&deployment["spec"]["replicas"]).unwrap_or(1).max(0)
}

/// Pods that can serve now. Right after scaling down the status still counts pods that are already leaving.
fn ready_pods(deployment: &Value) -> i32 {
    number(&deployment["status"]["readyReplicas"]).unwrap_or(0).clamp(0, replicas(deployment))
}

/// Replicas of the primary after a promotion, never none. With an autoscaler they are its business, except that
/// the primary must be able to carry what the target carries before traffic moves to it.
fn promoted_replicas(release: &Release, target: &Value, primary: &Value) -> i32 {
    let (target, primary) = (replicas(target), replicas(primary));
    match &release.autoscaler {
        Some(_) => primary.max(target).max(1),
        None if target > 0 => target,
        None => primary.max(1),
    }
}

/// Replicas of a target that had none: the primary's, or where an autoscaler takes over, its minimum.
fn usual_replicas(release: &Release, seen: &Objects) -> i32 {
    let usual = match scaler::of(release) {
        Some(scaler) => scaler.min_replicas(seen),
        None => seen.get(&primary_id(release)).map(replicas),
    };
    usual.unwrap_or(1).max(1)
}

fn scale(release: &Release, seen: &Objects, to: impl Fn(&Value) -> i32) -> Vec<Write> {
    let id = target_id(release);
    let write =
        seen.get(&id).and_then(|target| edit(id.clone(), target, &json!({"spec": {"replicas": to(target)}})));
    write.into_iter().collect()
}

/// What of the spec the primary has from the target, besides template and replicas; and what it means when absent.
const COPIED: &[Copied] = &[
    ("minReadySeconds", || json!(0)),
    ("progressDeadlineSeconds", || json!(600)),
    ("revisionHistoryLimit", || json!(10)),
    (
        "strategy",
        || json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}),
    ),
];

#[cfg(test)]
mod tests;
