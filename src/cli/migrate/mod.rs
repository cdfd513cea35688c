//! `vexil migrate`: what will happen when Vexil takes over from Flagger, and what is to be done on the way back. Nothing is
//! written: what Vexil would do is decided by the controller itself, as a shadow that asks no metrics and looks once.
//!
//! ```text
//! cluster, or files ──▶ facts (installation, shadow's look at each Canary) ──Check::judge──▶ findings ──▶ report
//! ```

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::cli::check::asker::Asker;
use crate::cli::check::finding::{Check, Finding, Row, judged, judged_on, titles};
use crate::cli::check::installation::{Controllers, Instance, Program};
use crate::cli::check::report::{Group, Report};
use crate::cli::check::shown::{Shown, exit_codes};
use crate::cli::check::{kubernetes, mesh};
use crate::cli::cluster::{Cluster, Place, Trouble};
use crate::cli::go_flags::ControllerFlags;
use crate::cli::print;
use crate::model::release::Settings;

use self::canary::Facts;
use self::installation::Installed;

mod back;
mod canary;
mod differences;
#[cfg(feature = "embedded")]
mod files;
#[cfg(not(feature = "embedded"))]
#[path = "files_absent.rs"]
mod files;
mod installation;
mod look;

/// The subcommands.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Before the take-over: Flagger and its flags, and of each Canary whether Vexil refuses it, what it would change and what
    /// it does otherwise.
    #[command(after_help = exit_codes(PAGE))]
    Check(Arguments),
    /// Before the way back: which Canaries Flagger can have back as they are, and the commands for that.
    #[command(after_help = exit_codes(PAGE))]
    Back(Arguments),
}

/// What the subcommands share.
#[derive(Args)]
pub(super) struct Arguments {
    /// Canaries to look at (by default all, of all namespaces unless -n names one)
    names: Vec<String>,
    /// Files or folders in place of a cluster, - for stdin: as kubectl get prints them with -o yaml
    #[arg(short, long = "filename", value_name = "PATH", conflicts_with_all = ["context", "kubeconfig"])]
    files: Vec<PathBuf>,
    /// Namespace of Flagger (by default it is looked for in all)
    #[arg(long, value_name = "NAME")]
    controller_namespace: Option<String>,
    /// Mesh of the Canaries that name none (by default what Flagger was told)
    #[arg(long, value_name = "PROVIDER")]
    mesh_provider: Option<String>,
    #[command(flatten)]
    shown: Shown,
    #[command(flatten)]
    place: Place,
}

/// The page that explains the checks.
const PAGE: &str = "docs/from-flagger.md";

/// Asks, judges and prints.
pub(super) async fn run(command: &Command) -> anyhow::Result<()> {
    let (arguments, checks, back) = match command {
        Command::Check(arguments) => (arguments, canary::CHECKS, false),
        Command::Back(arguments) => (arguments, back::CHECKS, true),
    };
    if arguments.shown.list {
        let installed = titles(installation::CHECKS).filter(|_| !back);
        return arguments.shown.catalogue(&installed.chain(titles(checks)).collect::<Vec<_>>());
    }
    let (report, commands) = match asker(arguments).await {
        Ok(asker) => look(arguments, &asker, checks, back).await,
        Err(trouble) => (Report::unreachable(&trouble), Vec::new()),
    };
    let said = if commands.is_empty() { Vec::new() } else { back::said(&commands) };
    let behind = back.then(|| ("commands", json!(commands), said));
    arguments.shown.report(&report, behind.as_slice())
}

async fn asker(arguments: &Arguments) -> Result<Asker, Trouble> {
    if arguments.files.is_empty() {
        return Ok(Asker::new(Cluster::connect(&arguments.place).await?));
    }
    let namespace = arguments.place.namespace.as_deref().unwrap_or("default");
    Ok(Asker::new(files::cluster(&arguments.files, namespace)?))
}

