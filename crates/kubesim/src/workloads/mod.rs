//! The controllers of the cluster: what makes Deployments roll out, pods become ready and Services find them.
//!
//! ```text
//! Deployment ─▶ ReplicaSet ─▶ Pod ─▶ (starts, becomes ready, crashes by rule) ─▶ EndpointSlice
//! DaemonSet ──────────────────▲        HPA ─▶ replicas of its target
//! ```
//!
//! One task runs them all. They react to committed changes and to their own timers, never poll, and write to the
//! store directly: none of it shows in the request log. Each pass over the queue is followed by a short pause
//! ([`DEFAULT_LATENCY`]), so that others see the states in between, as in a real cluster.

mod daemonset;
mod deployment;
mod endpoints;
mod fields;
mod hpa;
mod index;
mod pod;
mod replicaset;
mod rollout;
mod rules;
mod slots;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::Instant;

use self::index::{LabelIndex, first};
use self::pod::PodRun;
pub use self::rules::{PodBehaviour, PodFacts, PodRules};
use self::slots::Slots;
use super::cluster::{Cluster, Shared};
use super::registry::{Registry, Served};
use super::store::{Change, ChangeKind, Key, Object, ObjectId, string_map};
use super::write::{Part, Target, Writer};

/// How long a controller takes to react to a change.
pub const DEFAULT_LATENCY: Duration = Duration::from_millis(10);

/// Which controllers run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Controllers {
    /// All of them.
    #[default]
    All,
    /// Only the garbage collector and the end of namespaces: pods are made by nobody and run nowhere.
    GarbageCollector,
}

/// Something to look at again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Job {
    /// An object on its way out, held by the garbage collector's finalizers.
    Finalize(ObjectId),
    /// The dependents of an owner that may be gone.
    Collect(String),
    /// A namespace on its way out.
    Namespace(Arc<str>),
    Deployment(Key),
    ReplicaSet(Key),
    DaemonSet(Key),
    Pod(Key),
    Autoscaler(Key),
    /// The endpoints of a Service.
    Endpoints(Key),
}

/// What the controllers remember between two passes; all else is in the objects.
pub(super) struct Workloads {
    controllers: Controllers,
    pub rules: PodRules,
    pub latency: Duration,
    queue: BTreeSet<Job>,
    timers: BTreeSet<(Instant, Job)>,
    slots: Slots,
    pods: BTreeMap<String, PodRun>,
    addresses: u32,
    /// How many pods each node was given.
    node_load: BTreeMap<String, u32>,
    load: BTreeMap<Key, hpa::Load>,
    /// Services by the first label of their selectors.
    services: LabelIndex,
    /// Pods by all their labels.
    pod_labels: LabelIndex,
    /// Autoscalers by kind and name of their targets.
    scaled: LabelIndex,
    readiness: BTreeMap<Key, bool>,
    busy: bool,
}

impl Workloads {
    pub(super) fn new(
        controllers: Controllers,
        rules: PodRules,
        latency: Duration,
        registry: &Registry,
    ) -> Self {
        Self {
            controllers,
            rules,
            latency,
            queue: BTreeSet::new(),
            timers: BTreeSet::new(),
            slots: Slots::of(registry),
            pods: BTreeMap::new(),
            addresses: 0,
            node_load: BTreeMap::new(),
            load: BTreeMap::new(),
            services: LabelIndex::default(),
            pod_labels: LabelIndex::default(),
            scaled: LabelIndex::default(),
            readiness: BTreeMap::new(),
            busy: false,
        }
    }

    /// Whether pods run here.
    pub(super) fn runs_pods(&self) -> bool {
        self.controllers == Controllers::All
    }

    pub(super) fn enqueue(&mut self, job: Job) {
        self.queue.insert(job);
    }

    /// Looks at something again at that time.
    fn enqueue_at(&mut self, at: Instant, job: Job) {
        self.timers.insert((at, job));
    }
}

