//! Workloads that run pods from a template (spec 02 §3): all that a Deployment and a DaemonSet have in common as
//! targets. The primary is a second object of the same kind. A new kind says what is its own in [`Templated`].

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::config::{self, Occasion, Tracked};
use super::live::{self, find};
use super::primary::{Copied, Twin};
use super::readiness::{Standard, about};
use super::{Error, Workload, owner, revision, scaler, shape};
use crate::model::object::{Kind, ObjectId, Objects, Write, adopted};
use crate::model::release::{Release, Settings};
use crate::model::workload::{PrimaryFacts, Readiness, Subject, TargetFacts, TargetShape};

/// A kind of workload that runs pods from a template, by what sets it apart from the others.
pub(super) trait Templated: Send + Sync {
    const KIND: Kind;

    /// The fields of `spec` that the primary has from the target, besides template and replicas.
    const COPIED: &'static [Copied];

    /// The target of this title, as the reasons why it is not ready speak of it.
    fn canary_called(&self, title: String) -> Subject;

    /// The primary of this title, as the reasons why it is not ready speak of it.
    fn primary_called(&self, title: String) -> Subject;

    /// Fails if a target of this kind is written in a way that cannot be released.
    ///
    /// # Errors
    /// With the field and its value.
    fn check(&self, _release: &Release, _target: &Value) -> Result<(), Error> {
        Ok(())
    }

    /// The pod template as the user wrote it, without what parks the workload.
    fn template(&self, workload: &Value) -> Value {
        workload["spec"]["template"].clone()
    }

    /// The replicas that the workload asks for; 0 means that it is parked.
    fn replicas(&self, workload: &Value) -> i32;

    /// The pods that can serve now.
    fn ready_pods(&self, workload: &Value) -> i32;

    /// Whether a change of `primary`'s template after `target` replaces all its pods at once.
    fn replaces_at_once(&self, target: &Value, primary: &Value) -> bool;

    fn readiness(&self, workload: &Value, standard: Standard) -> Readiness;

    /// The replicas that the primary is created with, or gets with a promotion; `None` for a kind that has none.
    fn primary_replicas(&self, release: &Release, target: &Value, primary: Option<&Value>) -> Option<i32>;

    /// The merge patch that takes the target's pods away.
    fn parked(&self, target: &Value) -> Value;

    /// The merge patch that gives the target pods again.
    fn unparked(&self, release: &Release, target: &Value, seen: &Objects) -> Value;

    /// The merge patch that gives the target back what it had, when its Canary goes.
    fn reverted(&self, release: &Release, target: &Value, seen: &Objects) -> Value {
        self.unparked(release, target, seen)
    }
}

impl<T: Templated> Workload for T {
    fn reads(&self, release: &Release) -> Vec<ObjectId> {
        let mut ids = vec![target_id::<T>(release), primary_id::<T>(release)];
        ids.extend(scaler::of(release).into_iter().flat_map(|scaler| scaler.reads()));
        ids
    }

    fn images(&self, release: &Release, seen: &Objects) -> Vec<String> {
        find(seen, &target_id::<T>(release)).map(live::images).unwrap_or_default()
    }

    fn shape(&self, release: &Release, settings: &Settings, seen: &Objects) -> Result<TargetShape, Error> {
        let id = target_id::<T>(release);
        shape::shape(release, settings, &id, find(seen, &id)?, seen.get(&primary_id::<T>(release)))
    }

    fn primary_id(&self, release: &Release) -> Option<ObjectId> {
        Some(primary_id::<T>(release))
    }

    fn config_reads(&self, release: &Release, seen: &Objects) -> Vec<ObjectId> {
        find(seen, &target_id::<T>(release))
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
        let target = find(seen, &target_id::<T>(release))?;
        self.check(release, target)?;
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
            revision: revision::revision(&self.template(target)),
            replicas: self.replicas(target),
            ready_pods: self.ready_pods(target),
            readiness: about(self.canary_called(release.target_title()), self.readiness(target, standard)),
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
        let primary = seen.get(&primary_id::<T>(release))?;
        let standard = Standard {
            threshold: release.analysis.primary_ready_threshold,
            scaled_from: scaler::of(release).map(|scaler| scaler.least_of_primary(seen)),
            deadline: release.progress_deadline,
            now,
        };
        let twin = twin(self, release, settings, seen);
        Some(PrimaryFacts {
            replicas: self.replicas(primary),
            ready_pods: self.ready_pods(primary),
            readiness: about(
                self.primary_called(format!("{}.{}", release.primary_name(), release.namespace)),
                self.readiness(primary, standard),
            ),
            matches_target: twin.as_ref().is_ok_and(|twin| twin.matches(primary)),
            other_configs: twin.is_ok_and(|twin| !twin.agrees(primary)),
            replaced_at_once: seen
                .get(&target_id::<T>(release))
                .is_some_and(|target| self.replaces_at_once(target, primary)),
        })
    }

