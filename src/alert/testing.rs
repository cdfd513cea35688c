//! Messages and channels for the tests of this room.

use std::time::Duration;

use chrono::DateTime;

use crate::api::Phase;
use crate::api::hooks::Severity;
use crate::model::call::{Answer, Auth, Heard, What};
use crate::model::moment::Moment;
use crate::model::release::{Release, Strategy};
use crate::model::testing;

use super::{Call, Channel, Field, Message};

/// A message without fields.
pub(super) fn bare(severity: Severity, text: &str) -> Message {
    let (name, namespace) = ("podinfo".to_owned(), "test".to_owned());
    let moment = Moment {
        release: "7c9d467496".to_owned(),
        phase: Phase::Progressing,
        at: DateTime::from_timestamp_millis(1_792_000_123_456).expect("a time"),
    };
    Message {
        name,
        namespace,
        severity,
        text: text.to_owned(),
        good_end: false,
        fields: Vec::new(),
        moment: Some(moment),
        commit: Some("4f2c1d9".to_owned()),
    }
}

/// The message at the start of an analysis, with the first of its fields.
pub(super) fn started() -> Message {
    let field = |name: &str, value: &str| Field { name: name.to_owned(), value: value.to_owned() };
    Message {
        fields: vec![field("Cluster", "prod"), field("Target", "Deployment/podinfo.test")],
        ..bare(Severity::Info, "New revision detected, progressing canary analysis.")
    }
}

/// A channel with all defaults.
pub(super) fn channel(address: &str) -> Channel {
    Channel { address: address.to_owned(), ..Channel::default() }.settled()
}

pub(super) fn body(call: &Call) -> String {
    String::from_utf8(call.body.bytes()).expect("JSON is text")
}

/// The bearer token of `call`.
pub(super) fn token(call: &Call) -> Option<&str> {
    match &call.auth {
        Auth::Bearer(token) => Some(token.reveal()),
        _ => None,
    }
}

/// An answer a second later.
pub(super) fn heard(status: u16, body: &str) -> Heard {
    Heard { after: Duration::from_secs(1), what: What::Answer(Answer::new(status, body)) }
}

/// The Deployment `podinfo` in `test`.
pub(super) fn podinfo() -> Release {
    testing::release("podinfo", "test").advancing(Strategy::BlueGreen { iterations: 10 })
}
