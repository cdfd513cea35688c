//! What Gloo says of an object that it was told.

use serde_json::Value;

use crate::model::object::ObjectId;

/// Why Gloo does not work by the live object `id` as it is; `None` if it does, or has not said anything. Each control
/// plane of Gloo reports for itself, and what it was made of (the proxies) again for themselves. A proxy's complaint is
/// about everything that leads through it, so of those only the ones that name an Upstream of ours count.
pub(super) fn complaint(id: &ObjectId, live: &Value, upstreams: &[String]) -> Option<String> {
    let status = &live["status"];
    let reports = status["statuses"].as_object().into_iter().flat_map(serde_json::Map::values);
    // Before Gloo 1.11 there was one control plane.
    reports.chain([status]).find_map(|report| {
        if let Some(state) = state(report).filter(|state| *state != "Accepted") {
            return Some(format!("{id} is {state}: {}", reason(report)));
        }
        let parts = ["subresourceStatuses", "subresource_statuses"].map(|field| report[field].as_object());
        let mut parts = parts.into_iter().flatten().flat_map(serde_json::Map::values);
        let complains = |part: &&Value| {
            let state = state(part).unwrap_or("Accepted");
            state != "Accepted" && upstreams.iter().any(|name| names(reason(part), name))
        };
        let part = parts.find(complains)?;
        Some(format!("{id} is {}: {}", state(part).unwrap_or_default(), reason(part)))
    })
}

/// The state of a report, which older versions wrote as a number.
fn state(report: &Value) -> Option<&str> {
    match &report["state"] {
        Value::Number(number) => {
            let states = ["Pending", "Accepted", "Rejected", "Warning"];
            Some(
                number
                    .as_u64()
                    .and_then(|number| states.get(usize::try_from(number).ok()?))
                    .unwrap_or(&"unknown"),
            )
        }
        state => state.as_str().filter(|state| !state.is_empty()),
    }
}

fn reason(report: &Value) -> &str {
    report["reason"].as_str().map(str::trim).filter(|text| !text.is_empty()).unwrap_or("no reason is given")
}

/// Whether a text has the name as a word of its own.
fn names(text: &str, name: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '.').any(|word| word == name)
}
