//! Every text that users see, in one list (spec 01 §8, 02 §1.12). `{c}` and `{t}` of the spec are
//! `release.title()` and `release.target_title()`.

use crate::api::hooks::Severity;
use crate::api::status::Phase;
use crate::model::by_hand::Request;
use crate::model::release::Release;

use super::step::{Alert, Event, EventKind};

/// A Normal event that carries the phase `phase`.
pub fn normal(phase: Phase, message: impl Into<String>) -> Event {
    Event { kind: EventKind::Normal, message: message.into(), phase }
}

/// A Warning event that carries the phase `phase`.
pub fn warning(phase: Phase, message: impl Into<String>) -> Event {
    Event { kind: EventKind::Warning, message: message.into(), phase }
}

/// A Warning event that is logged as an error.
pub fn error(phase: Phase, message: impl Into<String>) -> Event {
    Event { kind: EventKind::Error, message: message.into(), phase }
}

/// An alert without the fields of the release.
pub fn alert(severity: Severity, message: impl Into<String>) -> Alert {
    Alert { severity, message: message.into(), metadata: false }
}

/// An alert with the fields of the release.
pub fn alert_with_fields(severity: Severity, message: impl Into<String>) -> Alert {
    Alert { severity, message: message.into(), metadata: true }
}

pub const SUSPENDED: &str = "skipping canary run as object is suspended";
pub const PROVIDERS_AVAILABLE: &str = "all the metrics providers are available!";
pub const ROUTE_ALL_TO_PRIMARY: &str = "Routing all traffic to primary";
pub const ROUTE_ALL_TO_CANARY: &str = "Routing all traffic to canary";
pub const STOP_MIRRORING: &str = "Stop traffic mirroring and route all traffic to canary";
pub const COMPLETED_ALERT: &str = "Canary analysis completed successfully, promotion finished.";
pub const SKIPPED_ALERT: &str = "Canary analysis was skipped, promotion finished.";
pub const STARTED_ALERT: &str = "New revision detected, progressing canary analysis.";
pub const WAITING_ALERT: &str = "Canary is waiting for approval.";
pub const WAITING_PROMOTION_ALERT: &str = "Canary promotion is waiting for approval.";
pub const WAITING_TRAFFIC_ALERT: &str = "Canary traffic increase is waiting for approval.";
pub const MANUAL_ROLLBACK_ALERT: &str = "Rolling back manual webhook invoked";

pub fn providers_unavailable(error: &str) -> String {
    format!("Error checking metric providers: {error}")
}

pub fn another_target(release: &Release) -> String {
    format!("The target is {} {} now, initializing it", release.target.kind.as_str(), release.target_title())
}

pub fn initialized(release: &Release) -> String {
    format!("Initialization done! {}", release.title())
}

pub fn initialized_alert(release: &Release) -> String {
    format!("New {} detected, initialization completed.", release.target.kind.as_str())
}

pub fn detected(release: &Release) -> String {
    format!("New revision detected! Scaling up {}", release.target_title())
}

pub fn restarted(release: &Release) -> String {
    format!("New revision detected! Restarting analysis for {}", release.target_title())
}

pub fn cancelled(release: &Release) -> String {
    format!("{} is back at the promoted revision, cancelling its analysis", release.target_title())
}

pub fn starting(release: &Release) -> String {
    format!("Starting canary analysis for {}", release.target_title())
}

pub fn confirm_rollout_passed(hook: &str) -> String {
    format!("Confirm-rollout check {hook} passed")
}

pub fn waiting_for_approval(release: &Release, hook: &str) -> String {
    format!("Halt {} advancement waiting for approval {hook}", release.title())
}

/// The route of the last step does not work yet.
pub fn route_not_accepted(release: &Release, why: &str) -> String {
    format!("Halt {} advancement the route is not accepted: {why}", release.title())
}

pub fn pre_rollout_passed(hook: &str) -> String {
    format!("Pre-rollout check {hook} passed")
}

pub fn pre_rollout_failed(release: &Release, hook: &str, error: &str) -> String {
    format!("Halt {} advancement pre-rollout check {hook} failed {error}", release.title())
}

