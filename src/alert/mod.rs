//! Alerts: whom a message goes to, what the service behind a channel wants to be sent, and what its answer means
//! (spec 04 §4, 02 §8). Values only; the controller makes the call.
//!
//! ```text
//! alert ──route──▶ channels ──registry──▶ Notifier ──next──▶ Send(call) · Done(delivered, or why not)
//!   └──fields──▶ Message ───────────────────▲─┘           │
//!                                           └─── heard ◀──┘ the controller calls
//! ```
//!
//! A new service is one file with a [`Notifier`], one line in [`registry`], one table of tests. The laws in `tests.rs`
//! hold for all of them.

#![warn(missing_docs)]

use std::time::Duration;

use serde::Serialize;
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::api::Phase;
use crate::api::hooks::Severity;
use crate::model::answer::said;
use crate::model::call::{Call, Heard, Next, What};
use crate::model::moment::Moment;
use crate::model::release::Release;

mod channel;
mod discord;
mod email;
mod endpoint;
mod fields;
mod gchat;
mod github;
mod markup;
mod matrix;
mod msteams;
mod opsgenie;
mod pagerduty;
mod registry;
mod rocket;
mod route;
mod settings;
mod slack;
mod template;
mod webhook;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use channel::Channel;
pub use fields::fields;
pub use registry::{Entry, SecretData, known, notifier, registered};
pub use route::{Route, route};
pub use settings::{Global, Settings};

/// A service that takes alerts: says what to send next to deliver a message, and what the answers mean. The same
/// message with the same answers always gives the same step.
pub trait Notifier: Send + Sync {
    /// The call that delivers `message`; the one that says what it is about if it takes several.
    fn request(&self, message: &Message) -> Call;

    /// Whether an answer to such a call means that it was taken.
    ///
    /// # Errors
    /// If it was not taken; the error says why, and whether another attempt can help.
    fn delivered(&self, status: u16, body: &[u8]) -> Result<(), Refused> {
        accepted(status, body)
    }

    /// The next step on the way to `message` being delivered, after what was heard so far. Most services are told by
    /// one call.
    fn next(&self, message: &Message, heard: &[Heard]) -> Next<Result<(), Refused>> {
        match heard.last() {
            None => Next::send(self.request(message)),
            Some(heard) => Next::Done(heard_of(self, heard)),
        }
    }
}

/// What the last thing heard says of a call.
fn heard_of<N: Notifier + ?Sized>(notifier: &N, heard: &Heard) -> Result<(), Refused> {
    match &heard.what {
        What::Answer(answer) => notifier.delivered(answer.status, &answer.body),
        What::Silence(silence) => Err(Refused {
            why: format!("sending notification failed to send: {}", silence.cause),
            passing: !silence.hopeless,
        }),
        What::Waited => Ok(()),
    }
}

/// Why a message has not arrived.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{why}")]
pub struct Refused {
    /// The reason, for the user.
    pub why: String,
    /// Whether it may arrive if it is sent again later.
    pub passing: bool,
}

impl Refused {
    /// The service has answered with this status, and that means that it does not take the message.
    fn answered(status: u16, why: String) -> Self {
        Self { why, passing: status == 429 || status >= 500 }
    }
}

/// What a channel is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Name of the Canary.
    pub name: String,
    /// Namespace of the Canary.
    pub namespace: String,
    /// Never `Unset`.
    pub severity: Severity,
    /// What is said.
    pub text: String,
    /// Whether a release has ended well. Services that keep incidents close those of the Canary then.
    pub good_end: bool,
    /// In the order in which they are shown.
    pub fields: Vec<Field>,
    /// The moment that it speaks of; none if an older version has left it on record.
    pub moment: Option<Moment>,
    /// The commit that is released, as the Canary's annotation [`COMMIT`] has it.
    pub commit: Option<String>,
}

/// How a release stands when a message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It goes on.
    Underway,
    /// Somebody has to approve.
    Waiting,
    /// It has ended, and the revision serves.
    Good,
    /// It has ended, and the revision does not serve.
    Bad,
}

