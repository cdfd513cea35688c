//! Knative's metrics, as the Envoy of its ingress reports them for each revision. The route of the release is the
//! revision's name.

use prometheus_http_query::Selector;

use crate::model::release::Release;

use super::promql::{p99, pattern, percentage};

pub(super) fn success_rate(release: &Release, interval: &str) -> String {
    let cluster = cluster(release);
    let all = Selector::new().regex_eq("envoy_cluster_name", &cluster);
    percentage(
        "envoy_cluster_upstream_rq",
        &all.clone().regex_ne("envoy_response_code", "5.*"),
        &all,
        interval,
    )
}

/// In milliseconds.
pub(super) fn duration(release: &Release, interval: &str) -> String {
    let cluster = cluster(release);
    p99(
        "envoy_cluster_upstream_rq_time_bucket",
        &Selector::new().regex_eq("envoy_cluster_name", &cluster),
        interval,
    )
}

fn cluster(release: &Release) -> String {
    pattern(&format!("{}/{}", release.namespace, release.route))
}
