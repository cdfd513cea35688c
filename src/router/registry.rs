//! Which meshes and ingresses there are. A new one is its file and a line here.

use crate::api::{Provider, ServiceField};
use crate::model::release::{ProviderFacts, Release, Settings};

use super::checks::{self, Checks};
use super::{
    Mesh, Router, adopt, alb, apisix, appmesh, contour, gateway, gloo, istio, knative, kubernetes, kuma,
    nginx, skipper, smi, templated, traefik,
};

/// Every mesh that can be used, in the order of their names.
pub const MESHES: &[&Mesh] = &[
    &alb::MESH,
    &apisix::MESH,
    &appmesh::v1beta1::MESH,
    &appmesh::v1beta2::MESH,
    &contour::MESH,
    &gateway::V1,
    &gateway::V1BETA1,
    &gloo::MESH,
    &istio::MESH,
    &knative::MESH,
    &kubernetes::MESH,
    &kuma::MESH,
    &smi::LINKERD,
    &nginx::MESH,
    &smi::OSM,
    &skipper::MESH,
    &smi::SMI,
    &traefik::MESH,
];

/// The mesh of a provider; `None` while nobody has built it.
pub fn mesh(provider: Provider) -> Option<&'static Mesh> {
    MESHES.iter().copied().find(|mesh| mesh.providers.contains(&provider))
}

/// The router of a provider; `None` while nobody has built it.
pub fn router(provider: Provider) -> Option<&'static dyn Router> {
    mesh(provider).map(|mesh| mesh.router)
}

/// What routes a release: its RouteTemplate, the routes that it adopts, or else what its provider's router writes; `None`
/// while nobody has built that.
pub fn mesh_of(release: &Release) -> Option<&'static Mesh> {
    let mesh = mesh(release.provider)?;
    Some(match (&release.template, release.adopted.is_empty()) {
        (Some(_), _) => &templated::MESH,
        (None, false) => &adopt::MESH,
        (None, true) => mesh,
    })
}

/// The router of a release; `None` while nobody has built it.
pub fn router_of(release: &Release) -> Option<&'static dyn Router> {
    mesh_of(release).map(|mesh| mesh.router)
}

/// Everything that may route a release: every mesh, the routes that Canaries adopt, and those by a RouteTemplate.
pub fn all() -> impl Iterator<Item = &'static Mesh> {
    MESHES.iter().copied().chain([&adopt::MESH, &templated::MESH])
}

/// The names that can be written into `spec.provider` and `--mesh-provider`, in the order of the alphabet.
pub fn known() -> Vec<&'static str> {
    let mut names: Vec<&str> =
        MESHES.iter().flat_map(|mesh| mesh.providers).map(|provider| provider.as_str()).collect();
    names.sort_unstable();
    names
}

/// The names for a sentence: `contour, istio, knative or kubernetes`.
pub fn known_names() -> String {
    let names = known();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => names.concat(),
    }
}

/// What the reading of a manifest has to know of the release's provider; `None` while nobody has built it.
pub fn facts(release: &Release, settings: &Settings) -> Option<ProviderFacts> {
    let mesh = mesh_of(release)?;
    let mut problems = mesh.router.problems(release, settings);
    problems.sort();
    let honours = |field: &ServiceField| match &release.template {
        Some(routed) => templated::honours(routed, *field),
        None => mesh.honours.contains(field),
    };
    Some(ProviderFacts {
        capabilities: mesh.router.capabilities(release),
        problems,
        warnings: mesh.router.warnings(release),
        ignored: ServiceField::ALL
            .into_iter()
            .filter(|field| field.is_set(&release.service) && !honours(field))
            .collect(),
    })
}

/// The built-in checks of a release, by the provider whose metrics tell of it (spec 04 §1.2).
///
/// # Errors
/// If that provider has none that are built.
pub fn checks(release: &Release, settings: &Settings) -> Result<&'static Checks, checks::Error> {
    let observed = checks::observed(release, settings);
    let found = match observed {
        Some(provider) => mesh(provider).map(|mesh| mesh.checks),
        // What nobody knows is looked for in Istio's metrics, as the reference does.
        None => Some(istio::MESH.checks),
    };
    found.ok_or_else(|| checks::Error {
        provider: observed.map_or_else(String::new, |provider| provider.to_string()),
        known: known().join(", "),
    })
}

/// What is wrong with naming a provider that nobody has built.
pub fn not_built(provider: Provider) -> String {
    format!("\"{provider}\" is not supported yet: write {}", known_names())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_provider_has_one_mesh() {
        let all: Vec<Provider> = MESHES.iter().flat_map(|mesh| mesh.providers).copied().collect();
        let different: BTreeSet<Provider> = all.iter().copied().collect();
        assert_eq!(all.len(), different.len());
        assert!(all.iter().all(|provider| mesh(*provider).is_some()));
    }

    #[test]
    fn the_names_are_told_in_a_sentence() {
        let sentence = known_names();
        assert!(known().iter().all(|name| sentence.contains(name)), "{sentence}");
        assert!(sentence.contains(" or "), "{sentence}");
    }
}
