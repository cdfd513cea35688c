//! Takes a failing history apart: what is not needed for the same promise to break is left out.

use super::history::{History, Strategy};
use super::stage;

/// The smallest history that was found which breaks the same promise, and how many were tried.
pub fn shrink(history: &History, promise: &str) -> (History, usize) {
    let mut best = history.clone();
    let mut tries = 0;
    loop {
        let mut smaller = None;
        for candidate in candidates(&best) {
            if tries >= MOST {
                return (best, tries);
            }
            tries += 1;
            if breaks(&candidate, promise) {
                smaller = Some(candidate);
                break;
            }
        }
        match smaller {
            Some(candidate) => best = candidate,
            None => return (best, tries),
        }
    }
}

fn breaks(history: &History, promise: &str) -> bool {
    let played = std::panic::catch_unwind(|| stage::play(history, false));
    played.is_ok_and(|outcome| outcome.broken.first().is_some_and(|(broken, _)| *broken == promise))
}

/// Histories that are smaller by one thing.
fn candidates(history: &History) -> Vec<History> {
    let mut all = Vec::new();
    let mut offer = |change: &dyn Fn(&mut History)| {
        let mut candidate = history.clone();
        change(&mut candidate);
        if format!("{candidate:?}") != format!("{history:?}") {
            all.push(candidate);
        }
    };
    offer(&|history| history.faults.clear());
    offer(&|history| history.script.truncate(history.script.len() / 2));
    for index in 0..history.faults.len() {
        offer(&|history| {
            history.faults.remove(index);
        });
    }
    for index in 0..history.script.len() {
        offer(&|history| {
            history.script.remove(index);
        });
    }
    offer(&|history| history.spec.hooks.clear());
    for index in 0..history.spec.hooks.len() {
        offer(&|history| {
            history.spec.hooks.remove(index);
        });
    }
    offer(&|history| history.spec.affinity = false);
    offer(&|history| history.spec.mirror = false);
    offer(&|history| history.spec.autoscaler = false);
    offer(&|history| history.spec.promotion_step = None);
    offer(&|history| history.spec.recreate = false);
    offer(&|history| history.spec.daemon_set = false);
    offer(&|history| history.spec.revert = false);
    offer(&|history| history.spec.holds = false);
    offer(&|history| history.spec.replicas = 1);
    offer(&|history| history.spec.interval = 10);
    offer(&|history| history.startup = 2);
    offer(&|history| history.stop = 1);
    if matches!(history.spec.strategy, Strategy::By { .. } | Strategy::List(_)) {
        offer(&|history| history.spec.strategy = Strategy::By { step: 50, max: 50 });
    }
    all
}

/// How many histories are tried at most.
const MOST: usize = 300;
