//! The routes of the simulated world, as the router of each Canary reads them: whatever mesh it is.

use std::sync::Arc;

use kubesim::KubeSim;
use serde_json::Value;

use crate::judge;
use crate::judge::route_template::Known;
use crate::model::object::{ObjectId, Objects};
use crate::model::release::{Release, Settings};
use crate::model::traffic::RouteState;
use crate::model::workload::TargetShape;
use crate::router::{View, registry};

/// Reads the routes of a cluster.
#[derive(Clone)]
pub struct Routes {
    kube: KubeSim,
    settings: Settings,
}

impl Routes {
    /// The routes of `kube` under a controller with these settings.
    pub fn new(kube: KubeSim, settings: Settings) -> Self {
        Self { kube, settings }
    }

    /// All Canaries as the controller reads them, also those that ask for what it refuses.
    pub fn releases(&self) -> Vec<Release> {
        let known = Known { templates: self.kube.list("routetemplates.flagger.app", None), unreadable: None };
        let canaries = self.kube.list("canaries.flagger.app", None);
        let releases = canaries.into_iter().filter_map(|mut canary| {
            // What an edit asks for may be refused: the routes of before it are still there. A Canary that is being
            // deleted is read whatever it asks for.
            canary["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
            judge::reading(&canary, &self.settings, &known).release.ok()
        });
        releases.map(|release| *release).collect()
    }

    /// What the mesh of a release is told now; `None` while it has no routes, or no mesh at all.
    pub fn of(&self, release: &Release) -> Option<RouteState> {
        let router = registry::router_of(release)?;
        let reads = router.reads(release);
        if reads.is_empty() {
            return None;
        }
        let objects = reads.into_iter().filter_map(|id| {
            let object = self.kube.get(&resource(&id), &id.namespace, &id.name)?;
            Some((id, Arc::new(object)))
        });
        self.read(release, objects.collect())
    }

    /// What `object`, which has just changed, tells the mesh of a release, if it is its route.
    pub fn in_object(&self, release: &Release, object: &Value) -> Option<RouteState> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (kind, name) = (text(&object["kind"]), text(&object["metadata"]["name"]));
        let namespace = text(&object["metadata"]["namespace"]);
        let group = text(&object["apiVersion"])
            .split_once('/')
            .map_or_else(String::new, |(group, _)| group.to_owned());
        let is = |id: &ObjectId| {
            id.kind.kind == kind && id.kind.group == group && id.name == name && id.namespace == namespace
        };
        let id = registry::router_of(release)?.reads(release).into_iter().find(is)?;
        self.read(release, [(id, Arc::new(object.clone()))].into_iter().collect())
    }

    fn read(&self, release: &Release, seen: Objects) -> Option<RouteState> {
        let shape = TargetShape::default();
        let view = View { release, shape: &shape, settings: &self.settings, seen: &seen };
        registry::router_of(release)?.state(&view).ok()?
    }
}

fn resource(id: &ObjectId) -> String {
    if id.kind.group.is_empty() {
        id.kind.plural.to_owned()
    } else {
        format!("{}.{}", id.kind.plural, id.kind.group)
    }
}
