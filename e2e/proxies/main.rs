//! Releases behind real proxies: Traefik with its three ways to be told of routes, the controller's own program, pods that answer
//! and users that ask, on the embedded cluster. No container and no API server of Kubernetes.
//!
//! ```text
//! users ──▶ Traefik ──▶ pods (servers on addresses of this machine)
//!             │ routes, endpoints      ▲ are run by
//!             └──▶ embedded cluster ───┘◀── vexil controller ──▶ Prometheus ──▶ Traefik's metrics
//! ```
//!
//! `make test-proxies` installs the parts and starts it.

mod apps;
mod cluster;
mod controller;
mod judge;
mod parts;
mod prometheus;
mod run;
mod table;
mod traefik;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use tokio::time::{Instant, sleep};
use vexil_e2e::{pace, wait};

use self::apps::{Plan, Provider};
use self::cluster::Cluster;
use self::controller::Controller;
use self::judge::{Seen, Span};
use self::prometheus::Prometheus;
use self::run::Run;
use self::traefik::Traefik;

/// What is released, all at the same time.
const RUNS: &[(Provider, &[Plan])] = &[
    (
        Provider::GatewayApi,
        &[
            Plan::Weights,
            Plan::Adopted,
            Plan::Rollback,
            Plan::BlueGreen,
            Plan::Ab,
            Plan::Affinity,
            Plan::Outage,
        ],
    ),
    (Provider::Crd, &[Plan::Weights, Plan::Adopted, Plan::Rollback, Plan::BlueGreen, Plan::Outage]),
    (Provider::CrdSafe, &[Plan::Weights, Plan::Rollback, Plan::Outage]),
    (Provider::Ingress, &[Plan::Weights, Plan::Rollback, Plan::BlueGreen, Plan::Ab, Plan::Outage]),
];

/// How long nobody decides, once the controller is killed.
const AWAY: Duration = Duration::from_secs(3);
/// Until all releases have come to their first step.
const BEGUN: Duration = Duration::from_secs(240);

#[derive(Parser)]
#[command(about = "Releases behind Traefik on the embedded cluster, with real requests")]
struct Arguments {
    /// Traefik's program
    #[arg(long)]
    traefik: PathBuf,
    /// Prometheus' program
    #[arg(long)]
    prometheus: PathBuf,
    /// Vexil's program
    #[arg(long)]
    vexil: PathBuf,
    /// An empty folder for logs
    #[arg(long)]
    folder: PathBuf,
    /// Only namespaces with this in their name, as in gateway-weights
    #[arg(long)]
    only: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match play(&Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("test-proxies: {why:#}");
            ExitCode::FAILURE
        }
    }
}

/// All runs; whether each kept what was promised.
async fn play(arguments: &Arguments) -> Result<bool> {
    // Two of its users bring different providers of cryptography, which nobody needs here.
    let _ = rustls::crypto::ring::default_provider().install_default();
    pace::watch();
    let wanted = wanted(arguments.only.as_deref());
    ensure!(!wanted.is_empty(), "--only fits none of the runs");
    let folder = &arguments.folder;
    let cluster = Cluster::start(folder).await?;
    let url = cluster.url();
    let web = parts::free_port()?;
    let option = |provider: &str, rest: &str| format!("--providers.{provider}{rest}");
    let mut providers: Vec<String> = Vec::new();
    for provider in ["kubernetesgateway", "kubernetescrd", "kubernetesingressnginx"] {
        providers.extend([option(provider, "=true"), option(provider, &format!(".endpoint={url}"))]);
    }
    providers.push(option("kubernetescrd", ".safenaming=false"));
    let traefik = Traefik::start("traefik", &arguments.traefik, folder, web, &providers).await?;
    let safe = [
        option("kubernetescrd", "=true"),
        option("kubernetescrd", &format!(".endpoint={url}")),
        option("kubernetescrd", ".safenaming=true"),
        option("kubernetescrd", ".allowemptyservices=true"),
    ];
    let safe =
        Traefik::start("traefik-safenaming", &arguments.traefik, folder, parts::free_port()?, &safe).await?;
    let prometheus = Prometheus::start(&arguments.prometheus, folder, &[traefik.admin, safe.admin]).await?;
    for object in apps::common(web, &prometheus.url())? {
        cluster.apply(&object)?;
    }
    let controller = Controller::new(&arguments.vexil, &cluster.kubeconfig, &prometheus.url(), folder)?;
    controller.start().await?;

    println!(
        "{} releases at the same time behind Traefik: about two minutes, logs in {}",
        wanted.len(),
        folder.display()
    );
    let start = Instant::now();
    let at = |provider: Provider| if provider == Provider::CrdSafe { &safe } else { &traefik };
    let namespaces = |here: &Traefik| {
        let mine = wanted.iter().filter(|(provider, _)| std::ptr::eq(at(*provider), here));
        mine.map(|(provider, plan)| apps::namespace(*provider, *plan)).collect()
    };
    for traefik in [&traefik, &safe] {
        traefik.follow(namespaces(traefik), start);
    }
    let runs = wanted.iter().map(|&(provider, plan)| {
        Run { provider, plan, cluster: &cluster, traefik: at(provider), start }.live()
    });
    let weighted: Vec<(&Traefik, String)> = wanted
        .iter()
        .filter(|(_, plan)| *plan == Plan::Weights)
        .map(|(provider, plan)| (at(*provider), apps::namespace(*provider, *plan)))
        .collect();
    let (seen, away) =
        tokio::join!(futures::future::join_all(runs), interrupt(&controller, &weighted, start));
    let mut all = Vec::new();
    for ((provider, plan), seen) in wanted.iter().zip(seen) {
        all.push(seen.with_context(|| apps::namespace(*provider, *plan))?);
    }
    let metrics = names_in_metrics(&prometheus, &all).await;
    Ok(table::tell(&all, away, metrics))
}

fn wanted(only: Option<&str>) -> Vec<(Provider, Plan)> {
    let all = RUNS.iter().flat_map(|(provider, plans)| plans.iter().map(|plan| (*provider, *plan)));
    all.filter(|(provider, plan)| only.is_none_or(|only| apps::namespace(*provider, *plan).contains(only)))
        .collect()
}

/// Kills the controller once all of these releases have begun, and starts it again; tells when.
async fn interrupt(
    controller: &Controller,
    releases: &[(&Traefik, String)],
    start: Instant,
) -> Result<Option<Span>> {
    if releases.is_empty() {
        return Ok(None);
    }
    let has_begun = |(traefik, namespace): &(&Traefik, String)| {
        traefik.held(namespace).iter().any(|held| held.weight() > 0)
    };
    wait::until("all releases have come to their first step", BEGUN, async || {
        Ok(releases.iter().all(has_begun))
    })
    .await?;
    let from = start.elapsed();
    controller.kill().await;
    sleep(AWAY).await;
    controller.start().await?;
    Ok(Some(Span { what: "controller killed", from, to: start.elapsed() + AWAY }))
}

/// What Traefik calls the canaries of its TraefikServices in its metrics.
async fn names_in_metrics(prometheus: &Prometheus, all: &[Seen]) -> Result<Vec<String>> {
    if !all.iter().any(|seen| matches!(seen.provider, Provider::Crd | Provider::CrdSafe)) {
        return Ok(Vec::new());
    }
    let query = r#"count by (service) (last_over_time(traefik_service_requests_total{service=~".*canary.*@kubernetescrd"}[10m]))"#;
    prometheus.labels(query, "service").await
}
