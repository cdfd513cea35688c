//! A schema of a custom kind, read once into the form that prune, default and validate walk.

use std::collections::BTreeMap;
#[cfg(feature = "json-schema")]
use std::sync::OnceLock;

use serde_json::Value;
#[cfg(feature = "json-schema")]
use serde_json::json;

use super::rules::Rule;

/// One place of a schema.
#[derive(Debug, Default)]
pub(super) struct Schema {
    /// `object`, `array`, `string`, `integer`, `number`, `boolean`; empty for anything.
    pub type_: String,
    pub nullable: bool,
    pub int_or_string: bool,
    pub preserve: bool,
    pub embedded: bool,
    pub format: String,
    pub default: Option<Value>,
    pub properties: BTreeMap<String, Schema>,
    pub items: Option<Box<Schema>>,
    pub additional: Additional,
    pub required: Vec<String>,
    pub enum_: Option<Vec<Value>>,
    pub bounds: Bounds,
    pub pattern: Option<Pattern>,
    pub all_of: Vec<Schema>,
    pub any_of: Vec<Schema>,
    pub one_of: Vec<Schema>,
    pub not: Option<Box<Schema>>,
    pub list: List,
    pub rules: Vec<Rule>,
    /// Whether there are rules here or below.
    pub has_rules: bool,
}

/// What fields beside `properties` an object may have.
#[derive(Debug, Default)]
pub(super) enum Additional {
    #[default]
    Unsaid,
    Any,
    None,
    Like(Box<Schema>),
}

#[derive(Debug, Default)]
pub(super) struct Bounds {
    pub minimum: Option<f64>,
    pub exclusive_minimum: bool,
    pub maximum: Option<f64>,
    pub exclusive_maximum: bool,
    pub multiple_of: Option<f64>,
    pub min_length: Option<usize>,
    pub max_length: Option<usize>,
    pub min_items: Option<usize>,
    pub max_items: Option<usize>,
    pub unique_items: bool,
    pub min_properties: Option<usize>,
    pub max_properties: Option<usize>,
}

/// What a list is: which of its items are the same.
#[derive(Debug, Default, PartialEq)]
pub(super) enum List {
    #[default]
    Atomic,
    Set,
    Map(Vec<String>),
}

/// A regular expression, compiled when it is first needed.
#[derive(Debug)]
pub(super) struct Pattern {
    pub text: String,
    #[cfg(feature = "json-schema")]
    compiled: OnceLock<Option<jsonschema::Validator>>,
}

impl Pattern {
    fn new(text: &str) -> Self {
        Self {
            text: text.into(),
            #[cfg(feature = "json-schema")]
            compiled: OnceLock::new(),
        }
    }

    /// Whether the text matches somewhere. An expression that is none matches everything.
    #[cfg(feature = "json-schema")]
    pub fn matches(&self, text: &str) -> bool {
        let compiled = self.compiled.get_or_init(|| {
            let options = jsonschema::options().with_pattern_options(jsonschema::PatternOptions::regex());
            options.build(&json!({"type": "string", "pattern": self.text})).ok()
        });
        compiled.as_ref().is_none_or(|c| c.is_valid(&Value::from(text)))
    }

    /// Whether the text matches: not checked in a build without JSON schemas.
    #[cfg(not(feature = "json-schema"))]
    pub fn matches(&self, _: &str) -> bool {
        true
    }
}

