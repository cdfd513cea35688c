//! Observers, their queries and their units.

use rstest::rstest;

use super::*;
use crate::model::release::Reference;
use crate::router::promql::{literal, pattern};
use crate::router::testing;
use crate::router::{gateway, istio, knative, kubernetes, registry};

fn podinfo() -> Release {
    let mut release = testing::release();
    (release.name, release.namespace, release.apex) = ("podinfo".into(), "test".into(), "podinfo".into());
    release.target.name = "podinfo".into();
    release
}

fn global(provider: &str) -> Settings {
    Settings { mesh_provider: provider.to_owned(), ..Settings::default() }
}

fn canary(own_provider: Option<&str>, kind: TargetKind) -> Release {
    let mut release = podinfo();
    release.own_provider = own_provider.map(str::to_owned);
    release.target.kind = kind;
    release
}

#[test]
fn every_provider_is_observed_by_its_own_metrics() {
    // spec: 02/C100 04/OB-01 04/OB-02
    for provider in Provider::ALL {
        let own = canary(Some(provider.as_str()), TargetKind::Deployment);
        assert_eq!(observed(&own, &Settings::default()), Some(provider));
        assert_eq!(
            observed(&canary(None, TargetKind::Deployment), &global(provider.as_str())),
            Some(provider)
        );
    }
}

#[rstest]
#[case("smi:linkerd-like")]
#[case("crossover")]
#[case("")]
fn what_nobody_knows_is_looked_for_in_istios_metrics(#[case] provider: &str) {
    // spec: 04/OB-03
    let release = canary(None, TargetKind::Deployment);
    assert_eq!(observed(&release, &global(provider)), None);
    let checks = registry::checks(&release, &global(provider)).expect("Istio's");
    assert!(std::ptr::eq(checks, istio::MESH.checks));
}

#[rstest]
#[case::own_wins(Some("nginx"), "istio", TargetKind::Deployment, Some(Provider::Nginx), "nginx")]
#[case::linkerd_wins_over_own(
    Some("nginx"),
    "linkerd",
    TargetKind::Deployment,
    Some(Provider::Linkerd),
    "linkerd"
)]
#[case::linkerd_within(
    Some("nginx"),
    "smi:linkerd",
    TargetKind::Deployment,
    Some(Provider::Linkerd),
    "linkerd"
)]
#[case::linkerd_within_alone(None, "smi:linkerd", TargetKind::Deployment, None, "smi:linkerd")]
#[case::crossover_within(None, "smi:crossover", TargetKind::DaemonSet, None, "crossover")]
#[case::own_wins_over_crossover(
    Some("nginx"),
    "smi:crossover",
    TargetKind::DaemonSet,
    Some(Provider::Nginx),
    "nginx"
)]
#[case::service(None, "kubernetes", TargetKind::Service, Some(Provider::Kubernetes), "kubernetes:service")]
#[case::service_of_own(Some("nginx"), "istio", TargetKind::Service, Some(Provider::Nginx), "nginx:service")]
#[case::knative(Some("knative"), "istio", TargetKind::Knative, Some(Provider::Knative), "knative")]
fn the_canary_and_the_controller_choose_the_observer(
    #[case] own: Option<&str>,
    #[case] flag: &str,
    #[case] kind: TargetKind,
    #[case] expected: Option<Provider>,
    #[case] shown: &str,
) {
    // spec: 02/C100 04/OB-04 04/OB-05
    let release = canary(own, kind);
    assert_eq!(
        (expected, shown),
        (observed(&release, &global(flag)), label(&release, &global(flag)).as_str())
    );
}

