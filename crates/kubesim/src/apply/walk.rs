//! Walks over objects along a merge schema: what an object says, how two differ, how two merge, what goes.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::super::merge_schema::{ListKey, ListType, Node};
use super::field_set::FieldSet;

/// The fields that an applied configuration speaks of.
pub(super) fn fields_of(value: &Value, node: &Node) -> FieldSet {
    match (value, node.list()) {
        (Value::Object(fields), _) if !fields.is_empty() && !node.is_atomic() => {
            let mut set = FieldSet::default();
            for (name, value) in fields {
                set.insert(field_step(name), fields_of(value, node.field(name)));
            }
            set
        }
        (Value::Array(items), list @ (ListType::Set | ListType::Map(_))) if !items.is_empty() => {
            let mut set = FieldSet::default();
            for item in items {
                let mut below = match list {
                    ListType::Map(_) => fields_of(item, node.item()),
                    _ => FieldSet::default(),
                };
                below.member = true;
                set.insert(item_step(item, list), below);
            }
            set
        }
        _ => FieldSet::leaf(),
    }
}

/// How one object came out of another.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Diff {
    pub added: FieldSet,
    pub modified: FieldSet,
    pub removed: FieldSet,
}

impl Diff {
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.modified.is_empty() && self.removed.is_empty()
    }

    /// What has another value than before, or had none.
    pub fn written(&self) -> FieldSet {
        self.added.clone().union(&self.modified)
    }

    /// Adds what changed below a field.
    pub fn insert_field(&mut self, name: &str, below: Diff) {
        self.insert(&field_step(name), below);
    }

    fn insert(&mut self, step: &str, below: Diff) {
        self.added.insert(step.into(), below.added);
        self.modified.insert(step.into(), below.modified);
        self.removed.insert(step.into(), below.removed);
    }
}

pub(super) fn compare(before: Option<&Value>, after: Option<&Value>, node: &Node) -> Diff {
    let mut diff = match (before, after) {
        (Some(before), Some(after)) if before == after => return Diff::default(),
        (None | Some(Value::Object(_)), None | Some(Value::Object(_))) => {
            compare_objects(before, after, node)
        }
        (None | Some(Value::Array(_)), None | Some(Value::Array(_))) => compare_lists(before, after, node),
        (Some(_), Some(_)) if is_container(before) || is_container(after) => exchange(before, after, node),
        _ => compare_leaf(before, after),
    };
    // Somebody's writing brought this about, unless the API has it anyway.
    if is_container(before.or(after)) && !node.is_implied() {
        diff.added.member |= before.is_none();
        diff.removed.member |= after.is_none();
    }
    diff
}

fn is_container(value: Option<&Value>) -> bool {
    matches!(value, Some(Value::Object(_) | Value::Array(_)))
}

/// A scalar became an object or the like: all that was there is gone, all that is there is new.
fn exchange(before: Option<&Value>, after: Option<&Value>, node: &Node) -> Diff {
    let mut modified = compare(None, after, node).added;
    modified.member = true;
    let mut removed = compare(before, None, node).removed;
    removed.member = false;
    Diff { added: FieldSet::default(), removed: removed.difference(&modified), modified }
}

fn compare_leaf(before: Option<&Value>, after: Option<&Value>) -> Diff {
    let mut diff = Diff::default();
    match (before, after) {
        (None, Some(_)) => diff.added.member = true,
        (Some(_), None) => diff.removed.member = true,
        (before, after) => diff.modified.member = before != after,
    }
    diff
}

fn compare_objects(before: Option<&Value>, after: Option<&Value>, node: &Node) -> Diff {
    let none = Map::new();
    let old = before.and_then(Value::as_object).unwrap_or(&none);
    let new = after.and_then(Value::as_object).unwrap_or(&none);
    if node.is_atomic() || (old.is_empty() && new.is_empty()) {
        return compare_leaf(before, after);
    }
    let mut diff = Diff::default();
    for name in old.keys().chain(new.keys().filter(|n| !old.contains_key(*n))) {
        diff.insert(&field_step(name), compare(old.get(name), new.get(name), node.field(name)));
    }
    diff
}

fn compare_lists(before: Option<&Value>, after: Option<&Value>, node: &Node) -> Diff {
    let old = by_step(before, node.list());
    let new = by_step(after, node.list());
    if *node.list() == ListType::Atomic || (old.is_empty() && new.is_empty()) {
        return compare_leaf(before, after);
    }
    let mut diff = Diff::default();
    for step in old.keys().chain(new.keys().filter(|s| !old.contains_key(*s))) {
        let below = match (old.get(step).map(Vec::as_slice), new.get(step).map(Vec::as_slice)) {
            (None, Some([item])) => compare(None, Some(item), node.item()),
            (Some([item]), None) => compare(Some(item), None, node.item()),
            (Some([old]), Some([new])) => compare(Some(old), Some(new), node.item()),
            // Items that cannot be told apart are one value together.
            (old, new) => Diff {
                added: if old.is_none() { FieldSet::leaf() } else { FieldSet::default() },
                removed: if new.is_none() { FieldSet::leaf() } else { FieldSet::default() },
                modified: match (old, new) {
                    (Some(old), Some(new)) if old != new => FieldSet::leaf(),
                    _ => FieldSet::default(),
                },
            },
        };
        diff.insert(step, below);
    }
    diff
}

