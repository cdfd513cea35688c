//! What is known of a target and its primary: the words that the core and the workloads share.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};

use super::object::Write;

/// The target as observed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TargetFacts {
    /// `metadata.uid` of the target.
    pub uid: String,
    /// `metadata.generation` of the target.
    pub generation: i64,
    /// Identity of the pod template: our own hash, see [`is_own_revision`].
    pub revision: String,
    /// Replicas asked for. A DaemonSet counts as 1, and as 0 while it is parked.
    pub replicas: i32,
    /// Pods that can serve now.
    pub ready_pods: i32,
    /// Judged against the canary's threshold and deadline.
    pub readiness: Readiness,
    /// ConfigMaps and Secrets that it refers to, with their checksums; `None` while tracking is off, or while they
    /// are not known.
    pub configs: Option<BTreeMap<String, String>>,
    /// One that it cannot do without and that does not exist, or cannot be read; the text is for the user.
    pub config_problem: Option<String>,
}

/// The primary as observed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PrimaryFacts {
    /// Replicas asked for, counted as those of the target.
    pub replicas: i32,
    /// Pods that can serve now.
    pub ready_pods: i32,
    /// Judged against the primary's threshold and deadline.
    pub readiness: Readiness,
    /// Whether its template, with the ConfigMaps and Secrets that it refers to, is what the target's would be
    /// rewritten to.
    pub matches_target: bool,
    /// Whether it runs other contents of these than the target has now.
    pub other_configs: bool,
    /// Whether a promotion replaces all its pods at once, so that for a time none is ready.
    pub replaced_at_once: bool,
}

/// Whether a workload is ready, and if not, why, with the numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Readiness {
    /// It is ready.
    Ready,
    /// Not yet. Turns into `Stuck` at `stuck_at` if nothing changes before.
    Waiting {
        /// What it lacks.
        why: Unready,
        /// When its deadline is over.
        stuck_at: Option<DateTime<Utc>>,
    },
    /// Past its deadline: will not become ready by waiting.
    Stuck {
        /// What it lacks.
        why: Unready,
    },
}

impl Readiness {
    /// Whether the cluster has only not looked at the last edit yet. That passes by itself within moments and is
    /// nothing to tell anybody.
    pub fn is_unobserved(&self) -> bool {
        matches!(self, Self::Waiting { why: Unready { lack: Lack::Unobserved(_), .. }, .. })
    }

    /// Whether it is ready.
    pub fn is_ready(&self) -> bool {
        *self == Self::Ready
    }
}

/// The reason why a workload is not ready. Decisions look at its parts; the sentence for people is its `Display`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unready {
    /// The workload that the sentence names, if it names one.
    pub subject: Option<Subject>,
    /// What the workload lacks.
    pub lack: Lack,
    /// Name of the Deployment, if it is paused: then nothing changes before somebody resumes it.
    pub paused: Option<String>,
}

/// The workload that a reason is about, with its title (`name.namespace`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A Deployment that is the target.
    CanaryDeployment(String),
    /// A Deployment that is the primary.
    PrimaryDeployment(String),
    /// A DaemonSet that is the target.
    CanaryDaemonSet(String),
    /// A DaemonSet that is the primary.
    PrimaryDaemonSet(String),
}

/// What a workload lacks to be ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lack {
    /// Its controller has not looked at the last edit yet.
    Unobserved(Form),
    /// It is scaled to zero.
    NothingWanted(Form),
    /// No node takes a pod of a DaemonSet.
    NoNodeFits,
    /// Pods of the new revision are still to be created.
    NotUpdated {
        /// The kind of the workload.
        form: Form,
        /// Pods of the new revision that there are.
        updated: i32,
        /// Pods that there should be.
        wanted: i32,
    },
    /// Pods of the old revision are still to go.
    OldReplicas(i32),
    /// Fewer pods are available than the threshold, in percent, asks for.
    NotAvailable {
        /// The kind of the workload.
        form: Form,
        /// Pods that are available.
        available: i32,
        /// Pods that have to be.
        needed: i32,
        /// The threshold, in percent of the pods.
        threshold: u32,
    },
    /// The Deployment of this name reports that its own deadline is over.
    PastOwnDeadline(String),
    /// The Canary's deadline is over.
    PastDeadline(Duration),
    /// Something else, in words for the user.
    Other(String),
}

/// The kind of workload whose rollout is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A Deployment.
    Deployment,
    /// A DaemonSet.
    DaemonSet,
}

impl Form {
    fn kind(self) -> &'static str {
        match self {
            Self::Deployment => "deployment",
            Self::DaemonSet => "daemonset",
        }
    }

    fn pods(self) -> &'static str {
        match self {
            Self::Deployment => "replicas",
            Self::DaemonSet => "pods",
        }
    }
}

impl From<Lack> for Unready {
    fn from(lack: Lack) -> Self {
        Self { subject: None, lack, paused: None }
    }
}

impl From<String> for Unready {
    fn from(text: String) -> Self {
        Lack::Other(text).into()
    }
}

