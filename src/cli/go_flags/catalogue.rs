//! The controller's flags as data: name, default, meaning, and where the value goes.

use std::time::Duration;

use super::{ControllerFlags, Refused, Secret};
use crate::api::duration;
use crate::controller::logging::{Encoding, Verbosity};
use crate::http::Egress;

/// One flag.
pub(super) struct Flag {
    pub name: &'static str,
    pub default: &'static str,
    /// A variable that wins over the flag when it is not empty.
    pub env: Option<&'static str>,
    pub help: &'static str,
    pub kind: Kind,
}

/// What a flag's value is, and where it goes.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Text(fn(&mut ControllerFlags) -> &mut String),
    Secret(fn(&mut ControllerFlags) -> &mut Secret),
    /// Separated by commas; blanks around an entry do not count.
    List(fn(&mut ControllerFlags) -> &mut Vec<String>),
    Number(fn(&mut ControllerFlags) -> &mut i64),
    Switch(fn(&mut ControllerFlags) -> &mut bool),
    /// A text or number with a rule of its own; shown in the usage as this type.
    Own(&'static str, fn(&mut ControllerFlags, &str) -> Result<(), Problem>),
}

/// Why a value is refused, and with which exit code.
#[derive(Debug)]
pub(super) struct Problem {
    why: String,
    exit_code: u8,
}

impl Flag {
    /// Puts a value where it belongs.
    pub fn put(&self, flags: &mut ControllerFlags, value: &str) -> Result<(), Problem> {
        match self.kind {
            Kind::Text(field) => *field(flags) = value.to_owned(),
            Kind::Secret(field) => *field(flags) = Secret(value.to_owned()),
            Kind::List(field) => *field(flags) = list(value),
            Kind::Number(field) => *field(flags) = number(value)?,
            Kind::Switch(field) => *field(flags) = boolean(value)?,
            Kind::Own(_, put) => put(flags, value)?,
        }
        Ok(())
    }

    /// The error for a value that came from `source`, a flag or a variable.
    pub fn refuse(&self, source: &str, value: &str, problem: &Problem) -> Refused {
        let value = if matches!(self.kind, Kind::Secret(_)) { "…" } else { value };
        let message = if self.env == Some(source) {
            format!("invalid value {value:?} of the variable {source}: {}", problem.why)
        } else {
            format!("invalid value {value:?} for flag -{source}: {}", problem.why)
        };
        Refused { message, exit_code: problem.exit_code, with_usage: problem.exit_code == 2 }
    }
}

impl Kind {
    /// The type, as it stands behind the name in the usage.
    pub fn usage(self) -> String {
        match self {
            Self::Text(_) | Self::Secret(_) | Self::List(_) => " string".into(),
            Self::Number(_) => " int".into(),
            Self::Switch(_) => String::new(),
            Self::Own(kind, _) => format!(" {kind}"),
        }
    }

    pub fn quotes_default(self) -> bool {
        self.usage() == " string"
    }
}

impl From<String> for Problem {
    fn from(why: String) -> Self {
        Self { why, exit_code: 2 }
    }
}