/// Runs the controllers until the cluster is dropped.
pub(super) async fn run(cluster: Weak<Shared>, bell: Arc<Notify>) {
    loop {
        let rang = bell.notified();
        let Some(shared) = cluster.upgrade() else { return };
        let (pause, alarm) = {
            let cluster = shared.lock();
            let queued = cluster.store.has_untaken_changes() || !cluster.workloads.queue.is_empty();
            (queued.then_some(cluster.workloads.latency), cluster.workloads.timers.first().map(|(at, _)| *at))
        };
        drop(shared);
        match (pause, alarm) {
            (Some(Duration::ZERO), _) => tokio::task::yield_now().await,
            (Some(pause), _) => tokio::time::sleep(pause).await,
            (None, Some(alarm)) => {
                tokio::select! {
                    biased;
                    () = rang => continue,
                    () = tokio::time::sleep_until(alarm) => {}
                }
            }
            (None, None) => {
                rang.await;
                continue;
            }
        }
        let Some(shared) = cluster.upgrade() else { return };
        shared.lock().pass();
        shared.settled.notify_waiters();
    }
}

/// The labels of an object before and after a change.
fn labels_of(
    change: &Change,
    labels: impl Fn(&Object) -> BTreeMap<String, String>,
) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    let before = change.before.as_ref().map(|object| labels(object)).unwrap_or_default();
    let after = if change.kind == ChangeKind::Deleted { BTreeMap::new() } else { labels(&change.object) };
    (before, after)
}

impl Cluster {
    /// Whether the controllers have nothing to do before the next timer.
    pub(super) fn is_settled(&self) -> bool {
        !self.store.has_untaken_changes() && self.workloads.queue.is_empty() && !self.workloads.busy
    }

