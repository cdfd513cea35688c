//! The arithmetic of a rolling update: pure functions of numbers.

use serde_json::Value;

/// One ReplicaSet of a Deployment, as numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Set {
    /// Wanted.
    pub spec: i64,
    /// Available for long enough.
    pub available: i64,
}

/// How far a rollout may stray from the wanted number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub replicas: i64,
    pub surge: i64,
    pub unavailable: i64,
}

impl Bounds {
    /// Reads a Deployment's spec. Percentages of surge round up, those of unavailable down, but not both to nothing. One
    /// that is recreated has no bounds to stray from.
    pub fn of(spec: &Value) -> Self {
        let replicas = spec["replicas"].as_i64().unwrap_or(1);
        let rolling = &spec["strategy"]["rollingUpdate"];
        let surge = resolve(&rolling["maxSurge"], replicas, Round::Up);
        let mut unavailable = resolve(&rolling["maxUnavailable"], replicas, Round::Down);
        let recreated = spec["strategy"]["type"] == "Recreate";
        if surge == 0 && unavailable == 0 && !recreated {
            unavailable = 1;
        }
        Self { replicas, surge, unavailable: unavailable.min(replicas) }
    }

    /// The most pods at a time.
    pub fn most(&self) -> i64 {
        self.replicas + self.surge
    }

    /// The fewest available pods at a time.
    pub fn fewest(&self) -> i64 {
        self.replicas - self.unavailable
    }

    /// How large the new set may be.
    pub fn grow(&self, new: Set, all: i64) -> i64 {
        if new.spec >= self.replicas {
            return self.replicas;
        }
        let room = (self.most() - all).max(0);
        new.spec + room.min(self.replicas - new.spec)
    }

    /// The sizes of the old sets (oldest first) after one step down.
    pub fn shrink(&self, new: Set, old: &[Set]) -> Vec<i64> {
        let mut sizes: Vec<i64> = old.iter().map(|set| set.spec).collect();
        let all = new.spec + sizes.iter().sum::<i64>();
        let mut spare = all - self.fewest() - (new.spec - new.available);
        // Pods that serve nobody first.
        for (size, set) in sizes.iter_mut().zip(old) {
            let broken = (set.spec - set.available).clamp(0, spare.max(0));
            *size -= broken;
            spare -= broken;
        }
        let available = new.available + old.iter().map(|set| set.available).sum::<i64>();
        let mut surplus = (available - self.fewest()).min(spare).max(0);
        for size in &mut sizes {
            let cut = (*size).min(surplus);
            *size -= cut;
            surplus -= cut;
        }
        sizes
    }
}

/// Shares a new total among the active sets (oldest first) of a Deployment that is scaled while it rolls out.
///
/// Each set keeps its share; what rounding leaves over goes to the largest, of several the newest when there is more
/// to give and the oldest when there is less. `was` is the total that the sets were sized for.
pub fn scale(sizes: &[i64], was: i64, bounds: Bounds) -> Vec<i64> {
    let target = if bounds.replicas == 0 { 0 } else { bounds.most() };
    let mut change = target - sizes.iter().sum::<i64>();
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    if change > 0 {
        order.reverse();
    }
    order.sort_by_key(|at| std::cmp::Reverse(sizes[*at]));
    let mut scaled = sizes.to_vec();
    for at in &order {
        let size = sizes[*at];
        let share = if bounds.replicas == 0 || was <= 0 { -size } else { rounded(size * target, was) - size };
        let share = if change >= 0 { share.clamp(0, change) } else { share.clamp(change, 0) };
        change -= share;
        scaled[*at] += share;
    }
    if let Some(first) = order.first() {
        scaled[*first] = (scaled[*first] + change).max(0);
    }
    scaled
}

fn rounded(numerator: i64, denominator: i64) -> i64 {
    (2 * numerator + denominator).div_euclid(2 * denominator)
}

#[derive(Clone, Copy)]
enum Round {
    Up,
    Down,
}

/// A number, or a percentage of `of`.
fn resolve(value: &Value, of: i64, round: Round) -> i64 {
    let percent = value.as_str().and_then(|text| text.strip_suffix('%')).and_then(|n| n.parse::<i64>().ok());
    match (percent, round) {
        (Some(percent), Round::Up) => (percent * of + 99).div_euclid(100),
        (Some(percent), Round::Down) => (percent * of).div_euclid(100),
        (None, _) => value.as_i64().unwrap_or(0).max(0),
    }
}

/// `maxUnavailable` of a DaemonSet on so many nodes: rounds up, at least one.
pub fn daemon_unavailable(spec: &Value, nodes: i64) -> i64 {
    resolve(&spec["updateStrategy"]["rollingUpdate"]["maxUnavailable"], nodes, Round::Up).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case::default_of_four(json!({"replicas": 4, "strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}}), 5, 3)]
    #[case::default_of_one(json!({"replicas": 1, "strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}}), 2, 1)]
    #[case::numbers(json!({"replicas": 10, "strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 2}}}), 10, 8)]
    #[case::nothing_allowed(json!({"replicas": 3, "strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "1%"}}}), 3, 2)]
    #[case::recreated(json!({"replicas": 1, "strategy": {"type": "Recreate"}}), 1, 1)]
    fn bounds(#[case] spec: Value, #[case] most: i64, #[case] fewest: i64) {
        let bounds = Bounds::of(&spec);
        assert_eq!((most, fewest), (bounds.most(), bounds.fewest()));
    }

    #[test]
    fn scaling_in_the_middle_of_a_rollout_keeps_the_shares() {
        let bounds = Bounds { replicas: 20, surge: 0, unavailable: 1 };
        assert_eq!(vec![16, 4], scale(&[8, 2], 10, bounds));
        assert_eq!(vec![0, 0], scale(&[8, 2], 10, Bounds { replicas: 0, surge: 1, unavailable: 1 }));
    }

    proptest! {
        #[test]
        fn a_rolling_update_stays_within_its_bounds_and_ends(replicas in 0i64..40, surge in 0i64..10, unavailable in 0i64..10, start in 0i64..1000) {
            let unavailable = if surge == 0 && unavailable == 0 { 1 } else { unavailable }.min(replicas);
            let bounds = Bounds { replicas, surge, unavailable };
            let start = bounds.fewest() + start % (bounds.most() - bounds.fewest() + 1);
            let (mut old, mut new) = (Set { spec: start, available: start }, Set::default());
            for _ in 0..200 {
                new.spec = bounds.grow(new, old.spec + new.spec);
                old.spec = bounds.shrink(new, &[old])[0];
                old.available = old.available.min(old.spec);
                prop_assert!(old.available + new.available >= bounds.fewest());
                prop_assert!(old.spec + new.spec <= bounds.most());
                new.available = new.spec;
            }
            prop_assert_eq!((0, replicas), (old.spec, new.spec));
        }

        #[test]
        fn scaling_ends_at_the_new_total(sizes in proptest::collection::vec(1i64..20, 1..4), replicas in 0i64..50, surge in 0i64..5) {
            let was = sizes.iter().sum::<i64>();
            let scaled = scale(&sizes, was, Bounds { replicas, surge, unavailable: 1 });
            let target = if replicas == 0 { 0 } else { replicas + surge };
            prop_assert_eq!(target, scaled.iter().sum::<i64>());
            prop_assert!(scaled.iter().all(|size| *size >= 0));
        }
    }
}
