//! The kinds of a mesh, as far as an embedded cluster needs them: any spec is kept as it is.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::api::Provider;
use crate::router::registry;

/// The CRDs of the kinds that a mesh's router looks at, and of those that its users apply beside them.
pub fn crds(provider: Provider) -> Vec<Value> {
    let rights = registry::mesh(provider).map_or(&[][..], |mesh| mesh.rights);
    let mut kinds: BTreeSet<(&str, &str, &str, &str)> = rights
        .iter()
        .map(|right| (right.kind.group, right.kind.plural, right.kind.kind, right.kind.version))
        // The API server has its own kinds without our help.
        .filter(|(group, ..)| group.contains('.') && *group != "networking.k8s.io")
        .collect();
    if provider == Provider::Istio {
        kinds.insert((ISTIO, "gateways", "Gateway", "v1beta1"));
    }
    kinds.into_iter().map(|(group, plural, kind, version)| crd(group, plural, kind, version)).collect()
}

/// A kind that keeps any spec. Istio and the Gateway API serve their kinds in several versions, the first of which is
/// stored.
fn crd(group: &str, plural: &str, kind: &str, version: &str) -> Value {
    let versions = match group {
        ISTIO => vec!["v1", "v1beta1", "v1alpha3"],
        GATEWAY_API => vec!["v1", "v1beta1"],
        _ => vec![version],
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
            "scope": "Namespaced",
            "versions": versions.iter().map(served).collect::<Vec<_>>(),
        },
    })
}

const ISTIO: &str = "networking.istio.io";
const GATEWAY_API: &str = "gateway.networking.k8s.io";
