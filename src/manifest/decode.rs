//! From what the API server holds to our types, one object at a time: what cannot be read is an error of that object
//! and names its field (spec 01 EC-5).

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use super::unknown::unknown_fields;
use crate::api::status::CanaryStatus;
use crate::api::{AlertProvider, Canary, MetricTemplate, RouteTemplate};

/// Why an object cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// Path of the field, `spec.analysis.stepWeight`.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

impl std::error::Error for DecodeError {}

/// Reads a Canary of any version.
///
/// # Errors
/// If a field is missing or does not hold what it should.
pub fn canary(object: &Value) -> Result<Canary, DecodeError> {
    Ok(Canary {
        metadata: metadata(object)?,
        spec: part(object, "spec")?,
        status: optional(object, "status")?,
    })
}

/// Reads the status of a Canary; none at all is that of a new one.
///
/// # Errors
/// If a field does not hold what it should.
pub fn status(status: &Value) -> Result<CanaryStatus, DecodeError> {
    if status.is_null() { Ok(CanaryStatus::default()) } else { at("status", status) }
}

/// Reads a MetricTemplate.
///
/// # Errors
/// As [`canary`].
pub fn metric_template(object: &Value) -> Result<MetricTemplate, DecodeError> {
    Ok(MetricTemplate { metadata: metadata(object)?, spec: part(object, "spec")? })
}

/// Reads an AlertProvider.
///
/// # Errors
/// As [`canary`].
pub fn alert_provider(object: &Value) -> Result<AlertProvider, DecodeError> {
    Ok(AlertProvider { metadata: metadata(object)?, spec: part(object, "spec")? })
}

/// Reads a RouteTemplate.
///
/// # Errors
/// As [`canary`].
pub fn route_template(object: &Value) -> Result<RouteTemplate, DecodeError> {
    Ok(RouteTemplate { metadata: metadata(object)?, spec: part(object, "spec")? })
}

fn metadata(object: &Value) -> Result<ObjectMeta, DecodeError> {
    Ok(optional(object, "metadata")?.unwrap_or_default())
}

fn optional<T: DeserializeOwned>(object: &Value, name: &str) -> Result<Option<T>, DecodeError> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(_) => part(object, name).map(Some),
    }
}

fn part<T: DeserializeOwned>(object: &Value, name: &str) -> Result<T, DecodeError> {
    let Some(value) = object.get(name) else {
        return Err(DecodeError { field: name.to_owned(), message: MISSING.to_owned() });
    };
    at(name, value)
}

/// Reads `value`, which stands at `name`.
fn at<T: DeserializeOwned>(name: &str, value: &Value) -> Result<T, DecodeError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let mut field = if path == "." { name.to_owned() } else { format!("{name}.{path}") };
        let mut message = error.inner().to_string();
        // The path of a missing field ends at its parent.
        if let Some(missing) = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'))
        {
            field = format!("{field}.{missing}");
            message = MISSING.to_owned();
        }
        DecodeError { field, message }
    })
}

const MISSING: &str = "is required and missing";

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn manifest() -> Value {
        json!({
            "apiVersion": "flagger.app/v1beta1",
            "kind": "Canary",
            "metadata": {"name": "frontend", "namespace": "shop"},
            "spec": {
                "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "frontend"},
                "service": {"port": 80},
                "analysis": {
                    "interval": "1m", "threshold": 5, "stepWeight": 10.0,
                    "metrics": [{"name": "request-duration", "thresholdRange": {"max": 500}}],
                    "webhooks": [{"name": "load", "url": "http://load.test/"}],
                },
            },
        })
    }

    #[test]
    fn a_whole_number_may_be_written_as_a_float() {
        let read = canary(&manifest()).expect("a valid manifest");
        assert_eq!(read.spec.analysis.and_then(|analysis| analysis.step_weight), Some(10));
    }

    #[rstest]
    #[case("/spec/analysis/stepWeight", json!(5.5), "spec.analysis.stepWeight: 5.5 is not a whole number in range")]
    #[case("/spec/analysis/stepWeight", json!(1e300), "spec.analysis.stepWeight: 1e+300 is not a whole number in range")]
    #[case("/spec/service/port", json!(80.25), "spec.service.port: 80.25 is not a whole number in range")]
    #[case("/spec/service/port", json!(5_000_000_000_i64), "spec.service.port: 5000000000 is not a whole number in range")]
    #[case("/spec/analysis/interval", json!(1), "spec.analysis.interval: invalid type: integer `1`, expected a string")]
    #[case("/spec/analysis/metrics/0", json!({}), "spec.analysis.metrics[0].name: is required and missing")]
    #[case("/spec/targetRef", json!({"apiVersion": "v1", "kind": "Service"}), "spec.targetRef.name: is required and missing")]
    #[case("/spec/analysis", json!("none"), "spec.analysis: invalid type: string \"none\", expected struct Analysis")]
    #[case("/spec", json!({}), "spec.targetRef: is required and missing")]
    fn a_field_that_cannot_be_read_is_named(#[case] at: &str, #[case] value: Value, #[case] expected: &str) {
        let mut manifest = manifest();
        *manifest.pointer_mut(at).expect("in the fixture") = value;
        assert_eq!(canary(&manifest).expect_err("broken").to_string(), expected);
    }

    #[test]
    fn an_unknown_hook_type_is_named_with_the_known_ones() {
        let mut manifest = manifest();
        manifest["spec"]["analysis"]["webhooks"][0]["type"] = json!("before");
        let error = canary(&manifest).expect_err("broken");
        assert_eq!(error.field, "spec.analysis.webhooks[0].type");
        assert!(error.message.contains("`pre-rollout`"), "{}", error.message);
    }

    #[test]
    fn an_object_without_spec_is_an_error_and_no_panic() {
        assert_eq!(canary(&json!({})).expect_err("broken").to_string(), "spec: is required and missing");
        assert_eq!(canary(&json!(7)).expect_err("broken").field, "spec");
        assert_eq!(metric_template(&json!({"spec": null})).expect_err("broken").field, "spec");
    }
}
