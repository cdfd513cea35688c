//! What is said when a cluster cannot be asked: which one, what is wrong, what to do. Never what stands in a kubeconfig.

use std::io;
use std::path::Path;

use kube::client::AuthError;
use kube::config::{Kubeconfig, KubeconfigError};
use kube::core::Status;

use crate::model::answer::excerpt;
use crate::model::object::{Kind, ObjectId};

use super::{Name, few};

/// An error for people, and how the process ends with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}{}", .cures.iter().map(|cure| format!("\n  {cure}")).collect::<String>())]
pub(in crate::cli) struct Trouble {
    what: String,
    cures: Vec<String>,
    code: u8,
    missing_kind: bool,
    /// Whether asking again may help.
    passing: bool,
}

impl Trouble {
    /// What is wrong. The process ends with 1.
    pub(in crate::cli) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), cures: Vec::new(), code: 1, missing_kind: false, passing: false }
    }

    /// With one more thing that can be done.
    pub(in crate::cli) fn cure(mut self, cure: impl Into<String>) -> Self {
        self.cures.push(cure.into());
        self
    }

    /// With which the process ends with `code`.
    pub(in crate::cli) fn ends_with(self, code: u8) -> Self {
        Self { code, ..self }
    }

    /// The exit code of the process.
    pub(in crate::cli) fn code(&self) -> u8 {
        self.code
    }

    /// In one line, with what can be done: for a log.
    pub(in crate::cli) fn in_one_line(&self) -> String {
        self.to_string().replace("\n  ", "; ")
    }

    /// In one line, without what can be done.
    pub(in crate::cli) fn what(&self) -> &str {
        &self.what
    }

    /// Whether the cluster does not know the kind that was asked for.
    pub(in crate::cli) fn is_missing_kind(&self) -> bool {
        self.missing_kind
    }

    /// Whether asking again may help.
    pub(in crate::cli) fn is_passing(&self) -> bool {
        self.passing
    }
}

/// What was asked of the cluster, in the words of its rights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Doing {
    verb: &'static str,
    kind: Kind,
    /// `None` for all.
    namespace: Option<String>,
    name: Option<String>,
}

impl Doing {
    /// Reading one object.
    pub(in crate::cli) fn reading(id: &ObjectId) -> Self {
        Self::to(id, "get")
    }

    /// Changing one object.
    pub(in crate::cli) fn changing(id: &ObjectId) -> Self {
        Self::to(id, "patch")
    }

    fn to(id: &ObjectId, verb: &'static str) -> Self {
        let namespace = (!id.namespace.is_empty()).then(|| id.namespace.clone());
        Self { verb, kind: id.kind, namespace, name: Some(id.name.clone()) }
    }

    /// Reading all objects of a kind.
    pub(in crate::cli) fn listing(kind: Kind, namespace: Option<&str>) -> Self {
        Self { verb: "list", kind, namespace: namespace.map(str::to_owned), name: None }
    }

    /// Hearing of changes of the objects of a kind.
    pub(in crate::cli) fn watching(kind: Kind, namespace: Option<&str>) -> Self {
        Self { verb: "watch", ..Self::listing(kind, namespace) }
    }

    /// What it was about: `virtualservices.networking.istio.io frontend`.
    pub(in crate::cli) fn subject(&self) -> String {
        match &self.name {
            Some(name) => format!("{} {name}", self.resource()),
            None => self.resource(),
        }
    }

    fn resource(&self) -> String {
        match self.kind.group {
            "" => self.kind.plural.to_owned(),
            group => format!("{}.{group}", self.kind.plural),
        }
    }

    fn place(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("in namespace {namespace}"),
            None => "in all namespaces".to_owned(),
        }
    }
}

/// What is said of a request that failed.
pub(super) fn explain(cluster: &Name, doing: &Doing, why: &kube::Error) -> Trouble {
    match why {
        kube::Error::Api(status) => answered(cluster, doing, status),
        kube::Error::Auth(why) => no_login(cluster, why),
        kube::Error::SerdeError(_) | kube::Error::FromUtf8(_) => Trouble::new(format!(
            "{cluster} answers something that is not Kubernetes when it is asked for {}",
            doing.resource()
        ))
        .cure("is the address that of an API server, and not of a proxy or a login page?"),
        other => unreachable_cluster(cluster, other),
    }
}

