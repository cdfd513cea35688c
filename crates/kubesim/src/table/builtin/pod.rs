//! The cells of a Pod: one word for all that its containers do.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::cells::text;
use crate::table::human_duration;

pub(super) fn ready(pod: &Value) -> Value {
    let ready = statuses(pod).filter(|s| s["ready"] == true).count();
    json!(format!("{ready}/{}", list(&pod["spec"]["containers"]).count()))
}

pub(super) fn restarts(pod: &Value, now: DateTime<Utc>) -> Value {
    let count: i64 = statuses(pod).filter_map(|s| s["restartCount"].as_i64()).sum();
    let last = statuses(pod)
        .filter_map(|s| text(&s["lastState"]["terminated"]["finishedAt"]).parse::<DateTime<Utc>>().ok())
        .max();
    match last.filter(|_| count > 0) {
        Some(time) => json!(format!("{count} ({} ago)", human_duration(now - time))),
        None => json!(count.to_string()),
    }
}

pub(super) fn status(pod: &Value) -> Value {
    let gone = !pod["metadata"]["deletionTimestamp"].is_null();
    match (gone, text(&pod["status"]["reason"])) {
        (true, "NodeLost") => json!("Unknown"),
        (true, _) => json!("Terminating"),
        (false, _) => json!(reason(pod)),
    }
}

fn reason(pod: &Value) -> String {
    if let Some(reason) = init_reason(pod) {
        return reason;
    }
    let mut reason = match text(&pod["status"]["reason"]) {
        "" => text(&pod["status"]["phase"]).to_string(),
        reason => reason.to_string(),
    };
    let mut running = false;
    // The first container with something to say speaks for the pod.
    let all: Vec<&Value> = statuses(pod).collect();
    for status in all.iter().rev() {
        let state = &status["state"];
        if let Some(why) = waiting(state).or_else(|| terminated(&state["terminated"])) {
            reason = why;
        } else if status["ready"] == true && !state["running"].is_null() {
            running = true;
        }
    }
    if reason == "Completed" && running {
        let ready = list(&pod["status"]["conditions"]).any(|c| c["type"] == "Ready" && c["status"] == "True");
        reason = if ready { "Running".into() } else { "NotReady".into() };
    }
    reason
}

/// What keeps the pod in its initialization.
fn init_reason(pod: &Value) -> Option<String> {
    let total = list(&pod["spec"]["initContainers"]).count();
    for (i, status) in list(&pod["status"]["initContainerStatuses"]).enumerate() {
        let state = &status["state"];
        let ended = &state["terminated"];
        if ended["exitCode"] == 0 || status["started"] == true {
            continue;
        }
        return Some(match (terminated(ended), waiting(state)) {
            (Some(why), _) => format!("Init:{why}"),
            (None, Some(why)) if why != "PodInitializing" => format!("Init:{why}"),
            _ => format!("Init:{i}/{total}"),
        });
    }
    None
}

fn waiting(state: &Value) -> Option<String> {
    let reason = text(&state["waiting"]["reason"]);
    (!reason.is_empty()).then(|| reason.to_string())
}

fn terminated(ended: &Value) -> Option<String> {
    if ended.is_null() {
        return None;
    }
    Some(match (text(&ended["reason"]), ended["signal"].as_i64().unwrap_or(0)) {
        ("", 0) => format!("ExitCode:{}", ended["exitCode"].as_i64().unwrap_or(0)),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_string(),
    })
}

pub(super) fn gates(pod: &Value) -> Value {
    let gates: Vec<&Value> = list(&pod["spec"]["readinessGates"]).collect();
    if gates.is_empty() {
        return json!("<none>");
    }
    let holds = |gate: &Value| {
        list(&pod["status"]["conditions"])
            .any(|c| c["type"] == gate["conditionType"] && c["status"] == "True")
    };
    json!(format!("{}/{}", gates.iter().filter(|g| holds(g)).count(), gates.len()))
}

fn statuses(pod: &Value) -> impl DoubleEndedIterator<Item = &Value> {
    list(&pod["status"]["containerStatuses"])
}

fn list(value: &Value) -> impl DoubleEndedIterator<Item = &Value> {
    value.as_array().map(Vec::as_slice).unwrap_or_default().iter()
}
