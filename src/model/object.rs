//! Cluster objects as plain values, and the writes that change them. Routers and workloads look at
//! [`Objects`] and answer with [`Write`]s; one writer in the controller carries them out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value, json};

/// Kind and version of an object, with the plural that its path uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Kind {
    /// Empty for the core group.
    pub group: &'static str,
    /// The version of the API, `v1` for example.
    pub version: &'static str,
    /// The kind as manifests write it, `Deployment` for example.
    pub kind: &'static str,
    /// The plural as paths of the API write it, `deployments` for example.
    pub plural: &'static str,
    /// Whether its objects belong to the whole cluster, and to no namespace.
    pub cluster_wide: bool,
}

impl Kind {
    /// A Deployment of the apps group.
    pub const DEPLOYMENT: Self = Self::new("apps", "v1", "Deployment", "deployments");
    /// A DaemonSet of the apps group.
    pub const DAEMON_SET: Self = Self::new("apps", "v1", "DaemonSet", "daemonsets");
    /// A Service of the core group; Knative has [another one](Self::KNATIVE_SERVICE).
    pub const SERVICE: Self = Self::new("", "v1", "Service", "services");
    /// A ConfigMap.
    pub const CONFIG_MAP: Self = Self::new("", "v1", "ConfigMap", "configmaps");
    /// A Secret.
    pub const SECRET: Self = Self::new("", "v1", "Secret", "secrets");
    /// A HorizontalPodAutoscaler.
    pub const HPA: Self =
        Self::new("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers");
    /// A ScaledObject, the autoscaler of KEDA.
    pub const SCALED_OBJECT: Self = Self::new("keda.sh", "v1alpha1", "ScaledObject", "scaledobjects");
    /// A Service of Knative, which is a workload with its own routing.
    pub const KNATIVE_SERVICE: Self = Self::new("serving.knative.dev", "v1", "Service", "services");
    /// A Revision of Knative, which is one state of a Knative Service.
    pub const KNATIVE_REVISION: Self = Self::new("serving.knative.dev", "v1", "Revision", "revisions");
    /// A Canary, the manifest of a release.
    pub const CANARY: Self = Self::new("flagger.app", "v1beta1", "Canary", "canaries");

    /// Annotation of a Knative Service: the revision that is the primary.
    pub const PRIMARY_REVISION: &str = "flagger.app/primary-revision";

    /// A kind by its group, version, name and plural, whose objects live in namespaces.
    pub const fn new(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        plural: &'static str,
    ) -> Self {
        Self { group, version, kind, plural, cluster_wide: false }
    }

    /// The same kind, but of objects that belong to no namespace.
    #[must_use]
    pub const fn cluster_wide(self) -> Self {
        Self { cluster_wide: true, ..self }
    }

    /// `group/version`, or the version alone for the core group.
    pub fn api_version(self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// Whether objects of this kind live in the cluster of the workloads, also where a mesh is configured in another
    /// one (spec 03 §1.2).
    pub fn is_local(self) -> bool {
        const LOCAL: [&str; 8] = [
            "",
            "apps",
            "autoscaling",
            "discovery.k8s.io",
            "keda.sh",
            "networking.k8s.io",
            "serving.knative.dev",
            "flagger.app",
        ];
        LOCAL.contains(&self.group)
    }

    /// The object `name` of this kind in `namespace`; an empty namespace is the cluster's scope.
    pub fn at(self, namespace: &str, name: &str) -> ObjectId {
        ObjectId { kind: self, namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

/// Names one object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ObjectId {
    /// The kind of the object.
    pub kind: Kind,
    /// The namespace of the object; empty for an object of the cluster's scope.
    pub namespace: String,
    /// The name of the object.
    pub name: String,
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.kind, self.name)?;
        if self.namespace.is_empty() { Ok(()) } else { write!(f, ".{}", self.namespace) }
    }
}

/// Objects as the caches hold them. An absent entry is an object that does not exist.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Objects {
    objects: BTreeMap<ObjectId, Arc<Value>>,
    /// Objects that are there and that nobody looks at.
    names: BTreeSet<ObjectId>,
}

impl Objects {
    /// Adds an object, in place of one that had the same id.
    pub fn insert(&mut self, id: ObjectId, object: Arc<Value>) {
        self.objects.insert(id, object);
    }

