//! What a RouteTemplate is rendered with, and the language of its texts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value as Json, json};

use crate::api::ServiceField;
use crate::model::release::Release;
use crate::model::traffic::RouteWish;
use crate::template::{Function, Language, Template, Value};

/// The texts of a RouteTemplate.
pub(super) static ROUTE: Language =
    Language { name: "template", functions: &FUNCTIONS, max_source: 32 * 1024, max_output: 64 * 1024 };

const FUNCTIONS: [&str; 2] = ["toJson", "quote"];

/// All that `toJson` may write in one rendering.
const MAX_JSON: usize = 256 * 1024;

/// A text of a template, filled in. Without a wish there are no weights: the name of an object must not depend on them.
///
/// # Errors
/// What is wrong with it, and where.
pub(super) fn rendered(
    text: &Template,
    release: &Release,
    wish: Option<&RouteWish>,
) -> Result<String, String> {
    text.render(&data(release, wish), functions()).map_err(|error| told(&error))
}

/// What is wrong with a text, with its place.
pub(super) fn told(error: &crate::template::Error) -> String {
    let cure = if error.message().starts_with("map has no entry") {
        format!(": write one of {}", NAMES.map(|name| format!(".{name}")).join(", "))
    } else {
        String::new()
    };
    match error.place() {
        Some(place) => format!("line {}, column {}: {}{cure}", place.line, place.column, error.message()),
        None => format!("{}{cure}", error.message()),
    }
}

/// The names that a text can use.
pub(super) const NAMES: [&str; 18] = [
    "name",
    "namespace",
    "target",
    "apex",
    "primary",
    "canary",
    "port",
    "portName",
    "hosts",
    "primaryWeight",
    "canaryWeight",
    "mirror",
    "mirrorWeight",
    "matches",
    "service",
    "ingress",
    "route",
    "annotations",
];

fn data(release: &Release, wish: Option<&RouteWish>) -> Value {
    let mut service = json!(release.service);
    if let Some(fields) = service.as_object_mut() {
        // A field that is not written is none, and not a mistake.
        for field in ServiceField::ALL.iter().map(|field| field.as_str()).chain(OTHER_FIELDS) {
            fields.entry(field).or_insert(Json::Null);
        }
    }
    let mut data = json!({
        "name": release.name,
        "namespace": release.namespace,
        "target": release.target.name,
        "apex": release.apex,
        "primary": release.primary_service(),
        "canary": release.canary_service(),
        "port": release.service.port,
        "portName": release.service.port_name.as_deref().unwrap_or("http"),
        "hosts": release.service.hosts.as_deref().unwrap_or_default(),
        "matches": release.analysis.matches,
        "service": service,
        "ingress": release.ingress_name(),
        "route": release.route_name(),
        "annotations": release.annotations,
    });
    if let Some(wish) = wish {
        data["primaryWeight"] = json!(wish.split.primary());
        data["canaryWeight"] = json!(wish.split.canary());
        data["mirror"] = json!(wish.mirror);
        data["mirrorWeight"] = json!(release.analysis.mirror_weight.unwrap_or(100));
    }
    value(&data)
}

/// The fields of `spec.service` that every router honours.
const OTHER_FIELDS: [&str; 7] =
    ["name", "portName", "targetPort", "appProtocol", "trafficDistribution", "apex", "canary"];

fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Nil,
        Json::Bool(bool) => Value::Bool(*bool),
        Json::Number(number) => match number.as_i64() {
            Some(number) => Value::Int(number),
            None => Value::Float(number.as_f64().unwrap_or_default()),
        },
        Json::String(text) => Value::String(text.as_str().into()),
        Json::Array(items) => Value::List(items.iter().map(value).collect()),
        Json::Object(fields) => Value::Map(Arc::new(
            fields.iter().map(|(key, field)| (key.as_str().into(), value(field))).collect::<BTreeMap<_, _>>(),
        )),
    }
}

fn json_of(value: &Value) -> Json {
    match value {
        Value::Nil | Value::Function(_) => Json::Null,
        Value::Bool(bool) => json!(bool),
        Value::Int(number) => json!(number),
        Value::Uint(number) => json!(number),
        Value::Float(number) => json!(number),
        Value::String(text) => json!(&**text),
        Value::List(items) => items.iter().map(json_of).collect(),
        Value::Map(fields) => {
            Json::Object(fields.iter().map(|(key, field)| (key.to_string(), json_of(field))).collect())
        }
    }
}

/// `toJson`, whose answer is valid YAML as well, and `quote`, which makes a text of whatever it gets.
fn functions() -> [(&'static str, Function); 2] {
    let left = Arc::new(AtomicUsize::new(MAX_JSON));
    let bounded = move |text: String| {
        let spent =
            left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(text.len()));
        spent.map(|_| Value::String(text.into())).map_err(|_| format!("more than {MAX_JSON} bytes of JSON"))
    };
    let only = |name: &'static str, arguments: &[Value]| match arguments {
        [one] => Ok(json_of(one)),
        _ => Err(format!("wrong number of arguments: {name} expects 1, got {}", arguments.len())),
    };
    let quoted = bounded.clone();
    let to_json: Function = Box::new(move |arguments| bounded(only("toJson", arguments)?.to_string()));
    let quote: Function = Box::new(move |arguments| {
        let text = match only("quote", arguments)? {
            Json::String(text) => text,
            Json::Null => String::new(),
            other => other.to_string(),
        };
        quoted(Json::String(text).to_string())
    });
    [("toJson", to_json), ("quote", quote)]
}
