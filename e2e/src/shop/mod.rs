//! The online shop that the runs release: one namespace, the Deployment `frontend`, its Canary, and what users see of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Event, Namespace, Pod, Service};
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::apps::load::{Load, Running, Summary};
use crate::wait;
use crate::world::{self, World};

mod manifests;
mod release;

pub use self::manifests::{canary, deployment, patient, plain_route, plain_service};
pub use self::release::{phase_of, weight_of};

/// The name of the workload, its apex Service and its Canary.
pub const NAME: &str = "frontend";
/// The route of the mesh that the chart is installed for.
const VIRTUAL_SERVICE: &str = "VirtualService";
/// The field manager of the shop's own people.
const OWNER: &str = "shop-team";

/// A shop of its own in a namespace.
pub struct Shop {
    pub world: Arc<World>,
    pub namespace: String,
    /// Where its users ask.
    gateway: SocketAddr,
    /// Kind and name of the route that carries the weights.
    route: (&'static str, &'static str),
    /// How far in what was seen of the Canary waits have come.
    come: AtomicUsize,
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
        Shop::open_as(world, namespace, &deployment(first)).await
    }

    /// The same with a Deployment of one's own.
    pub async fn open_as(world: &Arc<World>, namespace: &str, deployment: &Value) -> Result<Shop> {
        let shop = Shop::open_empty(world, namespace).await?;
        shop.apply(deployment).await?;
        shop.wait_rolled_out(NAME).await?;
        Ok(shop)
    }

    /// A fresh namespace with nothing in it.
    pub async fn open_empty(world: &Arc<World>, namespace: &str) -> Result<Shop> {
        let namespaces: Api<Namespace> = Api::all(world.client.clone());
        // What an earlier run left here would be in the way.
        if wait::calmly(async || Ok(namespaces.get_opt(namespace).await?)).await?.is_some() {
            wait::until(&format!("namespace {namespace} is gone"), Duration::from_secs(180), async || {
                match namespaces.delete(namespace, &DeleteParams::default()).await {
                    Err(kube::Error::Api(status)) if status.code == 404 => Ok(true),
                    // It is on its way out.
                    Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
                    other => other.map(|_| false).map_err(Into::into),
                }
            })
            .await?;
        }
        let come = AtomicUsize::new(world.history("Canary", namespace, NAME).len());
        let shop = Shop {
            world: world.clone(),
            namespace: namespace.to_owned(),
            gateway: world.gateway,
            route: (VIRTUAL_SERVICE, NAME),
            come,
        };
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        let parameters = PatchParams::apply(OWNER);
        wait::calmly(async || Ok(namespaces.patch(namespace, &parameters, &Patch::Apply(&object)).await?))
            .await?;
        Ok(shop)
    }

    /// The same shop, whose weights are in another route.
    pub fn routed_by(self, kind: &'static str, name: &'static str) -> Shop {
        Shop { route: (kind, name), ..self }
    }

    /// The same shop, behind another gateway.
    pub fn behind(self, gateway: SocketAddr) -> Shop {
        Shop { gateway, ..self }
    }

    /// Waits until the gateway serves the shop.
    pub async fn wait_served(&self) -> Result<()> {
        wait::until("the gateway serves the shop", Duration::from_secs(60), async || {
            let users = self.users(20)?;
            let samples = users.samples();
            wait::until("some answers", Duration::from_secs(10), async || Ok(samples.count(|_| true) >= 5))
                .await?;
            Ok(Summary::of(&users.stop().await).statuses.keys().eq([&200]))
        })
        .await
    }

    /// The host name at which users know it.
    pub fn host(&self) -> String {
        format!("{}.example.com", self.namespace)
    }

    /// Users at the gateway.
    pub fn users(&self, rate: u32) -> Result<Running> {
        self.load(rate).start()
    }

    /// What users at the gateway ask, for those who want to ask it otherwise.
    pub fn load(&self, rate: u32) -> Load {
        world::asking(self.gateway, &self.host(), rate)
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
        let api = self.world.api(api_version, kind, &self.namespace);
        wait::calmly(async || Ok(api.get_opt(name).await?)).await
    }

    /// Deletes an object and waits until it is gone.
    pub async fn delete(&self, api_version: &str, kind: &str, name: &str) -> Result<()> {
        let api = self.world.api(api_version, kind, &self.namespace);
        wait::calmly(async || Ok(api.delete(name, &DeleteParams::default()).await?)).await?;
        wait::until(
            &format!("{kind} {}/{name} is gone", self.namespace),
            Duration::from_secs(180),
            async || Ok(api.get_opt(name).await?.is_none()),
        )
        .await
    }

    pub async fn deployment(&self, name: &str) -> Result<Option<Deployment>> {
        let api = Api::<Deployment>::namespaced(self.world.client.clone(), &self.namespace);
        wait::calmly(async || Ok(api.get_opt(name).await?)).await
    }

    pub async fn service(&self, name: &str) -> Result<Option<Service>> {
        let api = Api::<Service>::namespaced(self.world.client.clone(), &self.namespace);
        wait::calmly(async || Ok(api.get_opt(name).await?)).await
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

    /// What the controller told about the Canary, oldest first, as `Type: message`.
    pub async fn events(&self) -> Result<Vec<String>> {
        let events: Api<Event> = Api::namespaced(self.world.client.clone(), &self.namespace);
        let mut all: Vec<Event> = wait::calmly(async || Ok(events.list(&ListParams::default()).await?))
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
        self.expect_event_within(text, Duration::from_secs(20)).await
    }

    /// # Errors
    /// No event holds the text by then.
    pub async fn expect_event_within(&self, text: &str, deadline: Duration) -> Result<String> {
        let found = wait::some(&format!("an event with {text:?}"), deadline, async || {
            Ok(self.events().await?.into_iter().find(|event| event.contains(text)))
        })
        .await;
        match found {
            Ok(found) => Ok(found),
            Err(error) => bail!("{error:#}; events: {}", self.events().await?.join(" | ")),
        }
    }

    /// Tells the pods whose names begin with one text, and not with the other, to be ready or not; they go on serving.
    pub async fn set_ready(&self, prefix: &str, but: &str, ready: bool) -> Result<()> {
        for pod in self.pods(prefix).await? {
            if but.is_empty() || !pod.name_any().starts_with(but) {
                tell(&pod, ready).await?;
            }
        }
        Ok(())
    }

    /// Tells all but one of the pods whose names begin so that they are not ready.
    pub async fn set_ready_but_one(&self, prefix: &str) -> Result<()> {
        for pod in self.pods(prefix).await?.iter().skip(1) {
            tell(pod, false).await?;
        }
        Ok(())
    }

    /// The pods whose names begin so and that are not on their way out; there are some.
    async fn pods(&self, prefix: &str) -> Result<Vec<Pod>> {
        let api: Api<Pod> = Api::namespaced(self.world.client.clone(), &self.namespace);
        let mut all = wait::calmly(async || Ok(api.list(&ListParams::default()).await?)).await?.items;
        all.retain(|pod| pod.name_any().starts_with(prefix) && pod.metadata.deletion_timestamp.is_none());
        ensure!(!all.is_empty(), "there are no pods {prefix}… in {}", self.namespace);
        Ok(all)
    }

    /// The shares in the route: primary and canary.
    pub fn shares(&self) -> Option<(i64, i64)> {
        let (kind, name) = self.route;
        shares(&self.world.latest(kind, &self.namespace, name)?)
    }

    /// The shares of every rule as the API server has them now, in order: those for requests that match come before the one
    /// for the others.
    pub async fn shares_now(&self) -> Result<Vec<(i64, i64)>> {
        let service = self.get("networking.istio.io/v1beta1", "VirtualService", NAME).await?;
        let service = service.map(|service| service.data).unwrap_or_default();
        Ok(service["spec"]["http"].as_array().into_iter().flatten().filter_map(of_rule).collect())
    }

    /// # Errors
    /// Something of the canary is left after the release ended: a share, pods, or another image in the primary.
    pub async fn expect_at_rest(&self, tag: &str) -> Result<()> {
        for (index, shares) in self.shares_now().await?.into_iter().enumerate() {
            ensure!(shares == (100, 0), "rule {index} of the route still says {shares:?}");
        }
        ensure!(self.replicas(NAME).await? == Some(0), "the canary has replicas");
        let image = self.image(&format!("{NAME}-primary")).await?;
        ensure!(image.ends_with(&format!(":{tag}")), "the primary runs {image} and not {tag}");
        Ok(())
    }
}

