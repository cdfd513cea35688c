//! What the API server would say: versions, names, unknown fields, the schema and its rules.

use std::sync::LazyLock;

use kubesim::error::Cause;
use kubesim::{CustomKind, METADATA};
use serde_json::Value;

use super::book::Book;
use super::code::Code;
use super::finding::harmless;
use super::world::Object;
use crate::api::crds;
use crate::manifest::{nearest, unknown};

/// The group of our kinds.
pub const GROUP: &str = "flagger.app";

/// Whether an object is meant to be one of ours.
pub fn is_ours(object: &Object) -> bool {
    object.group() == GROUP
        || (KINDS.iter().any(|(kind, _)| *kind == object.kind()) && object.group().is_empty())
}

/// Says what is wrong with an object of ours; `false` if it is no object that can be looked at further.
pub fn check(object: &Object, book: &mut Book<'_>) -> bool {
    let Some((_, kind)) = KINDS.iter().find(|(kind, _)| *kind == object.kind()) else {
        let meant = nearest(object.kind(), KINDS.iter().map(|(kind, _)| kind.as_str()));
        let advice = meant
            .map_or("write Canary, MetricTemplate, AlertProvider or RouteTemplate".to_owned(), |meant| {
                format!("did you mean {meant}?")
            });
        book.say(Code::Kind, "kind", &format!("{GROUP} has no kind {:?}: {advice}", object.kind()));
        return false;
    };
    name(object, book);
    let mut value = Value::clone(&object.value);
    let Some(causes) = kind.refusals(&value) else {
        version(object, kind, book);
        // What is wrong beside that is worth knowing as well.
        value["apiVersion"] = format!("{GROUP}/v1beta1").into();
        unknown_fields(&value, book);
        kind.refusals(&value).into_iter().flatten().for_each(|cause| refused(&cause, &value, book));
        return true;
    };
    unknown_fields(&value, book);
    causes.iter().for_each(|cause| refused(cause, &value, book));
    // What the nearest alternative lacks says it better.
    let detailed: Vec<String> = book
        .findings
        .iter()
        .filter(|found| found.code != Code::Combination)
        .map(|found| found.field.clone())
        .collect();
    book.findings.retain(|found| {
        found.code != Code::Combination
            || !detailed
                .iter()
                .any(|field| field.strip_prefix(&found.field).is_some_and(|rest| rest.starts_with('.')))
    });
    true
}

fn version(object: &Object, kind: &CustomKind, book: &mut Book<'_>) {
    let written = object.value["apiVersion"].as_str();
    let today = kind.api_versions().next().unwrap_or_default();
    let sentence = match written {
        Some(written) => format!("{} has no version {written:?}: write {today}", object.kind()),
        None => format!("is missing: write {today}"),
    };
    book.say(Code::ApiVersion, "apiVersion", &sentence);
}

fn name(object: &Object, book: &mut Book<'_>) {
    let metadata = &object.value["metadata"];
    for field in metadata.as_object().into_iter().flat_map(|fields| fields.keys()) {
        if !METADATA.contains(&field.as_str()) {
            let advice = nearest(field, METADATA.iter().copied())
                .map_or("remove it".to_owned(), |meant| format!("did you mean {meant}?"));
            book.say(
                Code::Metadata,
                &format!("metadata.{field}"),
                &format!("is no field of metadata: {advice}"),
            );
        }
    }
    let name = metadata["name"].as_str().unwrap_or_default();
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let label = |label: &str| {
        label.starts_with(inner) && label.ends_with(inner) && label.chars().all(|c| inner(c) || c == '-')
    };
    if name.is_empty() {
        if metadata["generateName"].is_null() {
            book.say(Code::ObjectName, "metadata.name", "is missing: write a name");
        }
    } else if name.len() > 253 || !name.split('.').all(label) {
        let sentence =
            format!("{name:?} is no name of an object: write small letters, digits, dashes and dots");
        book.say(Code::ObjectName, "metadata.name", &sentence);
    }
}

fn unknown_fields(value: &Value, book: &mut Book<'_>) {
    let kind = value["kind"].as_str().unwrap_or_default();
    let article = if kind.starts_with('A') { "an" } else { "a" };
    for unknown in unknown::find(value) {
        // The server fills it in; `kubectl get -o yaml` shows it.
        if unknown.path == "status" {
            continue;
        }
        let advice = unknown.meant.map_or("remove it".to_owned(), |meant| format!("did you mean {meant}?"));
        let sentence = format!("is not a field of {article} {kind} and has no effect: {advice}");
        book.say(Code::UnknownField, &unknown.path, &sentence);
    }
}

