//! The queue knows what is due when. It is pure: it has no clock and no tasks, only an order.
//!
//! ```text
//! add ──▶ waiting (by due time, then by age) ──pop──▶ in flight ──done──▶ gone
//!            ▲                                           │
//!            └──────────── added meanwhile ◀─────────────┘
//! ```
//!
//! A key has one run at a time. Several wishes for a key become one run, at the earliest of their times, which knows
//! all their reasons. A wish that comes while the key is in flight waits until that run is done.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

/// Keys `K` that are due at times `T` for reasons `R`.
#[derive(Clone, Debug)]
pub struct Queue<K, T, R> {
    entries: BTreeMap<K, Entry<T, R>>,
    /// Those that may be popped, in order. The number is the age: it breaks ties and keeps the order the same
    /// on each run.
    ready: BTreeMap<(T, u64), K>,
    in_flight: usize,
    age: u64,
}

#[derive(Clone, Debug)]
struct Entry<T, R> {
    in_flight: bool,
    next: Option<Wish<T, R>>,
}

#[derive(Clone, Debug)]
struct Wish<T, R> {
    due: T,
    age: u64,
    reasons: BTreeSet<R>,
}

impl<K: Ord + Clone, T: Ord + Copy, R: Ord> Queue<K, T, R> {
    /// An empty queue.
    pub fn new() -> Self {
        Self { entries: BTreeMap::new(), ready: BTreeMap::new(), in_flight: 0, age: 0 }
    }

    /// Wishes a run of `key` at `due`. If one is waiting already, the earlier time wins and both reasons count.
    pub fn add(&mut self, key: K, due: T, reason: R) {
        let age = self.age;
        self.age += 1;
        let entry = self.entries.entry(key.clone()).or_insert(Entry { in_flight: false, next: None });
        match &mut entry.next {
            Some(wish) => {
                wish.reasons.insert(reason);
                if due >= wish.due {
                    return;
                }
                self.ready.remove(&(wish.due, wish.age));
                (wish.due, wish.age) = (due, age);
            }
            None => entry.next = Some(Wish { due, age, reasons: BTreeSet::from([reason]) }),
        }
        if !entry.in_flight {
            self.ready.insert((due, age), key);
        }
    }

    /// When the next key is due; `None` if nothing can become due before something is added or done.
    pub fn next_due(&self) -> Option<T> {
        self.ready.first_key_value().map(|((due, _), _)| *due)
    }

    /// Takes the key that has been due longest, with all its reasons. It is in flight until [`Queue::done`].
    pub fn pop(&mut self, now: T) -> Option<(K, BTreeSet<R>)> {
        let first = self.ready.first_entry().filter(|first| first.key().0 <= now)?;
        let key = first.remove();
        let entry = self.entries.get_mut(&key)?;
        entry.in_flight = true;
        self.in_flight += 1;
        let reasons = entry.next.take().map(|wish| wish.reasons).unwrap_or_default();
        Some((key, reasons))
    }

    /// The run of `key` is over. If it was wished for again meanwhile, it waits for its next run now.
    pub fn done(&mut self, key: &K) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        if !mem::take(&mut entry.in_flight) {
            return;
        }
        self.in_flight -= 1;
        match &entry.next {
            Some(wish) => {
                self.ready.insert((wish.due, wish.age), key.clone());
            }
            None => {
                self.entries.remove(key);
            }
        }
    }

    /// Keys that wait for their time.
    pub fn waiting(&self) -> usize {
        self.ready.len()
    }

    /// Keys that run now.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }
}

