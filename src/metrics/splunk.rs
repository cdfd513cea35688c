//! Splunk Observability, the former SignalFx: the newest value of a SignalFlow program over the last ten intervals
//! (spec 04 §2.11). The program runs over HTTP, which the service offers beside its web socket: proxies, time limits and
//! size limits hold for it as for every other call, and nothing stays open.

use std::time::Duration;

use url::Url;

use crate::api::metric_template::MetricProvider;
use crate::model::call::{Body, Call, Heard, Next, Secret};

use super::shared::{TIMEOUT, endpoint, one_call, one_probe, query, required, window};
use super::{Asked, Error, Measured, Provider, SecretData};

mod stream;

/// An organisation at Splunk Observability.
#[derive(Clone, Debug)]
pub(super) struct Splunk {
    execute_url: String,
    metric_url: String,
    token: Secret,
}

impl Splunk {
    /// # Errors
    /// If there is no address, it is no URL, or the secret lacks the token.
    pub fn new(spec: &MetricProvider, secret: Option<&SecretData>) -> Result<Self, Error> {
        let address = spec.address.as_deref().unwrap_or_default().trim();
        if address.is_empty() {
            return Err(Error::NoEndpoint { provider: PROVIDER });
        }
        let token = required(PROVIDER, secret, TOKEN, &format!("does not contain {TOKEN}"))?;
        Ok(Self {
            execute_url: endpoint(PROVIDER, &sibling(address, "api", "stream"), "/v2/signalflow/execute")?,
            metric_url: endpoint(PROVIDER, &sibling(address, "stream", "api"), "/v2/metric")?,
            token: token.into(),
        })
    }

    fn execute(&self, asked: &Asked) -> Result<Call, String> {
        let program = query(PROVIDER, asked)?;
        let (from, to) = window(asked);
        let parameter = |name: &str, value: String| (name.to_owned(), value);
        let body = Body::Raw { content_type: "text/plain".to_owned(), bytes: program.into_bytes() };
        Ok(Call {
            query: vec![
                parameter("start", from.timestamp_millis().to_string()),
                parameter("stop", to.timestamp_millis().to_string()),
                parameter("immediate", "true".to_owned()),
            ],
            headers: self.headers(),
            timeout: LONGEST,
            ..Call::post(&self.execute_url, body)
        })
    }

    fn headers(&self) -> Vec<(String, Secret)> {
        vec![("X-SF-Token".to_owned(), self.token.clone())]
    }
}

impl Provider for Splunk {
    fn name(&self) -> &'static str {
        PROVIDER
    }

    fn next(&self, asked: &Asked, heard: &[Heard]) -> Next<Measured> {
        one_call(PROVIDER, heard, || self.execute(asked), stream::read)
    }

    fn probe(&self, _: &Asked, heard: &[Heard]) -> Next<Result<(), String>> {
        let call = || Call {
            query: vec![("limit".to_owned(), "1".to_owned())],
            headers: self.headers(),
            timeout: TIMEOUT,
            ..Call::get(&self.metric_url)
        };
        one_probe(PROVIDER, heard, call, |_| Ok(()))
    }
}

/// `address` over HTTP, at the host whose first label is `to` if it is `from`: `api.us1…` and `stream.us1…` are two
/// doors of one service, and people know it by either.
fn sibling(address: &str, from: &str, to: &str) -> String {
    let Ok(mut url) = Url::parse(address) else { return address.to_owned() };
    let scheme = match url.scheme() {
        "ws" => "http".to_owned(),
        "wss" => "https".to_owned(),
        other => other.to_owned(),
    };
    // Both fail only for URLs that are refused by the next who looks at them.
    let _ = url.set_scheme(&scheme);
    let rest = url.host_str().and_then(|host| host.strip_prefix(from));
    if let Some(rest) = rest.filter(|rest| rest.starts_with('.')).map(str::to_owned) {
        let _ = url.set_host(Some(&format!("{to}{rest}")));
    }
    url.into()
}

