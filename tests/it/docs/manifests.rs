//! The manifests that readers copy: the controller reads each without a complaint, and the API server keeps every field.

use std::collections::BTreeSet;

use serde_json::Value;
use vexil::api::Provider;
use vexil::judge::route_template::{Known, Subject};
use vexil::manifest::decode;
use vexil::model::release::Settings;
use vexil::sim::World;

use super::{for_users, root};

/// Groups whose CRDs are not among the test data: objects of these are read as YAML and no further.
const NOT_CHECKED: &[&str] = &["argoproj.io", "kustomize.toolkit.fluxcd.io", "helm.toolkit.fluxcd.io"];

/// A manifest of a page.
struct Manifest {
    place: String,
    object: Value,
}

#[test]
fn every_block_of_yaml_can_be_read() {
    for page in for_users() {
        for block in page.blocks(&["yaml"]) {
            documents(&block.text).unwrap_or_else(|why| panic!("{}: {why}\n{}", block.place, block.text));
        }
    }
}

#[test]
fn the_controller_takes_every_canary_template_and_alert_provider() {
    let mut seen = BTreeSet::new();
    let mut refused = Vec::new();
    let templates = manifests().into_iter().map(|manifest| manifest.object);
    let templates = Known {
        templates: templates.filter(|object| object["kind"] == "RouteTemplate").collect(),
        unreadable: None,
    };
    for Manifest { place, object } in manifests() {
        let kind = object["kind"].as_str().unwrap_or_default();
        seen.insert(kind.to_owned());
        let read = match kind {
            "Canary" => canary(&object, &templates),
            "RouteTemplate" => route_template(&object),
            "MetricTemplate" => decode::metric_template(&object).map(drop).map_err(|why| why.to_string()),
            "AlertProvider" => decode::alert_provider(&object).map(drop).map_err(|why| why.to_string()),
            _ => Ok(()),
        };
        refused.extend(read.err().map(|why| format!("{place}: {why}")));
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
    for kind in ["Canary", "MetricTemplate", "AlertProvider", "RouteTemplate", "Deployment", "Secret"] {
        assert!(seen.contains(kind), "no page shows a {kind}: {seen:?}");
    }
}

/// Every law of routers holds for it.
fn route_template(object: &Value) -> Result<(), String> {
    let tried = Subject::new(object, None, Settings::default()).tried().map_err(|why| format!("{why:?}"))?;
    tried.into_iter().try_for_each(|tried| tried.verdict.map_err(|why| format!("{}: {why}", tried.law)))
}

pub fn canary(object: &Value, templates: &Known) -> Result<(), String> {
    let reading = vexil::judge::reading(object, &Settings::default(), templates);
    reading.release.map_err(|problems| format!("{problems:?}"))?;
    if reading.warnings.is_empty() { Ok(()) } else { Err(format!("{:?}", reading.warnings)) }
}

#[tokio::test(start_paused = true)]
async fn the_api_server_keeps_every_field_of_every_manifest() {
    let manifests = manifests();
    let used: BTreeSet<&str> =
        manifests.iter().filter_map(|manifest| manifest.object["kind"].as_str()).collect();
    let world = World::builder().without_mesh().build();
    install_kinds(&world, &used);
    let mut faults = Vec::new();
    for Manifest { place, object } in &manifests {
        let group = object["apiVersion"]
            .as_str()
            .and_then(|version| version.split_once('/'))
            .map_or("", |pair| pair.0);
        if NOT_CHECKED.contains(&group) {
            continue;
        }
        if let Err(why) = world.kube.apply("kubectl", object.clone()) {
            faults.push(format!("{place}: {:?}", why.message));
            continue;
        }
        let kind = format!(
            "{}/{}",
            object["apiVersion"].as_str().unwrap_or_default(),
            object["kind"].as_str().unwrap_or_default()
        );
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or("default");
        let stored = world.kube.get(&kind, namespace, name).unwrap_or_default();
        let lost = crate::examples::lost(object, &stored, "");
        let lost: Vec<&String> = lost.iter().filter(|field| !field.starts_with(".stringData")).collect();
        if !lost.is_empty() {
            faults.push(format!("{place}: the API server keeps no {lost:?}"));
        }
        // The next page may have an object of this name as well.
        world.kube.delete(&kind, namespace, name);
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The CRDs of these kinds; reading them takes a while.
fn install_kinds(world: &World, used: &BTreeSet<&str>) {
    // Of Gloo's VirtualService no CRD is at hand: any spec is kept.
    vexil::sim::crds(Provider::Gloo)
        .into_iter()
        .filter(|crd| crd["metadata"]["name"] == "virtualservices.gateway.solo.io")
        .for_each(|crd| drop(world.kube.put(crd)));
    let mut paths: Vec<_> = std::fs::read_dir(root().join("tests/data/crds"))
        .expect("test data")
        .flatten()
        .map(|file| file.path())
        .collect();
    paths.retain(|path| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        path.extension().is_some_and(|end| end == "yaml")
            && !["flagger", "gateway-api-experimental"].contains(&name.as_str())
    });
    for path in paths {
        let text = std::fs::read_to_string(&path).expect("readable");
        for crd in documents(&text).expect("a CRD") {
            if crd["spec"]["names"]["kind"].as_str().is_some_and(|kind| used.contains(kind)) {
                world.kube.put(crd);
            }
        }
    }
}

/// The objects in the blocks; fragments without a kind are left out.
fn manifests() -> Vec<Manifest> {
    let mut all = Vec::new();
    for page in for_users() {
        for block in page.blocks(&["yaml"]) {
            for object in documents(&block.text).unwrap_or_default() {
                if object["apiVersion"].is_string() && object["kind"].is_string() {
                    all.push(Manifest { place: block.place.clone(), object });
                }
            }
        }
    }
    all
}

pub fn documents(text: &str) -> Result<Vec<Value>, String> {
    let all: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|why| why.to_string())?;
    Ok(all.into_iter().filter(|object| !object.is_null()).collect())
}
