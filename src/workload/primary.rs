//! A primary is made from its target (spec 02 §3.1): names, labels and selectors keep the two apart, all else is the
//! same.
//!
//! It is written when it is created and when a revision is promoted, and left alone in between.

use serde_json::{Map, Value, json};

use super::config::{self, Copies, MARK, Occasion, Tracked};
use super::inherited::{included, is_flux};
use super::selectors::{items, own_selectors};
use super::shape::{SelectorLabel, selector_label};
use super::{Error, revision};
use crate::model::object::{ObjectId, Objects, merge_patch, owner_references};
use crate::model::release::{Release, Settings};

/// A target with all that its primary is made from.
pub(super) struct Twin<'a> {
    release: &'a Release,
    settings: &'a Settings,
    target: &'a Value,
    /// The target's pod template as the user wrote it, without what parks it.
    source: Value,
    label: SelectorLabel,
    /// The labels by which the primary selects its pods, once there is one: they cannot be changed any more.
    selector: Map<String, Value>,
    copied: &'a [Copied],
    seen: &'a Objects,
    /// The ConfigMaps and Secrets that the target refers to; `None` with tracking off.
    configs: Option<Tracked<'a>>,
}

/// A field of `spec` that is copied from the target to the primary, with the default that an absent field means.
pub(super) type Copied = (&'static str, fn() -> Value);

impl<'a> Twin<'a> {
    /// # Errors
    /// If the target has none of the selector labels.
    #[expect(clippy::too_many_arguments, reason = "they are the parts of one value")]
    pub fn new(
        release: &'a Release,
        settings: &'a Settings,
        id: &ObjectId,
        target: &'a Value,
        source: Value,
        primary: Option<&Value>,
        copied: &'a [Copied],
        seen: &'a Objects,
    ) -> Result<Self, Error> {
        let label = selector_label(settings, id, target)?;
        let configs = config::track(release, settings, &source, seen);
        let selector =
            primary.and_then(|primary| primary["spec"]["selector"]["matchLabels"].as_object().cloned());
        let created = || Map::from_iter([(label.key.clone(), label.primary_value().into())]);
        let selector = selector.unwrap_or_else(created);
        Ok(Self { release, settings, target, source, label, selector, copied, seen, configs })
    }

    /// The copies of ConfigMaps and Secrets that the primary refers to once it is created or promoted.
    ///
    /// # Errors
    /// If a ConfigMap or Secret is missing, or another controller owns the object that a copy would be.
    pub fn copies(&self, occasion: Occasion) -> Result<Copies, Error> {
        let Some(configs) = &self.configs else { return Ok(Copies::default()) };
        Copies::plan(self.release, self.settings, configs, self.seen, occasion)
    }

    /// The objects whose contents [`Twin::copies`] needs.
    ///
    /// # Errors
    /// As [`Twin::copies`].
    pub fn contents(&self, occasion: Occasion) -> Result<Vec<ObjectId>, Error> {
        let Some(configs) = &self.configs else { return Ok(Vec::new()) };
        config::needed(self.release, configs, self.seen, occasion)
    }

    /// The primary as it is created, without the fields that only one kind of workload has (`replicas`).
    pub fn object(&self, primary: &ObjectId, copies: &Copies, flagger_id: &str) -> Value {
        let mut spec = Map::new();
        for (field, _) in self.copied {
            if let Some(value) = self.target["spec"].get(field).filter(|value| !value.is_null()) {
                spec.insert((*field).to_owned(), value.clone());
            }
        }
        spec.insert(
            "selector".to_owned(),
            json!({"matchLabels": {self.label.key.as_str(): self.label.primary_value()}}),
        );
        spec.insert("template".to_owned(), with_id(self.template_with(copies), flagger_id));
        let mut metadata = json!({
            "name": primary.name,
            "namespace": primary.namespace,
            "labels": self.labels(),
            "ownerReferences": owner_references(&self.release.name, &self.release.uid),
        });
        let annotations = self.annotations();
        if !annotations.is_empty() {
            metadata["annotations"] = Value::Object(annotations);
        }
        json!({
            "apiVersion": primary.kind.api_version(),
            "kind": primary.kind.kind,
            "metadata": metadata,
            "spec": spec,
        })
    }

    /// The merge patch that promotes the target: it gives the primary the target's template and copied fields. The template is part of it only if it
    /// means something else than the primary's, so that a repetition rolls no pods.
    pub fn promotion(&self, primary: &Value, copies: &Copies, flagger_id: &str) -> Value {
        let mut spec = Map::new();
        for (field, default) in self.copied {
            let of = |object: &Value| Some(object["spec"][*field].clone()).filter(|value| !value.is_null());
            let (wanted, present) = (of(self.target), of(primary));
            if wanted.clone().unwrap_or_else(default) == present.clone().unwrap_or_else(default) {
                continue;
            }
            // A merge patch adds to an object; what the target lacks has to be named as well.
            let change = match (&present, &wanted) {
                (Some(present), Some(wanted)) => merge_patch(present, wanted),
                (_, wanted) => Some(wanted.clone().unwrap_or(Value::Null)),
            };
            spec.extend(change.map(|change| ((*field).to_owned(), change)));
        }
        let (wanted, present) = (self.template_with(copies), &primary["spec"]["template"]);
        if !self.is_done(&wanted, present)
            && let Some(change) = merge_patch(present, &with_id(wanted, flagger_id))
        {
            spec.insert("template".to_owned(), change);
        }
        let mut labels = self.outdated(&primary["metadata"]["labels"]);
        labels.extend(self.labels());
        let mut annotations = self.outdated(&primary["metadata"]["annotations"]);
        annotations.extend(self.annotations());
        json!({"metadata": {"labels": labels, "annotations": annotations}, "spec": spec})
    }

    /// Whether the primary runs the target's template with the present ConfigMaps and Secrets.
    pub fn matches(&self, primary: &Value) -> bool {
        self.runs(&self.template(), &primary["spec"]["template"]) && self.agrees(primary)
    }

    /// Whether the primary runs with the present contents of the ConfigMaps and Secrets that the target refers to.
    pub fn agrees(&self, primary: &Value) -> bool {
        let agree =
            |configs: &Tracked<'_>| configs.agree(self.release, &primary["spec"]["template"], self.seen);
        self.configs.as_ref().is_none_or(agree)
    }

    /// Whether this promotion is done already: the primary has the template with the same copies and checksum.
    fn is_done(&self, wanted: &Value, present: &Value) -> bool {
        let names = |template| config::places(template).into_iter().map(|place| place.name);
        self.runs(&self.template(), present)
            && names(wanted).eq(names(present))
            && config::mark(wanted) == config::mark(present)
    }

    fn runs(&self, wanted: &Value, present: &Value) -> bool {
        revision::matches_primary(wanted, present, |name, copy| config::is_copy(self.release, name, copy))
    }

    /// The labels of the primary object itself: those of the target with an included prefix, and the selector label.
    fn labels(&self) -> Map<String, Value> {
        let mut labels = included(self.settings, &self.target["metadata"]["labels"]);
        labels.insert(self.label.key.clone(), self.label.primary_value().into());
        labels
    }

    /// The annotations of the primary object itself, by one rule at creation and at promotion: those of the target
    /// with an included prefix.
    fn annotations(&self) -> Map<String, Value> {
        included(self.settings, &self.target["metadata"]["annotations"])
    }

    /// The part of a merge patch that removes all labels or annotations with an included prefix from the primary; what
    /// the target still has is then added again. Keys without such a prefix belong to somebody else and stay.
    fn outdated(&self, map: &Value) -> Map<String, Value> {
        included(self.settings, map).into_iter().map(|(key, _)| (key, Value::Null)).collect()
    }

    /// The primary's template without its `flagger-id`: it refers to `copies` and is marked with their checksum.
    fn template_with(&self, copies: &Copies) -> Value {
        let mut template = self.template();
        config::rename(&mut template, |_, place| {
            copies.names.get(&place.kind.at(&self.release.namespace, &place.name)).cloned()
        });
        if let Some(digest) = &copies.digest {
            json_patch::merge(&mut template, &json!({"metadata": {"annotations": {MARK: digest}}}));
        }
        template
    }

    /// The primary's template as if ConfigMaps and Secrets were not copied.
    fn template(&self) -> Value {
        let of = |key: &str| {
            let mut map = self.source["metadata"][key].as_object().cloned().unwrap_or_default();
            map.retain(|key, _| !is_flux(key));
            map
        };
        let (mut labels, mut annotations) = (of("labels"), of("annotations"));
        labels.insert(self.label.key.clone(), self.label.primary_value().into());
        labels.extend(self.selector.clone());
        annotations.remove(FLAGGER_ID);
        annotations.remove(MARK);
        let mut metadata = self.source["metadata"].as_object().cloned().unwrap_or_default();
        metadata.retain(|key, value| !value.is_null() && key != "annotations");
        metadata.insert("labels".to_owned(), Value::Object(labels));
        if !annotations.is_empty() {
            metadata.insert("annotations".to_owned(), Value::Object(annotations));
        }
        let mut template = json!({"metadata": metadata, "spec": self.source["spec"]});
        for selector in own_selectors(&mut template) {
            self.rename(selector);
        }
        template
    }

    /// Changes a selector of the target's pods into one of the primary's pods.
    fn rename(&self, selector: &mut Value) {
        for (key, value) in
            selector.get_mut("matchLabels").and_then(Value::as_object_mut).into_iter().flatten()
        {
            if self.means_own_pods(key, value) {
                *value = primary_of(value);
            }
        }
        for expression in items(selector, "/matchExpressions") {
            let key = expression["key"].as_str().unwrap_or_default().to_owned();
            if let Some(value) = items(expression, "/values").find(|value| self.means_own_pods(&key, value)) {
                *value = primary_of(value);
            }
        }
    }

    /// Whether a label says that a pod belongs to the target, by the target's name or by its selector's value.
    fn means_own_pods(&self, key: &str, value: &Value) -> bool {
        // A further label that the primary's pods keep as it is still selects them.
        let kept = key != self.label.key && self.source["metadata"]["labels"][key] == *value;
        let selects = self.settings.selector_labels.iter().any(|label| label == key);
        let own = [self.release.target.name.as_str(), self.label.value.as_str()];
        selects && !kept && value.as_str().is_some_and(|value| own.contains(&value))
    }
}

fn primary_of(value: &Value) -> Value {
    Value::from(format!("{}-primary", value.as_str().unwrap_or_default()))
}

fn with_id(mut template: Value, id: &str) -> Value {
    json_patch::merge(&mut template, &json!({"metadata": {"annotations": {FLAGGER_ID: id}}}));
    template
}

/// Annotation of the primary's pods with the id of the promotion that made them.
const FLAGGER_ID: &str = "flagger-id";
