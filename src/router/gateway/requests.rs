//! Which requests a rule is for: `service.match`, and within it `analysis.match` or a cookie (spec 03 §6.1).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::names;
use crate::api::analysis::AnalysisMatch;
use crate::api::service::StringMatch;
use crate::model::release::{Problem, Release};
use crate::router::problem;
use crate::router::promql::escaped;

/// One match of a rule: all of its conditions have to hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Match {
    /// How the path is compared, and with what.
    path: (String, String),
    method: Option<String>,
    /// By the lower-case name: two spellings of a header are one to a gateway.
    headers: BTreeMap<String, Condition>,
    params: BTreeMap<String, Condition>,
}

/// What the value of a header or query parameter has to be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Condition {
    name: String,
    kind: String,
    value: String,
}

const EXACT: &str = "Exact";
const EXPRESSION: &str = "RegularExpression";
const PREFIX: &str = "PathPrefix";

impl Match {
    /// Every request.
    pub(super) fn all() -> Self {
        let path = (PREFIX.to_owned(), "/".to_owned());
        Self { path, method: None, headers: BTreeMap::new(), params: BTreeMap::new() }
    }

    /// The requests that hold a cookie.
    pub(super) fn of_cookie(expression: String) -> Self {
        let condition = Condition { name: "Cookie".into(), kind: EXPRESSION.into(), value: expression };
        Self { headers: BTreeMap::from([("cookie".into(), condition)]), ..Self::all() }
    }

    /// Whether the path is compared by its beginning.
    pub(super) fn is_by_prefix(&self) -> bool {
        self.path.0 == PREFIX
    }

    /// As the API writes it, with all that it would fill in.
    pub(super) fn written(&self) -> Value {
        let mut written = json!({"path": {"type": self.path.0, "value": self.path.1}});
        if let Some(method) = &self.method {
            written["method"] = json!(method);
        }
        for (field, conditions) in [("headers", &self.headers), ("queryParams", &self.params)] {
            let all: Vec<Value> = conditions
                .values()
                .map(|one| json!({"type": one.kind, "name": one.name, "value": one.value}))
                .collect();
            if !all.is_empty() {
                written[field] = json!(all);
            }
        }
        written
    }

    /// A match of a live rule, whatever somebody left to the API's defaults.
    fn read(live: &Value) -> Self {
        let text = |value: &Value, default: &str| value.as_str().unwrap_or(default).to_owned();
        let conditions = |field: &str, fold: fn(&str) -> String| {
            let all = live[field].as_array().map_or(&[][..], Vec::as_slice);
            // Of two with one name the first counts.
            all.iter().rev().map(move |one| {
                let key = fold(one["name"].as_str().unwrap_or_default());
                let (kind, value) = (text(&one["type"], EXACT), text(&one["value"], ""));
                (key.clone(), Condition { name: key, kind, value })
            })
        };
        Self {
            path: (text(&live["path"]["type"], PREFIX), text(&live["path"]["value"], "/")),
            method: live["method"].as_str().map(str::to_owned),
            headers: conditions("headers", str::to_lowercase).collect(),
            params: conditions("queryParams", str::to_owned).collect(),
        }
    }

    /// With the names by which a gateway compares.
    fn folded(&self) -> Self {
        Self::read(&self.written())
    }

    /// The requests of both. Of two conditions on one header it is the narrower one's.
    fn within(&self, service: &Self) -> Self {
        let mut both = service.clone();
        both.headers.extend(self.headers.clone());
        both.params.extend(self.params.clone());
        both
    }
}

/// Each of `conditions` within each of `service`.
pub(super) fn within(service: &[Match], conditions: &[Match]) -> Vec<Match> {
    conditions.iter().flat_map(|one| service.iter().map(|entry| one.within(entry))).collect()
}

/// As a rule's `matches`.
pub(super) fn written(matches: &[Match]) -> Value {
    matches.iter().map(Match::written).collect()
}

/// Whether a live rule is for these requests, in whatever order and spelling.
pub(super) fn are_of(matches: &[Match], rule: &Value) -> bool {
    let live = match rule["matches"].as_array() {
        Some(all) if !all.is_empty() => all.iter().map(Match::read).collect(),
        _ => BTreeSet::from([Match::all()]),
    };
    live == matches.iter().map(Match::folded).collect()
}

/// The entries of `service.match`; every request where there are none.
pub(super) fn of_service(release: &Release) -> Vec<Result<Match, Problem>> {
    let entries = release.service.matches.as_deref().unwrap_or_default();
    if entries.is_empty() {
        return vec![Ok(Match::all())];
    }
    let entries = entries.iter().enumerate();
    entries.map(|(index, entry)| service_entry(entry, &format!("spec.service.match[{index}]"))).collect()
}

/// The entries of `analysis.match`.
pub(super) fn of_analysis(release: &Release) -> Vec<Result<Match, Problem>> {
    let entries = release.analysis.matches.iter().enumerate();
    entries.map(|(index, entry)| analysis_entry(entry, &format!("spec.analysis.match[{index}]"))).collect()
}

/// What a rule cannot look at, with what to do instead.
const UNKNOWN: [(&str, &str); 8] = [
    ("authority", "write the host into spec.service.hosts"),
    ("scheme", "attach the route to one listener with sectionName in spec.service.gatewayRefs"),
    ("port", "attach the route to one listener with sectionName or port in spec.service.gatewayRefs"),
    ("gateways", "name the Gateways in spec.service.gatewayRefs"),
    ("withoutHeaders", "match the headers that the requests have"),
    ("sourceLabels", "match a header that the clients send"),
    ("sourceNamespace", "match a header that the clients send"),
    ("ignoreUriCase", "write uri.regex with (?i)"),
];

