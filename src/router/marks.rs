//! Annotations that tell other tools something about an object, and those in which an object's past is kept
//! (spec 03 §1.6, §1.10).

use serde_json::{Map, Value, json};

/// The annotations that, set to `disabled`, keep Flux from reverting changes of the object.
pub(super) const FLUX: [&str; 2] =
    ["kustomize.toolkit.fluxcd.io/reconcile", "helm.toolkit.fluxcd.io/driftDetection"];

/// The annotation in which kubectl keeps the object that it applied last, as JSON.
pub(super) const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The annotation that keeps the spec that an object had before it was taken over, as JSON.
pub(super) const ORIGINAL: &str = "flagger.kubernetes.io/original-configuration";

/// The annotation that keeps the labels and annotations that an object had before those of `spec.service.apex` were
/// added: a merge patch as JSON, with nulls for those that it did not have.
pub(super) const ORIGINAL_METADATA: &str = "flagger.app/original-metadata";

/// The annotation of a copied Ingress that names the annotations that come from the user's one, as a JSON list.
pub(super) const COPIED: &str = "flagger.app/copied";

/// The annotations of [`FLUX`] with their values, for an object that is written.
pub(super) fn flux() -> Map<String, Value> {
    FLUX.iter().map(|key| ((*key).to_owned(), json!("disabled"))).collect()
}

/// The merge patch of annotations that undoes taking over the `live` object: each annotation that it may have left
/// there gets the value that it has in `own`, the annotations that the user applied, or is removed.
pub(super) fn cleared(live: &Value, own: &Value) -> Map<String, Value> {
    let left = FLUX.iter().chain([&ORIGINAL]).filter(|key| !live["metadata"]["annotations"][**key].is_null());
    left.map(|key| ((*key).to_owned(), own[*key].clone())).collect()
}

/// The value of an annotation; `None` if it is absent or empty.
pub(super) fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object["metadata"]["annotations"][key].as_str().filter(|text| !text.is_empty())
}
