//! Server-side apply, and the record of who owns which field (`metadata.managedFields`).
//!
//! Each manager has the set of fields that it last applied or wrote. An apply lays its fields over the live
//! object, takes away what the same manager applied before and nobody else owns, and is refused if it
//! would change a field of somebody else, unless it is forced.

mod field_set;
mod owners;
mod walk;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::error::{ApiStatus, Cause};
use super::merge_schema::MergeSchema;
use field_set::FieldSet;
use owners::{Identity, Owners};
use walk::Diff;

/// Who writes, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Manager<'a> {
    pub name: &'a str,
    pub operation: Operation,
    /// The API version that the writer speaks, e.g. `apps/v1`.
    pub api_version: &'a str,
    /// `status`, `scale`, or none for the object itself.
    pub subresource: Option<&'a str>,
    pub now: DateTime<Utc>,
}

/// The two ways of owning a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    Apply,
    Update,
}

/// Why an apply was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// Others own fields that the apply would change: 409.
    #[error("{}", conflict_message(.0))]
    Conflict(Vec<Conflict>),
    /// The configuration cannot be applied at all: 400.
    #[error("{0}")]
    Malformed(String),
}

/// A field that another manager owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The other manager as messages name it: `"kubectl-edit" using apps/v1`.
    pub manager: String,
    /// e.g. `.spec.replicas`.
    pub path: String,
}

impl ApplyError {
    /// As the API server answers it.
    pub fn status(&self) -> ApiStatus {
        match self {
            Self::Malformed(why) => ApiStatus::bad_request(why),
            Self::Conflict(conflicts) => {
                let cause = |c: &Conflict| Cause {
                    reason: "FieldManagerConflict".into(),
                    message: format!("conflict with {}", c.manager),
                    field: c.path.clone(),
                };
                ApiStatus::apply_conflict(self.to_string(), conflicts.iter().map(cause).collect())
            }
        }
    }
}

fn conflict_message(conflicts: &[Conflict]) -> String {
    if let [one] = conflicts {
        return format!("Apply failed with 1 conflict: conflict with {}: {}", one.manager, one.path);
    }
    let mut lines = Vec::new();
    let mut last = "";
    for conflict in conflicts {
        if conflict.manager != last {
            lines.push(format!("conflicts with {}:", conflict.manager));
            last = &conflict.manager;
        }
        lines.push(format!("- {}", conflict.path));
    }
    format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
}

/// Applies a configuration to an object, or makes the object if there is none.
///
/// The result has the new `managedFields`; an apply that changes nothing gives back an equal object. Names,
/// versions, uid and the like are neither owned nor changed. With a status subresource, an apply to the object
/// leaves `status` alone and one to the subresource everything else.
///
/// # Errors
/// Without `force`, if a field of another manager would change; and if the configuration's keyed lists
/// have items without key, or two of the same.
pub fn server_side_apply(
    live: Option<&Value>,
    applied: &Value,
    manager: &Manager<'_>,
    force: bool,
    schema: &MergeSchema,
) -> Result<Value, ApplyError> {
    check(applied, schema)?;
    let nothing = json!({});
    let live = live.unwrap_or(&nothing);
    let node = schema.root();
    let scope = Scope::of(manager, schema);

    let mut config = ownable(applied, &scope);
    if !schema.has_nulls() {
        drop_nulls(&mut config);
    }
    let mut owners = Owners::of(live);
    if owners.0.is_empty() && !live["metadata"]["uid"].is_null() {
        let everything = ownable(live, &Scope::of(&Manager { subresource: None, ..manager.clone() }, schema));
        owners.add_before_first_apply(live, walk::fields_of(&everything, node));
    }
    let me = Identity::of(manager);
    let set = walk::fields_of(&config, node);
    let last = owners.0.get(&me).map(|o| o.set.clone()).unwrap_or_default();
    let others: Vec<&FieldSet> = owners.0.iter().filter(|(id, _)| **id != me).map(|(_, o)| &o.set).collect();

    let before = ownable(live, &scope);
    let mut after = walk::merge(Some(&before), &config, node);
    let everyone: Vec<&FieldSet> = others.iter().copied().chain([&set]).collect();
    walk::prune(&mut after, &last, &everyone, node);
    let diff = walk::compare(Some(&before), Some(&after), node);

    let conflicts = conflicts(&owners, &me, &diff);
    if !force && !conflicts.is_empty() {
        return Err(ApplyError::Conflict(conflicts));
    }
    owners.lose(&me, &diff);
    let changed = set != last || !diff.is_empty();
    owners.set(me, set, manager, changed);
    let mut object = put_back(live, applied, after, &scope);
    owners.write(&mut object);
    Ok(object)
}

/// Records who wrote what, for every write that is not an apply: fields that changed or are new now belong to
/// the writer, and to nobody else; fields that are gone belong to nobody.
///
/// `before` is the stored object (none for a create), `after` the one about to be stored. A writer may put
/// other `managedFields` into `after` to change the record, and `[{}]` to clear it.
pub fn track_update(before: Option<&Value>, after: &mut Value, manager: &Manager<'_>, schema: &MergeSchema) {
    let nothing = json!({});
    let before = before.unwrap_or(&nothing);
    let scope = Scope::of(manager, schema);
    let recorded = &before["metadata"]["managedFields"];
    let given = match &after["metadata"]["managedFields"] {
        given @ Value::Array(entries) if manager.subresource.is_none() && !entries.is_empty() => given,
        _ => recorded,
    };
    let diff = compare(before, after, &scope, schema);
    if diff.is_empty() && given == recorded {
        let recorded = recorded.clone();
        owners::put(after, recorded);
        return;
    }
    let mut owners = Owners::read(given);
    let me = Identity::of(manager);
    owners.lose(&me, &diff);
    if !diff.is_empty() {
        let mine = owners.0.get(&me).map(|o| o.set.clone()).unwrap_or_default();
        let set = mine.difference(&diff.removed).union(&diff.written());
        owners.set(me, set, manager, true);
    }
    owners.write(after);
}

