//! The manifests under `examples/`: the controller reads each without a complaint, the API server of its mesh stores it
//! as it is written, and it comes up.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rstest::rstest;
use serde_json::Value;
use vexil::api::Provider;
use vexil::manifest::{decode, read};
use vexil::model::release::{Release, Settings};
use vexil::router::registry;
use vexil::sim::World;

const MESHES: [Provider; 4] = [Provider::Contour, Provider::Istio, Provider::Knative, Provider::Kubernetes];

/// An example: its path below the folder, and its objects.
struct Example {
    path: String,
    text: String,
    objects: Vec<Value>,
}

#[test]
fn every_mesh_has_examples_and_the_readme_links_to_each() {
    let readme = read_text(&root().join("examples/README.md"));
    for mesh in registry::MESHES {
        assert!(!examples(mesh.providers[0]).is_empty(), "{} has no example", mesh.title);
    }
    for example in MESHES.into_iter().flat_map(examples) {
        assert!(readme.contains(&format!("({})", example.path)), "{} is not in the README", example.path);
    }
    let folders = list(&root().join("examples")).into_iter().filter(|path| path.is_dir()).count();
    assert_eq!(folders, MESHES.len(), "a folder is of no mesh that is tested here");
}

#[test]
fn the_controller_refuses_nothing_and_warns_of_nothing() {
    for mesh in MESHES {
        for example in examples(mesh) {
            let canaries: Vec<&Value> =
                example.objects.iter().filter(|object| object["kind"] == "Canary").collect();
            let [canary] = canaries[..] else { panic!("{} has one Canary", example.path) };
            let settings = Settings::default();
            let facts = |release: &Release| registry::facts(release, &settings);
            let known = registry::known_names();
            let providers = read::Providers { known: &known, facts: &facts };
            let canary = decode::canary(canary).unwrap_or_else(|why| panic!("{}: {why}", example.path));
            let reading = read::release(&canary, &settings, &providers);
            assert!(reading.warnings.is_empty(), "{}: {:#?}", example.path, reading.warnings);
            let release =
                reading.release.unwrap_or_else(|problems| panic!("{}: {problems:#?}", example.path));
            assert_eq!(release.provider, mesh, "{} stands in the wrong folder", example.path);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_cluster_stores_every_object_as_it_is_written() {
    for mesh in MESHES {
        for example in examples(mesh) {
            let world = world(mesh);
            world.apply(&example.text).unwrap_or_else(|why| panic!("{}: {why}", example.path));
            for written in &example.objects {
                let stored = world.kube.get(resource(written), "shop", name(written)).unwrap_or_default();
                let lost = lost(written, &stored, "");
                assert!(lost.is_empty(), "{}: the API server keeps no {lost:?}", example.path);
            }
        }
    }
}

#[rstest]
#[case::contour(Provider::Contour)]
#[case::istio(Provider::Istio)]
#[case::kubernetes(Provider::Kubernetes)]
#[tokio::test(start_paused = true)]
async fn it_comes_up(#[case] mesh: Provider) {
    for example in examples(mesh) {
        let world = world(mesh);
        let controller = world.start_controller();
        world.apply(&example.text).unwrap_or_else(|why| panic!("{}: {why}", example.path));
        let met = world
            .until(Duration::from_secs(600), |world| world.phase("shop", "frontend") == "Initialized")
            .await;
        let events = world.events("shop", "frontend");
        assert!(met, "{}: {events:#?}\n{:#}", example.path, world.status("shop", "frontend"));
        if mesh != Provider::Kubernetes {
            assert_eq!(world.weights("shop", "frontend"), Some((100, 0)), "{}", example.path);
        }
        controller.stop().await;
    }
}

/// A cluster with the CRDs that the project of the mesh publishes.
fn world(mesh: Provider) -> World {
    let world = World::builder().mesh(mesh).build();
    let crds = root().join("tests/data/crds").join(format!("{mesh}.yaml"));
    if mesh != Provider::Kubernetes {
        for crd in documents(&read_text(&crds)) {
            world.kube.put(crd);
        }
    }
    world
}

/// The fields of `written` that `stored` has not, or not so.
fn lost(written: &Value, stored: &Value, path: &str) -> Vec<String> {
    match (written, stored) {
        (Value::Object(fields), _) => fields
            .iter()
            .flat_map(|(name, value)| lost(value, &stored[name], &format!("{path}.{name}")))
            .collect(),
        (Value::Array(items), Value::Array(others)) if items.len() == others.len() => (0..)
            .zip(items)
            .flat_map(|(index, item)| lost(item, &others[index], &format!("{path}[{index}]")))
            .collect(),
        _ if written == stored || written.as_f64().is_some_and(|number| Some(number) == stored.as_f64()) => {
            Vec::new()
        }
        _ => vec![format!("{path} {written} (but {stored})")],
    }
}

fn resource(object: &Value) -> &'static str {
    match (object["kind"].as_str(), object["apiVersion"].as_str()) {
        (Some("Canary"), _) => "canaries.flagger.app",
        (Some("Deployment"), _) => "deployments.apps",
        (Some("HTTPProxy"), _) => "httpproxies.projectcontour.io",
        (Some("Service"), Some("serving.knative.dev/v1")) => "services.serving.knative.dev",
        _ => panic!("no example has had such an object: {object:#}"),
    }
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn examples(mesh: Provider) -> Vec<Example> {
    let read = |path: PathBuf| {
        let text = read_text(&path);
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        Example { path: format!("{mesh}/{file}"), objects: documents(&text), text }
    };
    list(&root().join("examples").join(mesh.as_str())).into_iter().map(read).collect()
}

fn documents(text: &str) -> Vec<Value> {
    let all: Vec<Value> = serde_saphyr::from_multiple(text).expect("YAML");
    all.into_iter().filter(|object| !object.is_null()).collect()
}

fn list(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|why| panic!("{}: {why}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

fn read_text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
