//! The runtime: it gives the decision core what it needs to know, and does what the core says.
//!
//! ```text
//!  watches ──▶ caches ──noticed──▶ queue ──due──▶ worker (one a Canary at a time)
//!                 │                  ▲               │
//!                 └──── observe ─────┼──▶ decide ──▶ ask · act · wait ──▶ API, metrics, hooks
//!                                    └───────────── look again at … ◀───┘
//! ```
//!
//! Only this room does I/O by itself. It reads from the watches, and its timers run to the times that the core names.
//! While this process does not lead, only the watches go on.

#![warn(missing_docs)]

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::api::status::CanaryStatus;
use crate::judge::checks::METRIC_TEMPLATE;
use crate::manifest::decode;
use crate::model::object::{Kind, ObjectId};
use crate::model::release::{Release, Settings};
use crate::rollout::{Alert, Answer, Ask, Event, Question, Snapshot};

pub mod act;
mod alerts;
mod ask;
pub mod backoff;
pub mod caches;
pub mod calls;
pub mod client;
pub mod clock;
mod dependents;
mod desks;
mod event_hooks;
pub mod events;
pub mod fence;
pub mod ids;
mod lanes;
pub mod leader;
pub mod lease;
pub mod logging;
pub mod memory;
pub mod observe;
mod owed;
pub mod process;
pub mod queue;
pub mod rate;
mod rollouts;
pub mod server;
pub mod shadow;
pub mod telemetry;
mod turns;
mod worker;

#[cfg(test)]
mod fake_api;

use self::caches::{Caches, Noticed, State, lock};
use self::clock::{Clock, Drift};
use self::dependents::Dependents;
use self::desks::Desks;
use self::events::{Rank, Recorder};
use self::fence::Fence;
use self::ids::Ids;
use self::memory::Memory;
use self::rollouts::Rollouts;
use self::shadow::Shadow;
use self::telemetry::Telemetry;
use self::turns::{Next, Turns};

/// The parts that a controller is made of.
pub struct Parts {
    /// The client for workloads, Services and our own kinds.
    pub client: kube::Client,
    /// The client for routes: that of another cluster with `-kubeconfig-service-mesh`.
    pub mesh: kube::Client,
    /// The client of all calls to the network: metrics, hooks, alerts.
    pub http: crate::http::Client,
    /// What the flags say about releases.
    pub settings: Settings,
    /// The value of `-namespace`: the one namespace to work in, or empty for all.
    pub namespace: String,
    /// The value of `-event-webhook`: the address that every event is sent to, or empty for none.
    pub event_webhook: String,
    /// The controller's own notifier: the values of `-slack-url`, `-msteams-url` and the flags that go with them.
    pub alerts: crate::alert::Settings,
    /// The source of the time.
    pub clock: Clock,
    /// The source of ids and cookies.
    pub ids: Ids,
    /// Open while this process leads.
    pub fence: Fence,
    /// The metrics of the controller.
    pub telemetry: Arc<Telemetry>,
}

/// Releases the Canaries of a cluster until it is told to stop.
pub struct Controller {
    shared: Arc<Runtime>,
    noticed: mpsc::UnboundedReceiver<Noticed>,
    ready: watch::Sender<bool>,
    written: watch::Sender<bool>,
    events: events::Worker,
    hooks: event_hooks::Worker,
    alerts: alerts::Worker,
}

/// The parts of a running controller that its tasks share.
pub(crate) struct Runtime {
    caches: Arc<Caches>,
    settings: Settings,
    clock: Clock,
    ids: Ids,
    fence: Fence,
    telemetry: Arc<Telemetry>,
    recorder: Recorder,
    hooks: event_hooks::Outbox,
    alerts: alerts::Outbox,
    inquirer: ask::Inquirer,
    /// Set for a controller that only says what it would do.
    shadow: Option<Arc<Shadow>>,
    memories: Mutex<BTreeMap<ObjectId, Memory>>,
    /// Places for looks that have their objects open.
    desks: Desks,
    rollouts: Rollouts,
    /// Tells the loop what to look at.
    notice: mpsc::UnboundedSender<Noticed>,
    /// Set when no look may wait for an answer any more.
    stopping: watch::Sender<bool>,
}

