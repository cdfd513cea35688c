//! `vexil check`: whether a cluster, a controller and its Canaries are as they have to be. In three steps, each in one
//! place: facts are fetched, judgements of them are pure, and a report is printed.
//!
//! ```text
//! asker ──▶ facts (kubernetes, before, installation, canary) ──Check::judge──▶ findings ──▶ report, exit status
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use clap::Args;
use futures::StreamExt as _;
use serde_json::Value;

use crate::api::Provider;
use crate::cli::cluster::{Cluster, Doing, Place, Trouble};
use crate::cli::go_flags::ControllerFlags;
use crate::cli::print;
use crate::controller::clock::Clock;
use crate::judge::{self, route_template};
use crate::manifest::decode;
use crate::model::object::Kind;
use crate::model::release::{ScalerKind, Settings, TargetKind};
use crate::router::templated::Templated;
use crate::router::{Router as _, adopt};

use self::asker::{Asker, NotAsked};
use self::before::Before;
use self::canary::{Around, Facts, Overseer};
use self::finding::{Finding, Row, judged, titles};
use self::installation::{Controllers, Installation, NAMESPACE};
use self::kubernetes::Kubernetes;
use self::mesh::{Mesh, Metrics};
use self::report::{Group, Report};
use self::rights::Named;
use self::shown::Shown;

pub(super) mod asker;
mod before;
mod canary;
pub(super) mod finding;
pub(super) mod installation;
pub(super) mod kubernetes;
pub(super) mod mesh;
mod proxy;
mod reach;
pub(super) mod report;
mod rights;
mod selects;
pub(super) mod shown;

/// The command line of `vexil check`.
#[derive(Args)]
pub(super) struct Arguments {
    /// Canaries to look at as well (with -n or -A and no name: all of them)
    names: Vec<String>,
    /// Look at the Canaries of all namespaces
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    /// Before the installation: what it needs, in the namespace that -n names
    #[arg(long, conflicts_with_all = ["names", "all_namespaces", "controller_namespace"])]
    pre: bool,
    /// Namespace of the controller (by default it is looked for in all)
    #[arg(long, value_name = "NAME")]
    controller_namespace: Option<String>,
    /// Mesh of the Canaries that name none (by default what the controller was told)
    #[arg(long, value_name = "PROVIDER")]
    mesh_provider: Option<String>,
    /// Prometheus of built-in checks (by default what the controller was told)
    #[arg(long, value_name = "URL")]
    metrics_server: Option<String>,
    #[command(flatten)]
    shown: Shown,
    #[command(flatten)]
    place: Place,
}

/// The page that explains the checks.
pub(super) const PAGE: &str = "docs/check.md";

/// Asks, judges and prints.
pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if arguments.shown.list {
        return arguments.shown.catalogue(&all());
    }
    let report = match connect(arguments).await {
        Ok((asker, version)) => look(arguments, &asker, version).await,
        Err(trouble) => Report::unreachable(&trouble),
    };
    arguments.shown.report(&report, &[])
}

/// The ids and titles of all checks.
fn all() -> Vec<(&'static str, &'static str)> {
    titles(kubernetes::CLUSTER)
        .chain(titles(before::CHECKS))
        .chain(titles(kubernetes::CRDS_BEFORE))
        .chain(titles(kubernetes::CRDS))
        .chain(titles(installation::checks::FOUND))
        .chain(titles(installation::checks::CHECKS))
        .chain(titles(mesh::MESH))
        .chain(titles(mesh::METRICS))
        .chain([CANARY_THERE])
        .chain(titles(canary::checks::CHECKS))
        .collect()
}

async fn connect(arguments: &Arguments) -> Result<(Asker, (String, String)), Trouble> {
    let cluster = Cluster::connect_once(&arguments.place).await?;
    let version = tokio::time::timeout(asker::PATIENCE, cluster.client.apiserver_version()).await;
    let version = version.map_err(|_| {
        let why = format!("{} does not answer within {:?}", cluster.name, asker::PATIENCE);
        Trouble::new(why).cure("it may be down, or a network, VPN or firewall is in between")
    })?;
    let version = version.map_err(|why| cluster.trouble(Doing::listing(NAMESPACE, None), &why))?;
    Ok((Asker::new(cluster), (version.major, version.minor)))
}

