//! The `AlertProvider` kind: where alerts go (spec 01 §2.2).

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::metric_template::SecretRef;

/// A chat service and its address.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "flagger.app",
    version = "v1beta1",
    kind = "AlertProvider",
    plural = "alertproviders",
    singular = "alertprovider",
    category = "all",
    namespaced,
    derive = "PartialEq",
    derive = "Default",
    annotation("helm.sh/resource-policy", "keep"),
    printcolumn = r#"{"name": "Type", "type": "string", "jsonPath": ".spec.type"}"#,
    schema = "disabled"
)]
#[serde(rename_all = "camelCase")]
// Both may be given, as documented examples do: the Secret wins (spec 04 A2).
#[schemars(extend("anyOf" = [{"required": ["type", "address"]}, {"required": ["type", "secretRef"]}]))]
pub struct AlertProviderSpec {
    /// Which chat service it is.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = super::schema::AlertService::NAMES))]
    pub kind: Option<String>,
    /// Channel to post to; `general` when unset. The room of Matrix, the environment of a GitHub deployment,
    /// the recipients of mails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// Name to post under; `flagger` when unset. The sender of mails, as in `Releases <releases@example.com>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Webhook URL, or that of a mail server (`smtps://…`); `secretRef` wins over it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// URL of an HTTP proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// Secret with the key `address`, and for some services `token`, `signingKey`, or `username` and
    /// `password`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
    /// Additive: what is said of one release stands in one thread (Slack with a token, Google Chat, Matrix, mails).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<bool>,
    /// Additive: the JSON that a `webhook` is sent, with holes such as `{{ message }}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
}
