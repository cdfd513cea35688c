//! The runs: each a story of a release on the real cluster, with figures.

pub mod ab_testing;
pub mod affinity;
pub mod analysis;
pub mod bad_version;
pub mod blue_green;
pub mod by_hand;
pub mod commands;
pub mod crash;
pub mod deletion;
pub mod external_metrics;
pub mod gates;
pub mod gateway_api;
pub mod gitops;
pub mod good_version;
pub mod kinds;
pub mod never_ready;
pub mod outage;
pub mod persistence;
pub mod planes;
pub mod routers;
pub mod safety;
pub mod story;
pub mod tutorial;

mod queue;
mod tester;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use futures::future::LocalBoxFuture;

pub use self::queue::go;
use crate::world::World;

/// No run takes longer, however slow the machine. Counted from its own start.
const LONGEST: Duration = Duration::from_secs(1500);

/// What a run measured, as lines of the table.
pub type Figures = Result<Vec<String>>;

/// What a run needs and may not find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Requests by hand are Vexil's own.
    Requests,
    /// Pods that the harness itself reaches and images that it can take away.
    Node,
}

/// A run that cannot apply here: no failure.
#[derive(Debug)]
pub struct NotApplicable(pub String);

impl std::fmt::Display for NotApplicable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "not applicable: {}", self.0)
    }
}

impl std::error::Error for NotApplicable {}

/// One run.
pub struct Run {
    pub name: &'static str,
    pub about: &'static str,
    /// It disturbs others (kills the controller, stops the API server), or is disturbed by them.
    pub alone: bool,
    /// What it needs that not every cluster and not every controller has.
    pub needs: Option<Need>,
    /// About how long it takes: the longest begin first.
    pub seconds: u32,
    go: fn(Arc<World>) -> LocalBoxFuture<'static, Figures>,
}

