//! Built-in checks and shipped templates of every mesh, against Prometheus and VictoriaMetrics with the series that its proxies write: of the
//! canary's requests 5 % fail and 5 % are not found; nine in ten take up to 100 ms, the others up to 200 (120 ms on average).
//! Other workloads fail always and take ten seconds: a query that sees them is wrong.

use rstest::rstest;
use serde_json::{Value, json};
use vexil::manifest::{decode, read};
use vexil::metrics::{Prometheus, Template, Variables};
use vexil::model::release::{Release, Settings};
use vexil::router::checks::Builtin;
use vexil::router::registry;

use super::{Calls, Client, Measured, asked, part};

/// The answer of the server that this variable names.
async fn measure(server: &str, query: &str) -> Measured {
    let server = Prometheus::server(&part(server)).expect("an address");
    Calls::outside(Client::default()).measure(&server, &asked(query)).await
}

fn is_about(found: &Measured, expected: f64, what: &str) {
    let Measured::Value(value) = found else { panic!("{what}: {found:?}") };
    assert!((value - expected).abs() < 0.01 * expected, "{what}: {value} and not {expected}");
}

/// The release of a Canary of this provider.
fn release(provider: &str) -> Release {
    let object = json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "Canary",
        "metadata": {"name": "frontend", "namespace": "shop", "uid": "1"},
        "spec": {
            "provider": provider,
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "frontend"},
            "ingressRef": {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "frontend"},
            "routeRef": {"apiVersion": "apisix.apache.org/v2", "kind": "ApisixRoute", "name": "frontend"},
            "service": {"port": 80},
            "analysis": {"interval": "1m", "threshold": 5, "maxWeight": 50, "stepWeight": 10},
        },
    });
    let settings = Settings::default();
    let facts = |release: &Release| registry::facts(release, &settings);
    let canary = decode::canary(&object).expect("a Canary");
    let reading = read::release(&canary, &settings, &read::Providers { known: "istio", facts: &facts });
    *reading.release.unwrap_or_else(|problems| panic!("{provider}: {problems:?}"))
}

#[rstest]
#[case::prometheus("PROOF_PROMETHEUS")]
#[case::victoria("PROOF_VICTORIA")]
#[tokio::test]
#[ignore = "needs the parts of make test-providers"]
async fn the_built_in_checks_see_the_canary_and_nothing_else(#[case] server: &str) {
    for (provider, millis) in [
        ("istio", 190.0),
        ("appmesh:v1beta2", 190.0),
        ("contour", 190.0),
        ("gloo", 190.0),
        ("kuma", 190.0),
        ("linkerd", 190.0),
        ("osm", 190.0),
        ("traefik", 190.0),
        ("apisix", 190.0),
        ("kubernetes", 190.0),
        // These two give the mean.
        ("nginx", 120.0),
        ("skipper", 120.0),
    ] {
        let release = release(provider);
        let checks = registry::checks(&release, &Settings::default()).expect("checks");
        for (check, expected) in [(Builtin::SuccessRate, 95.0), (Builtin::Duration, millis)] {
            let query = checks.query(check, &release, "1m");
            let found = checks.read(check, measure(server, &query).await);
            is_about(&found, expected, &format!("{provider} {check:?}: {query}"));
        }
    }
}

#[rstest]
#[case::prometheus("PROOF_PROMETHEUS")]
#[case::victoria("PROOF_VICTORIA")]
#[tokio::test]
#[ignore = "needs the parts of make test-providers"]
async fn the_shipped_templates_see_the_canary_and_nothing_else(#[case] server: &str) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("metric-templates/prometheus");
    let (mut judged, mut answered) = (0, 0);
    for entry in std::fs::read_dir(folder).expect("templates") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        // Loki speaks Prometheus' HTTP API and another language.
        if name.starts_with("loki") {
            continue;
        }
        let object: Value =
            serde_saphyr::from_str(&std::fs::read_to_string(&path).expect("a file")).expect("YAML");
        let query = object["spec"]["query"].as_str().expect("a query");
        let names = || "frontend".to_owned();
        let variables = Variables {
            name: names(),
            namespace: "shop".into(),
            target: names(),
            service: names(),
            ingress: names(),
            route: names(),
            interval: "1m".into(),
            variables: ["group", "queue"].map(|key| (key.to_owned(), names())).into(),
        };
        let query = Template::parse(query).and_then(|query| query.render(&variables)).expect("a query");
        let found = measure(server, &query).await;
        let mesh = name.split('-').next().unwrap_or_default();
        let expected = match name.strip_prefix(mesh).unwrap_or_default() {
            _ if mesh == "grpc" => None,
            "-error-rate" | "-not-found-rate" => Some(5.0),
            "-latency-p95" => Some(150.0),
            _ => None,
        };
        match expected {
            Some(expected) => {
                is_about(&found, expected, &format!("{name}: {query}"));
                judged += 1;
            }
            // Nobody writes these series here: that the query is understood is all that can be seen.
            None => {
                assert!(!matches!(found, Measured::Failed(_)), "{name}: {found:?} {query}");
                answered += 1;
            }
        }
    }
    assert!(judged >= 33 && answered >= 9, "{judged} {answered}");
}
