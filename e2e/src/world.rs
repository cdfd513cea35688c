//! What all runs share: the cluster's API, the gateway, the outside world, and a memory of what was seen when.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use rustix::process::Signal;
use serde_json::Value;
use tokio::time::Instant;

use crate::apps::load::{Load, Running};
use crate::inbox::Inbox;
use crate::install::{CONTROLLER, SYSTEM};
use crate::place::Place;
use crate::{process, wait};

/// The kinds whose every version is remembered.
const REMEMBERED: [(&str, &str); 2] =
    [("flagger.app/v1beta1", "Canary"), ("networking.istio.io/v1beta1", "VirtualService")];

/// One version of an object, as a watch brought it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub at: Instant,
    pub kind: &'static str,
    pub namespace: String,
    pub name: String,
    /// None once it was deleted.
    pub object: Option<Value>,
}

/// See the head of this file.
pub struct World {
    pub place: Place,
    pub client: Client,
    pub gateway: SocketAddr,
    pub inbox: Inbox,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl World {
    /// Joins a cluster on which everything is installed.
    pub async fn join(
        place: Place,
        client: Client,
        gateway: SocketAddr,
        inbox: SocketAddr,
    ) -> Result<Arc<World>> {
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        for (api_version, kind) in REMEMBERED {
            tokio::spawn(remember(client.clone(), api_version, kind, seen.clone()));
        }
        let inbox = Inbox::open(inbox).await?;
        Ok(Arc::new(World { place, client, gateway, inbox, seen }))
    }

    /// An untyped API of a kind.
    pub fn api(&self, api_version: &str, kind: &str, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &resource(api_version, kind))
    }

    /// Everything seen of an object, oldest first.
    pub fn history(&self, kind: &str, namespace: &str, name: &str) -> Vec<Seen> {
        let seen = self.seen.lock().map(|seen| seen.clone()).unwrap_or_default();
        seen.into_iter().filter(|s| s.kind == kind && s.namespace == namespace && s.name == name).collect()
    }

    /// The newest version of an object that was seen.
    pub fn latest(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let seen = self.seen.lock().ok()?;
        seen.iter()
            .rev()
            .find(|s| s.kind == kind && s.namespace == namespace && s.name == name)?
            .object
            .clone()
    }

    /// Users of a host at the gateway.
    pub fn users(&self, host: &str, rate: u32) -> Result<Running> {
        self.load(self.gateway, host, rate)
    }

    /// Users of a host at any address of the cluster.
    pub fn load(&self, target: SocketAddr, host: &str, rate: u32) -> Result<Running> {
        at(target, host, rate).start()
    }

    /// What users of a host at the gateway ask, for those who want to ask it otherwise.
    pub fn at_gateway(&self, host: &str, rate: u32) -> Load {
        at(self.gateway, host, rate)
    }

    /// The controller's pods that are not on their way out.
    pub async fn controllers(&self) -> Result<Vec<Pod>> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), SYSTEM);
        let label = format!("app.kubernetes.io/name={CONTROLLER}");
        let all = pods.list(&ListParams::default().labels(&label)).await?;
        Ok(all.items.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect())
    }

    /// Kills a pod's process as a crash would, and waits until it has been started again.
    pub async fn crash(&self, pod: &Pod) -> Result<()> {
        let pid = main_pid(pod).with_context(|| format!("pod {} does not run", pod.name_any()))?;
        process::signal(pid, Signal::KILL)?;
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
        let name = pod.name_any();
        wait::until("the killed process is back", Duration::from_secs(120), async || {
            Ok(pods.get_opt(&name).await?.is_some_and(|now| is_ready(&now) && main_pid(&now) != Some(pid)))
        })
        .await
    }

    /// Kills every controller.
    pub async fn crash_controllers(&self) -> Result<()> {
        for pod in self.controllers().await? {
            self.crash(&pod).await?;
        }
        Ok(())
    }

    /// The process of a control-plane component.
    pub fn component(&self, name: &str) -> Result<u32> {
        process::read_pid(&self.place.pid_of(name)).with_context(|| format!("{name} does not run"))
    }
}

fn at(target: SocketAddr, host: &str, rate: u32) -> Load {
    Load {
        target,
        host: host.to_owned(),
        path: "/".into(),
        headers: Default::default(),
        clients: Default::default(),
        rate,
        longest: Duration::from_secs(900),
    }
}

async fn remember(
    client: Client,
    api_version: &'static str,
    kind: &'static str,
    seen: Arc<Mutex<Vec<Seen>>>,
) {
    let api: Api<DynamicObject> = Api::all_with(client, &resource(api_version, kind));
    let mut events = std::pin::pin!(watcher(api, watcher::Config::default()).backoff(crate::retry::Steady));
    while let Some(event) = events.next().await {
        let (object, gone) = match event {
            Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => (object, false),
            Ok(watcher::Event::Delete(object)) => (object, true),
            _ => continue,
        };
        let note = Seen {
            at: Instant::now(),
            kind,
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            object: if gone { None } else { serde_json::to_value(&object).ok() },
        };
        if let Ok(mut seen) = seen.lock() {
            seen.push(note);
        }
    }
}

/// Whether a pod is ready.
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|all| all.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
}

/// The process of a pod's first container, as the node reports it.
pub fn main_pid(pod: &Pod) -> Option<u32> {
    let status = pod.status.as_ref()?.container_statuses.as_ref()?.first()?;
    status.container_id.as_ref()?.strip_prefix("process://")?.parse().ok()
}

/// The resource of a kind; plural as all kinds here have it.
pub fn resource(api_version: &str, kind: &str) -> ApiResource {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let lower = kind.to_lowercase();
    let plural = match lower.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{lower}s"),
    };
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), &plural)
}
