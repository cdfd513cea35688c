//! Tasks: from the metadata of a hook to something that can be run (spec 04 §5.5).

use std::sync::Arc;
use std::time::Duration;

use super::command::{Output, Script};
use super::concord::Concord;
use super::declared::Declared;
use super::load::{self, Limits, Plan};
use super::ngrinder::Ngrinder;
use super::payload::{Canary, Metadata, Payload, is_true, shortened};
use super::telemetry::Telemetry;
use crate::http;

/// What decides which tasks may be run, and how.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Whether requests may bring commands, and servers to be called, of their own.
    pub allow_commands: bool,
    /// Tasks that may be run in any case.
    pub declared: Declared,
    /// What loads may be.
    pub load: Limits,
    /// How long a task may run.
    pub timeout: Duration,
}

/// A task that may be run.
#[derive(Clone)]
pub struct Task {
    /// The type, as metrics and log name it.
    pub kind: &'static str,
    /// Whom it is for.
    pub canary: Canary,
    /// The same for two tasks that need not run at once.
    pub identity: String,
    /// What its caller waits for.
    pub mode: Mode,
    /// How long it may run.
    pub timeout: Duration,
    work: Work,
}

/// What a caller waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nothing. With `report` the next call is told how this run has ended, if it failed.
    Background {
        /// Whether to tell.
        report: bool,
        /// Whether the output gets into the log.
        log_output: bool,
    },
    /// The end of the task.
    Blocking {
        /// Whether the output is the answer.
        return_output: bool,
    },
}

#[derive(Clone)]
enum Work {
    Script(Script),
    Concord(Box<Concord>),
    Ngrinder(Box<Ngrinder>),
    Load(Box<Plan>),
}

/// Why a task is not run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refused {
    /// The status of the answer.
    pub status: u16,
    /// The text of the answer.
    pub text: String,
}

/// What tasks need.
pub struct Tools {
    /// For calls of servers.
    pub http: http::Client,
    /// For loads.
    pub egress: http::Egress,
    /// For the figures of loads.
    pub telemetry: Arc<Telemetry>,
}

impl Task {
    /// Reads what a payload asks for.
    ///
    /// # Errors
    /// If it cannot be understood, or is not allowed.
    pub fn read(payload: &Payload, rules: &Rules) -> Result<Self, Refused> {
        let refuse = |status| move |text| Refused { status, text };
        if payload.metadata.is_empty() {
            return Err(refuse(400)("metadata not found in payload".to_owned()));
        }
        let namespace = &payload.canary.namespace;
        let declared = rules.declared.find(&payload.metadata, namespace).map_err(refuse(403))?;
        let metadata = declared.map_or(&payload.metadata, |entry| &entry.metadata);
        let timeout = declared.and_then(|entry| entry.timeout).unwrap_or(rules.timeout).min(rules.timeout);
        let allowed = declared.is_some() || rules.allow_commands;
        let named = metadata.get("type").map_or("cmd", String::as_str);
        let Some(kind) = KINDS.iter().find(|kind| **kind == named).copied() else {
            return Err(refuse(400)(format!("unknown task type {}", shortened(named))));
        };
        if !allowed && kind != "load" {
            return Err(refuse(403)(format!(
                "tasks of type {kind} are not taken from requests: use type load, declare the task in the file of -tasks, or \
                 start the load tester with -allow-commands (chart: cmd.allow=true)"
            )));
        }
        let switch = |key: &str| metadata.get(key).is_some_and(|value| is_true(value));
        let background = Mode::Background { report: switch("report"), log_output: switch("logCmdOutput") };
        let blocking = Mode::Blocking { return_output: switch("returnCmdOutput") };
        let (mode, work) = match kind {
            "concord" => (blocking, Work::Concord(Box::new(Concord::read(metadata).map_err(refuse(500))?))),
            "ngrinder" => {
                (background, Work::Ngrinder(Box::new(Ngrinder::read(metadata).map_err(refuse(400))?)))
            }
            "load" => {
                // Whoever declares a load says where it goes.
                let anywhere = Limits { hosts: vec!["*".to_owned()], ..rules.load.clone() };
                let limits = if declared.is_some() { &anywhere } else { &rules.load };
                let plan = Plan::read(metadata, namespace, limits).map_err(refuse(400))?;
                if plan.duration >= timeout {
                    return Err(refuse(400)(
                        "metadata duration is longer than tasks may run (the flag -timeout)".to_owned(),
                    ));
                }
                let mode = if switch("wait") { Mode::Blocking { return_output: true } } else { background };
                (mode, Work::Load(Box::new(plan)))
            }
            _ => {
                let script = script(kind, payload, metadata).map_err(refuse(400))?;
                (if kind == "cmd" { background } else { blocking }, Work::Script(script))
            }
        };
        let identity = match &work {
            Work::Script(script) => script.text.clone(),
            Work::Ngrinder(test) => test.original().to_string(),
            Work::Concord(_) | Work::Load(_) => format!("{metadata:?}"),
        };
        let canary = payload.canary.clone();
        Ok(Self { identity: format!("{canary} {kind} {identity}"), kind, canary, mode, timeout, work })
    }

