//! The rules of writing: what a create, update, patch, apply or delete makes of an object.
//!
//! Everything works on objects in their stored version; patches alone are applied in the version that was asked for.

mod admit;
mod delete;
mod metadata;
pub mod names;
mod patch;
mod scale;

use std::sync::Arc;

use serde_json::{Value, json};

use self::admit::Validation;
pub(super) use self::admit::envelope;
pub(super) use self::delete::{DeleteOptions, Deleted, FOREGROUND, ORPHAN, Propagation};
pub(super) use self::patch::Patch;
pub(super) use self::scale::of as scale_of;
use super::apply::{self, Manager, Operation};
use super::builtin;
use super::cluster::{Cluster, Namespaces};
use super::error::{ApiStatus, FieldError};
use super::kinds::ResourceKind;
use super::registry::Served;
use super::route::Query;
use super::store::{Key, Object};

/// The object that is written to.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub served: Arc<Served>,
    pub key: Key,
}

/// Which part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Main,
    Status,
    Scale,
}

impl Part {
    /// The part that a subresource means; `None` when there is no such subresource.
    pub(super) fn of(served: &Served, subresource: Option<&str>) -> Option<Self> {
        match subresource {
            None => Some(Self::Main),
            Some("status") if served.kind.has_status => Some(Self::Status),
            Some("scale") if served.kind.has_scale => Some(Self::Scale),
            Some(_) => None,
        }
    }

    fn subresource(self) -> Option<&'static str> {
        match self {
            Self::Main => None,
            Self::Status => Some("status"),
            Self::Scale => Some("scale"),
        }
    }
}

/// Who writes, and how.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    /// The field manager.
    pub manager: String,
    pub dry_run: bool,
    /// Takes over fields of other managers.
    pub force: bool,
    pub validation: Validation,
    /// Puts whole objects, status included: only for those that set the cluster up.
    pub whole: bool,
}

impl Writer {
    /// A plain writer of this name.
    pub(super) fn named(manager: &str) -> Self {
        Self {
            manager: manager.into(),
            dry_run: false,
            force: false,
            validation: Validation::default(),
            whole: false,
        }
    }

    /// The writer that a request's parameters describe.
    pub(super) fn of(query: &Query, caller: &str, options: &str) -> Result<Self, ApiStatus> {
        if query.dry_run.iter().any(|d| d != "All") {
            let error = FieldError::not_supported("dryRun", &json!(query.dry_run), &["All"]);
            return Err(invalid_options(options, error));
        }
        let validation = Validation::parse(query.field_validation.as_deref())
            .map_err(|error| invalid_options(options, error))?;
        Ok(Self {
            manager: query.field_manager.as_deref().unwrap_or(caller).to_owned(),
            dry_run: !query.dry_run.is_empty(),
            force: query.force,
            validation,
            whole: false,
        })
    }
}

/// 422 for a parameter of a request: `PatchOptions.meta.k8s.io "" is invalid: …`.
pub(super) fn invalid_options(options: &str, error: FieldError) -> ApiStatus {
    let kind = ResourceKind {
        group: "meta.k8s.io".into(),
        version: "v1".into(),
        kind: options.into(),
        list_kind: String::new(),
        plural: String::new(),
        singular: String::new(),
        short_names: Vec::new(),
        categories: Vec::new(),
        namespaced: false,
        has_status: false,
        has_scale: false,
        verbs: Vec::new(),
    };
    ApiStatus::invalid(&kind, "", &[error])
}

/// A write that was carried out.
#[derive(Debug)]
pub(super) struct Outcome {
    pub object: Arc<Object>,
    pub created: bool,
    pub warnings: Vec<String>,
}

/// Who owns what is written.
enum Ownership {
    /// The writer owns what it changes.
    Track,
    /// `managedFields` are already right.
    Applied,
}