fn refused(cause: &Cause, object: &Value, book: &mut Book<'_>) {
    // The sentence without the words that machines read, and without the path, which stands in front of it.
    let detail = cause.message.split_once(": ").map_or(cause.message.as_str(), |(_, detail)| detail);
    let detail = detail.strip_prefix(&format!("{} in body ", cause.field)).unwrap_or(detail);
    let whole = cause.field == "<nil>" || cause.field.is_empty();
    let value = at(object, &cause.field);
    let shown = value.map(|value| harmless(&value.to_string())).unwrap_or_default();
    let shown: String = if shown.chars().count() > LONGEST {
        shown.chars().take(LONGEST).chain(['…']).collect()
    } else {
        shown
    };
    let tail = |text: &str, mark: &str| text.find(mark).map(|at| text[at + mark.len()..].to_owned());
    let (code, sentence) = match cause.reason.as_str() {
        _ if cause.message.contains("some validation rules were not checked") => return,
        "FieldValueRequired" => (Code::Missing, "is required and missing: add it".to_owned()),
        "FieldValueTypeInvalid" => {
            let wanted = tail(detail, "must be of type ").unwrap_or_else(|| detail.to_owned());
            let wanted = wanted.split(':').next().unwrap_or_default().to_owned();
            (Code::WrongType, wrong_type(&shown, value, &wanted))
        }
        "FieldValueNotSupported" => {
            let known = tail(&cause.message, "supported values: ").unwrap_or_default();
            let names: Vec<&str> = known
                .split(", ")
                .map(|name| name.trim_matches('"'))
                .filter(|name| !name.is_empty())
                .collect();
            let meant = value.and_then(Value::as_str).and_then(|name| nearest(name, names.iter().copied()));
            let advice = match meant {
                Some(meant) => format!("did you mean {meant}? (known are {})", names.join(", ")),
                None => format!("write one of {}", names.join(", ")),
            };
            (Code::NotInList, format!("{shown} is not known: {advice}"))
        }
        _ if whole => {
            let (field, sentence) = combination(&cause.message, object);
            book.say(Code::Combination, field, sentence);
            return;
        }
        _ if detail.contains("should match") && detail.contains("(m|s)") => (
            Code::OutOfShape,
            format!("{shown} is not a duration of minutes and seconds: write one like 30s, 1m or 1m30s"),
        ),
        "FieldValueInvalid" if cause.message.contains(" in body ") => {
            let detail = tail(&cause.message, " in body ").unwrap_or_else(|| detail.to_owned());
            (Code::OutOfShape, format!("{shown} {detail}"))
        }
        "FieldValueInvalid" => {
            let detail = tail(&cause.message, "\": ").unwrap_or_else(|| detail.to_owned());
            let begins = detail.starts_with("write ");
            (Code::Rule, if begins { format!("breaks a rule: {detail}") } else { detail })
        }
        _ => (Code::OutOfShape, cause.message.clone()),
    };
    book.say(code, &cause.field, &sentence);
}

fn wrong_type(shown: &str, value: Option<&Value>, wanted: &str) -> String {
    let (article, wanted) = match wanted {
        "integer" => ("a", "whole number"),
        "object" => ("a", "mapping"),
        "array" => ("a", "list"),
        "string" => ("a", "text"),
        "boolean" => ("", "true or false"),
        "integer,string" => ("a", "number or a text"),
        other => ("a", other),
    };
    let what = format!("{article} {wanted}");
    let what = what.trim();
    let advice = match value {
        Some(Value::Bool(_) | Value::Number(_)) if wanted == "text" => "put it in quotes".to_owned(),
        Some(Value::String(text)) if wanted.contains("number") && text.parse::<f64>().is_ok() => {
            "remove the quotes".to_owned()
        }
        Some(Value::String(text))
            if wanted == "true or false" && matches!(text.as_str(), "true" | "false") =>
        {
            "remove the quotes".to_owned()
        }
        Some(Value::String(text)) if text.contains("${") => "lint what is put in its place".to_owned(),
        Some(Value::Null) => format!("write {what}, or remove the field"),
        _ => format!("write {what}"),
    };
    match value {
        Some(Value::Null) => format!("holds nothing: {advice}"),
        Some(Value::Object(_)) => format!("is a mapping, and should be {what}: {advice}"),
        Some(Value::Array(_)) => format!("is a list, and should be {what}: {advice}"),
        _ => format!("{shown} is not {what}: {advice}"),
    }
}

/// What a failed `anyOf` or `oneOf` says, which names its place in quotes: the field, and a sentence.
fn combination<'c>(message: &'c str, object: &Value) -> (&'c str, &'static str) {
    let said = message.split_once(": \"\": ").map_or(message, |(_, said)| said);
    let field = said.split('"').nth(1).unwrap_or_default();
    let sentence = match object["kind"].as_str() {
        Some("Canary") if field == "spec" => {
            "has no analysis: add analysis, which says how a release is judged"
        }
        Some("AlertProvider") if field == "spec" => "has no address: add type with address or secretRef",
        _ if said.contains("Found none valid") || said.contains("at least one") => {
            "has none of the fields of which it needs one: add one of them"
        }
        _ if said.contains("valid alternatives") => {
            "has several of the fields of which it takes one: leave one of them"
        }
        _ => "does not fit the schema: correct its fields",
    };
    (field, sentence)
}

fn at<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    let pointer = path.replace('[', ".").replace(']', "");
    let pointer: String = pointer.split('.').map(|part| format!("/{part}")).collect();
    object.pointer(&pointer)
}

/// The most characters of a value that a message shows.
const LONGEST: usize = 60;

/// Our kinds by name.
static KINDS: LazyLock<Vec<(String, CustomKind)>> = LazyLock::new(|| {
    crds::crds()
        .into_iter()
        .filter_map(|crd| {
            let definition = serde_json::to_value(&crd).ok()?;
            Some((crd.spec.names.kind, CustomKind::read(&definition).ok()?))
        })
        .collect()
});