    /// The object, if it exists.
    pub fn get(&self, id: &ObjectId) -> Option<&Value> {
        self.objects.get(id).map(Arc::as_ref)
    }

    /// The object, to be kept.
    pub fn shared(&self, id: &ObjectId) -> Option<Arc<Value>> {
        self.objects.get(id).cloned()
    }

    /// Notes objects that are there beside those that are looked at, by their names.
    pub fn note_names(&mut self, names: impl IntoIterator<Item = ObjectId>) {
        self.names.extend(names);
    }

    /// The objects of a kind that are known by name, as far as somebody asked for them.
    pub fn names(&self, kind: Kind) -> impl Iterator<Item = &ObjectId> {
        self.names.iter().filter(move |id| id.kind == kind)
    }

    /// All objects, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (&ObjectId, &Value)> {
        self.objects.iter().map(|(id, object)| (id, object.as_ref()))
    }
}

impl Extend<(ObjectId, Arc<Value>)> for Objects {
    fn extend<I: IntoIterator<Item = (ObjectId, Arc<Value>)>>(&mut self, objects: I) {
        self.objects.extend(objects);
    }
}

impl FromIterator<(ObjectId, Arc<Value>)> for Objects {
    fn from_iter<I: IntoIterator<Item = (ObjectId, Arc<Value>)>>(objects: I) -> Self {
        Self { objects: objects.into_iter().collect(), names: BTreeSet::new() }
    }
}

/// One write to the cluster. Each may be repeated without harm.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Write {
    /// Create the object; it is an error if it exists meanwhile.
    Create {
        /// The object to create.
        id: ObjectId,
        /// The whole object.
        object: Value,
    },
    /// A JSON merge patch that names only what changes, valid only for the version that was looked at.
    Patch {
        /// The object to change.
        id: ObjectId,
        /// The `metadata.resourceVersion` of the version that was looked at.
        resource_version: String,
        /// The merge patch.
        patch: Value,
    },
    /// Delete the object; its absence is success.
    Delete {
        /// The object to delete.
        id: ObjectId,
    },
}

impl Write {
    /// The object written.
    pub fn id(&self) -> &ObjectId {
        match self {
            Self::Create { id, .. } | Self::Patch { id, .. } | Self::Delete { id } => id,
        }
    }

