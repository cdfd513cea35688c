//! Every default, in one list, with the row of the spec that says so.

use std::time::Duration;

/// `analysis.interval` when unset or unparsable (02, defaults).
pub const INTERVAL: Duration = Duration::from_secs(60);

/// Shortest `analysis.interval` (02, defaults).
pub const SHORTEST_INTERVAL: Duration = Duration::from_secs(10);

/// `analysis.threshold` when not positive (02, defaults).
pub const THRESHOLD: i64 = 1;

/// `analysis.maxWeight` when not positive, and what it is at most (02 §2.1, E2.4).
pub const MAX_WEIGHT: u32 = 100;

/// `analysis.iterations` where the provider cannot split traffic (01 §8.3 W10).
pub const ITERATIONS: u32 = 10;

/// `analysis.primaryReadyThreshold` and `analysis.canaryReadyThreshold`, in percent (02, defaults).
pub const READY_THRESHOLD: u32 = 100;

/// `progressDeadlineSeconds` (02, defaults).
pub const PROGRESS_DEADLINE: Duration = Duration::from_secs(600);

/// `analysis.metrics[].interval`, of every kind of metric (01 EC-9, 02 E7.1).
pub const METRIC_INTERVAL: &str = "1m";

/// `analysis.metrics[].threshold` (01 §1.6, EC-21).
pub const METRIC_THRESHOLD: f64 = 0.0;

/// `analysis.metrics[].minSamples.within`.
pub const SAMPLES_WITHIN: Duration = Duration::from_secs(600);

/// `analysis.webhooks[].timeout` when shorter than two characters (02 §6.1, E6.5).
pub const HOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// `analysis.webhooks[].retries` (01 §1.6).
pub const HOOK_RETRIES: u32 = 0;

/// `analysis.sessionAffinity.maxAge` in seconds, when unset or 0 (01 §1.6).
pub const COOKIE_MAX_AGE: i64 = 86_400;

/// A name, or `otherwise` when it is unset or empty: `service.name` and the template variables `ingress` and `route`
/// are the target's name, the namespace of a reference is the Canary's, `metricsServer` the controller's
/// (01 §1.2, §1.4, §1.5, §2.1).
///
/// The defaults that are left are those of their types: `webhooks[].type` is `rollout` (01 §1.6), `alerts[].severity` is
/// `info` (EC-10), `onMetricError` and `onNoData` are `fail`.
pub fn name<'a>(written: Option<&'a str>, otherwise: &'a str) -> &'a str {
    written.filter(|name| !name.is_empty()).unwrap_or(otherwise)
}