    /// Does it, as long as it may take. What it has started ends with it.
    ///
    /// # Errors
    /// If it fails or takes too long. What it has said so far is in `output`.
    pub async fn run(&self, tools: &Tools, output: &Output) -> Result<(), String> {
        let too_long = || {
            let limit = crate::api::duration::format(self.timeout);
            format!("ended after {limit}, which is as long as it may take")
        };
        if let Work::Ngrinder(test) = &self.work {
            // It has to be stopped over there.
            return test.run(&tools.http, self.timeout).await;
        }
        let work = async {
            match &self.work {
                Work::Script(script) => script.run(output).await,
                Work::Concord(process) => process.run(&tools.http).await,
                Work::Ngrinder(_) => Ok(()),
                Work::Load(plan) => self.load(plan, tools, output).await,
            }
        };
        tokio::time::timeout(self.timeout, work).await.unwrap_or_else(|_| Err(too_long()))
    }

    async fn load(&self, plan: &Plan, tools: &Tools, output: &Output) -> Result<(), String> {
        tools.telemetry.load_begins(&self.canary);
        let (telemetry, canary) = (Arc::clone(&tools.telemetry), self.canary.clone());
        let meter = Arc::new(move |code: &str, took| telemetry.request(&canary, code, took));
        let report = load::run(plan, &tools.egress, meter).await?;
        tools.telemetry.load_ended(&self.canary, &report);
        output.say(&report.to_string());
        report.judge(&plan.wanted)
    }

    /// What is done, for answers and the log.
    pub fn text(&self) -> String {
        match &self.work {
            Work::Script(script) => script.text.clone(),
            Work::Concord(_) => "concord process".to_owned(),
            Work::Ngrinder(test) => format!("ngrinder test {}", test.original()),
            Work::Load(plan) => format!("load {}", plan.shown()),
        }
    }

    /// Whether it is a command.
    pub fn is_command(&self) -> bool {
        matches!(self.work, Work::Script(_))
    }
}

/// The program that runs a command, with the words that the user wrote.
fn script(kind: &'static str, payload: &Payload, metadata: &Metadata) -> Result<Script, String> {
    let text = metadata.get("cmd").filter(|cmd| !cmd.trim().is_empty()).ok_or("cmd not found in metadata")?;
    if text.contains('\0') {
        return Err("cmd holds a byte that no command can have".to_owned());
    }
    let (program, arguments) = match kind {
        "cmd" => ("sh", vec!["-c".to_owned(), text.clone()]),
        "bash" => ("bash", vec!["-c".to_owned(), text.clone()]),
        _ => {
            let words = shlex::split(text)
                .ok_or_else(|| format!("cmd {:?}: a quote is not closed", shortened(text)))?;
            (if kind == "kubectl" { "kubectl" } else { "helm" }, words)
        }
    };
    let variables = [
        ("CANARY_NAME", &payload.canary.name),
        ("CANARY_NAMESPACE", &payload.canary.namespace),
        ("CANARY_PHASE", &payload.phase),
        ("CANARY_CHECKSUM", &payload.checksum),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.clone())).to_vec();
    Ok(Script { program, arguments, text: text.clone(), variables })
}

const KINDS: [&str; 8] = ["cmd", "bash", "helm", "helmv3", "kubectl", "concord", "ngrinder", "load"];
