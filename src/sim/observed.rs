//! What the metrics of the simulated world are about: what the canary of a release runs, and which release a query
//! asks about that another controller has put into words of its own.

use kubesim::KubeSim;
use serde_json::Value;

use super::knative;
use crate::model::release::{Release, TargetKind};
use crate::router::checks::Builtin;

/// The image of what the canary runs, if it can serve.
pub(super) fn image(kube: &KubeSim, release: &Release) -> Option<String> {
    let (namespace, name) = (&release.namespace, &release.target.name);
    let counted = |kind: &str, ready: &str| {
        let workload = kube.get(kind, namespace, name)?;
        workload["status"][ready].as_i64().filter(|ready| *ready > 0)?;
        Some(workload)
    };
    match release.target.kind {
        TargetKind::Deployment => first_image(&counted("deployments.apps", "readyReplicas")?),
        TargetKind::DaemonSet => first_image(&counted("daemonsets.apps", "numberReady")?),
        TargetKind::Service => of_service(kube, namespace, &release.canary_service()),
        TargetKind::Knative => {
            let service = kube.get(knative::SERVICE, namespace, name)?;
            let latest = service["status"]["latestCreatedRevisionName"].as_str()?;
            let revision = kube.get(knative::REVISION, namespace, latest)?;
            (knative::ready(&revision).0 == "True").then(|| first_image(&service)).flatten()
        }
    }
}

/// The image of the first container that a workload's template has.
fn first_image(workload: &Value) -> Option<String> {
    Some(workload["spec"]["template"]["spec"]["containers"][0]["image"].as_str()?.to_owned())
}

/// The image of a ready pod behind a Service.
fn of_service(kube: &KubeSim, namespace: &str, name: &str) -> Option<String> {
    let service = kube.get("services", namespace, name)?;
    let selector = service["spec"]["selector"].as_object().filter(|selector| !selector.is_empty())?;
    let is_ready = |pod: &Value| {
        let conditions = pod["status"]["conditions"].as_array();
        conditions.into_iter().flatten().any(|one| one["type"] == "Ready" && one["status"] == "True")
    };
    let pods = kube.list("pods", Some(namespace));
    let selected = |pod: &&Value| {
        selector.iter().all(|(key, value)| pod["metadata"]["labels"][key] == *value) && is_ready(pod)
    };
    let pod = pods.iter().find(selected)?;
    Some(pod["spec"]["containers"][0]["image"].as_str()?.to_owned())
}

/// What a query asks for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Meaning {
    /// A built-in check of the release at this place of the list.
    Check(usize, Builtin),
    /// The share of requests that fail, in percent, of that release.
    Errors(usize),
    /// A number that stands in the query itself.
    Number(f64),
}

/// What `query` asks for, however it is put: it names the namespace and the target, or what the mesh calls it. `None`
/// for what cannot be told from that, and for questions about the primary.
pub(super) fn meaning(query: &str, releases: &[Release]) -> Option<Meaning> {
    let query = query.trim();
    let number = query.strip_prefix("vector(").and_then(|rest| rest.strip_suffix(')'));
    if let Some(number) = number.and_then(|number| number.trim().parse().ok()) {
        return Some(Meaning::Number(number));
    }
    let concerns = |(index, release): (usize, &Release)| {
        let route = release.route.as_ref().map(|route| route.name.clone());
        let names = [release.target.name.clone(), release.ingress_name().to_owned()];
        // Skipper names its routes with underscores.
        let is_named = |name: &str| names_word(query, name) || names_word(query, &name.replace('-', "_"));
        let found = names.into_iter().chain(route).filter(|name| is_named(name)).map(|name| name.len()).max();
        let in_primary = names_word(query, &release.primary_name());
        found.filter(|_| is_named(&release.namespace) && !in_primary).map(|length| (length, index))
    };
    // The longest name: `frontend` stands in `frontend-next` as well.
    let (_, index) = releases.iter().enumerate().filter_map(concerns).max()?;
    if query.contains("histogram_quantile") || query.contains("duration_seconds_sum") {
        return Some(Meaning::Check(index, Builtin::Duration));
    }
    if !query.contains("rate(") {
        return None;
    }
    let counts_errors = query.starts_with("100 -") || query.starts_with("100-");
    Some(if counts_errors { Meaning::Errors(index) } else { Meaning::Check(index, Builtin::SuccessRate) })
}

