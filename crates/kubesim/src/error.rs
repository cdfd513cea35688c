//! The errors of the API: the `Status` object of `meta/v1`, in the words of a real API server.
//!
//! Clients match on `reason` and `code`, people read `message`; both are part of the API's contract, so the
//! texts stand here in one list.

use std::fmt;

use serde_json::{Map, Value, json};

use super::kinds::ResourceKind;

/// An error of the API: the `Status` that a client gets in place of the object that it asked for.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct ApiStatus {
    /// The HTTP status. It is also in the body, where clients look for it.
    pub code: u16,
    /// The machine-readable word, e.g. `NotFound`.
    pub reason: &'static str,
    /// The sentence that kubectl prints.
    pub message: String,
    /// The object that the error is about, if it is about one.
    pub details: Option<Box<Details>>,
}

/// The object that a [`ApiStatus`] speaks of, and why in detail.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Details {
    /// Name of the object.
    pub name: String,
    /// API group; empty for core.
    pub group: String,
    /// Resource (plural) or, for invalid objects, the kind.
    pub kind: String,
    /// UID of the object, for a finished deletion.
    pub uid: String,
    /// One entry for each field or reason.
    pub causes: Vec<Cause>,
    /// How long a client should wait before it tries again, in seconds; 0 if it is not told.
    pub retry_after_seconds: u32,
}

/// One of the reasons for a refusal: a field, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cause {
    /// The machine-readable word, e.g. `FieldValueInvalid` or `FieldManagerConflict`.
    pub reason: String,
    /// The sentence for people, without the field's path.
    pub message: String,
    /// The field's path, empty if none.
    pub field: String,
}

