//! Files in place of a cluster: they are put into the embedded one, and that is asked like any other.

use std::path::PathBuf;

use kubesim::KubeSim;
use serde_json::{Value, json};

use crate::api::{Provider, crds};
use crate::cli::cluster::{Cluster, Trouble};
use crate::cli::lint;
use crate::router::registry;

/// A cluster that has the objects of these files. Those without a namespace are in `namespace`.
///
/// # Errors
/// If a file cannot be read, or holds something that is no object.
pub(super) fn cluster(paths: &[PathBuf], namespace: &str) -> Result<Cluster, Trouble> {
    let inputs = lint::inputs(paths).map_err(|why| Trouble::new(format!("{why:#}")))?;
    let kube = KubeSim::builder().without_workloads().build();
    for crd in crds::crds() {
        let mut crd = serde_json::to_value(crd).unwrap_or_default();
        forget_rules(&mut crd);
        kube.put(crd);
    }
    for name in registry::known() {
        for crd in Provider::parse(name).map(crate::sim::crds).unwrap_or_default() {
            // A kind that two meshes have is the same in both.
            let _ = kube.try_put(crd);
        }
    }
    let mut known = 0;
    for input in inputs {
        let documents: Vec<Value> = serde_saphyr::from_multiple(&input.text)
            .map_err(|why| Trouble::new(format!("{} is no YAML: {why}", input.name)))?;
        for object in documents.into_iter().flat_map(objects) {
            let title = format!("{} {}", shown(&object["kind"]), shown(&object["metadata"]["name"]));
            let is_canary = object["kind"] == "Canary";
            match put(&kube, object, namespace) {
                Ok(()) => known += 1,
                // Without it the report would say that all is well.
                Err(why) if is_canary => {
                    return Err(Trouble::new(format!("{}: {title} cannot be read: {why}", input.name)));
                }
                // What the embedded cluster does not know, no Canary needs.
                Err(_) => {}
            }
        }
    }
    if known == 0 {
        return Err(Trouble::new("the files have no object in them that a Canary could lead to").cure(
            "kubectl get canaries,metrictemplates,alertproviders,deployments,services,endpointslices -A -o yaml prints some",
        ));
    }
    Ok(Cluster::of(kube.client("vexil"), namespace, "the files"))
}

/// The objects of a document: a list has several.
fn objects(document: Value) -> Vec<Value> {
    match &document["items"] {
        Value::Array(items) if document["kind"].as_str().is_some_and(|kind| kind.ends_with("List")) => {
            items.clone()
        }
        _ if document["kind"].is_string() => vec![document],
        _ => Vec::new(),
    }
}

/// Takes the rules from the schemas of a CRD: Flagger's have fewer, and what Vexil refuses is said by its own reading.
fn forget_rules(crd: &mut Value) {
    let versions = crd["spec"]["versions"].as_array_mut().into_iter().flatten();
    for version in versions {
        version["schema"]["openAPIV3Schema"] =
            json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    }
}

fn shown(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

fn put(kube: &KubeSim, mut object: Value, namespace: &str) -> Result<(), String> {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("resourceVersion");
        metadata.remove("managedFields");
    }
    // What has no namespace is in none: such kinds refuse one.
    let mut homed = object.clone();
    if homed["metadata"]["namespace"].is_null() {
        homed["metadata"]["namespace"] = namespace.into();
    }
    let first = kube.try_put(homed).map(|_| ()).map_err(|why| why.to_string());
    first.or_else(|why| kube.try_put(object).map(|_| ()).map_err(|_| why))
}
