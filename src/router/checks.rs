//! The checks that need no query of the user's, `request-success-rate` and `request-duration` (spec 04 §1): each mesh
//! says what to ask its metrics for.

use thiserror::Error;

use crate::api::Provider;
use crate::model::answer::Measured;
use crate::model::release::{MetricSource, Release, Settings, TargetKind};

/// The PromQL of the two checks over a window, for one mesh.
pub struct Checks {
    /// Share of the requests that did not end in a server error, in percent.
    pub success_rate: fn(&Release, interval: &str) -> String,
    /// 99th percentile of the time that requests take.
    pub duration: fn(&Release, interval: &str) -> String,
    /// The unit of that time.
    pub unit: Unit,
    /// Whether a success rate without a value is told in the bare words of the application's own metrics.
    pub bare_errors: bool,
}

/// A unit of time in which a proxy measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
}

/// A check that needs no query of the user's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Builtin {
    /// Share of the requests that did not end in a server error, in percent.
    SuccessRate,
    /// 99th percentile of the time that requests take, in milliseconds.
    Duration,
}

/// There are no built-in checks for a provider.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("there are no built-in checks for {provider} (known are: {known}); use a metric template")]
pub struct Error {
    /// The provider whose metrics would tell.
    pub provider: String,
    /// The providers that have some.
    pub known: String,
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

impl Checks {
    /// The PromQL of `check` over the last `interval`.
    pub fn query(&self, check: Builtin, release: &Release, interval: &str) -> String {
        match check {
            Builtin::SuccessRate => (self.success_rate)(release, interval),
            Builtin::Duration => (self.duration)(release, interval),
        }
    }

    /// The answer to such a query in the unit of the check: percent, or milliseconds with their fraction.
    pub fn read(&self, check: Builtin, answer: Measured) -> Measured {
        let prefixed = |text: String| match check {
            Builtin::SuccessRate if self.bare_errors => text,
            _ => format!("running query failed: {text}"),
        };
        match answer {
            Measured::Value(seconds) if self.unit == Unit::Seconds && check == Builtin::Duration => {
                Measured::number(seconds * 1000.0)
            }
            Measured::Value(value) => Measured::Value(value),
            Measured::NotANumber => Measured::NotANumber,
            Measured::NoData(text) => Measured::NoData(prefixed(text)),
            Measured::Failed(text) => Measured::Failed(prefixed(text)),
        }
    }
}

/// The provider whose metrics tell of a release (spec 04 §1.2, 02 §7.2); `None` for a name that means none.
pub fn observed(release: &Release, settings: &Settings) -> Option<Provider> {
    Provider::parse(name(release, settings))
}

/// What messages call that provider; marked when the target is a Service.
pub fn label(release: &Release, settings: &Settings) -> String {
    let provider = name(release, settings);
    match release.target.kind {
        TargetKind::Service => format!("{provider}:service"),
        TargetKind::Deployment | TargetKind::DaemonSet | TargetKind::Knative => provider.to_owned(),
    }
}

fn name<'a>(release: &'a Release, settings: &'a Settings) -> &'a str {
    let global = settings.mesh_provider.as_str();
    match &release.own_provider {
        // Linkerd with an ingress: the canary names the ingress, the mesh has the metrics.
        Some(_) if global.contains("linkerd") => "linkerd",
        Some(own) => own,
        None if global.contains("crossover") => "crossover",
        None => global,
    }
}

#[cfg(test)]
mod tests;
