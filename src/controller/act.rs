//! Carrying out a plan: its writes in order, the status last and under the version that was observed. Each write
//! is made from the objects of the same observation as the decision, and valid only for them.

use std::borrow::Cow;
use std::sync::{Arc, Once};

use chrono::{DateTime, Utc};
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Map, Value, json};
use thiserror::Error;
use tracing::warn;

use crate::api::status::CanaryStatus;
use crate::model::object::{Kind, ObjectId, Objects, Write, merge_patch};
use crate::model::release::Settings;
use crate::rollout::{Effect, Plan, Side, status};
use crate::router::{View, plan, services};
use crate::workload::config;

use super::caches::{Caches, plain, resource};
use super::client::CallError;
use super::clock::Clock;
use super::ids::Ids;
use super::memory::{Memory, Refused};
use super::observe::{FINALIZER, Scene};

/// Why a plan was not carried out to its end.
#[derive(Debug, Error)]
pub enum Error {
    /// Somebody else has written the object since it was observed.
    #[error("{0} has changed meanwhile")]
    Conflict(ObjectId),
    /// This process does not lead any more.
    #[error(transparent)]
    NotLeading(#[from] super::fence::NotLeading),
    /// The manifest or an object stands in the way; the text is for the user.
    #[error("{0}")]
    Refused(String),
    /// The API refused or failed; the text is for the user.
    #[error("{0}")]
    Api(String),
}

/// Carries out plans.
pub struct Writer<'a> {
    /// The objects as they were last seen.
    pub caches: &'a Caches,
    /// What the flags say about releases.
    pub settings: &'a Settings,
    /// The source of ids for promotions.
    pub ids: &'a Ids,
    /// Tells when the writes of a plan were made.
    pub clock: Clock,
}

