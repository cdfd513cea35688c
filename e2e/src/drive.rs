//! What happens inside: install, run, judge, report.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role};
use kube::api::{DeleteParams, DynamicObject, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, ResourceExt};
use tokio::time::sleep;

use crate::audit::{self, Account, Right};
use crate::cluster::{self, network};
use crate::install::{self, CONTROLLER, Controller, SYSTEM};
use crate::place::Place;
use crate::report::{self, Row};
use crate::runs::{self, Figures, Run};
use crate::world::{self, World};
use crate::{commands, dashboards, pace, wait};

/// How long a controller with nothing to do is watched.
const REST: Duration = Duration::from_secs(20);
/// How long it may take until there is nothing to do: replicas that have only just started, events that come late.
const SETTLE: Duration = Duration::from_secs(120);

/// Installs everything unless it is there.
pub async fn install(place: &Place, controller: Option<Controller>) -> Result<()> {
    if !place.installed().exists() {
        let own = place.clone();
        tokio::task::spawn_blocking(move || install::mesh(&own)).await??;
    } else if controller.is_none() {
        return Ok(());
    }
    let own = place.clone();
    let controller = controller.unwrap_or_else(|| Controller::new(install::program(None)));
    tokio::task::spawn_blocking(move || install::controller(&own, &controller)).await??;
    std::fs::write(place.installed(), "")?;
    Ok(())
}

/// Runs, prints the table, and tells whether all passed.
pub async fn run(place: Place, names: &[String], controller: Option<Controller>) -> Result<bool> {
    let runs = runs::named(names)?;
    install(&place, controller).await?;
    let client = cluster::client(&place, "admin").await?;
    let gateway = gateway(&client).await?;
    let world =
        World::join(place.clone(), client, gateway, SocketAddr::from((network::NODE, 0)), true).await?;
    let mut rows = runs::go(&world, &runs).await;
    let started = Instant::now();
    let rest = rest(&world).await;
    rows.push(row("rest", rest, started.elapsed()));
    let started = Instant::now();
    let rights = rights(&world, names.is_empty()).await;
    rows.push(row("rights", rights, started.elapsed()));
    // What a few runs leave is not enough for all panels.
    if names.is_empty() {
        let started = Instant::now();
        rows.push(row("dashboards", dashboards::answer(&world).await, started.elapsed()));
        let started = Instant::now();
        rows.push(row("commands", commands::answer(&world).await, started.elapsed()));
    }
    finish(&place, &rows)
}

/// Runs on a cluster that is not ours: what needs no hold on its processes.
pub async fn run_elsewhere(kubeconfig: PathBuf, names: &[String]) -> Result<bool> {
    let runs: Vec<&Run> = runs::named(names)?.into_iter().filter(|run| !run.alone).collect();
    let variable = |name: &str, what: &str| {
        std::env::var(name).with_context(|| format!("with E2E_KUBECONFIG, {name} has to be {what}"))
    };
    let gateway =
        variable("E2E_GATEWAY", "the address of the gateway as seen from here, such as 127.0.0.1:8080")?;
    let inbox = variable("E2E_INBOX", "an address of this machine that pods reach, such as 172.18.0.1:0")?;
    let config = Kubeconfig::read_from(&kubeconfig)
        .with_context(|| format!("cannot read {}", kubeconfig.display()))?;
    let client =
        Client::try_from(kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?)?;
    let place = Place::from_env();
    place.create()?;
    let world = World::join(place.clone(), client, gateway.parse()?, inbox.parse()?, false).await?;
    let rows = runs::go(&world, &runs).await;
    finish(&place, &rows)
}

fn row(name: &'static str, outcome: Figures, took: Duration) -> Row {
    Row { name, took, outcome }
}

fn finish(place: &Place, rows: &[Row]) -> Result<bool> {
    let table = report::table(rows);
    println!("\n{table}");
    std::fs::write(place.root().join("report.txt"), &table)?;
    Ok(!rows.iter().any(Row::failed))
}

async fn gateway(client: &Client) -> Result<SocketAddr> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), SYSTEM);
    let all = pods.list(&ListParams::default().labels("app=istio-ingressgateway")).await?;
    let pod = all.items.into_iter().find(world::is_ready).context("the gateway has no ready pod")?;
    let ip: IpAddr =
        pod.status.and_then(|status| status.pod_ip).context("the gateway has no address")?.parse()?;
    Ok(SocketAddr::new(ip, 8080))
}

/// A controller with nothing to do asks the API for nothing but its lease and its watches.
async fn rest(world: &Arc<World>) -> Figures {
    let user = controller_user(world).await?;
    let ended = end_releases(world).await?;
    let since = Instant::now();
    let asked = loop {
        let before = account(world, &user)?;
        sleep(REST).await;
        let after = account(world, &user)?;
        let asked = after.work() - before.work();
        if asked == 0 || since.elapsed() > pace::stretched(SETTLE) {
            ensure!(
                asked == 0 || !install::is_ours(&world.place),
                "{asked} requests in {} s although there is nothing to do: {}",
                REST.as_secs(),
                after.since(&before).join(", ")
            );
            break asked;
        }
    };
    let mut figures =
        vec![format!("{asked} requests in {} s at rest, watches and lease aside", REST.as_secs())];
    if !ended.is_empty() {
        figures.push(format!("ended before, since a run had left them: {}", ended.join(", ")));
    }
    for pod in world.controllers().await? {
        if let Some(pid) = world::main_pid(&pod) {
            figures.push(format!("{}: {}", pod.name_any(), consumption(pid)?));
        }
    }
    Ok(figures)
}

