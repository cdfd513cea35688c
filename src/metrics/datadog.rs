//! Datadog: one point of a timeseries query, the oldest of the last ten intervals, because the newest are usually
//! incomplete (spec 04 §2.4).

use serde::Deserialize;

use crate::api::metric_template::MetricProvider;
use crate::model::answer::excerpt;
use crate::model::call::{Call, Heard, Next, Secret};

use super::shared::{
    MULTIPLE, NOT_A_QUERY, SHOWN, TIMEOUT, endpoint, no_data, object, one_call, one_probe, query, required,
    window,
};
use super::{Asked, Error, Measured, Provider, SecretData};

/// An account at Datadog.
#[derive(Clone, Debug)]
pub(super) struct Datadog {
    query_url: String,
    validate_url: String,
    headers: Vec<(String, Secret)>,
}

impl Datadog {
    /// # Errors
    /// If the address is no URL, or the secret lacks one of the two keys.
    pub fn new(spec: &MetricProvider, secret: Option<&SecretData>) -> Result<Self, Error> {
        let address = spec.address.as_deref().unwrap_or_default().trim();
        let address = if address.is_empty() { DEFAULT_ADDRESS } else { address };
        let header = |name: &str, key: &str| {
            let value = required(PROVIDER, secret, key, &format!("does not contain {key}"))?;
            Ok::<_, Error>((name.to_owned(), Secret::new(value)))
        };
        Ok(Self {
            query_url: endpoint(PROVIDER, address, "/api/v1/query")?,
            validate_url: endpoint(PROVIDER, address, "/api/v1/validate")?,
            headers: vec![
                header("DD-API-KEY", "datadog_api_key")?,
                header("DD-APPLICATION-KEY", "datadog_application_key")?,
            ],
        })
    }

    fn get(&self, url: &str) -> Call {
        Call { headers: self.headers.clone(), timeout: TIMEOUT, ..Call::get(url) }
    }

    fn ask(&self, asked: &Asked) -> Result<Call, String> {
        let (from, to) = window(asked);
        let parameter = |name: &str, value: String| (name.to_owned(), value);
        Ok(Call {
            query: vec![
                parameter("from", from.timestamp().to_string()),
                parameter("query", query(PROVIDER, asked)?),
                parameter("to", to.timestamp().to_string()),
            ],
            ..self.get(&self.query_url)
        })
    }
}

impl Provider for Datadog {
    fn name(&self) -> &'static str {
        PROVIDER
    }

    fn next(&self, asked: &Asked, heard: &[Heard]) -> Next<Measured> {
        one_call(PROVIDER, heard, || self.ask(asked), read)
    }

    fn probe(&self, _: &Asked, heard: &[Heard]) -> Next<Result<(), String>> {
        one_probe(PROVIDER, heard, || self.get(&self.validate_url), |_| Ok(()))
    }
}

/// The parts of an answer that count.
#[derive(Deserialize)]
struct Answered {
    #[serde(default)]
    status: String,
    #[serde(default)]
    error: Option<String>,
    series: Option<Vec<Series>>,
}

#[derive(Deserialize)]
struct Series {
    /// Pairs of time and value; a value may be null.
    pointlist: Vec<Vec<Option<f64>>>,
}

fn read(body: &[u8]) -> Result<Measured, String> {
    let Answered { status, error, series } = object(body)?;
    let error = error.filter(|error| !error.is_empty());
    if status == "error" || error.is_some() {
        return Err(format!("the query failed: {}", excerpt(error.unwrap_or(status).as_bytes(), SHOWN)));
    }
    let series = series.ok_or_else(|| format!("{NOT_A_QUERY}: it has no series"))?;
    let points = match series.as_slice() {
        [] => return Ok(no_data(PROVIDER, body)),
        [one] => &one.pointlist,
        many => return Err(format!("{MULTIPLE}: {} series, make them one with sum: or max:", many.len())),
    };
    for point in points {
        match point.as_slice() {
            // A bucket without samples is null, and null is not zero.
            [_, None] | [] => {}
            [_, Some(value)] => return Ok(Measured::number(*value)),
            other => return Err(format!("a point has {} parts, not time and value", other.len())),
        }
    }
    Ok(no_data(PROVIDER, body))
}

