//! Which Canary was the first to lay claim to a workload or a Service. Without this index each look would have to
//! compare its Canary with all others of the namespace.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::shelf::{Key, key, split};

/// What a Canary wants for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claim<'a> {
    /// A workload, by kind and name.
    Target(&'a str, &'a str),
    /// The Service of this name, with its routes.
    Apex(&'a str),
}

impl Claim<'_> {
    fn key(self, namespace: &str) -> Key {
        match self {
            // No kind has a space in its name.
            Self::Target(kind, name) => key(namespace, &format!("{kind} {name}")),
            Self::Apex(name) => key(namespace, name),
        }
    }
}

/// When a Canary was created, and its name: the order in which claims count.
type Age = (Box<str>, Box<str>);

/// The claims of all Canaries.
#[derive(Debug, Default)]
pub(super) struct Claims {
    claimants: BTreeMap<Key, BTreeSet<Age>>,
    by_canary: BTreeMap<Key, (Age, [Key; 2])>,
}

impl Claims {
    /// Notes the claims of a Canary.
    pub fn put(&mut self, canary: &Key, object: &Value) {
        let target = &object["spec"]["targetRef"];
        let (Some(kind), Some(name)) = (target["kind"].as_str(), target["name"].as_str()) else {
            self.remove(canary);
            return;
        };
        let apex = object["spec"]["service"]["name"].as_str().filter(|name| !name.is_empty()).unwrap_or(name);
        let namespace = split(canary).0;
        let claims = [Claim::Target(kind, name), Claim::Apex(apex)].map(|claim| claim.key(namespace));
        let age = age(object);
        if self.by_canary.get(canary).is_some_and(|before| *before == (age.clone(), claims.clone())) {
            return;
        }
        self.remove(canary);
        for claim in &claims {
            self.claimants.entry(claim.clone()).or_default().insert(age.clone());
        }
        self.by_canary.insert(canary.clone(), (age, claims));
    }

    /// Forgets the claims of a Canary that is gone.
    pub fn remove(&mut self, canary: &str) {
        let Some((age, claims)) = self.by_canary.remove(canary) else { return };
        for claim in claims {
            if let Some(claimants) = self.claimants.get_mut(&claim) {
                claimants.remove(&age);
                if claimants.is_empty() {
                    self.claimants.remove(&claim);
                }
            }
        }
    }

    /// The name of the oldest Canary with this claim, if it is older than `canary`.
    pub fn older(&self, namespace: &str, claim: Claim<'_>, canary: &Value) -> Option<&str> {
        let (created, name) = self.claimants.get(&claim.key(namespace))?.first()?;
        let mine = age(canary);
        ((created, name) < (&mine.0, &mine.1)).then_some(name)
    }
}

fn age(canary: &Value) -> Age {
    let text = |field: &str| canary["metadata"][field].as_str().unwrap_or_default().into();
    (text("creationTimestamp"), text("name"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn canary(name: &str, hour: u32, target: &str, apex: &str) -> Value {
        json!({
            "metadata": {"name": name, "creationTimestamp": format!("2026-11-20T{hour:02}:00:00Z")},
            "spec": {"targetRef": {"kind": "Deployment", "name": target}, "service": {"name": apex}},
        })
    }

    #[test]
    fn who_was_there_first_keeps_workload_and_service() {
        let mut claims = Claims::default();
        let (first, second) = (canary("first", 9, "frontend", ""), canary("second", 10, "frontend", "shop"));
        let third = canary("third", 11, "other", "frontend");
        for object in [&first, &second, &third] {
            claims.put(&key("shop", object["metadata"]["name"].as_str().expect("a name")), object);
        }
        let target = Claim::Target("Deployment", "frontend");
        assert_eq!(claims.older("shop", target, &first), None);
        assert_eq!(claims.older("shop", target, &second), Some("first"));
        assert_eq!(claims.older("shop", Claim::Apex("frontend"), &third), Some("first"));
        assert_eq!(claims.older("bank", target, &second), None, "another namespace");
        claims.remove("shop/first");
        assert_eq!(claims.older("shop", target, &second), None);
        assert_eq!(claims.older("shop", Claim::Apex("frontend"), &third), None);
    }

    #[test]
    fn a_claim_ends_when_the_manifest_names_something_else() {
        let mut claims = Claims::default();
        claims.put(&key("shop", "first"), &canary("first", 9, "frontend", ""));
        claims.put(&key("shop", "first"), &canary("first", 9, "backend", ""));
        let second = canary("second", 10, "frontend", "");
        assert_eq!(claims.older("shop", Claim::Target("Deployment", "frontend"), &second), None);
        claims.put(&key("shop", "first"), &json!({"metadata": {"name": "first"}}));
        assert!(claims.claimants.is_empty() && claims.by_canary.is_empty());
    }
}
