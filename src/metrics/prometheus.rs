//! Prometheus, and whatever speaks its HTTP API (spec 04 §2.3).

use std::time::Duration;

use chrono::{DateTime, Utc};
use url::Url;

use crate::api::metric_template::MetricProvider;

use super::registry::SecretData;
use super::{Auth, Error, Measured, Method, Provider, Query};

mod answer;
#[cfg(test)]
mod tests;

/// A Prometheus server.
#[derive(Clone, Debug, PartialEq)]
pub struct Prometheus {
    /// The call of every query, without the query.
    call: Query,
}

impl Prometheus {
    /// The backend of a MetricTemplate.
    ///
    /// # Errors
    /// If the address is no URL, or the secret has neither a token nor username and password.
    pub fn new(spec: &MetricProvider, secret: Option<&SecretData>) -> Result<Self, Error> {
        let url = endpoint(spec.address.as_deref().unwrap_or_default())?;
        let auth = secret.map_or(Ok(Auth::None), auth)?;
        let headers = spec.headers.iter().flatten();
        let headers =
            headers.flat_map(|(name, values)| values.iter().map(|value| (name.clone(), value.clone())));
        let call = Query {
            method: Method::Get,
            url,
            params: Vec::new(),
            headers: headers.collect(),
            auth,
            insecure: spec.insecure_skip_verify.unwrap_or(false),
            timeout: TIMEOUT,
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

    fn ask(&self, query: &str) -> Query {
        // A long query does not fit the URL that servers and proxies accept.
        let method = if query.len() > LONGEST_IN_URL { Method::PostForm } else { Method::Get };
        Query { method, params: vec![("query".to_owned(), query.to_owned())], ..self.call.clone() }
    }
}

impl Provider for Prometheus {
    fn request(&self, query: &str, _: Duration, _: DateTime<Utc>) -> Result<Query, Error> {
        let query = collapsed(query);
        match query.trim() {
            "" => Err(Error::EmptyQuery { provider: PROVIDER }),
            _ => Ok(self.ask(&query)),
        }
    }

    fn measure(&self, status: u16, body: &[u8]) -> Measured {
        answer::measure(status, body)
    }

    fn probe(&self) -> Query {
        self.ask(PROBE)
    }

    fn online(&self, status: u16, body: &[u8]) -> Result<(), String> {
        match self.measure(status, body) {
            Measured::Value(1.0) => Ok(()),
            Measured::Value(_) | Measured::NotANumber => Err(format!("value is not 1 for query: {PROBE}")),
            Measured::NoData(why) | Measured::Failed(why) => Err(why),
        }
    }
}

/// Path and user of the address stay, its parameters do not.
fn endpoint(address: &str) -> Result<String, Error> {
    // What stands before an `@` may be a password.
    let shown = || address.rsplit_once('@').map_or(address.to_owned(), |(_, rest)| format!("xxxxx@{rest}"));
    let invalid = || Error::Address { provider: PROVIDER, address: shown() };
    let mut url = Url::parse(address).map_err(|_| invalid())?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(invalid());
    }
    let path = format!("{}/api/v1/query", url.path().trim_end_matches('/'));
    url.set_path(&path);
    url.set_query(None);
    url.set_fragment(None);
    Ok(url.into())
}

/// A token, if the secret has that key; else user and password.
fn auth(secret: &SecretData) -> Result<Auth, Error> {
    let text = |key: &str| match secret.get(key).map(|value| str::from_utf8(value.trim_ascii())) {
        None => Ok(None),
        Some(Ok(value)) => Ok(Some(value.to_owned())),
        Some(Err(_)) => Err(problem(&format!("contain a {key} that is not text"))),
    };
    if let Some(token) = text("token")? {
        return Ok(if token.is_empty() { Auth::None } else { Auth::Bearer(token) });
    }
    let username = text("username")?.ok_or_else(|| problem("does not contain a username"))?;
    let password = text("password")?.ok_or_else(|| problem("does not contain a password"))?;
    Ok(if username.is_empty() || password.is_empty() {
        Auth::None
    } else {
        Auth::Basic { username, password }
    })
}

fn problem(problem: &str) -> Error {
    Error::Credentials { provider: PROVIDER, problem: problem.to_owned() }
}

/// Every run of white space becomes one blank, inside string literals as well.
fn collapsed(query: &str) -> String {
    let mut text = String::with_capacity(query.len());
    for c in query.chars() {
        match c {
            ' ' | '\t' | '\n' | '\r' | '\x0c' if text.ends_with(' ') => {}
            ' ' | '\t' | '\n' | '\r' | '\x0c' => text.push(' '),
            other => text.push(other),
        }
    }
    text
}

const PROVIDER: &str = "prometheus";
const TIMEOUT: Duration = Duration::from_secs(5);
const PROBE: &str = "vector(1)";
/// Servers and proxies refuse URLs from 8 KiB on, and encoding can triple a query.
const LONGEST_IN_URL: usize = 2000;