    /// One look at everything that is due.
    fn pass(&mut self) {
        self.workloads.busy = true;
        for change in self.store.take_changes() {
            self.note(&change);
        }
        let now = Instant::now();
        while self.workloads.timers.first().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, job)) = self.workloads.timers.pop_first() {
                self.workloads.queue.insert(job);
            }
        }
        for job in std::mem::take(&mut self.workloads.queue) {
            self.work(job);
        }
        self.workloads.busy = false;
    }

    fn work(&mut self, job: Job) {
        match job {
            Job::Finalize(id) => self.finalize(&id),
            Job::Collect(uid) => self.collect(&uid),
            Job::Namespace(name) => self.end_namespace(&name),
            Job::Deployment(key) => self.sync_deployment(&key),
            Job::ReplicaSet(key) => self.sync_replica_set(&key),
            Job::DaemonSet(key) => self.sync_daemon_set(&key),
            Job::Pod(key) => self.sync_pod(&key),
            Job::Autoscaler(key) => self.sync_autoscaler(&key),
            Job::Endpoints(key) => self.sync_endpoints(&key),
        }
    }

    /// Queues what a change concerns.
    fn note(&mut self, change: &Change) {
        self.note_garbage(change);
        if !self.workloads.runs_pods() {
            return;
        }
        let slots = self.workloads.slots;
        let key = &change.id.key;
        match change.id.bucket {
            bucket if bucket == slots.deployments => {
                self.workloads.enqueue(Job::Deployment(key.clone()));
                self.note_scale_target(key, "Deployment");
            }
            bucket if bucket == slots.replica_sets => {
                self.workloads.enqueue(Job::ReplicaSet(key.clone()));
                self.note_owner(&change.object);
            }
            bucket if bucket == slots.daemon_sets => self.workloads.enqueue(Job::DaemonSet(key.clone())),
            bucket if bucket == slots.pods => self.note_pod(change),
            bucket if bucket == slots.nodes => self.note_node(),
            bucket if bucket == slots.autoscalers => {
                let (before, after) = labels_of(change, |hpa| hpa::target_label(hpa.value()));
                self.workloads.scaled.replace(key, &before, &after);
                self.workloads.enqueue(Job::Autoscaler(key.clone()));
            }
            bucket if bucket == slots.services => {
                let (before, after) =
                    labels_of(change, |service| first(string_map(&service.value()["spec"]["selector"])));
                self.workloads.services.replace(key, &before, &after);
                self.workloads.enqueue(Job::Endpoints(key.clone()));
            }
            _ => {}
        }
    }

    fn note_pod(&mut self, change: &Change) {
        let (key, pod) = (&change.id.key, &change.object);
        let (before, after) = labels_of(change, |pod| pod.labels().clone());
        self.workloads.pod_labels.replace(key, &before, &after);
        self.note_owner(pod);
        if change.kind == ChangeKind::Deleted {
            self.workloads.pods.remove(pod.uid());
            self.workloads.readiness.remove(key);
            let node = fields::text(&pod.value()["spec"]["nodeName"]);
            if let Some(load) = self.workloads.node_load.get_mut(node) {
                *load = load.saturating_sub(1);
            }
            self.note_owner_of_owner(pod);
        } else {
            self.workloads.enqueue(Job::Pod(key.clone()));
        }
        self.note_endpoints(change);
    }

    /// A node came, went or changed: pods may find a place, or a place its pod.
    fn note_node(&mut self) {
        let slots = self.workloads.slots;
        let sets = self.store.list(slots.daemon_sets, None, None).map(|(key, _)| Job::DaemonSet(key.clone()));
        let homeless = self
            .store
            .list(slots.pods, None, None)
            .filter(|(_, pod)| !pod.value()["spec"]["nodeName"].is_string());
        let jobs: Vec<Job> = sets.chain(homeless.map(|(key, _)| Job::Pod(key.clone()))).collect();
        self.workloads.queue.extend(jobs);
    }

    /// Queues the workload that made this object.
    fn note_owner(&mut self, object: &Object) {
        let Some(owner) = fields::controller(object.value()) else { return };
        let namespace = Self::metadata(object.value(), "namespace");
        let key = Key::new(namespace, fields::text(&owner["name"]));
        match fields::text(&owner["kind"]) {
            "Deployment" => self.workloads.enqueue(Job::Deployment(key)),
            "ReplicaSet" => self.workloads.enqueue(Job::ReplicaSet(key)),
            "DaemonSet" => self.workloads.enqueue(Job::DaemonSet(key)),
            _ => {}
        }
    }

    /// Queues the Deployment of a pod that is gone: a recreation waits for it.
    fn note_owner_of_owner(&mut self, pod: &Object) {
        let owner = fields::controller(pod.value()).map(|owner| fields::text(&owner["uid"]));
        if let Some(set) = owner.and_then(|uid| self.store.by_uid(uid)).map(|(_, set)| set.clone()) {
            self.note_owner(&set);
        }
    }

    /// The built-in resource that is kept in this bucket, and one of its objects.
    fn target(&self, served: &Arc<Served>, key: &Key) -> Target {
        Target { served: served.clone(), key: key.clone() }
    }

    /// Writes the status of an object, if it differs.
    fn write_status(&mut self, id: &ObjectId, status: Value) {
        let Some(object) = self.object(id).filter(|o| o.value()["status"] != status) else { return };
        let mut value = object.value().clone();
        value["status"] = status;
        self.write_back(id, value);
    }

    /// Replaces an object.
    pub(super) fn write_back(&mut self, id: &ObjectId, value: Value) {
        if let Some(served) = self.registry.in_bucket(id.bucket).cloned() {
            let target = self.target(&served, &id.key);
            self.write(&target, Part::Main, value);
        }
    }

    /// Creates an object of a controller; it may be there already or be refused, then nothing happens.
    fn spawn(&mut self, kind: &str, namespace: &str, value: Value) -> Option<Arc<Object>> {
        let served = self.registry.named(kind)?.clone();
        let mut writer = Writer::named("kube-controller-manager");
        writer.whole = true;
        match self.create(&served, namespace, value, &writer) {
            Ok(outcome) => Some(outcome.object),
            Err(why) => {
                tracing::debug!(kind, namespace, %why, "the embedded cluster refused an object of its own controllers");
                None
            }
        }
    }
}
