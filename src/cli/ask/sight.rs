//! One release as it stands, in plain values: what the tree draws, and what `-o json` prints.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use crate::api::hooks::HookType;
use crate::api::status::{
    APPROVED, Blocker, BlockerKind, CanaryCondition, CanaryStatus, Measurement, Revision,
};
use crate::cli::cluster::Doing;
use crate::model::object::{Kind, ObjectId};
use crate::model::release::{MetricSource, Release, Steps, Strategy, TargetKind};
use crate::model::traffic::{Acceptance, RouteState};
use crate::model::workload::TargetShape;
use crate::router::services::{self, Side};
use crate::router::{View, endpoints, registry};
use crate::workload;

use super::known::Known;
use super::next::{Next, next};
use super::seen::{Around, Seen};

/// A release as it stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Sight {
    pub name: String,
    pub namespace: String,
    /// What it is and how it advances, for people.
    pub about: String,
    pub phase: String,
    pub ready: String,
    pub reason: String,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<String>,
    pub suspended: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub releasing: Option<Revision>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promoted: Option<Revision>,
    pub primary: SideSight,
    pub canary: SideSight,
    pub routes: Routes,
    pub checks: Vec<CheckSight>,
    pub failed_checks: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<i64>,
    pub gates: Vec<Gate>,
    pub blockers: Vec<Blocker>,
    /// The conditions that somebody should look at.
    pub conditions: Vec<CanaryCondition>,
    pub next: Next,
    pub events: Vec<EventSight>,
    /// What could not be read, and why.
    pub not_shown: Vec<String>,
    /// The whole status is read from it.
    #[serde(skip)]
    pub status: CanaryStatus,
    #[serde(skip)]
    pub known: Known,
}

/// The primary or the canary.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SideSight {
    /// `Deployment frontend-primary`.
    pub workload: String,
    /// Whether the workload is there; `null` if nobody knows.
    pub exists: Option<bool>,
    pub images: Vec<String>,
    pub ready_pods: i64,
    pub pods: i64,
    /// Name of the Service that the mesh sends requests to.
    pub service: String,
    /// Whether that Service is there; `null` if nobody knows.
    pub service_exists: Option<bool>,
    /// The ready pods that the Service leads to; `null` if nobody knows.
    pub endpoints: Option<i32>,
    /// The share of the traffic that the mesh is told, in percent; `null` without routes.
    pub share: Option<u32>,
}

/// What the mesh is told.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Routes {
    /// The mesh and the kinds of its objects.
    pub mesh: String,
    /// The objects that were found.
    pub objects: Vec<String>,
    /// Whether requests are copied to the canary.
    pub mirrored: bool,
    /// Why the mesh has not accepted what it is told, or why it cannot be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A metric of the analysis, with what was measured last.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CheckSight {
    pub name: String,
    /// `percent` or `ms` for the built-in metrics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measurement>,
}

/// A hook that can hold the release up, or end it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Gate {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    /// The address that is asked, without what could be a password.
    pub url: String,
    /// `closed` while the release waits for it, `approved` if it was opened by hand, else empty.
    pub state: &'static str,
}

/// Something that was said of the release.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventSight {
    pub at: DateTime<Utc>,
    pub warning: bool,
    pub times: u32,
    pub message: String,
}

