//! Dynatrace: one number that a metric selector gives for the last ten intervals (spec 04 §2.10).

use serde::Deserialize;

use crate::api::metric_template::MetricProvider;
use crate::model::answer::excerpt;
use crate::model::call::{Call, Heard, Next, Secret};

use super::shared::{
    MULTIPLE, NOT_A_QUERY, SHOWN, TIMEOUT, endpoint, no_data, object, one_call, one_probe, query, required,
    window,
};
use super::{Asked, Error, Measured, Provider, SecretData};

/// An environment of Dynatrace.
#[derive(Clone, Debug)]
pub(super) struct Dynatrace {
    query_url: String,
    metrics_url: String,
    token: Secret,
}

impl Dynatrace {
    /// # Errors
    /// If there is no address, it is no URL, or the secret lacks the token.
    pub fn new(spec: &MetricProvider, secret: Option<&SecretData>) -> Result<Self, Error> {
        let address = spec.address.as_deref().unwrap_or_default().trim();
        if address.is_empty() {
            return Err(Error::NoEndpoint { provider: PROVIDER });
        }
        let token = required(PROVIDER, secret, TOKEN, &format!("does not contain {TOKEN}"))?;
        Ok(Self {
            query_url: endpoint(PROVIDER, address, "/api/v2/metrics/query")?,
            metrics_url: endpoint(PROVIDER, address, "/api/v2/metrics")?,
            token: format!("Api-Token {token}").into(),
        })
    }

    fn get(&self, url: &str, query: Vec<(String, String)>) -> Call {
        let headers = vec![("Authorization".to_owned(), self.token.clone())];
        Call { query, headers, timeout: TIMEOUT, ..Call::get(url) }
    }

    fn ask(&self, asked: &Asked) -> Result<Call, String> {
        let (from, to) = window(asked);
        let parameter = |name: &str, value: String| (name.to_owned(), value);
        let parameters = vec![
            parameter("from", from.timestamp_millis().to_string()),
            parameter("metricSelector", query(PROVIDER, asked)?),
            parameter("resolution", "Inf".to_owned()),
            parameter("to", to.timestamp_millis().to_string()),
        ];
        Ok(self.get(&self.query_url, parameters))
    }
}

impl Provider for Dynatrace {
    fn name(&self) -> &'static str {
        PROVIDER
    }

    fn next(&self, asked: &Asked, heard: &[Heard]) -> Next<Measured> {
        one_call(PROVIDER, heard, || self.ask(asked), read)
    }

    fn probe(&self, _: &Asked, heard: &[Heard]) -> Next<Result<(), String>> {
        let page = vec![("pageSize".to_owned(), "1".to_owned())];
        one_probe(PROVIDER, heard, || self.get(&self.metrics_url, page), |_| Ok(()))
    }
}

