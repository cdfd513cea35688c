//! Tracking of ConfigMaps and Secrets, on a cluster of plain values.

mod copies;
mod primaries;
mod tracking;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::reduced;
use crate::model::object::{Kind, ObjectId, Objects, Write};
use crate::model::release::{Release, Settings, TargetKind};
use crate::workload::Workload;
use crate::workload::testing::{frontend, registered, release};

/// With tracking.
fn settings() -> Settings {
    Settings::default()
}

fn config_map(name: &str, data: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "shop", "uid": format!("cm-{name}"), "resourceVersion": "1"},
        "data": data,
    })
}

fn secret(name: &str, kind: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": name, "namespace": "shop", "uid": format!("s-{name}"), "resourceVersion": "1"},
        "type": kind,
        "data": {"apiKey": "dGVzdA==", "username": "dGVzdA=="},
    })
}

fn with(mut object: Value, changes: Value) -> Value {
    json_patch::merge(&mut object, &changes);
    object
}

fn settings_id() -> ObjectId {
    Kind::CONFIG_MAP.at("shop", "frontend-settings")
}

fn copy_id() -> ObjectId {
    Kind::CONFIG_MAP.at("shop", "frontend-settings-primary")
}

fn own_copy_id() -> ObjectId {
    Kind::CONFIG_MAP.at("shop", "frontend-settings-primary-frontend")
}

fn target_id() -> ObjectId {
    Kind::DEPLOYMENT.at("shop", "frontend")
}

fn primary_id() -> ObjectId {
    Kind::DEPLOYMENT.at("shop", "frontend-primary")
}

/// Objects, and a writer for them.
#[derive(Clone, Default)]
struct Cluster(BTreeMap<ObjectId, Value>);

impl Cluster {
    /// The frontend and the ConfigMap that it refers to, nothing else.
    fn new() -> Self {
        Self::of([frontend(), config_map("frontend-settings", json!({"currency": "EUR"}))])
    }

    /// The same once its primary was created.
    fn released() -> Self {
        let mut cluster = Self::new();
        cluster.create(&release());
        cluster
    }

    fn of(objects: impl IntoIterator<Item = Value>) -> Self {
        let mut cluster = Self::default();
        objects.into_iter().for_each(|object| cluster.put(object));
        cluster
    }

    fn put(&mut self, object: Value) {
        let kinds = [Kind::DEPLOYMENT, Kind::CONFIG_MAP, Kind::SECRET];
        let kind = kinds.into_iter().find(|kind| object["kind"] == kind.kind).expect("a known kind");
        let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default().to_owned();
        self.0.insert(kind.at(&text("namespace"), &text("name")), object);
    }

    fn edit(&mut self, id: &ObjectId, changes: Value) {
        json_patch::merge(self.0.get_mut(id).expect("an object"), &changes);
    }

    fn get(&self, id: &ObjectId) -> &Value {
        self.0.get(id).unwrap_or(&Value::Null)
    }

    /// What the caches hold.
    fn seen(&self) -> Objects {
        self.view(|id| super::KINDS.contains(&id.kind))
    }

    /// The same with the contents of `read`.
    fn seen_with(&self, read: &[ObjectId]) -> Objects {
        self.view(|id| super::KINDS.contains(&id.kind) && !read.contains(id))
    }

    fn view(&self, reduce: impl Fn(&ObjectId) -> bool) -> Objects {
        let entries = self.0.iter().map(|(id, object)| {
            (id.clone(), Arc::new(if reduce(id) { reduced(object) } else { object.clone() }))
        });
        entries.collect()
    }

    /// What the workload needs to read, and then would write, for `step`.
    fn plan(&self, release: &Release, step: Step) -> (Vec<ObjectId>, Vec<Write>) {
        let read = workload().contents(release, &settings(), &self.seen()).expect("contents");
        let seen = self.seen_with(&read);
        let writes = step(workload(), release, &settings(), &seen, "id").expect("writes");
        (read, writes)
    }

    fn create(&mut self, release: &Release) {
        let (_, writes) = self.plan(release, create);
        self.carry_out(writes);
    }

    fn promote(&mut self, release: &Release) {
        let (_, writes) = self.plan(release, promote);
        self.carry_out(writes);
    }

    fn carry_out(&mut self, writes: Vec<Write>) {
        for write in writes {
            match write {
                Write::Create { id, object } => {
                    assert!(!self.0.contains_key(&id), "{id} is there already");
                    self.put(with(object, json!({"metadata": {"resourceVersion": "1"}})));
                }
                Write::Patch { id, patch, .. } => self.edit(&id, patch),
                Write::Delete { id } => assert!(self.0.remove(&id).is_some(), "{id} is not there"),
            }
        }
    }
}

type Step =
    fn(&dyn Workload, &Release, &Settings, &Objects, &str) -> Result<Vec<Write>, crate::workload::Error>;

fn create(
    workload: &dyn Workload,
    release: &Release,
    settings: &Settings,
    seen: &Objects,
    id: &str,
) -> Result<Vec<Write>, crate::workload::Error> {
    workload.create_primary(release, settings, seen, id)
}

fn promote(
    workload: &dyn Workload,
    release: &Release,
    settings: &Settings,
    seen: &Objects,
    id: &str,
) -> Result<Vec<Write>, crate::workload::Error> {
    workload.promote(release, settings, seen, id)
}

fn workload() -> &'static dyn Workload {
    registered(TargetKind::Deployment)
}

/// What the primary's first container reads its currency from.
fn reference(cluster: &Cluster) -> String {
    let pod = &cluster.get(&primary_id())["spec"]["template"]["spec"];
    pod["containers"][0]["env"][2]["valueFrom"]["configMapKeyRef"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}
