//! The online shop that the runs release: one namespace, the Deployment `frontend`, its Canary, and what users see of it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Event, Namespace, Service};
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::apps::load::{Load, Running};
use crate::wait;
use crate::world::World;

/// The name of the workload, its apex Service and its Canary.
pub const NAME: &str = "frontend";
/// The field manager of the shop's own people.
const OWNER: &str = "shop-team";

/// A shop of its own in a namespace.
pub struct Shop {
    pub world: Arc<World>,
    pub namespace: String,
}

/// How one version of the frontend behaves.
#[derive(Clone, Debug, Default)]
pub struct Version {
    pub tag: String,
    pub environment: Vec<(&'static str, String)>,
}

impl Version {
    pub fn good(tag: &str) -> Version {
        Version { tag: tag.into(), environment: Vec::new() }
    }

    pub fn with(mut self, name: &'static str, value: &str) -> Version {
        self.environment.push((name, value.into()));
        self
    }
}

impl Shop {
    /// A fresh namespace with the frontend running in its first version.
    pub async fn open(world: &Arc<World>, namespace: &str, first: &Version) -> Result<Shop> {
        let shop = Shop { world: world.clone(), namespace: namespace.to_owned() };
        let namespaces: Api<Namespace> = Api::all(world.client.clone());
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        namespaces.patch(namespace, &PatchParams::apply(OWNER), &Patch::Apply(&object)).await?;
        shop.apply(&deployment(first)).await?;
        shop.wait_rolled_out(NAME).await?;
        Ok(shop)
    }

    /// The host name at which users know it.
    pub fn host(&self) -> String {
        format!("{}.example.com", self.namespace)
    }

    /// Users at the gateway.
    pub fn users(&self, rate: u32) -> Result<Running> {
        self.world.users(&self.host(), rate)
    }

    /// What users at the gateway ask, for those who want to ask it otherwise.
    pub fn load(&self, rate: u32) -> Load {
        self.world.at_gateway(&self.host(), rate)
    }

    /// Applies an object as the shop's people do. Tries again while the API server or a webhook is away.
    pub async fn apply(&self, object: &Value) -> Result<()> {
        self.apply_as(OWNER, object).await
    }

    /// Applies an object in another manager's name.
    pub async fn apply_as(&self, manager: &str, object: &Value) -> Result<()> {
        let text = |field: &str| object[field].as_str().unwrap_or_default();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let api = self.world.api(api_version, kind, &self.namespace);
        let parameters = PatchParams::apply(manager).force();
        wait::some(
            &format!("{kind} {}/{name} can be applied", self.namespace),
            Duration::from_secs(60),
            async || match api.patch(name, &parameters, &Patch::Apply(object)).await {
                Ok(_) => Ok(Some(())),
                Err(kube::Error::Api(status)) if status.code < 500 => {
                    Err(kube::Error::Api(status)).with_context(|| format!("cannot apply {kind} {name}"))
                }
                Err(_) => Ok(None),
            },
        )
        .await
    }

    /// Deploys a version: what starts a release.
    pub async fn deploy(&self, version: &Version) -> Result<()> {
        self.apply(&deployment(version)).await
    }

    /// An object of the shop.
    pub async fn get(&self, api_version: &str, kind: &str, name: &str) -> Result<Option<DynamicObject>> {
        Ok(self.world.api(api_version, kind, &self.namespace).get_opt(name).await?)
    }

    /// Deletes an object and waits until it is gone.
    pub async fn delete(&self, api_version: &str, kind: &str, name: &str) -> Result<()> {
        let api = self.world.api(api_version, kind, &self.namespace);
        api.delete(name, &DeleteParams::default()).await?;
        wait::until(
            &format!("{kind} {}/{name} is gone", self.namespace),
            Duration::from_secs(180),
            async || Ok(api.get_opt(name).await?.is_none()),
        )
        .await
    }

    pub async fn deployment(&self, name: &str) -> Result<Option<Deployment>> {
        Ok(Api::<Deployment>::namespaced(self.world.client.clone(), &self.namespace).get_opt(name).await?)
    }

    pub async fn service(&self, name: &str) -> Result<Option<Service>> {
        Ok(Api::<Service>::namespaced(self.world.client.clone(), &self.namespace).get_opt(name).await?)
    }

    /// How many replicas a Deployment wants; none when there is no such Deployment.
    pub async fn replicas(&self, name: &str) -> Result<Option<i32>> {
        Ok(self.deployment(name).await?.and_then(|d| d.spec.replicas))
    }

    /// The image of a Deployment's container.
    pub async fn image(&self, name: &str) -> Result<String> {
        let deployment =
            self.deployment(name).await?.with_context(|| format!("there is no deployment {name}"))?;
        let containers = deployment.spec.template.spec.map(|spec| spec.containers);
        Ok(containers.and_then(|all| all.into_iter().next()).and_then(|c| c.image).unwrap_or_default())
    }

