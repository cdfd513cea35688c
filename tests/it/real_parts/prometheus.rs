//! Built-in checks and shipped templates of every mesh, against Prometheus and VictoriaMetrics with the series that its proxies write: of the
//! canary's requests 5 % fail and 5 % are not found; nine in ten take up to 100 ms, the others up to 200 (120 ms on average).
//! Other workloads fail always and take ten seconds: a query that sees them is wrong.

use rstest::rstest;
use serde_json::Value;
use vexil::metrics::{Prometheus, Template, Variables};
use vexil::model::release::Settings;
use vexil::router::checks::Builtin;
use vexil::router::registry;

use super::{Calls, Client, Measured, asked, part};
use crate::metric_templates::release_of;

/// The answer of the server that this variable names.
async fn measure(server: &str, query: &str) -> Measured {
    let server = Prometheus::server(&part(server)).expect("an address");
    Calls::outside(Client::default()).measure(&server, &asked(query)).await
}

fn is_about(found: &Measured, expected: f64, what: &str) {
    let Measured::Value(value) = found else { panic!("{what}: {found:?}") };
    assert!((value - expected).abs() < 0.01 * expected, "{what}: {value} and not {expected}");
}

/// A mesh's series have the canary of this name beside that of `frontend`.
const OTHER: &str = "cart";

#[rstest]
#[case::prometheus("PROOF_PROMETHEUS")]
#[case::victoria("PROOF_VICTORIA")]
#[tokio::test]
#[ignore = "needs the parts of make test-providers"]
async fn the_built_in_checks_see_the_canary_and_nothing_else(#[case] server: &str) {
    for (provider, name, millis) in [
        ("istio", "frontend", 190.0),
        ("appmesh:v1beta2", "frontend", 190.0),
        ("contour", "frontend", 190.0),
        ("gloo", "frontend", 190.0),
        ("knative", "frontend", 190.0),
        ("kuma", "frontend", 190.0),
        ("linkerd", "frontend", 190.0),
        ("osm", "frontend", 190.0),
        ("traefik", "frontend", 190.0),
        // Names of a Traefik that is told to use safe ones.
        ("traefik", OTHER, 190.0),
        ("apisix", "frontend", 190.0),
        ("kubernetes", "frontend", 190.0),
        // Behind any Gateway it is the application that tells: Envoy Gateway counts primary and canary together.
        ("gatewayapi:v1", "frontend", 190.0),
        // These two give the mean.
        ("nginx", "frontend", 120.0),
        ("skipper", "frontend", 120.0),
    ] {
        let mut release = release_of(provider, name);
        if provider == "knative" {
            // As the controller reads it from the Knative Service.
            release.route.as_mut().expect("a route").name = REVISION.to_owned();
        }
        let checks = registry::checks(&release, &Settings::default()).expect("checks");
        for (check, expected) in [(Builtin::SuccessRate, 95.0), (Builtin::Duration, millis)] {
            let query = checks.query(check, &release, "1m");
            let found = checks.read(check, measure(server, &query).await);
            is_about(&found, expected, &format!("{provider} {check:?}: {query}"));
        }
    }
}

/// The revision of the Knative Service that is the canary.
const REVISION: &str = "frontend-00002";

/// What a template has to find. How much is counted in a minute that the server has not seen as a whole is not known here:
/// where that matters, it has to be as much as a query finds in series that were counted beside those of the cluster.
enum Expected {
    Value(f64),
    AsMuchAs(String),
}

fn expected(template: &str) -> Expected {
    Expected::Value(match template {
        // Of ten calls one is not OK.
        name if name.contains("grpc-error-rate") => 10.0,
        name if name.ends_with("-error-rate") || name.ends_with("-not-found-rate") => 5.0,
        name if name.ends_with("-latency-p95") => 150.0,
        "cpu-use" => {
            return Expected::AsMuchAs("50 * sum(rate(proof_total{template=\"cpu-use\"}[1m]))".to_owned());
        }
        "cpu-throttling" => 20.0,
        "memory-use" => 75.0,
        "kafka-lag" => 12.0,
        "rabbitmq-ready" => 17.0,
        "pod-restarts" | "istio-request-count" => {
            return Expected::AsMuchAs(format!("sum(increase(proof_total{{template=\"{template}\"}}[1m]))"));
        }
        other => panic!("nobody knows what {other} has to find"),
    })
}

#[rstest]
#[case::prometheus("PROOF_PROMETHEUS")]
#[case::victoria("PROOF_VICTORIA")]
#[tokio::test]
#[ignore = "needs the parts of make test-providers"]
async fn the_shipped_templates_see_the_canary_and_nothing_else(#[case] server: &str) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("metric-templates/prometheus");
    let mut judged = 0;
    for entry in std::fs::read_dir(folder).expect("templates") {
        let path = entry.expect("an entry").path();
        let template = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        // Loki speaks Prometheus' HTTP API and another language.
        if template.starts_with("loki") {
            continue;
        }
        let object: Value =
            serde_saphyr::from_str(&std::fs::read_to_string(&path).expect("a file")).expect("YAML");
        let query = object["spec"]["query"].as_str().expect("a query");
        // Those of the meshes count a workload of their own, so that all of the frontend's requests are HTTP.
        let whose = match template.as_str() {
            "istio-grpc-error-rate" | "linkerd-grpc-error-rate" | "istio-request-count" => &[OTHER][..],
            name if name.starts_with("traefik-") => &["frontend", OTHER],
            _ => &["frontend"],
        };
        for name in whose {
            let query = rendered(query, name, &template);
            match expected(&template) {
                Expected::Value(expected) => {
                    is_about(&measure(server, &query).await, expected, &format!("{template}: {query}"));
                }
                Expected::AsMuchAs(counted) => {
                    let ratio = format!("({query}) / ({counted})");
                    is_about(&measure(server, &ratio).await, 1.0, &format!("{template}: {ratio}"));
                }
            }
            judged += 1;
        }
    }
    assert!(judged >= 55, "{judged}");
}

fn rendered(query: &str, name: &str, template: &str) -> String {
    let names = || name.to_owned();
    let pairs = ["group", "queue", "ingress", "service"].map(|key| (key.to_owned(), names()));
    let variables = Variables {
        name: names(),
        namespace: "shop".into(),
        target: names(),
        service: names(),
        ingress: names(),
        route: if template.starts_with("knative-") { REVISION.into() } else { names() },
        interval: "1m".into(),
        variables: pairs.into_iter().chain([("namespace".into(), "shop".into())]).collect(),
    };
    Template::parse(query).and_then(|query| query.render(&variables)).expect("a query")
}
