//! PagerDuty, through its Events API (v2). Additive.
//!
//! What goes as it should is a change event, which calls nobody. A warning or an error is an incident; there is one for
//! each Canary and severity, so that an error is never hidden in an older, milder one. A release that ends well resolves
//! both.
//!
//! `address` is that of the API, `https://events.pagerduty.com` or `https://events.eu.pagerduty.com`; `token` is the
//! integration key of a service, which the API wants in the body.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::api::hooks::Severity;
use crate::model::call::{Heard, Next, Secret};
use crate::model::moment::Moment;

use super::endpoint::Endpoint;
use super::{Call, Channel, Error, Message, Notifier, Refused, Standing, accepted, heard_of, shortened};

/// A service of PagerDuty.
pub(super) struct PagerDuty {
    endpoint: Endpoint,
    key: Secret,
    source: String,
}

impl PagerDuty {
    pub fn new(channel: &Channel) -> Result<Self, Error> {
        let endpoint = Endpoint::new("PagerDuty API", channel)?;
        let key = channel.secret_token().ok_or(Error::NoKey("pagerduty"))?;
        Ok(Self { endpoint, key, source: channel.username.clone() })
    }

    fn post(&self, path: &[&str], payload: &impl Serialize) -> Call {
        let mut endpoint = self.endpoint.clone();
        if let Ok(mut parts) = endpoint.url.path_segments_mut() {
            parts.pop_if_empty().push("v2").extend(path).push("enqueue");
        }
        endpoint.post(payload)
    }

    fn change(&self, message: &Message) -> Call {
        let payload = Change {
            summary: summary(message),
            timestamp: message.moment.as_ref().map(Moment::time),
            source: &self.source,
            custom_details: details(message),
        };
        self.post(&["change"], &ChangeEvent { routing_key: self.key.reveal(), payload })
    }

    fn incident(&self, message: &Message) -> Call {
        let payload = Incident {
            summary: summary(message),
            source: message.title(),
            severity: if message.is_error() { "error" } else { "warning" },
            component: &message.name,
            group: &message.namespace,
            class: "release",
            custom_details: details(message),
        };
        self.event(message, message.severity, "trigger", Some(payload))
    }

    fn resolve(&self, message: &Message, severity: Severity) -> Call {
        self.event(message, severity, "resolve", None)
    }

    fn event(
        &self,
        message: &Message,
        severity: Severity,
        event_action: &'static str,
        payload: Option<Incident<'_>>,
    ) -> Call {
        let severity = if severity == Severity::Error { "error" } else { "warn" };
        let dedup_key = format!("vexil-{}-{}-{severity}", message.namespace, message.name);
        let (routing_key, client) = (self.key.reveal(), &self.source);
        self.post(&[], &Event { routing_key, event_action, dedup_key, client, payload })
    }
}

impl Notifier for PagerDuty {
    fn request(&self, message: &Message) -> Call {
        match message.severity {
            Severity::Unset | Severity::Info => self.change(message),
            Severity::Warn | Severity::Error => self.incident(message),
        }
    }

    fn delivered(&self, status: u16, body: &[u8]) -> Result<(), Refused> {
        // The key goes in the body, so that nobody else takes it out of an answer that repeats it.
        accepted(status, body).map_err(|refused| Refused {
            why: format!("{} (pagerduty)", refused.why.replace(self.key.reveal(), "xxxxx")),
            ..refused
        })
    }

    fn next(&self, message: &Message, heard: &[Heard]) -> Next<Result<(), Refused>> {
        let Some(last) = heard.last() else { return Next::send(self.request(message)) };
        let outcome = heard_of(self, last);
        match RESOLVED.get(heard.len() - 1) {
            Some(severity) if message.standing() == Standing::Good && outcome.is_ok() => {
                Next::send(self.resolve(message, *severity))
            }
            _ => Next::Done(outcome),
        }
    }
}

fn summary(message: &Message) -> String {
    shortened(&format!("{}: {}", message.title(), message.text), LONGEST_SUMMARY)
}

fn details(message: &Message) -> BTreeMap<&str, &str> {
    let fields = message.fields.iter().map(|field| (field.name.as_str(), field.value.as_str()));
    fields.chain(message.commit.as_deref().map(|commit| ("Commit", commit))).collect()
}

