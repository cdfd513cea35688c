//! What a mesh claims of itself is true: a field that it honours changes an object, and one that it does not changes
//! none.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use vexil::api::ServiceField;
use vexil::api::service::CanaryService;
use vexil::router::registry::MESHES;

use super::case::{Case, cases};
use super::holds;

#[test]
fn every_field_that_a_mesh_honours_changes_an_object_of_some_case() {
    let all = cases();
    let mut idle = BTreeSet::new();
    for mesh in MESHES {
        for field in mesh.honours {
            let changes = |case: &Case| {
                let mut without = case.clone();
                without.release.service = edited(&case.release.service, *field, Value::Null);
                // A field without which the mesh releases nothing is honoured as well.
                let is_needed = || !mesh.router.problems(&without.release, &case.settings).is_empty();
                field.is_set(&case.release.service) && (is_needed() || without.after() != case.after())
            };
            let mut own = all.iter().filter(|case| case.mesh.title == mesh.title);
            if !own.any(changes) {
                idle.insert(format!("{}: spec.service.{}", mesh.title, field.as_str()));
            }
        }
    }
    assert!(idle.is_empty(), "no case shows what these fields change: {idle:#?}");
}

#[test]
fn a_field_that_a_mesh_does_not_honour_changes_nothing() {
    holds(|case| {
        for field in ServiceField::ALL {
            if case.mesh.honours.contains(&field) {
                continue;
            }
            let mut with = case.clone();
            with.release.service = edited(&case.release.service, field, sample(field));
            assert!(field.is_set(&with.release.service), "{} is set", field.as_str());
            let found = with.plan(&case.wish, &case.before);
            if found != case.plan(&case.wish, &case.before) {
                return Err(format!("spec.service.{} is honoured without being named", field.as_str()));
            }
        }
        Ok(())
    });
}

/// The service with another value in a field.
fn edited(service: &CanaryService, field: ServiceField, value: Value) -> CanaryService {
    let mut manifest = serde_json::to_value(service).expect("JSON");
    manifest[field.as_str()] = value;
    serde_json::from_value(manifest).expect("a service")
}

/// A value as users write it.
fn sample(field: ServiceField) -> Value {
    match field {
        ServiceField::Hosts | ServiceField::Gateways | ServiceField::Backends => json!(["other.example.com"]),
        ServiceField::GatewayRefs => json!([{"name": "other", "namespace": "other"}]),
        ServiceField::Delegation => json!(true),
        ServiceField::Match => json!([{"uri": {"prefix": "/other"}}]),
        ServiceField::Rewrite => json!({"uri": "/other"}),
        ServiceField::Retries => json!({"attempts": 9, "perTryTimeout": "9s"}),
        ServiceField::Timeout | ServiceField::BackendTimeout => json!("9s"),
        ServiceField::Headers => json!({"request": {"add": {"x-other": "1"}}}),
        ServiceField::Mirror => json!([{"backendRef": {"name": "other", "port": 80}}]),
        ServiceField::CorsPolicy => json!({"allowOrigin": ["other.example.com"]}),
        ServiceField::TrafficPolicy => json!({"tls": {"mode": "DISABLE"}}),
        ServiceField::MeshName => json!("other"),
    }
}
