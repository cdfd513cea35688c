//! Kubernetes events of our Canaries: core/v1, reason `Synced`, component `flagger`, with the reference's texts
//! (spec 01 §8). Each also goes to the log, and to a hook where event webhooks can be plugged in.
//!
//! ```text
//! publish ──▶ log, hook, outbox (bounded) ──▶ ledger: new, or a repetition? ──▶ API, a few at once
//! ```
//!
//! Publishing never waits. The events of one object are written in their order, one after the other. Only identical messages are counted together, and the limit
//! for one object is far above what a release needs, so no step of a release is ever hidden (spec 01/EC-45).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use k8s_openapi::api::core::v1::Event;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tracing::{error, info, warn};

use self::ledger::{Entry, Ledger, Writing};
use self::outbox::Outbox;
pub use self::outbox::Rank;
use super::backoff;
use super::clock::Clock;
use super::telemetry::{EventFate, Telemetry};

mod ledger;
mod outbox;

/// The object that an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Its `apiVersion`.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its version when the event happened.
    pub resource_version: String,
}

/// The `type` of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventType {
    /// Something went as it should.
    Normal,
    /// Something is wrong or waits for somebody.
    Warning,
}

impl EventType {
    /// The value of the event's field `type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// The level at which an event is logged. Many warnings are logged at info, as in the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogAs {
    /// As information.
    Info,
    /// As an error.
    Error,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The object that it happened to.
    pub about: Subject,
    /// The event's type.
    pub kind: EventType,
    /// The text for users.
    pub message: String,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// Tells this notice from all others: its time in nanoseconds, moved on where two have the same.
    stamp: i64,
}

/// Is shown every notice. Must not block.
pub type Hook = Arc<dyn Fn(&Notice) + Send + Sync>;

/// Where events are published. Clones share one outbox.
#[derive(Clone)]
pub struct Recorder(Arc<Publisher>);

/// What the recorders and the worker that publishes their events share.
struct Publisher {
    clock: Clock,
    telemetry: Arc<Telemetry>,
    hook: Option<Hook>,
    outbox: Mutex<Outbox>,
    wake: Notify,
    closed: watch::Sender<bool>,
}

/// Makes a recorder and the worker that writes what is published there.
pub fn recorder(
    client: kube::Client,
    clock: Clock,
    telemetry: Arc<Telemetry>,
    hook: Option<Hook>,
) -> (Recorder, Worker) {
    let shared = Publisher {
        clock,
        telemetry,
        hook,
        outbox: Mutex::default(),
        wake: Notify::new(),
        closed: watch::Sender::new(false),
    };
    let recorder = Recorder(Arc::new(shared));
    (recorder.clone(), Worker { recorder, client, ledger: Ledger::default() })
}

impl Recorder {
    /// Logs the message and hands it to the hook and the worker. Never waits; when the API has been away for so long
    /// that the outbox is full, the oldest notice of the same rank goes.
    pub fn publish(&self, about: Subject, kind: EventType, log_as: LogAs, rank: Rank, message: String) {
        let canary = format!("{}.{}", about.name, about.namespace);
        match log_as {
            LogAs::Info => info!(canary, "{message}"),
            LogAs::Error => error!(canary, "{message}"),
        }
        let at = self.0.clock.now();
        let mut outbox = self.outbox();
        let stamp = outbox.stamp(at);
        let notice = Notice { about, kind, message, at, stamp };
        if let Some(hook) = &self.0.hook {
            hook(&notice);
        }
        if self.is_closed() {
            return self.0.telemetry.event(EventFate::Dropped);
        }
        if outbox.put(notice, rank).is_some() {
            self.0.telemetry.event(EventFate::Dropped);
            if outbox.begins_to_overflow() {
                warn!("{} events wait for the API: the oldest are dropped", outbox.len());
            }
        }
        drop(outbox);
        self.0.wake.notify_one();
    }

    /// Takes no more notices. The worker writes what it has and ends, within a few seconds.
    pub fn close(&self) {
        self.0.closed.send_replace(true);
        self.0.wake.notify_one();
    }

