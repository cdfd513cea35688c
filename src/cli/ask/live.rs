//! One Canary and what is around it, kept up by watches: nothing is asked again and again.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use kube::api::{Api, DynamicObject};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::cli::cluster::{Cluster, Doing, Trouble};
use crate::controller::caches::plain;
use crate::model::object::{Kind, ObjectId};
use crate::router::endpoints::ENDPOINT_SLICE;

use super::seen::{Around, EVENT, Seen, events_of, find};

/// How much of the surroundings is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// The Canary and its target.
    Target,
    /// Everything that the tree shows.
    All,
}

/// A Canary that is followed.
pub(super) struct Live {
    cluster: Cluster,
    name: String,
    mesh_provider: Option<String>,
    depth: Depth,
    seen: Option<Seen>,
    /// Whether the Canary was deleted.
    gone: bool,
    /// The watches whose first look is not over.
    pending: Vec<Part>,
    heard: mpsc::Receiver<Heard>,
    tell: mpsc::Sender<Heard>,
    /// The watch on the Canary, and those on what is around it.
    canary: JoinSet<()>,
    around: JoinSet<()>,
}

/// What a watch tells.
enum Heard {
    /// The first look at a kind is over.
    Complete(Part),
    Changed(Part, Box<Value>),
    Gone(Part, String),
    Failed(Part, Doing, Box<kube::Error>),
    /// What a Canary with a new manifest leads to.
    Found(Box<Value>, Option<Box<Around>>),
}

/// What a watch is about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Canary,
    Object(ObjectId),
    Slice,
    Event,
}

/// What has happened to a Canary.
#[derive(Debug, PartialEq)]
pub(super) enum Change {
    /// Something about it is different.
    Changed,
    /// It was deleted, or is not there.
    Gone,
    /// The connection is broken; it is tried again.
    Broken(Trouble),
}

