//! A build without CEL: rules are kept in the definition and not checked.

use serde_json::Value;

use super::super::error::FieldError;
use super::schema::Schema;

/// One rule, of which nothing is known but that it is there.
#[derive(Debug)]
pub(super) struct Rule;

impl Rule {
    pub fn read(rule: &Value, path: &str) -> Result<Self, String> {
        match rule["rule"].as_str() {
            Some(text) if !text.trim().is_empty() => Ok(Self),
            _ => Err(format!("{path}.rule: Required value: rule is not specified")),
        }
    }
}

/// No errors: nothing is checked.
pub(super) fn errors(_: &Schema, _: &Value, _: Option<&Value>) -> Vec<FieldError> {
    Vec::new()
}
