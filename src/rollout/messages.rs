//! All texts of events and alerts, in one list (spec 01 §8, 02 §1.12). The spec writes `{c}` for `release.title()` and
//! `{t}` for `release.target_title()`.

use crate::api::hooks::Severity;
use crate::api::status::Phase;
use crate::model::by_hand::Request;
use crate::model::release::Release;
use crate::model::workload::Presence;

use super::snapshot::Snapshot;
use super::step::{Alert, Event, EventKind, Reason};

/// A Normal event that carries the phase `phase`.
pub fn normal(phase: Phase, message: impl Into<String>) -> Event {
    Event { kind: EventKind::Normal, message: message.into(), phase }
}

/// A Warning event that carries the phase `phase`.
pub fn warning(phase: Phase, message: impl Into<String>) -> Event {
    Event { kind: EventKind::Warning, message: message.into(), phase }
}

/// The event that alerts do not reach somebody.
pub fn undelivered(phase: Phase, why: &str) -> Event {
    warning(phase, format!("Alerts are not delivered: {why}"))
}

/// A Warning event that is logged as an error.
pub fn error(phase: Phase, message: impl Into<String>) -> Event {
    Event { kind: EventKind::Error, message: message.into(), phase }
}

/// An alert that does not carry the fields that describe the release.
pub fn alert(severity: Severity, message: impl Into<String>) -> Alert {
    Alert { severity, message: message.into(), metadata: false, moment: None }
}

/// An alert that carries the fields that describe the release.
pub fn alert_with_fields(severity: Severity, message: impl Into<String>) -> Alert {
    Alert { severity, message: message.into(), metadata: true, moment: None }
}

/// The event while `spec.suspend` is true.
pub const SUSPENDED: &str = "skipping canary run as object is suspended";
/// The event when every metric provider has answered.
pub const PROVIDERS_AVAILABLE: &str = "all the metrics providers are available!";
/// The event when the primary gets all traffic back.
pub const ROUTE_ALL_TO_PRIMARY: &str = "Routing all traffic to primary";
/// The event when Blue/Green moves all traffic to the canary.
pub const ROUTE_ALL_TO_CANARY: &str = "Routing all traffic to canary";
/// The event when Blue/Green moves all traffic to a canary that was mirrored to.
pub const STOP_MIRRORING: &str = "Stop traffic mirroring and route all traffic to canary";
/// The alert after a promotion whose checks passed.
pub const COMPLETED_ALERT: &str = "Canary analysis completed successfully, promotion finished.";
/// The alert after a promotion without an analysis.
pub const SKIPPED_ALERT: &str = "Canary analysis was skipped, promotion finished.";
/// The alert when the release of a new revision starts.
pub const STARTED_ALERT: &str = "New revision detected, progressing canary analysis.";
/// The alert when a confirm-rollout gate is closed.
pub const WAITING_ALERT: &str = "Canary is waiting for approval.";
/// The alert when a confirm-promotion gate is closed.
pub const WAITING_PROMOTION_ALERT: &str = "Canary promotion is waiting for approval.";
/// The alert when a confirm-traffic-increase gate is closed.
pub const WAITING_TRAFFIC_ALERT: &str = "Canary traffic increase is waiting for approval.";
/// The alert when a rollback hook has asked for a rollback.
pub const MANUAL_ROLLBACK_ALERT: &str = "Rolling back manual webhook invoked";

/// The event when a metric provider does not answer.
pub fn providers_unavailable(error: &str) -> String {
    format!("Error checking metric providers: {error}")
}

/// What is said when checks of the analysis cannot be asked; `problems` says why.
pub fn analysis_unusable(problems: &str) -> String {
    format!("The analysis cannot be asked: {problems}")
}

/// The event when what was wrong with the analysis is mended.
pub const ANALYSIS_USABLE: &str = "The analysis can be asked";

/// The event when something was wrong with the analysis, and it is not to be made now.
pub const ANALYSIS_SKIPPED: &str = "The analysis is skipped, it need not be asked";