impl ApiStatus {
    fn plain(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: None }
    }

    fn about(code: u16, reason: &'static str, message: String, kind: &ResourceKind, name: &str) -> Self {
        let details = Details {
            name: name.into(),
            group: kind.group.clone(),
            kind: kind.plural.clone(),
            ..Details::default()
        };
        Self { code, reason, message, details: Some(Box::new(details)) }
    }

    /// 404 for an object of a known resource.
    pub fn not_found(kind: &ResourceKind, name: &str) -> Self {
        let message = format!("{} {name:?} not found", kind.resource());
        Self::about(404, "NotFound", message, kind, name)
    }

    /// 404 for a path that is no resource of this server.
    pub fn unknown_path() -> Self {
        let mut status = Self::plain(404, "NotFound", "the server could not find the requested resource");
        status.details = Some(Box::default());
        status
    }

    /// 409 on a create whose name is taken.
    pub fn already_exists(kind: &ResourceKind, name: &str) -> Self {
        let message = format!("{} {name:?} already exists", kind.resource());
        Self::about(409, "AlreadyExists", message, kind, name)
    }

    /// 409 on a write under an old resourceVersion.
    pub fn conflict(kind: &ResourceKind, name: &str) -> Self {
        Self::conflict_because(
            kind,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// 409 with another reason than an old resourceVersion, e.g. a failed precondition.
    pub fn conflict_because(kind: &ResourceKind, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} {name:?}: {why}", kind.resource());
        Self::about(409, "Conflict", message, kind, name)
    }

    /// 409 on a delete or update whose `preconditions.uid` is another object's.
    pub fn uid_precondition(kind: &ResourceKind, name: &str, wanted: &str, found: &str) -> Self {
        let why = format!("Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}");
        Self::conflict_because(kind, name, &why)
    }

    /// 409 on a delete whose `preconditions.resourceVersion` is not the current one.
    pub fn version_precondition(kind: &ResourceKind, name: &str, wanted: &str, found: &str) -> Self {
        let why = format!(
            "Precondition failed: ResourceVersion in precondition: {wanted}, ResourceVersion in object meta: {found}"
        );
        Self::conflict_because(kind, name, &why)
    }

    /// 409 on a server-side apply that would change fields of other managers.
    pub fn apply_conflict(message: impl Into<String>, causes: Vec<Cause>) -> Self {
        let mut status = Self::plain(409, "Conflict", message);
        status.details = Some(Box::new(Details { causes, ..Details::default() }));
        status
    }

    /// 422 for an object that breaks rules, with one cause a field.
    pub fn invalid(kind: &ResourceKind, name: &str, errors: &[FieldError]) -> Self {
        let texts: Vec<String> = errors.iter().map(FieldError::to_string).collect();
        let list = match texts.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let what = kind.qualified_kind();
        let details = Details {
            name: name.into(),
            group: kind.group.clone(),
            kind: kind.kind.clone(),
            causes: errors.iter().map(FieldError::cause).collect(),
            ..Details::default()
        };
        Self {
            code: 422,
            reason: "Invalid",
            message: format!("{what} {name:?} is invalid: {list}"),
            details: Some(Box::new(details)),
        }
    }

    /// 422 for a patch that cannot be carried out on the object, e.g. a failed `test`.
    pub fn unprocessable_patch(why: &str) -> Self {
        let cause =
            Cause { reason: "UnexpectedServerResponse".into(), message: why.into(), field: String::new() };
        let mut status =
            Self::plain(422, "Invalid", "the server rejected our request due to an error in our request");
        status.details = Some(Box::new(Details { causes: vec![cause], ..Details::default() }));
        status
    }

    /// 410: the history before this version is gone; list again.
    pub fn expired(requested: u64, oldest: u64) -> Self {
        Self::plain(410, "Expired", format!("too old resource version: {requested} ({oldest})"))
    }

    /// 410: the list that this `continue` token belongs to is gone.
    pub fn expired_continue() -> Self {
        Self::plain(
            410,
            "Expired",
            "The provided continue parameter is too old to display a consistent list result. \
             You can start a new list without the continue parameter.",
        )
    }

    /// 400: the request cannot be understood; the message says why.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::plain(400, "BadRequest", message)
    }

    /// 401: the request does not say who sends it.
    pub fn unauthorized() -> Self {
        Self::plain(401, "Unauthorized", "Unauthorized")
    }

    /// 403: the request is understood and not allowed.
    pub fn forbidden(kind: &ResourceKind, name: &str, why: &str) -> Self {
        let resource = kind.resource();
        let message = if name.is_empty() {
            format!("{resource} is forbidden: {why}")
        } else {
            format!("{resource} {name:?} is forbidden: {why}")
        };
        Self::about(403, "Forbidden", message, kind, name)
    }

    /// 403 on a create in a namespace that is being deleted.
    pub fn namespace_terminating(kind: &ResourceKind, name: &str, namespace: &str) -> Self {
        let why =
            format!("unable to create new content in namespace {namespace} because it is being terminated");
        let mut status = Self::forbidden(kind, name, &why);
        if let Some(details) = &mut status.details {
            details.causes.push(Cause {
                reason: "NamespaceTerminating".into(),
                message: format!("namespace {namespace} is being terminated"),
                field: "metadata.namespace".into(),
            });
        }
        status
    }

    /// 405 on a verb that the path does not have.
    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        let mut status = Self::plain(405, "MethodNotAllowed", message);
        status.details = Some(Box::default());
        status
    }

    /// 406: none of the forms in `Accept` can be written.
    pub fn not_acceptable(accepted: &[&str]) -> Self {
        let list = accepted.join(", ");
        Self::plain(406, "NotAcceptable", format!("only the following media types are accepted: {list}"))
    }

    /// 413: the body of the request is too large.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::plain(413, "RequestEntityTooLarge", message)
    }

    /// 415 with the media types that would do.
    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        let list = accepted.join(", ");
        Self::plain(
            415,
            "UnsupportedMediaType",
            format!(
                "the body of the request was in an unknown format - accepted media types include: {list}"
            ),
        )
    }

    /// 429 with the pause that the client should make.
    pub fn too_many_requests(retry_after_seconds: u32) -> Self {
        let mut status = Self::plain(429, "TooManyRequests", "Too many requests, please try again later.");
        status.details = Some(Box::new(Details { retry_after_seconds, ..Details::default() }));
        status
    }

    /// 500: the server itself has failed.
    pub fn internal(why: impl fmt::Display) -> Self {
        let cause = Cause { message: why.to_string(), ..Cause::default() };
        let mut status = Self::plain(500, "InternalError", format!("Internal error occurred: {why}"));
        status.details = Some(Box::new(Details { causes: vec![cause], ..Details::default() }));
        status
    }

    /// 503: the server cannot answer now.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::plain(503, "ServiceUnavailable", message)
    }

    /// 504: the server did not answer in time.
    pub fn timeout(message: &str) -> Self {
        Self::plain(504, "Timeout", format!("Timeout: {message}"))
    }

    /// The object that goes over the wire.
    pub fn to_value(&self) -> Value {
        let mut body = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        });
        if let Some(details) = &self.details {
            body["details"] = details.to_value();
        }
        body
    }

    /// The answer to a deletion that left nothing to show.
    pub fn deleted(kind: &ResourceKind, name: &str, uid: &str) -> Value {
        let details = Details {
            name: name.into(),
            group: kind.group.clone(),
            kind: kind.plural.clone(),
            uid: uid.into(),
            ..Details::default()
        };
        json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Success",
            "details": details.to_value(),
        })
    }
}

