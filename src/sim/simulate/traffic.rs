//! The requests of a simulated release: who got how many, how many failed, how long they took. They are drawn for
//! short cells of time, from the routes and the pods as they were, so that a check hears of just these requests.

use std::time::Duration;

use super::chance::{Chance, Cumulative, Histogram, cumulative, number};
use super::scenario::Conditions;

/// Where requests go at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Flow {
    /// Share of the users' requests that are routed to the canary; of those that match, in an A/B test.
    pub canary: f64,
    /// Whether only requests that match can go to the canary.
    pub matched_only: bool,
    /// Share of the users' requests that are copied to the canary.
    pub copied: f64,
    /// Whether a load test calls the canary.
    pub tested: bool,
    /// Who answers at the primary, and at the canary.
    pub primary_pods: Answering,
    /// As `primary_pods`.
    pub canary_pods: Answering,
}

/// The pods behind a Service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Answering {
    /// Ready pods.
    pub ready: u32,
    /// Those of them that run a new version.
    pub new: u32,
}

impl Answering {
    fn share_new(self) -> f64 {
        if self.ready == 0 { 0.0 } else { f64::from(self.new) / f64::from(self.ready) }
    }
}

/// What was counted in a time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Counted {
    /// Requests that the canary's pods answered, copies and those of tests included: what its metrics tell.
    pub measured: u64,
    /// Those of them that failed.
    pub measured_failed: u64,
    /// How long they took.
    pub times: Histogram,
    /// Users' requests.
    pub users: u64,
    /// Those that met a new version.
    pub new: u64,
    /// Those of them that failed.
    pub new_failed: u64,
    /// Of those that met a new version, so many would have failed on the old one, on average.
    pub new_expected: f64,
    /// Those that met the old version.
    pub old: u64,
    /// Those of them that failed.
    pub old_failed: u64,
    /// Those that nobody answered.
    pub unanswered: u64,
}

impl Counted {
    pub fn add(&mut self, other: &Self) {
        self.measured += other.measured;
        self.measured_failed += other.measured_failed;
        for (mine, theirs) in self.times.iter_mut().zip(other.times) {
            *mine += theirs;
        }
        self.users += other.users;
        self.new += other.new;
        self.new_failed += other.new_failed;
        self.new_expected += other.new_expected;
        self.old += other.old;
        self.old_failed += other.old_failed;
        self.unanswered += other.unanswered;
    }
}

/// A short time in which nothing changed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    pub from: Duration,
    pub to: Duration,
    /// The canary's share of the users' requests.
    pub share: f64,
    pub counted: Counted,
}

/// The requests around one Canary since the push.
#[derive(Debug)]
pub(super) struct Traffic {
    chance: Chance,
    cells: Vec<Cell>,
    flow: Flow,
    conditions: Conditions,
    times: (Cumulative, Cumulative),
    counted_to: Duration,
}

impl Traffic {
    pub fn new(chance: Chance, conditions: Conditions) -> Self {
        Self {
            chance,
            cells: Vec::new(),
            flow: Flow::default(),
            conditions,
            times: times(conditions),
            counted_to: Duration::ZERO,
        }
    }

    /// Requests flow so from `now` on. Gives the canary's share of the users' requests.
    pub fn flows(&mut self, now: Duration, flow: Flow) -> f64 {
        if self.flow != flow {
            self.count(now);
            self.flow = flow;
        }
        self.share()
    }

    /// The world is so from `now` on.
    pub fn behaves(&mut self, now: Duration, conditions: Conditions) {
        if self.conditions != conditions {
            self.count(now);
            self.conditions = conditions;
            self.times = times(conditions);
        }
    }

    /// What was counted in the last `window` before `now`.
    pub fn window(&mut self, now: Duration, window: Duration) -> Counted {
        self.count(now);
        let since = now.saturating_sub(window);
        let mut all = Counted::default();
        let recent = self.cells.iter().rev().take_while(|cell| cell.to > since);
        recent.for_each(|cell| all.add(&cell.counted));
        all
    }

    /// All cells until `now`.
    pub fn cells(&mut self, now: Duration) -> &[Cell] {
        self.count(now);
        &self.cells
    }

    /// Draws the requests until `now`.
    fn count(&mut self, now: Duration) {
        while self.counted_to < now {
            let from = self.counted_to;
            let cell = CELL.as_nanos();
            let ends = (from.as_nanos() / cell + 1) * cell;
            let to = Duration::from_nanos(u64::try_from(ends).unwrap_or(u64::MAX)).min(now);
            let counted = self.draw((to - from).as_secs_f64());
            self.cells.push(Cell { from, to, share: self.share(), counted });
            self.counted_to = to;
        }
    }

    /// The canary's share of the users' requests.
    fn share(&self) -> f64 {
        if self.flow.matched_only { self.flow.canary * self.conditions.matching } else { self.flow.canary }
    }

