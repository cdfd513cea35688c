//! Live objects: finding them, and changing a copy of them.

use serde_json::Value;

use super::Error;
use crate::model::object::{ObjectId, Objects};

/// The object, or the error that its absence is.
pub(super) fn find<'a>(seen: &'a Objects, id: &ObjectId) -> Result<&'a Value, Error> {
    seen.get(id).ok_or_else(|| Error::Missing(missing(&id.kind.kind.to_lowercase(), id)))
}

/// Text for an object that does not exist; `what` is how messages call its kind.
pub(super) fn missing(what: &str, id: &ObjectId) -> String {
    let group = if id.kind.group.is_empty() { String::new() } else { format!(".{}", id.kind.group) };
    format!(
        "{what} {}.{} get query error: {}{group} \"{}\" not found",
        id.name, id.namespace, id.kind.plural, id.name
    )
}

/// Images of the containers of a workload's template.
pub(super) fn images(workload: &Value) -> Vec<String> {
    let containers = workload["spec"]["template"]["spec"]["containers"].as_array();
    let image = |container: &Value| container["image"].as_str().map(str::to_owned);
    containers.into_iter().flatten().filter_map(image).take(IMAGES).collect()
}

/// Images that are named, of a template with many containers.
const IMAGES: usize = 10;