/// In the order of the alphabet, as the usage lists them.
#[rustfmt::skip]
pub(super) const FLAGS: &[Flag] = &[
    flag("allow-insecure-credentials", "false", "Let hooks send headers of Secrets over plain http out of the cluster, or to servers whose certificate is not checked", Kind::Switch(|f| &mut f.allow_insecure_credentials)),
    flag("cluster-name", "", "Name of the cluster, shown in alerts", Kind::Text(|f| &mut f.cluster_name)),
    flag("control-loop-interval", "10s", "Longest time before a new Canary is looked at", Kind::Own("duration", put_interval)),
    flag("egress-allow", "", "Networks that metrics, hooks and alerts may reach although they are denied, separated by commas", Kind::Own("string", |f, value| put_networks(&mut f.egress_allow, value))),
    flag("egress-deny", "", "Networks that metrics, hooks and alerts may not reach, separated by commas; link-local, cloud metadata and unspecified addresses always are denied", Kind::Own("string", |f, value| put_networks(&mut f.egress_deny, value))),
    flag("enable-config-tracking", "true", "Watch the ConfigMaps and Secrets that targets refer to", Kind::Switch(|f| &mut f.enable_config_tracking)),
    flag("enable-leader-election", "false", "Let one of several instances work", Kind::Switch(|f| &mut f.enable_leader_election)),
    secret("event-webhook", "EVENT_WEBHOOK_URL", "Address that is sent every event", |f| &mut f.event_webhook),
    flag("include-label-prefix", "", "Prefixes of the labels that are copied from targets to primaries, separated by commas; * for all", Kind::List(|f| &mut f.include_label_prefixes)),
    flag("ingress-annotations-prefix", "nginx.ingress.kubernetes.io", "Prefix of the annotations of NGINX ingresses", Kind::Text(|f| &mut f.ingress_annotations_prefix)),
    flag("ingress-class", "", "Class of the ingresses that are made", Kind::Text(|f| &mut f.ingress_class)),
    flag("kubeconfig", "", "Path of a kubeconfig; only needed outside of the cluster", Kind::Text(|f| &mut f.kubeconfig)),
    flag("kubeconfig-burst", "250", "Requests to the API that may be made at once", Kind::Number(|f| &mut f.kubeconfig_burst)),
    flag("kubeconfig-qps", "100", "Requests to the API a second; 0 for no limit", Kind::Number(|f| &mut f.kubeconfig_qps)),
    flag("kubeconfig-service-mesh", "", "Path of a kubeconfig of the cluster that holds the routing objects; the same cluster if empty", Kind::Text(|f| &mut f.kubeconfig_service_mesh)),
    flag("leader-election-namespace", "kube-system", "Namespace of the lease, unless -namespace is set", Kind::Text(|f| &mut f.leader_election_namespace)),
    flag("log-level", "debug", "Log level: debug, info, warn or error", Kind::Own("string", put_log_level)),
    flag("master", "", "Address of the API server; wins over the kubeconfig", Kind::Text(|f| &mut f.master)),
    flag("max-concurrent-rollouts", "0", "Releases that may go on at once; the others wait in line. 0 for any number", Kind::Number(|f| &mut f.max_concurrent_rollouts)),
    flag("max-concurrent-rollouts-per-namespace", "0", "The same for the releases of one namespace", Kind::Number(|f| &mut f.max_concurrent_rollouts_per_namespace)),
    flag("max-webhook-timeout", "10m", "Longest time that a hook may take to answer; longer ones are cut, with a warning", Kind::Own("duration", put_longest_hook)),
    flag("mesh-provider", "istio", "Mesh or ingress of the Canaries that name none", Kind::Text(|f| &mut f.mesh_provider)),
    flag("metrics-server", "http://prometheus:9090", "Address of the Prometheus for built-in checks", Kind::Text(|f| &mut f.metrics_server)),
    flag("min-serving-capacity", "50", "Percent of the pods behind a share that have to be ready before primary or canary is given it; 0 for a single pod", Kind::Number(|f| &mut f.min_serving_capacity)),
    secret("msteams-proxy-url", "MSTEAMS_PROXY_URL", "Proxy for Microsoft Teams", |f| &mut f.msteams_proxy_url),
    secret("msteams-url", "MSTEAMS_URL", "Incoming webhook of Microsoft Teams; wins over Slack", |f| &mut f.msteams_url),
    flag("namespace", "", "The one namespace to work in; all if empty", Kind::Text(|f| &mut f.namespace)),
    flag("no-cross-namespace-refs", "false", "Refuse references to objects of other namespaces", Kind::Switch(|f| &mut f.no_cross_namespace_refs)),
    flag("port", "8080", "Port for health checks and metrics", Kind::Own("string", put_port)),
    flag("require-secret-labels", "false", "Use only those Secrets for MetricTemplates and AlertProviders whose label flagger.app/use-in says so", Kind::Switch(|f| &mut f.require_secret_labels)),
    flag("selector-labels", "app,name,app.kubernetes.io/name", "Labels that may select a target's pods, separated by commas, the preferred one first", Kind::Own("string", put_selector_labels)),
    flag("shadow", "false", "Decide beside another controller and write nothing: log, metrics and /shadow tell what would be done", Kind::Switch(|f| &mut f.shadow)),
    flag("shared-gateway-namespaces", "istio-system", "Namespaces whose gateways any Canary may name although -no-cross-namespace-refs is set, separated by commas", Kind::List(|f| &mut f.shared_gateway_namespaces)),
    flag("slack-channel", "", "Slack channel; general when unset", Kind::Text(|f| &mut f.slack_channel)),
    secret("slack-proxy-url", "SLACK_PROXY_URL", "Proxy for Slack", |f| &mut f.slack_proxy_url),
    secret("slack-token", "SLACK_TOKEN", "Token for Slack's API", |f| &mut f.slack_token),
    secret("slack-url", "SLACK_URL", "Incoming webhook of Slack", |f| &mut f.slack_url),
    flag("slack-user", "flagger", "Name that Slack messages come from", Kind::Text(|f| &mut f.slack_user)),
    flag("threadiness", "2", "Canaries that are prepared at the same time", Kind::Own("int", put_threadiness)),
    flag("version", "false", "Print the version and exit", Kind::Switch(|f| &mut f.version)),
    flag("zap-encoding", "json", "Form of the log: json or console", Kind::Own("string", put_encoding)),
    flag("zap-replace-globals", "false", "Has no effect; accepted for compatibility", Kind::Switch(|f| &mut f.zap_replace_globals)),
];