impl Controller {
    /// A controller that does nothing before [`Controller::run`]. Needs a runtime.
    ///
    /// With the fence of a shadow it decides and does nothing: see [`shadow`].
    pub fn new(mut parts: Parts) -> Self {
        let shadow = parts.fence.is_shadow().then(Arc::default);
        if shadow.is_some() {
            parts.http = parts.http.only_asking();
        }
        let (sender, noticed) = mpsc::unbounded_channel();
        let settled = sender.clone();
        let caches =
            Arc::new(Caches::new(parts.client.clone(), parts.mesh, &parts.namespace, sender.clone()));
        let (recorder, events) =
            events::recorder(parts.client.clone(), parts.clock, Arc::clone(&parts.telemetry), None);
        let (outbox, hooks) = event_hooks::outbox(
            parts.client.clone(),
            parts.http.clone(),
            parts.clock,
            &parts.event_webhook,
            sender.clone(),
        );
        let (letters, alerts) = alerts::outbox(
            parts.client.clone(),
            parts.http.clone(),
            Arc::clone(&caches),
            &parts.alerts,
            settled,
        );
        let inquirer = ask::Inquirer::new(
            parts.client,
            parts.http,
            Arc::clone(&caches),
            parts.settings.clone(),
            parts.clock,
        );
        let rollouts = Rollouts::new(&parts.settings);
        let shared = Runtime {
            caches,
            settings: parts.settings,
            clock: parts.clock,
            ids: parts.ids,
            fence: parts.fence,
            telemetry: parts.telemetry,
            recorder,
            hooks: outbox,
            alerts: letters,
            inquirer,
            shadow,
            memories: Mutex::default(),
            desks: Desks::default(),
            rollouts,
            notice: sender,
            stopping: watch::Sender::new(false),
        };
        let [ready, written] = [(); 2].map(|()| watch::Sender::new(false));
        Self { shared: Arc::new(shared), noticed, ready, written, events, hooks, alerts }
    }

    /// Tells whether the caches hold what is needed to decide, for `/readyz`.
    pub fn readiness(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// What a shadow knows; `None` for a controller that works.
    pub fn shadow(&self) -> Option<Arc<Shadow>> {
        self.shared.shadow.clone()
    }

    /// Tells whether the last step is written, so that another may lead. What is to be told of it may take longer.
    pub fn written(&self) -> watch::Receiver<bool> {
        self.written.subscribe()
    }

    /// Works until `stop` is done; steps that are being written are finished first, events are delivered.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Self { shared, mut noticed, ready, written, events, hooks, alerts } = self;
        let mut background = JoinSet::new();
        background.spawn(events.run());
        background.spawn(hooks.run());
        background.spawn(alerts.run());
        for kind in [Kind::CANARY, METRIC_TEMPLATE, alerts::ALERT_PROVIDER] {
            shared.caches.state(kind);
        }
        let mut work = Work::new(Arc::clone(&shared));
        let mut claim = shared.fence.watch();
        let mut drift = Drift::new(shared.clock);
        tokio::pin!(stop);
        info!("Started operator workers");
        loop {
            if let Some(by) = drift.look() {
                info!(
                    "the clock went {} s wrong: it was set, or the machine was suspended",
                    by.num_seconds()
                );
                // What is due was reckoned by the old time.
                work.wake_all();
            }
            work.start_due();
            let next = work.next_due().map(|due| shared.clock.alarm(due));
            tokio::select! {
                biased;
                () = &mut stop => break,
                Some(noticed) = noticed.recv() => {
                    if noticed == Noticed::Kind(Kind::CANARY) {
                        ready.send_replace(shared.caches.state(Kind::CANARY) == State::Ready);
                    }
                    work.wake(noticed);
                }
                Some(done) = work.running.join_next(), if !work.running.is_empty() => work.finished(done),
                _ = claim.changed() => work.take_over(),
                () = sleep_until(next), if next.is_some() => {}
            }
        }
        info!("Shutting down operator workers");
        shared.stopping.send_replace(true);
        work.finish().await;
        written.send_replace(true);
        shared.caches.stop();
        shared.recorder.close();
        shared.hooks.close();
        shared.alerts.close();
        while background.join_next().await.is_some() {}
    }
}

