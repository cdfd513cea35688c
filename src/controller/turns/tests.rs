//! Every order in which a watch, the loop of the controller and a worker can meet, tried out with `loom`.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use loom::sync::mpsc::{Sender, channel};
use loom::thread;

use super::*;

const KEY: &str = "shop/frontend";
const GONE: usize = 0;

fn noon() -> DateTime<Utc> {
    "2026-07-21T12:00:00Z".parse().expect("a time")
}

/// What the loop hears.
enum Heard {
    /// The watch noticed that something changed.
    Change,
    /// The claim to lead was renewed.
    Claim,
    /// A look ended; it saw this version.
    Looked(usize, Next),
}

/// The loop of the controller, until the watch has told of `changes` and nothing is left to do; the version that the
/// last look saw, and the loop's turns.
fn run(
    changes: usize,
    finished: impl Fn(&mut Turns<&'static str>, Next),
    leads: impl Fn() -> bool,
    look: impl Fn() -> (usize, Next) + Send + 'static,
    watch: impl FnOnce(Sender<Heard>) + Send + 'static,
) -> (usize, Turns<&'static str>) {
    let (tell, heard) = channel();
    let (begin, begun) = channel::<bool>();
    let (told, watched) = (tell.clone(), thread::spawn(move || watch(tell)));
    let worker = thread::spawn(move || {
        while begun.recv() == Ok(true) {
            let (version, next) = look();
            let _ = told.send(Heard::Looked(version, next));
        }
    });
    let mut turns = Turns::new(Duration::from_secs(1), Duration::from_secs(1), Duration::ZERO);
    turns.wake(KEY, noon());
    let (mut seen, mut told, mut looking) = (usize::MAX, 0, false);
    loop {
        if leads() && !looking && turns.start(noon()).is_some() {
            begin.send(true).expect("the worker waits");
            looking = true;
        }
        if told == changes && !looking {
            break;
        }
        match heard.recv().expect("both threads live") {
            Heard::Change => {
                told += 1;
                turns.wake(KEY, noon());
            }
            // No reason to look at anybody: others did not lead in between.
            Heard::Claim => told += 1,
            Heard::Looked(version, next) => {
                (seen, looking) = (version, false);
                finished(&mut turns, next);
            }
        }
    }
    begin.send(false).expect("the worker waits");
    worker.join().expect("no panic");
    watched.join().expect("no panic");
    (seen, turns)
}

fn by_the_rules(turns: &mut Turns<&'static str>, next: Next) {
    turns.finished(&KEY, next, noon());
}

/// A watch deletes the Canary and creates it again, while it is being looked at or not.
fn created_again(finished: fn(&mut Turns<&'static str>, Next)) {
    loom::model(move || {
        let cache = Arc::new(AtomicUsize::new(1));
        let cached = Arc::clone(&cache);
        let look = move || match cached.load(SeqCst) {
            GONE => (GONE, Next::Gone),
            version => (version, Next::Change),
        };
        let watch = move |tell: Sender<Heard>| {
            for version in [GONE, 2] {
                cache.store(version, SeqCst);
                let _ = tell.send(Heard::Change);
            }
        };
        let (seen, turns) = run(2, finished, || true, look, watch);
        assert_eq!(2, seen, "the last version was never looked at");
        assert_eq!((0, 0), (turns.waiting(), turns.in_flight()));
    });
}

#[test]
fn a_canary_that_is_deleted_and_created_again_is_looked_at_whoever_is_faster() {
    created_again(by_the_rules);
}

/// The model finds the mistake that it is there for.
#[test]
#[should_panic(expected = "the last version was never looked at")]
fn a_wish_that_is_taken_back_with_what_is_gone_would_be_lost() {
    created_again(|turns, next| {
        by_the_rules(turns, next);
        if next == Next::Gone {
            *turns = Turns::new(Duration::from_secs(1), Duration::from_secs(1), Duration::ZERO);
        }
    });
}

#[test]
fn a_claim_that_lapses_for_a_moment_loses_no_timer() {
    loom::model(|| {
        let claim = Arc::new(AtomicBool::new(true));
        let (led, leads) = (Arc::clone(&claim), Arc::clone(&claim));
        let later = noon() + Duration::from_secs(60);
        let look = move || (1, if led.load(SeqCst) { Next::At(later) } else { Next::Led });
        let watch = move |tell: Sender<Heard>| {
            claim.store(false, SeqCst);
            claim.store(true, SeqCst);
            let _ = tell.send(Heard::Claim);
        };
        let (_, turns) = run(1, by_the_rules, move || leads.load(SeqCst), look, watch);
        assert!(turns.next_due().is_some(), "nobody would ever look again");
    });
}

#[test]
fn a_burst_of_changes_costs_two_looks() {
    let mut turns = Turns::new(Duration::from_secs(1), Duration::from_secs(1), Duration::from_millis(50));
    let at = |millis| noon() + Duration::from_millis(millis);
    turns.wake(KEY, at(0));
    assert_eq!(Some(KEY), turns.start(at(0)), "the first change is looked at at once");
    for millis in 1..40 {
        turns.wake(KEY, at(millis));
        if millis == 5 {
            turns.finished(&KEY, Next::Change, at(5));
        }
        assert_eq!(None, turns.start(at(millis)));
    }
    assert_eq!(Some(at(50)), turns.next_due());
    assert_eq!(Some(KEY), turns.start(at(50)));
    turns.finished(&KEY, Next::Change, at(52));
    assert_eq!(None, turns.next_due());
    turns.wake(KEY, at(200));
    assert_eq!(Some(KEY), turns.start(at(200)), "what comes later is looked at at once again");
}

#[test]
fn a_clock_that_is_set_back_keeps_nobody_waiting() {
    let mut turns = Turns::new(Duration::from_secs(1), Duration::from_secs(1), Duration::from_millis(50));
    turns.wake(KEY, noon());
    turns.start(noon());
    turns.finished(&KEY, Next::Change, noon());
    let earlier = noon() - Duration::from_secs(3600);
    turns.wake(KEY, earlier);
    assert_eq!(Some(KEY), turns.start(earlier));
}