impl Message {
    /// What is said of `release`.
    pub fn new(release: &Release, severity: Severity, text: &str, fields: Vec<Field>) -> Self {
        Self {
            name: release.name.clone(),
            namespace: release.namespace.clone(),
            severity: route::known(severity),
            text: text.to_owned(),
            good_end: false,
            fields,
            moment: None,
            commit: release.annotations.get(COMMIT).map(|commit| commit.trim().to_owned()),
        }
    }

    /// Identifies the message: the same each time that it is sent, and another for every other message.
    fn id(&self) -> String {
        let time = self.moment.as_ref().map(Moment::time).unwrap_or_default();
        let digest = Sha256::digest(format!("{}\n{time}\n{}", self.title(), self.text));
        digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Identifies the release among those of all Canaries; none if it is not known.
    fn release(&self) -> Option<String> {
        let moment = self.moment.as_ref().filter(|moment| !moment.release.is_empty())?;
        Some(format!("{}/{}/{}", self.namespace, self.name, moment.release))
    }

    fn standing(&self) -> Standing {
        let phase = self.moment.as_ref().map_or(Phase::Unset, |moment| moment.phase);
        match (phase, self.severity) {
            (_, Severity::Error) | (Phase::Failed, _) => Standing::Bad,
            (_, Severity::Warn) => Standing::Waiting,
            (Phase::Initialized | Phase::Succeeded, _) => Standing::Good,
            _ if self.good_end => Standing::Good,
            _ => Standing::Underway,
        }
    }

    /// `name.namespace`: the headline.
    pub fn title(&self) -> String {
        format!("{}.{}", self.name, self.namespace)
    }

    fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// One line of detail below a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Field {
    /// What the detail is called.
    pub name: String,
    /// What it says.
    pub value: String,
}

/// Why a channel cannot be used at all. Nothing but a change of the provider, the Secret or the flags will help.
/// Holds nothing of an address but its host.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Error {
    /// The address is no URL.
    #[error("invalid {service} URL{}: {reason}", if host.is_empty() { String::new() } else { format!(" of {host}") })]
    Address {
        /// The service.
        service: &'static str,
        /// All of the address that may be shown.
        host: String,
        /// Why it is none.
        reason: String,
    },
    /// Nobody has built a service of this type.
    #[error("provider {0} not supported (known are: {known})", known = known().join(", "))]
    Unknown(String),
    /// The Secret has no key `address`.
    #[error("secret does not contain an address")]
    NoAddress,
    /// The service lets nobody in without a key.
    #[error("provider {0} needs a key: put it as token into the Secret that spec.secretRef names")]
    NoKey(&'static str),
    /// What the manifest says cannot be used.
    #[error("provider {service}: {problem}")]
    Spec {
        /// The type of the provider.
        service: &'static str,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The proxy is no URL.
    #[error("unable to parse proxy URL '{proxy}', error: {reason}")]
    Proxy {
        /// The proxy as it may be shown.
        proxy: String,
        /// Why it is none.
        reason: String,
    },
}

/// Any 2xx means that the message has arrived.
fn accepted(status: u16, body: &[u8]) -> Result<(), Refused> {
    if (200..300).contains(&status) {
        return Ok(());
    }
    let why = format!("sending notification bad response {status}: {}", said(body, SHOWN));
    Err(Refused::answered(status, why))
}

/// The annotation of a Canary that says from which commit its target is made.
pub const COMMIT: &str = "flagger.app/commit";

/// `text` of at most `longest` characters.
fn shortened(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        None => text.to_owned(),
        Some(_) => text.chars().take(longest - 1).chain(['…']).collect(),
    }
}

/// How long one attempt to deliver a message may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How many attempts follow the first where another can help: after an answer 429 or 5xx, or none at all.
pub const RETRIES: u32 = 3;

/// How much of an answer has to be read; a longer one may be cut.
const ANSWER_BYTES: usize = 16 * 1024;

/// Characters of an answer that get into a log line.
const SHOWN: usize = 300;