impl Writer<'_> {
    /// Writes what `plan` says about the objects of `scene`. Stops at the first failure. Gives the number of writes
    /// that it took.
    ///
    /// # Errors
    /// If a write fails; everything before it is done, the status is not.
    pub async fn carry_out(
        &self,
        plan: &Plan,
        scene: &Scene,
        observed: &CanaryStatus,
        memory: &mut Memory,
        now: DateTime<Utc>,
    ) -> Result<usize, Error> {
        let mut writes = 0;
        for effect in &plan.effects {
            let objects = self.with_contents(effect, scene).await?;
            for write in self.writes(effect, scene, &objects)? {
                self.write(write, memory, now).await?;
                writes += 1;
            }
        }
        let wanted = status::as_of(&plan.status, now, self.clock.now());
        let recorded = self.status(&scene.canary, observed, &wanted, memory, now).await?;
        Ok(writes + usize::from(recorded))
    }

    /// Writes `wanted` unless it is what was `observed`; whether it wrote.
    ///
    /// # Errors
    /// If the write fails.
    pub async fn status(
        &self,
        canary: &Arc<Value>,
        observed: &CanaryStatus,
        wanted: &CanaryStatus,
        memory: &mut Memory,
        now: DateTime<Utc>,
    ) -> Result<bool, Error> {
        if !status::differs(observed, wanted) {
            return Ok(false);
        }
        let id = id_of(canary);
        let wanted = serde_json::to_value(wanted).map_err(|error| Error::Api(error.to_string()))?;
        let mut patch = json!({"metadata": {"resourceVersion": canary["metadata"]["resourceVersion"]}});
        match &canary["status"] {
            Value::Object(live) => {
                let Some(change) = merge_patch(&Value::Object(live.clone()), &wanted) else {
                    memory.dropped_fields.clear();
                    return Ok(false);
                };
                patch["status"] = change;
            }
            _ => patch["status"] = wanted.clone(),
        }
        let api = self.api(&id);
        let written = api
            .patch_status(&id.name, &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .map_err(|error| {
                let error = self.noted(failed(error, &id, "status update"), memory);
                if matches!(error, Error::Refused(_) | Error::Api(_)) {
                    let times = memory.status_refused.take().map_or(0, |before| before.times);
                    let (times, why) = (times.saturating_add(1), error.to_string());
                    memory.status_refused = Some(Refused { times, why, at: now });
                }
                error
            })?;
        memory.status_refused = None;
        memory.dropped_fields = lost(wanted, &written.data["status"]);
        complain_about_lost(&id, &memory.dropped_fields);
        self.remember(id, written, memory, now);
        Ok(true)
    }

    /// The objects of `scene`; where the effect copies ConfigMaps or Secrets, with their contents. No cache has
    /// those: they are read at this moment, and refused if they are not what was decided on.
    async fn with_contents<'a>(&self, effect: &Effect, scene: &'a Scene) -> Result<Cow<'a, Objects>, Error> {
        let seen = &scene.objects;
        if !matches!(effect, Effect::CreatePrimary | Effect::Promote) {
            return Ok(Cow::Borrowed(seen));
        }
        let wanted = scene.workload.contents(&scene.release, self.settings, seen);
        let mut objects = seen.clone();
        for id in wanted.map_err(|error| Error::Refused(error.to_string()))? {
            let read = self.api(&id).get(&id.name).await.map_err(|error| unread(error, &id))?;
            let Some(object) = plain(read).map(Arc::new) else { continue };
            if !seen.get(&id).is_some_and(|observed| config::holds_the_same(&object, observed)) {
                return Err(Error::Conflict(id));
            }
            objects.insert(id, object);
        }
        Ok(Cow::Owned(objects))
    }

    /// Takes our finalizer from a Canary that is being deleted; whether there was one.
    ///
    /// # Errors
    /// If the write fails.
    pub async fn let_go(
        &self,
        canary: &Arc<Value>,
        memory: &mut Memory,
        now: DateTime<Utc>,
    ) -> Result<bool, Error> {
        let held = canary["metadata"]["finalizers"].as_array();
        if !held.is_some_and(|all| all.iter().any(|name| name == FINALIZER)) {
            return Ok(false);
        }
        for write in finalizers(canary, |all| all.retain(|name| name != FINALIZER)) {
            self.write(write, memory, now).await?;
        }
        Ok(true)
    }

    /// ConfigMaps and Secrets that have the Canary among their owners, as far as they are watched.
    fn owned(&self, scene: &Scene) -> Objects {
        let uid = &scene.canary["metadata"]["uid"];
        let is_owned = |object: &Value| {
            let owners = object["metadata"]["ownerReferences"].as_array();
            owners.into_iter().flatten().any(|owner| &owner["uid"] == uid)
        };
        let all = config::KINDS
            .into_iter()
            .flat_map(|kind| self.caches.in_namespace(kind, &scene.release.namespace))
            .filter(|(_, object)| is_owned(object));
        all.collect()
    }

    /// The writes of an effect on the objects of `scene`, which are not made.
    ///
    /// # Errors
    /// If something stands in the way of them.
    pub fn foresee(&self, effect: &Effect, scene: &Scene) -> Result<Vec<Write>, Error> {
        self.writes(effect, scene, &scene.objects)
    }

    fn writes(&self, effect: &Effect, scene: &Scene, objects: &Objects) -> Result<Vec<Write>, Error> {
        let Scene { release, shape, workload, router, .. } = scene;
        let settings = self.settings;
        let view = View { release, shape, settings, seen: objects };
        let refused = |error: &dyn std::fmt::Display| Error::Refused(error.to_string());
        match effect {
            Effect::Service(Side::Canary) if workload.canary_service(release, objects).is_some() => workload
                .canary_service(release, objects)
                .unwrap_or(Ok(Vec::new()))
                .map_err(|error| refused(&error)),
            Effect::Service(side) => {
                services::plan(release, shape, *side, objects).map_err(|error| refused(&error))
            }
            Effect::CreatePrimary => workload
                .create_primary(release, settings, objects, &self.ids.uuid())
                .map_err(|error| refused(&error)),
            Effect::RebuildPrimary => Ok(scene.lost_primary.iter().map(|(id, was)| again(id, was)).collect()),
            Effect::Scaler => {
                workload.reconcile_scaler(release, settings, objects, true).map_err(|error| refused(&error))
            }
            Effect::PauseScaler => Ok(workload.pause_scaler(release, objects)),
            Effect::ResumeScaler => Ok(workload.resume_scaler(release, objects)),
            Effect::ScaleUp => Ok(workload.scale_up(release, objects)),
            Effect::Renew => Ok(workload.renew(release, settings, objects)),
            Effect::ScaleToZero => Ok(workload.scale_to_zero(release, objects)),
            Effect::Promote => workload
                .promote(release, settings, objects, &self.ids.uuid())
                .map_err(|error| refused(&error)),
            Effect::Prune => Ok(workload.prune(release, objects, &self.owned(scene))),
            Effect::Route(cleared) => {
                plan::routes(*router, &view, cleared.wish()).map_err(|error| refused(&error))
            }
            Effect::AddFinalizer => Ok(finalizers(&scene.canary, |all| all.push(FINALIZER.to_owned()))),
            Effect::RemoveFinalizer => {
                Ok(finalizers(&scene.canary, |all| all.retain(|name| name != FINALIZER)))
            }
            Effect::RevertTarget => Ok(workload.revert(release, objects)),
            Effect::RevertService => {
                services::finalize(release, shape, objects).map_err(|error| refused(&error))
            }
            Effect::Groundwork => plan::groundwork(*router, &view).map_err(|error| refused(&error)),
            Effect::RemoveRoutes => plan::removal(*router, &view).map_err(|error| refused(&error)),
            Effect::RevertRoutes => plan::restoration(*router, &view).map_err(|error| refused(&error)),
        }
    }

    async fn write(&self, write: Write, memory: &mut Memory, now: DateTime<Utc>) -> Result<(), Error> {
        let id = write.id().clone();
        let api = self.api(&id);
        let written = match write {
            Write::Create { object, .. } => {
                let object: DynamicObject = serde_json::from_value(object)
                    .map_err(|error| Error::Refused(format!("{id}: {error}")))?;
                api.create(&PostParams::default(), &object)
                    .await
                    .map_err(|error| self.noted(failed(error, &id, "create"), memory))?
            }
            Write::Patch { resource_version, mut patch, .. } => {
                if !resource_version.is_empty() {
                    patch["metadata"]["resourceVersion"] = json!(resource_version);
                }
                api.patch(&id.name, &PatchParams::default(), &Patch::Merge(&patch))
                    .await
                    .map_err(|error| self.noted(failed(error, &id, "update"), memory))?
            }
            Write::Delete { .. } => {
                return match api.delete(&id.name, &DeleteParams::default()).await {
                    Ok(_) => Ok(()),
                    Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
                    Err(error) => Err(failed(error, &id, "delete")),
                };
            }
        };
        self.remember(id, written, memory, now);
        Ok(())
    }

    /// Doubts what we see of a kind when our writes to it keep coming too late.
    fn noted(&self, error: Error, memory: &mut Memory) -> Error {
        if let Error::Conflict(id) = &error
            && memory.too_late(id.kind)
        {
            self.caches.doubt(id.kind);
        }
        error
    }

    fn remember(&self, id: ObjectId, written: DynamicObject, memory: &mut Memory, now: DateTime<Utc>) {
        memory.wrote(id, written.metadata.resource_version.as_deref(), now);
    }

    fn api(&self, id: &ObjectId) -> Api<DynamicObject> {
        let (client, resource) = (self.caches.client(id.kind).clone(), resource(id.kind));
        if id.namespace.is_empty() {
            Api::all_with(client, &resource)
        } else {
            Api::namespaced_with(client, &id.namespace, &resource)
        }
    }
}

