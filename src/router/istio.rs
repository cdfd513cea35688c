//! Istio (spec 03 §5): a DestinationRule a side, and a VirtualService that divides the traffic between them.
//!
//! Of the VirtualService `hosts`, `gateways`, `http` and `tcp` are ours, of the DestinationRules `host` and
//! `trafficPolicy`; whatever else stands in them, and all metadata of others, stays (P9). A VirtualService that was
//! there before is taken over, and its old spec kept in an annotation for the day of its return.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::live::{edit, same};
use super::marks::{LAST_APPLIED, ORIGINAL, annotation, cleared, flux};
use super::owner::{Owner, of_sibling};
use super::{Error, Router};
use crate::model::object::{Kind, ObjectId, Objects, Write, merge_patch, owner_references};
use crate::model::release::Release;
use crate::model::traffic::{Capabilities, RouteState, RouteWish, Split};
use crate::model::workload::TargetShape;

mod matching;
mod rules;

/// Istio.
pub struct Istio;

impl Router for Istio {
    fn capabilities(&self, release: &Release) -> Capabilities {
        let http = !rules::is_tcp(release);
        // Rules for matching requests leave no place for a mirror or for cookies.
        let all_requests = http && release.analysis.matches.is_empty();
        Capabilities {
            weights: true,
            matching: http,
            mirror_weighted: all_requests,
            mirror_blue_green: all_requests,
            session_affinity: all_requests,
        }
    }

    fn reads(&self, release: &Release) -> Vec<ObjectId> {
        let mut ids = destination_rules(release).to_vec();
        ids.push(virtual_service(release));
        ids
    }

    fn state(&self, release: &Release, seen: &Objects) -> Result<Option<RouteState>, Error> {
        let id = virtual_service(release);
        let Some(live) = seen.get(&id) else { return Ok(None) };
        let (canary, primary) = (release.canary_service(), release.primary_service());
        let spec = &live["spec"];
        let rule = [&spec["http"], &spec["tcp"]]
            .into_iter()
            .find_map(|rules| rules.as_array()?.iter().rev().find(|rule| weight(rule, &canary).is_some()));
        let Some(rule) = rule else {
            // Not taken over yet.
            if Owner::of(release, live) == Owner::Foreign && !mentions(spec, &primary) {
                return Ok(None);
            }
            return Err(no_routes(release));
        };
        match (weight(rule, &primary).unwrap_or(0), weight(rule, &canary).unwrap_or(0)) {
            (0, 0) => Err(no_routes(release)),
            (p, c) if p + c == 100 && (0..=100).contains(&c) => Ok(Some(RouteState {
                split: Split::canary_gets(u32::try_from(c).unwrap_or(0)),
                mirrored: rule["mirror"]["host"].as_str().is_some_and(|host| !host.is_empty()),
            })),
            (p, c) => Err(Error::Object(format!(
                "VirtualService {}.{} routes {p} to {primary} and {c} to {canary}, which is not 100 in sum",
                release.apex, release.namespace
            ))),
        }
    }

    fn plan(
        &self,
        release: &Release,
        shape: &TargetShape,
        wish: &RouteWish,
        seen: &Objects,
    ) -> Result<Vec<Write>, Error> {
        // The rules first: if they cannot be made, nothing is written.
        let routing = rules::routing(release, wish)?;
        let mut writes = Vec::new();
        for id in destination_rules(release) {
            writes.extend(destination_rule(release, id, seen)?);
        }
        writes.extend(routed(release, shape, &routing, seen)?);
        Ok(writes)
    }

    fn finalize(&self, release: &Release, seen: &Objects) -> Result<Vec<Write>, Error> {
        let id = virtual_service(release);
        let Some(live) = seen.get(&id) else { return Ok(Vec::new()) };
        let Some(Before { spec, annotations }) = before(&id, live)? else { return Ok(Vec::new()) };
        let changes = json!({
            "metadata": {"annotations": cleared(live, &annotations)},
            "spec": merge_patch(&live["spec"], &spec).unwrap_or_else(|| json!({})),
        });
        Ok(edit(id, live, &changes).into_iter().collect())
    }
}

fn virtual_service(release: &Release) -> ObjectId {
    Kind::VIRTUAL_SERVICE.at(&release.namespace, &release.apex)
}

/// Canary first.
fn destination_rules(release: &Release) -> [ObjectId; 2] {
    [release.canary_service(), release.primary_service()]
        .map(|service| Kind::DESTINATION_RULE.at(&release.namespace, &service))
}

