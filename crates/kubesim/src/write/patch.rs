//! Patches: read from a request, carried out on an object.

use serde_json::{Value, json};

use super::Target;
use crate::error::ApiStatus;
use crate::patch::{self, PatchType};
use crate::registry::Served;

/// A patch of one of the four kinds.
#[derive(Clone, Debug)]
pub enum Patch {
    Json(Value),
    Merge(Value),
    Strategic(Value),
    Apply(Value),
}

impl Patch {
    /// The patch of this content type.
    pub fn parse(content_type: &str, body: Value) -> Result<Self, ApiStatus> {
        match PatchType::from_content_type(content_type) {
            Some(PatchType::Json) => Ok(Self::Json(body)),
            Some(PatchType::Merge) => Ok(Self::Merge(body)),
            Some(PatchType::Strategic) => Ok(Self::Strategic(body)),
            Some(PatchType::Apply) => Ok(Self::Apply(body)),
            None => Err(ApiStatus::unsupported_media_type(patch::ACCEPTED)),
        }
    }

    /// The object after the patch.
    pub(super) fn on(&self, live: &Value, served: &Served) -> Result<Value, ApiStatus> {
        let kind = &served.kind;
        match self {
            Self::Json(patch) => patch::apply_json_patch(live, patch).map_err(|why| why.status()),
            Self::Merge(patch) if patch.is_object() => Ok(patch::apply_merge_patch(live, patch)),
            Self::Merge(_) => Err(ApiStatus::bad_request("the merge patch is not a JSON object")),
            Self::Strategic(patch) => {
                patch::apply_strategic_patch(live, patch, &kind.group, &kind.kind).map_err(|why| why.status())
            }
            Self::Apply(_) => Err(ApiStatus::internal("an apply patch is merged, not carried out")),
        }
    }
}

/// Checks and completes an applied configuration.
pub(super) fn applied_object(target: &Target, applied: &Value) -> Result<Value, ApiStatus> {
    let name = &*target.key.name;
    let mut applied = applied.clone();
    let Some(fields) = applied.as_object_mut() else {
        return Err(ApiStatus::bad_request("the applied configuration is not an object"));
    };
    for field in ["apiVersion", "kind"] {
        if !fields.get(field).is_some_and(Value::is_string) {
            return Err(ApiStatus::bad_request(format!("the applied configuration has no {field}")));
        }
    }
    let metadata = fields.entry("metadata").or_insert_with(|| json!({}));
    if metadata.is_null() {
        *metadata = json!({});
    }
    let Some(metadata) = metadata.as_object_mut() else {
        return Err(ApiStatus::bad_request("metadata of the applied configuration is not an object"));
    };
    if metadata
        .get("managedFields")
        .is_some_and(|f| f.as_array().is_none_or(|l| !l.is_empty()) && !f.is_null())
    {
        return Err(ApiStatus::bad_request("metadata.managedFields must be nil"));
    }
    metadata.remove("managedFields");
    match metadata.get("name").and_then(Value::as_str) {
        Some(found) if found != name => {
            return Err(ApiStatus::bad_request(format!(
                "the name of the object ({found}) does not match the name on the URL ({name})"
            )));
        }
        Some(_) => {}
        None => drop(metadata.insert("name".into(), json!(name))),
    }
    if target.served.kind.namespaced && !metadata.contains_key("namespace") {
        metadata.insert("namespace".into(), json!(&*target.key.namespace));
    }
    Ok(applied)
}
