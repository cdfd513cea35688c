//! Metrics: what to ask a backend, and what its answer means (spec 04 §1–3, 02 §7). Values only; the controller
//! makes the call.
//!
//! ```text
//! check ──builtin or template──▶ query ──Provider::request──▶ Query ~~network~~▶ status, body ──Provider::measure──▶ Measured
//! ```
//!
//! A new backend is one file with a [`Provider`], one line in [`registry`], one table of tests.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use thiserror::Error;
use url::Url;

mod prometheus;
mod registry;
mod template;
#[cfg(test)]
mod testing;

pub use crate::model::answer::Measured;
pub use prometheus::Prometheus;
pub use registry::{KNOWN, SecretData, provider};
pub use template::{Error as TemplateError, Place, Template, Variables, variables};

/// A metrics backend: turns queries into calls and answers into measurements.
pub trait Provider: Send + Sync {
    /// The call that asks `query`. Backends whose queries do not say so look back over `interval` from `now`.
    ///
    /// # Errors
    /// If the query cannot be asked of this backend.
    fn request(&self, query: &str, interval: Duration, now: DateTime<Utc>) -> Result<Query, Error>;

    /// What an answer to such a call says.
    fn measure(&self, status: u16, body: &[u8]) -> Measured;

    /// The call that finds out whether the backend is there.
    fn probe(&self) -> Query;

    /// What an answer to that call says.
    ///
    /// # Errors
    /// Why the backend cannot be used, for the user.
    fn online(&self, status: u16, body: &[u8]) -> Result<(), String>;
}

/// A call to a backend.
#[derive(Clone, PartialEq)]
pub struct Query {
    pub method: Method,
    /// A user and password in it count if there is neither `auth` nor an `Authorization` header.
    pub url: String,
    /// To be added to the URL, or sent as a form: see `method`.
    pub params: Vec<(String, String)>,
    /// A name that appears twice is to be sent twice.
    pub headers: Vec<(String, String)>,
    /// Wins over an `Authorization` header.
    pub auth: Auth,
    /// Accept any certificate.
    pub insecure: bool,
    pub timeout: Duration,
}

/// How the parameters of a call travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET with the parameters in the URL.
    Get,
    /// POST with the parameters as `application/x-www-form-urlencoded`.
    PostForm,
}

/// How a call authenticates.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Auth {
    #[default]
    None,
    Bearer(String),
    Basic {
        username: String,
        password: String,
    },
}

/// Why a check cannot be asked at all. Nothing but a change of the manifest or the secret will help.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Error {
    #[error("{provider} address {address} is not a valid URL")]
    Address { provider: &'static str, address: String },
    #[error("{provider} credentials {problem}")]
    Credentials { provider: &'static str, problem: String },
    #[error("metrics provider {provider:?} is not known (known are: {known})")]
    Provider { provider: String, known: String },
    #[error("the {provider} query is empty")]
    EmptyQuery { provider: &'static str },
}

/// Without what may be secret.
impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut url = Url::parse(&self.url).ok();
        if let Some(url) = url.as_mut().filter(|url| url.password().is_some()) {
            // Fails only for URLs that cannot have a password.
            let _ = url.set_password(Some("xxxxx"));
        }
        f.debug_struct("Query")
            .field("method", &self.method)
            .field("url", &url.map(String::from))
            .field("params", &self.params)
            .field("auth", &self.auth)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Bearer(_) => "Bearer(xxxxx)",
            Self::Basic { .. } => "Basic(xxxxx)",
        })
    }
}
