//! Matrix, through the client-server API (v3): a notice in a room. Additive.
//!
//! `address` is that of the homeserver, `token` an access token of the account that writes, `channel` the id of the room
//! (`!abc:example.com`), in which that account has to be. A message has an id of its own: a homeserver that has taken it
//! already takes it again without a second entry in the room.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::api::hooks::Severity;
use crate::model::call::{Auth, Method, Secret};

use super::endpoint::Endpoint;
use super::markup::plain;
use super::{Call, Channel, Error, Message, Notifier};

/// A room of Matrix.
pub(super) struct Matrix {
    endpoint: Endpoint,
    room: String,
    token: Secret,
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
        Ok(Self { endpoint, room: channel.channel.clone(), token })
    }
}

impl Notifier for Matrix {
    fn request(&self, message: &Message) -> Call {
        let mut endpoint = self.endpoint.clone();
        if let Ok(mut parts) = endpoint.url.path_segments_mut() {
            parts.pop_if_empty().extend(["_matrix", "client", "v3", "rooms", &self.room]);
            parts.extend(["send", "m.room.message", &message.id()]);
        }
        Call {
            method: Method::Put,
            auth: Auth::Bearer(self.token.clone()),
            ..endpoint.post(&Notice::of(message))
        }
    }
}

#[derive(Serialize)]
struct Notice {
    msgtype: &'static str,
    body: String,
    format: &'static str,
    formatted_body: String,
    /// Nobody is called, whatever the text says.
    #[serde(rename = "m.mentions")]
    mentions: Map<String, Value>,
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
        Self { msgtype, body, format, formatted_body: html, mentions: Map::new() }
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
    use super::*;
    use crate::alert::testing::{bare, body, channel, started, token};

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
}