#[derive(Serialize)]
struct ChangeEvent<'a> {
    routing_key: &'a str,
    payload: Change<'a>,
}

#[derive(Serialize)]
struct Change<'a> {
    summary: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<String>,
    source: &'a str,
    custom_details: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
struct Event<'a> {
    routing_key: &'a str,
    event_action: &'static str,
    dedup_key: String,
    client: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Incident<'a>>,
}

#[derive(Serialize)]
struct Incident<'a> {
    summary: String,
    source: String,
    severity: &'static str,
    component: &'a str,
    group: &'a str,
    class: &'static str,
    custom_details: BTreeMap<&'a str, &'a str>,
}

/// What a release that ends well resolves, after its change event.
const RESOLVED: [Severity; 2] = [Severity::Error, Severity::Warn];

/// Characters that the API takes in a summary.
const LONGEST_SUMMARY: usize = 1024;

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;
    use crate::alert::testing::{bare, body, channel, heard, started};

    const KEY: &str = "r0uting-key";

    fn pagerduty() -> PagerDuty {
        PagerDuty::new(&Channel { token: KEY.into(), ..channel("https://events.pagerduty.com") })
            .expect("valid")
    }

    fn sent(call: &Call) -> Value {
        serde_json::from_str(&body(call)).expect("JSON")
    }

    #[test]
    fn what_goes_as_it_should_is_a_change_event() {
        let call = pagerduty().request(&started());
        assert_eq!("https://events.pagerduty.com/v2/change/enqueue", call.url());
        let expected = json!({"routing_key": KEY, "payload": {
            "summary": "podinfo.test: New revision detected, progressing canary analysis.",
            "timestamp": "2026-10-14T17:48:43.456Z", "source": "flagger",
            "custom_details": {"Cluster": "prod", "Target": "Deployment/podinfo.test", "Commit": "4f2c1d9"},
        }});
        assert_eq!(expected, sent(&call));
    }

    #[rstest]
    #[case(Severity::Warn, "warning", "vexil-test-podinfo-warn")]
    #[case(Severity::Error, "error", "vexil-test-podinfo-error")]
    fn what_does_not_is_an_incident_of_the_canary(
        #[case] severity: Severity,
        #[case] word: &str,
        #[case] key: &str,
    ) {
        let call = pagerduty().request(&bare(severity, "hi"));
        assert_eq!("https://events.pagerduty.com/v2/enqueue", call.url());
        let expected = json!({
            "routing_key": KEY, "event_action": "trigger", "dedup_key": key, "client": "flagger",
            "payload": {
                "summary": "podinfo.test: hi", "source": "podinfo.test", "severity": word, "component": "podinfo",
                "group": "test", "class": "release", "custom_details": {"Commit": "4f2c1d9"},
            },
        });
        assert_eq!(expected, sent(&call));
    }

    #[test]
    fn a_release_that_ends_well_resolves_the_incidents_of_its_canary() {
        let message = Message { good_end: true, ..bare(Severity::Info, "promotion finished.") };
        let (mut past, mut told) = (Vec::new(), Vec::new());
        while let Next::Send(call) = pagerduty().next(&message, &past) {
            let payload = sent(&call);
            told.push((payload["event_action"].clone(), payload["dedup_key"].clone()));
            past.push(heard(202, "{}"));
        }
        let resolved = |severity: &str| (json!("resolve"), json!(format!("vexil-test-podinfo-{severity}")));
        assert_eq!(vec![(Value::Null, Value::Null), resolved("error"), resolved("warn")], told);
        assert_eq!(Next::Done(Ok(())), pagerduty().next(&message, &past));
    }

    #[test]
    fn an_answer_that_repeats_the_key_does_not_give_it_away() {
        let body = br#"{"status":"invalid event","message":"routing_key r0uting-key is wrong"}"#;
        let refused = pagerduty().delivered(400, body).expect_err("refused");
        assert_eq!(
            "sending notification bad response 400: routing_key xxxxx is wrong (pagerduty)",
            refused.why
        );
        assert!(!refused.passing);
    }

    #[test]
    fn a_long_text_is_cut_to_what_the_api_takes() {
        let payload = sent(&pagerduty().request(&bare(Severity::Error, &"ä".repeat(5000))));
        assert_eq!(1024, payload["payload"]["summary"].as_str().expect("a text").chars().count());
    }
}
