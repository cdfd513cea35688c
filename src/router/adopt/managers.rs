//! Who else writes a route, by the record of field managers that the API server keeps.

use serde_json::Value;

/// The field manager that has last written a part of the spec and is not we; `None` if nobody is on record.
pub(super) fn of_spec(live: &Value) -> Option<String> {
    let entries = live["metadata"]["managedFields"].as_array()?;
    let others = entries.iter().filter(|entry| {
        let manager = entry["manager"].as_str().unwrap_or_default();
        let of_the_spec = entry["fieldsV1"].is_null() || !entry["fieldsV1"]["f:spec"].is_null();
        !manager.is_empty() && manager != OURS && of_the_spec
    });
    let last = others.max_by_key(|entry| entry["time"].as_str().unwrap_or_default())?;
    let name: String = last["manager"].as_str().unwrap_or_default().chars().take(LONGEST).collect();
    Some(format!("field manager {name}"))
}

/// As the API server calls whoever writes without a name of its own: the first part of our user agent.
const OURS: &str = "vexil";
const LONGEST: usize = 128;
