//! Annotations that tell other tools something about an object, and those in which an object's past is kept
//! (spec 03 §1.6, §1.10).

use serde_json::{Map, Value, json};

/// Lets Flux leave the object alone.
pub(super) const FLUX: [&str; 2] =
    ["kustomize.toolkit.fluxcd.io/reconcile", "helm.toolkit.fluxcd.io/driftDetection"];

/// What kubectl applied last; a whole object as JSON.
pub(super) const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The spec of an object before it was taken over, as JSON.
pub(super) const ORIGINAL: &str = "flagger.kubernetes.io/original-configuration";

/// The labels and annotations of an object before `spec.service.apex` was laid over them: a merge patch as JSON, with
/// nulls for those that it did not have.
pub(super) const ORIGINAL_METADATA: &str = "flagger.app/original-metadata";

/// The annotations that Flux looks for.
pub(super) fn flux() -> Map<String, Value> {
    FLUX.iter().map(|key| ((*key).to_owned(), json!("disabled"))).collect()
}

/// Nulls for all that taking over left behind, but for what the user's own object had: `own` are its annotations.
pub(super) fn cleared(live: &Value, own: &Value) -> Map<String, Value> {
    let left = FLUX.iter().chain([&ORIGINAL]).filter(|key| !live["metadata"]["annotations"][**key].is_null());
    left.map(|key| ((*key).to_owned(), own[*key].clone())).collect()
}

/// An annotation's value.
pub(super) fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object["metadata"]["annotations"][key].as_str().filter(|text| !text.is_empty())
}
