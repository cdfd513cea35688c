//! Istio's metrics, as the proxies of the canary's pods report them.

use prometheus_http_query::Selector;

use crate::model::release::Release;

use super::promql::{literal, p99, pattern, percentage};

pub(super) fn success_rate(release: &Release, interval: &str) -> String {
    let (namespace, workload) = names(release);
    let all = canary(&namespace, &workload);
    percentage("istio_requests_total", &all.clone().regex_ne("response_code", "5.*"), &all, interval)
}

/// In milliseconds.
pub(super) fn duration(release: &Release, interval: &str) -> String {
    let (namespace, workload) = names(release);
    p99("istio_request_duration_milliseconds_bucket", &canary(&namespace, &workload), interval)
}

fn names(release: &Release) -> (String, String) {
    (literal(&release.namespace), pattern(&release.target.name))
}

fn canary<'a>(namespace: &'a str, workload: &'a str) -> Selector<'a> {
    Selector::new()
        .eq("reporter", "destination")
        .eq("destination_workload_namespace", namespace)
        .regex_eq("destination_workload", workload)
}
