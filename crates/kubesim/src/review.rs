//! Questions that are answered at once and not kept: who am I, may I do this?
//!
//! The cluster has no authentication and no authorization. So every token that is not empty belongs to the one user,
//! an administrator, and everybody may do everything. What is not a proper question is refused as elsewhere.

use serde_json::{Value, json};

use super::error::{ApiStatus, FieldError};
use super::registry::Served;

/// The review with its status; `caller` is who asks. The envelope has been checked.
pub fn answer(served: &Served, caller: &str, mut review: Value) -> Result<Value, ApiStatus> {
    let spec = &review["spec"];
    let invalid = |error: FieldError| ApiStatus::invalid(&served.kind, "", &[error]);
    let status = match served.kind.kind.as_str() {
        "TokenReview" => match spec["token"].as_str() {
            None | Some("") => json!({"authenticated": false, "user": {}, "error": "the token is empty"}),
            Some(_) => json!({
                "authenticated": true, "user": user("kubesim"), "audiences": spec["audiences"],
            }),
        },
        "SelfSubjectReview" => json!({"userInfo": user(caller)}),
        "SelfSubjectRulesReview" => {
            if spec["namespace"].as_str().is_none_or(str::is_empty) {
                return Err(ApiStatus::bad_request("no namespace on request"));
            }
            json!({
                "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
                "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
                "incomplete": false,
            })
        }
        kind => {
            if spec["resourceAttributes"].is_null() == spec["nonResourceAttributes"].is_null() {
                let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
                return Err(invalid(FieldError::invalid(
                    "spec.resourceAttributes",
                    &spec["resourceAttributes"],
                    why,
                )));
            }
            let nobody = spec["user"].as_str().is_none_or(str::is_empty)
                && spec["groups"].as_array().is_none_or(Vec::is_empty);
            if kind != "SelfSubjectAccessReview" && nobody {
                let why = "at least one of user or group must be specified";
                return Err(invalid(FieldError::invalid("spec.user", &json!(""), why)));
            }
            let elsewhere = spec["resourceAttributes"]["namespace"] != review["metadata"]["namespace"];
            if kind == "LocalSubjectAccessReview" && elsewhere {
                let why = "must match metadata.namespace";
                let found = &spec["resourceAttributes"]["namespace"];
                return Err(invalid(FieldError::invalid("spec.resourceAttributes.namespace", found, why)));
            }
            json!({"allowed": true, "reason": "the embedded cluster allows everything"})
        }
    };
    review["status"] = status;
    if let Some(fields) = review["status"].as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    Ok(review)
}

fn user(name: &str) -> Value {
    json!({"username": name, "groups": ["system:masters", "system:authenticated"]})
}
