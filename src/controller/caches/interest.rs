//! Which objects anybody has a use for. Of the others only the names are kept: a cluster has many more Deployments
//! and Services than Canaries look at.
//!
//! What a Canary looks at is named in its manifest, by itself or with the endings of the two sides. Where names stand
//! in other objects (the revisions of a Knative Service), the object is asked for when its turn comes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::shelf::{Key, key, split};

/// The names that Canaries have a use for.
#[derive(Debug, Default)]
pub(super) struct Interest {
    /// Names and by how many Canaries they are named.
    names: BTreeMap<Key, u32>,
    /// The names of each Canary, by its own.
    by_canary: BTreeMap<Key, Vec<Key>>,
}

impl Interest {
    /// Notes the names in the manifest of a Canary; whether it is one that was not known.
    pub fn put(&mut self, canary: &Key, object: &Value) -> bool {
        let mut names = BTreeSet::from([canary.clone()]);
        collect(&object["spec"], split(canary).0, &mut names);
        if self.by_canary.get(canary).is_some_and(|before| before.iter().eq(&names)) {
            return false;
        }
        let known = self.remove(canary);
        for name in &names {
            *self.names.entry(name.clone()).or_default() += 1;
        }
        self.by_canary.insert(canary.clone(), names.into_iter().collect());
        !known
    }

    /// Forgets the names of a Canary that is gone; whether it was known.
    pub fn remove(&mut self, canary: &str) -> bool {
        let names = self.by_canary.remove(canary);
        let known = names.is_some();
        for name in names.unwrap_or_default() {
            if let Some(canaries) = self.names.get_mut(&name) {
                *canaries -= 1;
                if *canaries == 0 {
                    self.names.remove(&name);
                }
            }
        }
        known
    }

    /// Whether a Canary may look at an object of this key.
    pub fn covers(&self, object: &str) -> bool {
        let base = SIDES.iter().find_map(|side| object.strip_suffix(side));
        self.names.contains_key(object) || base.is_some_and(|base| self.names.contains_key(base))
    }
}

/// All that is called a name in a manifest. References may name a namespace beside it.
fn collect(value: &Value, namespace: &str, names: &mut BTreeSet<Key>) {
    match value {
        Value::Object(members) => {
            let namespace = members
                .get("namespace")
                .and_then(Value::as_str)
                .filter(|namespace| !namespace.is_empty())
                .unwrap_or(namespace);
            if let Some(name) = members.get("name").and_then(Value::as_str) {
                names.insert(key(namespace, name));
            }
            members.values().for_each(|member| collect(member, namespace, names));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, namespace, names)),
        _ => {}
    }
}

/// The endings of the objects that Vexil makes beside the user's.
const SIDES: [&str; 2] = ["-primary", "-canary"];

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn canary(target: &str) -> Value {
        json!({"spec": {
            "targetRef": {"kind": "Deployment", "name": target},
            "service": {"name": "shop-front"},
            "upstreamRef": {"kind": "Upstream", "name": "front", "namespace": "gloo-system"},
        }})
    }

    #[rstest]
    #[case::target("shop/frontend", true)]
    #[case::primary("shop/frontend-primary", true)]
    #[case::service("shop/shop-front", true)]
    #[case::canary_side("shop/shop-front-canary", true)]
    #[case::elsewhere("gloo-system/front", true)]
    #[case::not_there("shop/front", false)]
    #[case::other_namespace("bank/frontend", false)]
    #[case::other("shop/backend", false)]
    fn what_a_manifest_names_is_of_interest(#[case] object: &str, #[case] expected: bool) {
        let mut interest = Interest::default();
        interest.put(&key("shop", "release"), &canary("frontend"));
        assert_eq!(interest.covers(object), expected);
    }

    #[test]
    fn what_two_canaries_name_is_of_interest_until_both_are_gone() {
        let mut interest = Interest::default();
        let (one, two) = (key("shop", "one"), key("shop", "two"));
        interest.put(&one, &canary("frontend"));
        interest.put(&two, &canary("frontend"));
        interest.put(&one, &canary("backend"));
        assert!(interest.covers("shop/frontend") && interest.covers("shop/backend"));
        interest.remove(&two);
        assert!(!interest.covers("shop/frontend") && interest.covers("shop/backend"));
        interest.remove(&one);
        assert!(interest.names.is_empty() && interest.by_canary.is_empty());
    }
}