impl Details {
    fn to_value(&self) -> Value {
        let mut out = Map::new();
        for (key, text) in
            [("name", &self.name), ("group", &self.group), ("kind", &self.kind), ("uid", &self.uid)]
        {
            if !text.is_empty() {
                out.insert(key.into(), json!(text));
            }
        }
        if !self.causes.is_empty() {
            out.insert("causes".into(), self.causes.iter().map(Cause::to_value).collect());
        }
        if self.retry_after_seconds > 0 {
            out.insert("retryAfterSeconds".into(), json!(self.retry_after_seconds));
        }
        Value::Object(out)
    }
}

impl Cause {
    fn to_value(&self) -> Value {
        let mut out = Map::new();
        for (key, text) in [("reason", &self.reason), ("message", &self.message), ("field", &self.field)] {
            if !text.is_empty() {
                out.insert(key.into(), json!(text));
            }
        }
        Value::Object(out)
    }
}

/// One field that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// e.g. `spec.containers[0].name`.
    pub path: String,
    /// The machine-readable word, e.g. `FieldValueRequired`.
    pub reason: &'static str,
    /// The sentence without the path, e.g. `Required value: must be given`.
    pub message: String,
}

impl FieldError {
    fn new(path: impl Into<String>, reason: &'static str, message: String) -> Self {
        Self { path: path.into(), reason, message }
    }

    /// A value is missing.
    pub fn required(path: impl Into<String>, why: &str) -> Self {
        Self::new(path, "FieldValueRequired", with_detail("Required value", why))
    }

    /// A value is wrong.
    pub fn invalid(path: impl Into<String>, value: &Value, why: &str) -> Self {
        let message = with_detail(&format!("Invalid value: {}", shown(value)), why);
        Self::new(path, "FieldValueInvalid", message)
    }

    /// A value is of the wrong JSON type.
    pub fn type_invalid(path: impl Into<String>, found: &str, why: &str) -> Self {
        let message = with_detail(&format!("Invalid value: {found:?}"), why);
        Self::new(path, "FieldValueTypeInvalid", message)
    }

    /// A value is none of those that are known.
    pub fn not_supported<S: AsRef<str>>(path: impl Into<String>, value: &Value, known: &[S]) -> Self {
        let known: Vec<String> = known.iter().map(|v| format!("{:?}", v.as_ref())).collect();
        let why = match known.is_empty() {
            true => String::new(),
            false => format!("supported values: {}", known.join(", ")),
        };
        let message = with_detail(&format!("Unsupported value: {}", shown(value)), &why);
        Self::new(path, "FieldValueNotSupported", message)
    }

    /// A value occurs twice where it may occur once.
    pub fn duplicate(path: impl Into<String>, value: &Value) -> Self {
        Self::new(path, "FieldValueDuplicate", format!("Duplicate value: {}", shown(value)))
    }

    /// A value may not be given here.
    pub fn forbidden(path: impl Into<String>, why: &str) -> Self {
        Self::new(path, "FieldValueForbidden", with_detail("Forbidden", why))
    }

    /// A value names something that is not there.
    pub fn not_found(path: impl Into<String>, value: &Value) -> Self {
        Self::new(path, "FieldValueNotFound", format!("Not found: {}", shown(value)))
    }

    /// A text is too long.
    pub fn too_long(path: impl Into<String>, most: usize) -> Self {
        let message = format!("Too long: may not be more than {most} bytes");
        Self::new(path, "FieldValueTooLong", message)
    }

    /// A list or map is too long.
    pub fn too_many(path: impl Into<String>, found: usize, most: usize) -> Self {
        let items = if most == 1 { "item" } else { "items" };
        let message = format!("Too many: {found}: must have at most {most} {items}");
        Self::new(path, "FieldValueTooMany", message)
    }

