//! The online shop that the runs release: one namespace, the Deployment `frontend`, its Canary, and what users see of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Event, Namespace, Pod, Service};
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::apps::load::{Load, Running};
use crate::shares::Judge;
use crate::world::{Seen, World};
use crate::{pace, wait};

/// The name of the workload, its apex Service and its Canary.
pub const NAME: &str = "frontend";
/// How long a pod that is told to leave goes on serving, on a machine with nothing else to do.
const LAST_CALL: Duration = Duration::from_secs(3);
/// The field manager of the shop's own people.
const OWNER: &str = "shop-team";

/// A shop of its own in a namespace.
pub struct Shop {
    pub world: Arc<World>,
    pub namespace: String,
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
        let shop = Shop { world: world.clone(), namespace: namespace.to_owned(), come };
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        let parameters = PatchParams::apply(OWNER);
        wait::calmly(async || Ok(namespaces.patch(namespace, &parameters, &Patch::Apply(&object)).await?))
            .await?;
        shop.apply(deployment).await?;
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

    /// Applies the Canary and waits until it is initialized.
    pub async fn initialize(&self, canary: &Value) -> Result<()> {
        self.apply(canary).await?;
        self.wait_phase("Initialized", Duration::from_secs(180)).await
    }

    /// The Canary as last seen.
    pub fn canary(&self) -> Value {
        self.world.latest("Canary", &self.namespace, NAME).unwrap_or(Value::Null)
    }

    /// The phase as last seen. What happened is asked with [`Shop::wait_phase`]: a phase may be over before anybody looks.
    pub fn phase(&self) -> String {
        self.canary()["status"]["phase"].as_str().unwrap_or_default().to_owned()
    }

    /// Everything seen of the Canary.
    pub fn history(&self) -> Vec<Arc<Seen>> {
        self.world.history("Canary", &self.namespace, NAME)
    }

    /// Waits until the Canary has come to a phase since the last wait; it may be further by then.
    ///
    /// # Errors
    /// The deadline passed, or the Canary came to another end; the text shows the events.
    pub async fn wait_phase(&self, wanted: &str, deadline: Duration) -> Result<()> {
        self.wait_any(&[wanted], deadline).await
    }

    /// The same for whichever of some phases comes first.
    async fn wait_any(&self, wanted: &[&str], deadline: Duration) -> Result<()> {
        let names = wanted.join(" or ");
        let what = format!("Canary {}/{NAME} becomes {names}", self.namespace);
        let waited = wait::until(&what, deadline, async || {
            let history = self.history();
            let come = self.come.load(Ordering::SeqCst);
            let found = next_phase(history.iter().map(|seen| phase_of(seen)).skip(come), wanted);
            match found {
                Ok(Some(steps)) => {
                    self.come.store(come + steps, Ordering::SeqCst);
                    Ok(true)
                }
                Ok(None) => Ok(false),
                Err(end) => bail!("Canary {}/{NAME} became {end} instead of {names}", self.namespace),
            }
        })
        .await;
        self.explain(waited).await
    }

    /// When the phase that was last waited for was seen.
    pub fn reached(&self) -> Option<Instant> {
        self.history().get(self.come.load(Ordering::SeqCst)).map(|seen| seen.at)
    }

    /// Waits for a release to begin and then to end.
    pub async fn wait_release(&self, wanted: &str, deadline: Duration) -> Result<()> {
        // Any of these will do: a watch that had to start over may have missed one.
        let moving = ["Waiting", "Progressing", "WaitingPromotion", "Promoting", "Finalising"];
        self.wait_any(&moving, Duration::from_secs(90)).await?;
        self.wait_phase(wanted, deadline).await
    }

