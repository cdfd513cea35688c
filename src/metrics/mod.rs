//! Metrics: what to ask a backend, and what its answers mean (spec 04 §1–3, 02 §7). Values only; the controller
//! makes the calls.
//!
//! ```text
//! check ──builtin or template──▶ query ──Provider::next──▶ Send(call) · Wait · Done(measured)
//!                                            ▲                 │
//!                                            └───── heard ◀────┘ the controller calls, or waits
//! ```
//!
//! A new backend is one file with a [`Provider`], one line in [`registry`], one table of tests. The laws in `tests.rs`
//! hold for all of them.

#![warn(missing_docs)]

use std::time::Duration;

use chrono::{DateTime, Utc};
use thiserror::Error;

mod alertmanager;
mod cloudwatch;
mod datadog;
mod dynatrace;
mod external;
mod graphite;
mod influxdb;
mod keptn;
mod newrelic;
mod prometheus;
mod registry;
mod shared;
mod splunk;
mod stackdriver;
mod template;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use crate::model::answer::Measured;
pub use crate::model::call::{Call, Heard, Next};
pub use prometheus::Prometheus;
pub use registry::{Entry, REQUIRED, SecretData, known, provider, registered};
pub use template::{Error as TemplateError, Place, Template, Variables, variables};

/// A metrics backend: says what to send next to get an answer, and what the answers mean. The same question with the
/// same answers always gives the same step.
pub trait Provider: Send + Sync {
    /// The name of the backend in errors.
    fn name(&self) -> &'static str;

    /// The next step on the way to what `asked` measures, after what was heard so far.
    fn next(&self, asked: &Asked, heard: &[Heard]) -> Next<Measured>;

    /// The next step on the way to whether the backend is there; if it is not, the text says why. The query of
    /// `asked` does not count.
    fn probe(&self, asked: &Asked, heard: &[Heard]) -> Next<Result<(), String>>;
}

/// A question to a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The query, rendered.
    pub query: String,
    /// How far back backends look whose queries do not say so.
    pub interval: Duration,
    /// When the question is put. It stays the same for the whole conversation.
    pub now: DateTime<Utc>,
}

/// Why a check cannot be asked at all. Nothing but a change of the manifest or the secret will help.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Error {
    /// The address is no URL.
    #[error("{provider} address {address} is not a valid URL")]
    Address {
        /// The backend.
        provider: &'static str,
        /// The address as it may be shown.
        address: String,
    },
    /// The Secret lacks something.
    #[error("{provider} credentials {problem}")]
    Credentials {
        /// The backend.
        provider: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// There is no address, and no default.
    #[error("{provider} endpoint is not set")]
    NoEndpoint {
        /// The backend.
        provider: &'static str,
    },
    /// There is no region, or none that can be one.
    #[error("region {problem}")]
    Region {
        /// What is wrong.
        problem: String,
    },
    /// Nobody has built a backend of this type.
    #[error("metrics provider {provider:?} is not known (known are: {known})")]
    Provider {
        /// The type as it is written.
        provider: String,
        /// The types that can be used.
        known: String,
    },
    /// There is nothing to ask.
    #[error("the {provider} query is empty")]
    EmptyQuery {
        /// The backend.
        provider: &'static str,
    },
}
