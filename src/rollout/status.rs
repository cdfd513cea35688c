//! Makes the new status from the old one and a step (spec 02 §1.11), with its conditions.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::status::{
    ALERTS_DELIVERED, ANALYSIS, APPROVED, CanaryCondition, CanaryStatus, PAUSED, POST_ROLLOUT, PROMOTE,
    Phase, REQUEST, SETTLING,
};
use crate::model::by_hand::Request;
use crate::model::release::{Problem, Release};
use crate::model::workload::TargetFacts;

use super::blockers;
use super::change;
use super::messages;
use super::snapshot::Snapshot;
use super::step::Reason;

/// The present status in phase `phase`, with the counters, conditions and times of that phase.
pub fn phase(world: &Snapshot, phase: Phase) -> CanaryStatus {
    let mut status = world.status.clone();
    status.phase = phase;
    drop_condition(&mut status, SETTLING);
    // WaitingPromotion keeps its counters as well: the traffic is still where it was.
    if !matches!(phase, Phase::Progressing | Phase::Waiting | Phase::WaitingPromotion | Phase::Promoting) {
        status.canary_weight = 0;
        status.iterations = 0;
        release_cookies(&mut status);
    }
    if phase.is_at_rest() {
        for kind in [PAUSED, APPROVED, PROMOTE] {
            drop_condition(&mut status, kind);
        }
    }
    if matches!(phase, Phase::Initialized | Phase::Succeeded) {
        status.last_promoted_spec = status.last_applied_spec.clone();
    }
    stamp(&mut status, &world.release, world.now);
    status
}

/// The status of a release that waits for its turn.
pub fn in_line(world: &Snapshot) -> CanaryStatus {
    let mut status = phase(world, Phase::Waiting);
    for (kind, value) in [("Promoted", "Unknown"), ("Ready", "Unknown"), ("Reconciling", "True")] {
        set(&mut status, kind, value, Phase::Waiting.as_str(), "Waiting for its turn.", world.now);
    }
    status
}

/// The status of a run that starts with the target as it is now.
pub fn started(world: &Snapshot, target: &TargetFacts) -> CanaryStatus {
    let mut status = phase(world, Phase::Progressing);
    status.canary_weight = 0;
    status.iterations = 0;
    status.failed_checks = 0;
    drop_condition(&mut status, POST_ROLLOUT);
    drop_condition(&mut status, APPROVED);
    for kind in [PAUSED, PROMOTE] {
        if status.said_of(kind, &target.revision).is_none() {
            drop_condition(&mut status, kind);
        }
    }
    status.measurements.clear();
    let differs = world.primary.as_ref().is_some_and(|primary| !primary.matches_target);
    if status.last_promoted_spec == target.revision && differs {
        // What the primary runs is not what is on record, so the record must not say that the promotion is done.
        status.last_promoted_spec = change::SUPERSEDED.to_owned();
    }
    record(&mut status, target);
    give_cookies(&mut status, world);
    checked(status, world)
}

/// Gives a run its cookies. They are in the status before they are in the routes, so that a crash in between loses none
/// (spec 02 E2.14). The primary's cookie is kept from run to run.
fn give_cookies(status: &mut CanaryStatus, world: &Snapshot) {
    release_cookies(status);
    let (Some(affinity), Some([canary, primary])) =
        (&world.release.analysis.session_affinity, &world.cookie_values)
    else {
        return;
    };
    if !world.capabilities.session_affinity {
        return;
    }
    status.session_affinity_cookie = Some(format!("{}={canary}", affinity.cookie_name));
    if let Some(name) = affinity.primary_cookie_name.as_deref().filter(|name| !name.is_empty()) {
        let kept = status
            .primary_session_affinity_cookie
            .take()
            .filter(|cookie| cookie.starts_with(&format!("{name}=")));
        status.primary_session_affinity_cookie = kept.or_else(|| Some(format!("{name}={primary}")));
    }
}

/// Makes the canary's cookie that of a run that is over: clients that hold it are told to drop it (spec 02 §2.7).
pub fn release_cookies(status: &mut CanaryStatus) {
    if let Some(cookie) = status.session_affinity_cookie.take().filter(|cookie| !cookie.is_empty()) {
        status.previous_session_affinity_cookie = Some(cookie);
    }
}