/// The write that creates a DestinationRule, or brings it in line.
fn destination_rule(release: &Release, id: ObjectId, seen: &Objects) -> Result<Option<Write>, Error> {
    let policy = release.service.traffic_policy.as_ref().filter(|policy| !policy.is_null());
    let Some(live) = seen.get(&id) else {
        let mut spec = json!({"host": id.name});
        if let Some(policy) = policy {
            spec["trafficPolicy"] = policy.clone();
        }
        return Ok(Some(create(release, id, Map::new(), spec)));
    };
    let (owner, present) = (Owner::of(release, live), &live["spec"]["trafficPolicy"]);
    let mut spec = json!({"host": id.name});
    match policy {
        Some(policy) if !same(present, policy) => {
            spec["trafficPolicy"] = merge_patch(present, policy).unwrap_or(Value::Null);
        }
        // On a rule that was there before, it is its user's.
        None if owner == Owner::Ours => spec["trafficPolicy"] = Value::Null,
        _ => {}
    }
    update(release, id, live, &owner, &json!({"spec": spec}))
}

/// The write that creates the VirtualService, or brings it in line.
fn routed(
    release: &Release,
    shape: &TargetShape,
    routing: &Map<String, Value>,
    seen: &Objects,
) -> Result<Option<Write>, Error> {
    let id = virtual_service(release);
    let block = release.service.apex.as_ref();
    let of = |map: Option<&BTreeMap<String, String>>| -> Map<String, Value> {
        map.into_iter().flatten().map(|(key, value)| (key.clone(), json!(value))).collect()
    };
    let mut labels = of(block.and_then(|block| block.labels.as_ref()));
    // Flagger's doing: the label of the apex Service comes along with a metadata block, and only then.
    if block.is_some() && !shape.label_key.is_empty() {
        labels.insert(shape.label_key.clone(), json!(release.apex));
    }
    let mut annotations = of(block.and_then(|block| block.annotations.as_ref()));
    annotations.extend(flux());

    let Some(live) = seen.get(&id) else {
        let mut metadata = Map::new();
        if !labels.is_empty() {
            metadata.insert("labels".to_owned(), Value::Object(labels));
        }
        metadata.insert("annotations".to_owned(), Value::Object(annotations));
        let spec = routing.iter().filter(|(_, value)| !value.is_null());
        let spec: Map<_, _> = spec.map(|(key, value)| (key.clone(), value.clone())).collect();
        return Ok(Some(create(release, id, metadata, Value::Object(spec))));
    };
    let owner = Owner::of(release, live);
    let spec: Map<_, _> = routing
        .iter()
        .filter(|(key, value)| !same(&live["spec"][key.as_str()], value))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    if !spec.is_empty() && owner == Owner::Foreign && is_untouched(release, live) {
        annotations.insert(ORIGINAL.to_owned(), json!(live["spec"].to_string()));
    }
    let changes = json!({"metadata": {"labels": labels, "annotations": annotations}, "spec": spec});
    update(release, id, live, &owner, &changes)
}

/// Whether a VirtualService is still as its user made it, and nothing yet remembers how that was.
fn is_untouched(release: &Release, live: &Value) -> bool {
    let remembered = annotation(live, LAST_APPLIED).or(annotation(live, ORIGINAL)).is_some();
    !remembered && !mentions(&live["spec"], &release.primary_service())
}

fn create(release: &Release, id: ObjectId, mut metadata: Map<String, Value>, spec: Value) -> Write {
    metadata.insert("name".to_owned(), json!(id.name));
    metadata.insert("namespace".to_owned(), json!(id.namespace));
    metadata.insert("ownerReferences".to_owned(), owner_references(&release.name, &release.uid));
    let object = json!({
        "apiVersion": id.kind.api_version(),
        "kind": id.kind.kind,
        "metadata": metadata,
        "spec": spec,
    });
    Write::Create { id, object }
}

fn update(
    release: &Release,
    id: ObjectId,
    live: &Value,
    owner: &Owner,
    changes: &Value,
) -> Result<Option<Write>, Error> {
    match (owner, edit(id.clone(), live, changes)) {
        (Owner::Sibling(canary), Some(_)) => Err(of_sibling(release, &id, canary)),
        (_, write) => Ok(write),
    }
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

/// Weight of a host in a rule, if the rule leads there. A single destination gets everything.
fn weight(rule: &Value, host: &str) -> Option<i64> {
    let route = rule["route"].as_array()?;
    let to_host = route.iter().filter(|to| to["destination"]["host"] == host);
    let alone = if route.len() == 1 { 100 } else { 0 };
    to_host.map(|to| to["weight"].as_i64().unwrap_or(alone)).reduce(i64::saturating_add)
}

fn mentions(spec: &Value, host: &str) -> bool {
    [&spec["http"], &spec["tcp"]]
        .into_iter()
        .filter_map(Value::as_array)
        .flatten()
        .any(|rule| weight(rule, host).is_some())
}

fn no_routes(release: &Release) -> Error {
    Error::Object(format!(
        "VirtualService {}.{} does not contain routes for {} and {}",
        release.apex,
        release.namespace,
        release.primary_service(),
        release.canary_service()
    ))
}

#[cfg(test)]
mod tests;
