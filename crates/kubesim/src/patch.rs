//! Patches: how an object changes by a JSON patch, a merge patch or a strategic merge patch.
//!
//! Server-side apply comes the same way (by content type), but is another matter: see `apply`.

mod strategic;

use json_patch::PatchOperation;
use serde_json::Value;

use super::error::ApiStatus;
use super::kinds;

/// The four meanings of a PATCH body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchType {
    Json,
    Merge,
    Strategic,
    Apply,
}

/// The media types of PATCH bodies for built-in kinds.
pub const ACCEPTED: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

/// The media types of PATCH bodies for custom kinds.
pub const ACCEPTED_CUSTOM: &[&str] =
    &["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"];

/// More operations than this in one JSON patch are refused, as by a real API server.
const MOST_OPERATIONS: usize = 10_000;

impl PatchType {
    /// Reads a `Content-Type`; parameters after a semicolon do not matter.
    pub fn from_content_type(text: &str) -> Option<Self> {
        match text.split(';').next().unwrap_or_default().trim() {
            "application/json-patch+json" => Some(Self::Json),
            "application/merge-patch+json" => Some(Self::Merge),
            "application/strategic-merge-patch+json" => Some(Self::Strategic),
            "application/apply-patch+yaml" => Some(Self::Apply),
            _ => None,
        }
    }
}

/// Why a patch was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The patch itself is malformed: 400.
    #[error("{0}")]
    Malformed(String),
    /// The patch does not fit the object, e.g. a failed `test`: 422.
    #[error("{0}")]
    DoesNotApply(String),
    /// 413.
    #[error("The allowed maximum operations in a JSON patch is {MOST_OPERATIONS}, got {0}")]
    TooLarge(usize),
    /// Custom kinds have no strategic merge patch: 415.
    #[error("strategic merge patches are for built-in kinds")]
    Unsupported,
}

impl PatchError {
    /// As the API server answers it.
    pub fn status(&self) -> ApiStatus {
        match self {
            Self::Malformed(why) => ApiStatus::bad_request(why),
            Self::DoesNotApply(why) => ApiStatus::unprocessable_patch(why),
            Self::TooLarge(_) => ApiStatus::too_large(self.to_string()),
            Self::Unsupported => ApiStatus::unsupported_media_type(ACCEPTED_CUSTOM),
        }
    }
}

/// Carries out an RFC 6902 patch, with the two liberties of a real API server: a `test` against null holds
/// for a field that is not there, and a `replace` of such a field adds it.
///
/// # Errors
/// The patch is no list of operations, or one of them cannot be carried out. Nothing is changed then.
pub fn apply_json_patch(live: &Value, patch: &Value) -> Result<Value, PatchError> {
    let count = patch.as_array().map_or(0, Vec::len);
    if count > MOST_OPERATIONS {
        return Err(PatchError::TooLarge(count));
    }
    let operations: Vec<PatchOperation> = serde_json::from_value(patch.clone())
        .map_err(|e| PatchError::Malformed(format!("error decoding patch: {e}")))?;
    let mut object = live.clone();
    for operation in operations {
        let missing = is_missing_field(&object, operation.path().as_str());
        let operation = match operation {
            PatchOperation::Test(test) if missing && test.value.is_null() => continue,
            PatchOperation::Replace(replace) if missing => {
                PatchOperation::Add(json_patch::AddOperation { path: replace.path, value: replace.value })
            }
            other => other,
        };
        json_patch::patch_unsafe(&mut object, std::slice::from_ref(&operation))
            .map_err(|e| PatchError::DoesNotApply(describe(&operation, &e)))?;
    }
    Ok(object)
}

/// Whether the path's parent is an object that lacks the path's last field.
fn is_missing_field(object: &Value, path: &str) -> bool {
    let Some((parent, last)) = path.rsplit_once('/') else {
        return false;
    };
    let last = last.replace("~1", "/").replace("~0", "~");
    object.pointer(parent).and_then(Value::as_object).is_some_and(|fields| !fields.contains_key(&last))
}

fn describe(operation: &PatchOperation, error: &json_patch::PatchError) -> String {
    let path = operation.path();
    match operation {
        PatchOperation::Test(_) => format!("testing value {path} failed"),
        PatchOperation::Add(_) => {
            format!("add operation does not apply: doc is missing path: {path:?}")
        }
        PatchOperation::Remove(_) => {
            format!("remove operation does not apply: doc is missing path: {path:?}")
        }
        PatchOperation::Replace(_) => {
            format!("replace operation does not apply: doc is missing path: {path}")
        }
        PatchOperation::Move(_) | PatchOperation::Copy(_) => error.kind.to_string(),
    }
}

/// Carries out an RFC 7396 patch: objects merge, null removes, everything else replaces.
pub fn apply_merge_patch(live: &Value, patch: &Value) -> Value {
    let mut object = live.clone();
    json_patch::merge(&mut object, patch);
    object
}

/// Carries out a strategic merge patch: as a merge patch, but lists of built-in kinds merge by their keys.
///
/// # Errors
/// The kind is a custom one, or the patch has directives that make no sense.
pub fn apply_strategic_patch(
    live: &Value,
    patch: &Value,
    group: &str,
    kind: &str,
) -> Result<Value, PatchError> {
    if kinds::find(group, kind).is_none() {
        return Err(PatchError::Unsupported);
    }
    strategic::merge(live, patch, group, kind)
}

#[cfg(test)]
mod tests;
