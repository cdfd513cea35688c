//! Checks before an installation: what whoever installs may do, and who is there already.

use chrono::{DateTime, Utc};
use futures::StreamExt as _;
use serde_json::Value;

use crate::cli::go_flags::ControllerFlags;
use crate::controller::lease::Record;
use crate::model::object::ObjectId;

use super::asker::{Asked, Asker, Right};
use super::finding::{Check, Finding};
use super::installation::{self, AT_ONCE, Controllers, Instance, NAMESPACE, Program};
use super::rights::{self, Named};

/// What there is to know before an installation.
#[derive(Clone, Debug)]
pub(super) struct Before {
    pub namespace: String,
    pub there: Asked<Option<Value>>,
    /// What whoever installs may not do, with the namespace.
    pub lacks: Asked<Vec<(Right, String)>>,
    /// The rights of the controller that they may not hand on.
    pub withheld: Asked<Vec<Right>>,
    pub leases: Asked<Vec<Value>>,
    pub controllers: Controllers,
    pub now: DateTime<Utc>,
}

impl Before {
    pub(super) async fn fetch(asker: &Asker, mesh_provider: &str, now: DateTime<Utc>) -> Self {
        let namespace = asker.cluster.namespace.clone();
        let wanted = rights::IN_NAMESPACE.iter().map(|right| (*right, namespace.clone()));
        let wanted = wanted.chain(rights::IN_CLUSTER.iter().map(|right| (*right, String::new())));
        Self {
            there: asker.get(&NAMESPACE.at("", &namespace)).await,
            lacks: lacking(asker, wanted.collect()).await,
            withheld: withheld(asker, mesh_provider).await,
            leases: installation::leases(asker, &namespace).await,
            controllers: Controllers::find(asker, None).await,
            namespace,
            now,
        }
    }
}

/// Those of `wanted` that whoever asks does not have.
async fn lacking(asker: &Asker, wanted: Vec<(Right, String)>) -> Asked<Vec<(Right, String)>> {
    let ask = |(right, namespace): (Right, String)| async move {
        (asker.may_i(&right, &namespace).await, right, namespace)
    };
    let mut answers = futures::stream::iter(wanted).map(ask).buffered(AT_ONCE);
    let mut missing = Vec::new();
    while let Some((may, right, namespace)) = answers.next().await {
        if !may? {
            missing.push((right, namespace));
        }
    }
    Ok(missing)
}

/// Kubernetes lets nobody give rights that they do not have, unless they may escalate.
async fn withheld(asker: &Asker, mesh_provider: &str) -> Asked<Vec<Right>> {
    if asker.may_i(&rights::ESCALATE, "").await? {
        return Ok(Vec::new());
    }
    let flags = ControllerFlags { mesh_provider: mesh_provider.to_owned(), ..ControllerFlags::default() };
    let needed = rights::needed(&flags, &Named::default());
    let missing = lacking(asker, needed.into_iter().map(|right| (right, String::new())).collect()).await?;
    Ok(missing.into_iter().map(|(right, _)| right).collect())
}

pub(super) const CHECKS: &[Check<Before>] = &[
    Check { id: "namespace-there", title: "the namespace of the installation is there", judge: there },
    Check { id: "install-rights", title: "you may create what an installation consists of", judge: install },
    Check { id: "grant-rights", title: "you may give the controller its rights", judge: grant },
    Check { id: "no-other-controller", title: "no other controller is there", judge: others },
];

fn there(it: &Before) -> Vec<Finding> {
    let finding = match &it.there {
        Err(why) => Finding::unasked(why),
        Ok(None) => Finding::warning(
            format!("there is no namespace {}", it.namespace),
            "add --create-namespace to helm, or name another one with -n",
        ),
        Ok(Some(namespace)) if namespace["status"]["phase"] == "Terminating" => Finding::wrong(
            format!("namespace {} is being deleted", it.namespace),
            "wait until it is gone, or name another one with -n",
        ),
        Ok(Some(_)) => Finding::fine(it.namespace.clone()),
    };
    finding.alone()
}

fn listed<'a>(rights: impl Iterator<Item = &'a Right>) -> String {
    let all: Vec<String> = rights.map(ToString::to_string).collect();
    let more = all.len().saturating_sub(FEW);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    all.into_iter().take(FEW).collect::<Vec<_>>().join(", ") + &more
}

fn install(it: &Before) -> Vec<Finding> {
    let finding = match &it.lacks {
        Err(why) => Finding::unasked(why),
        Ok(missing) if missing.is_empty() => Finding::fine(""),
        Ok(missing) => Finding::wrong(
            format!("you may not {}", listed(missing.iter().map(|(right, _)| right))),
            "install with the rights of an administrator; kubectl auth can-i --list shows yours",
        ),
    };
    finding.alone()
}

fn grant(it: &Before) -> Vec<Finding> {
    let finding = match &it.withheld {
        Err(why) => Finding::unasked(why),
        Ok(missing) if missing.is_empty() => Finding::fine(""),
        Ok(missing) => Finding::wrong(
            format!(
                "the cluster lets nobody give rights that they lack, and you may not {}",
                listed(missing.iter())
            ),
            "install with the rights of an administrator, or be given the verb escalate on clusterroles",
        ),
    };
    finding.alone()
}

fn others(it: &Before) -> Vec<Finding> {
    let mut told: Vec<Finding> = Vec::new();
    match &it.controllers.all {
        Err(why) => told.push(Finding::unasked(why)),
        Ok(all) => {
            told.extend(all.iter().filter(|other| other.wanted() > 0 && !other.is_shadow()).map(rival))
        }
    }
    match &it.leases {
        Err(why) => told.push(Finding::unasked(why)),
        Ok(leases) => told.extend(leases.iter().filter_map(|lease| holder(it, lease))),
    }
    if told.is_empty() { Finding::fine("").alone() } else { told }
}

fn rival(other: &Instance) -> Finding {
    let what = if other.program == Program::Flagger { "Flagger" } else { "a controller" };
    let works_in = match other.works_in() {
        Some("") | None => "all namespaces".to_owned(),
        Some(namespace) => format!("namespace {namespace}"),
    };
    Finding::warning(
        format!("{what} runs there and works in {works_in}: two would write the same objects"),
        format!(
            "to replace it, install in its namespace, {}, with its values (README.md, Install), and scale it to 0 first; to \
             have both, give each a namespace of its own",
            other.namespace()
        ),
    )
    .about(other.title())
}

/// What is said of a lease that somebody holds.
fn holder(it: &Before, lease: &Value) -> Option<Finding> {
    let record = Record::read(lease);
    let stale = installation::is_over(&record, it.now);
    if record.holder.is_empty() || stale {
        return None;
    }
    let namespace = lease["metadata"]["namespace"].as_str().unwrap_or_default();
    let id: ObjectId = installation::lease_in(namespace);
    let finding = Finding::warning(
        format!("{} holds it now: a controller with this lease only waits", record.holder),
        "stop that controller, or give the new one another -leader-election-namespace and a namespace of its own",
    );
    Some(finding.about(id.to_string()))
}

/// How many rights are named.
const FEW: usize = 6;
