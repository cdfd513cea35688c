//! `vexil demo`: the main job, on an embedded cluster. A good version is released to the end, a bad one is rolled
//! back, and all of it can be watched: by the real controller, in the cluster's own time, which passes much faster
//! than ours.

use std::fs::File;
use std::io::stdout;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use chrono::TimeDelta;

use crate::controller::clock::Clock;
use crate::controller::logging::{self, Encoding, Verbosity};
use crate::sim::World;

use self::listen::Open;
use self::picture::Title;
use self::screen::Screen;
use self::shop::{APP, BROKEN, FIRST, GOOD, Mesh, NAMESPACE};
use self::stage::{Interrupted, Pace, Show, Stage};
use self::stop::Stop;
use self::view::Tally;
use super::picture::words;
use super::print::{Line, Tone, is_colourful};

#[cfg(test)]
mod applied;
mod gates;
mod kubeconfig;
mod listen;
mod occupied;
mod picture;
mod screen;
mod shop;
mod socket;
mod stage;
mod stop;
mod tags;
mod view;

#[derive(clap::Args)]
#[command(after_help = listen::more_help())]
pub(super) struct Arguments {
    /// In real time: the two releases take about twenty minutes.
    #[arg(long, conflicts_with = "speed")]
    realtime: bool,
    /// How many seconds of the cluster pass in one of yours. In a terminal 100, else as many as can be computed.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    speed: Option<u32>,
    /// Lines instead of a picture, as without a terminal or with NO_COLOR.
    #[arg(long)]
    plain: bool,
    /// Instead of the two releases, keep the cluster up at this loopback address, for kubectl. Port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS", value_parser = listen::address, conflicts_with_all = ["realtime", "speed"])]
    listen: Option<SocketAddr>,
    /// The mesh or ingress of the cluster, as in spec.provider; Istio unless said.
    #[arg(long, value_name = "NAME", value_parser = Mesh::parse, requires = "listen")]
    mesh: Option<Mesh>,
    /// Start no controller: bring your own, or none.
    #[arg(long, requires = "listen")]
    no_controller: bool,
    /// Write the controller's log to this file.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

/// Shows it; an error if a release does not end as it should.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all();
    // Sockets know nothing of a paused clock.
    runtime.start_paused(arguments.listen.is_none());
    let runtime = runtime.build().context("no runtime")?;
    runtime.block_on(async {
        match arguments.listen {
            Some(address) => listen(arguments, address).await,
            None => releases(arguments).await,
        }
    })
}

async fn releases(arguments: &Arguments) -> anyhow::Result<()> {
    let began = real_time();
    let stop = Stop::hear()?;
    let world = shop::open(&Mesh::default(), None, STARTUP)?;
    log_to(arguments.log.as_deref(), world.clock())?;
    let speed = match (arguments.realtime, arguments.speed) {
        (true, _) => Some(1),
        (false, speed) => speed,
    };
    let (show, pace) = if draws(arguments) {
        let speed = f64::from(speed.unwrap_or(DEFAULT_SPEED));
        (Show::Picture(Screen::open(stdout(), introduction(Some(speed)))?), Pace::Times(speed))
    } else {
        (Show::Lines(stdout()), speed.map_or(Pace::Unlimited, |speed| Pace::Times(speed.into())))
    };
    let opened = world.now();
    let mut stage = Stage::new(world.clone(), show, pace, stop);
    if !stage.draws() {
        stage.say(&introduction(None))?;
    }
    let controller = world.start_controller();
    initialize(&mut stage).await?;
    let good = release(&mut stage, &ACTS[0]).await?;
    let bad = release(&mut stage, &ACTS[1]).await?;
    let virtual_time = world.now() - opened;
    stage.say(&summary(&good, &bad, virtual_time, began.elapsed()))?;
    drop(stage);
    controller.stop().await;
    Ok(())
}

/// One release of the script.
struct Act {
    title: &'static str,
    more: &'static str,
    version: &'static str,
    /// The phase that it must end in.
    ends: &'static str,
}