/// What is said when a release does not start because its analysis cannot be asked.
pub fn not_started(release: &Release, problems: &str) -> String {
    format!(
        "Halt {} advancement the analysis cannot be asked: {problems}. The release starts as soon as that is mended; \
         spec.skipAnalysis: true promotes without an analysis",
        release.title()
    )
}

/// The event when `spec.targetRef` names another object than before.
pub fn another_target(release: &Release) -> String {
    format!("The target is {} {} now, initializing it", release.target.kind.as_str(), release.target_title())
}

/// The event when primary, Services and routes of a new Canary are ready.
pub fn initialized(release: &Release) -> String {
    format!("Initialization done! {}", release.title())
}

/// The alert when primary, Services and routes of a new Canary are ready.
pub fn initialized_alert(release: &Release) -> String {
    format!("New {} detected, initialization completed.", release.target.kind.as_str())
}

/// The event when the release of a new revision starts.
pub fn detected(release: &Release) -> String {
    format!("New revision detected! Scaling up {}", release.target_title())
}

/// The event when a newer revision restarts the analysis.
pub fn restarted(release: &Release) -> String {
    format!("New revision detected! Restarting analysis for {}", release.target_title())
}

/// The event when the target went back to the promoted revision during its release.
pub fn cancelled(release: &Release) -> String {
    format!("{} is back at the promoted revision, cancelling its analysis", release.target_title())
}

/// The event before the first check of a run.
pub fn starting(release: &Release) -> String {
    format!("Starting canary analysis for {}", release.target_title())
}

/// The event when a confirm-rollout hook has approved.
pub fn confirm_rollout_passed(hook: &str) -> String {
    format!("Confirm-rollout check {hook} passed")
}

/// The event when a confirm-rollout hook has not approved.
pub fn waiting_for_approval(release: &Release, hook: &str) -> String {
    format!("Halt {} advancement waiting for approval {hook}", release.title())
}

/// The event when a release waits for its turn.
pub fn in_line(release: &Release, why: &Reason) -> String {
    format!("Waiting for a turn to release {}: {why}", release.title())
}

/// The event when the mesh has not accepted the route of the last step within one interval.
pub fn route_not_accepted(release: &Release, why: &str) -> String {
    format!("Halt {} advancement the route is not accepted: {why}", release.title())
}

/// The event when a pre-rollout hook has passed.
pub fn pre_rollout_passed(hook: &str) -> String {
    format!("Pre-rollout check {hook} passed")
}

/// The event when a pre-rollout hook has failed.
pub fn pre_rollout_failed(release: &Release, hook: &str, error: &str) -> String {
    format!("Halt {} advancement pre-rollout check {hook} failed {error}", release.title())
}

/// The event when a rollout hook has failed.
pub fn rollout_hook_failed(release: &Release, hook: &str, error: &str) -> String {
    format!("Halt {} advancement external check {hook} failed {error}", release.title())
}

/// The event when a confirm-traffic-increase hook has approved.
pub fn traffic_increase_passed(hook: &str) -> String {
    format!("Confirm-traffic-increase check {hook} passed")
}

/// The event when a confirm-traffic-increase hook has not approved.
pub fn waiting_for_traffic_increase(release: &Release, hook: &str) -> String {
    format!("Halt {} advancement waiting for traffic increase approval {hook}", release.title())
}

/// The event when a confirm-promotion hook has approved.
pub fn confirm_promotion_passed(hook: &str) -> String {
    format!("Confirm-promotion check {hook} passed")
}

/// The event when a confirm-promotion hook has not approved.
pub fn waiting_for_promotion(release: &Release, hook: &str) -> String {
    format!("Halt {} advancement waiting for promotion approval {hook}", release.title())
}

/// The event when a rollback hook does not ask for a rollback.
pub fn rollback_hook_silent(hook: &str) -> String {
    format!("Rollback hook {hook} not signaling a rollback")
}