impl Sight {
    /// What `seen` shows.
    pub(super) fn of(seen: &Seen) -> Self {
        let known = Known::of(&seen.canary);
        let around = seen.around.as_ref();
        let release = around.map(|around| &around.release);
        let routes = around.map(|around| around.routes(&seen.objects));
        let state = match &routes {
            Some(Ok(state)) => *state,
            _ => None,
        };
        let (ready, reason, message) = known.ready();
        let status = known.status.clone();
        let mut not_shown: Vec<String> = seen.hidden.values().cloned().collect();
        not_shown.extend(around.is_none().then(|| {
            "the manifest cannot be read, so that nothing is known of its workloads and routes".to_owned()
        }));
        let sides = around.map(|around| [side(seen, around, state, true), side(seen, around, state, false)]);
        let [primary, canary] = sides.unwrap_or_default();
        Self {
            about: about(&known, release),
            phase: status.phase.as_str().to_owned(),
            ready: ready.to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
            paused: known.paused().map(str::to_owned),
            suspended: known.suspended,
            releasing: status.releasing.clone(),
            promoted: status.promoted.clone(),
            primary,
            canary,
            routes: around.map(|around| routes_sight(seen, around, routes)).unwrap_or_default(),
            checks: checks(release, &status),
            failed_checks: status.failed_checks,
            threshold: release.map(|release| release.analysis.threshold).or(known.threshold),
            gates: release.map(|release| gates(release, &status)).unwrap_or_default(),
            blockers: status.blockers.clone(),
            conditions: conditions(&status),
            next: next(&known, release, state),
            events: events(seen),
            not_shown,
            name: known.name.clone(),
            namespace: known.namespace.clone(),
            status,
            known,
        }
    }
}

fn about(known: &Known, release: Option<&Release>) -> String {
    let Some(release) = release else { return known.target.clone() };
    if known.status.condition("Stalled").is_some_and(|stalled| stalled.reason == "InvalidSpec") {
        let target = &release.target;
        return format!("{} {}: the manifest is refused", target.kind.as_str(), target.name);
    }
    let plan = &release.analysis;
    let strategy = match &plan.strategy {
        _ if release.skip_analysis => "promoted without an analysis".to_owned(),
        Strategy::Weighted(Steps::By { step, max }) => format!("canary in steps of {step} % up to {max} %"),
        Strategy::Weighted(Steps::List(list)) => {
            let list: Vec<String> = list.iter().map(u32::to_string).collect();
            format!("canary in steps to {} %", list.join(", "))
        }
        Strategy::BlueGreen { iterations } => format!("blue/green, {iterations} rounds"),
        Strategy::AbTesting { iterations } => format!("A/B test, {iterations} rounds"),
    };
    let mirror = if plan.mirror { ", with mirrored requests" } else { "" };
    let interval = crate::api::duration::format(plan.interval);
    let target = &release.target;
    format!("{} {}: {strategy}{mirror}, one step every {interval}", target.kind.as_str(), target.name)
}

/// The workload, Service and share of one side.
fn side(seen: &Seen, around: &Around, state: Option<RouteState>, primary: bool) -> SideSight {
    let release = &around.release;
    let shares = if primary { Side::Primary } else { Side::Canary };
    let service = services::id(release, shares);
    let (workload, name) = (workload::registry::workload(release.target.kind), &release.target.name);
    let own = match release.target.kind {
        TargetKind::DaemonSet => Some(Kind::DAEMON_SET),
        TargetKind::Deployment => Some(Kind::DEPLOYMENT),
        TargetKind::Service | TargetKind::Knative => None,
    };
    let name = if primary && own.is_some() { release.primary_name() } else { name.clone() };
    let known = |id: &ObjectId| {
        let hidden = seen.hidden.contains_key(&Doing::reading(id).subject());
        (!hidden).then(|| seen.objects.get(id).is_some())
    };
    let ready = |service: &str| {
        let of = |slice: &&Value| endpoints::service_of(slice) == Some(service);
        let slices: Vec<Value> = seen.slices.values().filter(of).map(endpoints::reduced).collect();
        endpoints::ready(&slices)
    };
    let mut sight = SideSight {
        workload: format!("{} {name}", release.target.kind.as_str()),
        service_exists: known(&service),
        endpoints: ready(&service.name),
        service: service.name,
        share: state.map(|state| if primary { state.split.primary() } else { state.split.canary() }),
        ..SideSight::default()
    };
    let Some(kind) = own else {
        // Both sides are parts of one object.
        sight.exists = Some(true);
        sight.images = if primary { Vec::new() } else { workload.images(release, &seen.objects) };
        let pods = sight.endpoints.unwrap_or(0);
        (sight.ready_pods, sight.pods) = (pods.into(), pods.into());
        return sight;
    };
    let id = kind.at(&release.namespace, &name);
    sight.exists = known(&id);
    if let Some(object) = seen.objects.get(&id) {
        sight.images = images(object);
        let (status, number) = (&object["status"], |value: &Value| value.as_i64().unwrap_or(0));
        (sight.ready_pods, sight.pods) = match release.target.kind {
            TargetKind::DaemonSet => {
                (number(&status["numberReady"]), number(&status["desiredNumberScheduled"]))
            }
            _ => (number(&status["readyReplicas"]), object["spec"]["replicas"].as_i64().unwrap_or(1)),
        };
    }
    sight
}

