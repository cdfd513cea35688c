//! `vexil loadtester`: from flags to a running load tester (spec 04 §5.1).

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::Api;
use regex::Regex;
use tracing::{error, info, warn};

use crate::api::duration;
use crate::controller::clock::Clock;
use crate::controller::logging::{self, Encoding, Verbosity};
use crate::controller::process::Process;
use crate::http::Egress;
use crate::loadtester::{Declared, Limits, LoadTester, Namespaces, Proofs, Room, Rules, Settings, Store};

use super::cluster::{Cluster, Place};
use super::signals::shutdown_signal;

/// Run the load tester. Flags have one dash or two.
#[derive(Debug, Parser)]
#[command(name = "vexil loadtester", version, about = "The load tester: loads, tests and gates that the hooks of Canaries call", long_about = None)]
struct Flags {
    /// Port to listen on
    #[arg(long, default_value_t = 9090)]
    port: u16,
    /// Longest time that a task may run
    #[arg(long, default_value = "1h", value_parser = positive)]
    timeout: Duration,
    /// Serve only namespaces in whose name this is found; ^(a|b)$ for whole names
    #[arg(long, default_value = "", value_parser = pattern)]
    namespace_regexp: Pattern,
    /// Serve only these namespaces, separated by commas; all if empty
    #[arg(long, default_value = "", hide_default_value = true, value_parser = list)]
    namespaces: List,
    /// Run commands, and call servers, that requests bring along, as Flagger's load tester does
    #[arg(long, default_value_t = false, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set, value_parser = boolean)]
    allow_commands: bool,
    /// File with tasks that requests may name
    #[arg(long, default_value = "", hide_default_value = true)]
    tasks: String,
    /// Hosts that loads may go to beside Services of the caller's namespace, separated by commas; *.example.com, * for any
    #[arg(long, default_value = "", hide_default_value = true, value_parser = list)]
    load_hosts: List,
    /// Requests a second that one load may have
    #[arg(long, default_value_t = 1000)]
    load_max_qps: u32,
    /// Connections that one load may have
    #[arg(long, default_value_t = 100)]
    load_max_connections: u32,
    /// Tasks that run at once
    #[arg(long, default_value_t = 32)]
    max_running: usize,
    /// Tasks that may wait for a place
    #[arg(long, default_value_t = 256)]
    max_waiting: usize,
    /// Keep the gates in this ConfigMap of the own namespace
    #[arg(long, default_value = "", hide_default_value = true)]
    gates_configmap: String,
    /// Keep the gates in this file
    #[arg(long, default_value = "", hide_default_value = true)]
    gates_file: String,
    /// Believe callers that sign with a key of this folder; a file is the key of the namespace that it is named after, _all of all
    #[arg(long, default_value = "", hide_default_value = true)]
    hmac_keys: String,
    /// Believe callers with the token of a service account, which speaks for its namespace
    #[arg(long, default_value_t = false, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set, value_parser = boolean)]
    token_review: bool,
    /// Whom tokens have to be meant for; the API server if empty
    #[arg(long, default_value = "", hide_default_value = true)]
    token_audience: String,
    /// Accounts (namespace/name) and users that may speak for any namespace, separated by commas
    #[arg(long, default_value = "", hide_default_value = true, value_parser = list)]
    trusted_accounts: List,
    /// Networks that tasks of type load, concord and ngrinder may not reach; link-local, cloud metadata and unspecified addresses always are denied
    #[arg(long, default_value = "", hide_default_value = true, value_parser = list)]
    egress_deny: List,
    /// Networks that they may reach nevertheless
    #[arg(long, default_value = "", hide_default_value = true, value_parser = list)]
    egress_allow: List,
    /// Log level: debug, info, warn or error; anything else is info
    #[arg(long, default_value = "debug")]
    log_level: String,
    /// Form of the log: json or console
    #[arg(long, default_value = "json", value_parser = encoding)]
    zap_encoding: Encoding,
    /// Has no effect; accepted for compatibility
    #[arg(long, default_value_t = false, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set, value_parser = boolean)]
    zap_replace_globals: bool,
}

type Pattern = Option<Regex>;

/// Names that were separated by commas.
#[derive(Clone, Debug)]
struct List(Vec<String>);

