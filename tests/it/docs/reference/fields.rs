//! The fields of a CRD as tables: one for each object within it.

use std::fmt::Write as _;

use serde_json::Value;

use super::cell;

/// The tables of the object at `path` and of those within it.
pub fn sections(path: &str, schema: &Value) -> String {
    let mut text = format!("\n## {path}\n\n");
    if let Some(about) = schema["description"].as_str() {
        let _ = write!(text, "{}\n\n", cell(about));
    }
    text += "| field | type | |\n|---|---|---|\n";
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut within = Vec::new();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let mark = if required.contains(&name.as_str()) { "\\*" } else { "" };
        let (inner, suffix) = object_in(field);
        let below = format!("{path}.{name}{suffix}");
        let about = cell(field["description"].as_str().unwrap_or_default());
        // The old name of a field has its fields.
        let old = name == "canaryAnalysis";
        let shown = match inner {
            Some(_) if old => "object, as [spec.analysis](#specanalysis)".to_owned(),
            Some(_) => format!("[{}](#{})", type_of(field), anchor(&below)),
            None => type_of(field),
        };
        let _ = writeln!(text, "| `{name}`{mark} | {shown} | {about}{} |", bounds(field));
        if let (Some(inner), false) = (inner, old) {
            within.push((below, inner));
        }
    }
    for (below, inner) in within {
        text += &sections(&below, inner);
    }
    text
}

/// The object with fields of its own that a field is, or holds.
fn object_in(field: &Value) -> (Option<&Value>, &'static str) {
    let has_fields =
        |schema: &Value| schema["properties"].as_object().is_some_and(|fields| !fields.is_empty());
    if has_fields(field) {
        (Some(field), "")
    } else if has_fields(&field["items"]) {
        (Some(&field["items"]), "[]")
    } else if has_fields(&field["additionalProperties"]) {
        (Some(&field["additionalProperties"]), ".*")
    } else {
        (None, "")
    }
}

fn type_of(field: &Value) -> String {
    if field["x-kubernetes-int-or-string"] == true {
        return "number or string".to_owned();
    }
    match field["type"].as_str() {
        Some("array") => format!("list of {}", type_of(&field["items"])),
        Some("object") if field["additionalProperties"].is_object() => {
            format!("map of {}", type_of(&field["additionalProperties"]))
        }
        Some(kind) => kind.to_owned(),
        None => "any".to_owned(),
    }
}

/// What a value is held to.
fn bounds(field: &Value) -> String {
    let mut text = String::new();
    let list = field["enum"].as_array().or(field["items"]["enum"].as_array());
    if let Some(names) = list {
        let names: Vec<String> = names
            .iter()
            .filter_map(Value::as_str)
            .filter(|name| !name.is_empty())
            .map(|name| format!("`{name}`"))
            .collect();
        let _ = write!(text, " One of {}.", names.join(", "));
    }
    if let Some(default) = field.get("default").filter(|default| !default.is_null()) {
        let _ = write!(text, " Default `{default}`.");
    }
    for (keyword, words) in [("minimum", "At least"), ("maximum", "At most")] {
        if let Some(bound) = field[keyword].as_f64() {
            let _ = write!(text, " {words} {bound}.");
        }
    }
    text
}

/// As GitHub and mdbook make it of a heading.
fn anchor(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .filter(|letter| letter.is_alphanumeric() || matches!(letter, '-' | '_'))
        .collect()
}