const ACTS: [Act; 2] = [
    Act {
        title: "Release 1 of 2: frontend 1.0 → 2.0",
        more: "A good version: step by step it gets more of the traffic, then it is promoted.",
        version: GOOD,
        ends: "Succeeded",
    },
    Act {
        title: "Release 2 of 2: frontend 2.0 → 3.0-broken",
        more: "A bad version: too many requests fail, so it must not be promoted.",
        version: BROKEN,
        ends: "Failed",
    },
];

async fn initialize(stage: &mut Stage) -> anyhow::Result<()> {
    stage.begin(Title {
        main: format!("Start: {APP} {FIRST}"),
        more: "The application runs; its Canary was just applied.".to_owned(),
    })?;
    let initialized = stage.play(LONGEST, |view| view.phase == "Initialized").await?;
    ensure!(
        initialized,
        "the Canary is not initialized after {}: {}",
        words::length(longest()),
        standing(stage)
    );
    stage.play(EPILOGUE, |_| false).await?;
    stage.end()
}

async fn release(stage: &mut Stage, act: &Act) -> anyhow::Result<Tally> {
    stage.begin(Title { main: act.title.to_owned(), more: act.more.to_owned() })?;
    stage.world.set_image(NAMESPACE, APP, &shop::image(act.version));
    let ended = stage.play(LONGEST, |view| view.tally.ended.is_some()).await?;
    ensure!(
        ended,
        "release {} is not over after {}: {}",
        act.version,
        words::length(longest()),
        standing(stage)
    );
    // The last pods go, the last events are written.
    stage.play(EPILOGUE, |_| false).await?;
    stage.end()?;
    verify(&stage.world, act)?;
    Ok(stage.view.tally.clone())
}

/// The objects must say what the picture says.
fn verify(world: &World, act: &Act) -> anyhow::Result<()> {
    let version = act.version;
    let phase = world.phase(NAMESPACE, APP);
    ensure!(phase == act.ends, "release {version} ended as {phase}, it should have ended as {}", act.ends);
    let deployment = |name: &str| world.kube.get("deployments.apps", NAMESPACE, name).unwrap_or_default();
    let primary = deployment(&format!("{APP}-primary"));
    let image = primary["spec"]["template"]["spec"]["containers"][0]["image"].clone();
    ensure!(
        image == shop::image(GOOD),
        "after release {version} the primary runs {image}, it should run {GOOD}"
    );
    let weights = world.weights(NAMESPACE, APP);
    ensure!(
        weights == Some((100, 0)),
        "after release {version} the weights of primary and canary are {weights:?}, they should be 100 and 0"
    );
    let replicas = deployment(APP)["spec"]["replicas"].clone();
    ensure!(replicas == 0, "after release {version} the canary has {replicas} replicas, it should have none");
    Ok(())
}

fn standing(stage: &Stage) -> String {
    let last = stage.view.events.last().map_or("nothing", |event| event.message.as_str());
    format!("its phase is {:?}, and the last that was said is: {last}", stage.view.phase)
}

fn introduction(speed: Option<f64>) -> Vec<Line> {
    let time = match speed {
        None => "; times are the cluster's".to_owned(),
        Some(1.0) => ", in real time".to_owned(),
        Some(speed) => format!(", at {speed} times real time"),
    };
    vec![Line::new().plain(format!("An online shop on a Kubernetes cluster in memory{time}.")), Line::new()]
}

