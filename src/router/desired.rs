//! What a router wants of one object.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::model::object::ObjectId;

use super::View;
use super::marks::flux;
use super::overlay::Lists;

/// One object as it should be: the fields that are ours. All others are left as they are.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// The object.
    pub id: ObjectId,
    /// Our fields but for metadata, `{"spec": {…}}`. A null is a field that must not be there.
    pub fields: Map<String, Value>,
    /// Fields that are ours only on an object that this Canary made; on a user's they are left alone.
    pub if_made_by_us: Map<String, Value>,
    /// How the lists within our fields are brought in line, by path. A list that is not named is ours as a whole.
    pub lists: Lists<'static>,
    /// Labels that are ours.
    pub labels: Map<String, Value>,
    /// Annotations that are ours; a null is one that must not be there.
    pub annotations: Map<String, Value>,
    /// Whether the spec of a user's object is kept, for the day of its return.
    pub keeps_original: bool,
    /// Whether the object may be created; if not, its absence is left to others.
    pub creatable: bool,
}

impl Desired {
    /// An object with this `spec`.
    pub fn new(id: ObjectId, spec: Value) -> Self {
        let mut fields = Map::new();
        fields.insert("spec".to_owned(), spec);
        Self {
            id,
            fields,
            if_made_by_us: Map::new(),
            lists: &[],
            labels: Map::new(),
            annotations: Map::new(),
            keeps_original: false,
            creatable: true,
        }
    }

    /// Lists whose items are brought in line one by one.
    #[must_use]
    pub fn lists(mut self, lists: Lists<'static>) -> Self {
        self.lists = lists;
        self
    }

    /// Parts of the spec that are ours only on an object that this Canary made.
    #[must_use]
    pub fn spec_if_made_by_us(mut self, spec: Value) -> Self {
        self.if_made_by_us.insert("spec".to_owned(), spec);
        self
    }

    /// Labels and annotations of `spec.service.apex`, and the marks that let Flux leave the object alone (spec 03
    /// §1.6).
    #[must_use]
    pub fn apex_metadata(mut self, view: &View<'_>) -> Self {
        let block = view.release.service.apex.as_ref();
        let of = |map: Option<&BTreeMap<String, String>>| -> Map<String, Value> {
            map.into_iter().flatten().map(|(key, value)| (key.clone(), json!(value))).collect()
        };
        self.labels.extend(of(block.and_then(|block| block.labels.as_ref())));
        // The label of the apex Service comes along with a metadata block, and only then: so does the reference.
        if block.is_some() && !view.shape.label_key.is_empty() {
            self.labels.insert(view.shape.label_key.clone(), json!(view.release.apex));
        }
        self.annotations.extend(of(block.and_then(|block| block.annotations.as_ref())));
        self.annotations.extend(flux());
        self
    }

    /// Annotations that are ours.
    #[must_use]
    pub fn annotated(mut self, annotations: Map<String, Value>) -> Self {
        self.annotations.extend(annotations);
        self
    }

    /// The spec of a user's object is kept in an annotation when it is taken over.
    #[must_use]
    pub fn keeping_the_original(mut self) -> Self {
        self.keeps_original = true;
        self
    }

    /// The object is somebody else's to create.
    #[must_use]
    pub fn never_created(mut self) -> Self {
        self.creatable = false;
        self
    }
}
