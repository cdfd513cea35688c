//! The Services in front of primary and canary, and the apex that users call (spec 03 §2).
//!
//! ```text
//! <apex>          selects the primary's pods: where traffic goes without a mesh
//! <apex>-primary  selects the primary's pods
//! <apex>-canary   selects the target's pods
//! ```
//!
//! A Service that this Canary created is its own: ports, selector, labels and annotations are as the manifest
//! says. One that was there before is taken over: its ports and selector change, all else stays the user's.

pub use crate::model::traffic::Side;
use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use self::ports::Wanted;
use super::Error;
use super::endpoints::SIDE;
use super::marks::{LAST_APPLIED, annotation, cleared, flux};
use super::owner::{Owner, of_sibling};
use crate::api::service::CustomMetadata;
use crate::model::object::{Kind, ObjectId, Objects, Write, adopted, merge_patch, owner_references};
use crate::model::release::{Release, TargetKind};
use crate::model::workload::{Presence, PrimaryShape, TargetShape};

mod ports;

/// The Service of a side.
pub fn id(release: &Release, side: Side) -> ObjectId {
    let name = match side {
        Side::Canary => release.canary_service(),
        Side::Primary => release.primary_service(),
        Side::Apex => release.apex.clone(),
    };
    Kind::SERVICE.at(&release.namespace, &name)
}

/// The Services that must be read; none where the target is a Service itself.
pub fn reads(release: &Release) -> Vec<ObjectId> {
    if !are_managed(release) {
        return Vec::new();
    }
    [Side::Canary, Side::Primary, Side::Apex].into_iter().map(|side| id(release, side)).collect()
}

/// Whether the Service exists and is as the manifest says.
pub fn presence(release: &Release, shape: &TargetShape, side: Side, seen: &Objects) -> Presence {
    match plan(release, shape, side, seen) {
        Err(error) => Presence::Refused(error.to_string()),
        Ok(writes) => Presence::of(&writes),
    }
}

/// The writes that create the Service, or bring it in line.
///
/// # Errors
/// If it would have to change and belongs to another Canary.
pub fn plan(release: &Release, shape: &TargetShape, side: Side, seen: &Objects) -> Result<Vec<Write>, Error> {
    if !are_managed(release) {
        return Ok(Vec::new());
    }
    let wanted = Service { release, shape, side, id: id(release, side) };
    let Some(live) = seen.get(&wanted.id) else {
        return Ok(vec![Write::Create { object: wanted.object(), id: wanted.id }]);
    };
    let owner = Owner::of(release, live);
    let write = Write::merge(wanted.id.clone(), live, &wanted.changes(live, &owner));
    match (owner, write) {
        (Owner::Sibling(canary), Some(_)) => Err(of_sibling(release, &wanted.id, &canary)),
        (_, write) => Ok(write.into_iter().collect()),
    }
}

/// The writes that give a taken-over apex Service back to its user. A Service that the Canary owns is deleted with it.
///
/// # Errors
/// If the configuration that the user applied cannot be read.
pub fn finalize(release: &Release, shape: &TargetShape, seen: &Objects) -> Result<Vec<Write>, Error> {
    let id = id(release, Side::Apex);
    let Some(live) = seen.get(&id).filter(|_| are_managed(release)) else { return Ok(Vec::new()) };
    if Owner::of(release, live) != Owner::Foreign {
        return Ok(Vec::new());
    }
    let applied: Value = match annotation(live, LAST_APPLIED) {
        Some(text) => serde_json::from_str(text).map_err(|error| {
            Error::Object(format!("{id} failed to unMarshal annotation {LAST_APPLIED}: {error}"))
        })?,
        None => Value::Null,
    };
    let mut spec = Map::new();
    if let Some(selector) = applied["spec"].get("selector").filter(|selector| selector.is_object()) {
        spec.extend(whole("selector", &live["spec"], selector));
        spec.extend(
            applied["spec"]["ports"].as_array().and_then(|ports| ports::restored(&live["spec"], ports)),
        );
    } else {
        let selector = json!({shape.label_key.as_str(): shape.label_value});
        spec.extend(whole("selector", &live["spec"], &selector));
    }
    let annotations = cleared(live, &applied["metadata"]["annotations"]);
    Ok(Write::merge(id, live, &json!({"metadata": {"annotations": annotations}, "spec": spec}))
        .into_iter()
        .collect())
}

/// Whether the target is a workload with pods; a target that is a Service itself is copied instead.
fn are_managed(release: &Release) -> bool {
    matches!(release.target.kind, TargetKind::Deployment | TargetKind::DaemonSet)
}

/// One of the three Services, with all that decides how it should be.
struct Service<'a> {
    release: &'a Release,
    shape: &'a TargetShape,
    side: Side,
    id: ObjectId,
}