/// The event when a rollback hook asks for a rollback.
pub fn rollback_hook_passed(hook: &str) -> String {
    format!("Rollback check {hook} passed")
}

/// The event when a post-rollout hook has passed.
pub fn post_rollout_passed(hook: &str) -> String {
    format!("Post-rollout check {hook} passed")
}

/// The event when a post-rollout hook has failed; the run has ended all the same.
pub fn post_rollout_failed(hook: &str, error: &str) -> String {
    format!("Post-rollout hook {hook} failed {error}")
}

/// The event when the canary's weight is raised to `weight` percent.
pub fn weight(release: &Release, weight: u32) -> String {
    format!("Advance {} canary weight {weight}", release.title())
}

/// The event when the routes gave the canary `found` percent although its checks allow only `earned`.
pub fn weight_restored(release: &Release, earned: u32, found: u32) -> String {
    format!(
        "Restoring {} canary weight {earned}: the routes said {found}, which no passed check allows",
        release.title()
    )
}

/// The event when a revision that failed is taken back.
pub fn taken_back(release: &Release) -> String {
    format!("{} is back at the promoted revision, nothing is left to release", release.title())
}

/// What is said when users meet a canary for too long that cannot be checked.
pub fn unchecked(release: &Release, weight: u32, why: &str) -> String {
    format!("Halt {} advancement canary weight {weight} goes unchecked: {why}", release.title())
}

/// What is said when the canary takes over for a primary that has no pods left.
pub fn primary_gone(world: &Snapshot) -> String {
    let wanted = world.primary.as_ref().map_or(0, |primary| primary.replicas);
    let has = left(&world.services.primary, wanted);
    format!(
        "Halt {} advancement traffic interlock: primary {}.{} has {has}, routing all traffic to canary",
        world.release.title(),
        world.release.primary_name(),
        world.release.namespace
    )
}

/// A part of a text: what a side has left that nobody would answer for.
fn left(service: &Presence, wanted: i32) -> String {
    match service {
        Presence::Absent => "no Service".to_owned(),
        _ => format!("0 of {wanted} pods ready"),
    }
}

/// The reason why the target keeps its pods although its run, or its initialization, is over.
pub fn stands_in(world: &Snapshot) -> String {
    format!(
        "{}.{} has no pod that answers: {} keeps its pods until it has one",
        world.release.primary_name(),
        world.release.namespace,
        world.release.target_title()
    )
}

/// What is said when a canary that has no pods left, or no Service, loses its share.
pub fn canary_gone(world: &Snapshot) -> String {
    let wanted = world.target.as_ref().map_or(0, |target| target.replicas);
    let has = left(&world.services.canary, wanted);
    format!(
        "Halt {} advancement traffic interlock: canary {} has {has}, routing all traffic to primary",
        world.release.title(),
        world.release.target_title(),
    )
}

/// What is said when the canary, outside of a run, is given another revision than the one that earned its share.
pub fn another_revision(release: &Release) -> String {
    format!(
        "{} was given another revision than the one that its traffic was earned with, routing all traffic to primary",
        release.target_title()
    )
}

/// The event after check number `iteration` of `of`.
pub fn iteration(release: &Release, iteration: i64, of: u32) -> String {
    format!("Advance {} canary iteration {iteration}/{of}", release.title())
}

/// The event when a promotion has given the primary `weight` percent back.
pub fn primary_weight(release: &Release, weight: u32) -> String {
    format!("Advance {} primary weight {weight}", release.title())
}

/// The event when the primary gets the target's template.
pub fn copying(release: &Release) -> String {
    format!(
        "Copying {} template spec to {}.{}",
        release.target_title(),
        release.primary_name(),
        release.namespace
    )
}

/// The event at the end of a promotion whose checks passed.
pub fn completed(release: &Release) -> String {
    format!("Promotion completed! Scaling down {}", release.target_title())
}

/// The event at the end of a promotion without an analysis.
pub fn skipped(release: &Release) -> String {
    format!("Promotion completed! Canary analysis was skipped for {}", release.target_title())
}