fn service_entry(entry: &Value, path: &str) -> Result<Match, Problem> {
    let is_set = |value: &Value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::String(text) => !text.is_empty(),
        Value::Bool(true) | Value::Number(_) => true,
    };
    if let Some((field, remedy)) = UNKNOWN.into_iter().find(|(field, _)| is_set(&entry[*field])) {
        return Err(problem(
            format!("{path}.{field}"),
            format!("cannot be checked by the Gateway API, so that more requests would match: {remedy}"),
        ));
    }
    let mut wanted = Match::all();
    if !entry["uri"].is_null() {
        wanted.path = uri(&understood(&entry["uri"], &format!("{path}.uri"))?, &format!("{path}.uri"))?;
    }
    if !entry["method"].is_null() {
        let field = format!("{path}.method");
        let method: StringMatch = understood(&entry["method"], &field)?;
        wanted.method = Some(exact_method(&method, &field)?);
    }
    let map = |name: &str, is_header: bool| match &entry[name] {
        Value::Null => Ok(BTreeMap::new()),
        map => {
            let field = format!("{path}.{name}");
            conditions(&understood(map, &field)?, is_header, &field)
        }
    };
    wanted.headers = map("headers", true)?;
    wanted.params = map("queryParams", false)?;
    Ok(wanted)
}

fn analysis_entry(entry: &AnalysisMatch, path: &str) -> Result<Match, Problem> {
    if entry.source_labels.as_ref().is_some_and(|labels| !labels.is_empty()) {
        let message = "cannot be checked by the Gateway API, so that more requests would go to the canary: match a \
                       header that the clients send";
        return Err(problem(format!("{path}.sourceLabels"), message));
    }
    let of = |map: &Option<BTreeMap<String, StringMatch>>, field: &str, is_header: bool| match map {
        Some(map) => conditions(map, is_header, &format!("{path}.{field}")),
        None => Ok(BTreeMap::new()),
    };
    let headers = of(&entry.headers, "headers", true)?;
    let params = of(&entry.query_params, "queryParams", false)?;
    if headers.is_empty() && params.is_empty() {
        let message =
            "has no condition, so every request would go to the canary: give it headers or queryParams";
        return Err(problem(path, message));
    }
    Ok(Match { headers, params, ..Match::all() })
}

fn understood<T: serde::de::DeserializeOwned>(value: &Value, field: &str) -> Result<T, Problem> {
    serde_json::from_value(value.clone())
        .map_err(|error| problem(field, format!("is not understood: {error}")))
}

fn uri(text: &StringMatch, field: &str) -> Result<(String, String), Problem> {
    if let Some(regex) = &text.regex {
        names::path_expression(regex, &format!("{field}.regex"))?;
        return Ok((EXPRESSION.to_owned(), regex.clone()));
    }
    let (kind, way, value) = match (&text.exact, &text.prefix) {
        (Some(exact), _) => (EXACT, "exact", exact),
        (None, Some(prefix)) => (PREFIX, "prefix", prefix),
        (None, None) => {
            let message = "has nothing that the Gateway API compares: write exact, prefix or regex";
            return Err(problem(field, message));
        }
    };
    names::path(value, &format!("{field}.{way}"))?;
    Ok((kind.to_owned(), value.clone()))
}

fn exact_method(text: &StringMatch, field: &str) -> Result<String, Problem> {
    match &text.exact {
        Some(method) if names::METHODS.contains(&method.as_str()) => Ok(method.clone()),
        _ => Err(problem(
            field,
            format!(
                "needs exact and one of {}, the Gateway API compares no other way",
                names::METHODS.join(", ")
            ),
        )),
    }
}

fn conditions(
    map: &BTreeMap<String, StringMatch>,
    is_header: bool,
    path: &str,
) -> Result<BTreeMap<String, Condition>, Problem> {
    let longest = if is_header { names::HEADER_VALUE } else { names::PARAMETER_VALUE };
    let mut all = BTreeMap::new();
    for (name, text) in map {
        let field = format!("{path}.{name}");
        names::token(name, &field)?;
        let (way, kind, value) = comparison(text, &field)?;
        names::text(&value, longest, &format!("{field}.{way}"))?;
        let key = if is_header { name.to_lowercase() } else { name.clone() };
        let condition = Condition { name: name.clone(), kind: kind.to_owned(), value };
        if let Some(other) = all.insert(key, condition) {
            let message =
                format!("is the header {} once more, of which a gateway checks one: remove one", other.name);
            return Err(problem(field, message));
        }
    }
    Ok(all)
}

/// The one text that a gateway can compare, by `exact` or `regex`.
fn comparison(text: &StringMatch, field: &str) -> Result<(&'static str, &'static str, String), Problem> {
    let instead = |way: &str, regex: String| {
        let message = format!("cannot be checked by the Gateway API: write regex \"{regex}\" instead");
        Err(problem(format!("{field}.{way}"), message))
    };
    match (&text.exact, &text.regex, &text.prefix, &text.suffix) {
        (_, _, Some(prefix), _) => instead("prefix", format!("{}.*", escaped(prefix))),
        (_, _, _, Some(suffix)) => instead("suffix", format!(".*{}", escaped(suffix))),
        (Some(exact), None, ..) => Ok(("exact", EXACT, exact.clone())),
        (None, Some(regex), ..) => Ok(("regex", EXPRESSION, regex.clone())),
        (Some(_), Some(_), ..) => Err(problem(field, "has two texts to compare: keep exact or regex")),
        (None, None, ..) => Err(problem(field, "has nothing to compare: write exact or regex")),
    }
}