async fn look(arguments: &Arguments, asker: &Asker, version: (String, String)) -> Report {
    let now = Clock::system().now();
    let kubernetes = Kubernetes::fetch(asker, version).await;
    let mut report = Report::default();
    let mut add = |title: &str, rows: Vec<Row>| {
        if !rows.is_empty() {
            report.groups.push(Group { title: title.to_owned(), rows, short: false });
        }
    };
    add("Kubernetes", judged(kubernetes::CLUSTER, &kubernetes));
    let default = ControllerFlags::default();
    if arguments.pre {
        let name = arguments.mesh_provider.clone().unwrap_or(default.mesh_provider);
        let before = Before::fetch(asker, &name, now).await;
        add("Installation", judged(before::CHECKS, &before));
        add("CRDs", judged(kubernetes::CRDS_BEFORE, &kubernetes));
        add("Mesh", judged(mesh::MESH, &Mesh::fetch(asker, &name, false).await));
        let address = arguments.metrics_server.clone().unwrap_or(default.metrics_server);
        let namespace = asker.cluster.namespace.clone();
        add("Metrics", judged(mesh::METRICS, &metrics(asker, address, &namespace).await));
        return report;
    }
    add("CRDs", judged(kubernetes::CRDS, &kubernetes));

    let controllers = Controllers::find(asker, arguments.controller_namespace.as_deref()).await;
    let chosen = controllers.chosen();
    let mut rows = judged(installation::checks::FOUND, &controllers);
    let mut flags = None;
    if let Some(chosen) = chosen {
        let named = named(asker).await;
        let installation = Installation::fetch(asker, chosen, &named, now).await;
        rows.extend(judged(installation::checks::CHECKS, &installation));
        flags = Some((installation.it.namespace().to_owned(), installation.it.flags.clone().ok()));
    }
    add("Controller", rows);

    let (namespace, told) = flags.clone().unwrap_or_else(|| (asker.cluster.namespace.clone(), None));
    let mut settings = told.as_ref().map_or_else(Settings::default, ControllerFlags::settings);
    settings.remote_mesh = told.as_ref().is_some_and(|flags| !flags.kubeconfig_service_mesh.is_empty());
    settings.mesh_provider = arguments.mesh_provider.clone().unwrap_or(settings.mesh_provider);
    settings.metrics_server = arguments.metrics_server.clone().unwrap_or(settings.metrics_server);
    // Without a controller nobody knows which mesh and which Prometheus are meant.
    if told.is_some() || arguments.mesh_provider.is_some() {
        add(
            "Mesh",
            judged(mesh::MESH, &Mesh::fetch(asker, &settings.mesh_provider, settings.remote_mesh).await),
        );
    }
    if told.is_some() || arguments.metrics_server.is_some() {
        let address = settings.metrics_server.clone();
        add("Metrics", judged(mesh::METRICS, &metrics(asker, address, &namespace).await));
    }
    let overseer = Overseer { settings, works_in: told.map(|flags| flags.namespace), namespace };
    canaries(arguments, asker, &overseer, now, &mut report).await;
    report
}

async fn metrics(asker: &Asker, address: String, namespace: &str) -> Metrics {
    let told = reach::probe(asker, &address, namespace).await;
    Metrics { address, told }
}

/// What the Canaries of the cluster name, as far as they can be seen.
async fn named(asker: &Asker) -> Named {
    let mut named = Named::default();
    let all = asker.list_widely(Kind::CANARY, &asker.cluster.namespace, "").await;
    for canary in all.iter().flatten().filter(|canary| route_template::named(canary).is_some()) {
        let reading = judge::reading(canary, &Settings::default(), &asker.templates(canary).await);
        let release = reading.release.ok().or(reading.refused);
        let reads = release.map(|release| Templated.reads(&release)).unwrap_or_default();
        named.templated.extend(reads.into_iter().map(|id| id.kind));
    }
    for canary in all.iter().flatten().filter_map(|canary| decode::canary(canary).ok()) {
        named.providers.extend(canary.spec.provider.as_deref().and_then(Provider::parse));
        let routes = canary.spec.route_refs.iter().flatten();
        named.routes.extend(routes.filter_map(|route| adopt::kind(&route.api_version, &route.kind)));
        if canary.spec.target_ref.kind == "DaemonSet" {
            named.targets.insert(TargetKind::DaemonSet);
        }
        match canary.spec.autoscaler_ref.as_ref().map(|scaler| scaler.kind.as_str()) {
            Some("ScaledObject") => named.scalers.extend([ScalerKind::ScaledObject]),
            Some(_) => named.scalers.extend([ScalerKind::HorizontalPodAutoscaler]),
            None => {}
        }
    }
    named
}