impl From<&str> for Unready {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl fmt::Display for Unready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subject {
            None => {}
            Some(Subject::CanaryDeployment(title)) => write!(f, "canary deployment {title} not ready: ")?,
            Some(Subject::PrimaryDeployment(title)) => write!(f, "{title} not ready: ")?,
            // Flagger's text, typing error and all.
            Some(Subject::CanaryDaemonSet(title)) => {
                let retryable = !matches!(self.lack, Lack::PastDeadline(_));
                write!(f, "canary damonset {title} not ready with retryable {retryable}: ")?;
            }
            Some(Subject::PrimaryDaemonSet(title)) => write!(f, "primary daemonset {title} not ready: ")?,
        }
        write!(f, "{}", self.lack)?;
        match &self.paused {
            Some(name) => write!(f, ", deployment \"{name}\" is paused, set spec.paused to false"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const WAITING: &str = "waiting for rollout to finish: ";
        match self {
            Self::Unobserved(form) => {
                write!(f, "{WAITING}observed {} generation less than desired generation", form.kind())
            }
            Self::NothingWanted(form) => write!(f, "{WAITING}0 {} wanted", form.pods()),
            Self::NoNodeFits => write!(f, "{WAITING}0 pods wanted, no node fits"),
            Self::NotUpdated { form, updated, wanted } => {
                write!(f, "{WAITING}{updated} out of {wanted} new {} have been updated", form.pods())
            }
            Self::OldReplicas(count) => write!(f, "{WAITING}{count} old replicas are pending termination"),
            Self::NotAvailable { form, available, needed, threshold } => write!(
                f,
                "{WAITING}{available} of {needed} (readyThreshold {threshold}%) updated {} are available",
                form.pods()
            ),
            Self::PastOwnDeadline(name) => write!(f, "deployment \"{name}\" exceeded its progress deadline"),
            Self::PastDeadline(deadline) => {
                write!(f, "exceeded its progressDeadlineSeconds: {}", deadline.as_secs())
            }
            Self::Other(text) => f.write_str(text),
        }
    }
}

/// It is printed as a sentence, which is what a reader of a snapshot needs.
impl Serialize for Unready {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Whether a wanted object is there as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Presence {
    /// It does not exist.
    Absent,
    /// It exists, but not as it should be.
    Drifted,
    /// It is there as it should be.
    InPlace,
    /// It cannot be brought into place; the text is for the user.
    Refused(String),
}

impl Presence {
    /// What the writes that would bring an object into place say of it.
    pub fn of(writes: &[Write]) -> Self {
        match writes.first() {
            None => Self::InPlace,
            Some(Write::Create { .. }) => Self::Absent,
            Some(_) => Self::Drifted,
        }
    }
}

/// Prefix of the revisions that this controller computes. Flagger's own consist of other characters, so the two
/// cannot be confused. The digit changes whenever the computation does.
pub const REVISION_PREFIX: &str = "vx1-";

/// Whether `revision` was computed by this version of the controller, so that it may be compared.
pub fn is_own_revision(revision: &str) -> bool {
    revision.starts_with(REVISION_PREFIX)
}

/// What routers need to know of the target: how its pods are selected and which ports they have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TargetShape {
    /// The first of the selector labels that the target's selector has.
    pub label_key: String,
    /// The value of that label.
    pub label_value: String,
    /// Ports found by `service.portDiscovery`, without the main one.
    pub ports: Vec<DiscoveredPort>,
    /// The same of the primary, once there is one: between two promotions it may differ from the target.
    pub primary: Option<PrimaryShape>,
}

/// How the primary's pods are selected, and which ports they have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PrimaryShape {
    /// The label by which Services select its pods.
    pub label_key: String,
    /// The value of that label.
    pub label_value: String,
    /// Ports found by `service.portDiscovery`, without the main one.
    pub ports: Vec<DiscoveredPort>,
}

impl TargetShape {
    /// The primary as it is, or as it would be created from the target now.
    pub fn of_primary(&self) -> PrimaryShape {
        self.primary.clone().unwrap_or_else(|| PrimaryShape {
            label_key: self.label_key.clone(),
            label_value: format!("{}-primary", self.label_value),
            ports: self.ports.clone(),
        })
    }
}

/// A container port that becomes a port of the generated Services.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DiscoveredPort {
    /// The name of the port.
    pub name: String,
    /// Its number.
    pub port: i32,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_edit_that_nobody_has_looked_at_is_kept_quiet() {
        let waiting = |why: Unready| Readiness::Waiting { why, stuck_at: None };
        let behind = Unready {
            subject: Some(Subject::PrimaryDeployment("podinfo-primary.test".into())),
            ..Lack::Unobserved(Form::Deployment).into()
        };
        assert_eq!(
            behind.to_string(),
            "podinfo-primary.test not ready: waiting for rollout to finish: \
             observed deployment generation less than desired generation"
        );
        assert!(waiting(behind).is_unobserved());
        // A text that only ends like it, from somebody else.
        assert!(!waiting("no pod: less than desired generation".into()).is_unobserved());
    }

    #[test]
    fn a_snapshot_is_printed_with_the_sentence() {
        let why = Unready { paused: Some("podinfo".into()), ..Lack::OldReplicas(2).into() };
        let printed = serde_json::to_value(Readiness::Stuck { why }).expect("json");
        let sentence = "waiting for rollout to finish: 2 old replicas are pending termination, \
                        deployment \"podinfo\" is paused, set spec.paused to false";
        assert_eq!(printed, serde_json::json!({"Stuck": {"why": sentence}}));
    }
}