    /// Hooks that hold each step of a release until the gateway has served enough requests at its weight to judge by. On a
    /// machine that is fast enough they are open whenever they are asked.
    pub fn hold_steps(&self, judge: Judge) -> Value {
        let path = format!("/{}/enough", self.namespace);
        let (world, namespace) = (self.world.clone(), self.namespace.clone());
        self.world.inbox.decide(&path, move || {
            let service = world.latest("VirtualService", &namespace, NAME);
            let weight = service.and_then(|service| shares(&service)).map_or(0, |(_, canary)| canary);
            if judge.has_enough(weight) { 200 } else { 403 }
        });
        let hook = |kind: &str| json!({"name": format!("enough-{kind}"), "type": kind, "url": self.world.inbox.url(&path), "timeout": "30s"});
        json!([hook("confirm-traffic-increase"), hook("confirm-promotion")])
    }

    /// Waits until a release that a closed gate keeps is seen in this phase with this share, in the Canary and in its route.
    ///
    /// # Errors
    /// It went further, or never came there.
    pub async fn wait_step(&self, phase: &str, weight: i64) -> Result<()> {
        let what = format!("Canary {}/{NAME} waits as {phase} with a share of {weight}", self.namespace);
        let waited = wait::until(&what, Duration::from_secs(20), async || {
            let canary = self.canary();
            let found = canary["status"]["canaryWeight"].as_i64().unwrap_or(0);
            ensure!(found <= weight, "its share is {found} and not {weight}");
            let there = canary["status"]["phase"] == phase && found == weight;
            // The news of the route may come a moment after those of the Canary, and a gate that keeps the first pods has no
            // route to look at.
            Ok(there && (phase == "Waiting" || self.shares() == Some((100 - weight, weight))))
        })
        .await;
        self.explain(waited).await
    }

    /// # Errors
    /// Since the phase that was last waited for, the route has not given the canary as little as this.
    pub async fn expect_share_falls_to(&self, weight: i64) -> Result<()> {
        let since = self.reached().context("no phase was waited for")?;
        let what = format!("the share of {}/{NAME} falls to {weight}", self.namespace);
        wait::until(&what, Duration::from_secs(20), async || {
            let history = self.world.history("VirtualService", &self.namespace, NAME);
            // The version that was in force at that time counts too.
            let from = history.iter().rposition(|seen| seen.at <= since).unwrap_or(0);
            let shares = history.iter().skip(from).filter_map(|seen| shares(seen.object.as_ref()?));
            Ok(shares.into_iter().any(|(_, canary)| canary <= weight))
        })
        .await
    }

    /// Waits until the canary's share has been at least this since the last phase that was waited for.
    pub async fn wait_weight(&self, least: i64, deadline: Duration) -> Result<()> {
        let what = format!("Canary {}/{NAME} has a share of {least}", self.namespace);
        let waited = wait::until(&what, deadline, async || {
            let history = self.history();
            let since = history.get(self.come.load(Ordering::SeqCst)..).unwrap_or_default();
            if since.iter().any(|seen| weight_of(seen) >= least) {
                return Ok(true);
            }
            let failed = since.iter().skip(1).any(|seen| phase_of(seen) == "Failed");
            ensure!(!failed || self.phase() != "Failed", "Canary {}/{NAME} failed", self.namespace);
            Ok(false)
        })
        .await;
        self.explain(waited).await
    }

    /// Lets a release pass a closed gate that is asked before each step, once, and waits until it has come to this share. A
    /// check that fails on the way costs a pass, so the gate opens again when it was asked in vain.
    pub async fn pass(&self, gate: &str, weight: i64) -> Result<()> {
        let mut asked = self.world.inbox.answer_once(gate, 200, 403);
        let what = format!("Canary {}/{NAME} passes {gate} to a share of {weight}", self.namespace);
        let waited = wait::until(&what, Duration::from_secs(120), async || {
            // The second question comes after everything that followed from the first answer.
            let again = asked.load(Ordering::SeqCst) >= 2;
            let status = self.status_now().await?;
            let reached = status["canaryWeight"].as_i64().unwrap_or(0) >= weight;
            if again && !reached {
                asked = self.world.inbox.answer_once(gate, 200, 403);
            }
            Ok(reached)
        })
        .await;
        self.explain(waited).await
    }

