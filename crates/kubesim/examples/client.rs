//! A stock `kube::Client` on a cluster in memory: creates a Deployment and waits until its pods are ready.
//!
//! ```console
//! cargo run -p kubesim --example client
//! ```

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, PostParams};
use kube::runtime::wait::await_condition;
use kubesim::KubeSim;
use serde_json::json;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sim = KubeSim::builder().nodes(3).build();
    let client = sim.client("example");

    let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
    let web = serde_json::from_value(json!({
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "app", "image": "web:1"}]},
            },
        },
    }))?;
    deployments.create(&PostParams::default(), &web).await?;
    await_condition(deployments, "web", |web: Option<&Deployment>| {
        web.and_then(|web| web.status.as_ref()?.available_replicas) == Some(3)
    })
    .await?;

    let pods: Api<Pod> = Api::default_namespaced(client);
    for pod in pods.list(&ListParams::default().labels("app=web")).await? {
        let node = pod.spec.and_then(|spec| spec.node_name).unwrap_or_default();
        println!("{} runs on {node}", pod.metadata.name.unwrap_or_default());
    }
    println!("the client sent {} requests", sim.requests_of("example").len());
    Ok(())
}
