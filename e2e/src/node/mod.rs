//! The node: takes every pod, runs its containers as processes, and reports as a kubelet does.
//!
//! What it does: addresses, environment, volumes, service-account tokens, init containers, probes, restarts with
//! back-off, graceful termination, images that do not exist. What it does not: resources, security contexts beyond
//! user and read-only root, live updates of mounted ConfigMaps, `kubectl logs` and `exec` (logs are files).

pub mod container;
pub mod discovery;
pub mod environment;
mod health;
pub mod images;
mod plan;
pub mod pod;
pub mod probe;
pub mod quantity;
pub mod sandbox;
pub mod status;
pub mod volumes;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use futures::StreamExt;
use k8s_openapi::api::core::v1::{Binding, Node, ObjectReference, Pod};
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::cluster::network;
use crate::place::Place;

/// The name of the only node.
pub const NAME: &str = "vexil-e2e";

/// What every pod of the node shares.
pub struct Shared {
    pub place: Place,
    pub client: Client,
    addresses: AtomicU32,
}

impl Shared {
    /// The next free pod address.
    pub fn address(&self) -> std::net::Ipv4Addr {
        network::pod_address(self.addresses.fetch_add(1, Ordering::SeqCst))
    }
}

/// Registers the node and starts taking pods.
pub async fn start(place: Place, client: Client) -> Result<()> {
    register(&client).await?;
    let context = Arc::new(Shared { place, client, addresses: AtomicU32::new(1) });
    let known = discovery::Known::default();
    discovery::start(known.clone()).await?;
    tokio::spawn(run(context, known));
    Ok(())
}

async fn register(client: &Client) -> Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    let resources = json!({"cpu": "64", "memory": "64Gi", "pods": "1000", "ephemeral-storage": "100Gi"});
    let now = k8s_openapi::jiff::Timestamp::now().to_string();
    let labels = json!({
        "kubernetes.io/hostname": NAME, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
    });
    let node = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": NAME, "labels": labels},
    });
    let status = json!({"status": {
        "capacity": resources, "allocatable": resources,
        "addresses": [
            {"type": "InternalIP", "address": network::NODE.to_string()},
            {"type": "Hostname", "address": NAME},
        ],
        "conditions": [{
            "type": "Ready", "status": "True", "reason": "HarnessReady", "message": "pods are processes here",
            "lastHeartbeatTime": now, "lastTransitionTime": now,
        }],
        "nodeInfo": {
            "architecture": "amd64", "bootID": "", "containerRuntimeVersion": "processes://1", "kernelVersion": "",
            "kubeProxyVersion": "", "kubeletVersion": format!("v{}", crate::tools::version("kubernetes")), "machineID": "",
            "operatingSystem": "linux", "osImage": "the machine's own", "systemUUID": "",
        },
    }});
    nodes.patch(NAME, &PatchParams::apply("vexil-e2e-node").force(), &Patch::Apply(&node)).await?;
    nodes.patch_status(NAME, &PatchParams::default(), &Patch::Merge(&status)).await?;
    // Nobody manages the taint that admission puts on new nodes.
    let untainted = json!({"spec": {"taints": null, "unschedulable": null}});
    nodes
        .patch(NAME, &PatchParams::default(), &Patch::Merge(&untainted))
        .await
        .context("cannot register the node")?;
    Ok(())
}

struct Running {
    changes: watch::Sender<Option<Arc<Pod>>>,
    task: JoinHandle<()>,
}

/// Follows all pods and gives each its news; a pod's task ends once the pod is gone.
async fn run(context: Arc<Shared>, known: discovery::Known) {
    let pods: Api<Pod> = Api::all(context.client.clone());
    let mut events = std::pin::pin!(watcher(pods, watcher::Config::default()).backoff(crate::retry::Steady));
    let mut running: BTreeMap<String, Running> = BTreeMap::new();
    let mut listed: Option<BTreeMap<String, ()>> = None;
    while let Some(event) = events.next().await {
        running.retain(|_, pod| !pod.task.is_finished());
        match event {
            Ok(watcher::Event::Init) => listed = Some(BTreeMap::new()),
            Ok(watcher::Event::InitApply(pod)) => {
                if let (Some(listed), Some(uid)) = (&mut listed, pod.uid()) {
                    listed.insert(uid, ());
                }
                apply(&context, &mut running, pod);
            }
            Ok(watcher::Event::InitDone) => {
                // Pods that vanished while the watch was away.
                let listed = listed.take().unwrap_or_default();
                for (_, pod) in running.iter().filter(|(uid, _)| !listed.contains_key(*uid)) {
                    pod.changes.send_replace(None);
                }
            }
            Ok(watcher::Event::Apply(pod)) => apply(&context, &mut running, pod),
            Ok(watcher::Event::Delete(pod)) => {
                if let Some(pod) = pod.uid().and_then(|uid| running.get(&uid)) {
                    pod.changes.send_replace(None);
                }
            }
            // The stream tries again by itself.
            Err(_) => {}
        }
        if let Ok(mut known) = known.write() {
            *known = running
                .iter()
                .filter_map(|(uid, pod)| Some((uid.clone(), pod.changes.borrow().clone()?)))
                .collect();
        }
    }
}

fn apply(context: &Arc<Shared>, running: &mut BTreeMap<String, Running>, pod: Pod) {
    let Some(uid) = pod.uid() else { return };
    let pod = Arc::new(pod);
    if let Some(known) = running.get(&uid) {
        known.changes.send_replace(Some(pod));
        return;
    }
    let spec = pod.spec.as_ref();
    match spec.and_then(|spec| spec.node_name.as_deref()) {
        Some(NAME) => {
            let finished =
                matches!(pod.status.as_ref().and_then(|s| s.phase.as_deref()), Some("Succeeded" | "Failed"));
            if finished && pod.metadata.deletion_timestamp.is_none() {
                return;
            }
            let (sender, receiver) = watch::channel(Some(pod.clone()));
            let task = tokio::spawn(pod::run(context.clone(), pod, receiver));
            running.insert(uid, Running { changes: sender, task });
        }
        Some(_) => {}
        None => {
            if pod.metadata.deletion_timestamp.is_none() && fits(&pod) {
                tokio::spawn(bind(context.client.clone(), pod));
            }
        }
    }
}

/// A pod that asks for a label that the node lacks stays pending (that is how daemon sets are parked).
fn fits(pod: &Pod) -> bool {
    let selector = pod.spec.as_ref().and_then(|spec| spec.node_selector.clone()).unwrap_or_default();
    selector.iter().all(|(key, value)| {
        matches!(
            (key.as_str(), value.as_str()),
            ("kubernetes.io/os", "linux") | ("kubernetes.io/arch", "amd64")
        ) || (key == "kubernetes.io/hostname" && value == NAME)
    })
}

async fn bind(client: Client, pod: Arc<Pod>) {
    let namespace = pod.namespace().unwrap_or_default();
    let name = pod.name_any();
    let binding = Binding {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            namespace: Some(namespace.clone()),
            ..ObjectMeta::default()
        },
        target: ObjectReference {
            kind: Some("Node".into()),
            name: Some(NAME.into()),
            ..ObjectReference::default()
        },
    };
    let pods: Api<Pod> = Api::namespaced(client, &namespace);
    for _ in 0..60 {
        match pods
            .create_subresource::<Binding, serde_json::Value>(
                "binding",
                &name,
                &PostParams::default(),
                &binding,
            )
            .await
        {
            Ok(_) => return,
            // Gone, or bound already by an earlier event.
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => return,
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(500)).await,
        }
    }
}