const PROVIDER: &str = "datadog";
const DEFAULT_ADDRESS: &str = "https://api.datadoghq.com";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rstest::rstest;

    use super::*;
    use crate::metrics::testing::{answered, asked, secret};
    use crate::model::call::{Answer, What};

    fn datadog(address: Option<&str>) -> Result<Datadog, Error> {
        let spec = MetricProvider { address: address.map(str::to_owned), ..MetricProvider::default() };
        let keys = [("datadog_api_key", "api-k3y\n"), ("datadog_application_key", "app-k3y")];
        Datadog::new(&spec, Some(&secret(&keys)))
    }

    fn measured(body: &str) -> Measured {
        match datadog(None).expect("valid").next(&asked("q"), &[answered(200, body.as_bytes())]) {
            Next::Done(measured) => measured,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_query_looks_back_over_ten_intervals_with_both_keys() {
        // spec: 04/PR-15
        let datadog = datadog(None).expect("valid");
        let Next::Send(call) = datadog.next(&asked("avg:errors{*}\n"), &[]) else { panic!("no call") };
        assert_eq!("https://api.datadoghq.com/api/v1/query", call.url());
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            vec![pair("from", "1784634600"), pair("query", "avg:errors{*}"), pair("to", "1784635200")],
            call.query
        );
        let header = |name: &str, value: &str| (name.to_owned(), Secret::from(value));
        assert_eq!(
            vec![header("DD-API-KEY", "api-k3y"), header("DD-APPLICATION-KEY", "app-k3y")],
            call.headers
        );
        assert_eq!(Duration::from_secs(5), call.timeout);
    }

    #[rstest]
    #[case::own(Some("https://api.datadoghq.eu/"), "https://api.datadoghq.eu/api/v1/validate")]
    #[case::behind_a_path(Some("http://proxy/dd"), "http://proxy/dd/api/v1/validate")]
    #[case::blank(Some(" "), "https://api.datadoghq.com/api/v1/validate")]
    fn it_is_there_if_it_takes_the_keys(#[case] address: Option<&str>, #[case] url: &str) {
        // spec: 04/PR-17
        let datadog = datadog(address).expect("valid");
        let Next::Send(call) = datadog.probe(&asked(""), &[]) else { panic!("no call") };
        assert_eq!((url, 2), (call.url(), call.headers.len()));
        assert_eq!(Next::Done(Ok(())), datadog.probe(&asked(""), &[answered(200, b"{\"valid\":true}")]));
        let refused = "datadog error response: Forbidden: 403 Forbidden".to_owned();
        let answer = answered(403, b"{\"errors\":[\"Forbidden\"]}");
        assert_eq!(Next::Done(Err(refused)), datadog.probe(&asked(""), &[answer]));
    }

    #[rstest]
    #[case::nothing(&[], "datadog credentials does not contain datadog_api_key")]
    #[case::blank(&[("datadog_api_key", "\n")], "datadog credentials does not contain datadog_api_key")]
    #[case::one(&[("datadog_api_key", "k")], "datadog credentials does not contain datadog_application_key")]
    fn both_keys_are_needed(#[case] pairs: &[(&str, &str)], #[case] expected: &str) {
        let spec = MetricProvider::default();
        assert_eq!(expected, Datadog::new(&spec, Some(&secret(pairs))).unwrap_err().to_string());
        let without = Datadog::new(&spec, None).unwrap_err().to_string();
        assert_eq!("datadog credentials does not contain datadog_api_key", without);
    }

    #[test]
    fn an_address_that_is_no_url_is_named() {
        let error = datadog(Some("datadog")).unwrap_err();
        assert_eq!("datadog address datadog is not a valid URL", error.to_string());
    }

    #[rstest]
    #[case::oldest("[1,5.5],[2,6]", 5.5)]
    #[case::null_is_not_zero("[1,null],[2,6]", 6.0)]
    #[case::empty_pair("[],[2,0]", 0.0)]
    fn the_oldest_point_with_a_value_counts(#[case] points: &str, #[case] value: f64) {
        // spec: 04/PR-15 04/PR-16
        let body = format!(r#"{{"status":"ok","series":[{{"pointlist":[{points}]}}]}}"#);
        assert_eq!(Measured::Value(value), measured(&body));
    }

    #[rstest]
    #[case::half_a_pair(
        r#"{"series":[{"pointlist":[[1]]}]}"#,
        "datadog: a point has 1 parts, not time and value"
    )]
    #[case::error_inside(r#"{"status":"error","error":"bad query"}"#, "datadog: the query failed: bad query")]
    fn what_is_no_value_says_why(#[case] body: &str, #[case] why: &str) {
        assert_eq!(Measured::Failed(why.into()), measured(body));
    }

    #[test]
    fn a_rate_limit_says_when_to_come_back() {
        let mut answer = Answer::new(429, "slow down");
        answer.retry_after = Some(Duration::from_secs(30));
        let expected = "datadog error response: slow down: 429 Too Many Requests (try again after 30s)";
        let heard = [Heard { after: Duration::ZERO, what: What::Answer(answer) }];
        let step = datadog(None).expect("valid").next(&asked("q"), &heard);
        assert_eq!(Next::Done(Measured::Failed(expected.into())), step);
    }
}
