//! Any receiver of JSON: the message as it is, without the manners of a chat service. Additive.

use serde::Serialize;

use crate::api::hooks::Severity;
use crate::model::call::{Auth, Secret};

use super::endpoint::Endpoint;
use super::template::Template;
use super::{Call, Channel, Error, Field, Message, Notifier};
use crate::model::signature::signed;

/// A receiver of one's own.
pub(super) struct Webhook {
    endpoint: Endpoint,
    token: Option<Secret>,
    signing_key: Option<Secret>,
    template: Option<Template>,
}

impl Webhook {
    pub fn new(channel: &Channel) -> Result<Self, Error> {
        let template = match channel.template.as_str() {
            "" => None,
            text => Some(Template::parse(text)?),
        };
        let signing_key =
            (!channel.signing_key.is_empty()).then(|| Secret::new(channel.signing_key.as_str()));
        let endpoint = Endpoint::new("webhook", channel)?;
        Ok(Self { endpoint, token: channel.secret_token(), signing_key, template })
    }
}

impl Notifier for Webhook {
    fn request(&self, message: &Message) -> Call {
        let call = match &self.template {
            Some(template) => self.endpoint.post(&template.filled(message)),
            None => self.endpoint.post(&Payload {
                name: &message.name,
                namespace: &message.namespace,
                severity: message.severity,
                message: &message.text,
                fields: &message.fields,
            }),
        };
        // One that is sent again has the time and the id of the first: receivers know it by them.
        let at = message.moment.as_ref().map(|moment| moment.at).unwrap_or_default();
        let signature =
            self.signing_key.iter().flat_map(|key| signed(key.reveal().as_bytes(), at, &call.body.bytes()));
        let headers = std::iter::once((ID.to_owned(), message.id())).chain(signature);
        let headers = headers.map(|(name, value)| (name, value.into())).collect();
        Call { auth: self.token.clone().map_or(Auth::None, Auth::Bearer), headers, ..call }
    }
}

/// The header that identifies a message, however often it is sent.
const ID: &str = "X-Vexil-Id";

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
    fn a_template_gives_the_json_its_shape() {
        let template = r#"{"text": "{{ name }}: {{ message }}"}"#.to_owned();
        let channel = Channel { template, ..channel("https://alerts.test/in") };
        let call = Webhook::new(&channel).expect("valid").request(&bare(Severity::Info, "a \"b\""));
        assert_eq!(r#"{"text":"podinfo: a \"b\""}"#, body(&call));
        let broken = Channel { template: "{".into(), ..channel };
        assert!(Webhook::new(&broken).is_err());
    }

    #[test]
    fn a_signature_is_that_of_the_alerts_time_and_the_body_and_the_key_stays_here() {
        let channel = Channel { signing_key: "s3cr3t".into(), ..channel("https://alerts.test/in") };
        let call = Webhook::new(&channel).expect("valid").request(&bare(Severity::Info, "hi"));
        let header = |name: &str| {
            call.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.reveal().to_owned())
        };
        assert_eq!(Some("1792000123".to_owned()), header("X-Vexil-Timestamp"));
        // printf '1792000123.%s' "$body" | openssl dgst -sha256 -hmac s3cr3t
        assert_eq!(Some(format!("sha256={EXPECTED}")), header("X-Vexil-Signature"));
        assert_eq!(Some(32), header("X-Vexil-Id").map(|id| id.len()));
        assert!(
            !body(&call).contains("s3cr3t")
                && call.headers.iter().all(|(_, value)| value.reveal() != "s3cr3t")
        );
    }

    const EXPECTED: &str = "d38b71e77de825e8ba318699012035e82bfb6402c9509703c3a0312390447463";

    #[test]
    fn a_token_is_sent_as_bearer() {
        assert_eq!(Some("t0ken"), token(&webhook("t0ken").request(&started())));
    }
}
