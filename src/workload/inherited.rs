//! The labels and annotations that go from an object to its copy.

use serde_json::{Map, Value};

use crate::model::release::Settings;

/// The labels or annotations of `map` that go from an object to its copy.
pub(super) fn included(settings: &Settings, map: &Value) -> Map<String, Value> {
    let entries = map.as_object().into_iter().flatten();
    entries
        .filter(|(key, _)| is_included(key, &settings.include_label_prefixes))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// Whether a label or annotation of an object goes to its copy.
fn is_included(key: &str, prefixes: &[String]) -> bool {
    let by_prefix =
        |prefix: &String| prefix == "*" || (!prefix.is_empty() && key.starts_with(prefix.as_str()));
    !is_flux(key) && is_copyable(key) && prefixes.iter().any(by_prefix)
}

/// Whether a label or annotation may be copied to another object.
pub(super) fn is_copyable(key: &str) -> bool {
    !OF_ONE_OBJECT.contains(&key)
}

/// Whether Flux marks its objects with this label or annotation; a copy is not Flux's.
pub(super) fn is_flux(key: &str) -> bool {
    key.contains("toolkit.fluxcd.io")
}

/// Annotations that describe the very object that has them, and would be untrue on a copy.
const OF_ONE_OBJECT: [&str; 3] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    "deployment.kubernetes.io/revision",
    "deprecated.daemonset.template.generation",
];
