//! The checks that need no query of the user's: `request-success-rate` and `request-duration` (spec 04 §1).
//!
//! ```text
//! provider ──observer()──▶ Observer ──query()──▶ PromQL ~~▶ answer ──read()──▶ percent, or milliseconds
//! ```

use crate::model::answer::Measured;
use crate::model::release::{MetricSource, Release};

use super::Error;

mod istio;
mod knative;
mod observer;
mod plain_http;
mod promql;

pub use observer::{Observer, label, observer};

/// The checks that need no query of the user's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Builtin {
    /// Share of the requests that did not end in a server error, in percent.
    SuccessRate,
    /// 99th percentile of the time that requests take, in milliseconds.
    Duration,
}

impl Builtin {
    /// The built-in check that `source` is, if it is one.
    pub fn of(source: &MetricSource) -> Option<Self> {
        match source {
            MetricSource::SuccessRate => Some(Self::SuccessRate),
            MetricSource::Duration => Some(Self::Duration),
            MetricSource::Inline(_) | MetricSource::Template { .. } | MetricSource::Unusable => None,
        }
    }
}

impl Observer {
    /// The PromQL of `check` over the last `interval`.
    ///
    /// # Errors
    /// If this observer has no built-in checks.
    pub fn query(self, check: Builtin, release: &Release, interval: &str) -> Result<String, Error> {
        match (self, check) {
            (Self::Istio, Builtin::SuccessRate) => Ok(istio::success_rate(release, interval)),
            (Self::Istio, Builtin::Duration) => Ok(istio::duration(release, interval)),
            (Self::Http, Builtin::SuccessRate) => Ok(plain_http::success_rate(release, interval)),
            (Self::Http, Builtin::Duration) => Ok(plain_http::duration(release, interval)),
            (Self::Knative, Builtin::SuccessRate) => Ok(knative::success_rate(release, interval)),
            (Self::Knative, Builtin::Duration) => Ok(knative::duration(release, interval)),
            _ => Err(Error::Observer {
                provider: self.to_string(),
                known: "istio, kubernetes, gatewayapi, knative".to_owned(),
            }),
        }
    }

    /// The answer to such a query in the unit of the check: percent, or milliseconds with their fraction.
    pub fn read(self, check: Builtin, answer: Measured) -> Measured {
        let prefixed = |text: String| match (self, check) {
            (Self::Http, Builtin::SuccessRate) => text,
            _ => format!("running query failed: {text}"),
        };
        match answer {
            Measured::Value(seconds) if self == Self::Http && check == Builtin::Duration => {
                Measured::number(seconds * 1000.0)
            }
            Measured::Value(value) => Measured::Value(value),
            Measured::NotANumber => Measured::NotANumber,
            Measured::NoData(text) => Measured::NoData(prefixed(text)),
            Measured::Failed(text) => Measured::Failed(prefixed(text)),
        }
    }
}

#[cfg(test)]
mod tests;