/// The event when a rollback hook causes a rollback.
pub fn manual_rollback(release: &Release) -> String {
    format!("Rolling back {} manual webhook invoked", release.title())
}

/// The event when too many failed checks cause a rollback.
pub fn threshold_reached(release: &Release, failed_checks: i64) -> String {
    format!("Rolling back {} failed checks threshold reached {failed_checks}", release.title())
}

/// The alert when too many failed checks cause a rollback.
pub fn threshold_alert(failed_checks: i64) -> String {
    format!("Failed checks threshold reached {failed_checks}")
}

/// The event when a rule of a metric causes a rollback.
pub fn metric_ends(release: &Release, why: &str) -> String {
    format!("Rolling back {} {why}", release.title())
}

/// The alert when a rule of a metric causes a rollback.
pub fn metric_alert(why: &str) -> String {
    format!("Rolling back: {why}")
}

/// The event when a metric has too few samples to be judged.
pub fn too_few_samples(release: &Release, metric: &str, samples: &str) -> String {
    format!("Halt {} advancement {metric} is not judged yet: {samples}", release.title())
}

/// The event when a check did not pass that only warns. `text` is that of a failed check.
pub fn only_warns(release: &Release, metric: &str, text: &str) -> String {
    let halt = format!("Halt {} advancement ", release.title());
    let text = text.strip_prefix(&halt).or_else(|| text.strip_prefix("Halt advancement ")).unwrap_or(text);
    format!("Metric {metric} of {} only warns: {text}", release.title())
}

/// The event when a workload that missed its deadline causes a rollback.
pub fn deadline_exceeded(release: &Release, why: &str) -> String {
    format!("Rolling back {} progress deadline exceeded {why}", release.title())
}

/// The alert when a workload that missed its deadline causes a rollback.
pub fn deadline_alert(why: &str) -> String {
    format!("Progress deadline exceeded {why}")
}

/// The last event of a rollback.
pub fn failed(release: &Release) -> String {
    format!("Canary failed! Scaling down {}", release.title())
}

/// The event when the primary does not become ready with the promoted template.
pub fn promotion_failed(release: &Release, why: &str) -> String {
    format!("Promotion of {} failed, primary not ready: {why}", release.target_title())
}

/// The alert when the primary does not become ready with the promoted template.
pub fn promotion_failed_alert(why: &str) -> String {
    format!("Promotion failed, primary not ready: {why}")
}

/// The event when a Canary with `revertOnDeletion` is deleted.
pub fn terminating(release: &Release) -> String {
    format!("Terminating canary {}", release.title())
}

/// The reason why a new primary does not run, while the target has another template, with the way out.
pub fn primary_of_another_template(release: &Release, why: &str) -> String {
    format!(
        "{why}. The target has another template by now: delete {} {} to have it made again from that",
        release.target.kind.as_str(),
        release.primary_name()
    )
}

/// The reason why a deletion waits whose target does not become ready, with the ways out.
pub fn not_reverted(release: &Release, why: &str) -> String {
    format!(
        "{why}: {} keeps the traffic until it is. Give the target a revision that becomes ready, or set \
         spec.revertOnDeletion to false to delete without reverting",
        release.primary_name()
    )
}

/// The event when everything is reverted and the Canary may go.
pub fn terminated(release: &Release) -> String {
    format!("Terminated canary {}", release.title())
}

/// The event when a request by hand is granted; `outcome` says what happens now.
pub fn request(request: &Request, revision: &str, outcome: &str) -> String {
    let action = request.wish.as_ref().map_or("Request", |wish| wish.action.as_str());
    format!("Request to {action} {revision}{}: {outcome}", from(request))
}

/// The event when a request by hand is refused.
pub fn request_refused(request: &Request, why: &str) -> String {
    format!("Request {:?}{} refused: {why}", request.text, from(request))
}

fn from(request: &Request) -> String {
    match request.origin() {
        origin if origin.is_empty() => origin,
        origin => format!(" {origin}"),
    }
}
