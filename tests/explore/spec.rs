//! A case of the catalogue: manifests, what the mesh can do, and what may go wrong in its world.

use serde_json::{Value, json};
use vexil::manifest::{decode, read};
use vexil::model::release::{ProviderFacts, Release, Settings};
use vexil::model::traffic::Capabilities;

use super::world::{A, B, C, Rev};

/// What may happen in a world, beside pods becoming ready and answers coming.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Pods die, and rollouts miss their deadline.
    Pods,
    /// Checks fail and hooks say no, whatever the revision is worth.
    Lies,
    /// Metrics have no value, are NaN, or cannot be read.
    Silence,
    /// The process dies between any two writes; a write fails.
    Crash,
    /// Somebody moves the traffic, edits or deletes the routes.
    Drift,
    /// The mesh accepts a route later, or never.
    Acceptance,
    /// Requests by hand.
    Hand,
    /// The manifest is edited; see [`Spec::manifests`].
    Edit,
    /// The manifest is made unusable, and mended.
    Refusal,
    /// The Canary is deleted.
    Deletion,
    /// The primary is deleted.
    PrimaryGone,
    /// The target is deleted and created again.
    TargetGone,
    /// Nobody looks for a long time.
    Sleep,
    /// The EndpointSlices follow later.
    Lag,
    /// Services are deleted.
    Services,
    /// Autoscalers change the number of pods.
    Scaler,
    /// The ConfigMap of the target is edited.
    Config,
    /// Who pushes sets the replicas as well, as manifests with `replicas` do.
    Replicas,
}

/// A case of the catalogue.
pub struct Spec {
    pub name: String,
    /// The manifests that `Trouble::Edit` chooses from; the first is in force at the beginning.
    pub manifests: Vec<Release>,
    pub capabilities: Capabilities,
    pub troubles: Vec<Trouble>,
    /// The revisions that are pushed.
    pub pushes: Vec<Rev>,
    /// Pods of each side.
    pub pods: u8,
    /// Whether a promotion replaces all pods of the primary at once.
    pub recreate: bool,
    /// Whether ConfigMaps are tracked.
    pub configs: bool,
}

impl Spec {
    /// A weighted release in steps of 50 to 50 with one check, on a mesh that can do everything.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            manifests: vec![manifest(&json!({}), Capabilities::ALL)],
            capabilities: Capabilities::ALL,
            troubles: Vec::new(),
            pushes: vec![A, B, C],
            pods: 1,
            recreate: false,
            configs: false,
        }
    }

    /// With `spec` merged into the manifest.
    pub fn with(mut self, spec: Value) -> Self {
        self.manifests[0] = manifest(&spec, self.capabilities);
        self
    }

    /// With another manifest to edit to.
    pub fn or(mut self, spec: Value) -> Self {
        self.manifests.push(manifest(&spec, self.capabilities));
        self
    }

    /// On a mesh that can do this. Comes before the manifests.
    pub fn on(mut self, capabilities: Capabilities) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// With these troubles.
    pub fn amid(mut self, troubles: &[Trouble]) -> Self {
        self.troubles = troubles.to_vec();
        self
    }

    /// With these pushes.
    pub fn pushing(mut self, pushes: &[Rev]) -> Self {
        self.pushes = pushes.to_vec();
        self
    }

    /// With so many pods of each side.
    pub fn of_pods(mut self, pods: u8) -> Self {
        self.pods = pods;
        self
    }

    /// Where a promotion replaces all pods of the primary at once.
    pub fn recreating(mut self) -> Self {
        self.recreate = true;
        self
    }

    /// With ConfigMaps that are tracked.
    pub fn tracking(mut self) -> Self {
        self.configs = true;
        self
    }

    /// Whether `trouble` may come.
    pub fn has(&self, trouble: Trouble) -> bool {
        self.troubles.contains(&trouble)
    }
}

/// The smallest manifest, with `spec` merged into it, read by the reader that ships.
fn manifest(spec: &Value, capabilities: Capabilities) -> Release {
    let mut canary = json!({
        "apiVersion": "flagger.app/v1beta1",
        "kind": "Canary",
        "metadata": {"name": "podinfo", "namespace": "test", "uid": "canary", "generation": 1},
        "spec": {
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "podinfo"},
            "progressDeadlineSeconds": 30,
            "service": {"port": 80},
            "analysis": {
                "interval": "10s",
                "threshold": 1,
                "metrics": [{"name": "request-success-rate", "thresholdRange": {"min": 99}, "interval": "1m"}],
            },
        },
    });
    let steps = json!({"stepWeight": 50, "maxWeight": 50});
    let analysis = &spec["analysis"];
    if ["stepWeight", "stepWeights", "iterations"].iter().all(|field| analysis[field].is_null()) {
        merge(&mut canary["spec"]["analysis"], &steps);
    }
    merge(&mut canary["spec"], spec);
    let canary = decode::canary(&canary).expect("a Canary");
    let facts = |_: &Release| Some(ProviderFacts { capabilities, ..ProviderFacts::default() });
    let providers = read::Providers { known: "all", facts: &facts };
    let settings = Settings::default();
    let release = read::release(&canary, &settings, &providers).release;
    *release.unwrap_or_else(|problems| panic!("{spec}: {problems:?}"))
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}