/// Which Canaries are due, which are worked on, and which objects each depends on.
struct Work {
    shared: Arc<Runtime>,
    turns: Turns<ObjectId>,
    running: JoinSet<(ObjectId, Next)>,
    woken: BTreeMap<ObjectId, Arc<Notify>>,
    dependents: Dependents,
    leading: bool,
}

impl Work {
    fn new(shared: Arc<Runtime>) -> Self {
        Self {
            shared,
            turns: Turns::new(worker::FIRST_RETRY, worker::LAST_RETRY, worker::BURST),
            running: JoinSet::new(),
            woken: BTreeMap::new(),
            dependents: Dependents::default(),
            leading: false,
        }
    }

    fn next_due(&self) -> Option<chrono::DateTime<chrono::Utc>> {
        // While others lead nothing is due.
        self.leads().then(|| self.turns.next_due()).flatten()
    }

    /// Looks at all Canaries after this process has become the leader. A claim that was only renewed changes nothing.
    fn take_over(&mut self) {
        let leads = self.leads();
        let before = std::mem::replace(&mut self.leading, leads);
        if leads && !before {
            self.shared.survey();
            self.wake_all();
        }
    }

    fn leads(&self) -> bool {
        self.shared.fence.claim().is_valid(Instant::now())
    }

    fn start_due(&mut self) {
        if !self.leads() {
            return;
        }
        while let Some(id) = self.turns.start(self.shared.clock.now()) {
            let woken = Arc::clone(self.woken.entry(id.clone()).or_default());
            let shared = Arc::clone(&self.shared);
            self.running.spawn(async move {
                let mut memory = lock(&shared.memories).remove(&id).unwrap_or_default();
                let began = Instant::now();
                let look = async {
                    match &shared.shadow {
                        Some(shadow) => shadow::look(&shared, shadow, &id, &mut memory, &woken).await,
                        None => worker::look(&shared, &id, &mut memory, &woken).await,
                    }
                };
                let looked = AssertUnwindSafe(look).catch_unwind().await;
                let next = looked.unwrap_or_else(|_| {
                    // One Canary's bug must not stop the others, and may be gone with its next change.
                    error!(canary = %id, "a look at this Canary panicked: it is looked at again");
                    memory = Memory::default();
                    Next::Retry
                });
                shared.telemetry.reconciled(next.label(), began.elapsed());
                lock(&shared.memories).insert(id.clone(), memory);
                (id, next)
            });
        }
        self.shared.telemetry.queue(self.turns.waiting(), self.turns.in_flight());
    }

    fn wake(&mut self, noticed: Noticed) {
        match noticed {
            Noticed::Object(id) => {
                if id.kind == Kind::CANARY {
                    self.wake_one(id.clone());
                    self.count(&id.namespace);
                }
                for canary in self.dependents.of(&id) {
                    self.wake_one(canary);
                }
            }
            Noticed::Kind(kind) => {
                self.tell(kind);
                if kind == Kind::CANARY {
                    self.shared.survey();
                }
                self.wake_all();
            }
        }
    }

    fn wake_one(&mut self, id: ObjectId) {
        if let Some(woken) = self.woken.get(&id) {
            woken.notify_one();
        }
        self.turns.wake(id, self.shared.clock.now());
    }

    fn wake_all(&mut self) {
        for id in self.shared.caches.ids(Kind::CANARY) {
            self.wake_one(id);
        }
    }

    /// Shows whether a kind can be relied on.
    fn tell(&self, kind: Kind) {
        let up = match self.shared.caches.state(kind) {
            State::Ready => Some(true),
            State::Unavailable(refusal) if refusal.is_missing() => None,
            State::Loading | State::Unavailable(_) => Some(false),
        };
        let resource = match kind.group {
            "" => kind.plural.to_owned(),
            group => format!("{}.{group}", kind.plural),
        };
        self.shared.telemetry.watch(&resource, up);
    }

    fn count(&self, namespace: &str) {
        // The series of Flagger's names are the other controller's.
        if self.shared.shadow.is_some() {
            return;
        }
        self.shared.telemetry.canary_total(namespace, self.shared.caches.canaries_in(namespace));
    }

