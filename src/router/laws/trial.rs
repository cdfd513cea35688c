//! A release and a mesh to try laws on, with no cluster: what is written is applied to values.

use std::sync::Arc;

use serde_json::Value;

use super::Broken;
use crate::model::object::{Kind, ObjectId, Objects, Write};
use crate::model::release::{Release, Settings};
use crate::model::traffic::{RouteState, RouteWish};
use crate::model::workload::TargetShape;
use crate::router::{Error, Router, View, plan};

/// A release, what is wished of its mesh, and what is there before.
#[derive(Clone)]
pub struct Trial {
    /// What translates.
    pub router: &'static dyn Router,
    /// The release.
    pub release: Release,
    /// What the controller was told.
    pub settings: Settings,
    /// The kinds that objects may be of.
    pub kinds: Vec<Kind>,
    /// What is wished first.
    pub wish: RouteWish,
    /// The objects that are there before.
    pub before: Vec<Value>,
}

impl Trial {
    /// The writes that a wish takes where these objects are there.
    ///
    /// # Errors
    /// As [`plan::routes`].
    pub fn plan(&self, wish: &RouteWish, objects: &[Value]) -> Result<Vec<Write>, Error> {
        self.looking(objects, |view| plan::routes(self.router, view, wish))
    }

    /// The objects after a wish came true.
    ///
    /// # Errors
    /// As [`plan::routes`].
    pub fn wished(&self, wish: &RouteWish, objects: &[Value]) -> Result<Vec<Value>, Broken> {
        Ok(applied(objects, &self.plan(wish, objects)?))
    }

    /// The objects after the first wish came true.
    ///
    /// # Errors
    /// As [`plan::routes`].
    pub fn after(&self) -> Result<Vec<Value>, Broken> {
        self.wished(&self.wish, &self.before)
    }

    /// What the mesh is told by these objects.
    ///
    /// # Errors
    /// As [`Router::state`].
    pub fn state(&self, objects: &[Value]) -> Result<Option<RouteState>, Error> {
        self.looking(objects, |view| self.router.state(view))
    }

    /// What `look` finds when these objects are all there is. As in the controller, it sees no others than those that
    /// the router says it reads.
    pub fn looking<T>(&self, objects: &[Value], look: impl Fn(&View<'_>) -> T) -> T {
        let target = self.release.target.name.clone();
        let shape = TargetShape { label_key: "app".into(), label_value: target, ..TargetShape::default() };
        let reads = self.router.reads(&self.release);
        let all = objects.iter().filter_map(|object| Some((self.id_of(object)?, Arc::new(object.clone()))));
        let seen: Objects = all.filter(|(id, _)| reads.contains(id)).collect();
        look(&View { release: &self.release, shape: &shape, settings: &self.settings, seen: &seen })
    }

    fn id_of(&self, object: &Value) -> Option<ObjectId> {
        let is = |kind: &&Kind| object["kind"] == kind.kind && object["apiVersion"] == kind.api_version();
        let kind = self.kinds.iter().find(is)?;
        let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default().to_owned();
        Some(kind.at(&text("namespace"), &text("name")))
    }
}

/// The objects after the writes, as a server without defaults returns them.
pub fn applied(objects: &[Value], writes: &[Write]) -> Vec<Value> {
    let mut objects = objects.to_vec();
    for write in writes {
        let names = |object: &Value| title(object) == write.id().to_string();
        match write {
            Write::Create { object, .. } => objects.push(object.clone()),
            Write::Patch { patch, .. } => {
                if let Some(object) = objects.iter_mut().find(|object| names(object)) {
                    json_patch::merge(object, patch);
                }
            }
            Write::Delete { .. } => objects.retain(|object| !names(object)),
        }
    }
    objects
}

/// `Kind name.namespace`
pub fn title(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let metadata = &object["metadata"];
    let namespace = text(&metadata["namespace"]);
    let dot = if namespace.is_empty() { "" } else { "." };
    format!("{} {}{dot}{namespace}", text(&object["kind"]), text(&metadata["name"]))
}
