//! The caches hold what the watches have told: objects by kind, packed. A kind is watched as soon as it is asked for.
//! Of objects that no Canary names only the names are kept; one that is asked for all the same is fetched once, and
//! kept from then on. Nothing else reads the API.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::runtime::watcher;
use serde_json::Value;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::judge::Around;
use crate::model::object::{Kind, ObjectId};
use crate::router::endpoints::{self, ENDPOINT_SLICE};
use crate::workload::config;

use super::backoff;

mod claims;
mod interest;
pub mod packed;
mod shelf;
mod watched;
mod watching;

use claims::Claims;
use interest::Interest;
use packed::{Packed, Packer};
use shelf::{Key, Known, Shelf, key, split};
use watched::Watched;

pub use claims::Claim;

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

/// What the caches know of an object that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    /// It does not exist, or its kind is not watched.
    Absent,
    /// It is there, and this is how it was last seen.
    There(Arc<Value>),
    /// It exists, and is being fetched: nobody had a use for it so far. What comes of that is noticed.
    Fetching,
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
    canaries: Mutex<Canaries>,
    /// Objects that are being fetched.
    fetching: Mutex<BTreeSet<ObjectId>>,
    noticed: mpsc::UnboundedSender<Noticed>,
}

/// What is known of all Canaries together.
#[derive(Default)]
struct Canaries {
    interest: Interest,
    claims: Claims,
    /// How many there are, by namespace.
    totals: BTreeMap<Box<str>, usize>,
}

struct Cache {
    state: State,
    shelf: Shelf,
    /// Objects that were asked for although no manifest names them.
    wanted: BTreeSet<Key>,
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
            canaries: Mutex::default(),
            fetching: Mutex::default(),
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
        let (shelf, wanted) = (Shelf::default(), BTreeSet::new());
        let cache = Cache { state: State::Loading, shelf, wanted, anew: Arc::clone(&anew), doubted: None };
        kinds.insert(kind, cache);
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

    /// The object with this id, as it was last seen. `None` if there is none, if its kind is not watched, or if nobody
    /// has a use for it.
    pub fn get(&self, id: &ObjectId) -> Option<Arc<Value>> {
        self.get_packed(id).map(|packed| Arc::new(packed.open()))
    }

    /// The object with this id, as it was last seen. If only its name is known, it is fetched. It will be kept whole from
    /// now on, also if it does not exist yet.
    pub fn look_up(&self, id: &ObjectId) -> Sight {
        match self.known(id) {
            Some(Known::All(packed)) => return Sight::There(Arc::new(packed.open())),
            Some(Known::Name) => {}
            None => {
                self.want(id);
                // It may have come a moment ago, when nobody had a use for it.
                if !self.has(id) {
                    return Sight::Absent;
                }
            }
        }
        self.want(id);
        self.fetch(id);
        Sight::Fetching
    }

    /// Whether there is such an object, as far as the watches have told.
    pub fn has(&self, id: &ObjectId) -> bool {
        self.known(id).is_some()
    }

    fn known(&self, id: &ObjectId) -> Option<Known> {
        // What is packed is opened by those who asked, and not while others wait for the lock.
        self.shared.kinds().get(&id.kind)?.shelf.get(&key(&id.namespace, &id.name)).cloned()
    }

    /// Notes that somebody looks at this object.
    fn want(&self, id: &ObjectId) {
        let key = key(&id.namespace, &id.name);
        let covered = lock(&self.shared.canaries).interest.covers(&key);
        if let (false, Some(cache)) = (covered, self.shared.kinds().get_mut(&id.kind)) {
            cache.wanted.insert(key);
        }
    }

    /// Fetches an object, unless that is under way.
    fn fetch(&self, id: &ObjectId) {
        if lock(&self.shared.fetching).insert(id.clone()) {
            debug!(object = %id, "asked for by its name");
            lock(&self.watches).spawn(fetch(Arc::clone(&self.shared), id.clone()));
        }
    }

    /// The version of the object with this id, as it was last seen. `None` where [`Caches::get`] has none.
    pub fn version(&self, id: &ObjectId) -> Option<u64> {
        match self.shared.kinds().get(&id.kind)?.shelf.get(&key(&id.namespace, &id.name))? {
            Known::All(packed) => Some(packed.version()),
            Known::Name => None,
        }
    }

    /// The object with this id, packed. `None` where [`Caches::get`] has none.
    pub fn get_packed(&self, id: &ObjectId) -> Option<Packed> {
        match self.known(id)? {
            Known::All(packed) => Some(packed),
            Known::Name => None,
        }
    }

    /// An object in the form in which it takes little room.
    pub fn pack(&self, kind: Kind, object: &Value) -> Packed {
        match self.shared.kinds().get_mut(&kind) {
            Some(cache) => cache.shelf.pack(object),
            None => Packer::default().pack(object),
        }
    }

