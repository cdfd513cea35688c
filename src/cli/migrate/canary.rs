//! Checks of a Canary before Vexil takes it over.

use std::sync::Arc;

use serde_json::Value;

use crate::api::status::{CanaryStatus, Phase};
use crate::cli::check::asker::NotAsked;
use crate::cli::check::finding::{Check, Finding};
use crate::controller::shadow::{Change, Does, Entry};
use crate::model::release::{Reading, Release, Settings};

use super::differences;

/// What there is to know of a Canary.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub canary: Arc<Value>,
    /// The manifest as the controller reads it.
    pub reading: Reading,
    /// The release, also one that is refused.
    pub release: Option<Release>,
    pub status: CanaryStatus,
    /// What the controller would do with it; `None` if it could not look.
    pub entry: Option<Entry>,
    /// The workload of the release, if it can be read.
    pub target: Option<Value>,
    pub settings: Settings,
    /// Whether files stand for the cluster.
    pub files: bool,
}

impl Facts {
    pub(super) fn name(&self) -> &str {
        self.canary["metadata"]["name"].as_str().unwrap_or_default()
    }

    pub(super) fn namespace(&self) -> &str {
        self.canary["metadata"]["namespace"].as_str().unwrap_or_default()
    }

    /// `frontend.shop`.
    pub(super) fn title(&self) -> String {
        format!("{}.{}", self.name(), self.namespace())
    }

    /// Why nothing is said of what the controller would do; `None` if something can be said.
    pub(super) fn silent(&self) -> Option<Finding> {
        if self.reading.release.is_err() {
            return Some(Finding::skipped("its manifest is refused"));
        }
        if self.settings.remote_mesh {
            return Some(Finding::skipped("the routes are in another cluster (-kubeconfig-service-mesh)"));
        }
        if self.files && self.target.is_none() {
            return Some(Finding::skipped("its target is not in the files"));
        }
        if self.entry.is_none() {
            let why = "the controller's look at it did not come to an end within a minute";
            return Some(Finding::unasked(&NotAsked {
                cure: "it has to list and watch all kinds that the Canary leads to: ask as an administrator"
                    .to_owned(),
                ..NotAsked::new(why)
            }));
        }
        None
    }
}

pub(super) const CHECKS: &[Check<Facts>] = &[
    Check { id: "migrate-usable", title: "Vexil can release it", judge: usable },
    Check { id: "migrate-warnings", title: "its manifest means the same to Vexil", judge: warnings },
    Check { id: "migrate-at-rest", title: "no release is under way", judge: at_rest },
    Check { id: "migrate-adopted", title: "Vexil takes it over as it is", judge: adopted },
    Check { id: "migrate-objects", title: "the take-over changes none of its objects", judge: objects },
    Check {
        id: "migrate-differences",
        title: "nothing of it is among what Vexil does otherwise",
        judge: differences::judge,
    },
];

fn usable(it: &Facts) -> Vec<Finding> {
    match &it.reading.release {
        Ok(_) => match it.entry.as_ref().map(|entry| &entry.next.does) {
            // What only the cluster shows, such as another Canary with the same target.
            Some(Does::Refuse { why }) => Finding::wrong(
                why.clone(),
                "correct it before the take-over; Vexil leaves the traffic as it is",
            )
            .alone(),
            _ => Finding::fine("").alone(),
        },
        Err(problems) => {
            let cure = "correct the field before the take-over; Vexil leaves the traffic as it is";
            let each = problems.iter();
            each.map(|one| Finding::wrong(one.message.clone(), cure).about(one.field.as_str())).collect()
        }
    }
}

fn warnings(it: &Facts) -> Vec<Finding> {
    let mut found: Vec<Finding> = it
        .reading
        .warnings
        .iter()
        .map(|one| {
            Finding::warning(one.message.clone(), "write it as it says, and the warning goes")
                .about(one.field.as_str())
        })
        .collect();
    // What the controller would say in an event, and has not been said yet.
    let said = |text: &str| it.reading.warnings.iter().any(|one| text.contains(&one.message));
    let warns = it.entry.iter().flat_map(|entry| &entry.next.warns).filter(|text| !said(text));
    found
        .extend(warns.map(|text| {
            Finding::warning(text.clone(), "do what it asks for, before or after the take-over")
        }));
    if found.is_empty() { Finding::fine("").alone() } else { found }
}