    fn is_closed(&self) -> bool {
        *self.0.closed.borrow()
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.0.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes events. Run it as a task; it ends after [`Recorder::close`].
pub struct Worker {
    recorder: Recorder,
    client: kube::Client,
    ledger: Ledger,
}

impl Worker {
    /// Writes until the recorder is closed, and then what is left, for as long as that may take.
    pub async fn run(mut self) {
        let recorder = self.recorder.clone();
        tokio::select! {
            biased;
            () = self.write_all() => {}
            () = closed_for(&recorder, FLUSH) => {
                let left = recorder.outbox().len();
                warn!("the API did not take the last events in time; {left} more were waiting");
            }
        }
    }

    async fn write_all(&mut self) {
        let recorder = self.recorder.clone();
        let mut writing = FuturesUnordered::new();
        loop {
            while writing.len() < WRITERS
                && let Some(notice) = self.take()
            {
                let (entry, fate) = match self.ledger.enter(&notice, Instant::now()) {
                    Writing::New(entry) => (Some(entry), EventFate::Written),
                    Writing::Again(entry) => (Some(entry), EventFate::Repeated),
                    Writing::AgainLater => (None, EventFate::Repeated),
                    Writing::TooMany => (None, EventFate::Dropped),
                };
                match entry {
                    Some(entry) => writing.push(try_often(self.client.clone(), notice, entry, fate)),
                    None => self.ended(&notice, fate),
                }
            }
            tokio::select! {
                Some(written) = writing.next() => {
                    self.ledger.settle(&written.notice, written.stamp);
                    self.ended(&written.notice, written.fate);
                }
                () = recorder.0.wake.notified(), if !recorder.is_closed() => {}
                else => return,
            }
        }
    }

    fn take(&self) -> Option<Notice> {
        self.recorder.outbox().take(self.recorder.0.clock.now())
    }

    fn ended(&self, notice: &Notice, fate: EventFate) {
        self.recorder.outbox().done(&notice.about);
        self.recorder.0.telemetry.event(fate);
    }
}

/// What became of an attempt to write an event.
struct Written {
    notice: Notice,
    /// The stamp that it had to be given; none if it was not written.
    stamp: Option<i64>,
    fate: EventFate,
}

/// Writes an entry, again after failures that may pass. `success` is its fate if that goes well.
async fn try_often(client: kube::Client, notice: Notice, mut entry: Entry, success: EventFate) -> Written {
    let mut unanswered = false;
    for tries in 1.. {
        let Err(problem) = write(&client, &notice, &entry).await else { break };
        match code(&problem) {
            // The trace of our own try that had no answer.
            Some(409) if unanswered => break,
            // Another's event has the name.
            Some(409) if tries < TRIES => entry.stamp += 1,
            code if tries < TRIES && code.is_none_or(|code| code == 429 || code >= 500) => {
                unanswered = true;
                tokio::time::sleep(backoff::delay(FIRST_PAUSE, LONGEST_PAUSE, tries)).await;
            }
            _ => {
                let about = &notice.about;
                let canary = format!("{}.{}", about.name, about.namespace);
                warn!(canary, error = %problem, "the API did not take the event: {}", notice.message);
                return Written { notice, stamp: None, fate: EventFate::Failed };
            }
        }
    }
    Written { notice, stamp: Some(entry.stamp), fate: success }
}

async fn write(client: &kube::Client, notice: &Notice, entry: &Entry) -> Result<(), kube::Error> {
    let resource = ApiResource::erase::<Event>(&());
    let events: Api<DynamicObject> = Api::namespaced_with(client.clone(), &notice.about.namespace, &resource);
    let name = name(&notice.about.name, entry.stamp);
    if entry.count > 1 {
        let patch = json!({"count": entry.count, "lastTimestamp": seconds(notice.at)});
        match events.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await {
            // The API forgets events after an hour or so.
            Err(problem) if code(&problem) == Some(404) => {}
            written => return written.map(drop),
        }
    }
    let event =
        DynamicObject::new(&name, &resource).within(&notice.about.namespace).data(body(notice, entry));
    events.create(&PostParams::default(), &event).await.map(drop)
}

/// The name of an event: that of its object, cut where both together would be too long for a name, and its stamp.
fn name(object: &str, stamp: i64) -> String {
    let stamp = format!("{stamp:x}");
    let room = LONGEST_NAME - 1 - stamp.len();
    let end =
        (0..=room.min(object.len())).rev().find(|end| object.is_char_boundary(*end)).unwrap_or_default();
    // A part of a name must not end in a dash or a dot.
    let head = object[..end].trim_end_matches(|last: char| !last.is_ascii_alphanumeric());
    format!("{head}.{stamp}")
}

/// Done when the recorder has been closed for `time`.
async fn closed_for(recorder: &Recorder, time: Duration) {
    // The sender lives in `recorder`, so waiting cannot fail.
    let _ = recorder.0.closed.subscribe().wait_for(|closed| *closed).await;
    tokio::time::sleep(time).await;
}

/// The event but for its name.
fn body(notice: &Notice, entry: &Entry) -> serde_json::Value {
    let about = &notice.about;
    json!({
        "involvedObject": {
            "apiVersion": about.api_version,
            "kind": about.kind,
            "namespace": about.namespace,
            "name": about.name,
            "uid": about.uid,
            "resourceVersion": about.resource_version,
        },
        "type": notice.kind.as_str(),
        "reason": "Synced",
        "message": cut(&notice.message),
        "count": entry.count,
        "firstTimestamp": seconds(entry.first),
        "lastTimestamp": seconds(notice.at),
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": "",
    })
}

/// The message as far as the API takes it.
fn cut(message: &str) -> String {
    const MOST: usize = 1024;
    const MARK: &str = "…";
    if message.len() <= MOST {
        return message.to_owned();
    }
    let end = (0..=MOST - MARK.len()).rev().find(|end| message.is_char_boundary(*end)).unwrap_or_default();
    format!("{}{MARK}", &message[..end])
}

/// `metav1.Time`.
fn seconds(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

fn code(problem: &kube::Error) -> Option<u16> {
    match problem {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}

const COMPONENT: &str = "flagger";
/// The longest name that an object may have.
const LONGEST_NAME: usize = 253;
/// Events that are written at once, of as many objects.
const WRITERS: usize = 8;
/// Tries for one event, within half a minute if the API answers at all.
const TRIES: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Time for the last events at the end.
const FLUSH: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests;
