//! Fields of objects as the controllers read them: absent is zero or empty.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use crate::clock::parse_stamp;
use crate::store::Object;

/// A whole number.
pub fn int(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

/// A text.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A list.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A field of the metadata, as text.
pub fn metadata<'a>(object: &'a Value, field: &str) -> &'a str {
    text(&object["metadata"][field])
}

/// An annotation.
pub fn annotation<'a>(object: &'a Value, key: &str) -> &'a str {
    text(&object["metadata"]["annotations"][key])
}

/// A time.
pub fn time(value: &Value) -> Option<DateTime<Utc>> {
    parse_stamp(text(value))
}

/// The owner that controls an object.
pub fn controller(object: &Value) -> Option<&Value> {
    list(&object["metadata"]["ownerReferences"]).iter().find(|o| o["controller"] == true)
}

/// A reference to `owner`, which controls what carries it.
pub fn owned_by(owner: &Object) -> Value {
    let value = owner.value();
    json!([{
        "apiVersion": value["apiVersion"],
        "kind": value["kind"],
        "name": value["metadata"]["name"],
        "uid": value["metadata"]["uid"],
        "controller": true,
        "blockOwnerDeletion": true,
    }])
}

/// The condition of a type.
pub fn condition<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
    list(&status["conditions"]).iter().find(|c| c["type"] == kind)
}

/// Whether a pod says that it is ready.
pub fn is_ready(pod: &Value) -> bool {
    condition(&pod["status"], "Ready").is_some_and(|c| c["status"] == "True")
}

/// A status without the counters that are zero, as Go writes it.
pub fn without_zeros(status: Value) -> Value {
    match status {
        Value::Object(map) => Value::Object(map.into_iter().filter(|(_, v)| *v != 0).collect::<Map<_, _>>()),
        other => other,
    }
}
