//! The embedded cluster, with pods that really answer: each has an address of this machine, and a server that listens there.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use chrono::Utc;
use kubesim::{Change, ChangeKind, KubeSim, Listening, PodBehaviour, PodRules};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use vexil_e2e::apps::demo::{self, Behaviour};
use vexil_e2e::pace;

/// The port of the application in each pod.
pub const APP_PORT: u16 = 8080;
/// A tag with this word in it is a version that fails.
pub const BROKEN: &str = "broken";
/// Of a hundred requests to such a version so many fail.
const ERROR_PERCENT: u64 = 30;
/// How long a pod that is told to leave goes on serving, on a machine with nothing else to do. Traefik looks at most every two
/// seconds at what has changed, so that a pod has to serve longer than that.
const LAST_CALL: Duration = Duration::from_secs(4);
/// All of 127.0.0.0/8 is this machine.
const PODS: Ipv4Addr = Ipv4Addr::new(127, 10, 0, 0);

/// A cluster that listens.
pub struct Cluster {
    pub sim: KubeSim,
    pub kubeconfig: PathBuf,
    listening: Listening,
}

impl Cluster {
    /// A cluster with the kinds of Vexil, of the Gateway API and of Traefik.
    ///
    /// # Errors
    /// It cannot listen, or refuses a kind.
    pub async fn start(folder: &Path) -> Result<Cluster> {
        // A pod is ready once its server listens, and not before.
        let stop = pace::stretched(LAST_CALL) + Duration::from_secs(2);
        let rules = PodRules::default().otherwise(PodBehaviour::never_ready().stops_in(stop));
        let sim = KubeSim::builder().start_time(Utc::now()).pod_network(PODS).pod_rules(rules).build();
        for object in kinds()? {
            sim.try_put(object).map_err(|why| anyhow!("the cluster refuses a kind: {why}"))?;
        }
        run_pods(&sim);
        let listening = sim.listen(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let kubeconfig = folder.join("kubeconfig");
        std::fs::write(&kubeconfig, listening.kubeconfig())?;
        Ok(Cluster { sim, kubeconfig, listening })
    }

    /// The address of its API.
    pub fn url(&self) -> String {
        self.listening.url()
    }

    /// Applies an object as a user does.
    ///
    /// # Errors
    /// It is refused.
    pub fn apply(&self, object: &Value) -> Result<()> {
        let name = format!("{} {}", object["kind"], object["metadata"]["name"]);
        self.sim.apply("user", object.clone()).map_err(|why| anyhow!("{name} is refused: {why}"))?;
        Ok(())
    }
}

fn kinds() -> Result<Vec<Value>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let foreign = ["gateway-api", "gateway-api-routes", "traefik"];
    let mut files: Vec<PathBuf> =
        foreign.iter().map(|name| root.join(format!("tests/data/crds/{name}.yaml"))).collect();
    for entry in std::fs::read_dir(root.join("crds"))? {
        files.push(entry?.path());
    }
    let mut kinds =
        vec![bare_kind("gateway.networking.k8s.io", "v1", "BackendTLSPolicy", "backendtlspolicies")];
    for file in files {
        let text =
            std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(&text).with_context(|| format!("{} is no YAML", file.display()))?;
        kinds.extend(documents.into_iter().filter(|document| !document.is_null()));
    }
    Ok(kinds)
}

/// A kind that a proxy wants to watch, and that nobody here makes objects of.
fn bare_kind(group: &str, version: &str, kind: &str, plural: &str) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{plural}.{group}"),
            "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"},
        },
        "spec": {
            "group": group,
            "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase(), "listKind": format!("{kind}List")},
            "scope": "Namespaced",
            "versions": [{
                "name": version, "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            }],
        },
    })
}

/// What a kubelet has to know of a pod.
struct Pod {
    uid: String,
    namespace: String,
    name: String,
    tag: String,
    /// Once it runs.
    ip: Option<Ipv4Addr>,
    leaves: bool,
}

impl Pod {
    fn of(change: &Change) -> Option<Pod> {
        let value = change.object.value();
        if value["kind"] != "Pod" {
            return None;
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let image = text(&value["spec"]["containers"][0]["image"]);
        Some(Pod {
            uid: change.object.uid().to_owned(),
            namespace: text(&value["metadata"]["namespace"]),
            name: text(&value["metadata"]["name"]),
            tag: image.rsplit(':').next().unwrap_or_default().to_owned(),
            ip: value["status"]["podIP"].as_str().and_then(|ip| ip.parse().ok()),
            leaves: change.kind == ChangeKind::Deleted || change.object.is_terminating(),
        })
    }
}

/// Starts a server for each pod that runs, and tells it to leave when the pod has to.
fn run_pods(sim: &KubeSim) {
    let (tell, mut told) = mpsc::unbounded_channel();
    sim.observe(move |change| {
        if let Some(pod) = Pod::of(change) {
            // Nobody listens any more when the harness ends.
            let _ = tell.send(pod);
        }
    });
    let sim = sim.clone();
    tokio::spawn(async move {
        let mut running: BTreeMap<String, Option<oneshot::Sender<()>>> = BTreeMap::new();
        while let Some(pod) = told.recv().await {
            if pod.leaves {
                // Dropping the sender is the word.
                running.insert(pod.uid, None);
            } else if let (Some(ip), false) = (pod.ip, running.contains_key(&pod.uid)) {
                let (leave, left) = oneshot::channel();
                running.insert(pod.uid.clone(), Some(leave));
                tokio::spawn(run_pod(sim.clone(), pod, ip, left));
            }
        }
    });
}

async fn run_pod(sim: KubeSim, pod: Pod, ip: Ipv4Addr, left: oneshot::Receiver<()>) {
    let listener = match TcpListener::bind((ip, APP_PORT)).await {
        Ok(listener) => listener,
        Err(why) => return println!("pod {} cannot listen at {ip}:{APP_PORT}: {why}", pod.name),
    };
    let behaviour = Behaviour {
        error_percent: if pod.tag.contains(BROKEN) { ERROR_PERCENT } else { 0 },
        version: pod.tag,
        port: APP_PORT,
        grpc_port: 0,
        latency: Duration::ZERO,
        ready: true,
        message: String::new(),
    };
    sim.set_pod_ready(&pod.namespace, &pod.name, Some(true));
    let last_call = pace::stretched(LAST_CALL);
    let served =
        demo::serve_at(listener, behaviour, pod.name.clone(), last_call, async move { _ = left.await });
    if let Err(why) = served.await {
        println!("pod {}: {why:#}", pod.name);
    }
}