fn summary(good: &Tally, bad: &Tally, virtual_time: TimeDelta, real_time: Duration) -> Vec<Line> {
    let length = |tally: &Tally| match (tally.began, tally.ended) {
        (Some(began), Some(ended)) => words::length(ended - began),
        _ => "no time".to_owned(),
    };
    let checks = |number: u32| {
        if number == 1 { "1 passed check".to_owned() } else { format!("{number} passed checks") }
    };
    // Whoever came by make has no program on the PATH.
    let again = match std::env::var_os("MAKELEVEL") {
        Some(_) => "make demo ARGS=\"--listen 127.0.0.1:8001\"",
        None => "vexil demo --listen 127.0.0.1:8001",
    };
    let line = |tone, mark: &str, version: &str, phase: &str, text: String| {
        Line::new()
            .with(tone, format!("  {mark} "))
            .with(Tone::Strong, format!("{version:<12}"))
            .with(tone, format!("{phase:<11}"))
            .plain(text)
    };
    vec![
        Line::new().with(Tone::Strong, "Both releases ended as they should."),
        Line::new(),
        line(
            Tone::Good,
            "✓",
            GOOD,
            "Succeeded",
            format!("promoted in {} after {}", length(good), checks(good.passed)),
        ),
        line(
            Tone::Bad,
            "✗",
            BROKEN,
            "Failed",
            format!("rolled back in {}, never over {} % of traffic", length(bad), bad.highest),
        ),
        Line::new(),
        Line::new().plain(format!(
            "{} of the cluster's time in {:.1} s.",
            words::length(virtual_time),
            real_time.as_secs_f64()
        )),
        Line::new().plain("Now you: ").with(Tone::Accent, again).plain(" keeps the shop up for kubectl."),
    ]
}

async fn listen(arguments: &Arguments, address: SocketAddr) -> anyhow::Result<()> {
    let stop = Stop::hear()?;
    let mesh = arguments.mesh.clone().unwrap_or_default();
    // kubectl computes ages with the machine's clock.
    let open = Open::at(address, &mesh, Clock::system().now()).await?;
    log_to(arguments.log.as_deref(), open.world.clock())?;
    let help = open.help(&mesh, !arguments.no_controller);
    let world = open.world.clone();
    let mut stage = if draws(arguments) {
        Stage::new(world, Show::Picture(Screen::open(stdout(), help)?), Pace::Clock, stop)
    } else {
        let mut stage = Stage::new(world, Show::Lines(stdout()), Pace::Clock, stop);
        stage.say(&help)?;
        stage
    };
    let controller = (!arguments.no_controller).then(|| open.world.start_controller());
    let ended = loop {
        if let Err(error) = stage.play(LONGEST, |_| false).await {
            break error;
        }
    };
    drop(stage);
    if let Some(controller) = controller {
        // What hangs must not keep the terminal.
        let _ = tokio::time::timeout(PATIENCE, controller.stop()).await;
    }
    match ended.downcast_ref::<Interrupted>() {
        Some(Interrupted) => Ok(()),
        None => Err(ended),
    }
}

/// Whether there is a terminal to draw in.
fn draws(arguments: &Arguments) -> bool {
    is_colourful(arguments.plain)
}

/// The controller's log would disturb the picture: it goes to a file, or nowhere.
fn log_to(file: Option<&Path>, clock: Clock) -> anyhow::Result<()> {
    let Some(path) = file else { return Ok(()) };
    let file = File::create(path).with_context(|| format!("cannot write the log to {}", path.display()))?;
    let log = logging::subscriber(Verbosity::Debug, Encoding::Json, clock, std::sync::Mutex::new(file));
    if tracing::subscriber::set_global_default(log).is_err() {
        bail!("there is a log already");
    }
    Ok(())
}

/// Tokio's clock does not tell it: it is paused.
#[expect(clippy::disallowed_methods, reason = "people are told how long they have waited")]
fn real_time() -> Instant {
    Instant::now()
}

fn longest() -> TimeDelta {
    TimeDelta::from_std(LONGEST).unwrap_or_default()
}

/// Of the cluster's time in one of ours: a minute takes a blink.
const DEFAULT_SPEED: u32 = 100;
/// Of the cluster's time, for one release.
const LONGEST: Duration = Duration::from_secs(3600);
/// Of the cluster's time, after the end of a release.
const EPILOGUE: Duration = Duration::from_secs(4);
/// Of the cluster's time, from the creation of a pod until it is ready.
const STARTUP: Duration = Duration::from_secs(12);
/// How long the controller may take to end.
const PATIENCE: Duration = Duration::from_secs(5);