/// The API server has said no.
fn answered(cluster: &Name, doing: &Doing, status: &Status) -> Trouble {
    let (resource, place) = (doing.resource(), doing.place());
    let said = excerpt(status.message.as_bytes(), 400);
    match status.code {
        401 => Trouble::new(format!("{cluster} does not accept your credentials (401 Unauthorized)"))
            .cure("they may have expired: log in again; kubectl auth whoami asks the same"),
        403 => {
            let who = status.message.split_once("User \"").and_then(|(_, rest)| rest.split_once('"'));
            let who = who.map_or_else(|| "you".to_owned(), |(user, _)| format!("user {user}"));
            let verbs = match doing.verb {
                "patch" => "get, patch",
                _ => "get, list, watch",
            };
            let scope =
                doing.namespace.as_ref().map_or("-A".to_owned(), |namespace| format!("-n {namespace}"));
            let role = if doing.namespace.is_some() { "a Role" } else { "a ClusterRole" };
            Trouble::new(format!(
                "{who} may not {} {resource} {place} of {cluster} (403 Forbidden)",
                doing.verb
            ))
            .cure(format!(
                "needed is {role} with: apiGroups [\"{}\"], resources [{}], verbs [{verbs}]",
                doing.kind.group, doing.kind.plural
            ))
            .cure(format!("kubectl auth can-i {} {resource} {scope} asks the same", doing.verb))
        }
        404 if doing.name.is_none() && doing.kind == Kind::CANARY => Trouble {
            missing_kind: true,
            ..Trouble::new(format!(
                "{cluster} does not know Canaries: the CRD canaries.flagger.app is not installed there"
            ))
            .cure(format!(
                "is it the right cluster? If so: {} crds | kubectl apply --server-side -f -",
                crate::cli::print::program()
            ))
        },
        404 => Trouble {
            missing_kind: doing.name.is_none(),
            ..Trouble::new(format!("{cluster} has no {resource} {place} (404 Not Found)"))
        },
        429 | 500..=599 => Trouble {
            passing: true,
            ..Trouble::new(format!("{cluster} is in trouble itself ({}): {said}", status.code))
                .cure("try again in a moment")
        },
        code => {
            Trouble::new(format!("{cluster} does not {} {resource} {place} ({code}): {said}", doing.verb))
        }
    }
}

/// No answer has come.
fn unreachable_cluster(cluster: &Name, why: &kube::Error) -> Trouble {
    if let Some(auth) = causes(why).find_map(|cause| cause.downcast_ref()) {
        return no_login(cluster, auth);
    }
    let inner = causes(why).last().unwrap_or(why);
    let text = inner.to_string();
    let reason = text.split(" (os error").next().unwrap_or_default();
    let reason = excerpt(reason.as_bytes(), 200);
    let lower = reason.to_lowercase();
    let cure = if lower.contains("refused") {
        "nothing listens there: is the cluster up, and is the address right?"
    } else if lower.contains("lookup") || lower.contains("resolve") || lower.contains("name or service") {
        "the name is not known: is it right, and are you in the right network (VPN)?"
    } else if lower.contains("corrupt message") {
        "what listens there does not speak TLS: is it http, and not https?"
    } else if lower.contains("certificate") || lower.contains("tls") || lower.contains("handshake") {
        "its certificate is not the one that the kubeconfig trusts: was the cluster made anew?"
    } else if lower.contains("deadline") || lower.contains("timed out") || lower.contains("timeout") {
        "it may be down, or a network, VPN or firewall is in between"
    } else {
        "is the cluster up, is the address right, is a network, VPN or firewall in between?"
    };
    Trouble { passing: true, ..Trouble::new(format!("{cluster} does not answer: {reason}")).cure(cure) }
}