/// Records `target` as the last applied revision.
pub fn record(status: &mut CanaryStatus, target: &TargetFacts) {
    status.last_applied_spec = target.revision.clone();
    status.applied_target = Some(change::applied(target));
    status.tracked_configs = target.configs.clone();
}

/// `status` after a step that is decided now. The next step is due one interval later.
pub fn checked(mut status: CanaryStatus, world: &Snapshot) -> CanaryStatus {
    status.last_check_time = Some(world.now);
    status.blockers.clear();
    // Scalers edit the target as well: the fence is told of it with the next step.
    if let Ok(target) = &world.target
        && target.revision == status.last_applied_spec
    {
        status.applied_target = Some(change::applied(target));
    }
    status
}

/// `status`, decided at `decided`, as it is recorded at `now`: what a plan began, began with its last write, and writes
/// may be late.
pub fn as_of(status: &CanaryStatus, decided: DateTime<Utc>, now: DateTime<Utc>) -> CanaryStatus {
    let mut status = status.clone();
    let shift = |at: &mut Option<DateTime<Utc>>| {
        if *at == Some(decided) && decided < now {
            *at = Some(now);
        }
    };
    shift(&mut status.last_check_time);
    for condition in status.conditions.iter_mut().flatten() {
        shift(&mut condition.last_update_time);
        shift(&mut condition.last_transition_time);
    }
    status
}

/// Records that the traffic moves now. `next` is the phase that follows when the proxies know of it.
pub fn settle(status: &mut CanaryStatus, next: Phase, now: DateTime<Utc>) {
    drop_condition(status, SETTLING);
    let message = "Traffic has moved; the pods that lost it stay until every proxy has heard of it.";
    set(status, SETTLING, "True", next.as_str(), message, now);
}

/// Records that the post-rollout hooks are to be called, for a run that ended with `ending`.
pub fn close(status: &mut CanaryStatus, ending: &str, now: DateTime<Utc>) {
    drop_condition(status, POST_ROLLOUT);
    set(status, POST_ROLLOUT, "False", ending, "Post-rollout hooks are to be called.", now);
}

/// Records that the post-rollout hooks were called.
pub fn closed(status: &mut CanaryStatus) {
    drop_condition(status, POST_ROLLOUT);
}

/// Records a hold of this kind for `revision`: what somebody asked for by hand, until it is taken back.
pub fn hold(status: &mut CanaryStatus, kind: &str, revision: &str, text: &str, now: DateTime<Utc>) {
    set(status, kind, "True", "Requested", &format!("{revision}: {text}"), now);
}

/// Ends the hold of this kind.
pub fn unhold(status: &mut CanaryStatus, kind: &str) {
    drop_condition(status, kind);
}

/// Records the answer to a request by hand: whether it was granted, and a text for the one who asked.
pub fn answer(status: &mut CanaryStatus, request: &Request, granted: bool, text: &str, now: DateTime<Utc>) {
    let (value, reason) = if granted { ("True", "Granted") } else { ("False", "Refused") };
    set(status, REQUEST, value, reason, &format!("{}: {text}", request.text), now);
}

/// Whether `request` has an answer already.
pub fn is_answered(status: &CanaryStatus, request: &Request) -> bool {
    let answer =
        status.condition(REQUEST).and_then(|condition| condition.message.strip_prefix(&request.text));
    answer.is_some_and(|rest| rest.starts_with(": "))
}

/// When a failed revision was asked to be tried again, if that is the last request that was granted.
pub fn retried_at(status: &CanaryStatus) -> Option<DateTime<Utc>> {
    let answer = status.condition(REQUEST)?;
    let retry = answer.status == "True" && answer.message.starts_with("retry ");
    answer.last_update_time.filter(|_| retry)
}

