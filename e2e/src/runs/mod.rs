//! The runs: each a story of a release on the real cluster, with figures.

pub mod ab_testing;
pub mod affinity;
pub mod analysis;
pub mod bad_version;
pub mod blue_green;
pub mod by_hand;
pub mod crash;
pub mod deletion;
pub mod gates;
pub mod gitops;
pub mod good_version;
pub mod never_ready;
pub mod outage;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use futures::future::{LocalBoxFuture, join_all};

use crate::report::Row;
use crate::world::World;

/// No run takes longer, however slow the machine.
const LONGEST: Duration = Duration::from_secs(900);

/// What a run measured, as lines of the table.
pub type Figures = Result<Vec<String>>;

/// One run.
pub struct Run {
    pub name: &'static str,
    pub about: &'static str,
    /// It disturbs others (kills the controller, stops the API server), or is disturbed by them.
    pub alone: bool,
    go: fn(Arc<World>) -> LocalBoxFuture<'static, Figures>,
}

/// All of them, in the order of the table.
pub const ALL: &[Run] = &[
    Run {
        name: "good-version",
        about: "install, init and a release of a good version under load: nothing lost, shares as the weights say",
        alone: false,
        go: |world| Box::pin(good_version::run(world)),
    },
    Run {
        name: "errors",
        about: "a version with 5 % errors is rolled back by the success rate",
        alone: false,
        go: |world| Box::pin(bad_version::errors(world)),
    },
    Run {
        name: "latency",
        about: "a version that takes 600 ms is rolled back by the p99",
        alone: false,
        go: |world| Box::pin(bad_version::latency(world)),
    },
    Run {
        name: "never-ready",
        about: "a version that never becomes ready is rolled back at the deadline, with an alert; users notice nothing",
        alone: false,
        go: |world| Box::pin(never_ready::run(world)),
    },
    Run {
        name: "no-traffic",
        about: "without traffic nothing is promoted",
        alone: false,
        go: |world| Box::pin(analysis::no_traffic(world)),
    },
    Run {
        name: "prometheus-stops",
        about: "while Prometheus is away the release does not advance; it goes on when it is back",
        alone: false,
        go: |world| Box::pin(analysis::prometheus_stops(world)),
    },
    Run {
        name: "custom-metric",
        about: "a MetricTemplate lets a good version through and stops a bad one",
        alone: false,
        go: |world| Box::pin(analysis::custom_metric(world)),
    },
    Run {
        name: "failing-webhook",
        about: "a rollout hook that fails stops the release",
        alone: false,
        go: |world| Box::pin(analysis::failing_webhook(world)),
    },
    Run {
        name: "blue-green",
        about: "plain Kubernetes, no mesh: a release beside the primary that then takes its place",
        alone: false,
        go: |world| Box::pin(blue_green::image(world)),
    },
    Run {
        name: "config-change",
        about: "a changed ConfigMap alone starts a release",
        alone: false,
        go: |world| Box::pin(blue_green::config_map(world)),
    },
    Run {
        name: "ab-testing",
        about: "users with a header or a cookie get a good version for three checks, all others only after its promotion",
        alone: false,
        go: |world| Box::pin(ab_testing::good(world)),
    },
    Run {
        name: "ab-testing-errors",
        about: "a bad version is seen by users with the header or the cookie alone, who are then taken back",
        alone: false,
        go: |world| Box::pin(ab_testing::bad(world)),
    },
    Run {
        name: "session-affinity",
        about: "who was given a version stays with it through a release; new users are divided as the weights say",
        alone: false,
        go: |world| Box::pin(affinity::good(world)),
    },
    Run {
        name: "session-affinity-errors",
        about: "who was given a bad version stays with it until the rollback takes the cookie back",
        alone: false,
        go: |world| Box::pin(affinity::bad(world)),
    },
    Run {
        name: "gates",
        about: "the release waits at each closed gate while users come, with one alert, and goes on when it opens",
        alone: false,
        go: |world| Box::pin(gates::opened(world)),
    },
    Run {
        name: "gates-rollback",
        about: "while a release waits for promotion a new revision starts over; a hook then rolls it back",
        alone: false,
        go: |world| Box::pin(gates::rolled_back(world)),
    },
    Run {
        name: "by-hand",
        about: "people pause, abort, retry and approve with kubectl while GitOps goes on; a late request hits nothing",
        alone: false,
        go: |world| Box::pin(by_hand::run(world)),
    },
    Run {
        name: "deletion",
        about: "deleting the Canary with and without revertOnDeletion",
        alone: false,
        go: |world| Box::pin(deletion::run(world)),
    },
    Run {
        name: "gitops",
        about: "another field manager applies everything every few seconds during a release: no fight, no lost field",
        alone: false,
        go: |world| Box::pin(gitops::run(world)),
    },
    Run {
        name: "crash",
        about: "the controller is killed in each phase of a release and of a rollback",
        alone: true,
        go: |world| Box::pin(crash::every_phase(world)),
    },
    Run {
        name: "outage",
        about: "the API server is restarted and etcd is paused for 20 s in the middle of a release",
        alone: true,
        go: |world| Box::pin(outage::run(world)),
    },
    Run {
        name: "leader",
        about: "two replicas, and the leader is killed in the middle of a release",
        alone: true,
        go: |world| Box::pin(crash::leader(world)),
    },
];

/// The runs of these names; all when there is none.
///
/// # Errors
/// A name that is not known.
pub fn named(names: &[String]) -> Result<Vec<&'static Run>> {
    if names.is_empty() {
        return Ok(ALL.iter().collect());
    }
    names
        .iter()
        .map(|name| match ALL.iter().find(|run| run.name == name) {
            Some(run) => Ok(run),
            None => bail!(
                "there is no run {name:?}; there are {}",
                ALL.iter().map(|r| r.name).collect::<Vec<_>>().join(", ")
            ),
        })
        .collect()
}

/// Runs them: those that bear company side by side, then the others one by one.
pub async fn go(world: &Arc<World>, runs: &[&'static Run]) -> Vec<Row> {
    let together = runs.iter().filter(|run| !run.alone).map(|run| one(world.clone(), run));
    let mut rows = join_all(together).await;
    for run in runs.iter().filter(|run| run.alone) {
        rows.push(one(world.clone(), run).await);
    }
    rows
}

async fn one(world: Arc<World>, run: &'static Run) -> Row {
    println!("{}: {}", run.name, run.about);
    let started = Instant::now();
    let outcome = match tokio::time::timeout(LONGEST, (run.go)(world)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(anyhow::anyhow!("it did not end within {} s", LONGEST.as_secs())),
    };
    let took = started.elapsed();
    match &outcome {
        Ok(_) => println!("{}: passed in {:.1} s", run.name, took.as_secs_f64()),
        Err(error) => println!("{}: FAILED in {:.1} s: {error:#}", run.name, took.as_secs_f64()),
    }
    Row { name: run.name, took, outcome }
}