    /// The Canary's status as the API server has it now.
    pub async fn status_now(&self) -> Result<Value> {
        let canary = self.get("flagger.app/v1beta1", "Canary", NAME).await?;
        Ok(canary.context("the Canary is gone")?.data["status"].take())
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

    /// The shares in the VirtualService: primary and canary.
    pub fn shares(&self) -> Option<(i64, i64)> {
        shares(&self.world.latest("VirtualService", &self.namespace, NAME)?)
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

/// How many versions further a wanted phase comes first, if it does.
///
/// # Errors
/// The first end that is not wanted and begins before that.
fn next_phase(phases: impl Iterator<Item = String>, wanted: &[&str]) -> Result<Option<usize>, String> {
    let mut before = None;
    for (steps, phase) in phases.enumerate() {
        if wanted.contains(&&*phase) {
            return Ok(Some(steps));
        }
        // An end that was there already belongs to the release before.
        let begins = before.is_some_and(|before| before != phase);
        if begins && matches!(&*phase, "Succeeded" | "Failed") {
            return Err(phase);
        }
        before = Some(phase);
    }
    Ok(None)
}

/// The phase in a version of the Canary.
pub fn phase_of(seen: &Seen) -> String {
    let status = seen.object.as_ref().map(|object| &object["status"]);
    status.and_then(|status| status["phase"].as_str()).unwrap_or_default().to_owned()
}

/// The canary's share in a version of the Canary.
pub fn weight_of(seen: &Seen) -> i64 {
    let status = seen.object.as_ref().map(|object| &object["status"]);
    status.and_then(|status| status["canaryWeight"].as_i64()).unwrap_or(0)
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
    // The gateway hears of a leaving pod a moment after the pod does: the busier the machine, the later.
    let last_call = pace::stretched(LAST_CALL).as_secs();
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
                    "terminationGracePeriodSeconds": last_call + 16,
                    "containers": [{
                        "name": NAME,
                        "image": format!("registry.example.com/shop/{NAME}:{}", version.tag),
                        "ports": [{"name": "http", "containerPort": 8080}],
                        "env": environment,
                        "envFrom": [{"configMapRef": {"name": "frontend-config", "optional": true}}],
                        "startupProbe": {"grpc": {"port": 9000}, "periodSeconds": 1, "failureThreshold": 300},
                        // A pod that says no is believed soon, one that a busy machine keeps from answering is not.
                        "readinessProbe": {
                            "httpGet": {"path": "/readyz", "port": "http"}, "periodSeconds": 1, "timeoutSeconds": 15,
                        },
                        "lifecycle": {"preStop": {"sleep": {"seconds": last_call}}},
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

/// The same for a good version: a machine that is busy for a while is no reason to roll it back, so nothing but the run's own
/// deadline ends its release.
pub fn patient(mut canary: Value) -> Value {
    canary["spec"]["analysis"]["threshold"] = json!(200);
    canary["spec"]["progressDeadlineSeconds"] = json!(600);
    for metric in canary["spec"]["analysis"]["metrics"].as_array_mut().into_iter().flatten() {
        if metric["name"] == "request-duration" {
            metric["thresholdRange"]["max"] =
                json!(pace::stretched(Duration::from_millis(500)).as_millis() as u64);
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn next(phases: &[&str], wanted: &str) -> Result<Option<usize>, String> {
        next_phase(phases.iter().map(|phase| (*phase).to_owned()), &[wanted])
    }

    #[test]
    fn a_phase_that_is_over_before_anybody_looks_is_found() {
        let phases = ["Initialized", "Progressing", "Promoting", "Finalising", "Succeeded"];
        assert_eq!(next(&phases, "Promoting"), Ok(Some(2)));
        assert_eq!(next(&phases[..2], "Promoting"), Ok(None));
    }

    #[test]
    fn another_end_ends_the_wait_unless_it_is_that_of_the_release_before() {
        assert_eq!(next(&["Succeeded", "Succeeded", "Progressing", "Failed"], "Failed"), Ok(Some(3)));
        assert_eq!(next(&["Succeeded", "Progressing", "Failed"], "Succeeded"), Ok(Some(0)));
        assert_eq!(next(&["Progressing", "Failed"], "Succeeded"), Err("Failed".to_owned()));
    }
}
