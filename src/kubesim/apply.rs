//! Server-side apply, and the record of who owns which field (`metadata.managedFields`).
//!
//! Each manager has the set of fields that it last applied or wrote. An apply lays its fields over the live
//! object, takes away what the same manager applied before and nobody else owns, and is refused if it
//! would change a field of somebody else, unless it is forced.

mod field_set;
mod walk;

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use super::merge_schema::{MergeSchema, Node};
use super::status::{ApiStatus, Cause};
use field_set::FieldSet;
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

/// One field of somebody else's.
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
        owners.add_before_first_apply(live, schema);
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
    let mut owners = match &after["metadata"]["managedFields"] {
        given @ Value::Array(entries) if manager.subresource.is_none() && !entries.is_empty() => {
            Owners::read(given)
        }
        _ => Owners::of(before),
    };
    let diff = walk::compare(Some(&ownable(before, &scope)), Some(&ownable(after, &scope)), schema.root());
    let me = Identity::of(manager);
    owners.lose(&me, &diff);
    if !diff.is_empty() {
        let mine = owners.0.get(&me).map(|o| o.set.clone()).unwrap_or_default();
        let set = mine.difference(&diff.removed).union(&diff.written());
        owners.set(me, set, manager, true);
    }
    owners.write(after);
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
        if !scope.reaches(name) {
            continue;
        }
        match (name.as_str(), value) {
            ("apiVersion" | "kind", _) => {}
            ("metadata", Value::Object(meta)) => {
                let kept: Map<String, Value> = meta
                    .iter()
                    .filter(|(name, _)| !NEVER_OWNED.contains(&name.as_str()))
                    .map(|(name, value)| (name.clone(), value.clone()))
                    .collect();
                if !kept.is_empty() {
                    out.insert(name.clone(), Value::Object(kept));
                }
            }
            _ => {
                out.insert(name.clone(), value.clone());
            }
        }
    }
    Value::Object(out)
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

/// What tells two entries of `managedFields` apart. The order is that of the record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Identity {
    operation: Operation,
    manager: String,
    /// Empty for appliers: whatever version they speak, it is the same applier.
    api_version: String,
    subresource: String,
}

impl Identity {
    fn of(manager: &Manager<'_>) -> Self {
        let api_version = match manager.operation {
            Operation::Apply => "",
            Operation::Update => manager.api_version,
        };
        Self {
            operation: manager.operation,
            manager: manager.name.into(),
            api_version: api_version.into(),
            subresource: manager.subresource.unwrap_or_default().into(),
        }
    }

    fn readable(&self, api_version: &str) -> String {
        let mut text = format!("{:?}", self.manager);
        if !self.subresource.is_empty() {
            text += &format!(" with subresource {:?}", self.subresource);
        }
        if self.operation == Operation::Update {
            text += &format!(" using {api_version}");
        }
        text
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Owner {
    set: FieldSet,
    api_version: String,
    time: String,
}

/// The record as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
struct Owners(BTreeMap<Identity, Owner>);

impl Owners {
    fn of(object: &Value) -> Self {
        Self::read(&object["metadata"]["managedFields"])
    }

    fn read(entries: &Value) -> Self {
        let text = |entry: &Value, field: &str| entry[field].as_str().unwrap_or_default().to_string();
        let mut owners = Self::default();
        for entry in entries.as_array().into_iter().flatten() {
            let operation = match entry["operation"].as_str() {
                Some("Apply") => Operation::Apply,
                Some("Update") => Operation::Update,
                _ => continue,
            };
            let api_version = text(entry, "apiVersion");
            let id = Identity {
                operation,
                manager: text(entry, "manager"),
                api_version: if operation == Operation::Update { api_version.clone() } else { String::new() },
                subresource: text(entry, "subresource"),
            };
            let set = FieldSet::from_value(&entry["fieldsV1"]);
            let owner = owners.0.entry(id).or_default();
            owner.set = std::mem::take(&mut owner.set).union(&set);
            owner.api_version = api_version;
            owner.time = text(entry, "time");
        }
        owners
    }

    fn write(self, object: &mut Value) {
        let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut) else {
            return;
        };
        let mut entries: Vec<(Identity, Owner)> =
            self.0.into_iter().filter(|(_, owner)| !owner.set.is_empty()).collect();
        entries.sort_by(|(a, x), (b, y)| {
            (a.operation, &x.time).cmp(&(b.operation, &y.time)).then_with(|| a.cmp(b))
        });
        if entries.is_empty() {
            meta.remove("managedFields");
            return;
        }
        let entries = entries.into_iter().map(|(id, owner)| {
            let mut entry = json!({
                "manager": id.manager,
                "operation": match id.operation {
                    Operation::Apply => "Apply",
                    Operation::Update => "Update",
                },
                "apiVersion": owner.api_version,
                "fieldsType": "FieldsV1",
                "fieldsV1": owner.set.to_value(),
            });
            if !owner.time.is_empty() {
                entry["time"] = json!(owner.time);
            }
            if !id.subresource.is_empty() {
                entry["subresource"] = json!(id.subresource);
            }
            entry
        });
        meta.insert("managedFields".into(), entries.collect());
    }

    /// An object that was there before anybody kept a record belongs to this manager.
    fn add_before_first_apply(&mut self, live: &Value, schema: &MergeSchema) {
        let api_version = live["apiVersion"].as_str().unwrap_or_default();
        let id = Identity {
            operation: Operation::Update,
            manager: "before-first-apply".into(),
            api_version: api_version.into(),
            subresource: String::new(),
        };
        let scope = if schema.has_status_subresource() { Scope::AllButStatus } else { Scope::Everything };
        let set = walk::fields_of(&ownable(live, &scope), schema.root());
        let time = live["metadata"]["creationTimestamp"].as_str().unwrap_or_default().into();
        self.0.insert(id, Owner { set, api_version: api_version.into(), time });
    }

    /// Everybody but `me` loses what was written, and what is gone.
    fn lose(&mut self, me: &Identity, diff: &Diff) {
        let lost = diff.written().union(&diff.removed);
        for (_, owner) in self.0.iter_mut().filter(|(id, _)| *id != me) {
            owner.set = owner.set.difference(&lost);
        }
    }

    fn set(&mut self, me: Identity, set: FieldSet, manager: &Manager<'_>, changed: bool) {
        let owner = self.0.entry(me).or_default();
        let moved = owner.api_version != manager.api_version;
        owner.set = set;
        owner.api_version = manager.api_version.into();
        if changed || moved {
            owner.time = manager.now.to_rfc3339_opts(SecondsFormat::Secs, true);
        }
    }
}

impl Node {
    /// The fields of `value` along this schema, in the form of `fieldsV1`.
    pub fn fields_v1(&self, value: &Value) -> Value {
        walk::fields_of(value, self).to_value()
    }
}

#[cfg(test)]
mod tests;
