//! The objects of all inputs: what there is around a Canary, as far as the manifests tell.

use std::sync::Arc;

use serde_json::Value;

use super::finding::Title;
use super::yaml::Node;
use crate::judge::Around;
use crate::model::object::{Kind, ObjectId, Objects};

/// An object and where it stands.
#[derive(Debug)]
pub struct Object {
    /// The index of its input.
    pub input: usize,
    /// Its place in that.
    pub node: Node,
    /// What it says. Its namespace is as written.
    pub value: Arc<Value>,
}

impl Object {
    /// The group of its `apiVersion`; empty for the core group.
    pub fn group(&self) -> &str {
        let version = self.text("/apiVersion");
        version.split_once('/').map_or("", |(group, _)| group)
    }

    /// Its kind.
    pub fn kind(&self) -> &str {
        self.text("/kind")
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    /// Its namespace as written; empty where it is not.
    pub fn namespace(&self) -> &str {
        self.text("/metadata/namespace")
    }

    /// What people call it.
    pub fn title(&self) -> Title {
        Title {
            kind: self.kind().to_owned(),
            namespace: self.namespace().to_owned(),
            name: self.name().to_owned(),
        }
    }

    /// Whether it is of this kind, in any version.
    pub fn is(&self, kind: Kind) -> bool {
        self.kind() == kind.kind && self.group() == kind.group
    }

    fn text(&self, pointer: &str) -> &str {
        self.value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }
}

/// All objects, seen from one input.
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// All objects, in the order of the inputs.
    pub objects: &'a [Object],
    /// The folder of each input.
    pub folders: &'a [String],
    /// The input of the object that is looked at: where a name stands several times, the nearest is meant.
    pub from: usize,
    /// The namespace of objects that name none.
    pub namespace: &'a str,
}

impl<'a> World<'a> {
    /// Whether an object is in this namespace, or may be: one that names none comes into that in which it is applied.
    pub fn is_in(&self, object: &Object, namespace: &str) -> bool {
        let written = object.namespace();
        written == namespace || written.is_empty() || namespace == self.namespace
    }

    /// The objects of a kind in a namespace.
    pub fn of(&self, kind: Kind, namespace: &'a str) -> impl Iterator<Item = &'a Object> + use<'a> {
        let world = *self;
        self.objects.iter().filter(move |object| object.is(kind) && world.is_in(object, namespace))
    }

    /// The nearest object with this id.
    pub fn find(&self, id: &ObjectId) -> Option<&'a Object> {
        let same = |object: &&Object| {
            object.is(id.kind) && object.name() == id.name && self.is_in(object, &id.namespace)
        };
        // One that names its namespace comes before one that may be there.
        let rank = |object: &&Object| (self.distance(object), object.namespace() != id.namespace);
        self.objects.iter().filter(same).min_by_key(rank)
    }

    /// Whether an object belongs to the same set of manifests as the `target`: where that is in the file of the Canary,
    /// other files may be variants.
    pub fn is_as_near(&self, object: &Object, target: Option<&Object>) -> bool {
        target.is_none_or(|target| self.distance(object) <= self.distance(target))
    }

    /// How far the text of an object is from the one that is looked at.
    pub fn distance(&self, object: &Object) -> usize {
        match object.input {
            input if input == self.from => 0,
            input if self.folders.get(input) == self.folders.get(self.from) => 1,
            _ => 2,
        }
    }

    /// Those of `ids` that exist, under their ids.
    pub fn gather(&self, ids: impl IntoIterator<Item = ObjectId>) -> Objects {
        ids.into_iter()
            .filter_map(|id| {
                let found = Arc::clone(&self.find(&id)?.value);
                Some((id, found))
            })
            .collect()
    }
}

impl Around for World<'_> {
    fn get(&self, id: &ObjectId) -> Option<Arc<Value>> {
        self.find(id).map(|object| Arc::clone(&object.value))
    }

    fn unreadable(&self, _: Kind) -> Option<String> {
        None
    }

    fn ids(&self, kind: Kind) -> Vec<ObjectId> {
        let of_kind = self.objects.iter().filter(|object| object.is(kind));
        of_kind
            .map(|object| {
                let namespace = object.namespace();
                kind.at(if namespace.is_empty() { self.namespace } else { namespace }, object.name())
            })
            .collect()
    }
}
