//! Events as CloudEvents (1.0): the payload that hooks are always sent is their data.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::api::Phase;
use crate::api::hooks::CloudEvents;
use crate::model::call::{Body, Secret};

use super::Payload;

/// The headers and the body of an event that happened at `at`.
pub(super) fn wrapped(
    mode: CloudEvents,
    payload: &Payload,
    at: DateTime<Utc>,
) -> (Vec<(String, Secret)>, Body) {
    let event = Event::of(payload, at);
    match mode {
        CloudEvents::Binary => {
            let attributes = event.attributes().into_iter();
            let headers = attributes.map(|(name, value)| (format!("ce-{name}"), value.into()));
            (headers.collect(), Body::Json(payload.json()))
        }
        CloudEvents::Structured => {
            let bytes = serde_json::to_vec(&event).expect("texts and structures of texts always become JSON");
            (Vec::new(), Body::Raw { content_type: STRUCTURED.to_owned(), bytes })
        }
    }
}

/// A CloudEvent, in the order in which people read it.
#[derive(Serialize)]
struct Event<'a> {
    specversion: &'static str,
    id: String,
    source: String,
    #[serde(rename = "type")]
    kind: &'static str,
    subject: String,
    time: String,
    datacontenttype: &'static str,
    /// An extension: identifies the release.
    release: &'a str,
    /// An extension: where the release stands.
    #[serde(skip_serializing_if = "is_unset")]
    phase: Phase,
    data: &'a Payload,
}

impl<'a> Event<'a> {
    fn of(payload: &'a Payload, at: DateTime<Utc>) -> Self {
        let (name, namespace) = (payload.name(), payload.namespace());
        let time = at.to_rfc3339_opts(SecondsFormat::Millis, true);
        let identity = format!("{namespace}/{name}\n{time}\n{}\n{}", payload.release(), payload.message());
        let id = Sha256::digest(identity).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Self {
            specversion: "1.0",
            id,
            source: format!("/apis/flagger.app/v1beta1/namespaces/{namespace}/canaries/{name}"),
            kind: "app.flagger.canary.event",
            subject: format!("{namespace}/{name}"),
            time,
            datacontenttype: "application/json",
            release: payload.release(),
            phase: payload.phase(),
            data: payload,
        }
    }

    /// All but the type of the data, which is a header of its own.
    fn attributes(&self) -> Vec<(&'static str, String)> {
        let mut attributes = vec![
            ("specversion", self.specversion.to_owned()),
            ("id", self.id.clone()),
            ("source", self.source.clone()),
            ("type", self.kind.to_owned()),
            ("subject", self.subject.clone()),
            ("time", self.time.clone()),
            ("release", self.release.to_owned()),
        ];
        if !is_unset(&self.phase) {
            attributes.push(("phase", self.phase.to_string()));
        }
        attributes
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_unset(phase: &Phase) -> bool {
    *phase == Phase::Unset
}

const STRUCTURED: &str = "application/cloudevents+json; charset=UTF-8";

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::CanaryStatus;
    use crate::webhook::{NO_METADATA, Notice, global};

    fn payload(message: &str) -> Payload {
        let status = CanaryStatus { last_applied_spec: "4cb74184589".into(), ..CanaryStatus::default() };
        let time = DateTime::from_timestamp_millis(1_792_000_123_456).expect("a time");
        let notice = Notice { message, warning: false, time };
        Payload::new("podinfo", "test", Phase::Progressing, &status).notice(notice).metadata(NO_METADATA)
    }

    fn at() -> DateTime<Utc> {
        payload("").event().expect("an event")
    }

    fn json(body: &Body) -> Value {
        serde_json::from_slice(&body.bytes()).expect("JSON")
    }

    const TEXT: &str = "Advance podinfo.test canary weight 10";

    #[test]
    fn a_structured_event_has_its_attributes_and_the_known_payload_as_data() {
        let (headers, body) = wrapped(CloudEvents::Structured, &payload(TEXT), at());
        assert!(headers.is_empty());
        assert_eq!(Some("application/cloudevents+json; charset=UTF-8"), body.content_type());
        let mut event = json(&body);
        let id = event.as_object_mut().expect("an object").remove("id").expect("an id");
        assert_eq!(Some(32), id.as_str().map(str::len));
        let expected = json!({
            "specversion": "1.0", "type": "app.flagger.canary.event", "subject": "test/podinfo",
            "source": "/apis/flagger.app/v1beta1/namespaces/test/canaries/podinfo",
            "time": "2026-10-14T17:48:43.456Z", "datacontenttype": "application/json", "release": "7c9d467496",
            "phase": "Progressing",
            "data": {
                "name": "podinfo", "namespace": "test", "phase": "Progressing", "checksum": "7c9d467496",
                "metadata": {"eventMessage": TEXT, "eventType": "Normal", "timestamp": "1792000123456"},
            },
        });
        assert_eq!(expected, event);
    }

    #[test]
    fn a_binary_event_has_its_attributes_as_headers_and_the_known_body() {
        let (headers, body) = wrapped(CloudEvents::Binary, &payload(TEXT), at());
        assert_eq!((payload(TEXT).json(), Some("application/json")), (body.bytes(), body.content_type()));
        let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
        let expected = ["specversion", "id", "source", "type", "subject", "time", "release", "phase"];
        assert_eq!(expected.map(|name| format!("ce-{name}")).to_vec(), names);
        assert_eq!("7c9d467496", headers[6].1.reveal());
    }

    #[test]
    fn an_event_that_is_sent_again_has_its_id_and_every_other_another() {
        let id = |text: &str| json(&wrapped(CloudEvents::Structured, &payload(text), at()).1)["id"].clone();
        assert_eq!(id(TEXT), id(TEXT));
        assert_ne!(id(TEXT), id("Advance podinfo.test canary weight 20"));
    }

    #[test]
    fn the_controllers_own_webhook_is_sent_them_if_its_address_says_so() {
        let call = global("cloudevents+https://broker.test/in", &payload(TEXT)).call;
        assert_eq!("https://broker.test/in", call.url());
        assert_eq!(json!("1.0"), json(&call.body)["specversion"]);
        let call = global("https://broker.test/in", &payload(TEXT)).call;
        assert_eq!(payload(TEXT).json(), call.body.bytes());
    }

    #[test]
    fn what_is_no_event_is_sent_as_ever() {
        let gate = Payload::new("podinfo", "test", Phase::Waiting, &CanaryStatus::default());
        let call = global("cloudevents+https://broker.test/in", &gate).call;
        assert_eq!(gate.json(), call.body.bytes());
    }
}
