//! Checks of the mesh and of Prometheus: what Canaries are routed and measured by that say nothing else.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::api::Provider;
use crate::manifest::nearest;
use crate::model::object::Kind;
use crate::router::registry;

use super::asker::{Asked, Asker, NotAsked, json_of, said};
use super::finding::{Check, Finding};
use super::reach::Told;

/// Whether a kind is served in the version that we use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Served {
    Yes,
    /// The kind is there in these versions of its group alone.
    Others(Vec<String>),
    No,
}

/// A mesh and the kinds that its routes need.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Mesh {
    /// As it was written.
    pub name: String,
    pub provider: Option<Provider>,
    /// Whether its objects are in another cluster (`-kubeconfig-service-mesh`).
    pub elsewhere: bool,
    /// The kinds with what the cluster says of them.
    pub kinds: Vec<(Kind, Asked<Served>)>,
}

/// The Prometheus of built-in checks.
#[derive(Clone, Debug)]
pub(super) struct Metrics {
    pub address: String,
    pub told: Told<Result<(), String>>,
}

impl Mesh {
    pub(in crate::cli) async fn fetch(asker: &Asker, name: &str, elsewhere: bool) -> Self {
        let provider = Provider::parse(name).filter(|provider| registry::mesh(*provider).is_some());
        let rights = provider.and_then(registry::mesh).map_or(&[][..], |mesh| mesh.rights);
        let mut kinds = Vec::new();
        let rights = if elsewhere { &[][..] } else { rights };
        for kind in rights.iter().map(|right| right.kind).collect::<BTreeSet<Kind>>() {
            kinds.push((kind, served(asker, kind).await));
        }
        Self { name: name.to_owned(), provider, elsewhere, kinds }
    }
}

/// Whether the cluster serves a kind; discovery may be read by everybody.
async fn served(asker: &Asker, kind: Kind) -> Asked<Served> {
    let path = if kind.group.is_empty() {
        "/api/v1".to_owned()
    } else {
        format!("/apis/{}/{}", kind.group, kind.version)
    };
    let resources = |answer: &Value| {
        answer["resources"].as_array().into_iter().flatten().any(|one| one["name"] == kind.plural)
    };
    let answer = asker.page(&path).await?;
    match answer.status {
        200 if resources(&json_of(&answer)) => return Ok(Served::Yes),
        200 | 404 => {}
        status => return Err(NotAsked::new(format!("{path}: {status} {}", said(&answer)))),
    }
    let group = asker.page(&format!("/apis/{}", kind.group)).await?;
    let mut others = Vec::new();
    for version in json_of(&group)["versions"].as_array().into_iter().flatten() {
        let Some(version) = version["version"].as_str().filter(|it| *it != kind.version) else { continue };
        let answer = asker.page(&format!("/apis/{}/{version}", kind.group)).await?;
        if resources(&json_of(&answer)) {
            others.push(version.to_owned());
        }
    }
    Ok(if others.is_empty() { Served::No } else { Served::Others(others) })
}

/// Checks of the mesh that Canaries get that name none.
pub(in crate::cli) const MESH: &[Check<Mesh>] = &[
    Check { id: "mesh-known", title: "the default mesh is one that Vexil knows", judge: mesh_known },
    Check { id: "mesh-served", title: "the cluster serves the kinds of the mesh", judge: mesh_served },
];

fn mesh_known(mesh: &Mesh) -> Vec<Finding> {
    if mesh.provider.is_some() {
        return Finding::fine(mesh.name.clone()).alone();
    }
    let known = registry::known();
    let cure = nearest(&mesh.name, known.iter().copied()).map_or_else(
        || format!("write one of {} (meshProvider in the chart)", registry::known_names()),
        |meant| format!("did you mean {meant}?"),
    );
    Finding::wrong(format!("{:?} is none: the controller does not start with it", mesh.name), cure).alone()
}

/// What is said of each kind of a mesh.
pub(in crate::cli) fn mesh_served(mesh: &Mesh) -> Vec<Finding> {
    let Some(found) = mesh.provider.and_then(registry::mesh) else { return Vec::new() };
    if mesh.elsewhere {
        return Finding::skipped(ELSEWHERE).alone();
    }
    let each = mesh.kinds.iter().map(|(kind, served)| {
        let name = format!("{} of {}", kind.plural, kind.api_version());
        let finding = match served {
            Err(why) => Finding::unasked(why),
            Ok(Served::Yes) => Finding::fine(""),
            Ok(Served::Others(versions)) => Finding::wrong(
                format!("it is served as {} alone", versions.join(", ")),
                format!("install a version of {} that serves {}, or choose another provider", found.title, kind.version),
            ),
            Ok(Served::No) => Finding::wrong(
                format!("there is no such kind: no Canary of provider {} can route anything", mesh.name),
                format!(
                    "install {}, or name the mesh that you have: meshProvider in the chart, spec.provider in a Canary",
                    found.title
                ),
            ),
        };
        finding.about(name)
    });
    each.collect()
}

/// The check of Prometheus.
pub(super) const METRICS: &[Check<Metrics>] = &[Check {
    id: "prometheus-answers",
    title: "the Prometheus of built-in checks answers",
    judge: prometheus,
}];

fn prometheus(it: &Metrics) -> Vec<Finding> {
    let address = crate::http::shown_url(&it.address);
    let finding = match &it.told {
        Told::Said(Ok(())) => Finding::fine(""),
        Told::Said(Err(why)) => Finding::wrong(
            format!("it does not answer as Prometheus does: {why}"),
            "is it the right address? metricsServer in the chart, -metrics-server of the controller",
        ),
        Told::Broken { why, cure } => Finding::wrong(
            why.clone(),
            format!("{cure}; metricsServer in the chart, -metrics-server of the controller"),
        ),
        Told::Inside(why) => Finding::warning(
            format!("it can only be asked from inside the cluster: {why}"),
            "the controller's log says at its start whether it has reached it",
        ),
        Told::NotAsked(why) => Finding::unasked(why),
    };
    finding.about(address).alone()
}

/// Why nothing is said of a mesh that is not here.
pub(in crate::cli) const ELSEWHERE: &str = "it is in another cluster (-kubeconfig-service-mesh)";
