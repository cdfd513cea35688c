//! `vexil get`: all Canaries as a table, or as the objects that they are.

use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::cli::cluster::{Cluster, Place};
use crate::cli::picture::{phase_tone, words};
use crate::cli::print::{self, Line, Paper, Tone};
use crate::controller::clock::Clock;

use super::known::Known;
use super::{Colour, object_text};

/// The command line of `vexil get`.
#[derive(Args)]
pub(in crate::cli) struct Arguments {
    /// Names of Canaries (by default all)
    names: Vec<String>,
    /// Those of all namespaces
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    /// How they are printed
    #[arg(short, long, value_name = "FORM")]
    output: Option<Form>,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    colour: Colour,
}

/// How Canaries are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A table with more columns
    Wide,
    /// The objects as JSON
    Json,
    /// The objects as YAML
    Yaml,
    /// Their names alone
    Name,
}

/// Asks, and prints the table.
pub(in crate::cli) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let cluster = Cluster::connect(&arguments.place).await?;
    let namespace = (!arguments.all_namespaces).then_some(cluster.namespace.as_str());
    let mut canaries = Vec::new();
    if arguments.names.is_empty() || arguments.all_namespaces {
        canaries = cluster.canaries(namespace).await?;
        canaries.retain(|canary| {
            arguments.names.is_empty()
                || arguments.names.iter().any(|name| canary["metadata"]["name"] == **name)
        });
        canaries.sort_by_key(|canary| {
            let text = |field: &str| canary["metadata"][field].as_str().unwrap_or_default().to_owned();
            (text("namespace"), text("name"))
        });
    } else {
        for name in &arguments.names {
            canaries.push(cluster.canary(name).await?);
        }
    }
    match arguments.output {
        Some(Form::Json | Form::Yaml) => {
            for canary in &mut canaries {
                // Nobody wants to see who wrote which field.
                if let Some(metadata) = canary["metadata"].as_object_mut() {
                    metadata.remove("managedFields");
                }
            }
            let single = arguments.names.len() == 1 && canaries.len() == 1;
            let object = match (single, canaries.pop()) {
                (true, Some(canary)) => canary,
                (_, last) => {
                    canaries.extend(last);
                    json!({"apiVersion": "v1", "kind": "List", "items": canaries})
                }
            };
            print::put(&object_text(&object, arguments.output == Some(Form::Yaml))?)
        }
        Some(Form::Name) => {
            let line = |canary: &Value| {
                format!("canary.flagger.app/{}\n", canary["metadata"]["name"].as_str().unwrap_or_default())
            };
            print::put(&canaries.iter().map(line).collect::<String>())
        }
        form => {
            if canaries.is_empty() {
                print::complain(nothing(&cluster, arguments).await);
                return Ok(());
            }
            let known: Vec<Known> = canaries.iter().map(Known::of).collect();
            let columns = Columns { namespace: arguments.all_namespaces, wide: form == Some(Form::Wide) };
            let paper = Paper::of_stdout(arguments.colour.no_color);
            let mut lines = table(&known, columns, Clock::system().now());
            if let (Some(width), false) = (paper.columns, columns.wide) {
                lines = lines.into_iter().map(|line| line.cut(width)).collect();
            }
            paper.print(&lines)
        }
    }
}

/// What is said of an empty table: where there are some.
async fn nothing(cluster: &Cluster, arguments: &Arguments) -> String {
    if arguments.all_namespaces {
        return format!("There is no Canary in any namespace of {}.", cluster.name);
    }
    let here = format!("There is no Canary in namespace {}.", cluster.namespace);
    // Whoever may not look elsewhere is told of this namespace alone.
    let all = cluster.canaries(None).await.unwrap_or_default();
    let mut others: Vec<&str> =
        all.iter().filter_map(|canary| canary["metadata"]["namespace"].as_str()).collect();
    others.sort_unstable();
    others.dedup();
    match others.first() {
        Some(first) => format!("{here} There are some in {}: add -n {first}, or -A.", others.join(", ")),
        None => here,
    }
}

/// Which columns a table has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Columns {
    pub namespace: bool,
    pub wide: bool,
}

/// The table, its heading first.
pub(super) fn table(canaries: &[Known], columns: Columns, now: DateTime<Utc>) -> Vec<Line> {
    let mut rows: Vec<Vec<(Tone, String)>> = vec![heading(columns)];
    rows.extend(canaries.iter().map(|canary| row(canary, columns, now)));
    let count = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].1.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count).map(width).collect();
    let line = |row: Vec<(Tone, String)>| {
        row.into_iter().zip(&widths).fold(Line::new(), |line, ((tone, text), width)| {
            line.with(tone, format!("{text:<width$}")).plain("   ")
        })
    };
    rows.into_iter().map(line).collect()
}

fn heading(columns: Columns) -> Vec<(Tone, String)> {
    let mut names =
        vec!["NAME", "PHASE", "WEIGHT", "READY", "REASON", "PAUSED", "WAITING FOR", "SINCE", "AGE"];
    if columns.namespace {
        names.insert(0, "NAMESPACE");
    }
    if columns.wide {
        names.extend(["FAILED", "TARGET", "PROVIDER", "IMAGES", "MESSAGE"]);
    }
    names.into_iter().map(|name| (Tone::Faint, name.to_owned())).collect()
}

fn row(canary: &Known, columns: Columns, now: DateTime<Utc>) -> Vec<(Tone, String)> {
    let plain = |text: &str| (Tone::Plain, if text.is_empty() { "–" } else { text }.to_owned());
    let status = &canary.status;
    let (ready, reason, message) = canary.ready();
    let ready_tone = match ready {
        "True" => Tone::Good,
        "False" => Tone::Bad,
        _ => Tone::Plain,
    };
    let age = |since: Option<DateTime<Utc>>| since.map(|since| words::age(now - since)).unwrap_or_default();
    let waits = canary.waits();
    let (waiting, since) = waits.map_or((String::new(), None), |(what, since)| (what, since));
    let paused = match (canary.suspended, canary.paused()) {
        (true, _) => "suspended",
        (false, Some(_)) => "by hand",
        (false, None) => "",
    };
    let mut row = vec![
        (Tone::Strong, canary.name.clone()),
        (phase_tone(status.phase.as_str()), canary.phase().to_owned()),
        plain(&format!("{} %", status.canary_weight)),
        (ready_tone, plain(ready).1),
        plain(reason),
        (Tone::Warning, plain(paused).1),
        plain(&waiting),
        plain(&age(since)),
        plain(&age(canary.created)),
    ];
    if columns.namespace {
        row.insert(0, plain(&canary.namespace));
    }
    if columns.wide {
        let threshold = canary.threshold.map(|threshold| format!("/{threshold}")).unwrap_or_default();
        row.push(plain(&format!("{}{threshold}", status.failed_checks)));
        row.push(plain(&canary.target));
        row.push(plain(&canary.provider));
        row.push(plain(&canary.images()));
        row.push(plain(message));
    }
    row
}
