//! `vexil status`: one release as a tree.

use clap::{Args, ValueEnum};

use crate::cli::cluster::{Cluster, Place};
use crate::cli::print::{self, Paper};
use crate::controller::clock::Clock;

use super::seen::Seen;
use super::sight::Sight;
use super::{Colour, Mesh, object_text, tree};

/// The command line of `vexil status`.
#[derive(Args)]
pub(in crate::cli) struct Arguments {
    /// Name of the Canary
    canary: String,
    /// How it is printed
    #[arg(short, long, value_name = "FORM")]
    output: Option<Form>,
    /// How many of the last events are shown
    #[arg(long, value_name = "N", default_value_t = 8)]
    events: usize,
    #[command(flatten)]
    mesh: Mesh,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    colour: Colour,
}

/// How a release is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// What the tree shows, as JSON
    Json,
    /// What the tree shows, as YAML
    Yaml,
}

/// Asks, and prints the tree.
pub(in crate::cli) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let cluster = Cluster::connect(&arguments.place).await?;
    let seen = Seen::fetch(&cluster, &arguments.canary, arguments.mesh.provider()).await?;
    let sight = Sight::of(&seen);
    if let Some(form) = arguments.output {
        return print::put(&object_text(&sight, form == Form::Yaml)?);
    }
    let paper = Paper::of_stdout(arguments.colour.no_color);
    let columns = paper.columns.unwrap_or(COLUMNS);
    paper.print(&tree::draw(&sight, Clock::system().now(), columns, arguments.events))
}

/// Where there is no terminal.
const COLUMNS: usize = 100;
