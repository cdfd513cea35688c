//! What an object must be before it is stored: its envelope, its types, its defaults and its schema.

use serde_json::{Map, Value, json};

use super::metadata;
use crate::builtin;
use crate::convert::Conversion;
use crate::error::{ApiStatus, FieldError};
use crate::openapi;
use crate::registry::Served;

/// What happens to fields that the schema does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Validation {
    Ignore,
    #[default]
    Warn,
    Strict,
}

impl Validation {
    /// Reads `fieldValidation`; the error names the value that is none.
    pub fn parse(directive: Option<&str>) -> Result<Self, FieldError> {
        match directive {
            None | Some("Warn") => Ok(Self::Warn),
            Some("Ignore") => Ok(Self::Ignore),
            Some("Strict") => Ok(Self::Strict),
            Some(other) => {
                let known = ["", "Ignore", "Strict", "Warn"];
                Err(FieldError::not_supported("fieldValidation", &json!(other), &known))
            }
        }
    }
}

/// Checks what every object has (and fills in what the path says), so that the rest of the code may rely on its shape.
pub fn envelope(served: &Served, namespace: &str, object: &mut Value) -> Result<(), ApiStatus> {
    let kind = &served.kind;
    let Some(fields) = object.as_object_mut() else {
        return Err(ApiStatus::bad_request(format!(
            "the body is not a JSON object: a {} is expected",
            kind.kind
        )));
    };
    for (field, expected) in [("apiVersion", &served.api_version), ("kind", &kind.kind)] {
        match fields.get(field) {
            None | Some(Value::Null) => drop(fields.insert(field.into(), json!(expected))),
            Some(Value::String(found)) if found == expected => {}
            Some(found) => {
                let what = if field == "kind" { "kind" } else { "API version" };
                let found = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
                return Err(ApiStatus::bad_request(format!(
                    "the {what} in the data ({found}) does not match the expected {what} ({expected})"
                )));
            }
        }
    }
    let metadata = fields.entry("metadata").or_insert_with(|| json!({}));
    if metadata.is_null() {
        *metadata = json!({});
    }
    let Some(metadata) = metadata.as_object_mut() else {
        return Err(wrong_type(served, "metadata", "an object"));
    };
    check_metadata(served, metadata)?;
    match (kind.namespaced, metadata.get("namespace").and_then(Value::as_str)) {
        (true, None | Some("")) => drop(metadata.insert("namespace".into(), json!(namespace))),
        (true, Some(found)) if found != namespace => {
            return Err(ApiStatus::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        (true, Some(_)) => {}
        (false, _) => drop(metadata.remove("namespace")),
    }
    if served.custom.is_none() {
        strip_nulls(object);
        builtin::check_types(served, object)
            .map_err(|why| ApiStatus::bad_request(undecodable(served, &why)))?;
    }
    Ok(())
}

fn wrong_type(served: &Served, field: &str, expected: &str) -> ApiStatus {
    ApiStatus::bad_request(undecodable(served, &format!("{field} must be {expected}")))
}

fn undecodable(served: &Served, why: &str) -> String {
    let (version, kind) = (&served.kind.version, &served.kind.kind);
    format!("{kind} in version {version:?} cannot be handled as a {kind}: {why}")
}

fn check_metadata(served: &Served, metadata: &mut Map<String, Value>) -> Result<(), ApiStatus> {
    metadata.retain(|_, value| !value.is_null());
    let string = |value: &Value| value.is_string();
    for (field, value) in metadata.iter() {
        let (fits, expected) = match field.as_str() {
            "labels" | "annotations" => (
                value.as_object().is_some_and(|m| m.values().all(string)),
                "an object whose values are strings",
            ),
            "finalizers" => (value.as_array().is_some_and(|l| l.iter().all(string)), "a list of strings"),
            "ownerReferences" => {
                let whole =
                    |o: &Value| ["apiVersion", "kind", "name", "uid"].iter().all(|f| o[*f].is_string());
                (
                    value.as_array().is_some_and(|l| l.iter().all(whole)),
                    "a list of owners with apiVersion, kind, name and uid",
                )
            }
            "managedFields" => {
                (value.as_array().is_some_and(|l| l.iter().all(Value::is_object)), "a list of objects")
            }
            "generation" | "deletionGracePeriodSeconds" => {
                (value.is_i64() || value.is_u64(), "a whole number")
            }
            "name" | "namespace" | "generateName" | "uid" | "resourceVersion" | "creationTimestamp"
            | "deletionTimestamp" | "selfLink" => (value.is_string(), "a string"),
            _ => (true, ""),
        };
        if !fits {
            return Err(wrong_type(served, &format!("metadata.{field}"), expected));
        }
    }
    // Empty is absent.
    metadata.retain(|field, value| {
        let empty = match value {
            Value::Object(map) => map.is_empty(),
            Value::Array(list) => list.is_empty() && field != "managedFields",
            _ => false,
        };
        !empty
    });
    Ok(())
}

/// In built-in kinds, null is the same as absent.
fn strip_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(strip_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(strip_nulls),
        _ => {}
    }
}

/// The status of a new object: nobody's to give, for kinds that keep it apart.
pub fn initial_status(served: &Served, object: &mut Value) {
    if served.isolates_status() && !served.is("", "Node") {
        metadata::clear(object, &["status"]);
    }
}

/// Refuses an applied configuration with fields that the kind does not have: nobody could own them.
pub fn declared(served: &Served, applied: &Value) -> Result<(), ApiStatus> {
    let mut pruned = applied.clone();
    let unknown = match &served.custom {
        Some(custom) => custom.prune(&mut pruned),
        None => openapi::prune_builtin(&served.kind, &mut pruned),
    };
    let lines: Vec<String> =
        unknown.iter().map(|path| format!(".{path}: field not declared in schema")).collect();
    let why = match lines.as_slice() {
        [] => return Ok(()),
        [one] => one.clone(),
        many => format!("errors:\n  {}", many.join("\n  ")),
    };
    let text = |pointer: &str| applied.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
    let (api_version, kind) = (&served.api_version, &served.kind.kind);
    Err(ApiStatus {
        code: 500,
        reason: "",
        message: format!(
            "failed to create typed patch object ({namespace}/{name}; {api_version}, Kind={kind}): {why}"
        ),
        details: None,
    })
}

/// Defaults, pruning and validation; answers the warnings.
pub fn admit(
    served: &Served,
    object: &mut Value,
    old: Option<&Value>,
    validation: Validation,
) -> Result<Vec<String>, ApiStatus> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let mut errors = metadata_errors(served, object, old);
    let mut unknown = Vec::new();
    match &served.custom {
        Some(custom) => {
            unknown = custom.prune(object);
            custom.default(object);
            errors.extend(custom.validate(object, old));
        }
        None => {
            if served.conversion == Conversion::None {
                unknown = openapi::prune_builtin(&served.kind, object);
            }
            builtin::default(served, object);
            errors.extend(builtin::validate(served, object, old));
        }
    }
    let unknown: Vec<String> = unknown.into_iter().map(|path| format!("unknown field {path:?}")).collect();
    if validation == Validation::Strict && !unknown.is_empty() {
        let why = format!("strict decoding error: {}", unknown.join(", "));
        return Err(ApiStatus::bad_request(undecodable(served, &why)));
    }
    if !errors.is_empty() {
        return Err(ApiStatus::invalid(&served.kind, &name, &errors));
    }
    let mut warnings = if validation == Validation::Warn { unknown } else { Vec::new() };
    warnings.extend(served.custom.as_ref().and_then(|custom| custom.deprecation.clone()));
    Ok(warnings)
}

fn metadata_errors(served: &Served, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let metadata = &object["metadata"];
    let mut errors = Vec::new();
    if old.is_none() {
        errors.extend(builtin::names::check(served, metadata["name"].as_str().unwrap_or_default()));
    }
    if old.is_none_or(|old| old["metadata"]["labels"] != metadata["labels"]) {
        errors.extend(builtin::names::check_labels("metadata.labels", &metadata["labels"]));
    }
    if old.is_none_or(|old| old["metadata"]["annotations"] != metadata["annotations"]) {
        errors.extend(builtin::names::check_annotations(&metadata["annotations"]));
    }
    errors
}
