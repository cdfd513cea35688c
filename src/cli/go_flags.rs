//! The controller's flags as Flagger's users write them (spec 01 §5.1): one dash or two, `-flag=value` or
//! `-flag value`, Go's booleans, and an environment variable that wins where there is one. [`catalogue`] is a list of
//! the flags as data; parsing, defaults and the usage text derive from it.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use self::catalogue::{DIFFERENT, FLAGS, Flag, IGNORED, Kind};
use crate::alert::{self, Channel};
use crate::controller::client::Limit;
use crate::controller::logging::{Encoding, Verbosity};
use crate::http::Egress;
use crate::model::release::Settings;
use crate::router::registry;

mod catalogue;

/// The values of the controller's flags. Each is checked as far as that is possible without a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControllerFlags {
    /// The kubeconfig of the cluster, as a path; the cluster that the process runs in if empty.
    pub kubeconfig: String,
    /// The address of the API server; empty if another flag names it.
    pub master: String,
    /// Requests to the API per second; 0 for no limit.
    pub kubeconfig_qps: i64,
    /// Requests to the API that may be made at once.
    pub kubeconfig_burst: i64,
    /// The kubeconfig of the cluster that holds the routing objects, as a path; the same cluster if empty.
    pub kubeconfig_service_mesh: String,
    /// The address of the Prometheus for built-in checks.
    pub metrics_server: String,
    /// The longest time before a new Canary is looked at.
    pub control_loop_interval: Duration,
    /// The least serious lines of the log.
    pub log_level: Verbosity,
    /// The form of the log.
    pub log_encoding: Encoding,
    /// Has no effect, as there is only one log.
    pub zap_replace_globals: bool,
    /// The port for health checks and metrics.
    pub port: u16,
    /// The incoming webhook of Slack; empty for none.
    pub slack_url: Secret,
    /// The token for Slack's API.
    pub slack_token: Secret,
    /// The proxy for Slack.
    pub slack_proxy_url: Secret,
    /// The name that Slack messages come from.
    pub slack_user: String,
    /// The Slack channel.
    pub slack_channel: String,
    /// The incoming webhook of Microsoft Teams; empty for none.
    pub msteams_url: Secret,
    /// The proxy for Microsoft Teams.
    pub msteams_proxy_url: Secret,
    /// The address that every event is sent to; empty for none.
    pub event_webhook: Secret,
    /// The prefixes of the labels that are copied from targets to primaries.
    pub include_label_prefixes: Vec<String>,
    /// How many Canaries are prepared at the same time.
    pub threadiness: usize,
    /// The one namespace to work in; all if empty.
    pub namespace: String,
    /// The mesh or ingress of Canaries that name none.
    pub mesh_provider: String,
    /// The labels that may select a target's pods, the preferred one first.
    pub selector_labels: Vec<String>,
    /// The prefix of the annotations of NGINX ingresses.
    pub ingress_annotations_prefix: String,
    /// The class of ingresses that are created; empty for none.
    pub ingress_class: String,
    /// Whether one of several instances works, and the others wait.
    pub enable_leader_election: bool,
    /// The namespace of the lease.
    pub leader_election_namespace: String,
    /// Whether a change of a ConfigMap or Secret that a target refers to is released.
    pub enable_config_tracking: bool,
    /// The name of the cluster that alerts show; empty for none.
    pub cluster_name: String,
    /// In percent.
    pub min_serving_capacity: i64,
    /// Whether references to objects of other namespaces are refused.
    pub no_cross_namespace_refs: bool,
    /// How many releases may go on at once; 0 for any number.
    pub max_concurrent_rollouts: i64,
    /// The same for each namespace.
    pub max_concurrent_rollouts_per_namespace: i64,
    /// What a hook's longer time-out is cut to.
    pub max_webhook_timeout: Duration,
    /// Namespaces whose gateways any Canary may name.
    pub shared_gateway_namespaces: Vec<String>,
    /// Whether MetricTemplates and AlertProviders use only Secrets that are labelled for it.
    pub require_secret_labels: bool,
    /// Whether hooks may send headers of Secrets so that others can read them.
    pub allow_insecure_credentials: bool,
    /// Networks that no call may reach, beside those that are always denied.
    pub egress_deny: Vec<String>,
    /// Exceptions from what is denied.
    pub egress_allow: Vec<String>,
    /// Whether it only says what it would do, beside another controller, and writes nothing.
    pub shadow: bool,
    /// Whether the version is printed instead.
    pub version: bool,
    /// Warnings that are logged once there is a log: values that were read in another way than they may have been
    /// meant.
    pub warnings: Vec<String>,
}

