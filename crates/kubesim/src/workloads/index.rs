//! Finds the candidates of a selector by one label, without looking at all objects.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::store::{Change, ChangeKind, Key, Object};

/// Objects by namespace and by one `key=value` of theirs. The caller still has to check the whole selector.
#[derive(Clone, Debug, Default)]
pub struct LabelIndex {
    by_label: BTreeMap<(Arc<str>, String, String), BTreeSet<Key>>,
}

impl LabelIndex {
    /// Enters an object under its labels in place of those it had before.
    pub fn replace(
        &mut self,
        key: &Key,
        before: &BTreeMap<String, String>,
        after: &BTreeMap<String, String>,
    ) {
        if before == after {
            return;
        }
        for (label, value) in before {
            let place = (key.namespace.clone(), label.clone(), value.clone());
            if let Some(keys) = self.by_label.get_mut(&place) {
                keys.remove(key);
                if keys.is_empty() {
                    self.by_label.remove(&place);
                }
            }
        }
        for (label, value) in after {
            let place = (key.namespace.clone(), label.clone(), value.clone());
            self.by_label.entry(place).or_default().insert(key.clone());
        }
    }

    /// The objects that were entered under this label.
    pub fn with(&self, namespace: &Arc<str>, label: &str, value: &str) -> impl Iterator<Item = &Key> {
        self.by_label.get(&(namespace.clone(), label.to_owned(), value.to_owned())).into_iter().flatten()
    }
}

/// The first of some labels: enough to find what has all of them.
pub fn first(labels: BTreeMap<String, String>) -> BTreeMap<String, String> {
    labels.into_iter().take(1).collect()
}

/// The labels of an object before and after a change.
pub fn labels_of(
    change: &Change,
    labels: impl Fn(&Object) -> BTreeMap<String, String>,
) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    let before = change.before.as_ref().map(|object| labels(object)).unwrap_or_default();
    let after = if change.kind == ChangeKind::Deleted { BTreeMap::new() } else { labels(&change.object) };
    (before, after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_found_by_its_present_labels_alone() {
        let labels = |value: &str| BTreeMap::from([("app".to_owned(), value.to_owned())]);
        let key = Key::new("shop", "web");
        let mut index = LabelIndex::default();
        index.replace(&key, &BTreeMap::new(), &labels("a"));
        index.replace(&key, &labels("a"), &labels("b"));
        assert_eq!(0, index.with(&key.namespace, "app", "a").count());
        assert_eq!(vec![&key], index.with(&key.namespace, "app", "b").collect::<Vec<_>>());
        assert_eq!(0, index.with(&"other".into(), "app", "b").count());
    }
}
