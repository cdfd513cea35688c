//! A cluster with Vexil's kinds, a mesh, a backend, and controllers that can be started and killed.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeZone, Utc};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::api::{Provider, crds};
use crate::controller::client::{Layers, layered};
use crate::controller::clock::Clock;
use crate::controller::fence::{Claim, Fence};
use crate::controller::ids::Ids;
use crate::controller::shadow::Shadow;
use crate::controller::telemetry::Telemetry;
use crate::controller::{Controller, Parts};
use crate::http;
use crate::model::release::Settings;
use kubesim::KubeSim;

use super::backend::Backend;
use super::gateways;
use super::knative::{self, Serving};
use super::mesh;
use super::routes::Routes;

/// The simulated world. Cheap to clone.
#[derive(Clone)]
pub struct World {
    /// The embedded cluster.
    pub kube: KubeSim,
    /// The metrics backend and the hooks.
    pub backend: Backend,
    clock: Clock,
    settings: Settings,
    namespace: String,
    event_webhook: String,
}

/// What a world is made of.
pub struct WorldBuilder {
    start: DateTime<Utc>,
    settings: Settings,
    mesh: Option<Provider>,
    older_crds: bool,
    namespace: String,
    event_webhook: String,
    clock: Option<Clock>,
}

/// A controller at work in the world.
pub struct Running {
    /// What lets it write, or not.
    pub fence: Fence,
    /// Its metrics.
    pub telemetry: Arc<Telemetry>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl World {
    /// What a world is made of, to be changed before it is built.
    pub fn builder() -> WorldBuilder {
        WorldBuilder {
            start: Utc.with_ymd_and_hms(2026, 1, 1, 9, 0, 0).single().unwrap_or_default(),
            settings: Settings::default(),
            mesh: Some(Provider::Istio),
            older_crds: false,
            namespace: String::new(),
            event_webhook: String::new(),
            clock: None,
        }
    }

    /// Starts a controller; it leads at once.
    pub fn start_controller(&self) -> Running {
        self.start_controller_over(Arc::new(self.backend.clone()))
    }

    /// Starts a controller that reaches metrics servers, hooks and receivers over `network`; it leads at once.
    pub fn start_controller_over(&self, network: Arc<dyn http::Transport>) -> Running {
        self.start_behind(Fence::new(Claim::Always), CONTROLLER, network).0
    }

    /// Starts a shadow beside whatever works here. The cluster knows its requests as those of `shadow`.
    pub fn start_shadow(&self) -> (Running, Arc<Shadow>) {
        let (running, shadow) = self.start_behind(Fence::shadow(), "shadow", Arc::new(self.backend.clone()));
        (running, shadow.expect("the fence is a shadow's"))
    }

    fn start_behind(
        &self,
        fence: Fence,
        caller: &str,
        network: Arc<dyn http::Transport>,
    ) -> (Running, Option<Arc<Shadow>>) {
        let telemetry = Arc::new(Telemetry::new("simulated", &self.settings.mesh_provider, fence.clone()));
        let layers = Layers { fence: fence.clone(), telemetry: Arc::clone(&telemetry), limit: None };
        let client = layered(self.kube.service(caller), "default", layers);
        let controller = Controller::new(Parts {
            mesh: client.clone(),
            client,
            http: http::Client::over(network, http::Limits::default()),
            settings: self.settings.clone(),
            namespace: self.namespace.clone(),
            event_webhook: self.event_webhook.clone(),
            alerts: crate::alert::Settings {
                labelled: self.settings.require_secret_labels,
                ..crate::alert::Settings::default()
            },
            clock: self.clock,
            ids: Ids::seeded(1),
            fence: fence.clone(),
            telemetry: Arc::clone(&telemetry),
        });
        let shadow = controller.shadow();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(controller.run(async {
            // A dropped sender stops it as well.
            let _ = stopped.await;
        }));
        (Running { fence, telemetry, stop: Some(stop), task }, shadow)
    }

    /// Applies the objects of a YAML text, one document after the other, as `kubectl apply --server-side` would.
    ///
    /// # Errors
    /// If it is no YAML, or the cluster refuses an object; the text says which and why.
    pub fn apply(&self, yaml: &str) -> Result<(), String> {
        for document in documents(yaml)? {
            let name = document["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            self.kube.apply("kubectl", document).map_err(|status| {
                format!("{name}: {}", serde_json::to_value(&status.message).unwrap_or_default())
            })?;
        }
        Ok(())
    }