impl Live {
    /// Follows the Canary `name`, which is read once before that.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) async fn open(
        cluster: &Cluster,
        name: &str,
        mesh_provider: Option<&str>,
        depth: Depth,
    ) -> Result<Self, Trouble> {
        let canary = cluster.canary(name).await?;
        let (tell, heard) = mpsc::channel(WAITING);
        let mut live = Self {
            cluster: cluster.clone(),
            name: name.to_owned(),
            mesh_provider: mesh_provider.map(str::to_owned),
            depth,
            seen: None,
            gone: false,
            pending: Vec::new(),
            heard,
            tell,
            canary: JoinSet::new(),
            around: JoinSet::new(),
        };
        let around = find(cluster, &canary, mesh_provider).await;
        live.surround(canary, around);
        let namespace = cluster.namespace.clone();
        let fields = format!("metadata.name={name}");
        let watch =
            live.watch(Part::Canary, Kind::CANARY, &namespace, watcher::Config::default().fields(&fields));
        live.canary.spawn(watch);
        Ok(live)
    }

    /// The Canary as it is known now.
    pub(super) fn seen(&self) -> Option<&Seen> {
        self.seen.as_ref()
    }

    /// Whether everything around the Canary was looked at.
    pub(super) fn is_complete(&self) -> bool {
        self.pending.is_empty()
    }

    /// Takes note that the first look at a part is over.
    fn settled(&mut self, part: &Part) -> Option<Change> {
        let before = self.pending.len();
        self.pending.retain(|pending| pending != part);
        (before > 0 && self.pending.is_empty()).then_some(Change::Changed)
    }

    /// Waits until something has happened.
    pub(super) async fn changed(&mut self) -> Change {
        loop {
            // Both ends are ours: it cannot end.
            let Some(first) = self.heard.recv().await else { return Change::Gone };
            let mut change = self.take(first);
            // What has come meanwhile is one change.
            while let Ok(next) = self.heard.try_recv() {
                let next = self.take(next);
                change = next.or(change);
            }
            if let Some(change) = change {
                return change;
            }
        }
    }

    /// Takes note of something. It waits for nothing: who waits for a change may stop waiting at any time.
    fn take(&mut self, heard: Heard) -> Option<Change> {
        match heard {
            Heard::Complete(part) => self.settled(&part),
            Heard::Changed(Part::Canary, canary) => {
                self.gone = false;
                let spec = |canary: &Value| (canary["spec"].clone(), canary["metadata"]["uid"].clone());
                match &mut self.seen {
                    Some(seen) if seen.canary == *canary => return None,
                    Some(seen) if spec(&seen.canary) == spec(&canary) => seen.canary = *canary,
                    _ => {
                        self.look_around(*canary);
                        return None;
                    }
                }
                Some(Change::Changed)
            }
            Heard::Found(canary, around) => {
                let generation = |canary: &Value| canary["metadata"]["generation"].as_i64();
                let newer = |seen: &Seen| generation(&seen.canary) > generation(&canary);
                // A later look may have been faster.
                if self.gone || self.seen.as_ref().is_some_and(newer) {
                    return None;
                }
                self.surround(*canary, around.map(|around| *around));
                Some(Change::Changed)
            }
            Heard::Gone(Part::Canary, _) => {
                self.seen = None;
                self.gone = true;
                self.around.abort_all();
                Some(Change::Gone)
            }
            Heard::Failed(Part::Canary, doing, why) => {
                Some(Change::Broken(self.cluster.trouble(doing, &why)))
            }
            Heard::Failed(part, doing, why) => {
                let trouble = self.cluster.trouble(doing.clone(), &why);
                // A broken connection comes back; a right does not.
                if !trouble.is_passing() {
                    let settled = self.settled(&part);
                    let what = match part {
                        Part::Object(id) => Doing::reading(&id).subject(),
                        _ => doing.subject(),
                    };
                    let hidden = &mut self.seen.as_mut()?.hidden;
                    if trouble.is_missing_kind() || hidden.contains_key(&what) {
                        return settled;
                    }
                    hidden.insert(what, trouble.what().to_owned());
                    return Some(Change::Changed);
                }
                None
            }
            Heard::Changed(part, object) => {
                let seen = self.seen.as_mut()?;
                let named = |map: &mut BTreeMap<String, Value>, object: Value| {
                    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                    map.insert(name, object);
                };
                match part {
                    Part::Object(id) => seen.objects.insert(id, Arc::new(*object)),
                    Part::Slice => named(&mut seen.slices, *object),
                    Part::Event => named(&mut seen.events, *object),
                    Part::Canary => {}
                }
                Some(Change::Changed)
            }
            Heard::Gone(part, name) => {
                let seen = self.seen.as_mut()?;
                match part {
                    Part::Object(id) => {
                        let rest = seen.objects.iter().filter(|(other, _)| **other != id);
                        let rest: Vec<ObjectId> = rest.map(|(id, _)| id.clone()).collect();
                        let kept =
                            rest.into_iter().filter_map(|id| Some((id.clone(), seen.objects.shared(&id)?)));
                        seen.objects = kept.collect();
                    }
                    Part::Slice => drop(seen.slices.remove(&name)),
                    Part::Event => drop(seen.events.remove(&name)),
                    Part::Canary => {}
                }
                Some(Change::Changed)
            }
        }
    }

    /// Finds out what a Canary whose manifest is new leads to.
    fn look_around(&mut self, canary: Value) {
        let (cluster, mesh_provider) = (self.cluster.clone(), self.mesh_provider.clone());
        let tell = self.tell.clone();
        self.canary.spawn(async move {
            let around = find(&cluster, &canary, mesh_provider.as_deref()).await;
            // Nobody hears it any more when the end has come.
            let _ = tell.send(Heard::Found(Box::new(canary), around.map(Box::new))).await;
        });
    }

    /// Takes in a Canary whose manifest is new, and follows what it leads to.
    fn surround(&mut self, canary: Value, around: Option<Around>) {
        self.around.abort_all();
        self.pending.clear();
        let ids = around.as_ref().map(|around| self.followed(around)).unwrap_or_default();
        let slices = around.as_ref().map(Around::slices);
        let mut seen = Seen::new(canary, around);
        if let Some(before) = self.seen.take() {
            // What is the same is not forgotten before the new watches have seen it.
            (seen.objects, seen.slices, seen.events) = (before.objects, before.slices, before.events);
        }
        self.seen = Some(seen);
        for id in ids {
            let fields = watcher::Config::default().fields(&format!("metadata.name={}", id.name));
            let (kind, namespace) = (id.kind, id.namespace.clone());
            self.pending.push(Part::Object(id.clone()));
            let watch = self.watch(Part::Object(id), kind, &namespace, fields);
            self.around.spawn(watch);
        }
        if self.depth == Depth::Target {
            return;
        }
        let namespace = self.cluster.namespace.clone();
        if let Some(slices) = slices {
            let labels = watcher::Config::default().labels(&slices);
            self.pending.push(Part::Slice);
            let watch = self.watch(Part::Slice, ENDPOINT_SLICE, &namespace, labels);
            self.around.spawn(watch);
        }
        let fields = watcher::Config::default().fields(&events_of(&self.name));
        self.pending.push(Part::Event);
        let watch = self.watch(Part::Event, EVENT, &namespace, fields);
        self.around.spawn(watch);
    }

    fn followed(&self, around: &Around) -> Vec<ObjectId> {
        let target = &around.release.target.name;
        let is_target = |id: &&ObjectId| id.name == *target && id.kind != Kind::SERVICE;
        match self.depth {
            Depth::All => around.ids.clone(),
            Depth::Target => {
                around.ids.iter().filter(is_target).filter(|id| id.kind.is_local()).cloned().collect()
            }
        }
    }

    /// A task that tells what happens to some objects of a kind, until nobody hears it or it may not.
    fn watch(
        &self,
        part: Part,
        kind: Kind,
        namespace: &str,
        selected: watcher::Config,
    ) -> impl Future<Output = ()> + Send + use<> {
        let namespace = (!namespace.is_empty()).then_some(namespace);
        let (api, tell) = (self.cluster.all(kind, namespace), self.tell.clone());
        let doing = Doing::watching(kind, namespace);
        async move {
            let mut there: Vec<String> = Vec::new();
            let mut stream = events(api, selected);
            // What the first look does not show any more is gone.
            let mut shown: Vec<String> = Vec::new();
            while let Some(event) = stream.next().await {
                let name = |object: &DynamicObject| object.metadata.name.clone().unwrap_or_default();
                let mut told = Vec::new();
                match event {
                    Ok(watcher::Event::Init) => shown.clear(),
                    Ok(watcher::Event::InitApply(object)) => {
                        shown.push(name(&object));
                        told.extend(
                            plain(object).map(|object| Heard::Changed(part.clone(), Box::new(object))),
                        );
                    }
                    Ok(watcher::Event::InitDone) => {
                        let missing = there.iter().filter(|name| !shown.contains(name));
                        told.extend(missing.map(|name| Heard::Gone(part.clone(), name.clone())));
                        if part == Part::Canary && shown.is_empty() && there.is_empty() {
                            told.push(Heard::Gone(part.clone(), String::new()));
                        }
                        there.clone_from(&shown);
                        told.push(Heard::Complete(part.clone()));
                    }
                    Ok(watcher::Event::Apply(object)) => {
                        let name = name(&object);
                        if !there.contains(&name) {
                            there.push(name);
                        }
                        told.extend(
                            plain(object).map(|object| Heard::Changed(part.clone(), Box::new(object))),
                        );
                    }
                    Ok(watcher::Event::Delete(object)) => {
                        let name = name(&object);
                        there.retain(|other| *other != name);
                        told.push(Heard::Gone(part.clone(), name));
                    }
                    Err(why) => {
                        if let Some(why) = cause(why) {
                            told.push(Heard::Failed(part.clone(), doing.clone(), Box::new(why)));
                        }
                    }
                }
                for heard in told {
                    if tell.send(heard).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

/// The events of a watch that comes back when it breaks.
pub(super) fn events(
    api: Api<DynamicObject>,
    selected: watcher::Config,
) -> BoxStream<'static, Result<watcher::Event<DynamicObject>, watcher::Error>> {
    watcher(api, selected).default_backoff().into_stream().boxed()
}

/// Why a watch broke, if it is worth telling: that it became too old is not.
pub(super) fn cause(why: watcher::Error) -> Option<kube::Error> {
    match why {
        watcher::Error::InitialListFailed(why)
        | watcher::Error::WatchStartFailed(why)
        | watcher::Error::WatchFailed(why) => Some(why),
        watcher::Error::WatchError(status) if status.code != 410 => Some(kube::Error::Api(status)),
        watcher::Error::WatchError(_) | watcher::Error::NoResourceVersion => None,
    }
}

/// Changes that may wait to be looked at.
const WAITING: usize = 256;
