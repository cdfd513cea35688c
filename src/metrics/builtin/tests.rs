//! Observers, their queries and their units.

use rstest::rstest;

use super::promql::{literal, pattern};
use super::*;
use crate::metrics::testing::podinfo;
use crate::model::release::{Settings, TargetKind};

fn global(provider: &str) -> Settings {
    Settings { mesh_provider: provider.to_owned(), ..Settings::default() }
}

fn canary(own_provider: Option<&str>, kind: TargetKind) -> Release {
    let mut release = podinfo();
    release.own_provider = own_provider.map(str::to_owned);
    release.target.kind = kind;
    release
}

#[rstest]
#[case("apisix", Observer::Apisix)]
#[case("appmesh", Observer::AppMesh)]
#[case("appmesh:v1beta2", Observer::AppMesh)]
#[case("contour", Observer::Contour)]
#[case("gatewayapi:v1", Observer::Http)]
#[case("gatewayapi:v1beta1", Observer::Http)]
#[case("gloo", Observer::Gloo)]
#[case("istio", Observer::Istio)]
#[case("knative", Observer::Knative)]
#[case("kubernetes", Observer::Http)]
#[case("kuma", Observer::Kuma)]
#[case("linkerd", Observer::Linkerd)]
#[case("nginx", Observer::Nginx)]
#[case("osm", Observer::Osm)]
#[case("skipper", Observer::Skipper)]
#[case("smi:v1alpha1", Observer::Istio)]
#[case("smi:v1alpha2", Observer::Istio)]
#[case("smi:v1alpha3", Observer::Istio)]
#[case("traefik", Observer::Traefik)]
#[case("smi:linkerd-like", Observer::Istio)]
#[case("crossover", Observer::Istio)]
#[case("", Observer::Istio)]
fn every_provider_has_its_observer(#[case] provider: &str, #[case] expected: Observer) {
    // spec: 02/C100 04/OB-01 04/OB-02 04/OB-03
    let own = canary(Some(provider), TargetKind::Deployment);
    assert_eq!(expected, observer(&own, &Settings::default()));
    if provider != "smi:linkerd-like" {
        assert_eq!(expected, observer(&canary(None, TargetKind::Deployment), &global(provider)));
    }
}

#[rstest]
#[case::own_wins(Some("nginx"), "istio", TargetKind::Deployment, Observer::Nginx, "nginx")]
#[case::linkerd_wins_over_own(Some("nginx"), "linkerd", TargetKind::Deployment, Observer::Linkerd, "linkerd")]
#[case::linkerd_within(Some("nginx"), "smi:linkerd", TargetKind::Deployment, Observer::Linkerd, "linkerd")]
#[case::linkerd_within_alone(None, "smi:linkerd", TargetKind::Deployment, Observer::Istio, "smi:linkerd")]
#[case::crossover_within(None, "smi:crossover", TargetKind::DaemonSet, Observer::Istio, "crossover")]
#[case::own_wins_over_crossover(
    Some("nginx"),
    "smi:crossover",
    TargetKind::DaemonSet,
    Observer::Nginx,
    "nginx"
)]
#[case::service(None, "kubernetes", TargetKind::Service, Observer::Http, "kubernetes:service")]
#[case::service_of_own(Some("nginx"), "istio", TargetKind::Service, Observer::Nginx, "nginx:service")]
#[case::knative(Some("knative"), "istio", TargetKind::Knative, Observer::Knative, "knative")]
fn the_canary_and_the_controller_choose_the_observer(
    #[case] own: Option<&str>,
    #[case] flag: &str,
    #[case] kind: TargetKind,
    #[case] expected: Observer,
    #[case] shown: &str,
) {
    // spec: 02/C100 04/OB-04 04/OB-05
    let release = canary(own, kind);
    assert_eq!(
        (expected, shown),
        (observer(&release, &global(flag)), label(&release, &global(flag)).as_str())
    );
}

