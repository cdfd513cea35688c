//! What `kubectl get` prints: objects as rows of a `meta.k8s.io/v1 Table`.
//!
//! Built-in kinds have the columns that a real API server gives them, custom kinds those of their definition.
//! All columns are always sent; kubectl leaves out those of a priority above 0 unless asked with `-o wide`.

mod age;
mod builtin;
mod jsonpath;

use std::borrow::Borrow;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::crd::PrinterColumn;
use super::kinds::ResourceKind;

pub use age::human_duration;
pub use jsonpath::JsonPath;

/// What each row carries besides its cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IncludeObject {
    None,
    #[default]
    Metadata,
    Object,
}

impl IncludeObject {
    /// Reads the `includeObject` parameter; unknown words mean the default.
    pub fn parse(text: Option<&str>) -> Self {
        match text {
            Some("None") => Self::None,
            Some("Object") => Self::Object,
            _ => Self::Metadata,
        }
    }

    fn of(self, object: &Value) -> Value {
        match self {
            Self::None => Value::Null,
            Self::Object => object.clone(),
            Self::Metadata => json!({
                "kind": "PartialObjectMetadata",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": object["metadata"],
            }),
        }
    }
}

/// Objects of one kind as a table, at the time `now`. `custom`: the columns of a custom kind's definition.
pub fn table<V: Borrow<Value>>(
    kind: &ResourceKind,
    custom: Option<&[PrinterColumn]>,
    objects: &[V],
    include: IncludeObject,
    now: DateTime<Utc>,
) -> Value {
    let layout = match custom {
        Some([]) => Layout::Custom(vec![age_column()]),
        Some(columns) => Layout::Custom(columns.iter().map(CustomColumn::of).collect()),
        None => Layout::Builtin(builtin::columns(kind)),
    };
    let row = |object: &V| {
        let object = object.borrow();
        json!({"cells": layout.cells(object, now), "object": include.of(object)})
    };
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {},
        "columnDefinitions": layout.definitions(),
        "rows": objects.iter().map(row).collect::<Vec<_>>(),
    })
}

enum Layout {
    Builtin(&'static [builtin::Column]),
    Custom(Vec<CustomColumn>),
}

struct CustomColumn {
    column: PrinterColumn,
    path: Option<JsonPath>,
}

impl CustomColumn {
    fn of(column: &PrinterColumn) -> Self {
        Self { column: column.clone(), path: JsonPath::parse(&column.json_path).ok() }
    }

    /// Empty if the field is not there or not of the column's type.
    fn cell(&self, object: &Value, now: DateTime<Utc>) -> Value {
        let found = self.path.as_ref().and_then(|path| path.first(object));
        let Some(value) = found.filter(|v| !v.is_null()) else { return Value::Null };
        match (self.column.type_.as_str(), value) {
            ("string", Value::String(text)) => json!(text),
            ("string", other) => json!(other.to_string()),
            ("integer", Value::Number(n)) => {
                n.as_i64().map_or_else(|| json!(n.as_f64().map(|f| f as i64)), Value::from)
            }
            ("number", Value::Number(n)) => json!(n),
            ("boolean", Value::Bool(yes)) => json!(yes),
            ("date", Value::String(text)) => match text.parse::<DateTime<Utc>>() {
                Ok(time) => json!(human_duration(now - time)),
                Err(_) => json!("<invalid>"),
            },
            _ => Value::Null,
        }
    }
}

/// The one column of custom kinds that define none.
fn age_column() -> CustomColumn {
    CustomColumn::of(&PrinterColumn {
        name: "Age".into(),
        type_: "date".into(),
        format: String::new(),
        description: "Time since creation.".into(),
        priority: 0,
        json_path: ".metadata.creationTimestamp".into(),
    })
}

impl Layout {
    fn definitions(&self) -> Vec<Value> {
        let definition = |name: &str, type_: &str, format: &str, description: &str, priority: i32| json!({"name": name, "type": type_, "format": format, "description": description, "priority": priority});
        match self {
            Self::Builtin(columns) => columns
                .iter()
                .map(|c| {
                    let format = if c.name == "Name" { "name" } else { "" };
                    definition(c.name, c.type_, format, c.name, c.priority)
                })
                .collect(),
            Self::Custom(columns) => {
                let name = definition("Name", "string", "name", "Name of the object.", 0);
                let others = columns.iter().map(|CustomColumn { column: c, .. }| {
                    definition(&c.name, &c.type_, &c.format, &c.description, c.priority)
                });
                std::iter::once(name).chain(others).collect()
            }
        }
    }

    fn cells(&self, object: &Value, now: DateTime<Utc>) -> Vec<Value> {
        match self {
            Self::Builtin(columns) => columns.iter().map(|c| (c.cell)(object, now)).collect(),
            Self::Custom(columns) => {
                let name = object["metadata"]["name"].clone();
                std::iter::once(name).chain(columns.iter().map(|c| c.cell(object, now))).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests;
