//! What is known of a target and its primary: the words that the core and the workloads share.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::object::Write;

/// The target as observed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TargetFacts {
    pub uid: String,
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
    pub replicas: i32,
    pub ready_pods: i32,
    /// Judged against the primary's threshold and deadline.
    pub readiness: Readiness,
    /// Whether its template, with the ConfigMaps and Secrets that it refers to, is what the target's would be
    /// rewritten to.
    pub matches_target: bool,
    /// Whether it runs other contents of these than the target has now.
    pub other_configs: bool,
}

/// Whether a workload is ready, and if not, why, with the numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Readiness {
    Ready,
    /// Not yet. Turns into `Stuck` at `stuck_at` if nothing changes before.
    Waiting {
        why: String,
        stuck_at: Option<DateTime<Utc>>,
    },
    /// Past its deadline: will not become ready by waiting.
    Stuck {
        why: String,
    },
}

impl Readiness {
    /// Whether the cluster has only not looked at the last edit yet. That passes by itself within moments and is
    /// nothing to tell anybody.
    pub fn is_unobserved(&self) -> bool {
        matches!(self, Self::Waiting { why, .. } if why.ends_with("less than desired generation"))
    }

    pub fn is_ready(&self) -> bool {
        *self == Self::Ready
    }
}

/// Whether a wanted object is there as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Presence {
    Absent,
    /// There, but not as it should be.
    Drifted,
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
    /// First of the selector labels that the target's selector has, and its value.
    pub label_key: String,
    pub label_value: String,
    /// Ports found by `service.portDiscovery`, without the main one.
    pub ports: Vec<DiscoveredPort>,
}

/// A container port that becomes a port of the generated Services.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DiscoveredPort {
    pub name: String,
    pub port: i32,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
}