impl Service<'_> {
    fn object(&self) -> Value {
        let service = &self.release.service;
        let mut spec = json!({
            "type": "ClusterIP",
            "selector": self.selector(),
            "ports": self.ports().iter().map(|port| port.over(&Value::Null, true)).collect::<Vec<_>>(),
        });
        if service.headless.unwrap_or(false) {
            spec["clusterIP"] = json!("None");
        }
        if let Some(distribution) = self.traffic_distribution() {
            spec["trafficDistribution"] = json!(distribution);
        }
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": self.id.name,
                "namespace": self.id.namespace,
                "labels": self.labels(&Value::Null),
                "annotations": self.annotations(&Value::Null),
                "ownerReferences": owner_references(&self.release.name, &self.release.uid),
            },
            "spec": spec,
        })
    }

    /// The merge patch that brings the live Service in line.
    fn changes(&self, live: &Value, owner: &Owner) -> Value {
        let ours = *owner == Owner::Ours;
        let mut spec = Map::new();
        spec.extend(ports::changed(&live["spec"], &self.ports(), ours));
        spec.extend(whole("selector", &live["spec"], &self.selector()));
        match self.traffic_distribution() {
            Some(distribution) => {
                spec.insert("trafficDistribution".to_owned(), json!(distribution));
            }
            None if ours => {
                spec.insert("trafficDistribution".to_owned(), Value::Null);
            }
            None => {}
        }
        let live_metadata = &live["metadata"];
        let mut metadata = Map::new();
        if ours {
            let owners = adopted(live, &self.release.name, &self.release.uid);
            metadata.extend(owners.map(|owners| ("ownerReferences".to_owned(), owners)));
            metadata.extend(whole("labels", live_metadata, &self.labels(&live_metadata["labels"])));
            metadata.extend(whole(
                "annotations",
                live_metadata,
                &self.annotations(&live_metadata["annotations"]),
            ));
        } else if Write::merge(self.id.clone(), live, &json!({"spec": spec})).is_some() {
            // The marks for Flux come with a change; they alone are no reason to touch a user's Service.
            metadata.insert("annotations".to_owned(), Value::Object(flux()));
        }
        json!({"metadata": metadata, "spec": spec})
    }

    /// The pods of the target, or those of the primary: whatever the target becomes, traffic goes to the primary that
    /// there is.
    fn pods(&self) -> PrimaryShape {
        let TargetShape { label_key, label_value, ports, .. } = self.shape.clone();
        match self.side {
            Side::Canary => PrimaryShape { label_key, label_value, ports },
            Side::Primary | Side::Apex => self.shape.of_primary(),
        }
    }

    fn selector(&self) -> Value {
        let PrimaryShape { label_key, label_value, .. } = self.pods();
        json!({label_key: label_value})
    }

    fn ports(&self) -> Vec<Wanted> {
        ports::wanted(&self.release.service, &self.pods().ports)
    }

    fn traffic_distribution(&self) -> Option<&str> {
        self.release.service.traffic_distribution.as_deref().filter(|text| !text.is_empty())
    }

    fn block(&self) -> Option<&CustomMetadata> {
        let service = &self.release.service;
        match self.side {
            Side::Canary => service.canary.as_ref(),
            Side::Primary => service.primary.as_ref(),
            Side::Apex => service.apex.as_ref(),
        }
    }

    /// Labels of a Service of ours; `live` are those that it has.
    fn labels(&self, live: &Value) -> Value {
        let unmanaged =
            self.release.service.unmanaged_metadata.as_ref().and_then(|keys| keys.labels.as_ref());
        let mut labels = metadata(self.block().and_then(|block| block.labels.as_ref()), unmanaged, live);
        labels.insert(self.pods().label_key, json!(self.id.name));
        match self.side {
            Side::Primary => labels.insert(SIDE.to_owned(), json!("primary")),
            Side::Canary => labels.insert(SIDE.to_owned(), json!("canary")),
            Side::Apex => None,
        };
        Value::Object(labels)
    }

    fn annotations(&self, live: &Value) -> Value {
        let unmanaged =
            self.release.service.unmanaged_metadata.as_ref().and_then(|keys| keys.annotations.as_ref());
        let mut annotations =
            metadata(self.block().and_then(|block| block.annotations.as_ref()), unmanaged, live);
        annotations.extend(flux());
        Value::Object(annotations)
    }
}

/// The labels or annotations that a Service should have: those of the manifest, and the live values of the keys that
/// the manifest lists as unmanaged.
fn metadata(
    block: Option<&BTreeMap<String, String>>,
    unmanaged: Option<&Vec<String>>,
    live: &Value,
) -> Map<String, Value> {
    let mut map: Map<_, _> =
        block.into_iter().flatten().map(|(key, value)| (key.clone(), json!(value))).collect();
    let kept = unmanaged.into_iter().flatten().filter_map(|key| Some((key.clone(), live.get(key)?.clone())));
    map.extend(kept);
    map
}

/// The change of a field that makes it exactly `wanted`, with nothing else left in it.
fn whole(field: &str, live: &Value, wanted: &Value) -> Option<(String, Value)> {
    let present = live.get(field).unwrap_or(&Value::Null);
    merge_patch(present, wanted).map(|change| (field.to_owned(), change))
}

#[cfg(test)]
mod tests;
