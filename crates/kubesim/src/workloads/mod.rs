//! The controllers of the cluster: they make Deployments roll out, pods become ready and Services find them.
//!
//! ```text
//! Deployment ─▶ ReplicaSet ─▶ Pod ─▶ (starts, becomes ready, crashes by rule) ─▶ EndpointSlice
//! DaemonSet ──────────────────▲        HPA ─▶ replicas of its target
//! ```
//!
//! One task runs them all. They react to committed changes and to their own timers, and never poll. They see the
//! cluster and write to it through [`ControllerApi`]; the API server does not know them. Before each pass over the
//! list of jobs comes a short pause ([`DEFAULT_LATENCY`]), so that others see the states in between, as in a real
//! cluster.

mod api;
mod controller;
mod daemonset;
mod deployment;
mod endpoints;
mod fields;
mod gc;
mod hpa;
mod index;
mod jobs;
mod pod;
mod replicaset;
mod rollout;
mod rules;
mod slots;

use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

pub use self::api::ControllerApi;
pub use self::controller::Controller;
use self::endpoints::Endpoints;
use self::hpa::Autoscalers;
use self::jobs::{Context, Job, Jobs};
pub(super) use self::pod::Pods;
pub use self::rules::{PodBehaviour, PodFacts, PodRules};
use self::slots::Slots;
use super::cluster::{Cluster, Shared, lock};
use super::registry::Registry;
use super::store::{Change, ChangeKind, Key, Object};

/// How long a controller takes to react to a change.
pub const DEFAULT_LATENCY: Duration = Duration::from_millis(10);

/// Which controllers run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Controllers {
    /// All of them.
    #[default]
    All,
    /// Only the garbage collector and the end of namespaces: nothing makes pods or runs them.
    GarbageCollector,
}

/// The controllers of one cluster, as its handles and their own task share them.
///
/// Where both are locked, this lock comes before that of the cluster.
pub(super) struct Control {
    workloads: Mutex<Workloads>,
    /// Rings when there is something to do.
    bell: Arc<Notify>,
    /// Rings after each pass.
    passed: Notify,
}

impl Control {
    /// Controllers that have seen nothing yet.
    pub(super) fn new(workloads: Workloads, bell: Arc<Notify>) -> Self {
        Self { workloads: Mutex::new(workloads), bell, passed: Notify::new() }
    }

    /// Changes something about the controllers, which then look whether there is something to do.
    pub(super) fn change(&self, cluster: &Shared, change: impl FnOnce(&mut Workloads, &mut Cluster)) {
        change(&mut self.lock(), &mut cluster.lock());
        self.bell.notify_one();
    }