/// A value that must not show in a log: tokens, and addresses that are as good as one.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_empty() { "unset" } else { "set" })
    }
}

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Run with these.
    Run(Box<ControllerFlags>),
    /// Print this and exit with 0.
    Help(String),
    /// Print the version and exit with 0.
    Version,
}

/// The error for a command line that cannot be followed. It is printed to standard error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}", if *with_usage { format!("\n{}", usage()) } else { String::new() })]
pub struct Refused {
    /// What was wrong, and what to write instead.
    pub message: String,
    /// The exit code of the process.
    pub exit_code: u8,
    with_usage: bool,
}

impl Default for ControllerFlags {
    /// Every flag at its default.
    fn default() -> Self {
        let mut flags = Self::blank();
        for flag in FLAGS {
            flag.put(&mut flags, flag.default).expect("a default that its own flag accepts");
        }
        flags
    }
}

impl ControllerFlags {
    /// Requests that the client may make; none if a figure is not above zero.
    pub fn limit(&self) -> Option<Limit> {
        let positive = |number: i64| u32::try_from(number).ok().filter(|number| *number > 0);
        Some(Limit { per_second: positive(self.kubeconfig_qps)?, burst: positive(self.kubeconfig_burst)? })
    }

    /// Where the lease is: in the namespace that we are restricted to, if we are.
    pub fn lease_namespace(&self) -> &str {
        if self.namespace.is_empty() { &self.leader_election_namespace } else { &self.namespace }
    }

    /// What matters to each Canary.
    pub fn settings(&self) -> Settings {
        Settings {
            mesh_provider: self.mesh_provider.clone(),
            metrics_server: self.metrics_server.clone(),
            ingress_class: self.ingress_class.clone(),
            ingress_annotations_prefix: self.ingress_annotations_prefix.clone(),
            remote_mesh: false,
            no_cross_namespace_refs: self.no_cross_namespace_refs,
            selector_labels: self.selector_labels.clone(),
            include_label_prefixes: self.include_label_prefixes.clone(),
            config_tracking: self.enable_config_tracking,
            serving_capacity: u32::try_from(self.min_serving_capacity.clamp(0, 100)).unwrap_or(0),
            max_rollouts: usize::try_from(self.max_concurrent_rollouts).unwrap_or(0),
            max_rollouts_per_namespace: usize::try_from(self.max_concurrent_rollouts_per_namespace)
                .unwrap_or(0),
            max_webhook_timeout: self.max_webhook_timeout,
            shared_gateway_namespaces: self.shared_gateway_namespaces.clone(),
            require_secret_labels: self.require_secret_labels,
            allow_insecure_credentials: self.allow_insecure_credentials,
        }
    }

    /// What metrics, hooks and alerts may call.
    pub fn egress(&self) -> Egress {
        Egress::new(&self.egress_deny, &self.egress_allow).expect("networks that the flags have accepted")
    }

    /// Where alerts go that no Canary has a channel for.
    pub fn alerts(&self) -> alert::Settings {
        alert::Settings {
            cluster: self.cluster_name.clone(),
            slack: Channel {
                address: self.slack_url.0.clone(),
                token: self.slack_token.0.clone(),
                channel: self.slack_channel.clone(),
                username: self.slack_user.clone(),
                proxy: self.slack_proxy_url.0.clone(),
                ..Channel::default()
            },
            msteams: Channel {
                address: self.msteams_url.0.clone(),
                proxy: self.msteams_proxy_url.0.clone(),
                ..Channel::default()
            },
            labelled: self.require_secret_labels,
        }
    }

