//! Discord, through the address at which it understands Slack.

use super::endpoint::Endpoint;
use super::markup::plain;
use super::slack::{Identity, payload};
use super::{Call, Channel, Error, Message, Notifier};

/// A Discord channel.
pub(super) struct Discord {
    endpoint: Endpoint,
    identity: Identity,
}

impl Discord {
    pub fn new(channel: &Channel) -> Result<Self, Error> {
        let mut endpoint = Endpoint::new("Discord hook", channel)?;
        let path = slack_path(endpoint.url.path());
        endpoint.url.set_path(&path);
        Ok(Self { endpoint, identity: Identity::of(channel) })
    }
}

impl Notifier for Discord {
    fn request(&self, message: &Message) -> Call {
        let color = if message.is_error() { "danger" } else { "good" };
        self.endpoint.post(&payload(&self.identity, color, message, plain))
    }
}

/// The path with `/slack` at its end, once, and no empty parts.
fn slack_path(path: &str) -> String {
    let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    if parts.last() != Some(&"slack") {
        parts.push("slack");
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::alert::testing::{bare, body, channel, token};
    use crate::api::hooks::Severity;

    #[rstest]
    #[case::webhook("https://chat.test/api/webhooks/1/tok", "https://chat.test/api/webhooks/1/tok/slack")]
    #[case::already(
        "https://chat.test/api/webhooks/1/tok/slack",
        "https://chat.test/api/webhooks/1/tok/slack"
    )]
    #[case::with_query("https://chat.test/1?wait=true", "https://chat.test/1/slack?wait=true")]
    #[case::already_with_query("https://chat.test/1/slack?wait=true", "https://chat.test/1/slack?wait=true")]
    #[case::slash_at_the_end("https://chat.test/1/", "https://chat.test/1/slack")]
    #[case::double_slash("https://chat.test//api//1", "https://chat.test/api/1/slack")]
    #[case::no_path("https://chat.test", "https://chat.test/slack")]
    #[case::only_the_end_counts("https://chat.test/slackers", "https://chat.test/slackers/slack")]
    #[case::escapes("https://chat.test/a%20b", "https://chat.test/a%20b/slack")]
    fn the_path_ends_in_slack_once(#[case] address: &str, #[case] expected: &str) {
        // spec: 04/AL-09
        let call = Discord::new(&channel(address)).expect("valid").request(&bare(Severity::Info, "hi"));
        assert_eq!(expected, call.url());
    }

    #[rstest]
    #[case(Severity::Info, "good")]
    #[case(Severity::Warn, "good")]
    #[case(Severity::Error, "danger")]
    fn the_payload_is_slacks(#[case] severity: Severity, #[case] color: &str) {
        // spec: 01/API-069
        let call =
            Discord::new(&channel("https://chat.test/1")).expect("valid").request(&bare(severity, "hi"));
        assert_eq!(
            format!(
                r#"{{"channel":"general","username":"flagger","icon_url":"","icon_emoji":":rocket:","attachments":[{{"color":"{color}","author_name":"podinfo.test","text":"hi","mrkdwn_in":["text"],"fields":[]}}]}}"#
            ),
            body(&call)
        );
        assert_eq!(None, token(&call));
    }
}
