//! The caches hold what the watches have told: objects by kind, as plain JSON. A kind is watched as soon as it is asked
//! for. Nothing but the watches reads the API.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::runtime::watcher::{self, Event, watcher};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use crate::model::by_hand::REQUEST;
use crate::model::object::{Kind, ObjectId};
use crate::workload::config;

use super::backoff;

/// Something that the caches noticed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Noticed {
    /// An object appeared, changed or vanished.
    Object(ObjectId),
    /// A kind can be relied on from now on, or is known to be unavailable.
    Kind(Kind),
}

/// Whether the objects of a kind are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The first list is still under way.
    Loading,
    /// All objects of the kind are known.
    Ready,
    /// The API refuses the kind: it is not installed, or not allowed. The text is the API's.
    Unavailable(String),
}

/// The objects of all watched kinds.
pub struct Caches {
    shared: Arc<Store>,
    watches: Mutex<JoinSet<()>>,
}

/// The state of all caches, which their watches share.
struct Store {
    /// Workloads, Services and our own kinds.
    client: kube::Client,
    /// Routes; another cluster's if a mesh kubeconfig is given.
    mesh: kube::Client,
    /// The one namespace that is watched; empty for all.
    namespace: String,
    kinds: Mutex<BTreeMap<Kind, Cache>>,
    noticed: mpsc::UnboundedSender<Noticed>,
}

struct Cache {
    state: State,
    objects: BTreeMap<(String, String), Arc<Value>>,
}

impl Caches {
    /// Empty caches that tell of what they notice.
    pub fn new(
        client: kube::Client,
        mesh: kube::Client,
        namespace: &str,
        noticed: mpsc::UnboundedSender<Noticed>,
    ) -> Self {
        let shared = Store {
            client,
            mesh,
            namespace: namespace.to_owned(),
            kinds: Mutex::new(BTreeMap::new()),
            noticed,
        };
        Self { shared: Arc::new(shared), watches: Mutex::new(JoinSet::new()) }
    }

    /// How far the watch of `kind` is; starts it if there is none.
    pub fn state(&self, kind: Kind) -> State {
        let mut kinds = self.shared.kinds();
        if let Some(cache) = kinds.get(&kind) {
            return cache.state.clone();
        }
        kinds.insert(kind, Cache { state: State::Loading, objects: BTreeMap::new() });
        drop(kinds);
        debug!(kind = kind.kind, "watching");
        lock(&self.watches).spawn(watch(Arc::clone(&self.shared), kind));
        State::Loading
    }

    /// The object with this id, as it was last seen. `None` if there is none, or its kind is not watched.
    pub fn get(&self, id: &ObjectId) -> Option<Arc<Value>> {
        let key = (id.namespace.clone(), id.name.clone());
        self.shared.kinds().get(&id.kind)?.objects.get(&key).cloned()
    }

    /// All objects of a kind, in the order of namespace and name.
    pub fn list(&self, kind: Kind) -> Vec<(ObjectId, Arc<Value>)> {
        let kinds = self.shared.kinds();
        let Some(cache) = kinds.get(&kind) else { return Vec::new() };
        cache
            .objects
            .iter()
            .map(|((namespace, name), object)| (kind.at(namespace, name), Arc::clone(object)))
            .collect()
    }

    /// The objects of a kind in one namespace, in the order of their names.
    pub fn in_namespace(&self, kind: Kind, namespace: &str) -> Vec<(ObjectId, Arc<Value>)> {
        let kinds = self.shared.kinds();
        let Some(cache) = kinds.get(&kind) else { return Vec::new() };
        let from = (namespace.to_owned(), String::new());
        let those = cache.objects.range(from..).take_while(|((of, _), _)| of == namespace);
        those.map(|((_, name), object)| (kind.at(namespace, name), Arc::clone(object))).collect()
    }

    /// The client for objects of `kind`.
    pub fn client(&self, kind: Kind) -> &kube::Client {
        self.shared.client(kind)
    }

    /// Ends all watches.
    pub fn stop(&self) {
        lock(&self.watches).abort_all();
    }
}

