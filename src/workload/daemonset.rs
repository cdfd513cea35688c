//! DaemonSets as targets (spec 02 §3): the primary is a second DaemonSet, and a parked target has a node selector
//! that no node satisfies.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::config::{self, Occasion, Tracked};
use super::live::{self, edit, find};
use super::primary::{Copied, Twin};
use super::readiness::{self, Standard, about, number};
use super::{Error, Workload, owner, revision, scaler, shape};
use crate::model::object::{Kind, ObjectId, Objects, Write};
use crate::model::release::{Release, Settings};
use crate::model::workload::{Form, Lack, PrimaryFacts, Readiness, Subject, TargetFacts, TargetShape};

/// A DaemonSet as target.
pub struct DaemonSet;

impl Workload for DaemonSet {
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
        must_roll(release, target)?;
        let standard = Standard {
            threshold: release.analysis.canary_ready_threshold,
            scaled_from: None,
            deadline: release.progress_deadline,
            now,
        };
        let configs = config::track(release, settings, &target["spec"]["template"], seen);
        Ok(TargetFacts {
            uid: target["metadata"]["uid"].as_str().unwrap_or_default().to_owned(),
            generation: target["metadata"]["generation"].as_i64().unwrap_or(0),
            revision: revision::revision(&unparked_template(target)),
            replicas: i32::from(!is_parked(target)),
            ready_pods: ready_pods(target),
            // Nothing that a DaemonSet reports is beyond waiting.
            readiness: about(
                Subject::CanaryDaemonSet(release.target_title()),
                readiness_of(target, standard),
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
            scaled_from: None,
            deadline: release.progress_deadline,
            now,
        };
        let twin = twin(release, settings, seen);
        Some(PrimaryFacts {
            replicas: i32::from(!is_parked(primary)),
            ready_pods: ready_pods(primary),
            readiness: about(
                Subject::PrimaryDaemonSet(format!("{}.{}", release.primary_name(), release.namespace)),
                readiness_of(primary, standard),
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
        must_roll(release, target)?;
        let failed = |error: Error| error.within("createPrimaryDaemonSet failed");
        let twin = twin(release, settings, seen).map_err(failed)?;
        let copies = twin
            .copies(Occasion::Creation)
            .map_err(|error| failed(error.within("CreatePrimaryConfigs failed")))?;
        let object = twin.object(&primary, &copies, id);
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
        let twin = twin(release, settings, seen)?;
        let primary = find(seen, &primary_id)?;
        owner::check(release, &primary_id, primary)?;
        let copies = twin.copies(Occasion::Promotion)?;
        let changes = twin.promotion(primary, &copies, id);
        Ok(copies.around(edit(primary_id, primary, &changes)))
    }

    fn prune(&self, release: &Release, seen: &Objects, owned: &Objects) -> Vec<Write> {
        let primary = seen.get(&primary_id(release));
        primary.map_or_else(Vec::new, |primary| config::prune(release, &primary["spec"]["template"], owned))
    }

    fn renew(&self, release: &Release, settings: &Settings, seen: &Objects) -> Vec<Write> {
        let id = target_id(release);
        let Some(target) = seen.get(&id).filter(|target| !is_parked(target)) else { return Vec::new() };
        let changes = config::renewal(release, settings, &target["spec"]["template"], seen);
        edit(id, target, &changes).into_iter().collect()
    }

    fn scale_to_zero(&self, release: &Release, seen: &Objects) -> Vec<Write> {
        park(release, seen, json!("true"))
    }

    fn scale_up(&self, release: &Release, seen: &Objects) -> Vec<Write> {
        park(release, seen, Value::Null)
    }

    fn revert(&self, release: &Release, seen: &Objects) -> Vec<Write> {
        park(release, seen, Value::Null)
    }
}

fn target_id(release: &Release) -> ObjectId {
    Kind::DAEMON_SET.at(&release.namespace, &release.target.name)
}

fn primary_id(release: &Release) -> ObjectId {
    Kind::DAEMON_SET.at(&release.namespace, &release.primary_name())
}

fn twin<'a>(release: &'a Release, settings: &'a Settings, seen: &'a Objects) -> Result<Twin<'a>, Error> {
    let id = target_id(release);
    let target = find(seen, &id)?;
    Twin::new(release, settings, &id, target, unparked_template(target), COPIED, seen)
}

/// As long as there is no primary one is created.
fn occasion(release: &Release, seen: &Objects) -> Occasion {
    if seen.get(&primary_id(release)).is_some() { Occasion::Promotion } else { Occasion::Creation }
}

/// With any other strategy a new revision would not come by itself.
fn must_roll(release: &Release, target: &Value) -> Result<(), Error> {
    match target["spec"]["updateStrategy"]["type"].as_str() {
        None | Some("" | "RollingUpdate") => Ok(()),
        Some(other) => Err(Error::Unusable(format!(
            "daemonset {} must have RollingUpdate strategy but have {other}",
            release.target_title()
        ))),
    }
}

fn readiness_of(daemon_set: &Value, standard: Standard) -> Readiness {
    if is_parked(daemon_set) {
        return Readiness::Waiting { why: Lack::NothingWanted(Form::DaemonSet).into(), stuck_at: None };
    }
    readiness::daemon_set(daemon_set, standard)
}

fn is_parked(daemon_set: &Value) -> bool {
    !daemon_set["spec"]["template"]["spec"]["nodeSelector"][PARKED].is_null()
}

/// The template as its user wrote it.
fn unparked_template(daemon_set: &Value) -> Value {
    let mut template = daemon_set["spec"]["template"].clone();
    if let Some(selector) = template.pointer_mut("/spec/nodeSelector").and_then(Value::as_object_mut) {
        selector.remove(PARKED);
    }
    template
}

fn ready_pods(daemon_set: &Value) -> i32 {
    if is_parked(daemon_set) { 0 } else { number(&daemon_set["status"]["numberReady"]).unwrap_or(0).max(0) }
}

fn park(release: &Release, seen: &Objects, mark: Value) -> Vec<Write> {
    let id = target_id(release);
    match seen.get(&id) {
        Some(target) if mark.is_null() != is_parked(target) => Vec::new(),
        Some(target) => {
            // A mark of renewed pods has no meaning once there are none.
            let parks = !mark.is_null();
            let mut changes = if parks { config::unmarked(&target["spec"]["template"]) } else { json!({}) };
            changes["spec"]["template"]["spec"]["nodeSelector"][PARKED] = mark;
            edit(id, target, &changes).into_iter().collect()
        }
        None => Vec::new(),
    }
}

/// Node selector of a parked DaemonSet.
const PARKED: &str = "flagger.app/scale-to-zero";

/// What of the spec the primary has from the target, besides the template; and what it means when absent.
const COPIED: &[Copied] = &[
    ("minReadySeconds", || json!(0)),
    ("revisionHistoryLimit", || json!(10)),
    (
        "updateStrategy",
        || json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}),
    ),
];

#[cfg(test)]
mod tests;
