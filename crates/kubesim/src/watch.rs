//! History and then live changes as a stream of watch events.
//!
//! A watch holds no queue: it remembers the resourceVersion up to which it has told, and reads the store's history
//! from there when it is woken. Idle objects cost it nothing, and a slow reader costs no memory.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::Stream;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::cluster::Shared;
use super::error::ApiStatus;
use super::render::View;
use super::select::{FieldSelector, LabelSelector};
use super::store::{BucketId, Change, ChangeKind, Key, Object, Store, to_json};

/// How often a watch that asked for it is told the current resourceVersion.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);

/// How long before its end a watch gets a last bookmark.
const LAST_BOOKMARK: Duration = Duration::from_secs(2);

/// Which objects of a bucket are asked for.
pub(super) struct Selection {
    pub bucket: BucketId,
    pub namespace: Option<String>,
    pub labels: LabelSelector,
    pub fields: FieldSelector,
}

impl Selection {
    pub(super) fn matches(&self, object: &Object) -> bool {
        self.labels.matches(object.labels()) && self.fields.matches(object.value())
    }

    /// The key of the one object that can be meant, if it can be told.
    pub(super) fn key(&self) -> Option<Key> {
        Some(Key::new(self.namespace.as_deref()?, self.fields.name()?))
    }

    fn in_scope(&self, change: &Change) -> bool {
        self.namespace.as_deref().is_none_or(|ns| ns == &*change.id.key.namespace)
    }
}

/// Where a watch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// With what happened after this resourceVersion.
    After(u64),
    /// With all objects as ADDED.
    Everything,
    /// With all objects as ADDED and a bookmark that says that this was all.
    StreamingList,
}

/// A watch as it was asked for.
pub(super) struct WatchRequest {
    pub caller: String,
    pub selection: Selection,
    pub view: View,
    pub start: Start,
    pub bookmarks: bool,
    pub timeout: Duration,
}

/// The open watches and what is done to them from outside.
#[derive(Default)]
pub(super) struct Watches {
    open: BTreeMap<u64, String>,
    closing: BTreeSet<u64>,
    /// Those whose client hears nothing any more, not even the end.
    half_open: BTreeSet<u64>,
    stalled: Stalled,
    opened: u64,
    /// Rings when watches are closed, stalled or resumed.
    gate: Arc<Notify>,
}

#[derive(Default)]
enum Stalled {
    #[default]
    Nobody,
    Everybody,
    Only(BTreeSet<String>),
}

impl Watches {
    fn open(&mut self, caller: &str) -> u64 {
        self.opened += 1;
        self.open.insert(self.opened, caller.to_owned());
        self.opened
    }

    fn forget(&mut self, id: u64) {
        self.open.remove(&id);
        self.closing.remove(&id);
        self.half_open.remove(&id);
    }

    /// How many watches this caller, or everybody, has open.
    pub(super) fn count(&self, caller: Option<&str>) -> usize {
        self.open.values().filter(|c| caller.is_none_or(|wanted| wanted == c.as_str())).count()
    }

    /// Ends the watches of this caller, or all.
    pub(super) fn close(&mut self, caller: Option<&str>) {
        let ids = self.of(caller);
        self.closing.extend(ids);
        self.gate.notify_waiters();
    }

    /// Cuts the watches of this caller, or all, off from their clients, who are not told.
    pub(super) fn half_open(&mut self, caller: Option<&str>) {
        let ids = self.of(caller);
        self.half_open.extend(ids);
        self.gate.notify_waiters();
    }

    fn of(&self, caller: Option<&str>) -> Vec<u64> {
        let those = self.open.iter().filter(|(_, c)| caller.is_none_or(|wanted| wanted == c.as_str()));
        those.map(|(id, _)| *id).collect()
    }

