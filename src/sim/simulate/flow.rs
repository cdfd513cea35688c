//! Where the requests of a release go at this moment: the routes as its mesh has them, and the pods that would answer.

use serde_json::Value;

use super::traffic::{Answering, Flow};
use crate::api::hooks::HookType;
use crate::model::object::Kind;
use crate::model::release::{Release, Strategy, TargetKind};
use crate::model::traffic::{RouteState, Split};
use crate::sim::knative;
use crate::sim::routes::Routes;
use crate::sim::world::World;

/// What images of a version that the simulation pushes have in their tag.
pub(super) const NEW: &str = ":new-version";

/// Reads it.
pub(super) fn flow(world: &World, routes: &Routes, release: &Release) -> Flow {
    // Without routes there is the apex Service alone, and its pods are the primary's.
    let state = routes.of(release);
    let RouteState { split, mirrored } =
        state.unwrap_or(RouteState { split: Split::PRIMARY, mirrored: false });
    let plan = &release.analysis;
    let (primary_pods, canary_pods) = match release.target.kind {
        TargetKind::Knative => revisions(world, release),
        _ => {
            let primary = if state.is_some() { release.primary_service() } else { release.apex.clone() };
            let behind = |service: &str| endpoints(world, &release.namespace, service);
            (behind(&primary), behind(&release.canary_service()))
        }
    };
    let load_test = release.hooks(HookType::Rollout).next().is_some();
    Flow {
        canary: f64::from(split.canary()) / 100.0,
        matched_only: matches!(plan.strategy, Strategy::AbTesting { .. }),
        copied: if mirrored { f64::from(plan.mirror_weight.unwrap_or(100)) / 100.0 } else { 0.0 },
        tested: matches!(plan.strategy, Strategy::BlueGreen { .. }) && !mirrored && load_test,
        primary_pods,
        canary_pods,
    }
}

/// The ready pods behind a Service.
fn endpoints(world: &World, namespace: &str, service: &str) -> Answering {
    let slices = world.kube.list("endpointslices.discovery.k8s.io", Some(namespace));
    let mut found = Answering::default();
    let of_service = |slice: &&Value| slice["metadata"]["labels"]["kubernetes.io/service-name"] == service;
    for endpoint in
        slices.iter().filter(of_service).filter_map(|slice| slice["endpoints"].as_array()).flatten()
    {
        if endpoint["conditions"]["ready"] != true {
            continue;
        }
        found.ready += 1;
        let pod = endpoint["targetRef"]["name"].as_str().unwrap_or_default();
        let pod = world.kube.object("pods", namespace, pod);
        found.new += u32::from(pod.is_some_and(|pod| is_new(&pod.value()["spec"])));
    }
    found
}

/// The revisions of a Knative Service that stand for primary and canary.
fn revisions(world: &World, release: &Release) -> (Answering, Answering) {
    let (namespace, name) = (&release.namespace, &release.target.name);
    let service = world.kube.get(knative::SERVICE, namespace, name).unwrap_or_default();
    let answering = |name: &Value| {
        let revision = world.kube.get(knative::REVISION, namespace, name.as_str().unwrap_or_default());
        let ready = revision.as_ref().is_some_and(|revision| knative::ready(revision).0 == "True");
        let new = ready && revision.is_some_and(|revision| is_new(&revision["spec"]));
        Answering { ready: ready.into(), new: new.into() }
    };
    let primary = answering(&service["metadata"]["annotations"][Kind::PRIMARY_REVISION]);
    (primary, answering(&service["status"]["latestCreatedRevisionName"]))
}

fn is_new(pod: &Value) -> bool {
    pod["containers"][0]["image"].as_str().is_some_and(|image| image.contains(NEW))
}
