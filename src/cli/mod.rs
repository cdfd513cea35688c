//! The command line: one file a subcommand. Only this room talks to people.

#![warn(missing_docs)]

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::model::by_hand::Action;

mod app;
mod ask;
mod by_hand;
mod check;
mod cluster;
mod controller;
mod crds;
#[cfg(feature = "embedded")]
mod demo;
#[cfg(not(feature = "embedded"))]
#[path = "demo_absent.rs"]
mod demo;
pub mod go_flags;
#[cfg(feature = "embedded")]
mod lint;
#[cfg(not(feature = "embedded"))]
#[path = "lint_absent.rs"]
mod lint;
mod loadtester;
mod migrate;
mod picture;
mod print;
mod probe;
mod router;
#[cfg(feature = "embedded")]
mod shell;
mod signals;
#[cfg(feature = "embedded")]
mod simulate;
#[cfg(not(feature = "embedded"))]
#[path = "simulate_absent.rs"]
mod simulate;
mod tags;

/// Progressive delivery for Kubernetes.
#[derive(Parser)]
#[command(name = "vexil", version, about, long_about = None, after_help = AS_A_PLUGIN)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the controller. Takes Flagger's flags: `vexil controller -help` lists them.
    #[command(disable_help_flag = true)]
    Controller {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
        flags: Vec<String>,
    },
    /// Run the load tester, which the hooks of Canaries call for loads, tests and gates: `vexil loadtester --help`.
    #[command(disable_help_flag = true)]
    Loadtester {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
        flags: Vec<String>,
    },
    /// Run an application for first releases, which behaves as its version says.
    App(app::Arguments),
    /// Release a good and a bad version on an embedded cluster, and show it.
    Demo(demo::Arguments),
    /// Check manifests before they are applied: files, folders, or - for what comes in on stdin.
    Lint(lint::Arguments),
    /// List the Canaries: where each stands and what it waits for.
    Get(ask::get::Arguments),
    /// Show one release: what gets the traffic, what the checks say, what happens next.
    #[command(visible_alias = "explain")]
    Status(ask::status::Arguments),
    /// Show one release, or all, as they change; with keys in a terminal.
    Watch(ask::watch::Arguments),
    /// Check the cluster, the controller and Canaries: what is wrong, and what to do about it.
    #[command(after_help = check::shown::exit_codes(check::PAGE))]
    Check(check::Arguments),
    /// Come from Flagger, and go back: what will happen, before anything does. Changes nothing.
    #[command(subcommand)]
    Migrate(migrate::Command),
    /// Work on a router in a file (a RouteTemplate).
    #[command(subcommand)]
    Router(router::Command),
    /// Wait until a release has come somewhere: for pipelines.
    #[command(after_help = ask::wait::EXIT_CODES)]
    Wait(ask::wait::Arguments),
    /// Tell what would become of a new version: the real controller, your manifests, in virtual time.
    Simulate(simulate::Arguments),
    /// Hold a release where it is.
    #[command(after_help = by_hand::EXIT_CODES)]
    Pause(by_hand::Arguments),
    /// Go on with a paused release.
    #[command(after_help = by_hand::EXIT_CODES)]
    Resume(by_hand::Arguments),
    /// Open the gate that a release waits at.
    #[command(after_help = by_hand::EXIT_CODES)]
    Approve(by_hand::Arguments),
    /// Promote without further checks and gates.
    #[command(after_help = by_hand::EXIT_CODES)]
    Promote(by_hand::Arguments),
    /// Roll a release back.
    #[command(after_help = by_hand::EXIT_CODES)]
    Abort(by_hand::Arguments),
    /// Release a failed revision again.
    #[command(after_help = by_hand::EXIT_CODES)]
    Retry(by_hand::Arguments),
    /// Print the completions of a shell.
    #[cfg(feature = "embedded")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write a man page for each command.
    #[cfg(feature = "embedded")]
    Man {
        /// Where they are written
        folder: PathBuf,
    },
    /// Print the custom resource definitions, or write them to a folder.
    Crds {
        /// Write one file a kind here instead of printing.
        #[arg(long, value_name = "FOLDER")]
        out: Option<PathBuf>,
    },
}