/// The parts of an answer that count.
#[derive(Deserialize)]
struct Answered {
    result: Option<Vec<Metric>>,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Metric {
    #[serde(default)]
    data: Vec<Series>,
    #[serde(default)]
    warnings: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Series {
    /// A value may be null.
    #[serde(default)]
    values: Vec<Option<f64>>,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    message: String,
}

fn read(body: &[u8]) -> Result<Measured, String> {
    let Answered { result, error } = object(body)?;
    if let Some(error) = error {
        return Err(format!("the query failed: {}", excerpt(error.message.as_bytes(), SHOWN)));
    }
    let metrics = result.ok_or_else(|| format!("{NOT_A_QUERY}: it has no result"))?;
    let series: Vec<&Series> = metrics.iter().flat_map(|metric| &metric.data).collect();
    match series.as_slice() {
        [] => Ok(with_warnings(&metrics, body)),
        [one] => {
            // A slot without data is null, and null is not zero.
            let value = one.values.iter().flatten().next();
            Ok(value.map_or_else(|| with_warnings(&metrics, body), |value| Measured::number(*value)))
        }
        many => Err(format!("{MULTIPLE}: {} series, make them one with :splitBy()", many.len())),
    }
}

/// There is nothing to judge; a warning says why more plainly than the rest of the answer.
fn with_warnings(metrics: &[Metric], body: &[u8]) -> Measured {
    let warning = metrics.iter().filter_map(|metric| metric.warnings.as_ref()).flatten().next();
    no_data(PROVIDER, warning.map_or(body, |warning| warning.as_bytes()))
}

const PROVIDER: &str = "dynatrace";
const TOKEN: &str = "dynatrace_token";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rstest::rstest;

    use super::*;
    use crate::metrics::testing::{answered, asked, secret};

    fn dynatrace(address: &str, pairs: &[(&str, &str)]) -> Result<Dynatrace, Error> {
        let spec = MetricProvider { address: Some(address.to_owned()), ..MetricProvider::default() };
        Dynatrace::new(&spec, Some(&secret(pairs)))
    }

    fn valid() -> Dynatrace {
        dynatrace("https://abc.live.dynatrace.com/", &[(TOKEN, "dt0c01.x\n")]).expect("valid")
    }

    fn measured(body: &str) -> Measured {
        match valid().next(&asked("q"), &[answered(200, body.as_bytes())]) {
            Next::Done(measured) => measured,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_query_looks_back_over_ten_intervals() {
        // spec: 04/PR-29
        let selector = "builtin:service.errors.total.rate:filter(eq(\"dt.entity.service\",SERVICE-1))";
        let Next::Send(call) = valid().next(&asked(selector), &[]) else { panic!("no call") };
        assert_eq!("https://abc.live.dynatrace.com/api/v2/metrics/query", call.url());
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = [
            pair("from", "1784634600000"),
            pair("metricSelector", selector),
            pair("resolution", "Inf"),
            pair("to", "1784635200000"),
        ];
        assert_eq!(expected, call.query.as_slice());
        assert_eq!(vec![("Authorization".to_owned(), Secret::from("Api-Token dt0c01.x"))], call.headers);
        assert_eq!(Duration::from_secs(5), call.timeout);
    }

    #[rstest]
    #[case::value(r#"[{"data":[{"values":[1.5]}]}]"#, Measured::Value(1.5))]
    #[case::null_is_not_zero(r#"[{"data":[{"values":[null,2]}]}]"#, Measured::Value(2.0))]
    #[case::two_metrics(r#"[{"data":[{"values":[1]}]},{"data":[{"values":[1]}]}]"#, Measured::Failed("dynatrace: query returned multiple values: 2 series, make them one with :splitBy()".into()))]
    #[case::warning(r#"[{"data":[],"warnings":["too few samples"]}]"#, Measured::NoData("dynatrace invalid response: too few samples: no values found".into()))]
    #[case::nulls(r#"[{"data":[{"values":[null]}],"warnings":null}]"#, Measured::NoData("dynatrace invalid response: (JSON of 57 bytes, in the log at level debug): no values found".into()))]
    #[case::no_values(r#"[{"data":[{"values":[]}]}]"#, Measured::NoData("dynatrace invalid response: (JSON of 37 bytes, in the log at level debug): no values found".into()))]
    fn the_one_value_counts(#[case] result: &str, #[case] expected: Measured) {
        // spec: 04/PR-29 04/PR-30
        assert_eq!(expected, measured(&format!(r#"{{"result":{result}}}"#)));
    }

    #[test]
    fn it_is_there_if_it_lists_a_metric() {
        let Next::Send(call) = valid().probe(&asked(""), &[]) else { panic!("no call") };
        assert_eq!("https://abc.live.dynatrace.com/api/v2/metrics", call.url());
        assert_eq!(vec![("pageSize".to_owned(), "1".to_owned())], call.query);
        assert_eq!(Next::Done(Ok(())), valid().probe(&asked(""), &[answered(200, b"{}")]));
    }

    #[rstest]
    #[case::no_address(" ", &[(TOKEN, "t")], "dynatrace endpoint is not set")]
    #[case::bad_address("dynatrace", &[(TOKEN, "t")], "dynatrace address dynatrace is not a valid URL")]
    #[case::no_token("http://dynatrace", &[], "dynatrace credentials does not contain dynatrace_token")]
    fn address_and_token_are_needed(
        #[case] address: &str,
        #[case] pairs: &[(&str, &str)],
        #[case] expected: &str,
    ) {
        assert_eq!(expected, dynatrace(address, pairs).unwrap_err().to_string());
    }
}
