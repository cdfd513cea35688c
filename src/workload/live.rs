//! Live objects: how one is found, and what people are told if it is not there.

use serde_json::Value;

use super::Error;
use crate::model::object::{ObjectId, Objects};

/// Finds an object.
///
/// # Errors
/// If it does not exist.
pub(super) fn find<'a>(seen: &'a Objects, id: &ObjectId) -> Result<&'a Value, Error> {
    seen.get(id).ok_or_else(|| Error::Missing(missing(&id.kind.kind.to_lowercase(), id)))
}

/// The message about an object that does not exist; `what` is the name of its kind in messages.
pub(super) fn missing(what: &str, id: &ObjectId) -> String {
    let group = if id.kind.group.is_empty() { String::new() } else { format!(".{}", id.kind.group) };
    format!(
        "{what} {}.{} get query error: {}{group} \"{}\" not found",
        id.name, id.namespace, id.kind.plural, id.name
    )
}

/// The images of the containers in a workload's pod template, ten at most.
pub(super) fn images(workload: &Value) -> Vec<String> {
    let containers = workload["spec"]["template"]["spec"]["containers"].as_array();
    let image = |container: &Value| container["image"].as_str().map(str::to_owned);
    containers.into_iter().flatten().filter_map(image).take(IMAGES).collect()
}

/// How many images are listed at most: the list stands in messages to people.
const IMAGES: usize = 10;