    fn create_primary(
        &self,
        release: &Release,
        settings: &Settings,
        seen: &Objects,
        id: &str,
    ) -> Result<Vec<Write>, Error> {
        let primary = primary_id::<T>(release);
        if let Some(present) = seen.get(&primary) {
            owner::check(release, &primary, present)?;
            let owners = adopted(present, &release.name, &release.uid);
            let changes = owners.map(|owners| json!({"metadata": {"ownerReferences": owners}}));
            return Ok(changes
                .and_then(|changes| Write::merge(primary, present, &changes))
                .into_iter()
                .collect());
        }
        let target = find(seen, &target_id::<T>(release))?;
        self.check(release, target)?;
        let failed = |error: Error| error.within(&format!("createPrimary{} failed", T::KIND.kind));
        let twin = twin(self, release, settings, seen).map_err(failed)?;
        let copies = twin
            .copies(Occasion::Creation)
            .map_err(|error| failed(error.within("CreatePrimaryConfigs failed")))?;
        let mut object = twin.object(&primary, &copies, id);
        if let Some(replicas) = self.primary_replicas(release, target, None) {
            object["spec"]["replicas"] = json!(replicas);
        }
        Ok(copies.around([Write::Create { id: primary, object }]))
    }

    fn promote(
        &self,
        release: &Release,
        settings: &Settings,
        seen: &Objects,
        id: &str,
    ) -> Result<Vec<Write>, Error> {
        let primary_id = primary_id::<T>(release);
        let (target, primary) = (find(seen, &target_id::<T>(release))?, find(seen, &primary_id)?);
        owner::check(release, &primary_id, primary)?;
        let twin = twin(self, release, settings, seen)?;
        let copies = twin.copies(Occasion::Promotion)?;
        let mut changes = twin.promotion(primary, &copies, id);
        if let Some(replicas) = self.primary_replicas(release, target, Some(primary)) {
            changes["spec"]["replicas"] = json!(replicas);
        }
        Ok(copies.around(Write::merge(primary_id, primary, &changes)))
    }

    fn contents(
        &self,
        release: &Release,
        settings: &Settings,
        seen: &Objects,
    ) -> Result<Vec<ObjectId>, Error> {
        // As long as there is no primary one is created.
        let occasion = match seen.get(&primary_id::<T>(release)) {
            Some(_) => Occasion::Promotion,
            None => Occasion::Creation,
        };
        twin(self, release, settings, seen)?.contents(occasion)
    }

    fn prune(&self, release: &Release, seen: &Objects, owned: &Objects) -> Vec<Write> {
        let primary = seen.get(&primary_id::<T>(release));
        primary.map_or_else(Vec::new, |primary| config::prune(release, &primary["spec"]["template"], owned))
    }

    fn renew(&self, release: &Release, settings: &Settings, seen: &Objects) -> Vec<Write> {
        change::<T>(release, seen, |target| match self.replicas(target) {
            0 => json!({}),
            _ => config::renewal(release, settings, &target["spec"]["template"], seen),
        })
    }

    fn scale_to_zero(&self, release: &Release, seen: &Objects) -> Vec<Write> {
        change::<T>(release, seen, |target| self.parked(target))
    }

    fn scale_up(&self, release: &Release, seen: &Objects) -> Vec<Write> {
        change::<T>(release, seen, |target| self.unparked(release, target, seen))
    }

    fn revert(&self, release: &Release, seen: &Objects) -> Vec<Write> {
        change::<T>(release, seen, |target| self.reverted(release, target, seen))
    }
}

fn target_id<T: Templated>(release: &Release) -> ObjectId {
    T::KIND.at(&release.namespace, &release.target.name)
}

pub(super) fn primary_id<T: Templated>(release: &Release) -> ObjectId {
    T::KIND.at(&release.namespace, &release.primary_name())
}

fn twin<'a, T: Templated>(
    workload: &T,
    release: &'a Release,
    settings: &'a Settings,
    seen: &'a Objects,
) -> Result<Twin<'a>, Error> {
    let id = target_id::<T>(release);
    let target = find(seen, &id)?;
    let primary = seen.get(&primary_id::<T>(release));
    Twin::new(release, settings, &id, target, workload.template(target), primary, T::COPIED, seen)
}

/// The write that brings a merge patch to the target, if it is there and lacks any of it.
fn change<T: Templated>(release: &Release, seen: &Objects, patch: impl Fn(&Value) -> Value) -> Vec<Write> {
    let id = target_id::<T>(release);
    let Some(target) = seen.get(&id) else { return Vec::new() };
    Write::merge(id, target, &patch(target)).into_iter().collect()
}
