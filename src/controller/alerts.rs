//! Alerts: each is left in an outbox, and one task delivers what is there. Nobody waits for it (spec 02 §8, E8.3).
//!
//! ```text
//! tell ──route──▶ outbox ──▶ one message at a time for each recipient ──▶ provider, Secret ──▶ POST, again if it helps
//! ```
//!
//! Messages reach a recipient in their order. A recipient that is slow or gone delays no other. As long as a message
//! is not delivered its Canary owes it, and says so in its status (`owed.rs`): a restart sends it again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep};
use tracing::{debug, error, info, warn};

use crate::alert::{self, Message, Notifier, RETRIES, Route, SecretData};
use crate::api::analysis::Analysis;
use crate::api::hooks::Severity;
use crate::api::reference::CrossRef;
use crate::http;
use crate::manifest::decode;
use crate::model::object::{Kind, ObjectId};
use crate::model::release::Release;
use crate::model::secrets::{Use, exposed};
use crate::rollout::Alert;

use super::ask::permitted;
use super::backoff;
use super::caches::{Caches, Noticed, State, lock};
use super::calls::Calls;

/// The kind that the channels of a Canary come from.
pub const ALERT_PROVIDER: Kind = Kind::new("flagger.app", "v1beta1", "AlertProvider", "alertproviders");

/// Where alerts are left. Clones are the same.
#[derive(Clone)]
pub struct Outbox(Arc<AlertQueue>);

/// The alerts that wait for their delivery, and what is needed to address them.
struct AlertQueue {
    waiting: Mutex<Waiting>,
    wake: Notify,
    /// Told of a Canary that owes nothing any more.
    settled: mpsc::UnboundedSender<Noticed>,
    caches: Arc<Caches>,
    cluster: String,
    has_global: bool,
}

#[derive(Default)]
struct Waiting {
    letters: VecDeque<Letter>,
    /// Letters that are not delivered yet, by Canary.
    owed: BTreeMap<ObjectId, usize>,
    closed: bool,
}

/// A message on its way.
struct Letter {
    recipient: Recipient,
    message: Message,
    canary: ObjectId,
    told: Instant,
}

/// Whom a message is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Recipient {
    Global,
    Provider(ObjectId),
}

/// Delivers what is in the outbox.
pub struct Worker {
    outbox: Outbox,
    carrier: Carrier,
}

/// What a delivery needs.
struct Carrier {
    client: kube::Client,
    calls: Calls,
    caches: Arc<Caches>,
    global: Option<Box<dyn Notifier>>,
    /// Whether the Secrets of providers have to be labelled for alerts.
    labelled: bool,
}

/// Why a message does not get through.
enum Trouble {
    /// It may be over in a moment.
    Passing(String),
    Lasting(String),
}

/// An outbox and the worker that empties it. Logs whether the controller itself has a notifier.
pub fn outbox(
    client: kube::Client,
    http: http::Client,
    caches: Arc<Caches>,
    settings: &alert::Settings,
    settled: mpsc::UnboundedSender<Noticed>,
) -> (Outbox, Worker) {
    let global = greet(settings);
    let shared = AlertQueue {
        waiting: Mutex::default(),
        wake: Notify::new(),
        settled,
        caches: Arc::clone(&caches),
        cluster: settings.cluster.clone(),
        has_global: global.is_some(),
    };
    let outbox = Outbox(Arc::new(shared));
    let calls = Calls::new(client.clone(), http);
    (
        outbox.clone(),
        Worker { outbox, carrier: Carrier { client, calls, caches, global, labelled: settings.labelled } },
    )
}

/// A notifier that cannot be made is worth a line and nothing more: releases go on without it (spec 01 §5.2).
fn greet(settings: &alert::Settings) -> Option<Box<dyn Notifier>> {
    match settings.global() {
        Ok(Some(global)) => {
            info!("Notifications enabled for {}", global.host);
            if let Some(note) = global.note {
                warn!("{note}");
            }
            Some(global.notifier)
        }
        Ok(None) => None,
        Err(why) => {
            error!("Notifier {why}");
            None
        }
    }
}

