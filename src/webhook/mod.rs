//! Hooks: what is sent to them and what their answer means (spec 02 §6). Values only; the controller makes the call.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::release::{Credentials, Hook};

mod payload;
mod signature;
mod verdict;

pub use crate::model::answer::Verdict;
pub use payload::{Notice, Payload, checksum};
pub use signature::{SecretData, headers, redacted};
pub use verdict::{answered, unanswered};

/// A call to be made: a POST of JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub url: String,
    pub body: Vec<u8>,
    /// Of one attempt.
    pub timeout: Duration,
    /// Further attempts after the first.
    pub retries: u32,
    /// Accept any certificate.
    pub insecure: bool,
    /// Where the secrets are that it needs, and in which namespace.
    pub credentials: Credentials,
    pub namespace: String,
}

/// `Content-Type` of every call.
pub const CONTENT_TYPE: &str = "application/json";

/// How much of an answer has to be read: the status decides, the body only explains. A longer one may be cut.
pub const ANSWER_BYTES: usize = 16 * 1024;

/// The call that tells `payload` to `hook`.
pub fn request(hook: &Hook, payload: &Payload) -> Call {
    Call {
        url: hook.url.clone(),
        body: payload.json(),
        timeout: hook.timeout,
        retries: hook.retries,
        insecure: hook.disable_tls,
        credentials: hook.credentials.clone(),
        namespace: payload.namespace().to_owned(),
    }
}

/// The call that tells `payload` to the controller's own event webhook (`--event-webhook`).
pub fn global(url: &str, payload: &Payload) -> Call {
    Call {
        url: url.to_owned(),
        body: payload.json(),
        timeout: Duration::from_secs(10),
        retries: 0,
        insecure: false,
        credentials: Credentials::default(),
        namespace: String::new(),
    }
}

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
        serde_json::from_slice(&call.body).unwrap()
    }

    #[test]
    fn a_call_carries_the_settings_of_its_hook() {
        // spec: 04/WH-01
        let call = request(&hook(), &payload(&hook().metadata));
        assert_eq!(("https://bob:s3cret@tester/", Duration::from_secs(5)), (call.url.as_str(), call.timeout));
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
        let call = global("http://events", &payload(NO_METADATA));
        assert_eq!((Duration::from_secs(10), 0, false), (call.timeout, call.retries, call.insecure));
        assert_eq!(None, sent(&call).get("metadata"));
    }
}