pub fn rollout_hook_failed(release: &Release, hook: &str, error: &str) -> String {
    format!("Halt {} advancement external check {hook} failed {error}", release.title())
}

pub fn traffic_increase_passed(hook: &str) -> String {
    format!("Confirm-traffic-increase check {hook} passed")
}

pub fn waiting_for_traffic_increase(release: &Release, hook: &str) -> String {
    format!("Halt {} advancement waiting for traffic increase approval {hook}", release.title())
}

pub fn confirm_promotion_passed(hook: &str) -> String {
    format!("Confirm-promotion check {hook} passed")
}

pub fn waiting_for_promotion(release: &Release, hook: &str) -> String {
    format!("Halt {} advancement waiting for promotion approval {hook}", release.title())
}

pub fn rollback_hook_silent(hook: &str) -> String {
    format!("Rollback hook {hook} not signaling a rollback")
}

pub fn rollback_hook_passed(hook: &str) -> String {
    format!("Rollback check {hook} passed")
}

pub fn post_rollout_passed(hook: &str) -> String {
    format!("Post-rollout check {hook} passed")
}

pub fn post_rollout_failed(hook: &str, error: &str) -> String {
    format!("Post-rollout hook {hook} failed {error}")
}

pub fn weight(release: &Release, weight: u32) -> String {
    format!("Advance {} canary weight {weight}", release.title())
}

pub fn weight_restored(release: &Release, earned: u32, found: u32) -> String {
    format!(
        "Restoring {} canary weight {earned}: the routes said {found}, which no passed check allows",
        release.title()
    )
}

pub fn iteration(release: &Release, iteration: i64, of: u32) -> String {
    format!("Advance {} canary iteration {iteration}/{of}", release.title())
}

pub fn primary_weight(release: &Release, weight: u32) -> String {
    format!("Advance {} primary weight {weight}", release.title())
}

pub fn copying(release: &Release) -> String {
    format!(
        "Copying {} template spec to {}.{}",
        release.target_title(),
        release.primary_name(),
        release.namespace
    )
}

pub fn completed(release: &Release) -> String {
    format!("Promotion completed! Scaling down {}", release.target_title())
}

pub fn skipped(release: &Release) -> String {
    format!("Promotion completed! Canary analysis was skipped for {}", release.target_title())
}

pub fn manual_rollback(release: &Release) -> String {
    format!("Rolling back {} manual webhook invoked", release.title())
}

pub fn threshold_reached(release: &Release, failed_checks: i64) -> String {
    format!("Rolling back {} failed checks threshold reached {failed_checks}", release.title())
}

pub fn threshold_alert(failed_checks: i64) -> String {
    format!("Failed checks threshold reached {failed_checks}")
}

pub fn deadline_exceeded(release: &Release, why: &str) -> String {
    format!("Rolling back {} progress deadline exceeded {why}", release.title())
}

pub fn deadline_alert(why: &str) -> String {
    format!("Progress deadline exceeded {why}")
}

pub fn failed(release: &Release) -> String {
    format!("Canary failed! Scaling down {}", release.title())
}

pub fn promotion_failed(release: &Release, why: &str) -> String {
    format!("Promotion of {} failed, primary not ready: {why}", release.target_title())
}

pub fn promotion_failed_alert(why: &str) -> String {
    format!("Promotion failed, primary not ready: {why}")
}

pub fn terminating(release: &Release) -> String {
    format!("Terminating canary {}", release.title())
}

pub fn terminated(release: &Release) -> String {
    format!("Terminated canary {}", release.title())
}

pub fn request(request: &Request, revision: &str, outcome: &str) -> String {
    let action = request.wish.as_ref().map_or("Request", |wish| wish.action.as_str());
    format!("Request to {action} {revision}{}: {outcome}", from(request))
}

pub fn request_refused(request: &Request, why: &str) -> String {
    format!("Request {:?}{} refused: {why}", request.text, from(request))
}

fn from(request: &Request) -> String {
    match request.origin() {
        origin if origin.is_empty() => origin,
        origin => format!(" {origin}"),
    }
}
