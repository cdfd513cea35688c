//! Arguments of the harness; see `e2e/README.md`.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand};
use vexil_e2e::apps::{demo, load};
use vexil_e2e::busy::Busy;
use vexil_e2e::install::Controller;
use vexil_e2e::node::{container, sandbox};
use vexil_e2e::outside::{self, Lifetime};
use vexil_e2e::place::Place;
use vexil_e2e::report::Tally;
use vexil_e2e::{busy, cluster, drive, install, runs};

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
        #[command(flatten)]
        controller: Which,
    },
    /// Run scenarios (all by default) on the cluster that is up, or on one of their own
    Run {
        scenarios: Vec<String>,
        #[command(flatten)]
        controller: Which,
        /// Leave the cluster up
        #[arg(long, conflicts_with = "repeat")]
        keep: bool,
        /// So many times, each on a cluster of its own
        #[arg(long, default_value_t = 1, value_name = "TIMES")]
        repeat: u32,
        /// Keep all cores busy beside it
        #[arg(long)]
        under_load: bool,
    },
    /// Run scenarios, if any, and open a shell inside with kubectl and helm set up
    Shell {
        scenarios: Vec<String>,
        #[command(flatten)]
        controller: Which,
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
        #[command(flatten)]
        controller: Which,
        #[arg(long)]
        install_only: bool,
    },
    /// Keep one core busy
    #[command(hide = true)]
    Spin,
}

/// The controller under test.
#[derive(Args, Clone, Debug, Default)]
struct Which {
    /// The controller: a program, or an image that deploy/image/build has left in a folder; by default the release
    /// build, or what E2E_CONTROLLER says
    #[arg(long, value_name = "PROGRAM")]
    controller: Option<PathBuf>,
    /// Its own chart (a folder or an archive) in place of ours
    #[arg(long, env = "E2E_CHART")]
    chart: Option<PathBuf>,
    /// A value for that chart, as `helm --set` takes it; may be given several times
    #[arg(long = "chart-set", value_name = "KEY=VALUE")]
    values: Vec<String>,
    /// A file or a folder of CRDs to apply before; may be given several times
    #[arg(long, env = "E2E_CRDS", value_name = "PATH")]
    crds: Vec<PathBuf>,
}

impl Which {
    fn named(&self) -> bool {
        self.controller.is_some() || self.chart.is_some() || !self.values.is_empty() || !self.crds.is_empty()
    }

    fn described(self) -> Result<Controller> {
        let absolute = |path: PathBuf| std::path::absolute(&path).with_context(|| path.display().to_string());
        let mut controller = Controller::new(install::program(self.controller));
        controller.chart = self.chart.map(absolute).transpose()?;
        controller.crds = self.crds.into_iter().map(absolute).collect::<Result<_>>()?;
        controller.values = self.values;
        Ok(controller)
    }

    /// The same as arguments; paths are absolute, since another process reads them.
    fn arguments(&self) -> Result<Vec<OsString>> {
        let mut out: Vec<OsString> = Vec::new();
        let one = |name: &str, path: &Path| {
            Ok::<_, anyhow::Error>([name.into(), std::path::absolute(path)?.into()])
        };
        if let Some(program) = &self.controller {
            out.extend(one("--controller", program)?);
        }
        if let Some(chart) = &self.chart {
            out.extend(one("--chart", chart)?);
        }
        for crds in &self.crds {
            out.extend(one("--crds", crds)?);
        }
        for value in &self.values {
            out.extend(["--chart-set".into(), value.into()]);
        }
        Ok(out)
    }
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
                expect_program(&controller)?;
            }
            outside::up(&place, Lifetime::Detached)?;
            if !bare {
                return go_inside(&place, &[], &controller, true);
            }
        }
        What::Down => outside::down_and_clear(&place)?,
        What::List => {
            for run in runs::ALL {
                println!("{:18} {}", run.name, run.about);
            }
        }
        What::Run { scenarios, controller, keep, repeat, under_load } => {
            let _busy = if under_load { Some(Busy::start()?) } else { None };
            if repeat > 1 {
                return run_again_and_again(&place, &scenarios, &controller, repeat);
            }
            return run_scenarios(&place, &scenarios, &controller, keep);
        }
        What::Spin => busy::spin(),
        What::Shell { scenarios, controller } => return shell(&place, &scenarios, &controller),
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

/// Each time on a cluster of its own, also after a failure; closes with what each run came to.
fn run_again_and_again(
    place: &Place,
    scenarios: &[String],
    controller: &Which,
    times: u32,
) -> Result<ExitCode> {
    ensure!(!outside::is_up(place), "a cluster is up already: see `down`");
    ensure!(std::env::var_os("E2E_KUBECONFIG").is_none(), "nothing can be repeated on another cluster");
    let mut tally = Tally::default();
    let mut all = ExitCode::SUCCESS;
    for n in 1..=times {
        println!("\n--- {n} of {times}");
        let result = run_scenarios(place, scenarios, controller, false);
        // It lies where the cluster was, or where that was put aside.
        let report =
            [place.root().to_owned(), outside::evidence(place)].map(|folder| folder.join("report.txt"));
        let failed = !matches!(&result, Ok(code) if *code == ExitCode::SUCCESS);
        match (result, std::fs::read_to_string(&report[usize::from(failed)])) {
            (Err(error), _) => println!("vexil-e2e: {error:#}"),
            (Ok(code), _) if code == ExitCode::from(130) => return Ok(code),
            (_, Ok(table)) => tally.add(&table),
            (_, Err(error)) => println!("there is no table: {error}"),
        }
        if failed {
            all = ExitCode::FAILURE;
            outside::number_evidence(place, n)?;
        }
    }
    println!("\n{}", tally.show());
    Ok(all)
}

fn run_scenarios(place: &Place, scenarios: &[String], controller: &Which, keep: bool) -> Result<ExitCode> {
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
        outside::clear_all_but_the_report(place)?;
    } else {
        println!(
            "logs, objects, events and the audit log are in {}",
            outside::keep_evidence(place)?.display()
        );
    }
    result
}

fn shell(place: &Place, scenarios: &[String], controller: &Which) -> Result<ExitCode> {
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
fn expect_program(controller: &Which) -> Result<()> {
    install::expect_program(&install::program(controller.controller.clone())).map(|_| ())
}

/// Runs this program again in the cluster's namespaces.
fn go_inside(
    place: &Place,
    scenarios: &[String],
    controller: &Which,
    install_only: bool,
) -> Result<ExitCode> {
    let mut command = outside::inside(place, &place.root().join("vexil-e2e"))?;
    command.arg("inside").args(scenarios).args(controller.arguments()?);
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

fn inside(place: Place, scenarios: &[String], controller: Which, install_only: bool) -> Result<ExitCode> {
    vexil_e2e::pace::watch();
    let controller = if controller.named() { Some(controller.described()?) } else { None };
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
