//! Slack: an incoming webhook, or its Web API with a token. Discord and Rocket.Chat take the same payload.

use serde::{Deserialize, Serialize};

use crate::model::answer::excerpt;
use crate::model::call::{Auth, Secret};

use super::endpoint::Endpoint;
use super::markup::for_slack;
use super::{Call, Channel, Error, Field, Message, Notifier, Refused, SHOWN, accepted};

/// A Slack channel.
pub(super) struct Slack {
    endpoint: Endpoint,
    identity: Identity,
    token: Option<Secret>,
}

impl Slack {
    pub fn new(channel: &Channel) -> Result<Self, Error> {
        Ok(Self {
            endpoint: Endpoint::new("Slack hook", channel)?,
            identity: Identity::of(channel),
            token: channel.secret_token(),
        })
    }

    /// The Web API answers 200 to everything and says in the body whether it worked (spec 04 A5).
    fn is_web_api(&self) -> bool {
        let host = self.endpoint.host();
        (host == "slack.com" || host.ends_with(".slack.com")) && self.endpoint.url.path().starts_with("/api/")
    }
}

impl Notifier for Slack {
    fn request(&self, message: &Message) -> Call {
        let color = if message.is_error() { "danger" } else { "good" };
        Call {
            auth: self.token.clone().map_or(Auth::None, Auth::Bearer),
            ..self.endpoint.post(&payload(&self.identity, color, message, for_slack))
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
) -> impl Serialize {
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
    }
}

#[derive(Serialize)]
struct Payload {
    channel: String,
    username: String,
    icon_url: &'static str,
    icon_emoji: &'static str,
    attachments: [Attachment; 1],
}

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
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::alert::testing::{bare, body, channel, started, token};
    use crate::api::hooks::Severity;

    fn slack(address: &str) -> Slack {
        Slack::new(&channel(address)).expect("valid")
    }

    #[test]
    fn a_message_is_one_attachment() {
        // spec: 04/AL-06 04/AL-14 01/API-069
        let call = slack("https://chat.test/services/T0/B0/x").request(&started());
        assert_eq!("https://chat.test/services/T0/B0/x", call.url());
        assert_eq!(
            concat!(
                r#"{"channel":"general","username":"flagger","icon_url":"","icon_emoji":":rocket:","#,
                r#""attachments":[{"color":"good","author_name":"podinfo.test","#,
                r#""text":"New revision detected, progressing canary analysis.","mrkdwn_in":["text"],"fields":["#,
                r#"{"title":"Cluster","value":"prod","short":false},"#,
                r#"{"title":"Target","value":"Deployment/podinfo.test","short":false}]}]}"#,
            ),
            body(&call)
        );
    }

    #[rstest]
    #[case(Severity::Info, "good")]
    #[case(Severity::Warn, "good")]
    #[case(Severity::Error, "danger")]
    fn an_error_is_red_and_anything_else_green(#[case] severity: Severity, #[case] color: &str) {
        // spec: 04/AL-06 01/API-069
        let text = body(&slack("https://chat.test/").request(&bare(severity, "a <b> & c")));
        assert!(text.contains(&format!(r#""color":"{color}""#)), "{text}");
        assert!(text.contains(r#""text":"a &lt;b&gt; &amp; c","mrkdwn_in":["text"],"fields":[]"#), "{text}");
    }

    #[test]
    fn a_token_is_sent_as_bearer() {
        // spec: 04/AL-07 01/API-070
        let call = Slack::new(&Channel {
            token: "xoxb-1".into(),
            ..channel("https://slack.com/api/chat.postMessage")
        })
        .expect("valid")
        .request(&started());
        assert_eq!(Some("xoxb-1"), token(&call));
        assert_eq!(None, token(&slack("https://chat.test/").request(&started())));
    }

    #[rstest]
    #[case::api("https://slack.com/api/chat.postMessage", 200, r#"{"ok":true}"#, Ok(()))]
    #[case::api_refuses(
        "https://slack.com/api/chat.postMessage",
        200,
        r#"{"ok":false,"error":"channel_not_found"}"#,
        Err("sending notification refused by Slack: channel_not_found")
    )]
    #[case::api_limits(
        "https://slack.com/api/chat.postMessage",
        429,
        r#"{"ok":false,"error":"ratelimited"}"#,
        Err("sending notification bad response 429: ratelimited")
    )]
    #[case::webhook("https://hooks.slack.com/services/T0/B0/x", 200, "ok", Ok(()))]
    #[case::somebody_else("https://chat.test/api/x", 200, r#"{"ok":false,"error":"no"}"#, Ok(()))]
    fn the_web_api_says_in_its_body_whether_it_worked(
        #[case] address: &str,
        #[case] status: u16,
        #[case] body: &str,
        #[case] expected: Result<(), &str>,
    ) {
        // spec: 04/AL-08
        let delivered = slack(address).delivered(status, body.as_bytes());
        assert_eq!(expected.map_err(str::to_owned), delivered.map_err(|refused| refused.why));
    }
}
