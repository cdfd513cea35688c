//! The rules about `metadata`: what a client may not change, generations, finalizers.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Target;
use crate::error::{ApiStatus, FieldError};
use crate::store::Object;

/// What only the server sets.
const SERVER_OWNED: &[&str] = &[
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "selfLink",
    "name",
    "namespace",
];

/// Takes fields out of an object.
pub fn clear(object: &mut Value, fields: &[&str]) {
    if let Some(map) = object.as_object_mut() {
        for field in fields {
            map.remove(*field);
        }
    }
}

/// Refuses a write that means another object, or another state of it.
pub fn check_identity(target: &Target, before: &Object, object: &Value) -> Result<(), ApiStatus> {
    let (meta, kind, name) = (&object["metadata"], &target.served.kind, &*target.key.name);
    let sent = |field: &str| meta[field].as_str().filter(|text| !text.is_empty());
    if let Some(other) = sent("name").filter(|other| *other != name) {
        return Err(ApiStatus::bad_request(format!(
            "the name of the object ({other}) does not match the name on the URL ({name})"
        )));
    }
    if let Some(uid) = sent("uid").filter(|uid| *uid != before.uid()) {
        return Err(ApiStatus::uid_precondition(kind, name, uid, before.uid()));
    }
    match sent("resourceVersion") {
        None | Some("0") => Ok(()),
        Some(version) if version == before.revision().to_string() => Ok(()),
        Some(version) if version.parse::<u64>().is_err() => {
            let error =
                FieldError::invalid("metadata.resourceVersion", &json!(version), "must be a whole number");
            Err(ApiStatus::invalid(kind, name, &[error]))
        }
        Some(_) => Err(ApiStatus::conflict(kind, name)),
    }
}

/// Refuses a patch of the uid.
pub fn check_uid(target: &Target, before: &Object, object: &Value) -> Result<(), ApiStatus> {
    match object["metadata"]["uid"].as_str().filter(|uid| !uid.is_empty() && *uid != before.uid()) {
        Some(uid) => {
            let error = FieldError::invalid("metadata.uid", &json!(uid), "field is immutable");
            Err(ApiStatus::invalid(&target.served.kind, &target.key.name, &[error]))
        }
        None => Ok(()),
    }
}

/// Puts back what only the server sets.
pub fn preserve(old: &Value, object: &mut Value) {
    for field in SERVER_OWNED {
        match old["metadata"].get(*field) {
            Some(value) => object["metadata"][*field] = value.clone(),
            None => clear(&mut object["metadata"], &[field]),
        }
    }
}

/// Puts back the status.
pub fn copy_status(old: &Value, object: &mut Value) {
    match old.get("status") {
        Some(status) => object["status"] = status.clone(),
        None => clear(object, &["status"]),
    }
}

/// The old object with nothing but the status (and its owners) of `object`.
pub fn with_status_of(old: &Value, mut object: Value) -> Value {
    let mut result = old.clone();
    match object.get_mut("status").map(Value::take) {
        Some(status) if !status.is_null() => result["status"] = status,
        _ => clear(&mut result, &["status"]),
    }
    match object["metadata"].get_mut("managedFields").map(Value::take) {
        Some(fields) if !fields.is_null() => result["metadata"]["managedFields"] = fields,
        _ => clear(&mut result["metadata"], &["managedFields"]),
    }
    result
}

/// Whether anything but metadata (and status, where it is isolated) differs.
pub fn spec_differs(old: &Value, new: &Value, without_status: bool) -> bool {
    let (Some(old), Some(new)) = (old.as_object(), new.as_object()) else { return old != new };
    let counts = |key: &&String| {
        !(matches!(key.as_str(), "metadata" | "apiVersion" | "kind") || without_status && *key == "status")
    };
    let keys = |map: &serde_json::Map<String, Value>| map.keys().filter(counts).count();
    keys(old) != keys(new) || old.keys().filter(counts).any(|key| old.get(key) != new.get(key))
}

/// Adds one to `metadata.generation`.
pub fn bump_generation(object: &mut Value) {
    let generation = object["metadata"]["generation"].as_i64().unwrap_or(0);
    object["metadata"]["generation"] = json!(generation + 1);
}

/// The finalizers of an object.
pub fn finalizers(object: &Value) -> Vec<&str> {
    object["metadata"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Refuses new finalizers on an object that is on its way out.
pub fn check_finalizers(target: &Target, old: &Value, object: &Value) -> Result<(), ApiStatus> {
    if old["metadata"]["deletionTimestamp"].is_null() {
        return Ok(());
    }
    let before = finalizers(old);
    let new: Vec<String> =
        finalizers(object).into_iter().filter(|f| !before.contains(f)).map(|f| format!("{f:?}")).collect();
    if new.is_empty() {
        return Ok(());
    }
    let why = format!(
        "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
        new.join(", ")
    );
    let error = FieldError::forbidden("metadata.finalizers", &why);
    Err(ApiStatus::invalid(&target.served.kind, &target.key.name, &[error]))
}

/// Whether an object that is on its way out has nothing to wait for.
pub fn may_go(object: &Value) -> bool {
    let meta = &object["metadata"];
    let waits_in_spec = object["kind"] == "Namespace"
        && object["spec"]["finalizers"].as_array().is_some_and(|f| !f.is_empty());
    !meta["deletionTimestamp"].is_null()
        && meta["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) == 0
        && finalizers(object).is_empty()
        && !waits_in_spec
}

/// The version that a shared object carries, for messages.
pub fn version_of(object: &Arc<Object>) -> String {
    object.revision().to_string()
}
