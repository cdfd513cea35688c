//! What a Canary says of itself: enough for a row of the table, and for `vexil wait`.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::api::status::{Blocker, BlockerKind, CanaryStatus, PAUSED, Phase};
use crate::manifest::decode;

/// A Canary, read as far as it can be read.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Known {
    pub name: String,
    pub namespace: String,
    pub created: Option<DateTime<Utc>>,
    pub generation: i64,
    pub deleting: bool,
    pub suspended: bool,
    pub target: String,
    pub provider: String,
    pub threshold: Option<i64>,
    pub status: CanaryStatus,
}

impl Known {
    /// What `canary` says. A status that cannot be read counts as none.
    pub(super) fn of(canary: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (metadata, spec) = (&canary["metadata"], &canary["spec"]);
        let target = &spec["targetRef"];
        // The old name of the field still works.
        let analysis = if spec["analysis"].is_object() { &spec["analysis"] } else { &spec["canaryAnalysis"] };
        Self {
            name: text(&metadata["name"]),
            namespace: text(&metadata["namespace"]),
            created: metadata["creationTimestamp"].as_str().and_then(|at| at.parse().ok()),
            generation: metadata["generation"].as_i64().unwrap_or(0),
            deleting: metadata["deletionTimestamp"].is_string(),
            suspended: spec["suspend"] == true,
            target: format!("{}/{}", text(&target["kind"]).to_lowercase(), text(&target["name"])),
            provider: text(&spec["provider"]),
            threshold: analysis["threshold"].as_i64(),
            status: decode::status(&canary["status"]).unwrap_or_default(),
        }
    }

    /// `name.namespace`.
    pub(super) fn title(&self) -> String {
        format!("{}.{}", self.name, self.namespace)
    }

    /// The phase, for people: a Canary that no controller has seen yet has none.
    pub(super) fn phase(&self) -> &'static str {
        match self.status.phase {
            Phase::Unset => "–",
            phase => phase.as_str(),
        }
    }

    /// Status, reason and message of the condition `Ready`.
    pub(super) fn ready(&self) -> (&str, &str, &str) {
        self.status.condition("Ready").map_or(("", "", ""), |ready| {
            (ready.status.as_str(), ready.reason.as_str(), ready.message.as_str())
        })
    }

    /// How it is paused by hand, if it is.
    pub(super) fn paused(&self) -> Option<&str> {
        let message = &self.status.condition(PAUSED)?.message;
        Some(message.split_once(": ").map_or(message.as_str(), |(_, said)| said))
    }

    /// Why the controller does not go on with this manifest, if it does not.
    pub(super) fn refused(&self) -> Option<&str> {
        let stalled = self.status.condition("Stalled").filter(|stalled| stalled.status == "True")?;
        Some(&stalled.message)
    }

    /// What it waits for, in a word or two, and since when. What somebody has to do comes before what passes by itself.
    pub(super) fn waits(&self) -> Option<(String, Option<DateTime<Utc>>)> {
        if self.suspended {
            let since = self.blocker(BlockerKind::Suspended).and_then(|blocker| blocker.since);
            return Some(("spec.suspend".to_owned(), since));
        }
        let order = |blocker: &&Blocker| match blocker.kind {
            BlockerKind::Blocked | BlockerKind::Suspended => 0,
            BlockerKind::Paused => 1,
            BlockerKind::Gate | BlockerKind::Queue => 2,
            BlockerKind::Readiness | BlockerKind::Route | BlockerKind::Settling => 3,
            BlockerKind::Check => 4,
            BlockerKind::NextCheck => 5,
        };
        let first = self.status.blockers.iter().min_by_key(order)?;
        // The interval is waited for since the last step.
        let since = match first.kind {
            BlockerKind::NextCheck => self.status.last_check_time.or(first.since),
            _ => first.since,
        };
        Some((waits_for(first), since))
    }

    fn blocker(&self, kind: BlockerKind) -> Option<&Blocker> {
        self.status.blockers.iter().find(|blocker| blocker.kind == kind)
    }

    /// The versions of a release: what is released, or what was promoted.
    pub(super) fn images(&self) -> String {
        let revision = self.status.releasing.as_ref().or(self.status.promoted.as_ref());
        revision.map(|revision| revision.images.join(",")).unwrap_or_default()
    }
}

/// What stands in the way, in a word or two.
pub(super) fn waits_for(blocker: &Blocker) -> String {
    let named = |what: &str| match &blocker.name {
        Some(name) => format!("{what} {name}"),
        None => what.to_owned(),
    };
    match blocker.kind {
        BlockerKind::NextCheck => "next check".to_owned(),
        BlockerKind::Check => named("check"),
        BlockerKind::Readiness => "pods".to_owned(),
        BlockerKind::Gate => named("gate"),
        BlockerKind::Queue => "its turn".to_owned(),
        BlockerKind::Settling => "traffic to settle".to_owned(),
        BlockerKind::Route => "route to be accepted".to_owned(),
        BlockerKind::Blocked => "a change by you".to_owned(),
        BlockerKind::Suspended => "spec.suspend".to_owned(),
        BlockerKind::Paused => "resume".to_owned(),
    }
}