/// An error, and what is behind it.
fn causes(why: &kube::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    let why: &(dyn std::error::Error + 'static) = why;
    std::iter::successors(Some(why), |why| why.source())
}

/// What logs in does not work. What it printed may be a token, and is not repeated.
fn no_login(cluster: &Name, why: &AuthError) -> Trouble {
    let (what, cure) = match why {
        AuthError::AuthExecStart(why) if why.kind() == io::ErrorKind::NotFound => (
            "the program that logs in is not installed".to_owned(),
            "install what the user of this context names under exec.command",
        ),
        AuthError::AuthExecStart(why) => (
            format!("the program that logs in cannot be started ({})", why.kind()),
            "look at what the user of this context names under exec.command",
        ),
        AuthError::AuthExecRun { out, .. } => (
            format!("the program that logs in has failed ({})", out.status),
            "log in again; run the same with kubectl to see what the program says",
        ),
        AuthError::ReadTokenFile(why, _) => {
            (format!("the file with the token cannot be read ({})", why.kind()), "log in again")
        }
        _ => ("the credentials of the kubeconfig cannot be used".to_owned(), "log in again"),
    };
    Trouble::new(format!("no login to {cluster}: {what}")).cure(cure)
}

/// No client can be made of a context.
pub(super) fn unusable(cluster: &Name, why: &kube::Error) -> Trouble {
    if let Some(auth) = causes(why).find_map(|cause| cause.downcast_ref()) {
        return no_login(cluster, auth);
    }
    Trouble::new(format!(
        "the kubeconfig cannot be used for {cluster}: its certificates, keys or proxy are wrong"
    ))
    .cure("kubectl config view --minify shows what it says, without the secrets")
}

/// There is no kubeconfig, or it cannot be read.
pub(super) fn no_kubeconfig(path: Option<&Path>, why: &KubeconfigError) -> Trouble {
    let try_it = format!(
        "without a cluster: {} demo --listen 127.0.0.1:8001 keeps one up to try things",
        crate::cli::print::program()
    );
    match why {
        KubeconfigError::ReadConfig(why, at) if why.kind() == io::ErrorKind::NotFound => {
            let from = match (path, std::env::var_os("KUBECONFIG").filter(|value| !value.is_empty())) {
                (Some(_), _) => "--kubeconfig names it",
                (None, Some(_)) => "the variable KUBECONFIG names it",
                (None, None) => "it is where kubectl looks as well",
            };
            Trouble::new(format!("there is no kubeconfig: {} does not exist ({from})", at.display()))
                .cure("name one with --kubeconfig FILE or the variable KUBECONFIG")
                .cure(try_it)
        }
        KubeconfigError::ReadConfig(why, at) => {
            Trouble::new(format!("the kubeconfig {} cannot be read: {}", at.display(), why.kind()))
        }
        KubeconfigError::FindPath => {
            Trouble::new("there is no kubeconfig: there is no home directory to look in")
                .cure("name one with --kubeconfig FILE or the variable KUBECONFIG")
                .cure(try_it)
        }
        KubeconfigError::KindMismatch | KubeconfigError::ApiVersionMismatch => Trouble::new(
            "the files in the variable KUBECONFIG do not fit together: their kinds or versions differ",
        ),
        _ => Trouble::new(match path {
            Some(path) => {
                format!("{} is no kubeconfig: it is no YAML, or its fields are wrong", path.display())
            }
            None => "the kubeconfig is none: it is no YAML, or its fields are wrong".to_owned(),
        })
        .cure("kubectl config view says where"),
    }
}

/// No context, or one that the kubeconfig does not have.
pub(super) fn no_context(asked: Option<&str>, kubeconfig: &Kubeconfig, contexts: &[String]) -> Trouble {
    let names: Vec<&str> = contexts.iter().map(String::as_str).collect();
    let trouble = match (asked, kubeconfig.current_context.as_deref().filter(|name| !name.is_empty())) {
        (Some(asked), _) => {
            let trouble = Trouble::new(format!("the kubeconfig has no context {asked}"));
            match crate::manifest::nearest(asked, names.iter().copied()) {
                Some(meant) => trouble.cure(format!("did you mean {meant}?")),
                None => trouble,
            }
        }
        (None, Some(current)) => {
            Trouble::new(format!("the current context of the kubeconfig, {current}, is not in it"))
        }
        (None, None) => Trouble::new("the kubeconfig has no current context"),
    };
    if names.is_empty() {
        return trouble.cure("it has no contexts at all: is it the right file?");
    }
    trouble.cure(format!("its contexts are: {}; choose one with --context", few(&names)))
}

/// A context that leads to no cluster or user.
pub(super) fn bad_context(context: &str, why: &KubeconfigError) -> Trouble {
    let what = wrong_in(why);
    Trouble::new(format!("the context {context} cannot be used: {what}")).cure(format!(
        "kubectl config view --minify --context {context} shows what it says, without the secrets"
    ))
}

/// The file that a flag of the controller names cannot be used.
pub(in crate::cli) fn unusable_config(path: &str, why: &KubeconfigError) -> Trouble {
    let what = match why {
        KubeconfigError::ReadConfig(why, _) => {
            return Trouble::new(format!("{path} cannot be read: {}", why.kind()));
        }
        KubeconfigError::Parse(_) => "it is no YAML, or its fields are wrong",
        why => wrong_in(why),
    };
    Trouble::new(format!("{path} cannot be used: {what}")).cure(format!(
        "kubectl config view --minify --kubeconfig {path} shows what it says, without the secrets"
    ))
}

/// What is wrong in a kubeconfig, without a word of what stands there.
fn wrong_in(why: &KubeconfigError) -> &'static str {
    match why {
        KubeconfigError::CurrentContextNotSet => "it has no current context",
        KubeconfigError::LoadContext(_) => "its current context is not in it",
        KubeconfigError::LoadClusterOfContext(_) => "the cluster that it names is not in the kubeconfig",
        KubeconfigError::MissingClusterUrl => "its cluster has no address (server)",
        KubeconfigError::ParseClusterUrl(_) => "the address of its cluster (server) is no URL",
        KubeconfigError::ParseProxyUrl(_) => "its proxy-url is no URL",
        KubeconfigError::LoadCertificateAuthority(_) => "the certificate-authority cannot be read",
        KubeconfigError::LoadClientCertificate(_) => "the client-certificate cannot be read",
        KubeconfigError::LoadClientKey(_) => "the client-key cannot be read",
        KubeconfigError::ParseCertificates(_) => "its certificates are no PEM",
        _ => "its user or cluster is not in the kubeconfig",
    }
}

/// Whether this process runs in a pod.
pub(super) fn is_in_pod() -> bool {
    std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
}
