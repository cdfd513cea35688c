//! One application's life: it runs without Vexil, is taken over, gets a new version, and some of them are given back; under load
//! all the while.

use std::time::Duration;

use anyhow::{Result, anyhow, bail, ensure};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use vexil_e2e::apps::load::{Clients, Load, Running};
use vexil_e2e::{pace, wait};

use crate::apps::{self, INSIDERS, NAME, Plan, Provider};
use crate::cluster::{BROKEN, Cluster};
use crate::judge::{Heard, Seen, Span};
use crate::traefik::Traefik;

const FIRST: &str = "1.0";
const GOOD: &str = "2.0";
const UP: Duration = Duration::from_secs(60);
const TAKEN_OVER: Duration = Duration::from_secs(120);
/// A release of two steps of ten seconds takes about a minute.
const RELEASED: Duration = Duration::from_secs(240);
/// Longer than Traefik waits until it looks at what has changed.
const SETTLED: Duration = Duration::from_secs(2);
/// No load is longer, whatever becomes of its release.
const LONGEST: Duration = Duration::from_secs(900);
/// What is measured and not promised.
pub const OUTAGE: &str = "outage";
const CANARIES: &str = "canaries.flagger.app";

/// An application under release.
pub struct Run<'a> {
    pub provider: Provider,
    pub plan: Plan,
    pub cluster: &'a Cluster,
    pub traefik: &'a Traefik,
    /// Where all times count from.
    pub start: Instant,
}

/// The version that it gets.
pub fn version(plan: Plan) -> String {
    if plan == Plan::Rollback { format!("{GOOD}-{BROKEN}") } else { GOOD.to_owned() }
}

