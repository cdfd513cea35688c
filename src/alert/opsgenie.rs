//! Opsgenie, through its Alert API (v2). Additive.
//!
//! A message opens an alert, or counts up the one that is open: the alias is that of the Canary and the severity, so
//! that an error is never hidden in an older, milder alert. A release that ends well closes them all.
//!
//! `address` is that of the API, `https://api.opsgenie.com` or `https://api.eu.opsgenie.com`; `token` is the key of an
//! API integration.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::api::hooks::Severity;
use crate::model::call::{Heard, Next, Secret};

use super::endpoint::Endpoint;
use super::markup::plain;
use super::{Call, Channel, Error, Message, Notifier, Refused, accepted, heard_of, shortened};

/// A team's integration at Opsgenie.
pub(super) struct Opsgenie {
    endpoint: Endpoint,
    key: Secret,
    source: String,
}

impl Opsgenie {
    pub fn new(channel: &Channel) -> Result<Self, Error> {
        let endpoint = Endpoint::new("Opsgenie API", channel)?;
        let key = channel.secret_token().ok_or(Error::NoKey("opsgenie"))?;
        Ok(Self { endpoint, key, source: channel.username.clone() })
    }

    fn post(&self, path: &[&str], query: &[(&str, &str)], payload: &impl Serialize) -> Call {
        let mut endpoint = self.endpoint.clone();
        if let Ok(mut parts) = endpoint.url.path_segments_mut() {
            parts.pop_if_empty().extend(["v2", "alerts"]).extend(path);
        }
        let authorization = format!("GenieKey {}", self.key.reveal());
        Call {
            headers: vec![("Authorization".to_owned(), authorization.into())],
            query: query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            ..endpoint.post(payload)
        }
    }

    fn open(&self, message: &Message) -> Call {
        let details = message.fields.iter().map(|field| (field.name.as_str(), field.value.as_str()));
        let payload = Open {
            message: shortened(&format!("{}: {}", message.title(), message.text), LONGEST_MESSAGE),
            alias: alias(message, message.severity),
            // Shown as HTML.
            description: shortened(&plain(&message.text), LONGEST_DESCRIPTION),
            priority: match message.severity {
                Severity::Error => "P2",
                Severity::Warn => "P3",
                Severity::Info | Severity::Unset => "P5",
            },
            source: &self.source,
            entity: message.title(),
            details: details.collect(),
        };
        self.post(&[], &[], &payload)
    }

    fn close(&self, message: &Message, severity: Severity) -> Call {
        let payload = Close { source: &self.source, note: shortened(&message.text, LONGEST_DESCRIPTION) };
        self.post(&[&alias(message, severity), "close"], &[("identifierType", "alias")], &payload)
    }
}

impl Notifier for Opsgenie {
    fn request(&self, message: &Message) -> Call {
        if message.good_end { self.close(message, CLOSED[0]) } else { self.open(message) }
    }

    fn delivered(&self, status: u16, body: &[u8]) -> Result<(), Refused> {
        accepted(status, body)
            .map_err(|refused| Refused { why: format!("{} (opsgenie)", refused.why), ..refused })
    }

    fn next(&self, message: &Message, heard: &[Heard]) -> Next<Result<(), Refused>> {
        let Some(last) = heard.last() else { return Next::send(self.request(message)) };
        let outcome = heard_of(self, last);
        match CLOSED.get(heard.len()) {
            Some(severity) if message.good_end && outcome.is_ok() => {
                Next::send(self.close(message, *severity))
            }
            _ => Next::Done(outcome),
        }
    }
}

/// Identifies the open alert of a Canary. There is one for each severity: an open alert keeps its priority.
fn alias(message: &Message, severity: Severity) -> String {
    let severity = match severity {
        Severity::Error => "error",
        Severity::Warn => "warn",
        Severity::Info | Severity::Unset => "info",
    };
    format!("vexil-{}-{}-{severity}", message.namespace, message.name)
}

#[derive(Serialize)]
struct Open<'a> {
    message: String,
    alias: String,
    description: String,
    priority: &'static str,
    source: &'a str,
    entity: String,
    details: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
struct Close<'a> {
    source: &'a str,
    note: String,
}

