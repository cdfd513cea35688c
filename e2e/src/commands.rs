//! The commands that people ask the cluster with, run as they run them, against what the runs have left.

use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};

use crate::runs::{Figures, NotApplicable};
use crate::world::World;
use crate::{install, process};

/// The shop that the run of a good version leaves, promoted.
const SHOP: &str = "shop-good";
const NEW: &str = "1.1.0";

/// Lists all Canaries, looks at one, and waits for what has come already and for what never comes.
pub async fn answer(world: &Arc<World>) -> Figures {
    if !install::is_ours(&world.place) {
        return Err(NotApplicable("the commands are Vexil's own".into()).into());
    }
    let own = world.clone();
    tokio::task::spawn_blocking(move || ask(&own)).await?
}

fn ask(world: &World) -> Figures {
    let list = vexil(world, &["get", "-A"])?;
    let line = list.lines().find(|line| line.split_whitespace().next() == Some(SHOP));
    let line = line.with_context(|| format!("vexil get has no line for {SHOP}: {list}"))?;
    ensure!(line.contains("Succeeded"), "vexil get says {line:?}");
    let shown = list.lines().count() - 1;

    let picture = vexil(world, &["status", "frontend", "-n", SHOP])?;
    for part in ["Succeeded", NEW, "100 %", "Deployment frontend-primary", "VirtualService frontend"] {
        ensure!(picture.contains(part), "vexil status does not show {part:?}: {picture}");
    }

    let revision = format!("revision={NEW}");
    vexil(world, &["wait", "frontend", "-n", SHOP, "--for", &revision, "--timeout", "20s"])?;
    let never = vexil(world, &["wait", "frontend", "-n", SHOP, "--for", "revision=9.9.9", "--timeout", "2s"]);
    ensure!(never.is_err(), "vexil wait found a revision that nobody has pushed");
    let nobody = vexil(world, &["status", "frontent", "-n", SHOP]);
    let words = nobody.err().map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(words.contains("frontend"), "vexil status does not say what was meant: {words:?}");
    Ok(vec![format!("get shows {shown} Canaries; status, wait and their errors say what they should")])
}

/// Runs the program that is installed, as a user of the cluster.
fn vexil(world: &World, arguments: &[&str]) -> Result<String> {
    let program = std::fs::read_to_string(world.place.controller()).context("no controller is installed")?;
    let mut program = std::path::PathBuf::from(program.trim());
    if program.is_dir() {
        program.push("root/vexil");
    }
    let mut command = Command::new(program);
    command.args(arguments).env("KUBECONFIG", world.place.kubeconfig()).env("NO_COLOR", "1");
    process::run_command(&mut command, None).with_context(|| format!("vexil {}", arguments.join(" ")))
}
