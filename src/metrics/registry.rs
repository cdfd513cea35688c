//! The backends by the name that a MetricTemplate gives them.

use std::collections::BTreeMap;

use crate::api::metric_template::MetricProvider;

use super::prometheus::Prometheus;
use super::{Error, Provider};

/// `data` of a Secret.
pub type SecretData = BTreeMap<String, Vec<u8>>;

/// The names that [`provider`] knows.
pub const KNOWN: &[&str] = &["prometheus"];

/// The backend that `spec` describes. `secret` is there if, and only if, `spec` refers to one.
///
/// # Errors
/// If its type is not known, its address no URL, or its secret lacks a key.
pub fn provider(spec: &MetricProvider, secret: Option<&SecretData>) -> Result<Box<dyn Provider>, Error> {
    match spec.kind.as_str() {
        "prometheus" => Ok(Box::new(Prometheus::new(spec, secret)?)),
        other => Err(Error::Provider { provider: other.to_owned(), known: KNOWN.join(", ") }),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn spec(kind: &str) -> MetricProvider {
        let address = Some("http://prometheus:9090".to_owned());
        MetricProvider { kind: kind.to_owned(), address, ..MetricProvider::default() }
    }

    #[test]
    fn every_known_provider_can_be_made() {
        for kind in KNOWN {
            assert!(provider(&spec(kind), None).is_ok(), "{kind}");
        }
    }

    #[rstest]
    #[case::not_yet("datadog", "metrics provider \"datadog\" is not known (known are: prometheus)")]
    #[case::typo("Prometheus", "metrics provider \"Prometheus\" is not known (known are: prometheus)")]
    #[case::missing("", "metrics provider \"\" is not known (known are: prometheus)")]
    fn an_unknown_provider_is_named_with_the_known_ones(#[case] kind: &str, #[case] expected: &str) {
        assert_eq!(
            Some(expected.to_owned()),
            provider(&spec(kind), None).err().map(|error| error.to_string())
        );
    }
}