fn at_rest(it: &Facts) -> Vec<Finding> {
    let wait = format!(
        "wait until it is over: kubectl -n {} wait canary/{} --for=condition=Promoted --timeout=1h",
        it.namespace(),
        it.name()
    );
    let finding = match it.status.phase {
        phase if phase.is_at_rest() => Finding::fine(phase.as_str()),
        Phase::Unset => Finding::warning(
            "no controller has looked at it yet: Vexil would initialise it",
            "wait until Flagger has, or let Vexil do it",
        ),
        Phase::Initializing => Finding::warning(
            "it is being initialised: Vexil goes on with that, and no release is before it",
            wait,
        ),
        Phase::Terminating | Phase::Terminated => Finding::warning(
            "it is being deleted: Vexil would give back what it changed",
            "wait until it is gone, or let Vexil do it",
        ),
        // Flagger writes weight 0 behind this gate, whatever the routes say (spec 01 EC-6).
        Phase::WaitingPromotion => Finding::wrong(
            "it waits at the gate of its promotion, where Flagger's status does not say which weight the canary has: \
             Vexil would take the traffic from the canary, and analyse it once more",
            wait,
        ),
        phase => Finding::warning(
            format!(
                "it is {} at weight {}: Vexil goes on from there, and checks by its own rules",
                phase.as_str(),
                it.status.canary_weight
            ),
            wait,
        ),
    };
    finding.alone()
}

fn adopted(it: &Facts) -> Vec<Finding> {
    if let Some(silent) = it.silent() {
        return silent.alone();
    }
    let Some(entry) = &it.entry else { return Vec::new() };
    let next = entry.next.to_string();
    let finding = match &entry.next.does {
        Does::Rest => Finding::fine("no release starts"),
        Does::Step { .. } if it.status.phase == Phase::Unset => Finding::fine("it initialises it"),
        Does::Check { .. } if !it.status.phase.is_at_rest() => Finding::fine("it goes on at its weight"),
        Does::Step { to, .. } if it.status.phase.is_at_rest() => Finding::warning(
            format!("a release starts at once, to {to}: the primary does not run what the target asks for"),
            "somebody changed the target since Flagger looked, or the primary: release it with Flagger first, or expect it",
        ),
        Does::Check { .. } => Finding::warning(
            format!("a release is to begin: {next}"),
            "somebody changed the target since Flagger looked: release it with Flagger first, or expect it",
        ),
        Does::Step { .. } => Finding::fine(format!("it goes on: {next}")),
        Does::Refuse { .. } => Finding::skipped("it is refused"),
        Does::Wait { why, .. } => {
            Finding::warning(format!("Vexil would wait: {why}"), "do what it waits for before the take-over")
        }
        Does::Unknown { why } => Finding::warning(
            why.clone(),
            "look at the object that it speaks of; it is missing, or not as it was left",
        ),
    };
    finding.alone()
}

fn objects(it: &Facts) -> Vec<Finding> {
    if let Some(silent) = it.silent() {
        return silent.alone();
    }
    match it.status.phase {
        phase if phase.is_at_rest() => {}
        Phase::Unset | Phase::Initializing => {
            return Finding::skipped("it is not initialised yet: most of them are still to be made").alone();
        }
        Phase::Terminating | Phase::Terminated => {
            return Finding::skipped("it is being deleted: its objects are given back").alone();
        }
        _ => return Finding::skipped("a release is under way: its own writes come in between").alone(),
    }
    let Some(entry) = &it.entry else { return Vec::new() };
    // A release that begins writes as well, and that is told by another check.
    if matches!(entry.next.does, Does::Step { .. }) {
        return Finding::skipped("a release starts at once").alone();
    }
    let (marks, rest): (Vec<&Change>, Vec<&Change>) =
        entry.next.writes.iter().partition(|one| only_marks(one));
    let mut found: Vec<Finding> = rest
        .iter()
        .map(|change| {
            let says = match change.does {
                "create" => "it is missing, and would be made".to_owned(),
                "delete" => "it would be deleted".to_owned(),
                _ => change.fields.join("\n"),
            };
            Finding::warning(
                says,
                "if that is not what you want, say it in the Canary (spec.service): its objects follow that",
            )
            .about(change.object.as_str())
        })
        .collect();
    if found.is_empty() {
        let labels = match marks.len() {
            0 => String::new(),
            marks => format!("{marks} get a label or an annotation"),
        };
        found.push(Finding::fine(labels));
    }
    found
}

/// Whether a change concerns nothing but labels and annotations.
fn only_marks(change: &Change) -> bool {
    let mark =
        |field: &String| field.starts_with("metadata.labels") || field.starts_with("metadata.annotations");
    change.does == "change" && change.fields.iter().all(mark)
}
