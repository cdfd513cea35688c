//! From what a router wants to writes: the one place that creates, owns, takes over, brings in line, refuses, deletes
//! and gives back, for every mesh alike.

use serde_json::{Map, Value, json};

use super::live::{is_nothing, same};
use super::marks::{FLUX, LAST_APPLIED, ORIGINAL, ORIGINAL_METADATA, annotation, cleared};
use super::overlay::{fresh, laid_over};
use super::owner::{MADE_BY, Owner, made_by, of_sibling};
use super::{Desired, Error, Router, View};
use crate::model::object::{ObjectId, Write, adopted, controller, merge_patch, owner_references};
use crate::model::release::{Release, Settings};
use crate::model::traffic::RouteWish;

/// The writes that bring the mesh from what is seen to what is wished; none if it is there. A crash between any two
/// of them is mended by planning again.
///
/// # Errors
/// If the router cannot do it, or an object belongs to another Canary.
pub fn routes(router: &dyn Router, view: &View<'_>, wish: &RouteWish) -> Result<Vec<Write>, Error> {
    writes(view, &router.desired(view, wish)?)
}

/// The writes that bring about what has to stand before the primary's pods start.
///
/// # Errors
/// As [`routes`].
pub fn groundwork(router: &dyn Router, view: &View<'_>) -> Result<Vec<Write>, Error> {
    writes(view, &router.groundwork(view)?)
}

/// Whether the router makes objects that no owner reference lets the cluster collect, or changes those of others, so that
/// the Canary may only go after we have undone that.
pub fn needs_cleanup(router: &dyn Router, release: &Release, settings: &Settings) -> bool {
    router.always_releases() || router.reads(release).iter().any(|id| !can_be_owned(id, settings))
}

/// The writes that undo what this Canary made or changed and the cluster will not collect.
///
/// # Errors
/// If it cannot be said how an object was.
pub fn removal(router: &dyn Router, view: &View<'_>) -> Result<Vec<Write>, Error> {
    let mut all = deletions(router, view);
    if router.always_releases() {
        all.extend(writes(view, &router.released(view)?)?);
    }
    Ok(all)
}

fn deletions(router: &dyn Router, view: &View<'_>) -> Vec<Write> {
    if router.always_releases() {
        return Vec::new();
    }
    let is_left = |live: &Value| Owner::of(view.release, live) == Owner::Ours && controller(live).is_none();
    let reads = router.reads(view.release).into_iter().filter(|id| !can_be_owned(id, view.settings));
    reads.filter(|id| view.seen.get(id).is_some_and(is_left)).map(|id| Write::Delete { id }).collect()
}

/// The writes that leave a mesh behind as it was before there was a Canary: taken-over objects get their spec back,
/// and what nobody else would delete is deleted. What is gone needs nothing.
///
/// # Errors
/// If the past of an object cannot be read.
pub fn restoration(router: &dyn Router, view: &View<'_>) -> Result<Vec<Write>, Error> {
    let mut all = deletions(router, view);
    let is_ours =
        |id: &ObjectId| view.seen.get(id).is_some_and(|live| Owner::of(view.release, live) == Owner::Ours);
    for id in router.deletes(view.release).into_iter().filter(is_ours) {
        let write = Write::Delete { id };
        if !all.contains(&write) {
            all.push(write);
        }
    }
    for id in router.gives_back(view.release) {
        let Some(live) = view.seen.get(&id) else { continue };
        if Owner::of(view.release, live) == Owner::Foreign {
            all.extend(given_back(id, live)?);
        }
    }
    all.extend(writes(view, &router.released(view)?)?);
    Ok(all)
}

fn writes(view: &View<'_>, desired: &[Desired]) -> Result<Vec<Write>, Error> {
    let mut writes = Vec::new();
    for object in desired {
        let Some(live) = view.seen.get(&object.id) else {
            writes.extend(object.creatable.then(|| created(view, object)));
            continue;
        };
        writes.extend(brought_in_line(view, object, live)?);
    }
    Ok(writes)
}

fn created(view: &View<'_>, wanted: &Desired) -> Write {
    let id = wanted.id.clone();
    let mut metadata = Map::new();
    metadata.insert("name".to_owned(), json!(id.name));
    if !id.namespace.is_empty() {
        metadata.insert("namespace".to_owned(), json!(id.namespace));
    }
    let mut annotations = wanted.annotations.clone();
    if can_be_owned(&id, view.settings) {
        let owners = owner_references(&view.release.name, &view.release.uid);
        metadata.insert("ownerReferences".to_owned(), owners);
    } else {
        annotations.insert(MADE_BY.to_owned(), json!(made_by(view.release)));
    }
    for (key, map) in [("labels", &wanted.labels), ("annotations", &annotations)] {
        if !map.is_empty() {
            metadata.insert(key.to_owned(), fresh(&Value::Object(map.clone())));
        }
    }
    let mut object = json!({
        "apiVersion": id.kind.api_version(),
        "kind": id.kind.kind,
        "metadata": metadata,
    });
    let fields = laid_over(&json!({}), &wanted.fields, wanted.lists);
    let fields = laid_over(&fields, &wanted.if_made_by_us, wanted.lists);
    json_patch::merge(&mut object, &fields);
    Write::Create { id, object }
}

