//! `vexil simulate`: what the real controller would make of a new version, told before there is one. It runs on the
//! embedded cluster in virtual time, with the user's manifests and under a scenario.

use std::io::{IsTerminal, Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use crate::sim::simulate::values::{Say, Share, Span, Time};
use crate::sim::simulate::{self, Outcome, Plan, Scenario, Settings, Study};

use self::assertion::{Assertion, Decision};
use self::report::{Report, Studies};

mod assertion;
mod chart;
mod html;
mod load;
mod markdown;
mod report;
mod text;
mod words;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Manifests: a file, a folder, or - for standard input. A Canary has to be among them; what else is missing is
    /// invented. May be repeated.
    #[arg(short = 'f', long = "filename", value_name = "FILE|FOLDER", required = true)]
    files: Vec<PathBuf>,
    /// A scenario file, with phases. Flags win over it.
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// Requests of users in a second [default: 50]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    rps: Option<f64>,
    /// Share of the new version's requests that fail, 2% for example [default: that of the old version]
    #[arg(long, value_name = "SHARE")]
    error_rate: Option<Share>,
    /// Share of the old version's requests that fail [default: 0%]
    #[arg(long, value_name = "SHARE")]
    base_error_rate: Option<Share>,
    /// What 99 of 100 requests to the new version do not exceed, 300ms for example [default: that of the old version]
    #[arg(long, value_name = "TIME")]
    latency: Option<Time>,
    /// What 99 of 100 requests to the old version do not exceed [default: 100ms]
    #[arg(long, value_name = "TIME")]
    base_latency: Option<Time>,
    /// Share of the requests that the rules of an A/B test pick [default: 10%]
    #[arg(long, value_name = "SHARE")]
    matching: Option<Share>,
    /// The pods of the new version never get ready
    #[arg(long)]
    never_ready: bool,
    /// The metrics servers are away for so long after the push, or later: 5m@10m
    #[arg(long, value_name = "TIME[@START]")]
    metrics_down: Option<Span>,
    /// What hooks answer: yes, no, rollback, or approve-after 10m [default: yes]
    #[arg(long, value_name = "ANSWER", num_args = 1..=2)]
    hooks_say: Vec<String>,
    /// The controller's --mesh-provider, for Canaries that name none [default: istio]
    #[arg(long, value_name = "PROVIDER")]
    mesh_provider: Option<String>,
    /// Where chance begins; the same number gives the same report [default: 1]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How many releases are simulated [default: 1, with --assert 400]
    #[arg(long, value_name = "N")]
    runs: Option<usize>,
    /// How long a release is followed [default: 6h]
    #[arg(long, value_name = "TIME")]
    limit: Option<Time>,
    /// What has to be so, 'promote(error=2%) < 1%' for example; the exit status tells. May be repeated.
    #[arg(long = "assert", value_name = "EXPRESSION")]
    assertions: Vec<String>,
    /// How the report is written
    #[arg(short = 'o', long = "format", value_name = "FORMAT", default_value = "text")]
    format: Format,
    /// Write the report to this file instead of printing it
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
    Markdown,
    Html,
}

/// Simulates and reports. The exit status is 0, 1 if an assertion does not hold, 2 if that cannot be said.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match simulate(arguments) {
        Ok(status) => ExitCode::from(status),
        Err(problems) => {
            problems.iter().for_each(|problem| super::print::complain(format_args!("vexil: {problem}")));
            ExitCode::from(UNKNOWN)
        }
    }
}

fn simulate(arguments: &Arguments) -> Result<u8, Vec<String>> {
    let settings = settings(arguments).map_err(|why| vec![why])?;
    let scenario = settings.scenario().map_err(|why| vec![why])?;
    let assertions = assertions(&arguments.assertions, &settings)?;
    let plan = Plan::read(&load::sources(&arguments.files)?, &scenario)?;
    scenario_fits(&scenario, &plan)?;
    let began = real_time();
    let seed = settings.seed.unwrap_or(1);
    let runs = settings.runs.unwrap_or(if assertions.is_empty() { 1 } else { FOR_ASSERTIONS });
    if !(1..=MOST_RUNS).contains(&runs) {
        return Err(vec![format!("--runs: {runs} is not between 1 and {MOST_RUNS}")]);
    }
    let one = |why| vec![why];
    let outcomes: Vec<Outcome> = simulate::run(&plan, &scenario, seed).map_err(one)?;
    let many = |scenario: &Scenario| simulate::study(&plan, scenario, seed, runs).map_err(one);
    let mut simulated = 1;
    let studies = match settings.runs {
        Some(2..) => {
            let found = many(&scenario)?;
            let good = if scenario.is_worse() { Some(many(&scenario.with_a_good_version())?) } else { None };
            simulated += runs * if good.is_some() { 2 } else { 1 };
            Some(Studies { found, good })
        }
        _ => None,
    };
    let mut known: Vec<(Scenario, Vec<Study>)> = Vec::new();
    known.extend(studies.iter().map(|studies: &Studies| (scenario.clone(), studies.found.clone())));
    let mut judged = Vec::new();
    for (assertion, scenario) in assertions {
        let study = match known.iter().find(|(asked, _)| *asked == scenario) {
            Some((_, study)) => study.clone(),
            None => {
                simulated += runs;
                let study = many(&scenario)?;
                known.push((scenario, study.clone()));
                study
            }
        };
        judged.push(assertion.judge(&study));
    }
    if simulated > 1 {
        let seconds = began.elapsed().as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "there are not 2^53 releases")]
        let rate = simulated as f64 / seconds;
        super::print::complain(format_args!("{simulated} releases in {seconds:.1} s, {rate:.1} in a second"));
    }
    let status = status(judged.iter().map(|judged| judged.decision));
    let report = Report::new(&plan, &scenario, seed, outcomes, studies, judged);
    write(arguments, &report).map_err(one)?;
    Ok(status)
}