async fn tell(pod: &Pod, ready: bool) -> Result<()> {
    let ip = pod.status.as_ref().and_then(|status| status.pod_ip.clone()).context("a pod has no address")?;
    let client = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("http://{ip}:8080/ready/{}", if ready { "on" } else { "off" });
    wait::until(&format!("{url} is taken"), Duration::from_secs(30), async || {
        Ok(client.post(&url).send().await.is_ok_and(|answer| answer.status().is_success()))
    })
    .await
}

/// The shares of primary and canary in a VirtualService, an HTTPRoute, an HTTPProxy or a TraefikService, for requests that
/// match no rule of their own.
pub fn shares(route: &Value) -> Option<(i64, i64)> {
    let spec = &route["spec"];
    let rules = ["http", "rules", "routes"].iter().find_map(|field| spec[field].as_array());
    let rule = rules.map_or(&spec["weighted"], |rules| rules.last().unwrap_or(&Value::Null));
    let named = ["backendRefs", "services"].iter().map(|field| &rule[field]).find(|list| list.is_array());
    named.map_or_else(|| of_rule(rule), |list| of(list, |backend| backend["name"].as_str()))
}

fn of_rule(rule: &Value) -> Option<(i64, i64)> {
    of(&rule["route"], |route| route["destination"]["host"].as_str())
}

fn of<'a>(list: &'a Value, name: impl Fn(&'a Value) -> Option<&'a str>) -> Option<(i64, i64)> {
    let list = list.as_array()?;
    let weight = |suffix: &str| {
        let to = list.iter().find(|to| name(to).is_some_and(|name| name.ends_with(suffix)))?;
        // A single destination gets everything, whatever its weight says.
        Some(if list.len() == 1 { 100 } else { to["weight"].as_i64().unwrap_or(0) })
    };
    match (weight("-primary"), weight("-canary")) {
        (None, None) => None,
        (primary, canary) => Some((primary.unwrap_or(0), canary.unwrap_or(0))),
    }
}
