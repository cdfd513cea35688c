//! Observers, their queries and their units.

use rstest::rstest;

use super::*;
use crate::model::release::Reference;
use crate::router::promql::{literal, pattern};
use crate::router::testing;
use crate::router::{
    apisix, appmesh, contour, gateway, gloo, istio, knative, kubernetes, kuma, nginx, registry, skipper, smi,
    traefik,
};

fn podinfo() -> Release {
    let mut release = testing::release();
    (release.name, release.namespace, release.apex) = ("podinfo".into(), "test".into(), "podinfo".into());
    release.target.name = "podinfo".into();
    release.ingress = Some(named("podinfo-ing"));
    release
}

fn named(name: &str) -> Reference {
    Reference { api_version: String::new(), kind: String::new(), name: name.into(), namespace: "test".into() }
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
#[case::nginx_success_rate(
    nginx::MESH.checks,
    Builtin::SuccessRate,
    r#"(sum(rate(nginx_ingress_controller_requests{namespace="test",ingress="podinfo-ing",canary!="",status!~"5.*"}[1m])) or vector(0)) / sum(rate(nginx_ingress_controller_requests{namespace="test",ingress="podinfo-ing",canary!=""}[1m])) * 100"#
)]
#[case::nginx_duration(
    nginx::MESH.checks,
    Builtin::Duration,
    r#"sum(rate(nginx_ingress_controller_response_duration_seconds_sum{namespace="test",ingress="podinfo-ing",canary!=""}[1m])) / sum(rate(nginx_ingress_controller_response_duration_seconds_count{namespace="test",ingress="podinfo-ing",canary!=""}[1m])) * 1000"#
)]
#[case::skipper_success_rate(
    skipper::MESH.checks,
    Builtin::SuccessRate,
    r#"(sum(rate(skipper_response_duration_seconds_bucket{route=~"kube(ew)?_test__podinfo_ing_canary__.*__podinfo_canary(_[0-9]+)?",le="+Inf",code!~"5.."}[1m])) or vector(0)) / sum(rate(skipper_response_duration_seconds_bucket{route=~"kube(ew)?_test__podinfo_ing_canary__.*__podinfo_canary(_[0-9]+)?",le="+Inf"}[1m])) * 100"#
)]
#[case::skipper_duration(
    skipper::MESH.checks,
    Builtin::Duration,
    r#"sum(rate(skipper_serve_route_duration_seconds_sum{route=~"kube(ew)?_test__podinfo_ing_canary__.*__podinfo_canary(_[0-9]+)?"}[1m])) / sum(rate(skipper_serve_route_duration_seconds_count{route=~"kube(ew)?_test__podinfo_ing_canary__.*__podinfo_canary(_[0-9]+)?"}[1m])) * 1000"#
)]
#[case::traefik_success_rate(
    traefik::MESH.checks,
    Builtin::SuccessRate,
    r#"(sum(rate(traefik_service_request_duration_seconds_bucket{service=~"(test-podinfo-canary-[0-9a-zA-Z-]+|test_[0-9a-zA-Z.-]+_wrr_[0-9]+_test_podinfo-canary_[0-9a-zA-Z-]+)@kubernetescrd",le="+Inf",code!~"5.."}[1m])) or vector(0)) / sum(rate(traefik_service_request_duration_seconds_bucket{service=~"(test-podinfo-canary-[0-9a-zA-Z-]+|test_[0-9a-zA-Z.-]+_wrr_[0-9]+_test_podinfo-canary_[0-9a-zA-Z-]+)@kubernetescrd",le="+Inf"}[1m])) * 100"#
)]
#[case::traefik_duration(
    traefik::MESH.checks,
    Builtin::Duration,
    r#"histogram_quantile(0.99, sum(rate(traefik_service_request_duration_seconds_bucket{service=~"(test-podinfo-canary-[0-9a-zA-Z-]+|test_[0-9a-zA-Z.-]+_wrr_[0-9]+_test_podinfo-canary_[0-9a-zA-Z-]+)@kubernetescrd"}[1m])) by (le)) * 1000"#
)]
#[case::linkerd_success_rate(
    smi::LINKERD.checks,
    Builtin::SuccessRate,
    r#"(sum(rate(response_total{namespace="test",deployment=~"podinfo",direction="inbound",classification!="failure"}[1m])) or vector(0)) / sum(rate(response_total{namespace="test",deployment=~"podinfo",direction="inbound"}[1m])) * 100"#
)]
#[case::linkerd_duration(
    smi::LINKERD.checks,
    Builtin::Duration,
    r#"histogram_quantile(0.99, sum(rate(response_latency_ms_bucket{namespace="test",deployment=~"podinfo",direction="inbound"}[1m])) by (le))"#
)]
#[case::osm_success_rate(
    smi::OSM.checks,
    Builtin::SuccessRate,
    r#"(sum(rate(osm_request_total{destination_namespace="test",destination_kind="Deployment",destination_name="podinfo",response_code!~"5.*"}[1m])) or vector(0)) / sum(rate(osm_request_total{destination_namespace="test",destination_kind="Deployment",destination_name="podinfo"}[1m])) * 100"#
)]
#[case::osm_duration(
    smi::OSM.checks,
    Builtin::Duration,
    r#"histogram_quantile(0.99, sum(rate(osm_request_duration_ms_bucket{destination_namespace="test",destination_kind="Deployment",destination_name="podinfo"}[1m])) by (le))"#
)]
#[case::kuma_success_rate(
    kuma::MESH.checks,
    Builtin::SuccessRate,
    r#"(sum(rate(envoy_cluster_upstream_rq{service=~"podinfo-canary_test_svc_[0-9a-zA-Z-]+",envoy_response_code!~"5.*"}[1m])) or vector(0)) / sum(rate(envoy_cluster_upstream_rq{service=~"podinfo-canary_test_svc_[0-9a-zA-Z-]+"}[1m])) * 100"#
)]
#[case::kuma_duration(
    kuma::MESH.checks,
    Builtin::Duration,
    r#"histogram_quantile(0.99, sum(rate(envoy_cluster_upstream_rq_time_bucket{service=~"podinfo-canary_test_svc_[0-9a-zA-Z-]+"}[1m])) by (le))"#
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
    // spec: 04/OB-02 04/OB-06 04/OB-07 04/OB-09 04/OB-12 04/OB-14 04/OB-15 04/OB-17 04/TH-10
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
    for checks in [istio::MESH.checks, kubernetes::MESH.checks, smi::LINKERD.checks] {
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

#[rstest]
#[case::linkerd(smi::LINKERD.checks, r#"daemonset=~"podinfo","#)]
#[case::osm(smi::OSM.checks, r#"destination_kind="DaemonSet","#)]
fn the_metrics_of_a_daemon_set_bear_its_kind(#[case] checks: &Checks, #[case] part: &str) {
    let query = checks.query(Builtin::Duration, &canary(None, TargetKind::DaemonSet), "1m");
    assert!(query.contains(part), "{query}");
}

#[test]
fn kuma_names_the_canary_after_the_service() {
    let mut release = podinfo();
    release.apex = "web".into();
    for check in [Builtin::SuccessRate, Builtin::Duration] {
        let query = kuma::MESH.checks.query(check, &release, "1m");
        assert!(query.contains(r#"service=~"web-canary_test_svc_[0-9a-zA-Z-]+""#), "{query}");
        assert!(!query.contains("podinfo"), "{query}");
    }
}

#[rstest]
#[case::contour(contour::MESH.checks)]
#[case::gloo(gloo::MESH.checks)]
#[case::traefik(traefik::MESH.checks)]
#[case::apisix(apisix::MESH.checks)]
fn an_ingress_knows_the_canary_by_its_service_whatever_the_target_is_called(#[case] checks: &Checks) {
    // spec: 04/OB-10 04/OB-11
    let mut release = podinfo();
    release.apex = "web".into();
    for check in [Builtin::SuccessRate, Builtin::Duration] {
        let query = checks.query(check, &release, "1m");
        assert!(query.contains("web-canary") && !query.contains("podinfo-canary"), "{query}");
    }
}

#[rstest]
#[case("smi:v1alpha1")]
#[case("smi:v1alpha2:linkerd")]
#[case("smi:v1alpha3:istio")]
fn a_mesh_behind_smi_is_looked_for_in_istios_metrics(#[case] provider: &str) {
    // spec: 04/OB-03
    let checks = registry::checks(&canary(None, TargetKind::Deployment), &global(provider)).expect("Istio's");
    let query = |checks: &Checks| checks.query(Builtin::SuccessRate, &podinfo(), "1m");
    assert_eq!(query(checks), query(istio::MESH.checks));
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
    release.route = Some(named("podinfo-00002"));
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

#[rstest]
#[case::traefik("shop-web-canary-80@kubernetescrd", true)]
#[case::traefik_by_the_name_of_the_port("shop-web-canary-http@kubernetescrd", true)]
#[case::traefik_with_safe_naming("shop_web_wrr_0_shop_web-canary_80@kubernetescrd", true)]
#[case::traefik_in_another_service("shop_be-split_wrr_1_shop_web-canary_80@kubernetescrd", true)]
#[case::the_primary("shop-web-primary-80@kubernetescrd", false)]
#[case::the_primary_with_safe_naming("shop_web_wrr_0_shop_web-primary_80@kubernetescrd", false)]
#[case::the_whole("shop-web@kubernetescrd", false)]
#[case::another_release("shop_web_wrr_0_shop_other-web-canary_80@kubernetescrd", false)]
#[case::another_namespace("live_web_wrr_0_live_web-canary_80@kubernetescrd", false)]
#[case::the_target("shop-frontend-canary-80@kubernetescrd", false)]
fn traefik_calls_the_canary_by_either_name(#[case] service: &str, #[case] expected: bool) {
    let mut release = testing::release();
    release.apex = "web".into();
    for check in [Builtin::SuccessRate, Builtin::Duration] {
        let query = traefik::MESH.checks.query(check, &release, "1m");
        assert_eq!(selects(&query, "service", service), expected, "{query}");
    }
}

#[rstest]
#[case("kube_shop__skipper_ingress_canary__shop_example_com____web_canary", true)]
#[case("kube_shop__skipper_ingress_canary__shop_example_com____web_canary_1", true)]
#[case("kubeew_shop__skipper_ingress_canary__shop_example_com____web_canary", true)]
#[case("kube_shop__skipper_ingress_canary__shop_example_com____web_primary", false)]
#[case("kube_shop__skipper_ingress__shop_example_com____web", false)]
fn skipper_calls_the_canary_without_dashes(#[case] route: &str, #[case] expected: bool) {
    // spec: 04/OB-13
    let mut release = testing::release();
    release.apex = "web".into();
    release.ingress = Some(named("skipper-ingress"));
    for check in [Builtin::SuccessRate, Builtin::Duration] {
        let query = skipper::MESH.checks.query(check, &release, "1m");
        assert_eq!(selects(&query, "route", route), expected, "{query}");
    }
}

/// Whether the pattern that the query has for the label matches all of the value, as Prometheus compares.
fn selects(query: &str, label: &str, value: &str) -> bool {
    let pattern = query.split_once(&format!("{label}=~\"")).and_then(|(_, rest)| rest.split_once('"'));
    let pattern = pattern.expect("a pattern").0.replace("\\\\", "\\");
    regex::Regex::new(&format!("^(?:{pattern})$")).expect("an expression").is_match(value)
}

#[rstest]
#[case::gloo(
    gloo::MESH.checks,
    "envoy_cluster_upstream_rq",
    "envoy_cluster_upstream_rq_time_bucket",
    r#"envoy_cluster_name=~"test-web-canaryupstream-[0-9a-zA-Z-]+_[0-9a-zA-Z-]+""#,
    r#"envoy_response_code!~"5.*""#
)]
#[case::apisix(
    apisix::MESH.checks,
    "apisix_http_status",
    "apisix_http_latency_bucket",
    r#"route=~"test_shop-web-canary_.+""#,
    r#"code!~"5..""#
)]
#[case::app_mesh(
    appmesh::v1beta1::MESH.checks,
    "envoy_cluster_upstream_rq",
    "envoy_cluster_upstream_rq_time_bucket",
    r#"kubernetes_namespace="test",kubernetes_pod_name=~"podinfo-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)""#,
    r#"envoy_response_code!~"5.*""#
)]
fn a_mesh_is_asked_by_the_names_that_its_router_gives(
    #[case] checks: &Checks,
    #[case] requests: &str,
    #[case] latency: &str,
    #[case] all: &str,
    #[case] good: &str,
) {
    // spec: 04/OB-08 04/OB-15
    let mut release = podinfo();
    release.apex = "web".into();
    release.route = Some(Reference {
        api_version: String::new(),
        kind: String::new(),
        name: "shop".into(),
        namespace: "test".into(),
    });
    assert_eq!(
        checks.query(Builtin::SuccessRate, &release, "1m"),
        format!(
            "(sum(rate({requests}{{{all},{good}}}[1m])) or vector(0)) / sum(rate({requests}{{{all}}}[1m])) * 100"
        )
    );
    let kind = if requests.starts_with("apisix") { r#"type=~"request","# } else { "" };
    assert_eq!(
        checks.query(Builtin::Duration, &release, "1m"),
        format!("histogram_quantile(0.99, sum(rate({latency}{{{kind}{all}}}[1m])) by (le))")
    );
    assert_eq!(checks.read(Builtin::Duration, Measured::Value(0.5)), Measured::Value(0.5), "milliseconds");
}