    /// As it stands in the causes of a `Status`.
    pub fn cause(&self) -> Cause {
        Cause { reason: self.reason.into(), message: self.message.clone(), field: self.path.clone() }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

fn with_detail(what: &str, why: &str) -> String {
    if why.is_empty() { what.to_string() } else { format!("{what}: {why}") }
}

/// How the API server prints a value within a message: texts in quotes, the rest as JSON.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "\"null\"".into(),
        Value::String(text) => format!("{text:?}"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::kinds;

    fn kind(group: &str, kind: &str) -> ResourceKind {
        kinds::find(group, kind).expect("a built-in kind")
    }

    #[rstest]
    #[case::grouped(
        ApiStatus::not_found(&kind("apps", "Deployment"), "x"),
        404, "NotFound", r#"deployments.apps "x" not found"#
    )]
    #[case::core(ApiStatus::not_found(&kind("", "Pod"), "x"), 404, "NotFound", r#"pods "x" not found"#)]
    #[case::taken(
        ApiStatus::already_exists(&kind("", "ConfigMap"), "x"),
        409, "AlreadyExists", r#"configmaps "x" already exists"#
    )]
    #[case::stale(
        ApiStatus::conflict(&kind("apps", "Deployment"), "x"),
        409, "Conflict",
        r#"Operation cannot be fulfilled on deployments.apps "x": the object has been modified; please apply your changes to the latest version and try again"#
    )]
    #[case::gone(ApiStatus::expired(3, 7), 410, "Expired", "too old resource version: 3 (7)")]
    #[case::verb(
        ApiStatus::method_not_allowed(),
        405,
        "MethodNotAllowed",
        "the server does not allow this method on the requested resource"
    )]
    #[case::media(
        ApiStatus::unsupported_media_type(&["application/json-patch+json", "application/merge-patch+json"]),
        415, "UnsupportedMediaType",
        "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json"
    )]
    #[case::forbidden(
        ApiStatus::namespace_terminating(&kind("", "Pod"), "x", "shop"),
        403, "Forbidden",
        r#"pods "x" is forbidden: unable to create new content in namespace shop because it is being terminated"#
    )]
    #[case::internal(ApiStatus::internal("boom"), 500, "InternalError", "Internal error occurred: boom")]
    fn a_refusal_reads_as_the_api_servers(
        #[case] status: ApiStatus,
        #[case] code: u16,
        #[case] reason: &str,
        #[case] message: &str,
    ) {
        let body = status.to_value();
        assert_eq!(
            (json!("Failure"), json!(code), json!(reason), json!(message)),
            (body["status"].clone(), body["code"].clone(), body["reason"].clone(), body["message"].clone())
        );
    }

    #[test]
    fn an_invalid_object_names_every_field() {
        let errors = [
            FieldError::required("spec.selector", ""),
            FieldError::invalid("spec.replicas", &json!(-1), "must be greater than or equal to 0"),
        ];
        let status = ApiStatus::invalid(&kind("apps", "Deployment"), "x", &errors);
        assert_eq!(
            r#"Deployment.apps "x" is invalid: [spec.selector: Required value, spec.replicas: Invalid value: -1: must be greater than or equal to 0]"#,
            status.message
        );
        assert_eq!(
            json!({
                "name": "x", "group": "apps", "kind": "Deployment",
                "causes": [
                    {"reason": "FieldValueRequired", "message": "Required value", "field": "spec.selector"},
                    {"reason": "FieldValueInvalid",
                     "message": "Invalid value: -1: must be greater than or equal to 0",
                     "field": "spec.replicas"},
                ]
            }),
            status.to_value()["details"]
        );
    }

    #[test]
    fn a_single_complaint_stands_without_brackets() {
        let status = ApiStatus::invalid(&kind("", "Pod"), "x", &[FieldError::required("spec", "")]);
        assert_eq!(r#"Pod "x" is invalid: spec: Required value"#, status.message);
    }

    #[rstest]
    #[case(FieldError::not_supported("a", &json!("x"), &["b", "c"]), r#"a: Unsupported value: "x": supported values: "b", "c""#)]
    #[case(FieldError::duplicate("a[1]", &json!({"port": 80})), r#"a[1]: Duplicate value: {"port":80}"#)]
    #[case(FieldError::too_long("a", 63), "a: Too long: may not be more than 63 bytes")]
    #[case(FieldError::too_many("a", 5, 3), "a: Too many: 5: must have at most 3 items")]
    #[case(FieldError::invalid("a", &Value::Null, "why"), r#"a: Invalid value: "null": why"#)]
    #[case(FieldError::type_invalid("a", "string", "why"), r#"a: Invalid value: "string": why"#)]
    #[case(FieldError::forbidden("a", "not here"), "a: Forbidden: not here")]
    fn a_field_error_reads_as_the_api_servers(#[case] error: FieldError, #[case] text: &str) {
        assert_eq!(text, error.to_string());
    }

    #[test]
    fn a_finished_deletion_is_a_success_with_the_objects_uid() {
        let body = ApiStatus::deleted(&kind("apps", "Deployment"), "x", "u-1");
        assert_eq!("Success", body["status"]);
        assert_eq!(
            json!({"name": "x", "group": "apps", "kind": "deployments", "uid": "u-1"}),
            body["details"]
        );
    }
}