impl Schema {
    pub fn read(schema: &Value, path: &str) -> Result<Self, String> {
        let fields =
            schema.as_object().ok_or_else(|| format!("{path}: Invalid value: a schema is an object"))?;
        let list = |field: &str| read_list(schema, path, field);
        let child = |field: &str| match fields.get(field) {
            None => Ok(None),
            Some(below) => Self::read(below, &format!("{path}.{field}")).map(|s| Some(Box::new(s))),
        };
        let mut properties = BTreeMap::new();
        for (name, below) in schema["properties"].as_object().into_iter().flatten() {
            properties.insert(name.clone(), Self::read(below, &format!("{path}.properties[{name}]"))?);
        }
        let additional = match fields.get("additionalProperties") {
            None => Additional::Unsaid,
            Some(Value::Bool(true)) => Additional::Any,
            Some(Value::Bool(false)) => Additional::None,
            Some(below) => {
                Additional::Like(Box::new(Self::read(below, &format!("{path}.additionalProperties"))?))
            }
        };
        let mut out = Self {
            type_: text(schema, "type"),
            nullable: schema["nullable"] == true,
            int_or_string: schema["x-kubernetes-int-or-string"] == true,
            preserve: schema["x-kubernetes-preserve-unknown-fields"] == true,
            embedded: schema["x-kubernetes-embedded-resource"] == true,
            format: text(schema, "format"),
            default: fields.get("default").cloned(),
            properties,
            items: child("items")?,
            additional,
            required: strings(&schema["required"]),
            enum_: schema["enum"].as_array().cloned(),
            bounds: Bounds::read(schema),
            pattern: schema["pattern"].as_str().map(Pattern::new),
            all_of: list("allOf")?,
            any_of: list("anyOf")?,
            one_of: list("oneOf")?,
            not: child("not")?,
            list: match schema["x-kubernetes-list-type"].as_str() {
                Some("set") => List::Set,
                Some("map") => List::Map(strings(&schema["x-kubernetes-list-map-keys"])),
                _ => List::Atomic,
            },
            rules: read_rules(schema, path)?,
            has_rules: false,
        };
        out.has_rules = !out.rules.is_empty() || out.below().any(|s| s.has_rules);
        Ok(out)
    }

    /// The schema of a field of an object.
    pub fn field(&self, name: &str) -> Option<&Schema> {
        self.properties.get(name).or(match &self.additional {
            Additional::Like(schema) => Some(schema),
            _ => None,
        })
    }

    /// Whether the object's keys are data rather than names of fields.
    #[cfg(feature = "cel")]
    pub fn is_map(&self) -> bool {
        matches!(self.additional, Additional::Any | Additional::Like(_))
    }

    /// The schemas of parts of the value. Rules occur nowhere else.
    fn below(&self) -> impl Iterator<Item = &Schema> {
        let values = match &self.additional {
            Additional::Like(schema) => Some(schema.as_ref()),
            _ => None,
        };
        self.properties.values().chain(self.items.as_deref()).chain(values)
    }
}

fn read_list(schema: &Value, path: &str, field: &str) -> Result<Vec<Schema>, String> {
    let list = schema[field].as_array().into_iter().flatten().enumerate();
    list.map(|(i, below)| Schema::read(below, &format!("{path}.{field}[{i}]"))).collect()
}

fn read_rules(schema: &Value, path: &str) -> Result<Vec<Rule>, String> {
    let list = schema["x-kubernetes-validations"].as_array().into_iter().flatten().enumerate();
    list.map(|(i, rule)| Rule::read(rule, &format!("{path}.x-kubernetes-validations[{i}]"))).collect()
}

impl Bounds {
    fn read(schema: &Value) -> Self {
        let count = |field: &str| schema[field].as_u64().and_then(|n| usize::try_from(n).ok());
        Self {
            minimum: schema["minimum"].as_f64(),
            exclusive_minimum: schema["exclusiveMinimum"] == true,
            maximum: schema["maximum"].as_f64(),
            exclusive_maximum: schema["exclusiveMaximum"] == true,
            multiple_of: schema["multipleOf"].as_f64(),
            min_length: count("minLength"),
            max_length: count("maxLength"),
            min_items: count("minItems"),
            max_items: count("maxItems"),
            unique_items: schema["uniqueItems"] == true,
            min_properties: count("minProperties"),
            max_properties: count("maxProperties"),
        }
    }
}

fn text(schema: &Value, field: &str) -> String {
    schema[field].as_str().unwrap_or_default().to_string()
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(String::from).collect()
}
