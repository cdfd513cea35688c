//! Rocket.Chat: Slack's payload in its own colours.

use super::endpoint::Endpoint;
use super::markup::plain;
use super::slack::{Identity, payload};
use super::{Call, Channel, Error, Message, Notifier};

/// A Rocket.Chat channel.
pub(super) struct Rocket {
    endpoint: Endpoint,
    identity: Identity,
}

impl Rocket {
    pub fn new(channel: &Channel) -> Result<Self, Error> {
        Ok(Self { endpoint: Endpoint::new("Rocket hook", channel)?, identity: Identity::of(channel) })
    }
}

impl Notifier for Rocket {
    fn request(&self, message: &Message) -> Call {
        let color = if message.is_error() { "#FF0000" } else { "#0076D7" };
        self.endpoint.post(&payload(&self.identity, color, message, plain))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::alert::testing::{bare, body, channel};
    use crate::api::hooks::Severity;

    #[rstest]
    #[case(Severity::Info, "#0076D7")]
    #[case(Severity::Warn, "#0076D7")]
    #[case(Severity::Error, "#FF0000")]
    fn the_payload_is_slacks_with_other_colours(#[case] severity: Severity, #[case] color: &str) {
        // spec: 04/AL-10 01/API-069
        let rocket = Rocket::new(&channel("https://chat.test/hooks/1")).expect("valid");
        let call = rocket.request(&bare(severity, "hi"));
        assert_eq!("https://chat.test/hooks/1", call.url());
        assert_eq!(
            format!(
                r##"{{"channel":"general","username":"flagger","icon_url":"","icon_emoji":":rocket:","attachments":[{{"color":"{color}","author_name":"podinfo.test","text":"hi","mrkdwn_in":["text"],"fields":[]}}]}}"##
            ),
            body(&call)
        );
    }
}
