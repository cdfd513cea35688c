//! A set of fields: what one manager owns, or what changed. Its JSON form is `fieldsV1`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Fields below one place of an object.
///
/// A step is spelled as in `fieldsV1`: `f:name` for a field, `k:{…}` for the item of a keyed list,
/// `v:…` for a value of a set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FieldSet {
    /// Whether the place itself belongs to the set, not only things within it.
    pub member: bool,
    pub children: BTreeMap<String, FieldSet>,
}

impl FieldSet {
    /// A set that holds only the place where it stands.
    pub fn leaf() -> Self {
        Self { member: true, children: BTreeMap::new() }
    }

    /// Reads `fieldsV1`.
    pub fn from_value(value: &Value) -> Self {
        let mut set = Self::default();
        for (step, below) in value.as_object().into_iter().flatten() {
            if step == "." {
                set.member = true;
                continue;
            }
            let mut child = Self::from_value(below);
            child.member |= child.children.is_empty();
            set.children.insert(step.clone(), child);
        }
        set
    }

    /// Writes `fieldsV1`.
    pub fn to_value(&self) -> Value {
        let mut out = Map::new();
        if self.member && !self.children.is_empty() {
            out.insert(".".into(), Value::Object(Map::new()));
        }
        for (step, child) in &self.children {
            out.insert(step.clone(), child.to_value());
        }
        Value::Object(out)
    }

    pub fn is_empty(&self) -> bool {
        !self.member && self.children.is_empty()
    }

    /// Adds what is below `step`, if anything.
    pub fn insert(&mut self, step: String, child: Self) {
        if !child.is_empty() {
            self.children.insert(step, child);
        }
    }

    /// What is in either.
    pub fn union(mut self, other: &Self) -> Self {
        self.member |= other.member;
        for (step, child) in &other.children {
            let mine = self.children.remove(step).unwrap_or_default();
            self.children.insert(step.clone(), mine.union(child));
        }
        self
    }

    /// What is in both.
    pub fn intersection(&self, other: &Self) -> Self {
        let mut out = Self { member: self.member && other.member, ..Self::default() };
        for (step, child) in &self.children {
            if let Some(theirs) = other.children.get(step) {
                out.insert(step.clone(), child.intersection(theirs));
            }
        }
        out
    }

    /// What is in this one alone.
    pub fn difference(&self, other: &Self) -> Self {
        let mut out = Self { member: self.member && !other.member, ..Self::default() };
        for (step, child) in &self.children {
            let left = match other.children.get(step) {
                Some(theirs) => child.difference(theirs),
                None => child.clone(),
            };
            out.insert(step.clone(), left);
        }
        out
    }

    /// Every member as people read it: `.spec.containers[name="app"].image`.
    pub fn paths(&self) -> Vec<String> {
        let mut out = Vec::new();
        self.collect_paths("", &mut out);
        out
    }

    fn collect_paths(&self, here: &str, out: &mut Vec<String>) {
        if self.member {
            out.push(here.to_string());
        }
        for (step, child) in &self.children {
            child.collect_paths(&format!("{here}{}", readable(step)), out);
        }
    }
}

fn readable(step: &str) -> String {
    match step.split_once(':') {
        Some(("f", name)) => format!(".{name}"),
        Some(("v", value)) => format!("[={value}]"),
        Some(("k", keys)) => {
            let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
            let pairs: Vec<String> = keys.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("[{}]", pairs.join(","))
        }
        _ => format!("[{step}]"),
    }
}
