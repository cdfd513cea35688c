//! Which pods want to be scraped: Prometheus asks here, because Debian's build of it cannot ask Kubernetes.
//!
//! `GET http://<node>:9100/targets` gives the pods with the annotation `prometheus.io/scrape: "true"`, in the format of
//! Prometheus's HTTP discovery, labelled with namespace, name and the label `app`.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use anyhow::Result;
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::cluster::network;

/// The pods that the node runs, by uid.
pub type Known = Arc<RwLock<BTreeMap<String, Arc<Pod>>>>;

/// Where the list is served.
pub const PORT: u16 = 9100;

/// Starts serving.
pub async fn start(pods: Known) -> Result<()> {
    let listener = TcpListener::bind((network::NODE, PORT)).await?;
    let app = Router::new().route("/targets", get(targets)).with_state(pods);
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(())
}

async fn targets(State(pods): State<Known>) -> Json<Vec<Value>> {
    let pods = pods.read().map(|pods| pods.values().cloned().collect::<Vec<_>>()).unwrap_or_default();
    Json(pods.iter().filter_map(|pod| target(pod)).collect())
}

fn target(pod: &Pod) -> Option<Value> {
    let annotations = pod.annotations();
    if annotations.get("prometheus.io/scrape").map(String::as_str) != Some("true") {
        return None;
    }
    let address = pod.status.as_ref()?.pod_ip.clone()?;
    let port = annotations.get("prometheus.io/port").map_or("8080", String::as_str);
    let path = annotations.get("prometheus.io/path").map_or("/metrics", String::as_str);
    Some(json!({
        "targets": [format!("{address}:{port}")],
        "labels": {
            "__metrics_path__": path,
            "kubernetes_namespace": pod.namespace().unwrap_or_default(),
            "kubernetes_pod_name": pod.name_any(),
            "app": pod.labels().get("app").cloned().unwrap_or_default(),
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(annotation: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {
                "name": "frontend-1", "namespace": "shop", "labels": {"app": "frontend"},
                "annotations": {"prometheus.io/scrape": annotation, "prometheus.io/port": "9797"},
            },
            "status": {"podIP": "10.250.1.9"},
        }))
        .expect("a pod")
    }

    #[test]
    fn annotated_pods_are_scraped_at_their_port() {
        let target = target(&pod("true")).expect("a target");
        assert_eq!(target["targets"], json!(["10.250.1.9:9797"]));
        assert_eq!(target["labels"]["kubernetes_pod_name"], "frontend-1");
    }

    #[test]
    fn other_pods_are_left_alone() {
        assert_eq!(target(&pod("false")), None);
    }
}
