//! Live objects: finding them, and changing a copy of them.

use serde_json::Value;

use super::Error;
use crate::model::object::{ObjectId, Objects, Write};

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

/// The write that brings `changes`, a merge patch, to the object; `None` if it has them already.
pub(super) fn edit(id: ObjectId, live: &Value, changes: &Value) -> Option<Write> {
    let mut desired = live.clone();
    json_patch::merge(&mut desired, &without_empty(changes));
    Write::update(id, live, &desired)
}

/// A merge patch without the parts that only say "an object, changed in nothing": they would create it.
fn without_empty(changes: &Value) -> Value {
    let Some(fields) = changes.as_object() else { return changes.clone() };
    let kept = fields.iter().map(|(key, value)| (key.clone(), without_empty(value)));
    Value::Object(
        kept.filter(|(_, value)| value.as_object().is_none_or(|fields| !fields.is_empty())).collect(),
    )
}

/// Images that are named, of a template with many containers.
const IMAGES: usize = 10;
