//! `service.gatewayRefs`: what the route is attached to (spec 03 §6.1).

use serde_json::{Map, Value};

use crate::model::release::{Problem, Release};
use crate::router::problem;

const PATH: &str = "spec.service.gatewayRefs";

/// The route's parents with all that the API would fill in.
///
/// # Errors
/// If there are none, or the API would not take them.
pub(super) fn of(release: &Release) -> Result<Vec<Value>, Problem> {
    let refs = release.service.gateway_refs.as_deref().unwrap_or_default();
    if refs.is_empty() {
        let message = "must be specified when using Gateway API as a provider: name the Gateway that the route is \
                       for, or in a mesh the Service";
        return Err(problem(PATH, message));
    }
    let mut parents: Vec<Value> = Vec::new();
    for (index, entry) in refs.iter().enumerate() {
        let path = format!("{PATH}[{index}]");
        let parent = Value::Object(complete(entry));
        if parent["name"].as_str().is_none_or(str::is_empty) {
            return Err(problem(format!("{path}.name"), "is missing: name the Gateway or the Service"));
        }
        let is_same = |other: &&Value| FIELDS[..4].iter().all(|field| other[*field] == parent[*field]);
        let without = |one: &Value| one["sectionName"].as_str().is_none_or(str::is_empty);
        let clashes = |other: &Value| {
            other["sectionName"] == parent["sectionName"] || without(other) || without(&parent)
        };
        if parents.iter().filter(is_same).any(clashes) {
            let message = format!(
                "names {} once more, and a route has a parent once: give each entry a sectionName of its own, or \
                 remove one",
                title(&parent, &release.namespace)
            );
            return Err(problem(path, message));
        }
        parents.push(parent);
    }
    Ok(parents)
}

/// The parents of a live route, with all that the API would fill in.
pub(super) fn of_live(route: &Value) -> Vec<Value> {
    let refs = route["spec"]["parentRefs"].as_array().map_or(&[][..], Vec::as_slice);
    refs.iter().map(|reference| Value::Object(complete(reference))).collect()
}

const FIELDS: [&str; 6] = ["group", "kind", "namespace", "name", "sectionName", "port"];

/// The fields of a reference to a parent, with the API's defaults.
fn complete(reference: &Value) -> Map<String, Value> {
    let mut all = Map::new();
    all.insert("group".to_owned(), super::GROUP.into());
    all.insert("kind".to_owned(), GATEWAY.into());
    for field in FIELDS {
        let value = &reference[field];
        if !value.is_null() {
            all.insert(field.to_owned(), value.clone());
        }
    }
    all
}

/// Whether two references from a route in `namespace` lead to the same, however much of them is written out.
pub(super) fn same(one: &Value, other: &Value, namespace: &str) -> bool {
    let plain = |reference: &Value| {
        let mut all = complete(reference);
        all.entry("namespace").or_insert_with(|| namespace.into());
        // The core group has both names.
        if all["group"] == "core" {
            all.insert("group".to_owned(), "".into());
        }
        all
    };
    plain(one) == plain(other)
}

/// Whether the parent is a Gateway, whose controller has to say what it makes of the route.
pub(super) fn is_gateway(parent: &Value) -> bool {
    parent["group"] == super::GROUP && parent["kind"] == GATEWAY
}

const GATEWAY: &str = "Gateway";

/// `Gateway public.edge (listener https)`, for messages.
pub(super) fn title(parent: &Value, namespace: &str) -> String {
    let all = complete(parent);
    let text = |field: &str| all.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
    let (kind, name) = (text("kind").unwrap_or_default(), text("name").unwrap_or_default());
    let listener = text("sectionName").map(|name| format!(" (listener {name})")).unwrap_or_default();
    format!("{kind} {name}.{}{listener}", text("namespace").unwrap_or(namespace))
}
