//! Knative Services as targets (spec 02 §3.9). Both sides are revisions of one object: the primary is the one that an
//! annotation names, the canary the latest that was created.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::live::missing;
use super::{Error, Workload, revision};
use crate::model::object::{Kind, ObjectId, Objects, Write};
use crate::model::release::{Release, Settings};
use crate::model::workload::{PrimaryFacts, Readiness, TargetFacts, TargetShape};

/// A Knative Service as target.
pub struct Knative;

impl Workload for Knative {
    fn reads(&self, release: &Release) -> Vec<ObjectId> {
        vec![target_id(release)]
    }

    fn named_reads(&self, release: &Release, seen: &Objects) -> Vec<ObjectId> {
        let Some(service) = seen.get(&target_id(release)) else { return Vec::new() };
        let mut ids: Vec<ObjectId> = [latest(service), annotated(service)]
            .into_iter()
            .flatten()
            .map(|name| revision_id(release, name))
            .collect();
        ids.dedup();
        ids
    }

    fn images(&self, release: &Release, seen: &Objects) -> Vec<String> {
        seen.get(&target_id(release)).map(super::live::images).unwrap_or_default()
    }

    fn shape(&self, _release: &Release, _settings: &Settings, _seen: &Objects) -> Result<TargetShape, Error> {
        Ok(TargetShape::default())
    }

    fn target(
        &self,
        release: &Release,
        _settings: &Settings,
        seen: &Objects,
        _now: DateTime<Utc>,
    ) -> Result<TargetFacts, Error> {
        let service = find(release, seen)?;
        let name = latest(service).ok_or_else(|| {
            Error::Unusable(format!("Knative Service {} has no revision yet", release.target_title()))
        })?;
        let readiness = readiness(release, name, seen);
        Ok(TargetFacts {
            uid: service["metadata"]["uid"].as_str().unwrap_or_default().to_owned(),
            // The object's own counts our writes of its traffic, and runs ahead of the revisions.
            generation: revision::generation(name),
            revision: revision::flaggers_text_hash(name),
            replicas: 1,
            ready_pods: i32::from(readiness.is_ready()),
            readiness,
            configs: None,
            config_problem: None,
        })
    }

    fn primary(
        &self,
        release: &Release,
        _settings: &Settings,
        seen: &Objects,
        _now: DateTime<Utc>,
    ) -> Option<PrimaryFacts> {
        let service = seen.get(&target_id(release))?;
        let name = annotated(service)?;
        let readiness = readiness(release, name, seen);
        Some(PrimaryFacts {
            replicas: 1,
            ready_pods: i32::from(readiness.is_ready()),
            readiness,
            matches_target: latest(service) == Some(name),
            other_configs: false,
            replaced_at_once: false,
        })
    }

    /// Names the latest revision as the primary. The traffic follows when it is ready, as for any primary.
    fn create_primary(
        &self,
        release: &Release,
        _settings: &Settings,
        seen: &Objects,
        _id: &str,
    ) -> Result<Vec<Write>, Error> {
        let service = find(release, seen)?;
        let Some(name) = latest(service).filter(|_| annotated(service).is_none()) else {
            return Ok(Vec::new());
        };
        Ok(Write::merge(target_id(release), service, &annotation(name)).into_iter().collect())
    }

    fn promote(
        &self,
        release: &Release,
        _settings: &Settings,
        seen: &Objects,
        _id: &str,
    ) -> Result<Vec<Write>, Error> {
        let service = find(release, seen)?;
        let Some(name) = latest(service) else { return Ok(Vec::new()) };
        Ok(Write::merge(target_id(release), service, &annotation(name)).into_iter().collect())
    }

    fn scale_to_zero(&self, _release: &Release, _seen: &Objects) -> Vec<Write> {
        Vec::new()
    }

    fn scale_up(&self, _release: &Release, _seen: &Objects) -> Vec<Write> {
        Vec::new()
    }

    fn revert(&self, _release: &Release, _seen: &Objects) -> Vec<Write> {
        Vec::new()
    }
}

fn target_id(release: &Release) -> ObjectId {
    Kind::KNATIVE_SERVICE.at(&release.namespace, &release.target.name)
}

fn revision_id(release: &Release, name: &str) -> ObjectId {
    Kind::KNATIVE_REVISION.at(&release.namespace, name)
}

fn find<'a>(release: &Release, seen: &'a Objects) -> Result<&'a Value, Error> {
    let id = target_id(release);
    seen.get(&id).ok_or_else(|| Error::Missing(missing("Knative Service", &id)))
}

fn latest(service: &Value) -> Option<&str> {
    service["status"]["latestCreatedRevisionName"].as_str().filter(|name| !name.is_empty())
}

fn annotated(service: &Value) -> Option<&str> {
    service["metadata"]["annotations"][Kind::PRIMARY_REVISION].as_str().filter(|name| !name.is_empty())
}

fn annotation(name: &str) -> Value {
    json!({"metadata": {"annotations": {Kind::PRIMARY_REVISION: name}}})
}