    pub async fn wait_rolled_out(&self, name: &str) -> Result<()> {
        wait::until(
            &format!("{}/{name} is rolled out", self.namespace),
            Duration::from_secs(120),
            async || {
                let Some(deployment) = self.deployment(name).await? else { return Ok(false) };
                let wanted = deployment.spec.replicas.unwrap_or(1);
                let status = deployment.status.clone().unwrap_or_default();
                Ok(status.observed_generation >= deployment.metadata.generation
                    && status.updated_replicas.unwrap_or(0) == wanted
                    && status.ready_replicas.unwrap_or(0) == wanted
                    && status.replicas.unwrap_or(0) == wanted)
            },
        )
        .await
    }

    /// Applies the Canary and waits until it is initialized.
    pub async fn initialize(&self, canary: &Value) -> Result<()> {
        self.apply(canary).await?;
        self.wait_phase("Initialized", Duration::from_secs(180)).await
    }

    /// The Canary as last seen.
    pub fn canary(&self) -> Value {
        self.world.latest("Canary", &self.namespace, NAME).unwrap_or(Value::Null)
    }

    pub fn phase(&self) -> String {
        self.canary()["status"]["phase"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits for a phase.
    ///
    /// # Errors
    /// The deadline passed, or the Canary reached another end; the text shows the events.
    pub async fn wait_phase(&self, wanted: &str, deadline: Duration) -> Result<()> {
        let what = format!("Canary {}/{NAME} becomes {wanted}", self.namespace);
        let since = Instant::now();
        let waited = wait::until(&what, deadline, async || {
            let phase = self.phase();
            // An end that is older than the wait belongs to the release before.
            let ended = matches!(phase.as_str(), "Succeeded" | "Failed")
                && phase != wanted
                && self.phase_is_newer(since);
            ensure!(!ended, "Canary {}/{NAME} became {phase} instead of {wanted}", self.namespace);
            Ok(phase == wanted)
        })
        .await;
        self.explain(waited).await
    }

    fn phase_is_newer(&self, since: Instant) -> bool {
        let history = self.world.history("Canary", &self.namespace, NAME);
        let phase = |seen: &crate::world::Seen| seen.object.as_ref().map(|o| o["status"]["phase"].clone());
        let last = history.last().and_then(phase);
        history.iter().rev().take_while(|seen| phase(seen) == last).last().is_some_and(|seen| seen.at > since)
    }

    /// When a phase was first seen.
    pub fn first_seen(&self, phase: &str) -> Option<Instant> {
        let history = self.world.history("Canary", &self.namespace, NAME);
        history
            .iter()
            .find(|seen| seen.object.as_ref().is_some_and(|o| o["status"]["phase"] == phase))
            .map(|seen| seen.at)
    }

    /// Waits for a release to begin and then to end.
    pub async fn wait_release(&self, wanted: &str, deadline: Duration) -> Result<()> {
        self.wait_phase("Progressing", Duration::from_secs(90)).await?;
        self.wait_phase(wanted, deadline).await
    }

    /// Waits until the canary's share is at least this.
    pub async fn wait_weight(&self, least: i64, deadline: Duration) -> Result<()> {
        let what = format!("Canary {}/{NAME} has a share of {least}", self.namespace);
        let waited = wait::until(&what, deadline, async || {
            let canary = self.canary();
            ensure!(canary["status"]["phase"] != "Failed", "Canary {}/{NAME} failed", self.namespace);
            Ok(canary["status"]["canaryWeight"].as_i64().unwrap_or(0) >= least)
        })
        .await;
        self.explain(waited).await
    }

    /// Adds what the controller said to an error.
    async fn explain(&self, result: Result<()>) -> Result<()> {
        let Err(error) = result else { return Ok(()) };
        let events = self.events().await.unwrap_or_default();
        let last: Vec<_> = events.iter().rev().take(6).rev().cloned().collect();
        let status = &self.canary()["status"];
        bail!(
            "{error:#}; phase {:?}, weight {}, failed checks {}\nlast events: {}",
            self.phase(),
            status["canaryWeight"],
            status["failedChecks"],
            last.join(" | ")
        )
    }

    /// What the controller told about the Canary, oldest first, as `Type: message`.
    pub async fn events(&self) -> Result<Vec<String>> {
        let events: Api<Event> = Api::namespaced(self.world.client.clone(), &self.namespace);
        let mut all: Vec<Event> = events
            .list(&ListParams::default())
            .await?
            .items
            .into_iter()
            .filter(|event| event.involved_object.kind.as_deref() == Some("Canary"))
            .collect();
        all.sort_by_key(|event| (event.last_timestamp.clone().map(|time| time.0), event.name_any()));
        Ok(all
            .into_iter()
            .map(|event| {
                format!("{}: {}", event.type_.unwrap_or_default(), event.message.unwrap_or_default())
            })
            .collect())
    }

    /// # Errors
    /// No event holds the text.
    pub async fn expect_event(&self, text: &str) -> Result<String> {
        let found = wait::some(&format!("an event with {text:?}"), Duration::from_secs(20), async || {
            Ok(self.events().await?.into_iter().find(|event| event.contains(text)))
        })
        .await;
        match found {
            Ok(found) => Ok(found),
            Err(error) => bail!("{error:#}; events: {}", self.events().await?.join(" | ")),
        }
    }

    /// The shares in the VirtualService: primary and canary.
    pub fn shares(&self) -> Option<(i64, i64)> {
        shares(&self.world.latest("VirtualService", &self.namespace, NAME)?)
    }

    /// The same of every rule, in order: those for requests that match come before the one for the others.
    pub fn all_shares(&self) -> Vec<(i64, i64)> {
        let service = self.world.latest("VirtualService", &self.namespace, NAME).unwrap_or_default();
        service["spec"]["http"].as_array().into_iter().flatten().filter_map(of_rule).collect()
    }

    /// # Errors
    /// Something of the canary is left after the release ended: a share, pods, or another image in the primary.
    pub async fn expect_at_rest(&self, tag: &str) -> Result<()> {
        for (index, shares) in self.all_shares().into_iter().enumerate() {
            ensure!(shares == (100, 0), "rule {index} of the route still says {shares:?}");
        }
        ensure!(self.replicas(NAME).await? == Some(0), "the canary has replicas");
        let image = self.image(&format!("{NAME}-primary")).await?;
        ensure!(image.ends_with(&format!(":{tag}")), "the primary runs {image} and not {tag}");
        Ok(())
    }
}

/// The shares of primary and canary in a VirtualService, for requests that match no rule of their own.
pub fn shares(service: &Value) -> Option<(i64, i64)> {
    of_rule(service["spec"]["http"].as_array()?.last()?)
}

fn of_rule(rule: &Value) -> Option<(i64, i64)> {
    let of = |suffix: &str| {
        let route = rule["route"].as_array()?;
        let to =
            route.iter().find(|r| r["destination"]["host"].as_str().is_some_and(|h| h.ends_with(suffix)))?;
        // A single destination gets everything, whatever its weight says.
        Some(if route.len() == 1 { 100 } else { to["weight"].as_i64().unwrap_or(0) })
    };
    match (of("-primary"), of("-canary")) {
        (None, None) => None,
        (primary, canary) => Some((primary.unwrap_or(0), canary.unwrap_or(0))),
    }
}

/// The frontend's Deployment in a version.
pub fn deployment(version: &Version) -> Value {
    let environment: Vec<Value> =
        version.environment.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": NAME, "labels": {"app": NAME}},
        "spec": {
            "selector": {"matchLabels": {"app": NAME}},
            "progressDeadlineSeconds": 120,
            "template": {
                "metadata": {
                    "labels": {"app": NAME},
                    "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"},
                },
                "spec": {
                    "terminationGracePeriodSeconds": 20,
                    "containers": [{
                        "name": NAME,
                        "image": format!("registry.example.com/shop/{NAME}:{}", version.tag),
                        "ports": [{"name": "http", "containerPort": 8080}],
                        "env": environment,
                        "envFrom": [{"configMapRef": {"name": "frontend-config", "optional": true}}],
                        "startupProbe": {"grpc": {"port": 9000}, "periodSeconds": 1, "failureThreshold": 60},
                        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}, "periodSeconds": 1},
                        // The gateway hears of a leaving pod a moment after the pod does.
                        "lifecycle": {"preStop": {"sleep": {"seconds": 4}}},
                        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
                    }],
                },
            },
        },
    })
}

