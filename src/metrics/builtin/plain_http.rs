//! The application's own metrics: a histogram `http_request_duration_seconds` with the label `status`, and the
//! labels that tell namespace and pod. For plain Kubernetes services and the Gateway API.

use prometheus_http_query::Selector;

use crate::model::release::{Release, TargetKind};

use super::promql::{literal, p99, pattern, percentage};

pub(super) fn success_rate(release: &Release, interval: &str) -> String {
    let (namespace, pods) = names(release);
    let all = canary(&namespace, &pods);
    percentage("http_request_duration_seconds_count", &all.clone().regex_ne("status", "5.*"), &all, interval)
}

/// In seconds.
pub(super) fn duration(release: &Release, interval: &str) -> String {
    let (namespace, pods) = names(release);
    p99("http_request_duration_seconds_bucket", &canary(&namespace, &pods), interval)
}

fn names(release: &Release) -> (String, String) {
    let target = pattern(&release.target.name);
    let pods = match release.target.kind {
        // Named by their DaemonSet alone. The primary's pods have one part more, which the pattern does not allow.
        TargetKind::DaemonSet => format!("{target}-[0-9a-zA-Z]+"),
        // Named by their ReplicaSet, which is named by the Deployment.
        TargetKind::Deployment | TargetKind::Service | TargetKind::Knative => {
            format!("{target}-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)")
        }
    };
    (literal(&release.namespace), pods)
}

fn canary<'a>(namespace: &'a str, pods: &'a str) -> Selector<'a> {
    Selector::new().eq("kubernetes_namespace", namespace).regex_eq("kubernetes_pod_name", pods)
}