    fn draw(&mut self, seconds: f64) -> Counted {
        let mut counted = Counted::default();
        let (flow, share) = (self.flow, self.share());
        let all = self.conditions.rps * seconds;
        let to_canary = self.chance.arrivals(all * share);
        let to_primary = self.chance.arrivals(all * (1.0 - share));
        counted.users = to_canary + to_primary;
        self.users(to_primary, flow.primary_pods, &mut counted);
        let failed = self.users(to_canary, flow.canary_pods, &mut counted);
        if flow.canary_pods.ready == 0 {
            return counted;
        }
        let tests = if flow.tested { all } else { 0.0 };
        let more = self.chance.arrivals(all * flow.copied + tests);
        let new = self.chance.of(more, flow.canary_pods.share_new());
        let more_failed = self.chance.of(new, self.conditions.error)
            + self.chance.of(more - new, self.conditions.base_error);
        counted.measured = to_canary + more;
        counted.measured_failed = failed + more_failed;
        let new = self.chance.of(counted.measured, flow.canary_pods.share_new());
        self.chance.spread(new, &self.times.0, &mut counted.times);
        self.chance.spread(counted.measured - new, &self.times.1, &mut counted.times);
        counted
    }

    /// Requests of users to one side; how many failed there.
    fn users(&mut self, requests: u64, pods: Answering, counted: &mut Counted) -> u64 {
        if pods.ready == 0 {
            counted.unanswered += requests;
            return 0;
        }
        let new = self.chance.of(requests, pods.share_new());
        let new_failed = self.chance.of(new, self.conditions.error);
        let old_failed = self.chance.of(requests - new, self.conditions.base_error);
        counted.new += new;
        counted.new_failed += new_failed;
        counted.new_expected += number(new) * self.conditions.base_error;
        counted.old += requests - new;
        counted.old_failed += old_failed;
        new_failed + old_failed
    }
}

fn times(conditions: Conditions) -> (Cumulative, Cumulative) {
    (cumulative(conditions.latency), cumulative(conditions.base_latency))
}

/// How finely requests are drawn.
const CELL: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn traffic(conditions: Conditions) -> Traffic {
        Traffic::new(Chance::seeded(1), conditions)
    }

    fn pods(ready: u32, new: u32) -> Answering {
        Answering { ready, new }
    }

    #[test]
    fn a_share_of_the_requests_goes_to_the_canary_and_a_share_of_those_fails() {
        let mut traffic = traffic(Conditions { rps: 100.0, error: 0.1, ..Conditions::default() });
        let flow = Flow { canary: 0.2, primary_pods: pods(2, 0), canary_pods: pods(2, 2), ..Flow::default() };
        assert!((traffic.flows(Duration::ZERO, flow) - 0.2).abs() < 1e-9);
        let all = traffic.window(10 * MINUTE, 10 * MINUTE);
        assert!((59_000..61_000).contains(&all.users), "{all:?}");
        assert!((11_500..12_500).contains(&all.new), "{all:?}");
        assert!((1_100..1_300).contains(&all.new_failed), "{all:?}");
        assert_eq!((all.new, all.new_failed), (all.measured, all.measured_failed));
        assert_eq!((0, 0), (all.old_failed, all.unanswered));
    }

    #[test]
    fn a_window_forgets_what_was_before_it() {
        let mut traffic = traffic(Conditions { error: 1.0, ..Conditions::default() });
        let flow = Flow { canary: 1.0, canary_pods: pods(1, 1), ..Flow::default() };
        traffic.flows(Duration::ZERO, flow);
        traffic.behaves(MINUTE, Conditions::default());
        assert_eq!(0, traffic.window(2 * MINUTE, MINUTE).measured_failed);
        let both = traffic.window(2 * MINUTE, 2 * MINUTE);
        assert!(both.measured_failed > 2000 && both.measured > both.measured_failed + 2000, "{both:?}");
    }

    #[test]
    fn where_no_pod_is_ready_nobody_answers_and_nothing_is_measured() {
        let mut traffic = traffic(Conditions::default());
        traffic.flows(Duration::ZERO, Flow { canary: 0.5, primary_pods: pods(1, 0), ..Flow::default() });
        let all = traffic.window(MINUTE, MINUTE);
        assert!(all.unanswered > 1000 && all.old > 1000, "{all:?}");
        assert_eq!((0, 0), (all.measured, all.new));
    }

    #[test]
    fn copies_and_tests_are_measured_and_are_no_users() {
        let mut traffic = traffic(Conditions { error: 1.0, ..Conditions::default() });
        let side = Flow { primary_pods: pods(1, 0), canary_pods: pods(1, 1), ..Flow::default() };
        traffic.flows(Duration::ZERO, Flow { copied: 1.0, ..side });
        traffic.flows(MINUTE, Flow { tested: true, ..side });
        for minute in [1, 2] {
            let counted = traffic.window(minute * MINUTE, MINUTE);
            assert!(counted.measured > 2000 && counted.measured == counted.measured_failed, "{counted:?}");
            assert_eq!((0, counted.old), (counted.new, counted.users));
        }
    }

    #[test]
    fn the_requests_do_not_depend_on_when_they_are_asked_for() {
        let ask = |times: &[u64]| {
            let mut traffic = traffic(Conditions { error: 0.3, ..Conditions::default() });
            traffic.flows(Duration::ZERO, Flow { canary: 1.0, canary_pods: pods(1, 1), ..Flow::default() });
            times.iter().map(|at| traffic.window(Duration::from_secs(*at), MINUTE)).next_back()
        };
        assert_eq!(ask(&[120]), ask(&[5, 60, 115, 120]));
    }
}
