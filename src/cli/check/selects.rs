//! Label selectors, and which of them select the pods of a target and not those of its primary.

use serde_json::{Map, Value};

/// The labels of the pods of both sides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pods {
    pub target: Map<String, Value>,
    pub primary: Map<String, Value>,
}

impl Pods {
    /// The labels by which `selector` selects the target's pods alone, `app=frontend`; `None` if it selects neither
    /// side, or both. A selector that is not there selects nothing.
    pub(super) fn only_target(&self, selector: &Value) -> Option<String> {
        let alone = matches(selector, &self.target) && !matches(selector, &self.primary);
        alone.then(|| {
            let differing =
                keys(selector).into_iter().filter(|key| self.target.get(key) != self.primary.get(key));
            let shown = |key: String| {
                format!("{key}={}", self.target.get(&key).and_then(Value::as_str).unwrap_or_default())
            };
            differing.map(shown).collect::<Vec<_>>().join(",")
        })
    }

    /// As [`Pods::only_target`], of the selector of a Service, which is labels alone. An empty one selects nothing.
    pub(super) fn only_target_by_labels(&self, labels: &Value) -> Option<String> {
        let some = labels.as_object().is_some_and(|labels| !labels.is_empty());
        if some { self.only_target(&serde_json::json!({"matchLabels": labels})) } else { None }
    }
}

/// Whether a label selector selects these labels. An empty one selects everything, none at all nothing.
pub(super) fn matches(selector: &Value, labels: &Map<String, Value>) -> bool {
    if !selector.is_object() {
        return false;
    }
    let equal = |(key, value): (&String, &Value)| labels.get(key) == Some(value);
    let equals = selector["matchLabels"].as_object().is_none_or(|wanted| wanted.iter().all(equal));
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let holds = |expression: &Value| {
        let found = labels.get(expression["key"].as_str().unwrap_or_default());
        let values = list(&expression["values"]);
        match expression["operator"].as_str().unwrap_or_default() {
            "In" => found.is_some_and(|found| values.contains(found)),
            "NotIn" => found.is_none_or(|found| !values.contains(found)),
            "Exists" => found.is_some(),
            "DoesNotExist" => found.is_none(),
            // The API server takes no other.
            _ => false,
        }
    };
    equals && list(&selector["matchExpressions"]).iter().all(holds)
}

fn keys(selector: &Value) -> Vec<String> {
    let labels = selector["matchLabels"].as_object().into_iter().flatten().map(|(key, _)| key.clone());
    let expressions = selector["matchExpressions"].as_array().into_iter().flatten();
    labels.chain(expressions.filter_map(|one| one["key"].as_str().map(str::to_owned))).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn labels(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap_or_default()
    }

    fn pods() -> Pods {
        Pods {
            target: labels(json!({"app": "frontend", "team": "web"})),
            primary: labels(json!({"app": "frontend-primary", "team": "web"})),
        }
    }

    #[rstest]
    #[case::the_label_that_differs(json!({"matchLabels": {"app": "frontend"}}), Some("app=frontend"))]
    #[case::with_another(json!({"matchLabels": {"app": "frontend", "team": "web"}}), Some("app=frontend"))]
    #[case::a_label_of_both(json!({"matchLabels": {"team": "web"}}), None)]
    #[case::everything(json!({}), None)]
    #[case::nothing(Value::Null, None)]
    #[case::others(json!({"matchLabels": {"app": "cart"}}), None)]
    #[case::the_primary(json!({"matchLabels": {"app": "frontend-primary"}}), None)]
    #[case::by_expression(json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["frontend", "cart"]}]}), Some("app=frontend"))]
    #[case::both_named(json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["frontend", "frontend-primary"]}]}), None)]
    #[case::not_in(json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["frontend-primary"]}]}), Some("app=frontend"))]
    #[case::exists(json!({"matchExpressions": [{"key": "app", "operator": "Exists"}]}), None)]
    #[case::absent(json!({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}), None)]
    fn what_selects_the_target_alone_is_named(#[case] selector: Value, #[case] expected: Option<&str>) {
        assert_eq!(expected, pods().only_target(&selector).as_deref());
    }

    #[test]
    fn a_service_without_selector_selects_nothing() {
        assert_eq!(None, pods().only_target_by_labels(&json!({})));
        assert_eq!(
            Some("app=frontend".to_owned()),
            pods().only_target_by_labels(&json!({"app": "frontend"}))
        );
    }
}
