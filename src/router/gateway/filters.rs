//! What a rule does to its requests beside sending them on (spec 03 §6.1), and which of it somebody else wants.

use serde_json::{Map, Value, json};

use super::live::{Sides, list};
use super::{Version, cors, headers, names, service};
use crate::model::release::{Problem, Release};
use crate::router::problem;

const REQUEST: &str = "RequestHeaderModifier";
const REWRITE: &str = "URLRewrite";
const REDIRECT: &str = "RequestRedirect";
const MIRROR: &str = "RequestMirror";
const CORS: &str = "CORS";
const REPLACE_PREFIX: &str = "ReplacePrefixMatch";

/// The filters that the manifest asks for, in their order, part by part.
pub(super) fn parts(version: Version, release: &Release) -> [Result<Vec<Value>, Problem>; 5] {
    let one = |kind: &str, field: &str, settings: Result<Option<Value>, Problem>| {
        settings.map(|settings| {
            settings.into_iter().map(|settings| json!({"type": kind, field: settings})).collect()
        })
    };
    let cors = if version == Version::V1 { cors::settings(release) } else { Ok(None) };
    [
        one(REQUEST, "requestHeaderModifier", headers::modifier(release, "request")),
        one(headers::RESPONSE, "responseHeaderModifier", headers::modifier(release, "response")),
        one(REWRITE, "urlRewrite", rewrite(release)),
        mirrors(release),
        one(CORS, "cors", cors),
    ]
}

/// The copy of each request that goes to the canary.
pub(super) fn to_canary(release: &Release) -> Value {
    let mut mirror = json!({"backendRef": service(release, &release.canary_service())});
    // All is the API's default, and a version that does not know the field yet drops it.
    if let Some(percent) = release.analysis.mirror_weight.filter(|percent| (1..100).contains(percent)) {
        mirror["percent"] = json!(percent);
    }
    json!({"type": MIRROR, "requestMirror": mirror})
}

/// Whether a rule copies requests to the canary.
pub(super) fn mirrors_to_canary(release: &Release, rule: &Value) -> bool {
    list(&rule["filters"]).iter().any(|filter| is_to_canary(release, filter))
}

fn is_to_canary(release: &Release, filter: &Value) -> bool {
    let sides = Sides::of(release);
    filter["type"] == MIRROR && sides.is(&filter["requestMirror"]["backendRef"], &sides.canary)
}

/// Whether one of the filters replaces a prefix of the path, for which a rule may have a single match.
pub(super) fn replace_a_prefix(filters: &[Value]) -> bool {
    filters.iter().any(|filter| filter["urlRewrite"]["path"]["type"] == REPLACE_PREFIX)
}

/// `ours` among the filters that are there: each in the place that it has, others' where they are.
pub(super) fn merged(live: &[Value], mut ours: Vec<Value>, is_others: impl Fn(&Value) -> bool) -> Vec<Value> {
    let mut all = Vec::new();
    for present in live {
        match ours.iter().position(|wanted| is_same(wanted, present)) {
            Some(index) => {
                let wanted = ours.remove(index);
                all.push(if is_all_that_was_kept(&wanted, present) { present.clone() } else { wanted });
            }
            None if is_others(present) => all.push(present.clone()),
            None => {}
        }
    }
    all.extend(ours);
    all
}

/// Whether two filters are one: of most types a rule has a single one, and mirrors differ by where they lead.
fn is_same(one: &Value, other: &Value) -> bool {
    let to = |filter: &Value| filter["requestMirror"]["backendRef"].clone();
    one["type"] == other["type"] && (one["type"] != MIRROR || to(one) == to(other))
}

/// Whether an API that does not know the share of a mirror left the rest of what is wanted.
fn is_all_that_was_kept(wanted: &Value, present: &Value) -> bool {
    let share = |filter: &Value, field: &str| filter["requestMirror"][field].clone();
    !share(wanted, "percent").is_null()
        && share(present, "percent").is_null()
        && share(present, "fraction").is_null()
}

/// Whether a filter of a live rule is not ours: of a type that we do not write, or on a user's route of one of which
/// the manifest says nothing.
pub(super) fn is_others(version: Version, release: &Release, on_a_users: bool, filter: &Value) -> bool {
    let service = &release.service;
    let some = |value: &Value| value.as_object().is_some_and(|fields| !fields.is_empty());
    let has_headers = |side: &str| service.headers.as_ref().is_some_and(|headers| some(&headers[side]));
    let said = match filter["type"].as_str().unwrap_or_default() {
        REQUEST => has_headers("request"),
        headers::RESPONSE => has_headers("response"),
        REWRITE => service.rewrite.is_some(),
        MIRROR => service.mirror.as_ref().is_some_and(|all| !all.is_empty()) || is_to_canary(release, filter),
        CORS => {
            version == Version::V1 && service.cors_policy.as_ref().is_some_and(|policy| !policy.is_null())
        }
        // A rule either answers by itself or leads to Services.
        REDIRECT => return false,
        _ => return true,
    };
    on_a_users && !said
}

fn rewrite(release: &Release) -> Result<Option<Value>, Problem> {
    let Some(rewrite) = &release.service.rewrite else { return Ok(None) };
    let some = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let mut settings = Map::new();
    if let Some(host) = some(&rewrite.authority) {
        names::host(&host, false, "spec.service.rewrite.authority")?;
        settings.insert("hostname".to_owned(), host.into());
    }
    if let Some(uri) = some(&rewrite.uri) {
        names::path_expression(&uri, "spec.service.rewrite.uri")?;
        let path = match rewrite.kind.as_deref() {
            Some(REPLACE_PREFIX) => json!({"type": REPLACE_PREFIX, "replacePrefixMatch": uri}),
            _ => json!({"type": "ReplaceFullPath", "replaceFullPath": uri}),
        };
        settings.insert("path".to_owned(), path);
    }
    Ok((!settings.is_empty()).then_some(Value::Object(settings)))
}

fn mirrors(release: &Release) -> Result<Vec<Value>, Problem> {
    let mut all: Vec<Value> = Vec::new();
    for (index, entry) in release.service.mirror.iter().flatten().enumerate() {
        let path = format!("spec.service.mirror[{index}].backendRef");
        let mut backend = json!({"group": "", "kind": "Service"});
        for field in ["group", "kind", "namespace", "name", "port"] {
            let value = &entry["backendRef"][field];
            if !value.is_null() {
                backend[field] = value.clone();
            }
        }
        if backend["name"].as_str().is_none_or(str::is_empty) {
            return Err(problem(format!("{path}.name"), "is missing: name the backend that gets the copies"));
        }
        if backend["group"] == "" && backend["kind"] == "Service" && backend["port"].is_null() {
            return Err(problem(
                format!("{path}.port"),
                "is missing: a Service is called on one of its ports",
            ));
        }
        let filter = json!({"type": MIRROR, "requestMirror": {"backendRef": backend}});
        if is_to_canary(release, &filter) {
            let message = "is the canary of this release, which gets copies by spec.analysis.mirror: write that instead";
            return Err(problem(path, message));
        }
        if !all.contains(&filter) {
            all.push(filter);
        }
    }
    Ok(all)
}
