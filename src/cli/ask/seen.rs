//! The objects around a Canary as a user may read them. The routes, workloads and Services are found and read by the
//! same code as the controller's.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::api::ListParams;
use serde_json::Value;

use crate::cli::cluster::{Cluster, Doing, Trouble};
use crate::judge;
use crate::judge::route_template::{self, Known};
use crate::model::object::{Kind, ObjectId, Objects};
use crate::model::release::{Release, Settings};
use crate::model::traffic::RouteState;
use crate::model::workload::TargetShape;
use crate::router::endpoints::ENDPOINT_SLICE;
use crate::router::services::{self, Side};
use crate::router::{self, View, registry};
use crate::workload;

/// An event of the core group.
pub(super) const EVENT: Kind = Kind::new("", "v1", "Event", "events");

/// A Canary and what is around it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub canary: Value,
    /// `None` if the manifest cannot be read at all.
    pub around: Option<Around>,
    pub objects: Objects,
    /// The EndpointSlices of both sides, by their names.
    pub slices: BTreeMap<String, Value>,
    /// The events about the Canary, by their names.
    pub events: BTreeMap<String, Value>,
    /// What could not be read, and why.
    pub hidden: BTreeMap<String, String>,
}

/// What a Canary leads to.
#[derive(Clone, Debug)]
pub(super) struct Around {
    pub release: Release,
    pub settings: Settings,
    /// The workloads, Services and routes.
    pub ids: Vec<ObjectId>,
}

impl Around {
    /// What `canary` leads to under a controller with `settings`; `None` if it cannot be read.
    pub(super) fn of(canary: &Value, settings: Settings, templates: &Known) -> Option<Self> {
        let release = read_release(canary, &settings, templates)?;
        let mut ids = Vec::new();
        let scalers = [Kind::HPA, Kind::SCALED_OBJECT];
        let workload = workload::registry::workload(release.target.kind).reads(&release);
        ids.extend(workload.into_iter().filter(|id| !scalers.contains(&id.kind)));
        ids.extend([Side::Apex, Side::Primary, Side::Canary].map(|side| services::id(&release, side)));
        ids.extend(registry::router_of(&release).into_iter().flat_map(|router| router.reads(&release)));
        ids.sort();
        ids.dedup();
        Some(Self { release, settings, ids })
    }

    /// Which EndpointSlices tell of the pods of both sides.
    pub(super) fn slices(&self) -> String {
        let release = &self.release;
        format!("kubernetes.io/service-name in ({},{})", release.primary_service(), release.canary_service())
    }

    /// What the mesh is told now, as its objects say.
    pub(super) fn routes(&self, objects: &Objects) -> Result<Option<RouteState>, router::Error> {
        let shape = TargetShape::default();
        let view = View { release: &self.release, shape: &shape, settings: &self.settings, seen: objects };
        registry::router_of(&self.release).map_or(Ok(None), |router| router.state(&view))
    }
}

/// Which events are about the Canary `name`.
pub(super) fn events_of(name: &str) -> String {
    format!("involvedObject.kind=Canary,involvedObject.name={name}")
}

/// The release that a Canary asks for, also one that the controller refuses.
fn read_release(canary: &Value, settings: &Settings, templates: &Known) -> Option<Release> {
    let read = |canary: &Value| judge::reading(canary, settings, templates);
    let reading = read(canary);
    if let Some(release) = reading.release.ok().or(reading.refused) {
        return Some(*release);
    }
    // One that is being deleted is read whatever it asks for.
    let mut leaving = canary.clone();
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    read(&leaving).release.ok().map(|release| *release)
}

/// The settings of the controller, as far as somebody who only reads knows them.
pub(super) fn settings(mesh_provider: Option<&str>) -> Settings {
    let default = Settings::default();
    Settings { mesh_provider: mesh_provider.map_or(default.mesh_provider, str::to_owned), ..default }
}

impl Seen {
    /// A Canary of whose surroundings nothing is known yet.
    pub(super) fn new(canary: Value, around: Option<Around>) -> Self {
        Self {
            canary,
            around,
            objects: Objects::default(),
            slices: BTreeMap::new(),
            events: BTreeMap::new(),
            hidden: BTreeMap::new(),
        }
    }

