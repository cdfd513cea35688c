//! Checks of the workloads of a Canary, its autoscaler, its ports and its routes.

use serde_json::Value;

use crate::cli::check::finding::Finding;
use crate::cli::check::mesh::{ELSEWHERE, mesh_served};
use crate::model::object::{Kind, ObjectId};
use crate::model::release::{ScalerKind, TargetKind};
use crate::model::traffic::{Acceptance, Cookies, RouteWish, Split};
use crate::model::workload::Readiness;
use crate::router::{View, registry};
use crate::workload::{self, target_port};

use super::Facts;
use super::neighbours::scales;

/// The workload that a Canary points to, of any kind.
fn target(it: &Facts) -> Option<ObjectId> {
    let release = it.release.as_ref()?;
    let kind = match release.target.kind {
        TargetKind::Deployment => Kind::DEPLOYMENT,
        TargetKind::DaemonSet => Kind::DAEMON_SET,
        TargetKind::Service => Kind::SERVICE,
        TargetKind::Knative => Kind::KNATIVE_SERVICE,
    };
    Some(kind.at(&release.namespace, &release.target.name))
}

pub(super) fn target_there(it: &Facts) -> Vec<Finding> {
    let Some(id) = target(it) else { return Vec::new() };
    let finding = match (it.hidden.get(&id), it.objects.get(&id)) {
        (Some(why), _) => Finding::unasked(why),
        (None, Some(_)) => Finding::fine(id.to_string()),
        (None, None) => Finding::wrong(
            format!("there is no {} {} in namespace {}", id.kind.kind, id.name, id.namespace),
            "deploy it, or correct spec.targetRef",
        ),
    };
    finding.alone()
}

/// Whether the target can be seen at all; what else is said of it would only repeat that it cannot.
fn is_there(it: &Facts) -> bool {
    target(it).is_some_and(|id| it.objects.get(&id).is_some())
}

pub(super) fn selector(it: &Facts) -> Vec<Finding> {
    if !is_there(it) || it.target_id().is_none() {
        return Vec::new();
    }
    let labels = it.overseer.settings.selector_labels.join(", ");
    let finding = match &it.shape {
        Some(Ok(shape)) => Finding::fine(format!("{}={}", shape.label_key, shape.label_value)),
        Some(Err(why)) => Finding::wrong(
            why.clone(),
            format!(
                "selectors cannot be changed: make the workload anew with one of {labels} in spec.selector.matchLabels, or \
                 add its label to -selector-labels (selectorLabels in the chart)"
            ),
        ),
        None => return Vec::new(),
    };
    finding.alone()
}

pub(super) fn claimed(it: &Facts) -> Vec<Finding> {
    let Some(id) = target(it) else { return Vec::new() };
    let canaries = match &it.around.canaries {
        Err(why) => return Finding::unasked(why).alone(),
        Ok(canaries) => canaries,
    };
    let also: Vec<&str> = canaries
        .iter()
        .filter(|other| other["metadata"]["name"] != it.name())
        .filter(|other| {
            let target = &other["spec"]["targetRef"];
            target["name"] == *id.name && target["kind"] == id.kind.kind
        })
        .filter_map(|other| other["metadata"]["name"].as_str())
        .collect();
    if also.is_empty() {
        return Finding::fine("").alone();
    }
    Finding::wrong(
        format!("so does Canary {}: only the older of them is released", also.join(", ")),
        "delete one of them, or let it point to another workload",
    )
    .alone()
}

pub(super) fn target_ready(it: &Facts) -> Vec<Finding> {
    let Some(release) =
        it.release.as_ref().filter(|_| is_there(it) && it.shape.as_ref().is_some_and(Result::is_ok))
    else {
        return Vec::new();
    };
    let facts = workload::registry::workload(release.target.kind).target(
        release,
        &it.overseer.settings,
        &it.objects,
        it.now,
    );
    let finding = match facts {
        Err(why) => Finding::wrong(why.to_string(), "correct the workload, or spec.targetRef"),
        Ok(facts) if facts.replicas == 0 && it.status.phase.is_at_rest() => {
            Finding::fine("it has no pods while no release is under way")
        }
        Ok(facts) => readiness(&facts.readiness, facts.ready_pods),
    };
    finding.alone()
}

pub(super) fn primary_ready(it: &Facts) -> Vec<Finding> {
    let Some(release) =
        it.release.as_ref().filter(|_| it.status.phase.is_at_rest() || it.status.phase.is_stepping())
    else {
        return Vec::new();
    };
    if it.target_id().is_none() {
        return Vec::new();
    }
    let primary = workload::registry::workload(release.target.kind).primary(
        release,
        &it.overseer.settings,
        &it.objects,
        it.now,
    );
    let finding = match primary {
        None => Finding::wrong(
            format!(
                "there is no {} {}: nobody answers requests",
                release.target.kind.as_str(),
                release.primary_name()
            ),
            "the controller makes it anew as soon as it looks; if it does not, its log and the Canary's events say why",
        ),
        Some(facts) if facts.replicas == 0 => Finding::wrong(
            format!("{} is scaled to 0: nobody answers requests", release.primary_name()),
            format!(
                "kubectl -n {} scale {}/{} --replicas=1, and look who has scaled it",
                release.namespace,
                release.target.kind.as_str().to_lowercase(),
                release.primary_name()
            ),
        ),
        Some(facts) => readiness(&facts.readiness, facts.ready_pods),
    };
    finding.alone()
}

