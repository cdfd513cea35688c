//! Hooks: what is sent to them and what their answer means (spec 02 §6). Values only; the controller makes the call.

#![warn(missing_docs)]

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::api::hooks::CloudEvents;
use crate::model::call::{Body, Call};
use crate::model::release::{Credentials, Hook};

mod cloud_event;
mod payload;
mod signature;
mod verdict;

pub use crate::model::answer::Verdict;
pub use payload::{Notice, Payload, checksum};
pub use signature::SecretData;
use signature::headers;
pub use verdict::{answered, unanswered};

/// The call of a hook whose credentials still have to be read from their Secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The call without its secrets.
    pub call: Call,
    /// Where the secrets are that it needs.
    pub credentials: Credentials,
    /// The namespace of these secrets.
    pub namespace: String,
}

impl Draft {
    /// The call with its credentials, signed at `now`. `secrets` are the contents of the Secrets that it names.
    ///
    /// # Errors
    /// If a Secret or a key is missing, or what a key holds is no header.
    pub fn finish(&self, secrets: &BTreeMap<String, SecretData>, now: DateTime<Utc>) -> Result<Call, String> {
        let mut call = self.call.clone();
        call.headers
            .extend(headers(self, secrets, now)?.into_iter().map(|(name, value)| (name, value.into())));
        Ok(call)
    }
}

/// The status decides, the body only explains: this much of it is read.
const ANSWER_BYTES: usize = 16 * 1024;

/// The call that tells `payload` to `hook`.
pub fn request(hook: &Hook, payload: &Payload) -> Draft {
    Draft {
        call: Call {
            timeout: hook.timeout,
            retries: hook.retries,
            insecure: hook.disable_tls,
            ..post(&hook.url, payload, hook.cloud_events)
        },
        credentials: hook.credentials.clone(),
        namespace: payload.namespace().to_owned(),
    }
}

/// The call that tells `payload` to the controller's own event webhook (`--event-webhook`). An address that begins with
/// `cloudevents+` is sent CloudEvents.
pub fn global(url: &str, payload: &Payload) -> Draft {
    let (url, mode) = match url.strip_prefix(CLOUD_EVENTS) {
        Some(url) => (url, Some(CloudEvents::Structured)),
        None => (url, None),
    };
    let call = Call { timeout: Duration::from_secs(10), ..post(url, payload, mode) };
    Draft { call, credentials: Credentials::default(), namespace: String::new() }
}

fn post(url: &str, payload: &Payload, mode: Option<CloudEvents>) -> Call {
    let (headers, body) = match mode.zip(payload.event()) {
        Some((mode, event)) => cloud_event::wrapped(mode, payload, event),
        None => (Vec::new(), Body::Json(payload.json())),
    };
    Call { max_bytes: ANSWER_BYTES, cut: true, headers, ..Call::post(url, body) }
}

/// What the address of the controller's own event webhook begins with where CloudEvents are wanted.
const CLOUD_EVENTS: &str = "cloudevents+";

/// Metadata of the global event webhook: it has none of its own.
pub const NO_METADATA: &BTreeMap<String, String> = &BTreeMap::new();

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::hooks::HookType;
    use crate::api::{CanaryStatus, Phase};

    fn hook() -> Hook {
        Hook {
            name: "load test".into(),
            url: "https://bob:s3cret@tester/".into(),
            kind: HookType::Rollout,
            timeout: Duration::from_secs(5),
            retries: 2,
            disable_tls: true,
            cloud_events: None,
            mute_alert: false,
            credentials: Credentials::default(),
            metadata: BTreeMap::from([("cmd".into(), "hey -z 1m".into()), ("type".into(), "cmd".into())]),
        }
    }

    fn payload(metadata: &BTreeMap<String, String>) -> Payload {
        let status = CanaryStatus { last_applied_spec: "4cb74184589".into(), ..CanaryStatus::default() };
        Payload::new("podinfo", "test", Phase::Progressing, &status).metadata(metadata)
    }

    fn sent(call: &Call) -> Value {
        serde_json::from_slice(&call.body.bytes()).unwrap()
    }

    #[test]
    fn a_call_carries_the_settings_of_its_hook() {
        // spec: 01/API-127 04/WH-01
        let call = request(&hook(), &payload(&hook().metadata)).call;
        assert_eq!(("https://bob:s3cret@tester/", Duration::from_secs(5)), (call.url(), call.timeout));
        assert_eq!((2, true), (call.retries, call.insecure));
        assert_eq!(
            json!({
                "name": "podinfo", "namespace": "test", "phase": "Progressing", "checksum": "7c9d467496",
                "metadata": {"cmd": "hey -z 1m", "type": "cmd"},
            }),
            sent(&call)
        );
    }

    #[test]
    fn the_global_event_webhook_is_called_once_for_ten_seconds() {
        let call = global("http://events", &payload(NO_METADATA)).call;
        assert_eq!((Duration::from_secs(10), 0, false), (call.timeout, call.retries, call.insecure));
        assert_eq!(None, sent(&call).get("metadata"));
    }
}