    fn blank() -> Self {
        Self {
            kubeconfig: String::new(),
            master: String::new(),
            kubeconfig_qps: 0,
            kubeconfig_burst: 0,
            kubeconfig_service_mesh: String::new(),
            metrics_server: String::new(),
            control_loop_interval: Duration::ZERO,
            log_level: Verbosity::default(),
            log_encoding: Encoding::default(),
            zap_replace_globals: false,
            port: 0,
            slack_url: Secret::default(),
            slack_token: Secret::default(),
            slack_proxy_url: Secret::default(),
            slack_user: String::new(),
            slack_channel: String::new(),
            msteams_url: Secret::default(),
            msteams_proxy_url: Secret::default(),
            event_webhook: Secret::default(),
            include_label_prefixes: Vec::new(),
            threadiness: 0,
            namespace: String::new(),
            mesh_provider: String::new(),
            selector_labels: Vec::new(),
            ingress_annotations_prefix: String::new(),
            ingress_class: String::new(),
            enable_leader_election: false,
            leader_election_namespace: String::new(),
            enable_config_tracking: false,
            cluster_name: String::new(),
            min_serving_capacity: 0,
            max_concurrent_rollouts: 0,
            max_concurrent_rollouts_per_namespace: 0,
            no_cross_namespace_refs: false,
            max_webhook_timeout: Duration::ZERO,
            shared_gateway_namespaces: Vec::new(),
            require_secret_labels: false,
            allow_insecure_credentials: false,
            egress_deny: Vec::new(),
            egress_allow: Vec::new(),
            shadow: false,
            version: false,
            warnings: Vec::new(),
        }
    }
}

/// Whether a command line (the program's name first) is the controller's although it names no subcommand: flags
/// alone, as Flagger's image is started, or a program that is called `flagger`.
pub fn looks_like_controller<S: AsRef<str>>(argv: &[S]) -> bool {
    let mut argv = argv.iter().map(AsRef::as_ref);
    let program = argv.next().unwrap_or_default();
    let first = argv.next();
    if Path::new(program).file_name().is_some_and(|name| name == "flagger") {
        return first.is_none_or(|first| first.starts_with('-'));
    }
    first.and_then(Word::read).is_some_and(|word| match word {
        // Two dashes are how the other subcommands are asked for their version.
        Word::Flag { name: "version", dashes, .. } => dashes == 1,
        Word::Flag { name, .. } => known(name).is_some(),
        Word::Malformed => false,
    })
}

/// Reads the controller's arguments (neither program nor subcommand among them) and environment.
///
/// # Errors
/// If a flag is unknown or its value cannot be used.
pub fn parse<S: AsRef<str>>(args: &[S], env: impl Fn(&str) -> Option<String>) -> Result<Asked, Refused> {
    let mut flags = ControllerFlags::default();
    let mut args = args.iter().map(AsRef::as_ref);
    while let Some(arg) = args.next() {
        let (name, value) = match Word::read(arg) {
            Some(Word::Flag { name, value, .. }) => (name, value),
            Some(Word::Malformed) => return Err(Refused::of_usage(format!("bad flag syntax: {arg}"))),
            None => {
                if arg != "--" {
                    flags
                        .warnings
                        .push(format!("{arg:?} and what follows it is ignored: flags begin with a dash"));
                }
                break;
            }
        };
        let Some(known) = known(name) else {
            if matches!(name, "h" | "help") {
                return Ok(Asked::Help(usage()));
            }
            return Err(Refused::of_usage(format!("flag provided but not defined: -{name}")));
        };
        let value = match (value, known.is_switch()) {
            (Some(value), _) => value,
            (None, true) => "true",
            (None, false) => {
                args.next().ok_or_else(|| Refused::of_usage(format!("flag needs an argument: -{name}")))?
            }
        };
        match known {
            Known::Ours(flag) => {
                flag.put(&mut flags, value).map_err(|problem| flag.refuse(name, value, &problem))?
            }
            Known::Ignored { .. } => {}
        }
    }
    for flag in FLAGS {
        let Some(variable) = flag.env else { continue };
        if let Some(value) = env(variable).filter(|value| !value.is_empty()) {
            flag.put(&mut flags, &value).map_err(|problem| flag.refuse(variable, &value, &problem))?;
        }
    }
    if flags.version { Ok(Asked::Version) } else { Ok(Asked::Run(Box::new(flags))) }
}

