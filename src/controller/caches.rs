//! The caches hold what the watches have told: objects by kind, as plain JSON. A kind is watched as soon as it is asked
//! for. Nothing but the watches reads the API.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::api::{ApiResource, DynamicObject};
use kube::runtime::watcher;
use serde_json::Value;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::model::by_hand::REQUEST;
use crate::model::object::{Kind, ObjectId};
use crate::router::endpoints::{self, ENDPOINT_SLICE};
use crate::workload::config;

mod watching;

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
    /// The API does not show it. What was known before stays, unless the kind itself is gone.
    Unavailable(Refusal),
}

/// Why the API does not show a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status of the API's answer: 404 for a kind that is not installed, 403 for one that we may not watch, 5xx
    /// for an API that fails. None if no answer came at all.
    pub code: Option<u16>,
    /// What is wrong and what to do, for the user.
    pub why: String,
}

impl Refusal {
    /// Whether the kind does not exist, and so none of its objects do. In all other cases there may be objects that we
    /// cannot see.
    pub fn is_missing(&self) -> bool {
        self.code == Some(404)
    }

    fn of(kind: Kind, error: &watcher::Error) -> Self {
        let api = match error {
            watcher::Error::InitialListFailed(error)
            | watcher::Error::WatchStartFailed(error)
            | watcher::Error::WatchFailed(error) => match error {
                kube::Error::Api(status) => Some(status),
                _ => None,
            },
            watcher::Error::WatchError(status) => Some(status),
            watcher::Error::NoResourceVersion => None,
        };
        let resource = match kind.group {
            "" => kind.plural.to_owned(),
            group => format!("{}.{group}", kind.plural),
        };
        let Some(status) = api else {
            return Self { code: None, why: format!("no answer from the API: {}", sources(error)) };
        };
        let said = status.message.trim();
        let why = match status.code {
            404 => format!(
                "the cluster does not serve {resource} in version {}: install its CRD ({said})",
                kind.version
            ),
            403 => format!("{said} (allow our service account to list and watch {resource})"),
            code => format!("the API answers {code}: {said}"),
        };
        Self { code: Some(status.code), why }
    }
}

/// An error with what caused it.
fn sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
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
    /// Makes its watch begin anew.
    anew: Arc<Notify>,
    doubted: Option<Instant>,
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
        let anew = Arc::new(Notify::new());
        let (state, objects) = (State::Loading, BTreeMap::new());
        kinds.insert(kind, Cache { state, objects, anew: Arc::clone(&anew), doubted: None });
        drop(kinds);
        debug!(kind = kind.kind, "watching");
        lock(&self.watches).spawn(watching::watch(Arc::clone(&self.shared), kind, anew));
        State::Loading
    }

    /// Lists `kind` anew, because something that we know to have happened does not show: its watch may have fallen
    /// silent. Does nothing if that was done a moment ago.
    pub fn doubt(&self, kind: Kind) {
        let mut kinds = self.shared.kinds();
        let Some(cache) = kinds.get_mut(&kind).filter(|cache| cache.state == State::Ready) else { return };
        if cache.doubted.is_some_and(|at| at.elapsed() < BETWEEN_DOUBTS) {
            return;
        }
        cache.doubted = Some(Instant::now());
        info!(kind = kind.kind, "our own writes do not show: listing anew");
        cache.anew.notify_one();
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

    /// What is kept of the EndpointSlices of a Service.
    pub fn slices(&self, namespace: &str, service: &str) -> Vec<Arc<Value>> {
        let kinds = self.shared.kinds();
        let Some(cache) = kinds.get(&ENDPOINT_SLICE) else { return Vec::new() };
        let prefix = format!("{service}/");
        let from = (namespace.to_owned(), prefix.clone());
        let those = cache.objects.range(from..);
        those
            .take_while(|((of, name), _)| of == namespace && name.starts_with(&prefix))
            .map(|(_, slice)| Arc::clone(slice))
            .collect()
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
        let id = noticed_as(kind, &key);
        let mut same = false;
        if let Some(cache) = self.kinds().get_mut(&kind) {
            let before = cache.objects.insert(key, Arc::clone(&value));
            // Much changes in a slice that says nothing about who is ready.
            same = kind == ENDPOINT_SLICE && before.is_some_and(|before| before == value);
        }
        if !same {
            self.notice(Noticed::Object(id));
        }
    }

    fn remove(&self, kind: Kind, object: DynamicObject) {
        let Some((key, _)) = kept(kind, object) else { return };
        let id = noticed_as(kind, &key);
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
        for key in changed {
            self.notice(Noticed::Object(noticed_as(kind, &key)));
        }
        if first {
            self.notice(Noticed::Kind(kind));
        }
    }

    fn is_ready(&self, kind: Kind) -> bool {
        self.kinds().get(&kind).is_some_and(|cache| cache.state == State::Ready)
    }

    fn unavailable(&self, kind: Kind, refusal: Refusal) {
        let mut kinds = self.kinds();
        let Some(cache) = kinds.get_mut(&kind) else { return };
        // What was listed before stays: a watch that is refused for a while makes nothing vanish. With the kind itself
        // its objects are gone.
        let gone = if refusal.is_missing() { std::mem::take(&mut cache.objects) } else { BTreeMap::new() };
        // The words of the API may differ each time: told is only what else it means.
        let news = !matches!(&cache.state, State::Unavailable(before) if before.code == refusal.code);
        if news {
            warn!(kind = kind.kind, reason = refusal.why, "cannot be watched");
            cache.state = State::Unavailable(refusal);
        }
        drop(kinds);
        for key in gone.into_keys() {
            self.notice(Noticed::Object(noticed_as(kind, &key)));
        }
        if news {
            self.notice(Noticed::Kind(kind));
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

/// The name under which a change of an object is told: that of the Service for its slices, of which nobody knows the
/// names beforehand.
fn noticed_as(kind: Kind, (namespace, name): &(String, String)) -> ObjectId {
    let name = match kind {
        ENDPOINT_SLICE => name.split('/').next().unwrap_or_default(),
        _ => name,
    };
    kind.at(namespace, name)
}

/// What is kept of a watched object: of ConfigMaps and Secrets no contents, only their checksum; of EndpointSlices who
/// is ready, under the name of their Service.
fn kept(kind: Kind, object: DynamicObject) -> Option<((String, String), Arc<Value>)> {
    let (key, value) = plain(object)?;
    if kind == ENDPOINT_SLICE {
        let service = endpoints::service_of(&value)?;
        let key = (key.0, format!("{service}/{}", key.1));
        return Some((key, Arc::new(endpoints::reduced(&value))));
    }
    let reduce = config::KINDS.contains(&kind);
    Some((key, if reduce { Arc::new(config::reduced(&value)) } else { value }))
}

/// Locks, also after a panic of somebody who held it: the data are maps that are always whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The shortest time between two lists for the reason that a watch is doubted.
const BETWEEN_DOUBTS: Duration = Duration::from_secs(10);