/// How the ownable parts of two objects differ.
fn compare(before: &Value, after: &Value, scope: &Scope, schema: &MergeSchema) -> Diff {
    let (meta_before, meta_after) = (ownable_metadata(before), ownable_metadata(after));
    let names = |object: &Value| object.as_object().into_iter().flatten().map(|(n, _)| n.clone()).collect();
    let names: BTreeSet<String> = BTreeSet::union(&names(before), &names(after)).cloned().collect();
    let mut diff = Diff::default();
    for name in names.iter().filter(|name| scope.reaches(name)) {
        let (old, new) = match name.as_str() {
            "apiVersion" | "kind" => continue,
            "metadata" => (Some(&meta_before), Some(&meta_after)),
            name => (before.get(name), after.get(name)),
        };
        diff.insert_field(name, walk::compare(old, new, schema.root().field(name)));
    }
    diff
}

fn check(applied: &Value, schema: &MergeSchema) -> Result<(), ApplyError> {
    if !applied.is_object() {
        return Err(ApplyError::Malformed("the applied configuration is not an object".into()));
    }
    if applied["metadata"]["managedFields"].as_array().is_some_and(|m| !m.is_empty()) {
        return Err(ApplyError::Malformed("metadata.managedFields must be nil".into()));
    }
    match walk::ambiguity(applied, schema.root(), "") {
        None => Ok(()),
        Some(why) => {
            let name = applied["metadata"]["name"].as_str().unwrap_or_default();
            let namespace = applied["metadata"]["namespace"].as_str().unwrap_or_default();
            let api_version = applied["apiVersion"].as_str().unwrap_or_default();
            let kind = applied["kind"].as_str().unwrap_or_default();
            Err(ApplyError::Malformed(format!(
                "failed to create typed patch object ({namespace}/{name}; {api_version}, Kind={kind}): {why}"
            )))
        }
    }
}

fn conflicts(owners: &Owners, me: &Identity, diff: &Diff) -> Vec<Conflict> {
    let written = diff.written();
    let others = owners.0.iter().filter(|(id, _)| *id != me);
    others
        .flat_map(|(id, owner)| {
            let manager = id.readable(&owner.api_version);
            let paths = owner.set.intersection(&written).paths();
            paths.into_iter().map(move |path| Conflict { manager: manager.clone(), path })
        })
        .collect()
}

/// The part of an object that a write can reach.
enum Scope {
    Everything,
    AllButStatus,
    OnlyStatus,
}

impl Scope {
    fn of(manager: &Manager<'_>, schema: &MergeSchema) -> Self {
        match manager.subresource {
            Some("status") => Self::OnlyStatus,
            _ if schema.has_status_subresource() => Self::AllButStatus,
            _ => Self::Everything,
        }
    }

    fn reaches(&self, field: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::AllButStatus => field != "status",
            Self::OnlyStatus => field == "status",
        }
    }
}

/// What nobody owns: the API writes it, or it says which object this is.
const NEVER_OWNED: &[&str] = &[
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "clusterName",
    "generation",
    "managedFields",
    "resourceVersion",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
];

/// The part of the object that can be owned through this scope.
fn ownable(object: &Value, scope: &Scope) -> Value {
    let mut out = Map::new();
    for (name, value) in object.as_object().into_iter().flatten() {
        match name.as_str() {
            "apiVersion" | "kind" => {}
            name if !scope.reaches(name) => {}
            "metadata" => {
                let meta = ownable_metadata(object);
                if meta.as_object().is_some_and(|m| !m.is_empty()) {
                    out.insert(name.clone(), meta);
                }
            }
            _ => {
                out.insert(name.clone(), value.clone());
            }
        }
    }
    Value::Object(out)
}

fn ownable_metadata(object: &Value) -> Value {
    let fields = object["metadata"].as_object().into_iter().flatten();
    let kept = fields.filter(|(name, _)| !NEVER_OWNED.contains(&name.as_str()));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Lays the ownable part back into the object that it was cut from.
fn put_back(live: &Value, applied: &Value, ownable: Value, scope: &Scope) -> Value {
    let mut object = live.as_object().cloned().unwrap_or_default();
    for name in ["apiVersion", "kind"] {
        if let Some(value) = applied.get(name).or(live.get(name)) {
            object.insert(name.into(), value.clone());
        }
    }
    object.retain(|name, _| {
        !scope.reaches(name) || matches!(name.as_str(), "apiVersion" | "kind" | "metadata")
    });
    let mut parts = match ownable {
        Value::Object(parts) => parts,
        _ => Map::new(),
    };
    let meta = parts.remove("metadata");
    if scope.reaches("metadata") {
        let mut fields = Map::new();
        for source in [applied, live] {
            for (name, value) in source["metadata"].as_object().into_iter().flatten() {
                let identity = matches!(name.as_str(), "name" | "namespace");
                let from_live = std::ptr::eq(source, live);
                if NEVER_OWNED.contains(&name.as_str()) && (from_live || identity) {
                    fields.insert(name.clone(), value.clone());
                }
            }
        }
        if let Some(Value::Object(owned)) = meta {
            fields.extend(owned);
        }
        object.insert("metadata".into(), Value::Object(fields));
    }
    object.extend(parts);
    Value::Object(object)
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
