//! A watch: prints each change of the pods while a Deployment rolls out a version whose image cannot be pulled.
//!
//! ```console
//! cargo run -p kubesim --example watch
//! ```

use futures::TryStreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::runtime::{WatchStreamExt, watcher};
use kubesim::KubeSim;
use serde_json::json;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sim = KubeSim::builder().build();
    let pods: Api<Pod> = Api::default_namespaced(sim.client("watcher"));
    let mut changes = Box::pin(watcher(pods, watcher::Config::default()).applied_objects());

    sim.put(json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "app", "image": "web:bad-image"}]},
            },
        },
    }));
    while let Some(pod) = changes.try_next().await? {
        let status = pod.status.unwrap_or_default();
        let waiting =
            status.container_statuses.unwrap_or_default().into_iter().find_map(|c| c.state?.waiting?.reason);
        let reason = waiting.unwrap_or_default();
        println!("{} {} {reason}", pod.metadata.name.unwrap_or_default(), status.phase.unwrap_or_default());
        if reason == "ImagePullBackOff" {
            break;
        }
    }
    Ok(())
}
