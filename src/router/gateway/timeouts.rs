//! `service.timeout` and `service.backendTimeout`, as the API writes durations. v1 only.

use std::time::Duration;

use serde_json::{Value, json};

use crate::api::duration;
use crate::model::release::{Problem, Release};
use crate::router::problem;

/// The time-outs of a rule; `None` where the manifest has none.
///
/// # Errors
/// If the API would not take them.
pub(super) fn of(release: &Release) -> Result<Option<Value>, Problem> {
    let service = &release.service;
    let request = read(service.timeout.as_deref(), "spec.service.timeout")?;
    let backend = read(service.backend_timeout.as_deref(), "spec.service.backendTimeout")?;
    if let (Some((request, of_request)), Some((backend, of_backend))) = (&request, &backend)
        && !request.is_zero()
        && backend > request
    {
        let message = format!(
            "{of_backend} for one try is longer than {of_request} for the request (spec.service.timeout): write at \
             most that"
        );
        return Err(problem("spec.service.backendTimeout", message));
    }
    let mut timeouts = json!({});
    for (field, value) in [("request", request), ("backendRequest", backend)] {
        if let Some((_, text)) = value {
            timeouts[field] = json!(text);
        }
    }
    Ok(timeouts.as_object().is_some_and(|fields| !fields.is_empty()).then_some(timeouts))
}

fn read(text: Option<&str>, field: &str) -> Result<Option<(Duration, String)>, Problem> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let time = duration::parse(text).map_err(|error| problem(field, error.to_string()))?;
    let written = if is_taken(text) { Some(text.to_owned()) } else { written(time) };
    let written = written.ok_or_else(|| {
        let message =
            format!("{text} is no time-out for the Gateway API: write whole milliseconds, 99999h at most");
        problem(field, message)
    })?;
    Ok(Some((time, written)))
}

/// Whether the API takes the text: up to four times up to five digits and a unit.
fn is_taken(text: &str) -> bool {
    let mut rest = text;
    for _ in 0..4 {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let after = &rest[digits..];
        let Some(unit) = ["ms", "h", "m", "s"].into_iter().find(|unit| after.starts_with(unit)) else {
            return false;
        };
        if !(1..=5).contains(&digits) {
            return false;
        }
        rest = &after[unit.len()..];
        if rest.is_empty() {
            return true;
        }
    }
    false
}

/// A duration in the API's words, if it has some for it.
fn written(time: Duration) -> Option<String> {
    let (seconds, millis) = (time.as_secs(), time.subsec_millis());
    if !time.subsec_nanos().is_multiple_of(1_000_000) || seconds / 3_600 > 99_999 {
        return None;
    }
    let parts =
        [(seconds / 3_600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s"), (u64::from(millis), "ms")];
    let text: String = parts
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, unit)| format!("{number}{unit}"))
        .collect();
    Some(if text.is_empty() { "0s".to_owned() } else { text })
}
