//! `service.corsPolicy`: requests of pages of other origins (spec 03 §6.1). v1 only.

use serde_json::{Value, json};

use super::names;
use crate::api::duration;
use crate::model::release::{Problem, Release};
use crate::router::problem;

const PATH: &str = "spec.service.corsPolicy";

/// What the API fills in where nothing is said, in seconds.
const MAX_AGE: i32 = 5;

/// The filter's settings; `None` where the manifest has none.
///
/// # Errors
/// If the API would not take them.
pub(super) fn settings(release: &Release) -> Result<Option<Value>, Problem> {
    let Some(policy) = release.service.cors_policy.as_ref().filter(|policy| !policy.is_null()) else {
        return Ok(None);
    };
    let mut settings = json!({"maxAge": max_age(&policy["maxAge"])?});
    if policy["allowCredentials"] == true {
        settings["allowCredentials"] = json!(true);
    }
    let lists = [
        ("allowOrigins", origins(policy)?, "allowOrigin", origin as fn(&str, &str) -> Result<(), Problem>),
        ("allowMethods", texts(&policy["allowMethods"]), "allowMethods", method),
        ("allowHeaders", texts(&policy["allowHeaders"]), "allowHeaders", names::token),
        ("exposeHeaders", texts(&policy["exposeHeaders"]), "exposeHeaders", names::token),
    ];
    for (field, list, written_as, check) in lists {
        let path = format!("{PATH}.{written_as}");
        let list = once(list);
        for item in &list {
            check(item, &path)?;
        }
        if field != "exposeHeaders" && list.len() > 1 && list.contains(&"*".to_owned()) {
            return Err(problem(
                path,
                "has \"*\" beside others, which the Gateway API does not take: keep either",
            ));
        }
        if !list.is_empty() {
            settings[field] = json!(list);
        }
    }
    Ok(Some(settings))
}

/// Origins that are named whole, in either list.
fn origins(policy: &Value) -> Result<Vec<String>, Problem> {
    let mut all = texts(&policy["allowOrigin"]);
    for (index, entry) in policy["allowOrigins"].as_array().into_iter().flatten().enumerate() {
        match entry["exact"].as_str() {
            Some(exact) => all.push(exact.to_owned()),
            None => {
                let field = format!("{PATH}.allowOrigins[{index}]");
                let message = "has no exact, and the Gateway API compares no other way: write the origins into \
                               allowOrigin, where *. may stand for what is in front of a domain";
                return Err(problem(field, message));
            }
        }
    }
    Ok(all)
}

fn origin(text: &str, field: &str) -> Result<(), Problem> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let valid = text.len() <= 253
        && (text == "*"
            || host.is_some_and(|host| {
                let (host, port) = host.rsplit_once(':').unwrap_or((host, "0"));
                let name = host.strip_prefix("*.").unwrap_or(host);
                let label = |label: &str| {
                    !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                };
                (host == "*" || name.split('.').all(label))
                    && (1..=5).contains(&port.len())
                    && port.bytes().all(|b| b.is_ascii_digit())
            }));
    if valid {
        return Ok(());
    }
    let message = format!(
        "\"{text}\" is no origin for the Gateway API: write \"*\", or http:// or https:// and a host"
    );
    Err(problem(field, message))
}

fn method(text: &str, field: &str) -> Result<(), Problem> {
    if text == "*" || names::METHODS.contains(&text) {
        return Ok(());
    }
    let message = format!(
        "\"{text}\" is no method for the Gateway API: write \"*\", or of {}",
        names::METHODS.join(", ")
    );
    Err(problem(field, message))
}

/// Seconds, written out also where the API would fill them in.
fn max_age(text: &Value) -> Result<i32, Problem> {
    let Some(text) = text.as_str().filter(|text| !text.is_empty()) else { return Ok(MAX_AGE) };
    let field = format!("{PATH}.maxAge");
    let seconds = duration::parse(text).map_err(|error| problem(&field, error.to_string()))?.as_secs();
    i32::try_from(seconds).ok().filter(|seconds| *seconds > 0).ok_or_else(|| {
        problem(&field, format!("{text} is outside of what the Gateway API takes: write 1s to {}s", i32::MAX))
    })
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|item| Some(item.as_str()?.to_owned())).collect()
}

/// In their order, each once: the API's lists are sets.
fn once(list: Vec<String>) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for item in list {
        if !all.contains(&item) {
            all.push(item);
        }
    }
    all
}