/// Adds `items` to those that the condition `kind` has on record as not told yet. Only the newest 16 are kept, and of
/// those what fits.
pub fn owe<T: Clone + Serialize + DeserializeOwned>(
    status: &mut CanaryStatus,
    kind: &str,
    items: &[T],
    now: DateTime<Utc>,
) {
    if items.is_empty() {
        return;
    }
    let mut all = owed(status, kind);
    all.extend_from_slice(items);
    let mut newest = &all[all.len().saturating_sub(OWED)..];
    // Plain texts, words and times: they always have a JSON form.
    let mut list = serde_json::to_string(newest).unwrap_or_default();
    while list.len() > OWED_BYTES && newest.len() > 1 {
        newest = &newest[1..];
        list = serde_json::to_string(newest).unwrap_or_default();
    }
    set(status, kind, "False", "Pending", &list, now);
}

/// What the condition `kind` has on record as not told yet.
pub fn owed<T: DeserializeOwned>(status: &CanaryStatus, kind: &str) -> Vec<T> {
    let list = status.condition(kind).map_or("", |condition| condition.message.as_str());
    serde_json::from_str(list).unwrap_or_default()
}

/// Records that all is told that the condition `kind` had on record.
pub fn paid(status: &mut CanaryStatus, kind: &str) {
    drop_condition(status, kind);
}

/// Records whom alerts do not reach, by reason and message; or that they reach everybody.
pub fn alerts_delivered(status: &mut CanaryStatus, fault: Option<(&str, &str)>, now: DateTime<Utc>) {
    match fault {
        Some((reason, message)) => set(status, ALERTS_DELIVERED, "False", reason, message, now),
        None => drop_condition(status, ALERTS_DELIVERED),
    }
}

/// The present status, with the conditions and times that a write now gives it.
pub fn touched(world: &Snapshot) -> CanaryStatus {
    let mut status = world.status.clone();
    stamp(&mut status, &world.release, world.now);
    status
}

/// The present status, with the condition that the analysis cannot be asked, or without it. At rest `Ready` says it as
/// well.
pub fn analysis(world: &Snapshot, problems: Option<&str>) -> CanaryStatus {
    let mut status = world.status.clone();
    match problems {
        Some(problems) => set(&mut status, ANALYSIS, "False", ANALYSIS_UNUSABLE, problems, world.now),
        None => drop_condition(&mut status, ANALYSIS),
    }
    stamp(&mut status, &world.release, world.now);
    status
}

/// The present status, with the reason why it cannot go on.
pub fn blocked(world: &Snapshot, reason: &str, message: &str) -> CanaryStatus {
    let mut status = world.status.clone();
    status.last_transition_time = Some(world.now);
    status.observed_generation = Some(world.release.generation);
    stall(&mut status, reason, message, world.now);
    status
}

/// The status of a Canary whose manifest cannot be used. Everything else in it stays, so that nothing is lost; a new one
/// waits for its initialization, which `kubectl get` shows instead of nothing.
pub fn refused(
    observed: &CanaryStatus,
    generation: i64,
    problems: &[Problem],
    now: DateTime<Utc>,
) -> CanaryStatus {
    let mut status = observed.clone();
    if status.phase == Phase::Unset {
        status.phase = Phase::Initializing;
    }
    status.observed_generation = Some(generation);
    status.last_transition_time = Some(now);
    let text = problem_text(problems);
    stall(&mut status, "InvalidSpec", &text, now);
    status.blockers =
        blockers::since(&observed.blockers, blockers::blocker(&Reason::Blocked(text), None), now);
    status
}

/// The status of a Canary whose writes the API refuses again and again: it says so instead of promising the next check.
pub fn write_refused(world: &Snapshot, message: &str) -> CanaryStatus {
    let mut status = blocked(world, "WriteRefused", message);
    let blocker = blockers::blocker(&Reason::Blocked(message.to_owned()), None);
    status.blockers = blockers::since(&world.status.blockers, blocker, world.now);
    status
}

/// The problems of a manifest as one sentence.
pub fn problem_text(problems: &[Problem]) -> String {
    let list: Vec<String> = problems
        .iter()
        .map(|problem| match problem.field.as_str() {
            "" => problem.message.clone(),
            field if problem.message.contains(field) => problem.message.clone(),
            field => format!("{field}: {}", problem.message),
        })
        .collect();
    format!("invalid canary spec: {}", list.join("; "))
}

