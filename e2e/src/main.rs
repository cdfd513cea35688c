//! Arguments of the harness; see `e2e/README.md`.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use vexil_e2e::apps::{demo, load};
use vexil_e2e::node::{container, sandbox};
use vexil_e2e::outside::{self, Lifetime};
use vexil_e2e::place::Place;
use vexil_e2e::{cluster, drive, install, runs};

#[derive(Parser)]
#[command(
    about = "The end-to-end harness of Vexil: a real control plane, a real mesh, real traffic, no containers"
)]
struct Arguments {
    #[command(subcommand)]
    command: What,
}

#[derive(Subcommand)]
enum What {
    /// Bring a cluster up, install everything on it, and leave it
    Up {
        /// The control plane alone
        #[arg(long)]
        bare: bool,
        /// The controller's program (by default the release build)
        #[arg(long)]
        controller: Option<PathBuf>,
    },
    /// Run scenarios (all by default) on the cluster that is up, or on one of their own
    Run {
        scenarios: Vec<String>,
        /// Another controller's program in place of ours
        #[arg(long)]
        controller: Option<PathBuf>,
        /// Leave the cluster up
        #[arg(long)]
        keep: bool,
    },
    /// Run scenarios, if any, and open a shell inside with kubectl and helm set up
    Shell {
        scenarios: Vec<String>,
        #[arg(long)]
        controller: Option<PathBuf>,
    },
    /// Run one command inside
    Exec {
        #[arg(trailing_var_arg = true, required = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
    /// Tear the cluster down
    Down,
    /// Name the scenarios
    List,
    /// Make requests at a constant rate and print what became of them, as JSON (inside, or to loopback)
    Load {
        /// Address and port
        target: SocketAddr,
        /// The Host header
        #[arg(long, default_value = "frontend")]
        host: String,
        #[arg(long, default_value = "/")]
        path: String,
        /// A header of each request, as `name: value`
        #[arg(long = "header", value_parser = header)]
        headers: Vec<(String, String)>,
        /// Requests a second
        #[arg(long, default_value_t = 50)]
        rate: u32,
        #[arg(long, default_value_t = 30)]
        seconds: u64,
    },
    /// The cluster's own process
    #[command(hide = true)]
    Supervise,
    /// A pod's sandbox
    #[command(hide = true)]
    Pause { host_name: String },
    /// A container's process
    #[command(hide = true)]
    Contain { plan: PathBuf },
    /// The demo application
    #[command(hide = true)]
    Demo,
    /// `up` and `run`, from inside
    #[command(hide = true)]
    Inside {
        scenarios: Vec<String>,
        #[arg(long)]
        controller: Option<PathBuf>,
        #[arg(long)]
        install_only: bool,
    },
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("it has to be `name: value`")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn main() -> ExitCode {
    match dispatch(Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("vexil-e2e: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: Arguments) -> Result<ExitCode> {
    let place = Place::from_env();
    match arguments.command {
        // Before any thread is started: these become other programs.
        What::Pause { host_name } => sandbox::pause(&host_name)?,
        What::Contain { plan } => match container::contain(&plan)? {},
        What::Up { bare, controller } => {
            if !bare {
                expect_program(controller.as_deref())?;
            }
            outside::up(&place, Lifetime::Detached)?;
            if !bare {
                return go_inside(&place, &[], controller.as_deref(), true);
            }
        }
        What::Down => outside::down_and_clear(&place)?,
        What::List => {
            for run in runs::ALL {
                println!("{:18} {}", run.name, run.about);
            }
        }
        What::Run { scenarios, controller, keep } => {
            return run_scenarios(&place, &scenarios, controller.as_deref(), keep);
        }
        What::Shell { scenarios, controller } => return shell(&place, &scenarios, controller.as_deref()),
        What::Exec { command } => {
            let (program, rest) = command.split_first().context("there is no command")?;
            let status = outside::inside(&place, Path::new(program))?.args(rest).status()?;
            return Ok(code(status.success()));
        }
        What::Load { target, host, path, headers, rate, seconds } => {
            let headers = headers.into_iter().collect();
            let (clients, longest) = (load::Clients::Strangers, Duration::from_secs(seconds));
            let load = load::Load { target, host, path, headers, clients, rate, longest };
            let samples = block_on(async { load.start()?.finish().await })?;
            println!("{}", serde_json::to_string_pretty(&load::Summary::of(&samples))?);
        }
        What::Supervise => block_on(cluster::supervise(place))?,
        What::Demo => block_on(demo::serve(demo::Behaviour::from_env()))?,
        What::Inside { scenarios, controller, install_only } => {
            return inside(place, &scenarios, controller, install_only);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn run_scenarios(
    place: &Place,
    scenarios: &[String],
    controller: Option<&Path>,
    keep: bool,
) -> Result<ExitCode> {
    runs::named(scenarios)?;
    // Only when asked by name: never the cluster that a shell happens to point to.
    if let Some(kubeconfig) = std::env::var_os("E2E_KUBECONFIG") {
        return Ok(code(block_on(drive::run_elsewhere(kubeconfig.into(), scenarios))?));
    }
    let ours = !outside::is_up(place);
    if ours {
        expect_program(controller)?;
        outside::up(place, if keep { Lifetime::Detached } else { Lifetime::Attached })?;
    }
    let result = go_inside(place, scenarios, controller, false);
    if !ours || keep {
        println!(
            "the cluster stays up: `vexil-e2e shell`, `vexil-e2e down`; logs in {}",
            place.logs().display()
        );
        return result;
    }
    outside::down(place)?;
    if matches!(result, Ok(code) if code == ExitCode::SUCCESS) {
        outside::down_and_clear(place)?;
    } else {
        println!(
            "logs, objects, events and the audit log are in {}",
            outside::keep_evidence(place)?.display()
        );
    }
    result
}

fn shell(place: &Place, scenarios: &[String], controller: Option<&Path>) -> Result<ExitCode> {
    let ours = !outside::is_up(place);
    if ours {
        expect_program(controller)?;
        outside::up(place, Lifetime::Attached)?;
    }
    let ran = if ours || !scenarios.is_empty() {
        Some(go_inside(place, scenarios, controller, scenarios.is_empty())?)
    } else {
        None
    };
    println!("kubectl and helm are set up; logs in {}; leave with exit", place.logs().display());
    let mut command = outside::inside(place, Path::new("bash"))?;
    command.env("PS1", "vexil-e2e \\w # ").arg("--norc").status()?;
    if ours {
        outside::down_and_clear(place)?;
    }
    Ok(ran.unwrap_or(ExitCode::SUCCESS))
}

/// Says so before a cluster is booted when there is nothing to run on it.
fn expect_program(controller: Option<&Path>) -> Result<()> {
    let program = install::program(controller.map(Path::to_owned));
    ensure!(
        program.is_file(),
        "there is no controller at {}: build it, or name one with --controller",
        program.display()
    );
    Ok(())
}

/// Runs this program again in the cluster's namespaces.
fn go_inside(
    place: &Place,
    scenarios: &[String],
    controller: Option<&Path>,
    install_only: bool,
) -> Result<ExitCode> {
    let mut command = outside::inside(place, &place.root().join("vexil-e2e"))?;
    command.arg("inside").args(scenarios);
    if let Some(controller) = controller {
        command.arg("--controller").arg(std::path::absolute(controller)?);
    }
    if install_only {
        command.arg("--install-only");
    }
    match block_on(outside::wait_or_interrupt(command))? {
        Some(status) => Ok(code(status.success())),
        None => {
            println!("interrupted");
            Ok(ExitCode::from(130))
        }
    }
}

fn inside(
    place: Place,
    scenarios: &[String],
    controller: Option<PathBuf>,
    install_only: bool,
) -> Result<ExitCode> {
    let work = async {
        if install_only {
            return drive::install(&place, controller).await.map(|()| true);
        }
        drive::run(place.clone(), scenarios, controller).await
    };
    let result = block_on(work);
    if !matches!(result, Ok(true)) {
        drive::collect(&place);
    }
    Ok(code(result?))
}

fn code(success: bool) -> ExitCode {
    if success { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    // Clients of TLS want to be told which implementation there is.
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}
