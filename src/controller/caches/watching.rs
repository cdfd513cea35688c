//! The watch of one kind: lists, watches on, and finds back after whatever goes wrong.
//!
//! ```text
//! list ─▶ watch ──ended, fell silent──▶ watch on from there
//!  ▲ ▲      └──doubted (our own writes do not show)──▶ list
//!  │ └──pause that grows── refused (403, 5xx), no answer
//!  └──discovery shows it── not installed (404)
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use kube::api::Api;
use kube::runtime::watcher::{self, Event, watcher};
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::{debug, info};

use super::watched::Watched;
use super::{Refusal, Store, resource};
use crate::controller::backoff;
use crate::model::object::Kind;
use crate::router::endpoints::{ENDPOINT_SLICE, SIDE};

type Events = BoxStream<'static, watcher::Result<Event<Watched>>>;

/// Failures in a row.
#[derive(Default)]
struct Failures {
    number: u32,
    since: Option<Instant>,
}

/// Keeps what `store` knows of `kind` up to date, for ever. `doubted` makes it list anew.
pub(super) async fn watch(store: Arc<Store>, kind: Kind, doubted: Arc<Notify>) {
    let mut events = begin(&store, kind);
    let mut fresh = BTreeMap::new();
    let mut failures = Failures::default();
    loop {
        let event = tokio::select! {
            biased;
            () = doubted.notified() => {
                events = begin(&store, kind);
                continue;
            }
            event = events.next() => event,
        };
        let event = match event {
            Some(Ok(event)) => event,
            Some(Err(error)) => {
                if failed(&store, kind, &error, &mut failures).await {
                    // Its list says when the kind can be relied on again.
                    events = begin(&store, kind);
                }
                continue;
            }
            // The stream of kube has no end.
            None => {
                events = begin(&store, kind);
                continue;
            }
        };
        if !matches!(event, Event::Init) {
            // That one comes before the list is asked for, and says nothing.
            failures = Failures::default();
        }
        match event {
            Event::Init => fresh.clear(),
            Event::InitApply(object) => fresh.extend(store.listed(kind, object)),
            Event::InitDone => store.replace(kind, std::mem::take(&mut fresh)),
            Event::Apply(object) => store.put(kind, object),
            Event::Delete(object) => store.remove(kind, object),
        }
    }
}

/// Lists and watches from the beginning.
fn begin(store: &Store, kind: Kind) -> Events {
    let resource = resource(kind);
    let client = store.client(kind).clone();
    let api: Api<Watched> = if store.namespace.is_empty() || kind.cluster_wide {
        Api::all_with(client, &resource)
    } else {
        Api::namespaced_with(client, &store.namespace, &resource)
    };
    // Long watches: at rest they are the only requests there are (P8).
    let mut config = watcher::Config::default().timeout(WATCH_SECONDS).page_size(PAGE);
    if kind == ENDPOINT_SLICE {
        // Those of the Services of Canaries, not of the whole cluster.
        config = config.labels(SIDE);
    }
    watcher(api, config).boxed()
}

/// Notes a failure and waits until another try is worth it; whether the kind counts as unavailable now.
async fn failed(store: &Store, kind: Kind, error: &watcher::Error, failures: &mut Failures) -> bool {
    failures.number = failures.number.saturating_add(1);
    let since = *failures.since.get_or_insert_with(Instant::now);
    let mut refusal = Refusal::of(kind, error);
    if refusal.is_missing() && served(store, kind).await == Some(true) {
        // One of several servers that has not heard of it yet: not to be taken for the end of all its objects.
        refusal.code = None;
    }
    debug!(kind = kind.kind, error = refusal.why, "watch failed");
    // What may pass by itself is not told at once.
    let lasting = match (refusal.code, store.is_ready(kind)) {
        (Some(404), _) | (Some(403), false) => true,
        (_, false) => failures.number >= 3 || since.elapsed() >= FIRST_PATIENCE,
        (_, true) => since.elapsed() >= PATIENCE,
    };
    if failures.number == 3 {
        info!(kind = kind.kind, error = refusal.why, "watch keeps failing");
    }
    let (missing, longest) = (refusal.is_missing(), longest_pause(&refusal));
    if lasting {
        store.unavailable(kind, refusal);
    }
    if missing {
        installed(store, kind).await;
    } else {
        tokio::time::sleep(backoff::delay(FIRST_RETRY, longest, failures.number)).await;
    }
    lasting
}

/// Waits until the API says that it serves `kind`.
async fn installed(store: &Store, kind: Kind) {
    for tries in 1.. {
        tokio::time::sleep(backoff::delay(FIRST_RETRY, LONGEST_MISSING, tries)).await;
        match served(store, kind).await {
            Some(true) => return,
            Some(false) => {}
            // Only the list itself can tell.
            None if tries >= TRIES_OF_DISCOVERY => return,
            None => {}
        }
    }
}

/// Whether the API serves `kind`, by its discovery; none if that is closed or broken. Discovery is one small request,
/// and everybody who can log in may read it: a watch of the CRDs would need a right to them, in all namespaces.
async fn served(store: &Store, kind: Kind) -> Option<bool> {
    let (client, version) = (store.client(kind), kind.api_version());
    let served = if kind.group.is_empty() {
        client.list_core_api_resources(&version).await
    } else {
        client.list_api_group_resources(&version).await
    };
    match served {
        Ok(served) => Some(served.resources.iter().any(|resource| resource.name == kind.plural)),
        Err(kube::Error::Api(status)) if status.code == 404 => Some(false),
        Err(_) => None,
    }
}

fn longest_pause(refusal: &Refusal) -> Duration {
    if refusal.code.is_some() { LONGEST_REFUSED } else { LONGEST_UNANSWERED }
}

const WATCH_SECONDS: u32 = 1800;
/// Objects that a list delivers at a time. All of a page are in memory together, unpacked.
const PAGE: u32 = 100;
const FIRST_RETRY: Duration = Duration::from_millis(500);
/// The longest pause while nobody answers: it ends with the network's trouble.
const LONGEST_UNANSWERED: Duration = Duration::from_secs(30);
/// The longest pause while the API refuses or fails: somebody has to do something first.
const LONGEST_REFUSED: Duration = Duration::from_secs(120);
/// The longest pause between two looks for a kind that is not installed: its CRD is noticed within a minute.
const LONGEST_MISSING: Duration = Duration::from_secs(45);
/// Looks at a discovery that fails before the list itself is tried: some five minutes.
const TRIES_OF_DISCOVERY: u32 = 13;
/// How long a first list may fail before that is told.
const FIRST_PATIENCE: Duration = Duration::from_secs(20);
/// How long a kind that was known may fail before that is told.
const PATIENCE: Duration = Duration::from_secs(60);