    /// The ids of all objects of a kind, in the order of namespace and name.
    pub fn ids(&self, kind: Kind) -> Vec<ObjectId> {
        let kinds = self.shared.kinds();
        let keys = kinds.get(&kind).into_iter().flat_map(|cache| cache.shelf.keys());
        keys.map(|key| split(key)).map(|(namespace, name)| kind.at(namespace, name)).collect()
    }

    /// The objects of a kind in one namespace, in the order of their names.
    pub fn in_namespace(&self, kind: Kind, namespace: &str) -> Vec<(ObjectId, Arc<Value>)> {
        let found = self.beginning_with(kind, &key(namespace, ""));
        found.into_iter().map(|(key, object)| (kind.at(namespace, split(&key).1), object)).collect()
    }

    /// What is kept of the EndpointSlices of a Service.
    pub fn slices(&self, namespace: &str, service: &str) -> Vec<Arc<Value>> {
        let found = self.beginning_with(ENDPOINT_SLICE, &key(namespace, &format!("{service}/")));
        found.into_iter().map(|(_, slice)| slice).collect()
    }

    fn beginning_with(&self, kind: Kind, prefix: &str) -> Vec<(Key, Arc<Value>)> {
        let found: Vec<(Key, Packed)> = match self.shared.kinds().get(&kind) {
            None => Vec::new(),
            Some(cache) => cache
                .shelf
                .beginning_with(prefix)
                .filter_map(|(key, known)| match known {
                    Known::All(packed) => Some((key.clone(), packed.clone())),
                    Known::Name => None,
                })
                .collect(),
        };
        found.into_iter().map(|(key, packed)| (key, Arc::new(packed.open()))).collect()
    }

    /// The name of an older Canary than `canary` in its namespace that lays claim to the same.
    pub fn older_claim(&self, namespace: &str, claim: Claim<'_>, canary: &Value) -> Option<String> {
        lock(&self.shared.canaries).claims.older(namespace, claim, canary).map(str::to_owned)
    }

