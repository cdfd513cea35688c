//! Any receiver of JSON: the message as it is, without the manners of a chat service. Additive.

use serde::Serialize;

use crate::api::hooks::Severity;
use crate::model::call::{Auth, Secret};

use super::endpoint::Endpoint;
use super::{Call, Channel, Error, Field, Message, Notifier};

/// A receiver of one's own.
pub(super) struct Webhook {
    endpoint: Endpoint,
    token: Option<Secret>,
}

impl Webhook {
    pub fn new(channel: &Channel) -> Result<Self, Error> {
        Ok(Self { endpoint: Endpoint::new("webhook", channel)?, token: channel.secret_token() })
    }
}

impl Notifier for Webhook {
    fn request(&self, message: &Message) -> Call {
        let payload = Payload {
            name: &message.name,
            namespace: &message.namespace,
            severity: message.severity,
            message: &message.text,
            fields: &message.fields,
        };
        Call { auth: self.token.clone().map_or(Auth::None, Auth::Bearer), ..self.endpoint.post(&payload) }
    }
}

/// `name` and `namespace` as hooks know them.
#[derive(Serialize)]
struct Payload<'a> {
    name: &'a str,
    namespace: &'a str,
    severity: Severity,
    message: &'a str,
    fields: &'a [Field],
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::alert::testing::{bare, body, channel, started, token};

    fn webhook(t0ken: &str) -> Webhook {
        let channel = Channel { token: t0ken.into(), ..channel("https://alerts.test/in?team=a") };
        Webhook::new(&channel).expect("valid")
    }

    #[test]
    fn a_receiver_gets_the_message_as_plain_json() {
        let call = webhook("").request(&started());
        assert_eq!(("https://alerts.test/in?team=a", None), (call.url(), token(&call)));
        assert_eq!(
            concat!(
                r#"{"name":"podinfo","namespace":"test","severity":"info","#,
                r#""message":"New revision detected, progressing canary analysis.","fields":["#,
                r#"{"name":"Cluster","value":"prod"},{"name":"Target","value":"Deployment/podinfo.test"}]}"#,
            ),
            body(&call)
        );
    }

    #[rstest]
    #[case(Severity::Info, "info")]
    #[case(Severity::Warn, "warn")]
    #[case(Severity::Error, "error")]
    fn the_severity_is_said_in_a_word(#[case] severity: Severity, #[case] word: &str) {
        let text = body(&webhook("").request(&bare(severity, "hi")));
        assert_eq!(
            format!(
                r#"{{"name":"podinfo","namespace":"test","severity":"{word}","message":"hi","fields":[]}}"#
            ),
            text
        );
    }

    #[test]
    fn a_token_is_sent_as_bearer() {
        assert_eq!(Some("t0ken"), token(&webhook("t0ken").request(&started())));
    }
}