/// The readiness of a revision, as Knative reports it. It is never stuck: the Canary's deadline does not apply. A
/// revision without pods, since nobody calls it, is ready.
fn readiness(release: &Release, name: &str, seen: &Objects) -> Readiness {
    let waiting = |why: String| Readiness::Waiting { why: why.into(), stuck_at: None };
    let id = revision_id(release, name);
    let Some(revision) = seen.get(&id) else {
        return waiting(missing("Knative Revision", &id));
    };
    let conditions = revision["status"]["conditions"].as_array();
    let ready = conditions.into_iter().flatten().find(|condition| condition["type"] == "Ready");
    match ready {
        Some(condition) if condition["status"] == "True" => Readiness::Ready,
        Some(condition) => {
            let message = condition["message"].as_str().or(condition["reason"].as_str()).unwrap_or_default();
            let detail = if message.is_empty() { String::new() } else { format!(": {message}") };
            waiting(format!("Knative Revision {name}.{} is not ready{detail}", release.namespace))
        }
        None => waiting(format!("Knative Revision {name}.{} is not ready", release.namespace)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::release::{Target, TargetKind};
    use crate::workload::testing::{noon, release as frontend};

    fn release() -> Release {
        let target = Target { kind: TargetKind::Knative, name: "podinfo".into() };
        Release { target, provider: crate::api::Provider::Knative, ..frontend() }
    }

    fn service(annotated: Option<&str>, latest: &str) -> Value {
        json!({
            "metadata": {
                "name": "podinfo", "namespace": "shop", "uid": "k-1", "resourceVersion": "7",
                "annotations": annotated.map(|name| json!({Kind::PRIMARY_REVISION: name})),
            },
            "spec": {"traffic": [{"latestRevision": true, "percent": 30}, {"revisionName": "podinfo-00001", "percent": 70}]},
            "status": {"latestCreatedRevisionName": latest},
        })
    }

    fn seen(service: Value, revisions: &[(&str, &str)]) -> Objects {
        let release = release();
        let mut objects = Objects::default();
        objects.insert(target_id(&release), Arc::new(service));
        for (name, ready) in revisions {
            let status = json!({"conditions": [{"type": "Ready", "status": ready, "message": "no image"}]});
            objects.insert(revision_id(&release, name), Arc::new(json!({"status": status})));
        }
        objects
    }

    fn patched(writes: Result<Vec<Write>, Error>) -> Value {
        let writes = writes.expect("no error");
        let [Write::Patch { patch, .. }] = &writes[..] else { panic!("one patch, not {writes:?}") };
        patch.clone()
    }

    // spec: 02/C74
    #[test]
    fn a_revision_is_known_by_the_hash_that_flagger_gives_it() {
        let facts = |name: &str| {
            let seen = seen(service(None, name), &[(name, "True")]);
            Knative.target(&release(), &Settings::default(), &seen, noon()).expect("a target").revision
        };
        assert_eq!(facts("podinfo-00001"), "5498f4fcd6");
        assert_eq!(facts("podinfo-00002"), "547d5765b7");
    }

    // spec: 02/C76
    #[test]
    fn the_first_revision_becomes_the_primary_and_the_traffic_waits_until_it_is_ready() {
        let seen = seen(service(None, "podinfo-00001"), &[]);
        assert_eq!(Knative.primary(&release(), &Settings::default(), &seen, noon()), None);
        let patch = patched(Knative.create_primary(&release(), &Settings::default(), &seen, "id"));
        assert_eq!(patch, json!({"metadata": {"annotations": {Kind::PRIMARY_REVISION: "podinfo-00001"}}}));
    }

    // spec: 02/C76 03/KN-05
    #[test]
    fn promotion_moves_the_annotation_to_the_latest_revision() {
        let seen = seen(service(Some("podinfo-00001"), "podinfo-00002"), &[("podinfo-00001", "True")]);
        let primary = Knative.primary(&release(), &Settings::default(), &seen, noon()).expect("a primary");
        assert!(!primary.matches_target && primary.readiness.is_ready());
        let patch = patched(Knative.promote(&release(), &Settings::default(), &seen, "id"));
        assert_eq!(patch, json!({"metadata": {"annotations": {Kind::PRIMARY_REVISION: "podinfo-00002"}}}));
    }

    // spec: 02/C76
    #[test]
    fn a_revision_that_is_not_ready_is_waited_for_with_its_reason() {
        let seen = seen(service(Some("podinfo-00001"), "podinfo-00002"), &[("podinfo-00002", "False")]);
        let facts = Knative.target(&release(), &Settings::default(), &seen, noon()).expect("a target");
        let why = "Knative Revision podinfo-00002.shop is not ready: no image".into();
        assert_eq!((facts.ready_pods, facts.readiness), (0, Readiness::Waiting { why, stuck_at: None }));
        let names: Vec<String> =
            Knative.named_reads(&release(), &seen).into_iter().map(|id| id.name).collect();
        assert_eq!(names, ["podinfo-00002", "podinfo-00001"]);
    }
}