    /// The number of Canaries in a namespace.
    pub fn canaries_in(&self, namespace: &str) -> usize {
        lock(&self.shared.canaries).totals.get(namespace).copied().unwrap_or(0)
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

    fn put(&self, kind: Kind, object: Watched) {
        let Some((key, object)) = self.kept(kind, object) else { return };
        let id = noticed_as(kind, &key);
        let mut same = false;
        if let Some(cache) = self.kinds().get_mut(&kind) {
            let unchanged = cache.shelf.put(key, object.as_ref());
            // Much changes in a slice that says nothing about who is ready, and nobody looks at what has only a name.
            same = unchanged && (kind == ENDPOINT_SLICE || object.is_none());
        }
        if !same {
            self.notice(Noticed::Object(id));
        }
    }

    fn remove(&self, kind: Kind, object: Watched) {
        let key = match kind {
            ENDPOINT_SLICE => self.kept(kind, object).map(|(key, _)| key),
            _ => object.key(),
        };
        let Some(key) = key else { return };
        if kind == Kind::CANARY {
            lock(&self.canaries).forget(&key);
        }
        if let Some(cache) = self.kinds().get_mut(&kind) {
            cache.shelf.remove(&key);
            cache.wanted.remove(&key);
        }
        self.notice(Noticed::Object(noticed_as(kind, &key)));
    }

    /// A fresh list replaces everything; only what differs is noticed.
    fn replace(&self, kind: Kind, fresh: BTreeMap<Key, Known>) {
        let mut kinds = self.kinds();
        let Some(cache) = kinds.get_mut(&kind) else { return };
        let first = cache.state != State::Ready;
        let changed = cache.shelf.replace(fresh);
        let gone: Vec<Key> = changed.iter().filter(|key| cache.shelf.get(key).is_none()).cloned().collect();
        cache.state = State::Ready;
        drop(kinds);
        if kind == Kind::CANARY {
            let mut canaries = lock(&self.canaries);
            gone.iter().for_each(|key| canaries.forget(key));
        }
        for key in changed {
            self.notice(Noticed::Object(noticed_as(kind, &key)));
        }
        if first {
            self.notice(Noticed::Kind(kind));
        }
    }

    /// What a list delivered of an object, to be kept when the list is whole.
    fn listed(&self, kind: Kind, object: Watched) -> Option<(Key, Known)> {
        let (key, object) = self.kept(kind, object)?;
        let known = self.kinds().get_mut(&kind)?.shelf.known(object.as_ref());
        Some((key, known))
    }

    /// What is kept of a watched object: of what nobody looks at the name alone; of ConfigMaps and Secrets no contents,
    /// only their checksum; of EndpointSlices who is ready, under the name of their Service.
    fn kept(&self, kind: Kind, object: Watched) -> Option<(Key, Option<Value>)> {
        let key = object.key()?;
        if kind == Kind::CANARY {
            let object = object.into_value(kind);
            lock(&self.canaries).meet(&key, &object);
            return Some((key, Some(object)));
        }
        if kind == ENDPOINT_SLICE {
            let object = object.into_value(kind);
            let (namespace, name) = split(&key);
            let key = shelf::key(namespace, &format!("{}/{name}", endpoints::service_of(&object)?));
            return Some((key, Some(endpoints::reduced(&object))));
        }
        if config::KINDS.contains(&kind) {
            return Some((key, Some(config::reduced(&object.into_value(kind)))));
        }
        let of_interest = kind.group == Kind::CANARY.group
            || kind.cluster_wide
            || lock(&self.canaries).interest.covers(&key)
            || self.kinds().get(&kind).is_some_and(|cache| cache.wanted.contains(&key));
        Some((key, of_interest.then(|| object.into_value(kind))))
    }

    fn is_ready(&self, kind: Kind) -> bool {
        self.kinds().get(&kind).is_some_and(|cache| cache.state == State::Ready)
    }

    fn unavailable(&self, kind: Kind, refusal: Refusal) {
        let mut kinds = self.kinds();
        let Some(cache) = kinds.get_mut(&kind) else { return };
        // What was listed before stays: a watch that is refused for a while makes nothing vanish. With the kind itself
        // its objects are gone.
        let gone = if refusal.is_missing() { cache.shelf.replace(BTreeMap::new()) } else { Vec::new() };
        // The words of the API may differ each time: told is only what else it means.
        let news = !matches!(&cache.state, State::Unavailable(before) if before.code == refusal.code);
        if news {
            warn!(kind = kind.kind, reason = refusal.why, "cannot be watched");
            cache.state = State::Unavailable(refusal);
        }
        drop(kinds);
        if kind == Kind::CANARY {
            let mut canaries = lock(&self.canaries);
            gone.iter().for_each(|key| canaries.forget(key));
        }
        for key in gone {
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

/// The object as JSON, without what the caches do not keep.
pub fn plain(object: DynamicObject) -> Option<Value> {
    let mut object = serde_json::to_value(object).ok()?;
    watched::slim(&mut object);
    Some(object)
}

/// The name under which a change of an object is told: that of the Service for its slices, of which nobody knows the
/// names beforehand.
fn noticed_as(kind: Kind, key: &str) -> ObjectId {
    let (namespace, name) = split(key);
    let name = match kind {
        ENDPOINT_SLICE => name.split('/').next().unwrap_or_default(),
        _ => name,
    };
    kind.at(namespace, name)
}

impl Canaries {
    fn meet(&mut self, key: &Key, object: &Value) {
        if self.interest.put(key, object) {
            *self.totals.entry(split(key).0.into()).or_default() += 1;
        }
        self.claims.put(key, object);
    }

    fn forget(&mut self, key: &str) {
        self.claims.remove(key);
        let namespace = split(key).0;
        if self.interest.remove(key)
            && let Some(total) = self.totals.get_mut(namespace)
        {
            *total -= 1;
            if *total == 0 {
                self.totals.remove(namespace);
            }
        }
    }
}

/// Fetches one object. A list of one needs no other right than the watch does.
async fn fetch(store: Arc<Store>, id: ObjectId) {
    let (resource, client) = (resource(id.kind), store.client(id.kind).clone());
    let api: Api<Watched> = Api::namespaced_with(client, &id.namespace, &resource);
    let params = ListParams::default().fields(&format!("metadata.name={}", id.name)).limit(1);
    let mut tries = 0;
    let object = loop {
        match api.list(&params).await {
            Ok(list) => break list.items.into_iter().next(),
            Err(error) => {
                tries += 1;
                debug!(object = %id, %error, "not fetched");
                tokio::time::sleep(backoff::delay(FIRST_RETRY, LONGEST_RETRY, tries)).await;
            }
        }
    };
    match object {
        Some(object) => {
            let key = key(&id.namespace, &id.name);
            // What the watch told meanwhile is as new or newer. If it told that the object is gone, it is.
            if let Some(cache) = store.kinds().get_mut(&id.kind)
                && cache.shelf.get(&key) == Some(&Known::Name)
            {
                cache.shelf.put(key, Some(&object.into_value(id.kind)));
            }
        }
        // The watch is about to tell that it is gone; who asks before that shall not ask without end.
        None => tokio::time::sleep(FIRST_RETRY).await,
    }
    lock(&store.fetching).remove(&id);
    store.notice(Noticed::Object(id));
}

/// Locks, also after a panic of somebody who held it: the data are maps that are always whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The shortest time between two lists for the reason that a watch is doubted.
const BETWEEN_DOUBTS: Duration = Duration::from_secs(10);
/// The pauses between two tries to fetch an object.
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

impl Around for Caches {
    fn get(&self, id: &ObjectId) -> Option<Arc<Value>> {
        Self::get(self, id)
    }

    fn unreadable(&self, kind: Kind) -> Option<String> {
        match self.state(kind) {
            State::Unavailable(refusal) => Some(refusal.why),
            State::Loading | State::Ready => None,
        }
    }

    fn ids(&self, kind: Kind) -> Vec<ObjectId> {
        Self::ids(self, kind)
    }
}
