//! The backends by the name that a MetricTemplate gives them.

use std::collections::BTreeMap;

use crate::api::metric_template::MetricProvider;
use crate::api::schema::MetricBackend;

use super::alertmanager::Alertmanager;
use super::cloudwatch::CloudWatch;
use super::datadog::Datadog;
use super::dynatrace::Dynatrace;
use super::external::External;
use super::graphite::Graphite;
use super::influxdb::InfluxDb;
use super::keptn::Keptn;
use super::newrelic::NewRelic;
use super::prometheus::Prometheus;
use super::splunk::Splunk;
use super::stackdriver::Stackdriver;
use super::{Error, Provider};

/// `data` of a Secret.
pub type SecretData = BTreeMap<String, Vec<u8>>;

/// A backend that can be used, and what its row in `docs/metrics.md` says.
pub struct Entry {
    /// Its type in a MetricTemplate.
    pub name: &'static str,
    /// What it is, in a line.
    pub about: &'static str,
    /// What holds without an address; [`REQUIRED`] if nothing does.
    pub address: &'static str,
    /// The keys of its Secret. Those that end in a `!` have to be there if any of these is.
    pub keys: &'static [&'static str],
    /// How far back it looks.
    pub window: &'static str,
    /// Which of several values counts.
    pub value: &'static str,
    make: Make,
}

type Make = fn(&MetricProvider, Option<&SecretData>) -> Result<Box<dyn Provider>, Error>;

/// The backend of a type. A new one is a line here, and its file.
fn entry(backend: MetricBackend) -> Entry {
    let built = |about, make: Make| Entry {
        name: backend.as_str(),
        about,
        address: REQUIRED,
        keys: &[],
        window: IN_THE_QUERY,
        value: "newest",
        make,
    };
    match backend {
        MetricBackend::Prometheus => Entry {
            keys: &[
                "token",
                "username",
                "password",
                "ca.crt",
                "tls.crt",
                "tls.key",
                "aws_access_key_id",
                "aws_secret_access_key",
                "aws_session_token",
            ],
            value: "the one of the vector",
            ..built("Prometheus, and whatever speaks its HTTP API", |spec, secret| {
                Ok(Box::new(Prometheus::new(spec, secret)?))
            })
        },
        MetricBackend::Datadog => Entry {
            address: "`https://api.datadoghq.com`",
            keys: &["datadog_api_key!", "datadog_application_key!"],
            window: TEN_INTERVALS,
            value: "oldest",
            ..built("Datadog's query API for timeseries", |spec, secret| {
                Ok(Box::new(Datadog::new(spec, secret)?))
            })
        },
        MetricBackend::NewRelic => Entry {
            address: "`https://insights-api.newrelic.com`",
            keys: &["newrelic_account_id!", "newrelic_query_key!"],
            window: "1 interval",
            value: "the one number",
            ..built("New Relic's NRQL, through Insights or NerdGraph", |spec, secret| {
                Ok(Box::new(NewRelic::new(spec, secret)?))
            })
        },
        MetricBackend::InfluxDb => Entry {
            keys: &["token!", "org!"],
            value: "first record",
            ..built("Flux queries of InfluxDB 2", |spec, secret| Ok(Box::new(InfluxDb::new(spec, secret)?)))
        },
        MetricBackend::ExternalMetrics => Entry {
            address: THE_CLUSTER,
            keys: &["token"],
            window: "–",
            value: "the one item",
            ..built("external metrics of Kubernetes", |spec, secret| {
                Ok(Box::new(External::new(spec, secret)?))
            })
        },
        MetricBackend::Graphite => Entry {
            keys: &["username!", "password!"],
            ..built("Graphite's render API", |spec, secret| Ok(Box::new(Graphite::new(spec, secret)?)))
        },
        MetricBackend::Dynatrace => Entry {
            keys: &["dynatrace_token!"],
            window: TEN_INTERVALS,
            value: "the one of the window",
            ..built("metric selectors of Dynatrace", |spec, secret| {
                Ok(Box::new(Dynatrace::new(spec, secret)?))
            })
        },
        MetricBackend::Keptn => Entry {
            address: THE_CLUSTER,
            value: "value, or 1 and 0",
            ..built("KeptnMetrics and Analyses of Keptn", |_, _| Ok(Box::new(Keptn)))
        },
        MetricBackend::Splunk => Entry {
            keys: &["sf_token_key!"],
            window: TEN_INTERVALS,
            ..built("SignalFlow programs of Splunk Observability", |spec, secret| {
                Ok(Box::new(Splunk::new(spec, secret)?))
            })
        },
        MetricBackend::Stackdriver => Entry {
            address: "Google's",
            keys: &["project!", "serviceAccountKey"],
            ..built("MQL queries of Google Cloud Monitoring", |spec, secret| {
                Ok(Box::new(Stackdriver::new(spec, secret)?))
            })
        },
        MetricBackend::CloudWatch => Entry {
            address: "by `region`",
            keys: &["aws_access_key_id!", "aws_secret_access_key!", "aws_session_token"],
            window: TEN_INTERVALS,
            ..built("metric data queries of Amazon CloudWatch", |spec, secret| {
                Ok(Box::new(CloudWatch::new(spec, secret)?))
            })
        },
        MetricBackend::Alertmanager => Entry {
            keys: &["token", "username", "password"],
            window: "now",
            value: "number of firing alerts",
            ..built("firing alerts of an Alertmanager", |spec, secret| {
                Ok(Box::new(Alertmanager::new(spec, secret)?))
            })
        },
    }
}

/// All backends that can be used.
pub fn registered() -> impl Iterator<Item = Entry> {
    MetricBackend::ALL.iter().map(|backend| entry(*backend))
}

/// The names that [`provider`] knows.
pub fn known() -> Vec<&'static str> {
    registered().map(|entry| entry.name).collect()
}

/// The backend that `spec` describes. `secret` is there if, and only if, `spec` refers to one.
///
/// # Errors
/// If its type is not known, its address no URL, or its secret lacks a key.
pub fn provider(spec: &MetricProvider, secret: Option<&SecretData>) -> Result<Box<dyn Provider>, Error> {
    match MetricBackend::of(&spec.kind).map(entry) {
        Some(entry) => (entry.make)(spec, secret),
        None => Err(Error::Provider { provider: spec.kind.clone(), known: known().join(", ") }),
    }
}

/// Of an address without which there is nothing to ask.
pub const REQUIRED: &str = "required";
const THE_CLUSTER: &str = "the cluster's API";
const IN_THE_QUERY: &str = "in the query";
const TEN_INTERVALS: &str = "10 intervals";

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn refusal(kind: &str) -> String {
        let address = Some("http://prometheus:9090".to_owned());
        let spec = MetricProvider { kind: kind.to_owned(), address, ..MetricProvider::default() };
        provider(&spec, None).err().map(|error| error.to_string()).unwrap_or_default()
    }

    // Refused where the reference guesses (docs/differences.md).
    // spec: 04/PR-36
    #[rstest]
    #[case::typo("Prometheus")]
    #[case::missing("")]
    #[case::of_another_program("wavefront")]
    fn an_unknown_provider_is_named_with_the_known_ones(#[case] kind: &str) {
        let known = known().join(", ");
        assert_eq!(format!("metrics provider {kind:?} is not known (known are: {known})"), refusal(kind));
    }

    #[test]
    fn every_provider_that_the_schema_takes_can_be_used() {
        assert_eq!(MetricBackend::NAMES, known());
    }
}