    fn finished(&mut self, done: Result<(ObjectId, Next), tokio::task::JoinError>) {
        let (id, next) = match done {
            Ok(done) => done,
            Err(error) => {
                // Only a shutdown that takes too long aborts them.
                warn!(%error, "a worker was ended");
                return;
            }
        };
        self.woken.remove(&id);
        self.turns.finished(&id, next, self.shared.clock.now());
        if next == Next::Gone {
            self.forget(&id);
        }
        self.index(&id);
    }

    /// Remembers which Canaries to look at when an object changes.
    fn index(&mut self, canary: &ObjectId) {
        let found = lock(&self.shared.memories).get_mut(canary).and_then(|memory| memory.reads.take());
        if let Some(reads) = found
            && self.dependents.note(canary, &reads)
        {
            // Something may have changed between the look and this note of it.
            self.turns.wake(canary.clone(), self.shared.clock.now());
        }
    }

    fn forget(&mut self, id: &ObjectId) {
        self.dependents.forget(id);
        self.shared.alerts.health.forget(id);
        self.shared.call(self.shared.rollouts.forget(id));
        if let Some(memory) = lock(&self.shared.memories).remove(id)
            && let Some((namespace, name)) = memory.series
        {
            self.shared.telemetry.target(&namespace, &name).forget();
        }
        self.count(&id.namespace);
    }

    /// Lets the steps under way come to their end.
    async fn finish(&mut self) {
        let deadline = Instant::now() + SHUTDOWN;
        while !self.running.is_empty() {
            if tokio::time::timeout_at(deadline, self.running.join_next()).await.is_err() {
                self.running.abort_all();
                return;
            }
        }
    }
}

impl Runtime {
    /// Takes note of all releases that go on, before any other may start.
    fn survey(&self) {
        if self.rollouts.is_unlimited() {
            return;
        }
        let now = self.clock.now();
        for id in self.caches.ids(Kind::CANARY) {
            let status = self.caches.get(&id).map(|canary| decode::status(&canary["status"]));
            if let Some(Ok(status)) = status {
                self.rollouts.note(&id, &status, now);
            }
        }
    }

    /// Has those looked at whose turn it may be.
    fn call(&self, canaries: Vec<ObjectId>) {
        for id in canaries {
            // Nobody listens any more while the process ends.
            let _ = self.notice.send(Noticed::Object(id));
        }
    }

    fn publish(&self, canary: &serde_json::Value, rank: Rank, event: &Event) {
        let (kind, log_as) = worker::typed(event.kind);
        self.recorder.publish(worker::subject(canary), kind, log_as, rank, event.message.clone());
    }

    /// Leaves an event, which happened at `at`, for the event hooks.
    fn tell_hooks(
        &self,
        release: &Release,
        status: &CanaryStatus,
        event: &Event,
        at: chrono::DateTime<chrono::Utc>,
    ) {
        self.hooks.tell(release, &event_hooks::Told::new(event, status, at));
    }

    /// Puts an alert into the outbox, without waiting for its delivery.
    fn alert(&self, release: &Release, alert: &Alert) {
        self.alerts.tell(release, alert);
    }

    fn publish_series(&self, snapshot: &Snapshot, memory: &mut Memory) {
        let series = worker::series(self, &snapshot.release);
        series.phase(snapshot.status.phase);
        let canary = snapshot.canary_share();
        series.weights(f64::from(100 - canary), f64::from(canary));
        memory.series = Some((snapshot.release.namespace.clone(), snapshot.release.target.name.clone()));
    }

    /// Publishes what was measured, before it is judged (spec 02 §7.1).
    fn note_answer(&self, snapshot: &Snapshot, question: &Question, answer: &Answer) {
        let (Ask::Metric { index }, Answer::Metric(crate::model::answer::Measured::Value(value))) =
            (&question.ask, answer)
        else {
            return;
        };
        let Some(check) = snapshot.release.analysis.metrics.get(*index) else { return };
        let seconds = matches!(check.source, crate::model::release::MetricSource::Duration);
        let value = if seconds { value / 1000.0 } else { *value };
        worker::series(self, &snapshot.release).measured(&check.name, value);
    }
}

async fn sleep_until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// How long a shutdown waits for steps under way.
const SHUTDOWN: std::time::Duration = std::time::Duration::from_secs(20);