/// The frontend's Canary behind the gateway: steps of 10 up to 50, success rate and p99.
pub fn canary(namespace: &str) -> Value {
    json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "Canary",
        "metadata": {"name": NAME},
        "spec": {
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME},
            "progressDeadlineSeconds": 120,
            "service": {
                "port": 80, "targetPort": "http",
                "gateways": ["istio-system/public"],
                "hosts": [format!("{namespace}.example.com")],
            },
            "analysis": {
                "interval": "10s", "threshold": 3, "maxWeight": 50, "stepWeight": 10,
                "metrics": [
                    {"name": "request-success-rate", "thresholdRange": {"min": 99}, "interval": "20s"},
                    {"name": "request-duration", "thresholdRange": {"max": 500}, "interval": "20s"},
                ],
            },
        },
    })
}

/// The same for a good version: a machine that is busy for a while is no reason to roll it back.
pub fn patient(mut canary: Value) -> Value {
    canary["spec"]["analysis"]["threshold"] = json!(10);
    canary
}

/// A VirtualService as a user has it before there is a Canary: everything to the apex Service.
pub fn plain_route(namespace: &str) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1beta1", "kind": "VirtualService",
        "metadata": {"name": NAME},
        "spec": {
            "gateways": ["istio-system/public"],
            "hosts": [format!("{namespace}.example.com")],
            "http": [{"route": [{"destination": {"host": NAME}}]}],
        },
    })
}

/// The apex Service as a user has it.
pub fn plain_service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": NAME},
        "spec": {"selector": {"app": NAME}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
    })
}
