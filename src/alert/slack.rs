//! Slack: an incoming webhook, or its Web API with a token. Discord and Rocket.Chat take the same payload.
//!
//! A bot can keep what is said of one release in one thread. Slack itself remembers which: the first message of a release
//! carries its id as metadata, and a later one looks for it before it is sent.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use crate::model::answer::excerpt;
use crate::model::call::{Auth, Body, Heard, Method, Next, Secret, What};

use super::endpoint::Endpoint;
use super::markup::for_slack;
use super::{Call, Channel, Error, Field, Message, Notifier, Refused, SHOWN, accepted, heard_of};

/// A Slack channel.
pub(super) struct Slack {
    endpoint: Endpoint,
    identity: Identity,
    token: Option<Secret>,
    threads: bool,
}

impl Slack {
    pub fn new(channel: &Channel) -> Result<Self, Error> {
        Ok(Self {
            endpoint: Endpoint::new("Slack hook", channel)?,
            identity: Identity::of(channel),
            token: channel.secret_token(),
            threads: channel.threads,
        })
    }

    fn post(&self, message: &Message, thread: Thread) -> Call {
        let color = if message.is_error() { "danger" } else { "good" };
        let payload = Payload { thread, ..payload(&self.identity, color, message, for_slack) };
        Call { auth: self.auth(), ..self.endpoint.post(&payload) }
    }

    fn auth(&self) -> Auth {
        self.token.clone().map_or(Auth::None, Auth::Bearer)
    }

    /// The release whose thread `message` belongs to. Only a bot can look for one, and only in a channel of which it
    /// knows the id.
    fn threaded(&self, message: &Message) -> Option<String> {
        let by_id = self.identity.channel.len() >= 9
            && self.identity.channel.starts_with(['C', 'G', 'D'])
            && self.identity.channel.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        let can = self.threads && self.token.is_some() && self.is_web_api() && by_id;
        message.release().filter(|_| can)
    }

    /// Asks for the newest messages of the channel.
    fn history(&self, message: &Message) -> Call {
        let mut endpoint = self.endpoint.clone();
        if let Ok(mut parts) = endpoint.url.path_segments_mut() {
            parts.pop_if_empty().pop().push("conversations.history");
        }
        let since = message.moment.as_ref().map(|moment| moment.at - THREAD_DAYS).unwrap_or_default();
        let query = [
            ("channel", self.identity.channel.clone()),
            ("include_all_metadata", "true".to_owned()),
            ("limit", "200".to_owned()),
            ("oldest", since.timestamp().to_string()),
        ];
        Call {
            method: Method::Get,
            auth: self.auth(),
            query: query.map(|(name, value)| (name.to_owned(), value)).into(),
            body: Body::None,
            max_bytes: HISTORY_BYTES,
            ..endpoint.post(&())
        }
    }

    /// The Web API answers 200 to everything and says in the body whether it worked (spec 04 A5).
    fn is_web_api(&self) -> bool {
        let host = self.endpoint.host();
        (host == "slack.com" || host.ends_with(".slack.com")) && self.endpoint.url.path().starts_with("/api/")
    }
}

impl Notifier for Slack {
    fn request(&self, message: &Message) -> Call {
        self.post(message, Thread::default())
    }

    fn next(&self, message: &Message, heard: &[Heard]) -> Next<Result<(), Refused>> {
        match (self.threaded(message), heard) {
            (None, []) => Next::send(self.request(message)),
            (Some(_), []) => Next::send(self.history(message)),
            (Some(release), [found]) => Next::send(self.post(message, Thread::of(release, message, found))),
            (_, [.., last]) => Next::Done(heard_of(self, last)),
        }
    }

    fn delivered(&self, status: u16, body: &[u8]) -> Result<(), Refused> {
        accepted(status, body)?;
        match serde_json::from_slice(body) {
            Ok(Answer { ok: false, error }) if self.is_web_api() => {
                let error = excerpt(error.as_bytes(), SHOWN);
                Err(Refused::answered(status, format!("sending notification refused by Slack: {error}")))
            }
            _ => Ok(()),
        }
    }
}

