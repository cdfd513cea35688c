//! How an embedded cluster is set up.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeZone, Utc};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::KubeSim;
use super::clock::Clock;
use super::cluster::{Cluster, Namespaces, Shared};
use super::log::Log;
use super::registry::Registry;
use super::store::Store;
use super::watch::Watches;
use super::workloads::{Control, Controllers, DEFAULT_LATENCY, PodRules, Pods, Workloads};
use super::write::names::Names;

/// Settings of a cluster before it starts; see [`KubeSim::builder`].
#[derive(Clone, Debug)]
pub struct Builder {
    start: DateTime<Utc>,
    seed: u64,
    objects: Vec<Value>,
    nodes: usize,
    namespaces: Namespaces,
    controllers: Controllers,
    rules: PodRules,
    pod_network: Ipv4Addr,
    latency: Duration,
    history: usize,
    log: usize,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            start: Utc.timestamp_opt(1_767_225_600, 0).single().unwrap_or_default(),
            seed: 0,
            objects: Vec::new(),
            nodes: 2,
            namespaces: Namespaces::default(),
            controllers: Controllers::default(),
            rules: PodRules::default(),
            pod_network: Ipv4Addr::new(10, 244, 0, 0),
            latency: DEFAULT_LATENCY,
            history: 4096,
            log: 100_000,
        }
    }
}

impl Builder {
    /// What the cluster's clock shows when it starts (2026-01-01T00:00:00Z unless said).
    pub fn start_time(mut self, start: DateTime<Utc>) -> Self {
        self.start = start;
        self
    }

    /// Names and uids follow from this number.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// An object that is there from the beginning. Definitions must come before their objects.
    ///
    /// It needs `apiVersion`, `kind` and `metadata.name`; its status is taken as it is.
    pub fn with_object(mut self, object: Value) -> Self {
        self.objects.push(object);
        self
    }

    /// Objects that are there from the start, in addition to those so far.
    pub fn with_objects(mut self, objects: impl IntoIterator<Item = Value>) -> Self {
        self.objects.extend(objects);
        self
    }

    /// How many nodes pods can run on (2 unless said).
    pub fn nodes(mut self, nodes: usize) -> Self {
        self.nodes = nodes;
        self
    }

    /// Namespaces must exist before something is put into them.
    pub fn strict_namespaces(mut self) -> Self {
        self.namespaces = Namespaces::Strict;
        self
    }

    /// Nothing makes pods or runs them; owners are still followed by their dependents.
    pub fn without_workloads(mut self) -> Self {
        self.controllers = Controllers::GarbageCollector;
        self
    }

    /// How pods behave.
    pub fn pod_rules(mut self, rules: PodRules) -> Self {
        self.rules = rules;
        self
    }

    /// Pods get their addresses from this network of 16 bits (10.244.0.0 unless said).
    ///
    /// With one of this machine's own, such as 127.10.0.0, whoever knows of a pod can listen at its address and port: then
    /// its endpoints lead somewhere, and a real proxy that reads them has somebody to send requests to.
    pub fn pod_network(mut self, network: Ipv4Addr) -> Self {
        self.pod_network = network;
        self
    }

    /// How long the cluster's controllers take to react (10 ms unless said).
    pub fn controller_latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// How many changes of each resource are remembered for watches (4096 unless said).
    pub fn history(mut self, changes: usize) -> Self {
        self.history = changes;
        self
    }

    /// How many requests the log keeps (100,000 unless said).
    pub fn log_limit(mut self, requests: usize) -> Self {
        self.log = requests;
        self
    }

    /// Starts the cluster. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When one of the objects is refused; the text says which and why.
    pub fn try_build(self) -> Result<KubeSim, String> {
        let bell = Arc::new(Notify::new());
        let mut store = Store::new(self.history);
        let registry = Registry::builtin(&mut store);
        store.record_changes(bell.clone());
        let pods = Pods::new(self.rules, self.pod_network);
        let workloads = Workloads::new(self.controllers, pods, self.latency, &registry);
        let cluster = Cluster {
            clock: Clock::starting_at(self.start),
            registry,
            store,
            names: Names::seeded(self.seed),
            namespaces: self.namespaces,
            watches: Watches::default(),
            runs_pods: self.controllers == Controllers::All,
            service_ips: BTreeSet::new(),
            requests: 0,
            writes: 0,
        };
        let shared = Arc::new(Shared::new(cluster, Log::new(self.log), bell.clone()));
        let control = Arc::new(Control::new(workloads, bell));
        let sim = KubeSim { shared: shared.clone(), control: control.clone() };
        for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
            sim.try_put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}))
                .map_err(|why| why.to_string())?;
        }
        for n in 1..=self.nodes {
            sim.try_put(node(n)).map_err(|why| why.to_string())?;
        }
        for object in self.objects {
            let what = format!(
                "{} {}",
                object["kind"].as_str().unwrap_or("object"),
                object["metadata"]["name"].as_str().unwrap_or("without a name")
            );
            sim.try_put(object).map_err(|why| format!("{what}: {why}"))?;
        }
        tokio::spawn(control.run(Arc::downgrade(&shared)));
        Ok(sim)
    }

    /// As [`Builder::try_build`], for tests.
    ///
    /// # Panics
    /// When an object is refused.
    #[track_caller]
    pub fn build(self) -> KubeSim {
        match self.try_build() {
            Ok(sim) => sim,
            Err(why) => panic!("the embedded cluster cannot start: {why}"),
        }
    }
}

fn node(n: usize) -> Value {
    let name = format!("node-{n}");
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {
            "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
        }},
        "spec": {"podCIDR": format!("10.244.{n}.0/24")},
        "status": {
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status"}],
            "addresses": [{"type": "InternalIP", "address": format!("192.168.0.{}", n % 250 + 9)}, {"type": "Hostname", "address": name}],
            "capacity": {"cpu": "8", "memory": "32Gi", "pods": "110"},
            "allocatable": {"cpu": "8", "memory": "32Gi", "pods": "110"},
            "nodeInfo": {
                "architecture": "amd64", "bootID": "", "containerRuntimeVersion": "sim://1", "kernelVersion": "6.1", "kubeProxyVersion": "",
                "kubeletVersion": "v1.37.0", "machineID": "", "operatingSystem": "linux", "osImage": "embedded", "systemUUID": "",
            },
        },
    })
}
