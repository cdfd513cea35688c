//! The objects of one kind, by namespace and name.

use std::collections::BTreeMap;
use std::ops::Bound;

use serde_json::Value;

use super::packed::{Packed, Packer};

/// `namespace/name`; the namespace is empty for an object of the cluster's scope.
pub(super) type Key = Box<str>;

/// The key of an object.
pub(super) fn key(namespace: &str, name: &str) -> Key {
    format!("{namespace}/{name}").into()
}

/// Namespace and name of a key.
pub(super) fn split(key: &str) -> (&str, &str) {
    // No namespace has a slash in its name.
    key.split_once('/').unwrap_or(("", key))
}

/// What is known of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Nobody has a use for it: only that it is there.
    Name,
    All(Packed),
}

/// A place for the objects of one kind.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    objects: BTreeMap<Key, Known>,
    packer: Packer,
}

impl Shelf {
    /// What is known of an object; `None` if there is no such object.
    pub fn get(&self, key: &str) -> Option<&Known> {
        self.objects.get(key)
    }

    /// Puts an object here, in place of the one that has its key; whether that was the same.
    pub fn put(&mut self, key: Key, object: Option<&Value>) -> bool {
        let known = self.known(object);
        let before = self.objects.insert(key, known.clone());
        before.as_ref() == Some(&known)
    }

    /// Takes an object away.
    pub fn remove(&mut self, key: &str) {
        self.objects.remove(key);
    }

    /// An object in the form that it would have here.
    pub fn pack(&mut self, object: &Value) -> Packed {
        self.packer.pack(object)
    }

    /// What will be known of an object, once it is here. Without an object it is known by its name alone.
    pub fn known(&mut self, object: Option<&Value>) -> Known {
        object.map_or(Known::Name, |object| Known::All(self.packer.pack(object)))
    }

    /// Replaces all that is here, and gives the keys of what is different now.
    pub fn replace(&mut self, fresh: BTreeMap<Key, Known>) -> Vec<Key> {
        let old = std::mem::replace(&mut self.objects, fresh);
        let gone = old.keys().filter(|key| !self.objects.contains_key(*key));
        let other = self.objects.iter().filter(|(key, known)| old.get(*key) != Some(known));
        gone.chain(other.map(|(key, _)| key)).cloned().collect()
    }

    /// All keys, in their order.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.objects.keys()
    }

    /// The objects whose keys begin with `prefix`, in their order.
    pub fn beginning_with<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a Key, &'a Known)> {
        let from = (Bound::Included(prefix), Bound::Unbounded);
        self.objects.range::<str, _>(from).take_while(move |(key, _)| key.starts_with(prefix))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_fresh_list_tells_what_is_different() {
        let mut shelf = Shelf::default();
        for (name, image) in [("kept", 1), ("changed", 1), ("gone", 1)] {
            shelf.put(key("shop", name), Some(&json!({"image": image})));
        }
        let fresh = [("kept", 1), ("changed", 2), ("new", 1)]
            .map(|(name, image)| (key("shop", name), shelf.known(Some(&json!({"image": image})))));
        let changed = shelf.replace(fresh.into());
        assert_eq!(changed, ["shop/gone", "shop/changed", "shop/new"].map(Key::from));
        assert_eq!(
            shelf.keys().map(AsRef::as_ref).collect::<Vec<_>>(),
            ["shop/changed", "shop/kept", "shop/new"]
        );
    }

    #[test]
    fn namespaces_that_begin_alike_are_kept_apart() {
        let mut shelf = Shelf::default();
        for namespace in ["shop", "shop-2", "shopping"] {
            shelf.put(key(namespace, "frontend"), None);
        }
        let found: Vec<&str> = shelf.beginning_with("shop/").map(|(key, _)| key.as_ref()).collect();
        assert_eq!(found, ["shop/frontend"]);
    }
}