impl<K: Ord + Clone, T: Ord + Copy, R: Ord> Default for Queue<K, T, R> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Names = Queue<&'static str, u32, &'static str>;

    fn reasons<const N: usize>(reasons: [&'static str; N]) -> BTreeSet<&'static str> {
        BTreeSet::from(reasons)
    }

    #[test]
    fn nothing_is_popped_before_its_time() {
        let mut queue = Names::new();
        queue.add("a", 10, "timer");
        assert_eq!(Some(10), queue.next_due());
        assert_eq!(None, queue.pop(9));
        assert_eq!(Some(("a", reasons(["timer"]))), queue.pop(10));
        assert_eq!(None, queue.next_due());
    }

    #[test]
    fn the_one_that_is_due_longest_comes_first_and_equals_keep_their_order() {
        let mut queue = Names::new();
        queue.add("later", 5, "x");
        queue.add("z", 3, "x");
        queue.add("a", 3, "x");
        let order: Vec<_> = std::iter::from_fn(|| queue.pop(9)).map(|(key, _)| key).collect();
        assert_eq!(vec!["z", "a", "later"], order);
    }

    #[test]
    fn an_earlier_wish_wins_and_keeps_all_reasons() {
        let mut queue = Names::new();
        queue.add("a", 60, "timer");
        queue.add("a", 1, "new revision");
        queue.add("a", 90, "resync");
        assert_eq!(Some(("a", reasons(["new revision", "resync", "timer"]))), queue.pop(1));
        queue.done(&"a");
        assert_eq!(None, queue.next_due());
    }

    #[test]
    fn a_wake_during_the_run_is_kept_for_afterwards() {
        let mut queue = Names::new();
        queue.add("a", 0, "first");
        queue.pop(0);
        queue.add("a", 0, "second");
        assert_eq!(None, queue.pop(100));
        queue.done(&"a");
        assert_eq!(Some(("a", reasons(["second"]))), queue.pop(100));
    }

    #[test]
    fn a_busy_key_does_not_starve_the_others() {
        let mut queue = Names::new();
        queue.add("quiet", 1, "x");
        queue.add("busy", 0, "x");
        let mut order = Vec::new();
        for now in 1..4 {
            let (key, _) = queue.pop(now).expect("one is due");
            queue.done(&key);
            queue.add("busy", now, "again");
            order.push(key);
        }
        assert_eq!(vec!["busy", "quiet", "busy"], order);
    }

    /// What a caller may do with the queue.
    #[derive(Clone, Debug)]
    enum Deed {
        Add(u8, u32, u8),
        Pop(u32),
        Done(u8),
    }

    fn deeds() -> impl Strategy<Value = Vec<Deed>> {
        let deed = prop_oneof![
            (0..4u8, 0..20u32, 0..3u8).prop_map(|(key, due, reason)| Deed::Add(key, due, reason)),
            (0..25u32).prop_map(Deed::Pop),
            (0..4u8).prop_map(Deed::Done),
        ];
        prop::collection::vec(deed, 0..120)
    }

    proptest! {
        // spec: 02/C115
        #[test]
        fn nothing_is_lost_and_no_key_is_ever_twice_in_flight(deeds in deeds()) {
            let mut queue = Queue::<u8, u32, u8>::new();
            // What was wished for and not yet handed out: the earliest due time and the reasons.
            let mut owed: BTreeMap<u8, (u32, BTreeSet<u8>)> = BTreeMap::new();
            let mut running: BTreeSet<u8> = BTreeSet::new();
            for deed in deeds {
                match deed {
                    Deed::Add(key, due, reason) => {
                        queue.add(key, due, reason);
                        let wish = owed.entry(key).or_insert((due, BTreeSet::new()));
                        wish.0 = wish.0.min(due);
                        wish.1.insert(reason);
                    }
                    Deed::Pop(now) => {
                        let earliest = owed
                            .iter()
                            .filter(|(key, wish)| wish.0 <= now && !running.contains(key))
                            .map(|(_, wish)| wish.0)
                            .min();
                        match queue.pop(now) {
                            Some((key, reasons)) => {
                                prop_assert!(running.insert(key), "key {key} ran twice at once");
                                let wish = owed.remove(&key);
                                prop_assert_eq!(wish.clone().map(|wish| wish.0), earliest, "not the one due longest");
                                prop_assert_eq!(wish.map(|wish| wish.1), Some(reasons));
                            }
                            None => prop_assert_eq!(None, earliest, "a due key was not handed out"),
                        }
                    }
                    Deed::Done(key) => {
                        queue.done(&key);
                        running.remove(&key);
                    }
                }
                let next = owed.iter().filter(|(key, _)| !running.contains(key)).map(|(_, wish)| wish.0).min();
                prop_assert_eq!(next, queue.next_due());
                prop_assert_eq!(running.len(), queue.in_flight());
            }
        }
    }
}
