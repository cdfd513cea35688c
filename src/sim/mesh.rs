//! The kinds of a mesh, as far as an embedded cluster needs them: any spec is kept as it is.

use serde_json::{Value, json};

/// `VirtualService`, `DestinationRule` and `Gateway` of Istio.
pub fn istio_crds() -> Vec<Value> {
    [
        ("VirtualService", "virtualservices", "vs"),
        ("DestinationRule", "destinationrules", "dr"),
        ("Gateway", "gateways", "gw"),
    ]
    .map(|(kind, plural, short)| {
        let version = |name: &str, storage: bool| {
            json!({
                "name": name,
                "served": true,
                "storage": storage,
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
            "metadata": {"name": format!("{plural}.networking.istio.io")},
            "spec": {
                "group": "networking.istio.io",
                "names": {
                    "kind": kind,
                    "listKind": format!("{kind}List"),
                    "plural": plural,
                    "singular": kind.to_lowercase(),
                    "shortNames": [short],
                },
                "scope": "Namespaced",
                "versions": [version("v1", true), version("v1beta1", false), version("v1alpha3", false)],
            },
        })
    })
    .into()
}
