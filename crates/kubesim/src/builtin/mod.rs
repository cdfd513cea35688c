//! What a real API server does to objects of built-in kinds before it stores them: types, defaults, validation.

mod allocate;
mod defaults;
pub mod names;
mod validate;

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
    ValidatingWebhookConfiguration,
};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::authentication::v1::TokenReview;
use k8s_openapi::api::authorization::v1::{
    LocalSubjectAccessReview, SelfSubjectAccessReview, SelfSubjectRulesReview, SubjectAccessReview,
};
use k8s_openapi::api::autoscaling::{v1, v2};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Namespace, Node, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::events::v1 as events;
use k8s_openapi::api::networking::v1::Ingress;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde::Deserialize;
use serde_json::Value;

pub use self::defaults::{complete, default};
pub use self::validate::validate;
use super::registry::Served;

/// Whether all fields have the types that the API knows; the error says what is wrong.
pub fn check_types(served: &Served, object: &Value) -> Result<(), String> {
    fn as_a<'a, T: Deserialize<'a>>(object: &'a Value) -> Result<(), String> {
        if T::deserialize(object).is_ok() {
            return Ok(());
        }
        // Once more, to say where: that costs, and most objects are fine.
        let read: Result<T, _> = serde_path_to_error::deserialize(object);
        read.map(drop).map_err(|why| format!("{}: {}", why.path(), why.inner()))
    }
    let kind = &served.kind;
    match (kind.group.as_str(), kind.version.as_str(), kind.kind.as_str()) {
        ("", _, "ConfigMap") => as_a::<ConfigMap>(object),
        ("", _, "Event") => as_a::<Event>(object),
        ("", _, "Namespace") => as_a::<Namespace>(object),
        ("", _, "Node") => as_a::<Node>(object),
        ("", _, "Pod") => as_a::<Pod>(object),
        ("", _, "Secret") => as_a::<Secret>(object),
        ("", _, "Service") => as_a::<Service>(object),
        ("", _, "ServiceAccount") => as_a::<ServiceAccount>(object),
        ("admissionregistration.k8s.io", _, "MutatingWebhookConfiguration") => {
            as_a::<MutatingWebhookConfiguration>(object)
        }
        ("admissionregistration.k8s.io", _, "ValidatingWebhookConfiguration") => {
            as_a::<ValidatingWebhookConfiguration>(object)
        }
        ("admissionregistration.k8s.io", _, "ValidatingAdmissionPolicy") => {
            as_a::<ValidatingAdmissionPolicy>(object)
        }
        ("admissionregistration.k8s.io", ..) => as_a::<ValidatingAdmissionPolicyBinding>(object),
        ("authentication.k8s.io", _, "TokenReview") => as_a::<TokenReview>(object),
        ("authorization.k8s.io", _, "SelfSubjectRulesReview") => as_a::<SelfSubjectRulesReview>(object),
        ("authorization.k8s.io", _, "LocalSubjectAccessReview") => as_a::<LocalSubjectAccessReview>(object),
        ("authorization.k8s.io", _, "SelfSubjectAccessReview") => as_a::<SelfSubjectAccessReview>(object),
        ("authorization.k8s.io", ..) => as_a::<SubjectAccessReview>(object),
        ("apps", _, "DaemonSet") => as_a::<DaemonSet>(object),
        ("apps", _, "Deployment") => as_a::<Deployment>(object),
        ("apps", _, "ReplicaSet") => as_a::<ReplicaSet>(object),
        ("apps", _, "StatefulSet") => as_a::<StatefulSet>(object),
        ("apiextensions.k8s.io", ..) => as_a::<CustomResourceDefinition>(object),
        ("autoscaling", "v1", _) => as_a::<v1::HorizontalPodAutoscaler>(object),
        ("autoscaling", ..) => as_a::<v2::HorizontalPodAutoscaler>(object),
        ("batch", _, "CronJob") => as_a::<CronJob>(object),
        ("batch", _, "Job") => as_a::<Job>(object),
        ("coordination.k8s.io", ..) => as_a::<Lease>(object),
        ("discovery.k8s.io", ..) => as_a::<EndpointSlice>(object),
        ("events.k8s.io", ..) => as_a::<events::Event>(object),
        ("networking.k8s.io", _, "Ingress") => as_a::<Ingress>(object),
        ("policy", ..) => as_a::<PodDisruptionBudget>(object),
        _ => Ok(()),
    }
}

/// What defaulting and validation do with nested objects: a field that is absent reads as an empty object.
fn fields(value: &mut Value) -> Option<&mut serde_json::Map<String, Value>> {
    if value.is_null() {
        *value = Value::Object(serde_json::Map::new());
    }
    value.as_object_mut()
}

/// Sets a field that is absent.
fn set_default(object: &mut Value, field: &str, value: impl Into<Value>) {
    if let Some(fields) = fields(object) {
        fields.entry(field).or_insert_with(|| value.into());
    }
}

/// The elements of a list field.
fn items<'a>(object: &'a mut Value, field: &str) -> impl Iterator<Item = &'a mut Value> {
    object.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten()
}