/// Whether `name` stands in `text` and is not a part of a longer word.
fn names_word(text: &str, name: &str) -> bool {
    let is_inside = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    !name.is_empty()
        && text.match_indices(name).any(|(at, _)| {
            !is_inside(text[..at].chars().next_back()) && !is_inside(text[at + name.len()..].chars().next())
        })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::sim::World;

    fn releases() -> Vec<Release> {
        let world = World::builder().build();
        for name in ["frontend", "frontend-next"] {
            let canary = serde_json::json!({
                "apiVersion": "flagger.app/v1beta1", "kind": "Canary",
                "metadata": {"name": name, "namespace": "shop"},
                "spec": {
                    "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
                    "service": {"port": 80},
                    "analysis": {"interval": "1m", "threshold": 5, "stepWeight": 10, "maxWeight": 50},
                },
            });
            world.apply(&canary.to_string()).expect("a manifest that the cluster takes");
        }
        world.routes().releases()
    }

    // The first are the queries of the table in spec 04 §1.4 and §1.5, in the words of the reference.
    #[rstest]
    #[case::istio_success(
        r#"sum(rate(istio_requests_total{reporter="destination",destination_workload_namespace="shop",destination_workload=~"frontend",response_code!~"5.*"}[1m])) / sum(rate(istio_requests_total{destination_workload_namespace="shop",destination_workload=~"frontend"}[1m])) * 100"#,
        Some(Meaning::Check(0, Builtin::SuccessRate))
    )]
    #[case::istio_duration(
        r#"histogram_quantile(0.99, sum(rate(istio_request_duration_milliseconds_bucket{destination_workload_namespace="shop",destination_workload=~"frontend"}[1m])) by (le))"#,
        Some(Meaning::Check(0, Builtin::Duration))
    )]
    #[case::a_longer_name(
        r#"sum(rate(response_total{namespace="shop",deployment=~"frontend-next",classification!="failure"}[1m])) * 100"#,
        Some(Meaning::Check(1, Builtin::SuccessRate))
    )]
    #[case::skipper(
        r#"sum(rate(skipper_response_duration_seconds_bucket{route=~"kube(ew)?_shop__frontend_canary__.*__frontend_canary(_[0-9]+)?",le="+Inf",code!~"5.."}[1m]))"#,
        Some(Meaning::Check(0, Builtin::SuccessRate))
    )]
    #[case::skipper_mean(
        r#"sum(rate(skipper_serve_route_duration_seconds_sum{route=~"kube_shop__frontend_canary__"}[1m])) / sum(rate(skipper_serve_route_duration_seconds_count{route=~"kube_shop__frontend_canary__"}[1m])) * 1000"#,
        Some(Meaning::Check(0, Builtin::Duration))
    )]
    #[case::errors(
        r#"100 - sum(rate(istio_requests_total{destination_workload_namespace="shop",destination_workload="frontend",response_code!~"5.*"}[1m]))"#,
        Some(Meaning::Errors(0))
    )]
    #[case::a_number("vector(42.5)", Some(Meaning::Number(42.5)))]
    #[case::the_primary(r#"sum(rate(x{namespace="shop",deployment="frontend-primary"}[1m]))"#, None)]
    #[case::another_namespace(r#"sum(rate(x{namespace="workshop",deployment="frontend"}[1m]))"#, None)]
    #[case::nobody(r#"sum(rate(x{namespace="shop",deployment="cart"}[1m]))"#, None)]
    #[case::something_else(r#"kube_pod_info{namespace="shop",pod=~"frontend-.*"}"#, None)]
    #[case::nothing("", None)]
    #[tokio::test(start_paused = true)]
    async fn a_query_is_understood_in_other_words(#[case] query: &str, #[case] expected: Option<Meaning>) {
        assert_eq!(expected, meaning(query, &releases()));
    }
}
