//! The handle of a running cluster: clients for those who go through the API, and direct access for tests and tools.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::builder::Builder;
use super::cluster::{Cluster, Shared, lock};
use super::error::ApiStatus;
use super::fault::Fate;
use super::log::{Request, RequestInfo};
use super::registry::Served;
use super::service::ApiService;
use super::store::{Change, Key, Object};
use super::workloads::{Control, Controller, PodRules};
use super::write::{DeleteOptions, Deleted, Part, Patch, Propagation, Target, Writer};

/// A running embedded cluster. Cheap to clone; it ends when the last handle and client are dropped
/// (and when it no longer listens).
///
/// Wherever a `kind` is asked for, everything that kubectl understands will do: `deploy`, `Deployment`,
/// `deployments.apps`, `apps/v1/Deployment`. The namespace of cluster-wide objects is not looked at.
#[derive(Clone)]
pub struct KubeSim {
    pub(super) shared: Arc<Shared>,
    pub(super) control: Arc<Control>,
}

impl KubeSim {
    /// Settings for a new cluster.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A client of this cluster; the name identifies it in the request log and as field manager.
    ///
    /// It has no retries of its own: what the cluster answers is what the caller sees.
    pub fn client(&self, name: &str) -> kube::Client {
        kube::Client::new(self.service(name), "default")
    }

    /// The API itself, for a caller of this name.
    pub fn service(&self, name: &str) -> ApiService {
        ApiService::new(self.shared.clone(), name)
    }

    /// The cluster's wall time.
    pub fn now(&self) -> DateTime<Utc> {
        self.shared.lock().clock.now()
    }

    /// The newest resourceVersion.
    pub fn revision(&self) -> u64 {
        self.shared.lock().store.revision()
    }
}

