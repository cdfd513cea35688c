//! Deterministic simulation with faults: a seed gives a whole history, with manifests, versions, people and faults, which
//! the real controller lives through on the embedded cluster. docs/correctness.md says what is checked and what was found.

mod campaign;
mod chance;
mod check;
mod draw;
mod evidence;
mod facts;
mod history;
mod manifest;
mod network;
mod observer;
mod planted;
mod scenes;
mod shrink;
mod stage;
mod weather;

use std::time::Duration;

use campaign::Campaign;

/// Seeds that failed once.
const CORPUS: &str = include_str!("corpus/seeds.txt");

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Plays the seeds of the corpus, then some more: SEEDS of them after FROM, or as many as fit in SECONDS_IN_ALL. SEED
/// tells the story of one. With FIRST it leaves the corpus out and ends when a promise breaks.
#[test]
fn histories_with_faults_break_no_promise() {
    if let Some(seed) = number("SEED") {
        let history = draw::history(seed);
        println!("{}", campaign::told(&history));
        let outcome = stage::play(&history, false);
        assert!(outcome.broken.is_empty(), "{:#?}", outcome.broken);
        return;
    }
    let first = number("FIRST").is_some();
    let corpus = CORPUS.lines().filter(|_| !first);
    let corpus = corpus.filter_map(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    let from = number("FROM").unwrap_or(draw::ALL_SCENES_FROM);
    let seconds = number("SECONDS_IN_ALL");
    let seeds = number("SEEDS").unwrap_or(if seconds.is_some() { u64::MAX / 2 } else { 20 });
    let campaign = Campaign {
        seeds: corpus.map(|seed| seed..seed + 1).chain(std::iter::once(from..from + seeds)).collect(),
        limit: Duration::from_secs(seconds.unwrap_or(3_000_000)),
        threads: number("THREADS").unwrap_or(2),
        until_one_breaks: first,
    };
    let sums = campaign.play();
    println!("{sums}");
    if number("NOREPORT").is_none() {
        sums.report();
    }
}

/// The same seed twice gives the same writes at the same times.
#[test]
fn a_seed_gives_one_history() {
    for seed in [1, 2, 1001, 1002] {
        let history = draw::history(seed);
        let (one, two) = (stage::play(&history, true), stage::play(&history, true));
        for (line, (one, two)) in one.story.iter().zip(&two.story).enumerate() {
            assert_eq!(one, two, "seed {seed}, line {line}");
        }
        assert_eq!((one.digest, one.writes), (two.digest, two.writes), "seed {seed}");
    }
}
