//! The embedded cluster through kube's own client, on a paused clock.

mod builtin;
mod controllers;
mod nonsense;
mod objects;
mod rollouts;
mod watching;

use std::fmt::Debug;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::PostParams;
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::KubeSim;

fn typed<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("a fixture fits its type")
}

fn config_map(name: &str, data: &str) -> ConfigMap {
    typed(json!({"metadata": {"name": name, "labels": {"app": name}}, "data": {"key": data}}))
}

/// A Deployment of `replicas` pods of an image.
fn deployment(name: &str, replicas: i32, image: &str) -> Deployment {
    typed(json!({
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "app", "image": image, "ports": [{"containerPort": 8080}]}]},
            },
        },
    }))
}

/// A definition of `widgets.example.com` with a status subresource.
fn widgets() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "shortNames": ["wd"]},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "properties": {
                        "size": {"type": "integer", "minimum": 1, "default": 3},
                        "colour": {"type": "string"},
                    }},
                    "status": {"type": "object", "properties": {"phase": {"type": "string"}}},
                }}},
            }],
        },
    })
}

fn api<K>(sim: &KubeSim) -> Api<K>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    K::DynamicType: Default,
{
    Api::namespaced(sim.client("tester"), "shop")
}

async fn create<K>(sim: &KubeSim, object: &K) -> K
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + serde::Serialize,
    K::DynamicType: Default,
{
    api(sim).create(&PostParams::default(), object).await.expect("the object is created")
}

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}
