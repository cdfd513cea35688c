//! A case of a router, from its files.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use vexil::api::Provider;
use vexil::manifest::{decode, read};
use vexil::model::object::Write;
use vexil::model::release::{Problem, Release, Settings};
use vexil::model::traffic::{Cookies, RouteWish, Split};
use vexil::router::laws::Trial;
use vexil::router::{Error, Mesh, View, registry};

pub use vexil::router::laws::{applied, title};

/// A release, a wish, and what is there before.
#[derive(Clone)]
pub struct Case {
    /// `istio/weighted`
    pub title: String,
    /// The Canary as it is written.
    pub canary: Value,
    pub mesh: &'static Mesh,
    pub release: Release,
    pub settings: Settings,
    pub wish: RouteWish,
    pub before: Vec<Value>,
    pub expected_at: PathBuf,
}

impl Case {
    /// The objects after the wish came true.
    pub fn after(&self) -> Vec<Value> {
        let writes =
            self.plan(&self.wish, &self.before).unwrap_or_else(|error| panic!("{}: {error}", self.title));
        applied(&self.before, &writes)
    }

    pub fn plan(&self, wish: &RouteWish, objects: &[Value]) -> Result<Vec<Write>, Error> {
        self.trial().plan(wish, objects)
    }

    /// What `look` finds when these objects are all there is.
    pub fn looking<T>(&self, objects: &[Value], look: impl Fn(&View<'_>) -> T) -> T {
        self.trial().looking(objects, look)
    }

    /// The case as the laws look at it.
    pub fn trial(&self) -> Trial {
        Trial {
            router: self.mesh.router,
            release: self.release.clone(),
            settings: self.settings.clone(),
            kinds: self.mesh.rights.iter().map(|right| right.kind).collect(),
            wish: self.wish.clone(),
            before: self.before.clone(),
        }
    }

    pub fn with_remote_mesh(mut self) -> Self {
        self.settings.remote_mesh = true;
        self
    }
}

/// All cases of all meshes.
pub fn cases() -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/routers");
    let mut found = Vec::new();
    for folder in sorted(&root) {
        for file in sorted(&folder) {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if let Some(case) = name.strip_suffix(".in.yaml") {
                found.push(of(&folder, case));
            }
        }
    }
    found
}

fn of(folder: &Path, name: &str) -> Case {
    let title = format!("{}/{name}", folder.file_name().unwrap_or_default().to_string_lossy());
    let text = std::fs::read_to_string(folder.join(format!("{name}.in.yaml"))).expect("a case");
    let input: Value = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{title}: {error}"));
    let mut settings = Settings {
        ingress_class: input["ingressClass"].as_str().unwrap_or_default().to_owned(),
        ..Settings::default()
    };
    if let Some(prefix) = input["ingressAnnotationsPrefix"].as_str() {
        prefix.clone_into(&mut settings.ingress_annotations_prefix);
    }
    if let Some(provider) = input["meshProvider"].as_str() {
        provider.clone_into(&mut settings.mesh_provider);
    }
    let mut canary = input["canary"].clone();
    json_patch::merge(&mut canary, &json!({"metadata": {"uid": "u-1", "generation": 1}}));
    let facts = |release: &Release| registry::facts(release, &settings);
    let known = registry::known_names();
    let providers = read::Providers { known: &known, facts: &facts };
    let written = canary.clone();
    let canary =
        decode::canary(&canary).unwrap_or_else(|error| panic!("{title}: {} {}", error.field, error.message));
    let reading = read::release(&canary, &settings, &providers);
    // A route in another namespace always comes with the hint that it needs a grant.
    let is_of_a_grant = |warning: &Problem| warning.message.contains("ReferenceGrant");
    assert!(reading.warnings.iter().all(is_of_a_grant), "{title}: {:?}", reading.warnings);
    let release = *reading.release.unwrap_or_else(|problems| panic!("{title}: {problems:?}"));
    let provider: Provider = release.provider;
    let mesh = registry::mesh_of(&release).unwrap_or_else(|| panic!("{title}: no mesh {provider}"));
    let wish = &input["wish"];
    let cookie = |side: &str| wish["cookies"][side].as_str().map(str::to_owned);
    let percent = u32::try_from(wish["canary"].as_u64().unwrap_or_default()).expect("a share");
    Case {
        canary: written,
        mesh,
        release,
        settings: settings.clone(),
        wish: RouteWish {
            split: Split::canary_gets(percent),
            mirror: wish["mirror"].as_bool().unwrap_or_default(),
            cookies: Cookies {
                canary: cookie("canary"),
                primary: cookie("primary"),
                previous: cookie("previous"),
            },
        },
        before: input["before"].as_array().cloned().unwrap_or_default(),
        expected_at: folder.join(format!("{name}.out.yaml")),
        title,
    }
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

pub fn yaml(objects: &[Value]) -> String {
    let all: Vec<String> =
        objects.iter().map(|object| serde_saphyr::to_string(object).expect("plain JSON")).collect();
    all.join("---\n")
}

pub fn documents(text: &str) -> Vec<Value> {
    let all: Vec<Value> = serde_saphyr::from_multiple(text).expect("YAML");
    all.into_iter().filter(|object| !object.is_null()).collect()
}