/// Whether a command line, its program included, is one that [`run`] takes. Nothing is run.
///
/// # Errors
/// What is wrong with it, as its user would be told.
pub fn check(argv: &[String]) -> Result<(), String> {
    let controller = |flags: &[String]| match go_flags::parse(flags, |_| None) {
        Ok(go_flags::Asked::Run(flags)) if !flags.warnings.is_empty() => Err(flags.warnings.join("; ")),
        Ok(_) => Ok(()),
        Err(refused) => Err(refused.to_string()),
    };
    if go_flags::looks_like_controller(argv) {
        return controller(argv.get(1..).unwrap_or_default());
    }
    match argv.get(1).map(String::as_str) {
        Some("controller") => controller(&argv[2..]),
        Some("loadtester") => loadtester::check(&argv[2..]),
        _ => match Arguments::try_parse_from(argv) {
            Err(error) if error.use_stderr() => Err(error.to_string()),
            _ => Ok(()),
        },
    }
}

/// Does what the command line says; the exit code is for the shell.
pub fn run(argv: Vec<String>) -> ExitCode {
    // The command line of Flagger's load tester begins with ./loadtester; its flags look like the controller's.
    let program = argv.first().map(std::path::Path::new).and_then(std::path::Path::file_name);
    if program.is_some_and(|name| name == "loadtester") {
        return loadtester::run(&argv[1..]);
    }
    if program.is_some_and(|name| name == "wget") {
        return probe::run(&argv[1..]);
    }
    // A plugin of kubectl is called with flags alone as well, and the controller never under that name.
    let is_plugin = print::program() != "vexil";
    // Flagger's image is started with flags alone.
    if !is_plugin && go_flags::looks_like_controller(&argv) {
        let flags = match argv.get(1).map(String::as_str) {
            Some("controller") => &argv[2..],
            _ => argv.get(1..).unwrap_or_default(),
        };
        return controller::run(flags);
    }
    let mut command = Arguments::command();
    if is_plugin {
        command = command.bin_name(print::program()).display_name(print::program());
    }
    let parsed = Arguments::from_arg_matches(&command.get_matches_from(argv));
    let arguments = parsed.unwrap_or_else(|why| why.exit());
    let outcome = match arguments.command {
        Command::Controller { flags } => return controller::run(&flags),
        Command::Loadtester { flags } => return loadtester::run(&flags),
        Command::Simulate(arguments) => return simulate::run(&arguments),
        Command::App(arguments) => app::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Lint(arguments) => return lint::run(&arguments),
        Command::Get(arguments) => block_on(ask::get::run(&arguments)),
        Command::Status(arguments) => block_on(ask::status::run(&arguments)),
        Command::Watch(arguments) => block_on(ask::watch::run(&arguments)),
        Command::Check(arguments) => block_on(check::run(&arguments)),
        Command::Migrate(command) => block_on(migrate::run(&command)),
        Command::Router(command) => return router::run(&command),
        Command::Wait(arguments) => block_on(ask::wait::run(&arguments)),
        Command::Pause(arguments) => block_on(by_hand::run(Action::Pause, &arguments)),
        Command::Resume(arguments) => block_on(by_hand::run(Action::Resume, &arguments)),
        Command::Approve(arguments) => block_on(by_hand::run(Action::Approve, &arguments)),
        Command::Promote(arguments) => block_on(by_hand::run(Action::Promote, &arguments)),
        Command::Abort(arguments) => block_on(by_hand::run(Action::Abort, &arguments)),
        Command::Retry(arguments) => block_on(by_hand::run(Action::Retry, &arguments)),
        #[cfg(feature = "embedded")]
        Command::Completions { shell } => shell::completions(shell),
        #[cfg(feature = "embedded")]
        Command::Man { folder } => shell::man(&folder),
        Command::Crds { out } => crds::run(out.as_deref()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print::complain(format_args!("vexil: {error:#}"));
            error
                .downcast_ref::<cluster::Trouble>()
                .map_or(ExitCode::FAILURE, |why| ExitCode::from(why.code()))
        }
    }
}

/// Runs a command that speaks to a cluster. What goes on beside it, such as a watch, does not hold it up at its end.
fn block_on(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let outcome = runtime.block_on(command);
    runtime.shutdown_background();
    outcome
}

/// How the program becomes a plugin.
const AS_A_PLUGIN: &str = "As a plugin of kubectl the same commands are called \"kubectl canary get\" and so on. To install it, \
     put a link with that name on the PATH:\n  ln -s \"$(command -v vexil)\" ~/.local/bin/kubectl-canary";
