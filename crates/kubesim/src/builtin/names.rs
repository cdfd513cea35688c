//! What names, labels and annotations may look like: the rules of `kinds::names` where they apply.

use serde_json::{Value, json};

use crate::error::FieldError;
use crate::kinds::names;
use crate::registry::Served;

/// Complaints about the name of a new object.
pub fn check(served: &Served, name: &str) -> Vec<FieldError> {
    let why = match (served.kind.group.as_str(), served.kind.kind.as_str()) {
        ("rbac.authorization.k8s.io", _) => names::path_segment(name),
        ("", "Namespace") => names::dns_label(name),
        ("", "Service") => names::dns_1035_label(name),
        _ => names::dns_subdomain(name),
    };
    why.into_iter().map(|why| FieldError::invalid("metadata.name", &json!(name), &why)).collect()
}

/// Complaints about labels.
pub fn check_labels(path: &str, labels: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (key, value) in labels.as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        errors.extend(names::qualified_name(key).map(|why| FieldError::invalid(path, &json!(key), &why)));
        errors.extend(names::label_value(value).map(|why| FieldError::invalid(path, &json!(value), &why)));
    }
    errors
}

/// Complaints about annotations.
pub fn check_annotations(annotations: &Value) -> Vec<FieldError> {
    const MOST: usize = 256 * 1024;
    let path = "metadata.annotations";
    let all = || annotations.as_object().into_iter().flatten();
    let key = |key: &str| {
        names::qualified_name(&key.to_lowercase()).map(|why| FieldError::invalid(path, &json!(key), &why))
    };
    let mut errors: Vec<FieldError> = all().filter_map(|(name, _)| key(name)).collect();
    let size: usize = all().map(|(k, v)| k.len() + v.as_str().map_or(0, str::len)).sum();
    if size > MOST {
        errors.push(FieldError::too_long(path, MOST));
    }
    errors
}
