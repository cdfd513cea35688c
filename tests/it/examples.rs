//! The manifests under `examples/`: the controller reads each without a complaint, the API server of its mesh stores it
//! as it is written, and it comes up.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use vexil::api::Provider;
use vexil::manifest::{decode, read};
use vexil::model::object::Kind;
use vexil::model::release::{Release, Settings};
use vexil::router::registry;
use vexil::sim::World;

/// The registered meshes, by the provider that their examples name.
fn meshes() -> impl Iterator<Item = Provider> {
    registry::MESHES.iter().map(|mesh| mesh.providers[0])
}

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
    let tested: BTreeSet<String> = meshes().flat_map(examples).map(|example| example.path).collect();
    for path in &tested {
        assert!(readme.contains(&format!("({path})")), "{path} is not in the README");
    }
    let folders = list(&root().join("examples")).into_iter().filter(|path| path.is_dir());
    let files = folders.flat_map(|folder| list(&folder));
    let untested: Vec<PathBuf> =
        files.filter(|file| !tested.iter().any(|path| file.ends_with(path))).collect();
    assert!(untested.is_empty(), "of no mesh that is tested here: {untested:?}");
}

#[test]
fn the_controller_refuses_nothing_and_warns_of_nothing() {
    for mesh in meshes() {
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
            assert_eq!(release.provider, mesh, "{} is read for another mesh", example.path);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_cluster_stores_every_object_as_it_is_written() {
    for mesh in meshes() {
        for example in examples(mesh) {
            let world = world(mesh);
            world.apply(&example.text).unwrap_or_else(|why| panic!("{}: {why}", example.path));
            for written in &example.objects {
                let stored =
                    world.kube.get(&resource(mesh, written), "shop", name(written)).unwrap_or_default();
                let lost = lost(written, &stored, "");
                assert!(lost.is_empty(), "{}: the API server keeps no {lost:?}", example.path);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_example_comes_up() {
    // Nobody makes the revisions of a Knative Service here: `targets.rs` releases one.
    for (mesh, example) in meshes()
        .filter(|mesh| *mesh != Provider::Knative)
        .flat_map(|mesh| examples(mesh).into_iter().map(move |example| (mesh, example)))
    {
        let world = world(mesh);
        let controller = world.start_controller();
        world.apply(&example.text).unwrap_or_else(|why| panic!("{}: {why}", example.path));
        let met = world
            .until(Duration::from_secs(600), |world| world.phase("shop", "frontend") == "Initialized")
            .await;
        let events = world.events("shop", "frontend");
        assert!(met, "{}: {events:#?}\n{:#}", example.path, world.status("shop", "frontend"));
        if registry::mesh(mesh).is_some_and(|mesh| mesh.abilities.weights) {
            assert_eq!(world.weights("shop", "frontend"), Some((100, 0)), "{}", example.path);
        }
        controller.stop().await;
    }
}

/// A cluster with the CRDs that the project of the mesh publishes, in the version that its router writes.
pub(crate) fn world(mesh: Provider) -> World {
    let world = World::builder().mesh(mesh).build();
    // Linkerd and Open Service Mesh have the kinds of SMI.
    let folder = match mesh {
        Provider::Linkerd | Provider::Osm => "smi",
        _ => family(mesh),
    };
    let of_mesh = |path: &&PathBuf| {
        path.file_stem().is_some_and(|name| name.to_string_lossy().replace('-', "") == folder)
    };
    let rights = registry::mesh(mesh).map_or(&[][..], |mesh| mesh.rights);
    let used: BTreeSet<String> = examples(mesh)
        .iter()
        .flat_map(|example| &example.objects)
        .filter_map(|object| object["kind"].as_str().map(str::to_owned))
        .collect();
    for crds in list(&root().join("tests/data/crds")).iter().filter(of_mesh) {
        for crd in documents(&read_text(crds)) {
            let served: Vec<&Value> = crd["spec"]["versions"]
                .as_array()
                .map(|versions| versions.iter().map(|version| &version["name"]).collect())
                .unwrap_or_default();
            let plural = &crd["spec"]["names"]["plural"];
            let written = rights.iter().map(|right| right.kind).find(|kind| *plural == kind.plural);
            let serves = written.is_none_or(|kind| served.iter().any(|version| **version == kind.version));
            // Their schemas take a while to read.
            let kind = crd["spec"]["names"]["kind"].as_str().unwrap_or_default();
            if serves && (written.is_some() || used.contains(kind)) {
                world.kube.put(crd);
            }
        }
    }
    world
}

/// The name of a mesh without the version of its API: the examples of all versions stand in one folder.
fn family(mesh: Provider) -> &'static str {
    mesh.as_str().split(':').next().unwrap_or_default()
}

/// The fields of `written` that `stored` has not, or not so.
pub(crate) fn lost(written: &Value, stored: &Value, path: &str) -> Vec<String> {
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

fn resource(mesh: Provider, object: &Value) -> String {
    let written = registry::MESHES.iter().flat_map(|mesh| mesh.rights).map(|right| right.kind);
    let beside = Kind::new("gateway.solo.io", "v1", "VirtualService", "virtualservices");
    let mut kinds =
        written.chain([beside, Kind::CANARY, Kind::DEPLOYMENT, Kind::DAEMON_SET, Kind::SERVICE, Kind::HPA]);
    let kind = kinds.find(|kind| object["kind"] == kind.kind && object["apiVersion"] == kind.api_version());
    let Some(kind) = kind else {
        return of_a_crd(mesh, object)
            .unwrap_or_else(|| panic!("no mesh and no target is of this kind: {object:#}"));
    };
    if kind.group.is_empty() { kind.plural.to_owned() } else { format!("{}.{}", kind.plural, kind.group) }
}

/// The resource of a kind that the mesh's users apply and its router never looks at.
fn of_a_crd(mesh: Provider, object: &Value) -> Option<String> {
    let crds = documents(&read_text(&root().join("tests/data/crds").join(format!("{mesh}.yaml"))));
    let crd = crds.into_iter().find(|crd| crd["spec"]["names"]["kind"] == object["kind"])?;
    Some(crd["metadata"]["name"].as_str()?.to_owned())
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// The examples whose Canary names this mesh.
fn examples(mesh: Provider) -> Vec<Example> {
    let read = |path: PathBuf| {
        let text = read_text(&path);
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        Example { path: format!("{}/{file}", family(mesh)), objects: documents(&text), text }
    };
    let names_it =
        |example: &Example| example.objects.iter().any(|object| object["spec"]["provider"] == mesh.as_str());
    let files = list(&root().join("examples").join(family(mesh)));
    files.into_iter().map(read).filter(names_it).collect()
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