/// Runs with these arguments until it is told to stop.
pub(super) fn run(args: &[String]) -> ExitCode {
    let flags = match Flags::try_parse_from(two_dashes(args)) {
        Ok(flags) => flags,
        Err(refused) => {
            // There is nobody left to tell if it cannot be printed.
            let _ = refused.print();
            return ExitCode::from(if refused.use_stderr() { 2 } else { 0 });
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            super::print::complain(format_args!("vexil: no runtime: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(async {
        let verbosity = flags.log_level.parse().unwrap_or(Verbosity::Info);
        let log = logging::subscriber(verbosity, flags.zap_encoding, Clock::system(), std::io::stderr);
        // Fails only if there is a subscriber already, which then does the job.
        let _ = tracing::subscriber::set_global_default(log);
        match serve(flags).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                error!("{error:#}");
                ExitCode::FAILURE
            }
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(3));
    code
}

/// Whether these arguments can be used; nothing is run.
pub(super) fn check(args: &[String]) -> Result<(), String> {
    match Flags::try_parse_from(two_dashes(args)) {
        Err(refused) if refused.use_stderr() => Err(refused.to_string()),
        _ => Ok(()),
    }
}

async fn serve(flags: Flags) -> anyhow::Result<()> {
    let stop = shutdown_signal();
    let settings = settings(flags).await?;
    if settings.rules.allow_commands {
        info!("commands are taken from requests (-allow-commands): whoever reaches the port can run them");
    }
    LoadTester::bind(settings).await?.run(stop).await;
    Ok(())
}

async fn settings(flags: Flags) -> anyhow::Result<Settings> {
    let cluster = flags.token_review || !flags.gates_configmap.is_empty();
    let client = if cluster {
        let connected = Cluster::connect(&Place::default()).await;
        let client = connected.map_err(|why| {
            anyhow::anyhow!("-gates-configmap and -token-review need a cluster: {}", why.in_one_line())
        })?;
        Some(client.client)
    } else {
        None
    };
    let mut proofs = Proofs::default();
    if !flags.hmac_keys.is_empty() {
        let folder = PathBuf::from(&flags.hmac_keys);
        if !folder.is_dir() {
            bail!("-hmac-keys={}: there is no such folder", flags.hmac_keys);
        }
        proofs = proofs.keys(folder);
    }
    if let (true, Some(client)) = (flags.token_review, &client) {
        let trusted: BTreeSet<String> = flags.trusted_accounts.0.into_iter().collect();
        proofs = proofs.tokens(client.clone(), &flags.token_audience, trusted);
    }
    let store = match (flags.gates_configmap.as_str(), flags.gates_file.as_str(), client) {
        ("", "", _) => {
            warn!("gates are kept in memory and close with a restart: see -gates-configmap and -gates-file");
            Store::Memory(std::sync::Mutex::default())
        }
        (name, "", Some(client)) => {
            Store::ConfigMap(Box::new(Api::<ConfigMap>::default_namespaced(client)), name.to_owned())
        }
        ("", path, _) => Store::File(PathBuf::from(path)),
        _ => bail!("-gates-configmap and -gates-file: one of them is enough"),
    };
    let declared = match flags.tasks.as_str() {
        "" => Declared::default(),
        path => {
            let text = std::fs::read_to_string(path).with_context(|| format!("-tasks={path}"))?;
            Declared::read(&text).map_err(|why| anyhow::anyhow!("-tasks={path}: {why}"))?
        }
    };
    let load = Limits {
        qps: flags.load_max_qps,
        connections: flags.load_max_connections,
        hosts: flags.load_hosts.0,
    };
    let namespaces =
        Namespaces { pattern: flags.namespace_regexp, names: flags.namespaces.0.into_iter().collect() };
    Ok(Settings {
        port: flags.port,
        namespaces,
        proofs,
        rules: Rules { allow_commands: flags.allow_commands, declared, load, timeout: flags.timeout },
        room: Room { running: flags.max_running.max(1), waiting: flags.max_waiting, of_one: 16 },
        store,
        egress: Egress::new(&flags.egress_deny.0, &flags.egress_allow.0)?,
        now: || Clock::system().now(),
        process,
    })
}

/// Go's programs take one dash or two, and clap two.
fn two_dashes(args: &[String]) -> Vec<String> {
    let program = std::iter::once("vexil loadtester".to_owned());
    // An image that runs nothing else has the word in its entry point, and the chart says it for those that run more.
    let args = if args.first().is_some_and(|first| first == "loadtester") { &args[1..] } else { args };
    let args = args.iter().map(|arg| match arg.strip_prefix('-') {
        Some(name) if name.len() > 1 && !name.starts_with('-') => format!("--{name}"),
        _ => arg.clone(),
    });
    program.chain(args).collect()
}

fn positive(text: &str) -> Result<Duration, String> {
    let time = duration::parse(text).map_err(|error| error.to_string())?;
    if time.is_zero() { Err("it is zero".to_owned()) } else { Ok(time) }
}

fn pattern(text: &str) -> Result<Pattern, String> {
    let pattern = (!text.is_empty()).then(|| Regex::new(text)).transpose();
    pattern.map_err(|error| error.to_string())
}

/// Never fails: the form is what a parser of clap has.
#[expect(clippy::unnecessary_wraps, reason = "the form of a parser")]
fn list(text: &str) -> Result<List, String> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    Ok(List(names.map(str::to_owned).collect()))
}

/// Go's words for yes and no.
fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err("it is neither true nor false".to_owned()),
    }
}