impl Cluster {
    /// Creates an object in `namespace` ("" for cluster-wide ones).
    pub(super) fn create(
        &mut self,
        served: &Arc<Served>,
        namespace: &str,
        mut object: Value,
        by: &Writer,
    ) -> Result<Outcome, ApiStatus> {
        admit::envelope(served, namespace, &mut object)?;
        self.name_it(served, &mut object)?;
        if object["metadata"]["resourceVersion"].as_str().is_some_and(|v| !v.is_empty() && v != "0") {
            return Err(ApiStatus::bad_request("resourceVersion should not be set on objects to be created"));
        }
        let target =
            Target { served: served.clone(), key: Key::new(namespace, Self::metadata(&object, "name")) };
        let object = served.conversion.store(object);
        self.insert(&target, object, by, Ownership::Track)
    }

    /// Replaces an object, or its status, or its scale.
    pub(super) fn update(
        &mut self,
        target: &Target,
        part: Part,
        mut object: Value,
        by: &Writer,
    ) -> Result<Outcome, ApiStatus> {
        let before = self.existing(target)?;
        if part == Part::Scale {
            return self.update_scale(target, &before, &object, by);
        }
        admit::envelope(&target.served, &target.key.namespace, &mut object)?;
        metadata::check_identity(target, &before, &object)?;
        // Custom resources must say which version they replace.
        if target.served.custom.is_some()
            && !by.whole
            && Self::metadata(&object, "resourceVersion").is_empty()
        {
            let error =
                FieldError::invalid("metadata.resourceVersion", &json!(0), "must be specified for an update");
            let kind = ResourceKind { kind: target.served.kind.plural.clone(), ..target.served.kind.clone() };
            return Err(ApiStatus::invalid(&kind, &target.key.name, &[error]));
        }
        let object = target.served.conversion.store(object);
        self.replace(target, &before, object, part, by, Ownership::Track)
    }

    /// Patches an object, its status or its scale; a server-side apply creates what is not there.
    pub(super) fn patch(
        &mut self,
        target: &Target,
        part: Part,
        patch: &Patch,
        by: &Writer,
    ) -> Result<Outcome, ApiStatus> {
        if let Patch::Apply(applied) = patch {
            return self.apply(target, part, applied, by);
        }
        let before = self.existing(target)?;
        if part == Part::Scale {
            let scale = scale::of(&target.served, before.value());
            let patched = patch.on(&scale, &target.served)?;
            return self.update_scale(target, &before, &patched, by);
        }
        let live = target.served.conversion.serve(before.value().clone());
        let mut patched = patch.on(&live, &target.served)?;
        admit::envelope(&target.served, &target.key.namespace, &mut patched)?;
        metadata::check_uid(target, &before, &patched)?;
        metadata::check_identity(target, &before, &patched)?;
        let object = target.served.conversion.store(patched);
        self.replace(target, &before, object, part, by, Ownership::Track)
    }

    fn apply(
        &mut self,
        target: &Target,
        part: Part,
        applied: &Value,
        by: &Writer,
    ) -> Result<Outcome, ApiStatus> {
        let served = &target.served;
        let applied = patch::applied_object(target, applied)?;
        if part != Part::Scale {
            admit::declared(served, &applied)?;
        }
        let before = self.store.get(served.bucket, &target.key).cloned();
        let manager = self.manager(&by.manager, Operation::Apply, &served.api_version, part);
        if let Some(before) = &before {
            metadata::check_identity(target, before, &applied)?;
        }
        let live = before.as_ref().map(|b| served.conversion.serve(b.value().clone()));
        if let (Part::Scale, Some(before)) = (part, &before) {
            return self.update_scale(target, before, &applied, by);
        }
        let mut merged =
            apply::server_side_apply(live.as_ref(), &applied, &manager, by.force, &served.schema)
                .map_err(|why| why.status())?;
        admit::envelope(served, &target.key.namespace, &mut merged)?;
        let Some(before) = before else {
            if part != Part::Main {
                return Err(ApiStatus::not_found(&served.kind, &target.key.name));
            }
            let merged = served.conversion.store(merged);
            return self.insert(target, merged, by, Ownership::Applied);
        };
        let merged = served.conversion.store(merged);
        self.replace(target, &before, merged, part, by, Ownership::Applied)
    }

