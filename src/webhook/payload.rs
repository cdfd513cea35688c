//! What a hook is told (spec 02 §6.2, §6.4).

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::api::{CanaryStatus, Phase};

/// What a hook is told. The JSON has exactly these keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Payload {
    name: String,
    namespace: String,
    phase: Phase,
    checksum: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
    /// When the event happened that it speaks of; none if it speaks of none.
    #[serde(skip)]
    event: Option<DateTime<Utc>>,
}

/// An event, as event hooks are told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice<'a> {
    /// The event's text.
    pub message: &'a str,
    /// Whether it is a warning.
    pub warning: bool,
    /// When it happened.
    pub time: DateTime<Utc>,
}

impl Payload {
    /// `phase` is what the hook is told, which is not always that of `status`: see spec 02 §6.3.
    pub fn new(name: &str, namespace: &str, phase: Phase, status: &CanaryStatus) -> Self {
        Self::of(name, namespace, phase, &checksum(status))
    }

    /// The same, for a status of which only the checksum is known.
    pub fn of(name: &str, namespace: &str, phase: Phase, checksum: &str) -> Self {
        let (name, namespace) = (name.to_owned(), namespace.to_owned());
        Self { name, namespace, phase, checksum: checksum.to_owned(), metadata: BTreeMap::new(), event: None }
    }

    /// Of the Canary.
    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// When the event happened that it speaks of; none if it speaks of none.
    pub(super) fn event(&self) -> Option<DateTime<Utc>> {
        self.event
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    /// Identifies what is being released.
    pub(super) fn release(&self) -> &str {
        &self.checksum
    }

    /// The text of the event.
    pub(super) fn message(&self) -> &str {
        self.metadata.get("eventMessage").map_or("", String::as_str)
    }

    /// Adds the hook's own metadata. What is there already stays: it cannot replace the words of a notice.
    pub fn metadata(mut self, metadata: &BTreeMap<String, String>) -> Self {
        for (key, value) in metadata {
            self.metadata.entry(key.clone()).or_insert_with(|| value.clone());
        }
        self
    }

    /// Makes it the payload of an event.
    pub fn notice(mut self, notice: Notice<'_>) -> Self {
        let kind = if notice.warning { "Warning" } else { "Normal" };
        self.metadata.insert("eventMessage".into(), notice.message.to_owned());
        self.metadata.insert("eventType".into(), kind.to_owned());
        self.metadata.insert("timestamp".into(), notice.time.timestamp_millis().to_string());
        self.event = Some(notice.time);
        self
    }

    /// The body to be sent.
    pub fn json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and maps with string keys always become JSON")
    }
}

/// Identifies what is being released: the applied spec and the tracked configs. Receivers compare it, so it has to
/// come out as from Flagger: a 32-bit FNV-1a over how Go would dump the two, its decimal digits replaced.
pub fn checksum(status: &CanaryStatus) -> String {
    let configs = match &status.tracked_configs {
        None => "<nil>".to_owned(),
        Some(configs) => {
            let pairs: Vec<_> = configs.iter().map(|(key, value)| format!("{key}:{value}")).collect();
            format!("map[{}]", pairs.join(" "))
        }
    };
    let dump = format!(
        "(struct {{ TrackedConfigs *map[string]string; LastAppliedSpec string }})\
         {{TrackedConfigs:(*map[string]string){configs} LastAppliedSpec:(string){}}}",
        status.last_applied_spec
    );
    fnv1a(dump.as_bytes())
        .to_string()
        .bytes()
        .map(|digit| char::from(DIGITS[usize::from(digit - b'0')]))
        .collect()
}

fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// Digits that cannot form a word.
const DIGITS: [u8; 10] = *b"456789bcdf";

#[cfg(test)]
mod tests {
    use chrono::TimeZone as _;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn status(configs: Option<&[(&str, &str)]>, applied: &str) -> CanaryStatus {
        let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        CanaryStatus {
            tracked_configs: configs.map(|configs| configs.iter().map(pair).collect()),
            last_applied_spec: applied.to_owned(),
            ..CanaryStatus::default()
        }
    }

    #[rstest]
    #[case::nothing(None, "", "758df7c9fc")]
    #[case::revision(None, "4cb74184589", "7c9d467496")]
    #[case::empty_configs(Some(&[][..]), "", "68bf6f479b")]
    #[case::one_config(Some(&[("test-config-map", "484637c76acaa7c6")][..]), "4cb74184589", "569bdb7cb9")]
    #[case::sorted(Some(&[("secret/b", "22"), ("configmap/a", "11")][..]), "5f56684589", "6c8fc8669c")]
    fn the_checksum_is_the_one_that_receivers_know(
        #[case] configs: Option<&[(&str, &str)]>,
        #[case] applied: &str,
        #[case] expected: &str,
    ) {
        // spec: 02/C89
        assert_eq!(expected, checksum(&status(configs, applied)));
    }

    #[rstest]
    fn every_phase_is_sent_as_the_status_spells_it(
        #[values((Phase::Unset, ""), (Phase::Progressing, "Progressing"), (Phase::WaitingPromotion, "WaitingPromotion"),
            (Phase::Finalising, "Finalising"), (Phase::Succeeded, "Succeeded"), (Phase::Failed, "Failed"))]
        case: (Phase, &str),
    ) {
        let payload = Payload::new("podinfo", "test", case.0, &status(None, ""));
        let text = String::from_utf8(payload.json()).unwrap();
        let phase = case.1;
        assert_eq!(
            format!(r#"{{"name":"podinfo","namespace":"test","phase":"{phase}","checksum":"758df7c9fc"}}"#),
            text
        );
    }

    #[test]
    fn a_notice_adds_its_words_and_no_hook_can_replace_them() {
        // spec: 02/C92 04/WH-07
        let own = BTreeMap::from([("eventType".into(), "Mine".into()), ("env".into(), "prod".into())]);
        let notice = Notice {
            message: "Advance podinfo.test canary weight 10",
            warning: false,
            time: Utc.timestamp_millis_opt(1_792_000_123_456).unwrap(),
        };
        let payload = || Payload::new("podinfo", "test", Phase::Progressing, &status(None, ""));
        let expected = json!({
            "eventMessage": "Advance podinfo.test canary weight 10", "eventType": "Normal",
            "timestamp": "1792000123456", "env": "prod",
        });
        for payload in [payload().notice(notice).metadata(&own), payload().metadata(&own).notice(notice)] {
            assert_eq!(expected, serde_json::to_value(&payload).unwrap()["metadata"]);
        }
        let warning = payload().notice(Notice { warning: true, ..notice });
        assert_eq!("Warning", warning.metadata["eventType"]);
    }
}