/// The write that lays our fields over a live object; `None` if they are there.
fn brought_in_line(view: &View<'_>, wanted: &Desired, live: &Value) -> Result<Option<Write>, Error> {
    let owner = Owner::of(view.release, live);
    let mut desired = laid_over(live, &wanted.fields, wanted.lists);
    if owner == Owner::Ours {
        desired = laid_over(&desired, &wanted.if_made_by_us, wanted.lists);
    }
    let mut annotations = wanted.annotations.clone();
    let changes = merge_patch(live, &desired).is_some();
    if changes && owner == Owner::Foreign && wanted.keeps_original && is_untouched(view, live) {
        annotations.insert(ORIGINAL.to_owned(), json!(live["spec"].to_string()));
    }
    if owner == Owner::Foreign && wanted.keeps_original {
        let past = past_metadata(wanted, live);
        annotations.extend(past.map(|past| (ORIGINAL_METADATA.to_owned(), json!(past.to_string()))));
    }
    let mut metadata = Map::new();
    for (key, map) in [("labels", &wanted.labels), ("annotations", &annotations)] {
        if !map.is_empty() {
            metadata.insert(key.to_owned(), Value::Object(map.clone()));
        }
    }
    let metadata = Map::from_iter([("metadata".to_owned(), Value::Object(metadata))]);
    desired = laid_over(&desired, &metadata, &[]);
    if let Some(owners) = adopted(live, &view.release.name, &view.release.uid) {
        desired["metadata"]["ownerReferences"] = owners;
    }
    match (owner, Write::update(wanted.id.clone(), live, &desired)) {
        (Owner::Sibling(canary), Some(_)) => Err(of_sibling(view.release, &wanted.id, &canary)),
        (_, write) => Ok(write),
    }
}

/// What the labels and annotations that we lay over an object were before, but for our marks, if there is more to
/// record than is recorded already.
fn past_metadata(wanted: &Desired, live: &Value) -> Option<Value> {
    let recorded = annotation(live, ORIGINAL_METADATA).and_then(|text| serde_json::from_str(text).ok());
    let recorded: Value = recorded.unwrap_or_default();
    // Copied, not merged: a null on record is a label that was not there, and a merge would drop it.
    let fields = |field: &str| recorded[field].as_object().cloned().unwrap_or_default();
    let mut past = json!({"labels": fields("labels"), "annotations": fields("annotations")});
    let mut news = false;
    for (field, ours) in [("labels", &wanted.labels), ("annotations", &wanted.annotations)] {
        for (key, value) in ours.iter().filter(|(key, _)| !FLUX.contains(&key.as_str())) {
            let present = &live["metadata"][field][key];
            let known = recorded[field].get(key).is_some();
            if !known && present != value {
                past[field][key] = present.clone();
                news = true;
            }
        }
    }
    news.then_some(past)
}

/// Whether the cluster collects the object with its Canary: both are in one namespace of one cluster.
fn can_be_owned(id: &ObjectId, settings: &Settings) -> bool {
    !id.namespace.is_empty() && (id.kind.is_local() || !settings.remote_mesh)
}

/// Whether a user's object is still as its user made it, and nothing yet remembers how that was.
fn is_untouched(view: &View<'_>, live: &Value) -> bool {
    let remembered = annotation(live, LAST_APPLIED).or(annotation(live, ORIGINAL)).is_some();
    !remembered && !mentions(&live["spec"], &view.release.primary_service())
}

fn mentions(value: &Value, name: &str) -> bool {
    match value {
        Value::String(text) => text == name,
        Value::Array(items) => items.iter().any(|item| mentions(item, name)),
        Value::Object(fields) => fields.values().any(|field| mentions(field, name)),
        _ => false,
    }
}

/// The write that gives a user's object back the spec that it had.
fn given_back(id: ObjectId, live: &Value) -> Result<Option<Write>, Error> {
    let Some(Before { spec, annotations }) = before(&id, live)? else { return Ok(None) };
    let mut desired = live.clone();
    if !same(&live["spec"], &spec) {
        desired["spec"] = spec;
    }
    if let Some(past) = annotation(live, ORIGINAL_METADATA) {
        // Ours to write; one that cannot be read any more is dropped.
        let past: Value = serde_json::from_str(past).unwrap_or_default();
        json_patch::merge(&mut desired, &json!({"metadata": {"annotations": {ORIGINAL_METADATA: null}}}));
        for field in ["labels", "annotations"].into_iter().filter(|field| past[field].is_object()) {
            json_patch::merge(&mut desired["metadata"], &json!({field: past[field]}));
        }
    }
    let marks = json!({"metadata": {"annotations": cleared(live, &annotations)}});
    json_patch::merge(&mut desired, &marks);
    if let Some(metadata) = desired["metadata"].as_object_mut() {
        metadata
            .retain(|key, value| !["labels", "annotations"].contains(&key.as_str()) || !is_nothing(value));
    }
    Ok(Write::update(id, live, &desired))
}

/// An object before it was taken over.
struct Before {
    spec: Value,
    annotations: Value,
}

/// What kubectl applied, else what was kept at the take-over; `None` if nobody knows.
fn before(id: &ObjectId, live: &Value) -> Result<Option<Before>, Error> {
    for key in [LAST_APPLIED, ORIGINAL] {
        let Some(text) = annotation(live, key) else { continue };
        let unusable =
            |why: String| Error::Object(format!("{id} failed to unMarshal annotation {key}: {why}"));
        let value: Value = serde_json::from_str(text).map_err(|error| unusable(error.to_string()))?;
        // kubectl keeps the whole object, a take-over the spec alone.
        let spec = if key == LAST_APPLIED { value["spec"].clone() } else { value.clone() };
        if !spec.is_object() {
            return Err(unusable("it has no spec".to_owned()));
        }
        let annotations = value["metadata"]["annotations"].clone();
        return Ok(Some(Before { spec, annotations }));
    }
    Ok(None)
}
