//! Pruning and defaulting: an object takes the shape that its schema gives it.

use serde_json::Value;

use super::schema::{Additional, Schema};

/// What `metadata` may have, here and in embedded objects.
pub const METADATA: &[&str] = &[
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Removes unknown fields of a whole object and says which they were.
pub(super) fn prune_root(schema: &Schema, object: &mut Value) -> Vec<String> {
    let mut gone = Vec::new();
    prune_object(schema, object, "", true, &mut gone);
    gone
}

fn prune(schema: &Schema, value: &mut Value, path: &str, gone: &mut Vec<String>) {
    match value {
        Value::Object(_) => prune_object(schema, value, path, schema.embedded, gone),
        Value::Array(items) => {
            let Some(item) = &schema.items else { return };
            for (i, value) in items.iter_mut().enumerate() {
                prune(item, value, &format!("{path}[{i}]"), gone);
            }
        }
        _ => {}
    }
}

/// `whole`: the object is one of its own, with `apiVersion`, `kind` and `metadata`.
fn prune_object(schema: &Schema, value: &mut Value, path: &str, whole: bool, gone: &mut Vec<String>) {
    let Value::Object(fields) = value else { return };
    let names: Vec<String> = fields.keys().cloned().collect();
    for name in names {
        let here = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match (name.as_str(), schema.field(&name)) {
            ("metadata", _) if whole => prune_metadata(&mut fields[&name], &here, gone),
            ("apiVersion" | "kind", _) if whole => {}
            (_, Some(below)) => prune(below, &mut fields[&name], &here, gone),
            (_, None) if schema.preserve || matches!(schema.additional, Additional::Any) => {}
            (_, None) => {
                fields.remove(&name);
                gone.push(here);
            }
        }
    }
}

fn prune_metadata(metadata: &mut Value, path: &str, gone: &mut Vec<String>) {
    let Value::Object(fields) = metadata else { return };
    fields.retain(|name, _| {
        let known = METADATA.contains(&name.as_str());
        if !known {
            gone.push(format!("{path}.{name}"));
        }
        known
    });
}

/// Fills in defaults, from the outside in: a default may itself have parts that are missing.
pub(super) fn default(schema: &Schema, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, value| {
                !value.is_null() || schema.field(name).is_none_or(|s| s.nullable || takes_null(s))
            });
            for (name, below) in &schema.properties {
                if let (None, Some(default)) = (fields.get(name), &below.default) {
                    fields.insert(name.clone(), default.clone());
                }
            }
            for (name, value) in fields.iter_mut() {
                if let Some(below) = schema.field(name) {
                    default(below, value);
                }
            }
        }
        Value::Array(items) => {
            let Some(item) = &schema.items else { return };
            for value in items {
                if let (Value::Null, false, Some(given)) = (&*value, item.nullable, &item.default) {
                    *value = given.clone();
                }
                default(item, value);
            }
        }
        _ => {}
    }
}

/// Whether a null may stand here. It may where the schema says nothing about the type.
fn takes_null(schema: &Schema) -> bool {
    schema.type_.is_empty() && schema.preserve && !schema.int_or_string
}
