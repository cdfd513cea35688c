//! What the API server of a mesh makes of our objects: its schema accepts them, drops nothing, and what it fills in by
//! itself is no drift.

use kubesim::KubeSim;
use serde_json::Value;
use std::path::Path;

use super::case::{Case, documents, title};
use super::holds;

#[tokio::test(start_paused = true)]
async fn the_crd_of_the_mesh_accepts_the_objects_and_drops_no_field() {
    let kube = with_every_crd();
    holds(|case| {
        if case
            .after()
            .iter()
            .any(|object| UNPUBLISHED.iter().any(|version| object["apiVersion"] == *version))
        {
            return Ok(());
        }
        let stored = stored(&kube, case)?;
        let writes = case.plan(&case.wish, &stored).map_err(|error| error.to_string())?;
        // A field that was dropped, or a default that looks like drift, would be written again.
        if writes.is_empty() { Ok(()) } else { Err(format!("after the server had them: {writes:#?}")) }
    });
}

/// Versions whose CRDs have a form that no API server takes since Kubernetes 1.22.
const UNPUBLISHED: [&str; 1] = ["appmesh.k8s.aws/v1beta1"];

/// The objects of a case as the server stores them.
fn stored(kube: &KubeSim, case: &Case) -> Result<Vec<Value>, String> {
    let mut stored = Vec::new();
    for mut object in case.after() {
        // The server gives it a version of its own, and knows no owner of this name.
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("resourceVersion");
        }
        let applied = kube.apply("vexil", object.clone());
        let mut kept = applied.map_err(|status| format!("{}: {}", title(&object), status))?;
        // A client gets the version that it asks for, whichever is stored.
        kept["apiVersion"] = object["apiVersion"].clone();
        stored.push(kept);
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        let kind = resource(case, &object);
        kube.delete(&kind, &text("namespace"), &text("name"));
    }
    Ok(stored)
}

fn resource(case: &Case, object: &Value) -> String {
    let kind = case.mesh.rights.iter().map(|right| right.kind).find(|kind| object["kind"] == kind.kind);
    let kind = kind.expect("a kind of the mesh");
    if kind.group.is_empty() { kind.plural.to_owned() } else { format!("{}.{}", kind.plural, kind.group) }
}

/// A cluster with the CRDs of every mesh.
fn with_every_crd() -> KubeSim {
    // The same kinds with more fields, and a text that is no YAML of this reader.
    with_crds(|name| !["gateway-api-experimental.yaml", "flagger.yaml"].contains(&name))
}

/// A cluster with the CRDs of these files, and the namespace `shop`.
pub fn with_crds(wanted: impl Fn(&str) -> bool) -> KubeSim {
    let kube = KubeSim::builder().build();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/crds");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("CRDs").flatten().map(|entry| entry.path()).collect();
    files.sort();
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.ends_with(".yaml") || !wanted(&name) {
            continue;
        }
        for crd in documents(&std::fs::read_to_string(&file).expect("a file")) {
            kube.put(crd);
        }
    }
    for name in ["shop", "edge"] {
        kube.put(serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
    }
    kube
}