    /// Reads the Canary `name` and what is around it, each object once.
    ///
    /// # Errors
    /// If the Canary cannot be read; what else cannot be read is noted.
    pub(super) async fn fetch(
        cluster: &Cluster,
        name: &str,
        mesh_provider: Option<&str>,
    ) -> Result<Self, Trouble> {
        let canary = cluster.canary(name).await?;
        let around = find(cluster, &canary, mesh_provider).await;
        let mut seen = Self::new(canary, around);
        let namespace = Some(cluster.namespace.as_str());
        if let Some(around) = seen.around.clone() {
            for id in &around.ids {
                seen.read(cluster, id).await;
            }
            let workload = workload::registry::workload(around.release.target.kind);
            for id in workload.named_reads(&around.release, &seen.objects) {
                seen.read(cluster, &id).await;
            }
            let selected = ListParams::default().labels(&around.slices());
            match cluster.list(ENDPOINT_SLICE, namespace, &selected).await {
                Ok(slices) => seen.slices = by_name(slices),
                Err(why) => seen.hide(cluster, Doing::listing(ENDPOINT_SLICE, namespace), &why),
            }
        }
        let selected = ListParams::default().fields(&events_of(name));
        match cluster.list(EVENT, namespace, &selected).await {
            Ok(events) => seen.events = by_name(events),
            Err(why) => seen.hide(cluster, Doing::listing(EVENT, namespace), &why),
        }
        Ok(seen)
    }

    async fn read(&mut self, cluster: &Cluster, id: &ObjectId) {
        match cluster.get(id).await {
            Ok(object) => self.objects.extend(object.map(|object| (id.clone(), Arc::new(object)))),
            Err(why) => self.hide(cluster, Doing::reading(id), &why),
        }
    }

    fn hide(&mut self, cluster: &Cluster, doing: Doing, why: &kube::Error) {
        let what = doing.subject();
        self.hidden.insert(what, cluster.trouble(doing, why).what().to_owned());
    }
}

fn by_name(objects: Vec<Value>) -> BTreeMap<String, Value> {
    let named = |object: Value| {
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        (name, object)
    };
    objects.into_iter().map(named).collect()
}

/// What `canary` leads to. Where neither it nor the user says the provider, the mesh whose objects are there is it.
pub(super) async fn find(cluster: &Cluster, canary: &Value, mesh_provider: Option<&str>) -> Option<Around> {
    let templates = templates(cluster, canary).await;
    let first = Around::of(canary, settings(mesh_provider), &templates)?;
    let said = canary["spec"]["provider"].as_str().is_some_and(|provider| !provider.is_empty());
    // Where the routes may not be read, those of another mesh would only mislead.
    if said || mesh_provider.is_some() || are_there(cluster, &first).await != Some(false) {
        return Some(first);
    }
    for name in registry::known() {
        if let Some(around) = Around::of(canary, settings(Some(name)), &templates)
            && are_there(cluster, &around).await == Some(true)
        {
            return Some(around);
        }
    }
    Some(first)
}

/// The RouteTemplate that a Canary names.
async fn templates(cluster: &Cluster, canary: &Value) -> Known {
    let Some(id) = route_template::named(canary) else { return Known::default() };
    match cluster.get(&id).await {
        Ok(found) => Known { templates: found.into_iter().collect(), unreadable: None },
        Err(why) => {
            let unreadable = cluster.trouble(Doing::reading(&id), &why).what().to_owned();
            Known { unreadable: Some(unreadable), ..Known::default() }
        }
    }
}

/// Whether the routes of a release are there; `None` if they cannot be read.
async fn are_there(cluster: &Cluster, around: &Around) -> Option<bool> {
    let Some(router) = registry::router_of(&around.release) else { return Some(false) };
    let mut objects = Objects::default();
    for id in router.reads(&around.release) {
        let object = cluster.get(&id).await.ok()?;
        objects.extend(object.map(|object| (id, Arc::new(object))));
    }
    // A mesh without objects of its own says nothing.
    Some(objects.iter().next().is_some() && matches!(around.routes(&objects), Ok(Some(_))))
}