    /// Waits until the controllers have nothing to do before their next timer.
    pub(super) async fn settled(&self, cluster: &Shared) {
        loop {
            let passed = self.passed.notified();
            if !self.lock().has_work(cluster) {
                return;
            }
            passed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Workloads> {
        lock(&self.workloads)
    }

    /// Runs the controllers until the cluster is dropped.
    pub(super) async fn run(self: Arc<Self>, cluster: Weak<Shared>) {
        loop {
            let rang = self.bell.notified();
            let Some(shared) = cluster.upgrade() else { return };
            let (pause, alarm) = {
                let workloads = self.lock();
                let due = workloads.has_work(&shared);
                (due.then_some(workloads.latency), workloads.jobs.alarm())
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
            self.lock().pass(&mut shared.lock());
            self.passed.notify_waiters();
        }
    }
}

/// The controllers, and what they remember between two passes; all else is in the objects.
pub(super) struct Workloads {
    pub latency: Duration,
    slots: Slots,
    jobs: Jobs,
    all: All,
}

impl Workloads {
    /// Controllers that have seen nothing yet; `pods` are what the nodes run.
    pub(super) fn new(controllers: Controllers, pods: Pods, latency: Duration, registry: &Registry) -> Self {
        Self {
            latency,
            slots: Slots::of(registry),
            jobs: Jobs::default(),
            all: All {
                controllers,
                pods,
                autoscalers: Autoscalers::default(),
                endpoints: Endpoints::default(),
                added: Vec::new(),
            },
        }
    }

    /// Runs one more controller.
    pub(super) fn add(&mut self, controller: Box<dyn Controller>) {
        self.all.added.push(controller);
    }

    /// Makes pods behave by these rules from now on, also those that run.
    pub(super) fn set_pod_rules(&mut self, cluster: &mut Cluster, rules: PodRules) {
        let (all, mut cx) = self.at_work(cluster);
        all.pods.set_rules(&mut cx, rules);
    }

    /// Makes a pod ready or not ready, whatever its rule says; `None` leaves it to the rule again.
    pub(super) fn force_readiness(&mut self, cluster: &mut Cluster, pod: Key, ready: Option<bool>) {
        let (all, mut cx) = self.at_work(cluster);
        all.pods.force_readiness(&mut cx, pod, ready);
    }

    /// Sets the load on an autoscaler's target so that its current pods are used to `percent` of their requests.
    pub(super) fn set_utilization(&mut self, cluster: &mut Cluster, autoscaler: Key, percent: f64) {
        let (all, mut cx) = self.at_work(cluster);
        all.autoscalers.set_utilization(&mut cx, autoscaler, percent);
    }

    /// Whether there is something to do before the next timer.
    fn has_work(&self, cluster: &Shared) -> bool {
        self.jobs.is_due() || cluster.lock().store.has_untaken_changes()
    }

    /// Looks at everything that is due.
    fn pass(&mut self, cluster: &mut Cluster) {
        let (all, mut cx) = self.at_work(cluster);
        for change in cx.api.take_changes() {
            all.note(&mut cx, &change);
        }
        for job in cx.jobs.take_due(Instant::now()) {
            all.work(&mut cx, job);
        }
    }

    fn at_work<'a>(&'a mut self, cluster: &'a mut Cluster) -> (&'a mut All, Context<'a>) {
        let context = Context { api: ControllerApi::of(cluster), jobs: &mut self.jobs, slots: self.slots };
        (&mut self.all, context)
    }
}

/// The controllers that have a memory. The others are functions.
struct All {
    controllers: Controllers,
    pods: Pods,
    autoscalers: Autoscalers,
    endpoints: Endpoints,
    added: Vec<Box<dyn Controller>>,
}

impl All {
    fn work(&mut self, cx: &mut Context<'_>, job: Job) {
        match job {
            Job::Finalize(id) => gc::finalize(cx, &id),
            Job::Collect(uid) => gc::collect(cx, &uid),
            Job::Namespace(name) => gc::end_namespace(cx, &name),
            Job::Deployment(key) => deployment::sync(cx, &key),
            Job::ReplicaSet(key) => replicaset::sync(cx, &key),
            Job::DaemonSet(key) => daemonset::sync(cx, &key),
            Job::Pod(key) => self.pods.sync(cx, &key),
            Job::Autoscaler(key) => self.autoscalers.sync(cx, &key),
            Job::Endpoints(key) => self.endpoints.sync(cx, &key),
            Job::Added(number, id) => {
                let again = self.added[number].sync(&mut cx.api, &id);
                if let Some(pause) = again {
                    cx.jobs.add_at(Instant::now() + pause, Job::Added(number, id));
                }
            }
        }
    }

    /// Puts on the list of jobs what a change concerns.
    fn note(&mut self, cx: &mut Context<'_>, change: &Change) {
        gc::note(cx, change);
        for (number, controller) in self.added.iter().enumerate() {
            if controller.watches(&change.object) {
                cx.jobs.add(Job::Added(number, change.id.clone()));
            }
        }
        if self.controllers != Controllers::All {
            return;
        }
        let slots = cx.slots;
        let key = &change.id.key;
        match change.id.bucket {
            bucket if bucket == slots.deployments => {
                cx.jobs.add(Job::Deployment(key.clone()));
                self.autoscalers.note_target(cx, key, "Deployment");
            }
            bucket if bucket == slots.replica_sets => {
                cx.jobs.add(Job::ReplicaSet(key.clone()));
                note_owner(cx, &change.object);
            }
            bucket if bucket == slots.daemon_sets => cx.jobs.add(Job::DaemonSet(key.clone())),
            bucket if bucket == slots.pods => self.note_pod(cx, change),
            bucket if bucket == slots.nodes => note_node(cx),
            bucket if bucket == slots.autoscalers => self.autoscalers.note(cx, change),
            bucket if bucket == slots.services => self.endpoints.note_service(cx, change),
            _ => {}
        }
    }

    fn note_pod(&mut self, cx: &mut Context<'_>, change: &Change) {
        let (key, pod) = (&change.id.key, &change.object);
        self.endpoints.index_pod(change);
        note_owner(cx, pod);
        if change.kind == ChangeKind::Deleted {
            self.pods.forget(key, pod);
            note_owner_of_owner(cx, pod);
        } else {
            cx.jobs.add(Job::Pod(key.clone()));
        }
        self.endpoints.note_pod(cx, change);
    }
}

/// After a node came, went or changed: pods without a node may find one now, and DaemonSets have other nodes.
fn note_node(cx: &mut Context<'_>) {
    for (key, _) in cx.api.list(cx.slots.daemon_sets) {
        cx.jobs.add(Job::DaemonSet(key.clone()));
    }
    for (key, pod) in cx.api.list(cx.slots.pods) {
        if !pod.value()["spec"]["nodeName"].is_string() {
            cx.jobs.add(Job::Pod(key.clone()));
        }
    }
}

/// Looks again at the workload that made this object.
fn note_owner(cx: &mut Context<'_>, object: &Object) {
    let Some(owner) = fields::controller(object.value()) else { return };
    let namespace = fields::metadata(object.value(), "namespace");
    let key = Key::new(namespace, fields::text(&owner["name"]));
    match fields::text(&owner["kind"]) {
        "Deployment" => cx.jobs.add(Job::Deployment(key)),
        "ReplicaSet" => cx.jobs.add(Job::ReplicaSet(key)),
        "DaemonSet" => cx.jobs.add(Job::DaemonSet(key)),
        _ => {}
    }
}

/// Looks again at the Deployment of a pod that is gone: a recreation waits for it.
fn note_owner_of_owner(cx: &mut Context<'_>, pod: &Object) {
    let owner = fields::controller(pod.value()).map(|owner| fields::text(&owner["uid"]));
    if let Some(set) = owner.and_then(|uid| cx.api.by_uid(uid)).map(|(_, set)| set.clone()) {
        note_owner(cx, &set);
    }
}
