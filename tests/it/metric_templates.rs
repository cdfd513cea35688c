//! The templates that we ship: each is one, and gives a query for a Canary that its provider can send.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use vexil::api::analysis::Metric;
use vexil::manifest::decode;
use vexil::metrics::{Asked, Next, SecretData, Template, Variables, known, provider};

/// A template that we ship, with the query that it gives for the Deployment `frontend` in `shop`.
struct Shipped {
    provider: &'static str,
    name: String,
    spec: vexil::api::MetricTemplateSpec,
    query: String,
}

fn shipped() -> Vec<Shipped> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("metric-templates");
    let mut found = Vec::new();
    for provider in known() {
        for entry in fs::read_dir(folder.join(provider)).expect("a folder for each provider") {
            let path = entry.expect("an entry").path();
            let text = fs::read_to_string(&path).expect("a template");
            found.push(read(provider, &path, &text));
        }
    }
    found
}

fn read(provider: &'static str, path: &Path, text: &str) -> Shipped {
    let shown = path.display();
    let object: Value = serde_saphyr::from_str(text).expect("YAML");
    let template = decode::metric_template(&object).unwrap_or_else(|error| panic!("{shown}: {error}"));
    let name = template.metadata.name.unwrap_or_default();
    assert_eq!(template.spec.provider.kind, provider, "{shown}");
    assert_eq!(Some(name.as_str()), path.file_stem().and_then(|name| name.to_str()));
    // The check that the file shows is one, and its variables are all that the query needs.
    let line = text.lines().find_map(|line| line.strip_prefix("# In a Canary: ")).expect("a check");
    let check: Metric = serde_saphyr::from_str(line).unwrap_or_else(|error| panic!("{shown}: {error}"));
    assert_eq!(Some(&name), check.template_ref.as_ref().map(|template| &template.name), "{shown}");
    assert!(check.threshold_range.is_some_and(|range| range.min.or(range.max).is_some()), "{shown}");
    let variables = Variables {
        name: "frontend".into(),
        namespace: "shop".into(),
        target: "frontend".into(),
        service: "frontend".into(),
        ingress: "frontend".into(),
        route: "frontend".into(),
        interval: check.interval.expect("an interval"),
        variables: check.template_variables.unwrap_or_default(),
    };
    let query = Template::parse(&template.spec.query).and_then(|template| template.render(&variables));
    let query = query.unwrap_or_else(|error| panic!("{shown}: {error}"));
    assert!(
        query.contains("shop") && query.contains("frontend") && !query.contains("{{"),
        "{shown}: {query}"
    );
    assert_eq!(query.matches('(').count(), query.matches(')').count(), "{query}");
    Shipped { provider, name, spec: template.spec, query }
}

/// Whatever a provider may want to find in its Secret.
fn secret() -> SecretData {
    let keys = [
        "token",
        "org",
        "username",
        "password",
        "datadog_api_key",
        "datadog_application_key",
        "newrelic_account_id",
        "newrelic_query_key",
        "dynatrace_token",
        "sf_token_key",
        "project",
    ];
    keys.iter().map(|key| ((*key).to_owned(), b"1".to_vec())).collect()
}

#[test]
fn every_shipped_template_gives_a_query_that_its_provider_sends() {
    for Shipped { provider: kind, name, spec, query } in shipped() {
        let backend =
            provider(&spec.provider, Some(&secret())).unwrap_or_else(|error| panic!("{name}: {error}"));
        let now = "2026-07-21T12:00:00Z".parse().expect("a time");
        let asked = Asked { query, interval: Duration::from_secs(60), now };
        let step = backend.next(&asked, &[]);
        assert!(matches!(step, Next::Send(_)), "{kind} {name}: {step:?}");
    }
}

#[test]
fn every_query_for_prometheus_sums_up_to_one_value_over_the_window_of_the_check() {
    for Shipped { name, query, .. } in shipped().into_iter().filter(|one| one.provider == "prometheus") {
        for (open, close) in [('(', ')'), ('{', '}'), ('[', ']')] {
            assert_eq!(outside_texts(&query, open), outside_texts(&query, close), "{name}: {query}");
        }
        // What is not summed up has many series, which no check takes.
        let whole =
            ["sum(", "(sum(", "max(", "histogram_quantile("].iter().any(|begin| query.starts_with(begin));
        assert!(whole, "{name}: {query}");
        let counts = ["rate(", "increase(", "_over_time("].iter().any(|function| query.contains(function));
        assert_eq!(counts, query.contains("[1m]"), "{name}: {query}");
    }
}

/// How often `wanted` stands in a query outside of its quoted texts.
fn outside_texts(query: &str, wanted: char) -> usize {
    let (mut quote, mut found) = (None, 0);
    for c in query.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if matches!(c, '"' | '`') => quote = Some(c),
            None => found += usize::from(c == wanted),
        }
    }
    assert_eq!(quote, None, "a text is not closed: {query}");
    found
}

#[test]
fn every_mesh_and_every_sign_of_trouble_has_a_template() {
    let mut names: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for Shipped { provider, name, .. } in shipped() {
        names.entry(provider).or_default().insert(name);
    }
    let meshes = [
        "apisix", "appmesh", "contour", "gloo", "http", "istio", "kuma", "linkerd", "nginx", "osm", "traefik",
    ];
    for mesh in meshes {
        for what in ["error-rate", "latency-p95", "not-found-rate"] {
            let name = format!("{mesh}-{what}");
            assert!(names["prometheus"].contains(&name), "{name}");
        }
    }
    let others = [
        "cpu-throttling",
        "cpu-use",
        "grpc-error-rate",
        "kafka-lag",
        "loki-error-logs",
        "memory-use",
        "pod-restarts",
        "rabbitmq-ready",
    ];
    assert!(others.iter().all(|name| names["prometheus"].contains(*name)), "{names:?}");
    assert_eq!(known().into_iter().collect::<BTreeSet<_>>(), names.keys().copied().collect::<BTreeSet<_>>());
}
