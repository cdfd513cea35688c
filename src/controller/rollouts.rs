//! Which releases go on, and who waits in line, where `-max-concurrent-rollouts` says how many may go on at once.
//!
//! The line is fair: whose namespace has the fewest releases that go on or stand before it comes first, then who has
//! waited longest. Nobody waits for one who could not start anyway: a release whose gate is closed leaves the line.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use chrono::{DateTime, Utc};

use crate::api::status::{BlockerKind, CanaryStatus};
use crate::model::object::ObjectId;
use crate::model::release::Settings;
use crate::rollout::{Place, Turn, line};

use super::caches::lock;

/// The releases of all Canaries.
pub struct Rollouts {
    cluster: usize,
    namespace: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    going: BTreeSet<ObjectId>,
    /// Those that go on, by namespace.
    going_in: BTreeMap<String, usize>,
    /// Since when each of those in line waits.
    waiting: BTreeMap<ObjectId, DateTime<Utc>>,
}

impl Rollouts {
    /// No release goes on yet.
    pub fn new(settings: &Settings) -> Self {
        let (cluster, namespace) = (settings.max_rollouts, settings.max_rollouts_per_namespace);
        Self { cluster, namespace, state: Mutex::default() }
    }

    /// Whether any number may go on.
    pub fn is_unlimited(&self) -> bool {
        self.cluster == 0 && self.namespace == 0
    }

    /// Whether a release of `id` may start now.
    pub fn turn(&self, id: &ObjectId) -> Turn {
        if self.is_unlimited() {
            return Turn::Free;
        }
        self.turn_in(&lock(&self.state), id)
    }

    /// Begins a release whose turn it is; `false` if another one was faster.
    pub fn begin(&self, id: &ObjectId) -> bool {
        if self.is_unlimited() {
            return true;
        }
        let mut state = lock(&self.state);
        let free = self.turn_in(&state, id) == Turn::Free;
        if free {
            state.begins(id);
        }
        free
    }

    /// Takes note of what the status of a Canary says. Those whose turn it may be now.
    pub fn note(&self, id: &ObjectId, status: &CanaryStatus, now: DateTime<Utc>) -> Vec<ObjectId> {
        if self.is_unlimited() {
            return Vec::new();
        }
        let mut state = lock(&self.state);
        if status.phase.is_stepping() {
            state.begins(id);
            return Vec::new();
        }
        let ended = state.ends(id);
        let left = if line::stands(status) {
            let queue = status.blockers.iter().find(|blocker| blocker.kind == BlockerKind::Queue);
            let since = queue.and_then(|blocker| blocker.since).unwrap_or(now);
            state.waiting.entry(id.clone()).or_insert(since);
            false
        } else {
            state.waiting.remove(id).is_some()
        };
        if ended || left { self.called(&state) } else { Vec::new() }
    }

    /// Forgets a Canary that is gone. Those whose turn it may be now.
    pub fn forget(&self, id: &ObjectId) -> Vec<ObjectId> {
        self.note(id, &CanaryStatus::default(), DateTime::UNIX_EPOCH)
    }

    /// Those in line whose turn it is.
    fn called(&self, state: &State) -> Vec<ObjectId> {
        let mut room = Room::of(self, state);
        let mut called = Vec::new();
        for id in state.line(None) {
            if room.is_full() {
                break;
            }
            if room.take(&id.namespace) {
                called.push(id.clone());
            }
        }
        called
    }

    fn turn_in(&self, state: &State, id: &ObjectId) -> Turn {
        if state.going.contains(id) {
            return Turn::Free;
        }
        let mut room = Room::of(self, state);
        let line = state.line(Some(id));
        let mut place = line.len();
        for (before, other) in line.iter().enumerate() {
            if *other == id {
                if room.take(&id.namespace) {
                    return Turn::Free;
                }
                place = before + 1;
                break;
            }
            room.take(&other.namespace);
        }
        let in_namespace = state.going_in.get(&id.namespace).copied().unwrap_or(0);
        let (going, limit) = if self.namespace > 0 && in_namespace >= self.namespace {
            (in_namespace, (self.namespace, "-max-concurrent-rollouts-per-namespace"))
        } else {
            (state.going.len(), (self.cluster, "-max-concurrent-rollouts"))
        };
        Turn::Waits(Place { place, waiting: line.len(), going, limit })
    }
}

/// What is left of the limits.
struct Room<'a> {
    limits: &'a Rollouts,
    going: usize,
    going_in: BTreeMap<&'a str, usize>,
}

impl<'a> Room<'a> {
    fn of(limits: &'a Rollouts, state: &'a State) -> Self {
        let going_in =
            state.going_in.iter().map(|(namespace, number)| (namespace.as_str(), *number)).collect();
        Self { limits, going: state.going.len(), going_in }
    }

    fn is_full(&self) -> bool {
        self.limits.cluster > 0 && self.going >= self.limits.cluster
    }

    /// Takes a place for a release of `namespace`, if there is one.
    fn take(&mut self, namespace: &'a str) -> bool {
        let in_namespace = self.going_in.entry(namespace).or_default();
        if self.limits.cluster > 0 && self.going >= self.limits.cluster
            || self.limits.namespace > 0 && *in_namespace >= self.limits.namespace
        {
            return false;
        }
        self.going += 1;
        *in_namespace += 1;
        true
    }
}

impl State {
    fn begins(&mut self, id: &ObjectId) {
        self.waiting.remove(id);
        if self.going.insert(id.clone()) {
            *self.going_in.entry(id.namespace.clone()).or_default() += 1;
        }
    }