/// All of them, in the order of the table.
pub const ALL: &[Run] = &[
    Run {
        name: "good-version",
        about: "install, init and a release of a good version under load: nothing lost, shares as the weights say",
        alone: false,
        needs: None,
        seconds: 180,
        go: |world| Box::pin(good_version::run(world)),
    },
    Run {
        name: "errors",
        about: "a version with 5 % errors is rolled back by the success rate",
        alone: false,
        needs: None,
        seconds: 110,
        go: |world| Box::pin(bad_version::errors(world)),
    },
    Run {
        name: "latency",
        about: "a version that takes 600 ms is rolled back by the p99",
        alone: false,
        needs: None,
        seconds: 110,
        go: |world| Box::pin(bad_version::latency(world)),
    },
    Run {
        name: "never-ready",
        about: "a version that never becomes ready is rolled back at the deadline, with an alert; users notice nothing",
        alone: false,
        needs: None,
        seconds: 110,
        go: |world| Box::pin(never_ready::run(world)),
    },
    Run {
        name: "no-traffic",
        about: "without traffic nothing is promoted",
        alone: false,
        needs: None,
        seconds: 90,
        go: |world| Box::pin(analysis::no_traffic(world)),
    },
    Run {
        name: "prometheus-stops",
        about: "while Prometheus is away the release does not advance; it goes on when it is back",
        alone: false,
        needs: None,
        seconds: 200,
        go: |world| Box::pin(analysis::prometheus_stops(world)),
    },
    Run {
        name: "custom-metric",
        about: "a MetricTemplate lets a good version through and stops a bad one",
        alone: false,
        needs: None,
        seconds: 220,
        go: |world| Box::pin(analysis::custom_metric(world)),
    },
    Run {
        name: "failing-webhook",
        about: "a rollout hook that fails stops the release",
        alone: false,
        needs: None,
        seconds: 80,
        go: |world| Box::pin(analysis::failing_webhook(world)),
    },
    Run {
        name: "blue-green",
        about: "plain Kubernetes, no mesh: a release beside the primary that then takes its place",
        alone: false,
        needs: None,
        seconds: 110,
        go: |world| Box::pin(blue_green::image(world)),
    },
    Run {
        name: "config-change",
        about: "a changed ConfigMap alone starts a release",
        alone: false,
        needs: None,
        seconds: 110,
        go: |world| Box::pin(blue_green::config_map(world)),
    },
    Run {
        name: "ab-testing",
        about: "users with a header or a cookie get a good version for three checks, all others only after its promotion",
        alone: false,
        needs: None,
        seconds: 140,
        go: |world| Box::pin(ab_testing::good(world)),
    },
    Run {
        name: "ab-testing-errors",
        about: "a bad version is seen by users with the header or the cookie alone, who are then taken back",
        alone: false,
        needs: None,
        seconds: 130,
        go: |world| Box::pin(ab_testing::bad(world)),
    },
    Run {
        name: "session-affinity",
        about: "who was given a version stays with it through a release; new users are divided as the weights say",
        alone: false,
        needs: None,
        seconds: 160,
        go: |world| Box::pin(affinity::good(world)),
    },
    Run {
        name: "session-affinity-errors",
        about: "who was given a bad version stays with it until the rollback takes the cookie back",
        alone: false,
        needs: None,
        seconds: 120,
        go: |world| Box::pin(affinity::bad(world)),
    },
    Run {
        name: "gates",
        about: "the release waits at each closed gate while users come, with one alert, and goes on when it opens",
        alone: false,
        needs: None,
        seconds: 200,
        go: |world| Box::pin(gates::opened(world)),
    },
    Run {
        name: "gates-rollback",
        about: "while a release waits for promotion a new revision starts over; a hook then rolls it back",
        alone: false,
        needs: None,
        seconds: 200,
        go: |world| Box::pin(gates::rolled_back(world)),
    },
    Run {
        name: "tutorial",
        about: "all traffic is the load tester's; it tries the new version first and keeps the gate that a person opens",
        alone: false,
        needs: Some(Need::Requests),
        seconds: 220,
        go: |world| Box::pin(tutorial::run(world)),
    },
    Run {
        name: "commands",
        about: "hooks with hey, wrk, helm and kubectl release a version; only who shows a token may call the load tester",
        alone: false,
        needs: Some(Need::Requests),
        seconds: 200,
        go: |world| Box::pin(commands::run(world)),
    },
    Run {
        name: "by-hand",
        about: "people pause, abort, retry and approve with kubectl while GitOps goes on; a late request hits nothing",
        alone: false,
        needs: Some(Need::Requests),
        seconds: 330,
        go: |world| Box::pin(by_hand::run(world)),
    },
    Run {
        name: "deletion",
        about: "deleting the Canary with and without revertOnDeletion",
        alone: false,
        needs: None,
        seconds: 100,
        go: |world| Box::pin(deletion::run(world)),
    },
    Run {
        name: "gitops",
        about: "another field manager applies everything every few seconds during a release: no fight, no lost field",
        alone: false,
        needs: None,
        seconds: 140,
        go: |world| Box::pin(gitops::run(world)),
    },
    Run {
        name: "stuck-promotion",
        about: "the image is gone when the primary wants it; a fix is pushed, analysed and promoted",
        alone: false,
        needs: Some(Need::Node),
        seconds: 250,
        go: |world| Box::pin(safety::stuck(world)),
    },
    Run {
        name: "new-selector",
        about: "the target is created again with another selector label: no Service is ever without endpoints",
        alone: false,
        needs: None,
        seconds: 120,
        go: |world| Box::pin(safety::new_selector(world)),
    },
    Run {
        name: "canary-dies",
        about: "the canary's pods stop being ready while it is suspended or refused: its share is off at once",
        alone: false,
        needs: Some(Need::Node),
        seconds: 150,
        go: |world| Box::pin(safety::canary_dies(world)),
    },
    Run {
        name: "recreate",
        about: "pods are replaced all at once: the share leaves the primary before they go",
        alone: false,
        needs: None,
        seconds: 130,
        go: |world| Box::pin(safety::recreate(world)),
    },
    Run {
        name: "capacity",
        about: "a rollback does not give everything to a primary with one ready pod of four",
        alone: false,
        needs: Some(Need::Node),
        seconds: 180,
        go: |world| Box::pin(safety::capacity(world)),
    },
    Run {
        name: "daemonset",
        about: "a DaemonSet with a Secret and a ConfigMap: released by the Secret alone, then without both",
        alone: false,
        needs: None,
        seconds: 160,
        go: |world| Box::pin(kinds::daemon_set(world)),
    },
    Run {
        name: "autoscaler",
        about: "the primary's autoscaler gets its new limits with the promotion",
        alone: false,
        needs: None,
        seconds: 110,
        go: |world| Box::pin(kinds::autoscaler(world)),
    },
    Run {
        name: "external-metrics",
        about: "a check through the API server's aggregation lets a good version through and stops a bad one",
        alone: false,
        needs: Some(Need::Node),
        seconds: 200,
        go: |world| Box::pin(external_metrics::run(world)),
    },
    Run {
        name: "gateway-api",
        about: "an HTTPRoute through istiod: take-over, a good version, a bad one, deletion",
        alone: false,
        needs: None,
        seconds: 230,
        go: |world| Box::pin(gateway_api::written(world)),
    },
    Run {
        name: "adopted",
        about: "the same by the weights of one rule in the user's own HTTPRoute",
        alone: false,
        needs: None,
        seconds: 230,
        go: |world| Box::pin(gateway_api::adopted(world)),
    },
    Run {
        name: "contour",
        about: "an HTTPProxy through Contour and its Envoy: take-over, a good version, a bad one, deletion",
        alone: false,
        needs: Some(Need::Node),
        seconds: 240,
        go: |world| Box::pin(planes::contour(world)),
    },
    Run {
        name: "contour-ab",
        about: "users with a header or a cookie get a good version through Contour, all others only after its promotion",
        alone: false,
        needs: Some(Need::Node),
        seconds: 140,
        go: |world| Box::pin(planes::contour_ab(world)),
    },
    Run {
        name: "envoy-gateway",
        about: "an HTTPRoute through Envoy Gateway: take-over, a good version, a bad one, deletion",
        alone: false,
        needs: Some(Need::Node),
        seconds: 240,
        go: |world| Box::pin(planes::envoy_gateway(world)),
    },
    Run {
        name: "session-persistence",
        about: "users whom Envoy Gateway keeps on a pod by a cookie are off a bad version after its rollback",
        alone: false,
        needs: Some(Need::Node),
        seconds: 130,
        go: |world| Box::pin(persistence::run(world)),
    },
    Run {
        name: "traefik",
        about: "the same by a TraefikService through Traefik",
        alone: false,
        needs: Some(Need::Node),
        seconds: 240,
        go: |world| Box::pin(planes::traefik(world)),
    },
    Run {
        name: "routers",
        about: "the objects of every other router on the real API server, under its project's CRDs",
        alone: false,
        needs: None,
        seconds: 500,
        go: |world| Box::pin(routers::run(world)),
    },
    Run {
        name: "crash",
        about: "the controller is killed in each phase of a release and of a rollback",
        alone: true,
        needs: None,
        seconds: 200,
        go: |world| Box::pin(crash::every_phase(world)),
    },
    Run {
        name: "outage",
        about: "the API server is restarted and etcd is paused for 20 s in the middle of a release",
        alone: true,
        needs: None,
        seconds: 150,
        go: |world| Box::pin(outage::run(world)),
    },
    Run {
        name: "leader",
        about: "two replicas, and the leader is killed in the middle of a release",
        alone: true,
        needs: None,
        seconds: 170,
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
