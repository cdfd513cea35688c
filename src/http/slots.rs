//! How many calls may be under way at once, and who is next where more are wanted.
//!
//! ```text
//! take ──▶ a place is free, and the share of the party is not used up ──▶ Slot
//!   └────▶ else it waits; of those who may go, who holds least is next ──▶ Slot
//! ```
//!
//! Nobody gets all places: neither one sort of calls, nor one host, nor one namespace, nor one Canary. So a Canary whose
//! calls hang takes from another what is left of its own share, and nothing else.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::error::Cause;
use super::party::{Party, Sort};

/// How many calls of each sort may be under way at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The limit for questions to metrics servers.
    pub queries: Limit,
    /// The limit for hooks that a release waits for.
    pub hooks: Limit,
    /// The limit for alerts and events.
    pub deliveries: Limit,
}

/// How many calls may be under way at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How many calls may be under way in all.
    pub total: usize,
    /// How many calls may be under way to one host and port.
    pub per_host: usize,
}

/// A metrics server works on some twenty queries at once, and lets more wait until they are too late; hooks may take
/// minutes, and nearly all of them go to one load tester.
impl Default for Limits {
    fn default() -> Self {
        Self {
            queries: Limit { total: 128, per_host: 20 },
            hooks: Limit { total: 256, per_host: 192 },
            deliveries: Limit { total: 128, per_host: 16 },
        }
    }
}

impl Limits {
    /// The same limit for calls of every sort.
    pub fn of_each(limit: Limit) -> Self {
        Self { queries: limit, hooks: limit, deliveries: limit }
    }

    fn of(&self, sort: Sort) -> Limit {
        match sort {
            Sort::Query => self.queries,
            Sort::Hook => self.hooks,
            Sort::Delivery => self.deliveries,
        }
    }
}

/// Counts the calls that are under way. Clones are the same.
#[derive(Clone)]
pub(super) struct Slots(Arc<Desk>);

struct Desk {
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Places that are taken; what is not here is zero.
    taken: BTreeMap<Counter, usize>,
    /// Each queue in the order of coming. None of them may go at this moment.
    waiting: BTreeMap<Wish, VecDeque<Waiter>>,
    came: u64,
}

struct Waiter {
    number: u64,
    turn: oneshot::Sender<Slot>,
}

/// Who wants to call whom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Wish {
    party: Party,
    host: Arc<str>,
}