impl Outbox {
    /// Leaves `alert` for the channels of `release`, or for the controller's own notifier if it has none.
    pub fn tell(&self, release: &Release, alert: &Alert) {
        let recipients = self.recipients(release, alert);
        if recipients.is_empty() {
            return;
        }
        let described = alert.metadata.then_some(release);
        let written = described.and_then(|release| self.written(release));
        let fields = alert::fields(&self.0.cluster, described, written.as_ref());
        // Good news that does not announce a release is that of its end.
        let good_end = alert.severity == Severity::Info && !alert.metadata;
        let moment = alert.moment.clone();
        let message =
            Message { good_end, moment, ..Message::new(release, alert.severity, &alert.message, fields) };
        let canary = Kind::CANARY.at(&release.namespace, &release.name);
        let mut waiting = lock(&self.0.waiting);
        let mut dropped = Vec::new();
        for recipient in recipients {
            if waiting.letters.len() >= OUTBOX {
                warn!("{OUTBOX} alerts wait to be sent: the oldest is dropped");
                dropped.extend(waiting.letters.pop_front());
            }
            *waiting.owed.entry(canary.clone()).or_default() += 1;
            let (message, canary) = (message.clone(), canary.clone());
            waiting.letters.push_back(Letter { recipient, message, canary, told: Instant::now() });
        }
        drop(waiting);
        for letter in dropped {
            self.settle(&letter.canary);
        }
        self.0.wake.notify_one();
    }

    /// Whether anybody is to hear of `alert`.
    pub fn has_recipient(&self, release: &Release, alert: &Alert) -> bool {
        !self.recipients(release, alert).is_empty()
    }

    /// Whether alerts of this Canary are still on their way.
    pub fn owes(&self, canary: &ObjectId) -> bool {
        lock(&self.0.waiting).owed.contains_key(canary)
    }

    /// Counts one undelivered message of a Canary less.
    fn settle(&self, canary: &ObjectId) {
        let mut waiting = lock(&self.0.waiting);
        let Some(owed) = waiting.owed.get_mut(canary) else { return };
        *owed = owed.saturating_sub(1);
        if *owed == 0 {
            waiting.owed.remove(canary);
            // Nobody hears it after the end, when nothing is written any more.
            let _ = self.0.settled.send(Noticed::Object(canary.clone()));
        }
    }

    /// Takes nothing more; the worker ends when it has delivered what is left, or after a little while.
    pub fn close(&self) {
        lock(&self.0.waiting).closed = true;
        self.0.wake.notify_one();
    }

    fn recipients(&self, release: &Release, alert: &Alert) -> Vec<Recipient> {
        match alert::route(&release.analysis.alerts, alert.severity) {
            Route::Global => self.0.has_global.then_some(Recipient::Global).into_iter().collect(),
            Route::Providers(providers) => {
                let id = |provider: &CrossRef| {
                    let namespace = provider.namespace.as_deref().unwrap_or(&release.namespace);
                    Recipient::Provider(ALERT_PROVIDER.at(namespace, &provider.name))
                };
                providers.into_iter().map(id).collect()
            }
        }
    }

    /// The analysis as it stands in the manifest.
    fn written(&self, release: &Release) -> Option<Analysis> {
        let canary = self.0.caches.get(&Kind::CANARY.at(&release.namespace, &release.name))?;
        let spec = decode::canary(&canary).ok()?.spec;
        spec.analysis.or(spec.canary_analysis)
    }

    /// The oldest letter whose recipient is not `busy`.
    fn take(&self, busy: &BTreeSet<Recipient>) -> Option<Letter> {
        let mut waiting = lock(&self.0.waiting);
        let index = waiting.letters.iter().position(|letter| !busy.contains(&letter.recipient))?;
        waiting.letters.remove(index)
    }