    /// The patch that turns `live` into `desired`, or `None` if they agree. `desired` is meant to be an edited
    /// copy of `live`, so that what others own stays as it is (P9).
    pub fn update(id: ObjectId, live: &Value, desired: &Value) -> Option<Self> {
        let patch = merge_patch(live, desired)?;
        let resource_version = live["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
        Some(Self::Patch { id, resource_version, patch })
    }

    /// The patch that brings `changes`, a merge patch, to the live object; `None` if it has them already.
    pub fn merge(id: ObjectId, live: &Value, changes: &Value) -> Option<Self> {
        let mut desired = live.clone();
        json_patch::merge(&mut desired, &without_empty(changes));
        Self::update(id, live, &desired)
    }

    /// A patch of `live` that is written out by the caller.
    pub fn patch(id: ObjectId, live: &Value, patch: Value) -> Self {
        let resource_version = live["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
        Self::Patch { id, resource_version, patch }
    }
}

/// A merge patch without the parts that only say "an object, changed in nothing": they would create it.
fn without_empty(changes: &Value) -> Value {
    let Some(fields) = changes.as_object() else { return changes.clone() };
    let kept = fields.iter().map(|(key, value)| (key.clone(), without_empty(value)));
    Value::Object(
        kept.filter(|(_, value)| value.as_object().is_none_or(|fields| !fields.is_empty())).collect(),
    )
}

/// The smallest JSON merge patch from `live` to `desired`; `None` if they are equal. A null in `desired` counts
/// as an absent field, since merge patches cannot say null.
pub fn merge_patch(live: &Value, desired: &Value) -> Option<Value> {
    match (live, desired) {
        (Value::Object(live), Value::Object(desired)) => {
            let mut patch = Map::new();
            for (key, wanted) in desired {
                match live.get(key) {
                    Some(present) => {
                        if let Some(inner) = merge_patch(present, wanted) {
                            patch.insert(key.clone(), inner);
                        }
                    }
                    None if wanted.is_null() => {}
                    None => {
                        patch.insert(key.clone(), wanted.clone());
                    }
                }
            }
            for key in live.keys().filter(|key| !desired.contains_key(*key)) {
                patch.insert(key.clone(), Value::Null);
            }
            (!patch.is_empty()).then_some(Value::Object(patch))
        }
        _ if live == desired => None,
        _ => Some(desired.clone()),
    }
}

/// The owner reference of an object's controller, if it has one.
pub fn controller(object: &Value) -> Option<&Value> {
    object["metadata"]["ownerReferences"].as_array()?.iter().find(|owner| owner["controller"] == true)
}

/// `metadata.ownerReferences` that make a Canary the controller of an object (spec 01 §0).
pub fn owner_references(canary: &str, uid: &str) -> Value {
    json!([{
        "apiVersion": "flagger.app/v1beta1",
        "kind": "Canary",
        "name": canary,
        "uid": uid,
        "controller": true,
        "blockOwnerDeletion": true,
    }])
}

/// Whether an owner reference names the Canary `canary`. A kind of that name in another API group is none of ours.
pub fn is_canary(owner: &Value, canary: &str) -> bool {
    is_any_canary(owner) && owner["name"] == canary
}

/// Whether an owner reference names a Canary.
pub fn is_any_canary(owner: &Value) -> bool {
    let group = owner["apiVersion"].as_str().map(|version| version.split('/').next().unwrap_or_default());
    owner["kind"] == "Canary" && group.is_none_or(|group| group == "flagger.app")
}

/// The owner references of `live` with the Canary `canary` of this `uid` in the place of an earlier one of that name;
/// `None` if there is none to replace. The cluster is about to collect what the earlier one owned, with all that a
/// Canary which was created again relies on.
pub fn adopted(live: &Value, canary: &str, uid: &str) -> Option<Value> {
    let mut owners = live["metadata"]["ownerReferences"].as_array()?.clone();
    let earlier = |owner: &&mut Value| {
        is_canary(owner, canary)
            && owner["uid"].as_str().is_some_and(|found| !found.is_empty() && found != uid)
    };
    let mut found = false;
    for owner in owners.iter_mut().filter(earlier) {
        owner["uid"] = json!(uid);
        found = true;
    }
    found.then_some(Value::Array(owners))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_that_was_created_again_owns_what_its_predecessor_owned() {
        let owner = |version: &str, kind: &str, name: &str, uid: &str| json!({"apiVersion": version, "kind": kind, "name": name, "uid": uid, "controller": true});
        let live = |owners: &[Value]| json!({"metadata": {"ownerReferences": owners}});
        let other = owner("v1", "ConfigMap", "frontend", "x-1");
        let old = owner("flagger.app/v1beta1", "Canary", "frontend", "u-1");
        let new = owner("flagger.app/v1beta1", "Canary", "frontend", "u-2");
        assert_eq!(
            adopted(&live(&[other.clone(), old]), "frontend", "u-2"),
            Some(json!([other, new.clone()]))
        );
        for nothing in [
            live(&[new]),
            live(&[owner("flagger.app/v1beta1", "Canary", "checkout", "u-1")]),
            live(&[owner("look.alike/v1", "Canary", "frontend", "u-1")]),
            live(&[json!({"kind": "Canary", "name": "frontend"})]),
            json!({"metadata": {}}),
        ] {
            assert_eq!(adopted(&nothing, "frontend", "u-2"), None, "{nothing}");
        }
    }

    #[test]
    fn a_patch_names_only_what_changes() {
        let live = json!({"metadata": {"resourceVersion": "7"}, "spec": {"replicas": 1, "paused": true, "a": [1, 2]}});
        let mut desired = live.clone();
        desired["spec"]["replicas"] = json!(3);
        desired["spec"].as_object_mut().expect("an object").remove("paused");
        let write = Write::update(Kind::DEPLOYMENT.at("shop", "frontend"), &live, &desired);
        assert_eq!(
            write,
            Some(Write::Patch {
                id: Kind::DEPLOYMENT.at("shop", "frontend"),
                resource_version: "7".into(),
                patch: json!({"spec": {"replicas": 3, "paused": null}}),
            })
        );
    }

    #[test]
    fn no_patch_where_nothing_changes() {
        let live = json!({"spec": {"replicas": 1}});
        assert_eq!(Write::update(Kind::DEPLOYMENT.at("shop", "frontend"), &live, &live.clone()), None);
    }
}
