//! Deterministic simulation with faults: a seed gives a whole history, with manifests, versions, people and faults, which
//! the real controller lives through on the embedded cluster. docs/correctness.md says what is checked and what was found.

mod chance;
mod check;
mod draw;
mod evidence;
mod facts;
mod history;
mod manifest;
mod network;
mod observer;
mod shrink;
mod stage;
mod weather;

use std::panic::catch_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use history::History;

/// Seeds that failed once.
const CORPUS: &str = include_str!("corpus/seeds.txt");

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// What became of many histories.
#[derive(Default)]
struct Sums {
    histories: u64,
    releases: u64,
    lived: Duration,
    busiest: usize,
    hurt: u64,
    /// Seeds with the promise that broke, and how.
    broken: Vec<(u64, &'static str, String)>,
}

#[expect(clippy::disallowed_methods, reason = "it is the time of those who wait for the tests")]
fn began() -> Instant {
    Instant::now()
}

/// Plays seeds on as many threads as there are cores, until there are no more or the time is over.
fn play(seeds: impl Iterator<Item = u64> + Send, limit: Duration) -> Sums {
    let (seeds, sums) = (Mutex::new(seeds), Mutex::new(Sums::default()));
    let began = began();
    let worst = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..number("THREADS").unwrap_or(2) {
            scope.spawn(|| {
                while began.elapsed() < limit {
                    let Some(seed) = seeds.lock().expect("seeds").next() else { break };
                    let history = draw::history(seed);
                    let played = catch_unwind(|| stage::play(&history, false));
                    let mut sums = sums.lock().expect("sums");
                    sums.histories += 1;
                    let Ok(outcome) = played else {
                        println!("seed {seed}: it panics");
                        sums.broken.push((seed, "panic", String::new()));
                        continue;
                    };
                    sums.releases += outcome.releases;
                    sums.lived += outcome.lived;
                    sums.busiest = sums.busiest.max(outcome.busiest);
                    sums.hurt += outcome.hurt;
                    worst.fetch_max(outcome.hurt, Ordering::Relaxed);
                    if let Some((promise, how)) = outcome.broken.first() {
                        println!("seed {seed}: {promise}: {how}");
                        sums.broken.push((seed, promise, how.clone()));
                    }
                }
            });
        }
    });
    let sums = sums.into_inner().expect("sums");
    let took = began.elapsed().as_secs_f64();
    println!(
        "{} histories with {} releases in {took:.0} s: {:.1} releases a second, time runs {:.0} times as fast; at most {} \
         requests in a minute; {} histories break a promise",
        sums.histories,
        sums.releases,
        sums.releases as f64 / took,
        sums.lived.as_secs_f64() / took,
        sums.busiest,
        sums.broken.len(),
    );
    sums
}

/// The story of a history, what it consists of first.
fn told(history: &History) -> String {
    let played = catch_unwind(|| stage::play(history, true));
    let (story, broken) = match &played {
        Ok(outcome) => (outcome.story.join("\n"), format!("{:#?}", outcome.broken)),
        Err(_) => ("(it panics)".to_owned(), String::new()),
    };
    format!(
        "{:?}\nversions {:?}, pods are ready after {} s and stop in {} s\nscript {:?}\nfaults {:#?}\nkind from {} s on, \
         ends with {:?}, rests before: {}\n\n{story}\n\n{broken}",
        history.spec,
        history.versions,
        history.startup,
        history.stop,
        history.script,
        history.faults,
        history.kind_from,
        history.end,
        history.rests_before_end,
    )
}

/// Tells of the first seed that failed, taken apart as far as it goes, and says how to see it again.
fn report(sums: &Sums) {
    if number("NOREPORT").is_some() {
        return;
    }
    let Some((seed, promise, how)) = sums.broken.iter().min_by_key(|(seed, _, _)| *seed) else { return };
    let (smallest, tries) = shrink::shrink(&draw::history(*seed), promise);
    panic!(
        "seed {seed} breaks {promise}: {how}\nthe smallest of {tries} histories that breaks it as well:\n\n{}\n\nall of it: \
         make soak SEED={seed}",
        told(&smallest)
    );
}

/// The seeds of the corpus, then some more: SEEDS of them after FROM, or as many as fit in
/// SECONDS_IN_ALL. SEED tells the story
/// of one.
#[test]
fn histories_with_faults_break_no_promise() {
    if let Some(seed) = number("SEED") {
        let history = draw::history(seed);
        println!("{}", told(&history));
        let outcome = stage::play(&history, false);
        assert!(outcome.broken.is_empty(), "{:#?}", outcome.broken);
        return;
    }
    let corpus: Vec<u64> =
        CORPUS.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect();
    let from = number("FROM").unwrap_or(1);
    let seconds = number("SECONDS_IN_ALL").unwrap_or(3_000_000);
    let usual = if number("SECONDS_IN_ALL").is_some() { u64::MAX / 2 } else { 20 };
    let seeds = number("SEEDS").unwrap_or(usual);
    let sums = play(corpus.into_iter().chain(from..from + seeds), Duration::from_secs(seconds));
    report(&sums);
}

/// The same seed twice gives the same writes at the same times.
#[test]
fn a_seed_gives_one_history() {
    for seed in 1..=4 {
        let history = draw::history(seed);
        let (one, two) = (stage::play(&history, true), stage::play(&history, true));
        for (line, (one, two)) in one.story.iter().zip(&two.story).enumerate() {
            assert_eq!(one, two, "seed {seed}, line {line}");
        }
        assert_eq!((one.digest, one.writes), (two.digest, two.writes), "seed {seed}");
    }
}
