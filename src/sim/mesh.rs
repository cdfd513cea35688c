//! The kinds of a mesh, as far as an embedded cluster needs them: any spec is kept as it is.

use serde_json::{Value, json};

/// `VirtualService`, `DestinationRule` and `Gateway` of Istio.
pub fn istio_crds() -> Vec<Value> {
    let kinds = [
        ("VirtualService", "virtualservices", "vs"),
        ("DestinationRule", "destinationrules", "dr"),
        ("Gateway", "gateways", "gw"),
    ];
    let versions = ["v1", "v1beta1", "v1alpha3"];
    kinds.into_iter().map(|kind| crd("networking.istio.io", &versions, kind)).collect()
}

/// `Service` and `Revision` of Knative. Nobody makes revisions here: that is left to whoever needs some.
pub fn knative_crds() -> Vec<Value> {
    let kinds = [("Service", "services", "ksvc"), ("Revision", "revisions", "rev")];
    kinds.into_iter().map(|kind| crd("serving.knative.dev", &["v1"], kind)).collect()
}

/// A kind with these versions, the first of which is stored.
fn crd(group: &str, versions: &[&str], (kind, plural, short): (&str, &str, &str)) -> Value {
    let version = |name: &str| {
        json!({
            "name": name,
            "served": true,
            "storage": versions.first() == Some(&name),
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
                "shortNames": [short],
            },
            "scope": "Namespaced",
            "versions": versions.iter().map(|name| version(name)).collect::<Vec<_>>(),
        },
    })
}
