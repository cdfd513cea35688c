//! The JSON of a receiver of one's own: a text with holes, `{{ message }}` for example. It is read as JSON before anything
//! is filled in, so that no message can change its shape.

use serde_json::{Map, Value, json};

use crate::model::moment::Moment;

use super::{Error, Message};

/// JSON in whose texts holes are filled in.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Template(Value);

impl Template {
    /// # Errors
    /// If `text` is no JSON, or has a hole that nobody can fill.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let problem = |problem: String| Error::Spec { service: "webhook", problem };
        let json: Value = serde_json::from_str(text)
            .map_err(|error| problem(format!("spec.template is no JSON: {error}")))?;
        let mut unknown = None;
        holes(&json, &mut |name| {
            if !HOLES.contains(&name) && !name.starts_with(FIELD) {
                unknown.get_or_insert_with(|| name.to_owned());
            }
        });
        match unknown {
            Some(name) => Err(problem(format!(
                "spec.template has a hole {name:?} that nothing is known for (known are: {}, {FIELD}<name>)",
                HOLES.join(", ")
            ))),
            None => Ok(Self(json)),
        }
    }

    /// The JSON for `message`.
    pub fn filled(&self, message: &Message) -> Value {
        fill(&self.0, message)
    }
}

/// What can be filled in, beside `fields.<name>` for the detail of that name.
const HOLES: [&str; 10] =
    ["name", "namespace", "severity", "message", "phase", "release", "commit", "time", "id", "fields"];
const FIELD: &str = "fields.";

/// Calls `each` with the name of every hole.
fn holes(json: &Value, each: &mut impl FnMut(&str)) {
    match json {
        Value::String(text) => parts(text).into_iter().for_each(|part| {
            if let Part::Hole(name) = part {
                each(name);
            }
        }),
        Value::Array(items) => items.iter().for_each(|item| holes(item, each)),
        Value::Object(members) => members.values().for_each(|value| holes(value, each)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn fill(json: &Value, message: &Message) -> Value {
    match json {
        Value::String(text) => match parts(text).as_slice() {
            // The only one that is no text.
            [Part::Hole("fields")] => json!(message.fields),
            parts => Value::String(parts.iter().map(|part| part.text(message)).collect()),
        },
        Value::Array(items) => items.iter().map(|item| fill(item, message)).collect(),
        Value::Object(members) => {
            let filled = members.iter().map(|(name, value)| (name.clone(), fill(value, message)));
            Value::Object(filled.collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

/// A part of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part<'a> {
    Text(&'a str),
    Hole(&'a str),
}

impl Part<'_> {
    fn text(self, message: &Message) -> String {
        let name = match self {
            Self::Text(text) => return text.to_owned(),
            Self::Hole(name) => name,
        };
        let moment = message.moment.as_ref();
        match name {
            "name" => message.name.clone(),
            "namespace" => message.namespace.clone(),
            "severity" => message.severity.as_str().to_owned(),
            "message" => message.text.clone(),
            "phase" => moment.map(|moment| moment.phase.to_string()).unwrap_or_default(),
            "release" => moment.map(|moment| moment.release.clone()).unwrap_or_default(),
            "commit" => message.commit.clone().unwrap_or_default(),
            "time" => moment.map(Moment::time).unwrap_or_default(),
            "id" => message.id(),
            "fields" => {
                let lines = message.fields.iter().map(|field| format!("{}: {}", field.name, field.value));
                lines.collect::<Vec<_>>().join("\n")
            }
            other => {
                let wanted = other.strip_prefix(FIELD).unwrap_or_default();
                let field = message.fields.iter().find(|field| field.name == wanted);
                field.map(|field| field.value.clone()).unwrap_or_default()
            }
        }
    }
}

/// The parts of `text`. What opens a hole and does not close it is text.
fn parts(text: &str) -> Vec<Part<'_>> {
    let (mut found, mut rest) = (Vec::new(), text);
    while let Some((before, (name, after))) =
        rest.split_once("{{").and_then(|(before, hole)| Some((before, hole.split_once("}}")?)))
    {
        if !before.is_empty() {
            found.push(Part::Text(before));
        }
        found.push(Part::Hole(name.trim()));
        rest = after;
    }
    if !rest.is_empty() || found.is_empty() {
        found.push(Part::Text(rest));
    }
    found
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::alert::testing::{bare, started};
    use crate::api::hooks::Severity;

    fn filled(template: &str, message: &Message) -> Value {
        Template::parse(template).expect("a template").filled(message)
    }

    #[test]
    fn holes_are_filled_wherever_a_text_stands() {
        let template = r#"{"title": "{{ namespace }}/{{name}} {{ severity }}", "lines": ["{{ message }}", 7, null],
            "about": {"cluster": "{{ fields.Cluster }}", "none": "{{ fields.Nobody }}", "all": "{{ fields }}"},
            "said": "{{ phase }} {{ release }} {{ commit }} {{ time }}", "text": "of {{ fields }}", "open": "{{ name"}"#;
        let expected = json!({
            "title": "test/podinfo info", "lines": ["New revision detected, progressing canary analysis.", 7, null],
            "about": {"cluster": "prod", "none": "", "all": [
                {"name": "Cluster", "value": "prod"}, {"name": "Target", "value": "Deployment/podinfo.test"},
            ]},
            "said": "Progressing 7c9d467496 4f2c1d9 2026-10-14T17:48:43.456Z",
            "text": "of Cluster: prod\nTarget: Deployment/podinfo.test", "open": "{{ name",
        });
        assert_eq!(expected, filled(template, &started()));
    }

    #[test]
    fn no_message_changes_the_shape() {
        let message = bare(Severity::Error, "\", \"severity\": \"info\", \"x\": \"{{ name }}");
        let json = filled(r#"{"text": "{{ message }}", "severity": "{{ severity }}"}"#, &message);
        assert_eq!(json!({"text": message.text, "severity": "error"}), json);
    }

    #[rstest]
    #[case::no_json("{{ message }}", "provider webhook: spec.template is no JSON: ")]
    #[case::unknown(
        r#"{"a": ["{{ token }}"]}"#,
        "provider webhook: spec.template has a hole \"token\" that nothing is"
    )]
    #[case::nothing(
        r#"{"a": "{{}}"}"#,
        "provider webhook: spec.template has a hole \"\" that nothing is known for"
    )]
    fn what_cannot_be_filled_is_refused(#[case] template: &str, #[case] expected: &str) {
        let error = Template::parse(template).expect_err("refused").to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}