fn readiness(readiness: &Readiness, ready: i32) -> Finding {
    let cure = "look at its pods: kubectl describe says why they are not ready";
    match readiness {
        Readiness::Ready => Finding::fine(format!("{ready} pods")),
        Readiness::Waiting { why, .. } => Finding::warning(why.to_string(), cure),
        Readiness::Stuck { why } => Finding::wrong(why.to_string(), cure),
    }
}

pub(super) fn port(it: &Facts) -> Vec<Finding> {
    let (Some(release), Some(id)) = (&it.release, it.target_id()) else { return Vec::new() };
    let Some(object) = it.objects.get(&id) else { return Vec::new() };
    let finding = match target_port::undeclared(release, &id, object) {
        None => Finding::fine(""),
        Some(problem) => Finding::warning(
            problem.to_string(),
            "write the name or number of a port that a container declares into spec.service.targetPort",
        ),
    };
    finding.alone()
}

fn scaler(it: &Facts) -> Option<ObjectId> {
    let release = it.release.as_ref()?;
    let scaler = release.autoscaler.as_ref()?;
    let kind = match scaler.kind {
        ScalerKind::HorizontalPodAutoscaler => Kind::HPA,
        ScalerKind::ScaledObject => Kind::SCALED_OBJECT,
    };
    Some(kind.at(&release.namespace, &scaler.name))
}

pub(super) fn scaler_there(it: &Facts) -> Vec<Finding> {
    let Some(id) = scaler(it) else { return Vec::new() };
    let finding = match (it.hidden.get(&id), it.objects.get(&id)) {
        (Some(why), _) => Finding::unasked(why),
        (None, Some(_)) => Finding::fine(id.to_string()),
        (None, None) => Finding::wrong(
            format!("there is no {} {} in namespace {}", id.kind.kind, id.name, id.namespace),
            "create it, or correct spec.autoscalerRef",
        ),
    };
    finding.alone()
}

pub(super) fn scaler_target(it: &Facts) -> Vec<Finding> {
    let (Some(id), Some(target)) = (scaler(it), target(it)) else { return Vec::new() };
    let Some(object) = it.objects.get(&id) else { return Vec::new() };
    let scaled = &object["spec"]["scaleTargetRef"];
    let finding = if scales(object, target.kind.kind, &target.name) {
        Finding::fine("")
    } else {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Finding::wrong(
            format!("it scales {} {}, and not {target}", text(&scaled["kind"]), text(&scaled["name"])),
            format!("write {} {} into its spec.scaleTargetRef", target.kind.kind, target.name),
        )
    };
    finding.alone()
}

pub(super) fn mesh(it: &Facts) -> Vec<Finding> {
    it.mesh.as_ref().map(mesh_served).unwrap_or_default()
}

/// Whether the router could write its routes now.
pub(super) fn routes(it: &Facts) -> Vec<Finding> {
    if it.overseer.settings.remote_mesh {
        return Finding::skipped(ELSEWHERE).alone();
    }
    let (Some(release), Some(Ok(shape))) = (&it.release, &it.shape) else {
        return Vec::new();
    };
    let Some(router) = registry::router_of(release).filter(|_| it.reading.release.is_ok()) else {
        return Vec::new();
    };
    let unreadable = router.reads(release).into_iter().find_map(|id| it.hidden.get(&id));
    let view = View { release, shape, settings: &it.overseer.settings, seen: &it.objects };
    let wish = RouteWish { split: Split::PRIMARY, mirror: false, cookies: Cookies::default() };
    let finding = match (unreadable, router.desired(&view, &wish)) {
        (Some(why), _) => Finding::unasked(why),
        (None, Ok(objects)) => Finding::fine(format!("{} objects", objects.len())),
        (None, Err(why)) => {
            Finding::wrong(why.to_string(), "create or correct that object, or the field of the Canary")
        }
    };
    finding.alone()
}

/// Whether the mesh works by the routes that there are.
pub(super) fn accepted(it: &Facts) -> Vec<Finding> {
    if it.overseer.settings.remote_mesh {
        return Finding::skipped(ELSEWHERE).alone();
    }
    let (Some(release), Some(Ok(shape))) = (&it.release, &it.shape) else { return Vec::new() };
    let Some(router) = registry::router_of(release) else { return Vec::new() };
    let view = View { release, shape, settings: &it.overseer.settings, seen: &it.objects };
    let state = match router.state(&view) {
        Ok(Some(state)) => state,
        Ok(None) if it.status.phase.is_at_rest() => {
            return Finding::wrong(
                "the objects that lead to the primary are not there",
                "the controller makes them anew as soon as it looks; if it does not, its log says why",
            )
            .alone();
        }
        Ok(None) => return Vec::new(),
        Err(why) => {
            let cure = match release.adopted.is_empty() {
                true => "correct that object, or delete it: it is made anew",
                false => "correct that route, or spec.routeRefs of the Canary",
            };
            return Finding::wrong(why.to_string(), cure).alone();
        }
    };
    let finding = match router.acceptance(&view) {
        Acceptance::Accepted => Finding::fine(format!("the canary gets {} %", state.split.canary())),
        Acceptance::Pending(why) => Finding::wrong(
            format!("it has not taken them yet: {why}"),
            "look at the status of the route, at the log of the mesh, and whether its gateway is there",
        ),
    };
    finding.alone()
}
