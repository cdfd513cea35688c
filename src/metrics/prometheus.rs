//! Prometheus, and whatever speaks its HTTP API (spec 04 §2.3).

use chrono::{DateTime, Utc};

use crate::api::metric_template::MetricProvider;
use crate::model::call::{Auth, AwsIdentity, AwsKeys, Body, Call, Heard, Method, Next, What};

use super::shared::{TIMEOUT, collapsed, endpoint, headers, tls, token_or_basic};
use super::{Asked, Error, Measured, Provider, SecretData, cloudwatch};

mod answer;
#[cfg(test)]
mod tests;

/// A Prometheus server.
#[derive(Clone, Debug, PartialEq)]
pub struct Prometheus {
    /// The call of every query, without the query.
    call: Call,
    /// Whose signature it gets: that of Amazon's service.
    aws: Option<(String, Option<AwsKeys>)>,
}

impl Prometheus {
    /// The backend of a MetricTemplate.
    ///
    /// # Errors
    /// If the address is no URL, the region is none of AWS, or the secret has neither a token, nor username and password, nor
    /// what TLS or a signature is made of.
    pub fn new(spec: &MetricProvider, secret: Option<&SecretData>) -> Result<Self, Error> {
        let url = endpoint(PROVIDER, spec.address.as_deref().unwrap_or_default(), "/api/v1/query")?;
        let aws = match cloudwatch::region(spec)? {
            Some(region) => Some((region, cloudwatch::keys(PROVIDER, secret)?)),
            None => None,
        };
        let (ca, identity) = secret.map_or(Ok((None, None)), |secret| tls(PROVIDER, secret))?;
        let auth = match secret {
            _ if aws.is_some() => Auth::None,
            // A Secret for TLS alone.
            Some(secret)
                if (ca.is_some() || identity.is_some())
                    && !LOGIN.iter().any(|key| secret.contains_key(*key)) =>
            {
                Auth::None
            }
            Some(secret) => token_or_basic(PROVIDER, secret)?,
            None => Auth::None,
        };
        let call = Call {
            headers: headers(spec),
            auth,
            ca,
            identity,
            insecure: spec.insecure_skip_verify.unwrap_or(false),
            timeout: TIMEOUT,
            ..Call::get(url)
        };
        Ok(Self { call, aws })
    }

    /// The metrics server of built-in checks and inline queries: no credentials but those in the URL.
    ///
    /// # Errors
    /// If the address is no URL.
    pub fn server(address: &str) -> Result<Self, Error> {
        let address = Some(address.to_owned());
        Self::new(&MetricProvider { address, ..MetricProvider::default() }, None)
    }

    fn ask(&self, query: &str, at: DateTime<Utc>) -> Call {
        let parameters = vec![("query".to_owned(), query.to_owned())];
        if let Some((region, keys)) = &self.aws {
            let (region, service, keys) = (region.clone(), "aps".to_owned(), keys.clone());
            let auth = Auth::Aws(Box::new(AwsIdentity { region, service, keys, at }));
            // What is signed is the body, which nobody on the way writes otherwise.
            return Call { method: Method::Post, body: Body::Form(parameters), auth, ..self.call.clone() };
        }
        // A long query does not fit the URL that servers and proxies accept.
        if query.len() > LONGEST_IN_URL {
            return Call { method: Method::Post, body: Body::Form(parameters), ..self.call.clone() };
        }
        Call { query: parameters, ..self.call.clone() }
    }
}

impl Provider for Prometheus {
    fn name(&self) -> &'static str {
        PROVIDER
    }

    fn next(&self, asked: &Asked, heard: &[Heard]) -> Next<Measured> {
        match heard.last().map(|heard| &heard.what) {
            Some(What::Answer(answer)) => Next::Done(answer::measure(answer)),
            Some(What::Silence(silence)) => {
                Next::Done(Measured::Failed(format!("request failed: {silence}")))
            }
            Some(What::Waited) | None => {
                let query = collapsed(&asked.query);
                match query.trim() {
                    "" => Next::Done(Measured::Failed(Error::EmptyQuery { provider: PROVIDER }.to_string())),
                    _ => Next::send(self.ask(&query, asked.now)),
                }
            }
        }
    }

    fn probe(&self, asked: &Asked, heard: &[Heard]) -> Next<Result<(), String>> {
        let answer = match heard.last().map(|heard| &heard.what) {
            Some(What::Answer(answer)) => answer,
            Some(What::Silence(silence)) => return Next::Done(Err(silence.to_string())),
            Some(What::Waited) | None => return Next::send(self.ask(PROBE, asked.now)),
        };
        Next::Done(match answer::measure(answer) {
            Measured::Value(1.0) => Ok(()),
            Measured::Value(_) | Measured::NotANumber => Err(format!("value is not 1 for query: {PROBE}")),
            Measured::NoData(why) | Measured::Failed(why) => Err(why),
        })
    }
}

const PROVIDER: &str = "prometheus";
/// Keys of a Secret that are for a login.
const LOGIN: [&str; 3] = ["token", "username", "password"];
const PROBE: &str = "vector(1)";
/// Servers and proxies refuse URLs from 8 KiB on, and encoding can triple a query.
const LONGEST_IN_URL: usize = 2000;