    fn ends(&mut self, id: &ObjectId) -> bool {
        let went = self.going.remove(id);
        if went && let Some(number) = self.going_in.get_mut(&id.namespace) {
            *number -= 1;
            if *number == 0 {
                self.going_in.remove(&id.namespace);
            }
        }
        went
    }

    /// All who stand in line, the next one first; with `newcomer` behind those who have waited as long.
    fn line<'a>(&'a self, newcomer: Option<&'a ObjectId>) -> Vec<&'a ObjectId> {
        let newcomer = newcomer.filter(|id| !self.waiting.contains_key(*id));
        let mut all: Vec<(Option<DateTime<Utc>>, &ObjectId)> =
            self.waiting.iter().map(|(id, since)| (Some(*since), id)).collect();
        all.sort();
        all.extend(newcomer.map(|id| (None, id)));
        let mut before: BTreeMap<&str, usize> = BTreeMap::new();
        let mut ranked: Vec<(usize, usize, &ObjectId)> = all
            .into_iter()
            .enumerate()
            .map(|(index, (_, id))| {
                let going = self.going_in.get(&id.namespace).copied().unwrap_or(0);
                let rank = before.entry(&id.namespace).or_insert(going);
                *rank += 1;
                (*rank, index, id)
            })
            .collect();
        ranked.sort();
        ranked.into_iter().map(|(_, _, id)| id).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::api::status::{Blocker, Phase};
    use crate::model::object::Kind;

    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).expect("a time")
    }

    fn id(namespace: &str, name: &str) -> ObjectId {
        Kind::CANARY.at(namespace, name)
    }

    fn limited(cluster: usize, namespace: usize) -> Rollouts {
        Rollouts::new(&Settings {
            max_rollouts: cluster,
            max_rollouts_per_namespace: namespace,
            ..Settings::default()
        })
    }

    fn in_phase(phase: Phase) -> CanaryStatus {
        CanaryStatus { phase, ..CanaryStatus::default() }
    }

    fn in_line(second: i64) -> CanaryStatus {
        let queue = Blocker { kind: BlockerKind::Queue, since: Some(at(second)), ..Blocker::default() };
        CanaryStatus { blockers: vec![queue], ..in_phase(Phase::Waiting) }
    }

    fn place(turn: &Turn) -> Option<(usize, usize)> {
        match turn {
            Turn::Free => None,
            Turn::Waits(place) => Some((place.place, place.waiting)),
        }
    }

    #[test]
    fn no_more_go_on_than_may_and_the_first_in_line_follows() {
        let rollouts = limited(1, 0);
        let [a, b, c] = ["a", "b", "c"].map(|name| id("shop", name));
        assert!(rollouts.begin(&a) && !rollouts.begin(&b));
        rollouts.note(&b, &in_line(1), at(9));
        rollouts.note(&c, &in_line(2), at(9));
        assert_eq!(place(&rollouts.turn(&c)), Some((2, 2)));
        assert_eq!(rollouts.note(&a, &in_phase(Phase::Progressing), at(3)), []);
        assert_eq!(rollouts.note(&a, &in_phase(Phase::Succeeded), at(4)), std::slice::from_ref(&b));
        assert_eq!(place(&rollouts.turn(&c)), Some((2, 2)), "the place is kept for the first");
        assert!(!rollouts.begin(&c) && rollouts.begin(&b));
        assert_eq!(place(&rollouts.turn(&c)), Some((1, 1)));
        assert_eq!(rollouts.forget(&b), [c]);
    }

    #[test]
    fn a_namespace_with_many_does_not_keep_the_others_waiting() {
        let rollouts = limited(2, 0);
        for name in ["a", "b", "c", "d"] {
            if !rollouts.begin(&id("busy", name)) {
                rollouts.note(&id("busy", name), &in_line(1), at(9));
            }
        }
        let late = id("quiet", "late");
        rollouts.note(&late, &in_line(8), at(9));
        assert_eq!(rollouts.note(&id("busy", "a"), &in_phase(Phase::Failed), at(10)), [late]);
    }

    #[test]
    fn the_limit_of_a_namespace_stops_nobody_else() {
        let rollouts = limited(0, 1);
        assert!(rollouts.begin(&id("shop", "a")) && rollouts.begin(&id("bank", "a")));
        assert!(!rollouts.begin(&id("shop", "b")));
        let Turn::Waits(place) = rollouts.turn(&id("shop", "b")) else { panic!("it waits") };
        assert_eq!(
            place.to_string(),
            "place 1 of 1 in line: 1 releases go on, and -max-concurrent-rollouts-per-namespace is 1"
        );
    }

    #[test]
    fn after_a_restart_the_line_is_as_it_was() {
        let rollouts = limited(1, 0);
        rollouts.note(&id("shop", "late"), &in_line(20), at(99));
        rollouts.note(&id("shop", "early"), &in_line(10), at(99));
        rollouts.note(&id("shop", "running"), &in_phase(Phase::WaitingPromotion), at(99));
        assert_eq!(place(&rollouts.turn(&id("shop", "early"))), Some((1, 2)));
        assert_eq!(
            rollouts.note(&id("shop", "running"), &in_phase(Phase::Initialized), at(99)),
            [id("shop", "early")]
        );
    }

    #[test]
    fn who_leaves_the_line_lets_the_next_one_go() {
        let rollouts = limited(1, 0);
        let [a, b] = ["a", "b"].map(|name| id("shop", name));
        rollouts.note(&a, &in_line(1), at(9));
        rollouts.note(&b, &in_line(2), at(9));
        assert_eq!(rollouts.turn(&a), Turn::Free);
        assert_eq!(rollouts.note(&a, &in_phase(Phase::Waiting), at(9)), [b], "its gate is closed");
    }
}
