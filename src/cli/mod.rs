//! The command line: one file a subcommand. Only this room talks to people.

#![warn(missing_docs)]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::model::by_hand::Action;

mod by_hand;
mod controller;
mod crds;
#[cfg(feature = "embedded")]
mod demo;
#[cfg(not(feature = "embedded"))]
#[path = "demo_absent.rs"]
mod demo;
pub mod go_flags;
mod loadtester;
#[cfg(feature = "embedded")]
mod print;
mod signals;

/// Progressive delivery for Kubernetes.
#[derive(Parser)]
#[command(name = "vexil", version, about, long_about = None)]
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
    /// Release a good and a bad version on an embedded cluster, and show it.
    Demo(demo::Arguments),
    /// Hold a release where it is.
    Pause(by_hand::Arguments),
    /// Go on with a paused release.
    Resume(by_hand::Arguments),
    /// Open the gate that a release waits at.
    Approve(by_hand::Arguments),
    /// Promote without further checks and gates.
    Promote(by_hand::Arguments),
    /// Roll a release back.
    Abort(by_hand::Arguments),
    /// Release a failed revision again.
    Retry(by_hand::Arguments),
    /// Print the custom resource definitions, or write them to a folder.
    Crds {
        /// Write one file a kind here instead of printing.
        #[arg(long, value_name = "FOLDER")]
        out: Option<PathBuf>,
    },
}

/// Does what the command line says; the exit code is for the shell.
pub fn run(argv: Vec<String>) -> ExitCode {
    // The command line of Flagger's load tester begins with ./loadtester; its flags look like the controller's.
    let program = argv.first().map(std::path::Path::new).and_then(std::path::Path::file_name);
    if program.is_some_and(|name| name == "loadtester") {
        return loadtester::run(&argv[1..]);
    }
    // Flagger's image is started with flags alone.
    if go_flags::looks_like_controller(&argv) {
        let flags = match argv.get(1).map(String::as_str) {
            Some("controller") => &argv[2..],
            _ => argv.get(1..).unwrap_or_default(),
        };
        return controller::run(flags);
    }
    let outcome = match Arguments::parse_from(argv).command {
        Command::Controller { flags } => return controller::run(&flags),
        Command::Loadtester { flags } => return loadtester::run(&flags),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Pause(arguments) => by_hand::run(Action::Pause, &arguments),
        Command::Resume(arguments) => by_hand::run(Action::Resume, &arguments),
        Command::Approve(arguments) => by_hand::run(Action::Approve, &arguments),
        Command::Promote(arguments) => by_hand::run(Action::Promote, &arguments),
        Command::Abort(arguments) => by_hand::run(Action::Abort, &arguments),
        Command::Retry(arguments) => by_hand::run(Action::Retry, &arguments),
        Command::Crds { out } => crds::run(out.as_deref()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vexil: {error:#}");
            ExitCode::FAILURE
        }
    }
}