fn images(workload: &Value) -> Vec<String> {
    let containers = workload["spec"]["template"]["spec"]["containers"].as_array();
    let images = containers.into_iter().flatten().filter_map(|container| container["image"].as_str());
    images.map(str::to_owned).collect()
}

fn routes_sight(
    seen: &Seen,
    around: &Around,
    state: Option<Result<Option<RouteState>, crate::router::Error>>,
) -> Routes {
    let release = &around.release;
    let Some(mesh) = registry::mesh_of(release) else {
        return Routes { problem: Some(registry::not_built(release.provider)), ..Routes::default() };
    };
    let shape = TargetShape::default();
    let view = View { release, shape: &shape, settings: &around.settings, seen: &seen.objects };
    let objects: Vec<String> = mesh
        .router
        .reads(release)
        .into_iter()
        .filter(|id| seen.objects.get(id).is_some())
        .map(|id| format!("{} {}", id.kind.kind, id.name))
        .collect();
    let (mirrored, problem) = match state {
        Some(Ok(Some(state))) => {
            let pending = match mesh.router.acceptance(&view) {
                Acceptance::Accepted => None,
                Acceptance::Pending(why) => Some(format!("not accepted by the mesh yet: {why}")),
            };
            (state.mirrored, pending)
        }
        Some(Err(why)) => (false, Some(why.to_string())),
        Some(Ok(None)) | None => (false, None),
    };
    Routes { mesh: mesh.title.to_owned(), objects, mirrored, problem }
}

/// The checks of the manifest, each with what the status says of it.
fn checks(release: Option<&Release>, status: &CanaryStatus) -> Vec<CheckSight> {
    let mut measured: Vec<&Measurement> = status.measurements.iter().collect();
    let wanted = release.map(|release| &release.analysis.metrics[..]).unwrap_or_default();
    let mut all: Vec<CheckSight> = wanted
        .iter()
        .filter(|check| !check.rules.counts_samples)
        .map(|check| {
            let at = measured.iter().position(|one| one.name == check.name);
            CheckSight {
                name: check.name.clone(),
                unit: match check.source {
                    MetricSource::SuccessRate => Some("percent"),
                    MetricSource::Duration => Some("ms"),
                    _ => None,
                },
                min: check.min,
                max: check.max,
                measured: at.map(|at| measured.remove(at).clone()),
            }
        })
        .collect();
    if release.is_none() {
        all.extend(measured.into_iter().map(|one| CheckSight {
            name: one.name.clone(),
            unit: None,
            min: one.min,
            max: one.max,
            measured: Some(one.clone()),
        }));
    }
    all
}