async fn look(
    arguments: &Arguments,
    asker: &Asker,
    checks: &'static [Check<Facts>],
    back: bool,
) -> (Report, Vec<String>) {
    let mut report = Report::default();
    let mut add = |title: &str, rows: Vec<Row>| {
        if !rows.is_empty() {
            report.groups.push(Group { title: title.to_owned(), rows, short: false });
        }
    };
    let from_files = !arguments.files.is_empty();
    let controllers = Controllers::find(asker, arguments.controller_namespace.as_deref()).await;
    let wanted = if back { Program::Vexil } else { Program::Flagger };
    let installed = Installed::of(controllers, wanted, from_files);
    if !back {
        add("Flagger", judged_on(PAGE, installation::CHECKS, &installed));
    }
    let told = installed.it.as_ref().and_then(|it| it.flags.as_ref().ok());
    let mut settings = told.map_or_else(Settings::default, ControllerFlags::settings);
    settings.remote_mesh = told.is_some_and(|flags| !flags.kubeconfig_service_mesh.is_empty());
    settings.mesh_provider = arguments.mesh_provider.clone().unwrap_or(settings.mesh_provider);
    if !from_files && !back {
        let kubernetes = kubernetes::Kubernetes::fetch(asker, Default::default()).await;
        add("CRDs", judged(kubernetes::CRDS_BEFORE, &kubernetes));
        if told.is_some() || arguments.mesh_provider.is_some() {
            let mesh = mesh::Mesh::fetch(asker, &settings.mesh_provider, settings.remote_mesh).await;
            add("Mesh", judged(mesh::MESH, &mesh));
        }
    }
    let works_in = told.map(|flags| flags.namespace.clone()).filter(|namespace| !namespace.is_empty());
    let namespace = arguments.place.namespace.clone().or(works_in);
    let facts = match look::at_all(asker, namespace.as_deref(), &settings, from_files).await {
        Ok(facts) => facts,
        Err(why) => {
            let finding = Finding::unasked(&why);
            add("Canaries", on_page(vec![Row::new(checks[0].id, checks[0].title, finding)]));
            return (report, Vec::new());
        }
    };
    let known: Vec<&str> = facts.iter().map(Facts::name).collect();
    let missing = arguments.names.iter().filter(|name| !known.contains(&name.as_str()));
    for name in missing {
        let place = namespace.as_ref().map_or("any namespace".to_owned(), |name| format!("namespace {name}"));
        let finding = Finding::wrong(
            format!("there is no Canary {name} in {place}"),
            format!("{} get -A lists those that there are", print::program()),
        );
        add(&format!("Canary {name}"), on_page(vec![Row::new(checks[0].id, checks[0].title, finding)]));
    }
    let chosen: Vec<&Facts> = facts
        .iter()
        .filter(|facts| arguments.names.is_empty() || arguments.names.iter().any(|name| name == facts.name()))
        .collect();
    if chosen.is_empty() && arguments.names.is_empty() {
        add(
            "Canaries",
            vec![Row::new(checks[0].id, checks[0].title, Finding::skipped("there is none to be seen"))],
        );
    }
    let short = chosen.len() > 1 && !arguments.shown.verbose;
    for facts in &chosen {
        let rows = judged_on(PAGE, checks, *facts);
        report.groups.push(Group { title: format!("Canary {}", facts.title()), rows, short });
    }
    let commands = if back { back::commands(installed.it.as_ref(), &chosen) } else { Vec::new() };
    (report, commands)
}

/// The same rows, which [`PAGE`] explains.
fn on_page(mut rows: Vec<Row>) -> Vec<Row> {
    rows.iter_mut().for_each(|row| row.see = format!("{PAGE}#{}", row.id));
    rows
}

/// How to scale a controller to nothing.
fn stop(it: &Instance) -> String {
    format!("kubectl -n {} scale deployment/{} --replicas=0", it.namespace(), it.name())
}