fn encoding(text: &str) -> Result<Encoding, String> {
    match text {
        "json" => Ok(Encoding::Json),
        "console" => Ok(Encoding::Console),
        _ => Err("it is neither json nor console".to_owned()),
    }
}

/// The series about the process that dashboards expect.
fn process() -> String {
    let process = Process::look();
    let mut text = String::new();
    for (name, kind, value) in [
        ("process_cpu_seconds_total", "counter", process.cpu_seconds),
        ("process_resident_memory_bytes", "gauge", process.resident_bytes),
        ("process_virtual_memory_bytes", "gauge", process.virtual_bytes),
        ("process_open_fds", "gauge", process.open_fds),
        ("process_max_fds", "gauge", process.max_fds),
        ("process_start_time_seconds", "gauge", process.start_seconds),
    ] {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# TYPE {name} {kind}\n{name} {value}");
    }
    text
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn parse(args: &[&str]) -> Result<Flags, clap::Error> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        Flags::try_parse_from(two_dashes(&args))
    }

    #[test]
    fn the_defaults_are_those_of_the_reference_and_nothing_is_run_from_requests() {
        // spec: 04/LT-18
        let flags = parse(&[]).expect("flags");
        assert_eq!(
            (9090, Duration::from_secs(3600), false),
            (flags.port, flags.timeout, flags.allow_commands)
        );
        assert_eq!(("debug", Encoding::Json), (flags.log_level.as_str(), flags.zap_encoding));
        assert!(flags.namespace_regexp.is_none() && flags.namespaces.0.is_empty());
    }

    #[rstest]
    #[case::as_the_chart_of_flagger_has_them(&["-port=8080", "-log-level=info", "-timeout=1h", "-namespace-regexp="])]
    #[case::with_the_word(&["loadtester", "-port=8080"])]
    #[case::apart(&["-port", "8080", "-timeout", "30m"])]
    #[case::two_dashes(&["--port=8080", "--timeout=1.5h", "--zap-encoding=console", "--zap-replace-globals"])]
    #[case::go_booleans(&["-port=8080", "-allow-commands=T", "-token-review=0", "-zap-replace-globals=false"])]
    fn flags_are_written_as_gos(#[case] args: &[&str]) {
        let flags = parse(args).expect("flags");
        assert_eq!(8080, flags.port);
    }

    #[rstest]
    #[case(&["-namespace-regexp=("], "namespace-regexp")]
    #[case(&["-timeout=1"], "missing unit")]
    #[case(&["-timeout=0s"], "zero")]
    #[case(&["-allow-commands=maybe"], "neither true nor false")]
    #[case(&["-port=70000"], "port")]
    #[case(&["-prot=8080"], "prot")]
    fn what_cannot_be_followed_is_refused(#[case] args: &[&str], #[case] expected: &str) {
        let refused = parse(args).expect_err("refused").to_string();
        assert!(refused.contains(expected), "{refused}");
    }
}
