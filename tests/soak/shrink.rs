//! Takes a failing history apart: what is not needed for it to fail is left out.

use super::history::{End, History, Strategy, Version};

/// The smallest history that was found for which `fails` still holds, and how many were tried.
pub fn shrink(history: &History, fails: impl Fn(&History) -> bool) -> (History, usize) {
    let mut search = Search { best: history.clone(), tries: 0, fails };
    loop {
        let before = search.best.clone();
        search.thin_out(|history| &mut history.faults);
        search.thin_out(|history| &mut history.script);
        search.thin_out(|history| &mut history.spec.hooks);
        for plainer in PLAINER {
            search.offer(*plainer);
        }
        if search.best == before || search.tries >= MOST {
            return (search.best, search.tries);
        }
    }
}

struct Search<F> {
    best: History,
    tries: usize,
    fails: F,
}

impl<F: Fn(&History) -> bool> Search<F> {
    /// Takes the best history with `change`, if that fails as well; whether it did.
    fn offer(&mut self, change: impl Fn(&mut History)) -> bool {
        let mut candidate = self.best.clone();
        change(&mut candidate);
        if candidate == self.best || self.tries >= MOST {
            return false;
        }
        self.tries += 1;
        let fails = (self.fails)(&candidate);
        if fails {
            self.best = candidate;
        }
        fails
    }

    /// Leaves out all of a list, then halves, then quarters, down to single items.
    fn thin_out<T>(&mut self, list: impl Fn(&mut History) -> &mut Vec<T>) {
        let mut chunk = list(&mut self.best).len();
        while chunk > 0 {
            let mut from = 0;
            while from < list(&mut self.best).len() {
                let to = (from + chunk).min(list(&mut self.best).len());
                if !self.offer(|history| drop(list(history).drain(from..to))) {
                    from = to;
                }
            }
            chunk /= 2;
        }
    }
}

/// Changes that make a history plainer.
const PLAINER: &[fn(&mut History)] = &[
    |history| history.spec.affinity = false,
    |history| history.spec.mirror = false,
    |history| history.spec.autoscaler = false,
    |history| history.spec.promotion_step = None,
    |history| history.spec.recreate = false,
    |history| history.spec.daemon_set = false,
    |history| history.spec.revert = false,
    |history| history.spec.skip_analysis = false,
    |history| history.spec.holds = false,
    |history| history.spec.builtin = true,
    |history| history.spec.replicas = 1,
    |history| history.spec.interval = 10,
    |history| history.spec.threshold = 2,
    |history| history.spec.deadline = 60,
    |history| history.versions.iter_mut().for_each(|version| *version = Version::Good),
    |history| history.startup = 2,
    |history| history.stop = 1,
    |history| history.rests_before_end = true,
    |history| history.end = End::GoodPush,
    |history| {
        if matches!(history.spec.strategy, Strategy::By { .. } | Strategy::List(_)) {
            history.spec.strategy = Strategy::By { step: 50, max: 50 };
        }
    },
    |history| {
        let acts = history.script.iter().map(|(at, _)| at + 1);
        let faults = history.faults.iter().map(|fault| fault.to);
        history.kind_from = acts.chain(faults).max().unwrap_or(1).min(history.kind_from);
    },
];

/// How many histories are tried at most.
const MOST: usize = 300;

#[cfg(test)]
mod tests {
    use super::super::history::{Act, Fault, Side, Trouble};
    use super::super::{campaign, draw};
    use super::*;

    /// Some history that has much in it.
    fn full() -> History {
        let long =
            |seed: &u64| draw::history(*seed).script.len() > 5 && draw::history(*seed).faults.len() > 3;
        draw::history((1..).find(long).expect("there is one"))
    }

    #[test]
    fn what_is_needed_stays_and_everything_else_is_left_out() {
        let mut history = full();
        let needed = [(70, Act::Die(Side::Primary)), (90, Act::Suspend(true))];
        history.script.insert(1, needed[0]);
        history.script.push(needed[1]);
        let crash = Fault { from: 60, to: 80, what: Trouble::Crash { write: 77, after: true } };
        history.faults.insert(2, crash.clone());
        history.spec.mirror = true;
        let fails = |history: &History| {
            needed.iter().all(|act| history.script.contains(act))
                && history.faults.contains(&crash)
                && history.spec.mirror
        };
        let (smallest, tries) = shrink(&history, fails);
        assert_eq!((&smallest.script, &smallest.faults), (&needed.to_vec(), &vec![crash.clone()]));
        assert_eq!(smallest.spec.hooks, Vec::<&str>::new());
        assert!(smallest.spec.mirror && !smallest.spec.autoscaler && smallest.spec.replicas == 1);
        assert!(tries < MOST, "{tries}");
    }

    // A controller with a bug is played by somebody who writes in its name.
    #[test]
    fn a_history_with_a_misdeed_is_reduced_to_the_misdeed() {
        let mut history = draw::history(11);
        history.script.insert(1, (45, Act::Misdeed));
        assert!(campaign::breaks(&history, "P3"));
        let (smallest, _) = shrink(&history, |history| campaign::breaks(history, "P3"));
        assert_eq!(smallest.script, [(45, Act::Misdeed)]);
        assert!(smallest.faults.is_empty() && smallest.spec.hooks.is_empty());
        assert!(campaign::told(&smallest).contains("BROKEN P3: the primary is scaled to zero"));
    }
}
