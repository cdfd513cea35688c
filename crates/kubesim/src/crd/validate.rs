//! Checks of an object against its schema, worded as the API server's.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::super::error::FieldError;
use super::formats;
use super::schema::{Additional, List, Pattern, Schema};

/// All that is wrong with `new`. Parts that are as in `old` are not looked at.
pub(super) fn errors(schema: &Schema, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut checker = Checker { errors: Vec::new() };
    checker.check(schema, new, old, "");
    checker.errors
}

struct Checker {
    errors: Vec<FieldError>,
}

impl Checker {
    fn check(&mut self, schema: &Schema, value: &Value, old: Option<&Value>, path: &str) {
        // A stricter schema does not make old objects unwritable.
        if old == Some(value) {
            return;
        }
        if value.is_null() {
            if !schema.nullable && (schema.int_or_string || !schema.type_.is_empty()) {
                self.wrong_type(schema, value, path);
            }
            return;
        }
        if !has_type(schema, value) {
            self.wrong_type(schema, value, path);
        }
        self.check_combinations(schema, value, path);
        if let Some(known) = schema.enum_.as_ref().filter(|known| !known.contains(value)) {
            let known: Vec<String> = known.iter().map(plain).collect();
            self.errors.push(FieldError::not_supported(path, value, &known));
        }
        match value {
            Value::String(text) => self.check_text(schema, value, text, path),
            Value::Number(number) => {
                self.check_number(schema, value, number.as_f64().unwrap_or(f64::NAN), path)
            }
            Value::Array(items) => self.check_list(schema, value, items, old, path),
            Value::Object(fields) => self.check_object(schema, value, fields, old, path),
            _ => {}
        }
    }

    fn wrong_type(&mut self, schema: &Schema, value: &Value, path: &str) {
        let wanted = if schema.int_or_string { "integer,string" } else { &schema.type_ };
        let found = type_of(value);
        let why = format!("{path} in body must be of type {wanted}: {found:?}");
        self.errors.push(FieldError::type_invalid(path, found, &why));
    }

    fn invalid(&mut self, path: &str, value: &Value, why: &str) {
        self.errors.push(FieldError::invalid(path, value, &format!("{path} in body {why}")));
    }

    /// An error of the whole schema rather than of one field, which the API server gives no path.
    fn combined(&mut self, why: String) {
        self.errors.push(FieldError::invalid("<nil>", &json!(""), &why));
    }

    fn check_text(&mut self, schema: &Schema, value: &Value, text: &str, path: &str) {
        let bounds = &schema.bounds;
        let length = text.chars().count();
        if let Some(most) = bounds.max_length.filter(|most| length > *most) {
            self.errors.push(FieldError::too_long(path, most));
        }
        if let Some(least) = bounds.min_length.filter(|least| length < *least) {
            self.invalid(path, value, &format!("should be at least {least} chars long"));
        }
        if let Some(Pattern { text, .. }) = schema.pattern.as_ref().filter(|p| !p.matches(text)) {
            self.invalid(path, value, &format!("should match '{text}'"));
        }
        let format = &schema.format;
        if !schema.int_or_string && !formats::fits(format, text) {
            let why = format!("{path} in body must be of type {format}: {text:?}");
            self.errors.push(FieldError::type_invalid(path, text, &why));
        }
    }

    fn check_number(&mut self, schema: &Schema, value: &Value, number: f64, path: &str) {
        let bounds = &schema.bounds;
        if let Some(most) = bounds.maximum {
            if bounds.exclusive_maximum && number >= most {
                self.invalid(path, value, &format!("should be less than {most}"));
            } else if !bounds.exclusive_maximum && number > most {
                self.invalid(path, value, &format!("should be less than or equal to {most}"));
            }
        }
        if let Some(least) = bounds.minimum {
            if bounds.exclusive_minimum && number <= least {
                self.invalid(path, value, &format!("should be greater than {least}"));
            } else if !bounds.exclusive_minimum && number < least {
                self.invalid(path, value, &format!("should be greater than or equal to {least}"));
            }
        }
        if let Some(unit) = bounds.multiple_of.filter(|unit| *unit != 0.0 && (number / unit).fract() != 0.0) {
            self.invalid(path, value, &format!("should be a multiple of {unit}"));
        }
        let range = f64::from(i32::MIN)..=f64::from(i32::MAX);
        if schema.type_ == "integer" && schema.format == "int32" && !range.contains(&number) {
            self.combined("Checked value must be of type integer with format int32".into());
        }
    }

    fn check_list(
        &mut self,
        schema: &Schema,
        value: &Value,
        items: &[Value],
        old: Option<&Value>,
        path: &str,
    ) {
        let bounds = &schema.bounds;
        if let Some(most) = bounds.max_items.filter(|most| items.len() > *most) {
            self.errors.push(FieldError::too_many(path, items.len(), most));
        }
        if let Some(least) = bounds.min_items.filter(|least| items.len() < *least) {
            self.invalid(path, value, &format!("should have at least {least} items"));
        }
        if bounds.unique_items && (1..items.len()).any(|i| items[..i].contains(&items[i])) {
            self.invalid(path, value, "shouldn't contain duplicates");
        }
        self.check_duplicates(schema, items, path);
        let Some(item) = &schema.items else { return };
        let twins = Twins::of(&schema.list, old);
        for (i, value) in items.iter().enumerate() {
            self.check(item, value, twins.of_item(value), &format!("{path}[{i}]"));
        }
    }