/// Waits until no release goes on; those that a run left waiting for something are ended with their Canary.
async fn end_releases(world: &Arc<World>) -> Result<Vec<String>> {
    let canaries: Api<DynamicObject> =
        Api::all_with(world.client.clone(), &world::resource("flagger.app/v1beta1", "Canary"));
    let busy = async || {
        let all = wait::calmly(async || Ok(canaries.list(&ListParams::default()).await?)).await?;
        let at_rest = |canary: &DynamicObject| {
            matches!(canary.data["status"]["phase"].as_str(), Some("Initialized" | "Succeeded" | "Failed"))
        };
        let busy = all.items.into_iter().filter(|canary| !at_rest(canary));
        Ok::<_, anyhow::Error>(
            busy.map(|canary| (canary.namespace().unwrap_or_default(), canary.name_any()))
                .collect::<Vec<_>>(),
        )
    };
    let waited =
        wait::until("no release goes on", Duration::from_secs(30), async || Ok(busy().await?.is_empty()));
    if waited.await.is_ok() {
        return Ok(Vec::new());
    }
    let mut ended = Vec::new();
    for (namespace, name) in busy().await? {
        let api = world.api("flagger.app/v1beta1", "Canary", &namespace);
        wait::until(&format!("Canary {namespace}/{name} is gone"), Duration::from_secs(120), async || {
            match api.delete(&name, &DeleteParams::default()).await {
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(true),
                other => other.map(|_| false).map_err(Into::into),
            }
        })
        .await?;
        ended.push(format!("{namespace}/{name}"));
    }
    Ok(ended)
}

/// Memory and processor time of a process.
fn consumption(pid: u32) -> Result<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0");
        line.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0)
    };
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after = stat.rsplit_once(") ").map(|(_, rest)| rest).unwrap_or_default();
    let ticks: u64 = after.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
    // The kernel counts in hundredths of a second on every machine that this runs on.
    Ok(format!(
        "{} MiB (peak {} MiB), {:.1} s of CPU since its start",
        field("VmRSS:") / 1024,
        field("VmHWM:") / 1024,
        ticks as f64 / 100.0
    ))
}

/// Nothing was refused. What was never needed is named, and may not be there after `all` runs.
async fn rights(world: &Arc<World>, all: bool) -> Figures {
    let user = controller_user(world).await?;
    let account = account(world, &user)?;
    ensure!(!account.requests.is_empty(), "{user} made no request at all");
    if !account.refused.is_empty() {
        bail!("refused for lack of rights: {}", account.refused.into_iter().collect::<Vec<_>>().join(", "));
    }
    let granted = granted(world, &user).await?;
    let unused = audit::unused(&granted, &account);
    let requests = account.requests.values().sum::<usize>();
    let mut figures = vec![format!("{requests} requests, none refused; {} rights granted", granted.len())];
    if unused.is_empty() {
        figures.push("each of them was needed".to_owned());
    } else if all && install::is_ours(&world.place) {
        bail!("of {} rights granted no request needed {}", granted.len(), unused.join("; "));
    } else {
        figures.push("no request needed:".to_owned());
        figures.extend(unused);
    }
    Ok(figures)
}

async fn controller_user(world: &World) -> Result<String> {
    let pods = world.controllers().await?;
    let pod = pods.first().context("there is no controller")?;
    let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.clone()).unwrap_or_default();
    Ok(format!("system:serviceaccount:{SYSTEM}:{account}"))
}

fn account(world: &World, user: &str) -> Result<Account> {
    let log = std::fs::read_to_string(world.place.audit_log()).context("cannot read the audit log")?;
    Ok(Account::of(user, &log))
}

/// The rights of the ClusterRoles that the user is bound to, and those on the lease, which a Role gives.
async fn granted(world: &World, user: &str) -> Result<BTreeSet<Right>> {
    let name = user.rsplit(':').next().unwrap_or_default();
    let bindings: Api<ClusterRoleBinding> = Api::all(world.client.clone());
    let roles: Api<ClusterRole> = Api::all(world.client.clone());
    let mut out = BTreeSet::new();
    for binding in bindings.list(&ListParams::default()).await? {
        let bound = binding.subjects.iter().flatten().any(|subject| {
            subject.kind == "ServiceAccount"
                && subject.name == name
                && subject.namespace.as_deref() == Some(SYSTEM)
        });
        if bound {
            let role = roles.get(&binding.role_ref.name).await?;
            out.extend(Right::all(role.rules.as_deref().unwrap_or_default()));
        }
    }
    let roles: Api<Role> = Api::namespaced(world.client.clone(), SYSTEM);
    for role in
        roles.list(&ListParams::default().labels(&format!("app.kubernetes.io/instance={CONTROLLER}"))).await?
    {
        out.extend(Right::all(role.rules.as_deref().unwrap_or_default()));
    }
    Ok(out)
}

/// Everything that a person may want to know after a failure, as files beside the logs.
pub fn collect(place: &Place) {
    let kinds = "canaries,metrictemplates,alertproviders,deployments,replicasets,pods,services,endpointslices,\
                 virtualservices,destinationrules,configmaps,leases";
    for (file, arguments) in [
        ("objects.yaml", vec!["get", kinds, "--all-namespaces", "--output=yaml", "--show-managed-fields"]),
        ("objects.txt", vec!["get", kinds, "--all-namespaces", "--output=wide"]),
        ("events.txt", vec!["get", "events", "--all-namespaces", "--sort-by=.lastTimestamp"]),
    ] {
        let text = install::kubectl(place, &arguments).unwrap_or_else(|error| format!("{error:#}\n"));
        if let Err(error) = std::fs::write(place.logs().join(file), text) {
            println!("cannot keep {file}: {error}");
        }
    }
}