/// The scenario file under the flags.
fn settings(arguments: &Arguments) -> Result<Settings, String> {
    let file = match &arguments.scenario {
        None => Settings::default(),
        Some(path) => {
            let text = load::text(path)?;
            Settings::parse(&text).map_err(|why| format!("{}: {why}", path.display()))?
        }
    };
    let hooks_say = match arguments.hooks_say.join(" ") {
        text if text.is_empty() => None,
        text => Some(text.parse::<Say>().map_err(|why| format!("--hooks-say: {why}"))?),
    };
    Ok(file.overlaid(Settings {
        rps: arguments.rps,
        error_rate: arguments.error_rate,
        base_error_rate: arguments.base_error_rate,
        latency: arguments.latency,
        base_latency: arguments.base_latency,
        matching: arguments.matching,
        never_ready: arguments.never_ready.then_some(true),
        metrics_down: arguments.metrics_down,
        hooks_say,
        mesh_provider: arguments.mesh_provider.clone(),
        seed: arguments.seed,
        runs: arguments.runs,
        limit: arguments.limit,
        ..Settings::default()
    }))
}

/// The assertions, each with the scenario that it is about.
fn assertions(texts: &[String], settings: &Settings) -> Result<Vec<(Assertion, Scenario)>, Vec<String>> {
    let mut wrong = Vec::new();
    let mut read = Vec::new();
    for text in texts {
        let assertion = Assertion::parse(text).map_err(|error| error.to_string()).and_then(|assertion| {
            let scenario = settings.clone().overlaid(assertion.settings.clone()).scenario();
            scenario.map(|scenario| (assertion, scenario)).map_err(|why| format!("--assert {text}: {why}"))
        });
        match assertion {
            Ok(assertion) => read.push(assertion),
            Err(why) => wrong.push(why),
        }
    }
    if wrong.is_empty() { Ok(read) } else { Err(wrong) }
}

/// What a scenario names has to be there.
fn scenario_fits(scenario: &Scenario, plan: &Plan) -> Result<(), Vec<String>> {
    let names = |subject: &simulate::Subject| [subject.release.name.clone(), subject.title()];
    let canaries: Vec<String> = plan.subjects.iter().flat_map(names).collect();
    let metrics: Vec<String> = plan.subjects.iter().flat_map(simulate::Subject::metric_names).collect();
    let hooks: Vec<String> = plan.subjects.iter().flat_map(simulate::Subject::hook_names).collect();
    let mut wrong = Vec::new();
    let mut check = |what: &str, name: &str, known: &[String]| {
        if known.iter().all(|known| known != name) {
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            wrong.push(format!(
                "the scenario names the {what} {name:?}, which is not there; there is: {known}"
            ));
        }
    };
    scenario
        .phases
        .iter()
        .filter_map(|phase| phase.canary.as_ref())
        .for_each(|name| check("Canary", name, &canaries));
    scenario.metrics.keys().for_each(|name| check("metric", name, &metrics));
    scenario.hooks.keys().for_each(|name| check("hook", name, &hooks));
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

fn status(decisions: impl Iterator<Item = Decision> + Clone) -> u8 {
    let any = |wanted| decisions.clone().any(|decision| decision == wanted);
    if any(Decision::Fails) {
        BROKEN
    } else if any(Decision::Undecided) {
        UNKNOWN
    } else {
        0
    }
}

fn write(arguments: &Arguments, report: &Report) -> Result<(), String> {
    let colours = arguments.output.is_none()
        && stdout().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let text = match arguments.format {
        Format::Text => text::write(report, colours),
        Format::Json => report.json(),
        Format::Markdown => markdown::write(report),
        Format::Html => html::write(report),
    };
    match &arguments.output {
        Some(path) => {
            std::fs::write(path, text).map_err(|why| format!("cannot write {}: {why}", path.display()))
        }
        // A reader that has seen enough is no error.
        None => match stdout().write_all(text.as_bytes()) {
            Err(why) if why.kind() != std::io::ErrorKind::BrokenPipe => Err(format!("cannot print: {why}")),
            _ => Ok(()),
        },
    }
}

/// Tokio's clock does not tell it: there is none here.
#[expect(clippy::disallowed_methods, reason = "people are told how fast it is")]
fn real_time() -> Instant {
    Instant::now()
}

/// An assertion does not hold.
const BROKEN: u8 = 1;
/// It cannot be said, or the input is bad.
const UNKNOWN: u8 = 2;
/// None of 400 is under one of 100 for sure.
const FOR_ASSERTIONS: usize = 400;
const MOST_RUNS: usize = 1_000_000;