#[rstest]
#[case::istio_success_rate(
    istio::MESH.checks,
    Builtin::SuccessRate,
    r#"(sum(rate(istio_requests_total{reporter="destination",destination_workload_namespace="test",destination_workload=~"podinfo",response_code!~"5.*"}[1m])) or vector(0)) / sum(rate(istio_requests_total{reporter="destination",destination_workload_namespace="test",destination_workload=~"podinfo"}[1m])) * 100"#
)]
#[case::istio_duration(
    istio::MESH.checks,
    Builtin::Duration,
    r#"histogram_quantile(0.99, sum(rate(istio_request_duration_milliseconds_bucket{reporter="destination",destination_workload_namespace="test",destination_workload=~"podinfo"}[1m])) by (le))"#
)]
#[case::http_success_rate(
    kubernetes::MESH.checks,
    Builtin::SuccessRate,
    r#"(sum(rate(http_request_duration_seconds_count{kubernetes_namespace="test",kubernetes_pod_name=~"podinfo-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)",status!~"5.*"}[1m])) or vector(0)) / sum(rate(http_request_duration_seconds_count{kubernetes_namespace="test",kubernetes_pod_name=~"podinfo-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)"}[1m])) * 100"#
)]
#[case::gateway_api_beta_success_rate(
    gateway::V1BETA1.checks,
    Builtin::SuccessRate,
    r#"(sum(rate(http_request_duration_seconds_count{kubernetes_namespace="test",kubernetes_pod_name=~"podinfo-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)",status!~"5.*"}[1m])) or vector(0)) / sum(rate(http_request_duration_seconds_count{kubernetes_namespace="test",kubernetes_pod_name=~"podinfo-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)"}[1m])) * 100"#
)]
#[case::gateway_api_success_rate(
    gateway::V1.checks,
    Builtin::SuccessRate,
    r#"(sum(rate(http_request_duration_seconds_count{kubernetes_namespace="test",kubernetes_pod_name=~"podinfo-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)",status!~"5.*"}[1m])) or vector(0)) / sum(rate(http_request_duration_seconds_count{kubernetes_namespace="test",kubernetes_pod_name=~"podinfo-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)"}[1m])) * 100"#
)]
#[case::http_duration(
    kubernetes::MESH.checks,
    Builtin::Duration,
    r#"histogram_quantile(0.99, sum(rate(http_request_duration_seconds_bucket{kubernetes_namespace="test",kubernetes_pod_name=~"podinfo-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)"}[1m])) by (le))"#
)]
#[case::gateway_api_beta_duration(
    gateway::V1BETA1.checks,
    Builtin::Duration,
    r#"histogram_quantile(0.99, sum(rate(http_request_duration_seconds_bucket{kubernetes_namespace="test",kubernetes_pod_name=~"podinfo-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)"}[1m])) by (le))"#
)]
#[case::gateway_api_duration(
    gateway::V1.checks,
    Builtin::Duration,
    r#"histogram_quantile(0.99, sum(rate(http_request_duration_seconds_bucket{kubernetes_namespace="test",kubernetes_pod_name=~"podinfo-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)"}[1m])) by (le))"#
)]
fn the_queries_are_these(#[case] checks: &Checks, #[case] check: Builtin, #[case] expected: &str) {
    // spec: 04/OB-02 04/OB-06 04/OB-09 04/OB-15 04/TH-10
    assert_eq!(expected, checks.query(check, &podinfo(), "1m"));
}

#[test]
fn the_window_is_the_one_of_the_check() {
    let query = istio::MESH.checks.query(Builtin::SuccessRate, &podinfo(), "90s");
    assert_eq!((2, 0), (query.matches("[90s]").count(), query.matches("[1m]").count()));
}

