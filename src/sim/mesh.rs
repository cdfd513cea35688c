//! The kinds of a mesh, as far as an embedded cluster needs them: any spec is kept as it is.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::api::Provider;
use crate::model::object::Kind;
use crate::model::release::Release;
use crate::router::registry;

/// The CRDs of the kinds that a mesh's router looks at, and of those that its users apply beside them.
pub fn crds(provider: Provider) -> Vec<Value> {
    let rights = registry::mesh(provider).map_or(&[][..], |mesh| mesh.rights);
    let mut kinds: Vec<Kind> = rights
        .iter()
        .map(|right| right.kind)
        // The API server has its own kinds without our help.
        .filter(|kind| kind.group.contains('.') && kind.group != "networking.k8s.io")
        .collect();
    if provider == Provider::Istio {
        kinds.push(Kind::new(ISTIO, "v1beta1", "Gateway", "gateways"));
    }
    if provider == Provider::Gloo {
        kinds.push(Kind::new("gateway.solo.io", "v1", "VirtualService", "virtualservices"));
    }
    if provider == Provider::Traefik {
        kinds.push(Kind::new("traefik.io", "v1alpha1", "IngressRoute", "ingressroutes"));
    }
    by_name(&kinds)
}

/// The CRDs of the kinds of routes that a release adopts, or that its RouteTemplate writes.
pub fn adopted_crds(release: &Release) -> Vec<Value> {
    let reads = registry::router_of(release).map(|router| router.reads(release)).unwrap_or_default();
    let is_theirs = |kind: &Kind| match release.template {
        Some(_) => kind.group != "networking.k8s.io",
        None => crate::router::adopt::is_route(*kind),
    };
    let kinds: Vec<Kind> = reads.into_iter().map(|id| id.kind).filter(is_theirs).collect();
    by_name(&kinds)
}

/// One CRD for all versions of a kind.
fn by_name(kinds: &[Kind]) -> Vec<Value> {
    let names: BTreeSet<(&str, &str)> = kinds.iter().map(|kind| (kind.group, kind.plural)).collect();
    let versions = |name: (&str, &str)| {
        let those = kinds.iter().copied().filter(|kind| (kind.group, kind.plural) == name);
        crd(&those.collect::<Vec<Kind>>())
    };
    names.into_iter().map(versions).collect()
}

/// A kind that keeps any spec, in its versions. Istio and the Gateway API serve their kinds in several, the first of
/// which is stored.
pub(super) fn crd(kinds: &[Kind]) -> Value {
    let Kind { group, kind, plural, cluster_wide, .. } = kinds[0];
    let versions: Vec<&str> = match group {
        ISTIO => vec!["v1", "v1beta1", "v1alpha3"],
        GATEWAY_API if kind == "HTTPRoute" => vec!["v1", "v1beta1"],
        _ => kinds.iter().map(|kind| kind.version).collect(),
    };
    let served = |name: &&str| {
        json!({
            "name": name,
            "served": true,
            "storage": versions.first() == Some(name),
            "subresources": {"status": {}},
            "schema": {"openAPIV3Schema": {
                "type": "object",
                "properties": {
                    // Kuma's kinds say their mesh beside the spec.
                    "mesh": {"type": "string"},
                    "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                    "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                },
            }},
        })
    };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group,
            "names": {
                "kind": kind,
                "listKind": format!("{kind}List"),
                "plural": plural,
                "singular": kind.to_lowercase(),
            },
            "scope": if cluster_wide { "Cluster" } else { "Namespaced" },
            "versions": versions.iter().map(served).collect::<Vec<_>>(),
        },
    })
}

const ISTIO: &str = "networking.istio.io";
pub(super) const GATEWAY_API: &str = "gateway.networking.k8s.io";
