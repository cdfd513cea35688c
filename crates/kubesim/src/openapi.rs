//! The schemas of the API, for `kubectl explain`, for its checks before `apply`, and for its patches.
//!
//! New kubectls read version 3, one document a group and version. Old ones want version 2 as protobuf, and are
//! content with one that names the resources and their parameters: what it has no schema for, they do not check.

mod builtin;
mod protobuf;

use serde_json::{Map, Value, json};

use super::kinds::ResourceKind;
use super::patch::{ACCEPTED, ACCEPTED_CUSTOM};

/// The media type by which clients ask for [`v2_protobuf`].
pub const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

/// The media type of the answer: kubectl cannot read the one that it asks for, because of the `@`.
pub const PROTOBUF_ANSWER: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// One resource, and its schema if it is a custom one.
pub type Resource<'a> = (&'a ResourceKind, Option<&'a Value>);

/// `/openapi/v3`: where the documents are.
pub fn v3_index(kinds: &[ResourceKind]) -> Value {
    let mut paths = Map::new();
    for kind in kinds {
        let path = root(kind);
        let url = json!({"serverRelativeURL": format!("/openapi/v3/{path}")});
        paths.insert(path, url);
    }
    json!({"paths": paths})
}

/// `/openapi/v3/apis/{group}/{version}`, or `/openapi/v3/api/{version}` for the empty group.
pub fn v3<'a>(
    resources: impl IntoIterator<Item = Resource<'a>>,
    group: &str,
    version: &str,
) -> Option<Value> {
    let mut paths = Map::new();
    let mut schemas = Map::new();
    for (kind, custom) in resources {
        if kind.group != group || kind.version != version {
            continue;
        }
        add_paths(kind, custom.is_some(), &mut paths);
        match custom {
            Some(schema) => add_custom_schema(kind, schema, &mut schemas),
            None => builtin::add_schemas(kind, &mut schemas),
        }
    }
    if paths.is_empty() {
        return None;
    }
    Some(json!({
        "openapi": "3.0.0",
        "info": info(),
        "paths": paths,
        "components": {"schemas": schemas},
    }))
}

/// `/openapi/v2` as JSON.
pub fn v2(kinds: &[ResourceKind]) -> Value {
    let mut paths = Map::new();
    for kind in kinds {
        let (_, item) = item_paths(kind);
        paths.insert(item, json!({"patch": operation(kind, "patch")}));
    }
    json!({"swagger": "2.0", "info": info(), "paths": paths, "definitions": {}})
}

/// `/openapi/v2` in the only form that kubectl asks for.
pub fn v2_protobuf(kinds: &[ResourceKind]) -> Vec<u8> {
    protobuf::document(kinds)
}

/// Removes the fields that a built-in kind does not have, and says which: `spec.foo`, `spec.list[0].bar`.
///
/// Kinds without a schema keep everything.
pub fn prune_builtin(kind: &ResourceKind, object: &mut Value) -> Vec<String> {
    builtin::prune(kind, object)
}

fn info() -> Value {
    json!({"title": "Kubernetes", "version": super::discovery::version()["gitVersion"]})
}

fn root(kind: &ResourceKind) -> String {
    if kind.group.is_empty() {
        format!("api/{}", kind.version)
    } else {
        format!("apis/{}/{}", kind.group, kind.version)
    }
}

/// The paths of the list and of one object.
fn item_paths(kind: &ResourceKind) -> (String, String) {
    let namespace = if kind.namespaced { "namespaces/{namespace}/" } else { "" };
    let list = format!("/{}/{namespace}{}", root(kind), kind.plural);
    let item = format!("{list}/{{name}}");
    (list, item)
}

fn add_paths(kind: &ResourceKind, custom: bool, paths: &mut Map<String, Value>) {
    let (list, item) = item_paths(kind);
    let has = |verb: &str| kind.verbs.contains(&verb);
    let mut add = |path: &str, method: &str, action: &str| {
        let mut operation = operation(kind, action);
        if action == "patch" {
            let accepted = if custom { ACCEPTED_CUSTOM } else { ACCEPTED };
            let content: Map<String, Value> = accepted
                .iter()
                .map(|media| (media.to_string(), json!({"schema": {"type": "object"}})))
                .collect();
            operation["requestBody"] = json!({"content": content});
        }
        let entry = paths.entry(path).or_insert_with(|| json!({}));
        entry[method] = operation;
    };
    let table = [
        (&list, "get", "list"),
        (&list, "post", "create"),
        (&list, "delete", "deletecollection"),
        (&item, "get", "get"),
        (&item, "put", "update"),
        (&item, "patch", "patch"),
        (&item, "delete", "delete"),
    ];
    for (path, method, verb) in table {
        if has(verb) {
            add(path, method, if verb == "create" { "post" } else { verb });
        }
    }
}

fn operation(kind: &ResourceKind, action: &str) -> Value {
    let parameters: Vec<Value> = query_parameters(action)
        .iter()
        .map(|name| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}}))
        .collect();
    json!({
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": gvk(kind),
        "parameters": parameters,
        "responses": {"200": {"description": "OK"}},
    })
}

/// The parameters that kubectl looks for before it relies on them.
fn query_parameters(action: &str) -> &'static [&'static str] {
    match action {
        "post" | "update" => &["dryRun", "fieldManager", "fieldValidation"],
        "patch" => &["dryRun", "fieldManager", "fieldValidation", "force"],
        "delete" | "deletecollection" => &["dryRun"],
        _ => &[],
    }
}

fn gvk(kind: &ResourceKind) -> Value {
    json!({"group": kind.group, "version": kind.version, "kind": kind.kind})
}

/// The name of a schema: `app.flagger.v1beta1.Canary` for `canaries.flagger.app`.
fn custom_schema_name(kind: &ResourceKind) -> String {
    let group: Vec<&str> = kind.group.rsplit('.').collect();
    format!("{}.{}.{}", group.join("."), kind.version, kind.kind)
}

fn add_custom_schema(kind: &ResourceKind, schema: &Value, schemas: &mut Map<String, Value>) {
    let mut schema = schema.clone();
    let described = |what: &str| json!({"type": "string", "description": what});
    let properties = &mut schema["properties"];
    properties["apiVersion"] = described("The group and version that this object is written in.");
    properties["kind"] = described("The kind of this object.");
    properties["metadata"] = builtin::object_meta(schemas);
    schema["type"] = json!("object");
    schema["x-kubernetes-group-version-kind"] = json!([gvk(kind)]);
    schemas.insert(custom_schema_name(kind), schema);
}

#[cfg(test)]
mod tests;
