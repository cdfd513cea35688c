//! What may be done with the contents of a Secret. Who may write a Canary, a MetricTemplate or an AlertProvider chooses
//! which Secret the controller reads and whom it sends that to, without any right of their own on Secrets: the owner of
//! a Secret has to agree, by a label, and what is sent has to arrive unread.

use serde_json::Value;
use url::{Host, Url};

/// Label of a Secret: for what the controller may read it, [`Use`]s with a dot between them, `hooks.metrics` for example.
pub const USE_IN: &str = "flagger.app/use-in";

/// What the contents of a Secret are used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Headers and signatures of hooks.
    Hooks,
    /// The credentials of a MetricTemplate.
    Metrics,
    /// The address and the token of an AlertProvider.
    Alerts,
}

impl Use {
    /// As the label names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hooks => "hooks",
            Self::Metrics => "metrics",
            Self::Alerts => "alerts",
        }
    }

    /// Whether a Secret with these `labels` may be used so.
    ///
    /// # Errors
    /// What its owner has to do.
    pub fn permitted<'a>(self, labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<(), String> {
        let label = labels.into_iter().find(|(key, _)| *key == USE_IN).map(|(_, value)| value);
        if label.is_some_and(|uses| uses.split('.').any(|word| word == self.as_str())) {
            return Ok(());
        }
        Err(format!("is not released for this: its owner has to label it {USE_IN}={}", self.as_str()))
    }
}

/// Why credentials that are sent to `url` could be read on their way; `None` if they cannot, or not outside of the
/// cluster. `namespace` is that of the object that names the address; `unverified` means that any certificate is
/// accepted.
pub fn exposed(url: &str, namespace: &str, unverified: bool) -> Option<String> {
    let url = Url::parse(url).ok()?;
    let host = url.host()?;
    match url.scheme() {
        "https" if unverified => Some(format!("to {host}, whose certificate is not checked")),
        "http" if !is_local(&host, namespace) => {
            Some(format!("over plain http to {host}, which is not known to be in the cluster"))
        }
        _ => None,
    }
}

/// Whether a host is this machine, or has a name that only the cluster gives away: a bare one, one of a Service of the
/// same namespace, or one that says that it is a Service's.
fn is_local(host: &Host<&str>, namespace: &str) -> bool {
    match host {
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => {
            address.is_loopback() || address.to_ipv4_mapped().is_some_and(|inner| inner.is_loopback())
        }
        Host::Domain(name) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            let labels: Vec<&str> = name.split('.').collect();
            match labels.as_slice() {
                [_] | [.., "localhost"] | [.., "svc"] | [.., "svc", "cluster", "local"] => true,
                [_, of] => *of == namespace,
                _ => false,
            }
        }
    }
}

/// Why the credentials of a MetricTemplate, as the cluster has it, could be read on their way.
pub fn exposed_by_template(template: &Value) -> Option<String> {
    let provider = &template["spec"]["provider"];
    let address = provider["address"].as_str()?;
    let inside = Url::parse(address).is_ok_and(|url| url.password().is_some());
    if provider["secretRef"]["name"].is_null() && provider["headers"].is_null() && !inside {
        return None;
    }
    let namespace = template["metadata"]["namespace"].as_str().unwrap_or_default();
    exposed(address, namespace, provider["insecureSkipVerify"] == true)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case::hooks(&[(USE_IN, "hooks")], true)]
    #[case::among_others(&[("app", "x"), (USE_IN, "metrics.hooks")], true)]
    #[case::nothing(&[], false)]
    #[case::for_another_use(&[(USE_IN, "metrics")], false)]
    #[case::not_a_part_of_a_word(&[(USE_IN, "webhooks")], false)]
    #[case::not_a_switch(&[(USE_IN, "true")], false)]
    #[case::another_label(&[("use-in", "hooks")], false)]
    fn a_secret_is_used_for_what_its_owner_says(#[case] labels: &[(&str, &str)], #[case] permitted: bool) {
        assert_eq!(permitted, Use::Hooks.permitted(labels.iter().copied()).is_ok());
    }

    #[rstest]
    #[case::bare("http://prometheus:9090", false)]
    #[case::service("http://prometheus.monitoring.svc:9090", false)]
    #[case::in_full("http://prometheus.monitoring.svc.cluster.local:9090", false)]
    #[case::with_a_dot("http://prometheus.monitoring.svc.cluster.local.:9090", false)]
    #[case::own_namespace("http://gate.shop/", false)]
    #[case::loopback("http://127.0.0.1:9090", false)]
    #[case::loopback_six("http://[::1]:9090", false)]
    #[case::localhost("http://localhost:9090", false)]
    #[case::secure("https://metrics.example.com", false)]
    #[case::elsewhere("http://metrics.example.com", true)]
    #[case::other_namespace_or_domain("http://gate.dev/", true)]
    #[case::look_alike("http://gate.svc.example.com/", true)]
    #[case::look_alike_of_the_end("http://gatesvc.cluster.local.example.com/", true)]
    #[case::an_address("http://10.0.0.7:9090", true)]
    fn plain_http_is_for_the_cluster_alone(#[case] url: &str, #[case] is_exposed: bool) {
        assert_eq!(is_exposed, exposed(url, "shop", false).is_some());
    }

    #[test]
    fn https_without_a_check_of_the_certificate_protects_nothing() {
        let why = exposed("https://prometheus:9090", "shop", true);
        assert_eq!(Some("to prometheus, whose certificate is not checked".to_owned()), why);
    }

    #[rstest]
    #[case::no_credentials(json!({"address": "http://metrics.example.com"}), false)]
    #[case::secret(json!({"address": "http://metrics.example.com", "secretRef": {"name": "x"}}), true)]
    #[case::headers(json!({"address": "http://metrics.example.com", "headers": {"X-Key": ["x"]}}), true)]
    #[case::in_the_address(json!({"address": "http://a:b@metrics.example.com"}), true)]
    #[case::in_the_cluster(json!({"address": "http://prometheus:9090", "secretRef": {"name": "x"}}), false)]
    #[case::unverified(json!({"address": "https://a.example.com", "secretRef": {"name": "x"}, "insecureSkipVerify": true}), true)]
    #[case::no_address(json!({"secretRef": {"name": "x"}}), false)]
    fn a_template_exposes_what_it_sends(#[case] provider: Value, #[case] is_exposed: bool) {
        let template = json!({"metadata": {"namespace": "shop"}, "spec": {"provider": provider}});
        assert_eq!(is_exposed, exposed_by_template(&template).is_some());
    }
}