    /// Holds back everything that this caller, or anybody, would be told.
    pub(super) fn stall(&mut self, caller: Option<&str>) {
        match (caller, &mut self.stalled) {
            (None, stalled) => *stalled = Stalled::Everybody,
            (Some(caller), Stalled::Only(callers)) => drop(callers.insert(caller.to_owned())),
            (Some(caller), stalled @ Stalled::Nobody) => {
                *stalled = Stalled::Only(BTreeSet::from([caller.to_owned()]))
            }
            (Some(_), Stalled::Everybody) => {}
        }
        self.gate.notify_waiters();
    }

    /// Tells everybody what was held back.
    pub(super) fn resume(&mut self) {
        self.stalled = Stalled::Nobody;
        self.gate.notify_waiters();
    }

    fn is_stalled(&self, caller: &str) -> bool {
        match &self.stalled {
            Stalled::Nobody => false,
            Stalled::Everybody => true,
            Stalled::Only(callers) => callers.contains(caller),
        }
    }
}

/// One open watch.
struct Watch {
    shared: Arc<Shared>,
    id: u64,
    request: WatchRequest,
    /// What is still to be told of the beginning.
    opening: Option<Bytes>,
    /// Everything up to this resourceVersion has been told.
    told: u64,
    changed: Arc<Notify>,
    gate: Arc<Notify>,
    next_bookmark: Instant,
    deadline: Instant,
    over: bool,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.lock().watches.forget(self.id);
    }
}

/// Opens a watch: a stream of newline-separated JSON events.
pub(super) fn open(
    shared: Arc<Shared>,
    request: WatchRequest,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    let watch = Watch::open(shared, request);
    futures::stream::unfold(watch, |mut watch| async move {
        let lines = watch.next().await?;
        Some((Ok(lines), watch))
    })
}

/// What a watch does next.
enum Turn {
    Tell(Bytes),
    TellAndEnd(Bytes),
    End,
    Rest {
        stalled: bool,
    },
    /// Nothing, for ever.
    Silence,
}

impl Watch {
    fn open(shared: Arc<Shared>, request: WatchRequest) -> Self {
        let mut cluster = shared.lock();
        let now = Instant::now();
        let told = match request.start {
            Start::After(revision) => revision,
            Start::Everything | Start::StreamingList => cluster.store.revision(),
        };
        let stamp = cluster.clock.now();
        let opening = match request.start {
            Start::After(_) => None,
            _ => Some(request.opening(&cluster.store, stamp)),
        };
        let id = cluster.watches.open(&request.caller);
        let (changed, gate) = (cluster.store.changed(request.selection.bucket), cluster.watches.gate.clone());
        drop(cluster);
        let deadline = now + request.timeout;
        Self {
            shared,
            id,
            request,
            opening,
            told,
            changed,
            gate,
            next_bookmark: next_bookmark(now, deadline),
            deadline,
            over: false,
        }
    }

    async fn next(&mut self) -> Option<Bytes> {
        let (changed, gate) = (self.changed.clone(), self.gate.clone());
        loop {
            // Both must listen before the store is read, or a change in between would be missed.
            let (changed, gate) = (changed.notified(), gate.notified());
            match self.turn() {
                Turn::Tell(lines) => return Some(lines),
                Turn::TellAndEnd(lines) => {
                    self.over = true;
                    return Some(lines);
                }
                Turn::End => return None,
                Turn::Silence => std::future::pending().await,
                Turn::Rest { stalled } => {
                    let alarm = if self.request.bookmarks && !stalled {
                        self.next_bookmark.min(self.deadline)
                    } else {
                        self.deadline
                    };
                    tokio::select! {
                        biased;
                        () = gate => {}
                        () = changed, if !stalled => {}
                        () = tokio::time::sleep_until(alarm) => {}
                    }
                }
            }
        }
    }

