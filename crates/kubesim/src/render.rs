//! Stored objects in the version and shape that a client asked for.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::convert::Conversion;
use super::registry::Served;
use super::route::Shape;
use super::store::{Object, to_json};
use super::table::{self, IncludeObject};

/// How objects are to be shown.
#[derive(Clone, Debug)]
pub struct View {
    pub served: Arc<Served>,
    pub shape: Shape,
    /// What each row of a table carries besides its cells.
    pub include: IncludeObject,
}

/// What stands beside the items of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListMeta {
    pub revision: u64,
    pub continue_token: Option<String>,
    pub remaining: Option<usize>,
}

impl View {
    /// `apiVersion` and `kind` of one object in this view.
    pub fn type_of_one(&self) -> (&str, &str) {
        match self.shape {
            Shape::Metadata => ("meta.k8s.io/v1", "PartialObjectMetadata"),
            Shape::Table => ("meta.k8s.io/v1", "Table"),
            Shape::Full | Shape::Discovery => (&self.served.api_version, &self.served.kind.kind),
        }
    }

    /// One object as JSON.
    pub fn object(&self, object: &Object, now: DateTime<Utc>) -> Bytes {
        match self.shape {
            Shape::Full | Shape::Discovery if self.served.conversion == Conversion::None => object.json(),
            Shape::Full | Shape::Discovery => to_json(&self.value(object)),
            Shape::Metadata => to_json(&metadata_only(object.value())),
            Shape::Table => {
                let mut table = self.table(&[self.value(object)], now);
                table["metadata"] = json!({"resourceVersion": object.revision().to_string()});
                to_json(&table)
            }
        }
    }

    /// One object of a list: those of built-in kinds do not repeat their type.
    fn item(&self, object: &Object, now: DateTime<Utc>) -> Bytes {
        if self.shape != Shape::Full || self.served.custom.is_some() {
            return self.object(object, now);
        }
        match self.value(object) {
            Cow::Borrowed(_) => object.untyped_json(),
            Cow::Owned(value) => Object::draft(value, object.revision()).untyped_json(),
        }
    }

    /// One object in the served version.
    fn value<'a>(&self, object: &'a Object) -> Cow<'a, Value> {
        match self.served.conversion {
            Conversion::None => Cow::Borrowed(object.value()),
            _ => Cow::Owned(self.served.conversion.serve(object.value().clone())),
        }
    }

    /// A list as JSON.
    pub fn list(&self, objects: &[Arc<Object>], meta: &ListMeta, now: DateTime<Utc>) -> Bytes {
        if self.shape == Shape::Table {
            let values: Vec<Cow<Value>> = objects.iter().map(|o| self.value(o)).collect();
            let mut table = self.table(&values, now);
            table["metadata"] = meta.to_value();
            return to_json(&table);
        }
        let (api_version, kind) = match self.shape {
            Shape::Metadata => ("meta.k8s.io/v1", "PartialObjectMetadataList"),
            _ => (self.served.api_version.as_str(), self.served.kind.list_kind.as_str()),
        };
        let mut out = BytesMut::new();
        out.put_slice(
            format!(
                "{{\"kind\":{},\"apiVersion\":{},\"metadata\":{},\"items\":[",
                json!(kind),
                json!(api_version),
                meta.to_value()
            )
            .as_bytes(),
        );
        for (i, object) in objects.iter().enumerate() {
            if i > 0 {
                out.put_u8(b',');
            }
            out.put_slice(&self.item(object, now));
        }
        out.put_slice(b"]}\n");
        out.freeze()
    }

    fn table(&self, objects: &[Cow<Value>], now: DateTime<Utc>) -> Value {
        let columns = self.served.custom.as_ref().map(|c| c.printer_columns.as_slice());
        table::table(&self.served.kind, columns, objects, self.include, now)
    }
}

impl ListMeta {
    fn to_value(&self) -> Value {
        let mut meta = json!({"resourceVersion": self.revision.to_string()});
        if let Some(token) = &self.continue_token {
            meta["continue"] = json!(token);
        }
        if let Some(remaining) = self.remaining {
            meta["remainingItemCount"] = json!(remaining);
        }
        meta
    }
}

fn metadata_only(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": object["metadata"],
    })
}
