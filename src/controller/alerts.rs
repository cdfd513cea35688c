//! Alerts: each is left in the lane of its recipient, and nobody waits for its delivery (spec 02 §8, E8.3).
//!
//! ```text
//! tell ──route──▶ lane of each recipient ──▶ provider, Secret ──▶ POST, again if it helps ──▶ health of the recipient
//! ```
//!
//! What becomes of them is noted for each Canary (`health.rs`): its status says whom alerts do not reach, and why.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tracing::{error, info, warn};

use crate::alert::{self, Message, Notifier, RETRIES, Route, SecretData};
use crate::api::analysis::Analysis;
use crate::api::hooks::Severity;
use crate::api::reference::CrossRef;
use crate::http::{self, Party, Sort};
use crate::manifest::decode;
use crate::model::object::{Kind, ObjectId};
use crate::model::release::Release;
use crate::model::secrets::{Use, exposed};
use crate::rollout::Alert;

use self::health::Health;
pub use self::health::Recipient;
use super::ask::permitted;
use super::backoff;
use super::caches::{Caches, Noticed, State};
use super::calls::Calls;
use super::lanes::{self, Trouble, insist};

mod health;

/// The kind that the channels of a Canary come from.
pub const ALERT_PROVIDER: Kind = Kind::new("flagger.app", "v1beta1", "AlertProvider", "alertproviders");

/// Where alerts are left. Clones are the same.
#[derive(Clone)]
pub struct Outbox {
    lanes: lanes::Outbox<Recipient, Letter>,
    /// What is known of the recipients of each Canary.
    pub health: Health,
    caches: Arc<Caches>,
    cluster: Arc<str>,
    has_global: bool,
}

/// Something on its way.
struct Letter {
    canary: ObjectId,
    told: Instant,
    /// None where only the provider is to be looked at.
    message: Option<Message>,
}

/// Delivers what is in the outbox.
pub struct Worker {
    lanes: lanes::Worker<Recipient, Letter>,
    carrier: Carrier,
}

/// What a delivery needs.
struct Carrier {
    client: kube::Client,
    calls: Calls,
    caches: Arc<Caches>,
    health: Health,
    global: Option<Box<dyn Notifier>>,
    /// Whether the Secrets of providers have to be labelled for alerts.
    labelled: bool,
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
    let (outbox, worker) = lanes::lanes("alert", settled.clone());
    let health = Health::new(settled);
    let outbox = Outbox {
        lanes: outbox,
        health: health.clone(),
        caches: Arc::clone(&caches),
        cluster: settings.cluster.as_str().into(),
        has_global: global.is_some(),
    };
    let calls = Calls::new(client.clone(), http);
    let carrier = Carrier { client, calls, caches, health, global, labelled: settings.labelled };
    (outbox, Worker { lanes: worker, carrier })
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
        let fields = alert::fields(&self.cluster, described, written.as_ref());
        // Good news that does not announce a release is that of its end.
        let good_end = alert.severity == Severity::Info && !alert.metadata;
        let message = Message { good_end, ..Message::new(release, alert.severity, &alert.message, fields) };
        for recipient in recipients {
            self.put(recipient, Kind::CANARY.at(&release.namespace, &release.name), Some(message.clone()));
        }
    }

    /// Looks at a provider again that could not be used for this Canary.
    pub fn check(&self, canary: &ObjectId, recipient: &Recipient) {
        self.put(recipient.clone(), canary.clone(), None);
    }

    fn put(&self, recipient: Recipient, canary: ObjectId, message: Option<Message>) {
        let letter = Letter { canary: canary.clone(), told: Instant::now(), message };
        self.lanes.put(recipient, canary, letter);
    }

    /// Whether anybody is to hear of `alert`.
    pub fn has_recipient(&self, release: &Release, alert: &Alert) -> bool {
        !self.recipients(release, alert).is_empty()
    }

    /// Whether alerts of this Canary are still on their way.
    pub fn owes(&self, canary: &ObjectId) -> bool {
        self.lanes.owes(canary)
    }

    /// Takes nothing more; the worker ends when it has delivered what is left, or after a little while.
    pub fn close(&self) {
        self.lanes.close();
    }

    /// All whom `release` may have to tell something.
    pub fn all_recipients(&self, release: &Release) -> Vec<Recipient> {
        let worst = Alert { severity: Severity::Error, message: String::new(), metadata: false };
        self.recipients(release, &worst)
    }

    /// The version in which a provider was last seen; `None` if it is not there.
    pub fn version(&self, recipient: &Recipient) -> Option<String> {
        version(&self.caches, recipient)
    }

    fn recipients(&self, release: &Release, alert: &Alert) -> Vec<Recipient> {
        match alert::route(&release.analysis.alerts, alert.severity) {
            Route::Global => self.has_global.then_some(Recipient::Global).into_iter().collect(),
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
        let canary = self.caches.get(&Kind::CANARY.at(&release.namespace, &release.name))?;
        let spec = decode::canary(&canary).ok()?.spec;
        spec.analysis.or(spec.canary_analysis)
    }
}

fn version(caches: &Caches, recipient: &Recipient) -> Option<String> {
    let Recipient::Provider(id) = recipient else { return None };
    caches.get(id)?["metadata"]["resourceVersion"].as_str().map(str::to_owned)
}

