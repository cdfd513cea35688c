//! Which requests go to the canary: `analysis.match` as matchers of a route. Any of them is enough.

use serde_json::{Value, json};

use crate::model::release::{Problem, Release};
use crate::router::predicates::{Conditions, Text, no_source_labels, texts};
use crate::router::problem;
use crate::router::promql::escaped;

/// A matcher for each entry of `analysis.match`; none if the release is for all requests.
///
/// # Errors
/// If Gloo cannot check an entry: the route would take requests that were not asked for.
pub(super) fn all(release: &Release) -> Result<Vec<Value>, Problem> {
    let entries = release.analysis.matches.iter().enumerate();
    let matchers = entries.map(|(index, entry)| {
        let path = format!("spec.analysis.match[{index}]");
        no_source_labels(entry, &path)?;
        let mut matcher = json!({});
        for (field, conditions, written) in
            [("headers", &entry.headers, "headers"), ("queryParameters", &entry.query_params, "queryParams")]
        {
            let conditions = conditions.as_ref().filter(|conditions| !conditions.is_empty());
            if let Some(conditions) = conditions {
                matcher[field] = translated(conditions, &format!("{path}.{written}"))?;
            }
        }
        if matcher.as_object().is_some_and(serde_json::Map::is_empty) {
            let message =
                "has no condition, so every request would go to the canary: give it headers or queryParams";
            return Err(problem(path, message));
        }
        Ok(matcher)
    });
    matchers.collect()
}

/// The conditions of a matcher, all of which have to hold. An expression has to match the whole value.
fn translated(conditions: &Conditions, path: &str) -> Result<Value, Problem> {
    let condition = |(name, text): (&str, Text<'_>)| match text {
        Text::Exact(text) => json!({"name": name, "value": text}),
        Text::Regex(text) => json!({"name": name, "value": text, "regex": true}),
        Text::Prefix(text) => json!({"name": name, "value": format!("{}.*", escaped(text)), "regex": true}),
        Text::Suffix(text) => json!({"name": name, "value": format!(".*{}", escaped(text)), "regex": true}),
    };
    Ok(texts(Some(conditions), path)?.into_iter().map(condition).collect())
}