/// Objects, without the API: nothing of this shows in the request log.
impl KubeSim {
    /// An object, as it is stored.
    pub fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        self.object(kind, namespace, name).map(|object| object.value().clone())
    }

    /// An object, shared with the store.
    pub fn object(&self, kind: &str, namespace: &str, name: &str) -> Option<Arc<Object>> {
        self.shared.lock().find(kind, namespace, name).cloned()
    }

    /// The objects of a namespace (`None`: of all), in order of namespace and name.
    pub fn list(&self, kind: &str, namespace: Option<&str>) -> Vec<Value> {
        let cluster = self.shared.lock();
        let Some(served) = cluster.registry.named(kind) else { return Vec::new() };
        cluster.store.list(served.bucket, namespace, None).map(|(_, object)| object.value().clone()).collect()
    }

    /// Puts an object as it is: created, or replaced whole, its status included.
    ///
    /// # Panics
    /// When the cluster refuses it.
    #[track_caller]
    pub fn put(&self, object: Value) -> Value {
        match self.try_put(object) {
            Ok(value) => value,
            Err(why) => panic!("the embedded cluster refused an object: {why}"),
        }
    }

    /// As [`KubeSim::put`].
    ///
    /// # Errors
    /// As the API would answer.
    pub fn try_put(&self, object: Value) -> Result<Value, ApiStatus> {
        let mut cluster = self.shared.lock();
        let target = target_of(&cluster, &object)?;
        let mut writer = Writer::named("kubesim");
        writer.whole = true;
        let outcome = match cluster.existing(&target) {
            Ok(_) => cluster.update(&target, Part::Main, object, &writer)?,
            Err(_) => cluster.create(&target.served, &target.key.namespace, object, &writer)?,
        };
        Ok(outcome.object.value().clone())
    }

    /// Applies a configuration server-side, as this field manager, taking over fields of others.
    ///
    /// # Errors
    /// As the API would answer.
    pub fn apply(&self, manager: &str, configuration: Value) -> Result<Value, ApiStatus> {
        let mut cluster = self.shared.lock();
        let target = target_of(&cluster, &configuration)?;
        let mut writer = Writer::named(manager);
        writer.force = true;
        let outcome = cluster.patch(&target, Part::Main, &Patch::Apply(configuration), &writer)?;
        Ok(outcome.object.value().clone())
    }

    /// Merges a patch into an object, as this field manager.
    ///
    /// # Errors
    /// As the API would answer; 404 when it is not there.
    pub fn patch(
        &self,
        manager: &str,
        kind: &str,
        namespace: &str,
        name: &str,
        patch: Value,
    ) -> Result<Value, ApiStatus> {
        self.patch_part(Part::Main, manager, (kind, namespace, name), patch)
    }

    /// Merges a patch (`{"status": …}`) into the status of an object.
    ///
    /// # Errors
    /// As the API would answer; 404 when it is not there.
    pub fn patch_status(
        &self,
        manager: &str,
        kind: &str,
        namespace: &str,
        name: &str,
        patch: Value,
    ) -> Result<Value, ApiStatus> {
        self.patch_part(Part::Status, manager, (kind, namespace, name), patch)
    }

    fn patch_part(
        &self,
        part: Part,
        manager: &str,
        (kind, namespace, name): (&str, &str, &str),
        patch: Value,
    ) -> Result<Value, ApiStatus> {
        let mut cluster = self.shared.lock();
        let target = named_target(&cluster, kind, namespace, name)?;
        let outcome = cluster.patch(&target, part, &Patch::Merge(patch), &Writer::named(manager))?;
        Ok(outcome.object.value().clone())
    }

    /// Deletes an object as `kubectl delete` does. Answers whether it was there.
    pub fn delete(&self, kind: &str, namespace: &str, name: &str) -> bool {
        let mut cluster = self.shared.lock();
        let Ok(target) = named_target(&cluster, kind, namespace, name) else { return false };
        let options =
            DeleteOptions { propagation: Some(Propagation::Background), ..DeleteOptions::default() };
        matches!(cluster.delete(&target, &options), Ok(Deleted::Gone(_) | Deleted::Marked(_)))
    }

    /// Calls `observer` with each committed change, at once and in order.
    ///
    /// The cluster is locked meanwhile: the observer must not call back into it.
    pub fn observe(&self, observer: impl Fn(&Change) + Send + Sync + 'static) {
        self.shared.lock().store.observe(Arc::new(observer));
    }
}

/// Requests, faults and watches.
impl KubeSim {
    /// The requests for resources so far, oldest first.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.shared.log).to_vec()
    }

    /// The requests of one caller.
    pub fn requests_of(&self, caller: &str) -> Vec<Request> {
        self.requests().into_iter().filter(|r| r.caller == caller).collect()
    }

    /// The writes of one caller.
    pub fn writes_of(&self, caller: &str) -> Vec<Request> {
        self.requests_of(caller).into_iter().filter(|r| r.is_write()).collect()
    }

    /// Forgets the requests so far. Their numbers go on.
    pub fn clear_requests(&self) {
        lock(&self.shared.log).clear();
    }

    /// From now on, `decide` says what becomes of each request for a resource.
    ///
    /// It is called before the request is carried out and may use the cluster's handle.
    pub fn intercept(&self, decide: impl Fn(&RequestInfo) -> Fate + Send + Sync + 'static) {
        *lock(&self.shared.interceptor) = Some(Arc::new(decide));
    }

    /// From now on, all requests pass.
    pub fn stop_intercepting(&self) {
        *lock(&self.shared.interceptor) = None;
    }

    /// How many watches are open.
    pub fn open_watches(&self) -> usize {
        self.shared.lock().watches.count(None)
    }

    /// Ends all open watches now.
    pub fn close_watches(&self) {
        self.shared.lock().watches.close(None);
    }

    /// Ends the open watches of one caller now.
    pub fn close_watches_of(&self, caller: &str) {
        self.shared.lock().watches.close(Some(caller));
    }

    /// Leaves all open watches half open, as when a firewall forgets a connection: their clients hear nothing any more,
    /// not even the end. Watches that are opened later work.
    pub fn half_open_watches(&self) {
        self.shared.lock().watches.half_open(None);
    }

    /// Leaves the open watches of one caller half open, as [`KubeSim::half_open_watches`] does.
    pub fn half_open_watches_of(&self, caller: &str) {
        self.shared.lock().watches.half_open(Some(caller));
    }

    /// From now on tells no watch anything, until [`KubeSim::resume_watches`].
    pub fn stall_watches(&self) {
        self.shared.lock().watches.stall(None);
    }

    /// From now on tells the watches of one caller nothing, until [`KubeSim::resume_watches`].
    pub fn stall_watches_of(&self, caller: &str) {
        self.shared.lock().watches.stall(Some(caller));
    }

    /// Tells all watches what they missed, and goes on as usual.
    pub fn resume_watches(&self) {
        self.shared.lock().watches.resume();
    }

    /// Forgets the history up to `revision`. A watch from there gets the answer 410.
    pub fn expire(&self, revision: u64) {
        self.shared.lock().store.forget(revision);
    }
}