fn by_step<'a>(list: Option<&'a Value>, kind: &ListType) -> BTreeMap<String, Vec<&'a Value>> {
    let mut out: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for item in list.and_then(Value::as_array).into_iter().flatten() {
        out.entry(item_step(item, kind)).or_default().push(item);
    }
    out
}

/// What is there after `applied` was laid over `live`.
pub(super) fn merge(live: Option<&Value>, applied: &Value, node: &Node) -> Value {
    match (live, applied) {
        (Some(Value::Object(live)), Value::Object(applied)) if !node.is_atomic() => {
            let mut out = live.clone();
            for (name, value) in applied {
                let merged = merge(live.get(name), value, node.field(name));
                out.insert(name.clone(), merged);
            }
            Value::Object(out)
        }
        (Some(Value::Array(live)), Value::Array(applied)) if *node.list() != ListType::Atomic => {
            Value::Array(merge_lists(live, applied, node))
        }
        _ => applied.clone(),
    }
}

/// The applied items in their order; those that only live has keep their place between them.
fn merge_lists(live: &[Value], applied: &[Value], node: &Node) -> Vec<Value> {
    let step = |item: &Value| item_step(item, node.list());
    let live_steps: Vec<String> = live.iter().map(step).collect();
    let applied_steps: Vec<String> = applied.iter().map(step).collect();
    let mut out = Vec::with_capacity(live.len().max(applied.len()));
    let mut at = 0;
    for (i, item) in applied.iter().enumerate() {
        let next_shared = applied_steps[i..].iter().find(|s| live_steps.contains(s));
        while let Some(here) = live_steps.get(at) {
            if !applied_steps.contains(here) {
                out.push(live[at].clone());
            } else if next_shared == Some(here) {
                break;
            }
            at += 1;
        }
        let twin = live_steps.iter().position(|s| *s == applied_steps[i]);
        out.push(merge(twin.map(|t| &live[t]), item, node.item()));
        if live_steps.get(at) == Some(&applied_steps[i]) {
            at += 1;
        }
    }
    let rest = live.iter().zip(&live_steps).skip(at);
    out.extend(rest.filter(|(_, s)| !applied_steps.contains(s)).map(|(item, _)| item.clone()));
    out
}

/// Removes what `last` has and none of `owners`.
pub(super) fn prune(value: &mut Value, last: &FieldSet, owners: &[&FieldSet], node: &Node) {
    for (step, below) in &last.children {
        let still: Vec<&FieldSet> = owners.iter().filter_map(|o| o.children.get(step)).collect();
        match value {
            Value::Object(fields) => {
                let name = step.strip_prefix("f:").unwrap_or(step);
                if still.is_empty() {
                    fields.remove(name);
                } else if let Some(child) = fields.get_mut(name) {
                    prune(child, below, &still, node.field(name));
                }
            }
            Value::Array(items) if still.is_empty() => {
                items.retain(|item| item_step(item, node.list()) != *step);
            }
            Value::Array(items) => {
                for item in items.iter_mut().filter(|i| item_step(i, node.list()) == *step) {
                    prune(item, below, &still, node.item());
                }
            }
            _ => {}
        }
    }
}

/// The first thing in a configuration that makes its keyed lists ambiguous.
pub(super) fn ambiguity(value: &Value, node: &Node, path: &str) -> Option<String> {
    match value {
        Value::Object(fields) if !node.is_atomic() => fields
            .iter()
            .find_map(|(name, value)| ambiguity(value, node.field(name), &format!("{path}.{name}"))),
        Value::Array(items) => match node.list() {
            ListType::Atomic => None,
            list => ambiguous_list(items, list, node, path),
        },
        _ => None,
    }
}

fn ambiguous_list(items: &[Value], list: &ListType, node: &Node, path: &str) -> Option<String> {
    let mut seen = BTreeMap::new();
    for (i, item) in items.iter().enumerate() {
        if let ListType::Map(keys) = list {
            let Some(fields) = item.as_object() else {
                return Some(format!(
                    "{path}: element {i}: associative list with keys may not have non-map elements"
                ));
            };
            let missing = keys.iter().find(|k| k.default.is_none() && !fields.contains_key(&k.name));
            if let Some(key) = missing.filter(|_| keys.iter().all(|k| !fields.contains_key(&k.name))) {
                return Some(format!(
                    "{path}: element {i}: associative list with keys has an element that omits key field {:?} \
                     (and doesn't have default value)",
                    key.name
                ));
            }
        }
        let step = item_step(item, list);
        let mut alone = FieldSet::default();
        alone.insert(step.clone(), FieldSet::leaf());
        let readable = alone.paths().concat();
        if seen.insert(step, i).is_some() {
            return Some(format!("{path}: duplicate entries for key {readable}"));
        }
        if let Some(why) = ambiguity(item, node.item(), &format!("{path}{readable}")) {
            return Some(why);
        }
    }
    None
}

fn field_step(name: &str) -> String {
    format!("f:{name}")
}

fn item_step(item: &Value, list: &ListType) -> String {
    match list {
        ListType::Map(keys) => format!("k:{}", Value::Object(key_fields(item, keys))),
        ListType::Set | ListType::Atomic => format!("v:{item}"),
    }
}

fn key_fields(item: &Value, keys: &[ListKey]) -> Map<String, Value> {
    let value = |key: &ListKey| item.get(&key.name).or(key.default.as_ref()).cloned();
    keys.iter().filter_map(|key| Some((key.name.clone(), value(key)?))).collect()
}
