//! One look of the controller at each Canary, as a shadow: it decides, and writes nothing.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use tower::service_fn;

use crate::cli::check::asker::{Asked, Asker, NotAsked};
use crate::controller::act::id_of;
use crate::controller::client::{Layers, Limit, layered};
use crate::controller::clock::Clock;
use crate::controller::fence::Fence;
use crate::controller::ids::Ids;
use crate::controller::shadow::{Entry, Shadow};
use crate::controller::telemetry::Telemetry;
use crate::controller::{Controller, Parts};
use crate::http;
use crate::judge;
use crate::manifest::decode;
use crate::model::object::Kind;
use crate::model::release::{Release, Settings, TargetKind};

use super::canary::Facts;

/// The facts of all Canaries of a namespace, or of all, in the order of their names.
///
/// # Errors
/// If they cannot be listed.
pub(super) async fn at_all(
    asker: &Asker,
    namespace: Option<&str>,
    settings: &Settings,
    files: bool,
) -> Asked<Vec<Facts>> {
    let mut found = asker.list(Kind::CANARY, namespace, "").await.map_err(|why| match namespace {
        Some(_) => why,
        None => NotAsked { cure: "name a namespace with -n, or ask as an administrator".to_owned(), ..why },
    })?;
    found.sort_by_key(id_of);
    let entries = decide(asker, namespace, settings, &found).await;
    let mut all = Vec::new();
    for (canary, entry) in found.into_iter().zip(entries) {
        let canary = Arc::new(canary);
        let reading = judge::reading(&canary, settings, &asker.templates(&canary).await);
        let release = reading.release.as_ref().ok().or(reading.refused.as_ref()).map(|it| Release::clone(it));
        let status = decode::status(&canary["status"]).unwrap_or_default();
        let target = match &release {
            Some(release) => target(asker, release).await,
            None => None,
        };
        all.push(Facts {
            canary,
            reading,
            release,
            status,
            entry,
            target,
            settings: settings.clone(),
            files,
        });
    }
    Ok(all)
}

/// The target, where it is a workload that can be read.
async fn target(asker: &Asker, release: &Release) -> Option<Value> {
    let kind = match release.target.kind {
        TargetKind::Deployment => Kind::DEPLOYMENT,
        TargetKind::DaemonSet => Kind::DAEMON_SET,
        TargetKind::Service => Kind::SERVICE,
        TargetKind::Knative => Kind::KNATIVE_SERVICE,
    };
    asker.get(&kind.at(&release.namespace, &release.target.name)).await.ok().flatten()
}

/// What the controller would do with each of these; `None` for one that it does not come to look at.
async fn decide(
    asker: &Asker,
    namespace: Option<&str>,
    settings: &Settings,
    canaries: &[Value],
) -> Vec<Option<Entry>> {
    if canaries.is_empty() {
        return Vec::new();
    }
    let fence = Fence::shadow();
    let telemetry = Arc::new(Telemetry::new("", "", fence.clone()));
    let layers =
        Layers { fence: fence.clone(), telemetry: Arc::clone(&telemetry), limit: Some(Limit::default()) };
    let cluster = asker.cluster.client.clone();
    let base = service_fn(move |request| {
        let cluster = cluster.clone();
        async move { cluster.send(request).await }
    });
    let client = layered(base, "default", layers);
    let controller = Controller::new(Parts {
        mesh: client.clone(),
        client,
        http: http::Client::default(),
        settings: settings.clone(),
        namespace: namespace.unwrap_or_default().to_owned(),
        event_webhook: String::new(),
        alerts: crate::alert::Settings::default(),
        clock: Clock::system(),
        ids: Ids::from_entropy(),
        fence,
        telemetry,
    });
    let Some(shadow) = controller.shadow() else { return vec![None; canaries.len()] };
    // Metrics servers are inside of the cluster, and this process mostly is not.
    shadow.ask_nothing();
    let (stop, stopped) = oneshot::channel::<()>();
    let running = controller.run(async {
        let _ = stopped.await;
    });
    let seen = async {
        seen(&shadow, canaries).await;
        let _ = stop.send(());
    };
    tokio::join!(running, seen);
    canaries.iter().map(|canary| shadow.entry(&id_of(canary))).collect()
}

/// Waits until all were looked at, or for as long as one may wait at a terminal.
async fn seen(shadow: &Shadow, canaries: &[Value]) {
    let mut looks = shadow.looks();
    let deadline = Instant::now() + PATIENCE;
    while canaries.iter().any(|canary| shadow.entry(&id_of(canary)).is_none()) {
        if !matches!(timeout_at(deadline, looks.changed()).await, Ok(Ok(()))) {
            return;
        }
    }
}

/// How long the looks at all Canaries may take.
const PATIENCE: Duration = Duration::from_secs(60);