/// Whether two statuses differ in more than the times of the write.
pub fn differs(old: &CanaryStatus, new: &CanaryStatus) -> bool {
    let mut old = old.clone();
    old.last_transition_time = new.last_transition_time;
    old != *new
}

fn stamp(status: &mut CanaryStatus, release: &Release, now: DateTime<Utc>) {
    status.last_transition_time = Some(now);
    status.observed_generation = Some(release.generation);
    let kind = release.target.kind.as_str();
    let phase = status.phase;
    let (promoted, message) = match phase {
        Phase::Initialized => ("True", format!("{kind} initialization completed.")),
        Phase::Waiting | Phase::WaitingPromotion => ("Unknown", "Waiting for approval.".to_owned()),
        Phase::Progressing => ("Unknown", "New revision detected, progressing canary analysis.".to_owned()),
        Phase::Promoting => {
            ("Unknown", "Canary analysis completed, starting primary rolling update.".to_owned())
        }
        Phase::Finalising => {
            ("Unknown", "Canary analysis completed, routing all traffic to primary.".to_owned())
        }
        Phase::Succeeded => {
            ("True", "Canary analysis completed successfully, promotion finished.".to_owned())
        }
        Phase::Failed => ("False", format!("Canary analysis failed, {kind} scaled to zero.")),
        Phase::Terminating | Phase::Terminated => ("Unknown", "Canary is being finalized.".to_owned()),
        Phase::Unset | Phase::Initializing => {
            ("Unknown", format!("New {kind} detected, starting initialization."))
        }
    };
    let (ready, reconciling) = match phase {
        Phase::Initialized | Phase::Succeeded => ("True", false),
        Phase::Failed => ("False", false),
        _ => ("Unknown", true),
    };
    set(status, "Promoted", promoted, phase.as_str(), &message, now);
    match status.condition(ANALYSIS).map(|condition| condition.message.clone()) {
        Some(problems) if ready == "True" => {
            let message = messages::analysis_unusable(&problems);
            set(status, "Ready", "False", ANALYSIS_UNUSABLE, &message, now);
        }
        _ => set(status, "Ready", ready, phase.as_str(), &message, now),
    }
    // kstatus: these two are only there while they are true.
    drop_condition(status, "Stalled");
    if reconciling {
        set(status, "Reconciling", "True", phase.as_str(), &message, now);
    } else {
        drop_condition(status, "Reconciling");
    }
}

fn stall(status: &mut CanaryStatus, reason: &str, message: &str, now: DateTime<Utc>) {
    set(status, "Ready", "False", reason, message, now);
    drop_condition(status, "Reconciling");
    set(status, "Stalled", "True", reason, message, now);
}

fn set(status: &mut CanaryStatus, kind: &str, value: &str, reason: &str, message: &str, now: DateTime<Utc>) {
    let conditions = status.conditions.get_or_insert_default();
    let fresh = CanaryCondition {
        kind: kind.to_owned(),
        status: value.to_owned(),
        last_update_time: Some(now),
        last_transition_time: Some(now),
        reason: reason.to_owned(),
        message: message.to_owned(),
    };
    match conditions.iter_mut().find(|condition| condition.kind == kind) {
        Some(present)
            if present.status == value && present.reason == reason && present.message == message => {}
        Some(present) => {
            let since = if present.status == value { present.last_transition_time } else { Some(now) };
            *present = CanaryCondition { last_transition_time: since, ..fresh };
        }
        None => conditions.push(fresh),
    }
}

fn drop_condition(status: &mut CanaryStatus, kind: &str) {
    if let Some(conditions) = &mut status.conditions {
        conditions.retain(|condition| condition.kind != kind);
    }
}

/// The present status without the condition `Stalled`; unchanged if it has none.
pub fn touched_if_stalled(world: &Snapshot) -> CanaryStatus {
    if world.status.condition("Stalled").is_some() { touched(world) } else { world.status.clone() }
}

/// The reason of conditions that say that checks of the analysis cannot be asked.
pub const ANALYSIS_UNUSABLE: &str = "AnalysisUnusable";

/// The most alerts, or events, that are kept on record, and their length together.
const OWED: usize = 16;
const OWED_BYTES: usize = 16 * 1024;
