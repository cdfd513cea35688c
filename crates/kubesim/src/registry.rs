//! Which resources are served, and in which bucket their objects are kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::convert::Conversion;
use super::crd::{self, CrdVersion};
use super::kinds::{self, ResourceKind};
use super::merge_schema::MergeSchema;
use super::route::ResourcePath;
use super::store::{BucketId, Store};

/// A resource in one version, as it is served.
#[derive(Debug)]
pub struct Served {
    pub kind: ResourceKind,
    pub bucket: BucketId,
    /// `apps/v1`: of this version.
    pub api_version: String,
    /// How stored objects become objects of this version and back.
    pub conversion: Conversion,
    /// What a CustomResourceDefinition says about this version; `None` for built-in kinds.
    pub custom: Option<Arc<CrdVersion>>,
    /// How lists and maps of this kind merge.
    pub schema: Arc<MergeSchema>,
}

impl Served {
    /// Whether the object is of a built-in kind of this group and name.
    pub fn is(&self, group: &str, kind: &str) -> bool {
        self.kind.group == group && self.kind.kind == kind
    }

    /// Whether writes to the object itself leave `status` alone.
    pub fn isolates_status(&self) -> bool {
        self.kind.has_status
    }

    /// Whether the objects count their generations.
    pub fn counts_generations(&self) -> bool {
        // Kinds of the API's first years never did, and neither do those without a spec.
        let without =
            ["", "events.k8s.io", "coordination.k8s.io", "autoscaling", "rbac.authorization.k8s.io"];
        self.custom.is_some() || !without.contains(&self.kind.group.as_str())
    }

    /// Whether a change of annotations counts as one of the spec: Deployments alone do so.
    pub fn counts_annotations(&self) -> bool {
        self.is("apps", "Deployment")
    }
}

/// All served resources.
#[derive(Default)]
pub struct Registry {
    /// By group, then plural, then in order of preference.
    served: BTreeMap<(String, String), Vec<Arc<Served>>>,
    buckets: BTreeMap<(String, String), BucketId>,
    /// The preferred version of what each bucket keeps.
    stored: BTreeMap<BucketId, Arc<Served>>,
    /// Order of discovery.
    order: Vec<(String, String)>,
}

impl Registry {
    /// The built-in resources.
    pub fn builtin(store: &mut Store) -> Self {
        let mut registry = Self::default();
        for kind in kinds::builtin() {
            let schema = Arc::new(MergeSchema::for_builtin(&kind.group, &kind.kind));
            let conversion = Conversion::builtin(&kind);
            registry.add(kind, conversion, None, schema, store);
        }
        registry
    }

    fn add(
        &mut self,
        kind: ResourceKind,
        conversion: Conversion,
        custom: Option<Arc<CrdVersion>>,
        schema: Arc<MergeSchema>,
        store: &mut Store,
    ) {
        let place = (kind.group.clone(), kind.plural.clone());
        let stored = match kind.group.as_str() {
            // The two groups of events are one storage.
            "events.k8s.io" => (String::new(), kind.plural.clone()),
            _ => place.clone(),
        };
        let bucket = *self.buckets.entry(stored).or_insert_with(|| store.add_bucket());
        if !self.served.contains_key(&place) {
            self.order.push(place.clone());
        }
        let api_version = kind.api_version();
        let served = Arc::new(Served { kind, bucket, api_version, conversion, custom, schema });
        self.stored.entry(bucket).or_insert_with(|| served.clone());
        self.served.entry(place).or_default().push(served);
    }

    /// Serves the kinds of a CustomResourceDefinition, in place of what it said before.
    pub fn register(&mut self, definition: &Value, store: &mut Store) -> Result<(), String> {
        let versions = crd::parse_crd(definition)?;
        let Some(first) = versions.first() else { return Ok(()) };
        let place = (first.kind.group.clone(), first.kind.plural.clone());
        if self.served.get(&place).is_some_and(|all| all.iter().any(|s| s.custom.is_none())) {
            return Err(format!("{}.{} is a built-in resource", place.1, place.0));
        }
        self.withdraw(&place);
        let stored = versions.iter().find(|v| v.storage).unwrap_or(first).kind.api_version();
        for version in versions.into_iter().filter(|v| v.served) {
            let kind = version.kind.clone();
            let conversion = Conversion::between_versions(&kind.api_version(), &stored);
            let schema = Arc::new(version.merge_schema());
            self.add(kind, conversion, Some(Arc::new(version)), schema, store);
        }
        Ok(())
    }

    /// No longer serves a custom resource.
    pub fn unregister(&mut self, group: &str, plural: &str) {
        let place = (group.to_owned(), plural.to_owned());
        if self.served.get(&place).is_some_and(|all| all.iter().all(|s| s.custom.is_some())) {
            self.withdraw(&place);
        }
    }

    fn withdraw(&mut self, place: &(String, String)) {
        self.served.remove(place);
        self.order.retain(|p| p != place);
        if let Some(bucket) = self.buckets.get(place) {
            self.stored.remove(bucket);
        }
    }

    /// The resource of a path.
    pub fn at(&self, path: &ResourcePath) -> Option<&Arc<Served>> {
        let all = self.served.get(&(path.group.clone(), path.plural.clone()))?;
        all.iter().find(|s| s.kind.version == path.version)
    }

    /// The resource of an object's `apiVersion` and `kind`.
    pub fn of(&self, api_version: &str, kind: &str) -> Option<&Arc<Served>> {
        self.iter().find(|s| s.api_version == api_version && s.kind.kind == kind)
    }

    /// The bucket of a resource.
    pub fn bucket(&self, group: &str, plural: &str) -> Option<BucketId> {
        self.buckets.get(&(group.to_owned(), plural.to_owned())).copied()
    }

    /// The preferred version of the resource that is kept in this bucket.
    pub fn in_bucket(&self, bucket: BucketId) -> Option<&Arc<Served>> {
        self.stored.get(&bucket)
    }

    /// What people call it: `deploy`, `Deployment`, `deployments`, `deployments.apps`, `apps/v1/Deployment`.
    pub fn named(&self, word: &str) -> Option<&Arc<Served>> {
        if let Some((api_version, kind)) = word.rsplit_once('/') {
            return self.iter().find(|s| s.api_version == api_version && s.kind.is_called(kind));
        }
        let (name, group) = word.split_once('.').map_or((word, None), |(name, group)| (name, Some(group)));
        self.iter().find(|s| s.kind.is_called(name) && group.is_none_or(|g| s.kind.group == g))
    }

    /// All of them, in the order of discovery.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Served>> {
        self.order.iter().filter_map(|place| self.served.get(place)).flatten()
    }

    /// All of them, for discovery.
    pub fn kinds(&self) -> Vec<ResourceKind> {
        self.iter().map(|s| s.kind.clone()).collect()
    }
}
