//! The scale subresource: an `autoscaling/v1 Scale` as a view of an object.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Outcome, Ownership, Part, Target, Writer, metadata};
use crate::cluster::Cluster;
use crate::error::{ApiStatus, FieldError};
use crate::kinds::ResourceKind;
use crate::registry::Served;
use crate::store::Object;

/// Where an object keeps its scale, as JSON pointers.
struct Paths {
    spec: String,
    status: String,
    selector: Option<String>,
}

impl Paths {
    fn of(served: &Served) -> Self {
        let custom = served.custom.as_ref().and_then(|c| c.scale.as_ref());
        let pointer = |path: &str| path.replace('.', "/");
        match custom {
            Some(scale) => Self {
                spec: pointer(&scale.spec_replicas_path),
                status: pointer(&scale.status_replicas_path),
                selector: scale.label_selector_path.as_deref().map(pointer),
            },
            None => Self { spec: "/spec/replicas".into(), status: "/status/replicas".into(), selector: None },
        }
    }
}

/// The scale of an object.
pub fn of(served: &Served, object: &Value) -> Value {
    let paths = Paths::of(served);
    let number = |path: &str| object.pointer(path).and_then(Value::as_i64).unwrap_or(0);
    let selector = match &paths.selector {
        Some(path) => object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned(),
        None => selector_text(&object["spec"]["selector"]),
    };
    let meta = &object["metadata"];
    let mut scale = json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {},
        "spec": {},
        "status": {"replicas": number(&paths.status)},
    });
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = meta.get(field) {
            scale["metadata"][field] = value.clone();
        }
    }
    // As Go writes it: zero is absent.
    if number(&paths.spec) != 0 {
        scale["spec"]["replicas"] = json!(number(&paths.spec));
    }
    if !selector.is_empty() {
        scale["status"]["selector"] = json!(selector);
    }
    scale
}

/// `app=shop,tier in (a,b)`
fn selector_text(selector: &Value) -> String {
    let labels = selector["matchLabels"].as_object().into_iter().flatten();
    let mut parts: Vec<String> =
        labels.map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default())).collect();
    for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
        let key = expression["key"].as_str().unwrap_or_default();
        let values: Vec<&str> =
            expression["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        parts.push(match expression["operator"].as_str().unwrap_or_default() {
            "In" => format!("{key} in ({})", values.join(",")),
            "NotIn" => format!("{key} notin ({})", values.join(",")),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_owned(),
        });
    }
    parts.join(",")
}

impl Cluster {
    pub(super) fn update_scale(
        &mut self,
        target: &Target,
        before: &Arc<Object>,
        scale: &Value,
        by: &Writer,
    ) -> Result<Outcome, ApiStatus> {
        let name = &*target.key.name;
        if !scale.is_object() || !scale["metadata"].is_object() && !scale["metadata"].is_null() {
            return Err(ApiStatus::bad_request("the body is not a Scale"));
        }
        metadata::check_identity(target, before, scale)?;
        let replicas = match &scale["spec"]["replicas"] {
            Value::Null => 0,
            number => number
                .as_i64()
                .ok_or_else(|| ApiStatus::bad_request("spec.replicas of the Scale is not a whole number"))?,
        };
        if !(0..=i64::from(i32::MAX)).contains(&replicas) {
            let error =
                FieldError::invalid("spec.replicas", &json!(replicas), "must be greater than or equal to 0");
            let kind = ResourceKind {
                group: "autoscaling".into(),
                kind: "Scale".into(),
                ..target.served.kind.clone()
            };
            return Err(ApiStatus::invalid(&kind, name, &[error]));
        }
        let mut object = before.value().clone();
        let path = Paths::of(&target.served).spec;
        set(&mut object, &path, json!(replicas)).ok_or_else(|| {
            ApiStatus::internal(format!(
                "{path} of {name} cannot be set: it stands below something that is no object"
            ))
        })?;
        self.replace(target, before, object, Part::Scale, by, Ownership::Track)
    }
}

/// Sets the value at a JSON pointer, making the objects on the way.
fn set(object: &mut Value, pointer: &str, value: Value) -> Option<()> {
    let mut at = object;
    for part in pointer.split('/').filter(|p| !p.is_empty()) {
        if at.is_null() {
            *at = json!({});
        }
        at = at.as_object_mut()?.entry(part).or_insert(Value::Null);
    }
    *at = value;
    Some(())
}
