//! `service.headers`: headers that are added, set and removed (spec 03 §6.1).

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value, json};

use super::live::list;
use super::{limits, names};
use crate::model::release::{Problem, Release};
use crate::router::problem;

/// What is done to the headers of requests, or of responses.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Operations {
    add: Option<BTreeMap<String, String>>,
    set: Option<BTreeMap<String, String>>,
    remove: Option<Vec<String>>,
}

/// One header with its value, as the API writes it.
fn pair(name: &str, value: &str) -> Value {
    json!({"name": name, "value": value})
}

/// The modifier of one side, `request` or `response`; `None` where the manifest has none.
///
/// # Errors
/// If the API would not take it.
pub(super) fn modifier(release: &Release, side: &str) -> Result<Option<Value>, Problem> {
    let path = format!("spec.service.headers.{side}");
    let Some(block) = release.service.headers.as_ref().map(|headers| &headers[side]) else { return Ok(None) };
    let block: Option<Operations> = serde_json::from_value(block.clone())
        .map_err(|error| problem(&path, format!("is not understood: {error}")))?;
    let Operations { add, set, remove } = block.unwrap_or_default();
    let mut modifier = json!({});
    for (field, map) in [("set", set), ("add", add)] {
        let path = format!("{path}.{field}");
        let mut known = BTreeSet::new();
        let mut pairs = Vec::new();
        // In the order of their names, which the map has.
        for (name, value) in map.unwrap_or_default() {
            let field = format!("{path}.{name}");
            names::token(&name, &field)?;
            names::text(&value, names::HEADER_VALUE, &field)?;
            if !known.insert(name.to_lowercase()) {
                let message =
                    "is one header in two spellings, of which a gateway takes the first: remove one";
                return Err(problem(field, message));
            }
            if release.analysis.session_affinity.is_some() && side == "response" && is_set_cookie(&name) {
                return Err(problem(field, COOKIES));
            }
            pairs.push(pair(&name, &value));
        }
        if !pairs.is_empty() {
            modifier[field] = json!(pairs);
        }
    }
    let mut names: Vec<String> = Vec::new();
    for name in remove.unwrap_or_default() {
        names::token(&name, &format!("{path}.remove"))?;
        if release.analysis.session_affinity.is_some() && side == "response" && is_set_cookie(&name) {
            return Err(problem(format!("{path}.remove"), COOKIES));
        }
        if !names.iter().any(|known| known.eq_ignore_ascii_case(&name)) {
            names.push(name);
        }
    }
    if !names.is_empty() {
        modifier["remove"] = json!(names);
    }
    let some = modifier.as_object().is_some_and(|fields| !fields.is_empty());
    Ok(some.then_some(modifier))
}

const COOKIES: &str =
    "is the header in which spec.analysis.sessionAffinity sends its cookies: remove one of the two";

/// `filters` with the cookie among the headers that one of them adds to responses: a rule may have one such filter
/// (spec 03 §6.5).
pub(super) fn with_cookie(mut filters: Vec<Value>, cookie: &str) -> Vec<Value> {
    let Some(filter) = filters.iter_mut().find(|filter| filter["type"] == RESPONSE) else {
        let modifier = json!({"add": [pair(SET_COOKIE, cookie)]});
        filters.push(json!({"type": RESPONSE, "responseHeaderModifier": modifier}));
        return filters;
    };
    let mut headers = list(&filter["responseHeaderModifier"]["add"]).to_vec();
    headers.retain(|header| !is_set_cookie(header["name"].as_str().unwrap_or_default()));
    // A modifier that is full goes without: no rule looks for the cookie any more.
    if headers.len() < limits::HEADERS {
        headers.push(pair(SET_COOKIE, cookie));
    }
    filter["responseHeaderModifier"]["add"] = json!(headers);
    filters
}

/// `filters` without the cookies that were added in an earlier step. With session affinity a side sets no cookie but ours,
/// so that every one goes, whatever somebody has made of it.
pub(super) fn without_cookies(filters: &[Value], affinity: bool) -> Vec<Value> {
    let mut kept = Vec::new();
    for filter in filters {
        let mut filter = filter.clone();
        let added = list(&filter["responseHeaderModifier"]["add"]);
        let others: Vec<Value> = added
            .iter()
            .filter(|header| header["name"].is_string() && !is_ours(header, affinity))
            .cloned()
            .collect();
        let add = &filter["responseHeaderModifier"]["add"];
        if others.len() < added.len() || !(add.is_array() || add.is_null()) {
            let others = if others.is_empty() { Value::Null } else { Value::Array(others) };
            json_patch::merge(&mut filter, &json!({"responseHeaderModifier": {"add": others}}));
        }
        // What is left of a filter when its cookie is gone may do nothing at all.
        let says = |list: &str| {
            let entries = filter["responseHeaderModifier"][list].as_array();
            entries.is_some_and(|entries| {
                entries.iter().any(|entry| entry.is_string() || entry["name"].is_string())
            })
        };
        if filter["type"] == RESPONSE && !["set", "add", "remove"].into_iter().any(says) {
            continue;
        }
        kept.push(filter);
    }
    kept
}

/// Whether this is one of our cookies: ten letters (spec 03 §4) that live for a while.
fn is_ours(header: &Value, affinity: bool) -> bool {
    let value = header["value"].as_str().unwrap_or_default();
    let letters = value.split_once("; Max-Age=").and_then(|(pair, _)| pair.rsplit_once('='));
    let made =
        letters.is_some_and(|(_, value)| value.len() == 10 && value.bytes().all(|b| b.is_ascii_alphabetic()));
    is_set_cookie(header["name"].as_str().unwrap_or_default()) && (affinity || made)
}

fn is_set_cookie(name: &str) -> bool {
    name.eq_ignore_ascii_case(SET_COOKIE)
}

const SET_COOKIE: &str = "Set-Cookie";

/// The type of the filter that changes the headers of responses.
pub(super) const RESPONSE: &str = "ResponseHeaderModifier";
