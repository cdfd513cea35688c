//! What happens next in a release and when, and what somebody can do about it.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use crate::api::status::{BlockerKind, Phase};
use crate::cli::picture::words;
use crate::cli::print::program;
use crate::model::release::Release;
use crate::model::traffic::{Capabilities, RouteState};
use crate::rollout::strategy::{Advance, Position, advance};
use crate::router::registry;

use super::known::Known;

/// What happens next.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Next {
    /// A sentence.
    pub what: String,
    /// When, where the time is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<DateTime<Utc>>,
    /// What somebody can type.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<String>,
}

/// What happens next, as far as `canary`, its manifest and its routes tell.
pub(super) fn next(canary: &Known, release: Option<&Release>, routes: Option<RouteState>) -> Next {
    let command = |verb: &str| format!("{} {verb} {} -n {}", program(), canary.name, canary.namespace);
    let plain = |what: &str, commands: Vec<String>| Next { what: what.to_owned(), at: None, commands };
    let status = &canary.status;
    if canary.deleting {
        return plain("the Canary is being deleted", Vec::new());
    }
    if let Some(why) = canary.refused() {
        // Mostly it stands among the blockers as well.
        let shown = status.blockers.iter().any(|blocker| blocker.message == why);
        let why = if shown { String::new() } else { format!(": {why}") };
        return plain(&format!("nothing, before you have mended it{why}"), Vec::new());
    }
    if canary.suspended {
        return plain("nothing, before spec.suspend is false", Vec::new());
    }
    if canary.paused().is_some() {
        return plain("nothing, before it is resumed", vec![command("resume"), command("abort")]);
    }
    let gate = status.blockers.iter().find(|blocker| blocker.kind == BlockerKind::Gate);
    if let Some(gate) = gate {
        let name = gate.name.as_deref().unwrap_or_default();
        let then = match status.phase {
            Phase::Waiting => "the release starts",
            Phase::WaitingPromotion => "the revision is promoted",
            _ => "the release goes on",
        };
        let what = format!("{then} when gate {name} opens; it is asked again at each interval");
        return plain(&what, vec![command("approve"), command("abort")]);
    }
    let what = match status.phase {
        Phase::Unset => {
            let what = "a controller has to see the Canary: is one running that watches this namespace?";
            return plain(what, Vec::new());
        }
        Phase::Initializing => {
            "the primary is made from the target, and gets the traffic when its pods are ready"
        }
        Phase::Initialized | Phase::Succeeded => "the next change of the target starts a release",
        Phase::Failed => {
            let what =
                "this revision is not released again by itself; a change of the target starts a new release";
            return plain(what, vec![command("retry")]);
        }
        Phase::Waiting => "the release starts",
        Phase::Progressing | Phase::WaitingPromotion => return step(canary, release, routes),
        Phase::Promoting => "the primary gets the new revision, then the traffic",
        Phase::Finalising => "all traffic is on the primary, and the canary's pods go",
        Phase::Terminating => "what the Canary changed is given back",
        Phase::Terminated => "the Canary goes",
    };
    plain(what, Vec::new())
}

/// The next step of an analysis.
fn step(canary: &Known, release: Option<&Release>, routes: Option<RouteState>) -> Next {
    let status = &canary.status;
    let Some(release) = release else {
        return Next { what: "the next step".to_owned(), ..Next::default() };
    };
    let due = || {
        let interval = TimeDelta::from_std(release.analysis.interval).ok()?;
        status.last_check_time?.checked_add_signed(interval)
    };
    let said = status.blockers.iter().find(|blocker| blocker.kind == BlockerKind::NextCheck);
    let at = said.and_then(|blocker| blocker.until).or_else(due);
    let waits = |kind: BlockerKind| status.blockers.iter().find(|blocker| blocker.kind == kind);
    if let Some(unready) = waits(BlockerKind::Readiness) {
        let what = format!("the release goes on when the pods are ready: {}", unready.message);
        let given_up = unready.until.map(|until| format!("; at {} it is rolled back", words::clock(until)));
        return Next { what: what + &given_up.unwrap_or_default(), ..Next::default() };
    }
    if status.failed_checks >= release.analysis.threshold {
        return Next {
            what: "it is rolled back: too many checks have failed".to_owned(),
            at,
            commands: Vec::new(),
        };
    }
    let can = registry::router_of(release).map_or(Capabilities::NONE, |router| router.capabilities(release));
    let position = Position {
        share: routes.map_or(0, |routes| routes.split.canary()),
        mirrored: routes.is_some_and(|routes| routes.mirrored),
        iterations: status.iterations,
    };
    let then = match advance(&release.analysis, &can, position) {
        Advance::Shift { mirror: true, .. } => "requests are copied to the canary".to_owned(),
        Advance::Shift { split, .. } => format!("the canary gets {} % of the traffic", split.canary()),
        Advance::Iterate { of, .. } => format!("round {} of {of} follows", status.iterations + 1),
        Advance::RouteAll => "the canary gets all traffic".to_owned(),
        Advance::Promote { .. } => "the revision is promoted".to_owned(),
    };
    let condition = if position.at_start() { "" } else { ", if the checks pass" };
    let left = release.analysis.threshold - status.failed_checks;
    let more = if status.failed_checks > 0 { " more" } else { "" };
    let fails = if left == 1 {
        format!("1{more} failed check ends it")
    } else {
        format!("{left}{more} failed checks end it")
    };
    Next { what: format!("{then}{condition}; {fails}"), at, commands: Vec::new() }
}