    fn left(&self) -> usize {
        lock(&self.0.waiting).letters.len()
    }

    fn is_closed(&self) -> bool {
        lock(&self.0.waiting).closed
    }
}

impl Worker {
    /// Delivers until the outbox is closed and empty.
    pub async fn run(self) {
        let mut busy = BTreeSet::new();
        let mut under_way = FuturesUnordered::new();
        let mut deadline = None;
        loop {
            while busy.len() < AT_ONCE
                && let Some(letter) = self.outbox.take(&busy)
            {
                busy.insert(letter.recipient.clone());
                let carrier = &self.carrier;
                under_way.push(async move {
                    carrier.deliver(&letter).await;
                    letter
                });
            }
            if self.outbox.is_closed() {
                if under_way.is_empty() {
                    return;
                }
                deadline = deadline.or_else(|| Some(Instant::now() + GRACE));
            }
            tokio::select! {
                biased;
                Some(letter) = under_way.next(), if !under_way.is_empty() => {
                    busy.remove(&letter.recipient);
                    self.outbox.settle(&letter.canary);
                }
                () = self.outbox.0.wake.notified() => {}
                () = super::sleep_until(deadline), if deadline.is_some() => {
                    let left = under_way.len() + self.outbox.left();
                    error!("{left} alert(s) could not be sent before the end");
                    return;
                }
            }
        }
    }
}

impl Carrier {
    /// Delivers, or gives up: at once where no further attempt can help, else after an hour.
    async fn deliver(&self, letter: &Letter) {
        let Letter { recipient, message, .. } = letter;
        let canary = message.title();
        let mut failures = 0;
        loop {
            match self.attempt(recipient, message).await {
                Ok(()) => return debug!(canary, ?recipient, "alert sent: {}", message.text),
                Err(Trouble::Passing(why)) if letter.told.elapsed() < PATIENCE => {
                    failures += 1;
                    match failures {
                        1 => error!(canary, alert = message.text, "{why}"),
                        _ => debug!(canary, alert = message.text, failures, "{why}"),
                    }
                }
                Err(Trouble::Passing(why) | Trouble::Lasting(why)) if failures > 0 => {
                    return warn!(canary, alert = message.text, failures, "given up: {why}");
                }
                Err(Trouble::Passing(why) | Trouble::Lasting(why)) => {
                    return error!(canary, alert = message.text, "{why}");
                }
            }
            sleep(backoff::delay(FIRST_PAUSE, LAST_PAUSE, failures)).await;
        }
    }

    async fn attempt(&self, recipient: &Recipient, message: &Message) -> Result<(), Trouble> {
        match recipient {
            Recipient::Global => match &self.global {
                Some(notifier) => self
                    .send(notifier.as_ref(), message)
                    .await
                    .map_err(|trouble| trouble.within("alert can't be sent:")),
                None => Ok(()),
            },
            Recipient::Provider(id) => {
                let title = format!("alert provider {}.{}", id.name, id.namespace);
                self.through(id, message).await.map_err(|trouble| trouble.within(&title))
            }
        }
    }

    async fn through(&self, provider: &ObjectId, message: &Message) -> Result<(), Trouble> {
        match self.notifier(provider).await? {
            Some(notifier) => {
                self.send(notifier.as_ref(), message).await.map_err(|trouble| trouble.within("send error:"))
            }
            None => Ok(()),
        }
    }

    /// The notifier of a provider; none if it is switched off.
    async fn notifier(&self, provider: &ObjectId) -> Result<Option<Box<dyn Notifier>>, Trouble> {
        let mut failures = 0;
        loop {
            match self.look_up(provider).await {
                Ok(notifier) => return Ok(notifier),
                Err(Trouble::Passing(_)) if failures < RETRIES => {
                    failures += 1;
                    sleep(backoff::delay(FIRST_WAIT, LAST_WAIT, failures)).await;
                }
                Err(trouble) => return Err(trouble),
            }
        }
    }

