//! Fields of a manifest that the schema does not know. The API server drops them without a word, so a typing error
//! would go unseen.

use std::sync::LazyLock;

use serde_json::Value;

use crate::api::crds;
use crate::model::nearest;

/// Paths of the fields in `object` that its kind does not have, each with the field that was probably meant:
/// `spec.analysis.stepWieght (did you mean stepWeight?)`. Metadata is not looked at. Objects of other kinds have none.
pub fn unknown_fields(object: &Value) -> Vec<String> {
    let with_suggestion = |unknown: Unknown| match unknown.meant {
        Some(meant) => format!("{} (did you mean {meant}?)", unknown.path),
        None => unknown.path,
    };
    find(object).into_iter().map(with_suggestion).collect()
}

/// A field that the schema does not know.
pub struct Unknown {
    /// Its path, `spec.analysis.stepWieght`.
    pub path: String,
    /// The field that was probably meant.
    pub meant: Option<&'static str>,
}

/// As [`unknown_fields`], in parts.
pub fn find(object: &Value) -> Vec<Unknown> {
    let schema = SCHEMAS.iter().find(|(kind, _)| object["kind"] == **kind).map(|(_, schema)| schema);
    let mut found = Vec::new();
    if let (Some(schema), Value::Object(fields)) = (schema, object) {
        let properties = &schema["properties"];
        for (name, value) in fields.iter().filter(|(name, _)| *name != "metadata") {
            match properties.get(name) {
                Some(known) => walk(known, value, &mut name.clone(), &mut found),
                None => found.push(Unknown { path: name.clone(), meant: nearest_field(name, properties) }),
            }
        }
    }
    found
}

fn walk(schema: &'static Value, value: &Value, path: &mut String, found: &mut Vec<Unknown>) {
    let start = path.len();
    match value {
        Value::Object(fields) => {
            let (properties, others) = (&schema["properties"], schema.get("additionalProperties"));
            for (name, value) in fields {
                path.push('.');
                path.push_str(name);
                match properties.get(name).or(others) {
                    // Nothing is dropped from the old name of `analysis`, and it has the same fields.
                    Some(_) if path == "spec.canaryAnalysis" => {
                        walk(&properties["analysis"], value, path, found)
                    }
                    Some(known) => walk(known, value, path, found),
                    None if properties.is_object() => {
                        found.push(Unknown { path: path.clone(), meant: nearest_field(name, properties) });
                    }
                    None => {}
                }
                path.truncate(start);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                path.push_str(&format!("[{index}]"));
                walk(&schema["items"], item, path, found);
                path.truncate(start);
            }
        }
        _ => {}
    }
}

fn nearest_field(name: &str, known: &'static Value) -> Option<&'static str> {
    let fields = known.as_object().into_iter().flat_map(|properties| properties.keys());
    nearest(name, fields.map(String::as_str))
}

/// Kind and schema of each definition. They never change, and every look at a Canary needs them.
static SCHEMAS: LazyLock<Vec<(String, Value)>> = LazyLock::new(|| {
    crds::crds()
        .into_iter()
        .map(|crd| {
            let schema =
                crd.spec.versions.into_iter().next().and_then(|version| version.schema?.open_api_v3_schema);
            (crd.spec.names.kind, serde_json::to_value(schema).unwrap_or_default())
        })
        .collect()
});

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case("/spec/analysis", "stepWieght", "spec.analysis.stepWieght (did you mean stepWeight?)")]
    #[case("/spec/analysis", "stepweight", "spec.analysis.stepweight (did you mean stepWeight?)")]
    #[case("/spec/analysis", "colour", "spec.analysis.colour")]
    #[case(
        "/spec/analysis/metrics/0",
        "tresholdRange",
        "spec.analysis.metrics[0].tresholdRange (did you mean thresholdRange?)"
    )]
    #[case("/spec/canaryAnalysis", "maxWeigth", "spec.canaryAnalysis.maxWeigth (did you mean maxWeight?)")]
    #[case("/spec", "targetref", "spec.targetref (did you mean targetRef?)")]
    #[case("", "sepc", "sepc (did you mean spec?)")]
    #[case(
        "/spec/service/trafficPolicy/connectionPool",
        "tcp",
        "spec.service.trafficPolicy.connectionPool.tcp"
    )]
    #[case("/spec/service/match/0/uri", "suffix", "spec.service.match[0].uri.suffix")]
    fn a_field_that_the_schema_does_not_know_is_named(
        #[case] at: &str,
        #[case] name: &str,
        #[case] expected: &str,
    ) {
        let mut object = manifest();
        object.pointer_mut(at).expect("in the fixture")[name] = json!({"any": "thing"});
        assert_eq!(unknown_fields(&object), [expected]);
    }

    #[test]
    fn what_the_schema_knows_and_what_is_free_is_not_named() {
        assert_eq!(unknown_fields(&manifest()), [""; 0]);
    }

    #[test]
    fn other_kinds_and_strange_values_have_no_unknown_fields() {
        for object in [json!({"kind": "Deployment", "spec": {"x": 1}}), json!([1]), json!({"kind": 7})] {
            assert_eq!(unknown_fields(&object), [""; 0]);
        }
    }

    fn manifest() -> Value {
        json!({
            "apiVersion": "flagger.app/v1alpha3",
            "kind": "Canary",
            "metadata": {"name": "frontend", "creationTimestamp": null, "labels": {"any": "thing"}},
            "spec": {
                "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "frontend"},
                "service": {
                    "port": 80,
                    "targetPort": "http",
                    "apex": {"labels": {"any": "thing"}},
                    "match": [{"uri": {"prefix": "/"}, "headers": {"x-any": {"exact": "thing"}}}],
                    "trafficPolicy": {"connectionPool": {"http": {"maxRetries": 1}}},
                },
                "analysis": {
                    "interval": "1m", "threshold": 5, "stepWeight": 10,
                    "metrics": [{"name": "any", "templateVariables": {"any": "thing"}}],
                    "webhooks": [{"name": "load", "url": "http://load.test/", "metadata": {"cmd": "hey"}}],
                },
                "canaryAnalysis": {"interval": "1m", "maxWeight": 50, "stepWeight": 10, "iterations": 0},
            },
            "status": {"phase": "Progressing", "conditions": [{"type": "Promoted"}]},
        })
    }
}
