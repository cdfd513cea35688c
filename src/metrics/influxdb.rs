//! InfluxDB 2, and 1.8 through its newer API: the first record of a Flux query (spec 04 §2.8).

use std::time::Duration;

use serde_json::json;

use crate::api::metric_template::MetricProvider;
use crate::model::call::{Body, Call, Heard, Next, Secret};

use super::shared::{endpoint, one_call, one_probe, query, required};
use super::{Asked, Error, Measured, Provider, SecretData};

mod answer;

/// An InfluxDB server.
#[derive(Clone, Debug)]
pub(super) struct InfluxDb {
    url: String,
    /// Organisation and value of `Authorization`, if there is a secret.
    account: Option<(String, Secret)>,
}

impl InfluxDb {
    /// # Errors
    /// If the address is no URL, or the secret lacks token or organisation.
    pub fn new(spec: &MetricProvider, secret: Option<&SecretData>) -> Result<Self, Error> {
        let url = endpoint(PROVIDER, spec.address.as_deref().unwrap_or_default().trim(), "/api/v2/query")?;
        let account = match secret {
            None => None,
            Some(_) => {
                let token = required(PROVIDER, secret, "token", "does not contain an authentication token")?;
                let org = required(PROVIDER, secret, "org", "does not contain an organisation")?;
                Some((org, format!("Token {token}").into()))
            }
        };
        Ok(Self { url, account })
    }

    fn ask(&self, flux: &str) -> Call {
        let dialect =
            json!({"annotations": ["datatype", "group", "default"], "delimiter": ",", "header": true});
        let body = json!({"dialect": dialect, "query": flux, "type": "flux"});
        let account = self.account.as_ref();
        Call {
            query: account.map(|(org, _)| ("org".to_owned(), org.clone())).into_iter().collect(),
            headers: account
                .map(|(_, token)| ("Authorization".to_owned(), token.clone()))
                .into_iter()
                .collect(),
            timeout: TIMEOUT,
            ..Call::post(&self.url, Body::json(&body))
        }
    }
}

impl Provider for InfluxDb {
    fn name(&self) -> &'static str {
        PROVIDER
    }

    fn next(&self, asked: &Asked, heard: &[Heard]) -> Next<Measured> {
        one_call(PROVIDER, heard, || Ok(self.ask(&query(PROVIDER, asked)?)), answer::read)
    }

    fn probe(&self, _: &Asked, heard: &[Heard]) -> Next<Result<(), String>> {
        one_probe(PROVIDER, heard, || self.ask(PROBE), answer::check)
    }
}

const PROVIDER: &str = "influxdb";
const TIMEOUT: Duration = Duration::from_secs(15);
/// What the token may see, which needs no bucket of a certain name.
const PROBE: &str = "buckets() |> limit(n: 1)";

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::Value;

    use super::*;
    use crate::metrics::testing::{answered, asked, secret};

    fn influxdb(address: &str, pairs: Option<&[(&str, &str)]>) -> Result<InfluxDb, Error> {
        let spec = MetricProvider { address: Some(address.to_owned()), ..MetricProvider::default() };
        InfluxDb::new(&spec, pairs.map(secret).as_ref())
    }

    const ACCOUNT: Option<&[(&str, &str)]> = Some(&[("token", "t0ken\n"), ("org", "shop & co")]);

    fn sent(step: Next<Measured>) -> Call {
        match step {
            Next::Send(call) => *call,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_query_is_posted_as_flux() {
        // spec: 04/PR-25
        let flux = "from(bucket: \"app\")\n  |> range(start: -1m)\n  |> mean()\n";
        let call = sent(influxdb("http://influxdb:8086/", ACCOUNT).expect("valid").next(&asked(flux), &[]));
        assert_eq!("http://influxdb:8086/api/v2/query", call.url());
        assert_eq!(vec![("org".to_owned(), "shop & co".to_owned())], call.query);
        assert_eq!(vec![("Authorization".to_owned(), Secret::from("Token t0ken"))], call.headers);
        assert_eq!(
            (Some("application/json"), Duration::from_secs(15)),
            (call.body.content_type(), call.timeout)
        );
        let expected = json!({
            "dialect": {"annotations": ["datatype", "group", "default"], "delimiter": ",", "header": true},
            "query": flux.trim(),
            "type": "flux",
        });
        assert_eq!(expected, serde_json::from_slice::<Value>(&call.body.bytes()).expect("JSON"));
    }

    #[test]
    fn without_a_secret_nobody_is_named() {
        let call = sent(influxdb("http://influxdb", None).expect("valid").next(&asked("buckets()"), &[]));
        assert_eq!((0, 0), (call.query.len(), call.headers.len()));
    }

    #[rstest]
    #[case::no_address("", None, "influxdb address  is not a valid URL")]
    #[case::no_token("http://i", Some(&[("org", "o")][..]), "influxdb credentials does not contain an authentication token")]
    #[case::no_org("http://i", Some(&[("token", "t")][..]), "influxdb credentials does not contain an organisation")]
    fn what_is_missing_is_named(
        #[case] address: &str,
        #[case] pairs: Option<&[(&str, &str)]>,
        #[case] expected: &str,
    ) {
        assert_eq!(expected, influxdb(address, pairs).unwrap_err().to_string());
    }

    #[rstest]
    #[case::nothing_to_see(200, "\r\n", Ok(()))]
    #[case::refused(
        401,
        "unauthorized access",
        Err("influxdb error response: unauthorized access: 401 Unauthorized")
    )]
    #[case::other(
        200,
        "<html>",
        Err("influxdb: the answer is not annotated CSV to its end but 6 bytes of something else")
    )]
    fn it_is_there_if_it_takes_the_token(
        #[case] status: u16,
        #[case] body: &str,
        #[case] expected: Result<(), &str>,
    ) {
        let influxdb = influxdb("http://influxdb", ACCOUNT).expect("valid");
        let step = influxdb.probe(&asked(""), &[answered(status, body.as_bytes())]);
        assert_eq!(Next::Done(expected.map_err(str::to_owned)), step);
    }
}
