//! Matrix, through the client-server API (v3): a notice in a room. Additive.
//!
//! `address` is that of the homeserver, `token` an access token of the account that writes, `channel` the id of the room
//! (`!abc:example.com`), in which that account has to be. A message has an id of its own: a homeserver that has taken it
//! already takes it again without a second entry in the room.
//!
//! What is said of one release can stand in one thread. The room itself remembers which: the first message of a release
//! carries its id, and a later one looks for it before it is sent.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::api::hooks::Severity;
use crate::model::call::{Auth, Body, Heard, Method, Next, Secret, What};

use super::endpoint::Endpoint;
use super::markup::plain;
use super::{Call, Channel, Error, Message, Notifier, Refused, heard_of};

/// A room of Matrix.
pub(super) struct Matrix {
    endpoint: Endpoint,
    room: String,
    token: Secret,
    threads: bool,
}

impl Matrix {
    pub fn new(channel: &Channel) -> Result<Self, Error> {
        let endpoint = Endpoint::new("Matrix homeserver", channel)?;
        let token = channel.secret_token().ok_or(Error::NoKey("matrix"))?;
        if !channel.channel.starts_with('!') {
            let problem = format!(
                "spec.channel {:?} is no id of a room: write the room's id, which begins with ! (not its alias)",
                channel.channel
            );
            return Err(Error::Spec { service: "matrix", problem });
        }
        Ok(Self { endpoint, room: channel.channel.clone(), token, threads: channel.threads })
    }

    /// The address of something of the room.
    fn at(&self, path: &[&str]) -> Endpoint {
        let mut endpoint = self.endpoint.clone();
        if let Ok(mut parts) = endpoint.url.path_segments_mut() {
            parts.pop_if_empty().extend(["_matrix", "client", "v3", "rooms", &self.room]).extend(path);
        }
        endpoint
    }

    fn post(&self, message: &Message, thread: Thread) -> Call {
        let notice = Notice { thread, ..Notice::of(message) };
        Call {
            method: Method::Put,
            auth: Auth::Bearer(self.token.clone()),
            ..self.at(&["send", "m.room.message", &message.id()]).post(&notice)
        }
    }

    /// The release whose thread `message` belongs to.
    fn threaded(&self, message: &Message) -> Option<String> {
        message.release().filter(|_| self.threads)
    }

    /// Asks for the newest messages of the room.
    fn history(&self) -> Call {
        let query = [
            ("dir", "b"),
            ("limit", "100"),
            ("filter", r#"{"types":["m.room.message"],"lazy_load_members":true}"#),
        ];
        Call {
            method: Method::Get,
            auth: Auth::Bearer(self.token.clone()),
            query: query.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            body: Body::None,
            max_bytes: HISTORY_BYTES,
            ..self.at(&["messages"]).post(&())
        }
    }
}

impl Notifier for Matrix {
    fn request(&self, message: &Message) -> Call {
        self.post(message, Thread::default())
    }