#[rstest]
#[case::istio_success_rate(
    Observer::Istio,
    Builtin::SuccessRate,
    r#"(sum(rate(istio_requests_total{reporter="destination",destination_workload_namespace="test",destination_workload=~"podinfo",response_code!~"5.*"}[1m])) or vector(0)) / sum(rate(istio_requests_total{reporter="destination",destination_workload_namespace="test",destination_workload=~"podinfo"}[1m])) * 100"#
)]
#[case::istio_duration(
    Observer::Istio,
    Builtin::Duration,
    r#"histogram_quantile(0.99, sum(rate(istio_request_duration_milliseconds_bucket{reporter="destination",destination_workload_namespace="test",destination_workload=~"podinfo"}[1m])) by (le))"#
)]
#[case::http_success_rate(
    Observer::Http,
    Builtin::SuccessRate,
    r#"(sum(rate(http_request_duration_seconds_count{kubernetes_namespace="test",kubernetes_pod_name=~"podinfo-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)",status!~"5.*"}[1m])) or vector(0)) / sum(rate(http_request_duration_seconds_count{kubernetes_namespace="test",kubernetes_pod_name=~"podinfo-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)"}[1m])) * 100"#
)]
#[case::http_duration(
    Observer::Http,
    Builtin::Duration,
    r#"histogram_quantile(0.99, sum(rate(http_request_duration_seconds_bucket{kubernetes_namespace="test",kubernetes_pod_name=~"podinfo-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)"}[1m])) by (le))"#
)]
fn the_queries_are_these(#[case] observer: Observer, #[case] check: Builtin, #[case] expected: &str) {
    // spec: 04/OB-06 04/OB-09 04/OB-15 04/TH-10
    assert_eq!(expected, observer.query(check, &podinfo(), "1m").unwrap());
}

#[test]
fn the_window_is_the_one_of_the_check() {
    let query = Observer::Istio.query(Builtin::SuccessRate, &podinfo(), "90s").unwrap();
    assert_eq!((2, 0), (query.matches("[90s]").count(), query.matches("[1m]").count()));
}

#[test]
fn names_cannot_change_the_meaning_of_a_query() {
    // spec: 04/OB-20
    let mut release = podinfo();
    release.target.name = "my.app".into();
    for observer in [Observer::Istio, Observer::Http] {
        let query = observer.query(Builtin::SuccessRate, &release, "1m").unwrap();
        assert!(query.contains(r#"=~"my\\.app"#), "{query}");
    }
    assert_eq!(r#"a\"b\\c\nd"#, literal("a\"b\\c\nd"));
    assert_eq!(r#"a\\.b\\*\\\\\""#, pattern(r#"a.b*\""#));
}

#[test]
fn the_pods_of_a_daemon_set_are_selected_without_those_of_its_primary() {
    // spec: 04/OB-18
    let query = Observer::Http.query(Builtin::Duration, &canary(None, TargetKind::DaemonSet), "1m").unwrap();
    // Anchored by Prometheus: `podinfo-x7k2p` matches, `podinfo-primary-x7k2p` has a dash too many.
    assert!(query.contains(r#"kubernetes_pod_name=~"podinfo-[0-9a-zA-Z]+"}"#), "{query}");
}

#[test]
fn an_observer_without_queries_says_what_to_do() {
    let error = Observer::Gloo.query(Builtin::Duration, &podinfo(), "1m").unwrap_err().to_string();
    assert_eq!(
        "there are no built-in checks for gloo (known are: istio, kubernetes, gatewayapi, knative); use a metric template",
        error
    );
}

#[rstest]
#[case::istio_milliseconds(Observer::Istio, Builtin::Duration, 0.4, 0.4)]
#[case::http_seconds(Observer::Http, Builtin::Duration, 0.25, 250.0)]
#[case::http_percent(Observer::Http, Builtin::SuccessRate, 99.5, 99.5)]
#[case::istio_percent(Observer::Istio, Builtin::SuccessRate, 99.5, 99.5)]
fn values_come_in_percent_and_exact_milliseconds(
    #[case] observer: Observer,
    #[case] check: Builtin,
    #[case] answer: f64,
    #[case] expected: f64,
) {
    // spec: 04/OB-16 04/TH-08
    assert_eq!(Measured::Value(expected), observer.read(check, Measured::Value(answer)));
}

#[rstest]
#[case::istio(Observer::Istio, Builtin::SuccessRate, "running query failed: no values found")]
#[case::istio_duration(Observer::Istio, Builtin::Duration, "running query failed: no values found")]
#[case::http(Observer::Http, Builtin::SuccessRate, "no values found")]
#[case::http_duration(Observer::Http, Builtin::Duration, "running query failed: no values found")]
fn missing_values_are_told_in_the_known_words(
    #[case] observer: Observer,
    #[case] check: Builtin,
    #[case] text: &str,
) {
    assert_eq!(
        Measured::NoData(text.into()),
        observer.read(check, Measured::NoData("no values found".into()))
    );
    assert_eq!(
        Measured::Failed(text.into()),
        observer.read(check, Measured::Failed("no values found".into()))
    );
    assert_eq!(Measured::NotANumber, observer.read(check, Measured::NotANumber));
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
    release.route = "podinfo-00002".into();
    let query = |check| Observer::Knative.query(check, &release, "1m").expect("a query");
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
