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

/// A backend that can be used.
pub struct Entry {
    /// Its type in a MetricTemplate.
    pub name: &'static str,
    /// What it is, in a line.
    pub about: &'static str,
    make: Make,
}

type Make = fn(&MetricProvider, Option<&SecretData>) -> Result<Box<dyn Provider>, Error>;

/// The backend of a type. A new one is a line here, and its file.
fn entry(backend: MetricBackend) -> Entry {
    let built = |about, make: Make| Entry { name: backend.as_str(), about, make };
    match backend {
        MetricBackend::Prometheus => built("Prometheus, and whatever speaks its HTTP API", |spec, secret| {
            Ok(Box::new(Prometheus::new(spec, secret)?))
        }),
        MetricBackend::Datadog => built("Datadog's query API for timeseries", |spec, secret| {
            Ok(Box::new(Datadog::new(spec, secret)?))
        }),
        MetricBackend::NewRelic => {
            built("New Relic's NRQL, through Insights or NerdGraph", |spec, secret| {
                Ok(Box::new(NewRelic::new(spec, secret)?))
            })
        }
        MetricBackend::InfluxDb => {
            built("Flux queries of InfluxDB 2", |spec, secret| Ok(Box::new(InfluxDb::new(spec, secret)?)))
        }
        MetricBackend::ExternalMetrics => {
            built("external metrics of Kubernetes", |spec, secret| Ok(Box::new(External::new(spec, secret)?)))
        }
        MetricBackend::Graphite => {
            built("Graphite's render API", |spec, secret| Ok(Box::new(Graphite::new(spec, secret)?)))
        }
        MetricBackend::Dynatrace => {
            built("metric selectors of Dynatrace", |spec, secret| Ok(Box::new(Dynatrace::new(spec, secret)?)))
        }
        MetricBackend::Keptn => built("KeptnMetrics and Analyses of Keptn", |_, _| Ok(Box::new(Keptn))),
        MetricBackend::Splunk => built("SignalFlow programs of Splunk Observability", |spec, secret| {
            Ok(Box::new(Splunk::new(spec, secret)?))
        }),
        MetricBackend::Stackdriver => built("MQL queries of Google Cloud Monitoring", |spec, secret| {
            Ok(Box::new(Stackdriver::new(spec, secret)?))
        }),
        MetricBackend::CloudWatch => built("metric data queries of Amazon CloudWatch", |spec, secret| {
            Ok(Box::new(CloudWatch::new(spec, secret)?))
        }),
        MetricBackend::Alertmanager => built("firing alerts of an Alertmanager", |spec, secret| {
            Ok(Box::new(Alertmanager::new(spec, secret)?))
        }),
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