    /// The object, or 404.
    pub(super) fn existing(&self, target: &Target) -> Result<Arc<Object>, ApiStatus> {
        let found = self.store.get(target.served.bucket, &target.key);
        found.cloned().ok_or_else(|| ApiStatus::not_found(&target.served.kind, &target.key.name))
    }

    fn insert(
        &mut self,
        target: &Target,
        mut object: Value,
        by: &Writer,
        ownership: Ownership,
    ) -> Result<Outcome, ApiStatus> {
        let served = target.served.clone();
        let (key, name) = (&target.key, &*target.key.name);
        self.open_namespace(target, by)?;
        if !by.whole {
            admit::initial_status(&served, &mut object);
        }
        let warnings = admit::admit(&served, &mut object, None, by.validation)?;
        if self.store.get(served.bucket, key).is_some() {
            return Err(ApiStatus::already_exists(&served.kind, name));
        }
        let meta = &mut object["metadata"];
        metadata::clear(
            meta,
            &["resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation"],
        );
        if !(by.whole && meta["uid"].is_string()) {
            meta["uid"] = json!(self.names.uid());
        }
        if !(by.whole && meta["creationTimestamp"].is_string()) {
            meta["creationTimestamp"] = json!(self.clock.stamp());
        }
        if served.counts_generations() {
            meta["generation"] = json!(1);
        }
        if let Ownership::Track = ownership {
            metadata::clear(meta, &["managedFields"]);
            let manager = self.manager(&by.manager, Operation::Update, &served.api_version, Part::Main);
            apply::track_update(None, &mut object, &manager, &served.schema);
        }
        // What the server hands out belongs to no manager.
        self.allocate(&served, &mut object, None)?;
        builtin::complete(&served, &mut object);
        if served.is("apiextensions.k8s.io", "CustomResourceDefinition") {
            self.accept_definition(name, &mut object)?;
        }
        if by.dry_run {
            metadata::clear(&mut object["metadata"], &["resourceVersion"]);
            return Ok(Outcome { object: Arc::new(Object::draft(object, 0)), created: true, warnings });
        }
        let object = self.store.put(served.bucket, key, object);
        self.committed(&served, &object)?;
        Ok(Outcome { object, created: true, warnings })
    }

    fn replace(
        &mut self,
        target: &Target,
        before: &Arc<Object>,
        mut object: Value,
        part: Part,
        by: &Writer,
        ownership: Ownership,
    ) -> Result<Outcome, ApiStatus> {
        let served = target.served.clone();
        let old = before.value();
        if part == Part::Status {
            object = metadata::with_status_of(old, object);
        } else {
            metadata::preserve(old, &mut object);
            if served.isolates_status() && !by.whole {
                metadata::copy_status(old, &mut object);
            }
        }
        metadata::check_finalizers(target, old, &object)?;
        let warnings = admit::admit(&served, &mut object, Some(old), by.validation)?;
        self.allocate(&served, &mut object, Some(old))?;
        let annotated = served.counts_annotations()
            && part == Part::Main
            && old["metadata"]["annotations"] != object["metadata"]["annotations"];
        if served.counts_generations()
            && (annotated || metadata::spec_differs(old, &object, served.isolates_status()))
        {
            metadata::bump_generation(&mut object);
        }
        if let Ownership::Track = ownership {
            let manager = self.manager(&by.manager, Operation::Update, &served.api_version, part);
            apply::track_update(Some(old), &mut object, &manager, &served.schema);
        }
        if served.is("apiextensions.k8s.io", "CustomResourceDefinition") {
            self.accept_definition(&target.key.name, &mut object)?;
        }
        if by.dry_run {
            return Ok(Outcome {
                object: Arc::new(Object::draft(object, before.revision())),
                created: false,
                warnings,
            });
        }
        let object = self.settle(target, object)?;
        Ok(Outcome { object, created: false, warnings })
    }