    /// Gives the first container of a Deployment, of a DaemonSet or of a Knative Service another image, as `kubectl set
    /// image` would.
    pub fn set_image(&self, namespace: &str, workload: &str, image: &str) {
        let found = ["apps/v1/Deployment", "apps/v1/DaemonSet", knative::SERVICE]
            .into_iter()
            .find_map(|kind| self.kube.get(kind, namespace, workload));
        let Some(mut object) = found else { return };
        object["spec"]["template"]["spec"]["containers"][0]["image"] = image.into();
        // Its status may have changed since it was read.
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("resourceVersion");
        }
        self.kube.put(object);
    }

    /// The status of a Canary.
    pub fn status(&self, namespace: &str, canary: &str) -> Value {
        self.kube
            .get("canaries.flagger.app", namespace, canary)
            .map_or(Value::Null, |canary| canary["status"].clone())
    }

    /// The phase of a Canary; empty if it has none.
    pub fn phase(&self, namespace: &str, canary: &str) -> String {
        self.status(namespace, canary)["phase"].as_str().unwrap_or_default().to_owned()
    }

    /// Messages of the events about a Canary, in order.
    pub fn events(&self, namespace: &str, canary: &str) -> Vec<String> {
        let mut events: Vec<(String, String)> = self
            .kube
            .list("events", Some(namespace))
            .into_iter()
            .filter(|event| event["involvedObject"]["name"] == canary)
            .map(|event| {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                (text(&event["metadata"]["name"]), text(&event["message"]))
            })
            .collect();
        events.sort();
        events.into_iter().map(|(_, message)| message).collect()
    }

    /// Weights of primary and canary as the mesh has them.
    pub fn weights(&self, namespace: &str, apex: &str) -> Option<(i64, i64)> {
        let routes = self.routes();
        let releases = routes.releases().into_iter();
        let mut those = releases.filter(|release| release.namespace == namespace && release.apex == apex);
        let split = those.find_map(|release| routes.of(&release))?.split;
        Some((i64::from(split.primary()), i64::from(split.canary())))
    }

    /// Reads the routes of all Canaries, whatever their mesh.
    pub fn routes(&self) -> Routes {
        Routes::new(self.kube.clone(), self.settings.clone())
    }

    /// Lets time pass until `met`, at most `limit`; whether it was met.
    pub async fn until(&self, limit: Duration, met: impl Fn(&Self) -> bool) -> bool {
        let deadline = tokio::time::Instant::now() + limit;
        while !met(self) {
            if tokio::time::Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(TICK).await;
        }
        true
    }

    /// The world's time.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// What tells the world's time.
    pub fn clock(&self) -> Clock {
        self.clock
    }
}

impl WorldBuilder {
    /// A controller with these settings.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// A cluster without a mesh.
    pub fn without_mesh(mut self) -> Self {
        self.mesh = None;
        self
    }

    /// A cluster with the kinds of this mesh, which is Istio's otherwise.
    pub fn mesh(mut self, provider: Provider) -> Self {
        self.mesh = Some(provider);
        self
    }

    /// A cluster whose Canary CRD is Flagger's: it keeps no field that Flagger does not know.
    pub fn older_crds(mut self) -> Self {
        self.older_crds = true;
        self
    }

    /// A controller that looks at one namespace alone.
    pub fn namespace(mut self, namespace: &str) -> Self {
        namespace.clone_into(&mut self.namespace);
        self
    }

    /// Where events go that no hook of their Canary takes.
    pub fn event_webhook(mut self, url: &str) -> Self {
        self.event_webhook = url.to_owned();
        self
    }

    /// Begins at `start`.
    pub fn start(mut self, start: DateTime<Utc>) -> Self {
        self.start = start;
        self
    }

    /// Controllers that have this clock, whatever the cluster's shows.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// The world. Needs a runtime.
    pub fn build(self) -> World {
        let kube = KubeSim::builder().start_time(self.start).build();
        for crd in crds::crds() {
            let mut crd = serde_json::to_value(crd).unwrap_or_default();
            if self.older_crds {
                forget_additions(&mut crd);
            }
            kube.put(crd);
        }
        for crd in self.mesh.map(mesh::crds).unwrap_or_default() {
            kube.put(crd);
        }
        // It has nothing to do where its kinds are not installed.
        kube.add_controller(Serving);
        if matches!(self.mesh, Some(Provider::GatewayApiV1 | Provider::GatewayApiV1Beta1)) {
            gateways::start(&kube);
        }
        World {
            backend: Backend::new(kube.clone(), self.settings.clone()),
            clock: self.clock.unwrap_or_else(|| Clock::starting_at(self.start)),
            kube,
            settings: self.settings,
            namespace: self.namespace,
            event_webhook: self.event_webhook,
        }
    }
}

impl Running {
    /// Ends it as SIGTERM would.
    pub async fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        let _ = self.task.await;
    }

    /// Ends it as SIGKILL would: in the middle of whatever it does.
    pub fn kill(self) {
        self.fence.publish(Claim::None);
        self.task.abort();
    }
}

/// Drops the fields that only we have, and the old version that only we serve.
fn forget_additions(crd: &mut Value) {
    const ADDED: [&str; 3] = ["appliedTarget", "lastCheckTime", "observedGeneration"];
    let Some(versions) = crd["spec"]["versions"].as_array_mut() else { return };
    versions.retain(|version| version["name"] == "v1beta1");
    for version in versions {
        let status = &mut version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"];
        if let Some(fields) = status.as_object_mut() {
            fields.retain(|name, _| !ADDED.contains(&name.as_str()));
        }
    }
}

fn documents(yaml: &str) -> Result<Vec<Value>, String> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(yaml).map_err(|error| error.to_string())?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

/// The caller's name in the request log.
pub(super) const CONTROLLER: &str = "vexil";

/// How finely conditions are looked at.
const TICK: Duration = Duration::from_millis(500);