/// What is counted: the places that somebody has taken in a pool.
type Counter = (Pool, Holder);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Pool {
    Sort(Sort),
    Host(Sort, Arc<str>),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Holder {
    All,
    Namespace(Arc<str>),
    Party(Arc<str>, Arc<str>),
}

/// A place among the calls under way; free again when dropped.
pub(super) struct Slot {
    slots: Slots,
    wish: Wish,
}

impl Slots {
    pub(super) fn new(limits: Limits) -> Self {
        Self(Arc::new(Desk { limits, state: Mutex::default() }))
    }

    /// A place for a call of `party` to `host`, as soon as it is its turn.
    ///
    /// # Errors
    /// If none was free for a long time, or too many wait already.
    pub(super) async fn take(&self, party: &Party, host: &str) -> Result<Slot, Cause> {
        let wish = Wish { party: party.clone(), host: host.into() };
        let turn = {
            let mut state = self.state();
            if state.may_go(&wish, &self.0.limits) {
                state.count(&wish, 1);
                return Ok(Slot { slots: self.clone(), wish });
            }
            state.queue(wish)
        };
        match timeout(PATIENCE, turn).await {
            Ok(slot) => slot.map_err(|_| Cause::Crowded),
            Err(_) => Err(Cause::Busy(PATIENCE)),
        }
    }

    /// Lets go whoever may.
    fn serve(&self) {
        loop {
            let next = self.state().next(&self.0.limits);
            let Some((wish, Waiter { turn, .. })) = next else { return };
            // Whoever has just gone gives the place back by dropping it, which must not happen under the lock.
            drop(turn.send(Slot { slots: self.clone(), wish }));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.state().count(&self.wish, -1);
        self.slots.serve();
    }
}

impl State {
    /// Adds to the end of those who wait. If there are too many, the newest of the longest queue goes.
    fn queue(&mut self, wish: Wish) -> oneshot::Receiver<Slot> {
        let (turn, receiver) = oneshot::channel();
        self.came += 1;
        self.waiting.entry(wish).or_default().push_back(Waiter { number: self.came, turn });
        if self.number_waiting() > MOST_WAITING {
            for queue in self.waiting.values_mut() {
                queue.retain(|waiter| !waiter.turn.is_closed());
            }
        }
        if self.number_waiting() > MOST_WAITING
            && let Some(longest) = self.waiting.values_mut().max_by_key(|queue| queue.len())
        {
            longest.pop_back();
        }
        receiver
    }

    fn number_waiting(&self) -> usize {
        self.waiting.values().map(VecDeque::len).sum()
    }

    /// Takes the waiter out whose turn it is, and counts its place: of those who may go the one whose namespace, and
    /// then who itself, has the fewest calls under way to its host; among equals the first.
    fn next(&mut self, limits: &Limits) -> Option<(Wish, Waiter)> {
        self.waiting.retain(|_, queue| {
            while queue.front().is_some_and(|waiter| waiter.turn.is_closed()) {
                queue.pop_front();
            }
            !queue.is_empty()
        });
        let may_go = self.waiting.iter().filter(|(wish, _)| self.may_go(wish, limits));
        let (wish, _) = may_go.min_by_key(|(wish, queue)| {
            let [_, namespace, party] = self.taken_of(wish, wish.host_pool());
            (namespace, party, queue.front().map(|waiter| waiter.number))
        })?;
        let wish = wish.clone();
        let waiter = self.waiting.get_mut(&wish)?.pop_front()?;
        self.count(&wish, 1);
        Some((wish, waiter))
    }

    fn may_go(&self, wish: &Wish, limits: &Limits) -> bool {
        let limit = limits.of(wish.party.sort);
        let room = |pool, size: usize| {
            let [all, namespace, party] = self.taken_of(wish, pool);
            let shares =
                wish.party.is_own() || (namespace < of_a_namespace(size) && party < of_a_party(size));
            all < size.max(1) && shares
        };
        room(wish.sort_pool(), limit.total) && room(wish.host_pool(), limit.per_host)
    }

    /// The places that all, the namespace and the party of `wish` have taken in `pool`.
    fn taken_of(&self, wish: &Wish, pool: Pool) -> [usize; 3] {
        wish.holders().map(|holder| self.taken.get(&(pool.clone(), holder)).copied().unwrap_or_default())
    }

    fn count(&mut self, wish: &Wish, by: isize) {
        for pool in [wish.sort_pool(), wish.host_pool()] {
            for holder in wish.holders() {
                let counter = (pool.clone(), holder);
                let taken = self.taken.get(&counter).copied().unwrap_or_default().saturating_add_signed(by);
                match taken {
                    // Hosts and Canaries without calls are forgotten.
                    0 => self.taken.remove(&counter),
                    taken => self.taken.insert(counter, taken),
                };
            }
        }
    }
}

impl Wish {
    fn sort_pool(&self) -> Pool {
        Pool::Sort(self.party.sort)
    }

    fn host_pool(&self) -> Pool {
        Pool::Host(self.party.sort, Arc::clone(&self.host))
    }

    fn holders(&self) -> [Holder; 3] {
        let Party { namespace, name, .. } = &self.party;
        let (namespace, name) = (Arc::clone(namespace), Arc::clone(name));
        [Holder::All, Holder::Namespace(Arc::clone(&namespace)), Holder::Party(namespace, name)]
    }
}

/// How many places of so many one namespace may have.
fn of_a_namespace(size: usize) -> usize {
    (size * 3).div_ceil(4).max(1)
}

/// How many places of so many one Canary may have.
fn of_a_party(size: usize) -> usize {
    size.div_ceil(2).max(1)
}

/// How long a place is waited for: longer than a hook may take, unless the controller's flags say otherwise.
const PATIENCE: Duration = Duration::from_mins(15);
/// Calls that wait, of all parties.
const MOST_WAITING: usize = 4096;

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn slots(total: usize, per_host: usize) -> Slots {
        Slots::new(Limits::of_each(Limit { total, per_host }))
    }

    fn party(namespace: &str, name: &str) -> Party {
        Party::new(Sort::Hook, namespace, name)
    }

    /// The places that are free for `party` at `host`, taken.
    fn all_of(slots: &Slots, party: &Party, host: &str) -> Vec<Slot> {
        std::iter::from_fn(|| slots.take(party, host).now_or_never().map(|slot| slot.expect("a place")))
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn neither_a_canary_nor_a_namespace_nor_a_host_gets_all_places() {
        let slots = slots(16, 8);
        let first = all_of(&slots, &party("shop", "a"), "tester");
        assert_eq!(first.len(), 4, "one Canary has half");
        let second = all_of(&slots, &party("shop", "b"), "tester");
        assert_eq!(second.len(), 2, "one namespace has three quarters");
        let third = all_of(&slots, &party("bank", "c"), "tester");
        assert_eq!(third.len(), 2, "the rest is for others");
        let fourth = all_of(&slots, &party("bank", "c"), "other");
        assert_eq!(fourth.len(), 4, "another host");
        let fifth = all_of(&slots, &party("post", "d"), "third");
        assert_eq!(fifth.len(), 4, "sixteen in all");
        assert_eq!(all_of(&slots, &party("post", "e"), "fourth").len(), 0, "sixteen in all");
        assert_eq!(all_of(&slots, &Party::new(Sort::Query, "post", "e"), "fourth").len(), 4, "another sort");
        drop((first, second, third, fourth, fifth));
    }

    #[tokio::test(start_paused = true)]
    async fn who_holds_least_is_next_and_among_equals_who_came_first() {
        let slots = slots(100, 4);
        let mut held = all_of(&slots, &party("shop", "a"), "tester");
        held.extend(all_of(&slots, &party("shop", "b"), "tester"));
        held.extend(all_of(&slots, &party("bank", "c"), "tester"));
        assert_eq!(held.len(), 4);
        let wanted = [("shop", "a"), ("shop", "b"), ("bank", "c"), ("post", "d"), ("post", "e")];
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = Vec::new();
        for (namespace, name) in wanted {
            let (slots, order, party) = (slots.clone(), Arc::clone(&order), party(namespace, name));
            waiting.push(tokio::spawn(async move {
                let slot = slots.take(&party, "tester").await.expect("a place");
                order.lock().expect("no panic").push(party.name.to_string());
                slot
            }));
            tokio::task::yield_now().await;
        }
        // A hangs, and gives nothing back.
        let back = held.split_off(2);
        for slot in back {
            drop(slot);
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(
            *order.lock().expect("no panic"),
            ["d", "c"],
            "the namespaces that hold nothing come first"
        );
        drop(waiting);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_gone_is_skipped_and_leaves_nothing_behind() {
        let slots = slots(1, 1);
        let held = all_of(&slots, &party("shop", "a"), "tester");
        let impatient = party("shop", "b");
        assert!(timeout(Duration::from_secs(1), slots.take(&impatient, "tester")).await.is_err());
        let (slots_of_c, c) = (slots.clone(), party("shop", "c"));
        let patient = tokio::spawn(async move { slots_of_c.take(&c, "tester").await.is_ok() });
        tokio::task::yield_now().await;
        drop(held);
        assert!(patient.await.expect("no panic"));
        assert!(slots.state().taken.is_empty() && slots.state().waiting.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_is_not_waited_for_for_ever() {
        let slots = slots(1, 1);
        let _held = all_of(&slots, &party("shop", "a"), "tester");
        let refused = slots.take(&party("bank", "b"), "tester").await.err();
        assert_eq!(refused, Some(Cause::Busy(PATIENCE)));
    }

    #[tokio::test(start_paused = true)]
    async fn of_too_many_who_wait_the_newest_of_the_greediest_goes() {
        let slots = slots(1, 1);
        let held = all_of(&slots, &party("shop", "a"), "tester");
        let wait = |party: Party| {
            let slots = slots.clone();
            tokio::spawn(async move { slots.take(&party, "tester").await.map(drop) })
        };
        let modest = wait(party("bank", "b"));
        let greedy: Vec<_> = (0..MOST_WAITING + 10).map(|_| wait(party("shop", "a"))).collect();
        let late = wait(party("post", "c"));
        // Until nothing else is left to do.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(slots.state().number_waiting(), MOST_WAITING);
        drop(held);
        assert_eq!(modest.await.expect("no panic"), Ok(()));
        assert_eq!(late.await.expect("no panic"), Ok(()));
        let mut refused = 0;
        for call in greedy {
            refused += usize::from(call.await.expect("no panic") == Err(Cause::Crowded));
        }
        assert_eq!(refused, 12);
    }
}