const PROVIDER: &str = "splunk";
const TOKEN: &str = "sf_token_key";
/// From the first byte sent to the last byte of the stream.
const LONGEST: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::metrics::testing::{answered, asked, secret};
    use crate::model::call::Method;

    fn splunk(address: &str, pairs: &[(&str, &str)]) -> Result<Splunk, Error> {
        let spec = MetricProvider { address: Some(address.to_owned()), ..MetricProvider::default() };
        Splunk::new(&spec, Some(&secret(pairs)))
    }

    fn valid() -> Splunk {
        splunk("https://api.us1.signalfx.com", &[(TOKEN, "t0ken\n")]).expect("valid")
    }

    #[rstest]
    #[case::api(
        "https://api.us1.signalfx.com",
        "https://stream.us1.signalfx.com",
        "https://api.us1.signalfx.com"
    )]
    #[case::stream(
        "wss://stream.us1.signalfx.com/",
        "https://stream.us1.signalfx.com",
        "https://api.us1.signalfx.com"
    )]
    #[case::plain(
        "ws://stream.us1.signalfx.com",
        "http://stream.us1.signalfx.com",
        "http://api.us1.signalfx.com"
    )]
    #[case::words_elsewhere(
        "https://news.shop.test/api/stream",
        "https://news.shop.test/api/stream",
        "https://news.shop.test/api/stream"
    )]
    #[case::longer_label(
        "https://apis.shop.test:8443",
        "https://apis.shop.test:8443",
        "https://apis.shop.test:8443"
    )]
    fn both_doors_follow_from_the_address(#[case] address: &str, #[case] stream: &str, #[case] api: &str) {
        // spec: 04/PR-31
        let splunk = splunk(address, &[(TOKEN, "t")]).expect("valid");
        assert_eq!(format!("{stream}/v2/signalflow/execute"), splunk.execute_url);
        assert_eq!(format!("{api}/v2/metric"), splunk.metric_url);
    }

    #[test]
    fn a_program_runs_over_the_last_ten_intervals_within_a_time_limit() {
        // spec: 04/PR-31 04/PR-32
        let program = "data('errors', filter=filter('app', 'podinfo')).sum().publish()";
        let Next::Send(call) = valid().next(&asked(program), &[]) else { panic!("no call") };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected =
            [pair("start", "1784634600000"), pair("stop", "1784635200000"), pair("immediate", "true")];
        assert_eq!((Method::Post, expected.as_slice()), (call.method, call.query.as_slice()));
        assert_eq!(vec![("X-SF-Token".to_owned(), Secret::from("t0ken"))], call.headers);
        assert_eq!(
            (Some("text/plain"), program.as_bytes().to_vec()),
            (call.body.content_type(), call.body.bytes())
        );
        assert_eq!((Duration::from_secs(15), 0), (call.timeout, call.retries));
    }

    #[test]
    fn it_is_there_if_it_lists_a_metric() {
        // spec: 04/PR-31
        let Next::Send(call) = valid().probe(&asked(""), &[]) else { panic!("no call") };
        assert_eq!("https://api.us1.signalfx.com/v2/metric", call.url());
        assert_eq!(vec![("limit".to_owned(), "1".to_owned())], call.query);
        assert_eq!(vec![("X-SF-Token".to_owned(), Secret::from("t0ken"))], call.headers);
        assert_eq!(Next::Done(Ok(())), valid().probe(&asked(""), &[answered(200, b"{}")]));
        let refused = "splunk error response: no: 401 Unauthorized".to_owned();
        assert_eq!(Next::Done(Err(refused)), valid().probe(&asked(""), &[answered(401, b"no")]));
    }

    #[rstest]
    #[case::no_address("", &[(TOKEN, "t")], "splunk endpoint is not set")]
    #[case::bad_address("splunk", &[(TOKEN, "t")], "splunk address splunk is not a valid URL")]
    #[case::no_token("https://api.us1.signalfx.com", &[], "splunk credentials does not contain sf_token_key")]
    fn address_and_token_are_needed(
        #[case] address: &str,
        #[case] pairs: &[(&str, &str)],
        #[case] expected: &str,
    ) {
        assert_eq!(expected, splunk(address, pairs).unwrap_err().to_string());
    }
}