    fn check_duplicates(&mut self, schema: &Schema, items: &[Value], path: &str) {
        let mut seen = Vec::new();
        for (i, item) in items.iter().enumerate() {
            let Some(key) = item_key(&schema.list, item) else { return };
            if seen.contains(&key) {
                self.errors.push(FieldError::duplicate(format!("{path}[{i}]"), &key));
            }
            seen.push(key);
        }
    }

    fn check_object(
        &mut self,
        schema: &Schema,
        value: &Value,
        fields: &Map<String, Value>,
        old: Option<&Value>,
        path: &str,
    ) {
        let bounds = &schema.bounds;
        if let Some(most) = bounds.max_properties.filter(|most| fields.len() > *most) {
            self.errors.push(FieldError::too_many(path, fields.len(), most));
        }
        if let Some(least) = bounds.min_properties.filter(|least| fields.len() < *least) {
            self.invalid(path, value, &format!("should have at least {least} properties"));
        }
        let at = |name: &str| if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
        for name in schema.required.iter().filter(|name| !fields.contains_key(*name)) {
            self.errors.push(FieldError::required(at(name), ""));
        }
        if schema.embedded {
            for name in ["apiVersion", "kind"].iter().filter(|name| !fields.contains_key(**name)) {
                self.errors.push(FieldError::required(at(name), "must not be empty"));
            }
        }
        for (name, value) in fields {
            match schema.field(name) {
                Some(below) => self.check(below, value, old.and_then(|o| o.get(name)), &at(name)),
                None if matches!(schema.additional, Additional::None) => {
                    self.errors.push(FieldError::forbidden(
                        at(name),
                        &format!("{name} in body is a forbidden property"),
                    ));
                }
                None => {}
            }
        }
    }

    fn check_combinations(&mut self, schema: &Schema, value: &Value, path: &str) {
        let failures = |branches: &[Schema]| -> Vec<Vec<FieldError>> {
            branches.iter().map(|branch| errors_at(branch, value, path)).collect()
        };
        if !schema.all_of.is_empty() {
            let failed = failures(&schema.all_of);
            let valid = failed.iter().filter(|f| f.is_empty()).count();
            if valid < failed.len() {
                let none = if valid == 0 { ". None validated" } else { "" };
                self.errors.extend(failed.into_iter().flatten());
                self.combined(format!("{path:?} must validate all the schemas (allOf){none}"));
            }
        }
        if !schema.any_of.is_empty() {
            let failed = failures(&schema.any_of);
            if failed.iter().all(|f| !f.is_empty()) {
                self.combined(format!("{path:?} must validate at least one schema (anyOf)"));
                self.errors.extend(least(failed));
            }
        }
        if !schema.one_of.is_empty() {
            let failed = failures(&schema.one_of);
            match failed.iter().filter(|f| f.is_empty()).count() {
                1 => {}
                0 => {
                    self.combined(format!(
                        "{path:?} must validate one and only one schema (oneOf). Found none valid"
                    ));
                    self.errors.extend(least(failed));
                }
                many => self.combined(format!(
                    "{path:?} must validate one and only one schema (oneOf). Found {many} valid alternatives"
                )),
            }
        }
        if schema.not.as_ref().is_some_and(|not| errors_at(not, value, path).is_empty()) {
            self.combined(format!("{path:?} must not validate the schema (not)"));
        }
    }
}

fn errors_at(schema: &Schema, value: &Value, path: &str) -> Vec<FieldError> {
    let mut checker = Checker { errors: Vec::new() };
    checker.check(schema, value, None, path);
    checker.errors
}

/// The complaints of the branch that came nearest.
fn least(failed: Vec<Vec<FieldError>>) -> Vec<FieldError> {
    failed.into_iter().min_by_key(Vec::len).unwrap_or_default()
}

/// The items of an old list that items of the new one are compared with.
pub(super) struct Twins<'a> {
    list: &'a List,
    by_key: BTreeMap<String, &'a Value>,
}

impl<'a> Twins<'a> {
    pub fn of(list: &'a List, old: Option<&'a Value>) -> Self {
        let items = old.and_then(Value::as_array).into_iter().flatten();
        let by_key = match list {
            List::Map(_) => items.filter_map(|i| Some((item_key(list, i)?.to_string(), i))).collect(),
            List::Set | List::Atomic => BTreeMap::new(),
        };
        Self { list, by_key }
    }

    /// Only items of keyed lists have a twin.
    pub fn of_item(&self, item: &Value) -> Option<&'a Value> {
        self.by_key.get(&item_key(self.list, item)?.to_string()).copied()
    }
}

fn item_key(list: &List, item: &Value) -> Option<Value> {
    match list {
        List::Atomic => None,
        List::Set => Some(item.clone()),
        List::Map(keys) => {
            let pair = |key: &String| Some((key.clone(), item.get(key)?.clone()));
            Some(Value::Object(keys.iter().filter_map(pair).collect()))
        }
    }
}

fn has_type(schema: &Schema, value: &Value) -> bool {
    let whole =
        |n: &serde_json::Number| n.is_i64() || n.is_u64() || n.as_f64().is_some_and(|f| f.fract() == 0.0);
    match (schema.type_.as_str(), value) {
        _ if schema.int_or_string => match value {
            Value::String(_) => true,
            Value::Number(n) => whole(n),
            _ => false,
        },
        ("", _) => true,
        ("integer", Value::Number(n)) => whole(n),
        ("number", Value::Number(_)) => true,
        (wanted, value) => wanted == type_of(value),
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), String::from)
}
