//! Fixtures of this room: the `frontend` of an online shop, as a cluster holds it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::api::service::CanaryService;
use crate::model::object::{Kind, ObjectId, Objects, Write};
use crate::model::release::{Reference, Release, Settings};
use crate::model::testing;
use crate::model::traffic::{RouteState, RouteWish, Split};
use crate::model::workload::TargetShape;
use crate::router::registry::MESHES;
use crate::router::{Error, Router, View, plan};

pub fn release() -> Release {
    serving(CanaryService { port: 80, ..CanaryService::default() })
}

pub fn serving(service: CanaryService) -> Release {
    let mut release = testing::release("frontend", "shop").served_by(service);
    release.analysis.interval = Duration::from_secs(30);
    release
}

/// The release of an Ingress of the same name.
pub fn behind_ingress() -> Release {
    let ingress = Reference {
        api_version: "networking.k8s.io/v1".into(),
        kind: "Ingress".into(),
        name: "frontend".into(),
        namespace: "shop".into(),
    };
    Release { ingress: Some(ingress), ..release() }
}

/// That Ingress, as its user made it.
pub fn ingress() -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "frontend", "namespace": "shop", "resourceVersion": "7"},
        "spec": {"rules": [{
            "host": "shop.example.com",
            "http": {"paths": [{
                "path": "/", "pathType": "Prefix",
                "backend": {"service": {"name": "frontend", "port": {"number": 80}}},
            }]},
        }]},
    })
}

/// A wish for the canary's share, in percent.
pub fn canary_gets(percent: u32) -> RouteWish {
    RouteWish { split: Split::canary_gets(percent), ..RouteWish::default() }
}

/// A `spec.service` as users write it.
pub fn service(manifest: Value) -> CanaryService {
    serde_json::from_value(manifest).expect("a service")
}

pub fn shape() -> TargetShape {
    TargetShape { label_key: "app".into(), label_value: "frontend".into(), ..TargetShape::default() }
}

/// The writes that a router's wish for the traffic takes.
pub fn plan(
    router: &dyn Router,
    release: &Release,
    wish: &RouteWish,
    objects: &[Value],
) -> Result<Vec<Write>, Error> {
    looking(release, objects, |view| plan::routes(router, view, wish))
}

/// What the mesh is told now.
pub fn state(router: &dyn Router, release: &Release, objects: &[Value]) -> Result<Option<RouteState>, Error> {
    looking(release, objects, |view| router.state(view))
}

/// The writes that give everything back.
pub fn finalize(router: &dyn Router, release: &Release, objects: &[Value]) -> Result<Vec<Write>, Error> {
    looking(release, objects, |view| plan::restoration(router, view))
}

/// What `look` finds when these objects are all there is.
pub fn looking<T>(release: &Release, objects: &[Value], look: impl Fn(&View<'_>) -> T) -> T {
    let (shape, settings, seen) = (shape(), Settings::default(), seen(objects.to_vec()));
    look(&View { release, shape: &shape, settings: &settings, seen: &seen })
}

/// What the caches hold if these objects are all there is.
pub fn seen(objects: impl IntoIterator<Item = Value>) -> Objects {
    objects.into_iter().map(|object| (id_of(&object), Arc::new(object))).collect()
}

fn id_of(object: &Value) -> ObjectId {
    let registered = MESHES.iter().flat_map(|mesh| mesh.rights).map(|right| right.kind);
    let mut kinds = [Kind::SERVICE].into_iter().chain(registered);
    let version = &object["apiVersion"];
    let is =
        |kind: &Kind| object["kind"] == kind.kind && (version.is_null() || *version == kind.api_version());
    let kind = kinds.find(is).expect("a known kind");
    let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default().to_owned();
    kind.at(&text("namespace"), &text("name"))
}

/// The objects after the writes, as the API server would return them.
pub fn applied(objects: &[Value], writes: &[Write]) -> Vec<Value> {
    let mut objects = objects.to_vec();
    for write in writes {
        match write {
            Write::Create { object, .. } => {
                let mut object = object.clone();
                object["metadata"]["resourceVersion"] = json!("1");
                objects.push(object);
            }
            Write::Patch { id, patch, .. } => {
                let object =
                    objects.iter_mut().find(|object| id_of(object) == *id).expect("the patched object");
                json_patch::merge(object, patch);
            }
            Write::Delete { id } => objects.retain(|object| id_of(object) != *id),
        }
    }
    objects
}

pub fn patched(writes: &[Write]) -> Value {
    match writes {
        [Write::Patch { patch, .. }] => patch.clone(),
        other => panic!("not one patch: {other:?}"),
    }
}

/// `object` with a merge patch.
pub fn with(object: &Value, changes: Value) -> Value {
    let mut object = object.clone();
    json_patch::merge(&mut object, &changes);
    object
}

/// The object without its owners: as if a user had made it.
pub fn foreign(object: &Value) -> Value {
    with(object, json!({"metadata": {"ownerReferences": null}}))
}