/// Adds a group for each Canary that was asked for.
async fn canaries(
    arguments: &Arguments,
    asker: &Asker,
    overseer: &Overseer,
    now: DateTime<Utc>,
    report: &mut Report,
) {
    let all = arguments.names.is_empty();
    if all && !arguments.all_namespaces && arguments.place.namespace.is_none() {
        return;
    }
    let cluster = &asker.cluster;
    let namespace = (!arguments.all_namespaces).then_some(cluster.namespace.as_str());
    let mut found = match cluster.canaries(namespace).await {
        Ok(found) => found,
        Err(trouble) => {
            let (id, title) = CANARY_THERE;
            let finding = Finding::unasked(&NotAsked::new(trouble.what()));
            report.groups.push(Group {
                title: "Canaries".into(),
                rows: vec![Row::new(id, title, finding)],
                short: false,
            });
            return;
        }
    };
    let title = |canary: &Value| {
        let text = |field: &str| canary["metadata"][field].as_str().unwrap_or_default().to_owned();
        (text("namespace"), text("name"))
    };
    found.retain(|canary| all || arguments.names.contains(&title(canary).1));
    found.sort_by_key(title);
    let (id, there) = CANARY_THERE;
    let mut note = |title: String, finding: Finding| {
        report.groups.push(Group { title, rows: vec![Row::new(id, there, finding)], short: false });
    };
    if found.is_empty() && all {
        let place = namespace.map_or("in any namespace".to_owned(), |name| format!("in namespace {name}"));
        note("Canaries".to_owned(), Finding::skipped(format!("there is none {place}")));
    }
    let known: BTreeSet<String> = found.iter().map(|canary| title(canary).1).collect();
    for name in arguments.names.iter().filter(|name| !known.contains(*name)) {
        let finding = match namespace {
            Some(_) => missing(asker, name).await,
            None => Finding::wrong(
                format!("there is no Canary {name} in any namespace"),
                format!("{} get -A lists those that there are", print::program()),
            ),
        };
        let of = namespace.map_or(String::new(), |namespace| format!(".{namespace}"));
        note(format!("Canary {name}{of}"), finding);
    }
    let short = found.len() > 1 && !arguments.shown.verbose;
    let mut around: BTreeMap<String, Arc<Around>> = BTreeMap::new();
    let mut asked = Vec::new();
    for canary in found {
        let (namespace, name) = title(&canary);
        let around = match around.get(&namespace) {
            Some(around) => Arc::clone(around),
            None => {
                let fetched = Arc::new(Around::fetch(asker, &namespace).await);
                around.insert(namespace.clone(), Arc::clone(&fetched));
                fetched
            }
        };
        asked.push((format!("Canary {name}.{namespace}"), canary, around));
    }
    let ask = |(title, canary, around): (String, Value, Arc<Around>)| async move {
        (title, Facts::fetch(asker, canary, overseer.clone(), around, now).await)
    };
    let mut facts = futures::stream::iter(asked).map(ask).buffered(AT_ONCE);
    while let Some((title, facts)) = facts.next().await {
        report.groups.push(Group { title, rows: judged(canary::checks::CHECKS, &facts), short });
    }
}

/// How many Canaries are asked about at once.
const AT_ONCE: usize = 4;

/// What is said of a Canary that is not there.
async fn missing(asker: &Asker, name: &str) -> Finding {
    let trouble = asker.cluster.no_canary(name).await;
    let text = trouble.to_string();
    let cure = text.lines().skip(1).map(str::trim).collect::<Vec<_>>().join("; ");
    Finding::wrong(trouble.what(), cure)
}

/// The check that a Canary is there that was asked for by its name.
const CANARY_THERE: (&str, &str) = ("canary-there", "the Canary is there");