/// Under which name and where a message appears.
pub(super) struct Identity {
    channel: String,
    username: String,
}

impl Identity {
    pub fn of(channel: &Channel) -> Self {
        Self { channel: channel.channel.clone(), username: channel.username.clone() }
    }
}

/// The message as Slack takes it; `shown` makes a text harmless for the service.
pub(super) fn payload(
    identity: &Identity,
    color: &'static str,
    message: &Message,
    shown: fn(&str) -> String,
) -> Payload {
    let line = |field: &Field| Line { title: shown(&field.name), value: shown(&field.value), short: false };
    Payload {
        channel: identity.channel.clone(),
        username: identity.username.clone(),
        icon_url: "",
        icon_emoji: ":rocket:",
        attachments: [Attachment {
            color,
            author_name: message.title(),
            text: shown(&message.text),
            mrkdwn_in: ["text"],
            fields: message.fields.iter().map(line).collect(),
        }],
        thread: Thread::default(),
    }
}

#[derive(Serialize)]
pub(super) struct Payload {
    channel: String,
    username: String,
    icon_url: &'static str,
    icon_emoji: &'static str,
    attachments: [Attachment; 1],
    #[serde(flatten)]
    thread: Thread,
}

/// Where a message stands; by default on its own.
#[derive(Default, Serialize)]
struct Thread {
    /// The first message of the thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    thread_ts: Option<String>,
    /// Whether it is shown in the channel as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_broadcast: Option<bool>,
    /// What makes a message the first one of its release.
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata>,
}

impl Thread {
    /// The thread of `release`, if there is one in what was found. A history that cannot be read is no reason to keep a
    /// message back: it begins a thread then.
    fn of(release: String, message: &Message, found: &Heard) -> Self {
        let history: Option<History> = match &found.what {
            What::Answer(answer) if answer.status == 200 => serde_json::from_slice(&answer.body).ok(),
            _ => None,
        };
        let messages = history.map(|history| history.messages).unwrap_or_default();
        let first = messages.into_iter().find(|one| {
            one.metadata.as_ref().is_some_and(|data| {
                data.event_type == RELEASE && data.event_payload.release.as_deref() == Some(&release)
            })
        });
        match first {
            Some(Posted { ts, .. }) => Self {
                thread_ts: Some(ts),
                reply_broadcast: message.is_error().then_some(true),
                metadata: None,
            },
            None => {
                let event_payload = EventPayload { release: Some(release) };
                Self {
                    metadata: Some(Metadata { event_type: RELEASE.to_owned(), event_payload }),
                    ..Self::default()
                }
            }
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Metadata {
    event_type: String,
    event_payload: EventPayload,
}

#[derive(Serialize, Deserialize)]
struct EventPayload {
    /// None in the metadata of other programs.
    #[serde(default)]
    release: Option<String>,
}

#[derive(Deserialize)]
struct History {
    #[serde(default)]
    messages: Vec<Posted>,
}

#[derive(Deserialize)]
struct Posted {
    ts: String,
    /// Of any shape where another program has written it.
    #[serde(default, deserialize_with = "lenient")]
    metadata: Option<Metadata>,
}

fn lenient<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Metadata>, D::Error> {
    Ok(serde_json::from_value(serde_json::Value::deserialize(from)?).ok())
}

/// The metadata of the first message of a release.
const RELEASE: &str = "vexil_release";
/// How far back the first message of a release is looked for.
const THREAD_DAYS: TimeDelta = TimeDelta::days(7);
/// How much of a channel's history is read.
const HISTORY_BYTES: usize = 1024 * 1024;

#[derive(Serialize)]
struct Attachment {
    color: &'static str,
    author_name: String,
    text: String,
    mrkdwn_in: [&'static str; 1],
    fields: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    title: String,
    value: String,
    short: bool,
}

#[derive(Deserialize)]
struct Answer {
    ok: bool,
    #[serde(default)]
    error: String,
}

#[cfg(test)]
mod tests;
