//! `spec.analysis.webhooks` and `spec.analysis.alerts` (spec 01 §1.6, 02 §6).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::metric_template::SecretRef;
use super::reference::CrossRef;

/// An HTTP endpoint that is asked or told at a moment of the release.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    /// Name that events call it by.
    pub name: String,
    /// Where the payload is posted to.
    pub url: String,
    /// When it is called; during every step when unset.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<HookType>,
    /// Of one attempt; `10s` when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = super::schema::DURATION))]
    pub timeout: Option<String>,
    /// Further attempts after the first.
    #[serde(default, deserialize_with = "super::number::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64")]
    pub retries: Option<i64>,
    /// Accept any certificate.
    #[serde(default, rename = "disableTLS", skip_serializing_if = "Option::is_none")]
    pub disable_tls: Option<bool>,
    /// No alert while this gate is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mute_alert: Option<bool>,
    /// Sent along in the payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
    /// Additive: headers of the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers_from: Option<HeadersFrom>,
    /// Additive: proves to the receiver who calls, and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
    /// Additive: events are sent as CloudEvents (1.0), in this mode of their binding to HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud_events: Option<CloudEvents>,
}

/// The modes of the binding of CloudEvents to HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CloudEvents {
    /// The attributes are headers, and the body is what hooks are always sent.
    Binary,
    /// The body is JSON with the attributes, and `data` is what hooks are always sent.
    Structured,
}

/// Headers from a Secret of the Canary's namespace: each key is a name, with its value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeadersFrom {
    #[expect(missing_docs, reason = "the CRD shows every sentence; the type says all there is to say")]
    pub secret_ref: SecretRef,
}

/// An HMAC-SHA256 with a key from a Secret of the Canary's namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Signature {
    #[expect(missing_docs, reason = "the CRD shows every sentence; the type says all there is to say")]
    pub secret_ref: SecretKeyRef,
}

/// One key of a Secret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret.
    pub name: String,
    /// Name of the key in it; `key` when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// The moment at which a hook is called. The empty string is `rollout`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HookType {
    /// The empty string, which means `rollout`.
    #[serde(rename = "")]
    Unset,
    /// A gate before a release starts.
    ConfirmRollout,
    /// A check at the first step, before the canary gets traffic.
    PreRollout,
    /// A check at every further step.
    #[default]
    Rollout,
    /// A gate before the promotion.
    ConfirmPromotion,
    /// A call after the end of a release; its answer changes nothing.
    PostRollout,
    /// A call for every event of the Canary.
    Event,
    /// A question at every step; an answer of success rolls the release back.
    Rollback,
    /// A gate before the canary gets more traffic.
    ConfirmTrafficIncrease,
}

/// An alert channel of a Canary.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlertRef {
    /// Any name.
    pub name: String,
    /// Least severity that is sent; `info` when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// The AlertProvider to send through.
    pub provider_ref: CrossRef,
}

/// How bad it is; a channel gets alerts of its severity and worse. The empty string is `info`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The empty string, which means `info`.
    #[serde(rename = "")]
    Unset,
    /// Something went as it should.
    #[default]
    Info,
    /// Somebody is waited for, or has rolled back.
    Warn,
    /// A release has failed.
    Error,
}

impl Severity {
    /// The word in manifests; `info` where the manifest says nothing.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unset | Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}
