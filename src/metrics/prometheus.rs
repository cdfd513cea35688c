//! Prometheus, and whatever speaks its HTTP API (spec 04 §2.3).

use crate::api::metric_template::MetricProvider;
use crate::model::call::{Auth, Body, Call, Heard, Method, Next, What};

use super::shared::{TIMEOUT, collapsed, endpoint, headers, token_or_basic};
use super::{Asked, Error, Measured, Provider, SecretData};

mod answer;
#[cfg(test)]
mod tests;

/// A Prometheus server.
#[derive(Clone, Debug, PartialEq)]
pub struct Prometheus {
    /// The call of every query, without the query.
    call: Call,
}

impl Prometheus {
    /// The backend of a MetricTemplate.
    ///
    /// # Errors
    /// If the address is no URL, or the secret has neither a token nor username and password.
    pub fn new(spec: &MetricProvider, secret: Option<&SecretData>) -> Result<Self, Error> {
        let url = endpoint(PROVIDER, spec.address.as_deref().unwrap_or_default(), "/api/v1/query")?;
        let auth = secret.map_or(Ok(Auth::None), |secret| token_or_basic(PROVIDER, secret))?;
        let call = Call {
            headers: headers(spec),
            auth,
            insecure: spec.insecure_skip_verify.unwrap_or(false),
            timeout: TIMEOUT,
            ..Call::get(url)
        };
        Ok(Self { call })
    }

    /// The metrics server of built-in checks and inline queries: no credentials but those in the URL.
    ///
    /// # Errors
    /// If the address is no URL.
    pub fn server(address: &str) -> Result<Self, Error> {
        let address = Some(address.to_owned());
        Self::new(&MetricProvider { address, ..MetricProvider::default() }, None)
    }

    fn ask(&self, query: &str) -> Call {
        let parameters = vec![("query".to_owned(), query.to_owned())];
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
            Some(What::Answer(answer)) => Next::Done(answer::measure(answer.status, &answer.body)),
            Some(What::Silence(silence)) => {
                Next::Done(Measured::Failed(format!("request failed: {silence}")))
            }
            Some(What::Waited) | None => {
                let query = collapsed(&asked.query);
                match query.trim() {
                    "" => Next::Done(Measured::Failed(Error::EmptyQuery { provider: PROVIDER }.to_string())),
                    _ => Next::send(self.ask(&query)),
                }
            }
        }
    }

    fn probe(&self, _: &Asked, heard: &[Heard]) -> Next<Result<(), String>> {
        let answer = match heard.last().map(|heard| &heard.what) {
            Some(What::Answer(answer)) => answer,
            Some(What::Silence(silence)) => return Next::Done(Err(silence.to_string())),
            Some(What::Waited) | None => return Next::send(self.ask(PROBE)),
        };
        Next::Done(match answer::measure(answer.status, &answer.body) {
            Measured::Value(1.0) => Ok(()),
            Measured::Value(_) | Measured::NotANumber => Err(format!("value is not 1 for query: {PROBE}")),
            Measured::NoData(why) | Measured::Failed(why) => Err(why),
        })
    }
}

const PROVIDER: &str = "prometheus";
const PROBE: &str = "vector(1)";
/// Servers and proxies refuse URLs from 8 KiB on, and encoding can triple a query.
const LONGEST_IN_URL: usize = 2000;
