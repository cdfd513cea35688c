//! The record of who owns what: `metadata.managedFields`, read, changed and written.

use std::collections::BTreeMap;

use chrono::SecondsFormat;
use serde_json::{Value, json};

use super::field_set::FieldSet;
use super::walk::Diff;
use super::{Manager, Operation};

/// What tells two entries of `managedFields` apart. The order is that of the record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    operation: Operation,
    manager: String,
    /// Empty for appliers: whatever version they speak, it is the same applier.
    api_version: String,
    subresource: String,
}

impl Identity {
    pub fn of(manager: &Manager<'_>) -> Self {
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

    pub fn readable(&self, api_version: &str) -> String {
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
pub struct Owner {
    pub set: FieldSet,
    pub api_version: String,
    pub time: String,
}

/// The record as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Owners(pub BTreeMap<Identity, Owner>);

impl Owners {
    pub fn of(object: &Value) -> Self {
        Self::read(&object["metadata"]["managedFields"])
    }

    pub fn read(entries: &Value) -> Self {
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

    pub fn write(self, object: &mut Value) {
        let mut entries: Vec<(Identity, Owner)> =
            self.0.into_iter().filter(|(_, owner)| !owner.set.is_empty()).collect();
        entries.sort_by(|(a, x), (b, y)| {
            (a.operation, &x.time).cmp(&(b.operation, &y.time)).then_with(|| a.cmp(b))
        });
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
        put(object, entries.collect());
    }

    /// An object that was there before anybody kept a record belongs to this manager.
    pub fn add_before_first_apply(&mut self, live: &Value, set: FieldSet) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
        let api_version = text(&live["apiVersion"]);
        let id = Identity {
            operation: Operation::Update,
            manager: "before-first-apply".into(),
            api_version: api_version.clone(),
            subresource: String::new(),
        };
        let time = text(&live["metadata"]["creationTimestamp"]);
        self.0.insert(id, Owner { set, api_version, time });
    }

    /// Takes from every manager but `me` the fields that were written, and those that are gone.
    pub fn lose(&mut self, me: &Identity, diff: &Diff) {
        let lost = diff.written().union(&diff.removed);
        for (_, owner) in self.0.iter_mut().filter(|(id, _)| *id != me) {
            owner.set = owner.set.difference(&lost);
        }
    }

    pub fn set(&mut self, me: Identity, set: FieldSet, manager: &Manager<'_>, changed: bool) {
        let owner = self.0.entry(me).or_default();
        let moved = owner.api_version != manager.api_version;
        owner.set = set;
        owner.api_version = manager.api_version.into();
        if changed || moved {
            owner.time = manager.now.to_rfc3339_opts(SecondsFormat::Secs, true);
        }
    }
}

/// Puts a record into an object; an empty one is none.
pub fn put(object: &mut Value, record: Value) {
    let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    if record.as_array().is_some_and(|entries| !entries.is_empty()) {
        meta.insert("managedFields".into(), record);
    } else {
        meta.remove("managedFields");
    }
}
