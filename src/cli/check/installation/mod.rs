//! What there is to know of the controllers of a cluster, fetched in one place.

use chrono::{DateTime, Utc};
use futures::StreamExt as _;
use serde_json::Value;

use crate::cli::go_flags::ControllerFlags;
use crate::controller::lease;
use crate::model::object::{Kind, ObjectId};

use super::asker::{Asked, Asker, NotAsked, Right, api_status, said};
use super::rights::{self, Named};

pub(in crate::cli) use self::instance::{Instance, Program, tag};
pub(super) use self::series::{Sample, samples};

pub(super) mod checks;
mod instance;
mod leading;
mod pods;
mod series;

pub(super) const POD: Kind = Kind::new("", "v1", "Pod", "pods");
pub(super) const NAMESPACE: Kind = Kind::new("", "v1", "Namespace", "namespaces").cluster_wide();
const LEASE: Kind = Kind::new("coordination.k8s.io", "v1", "Lease", "leases");

/// The controllers of a cluster.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Controllers {
    /// All that were found.
    pub all: Asked<Vec<Instance>>,
    /// Where was looked; `None` for all namespaces.
    pub looked_in: Option<String>,
}

/// One controller and what is around it.
#[derive(Clone, Debug)]
pub(super) struct Installation {
    pub it: Instance,
    /// The other controllers.
    pub others: Vec<Instance>,
    pub pods: Asked<Vec<Value>>,
    pub lease: Asked<Option<Value>>,
    /// What its pods answer, by their names.
    pub pages: Vec<(String, Pages)>,
    /// The rights that its account lacks, with their namespaces.
    pub lacks: Asked<Vec<(Right, String)>>,
    pub namespace: Asked<Option<Value>>,
    pub now: DateTime<Utc>,
}

/// The pages of one pod.
#[derive(Clone, Debug)]
pub(super) struct Pages {
    /// Status and text of `/readyz`.
    pub ready: Asked<(u16, String)>,
    /// The text of `/metrics`.
    pub metrics: Asked<String>,
}

impl Controllers {
    /// Looks for controllers, by the labels of our or Flagger's chart, then by what their containers run.
    pub(in crate::cli) async fn find(asker: &Asker, namespace: Option<&str>) -> Self {
        let looked_in = namespace.map(str::to_owned);
        let mut all: Vec<Instance> = Vec::new();
        for labels in ["app.kubernetes.io/name in (vexil,flagger)", "app in (vexil,flagger)", ""] {
            match asker.list(Kind::DEPLOYMENT, namespace, labels).await {
                Ok(found) => {
                    for instance in found.into_iter().filter_map(Instance::of) {
                        if all.iter().all(|known| known.title() != instance.title()) {
                            all.push(instance);
                        }
                    }
                }
                Err(why) => return Self { all: Err(why), looked_in },
            }
            // To look at all Deployments of a large cluster is worth it only where nothing else helps.
            if labels.starts_with("app in") && !all.is_empty() {
                break;
            }
        }
        Self { all: Ok(all), looked_in }
    }

    /// The controller that the checks are about, and the others: one that works before a shadow, Vexil before Flagger, one
    /// that runs before one that does not.
    pub(in crate::cli) fn chosen(&self) -> Option<(Instance, Vec<Instance>)> {
        let mut all = self.all.clone().unwrap_or_default();
        let rank = |it: &Instance| (it.is_shadow(), it.program == Program::Flagger, it.wanted() == 0);
        let first = all.iter().enumerate().min_by_key(|(_, it)| rank(it))?.0;
        let chosen = all.swap_remove(first);
        Some((chosen, all))
    }
}

impl Installation {
    pub(super) async fn fetch(
        asker: &Asker,
        (it, others): (Instance, Vec<Instance>),
        named: &Named,
        now: DateTime<Utc>,
    ) -> Self {
        let namespace = it.namespace().to_owned();
        let pods = asker.list(POD, Some(&namespace), &it.selector()).await;
        let flags = it.flags.clone().unwrap_or_default();
        let lease = asker.get(&lease_of(&flags)).await;
        let mut pages = Vec::new();
        for pod in pods.iter().flatten().filter(|pod| pod["status"]["phase"] == "Running").take(MOST) {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            pages.push((name.to_owned(), Pages::fetch(asker, &namespace, name, flags.port).await));
        }
        let lacks = lacks(asker, &it, &flags, named).await;
        let namespace = asker.get(&NAMESPACE.at("", &namespace)).await;
        Self { it, others, pods, lease, pages, lacks, namespace, now }
    }
}

pub(super) fn lease_of(flags: &ControllerFlags) -> ObjectId {
    LEASE.at(flags.lease_namespace(), lease::NAME)
}

pub(super) fn lease_in(namespace: &str) -> ObjectId {
    LEASE.at(namespace, lease::NAME)
}

/// Whether a lease has run out, or does not say when it was renewed.
pub(super) fn is_over(record: &lease::Record, now: DateTime<Utc>) -> bool {
    leading::age(record, now).is_none_or(|(_, is_over)| is_over)
}

/// All leases of controllers that whoever asks may see.
pub(super) async fn leases(asker: &Asker, namespace: &str) -> Asked<Vec<Value>> {
    let mut all = asker.list_widely(LEASE, namespace, "").await?;
    all.retain(|found| found["metadata"]["name"] == lease::NAME);
    Ok(all)
}

impl Pages {
    async fn fetch(asker: &Asker, namespace: &str, pod: &str, port: u16) -> Self {
        let page = async |path: &str| {
            let answer =
                asker.page(&format!("/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy{path}")).await?;
            match api_status(&answer) {
                Some(_) => Err(NotAsked {
                    cure: format!(
                        "needed is a Role in namespace {namespace} with: resources [pods/proxy], verbs [get]; if you have \
                         that, does a NetworkPolicy keep the API server from port {port}?"
                    ),
                    ..NotAsked::new(format!(
                        "the proxy to pod {pod} says {} {}",
                        answer.status,
                        said(&answer)
                    ))
                }),
                None => Ok((answer.status, String::from_utf8_lossy(&answer.body).into_owned())),
            }
        };
        let ready = page("/readyz").await;
        let metrics = match page("/metrics").await {
            Ok((200, text)) => Ok(text),
            Ok((status, _)) => Err(NotAsked::new(format!("/metrics of pod {pod} answers {status}"))),
            Err(why) => Err(why),
        };
        Self { ready, metrics }
    }
}

/// The rights that a controller's account lacks.
async fn lacks(
    asker: &Asker,
    it: &Instance,
    flags: &ControllerFlags,
    named: &Named,
) -> Asked<Vec<(Right, String)>> {
    let account = it.account();
    let work = rights::needed(flags, named).into_iter().map(|right| (right, flags.namespace.clone()));
    let lease = rights::of_leader(flags).into_iter().map(|right| (right, flags.lease_namespace().to_owned()));
    let ask = |(right, namespace): (Right, String)| {
        let account = &account;
        async move { (asker.may(account, &right, &namespace).await, right, namespace) }
    };
    let mut answers = futures::stream::iter(work.chain(lease).collect::<Vec<_>>()).map(ask).buffered(AT_ONCE);
    let mut missing = Vec::new();
    while let Some((may, right, namespace)) = answers.next().await {
        if !may? {
            missing.push((right, namespace));
        }
    }
    Ok(missing)
}

/// How many pods are asked for their pages.
const MOST: usize = 5;
/// How many rights are asked for at once.
pub(super) const AT_ONCE: usize = 8;