    fn turn(&mut self) -> Turn {
        if self.over {
            return Turn::End;
        }
        let cluster = self.shared.lock();
        if cluster.watches.half_open.contains(&self.id) {
            return Turn::Silence;
        }
        if cluster.watches.closing.contains(&self.id) {
            return Turn::End;
        }
        let now = Instant::now();
        let due = now >= self.deadline;
        if cluster.watches.is_stalled(&self.request.caller) {
            return if due { Turn::End } else { Turn::Rest { stalled: true } };
        }
        let mut lines = BytesMut::new();
        if let Some(opening) = self.opening.take() {
            lines.extend_from_slice(&opening);
        }
        match cluster.store.changes_since(self.request.selection.bucket, self.told) {
            Ok(changes) => {
                let stamp = cluster.clock.now();
                for change in changes {
                    self.request.tell(change, stamp, &mut lines);
                }
            }
            Err(expired) => {
                let status = ApiStatus::expired(self.told, expired.oldest).to_value();
                line(&mut lines, "ERROR", &to_json(&status));
                return Turn::TellAndEnd(lines.freeze());
            }
        }
        self.told = self.told.max(cluster.store.revision());
        if self.request.bookmarks && now >= self.next_bookmark {
            line(&mut lines, "BOOKMARK", &to_json(&self.request.bookmark(self.told, false)));
            self.next_bookmark = next_bookmark(now, self.deadline);
        }
        match (lines.is_empty(), due) {
            (true, true) => Turn::End,
            (false, true) => Turn::TellAndEnd(lines.freeze()),
            (true, false) => Turn::Rest { stalled: false },
            (false, false) => Turn::Tell(lines.freeze()),
        }
    }
}

/// Every minute, and shortly before the end.
fn next_bookmark(now: Instant, deadline: Instant) -> Instant {
    let last = deadline - LAST_BOOKMARK.min(deadline - now);
    if last > now { (now + BOOKMARK_EVERY).min(last) } else { deadline + BOOKMARK_EVERY }
}

impl WatchRequest {
    fn opening(&self, store: &Store, now: chrono::DateTime<chrono::Utc>) -> Bytes {
        let mut lines = BytesMut::new();
        let selection = &self.selection;
        for (_, object) in store.list(selection.bucket, selection.namespace.as_deref(), None) {
            if selection.matches(object) {
                line(&mut lines, "ADDED", &self.view.object(object, now));
            }
        }
        if self.start == Start::StreamingList && self.bookmarks {
            line(&mut lines, "BOOKMARK", &to_json(&self.bookmark(store.revision(), true)));
        }
        lines.freeze()
    }

    /// Tells of a change as far as it concerns this watch: an object that stops matching is gone for it.
    fn tell(&self, change: &Change, now: chrono::DateTime<chrono::Utc>, lines: &mut BytesMut) {
        if !self.selection.in_scope(change) {
            return;
        }
        let was = change.before.as_ref().filter(|before| self.selection.matches(before));
        let is = change.kind != ChangeKind::Deleted && self.selection.matches(&change.object);
        match (was, is) {
            (None, true) => line(lines, "ADDED", &self.view.object(&change.object, now)),
            (Some(_), true) => line(lines, "MODIFIED", &self.view.object(&change.object, now)),
            (Some(_), false) if change.kind == ChangeKind::Deleted => {
                line(lines, "DELETED", &self.view.object(&change.object, now));
            }
            (Some(before), false) => {
                let last = before.at_revision(change.revision);
                line(lines, "DELETED", &self.view.object(&last, now));
            }
            (None, false) => {}
        }
    }

    fn bookmark(&self, revision: u64, end_of_list: bool) -> Value {
        let (api_version, kind) = self.view.type_of_one();
        let mut bookmark = json!({
            "kind": kind,
            "apiVersion": api_version,
            "metadata": {"resourceVersion": revision.to_string()},
        });
        if end_of_list {
            bookmark["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        bookmark
    }
}

fn line(lines: &mut BytesMut, kind: &str, object: &[u8]) {
    lines.reserve(kind.len() + object.len() + 26);
    for part in [b"{\"type\":\"", kind.as_bytes(), b"\",\"object\":", object, b"}\n"] {
        lines.extend_from_slice(part);
    }
}
