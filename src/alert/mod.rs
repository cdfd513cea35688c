//! Alerts: whom a message goes to, what the service behind a channel wants to be sent, and what its answer means
//! (spec 04 §4, 02 §8). Values only; the controller makes the call.
//!
//! ```text
//! alert ──route──▶ channels ──registry──▶ Notifier ──request──▶ Call ~~network~~▶ status, body ──delivered──▶ yes, or why not
//!   └──fields──▶ Message ─────────────────────┘
//! ```
//!
//! A new service is one file with a [`Notifier`], one line in [`registry`], one table of tests.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use thiserror::Error;
use url::Url;

use crate::api::hooks::Severity;
use crate::model::answer::excerpt;
use crate::model::release::Release;

mod channel;
mod discord;
mod endpoint;
mod fields;
mod gchat;
mod msteams;
mod registry;
mod rocket;
mod route;
mod settings;
mod slack;
mod webhook;

#[cfg(test)]
mod testing;

pub use channel::Channel;
pub use fields::fields;
pub use registry::{KNOWN, SecretData, notifier};
pub use route::{Route, route};
pub use settings::{Global, Settings};

/// A service that takes alerts: turns messages into calls and judges the answers.
pub trait Notifier: Send + Sync {
    /// The call that delivers `message`.
    fn request(&self, message: &Message) -> Call;

    /// Whether an answer to such a call means that the message has arrived.
    ///
    /// # Errors
    /// Why it has not, for people.
    fn delivered(&self, status: u16, body: &[u8]) -> Result<(), String> {
        accepted(status, body)
    }
}

/// What a channel is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Of the Canary.
    pub name: String,
    pub namespace: String,
    /// Never `Unset`.
    pub severity: Severity,
    pub text: String,
    /// In the order in which they are shown.
    pub fields: Vec<Field>,
}

impl Message {
    /// What is said of `release`.
    pub fn new(release: &Release, severity: Severity, text: &str, fields: Vec<Field>) -> Self {
        Self {
            name: release.name.clone(),
            namespace: release.namespace.clone(),
            severity: route::known(severity),
            text: text.to_owned(),
            fields,
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
    pub name: String,
    pub value: String,
}

/// A call to be made: a POST of JSON, of [`TIMEOUT`] at most.
#[derive(Clone, PartialEq, Eq)]
pub struct Call {
    /// As good as a password: to be shown nowhere.
    pub url: Url,
    pub body: Vec<u8>,
    /// Bearer token.
    pub token: Option<String>,
    /// Replaces the proxy of the environment.
    pub proxy: Option<String>,
}

impl Call {
    /// The host, which is all of the address that may be shown.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// `text` without anything of the address but its host, and without the token: proxies like to repeat what they
    /// were asked for.
    pub fn redact(&self, text: &str) -> String {
        let url = &self.url;
        let query = url.query_pairs().map(|(_, value)| value.into_owned());
        let words = url.path_segments().into_iter().flatten().map(str::to_owned).chain(query);
        let mut secrets: Vec<String> = [url.path(), url.query().unwrap_or_default()]
            .into_iter()
            .chain(url.password())
            .chain(self.token.as_deref())
            .map(str::to_owned)
            .chain(words)
            // Short words are no secrets, and would tear holes into the text.
            .filter(|secret| secret.chars().count() >= SHORTEST_SECRET)
            .collect();
        // The longest first, so that no part of it is left.
        secrets.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "xxxxx"))
    }
}

/// Without what may be secret.
impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("host", &self.host())
            .field("body_bytes", &self.body.len())
            .field("token", &self.token.is_some())
            .finish_non_exhaustive()
    }
}

/// Why a channel cannot be used at all. Nothing but a change of the provider, the Secret or the flags will help.
/// Holds nothing of an address but its host.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Error {
    #[error("invalid {service} URL{}: {reason}", if host.is_empty() { String::new() } else { format!(" of {host}") })]
    Address { service: &'static str, host: String, reason: String },
    #[error("provider {0} not supported (known are: {known})", known = KNOWN.join(", "))]
    Unknown(String),
    #[error("secret does not contain an address")]
    NoAddress,
    #[error("unable to parse proxy URL '{proxy}', error: {reason}")]
    Proxy { proxy: String, reason: String },
}

/// Any 2xx means that the message has arrived.
fn accepted(status: u16, body: &[u8]) -> Result<(), String> {
    if (200..300).contains(&status) {
        return Ok(());
    }
    Err(format!("sending notification bad response {status}: {}", excerpt(body, SHOWN)))
}

/// `Content-Type` of every call.
pub const CONTENT_TYPE: &str = "application/json";

/// Of one attempt.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// How much of an answer has to be read; a longer one may be cut.
pub const ANSWER_BYTES: usize = 16 * 1024;

/// Characters of an answer that get into a log line.
const SHOWN: usize = 300;

/// Characters from which on a part of an address is taken for a secret.
const SHORTEST_SECRET: usize = 6;

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn call(url: &str) -> Call {
        let url = Url::parse(url).expect("an address");
        Call { url, body: Vec::new(), token: Some("xoxb-token".into()), proxy: None }
    }

    #[rstest]
    #[case::path("no /services/T0/B0/s3cr3ts here", "no xxxxx here")]
    #[case::part_of_it("no s3cr3ts here", "no xxxxx here")]
    #[case::query("key=hunter22 is wrong", "xxxxx is wrong")]
    #[case::value_of_the_query("hunter22 is wrong", "xxxxx is wrong")]
    #[case::token("xoxb-token expired", "xxxxx expired")]
    #[case::nothing("channel_not_found on T0", "channel_not_found on T0")]
    fn an_answer_that_repeats_the_address_does_not_give_it_away(#[case] text: &str, #[case] shown: &str) {
        // spec: 04/AL-23
        assert_eq!(shown, call("https://chat.test/services/T0/B0/s3cr3ts?key=hunter22").redact(text));
    }

    #[test]
    fn a_call_shows_its_host_and_nothing_else() {
        // spec: 04/AL-23
        let text = format!("{:?}", call("https://bob:passwd@chat.test/s3cr3t?key=hunter2"));
        assert!(text.contains("chat.test"), "{text}");
        for secret in ["passwd", "s3cr3t", "hunter2", "xoxb"] {
            assert!(!text.contains(secret), "{text}");
        }
    }

    #[rstest]
    fn any_status_of_success_is_a_delivery(#[values(200, 201, 202, 204, 299)] status: u16) {
        // spec: 04/AL-20
        assert_eq!(Ok(()), accepted(status, b""));
    }

    #[rstest]
    #[case(302, "", "sending notification bad response 302: ")]
    #[case(404, "no_service\n", "sending notification bad response 404: no_service")]
    #[case(500, "<html>\n oops", "sending notification bad response 500: <html> oops")]
    fn any_other_status_is_none(#[case] status: u16, #[case] body: &str, #[case] expected: &str) {
        assert_eq!(Err(expected.to_owned()), accepted(status, body.as_bytes()));
    }
}