/// What becomes of a flag of Flagger's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It means the same here.
    Same,
    /// It is accepted and means something else, as the text says.
    Differs(&'static str),
    /// It is accepted and has no effect.
    NoEffect,
    /// It is no flag.
    Unknown,
}

/// What becomes of a word of Flagger's command line; `None` if it is no flag but the value of one.
pub fn standing(word: &str) -> Option<(&str, Standing)> {
    let Some(Word::Flag { name, .. }) = Word::read(word) else { return None };
    let differs = DIFFERENT.iter().find(|(flag, _)| *flag == name).map(|(_, how)| Standing::Differs(how));
    let standing = differs.unwrap_or_else(|| match known(name) {
        Some(Known::Ours(_)) => Standing::Same,
        Some(Known::Ignored { .. }) => Standing::NoEffect,
        None => Standing::Unknown,
    });
    Some((name, standing))
}

/// A flag, for those who list them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Its name, without a dash.
    pub name: &'static str,
    /// What its value is: `string`, `int`, `duration`; nothing for a switch.
    pub value: String,
    /// What holds if it is not given.
    pub default: &'static str,
    /// A variable that wins over the flag when it is not empty.
    pub variable: Option<&'static str>,
    /// What it does.
    pub help: &'static str,
}

/// All flags, in the order of the alphabet.
pub fn described() -> Vec<Described> {
    let described = |flag: &Flag| Described {
        name: flag.name,
        value: flag.kind.usage().trim_start().to_owned(),
        default: flag.default,
        variable: flag.env,
        help: flag.help,
    };
    FLAGS.iter().map(described).collect()
}

/// The flags, one after the other, as Go prints them.
pub fn usage() -> String {
    let mut text = "Usage of vexil controller:\n".to_owned();
    for flag in FLAGS {
        // Writing to a string cannot fail.
        let _ = write!(text, "  -{}{}\n    \t{}", flag.name, flag.kind.usage(), flag.help);
        if let Some(variable) = flag.env {
            let _ = write!(text, "; the variable {variable} wins");
        }
        if flag.name == "mesh-provider" {
            let _ = write!(text, ": {}", registry::known_names());
        }
        match (flag.default, flag.kind.quotes_default()) {
            ("" | "false", _) => {}
            (default, true) => {
                let _ = write!(text, " (default {default:?})");
            }
            (default, false) => {
                let _ = write!(text, " (default {default})");
            }
        }
        text.push('\n');
    }
    text
}

impl Refused {
    fn of_usage(message: String) -> Self {
        Self { message, exit_code: 2, with_usage: true }
    }
}

/// A word of the command line that begins with a dash.
enum Word<'a> {
    Flag { name: &'a str, value: Option<&'a str>, dashes: usize },
    Malformed,
}

impl<'a> Word<'a> {
    /// `None` for what ends the flags: a word without a dash, a dash alone, or two.
    fn read(word: &'a str) -> Option<Self> {
        let rest = word.strip_prefix('-').filter(|rest| !matches!(*rest, "" | "-"))?;
        let (rest, dashes) = rest.strip_prefix('-').map_or((rest, 1), |rest| (rest, 2));
        if rest.starts_with(['-', '=']) {
            return Some(Self::Malformed);
        }
        let (name, value) = rest.split_once('=').map_or((rest, None), |(name, value)| (name, Some(value)));
        Some(Self::Flag { name, value, dashes })
    }
}

/// A flag that may be given.
enum Known {
    Ours(&'static Flag),
    Ignored { switch: bool },
}

impl Known {
    /// Whether it stands alone, so that a value must be joined to it.
    fn is_switch(&self) -> bool {
        match self {
            Self::Ours(flag) => matches!(flag.kind, Kind::Switch(_)),
            Self::Ignored { switch } => *switch,
        }
    }
}

fn known(name: &str) -> Option<Known> {
    let ours = FLAGS.iter().find(|flag| flag.name == name).map(Known::Ours);
    ours.or_else(|| {
        IGNORED
            .iter()
            .find(|(ignored, _)| *ignored == name)
            .map(|(_, switch)| Known::Ignored { switch: *switch })
    })
}

#[cfg(test)]
mod tests;