impl Store {
    fn kinds(&self) -> MutexGuard<'_, BTreeMap<Kind, Cache>> {
        lock(&self.kinds)
    }

    fn client(&self, kind: Kind) -> &kube::Client {
        if kind.is_local() { &self.client } else { &self.mesh }
    }

    fn notice(&self, noticed: Noticed) {
        // Nobody listens any more while the process ends.
        let _ = self.noticed.send(noticed);
    }

    fn put(&self, kind: Kind, object: DynamicObject) {
        let Some((key, value)) = kept(kind, object) else { return };
        let id = kind.at(&key.0, &key.1);
        if let Some(cache) = self.kinds().get_mut(&kind) {
            cache.objects.insert(key, value);
        }
        self.notice(Noticed::Object(id));
    }

    fn remove(&self, kind: Kind, object: DynamicObject) {
        let Some((key, _)) = plain(object) else { return };
        let id = kind.at(&key.0, &key.1);
        if let Some(cache) = self.kinds().get_mut(&kind) {
            cache.objects.remove(&key);
        }
        self.notice(Noticed::Object(id));
    }

    /// A fresh list replaces everything; only what differs is noticed.
    fn replace(&self, kind: Kind, fresh: BTreeMap<(String, String), Arc<Value>>) {
        let mut kinds = self.kinds();
        let Some(cache) = kinds.get_mut(&kind) else { return };
        let first = cache.state != State::Ready;
        let old = std::mem::replace(&mut cache.objects, fresh);
        let mut changed: Vec<(String, String)> =
            old.keys().filter(|key| !cache.objects.contains_key(*key)).cloned().collect();
        changed.extend(
            cache
                .objects
                .iter()
                .filter(|(key, value)| old.get(*key) != Some(*value))
                .map(|(key, _)| key.clone()),
        );
        cache.state = State::Ready;
        drop(kinds);
        for (namespace, name) in changed {
            self.notice(Noticed::Object(kind.at(&namespace, &name)));
        }
        if first {
            self.notice(Noticed::Kind(kind));
        }
    }

    fn unavailable(&self, kind: Kind, why: String) {
        let mut kinds = self.kinds();
        let Some(cache) = kinds.get_mut(&kind) else { return };
        // What was listed before stays: a watch that is refused for a while makes nothing vanish.
        if cache.state == State::Loading
            || matches!(&cache.state, State::Unavailable(before) if *before != why)
        {
            warn!(kind = kind.kind, reason = why, "cannot be watched");
            cache.state = State::Unavailable(why);
            drop(kinds);
            self.notice(Noticed::Kind(kind));
        }
    }
}

async fn watch(shared: Arc<Store>, kind: Kind) {
    let resource = resource(kind);
    let client = shared.client(kind).clone();
    let api: Api<DynamicObject> = if shared.namespace.is_empty() {
        Api::all_with(client, &resource)
    } else {
        Api::namespaced_with(client, &shared.namespace, &resource)
    };
    // Long watches: at rest they are the only requests there are (P8).
    let mut events = watcher(api, watcher::Config::default().timeout(WATCH_SECONDS)).boxed();
    let mut fresh = BTreeMap::new();
    let mut failures = 0;
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                failures = 0;
                match event {
                    Event::Init => fresh.clear(),
                    Event::InitApply(object) => fresh.extend(kept(kind, object)),
                    Event::InitDone => shared.replace(kind, std::mem::take(&mut fresh)),
                    Event::Apply(object) => shared.put(kind, object),
                    Event::Delete(object) => shared.remove(kind, object),
                }
            }
            Err(error) => {
                failures += 1;
                let why = reason(&error);
                debug!(kind = kind.kind, error = why, "watch failed");
                if refused(&error) {
                    shared.unavailable(kind, why);
                } else if failures == 3 {
                    info!(kind = kind.kind, error = why, "watch keeps failing");
                }
                tokio::time::sleep(backoff::delay(FIRST_RETRY, LAST_RETRY, failures)).await;
            }
        }
    }
}

/// How kube names a kind.
pub fn resource(kind: Kind) -> ApiResource {
    ApiResource {
        group: kind.group.to_owned(),
        version: kind.version.to_owned(),
        api_version: kind.api_version(),
        kind: kind.kind.to_owned(),
        plural: kind.plural.to_owned(),
    }
}

/// The object as JSON. Of the record of field managers, which is half of an object, only who made a request by hand
/// is kept.
pub fn plain(mut object: DynamicObject) -> Option<((String, String), Arc<Value>)> {
    let asked = object.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(REQUEST));
    let mut record = object.metadata.managed_fields.take().filter(|_| asked);
    if let Some(entries) = &mut record {
        entries.retain_mut(|entry| {
            let fields = entry.fields_v1.take();
            let annotation = format!("f:{REQUEST}");
            fields.is_some_and(|fields| !fields.0["f:metadata"]["f:annotations"][annotation].is_null())
        });
    }
    object.metadata.managed_fields = record;
    let key = (object.metadata.namespace.clone().unwrap_or_default(), object.metadata.name.clone()?);
    serde_json::to_value(object).ok().map(|value| (key, Arc::new(value)))
}

/// What is kept of a watched object: of ConfigMaps and Secrets no contents, only their checksum.
fn kept(kind: Kind, object: DynamicObject) -> Option<((String, String), Arc<Value>)> {
    let (key, value) = plain(object)?;
    let reduce = config::KINDS.contains(&kind);
    Some((key, if reduce { Arc::new(config::reduced(&value)) } else { value }))
}

fn refused(error: &watcher::Error) -> bool {
    let error = match error {
        watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error) => error,
        _ => return false,
    };
    matches!(error, kube::Error::Api(status) if matches!(status.code, 403 | 404))
}

fn reason(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status.message.clone(),
        other => other.to_string(),
    }
}

/// Locks, also after a panic of somebody who held it: the data are maps that are always whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const WATCH_SECONDS: u32 = 1800;
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_secs(30);
