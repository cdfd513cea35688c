//! What all runs share: the cluster's API, the gateway, the outside world, and a memory of what was seen when.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
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
use crate::{pace, process, wait};

/// The kinds whose every version is remembered.
const REMEMBERED: [(&str, &str); 4] = [
    ("flagger.app/v1beta1", "Canary"),
    ("networking.istio.io/v1beta1", "VirtualService"),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"),
    ("discovery.k8s.io/v1", "EndpointSlice"),
];

/// One version of an object, as a watch brought it.
#[derive(Debug)]
pub struct Seen {
    pub at: Instant,
    /// None once it was deleted.
    pub object: Option<Value>,
}

/// Everything seen, by kind, namespace and name; of each object the oldest first.
type Memory = BTreeMap<(&'static str, String, String), Vec<Arc<Seen>>>;

/// See the head of this file.
pub struct World {
    pub place: Place,
    pub client: Client,
    pub gateway: SocketAddr,
    pub inbox: Inbox,
    /// The node is the harness's own: it reaches pods by their addresses and decides which images there are.
    pub has_node: bool,
    memory: Arc<Mutex<Memory>>,
    /// The kinds that are remembered.
    kinds: Mutex<BTreeSet<&'static str>>,
}

impl World {
    /// Joins a cluster on which everything is installed.
    pub async fn join(
        place: Place,
        client: Client,
        gateway: SocketAddr,
        inbox: SocketAddr,
        has_node: bool,
    ) -> Result<Arc<World>> {
        pace::watch();
        let inbox = Inbox::open(inbox).await?;
        let (memory, kinds) = Default::default();
        let world = World { place, client, gateway, inbox, has_node, memory, kinds };
        world.remember(REMEMBERED);
        Ok(Arc::new(world))
    }

    /// An untyped API of a kind.
    pub fn api(&self, api_version: &str, kind: &str, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &resource(api_version, kind))
    }

    /// Remembers every version of the objects of further kinds from now on.
    pub fn remember(&self, kinds: impl IntoIterator<Item = (&'static str, &'static str)>) {
        let mut known = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        for (api_version, kind) in kinds.into_iter().filter(|(_, kind)| known.insert(kind)) {
            tokio::spawn(remember(self.client.clone(), api_version, kind, self.memory.clone()));
        }
    }

    /// Everything seen of an object, oldest first.
    pub fn history(&self, kind: &'static str, namespace: &str, name: &str) -> Vec<Arc<Seen>> {
        let Ok(memory) = self.memory.lock() else { return Vec::new() };
        memory.get(&(kind, namespace.to_owned(), name.to_owned())).cloned().unwrap_or_default()
    }

    /// Everything seen of all objects of a kind in a namespace, by name.
    pub fn histories(&self, kind: &'static str, namespace: &str) -> BTreeMap<String, Vec<Arc<Seen>>> {
        let Ok(memory) = self.memory.lock() else { return BTreeMap::new() };
        let from = (kind, namespace.to_owned(), String::new());
        let own = memory.range(from..).take_while(|((k, n, _), _)| *k == kind && n == namespace);
        own.map(|((_, _, name), seen)| (name.clone(), seen.clone())).collect()
    }

    /// The newest version of an object that was seen.
    pub fn latest(&self, kind: &'static str, namespace: &str, name: &str) -> Option<Value> {
        let memory = self.memory.lock().ok()?;
        memory.get(&(kind, namespace.to_owned(), name.to_owned()))?.last()?.object.clone()
    }

    /// Users of a host at any address of the cluster.
    pub fn load(&self, target: SocketAddr, host: &str, rate: u32) -> Result<Running> {
        asking(target, host, rate).start()
    }

    /// The controller's pods that are not on their way out.
    pub async fn controllers(&self) -> Result<Vec<Pod>> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), SYSTEM);
        let label = format!("app.kubernetes.io/instance={CONTROLLER}");
        let all = pods.list(&ListParams::default().labels(&label)).await?;
        Ok(all.items.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect())
    }

    /// Kills a pod's process as a crash would, and waits until it has been started again.
    pub async fn crash(&self, pod: &Pod) -> Result<()> {
        let pid = self.kill(pod)?;
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
        let name = pod.name_any();
        wait::until("the killed process is back", Duration::from_secs(120), async || {
            Ok(pods.get_opt(&name).await?.is_some_and(|now| is_ready(&now) && main_pid(&now) != Some(pid)))
        })
        .await
    }

    /// Kills the process of a pod without warning; the number that it had.
    pub fn kill(&self, pod: &Pod) -> Result<u32> {
        let pid = main_pid(pod).with_context(|| format!("pod {} does not run", pod.name_any()))?;
        process::signal(pid, Signal::KILL)?;
        Ok(pid)
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

/// What users of a host ask at an address of the cluster.
pub fn asking(target: SocketAddr, host: &str, rate: u32) -> Load {
    Load {
        target,
        host: host.to_owned(),
        path: "/".into(),
        headers: Default::default(),
        clients: Default::default(),
        rate,
        longest: Duration::from_secs(3600),
    }
}

async fn remember(client: Client, api_version: &'static str, kind: &'static str, memory: Arc<Mutex<Memory>>) {
    let api: Api<DynamicObject> = Api::all_with(client, &resource(api_version, kind));
    let mut events = std::pin::pin!(watcher(api, watcher::Config::default()).backoff(crate::retry::Steady));
    while let Some(event) = events.next().await {
        let (object, gone) = match event {
            Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => (object, false),
            Ok(watcher::Event::Delete(object)) => (object, true),
            _ => continue,
        };
        let key = (kind, object.namespace().unwrap_or_default(), object.name_any());
        let object = if gone { None } else { serde_json::to_value(&object).ok() };
        let seen = Arc::new(Seen { at: Instant::now(), object });
        if let Ok(mut memory) = memory.lock() {
            memory.entry(key).or_default().push(seen);
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
        None if lower.ends_with('s') => format!("{lower}es"),
        None => format!("{lower}s"),
    };
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), &plural)
}