impl Run<'_> {
    /// Lives it to the end, and gives what its users saw.
    ///
    /// # Errors
    /// It could not even be served.
    pub async fn live(self) -> Result<Seen> {
        for object in apps::before(self.provider, self.plan, FIRST) {
            self.cluster.apply(&object)?;
        }
        self.is_served().await?;
        let loads = self.loads()?;
        let mut spans = Vec::new();
        let end = self.release(&mut spans).await;
        let trouble = end.err().map(|why| format!("{why:#}; {}", self.events().join(" | ")));
        if let Some(last) = spans.last_mut() {
            last.to = self.start.elapsed();
        }
        let mut heard = Vec::new();
        for (insiders, load) in loads {
            heard.push(Heard { insiders, samples: load.stop().await });
        }
        Ok(Seen {
            provider: self.provider,
            plan: self.plan,
            version: version(self.plan),
            spans,
            heard,
            held: self.traefik.held(&self.namespace()),
            events: self.events(),
            trouble,
        })
    }

    fn namespace(&self) -> String {
        apps::namespace(self.provider, self.plan)
    }

    async fn is_served(&self) -> Result<()> {
        let (client, host) = (reqwest::Client::builder().no_proxy().build()?, apps::host(&self.namespace()));
        let url = format!("http://{}/", self.traefik.web);
        wait::until(&format!("Traefik serves {host}"), UP, async || {
            let answer = client.get(&url).header("host", &host).send().await;
            Ok(answer.is_ok_and(|answer| answer.status().is_success()))
        })
        .await
    }

    /// The users: whether they are insiders, and their requests.
    fn loads(&self) -> Result<Vec<(bool, Running)>> {
        let load = |rate: u32, clients: Clients, insiders: bool| {
            let load = Load {
                target: self.traefik.web,
                host: apps::host(&self.namespace()),
                path: "/".into(),
                headers: insiders.then(|| (INSIDERS.0.into(), INSIDERS.1.into())).into_iter().collect(),
                clients,
                rate,
                longest: LONGEST,
            };
            Ok((insiders, load.start_at(self.start)?))
        };
        let strangers = Clients::Strangers;
        match self.plan {
            Plan::Ab => [load(15, strangers, false), load(15, strangers, true)].into_iter().collect(),
            Plan::Affinity => {
                [load(60, Clients::Visitors { seats: 30, stay: 2 }, false)].into_iter().collect()
            }
            Plan::BlueGreen => [load(20, strangers, false)].into_iter().collect(),
            Plan::Weights | Plan::Adopted | Plan::Rollback | Plan::Outage => {
                [load(30, strangers, false)].into_iter().collect()
            }
        }
    }

    async fn release(&self, spans: &mut Vec<Span>) -> Result<()> {
        self.begin(spans, "take-over");
        self.cluster.apply(&apps::canary(self.provider, self.plan))?;
        self.phase(&["Initialized"], TAKEN_OVER).await?;
        settle().await;
        self.begin(spans, if self.plan == Plan::Rollback { "rollback" } else { "steps" });
        self.push(&version(self.plan))?;
        match self.plan {
            Plan::Rollback => self.phase(&["Failed"], RELEASED).await?,
            Plan::Outage => {
                self.weight("has its first step", |weight| weight > 0).await?;
                settle().await;
                self.begin(spans, OUTAGE);
                self.fail_canary();
                self.weight("has no share any more", |weight| weight == 0).await?;
            }
            _ => {
                self.phase(&["Promoting", "Finalising", "Succeeded"], RELEASED).await?;
                self.begin(spans, "promotion");
                self.phase(&["Succeeded"], RELEASED).await?;
            }
        }
        settle().await;
        if matches!(self.plan, Plan::Weights | Plan::Adopted) {
            self.begin(spans, "deletion");
            ensure!(
                self.cluster.sim.delete(CANARIES, &self.namespace(), NAME),
                "there is no Canary to delete"
            );
            wait::until("the Canary and its primary are gone", RELEASED, async || {
                let namespace = self.namespace();
                let pods = self.cluster.sim.list("pods", Some(&namespace));
                let is_primarys = |pod: &Value| pod["metadata"]["labels"]["app"] == format!("{NAME}-primary");
                Ok(self.canary().is_null() && !pods.iter().any(is_primarys))
            })
            .await?;
            settle().await;
        }
        Ok(())
    }

    /// What is before ends with what begins now.
    fn begin(&self, spans: &mut Vec<Span>, what: &'static str) {
        let now = self.start.elapsed();
        if let Some(last) = spans.last_mut() {
            last.to = now;
        }
        spans.push(Span { what, from: now, to: now });
    }

    fn push(&self, tag: &str) -> Result<()> {
        let patch = json!({"spec": {"template": {"spec": {"containers": [apps::container(tag)]}}}});
        let pushed = self.cluster.sim.patch("user", "deployments.apps", &self.namespace(), NAME, patch);
        pushed.map(drop).map_err(|why| anyhow!("the new version is refused: {why}"))
    }

    fn canary(&self) -> Value {
        self.cluster.sim.get(CANARIES, &self.namespace(), NAME).unwrap_or_default()
    }

    /// Waits until the Canary is in one of these phases.
    async fn phase(&self, wanted: &[&str], deadline: Duration) -> Result<()> {
        let what = format!("Canary {} becomes {}", self.namespace(), wanted.join(" or "));
        wait::until(&what, deadline, async || {
            let canary = self.canary();
            let phase = canary["status"]["phase"].as_str().unwrap_or_default();
            if !wanted.contains(&phase)
                && (phase == "Failed" || (phase == "Succeeded" && wanted == ["Failed"]))
            {
                bail!("Canary {} became {phase} instead of {}", self.namespace(), wanted.join(" or "));
            }
            Ok(wanted.contains(&phase))
        })
        .await
    }

    /// Waits until the canary's weight is such a one.
    async fn weight(&self, what: &str, wanted: impl Fn(i64) -> bool) -> Result<()> {
        wait::until(&format!("Canary {} {what}", self.namespace()), RELEASED, async || {
            Ok(self.canary()["status"]["canaryWeight"].as_i64().is_some_and(&wanted))
        })
        .await
    }

    /// Lets all pods of the canary say that they are not ready.
    fn fail_canary(&self) {
        for pod in self.cluster.sim.list("pods", Some(&self.namespace())) {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            if pod["metadata"]["labels"]["app"] == NAME {
                self.cluster.sim.set_pod_ready(&self.namespace(), name, Some(false));
            }
        }
    }

    /// What the controller has told of it.
    fn events(&self) -> Vec<String> {
        let mut events = self.cluster.sim.list("events", Some(&self.namespace()));
        events.retain(|event| event["involvedObject"]["kind"] == "Canary");
        events.sort_by_key(|event| {
            event["metadata"]["resourceVersion"].as_str().and_then(|at| at.parse::<u64>().ok())
        });
        events.iter().filter_map(|event| event["message"].as_str().map(str::to_owned)).collect()
    }
}

async fn settle() {
    sleep(pace::stretched(SETTLED)).await;
}