/// Creates an object as it was when it was last seen.
fn again(id: &ObjectId, was: &Value) -> Write {
    let mut object = was.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    let metadata = object["metadata"].as_object().cloned().unwrap_or_default();
    let kept = ["name", "namespace", "labels", "annotations", "ownerReferences"];
    object["metadata"] = metadata.into_iter().filter(|(field, _)| kept.contains(&field.as_str())).collect();
    Write::Create { id: id.clone(), object }
}

/// What of `wanted` the cluster did not keep.
fn lost(wanted: Value, kept: &Value) -> Map<String, Value> {
    let Value::Object(mut fields) = wanted else { return Map::new() };
    fields.retain(|field, _| kept.get(field.as_str()).is_none());
    fields
}

/// Says once that the cluster does not keep all of our status: its CRD is older than this controller.
fn complain_about_lost(id: &ObjectId, lost: &Map<String, Value>) {
    static SAID: Once = Once::new();
    if !lost.is_empty() {
        let fields: Vec<&str> = lost.keys().map(String::as_str).collect();
        SAID.call_once(|| {
            warn!(
                canary = format!("{}.{}", id.name, id.namespace),
                "the Canary CRD of this cluster does not know status.{}: apply the CRDs of this version (vexil crds)",
                fields.join(", status.")
            );
        });
    }
}

/// The name of a Canary object.
pub fn id_of(canary: &Value) -> ObjectId {
    let text = |field: &str| canary["metadata"][field].as_str().unwrap_or_default().to_owned();
    Kind::CANARY.at(&text("namespace"), &text("name"))
}

fn finalizers(canary: &Value, edit: impl FnOnce(&mut Vec<String>)) -> Vec<Write> {
    let mut all: Vec<String> = canary["metadata"]["finalizers"]
        .as_array()
        .map(|names| names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect())
        .unwrap_or_default();
    edit(&mut all);
    vec![Write::patch(id_of(canary), canary, json!({"metadata": {"finalizers": all}}))]
}

/// What it means that a ConfigMap or Secret cannot be read.
fn unread(error: kube::Error, id: &ObjectId) -> Error {
    match &error {
        kube::Error::Api(status) if status.code == 404 => Error::Conflict(id.clone()),
        kube::Error::Api(status) => {
            let called = id.kind.kind.to_lowercase();
            Error::Api(format!("{called} {}.{} get query error: {}", id.name, id.namespace, status.message))
        }
        _ => failed(error, id, "get query"),
    }
}

fn failed(error: kube::Error, id: &ObjectId, action: &str) -> Error {
    if let Some(CallError::NotLeading(not_leading)) = CallError::find(&error) {
        return Error::NotLeading(*not_leading);
    }
    match error {
        // An object that is there already, or is not any more, was seen too late: the caches will tell.
        kube::Error::Api(status) if status.code == 409 || (status.code == 404 && action == "update") => {
            Error::Conflict(id.clone())
        }
        kube::Error::Api(status) => Error::Api(format!("{id} {action} error: {}", status.message)),
        other => Error::Api(format!("{id} {action} error: {other}")),
    }
}
