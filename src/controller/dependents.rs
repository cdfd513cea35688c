//! Which Canaries to look at when an object changes.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::model::object::ObjectId;

/// The objects that each Canary looks at, by fingerprint: a dozen ids for each of thousands of Canaries would take more
/// room than the objects themselves. Where two objects have the same fingerprint, a Canary is looked at once too often.
#[derive(Debug, Default)]
pub struct Dependents {
    canaries: BTreeMap<ObjectId, (Number, Box<[u64]>)>,
    /// Canaries by their numbers, which are given out again.
    names: BTreeMap<Number, ObjectId>,
    free: Vec<Number>,
    of: HashMap<u64, Few>,
}

/// A short name for a Canary.
type Number = u32;

/// Canaries that look at the same object: nearly always one.
#[derive(Debug)]
enum Few {
    One(Number),
    Many(Vec<Number>),
}

impl Few {
    fn numbers(&self) -> &[Number] {
        match self {
            Self::One(number) => std::slice::from_ref(number),
            Self::Many(numbers) => numbers,
        }
    }
}

impl Dependents {
    /// Notes what `canary` looks at, in place of what was noted before; whether that is something else.
    pub fn note(&mut self, canary: &ObjectId, reads: &[ObjectId]) -> bool {
        let mut fingerprints: Vec<u64> = reads.iter().map(fingerprint).collect();
        fingerprints.sort_unstable();
        fingerprints.dedup();
        if self.canaries.get(canary).is_some_and(|(_, before)| **before == *fingerprints) {
            return false;
        }
        let known = self.forget(canary);
        if fingerprints.is_empty() {
            return known;
        }
        let next = Number::try_from(self.names.len()).unwrap_or(Number::MAX);
        let number = self.free.pop().unwrap_or(next);
        for fingerprint in &fingerprints {
            self.of
                .entry(*fingerprint)
                .and_modify(|few| *few = Few::Many([few.numbers(), &[number]].concat()))
                .or_insert(Few::One(number));
        }
        self.names.insert(number, canary.clone());
        self.canaries.insert(canary.clone(), (number, fingerprints.into()));
        true
    }

    /// Forgets what `canary` looks at; whether anything was noted.
    pub fn forget(&mut self, canary: &ObjectId) -> bool {
        let Some((number, fingerprints)) = self.canaries.remove(canary) else { return false };
        for fingerprint in fingerprints {
            let left: Vec<Number> = match self.of.remove(&fingerprint) {
                Some(few) => few.numbers().iter().copied().filter(|other| *other != number).collect(),
                None => Vec::new(),
            };
            match left.as_slice() {
                [] => {}
                [one] => drop(self.of.insert(fingerprint, Few::One(*one))),
                _ => drop(self.of.insert(fingerprint, Few::Many(left))),
            }
        }
        self.names.remove(&number);
        self.free.push(number);
        true
    }

    /// The Canaries that look at `object`.
    pub fn of(&self, object: &ObjectId) -> Vec<ObjectId> {
        let numbers = self.of.get(&fingerprint(object)).map_or(&[][..], Few::numbers);
        numbers.iter().filter_map(|number| self.names.get(number)).cloned().collect()
    }
}

fn fingerprint(object: &ObjectId) -> u64 {
    // The same in each run, unlike the hashes of a map.
    let mut hasher = DefaultHasher::new();
    object.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::object::Kind;

    fn ids(kind: Kind, names: &[&str]) -> Vec<ObjectId> {
        names.iter().map(|name| kind.at("shop", name)).collect()
    }

    #[test]
    fn who_looks_at_an_object_is_found() {
        let mut dependents = Dependents::default();
        let canaries = ids(Kind::CANARY, &["a", "b", "c"]);
        let objects = ids(Kind::DEPLOYMENT, &["one", "two"]);
        assert!(dependents.note(&canaries[0], &objects));
        assert!(dependents.note(&canaries[1], &objects[1..]));
        assert!(!dependents.note(&canaries[1], &[objects[1].clone(), objects[1].clone()]), "nothing new");
        assert_eq!(dependents.of(&objects[0]), canaries[..1]);
        assert_eq!(dependents.of(&objects[1]), canaries[..2]);
        assert!(dependents.note(&canaries[0], &objects[..1]));
        assert!(dependents.note(&canaries[2], &objects[1..]));
        assert_eq!(dependents.of(&objects[1]), canaries[1..]);
        assert_eq!(dependents.of(&Kind::SERVICE.at("shop", "one")), []);
    }

    #[test]
    fn who_is_gone_leaves_nothing_behind() {
        let mut dependents = Dependents::default();
        let canaries = ids(Kind::CANARY, &["a", "b"]);
        let objects = ids(Kind::DEPLOYMENT, &["one"]);
        for _ in 0..3 {
            for canary in &canaries {
                dependents.note(canary, &objects);
            }
            assert!(dependents.forget(&canaries[0]));
            assert_eq!(dependents.of(&objects[0]), canaries[1..]);
            assert!(dependents.note(&canaries[1], &[]), "it looks at nothing any more");
            assert!(!dependents.forget(&canaries[1]));
        }
        assert!(dependents.of.is_empty() && dependents.names.is_empty());
        assert_eq!(dependents.free.len(), 2);
    }
}
