//! `vexil router test`: the laws of all routers, tried on a RouteTemplate. No cluster is needed.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand};
use serde_json::Value;

use super::print::{self, Line, Paper, Tone};
use crate::judge::route_template::{Subject, Tried};
use crate::model::release::{Problem, Settings};
use crate::model::traffic::{RouteWish, Split};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Try the laws of all routers on a RouteTemplate, without a cluster.
    #[command(after_help = EXIT_CODES)]
    Test(Arguments),
}

#[derive(Args)]
pub(super) struct Arguments {
    /// The file with the RouteTemplate, or - for stdin
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// A file with a Canary of yours, to be tried with in place of one of ours
    #[arg(long, value_name = "FILE")]
    canary: Option<PathBuf>,
    /// Show what would be written where the canary gets this share, and try nothing
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(0..=100))]
    print: Option<u32>,
    /// With --print: where requests are copied to the canary as well
    #[arg(long, requires = "print")]
    mirror: bool,
}

/// Tries the laws; the exit code says whether all hold.
pub(super) fn run(command: &Command) -> ExitCode {
    let Command::Test(arguments) = command;
    match test(arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(why) => {
            print::complain(format_args!("vexil: {why:#}"));
            ExitCode::from(2)
        }
    }
}

fn test(arguments: &Arguments) -> anyhow::Result<bool> {
    let templates = documents(&arguments.file, "RouteTemplate")?;
    let canary = match &arguments.canary {
        None => None,
        Some(path) => documents(path, "Canary")?.into_iter().next(),
    };
    let mut all_hold = true;
    for template in &templates {
        let name = template["metadata"]["name"].as_str().unwrap_or("without a name");
        let subject = Subject::new(template, canary.as_ref(), Settings::default());
        if let Some(canary) = arguments.print {
            let split = Split::canary_gets(canary);
            match subject.written(RouteWish { split, mirror: arguments.mirror, ..RouteWish::default() }) {
                Ok(objects) => print::put(&objects.iter().map(yaml).collect::<Vec<_>>().join("---\n"))?,
                Err(problems) => bail!("{}", refused(name, &problems)),
            }
            continue;
        }
        let lines = match subject.tried() {
            Ok(tried) => {
                all_hold &= tried.iter().all(|tried| tried.verdict.is_ok());
                told(name, &tried)
            }
            Err(problems) => {
                all_hold = false;
                vec![Line::from(refused(name, &problems).as_str())]
            }
        };
        Paper::of_stdout(false).print(&lines)?;
    }
    Ok(all_hold)
}

/// What the laws say of a template: one line a law, and what shows that one is broken.
fn told(name: &str, tried: &[Tried]) -> Vec<Line> {
    let broken = tried.iter().filter(|tried| tried.verdict.is_err()).count();
    let mut lines = Vec::new();
    for Tried { law, release, verdict, cure } in tried {
        let (tone, word) = if verdict.is_ok() { (Tone::Good, "holds ") } else { (Tone::Bad, "broken") };
        lines.push(
            Line::new().with(tone, word).plain("  ").with(Tone::Faint, format!("{release:<9} ")).plain(*law),
        );
        let Err(why) = verdict else { continue };
        lines.push(Line::new().plain(format!("        {}", why.why)));
        lines.push(Line::new().with(Tone::Accent, format!("        {cure}")));
        let shown = why.objects.iter().map(yaml).collect::<Vec<_>>().join("---\n");
        lines.extend(shown.lines().map(|line| Line::new().with(Tone::Faint, format!("        {line}"))));
    }
    let sum = match broken {
        0 => Line::new().with(Tone::Strong, format!("RouteTemplate {name}: all {} laws hold", tried.len())),
        broken => Line::new()
            .with(Tone::Bad, format!("RouteTemplate {name}: {broken} of {} laws are broken", tried.len())),
    };
    lines.push(sum);
    lines
}

fn refused(name: &str, problems: &[Problem]) -> String {
    let all: Vec<String> = problems.iter().map(Problem::to_string).collect();
    format!("RouteTemplate {name} cannot be used: {}", all.join("; "))
}

fn yaml(object: &Value) -> String {
    serde_saphyr::to_string(object).unwrap_or_else(|_| object.to_string())
}

/// The documents of a file that are of `kind`.
fn documents(path: &Path, kind: &str) -> anyhow::Result<Vec<Value>> {
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).context("the standard input cannot be read")?;
    } else {
        text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    }
    let all: Vec<Value> =
        serde_saphyr::from_multiple(&text).map_err(|why| anyhow!("{} is no YAML: {why}", path.display()))?;
    let found: Vec<Value> = all.into_iter().filter(|object| object["kind"] == kind).collect();
    if found.is_empty() {
        bail!("{} has no {kind}: name a file with one", path.display());
    }
    Ok(found)
}

/// For the help of the command.
const EXIT_CODES: &str = "Exit codes: 0 if all laws hold, 1 if one is broken or the template is wrong, 2 if it could not be tried.";
