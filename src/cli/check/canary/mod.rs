//! What there is to know of a Canary, fetched in one place.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::api::status::CanaryStatus;
use crate::judge;
use crate::manifest::decode;
use crate::model::object::{Kind, ObjectId, Objects};
use crate::model::release::{Reading, Release, Settings, TargetKind};
use crate::model::workload::TargetShape;
use crate::router::registry;
use crate::router::services::{self, Side};
use crate::workload;

use super::asker::{Asked, Asker, NotAsked};
use super::mesh::Mesh;
use super::selects::Pods;

use self::references::References;

pub(super) mod checks;
mod metrics;
mod neighbours;
mod objects;
mod references;

/// What a command knows of the controller that looks at a Canary.
#[derive(Clone, Debug)]
pub(super) struct Overseer {
    pub settings: Settings,
    /// The one namespace that it works in, empty for all; `None` if there is no controller.
    pub works_in: Option<String>,
    /// Its own namespace, in which the bare name of a metrics server is looked up.
    pub namespace: String,
}

/// The objects of a namespace that select pods, or scale them.
#[derive(Clone, Debug)]
pub(super) struct Around {
    pub canaries: Asked<Vec<Value>>,
    pub services: Asked<Vec<Value>>,
    pub budgets: Asked<Vec<Value>>,
    pub policies: Asked<Vec<Value>>,
    pub service_monitors: Asked<Vec<Value>>,
    pub pod_monitors: Asked<Vec<Value>>,
    pub scalers: Asked<Vec<Value>>,
}

/// A Canary and what it leads to.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub canary: Value,
    pub now: DateTime<Utc>,
    pub overseer: Overseer,
    /// The manifest as the controller reads it.
    pub reading: Reading,
    /// The release, also one that is refused.
    pub release: Option<Release>,
    pub status: CanaryStatus,
    pub objects: Objects,
    /// The objects that could not be read.
    pub hidden: BTreeMap<ObjectId, NotAsked>,
    /// How its pods are selected, or why they cannot be.
    pub shape: Option<Result<TargetShape, String>>,
    pub around: Arc<Around>,
    pub mesh: Option<Mesh>,
    pub references: References,
}

impl Around {
    pub(super) async fn fetch(asker: &Asker, namespace: &str) -> Self {
        let here = Some(namespace);
        let mut scalers = asker.list(Kind::HPA, here, "").await;
        if let Ok(all) = &mut scalers {
            match asker.list(Kind::SCALED_OBJECT, here, "").await {
                Ok(more) => all.extend(more),
                Err(why) => scalers = Err(why),
            }
        }
        Self {
            canaries: asker.list(Kind::CANARY, here, "").await,
            services: asker.list(Kind::SERVICE, here, "").await,
            budgets: asker.list(BUDGET, here, "").await,
            policies: asker.list(POLICY, here, "").await,
            service_monitors: asker.list_widely(SERVICE_MONITOR, namespace, "").await,
            pod_monitors: asker.list_widely(POD_MONITOR, namespace, "").await,
            scalers,
        }
    }
}

impl Facts {
    pub(super) async fn fetch(
        asker: &Asker,
        canary: Value,
        overseer: Overseer,
        around: Arc<Around>,
        now: DateTime<Utc>,
    ) -> Self {
        let reading = judge::reading(&canary, &overseer.settings, &asker.templates(&canary).await);
        let release = reading.release.as_ref().ok().or(reading.refused.as_ref()).map(|it| Release::clone(it));
        let status = decode::status(&canary["status"]).unwrap_or_default();
        let mut it = Self {
            canary,
            now,
            overseer,
            reading,
            release,
            status,
            objects: Objects::default(),
            hidden: BTreeMap::new(),
            shape: None,
            around,
            mesh: None,
            references: References::default(),
        };
        let Some(release) = it.release.clone() else { return it };
        let workload = workload::registry::workload(release.target.kind);
        let mut ids = workload.reads(&release);
        ids.extend([Side::Apex, Side::Primary, Side::Canary].map(|side| services::id(&release, side)));
        ids.extend(registry::router_of(&release).into_iter().flat_map(|router| router.reads(&release)));
        it.read(asker, &ids).await;
        let named = workload.named_reads(&release, &it.objects);
        it.read(asker, &named).await;
        it.shape = Some(
            workload.shape(&release, &it.overseer.settings, &it.objects).map_err(|error| error.to_string()),
        );
        it.mesh = Some(Mesh::fetch(asker, &release.provider_name, it.overseer.settings.remote_mesh).await);
        it.references =
            References::fetch(asker, &release, &it.overseer, it.status.phase.is_at_rest(), now).await;
        it
    }

    async fn read(&mut self, asker: &Asker, ids: &[ObjectId]) {
        for id in ids {
            match asker.get(id).await {
                Ok(object) => self.objects.extend(object.map(|object| (id.clone(), Arc::new(object)))),
                Err(why) => {
                    self.hidden.insert(id.clone(), why);
                }
            }
        }
    }

    pub(super) fn namespace(&self) -> &str {
        self.canary["metadata"]["namespace"].as_str().unwrap_or_default()
    }

    pub(super) fn name(&self) -> &str {
        self.canary["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// The workload of the release, where it is one with pods of its own.
    pub(super) fn target_id(&self) -> Option<ObjectId> {
        let release = self.release.as_ref()?;
        let kind = match release.target.kind {
            TargetKind::Deployment => Kind::DEPLOYMENT,
            TargetKind::DaemonSet => Kind::DAEMON_SET,
            TargetKind::Service | TargetKind::Knative => return None,
        };
        Some(kind.at(&release.namespace, &release.target.name))
    }

    /// The labels of the pods of both sides; those of a primary that is not there yet as they will be.
    pub(super) fn pods(&self) -> Option<Pods> {
        let (release, target_id) = (self.release.as_ref()?, self.target_id()?);
        let shape = self.shape.as_ref()?.as_ref().ok()?;
        let labels = |id: &ObjectId| {
            self.objects.get(id)?["spec"]["template"]["metadata"]["labels"].as_object().cloned()
        };
        let target = labels(&target_id)?;
        let primary = labels(&target_id.kind.at(&release.namespace, &release.primary_name()));
        let primary = primary.unwrap_or_else(|| {
            let mut primary = target.clone();
            primary.insert(shape.label_key.clone(), format!("{}-primary", shape.label_value).into());
            primary
        });
        Some(Pods { target, primary })
    }
}

const BUDGET: Kind = Kind::new("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets");
const POLICY: Kind = Kind::new("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies");
const SERVICE_MONITOR: Kind = Kind::new("monitoring.coreos.com", "v1", "ServiceMonitor", "servicemonitors");
const POD_MONITOR: Kind = Kind::new("monitoring.coreos.com", "v1", "PodMonitor", "podmonitors");