    fn next(&self, message: &Message, heard: &[Heard]) -> Next<Result<(), Refused>> {
        match (self.threaded(message), heard) {
            (None, []) => Next::send(self.request(message)),
            (Some(_), []) => Next::send(self.history()),
            (Some(release), [found]) => Next::send(self.post(message, Thread::of(release, message, found))),
            (_, [.., last]) => Next::Done(heard_of(self, last)),
        }
    }
}

/// Where a message stands; by default on its own.
#[derive(Default, Serialize)]
struct Thread {
    /// What makes a message the first one of its release.
    #[serde(rename = "app.vexil.release", skip_serializing_if = "Option::is_none")]
    release: Option<String>,
    /// The first message of the thread, and how this one relates to it.
    #[serde(rename = "m.relates_to", skip_serializing_if = "Option::is_none")]
    relates_to: Option<Value>,
}

impl Thread {
    /// The thread of `release`, if there is one in what was found. A history that cannot be read is no reason to keep a
    /// message back: it begins a thread then.
    fn of(release: String, message: &Message, found: &Heard) -> Self {
        let history: Option<History> = match &found.what {
            What::Answer(answer) if answer.status == 200 => serde_json::from_slice(&answer.body).ok(),
            _ => None,
        };
        let said = history.map(|history| history.chunk).unwrap_or_default();
        let first = said.into_iter().find(|one| one.content[RELEASE].as_str() == Some(&release));
        let Some(Said { event_id, .. }) = first else {
            return Self { release: Some(release), relates_to: None };
        };
        let answers = json!({"event_id": event_id});
        // What is in a thread is not seen in the room: an error only answers the first message.
        let relates_to = match message.is_error() {
            true => json!({"m.in_reply_to": answers}),
            false => json!({
                "rel_type": "m.thread", "event_id": event_id, "is_falling_back": true, "m.in_reply_to": answers
            }),
        };
        Self { release: None, relates_to: Some(relates_to) }
    }
}

#[derive(Deserialize)]
struct History {
    #[serde(default)]
    chunk: Vec<Said>,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    event_id: String,
    /// Of any shape: it is whoever's in the room.
    #[serde(default)]
    content: Value,
}

/// The key of the first message of a release.
const RELEASE: &str = "app.vexil.release";
/// How much of a room's history is read.
const HISTORY_BYTES: usize = 1024 * 1024;

#[derive(Serialize)]
struct Notice {
    msgtype: &'static str,
    body: String,
    format: &'static str,
    formatted_body: String,
    /// Nobody is called, whatever the text says.
    #[serde(rename = "m.mentions")]
    mentions: Map<String, Value>,
    #[serde(flatten)]
    thread: Thread,
}

impl Notice {
    fn of(message: &Message) -> Self {
        let (sign, text) = (sign(message.severity), plain(&message.text));
        let title = message.title();
        let mut body = format!("{sign} {title}: {text}");
        let mut html = format!("{sign} <strong>{}</strong>: {}", escaped(&title), escaped(&text));
        for field in &message.fields {
            let (name, value) = (plain(&field.name), plain(&field.value));
            body += &format!("\n{name}: {value}");
            html += &format!("<br/>{}: <code>{}</code>", escaped(&name), escaped(&value));
        }
        // Bots speak in notices, which other bots leave unanswered.
        let (msgtype, format) = ("m.notice", "org.matrix.custom.html");
        Self { msgtype, body, format, formatted_body: html, mentions: Map::new(), thread: Thread::default() }
    }
}

fn sign(severity: Severity) -> char {
    match severity {
        Severity::Unset | Severity::Info => 'ℹ',
        Severity::Warn => '⚠',
        Severity::Error => '❌',
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::alert::testing::{bare, body, channel, heard, started, token};

    fn matrix(room: &str) -> Result<Matrix, Error> {
        let at = channel("https://matrix.example.com/");
        Matrix::new(&Channel { token: "syt-t0ken".into(), channel: room.into(), ..at })
    }

    fn room() -> Matrix {
        matrix("!abc:example.com").expect("valid")
    }

    #[test]
    fn a_message_is_a_notice_in_the_room() {
        let call = room().request(&started());
        assert_eq!((Method::Put, Some("syt-t0ken")), (call.method, token(&call)));
        let (place, id) = call.url().rsplit_once('/').expect("a path");
        assert_eq!(
            "https://matrix.example.com/_matrix/client/v3/rooms/!abc:example.com/send/m.room.message",
            place
        );
        assert_eq!(32, id.len());
        assert_eq!(
            concat!(
                r#"{"msgtype":"m.notice","body":"ℹ podinfo.test: New revision detected, progressing canary analysis.\n"#,
                r#"Cluster: prod\nTarget: Deployment/podinfo.test","format":"org.matrix.custom.html","#,
                r#""formatted_body":"ℹ <strong>podinfo.test</strong>: New revision detected, progressing canary analysis."#,
                r#"<br/>Cluster: <code>prod</code><br/>Target: <code>Deployment/podinfo.test</code>","m.mentions":{}}"#,
            ),
            body(&call)
        );
    }

    #[test]
    fn a_message_that_is_sent_again_is_the_same_one_and_every_other_is_another() {
        let url = |message: &Message| room().request(message).url().to_owned();
        assert_eq!(url(&started()), url(&started()));
        let mut later = started();
        later.moment.as_mut().expect("a moment").at += chrono::Duration::milliseconds(1);
        let others = [later, bare(Severity::Info, "hi"), Message { name: "other".into(), ..started() }];
        assert!(others.iter().all(|other| url(other) != url(&started())));
    }

    #[test]
    fn a_room_is_named_by_its_id() {
        for room in ["general", "#ops:example.com", ""] {
            let error = matrix(room).err().expect("refused").to_string();
            assert!(
                error.starts_with(&format!("provider matrix: spec.channel {room:?} is no id")),
                "{error}"
            );
        }
        let hostile = matrix("!a/../../admin:x").expect("valid").request(&started());
        assert!(hostile.url().contains("/rooms/!a%2F..%2F..%2Fadmin:x/send/"), "{}", hostile.url());
    }

    #[test]
    fn a_token_is_needed() {
        let error = Matrix::new(&channel("https://matrix.example.com")).err().expect("refused");
        assert_eq!(Error::NoKey("matrix"), error);
    }

    /// The calls that `message` takes in a room with threads, whose history is `history`.
    fn told(message: &Message, history: &str) -> Vec<Call> {
        let channel = Channel { channel: "!abc:example.com".into(), ..channel("https://matrix.example.com") };
        let room =
            Matrix::new(&Channel { token: "syt-t0ken".into(), threads: true, ..channel }).expect("valid");
        let (mut calls, mut past) = (Vec::new(), Vec::new());
        while let Next::Send(call) = room.next(message, &past) {
            assert_eq!(Some("syt-t0ken"), token(&call));
            past.push(heard(200, if call.method == Method::Get { history } else { r#"{"event_id":"$9"}"# }));
            calls.push(*call);
        }
        assert_eq!(Next::Done(Ok(())), room.next(message, &past));
        calls
    }

    fn content(call: &Call) -> Value {
        serde_json::from_str(&body(call)).expect("JSON")
    }

    const HISTORY: &str = r#"{"chunk":[
        {"event_id":"$4","content":{"body":"hello"}},
        {"event_id":"$3","content":{"app.vexil.release":{"of":"another program"}}},
        {"event_id":"$2","content":{"app.vexil.release":"test/podinfo/other"}},
        {"event_id":"$1","content":{"app.vexil.release":"test/podinfo/7c9d467496"}}],"start":"t1"}"#;

    #[rstest]
    #[case::empty(r#"{"chunk":[],"start":"t1"}"#)]
    #[case::other_shape(r#"{"chunk":7}"#)]
    #[case::no_json("<html>")]
    fn the_first_message_of_a_release_begins_a_thread(#[case] history: &str) {
        let calls = told(&started(), history);
        assert_eq!(2, calls.len());
        let place = "https://matrix.example.com/_matrix/client/v3/rooms/!abc:example.com";
        assert_eq!(format!("{place}/messages"), calls[0].url());
        assert!(calls[1].url().starts_with(&format!("{place}/send/m.room.message/")));
        let content = content(&calls[1]);
        assert_eq!(content["app.vexil.release"], "test/podinfo/7c9d467496");
        assert_eq!(content["m.relates_to"], Value::Null);
    }

    #[rstest]
    #[case::in_the_thread(
        Severity::Info,
        json!({"rel_type": "m.thread", "event_id": "$1", "is_falling_back": true, "m.in_reply_to": {"event_id": "$1"}})
    )]
    #[case::and_an_error_in_the_room(Severity::Error, json!({"m.in_reply_to": {"event_id": "$1"}}))]
    fn what_follows_answers_it(#[case] severity: Severity, #[case] expected: Value) {
        let content = content(&told(&bare(severity, "hi"), HISTORY)[1]);
        assert_eq!((&expected, &Value::Null), (&content["m.relates_to"], &content["app.vexil.release"]));
    }

    #[test]
    fn without_threads_nothing_is_asked() {
        assert!(matches!(room().next(&started(), &[]), Next::Send(call) if call.method == Method::Put));
        assert_eq!(content(&room().request(&started()))["m.relates_to"], Value::Null);
    }
}
