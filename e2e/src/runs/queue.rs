//! How many runs go on side by side: as many as the machine carries.
//!
//! The longest begin first. A few begin at once; each further one begins when the machine has kept up with those before it
//! for a while. A machine that is busy with something else therefore runs fewer at a time, and takes longer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::{sleep, timeout};

use super::{LONGEST, Need, NotApplicable, Run};
use crate::report::Row;
use crate::world::World;
use crate::{install, pace};

/// What is looked at to decide whether another run may begin.
const LOOK: Duration = Duration::from_millis(500);
/// How long the machine has to have kept up since the latest run began.
const SETTLE: Duration = Duration::from_secs(6);
/// A machine that wakes up later than this does not keep up.
const LATE: Duration = Duration::from_millis(30);

/// Runs them: those that bear company side by side, then the others one by one. The rows are in the order of the runs.
pub async fn go(world: &Arc<World>, runs: &[&'static Run]) -> Vec<Row> {
    let (alone, mut waiting): (Vec<_>, Vec<_>) =
        runs.iter().copied().enumerate().partition(|(_, run)| run.alone);
    // Taken from the end.
    waiting.sort_by_key(|(_, run)| run.seconds);
    let mut rows: Vec<(usize, Row)> = Vec::new();
    let mut under_way = FuturesUnordered::new();
    let mut door = Door::new();
    let mut most = 0;
    while !(waiting.is_empty() && under_way.is_empty()) {
        if door.is_open(under_way.len(), pace::lateness())
            && let Some((index, run)) = waiting.pop()
        {
            under_way.push(async move { (index, one(world.clone(), run).await) });
            most = most.max(under_way.len());
            continue;
        }
        tokio::select! {
            Some(done) = under_way.next() => rows.push(done),
            () = sleep(LOOK) => {}
        }
    }
    if most > 1 {
        println!(
            "up to {most} runs went on side by side; deadlines were {:.1} times as long",
            pace::factor()
        );
    }
    for (index, run) in alone {
        rows.push((index, one(world.clone(), run).await));
    }
    rows.sort_by_key(|(index, _)| *index);
    rows.into_iter().map(|(_, row)| row).collect()
}

/// Lets runs begin.
struct Door {
    /// So many begin at once.
    first: usize,
    /// More do not go on at a time.
    most: usize,
    /// Since when the machine has kept up with what goes on.
    calm_since: Instant,
}

impl Door {
    fn new() -> Door {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Door { first: cores * 2, most: cores * 6, calm_since: Instant::now() }
    }

    fn is_open(&mut self, under_way: usize, lateness: Duration) -> bool {
        if under_way < self.first {
            self.calm_since = Instant::now();
            return true;
        }
        if lateness > LATE {
            self.calm_since = Instant::now();
        }
        let open = under_way < self.most && self.calm_since.elapsed() > SETTLE;
        if open {
            self.calm_since = Instant::now();
        }
        open
    }
}

async fn one(world: Arc<World>, run: &'static Run) -> Row {
    let started = Instant::now();
    let outcome = match applies(&world, run) {
        Err(reason) => Err(reason.into()),
        Ok(()) => {
            println!("{}: {}", run.name, run.about);
            match timeout(LONGEST, (run.go)(world)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(anyhow!("it did not end within {} s", LONGEST.as_secs())),
            }
        }
    };
    let row = Row { name: run.name, took: started.elapsed(), outcome };
    say(&row);
    row
}

fn say(row: &Row) {
    let (name, seconds) = (row.name, row.took.as_secs_f64());
    match &row.outcome {
        Ok(_) => println!("{name}: passed in {seconds:.1} s"),
        Err(error) if error.is::<NotApplicable>() => println!("{name}: {error}"),
        Err(error) => println!("{name}: FAILED in {seconds:.1} s: {error:#}"),
    }
}

/// # Errors
/// Why the run cannot be tried here.
fn applies(world: &World, run: &Run) -> Result<(), NotApplicable> {
    let lacks = |what: &str| Err(NotApplicable(what.to_owned()));
    match run.needs {
        Some(Need::Requests) if !install::is_ours(&world.place) => {
            lacks("requests by hand are Vexil's own, and another controller is under test")
        }
        Some(Need::Node) if !world.has_node => lacks("it needs a hold on the node's pods and images"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_runs_begin_at_once_and_others_when_the_machine_has_kept_up_for_a_while() {
        let mut door = Door { first: 2, most: 3, calm_since: Instant::now() };
        assert!(door.is_open(0, Duration::ZERO) && door.is_open(1, Duration::from_secs(1)));
        assert!(!door.is_open(2, Duration::ZERO), "it has only just begun");
        door.calm_since = Instant::now().checked_sub(SETTLE * 2).expect("a time before");
        assert!(!door.is_open(2, Duration::from_secs(1)), "the machine is late");
        door.calm_since = Instant::now().checked_sub(SETTLE * 2).expect("a time before");
        assert!(!door.is_open(3, Duration::ZERO), "there are enough");
        assert!(door.is_open(2, Duration::ZERO));
    }
}
