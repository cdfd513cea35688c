//! The writes that a plan would make, as a reader of them wants to see them: object, field, before and after.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::model::answer::excerpt;
use crate::model::object::{Objects, Write};

/// A write that was not made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The object: `Service frontend.shop`.
    pub object: String,
    /// What would be done: `create`, `change` or `delete`.
    pub does: &'static str,
    /// The fields that would change: `spec.selector.app: "frontend" → "frontend-primary"`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
}

impl Change {
    /// What `write` would change of `objects`.
    pub(super) fn of(write: &Write, objects: &Objects) -> Self {
        let object = write.id().to_string();
        match write {
            Write::Create { .. } => Self { object, does: "create", fields: Vec::new() },
            Write::Delete { .. } => Self { object, does: "delete", fields: Vec::new() },
            Write::Patch { id, patch, .. } => {
                let mut fields = Vec::new();
                leaves(objects.get(id).unwrap_or(&Value::Null), patch, "", &mut fields);
                Self { object, does: "change", fields }
            }
        }
    }

    /// A write whose contents are read only when it is made.
    pub(super) fn named(does: &'static str, object: impl Into<String>) -> Self {
        Self { object: object.into(), does, fields: Vec::new() }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.does, self.object)?;
        if self.fields.is_empty() { Ok(()) } else { write!(f, ": {}", self.fields.join(", ")) }
    }
}

/// The leaves of a merge patch, each with what is there now.
fn leaves(live: &Value, patch: &Value, path: &str, fields: &mut Vec<String>) {
    match patch {
        Value::Object(inner) => {
            for (key, value) in inner {
                // A key with a dot would read like two.
                let key = if key.contains('.') { format!("[{key}]") } else { key.clone() };
                let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                let name = key.trim_start_matches('[').trim_end_matches(']');
                leaves(live.get(name).unwrap_or(&Value::Null), value, &below, fields);
            }
        }
        value => fields.push(format!("{path}: {} → {}", shown(live), shown(value))),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        value => excerpt(value.to_string().as_bytes(), LONGEST),
    }
}

/// How many characters of a value are shown.
const LONGEST: usize = 80;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::model::object::Kind;

    #[test]
    fn a_change_names_each_field_with_what_is_there_now() {
        let id = Kind::SERVICE.at("shop", "frontend");
        let live = json!({"metadata": {"labels": {"a.b/c": "x"}}, "spec": {"selector": {"app": "frontend"}}});
        let patch = json!({
            "metadata": {"labels": {"a.b/c": null}},
            "spec": {"selector": {"app": "frontend-primary"}, "ports": [{"port": 80}]},
        });
        let mut objects = Objects::default();
        objects.insert(id.clone(), Arc::new(live));
        let change = Change::of(&Write::Patch { id, resource_version: String::new(), patch }, &objects);
        assert_eq!(
            "change Service frontend.shop: metadata.labels.[a.b/c]: \"x\" → nothing, spec.ports: nothing → \
             [{\"port\":80}], spec.selector.app: \"frontend\" → \"frontend-primary\"",
            change.to_string()
        );
    }
}
