//! Autoscalers (spec 02 §5): the primary gets a twin of the target's. A new kind is a file and a line in [`of`].

use serde_json::{Map, Value, json};

use super::inherited::is_flux;
use super::live::missing;
use super::{Error, owner};
use crate::model::object::{Kind, ObjectId, Objects, Write, adopted, merge_patch, owner_references};
use crate::model::release::{Autoscaler, Release, ScalerKind, Settings, TargetKind};
use crate::model::workload::Presence;

mod hpa;
mod scaled_object;

/// A kind of autoscaler.
pub(super) trait Kindred: Send + Sync {
    fn kind(&self) -> Kind;

    /// The name of the kind in messages.
    fn called(&self) -> &'static str;

    /// The spec of the twin: that of the source, with the primary as the workload to scale.
    fn spec(&self, release: &Release, scaler: &Autoscaler, source: &Value) -> Value;

    /// The annotations that are copied from the source to the twin.
    fn annotations(&self, settings: &Settings, source: &Value) -> Map<String, Value>;

    /// Field of the spec that holds the lower bound.
    fn lower_bound(&self) -> &'static str;

    /// Annotation that stops the autoscaler, if it needs one.
    fn pause_annotation(&self) -> Option<(&'static str, &'static str)>;
}

/// The autoscaler of a release's target (the source), and its copy for the primary (the twin).
pub(super) struct Scaler<'a> {
    release: &'a Release,
    scaler: &'a Autoscaler,
    kindred: &'static dyn Kindred,
}

/// The autoscaler that the release names, if it names one and the target has pods to scale.
pub(super) fn of(release: &Release) -> Option<Scaler<'_>> {
    let scaled = matches!(release.target.kind, TargetKind::Deployment | TargetKind::DaemonSet);
    let scaler = release.autoscaler.as_ref().filter(|_| scaled)?;
    let kindred: &dyn Kindred = match scaler.kind {
        ScalerKind::HorizontalPodAutoscaler => &hpa::Hpa,
        ScalerKind::ScaledObject => &scaled_object::ScaledObject,
    };
    Some(Scaler { release, scaler, kindred })
}

impl Scaler<'_> {
    /// The objects that have to be read: source and twin.
    pub fn reads(&self) -> [ObjectId; 2] {
        [self.source_id(), self.twin_id()]
    }

    /// Lower bound of the target's autoscaler.
    pub fn min_replicas(&self, seen: &Objects) -> Option<i32> {
        let bound = &seen.get(&self.source_id())?["spec"][self.kindred.lower_bound()];
        bound.as_i64().and_then(|bound| i32::try_from(bound).ok())
    }

    /// The lowest number of pods that the source keeps while the target has any.
    pub fn least(&self, seen: &Objects) -> i32 {
        self.min_replicas(seen).unwrap_or(1).max(1)
    }

    /// The lowest number of pods that the twin keeps.
    pub fn least_of_primary(&self, seen: &Objects) -> i32 {
        self.scaler.primary_min.map_or_else(|| self.least(seen), |least| least.max(1))
    }

    /// Whether the twin exists; with `update` also whether it agrees with its source.
    pub fn presence(&self, settings: &Settings, seen: &Objects, update: bool) -> Presence {
        match self.reconcile(settings, seen, update) {
            Err(error) => Presence::Refused(error.to_string()),
            Ok(None) => Presence::InPlace,
            Ok(Some(Write::Create { .. })) => Presence::Absent,
            Ok(Some(_)) => Presence::Drifted,
        }
    }

    /// Creates the twin; with `update` also changes it after its source.
    ///
    /// # Errors
    /// If there is no source, or another controller owns the object with the twin's name.
    pub fn reconcile(
        &self,
        settings: &Settings,
        seen: &Objects,
        update: bool,
    ) -> Result<Option<Write>, Error> {
        let (source_id, twin_id) = (self.source_id(), self.twin_id());
        let source =
            seen.get(&source_id).ok_or_else(|| Error::Missing(missing(self.kindred.called(), &source_id)))?;
        let Some(twin) = seen.get(&twin_id) else {
            return Ok(Some(Write::Create { object: self.twin(settings, source, &twin_id), id: twin_id }));
        };
        owner::check(self.release, &twin_id, twin)?;
        if !update {
            return Ok(None);
        }
        let wanted = self.kindred.spec(self.release, self.scaler, source);
        let mut changes = json!({
            "metadata": {"labels": labels(source), "annotations": self.kindred.annotations(settings, source)},
            "spec": merge_patch(&twin["spec"], &wanted).unwrap_or_else(|| json!({})),
        });
        if let Some(owners) = adopted(twin, &self.release.name, &self.release.uid) {
            changes["metadata"]["ownerReferences"] = owners;
        }
        Ok(Write::merge(twin_id, twin, &changes))
    }

    /// Stops the target's autoscaler.
    pub fn pause(&self, seen: &Objects) -> Option<Write> {
        let (key, value) = self.kindred.pause_annotation()?;
        self.annotate(seen, key, json!(value))
    }

    /// Lets the target's autoscaler work again.
    pub fn resume(&self, seen: &Objects) -> Option<Write> {
        let (key, _) = self.kindred.pause_annotation()?;
        let source = seen.get(&self.source_id())?;
        if source["metadata"]["annotations"][key].is_null() {
            None
        } else {
            self.annotate(seen, key, Value::Null)
        }
    }

    fn annotate(&self, seen: &Objects, key: &str, value: Value) -> Option<Write> {
        let id = self.source_id();
        let source = seen.get(&id)?;
        Write::merge(id, source, &json!({"metadata": {"annotations": {key: value}}}))
    }

    fn twin(&self, settings: &Settings, source: &Value, id: &ObjectId) -> Value {
        let mut metadata = json!({
            "name": id.name,
            "namespace": id.namespace,
            "ownerReferences": owner_references(&self.release.name, &self.release.uid),
        });
        for (field, map) in
            [("labels", labels(source)), ("annotations", self.kindred.annotations(settings, source))]
        {
            if !map.is_empty() {
                metadata[field] = Value::Object(map);
            }
        }
        json!({
            "apiVersion": id.kind.api_version(),
            "kind": id.kind.kind,
            "metadata": metadata,
            "spec": self.kindred.spec(self.release, self.scaler, source),
        })
    }

    fn source_id(&self) -> ObjectId {
        self.kindred.kind().at(&self.release.namespace, &self.scaler.name)
    }

    fn twin_id(&self) -> ObjectId {
        self.kindred.kind().at(&self.release.namespace, &format!("{}-primary", self.scaler.name))
    }
}

/// The labels that are copied from the source to the twin: all but those of Flux.
fn labels(source: &Value) -> Map<String, Value> {
    let labels = source["metadata"]["labels"].as_object().into_iter().flatten();
    labels.filter(|(key, _)| !is_flux(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Sets the bounds that the manifest gives for the primary's autoscaler.
fn override_bounds(spec: &mut Value, scaler: &Autoscaler, min: &str, max: &str) {
    for (field, bound) in [(min, scaler.primary_min), (max, scaler.primary_max)] {
        if let Some(bound) = bound {
            json_patch::merge(spec, &json!({field: bound}));
        }
    }
}

#[cfg(test)]
mod tests;
