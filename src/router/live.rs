//! Comparing what a live object says with what is wished.

use serde_json::{Map, Value};

/// Whether two values mean the same: an absent field, null, an empty list and an empty object are one, and so are
/// 50 and 50.0. Where a key alone is a condition ([`CONDITIONS`]) an empty object is not nothing.
pub(super) fn same(one: &Value, other: &Value) -> bool {
    canonical(one) == canonical(other)
}

/// Whether a value means that nothing is there.
pub(super) fn is_nothing(value: &Value) -> bool {
    is_empty(&canonical(value))
}

fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .filter_map(|(key, value)| {
                    let value = match value.as_object() {
                        Some(conditions) if CONDITIONS.contains(&key.as_str()) => {
                            Value::Object(each(conditions))
                        }
                        _ => canonical(value),
                    };
                    (!is_empty(&value)).then(|| (key.clone(), value))
                })
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(canonical).collect()),
        #[allow(clippy::cast_possible_truncation)]
        Value::Number(number) => match number.as_f64() {
            Some(float) if !number.is_i64() && float.fract() == 0.0 && float.abs() < 1e15 => {
                Value::from(float as i64)
            }
            _ => value.clone(),
        },
        scalar => scalar.clone(),
    }
}

fn each(conditions: &Map<String, Value>) -> Map<String, Value> {
    conditions.iter().map(|(key, value)| (key.clone(), canonical(value))).collect()
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// Maps of conditions on a request: a name with nothing to compare asks that the name be there.
const CONDITIONS: [&str; 3] = ["headers", "withoutHeaders", "queryParams"];

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    // spec: 03/IST-30
    #[rstest]
    #[case(json!({"match": []}), json!({}))]
    #[case(json!({"a": null, "b": {"c": []}}), json!({}))]
    #[case(json!({"value": 50.0}), json!({"value": 50}))]
    #[case(json!({"a": 1, "b": 2}), json!({"b": 2, "a": 1}))]
    fn what_means_the_same_is_the_same(#[case] one: Value, #[case] other: Value) {
        assert!(same(&one, &other));
    }

    #[rstest]
    #[case(json!([{}]), json!([]))]
    #[case(json!({"weight": 0}), json!({}))]
    #[case(json!({"headers": {"x-canary": {}}}), json!({}))]
    #[case(json!({"value": 50.5}), json!({"value": 50}))]
    #[case(json!([1, 2]), json!([2, 1]))]
    fn what_means_something_else_is_not(#[case] one: Value, #[case] other: Value) {
        assert!(!same(&one, &other));
    }
}