/// Controllers, pods and load.
impl KubeSim {
    /// Runs one more controller inside the cluster. It is told of changes from now on.
    pub fn add_controller(&self, controller: impl Controller + 'static) {
        self.control.change(&self.shared, |workloads, _| workloads.add(Box::new(controller)));
    }

    /// Makes pods behave by these rules from now on, also those that run.
    pub fn set_pod_rules(&self, rules: PodRules) {
        self.control.change(&self.shared, |workloads, cluster| workloads.set_pod_rules(cluster, rules));
    }

    /// Makes a running pod ready or not, whatever its rule says; `None` leaves it to the rule again.
    pub fn set_pod_ready(&self, namespace: &str, pod: &str, ready: Option<bool>) {
        let pod = Key::new(namespace, pod);
        self.control
            .change(&self.shared, |workloads, cluster| workloads.force_readiness(cluster, pod, ready));
    }

    /// Sets the load on an autoscaler's target so that its current pods are used to `percent` of their requests.
    pub fn set_utilization(&self, namespace: &str, autoscaler: &str, percent: f64) {
        let hpa = Key::new(namespace, autoscaler);
        self.control
            .change(&self.shared, |workloads, cluster| workloads.set_utilization(cluster, hpa, percent));
    }

    /// Sets how long the cluster's controllers take to react from now on.
    pub fn set_controller_latency(&self, latency: Duration) {
        self.control.change(&self.shared, |workloads, _| workloads.latency = latency);
    }

    /// Waits until the cluster's controllers have nothing more to do before their next timer.
    pub async fn settled(&self) {
        self.control.settled(&self.shared).await;
    }
}

fn target_of(cluster: &Cluster, object: &Value) -> Result<Target, ApiStatus> {
    let (api_version, kind) =
        (object["apiVersion"].as_str().unwrap_or_default(), object["kind"].as_str().unwrap_or_default());
    let Some(served) = cluster.registry.of(api_version, kind) else {
        return Err(ApiStatus::bad_request(format!(
            "no matches for kind {kind:?} in version {api_version:?}"
        )));
    };
    let namespace = object["metadata"]["namespace"].as_str().filter(|ns| !ns.is_empty()).unwrap_or("default");
    Ok(target(served, namespace, object["metadata"]["name"].as_str().unwrap_or_default()))
}

fn named_target(cluster: &Cluster, kind: &str, namespace: &str, name: &str) -> Result<Target, ApiStatus> {
    let served = cluster.registry.named(kind);
    let served = served
        .ok_or_else(|| ApiStatus::bad_request(format!("the server doesn't have a resource type {kind:?}")))?;
    Ok(target(served, namespace, name))
}

fn target(served: &Arc<Served>, namespace: &str, name: &str) -> Target {
    let namespace = if served.kind.namespaced { namespace } else { "" };
    Target { served: served.clone(), key: Key::new(namespace, name) }
}
