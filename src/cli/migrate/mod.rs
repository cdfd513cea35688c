//! `vexil migrate`: what will happen when Vexil takes over from Flagger, and what is to be done on the way back. Nothing is
//! written: what Vexil would do is decided by the controller itself, as a shadow that asks no metrics and looks once.
//!
//! ```text
//! cluster, or files ──▶ facts (installation, shadow's look at each Canary) ──Check::judge──▶ findings ──▶ report
//! ```

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::cli::check::asker::{Asker, NotAsked};
use crate::cli::check::finding::{Check, Finding, Row, judged, judged_on};
use crate::cli::check::installation::{Controllers, Instance, Program};
use crate::cli::check::report::{Group, Report};
use crate::cli::check::{kubernetes, mesh};
use crate::cli::cluster::{Cluster, Place, Trouble};
use crate::cli::go_flags::ControllerFlags;
use crate::cli::print::{self, Paper};
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
    #[command(after_help = EXIT_CODES)]
    Check(Arguments),
    /// Before the way back: which Canaries Flagger can have back as they are, and the commands for that.
    #[command(after_help = EXIT_CODES)]
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
    /// How the findings are printed
    #[arg(short, long, value_name = "FORM")]
    output: Option<Form>,
    /// Show each check, also of Canaries with which all is well
    #[arg(short, long)]
    verbose: bool,
    /// List all checks, and ask nothing
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    place: Place,
    /// No colours, as without a terminal or with NO_COLOR
    #[arg(long)]
    no_color: bool,
}

/// How the findings are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// As JSON, for tools
    Json,
}

/// What the help says of the exit status.
const EXIT_CODES: &str = "Exit status:\n  0  all is well, or there are warnings (‼) alone\n  \
     1  something is wrong (✗)\n  2  nothing is known to be wrong, but something could not be asked\n\n\
     docs/from-flagger.md explains each check.";

/// The page that explains the checks.
const PAGE: &str = "docs/from-flagger.md";

/// Asks, judges and prints.
pub(super) async fn run(command: &Command) -> anyhow::Result<()> {
    let (arguments, checks, back) = match command {
        Command::Check(arguments) => (arguments, canary::CHECKS, false),
        Command::Back(arguments) => (arguments, back::CHECKS, true),
    };
    if arguments.list {
        return list(checks, back, arguments.output);
    }
    let (report, commands) = match asker(arguments).await {
        Ok(asker) => look(arguments, &asker, checks, back).await,
        Err(trouble) => (unreachable(&trouble), Vec::new()),
    };
    match arguments.output {
        Some(Form::Json) => {
            let mut all = report.json();
            if back {
                all["commands"] = json!(commands);
            }
            print::put(&(serde_json::to_string_pretty(&all)? + "\n"))?;
        }
        None => {
            let paper = Paper::of_stdout(arguments.no_color);
            let mut lines = report.lines(paper.columns);
            if !commands.is_empty() {
                lines.extend(back::said(&commands));
            }
            paper.print(&lines)?;
        }
    }
    match report.status() {
        0 => Ok(()),
        1 => Err(Trouble::new("something is wrong (exit status 1)").into()),
        status => {
            let why = format!("something could not be asked (exit status {status})");
            Err(Trouble::new(why).ends_with(status).into())
        }
    }
}

/// The ids and titles of all checks.
fn list(checks: &'static [Check<Facts>], back: bool, output: Option<Form>) -> anyhow::Result<()> {
    let of = |(id, title): (&'static str, &'static str)| (id, title);
    let installed = installation::CHECKS.iter().map(|check| (check.id, check.title));
    let all: Vec<(&str, &str)> = installed
        .filter(|_| !back)
        .chain(checks.iter().map(|check| (check.id, check.title)))
        .map(of)
        .collect();
    if output == Some(Form::Json) {
        let all: Vec<Value> = all.iter().map(|(id, title)| json!({"id": id, "title": title})).collect();
        return print::put(&(serde_json::to_string_pretty(&all)? + "\n"));
    }
    print::put(&all.iter().map(|(id, title)| format!("{id:<24}  {title}\n")).collect::<String>())
}

async fn asker(arguments: &Arguments) -> Result<Asker, Trouble> {
    if arguments.files.is_empty() {
        return Ok(Asker::new(Cluster::connect(&arguments.place).await?));
    }
    let namespace = arguments.place.namespace.as_deref().unwrap_or("default");
    Ok(Asker::new(files::cluster(&arguments.files, namespace)?))
}

/// The report where nothing can be asked at all.
fn unreachable(trouble: &Trouble) -> Report {
    let text = trouble.to_string();
    let (says, cure) = text.split_once('\n').unwrap_or((&text, ""));
    let cure = cure.lines().map(str::trim).collect::<Vec<_>>().join("; ");
    let why = NotAsked { cure, ..NotAsked::new(says) };
    let check = &kubernetes::CLUSTER[0];
    let rows = vec![Row::new(check.id, check.title, Finding::unasked(&why))];
    Report { groups: vec![Group { title: "Kubernetes".to_owned(), rows, short: false }] }
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
    let short = chosen.len() > 1 && !arguments.verbose;
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