    /// Stores an object that exists; one that was only waiting for this goes instead, unwritten.
    fn settle(&mut self, target: &Target, object: Value) -> Result<Arc<Object>, ApiStatus> {
        let (bucket, key) = (target.served.bucket, &target.key);
        if metadata::may_go(&object) {
            let revision = self.remove(&target.served, key).map_or(0, |gone| gone.revision());
            return Ok(Arc::new(Object::draft(object, revision)));
        }
        let object = self.store.put(bucket, key, object);
        self.committed(&target.served, &object)?;
        Ok(object)
    }

    /// A write by the cluster's own controllers: no admission, no status isolation.
    pub(super) fn write(&mut self, target: &Target, part: Part, mut object: Value) -> Option<Arc<Object>> {
        let before = self.store.get(target.served.bucket, &target.key)?.clone();
        if target.served.counts_generations() && metadata::spec_differs(before.value(), &object, true) {
            metadata::bump_generation(&mut object);
            let manager =
                self.manager("kube-controller-manager", Operation::Update, &target.served.api_version, part);
            apply::track_update(Some(before.value()), &mut object, &manager, &target.served.schema);
        }
        self.settle(target, object).ok()
    }

    fn manager<'a>(
        &self,
        name: &'a str,
        operation: Operation,
        api_version: &'a str,
        part: Part,
    ) -> Manager<'a> {
        Manager { name, operation, api_version, subresource: part.subresource(), now: self.clock.now() }
    }

    fn name_it(&mut self, served: &Served, object: &mut Value) -> Result<(), ApiStatus> {
        let meta = &mut object["metadata"];
        if meta["name"].as_str().is_none_or(str::is_empty) {
            let base = meta["generateName"].as_str().unwrap_or_default().to_owned();
            if base.is_empty() {
                let error = FieldError::required("metadata.name", "name or generateName is required");
                return Err(ApiStatus::invalid(&served.kind, "", &[error]));
            }
            let base: String = base.chars().take(58).collect();
            meta["name"] = json!(format!("{base}{}", self.names.suffix()));
        }
        Ok(())
    }

    /// Sees to it that the namespace of a new object is there and stays.
    fn open_namespace(&mut self, target: &Target, by: &Writer) -> Result<(), ApiStatus> {
        let name = target.key.namespace.clone();
        if name.is_empty() {
            return Ok(());
        }
        let Some(namespaces) = self.registry.named("v1/Namespace").cloned() else { return Ok(()) };
        let key = Key::new("", &name);
        match self.store.get(namespaces.bucket, &key) {
            Some(found) if found.is_terminating() => {
                Err(ApiStatus::namespace_terminating(&target.served.kind, &target.key.name, &name))
            }
            Some(_) => Ok(()),
            None if self.namespaces == Namespaces::Strict => {
                Err(ApiStatus::not_found(&namespaces.kind, &name))
            }
            None if by.dry_run => Ok(()),
            None => {
                let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": &*name}});
                self.create(&namespaces, "", object, &Writer::named("kubesim")).map(drop)
            }
        }
    }

    /// What follows from a write at once, before anybody sees it.
    fn committed(&mut self, served: &Served, object: &Arc<Object>) -> Result<(), ApiStatus> {
        if served.is("apiextensions.k8s.io", "CustomResourceDefinition") {
            self.registry.register(object.value(), &mut self.store).map_err(ApiStatus::internal)?;
        }
        if served.is("", "Service") {
            self.note_address(object.value(), true);
        }
        Ok(())
    }
}
