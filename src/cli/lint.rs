//! `vexil lint`: checks manifests before they are applied. Reads files, folders and stdin, prints what was found, and
//! says by its exit code whether all is well.

use std::collections::BTreeSet;
use std::io::{ErrorKind, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::ValueEnum;

use crate::api::Provider;
use crate::lint::code::Code;
use crate::lint::report::{Counts, Look, json, sarif, text};
use crate::lint::{Input, Options, Report, lint};
use crate::model::release::Settings;
use crate::router::registry;

/// Exit codes: 0 if nothing is wrong, 1 if something is, 2 if the manifests could not be checked.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Files, folders with *.yaml, *.yml and *.json in them, or - for stdin.
    #[arg(value_name = "PATH", required_unless_present = "codes")]
    paths: Vec<PathBuf>,
    /// How to print what is found.
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    output: Form,
    /// Fail on warnings as well as on errors.
    #[arg(long)]
    strict: bool,
    /// Leave findings with these codes out, like VX701,VX605.
    #[arg(long, value_name = "CODES", value_delimiter = ',', value_parser = code)]
    ignore: Vec<String>,
    /// The namespace of objects that name none.
    #[arg(short, long, default_value = "default")]
    namespace: String,
    /// The requests a second that the Service gets: says what each step can see of a regression.
    #[arg(long, value_name = "N", value_parser = traffic)]
    rps: Option<f64>,
    /// The controller's -mesh-provider, for Canaries without spec.provider.
    #[arg(long, value_name = "NAME", default_value = "istio", value_parser = provider)]
    mesh_provider: String,
    /// The controller's -metrics-server.
    #[arg(long, value_name = "ADDRESS", default_value = "http://prometheus:9090")]
    metrics_server: String,
    /// The controller's -selector-labels.
    #[arg(long, value_name = "LABELS", value_delimiter = ',')]
    selector_labels: Vec<String>,
    /// Judge as a controller with -no-cross-namespace-refs does.
    #[arg(long)]
    no_cross_namespace_refs: bool,
    /// Print the codes and what they mean, and check nothing.
    #[arg(long)]
    codes: bool,
}

/// The forms of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people, with the lines.
    Text,
    /// For programs.
    Json,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
}

/// Checks, and prints.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let printed =
        if arguments.codes { print(&codes()).map(|()| ExitCode::SUCCESS) } else { check(arguments) };
    printed.unwrap_or_else(|error| {
        super::print::complain(format_args!("vexil: {error:#}"));
        ExitCode::from(CANNOT)
    })
}

fn check(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let inputs = inputs(&arguments.paths)?;
    let report = lint(&inputs, &options(arguments));
    let printed = match arguments.output {
        Form::Text => text(&inputs, &report, look()),
        Form::Json => format!("{:#}\n", json(&inputs, &report)),
        Form::Sarif => format!("{:#}\n", sarif(&inputs, &report, env!("CARGO_PKG_VERSION"))),
    };
    print(&printed)?;
    Ok(exit_code(&report, arguments.strict))
}

fn exit_code(report: &Report, strict: bool) -> ExitCode {
    let counts = Counts::of(report);
    if counts.errors > 0 || (strict && counts.warnings > 0) {
        ExitCode::from(WRONG)
    } else {
        ExitCode::SUCCESS
    }
}

fn options(arguments: &Arguments) -> Options {
    let mut settings = Settings {
        mesh_provider: arguments.mesh_provider.clone(),
        metrics_server: arguments.metrics_server.clone(),
        no_cross_namespace_refs: arguments.no_cross_namespace_refs,
        ..Settings::default()
    };
    if !arguments.selector_labels.is_empty() {
        settings.selector_labels.clone_from(&arguments.selector_labels);
    }
    Options {
        settings,
        namespace: arguments.namespace.clone(),
        rps: arguments.rps,
        ignored: arguments.ignore.clone(),
    }
}