impl Worker {
    /// Delivers until the outbox is closed and empty.
    pub async fn run(self) {
        self.lanes.run(&self.carrier).await;
    }
}

impl lanes::Carrier<Recipient, Letter> for Carrier {
    fn carry<'a>(&'a self, recipient: &'a Recipient, letter: &'a Letter) -> BoxFuture<'a, ()> {
        async move {
            let outcome = match (&letter.message, recipient) {
                (Some(message), _) => self.deliver(recipient, letter, message).await,
                (None, Recipient::Provider(id)) => match self.look_again(id).await {
                    // What the API does not show says nothing about the provider.
                    Err(trouble) if trouble.passing => return,
                    outcome => outcome,
                },
                (None, Recipient::Global) => return,
            };
            // Of a Canary that is gone nobody wants to know.
            if self.caches.get(&letter.canary).is_none() {
                return;
            }
            let seen = version(&self.caches, recipient);
            self.health.note(&letter.canary, recipient, outcome.err(), seen);
        }
        .boxed()
    }
}

impl Carrier {
    async fn deliver(
        &self,
        recipient: &Recipient,
        letter: &Letter,
        message: &Message,
    ) -> Result<(), Trouble> {
        let party = Party::new(Sort::Delivery, &letter.canary.namespace, &recipient.to_string());
        let calls = self.calls.on_behalf_of(party);
        insist(letter.told, &message.title(), &message.text, || self.attempt(&calls, recipient, message))
            .await
    }

    /// Whether a provider can be used now.
    async fn look_again(&self, provider: &ObjectId) -> Result<(), Trouble> {
        let title = Recipient::Provider(provider.clone()).to_string();
        self.notifier(provider).await.map(drop).map_err(|trouble| trouble.within(&title))
    }

    async fn attempt(&self, calls: &Calls, recipient: &Recipient, message: &Message) -> Result<(), Trouble> {
        match recipient {
            Recipient::Global => match &self.global {
                Some(notifier) => send(calls, notifier.as_ref(), message).await,
                None => return Ok(()),
            },
            Recipient::Provider(id) => self.through(calls, id, message).await,
        }
        .map_err(|trouble| trouble.within(&recipient.to_string()))
    }

    async fn through(&self, calls: &Calls, provider: &ObjectId, message: &Message) -> Result<(), Trouble> {
        match self.notifier(provider).await? {
            Some(notifier) => {
                send(calls, notifier.as_ref(), message).await.map_err(|trouble| trouble.within("send error:"))
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
                Err(trouble) if trouble.passing && failures < RETRIES => {
                    failures += 1;
                    sleep(backoff::delay(FIRST_WAIT, LAST_WAIT, failures)).await;
                }
                Err(trouble) => return Err(trouble),
            }
        }
    }

    /// The notifier of an AlertProvider; `None` if it is switched off. Errors are in the words of spec 01 §2.2.
    async fn look_up(&self, provider: &ObjectId) -> Result<Option<Box<dyn Notifier>>, Trouble> {
        let lasting = |why: &str| unusable(format!("error: {why}"));
        let Some(object) = self.caches.get(provider) else {
            return Err(match self.caches.state(ALERT_PROVIDER) {
                State::Loading => unreadable("error: alert providers are still being listed".to_owned()),
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
            alert::Error::NoAddress => unusable(error.to_string()),
            other => lasting(&other.to_string()),
        })
    }

    /// Reads a Secret. It is read when it is needed and never kept.
    async fn secret(&self, namespace: &str, name: &str) -> Result<SecretData, Trouble> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let secret = api.get(name).await.map_err(|error| match error {
            kube::Error::Api(status) if (400..500).contains(&status.code) && status.code != 429 => {
                unusable(format!("secretRef error: {}", status.message))
            }
            kube::Error::Api(status) => unreadable(format!("secretRef error: {}", status.message)),
            other => unreadable(format!("secretRef error: {other}")),
        })?;
        permitted(&secret, self.labelled.then_some(Use::Alerts))
            .map_err(|why| unusable(format!("secretRef error: secret {name} {why}")))?;
        Ok(secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect())
    }
}

async fn send(calls: &Calls, notifier: &dyn Notifier, message: &Message) -> Result<(), Trouble> {
    let ended = calls.converse(LONGEST, |heard| notifier.next(message, heard)).await;
    let (why, passing) = match &ended.outcome {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(refused)) => (refused.why.clone(), refused.passing),
        Err(endless) => (format!("sending notification gave {endless}"), true),
    };
    let why = format!("postMessage failed: {}", ended.redact(&why));
    Err(Trouble { why, reason: if passing { UNREACHABLE } else { REFUSED }, passing })
}

/// What somebody has to change in the provider or its Secret.
fn unusable(why: String) -> Trouble {
    Trouble { why, reason: health::UNUSABLE, passing: false }
}

/// What the API may show in a moment.
fn unreadable(why: String) -> Trouble {
    Trouble { why, reason: UNREACHABLE, passing: true }
}

/// Reason: nobody answers, or the answer is that of a server in trouble.
const UNREACHABLE: &str = "ReceiverUnreachable";
/// Reason: the receiver does not take it.
const REFUSED: &str = "ReceiverRefused";
/// How long the calls that deliver one message may take together, with all their attempts and the pauses that servers
/// ask for.
const LONGEST: Duration = Duration::from_secs(600);
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LAST_WAIT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