#[test]
fn names_cannot_change_the_meaning_of_a_query() {
    // spec: 04/OB-20
    let mut release = podinfo();
    release.target.name = "my.app".into();
    for checks in [istio::MESH.checks, kubernetes::MESH.checks] {
        let query = checks.query(Builtin::SuccessRate, &release, "1m");
        assert!(query.contains(r#"=~"my\\.app"#), "{query}");
    }
    assert_eq!(r#"a\"b\\c\nd"#, literal("a\"b\\c\nd"));
    assert_eq!(r#"a\\.b\\*\\\\\""#, pattern(r#"a.b*\""#));
}

#[test]
fn the_pods_of_a_daemon_set_are_selected_without_those_of_its_primary() {
    // spec: 04/OB-18
    let query = kubernetes::MESH.checks.query(Builtin::Duration, &canary(None, TargetKind::DaemonSet), "1m");
    // Anchored by Prometheus: `podinfo-x7k2p` matches, `podinfo-primary-x7k2p` has a dash too many.
    assert!(query.contains(r#"kubernetes_pod_name=~"podinfo-[0-9a-zA-Z]+"}"#), "{query}");
}

#[test]
fn a_provider_without_checks_says_which_have_some_and_what_to_do() {
    let unbuilt = Provider::ALL.into_iter().filter(|provider| registry::mesh(*provider).is_none());
    for provider in unbuilt {
        let release = canary(Some(provider.as_str()), TargetKind::Deployment);
        let error = registry::checks(&release, &Settings::default()).err().map(|error| error.to_string());
        let known = registry::known().join(", ");
        assert_eq!(
            error,
            Some(format!(
                "there are no built-in checks for {provider} (known are: {known}); use a metric template"
            ))
        );
    }
}

#[rstest]
#[case::istio_milliseconds(istio::MESH.checks, Builtin::Duration, 0.4, 0.4)]
#[case::http_seconds(kubernetes::MESH.checks, Builtin::Duration, 0.25, 250.0)]
#[case::gateway_api_seconds(gateway::V1.checks, Builtin::Duration, 0.25, 250.0)]
#[case::http_percent(kubernetes::MESH.checks, Builtin::SuccessRate, 99.5, 99.5)]
#[case::istio_percent(istio::MESH.checks, Builtin::SuccessRate, 99.5, 99.5)]
fn values_come_in_percent_and_exact_milliseconds(
    #[case] checks: &Checks,
    #[case] check: Builtin,
    #[case] answer: f64,
    #[case] expected: f64,
) {
    // spec: 04/OB-16 04/TH-08
    assert_eq!(Measured::Value(expected), checks.read(check, Measured::Value(answer)));
}

#[rstest]
#[case::istio(istio::MESH.checks, Builtin::SuccessRate, "running query failed: no values found")]
#[case::istio_duration(istio::MESH.checks, Builtin::Duration, "running query failed: no values found")]
#[case::http(kubernetes::MESH.checks, Builtin::SuccessRate, "no values found")]
#[case::http_duration(kubernetes::MESH.checks, Builtin::Duration, "running query failed: no values found")]
fn missing_values_are_told_in_the_known_words(
    #[case] checks: &Checks,
    #[case] check: Builtin,
    #[case] text: &str,
) {
    assert_eq!(Measured::NoData(text.into()), checks.read(check, Measured::NoData("no values found".into())));
    assert_eq!(Measured::Failed(text.into()), checks.read(check, Measured::Failed("no values found".into())));
    assert_eq!(Measured::NotANumber, checks.read(check, Measured::NotANumber));
}

#[test]
fn only_the_two_names_are_built_in() {
    assert_eq!(Some(Builtin::SuccessRate), Builtin::of(&MetricSource::SuccessRate));
    assert_eq!(Some(Builtin::Duration), Builtin::of(&MetricSource::Duration));
    assert_eq!(None, Builtin::of(&MetricSource::Inline("up".into())));
    assert_eq!(None, Builtin::of(&MetricSource::Unusable));
}

// spec: 04/OB-14
#[test]
fn a_knative_revision_is_looked_for_by_its_name() {
    let mut release = podinfo();
    release.route = Some(Reference {
        api_version: String::new(),
        kind: String::new(),
        name: "podinfo-00002".into(),
        namespace: "test".into(),
    });
    let query = |check| knative::MESH.checks.query(check, &release, "1m");
    assert_eq!(
        query(Builtin::SuccessRate),
        "(sum(rate(envoy_cluster_upstream_rq{envoy_cluster_name=~\"test/podinfo-00002\",\
         envoy_response_code!~\"5.*\"}[1m])) or vector(0)) / \
         sum(rate(envoy_cluster_upstream_rq{envoy_cluster_name=~\"test/podinfo-00002\"}[1m])) * 100"
    );
    assert_eq!(
        query(Builtin::Duration),
        "histogram_quantile(0.99, sum(rate(envoy_cluster_upstream_rq_time_bucket\
         {envoy_cluster_name=~\"test/podinfo-00002\"}[1m])) by (le))"
    );
}