fn gates(release: &Release, status: &CanaryStatus) -> Vec<Gate> {
    let said = status.condition(APPROVED).map_or("", |condition| condition.message.as_str());
    let list = said.split_once(": ").map_or("", |(_, list)| list);
    let approved: Vec<String> = serde_json::from_str(list).unwrap_or_default();
    let closed = |name: &str| {
        let mut gates = status.blockers.iter().filter(|blocker| blocker.kind == BlockerKind::Gate);
        gates.any(|blocker| blocker.name.as_deref() == Some(name))
    };
    let is_gate = |kind: HookType| {
        matches!(
            kind,
            HookType::ConfirmRollout
                | HookType::ConfirmPromotion
                | HookType::ConfirmTrafficIncrease
                | HookType::Rollback
        )
    };
    let hooks = release.analysis.hooks.iter().filter(|hook| is_gate(hook.kind));
    hooks
        .map(|hook| Gate {
            name: hook.name.clone(),
            kind: serde_json::to_value(hook.kind)
                .ok()
                .and_then(|kind| kind.as_str().map(str::to_owned))
                .unwrap_or_default(),
            url: bare(&hook.url),
            state: match closed(&hook.name) {
                true => "closed",
                false if approved.contains(&hook.name) => "approved",
                false => "",
            },
        })
        .collect()
}

/// An address without a password or a token in it.
fn bare(url: &str) -> String {
    let Ok(mut url) = url::Url::parse(url) else { return "(no URL)".to_owned() };
    // Both fail for addresses that cannot have one.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

/// What somebody should look at: everything that is not as in a healthy release, but for the records that conditions
/// keep for the controller.
fn conditions(status: &CanaryStatus) -> Vec<CanaryCondition> {
    let fine = |condition: &CanaryCondition| match condition.kind.as_str() {
        "Ready" | "AlertsDelivered" | "AnalysisUsable" => condition.status != "False",
        "Stalled" => condition.status != "True",
        "Request" => condition.status == "True",
        // Shown elsewhere, or nobody's concern.
        "Promoted" | "Reconciling" | "Settling" | "Paused" | "Approved" | "Promote" | "Alerts" | "Events"
        | "PostRollout" => true,
        _ => condition.status == "True",
    };
    let mut said = BTreeSet::new();
    let found = status.conditions.iter().flatten().filter(|condition| !fine(condition));
    // `Ready` and `Stalled` often say the same, and what a blocker says.
    let blocked = |message: &str| status.blockers.iter().any(|blocker| blocker.message == message);
    let found = found.filter(|condition| !blocked(&condition.message));
    found.filter(|condition| said.insert(condition.message.clone())).cloned().collect()
}

/// The events, the oldest first.
fn events(seen: &Seen) -> Vec<EventSight> {
    let time = |value: &Value| value.as_str().and_then(|at| at.parse::<DateTime<Utc>>().ok());
    let uid = &seen.canary["metadata"]["uid"];
    let about = |event: &&Value| {
        let of = &event["involvedObject"]["uid"];
        of.is_null() || of == uid
    };
    let mut events: Vec<(String, EventSight)> = seen
        .events
        .values()
        .filter(about)
        .filter_map(|event| {
            let at = time(&event["series"]["lastObservedTime"])
                .or_else(|| time(&event["lastTimestamp"]))
                .or_else(|| time(&event["eventTime"]))
                .or_else(|| time(&event["metadata"]["creationTimestamp"]))?;
            let times = event["series"]["count"].as_u64().or_else(|| event["count"].as_u64()).unwrap_or(1);
            let sight = EventSight {
                at,
                warning: event["type"] == "Warning",
                times: u32::try_from(times.max(1)).unwrap_or(u32::MAX),
                message: event["message"].as_str().unwrap_or_default().to_owned(),
            };
            // Names of events rise with time; their times are whole seconds.
            Some((event["metadata"]["name"].as_str().unwrap_or_default().to_owned(), sight))
        })
        .collect();
    events.sort_by(|(name, one), (other, two)| (one.at, name).cmp(&(two.at, other)));
    events.into_iter().map(|(_, event)| event).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("https://me:secret@gate.example.com/gate/check?token=x#y", "https://gate.example.com/gate/check")]
    #[case("http://loadtester.test/gate/halt", "http://loadtester.test/gate/halt")]
    #[case("not a url", "(no URL)")]
    fn an_address_is_shown_without_what_could_be_a_password(#[case] url: &str, #[case] expected: &str) {
        assert_eq!(expected, bare(url));
    }
}