    /// The notifier of an AlertProvider; `None` if it is switched off. Errors are in the words of spec 01 §2.2.
    async fn look_up(&self, provider: &ObjectId) -> Result<Option<Box<dyn Notifier>>, Trouble> {
        let lasting = |why: &str| Trouble::Lasting(format!("error: {why}"));
        let Some(object) = self.caches.get(provider) else {
            return Err(match self.caches.state(ALERT_PROVIDER) {
                State::Loading => {
                    Trouble::Passing("error: alert providers are still being listed".to_owned())
                }
                State::Unavailable(refusal) => lasting(&refusal.why),
                State::Ready => {
                    lasting(&format!("alertprovider.flagger.app \"{}\" not found", provider.name))
                }
            });
        };
        let spec = decode::alert_provider(&object).map_err(|error| lasting(&error.to_string()))?.spec;
        let secret = match &spec.secret_ref {
            Some(reference) => Some(self.secret(&provider.namespace, &reference.name).await?),
            None => None,
        };
        if let Some(secret) = secret.as_ref().filter(|secret| secret.contains_key("token")) {
            let address =
                secret.get("address").map(|bytes| String::from_utf8_lossy(bytes)).unwrap_or_default();
            if let Some(why) = exposed(address.trim(), &provider.namespace, false) {
                warn!("alert provider {}.{} sends its token {why}", provider.name, provider.namespace);
            }
        }
        alert::notifier(&spec, secret.as_ref()).map_err(|error| match error {
            alert::Error::NoAddress => Trouble::Lasting(error.to_string()),
            other => lasting(&other.to_string()),
        })
    }

    /// Reads a Secret. It is read when it is needed and never kept.
    async fn secret(&self, namespace: &str, name: &str) -> Result<SecretData, Trouble> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let secret = api.get(name).await.map_err(|error| match error {
            kube::Error::Api(status) if (400..500).contains(&status.code) && status.code != 429 => {
                Trouble::Lasting(format!("secretRef error: {}", status.message))
            }
            kube::Error::Api(status) => Trouble::Passing(format!("secretRef error: {}", status.message)),
            other => Trouble::Passing(format!("secretRef error: {other}")),
        })?;
        permitted(&secret, self.labelled.then_some(Use::Alerts))
            .map_err(|why| Trouble::Lasting(format!("secretRef error: secret {name} {why}")))?;
        Ok(secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect())
    }

    async fn send(&self, notifier: &dyn Notifier, message: &Message) -> Result<(), Trouble> {
        let ended = self.calls.converse(LONGEST, |heard| notifier.next(message, heard)).await;
        let (why, passing) = match &ended.outcome {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(refused)) => (refused.why.clone(), refused.passing),
            Err(endless) => (format!("sending notification gave {endless}"), true),
        };
        let why = format!("postMessage failed: {}", ended.redact(&why));
        Err(if passing { Trouble::Passing(why) } else { Trouble::Lasting(why) })
    }
}

impl Trouble {
    /// Says what it was about.
    fn within(self, what: &str) -> Self {
        match self {
            Self::Passing(why) => Self::Passing(format!("{what} {why}")),
            Self::Lasting(why) => Self::Lasting(format!("{what} {why}")),
        }
    }
}

/// Alerts that wait, over all recipients.
const OUTBOX: usize = 1024;
/// Recipients that are served at once.
const AT_ONCE: usize = 16;
/// How long the calls that deliver one message may take together, with all their attempts and the pauses that servers
/// ask for.
const LONGEST: Duration = Duration::from_secs(600);
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LAST_WAIT: Duration = Duration::from_secs(30);
/// How long a message is tried again, and the pauses between two rounds of attempts.
const PATIENCE: Duration = Duration::from_secs(3600);
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const LAST_PAUSE: Duration = Duration::from_secs(600);
/// How long a shutdown waits for what is left.
const GRACE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