/// Flags of Flagger that mean something else here, and what.
pub(super) const DIFFERENT: &[(&str, &str)] = &[
    (
        "control-loop-interval",
        "is the longest time before a new Canary is looked at; releases do not wait for it",
    ),
    ("threadiness", "is how many Canaries are prepared at the same time; a slow one holds up no other"),
    ("zap-replace-globals", "has no effect"),
];

/// Flags of the Kubernetes logging library that are accepted and have no effect; `true` for those that need no value.
pub(super) const IGNORED: &[(&str, bool)] = &[
    ("add_dir_header", true),
    ("alsologtostderr", true),
    ("log_backtrace_at", false),
    ("log_dir", false),
    ("log_file", false),
    ("log_file_max_size", false),
    ("logtostderr", true),
    ("one_output", true),
    ("skip_headers", true),
    ("skip_log_headers", true),
    ("stderrthreshold", false),
    ("v", false),
    ("vmodule", false),
];

const fn flag(name: &'static str, default: &'static str, help: &'static str, kind: Kind) -> Flag {
    Flag { name, default, env: None, help, kind }
}

const fn secret(
    name: &'static str,
    env: &'static str,
    help: &'static str,
    field: fn(&mut ControllerFlags) -> &mut Secret,
) -> Flag {
    Flag { name, default: "", env: Some(env), help, kind: Kind::Secret(field) }
}

fn put_interval(flags: &mut ControllerFlags, value: &str) -> Result<(), Problem> {
    flags.control_loop_interval = duration::parse(value).map_err(|problem| problem.to_string())?;
    if flags.control_loop_interval == Duration::ZERO {
        return Err("it must be above zero".to_owned().into());
    }
    Ok(())
}

fn put_longest_hook(flags: &mut ControllerFlags, value: &str) -> Result<(), Problem> {
    flags.max_webhook_timeout = duration::parse(value).map_err(|problem| problem.to_string())?;
    if flags.max_webhook_timeout == Duration::ZERO {
        return Err("it must be above zero".to_owned().into());
    }
    Ok(())
}

fn put_log_level(flags: &mut ControllerFlags, value: &str) -> Result<(), Problem> {
    // As in the reference an unknown level is no error; unlike there somebody is told.
    flags.log_level = value.parse().unwrap_or_else(|unknown| {
        flags.warnings.push(format!("{unknown}; info is used"));
        Verbosity::Info
    });
    Ok(())
}

fn put_port(flags: &mut ControllerFlags, value: &str) -> Result<(), Problem> {
    flags.port = value.parse().map_err(|_| "use a number up to 65535".to_owned())?;
    Ok(())
}

fn put_networks(networks: &mut Vec<String>, value: &str) -> Result<(), Problem> {
    let written = list(value);
    Egress::new(&written, &[]).map_err(|problem| problem.to_string())?;
    *networks = written;
    Ok(())
}

fn put_selector_labels(flags: &mut ControllerFlags, value: &str) -> Result<(), Problem> {
    flags.selector_labels = list(value);
    if flags.selector_labels.is_empty() {
        return Err(Problem { why: "At least one selector label is required".into(), exit_code: 1 });
    }
    Ok(())
}

fn put_threadiness(flags: &mut ControllerFlags, value: &str) -> Result<(), Problem> {
    match usize::try_from(number(value)?) {
        Ok(threads @ 1..) => flags.threadiness = threads,
        _ => return Err("it must be at least 1".to_owned().into()),
    }
    Ok(())
}

fn put_encoding(flags: &mut ControllerFlags, value: &str) -> Result<(), Problem> {
    flags.log_encoding = match value {
        "json" => Encoding::Json,
        "console" => Encoding::Console,
        _ => {
            let why = "Error creating logger: there are json and console".into();
            return Err(Problem { why, exit_code: 1 });
        }
    };
    Ok(())
}

fn list(value: &str) -> Vec<String> {
    value.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(str::to_owned).collect()
}

/// Go's `strconv.ParseBool`.
fn boolean(value: &str) -> Result<bool, Problem> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("use true or false".to_owned().into()),
    }
}

/// Go's `strconv.ParseInt` with base 0: decimal, or with a prefix hexadecimal, octal, binary.
fn number(value: &str) -> Result<i64, Problem> {
    let (sign, digits) = match value.as_bytes().first() {
        Some(b'-') => ("-", &value[1..]),
        Some(b'+') => ("", &value[1..]),
        _ => ("", value),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    // A second sign would be accepted by the standard library.
    let whole = digits.starts_with(|c: char| c.is_ascii_alphanumeric());
    let parsed = whole.then(|| i64::from_str_radix(&format!("{sign}{digits}"), base).ok()).flatten();
    parsed.ok_or_else(|| "use a whole number".to_owned().into())
}
