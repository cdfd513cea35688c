//! Plays many histories, counts them, and takes the first that fails apart.

use std::fmt;
use std::panic::catch_unwind;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::history::History;
use super::{draw, shrink, stage};

/// Which seeds are played, and how.
pub struct Campaign {
    pub seeds: Vec<std::ops::Range<u64>>,
    pub limit: Duration,
    pub threads: u64,
    /// Whether it ends with the first history that breaks a promise.
    pub until_one_breaks: bool,
}

/// What became of many histories.
#[derive(Default)]
pub struct Sums {
    histories: u64,
    releases: u64,
    lived: Duration,
    busiest: usize,
    took: Duration,
    /// Seeds with the promise that broke, and how.
    broken: Vec<(u64, &'static str, String)>,
}

impl Campaign {
    /// Plays the seeds, on as many threads as there shall be, until there are no more or the time is over.
    pub fn play(self) -> Sums {
        let seeds = Mutex::new(self.seeds.into_iter().flatten());
        let sums = Mutex::new(Sums::default());
        let began = began();
        std::thread::scope(|scope| {
            for _ in 0..self.threads {
                scope.spawn(|| {
                    while began.elapsed() < self.limit {
                        let Some(seed) = seeds.lock().expect("seeds").next() else { break };
                        let played = catch_unwind(|| stage::play(&draw::history(seed), false));
                        let mut sums = sums.lock().expect("sums");
                        sums.note(seed, played.ok());
                        if self.until_one_breaks && !sums.broken.is_empty() {
                            break;
                        }
                    }
                });
            }
        });
        let sums = sums.into_inner().expect("sums");
        Sums { took: began.elapsed(), ..sums }
    }
}

impl Sums {
    /// Takes in what became of a history; nothing if it has panicked.
    fn note(&mut self, seed: u64, outcome: Option<stage::Outcome>) {
        self.histories += 1;
        let Some(outcome) = outcome else {
            println!("seed {seed}: it panics");
            return self.broken.push((seed, "panic", String::new()));
        };
        self.releases += outcome.releases;
        self.lived += outcome.lived;
        self.busiest = self.busiest.max(outcome.busiest);
        if let Some((promise, how)) = outcome.broken.into_iter().next() {
            println!("seed {seed}: {promise}: {how}");
            self.broken.push((seed, promise, how));
        }
    }

    /// Tells of the first seed that failed, taken apart as far as it goes, and says how to see all of it.
    ///
    /// # Panics
    /// If one has failed.
    pub fn report(&self) {
        let Some((seed, promise, how)) = self.broken.iter().min_by_key(|(seed, _, _)| *seed) else { return };
        let (smallest, tries) = shrink::shrink(&draw::history(*seed), |history| breaks(history, promise));
        panic!(
            "seed {seed} breaks {promise}: {how}\nthe smallest of {tries} histories that breaks it as well:\n\n{}\n\n\
             all of it: make soak SEED={seed}",
            told(&smallest)
        );
    }
}

impl fmt::Display for Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let took = self.took.as_secs_f64();
        write!(
            f,
            "{} histories with {} releases in {took:.0} s: {:.1} releases a second, time runs {:.0} times as fast; at \
             most {} requests in a minute; {} histories break a promise",
            self.histories,
            self.releases,
            self.releases as f64 / took,
            self.lived.as_secs_f64() / took,
            self.busiest,
            self.broken.len(),
        )
    }
}

/// Whether `history` breaks `promise` before any other.
pub fn breaks(history: &History, promise: &str) -> bool {
    let played = catch_unwind(|| stage::play(history, false));
    played.map_or(promise == "panic", |outcome| {
        outcome.broken.first().is_some_and(|(broken, _)| *broken == promise)
    })
}

/// The story of a history, what it consists of first.
pub fn told(history: &History) -> String {
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

#[expect(clippy::disallowed_methods, reason = "it is the time of those who wait for the tests")]
fn began() -> Instant {
    Instant::now()
}
