//! `analysis.match` as conditions of a rule of the load balancer.
//!
//! A rule has one list of conditions, all of which have to hold, each with values of which one is enough. An Ingress gives
//! us one rule, so that what would need two is refused.

use serde_json::{Value, json};

use crate::api::analysis::AnalysisMatch;
use crate::model::release::Problem;
use crate::router::predicates::{Text, texts};
use crate::router::problem;

/// A load balancer takes five values in a rule, and the host and the path are two of them.
const MOST: usize = 3;

/// One thing that is compared, with the values of which one is enough.
struct Condition {
    field: Field,
    values: Vec<String>,
}

/// What is compared.
#[derive(PartialEq)]
enum Field {
    Header(String),
    Query(String),
}

/// The conditions; none where the manifest has none.
///
/// # Errors
/// With the first part that one rule cannot check.
pub(super) fn conditions(matches: &[AnalysisMatch]) -> Result<Vec<Value>, Problem> {
    let path = |index: usize| format!("spec.analysis.match[{index}]");
    let mut all: Vec<Condition> = Vec::new();
    for (index, entry) in matches.iter().enumerate() {
        let own = entry_conditions(entry, &path(index))?;
        if index == 0 {
            all = own;
            continue;
        }
        match (&mut all[..], &own[..]) {
            ([first], [next]) if first.field == next.field => {
                first.values.extend(next.values.iter().cloned())
            }
            _ => {
                return Err(problem(
                    path(index),
                    "would need a rule of its own, and an Ingress gives one: write entries that compare one and the same \
                     header or parameter, or one entry with all conditions",
                ));
            }
        }
    }
    let values: usize = all.iter().map(|condition| condition.values.len()).sum();
    if values > MOST {
        let message = format!(
            "compares with {values} values, and beside host and path a rule of the load balancer takes {MOST}"
        );
        return Err(problem("spec.analysis.match", format!("{message}: write fewer")));
    }
    Ok(all.iter().map(Condition::written).collect())
}

fn entry_conditions(entry: &AnalysisMatch, path: &str) -> Result<Vec<Condition>, Problem> {
    if entry.source_labels.as_ref().is_some_and(|labels| !labels.is_empty()) {
        let message = "are not known at an ingress: match a header or a query parameter instead";
        return Err(problem(format!("{path}.sourceLabels"), message));
    }
    let mut all = Vec::new();
    for (part, conditions) in [("headers", &entry.headers), ("queryParams", &entry.query_params)] {
        let path = format!("{path}.{part}");
        for (name, text) in texts(conditions.as_ref(), &path)? {
            let field = match part {
                "headers" => Field::Header(name.to_lowercase()),
                _ => Field::Query(name.to_owned()),
            };
            all.push(Condition { field, values: vec![pattern(text, &format!("{path}.{name}"))?] });
        }
    }
    if all.is_empty() {
        let message =
            "has no condition, so that nobody could be told apart: give it a header or a query parameter";
        return Err(problem(path, message));
    }
    Ok(all)
}

/// A text with the load balancer's wildcards. A text that has some by chance would match more than was meant.
fn pattern(text: Text<'_>, path: &str) -> Result<String, Problem> {
    let (plain, pattern) = match text {
        Text::Exact(text) => (text, text.to_owned()),
        Text::Prefix(text) => (text, format!("{text}*")),
        Text::Suffix(text) => (text, format!("*{text}")),
        Text::Regex(_) => {
            let message =
                "is an expression, which the load balancer does not take here: write exact, prefix or suffix";
            return Err(problem(path, message));
        }
    };
    if plain.chars().any(|letter| "*?\\".contains(letter)) {
        return Err(problem(
            path,
            "has *, ? or \\ in it, which the load balancer takes for wildcards: leave them out",
        ));
    }
    if pattern.len() > LONGEST {
        return Err(problem(
            path,
            format!("is longer than the {LONGEST} characters that a rule takes: shorten it"),
        ));
    }
    Ok(pattern)
}

const LONGEST: usize = 128;

impl Condition {
    fn written(&self) -> Value {
        match &self.field {
            Field::Header(name) => json!({
                "field": "http-header",
                "httpHeaderConfig": {"httpHeaderName": name, "values": self.values},
            }),
            Field::Query(key) => {
                let value = |value: &String| json!({"key": key, "value": value});
                let values: Vec<Value> = self.values.iter().map(value).collect();
                json!({"field": "query-string", "queryStringConfig": {"values": values}})
            }
        }
    }
}
