//! No mesh (spec 03 §3): the apex Service points at the primary all the time, so there is nothing to tell anybody. The
//! checks ask the application's own metrics.

use prometheus_http_query::Selector;

use super::checks::Unit;
use super::promql::{literal, p99, pattern, percentage};
use super::{Checks, Desired, Error, Mesh, Router, View};
use crate::api::Provider;
use crate::model::object::ObjectId;
use crate::model::release::{Release, TargetKind};
use crate::model::traffic::{Capabilities, RouteState, RouteWish};

/// Plain Kubernetes Services, without a mesh.
pub static MESH: Mesh = Mesh {
    providers: &[Provider::Kubernetes],
    title: "Kubernetes Services (blue/green)",
    router: &Kubernetes,
    abilities: Capabilities::NONE,
    checks: &APPLICATION,
    honours: &[],
    rights: &[],
};

/// The metrics of the application itself: a histogram `http_request_duration_seconds` with the label `status`, and
/// the labels that tell namespace and pod. For plain Services and the Gateway API.
pub static APPLICATION: Checks = Checks { success_rate, duration, unit: Unit::Seconds, bare_errors: true };

/// Plain Kubernetes Services.
pub struct Kubernetes;

impl Router for Kubernetes {
    fn capabilities(&self, _release: &Release) -> Capabilities {
        Capabilities::NONE
    }

    fn reads(&self, _release: &Release) -> Vec<ObjectId> {
        Vec::new()
    }

    /// Always the primary.
    fn state(&self, _view: &View<'_>) -> Result<Option<RouteState>, Error> {
        Ok(Some(RouteState::default()))
    }

    fn desired(&self, _view: &View<'_>, _wish: &RouteWish) -> Result<Vec<Desired>, Error> {
        Ok(Vec::new())
    }
}

fn success_rate(release: &Release, interval: &str) -> String {
    let (namespace, pods) = names(release);
    let all = canary(&namespace, &pods);
    percentage("http_request_duration_seconds_count", &all.clone().regex_ne("status", "5.*"), &all, interval)
}

fn duration(release: &Release, interval: &str) -> String {
    let (namespace, pods) = names(release);
    p99("http_request_duration_seconds_bucket", &canary(&namespace, &pods), interval)
}

pub(super) fn names(release: &Release) -> (String, String) {
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

pub(super) fn canary<'a>(namespace: &'a str, pods: &'a str) -> Selector<'a> {
    Selector::new().eq("kubernetes_namespace", namespace).regex_eq("kubernetes_pod_name", pods)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::object::Objects;
    use crate::model::release::Settings;
    use crate::model::traffic::Split;
    use crate::router::plan;
    use crate::router::testing::{release, shape};

    // spec: 03/NOP-01
    #[test]
    fn traffic_stays_on_the_primary_and_nothing_is_written() {
        let (release, shape, settings, seen) = (release(), shape(), Settings::default(), Objects::default());
        let view = View { release: &release, shape: &shape, settings: &settings, seen: &seen };
        let wish = RouteWish { split: Split::CANARY, ..RouteWish::default() };
        assert_eq!(plan::routes(&Kubernetes, &view, &wish), Ok(vec![]));
        assert_eq!(plan::restoration(&Kubernetes, &view), Ok(vec![]));
        assert_eq!(Kubernetes.state(&view), Ok(Some(RouteState { split: Split::PRIMARY, mirrored: false })));
    }
}
