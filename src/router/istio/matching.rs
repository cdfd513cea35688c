//! Which requests go to the canary: `analysis.match` within `service.match` (spec 03 §5.2).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::api::analysis::AnalysisMatch;
use crate::api::service::StringMatch;
use crate::model::release::Release;
use crate::router::{Error, problem};

/// The matches of the canary's rule: each entry of the analysis with each of the service.
///
/// # Errors
/// If an entry has no condition that Istio can check, so that it would take every request.
pub(super) fn of_canary(release: &Release) -> Result<Vec<Value>, Error> {
    let conditions = conditions(release)?;
    let service = release.service.matches.as_deref().unwrap_or_default();
    Ok(conditions.iter().flat_map(|condition| within(service, condition)).collect())
}

/// The conditions of the entries of the analysis.
///
/// # Errors
/// As [`of_canary`].
pub(super) fn conditions(release: &Release) -> Result<Vec<Value>, Error> {
    let entries = release.analysis.matches.iter().enumerate();
    entries.map(|(index, entry)| translated(entry, &format!("spec.analysis.match[{index}]"))).collect()
}

/// The matches of requests that hold a cookie.
pub(super) fn of_cookie(service: &[Value], expression: &str) -> Vec<Value> {
    within(service, &json!({"headers": {"Cookie": {"regex": expression}}}))
}

/// A condition within what the service takes. Both have to hold; of two conditions on one header it is the
/// narrower one's.
pub(super) fn within(service: &[Value], condition: &Value) -> Vec<Value> {
    if service.is_empty() {
        return vec![condition.clone()];
    }
    let both = |entry: &Value| {
        let mut entry = entry.clone();
        for (field, conditions) in condition.as_object().into_iter().flatten() {
            for (name, wanted) in conditions.as_object().into_iter().flatten() {
                // Taken out first: a merge would mix `exact` of the one with `prefix` of the other.
                json_patch::merge(&mut entry, &json!({field.as_str(): {name.as_str(): null}}));
                json_patch::merge(&mut entry, &json!({field.as_str(): {name.as_str(): wanted}}));
            }
        }
        entry
    };
    service.iter().map(both).collect()
}

fn translated(entry: &AnalysisMatch, path: &str) -> Result<Value, Error> {
    let mut condition = json!({});
    for (field, map) in [("headers", &entry.headers), ("queryParams", &entry.query_params)] {
        if let Some(map) = map.as_ref().filter(|map| !map.is_empty()) {
            condition[field] = strings(map, &format!("{path}.{field}"))?;
        }
    }
    if let Some(labels) = entry.source_labels.as_ref().filter(|labels| !labels.is_empty()) {
        condition["sourceLabels"] = json!(labels);
    }
    if condition.as_object().is_none_or(serde_json::Map::is_empty) {
        return Err(Error::Unsupported(problem(
            path,
            "has no condition, so every request would go to the canary: give it headers, queryParams or \
             sourceLabels",
        )));
    }
    Ok(condition)
}

fn strings(map: &BTreeMap<String, StringMatch>, path: &str) -> Result<Value, Error> {
    let mut conditions = serde_json::Map::new();
    for (name, text) in map {
        if text.suffix.is_some() {
            let field = format!("{path}.{name}.suffix");
            return Err(Error::Unsupported(problem(
                field,
                "cannot be checked by Istio: write regex \".*…\" instead",
            )));
        }
        conditions.insert(name.clone(), json!(text));
    }
    Ok(Value::Object(conditions))
}