/// What a release that ends well closes, the worst first.
const CLOSED: [Severity; 3] = [Severity::Error, Severity::Warn, Severity::Info];
/// Characters that the API takes.
const LONGEST_MESSAGE: usize = 130;
const LONGEST_DESCRIPTION: usize = 15_000;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rstest::rstest;

    use super::*;
    use crate::alert::testing::{bare, body, channel, started};
    use crate::model::call::{Answer, What};

    fn opsgenie() -> Opsgenie {
        Opsgenie::new(&Channel { token: "g3nie-key".into(), ..channel("https://api.opsgenie.com/") })
            .expect("valid")
    }

    fn answered(status: u16) -> Heard {
        Heard { after: Duration::ZERO, what: What::Answer(Answer::new(status, "{}")) }
    }

    #[test]
    fn without_a_key_it_is_said_what_to_do() {
        let refused =
            Opsgenie::new(&channel("https://api.opsgenie.com/")).err().map(|error| error.to_string());
        let text = "provider opsgenie needs a key: put it as token into the Secret that spec.secretRef names";
        assert_eq!(refused.as_deref(), Some(text));
    }

    #[test]
    fn a_message_opens_an_alert_of_the_canary() {
        let call = opsgenie().request(&started());
        assert_eq!("https://api.opsgenie.com/v2/alerts", call.url());
        assert_eq!(vec![("Authorization".to_owned(), Secret::from("GenieKey g3nie-key"))], call.headers);
        assert_eq!(
            concat!(
                r#"{"message":"podinfo.test: New revision detected, progressing canary analysis.","#,
                r#""alias":"vexil-test-podinfo-info","#,
                r#""description":"New revision detected, progressing canary analysis.","priority":"P5","#,
                r#""source":"flagger","entity":"podinfo.test","#,
                r#""details":{"Cluster":"prod","Target":"Deployment/podinfo.test"}}"#,
            ),
            body(&call)
        );
    }

    #[rstest]
    #[case(Severity::Info, r#""priority":"P5""#, "vexil-test-podinfo-info")]
    #[case(Severity::Warn, r#""priority":"P3""#, "vexil-test-podinfo-warn")]
    #[case(Severity::Error, r#""priority":"P2""#, "vexil-test-podinfo-error")]
    fn a_worse_message_has_a_higher_priority_and_an_alert_of_its_own(
        #[case] severity: Severity,
        #[case] priority: &str,
        #[case] alias: &str,
    ) {
        let text = body(&opsgenie().request(&bare(severity, "hi")));
        assert!(text.contains(priority) && text.contains(alias), "{text}");
    }

    #[test]
    fn a_release_that_ends_well_closes_the_alerts_of_its_canary() {
        let message = Message { good_end: true, ..bare(Severity::Info, "promotion finished.") };
        let mut heard = Vec::new();
        let mut urls = Vec::new();
        while let Next::Send(call) = opsgenie().next(&message, &heard) {
            assert_eq!(vec![("identifierType".to_owned(), "alias".to_owned())], call.query);
            assert_eq!(r#"{"source":"flagger","note":"promotion finished."}"#, body(&call));
            urls.push(call.url().to_owned());
            heard.push(answered(202));
        }
        let close = |severity: &str| {
            format!("https://api.opsgenie.com/v2/alerts/vexil-test-podinfo-{severity}/close")
        };
        assert_eq!(vec![close("error"), close("warn"), close("info")], urls);
        assert_eq!(Next::Done(Ok(())), opsgenie().next(&message, &heard));
        let refused = opsgenie().next(&message, &[answered(503)]);
        assert!(matches!(refused, Next::Done(Err(Refused { passing: true, .. }))), "{refused:?}");
    }

    #[test]
    fn a_long_message_is_cut_to_what_the_api_takes() {
        let payload: serde_json::Value =
            serde_json::from_str(&body(&opsgenie().request(&bare(Severity::Error, &"ä".repeat(20_000)))))
                .expect("JSON");
        let length = |key: &str| payload[key].as_str().expect("a text").chars().count();
        assert_eq!((130, 15_000), (length("message"), length("description")));
    }
}
