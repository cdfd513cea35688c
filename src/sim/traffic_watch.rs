//! The first promise as a check that runs while a world lives: no share of the traffic stays on a side where nobody
//! would answer while the other side could.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::routes::Routes;
use super::world::World;
use crate::model::release::Release;

/// Looks at the routes of all Canaries and at who would answer for them, after every write to the cluster.
pub struct TrafficWatch {
    broken: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl TrafficWatch {
    /// Begins to look at `world`. A side without ready pods may keep its share for `grace`.
    pub fn new(world: &World, grace: Duration) -> Self {
        let broken = Arc::new(Mutex::new(Vec::new()));
        let changed = Arc::new(Notify::new());
        let notify = Arc::clone(&changed);
        world.kube.observe(move |_| notify.notify_one());
        let task = tokio::spawn(watch(world.clone(), grace, changed, Arc::clone(&broken)));
        Self { broken, task }
    }

    /// What was seen that breaks the promise, with the time and the numbers.
    pub fn broken(&self) -> Vec<String> {
        lock(&self.broken).clone()
    }
}

impl Drop for TrafficWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn watch(world: World, grace: Duration, changed: Arc<Notify>, broken: Arc<Mutex<Vec<String>>>) {
    let mut dead_since: BTreeMap<String, Instant> = BTreeMap::new();
    loop {
        let routes = world.routes();
        let mut dead = BTreeMap::new();
        for release in routes.releases() {
            if let Some(text) = unanswered(&world, &routes, &release) {
                let title = release.title();
                let since = dead_since.get(&title).copied().unwrap_or_else(Instant::now);
                if since.elapsed() >= grace {
                    lock(&broken).push(format!("{} {title}: {text}", world.now()));
                }
                dead.insert(title, since);
            }
        }
        dead_since = dead;
        match dead_since.values().map(|since| *since + grace).filter(|due| *due > Instant::now()).min() {
            Some(due) => {
                tokio::select! {
                    () = tokio::time::sleep_until(due) => {}
                    () = changed.notified() => {}
                }
            }
            None => changed.notified().await,
        }
    }
}

/// Which side of a release has a share and nobody who would answer, while the other could.
fn unanswered(world: &World, routes: &Routes, release: &Release) -> Option<String> {
    let split = routes.of(release)?.split;
    let ready = |service: &str| ready(world, &release.namespace, service);
    let (primary, canary) = (ready(&release.primary_service())?, ready(&release.canary_service())?);
    let text = || {
        format!(
            "weights {}/{}, while {primary} pods of the primary and {canary} of the canary are ready",
            split.primary(),
            split.canary()
        )
    };
    let dead = (split.canary() > 0 && canary == 0 && primary > 0)
        || (split.primary() > 0 && primary == 0 && canary > 0);
    dead.then(text)
}

/// The ready endpoints of a Service; `None` while it has no EndpointSlice.
fn ready(world: &World, namespace: &str, service: &str) -> Option<usize> {
    let slices = world.kube.list("endpointslices.discovery.k8s.io", Some(namespace));
    let mut known = None;
    for slice in
        slices.iter().filter(|slice| slice["metadata"]["labels"]["kubernetes.io/service-name"] == service)
    {
        let endpoints = slice["endpoints"].as_array().map_or(&[][..], Vec::as_slice);
        let count =
            endpoints.iter().filter(|endpoint: &&Value| endpoint["conditions"]["ready"] == true).count();
        known = Some(known.unwrap_or(0) + count);
    }
    known
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