/// The texts, each file once.
pub(super) fn inputs(paths: &[PathBuf]) -> anyhow::Result<Vec<Input>> {
    let mut inputs = Vec::new();
    let mut known = BTreeSet::new();
    for path in paths {
        if path.as_os_str() == "-" {
            inputs.push(stdin()?);
            continue;
        }
        let mut files = Vec::new();
        let is_folder =
            std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.is_dir();
        if is_folder {
            collect(path, 0, &mut files)?;
            if files.is_empty() {
                bail!("{} has no *.yaml, *.yml or *.json in it", path.display());
            }
        } else {
            files.push(path.clone());
        }
        for file in files {
            if known.insert(std::fs::canonicalize(&file).unwrap_or_else(|_| file.clone())) {
                inputs.push(Input { name: file.display().to_string(), text: read(&file)? });
            }
        }
    }
    Ok(inputs)
}

fn stdin() -> anyhow::Result<Input> {
    let mut bytes = Vec::new();
    std::io::stdin().take(LARGEST + 1).read_to_end(&mut bytes).context("cannot read stdin")?;
    let text = decoded(bytes, "stdin")?;
    if text.trim().is_empty() {
        bail!("nothing came in on stdin: has the command before it failed?");
    }
    Ok(Input { name: "stdin".to_owned(), text })
}

fn read(file: &Path) -> anyhow::Result<String> {
    let shown = file.display().to_string();
    let opened = std::fs::File::open(file).with_context(|| format!("cannot read {shown}"))?;
    let mut bytes = Vec::new();
    opened.take(LARGEST + 1).read_to_end(&mut bytes).with_context(|| format!("cannot read {shown}"))?;
    decoded(bytes, &shown)
}

fn decoded(bytes: Vec<u8>, name: &str) -> anyhow::Result<String> {
    if bytes.len() as u64 > LARGEST {
        bail!("{name} has more than {} MiB", LARGEST >> 20);
    }
    String::from_utf8(bytes).with_context(|| format!("{name} is no text in UTF-8"))
}

/// The manifests in a folder and below it, in the order of their names. What begins with a dot is not looked at.
fn collect(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    if depth > DEEPEST {
        bail!("{} is nested too deep: does it lead back to itself?", folder.display());
    }
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.with_context(|| format!("cannot read {}", folder.display()))?.path());
    }
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            collect(&path, depth + 1, files)?;
        } else if path
            .extension()
            .is_some_and(|ext| ["yaml", "yml", "json"].iter().any(|known| ext == *known))
        {
            files.push(path);
        }
    }
    Ok(())
}

fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        // Whoever reads has read enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot print"),
    }
}

fn look() -> Look {
    let terminal = std::io::stdout().is_terminal();
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let width =
        crossterm::terminal::size().ok().filter(|_| terminal).map_or(WIDTH, |(columns, _)| columns.into());
    Look { colours: terminal && !unwanted, width }
}

/// A line for each code.
fn codes() -> String {
    Code::ALL
        .iter()
        .map(|code| {
            format!("{} {:<7} {} ({})\n", code.id(), code.severity().as_str(), code.meaning(), code.cure())
        })
        .collect()
}

fn code(text: &str) -> Result<String, String> {
    let known = Code::ALL.iter().any(|code| code.id() == text);
    if known { Ok(text.to_owned()) } else { Err("is no code: `vexil lint --codes` lists them".to_owned()) }
}

fn traffic(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rps) if rps > 0.0 && rps.is_finite() => Ok(rps),
        _ => Err("write the requests a second, more than 0".to_owned()),
    }
}

fn provider(text: &str) -> Result<String, String> {
    if Provider::parse(text).is_some() {
        Ok(text.to_owned())
    } else {
        Err(format!("is not known: write {}", registry::known_names()))
    }
}

/// Something is wrong with the manifests.
const WRONG: u8 = 1;

/// They could not be checked.
const CANNOT: u8 = 2;

/// The most bytes of a text.
const LARGEST: u64 = 32 << 20;

/// The columns where there is no terminal.
const WIDTH: usize = 140;

/// How deep folders may be nested.
const DEEPEST: usize = 64;
