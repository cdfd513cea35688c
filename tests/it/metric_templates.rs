//! The templates that we ship: each is one, and gives a query for a Canary that its provider can send.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use promql_parser::parser::{Expr, LabelModifier};
use serde_json::{Value, json};
use vexil::api::analysis::Metric;
use vexil::manifest::{decode, read};
use vexil::metrics::{Asked, Next, SecretData, Template, Variables, known, provider};
use vexil::model::release::{Release, Settings};
use vexil::router::checks::Builtin;
use vexil::router::registry::{self, MESHES};

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
    Shipped { provider, name, spec: template.spec, query }
}

/// The release of a Canary of this name, of this provider.
pub fn release_of(provider: &str, name: &str) -> Release {
    let (api, kind) = match provider {
        "knative" => ("serving.knative.dev/v1", "Service"),
        _ => ("apps/v1", "Deployment"),
    };
    let object = json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "Canary",
        "metadata": {"name": name, "namespace": "shop", "uid": "1"},
        "spec": {
            "provider": provider,
            "targetRef": {"apiVersion": api, "kind": kind, "name": name},
            "ingressRef": {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": name},
            "routeRef": {"apiVersion": "apisix.apache.org/v2", "kind": "ApisixRoute", "name": name},
            "service": {"port": 80, "meshName": "shop", "gatewayRefs": [{"name": "public", "namespace": "edge"}]},
            "analysis": {"interval": "1m", "threshold": 5, "maxWeight": 50, "stepWeight": 10},
        },
    });
    let settings = Settings::default();
    let facts = |release: &Release| registry::facts(release, &settings);
    let canary = decode::canary(&object).expect("a Canary");
    let reading = read::release(&canary, &settings, &read::Providers { known: "istio", facts: &facts });
    *reading.release.unwrap_or_else(|problems| panic!("{provider}: {problems:?}"))
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
fn every_query_for_prometheus_is_promql_that_sums_up_to_one_value_over_the_window_of_the_check() {
    let mut parsed = 0;
    for Shipped { name, query, .. } in shipped().into_iter().filter(|one| one.provider == "prometheus") {
        // Loki answers as Prometheus does, to a language of its own.
        if name.starts_with("loki-") {
            continue;
        }
        let expression =
            promql_parser::parser::parse(&query).unwrap_or_else(|error| panic!("{name}: {error}: {query}"));
        assert!(is_one_value(&expression), "{name}: {query}");
        let counts = ["rate(", "increase(", "_over_time("].iter().any(|function| query.contains(function));
        assert_eq!(counts, query.contains("[1m]"), "{name}: {query}");
        parsed += 1;
    }
    assert!(parsed > 50, "{parsed}");
}

/// Whether it gives one series at most, whatever there is: what is not summed up has many, which no check takes.
fn is_one_value(expression: &Expr) -> bool {
    match expression {
        Expr::Aggregate(aggregate) => aggregate.modifier.is_none(),
        Expr::Binary(binary) => is_one_value(&binary.lhs) && is_one_value(&binary.rhs),
        Expr::Paren(inner) => is_one_value(&inner.expr),
        Expr::NumberLiteral(_) => true,
        Expr::Call(call) => match call.func.name {
            "vector" => true,
            // Of buckets that are summed up by nothing but their bounds.
            "histogram_quantile" => matches!(
                call.args.args.last().map(AsRef::as_ref),
                Some(Expr::Aggregate(sum)) if matches!(&sum.modifier, Some(LabelModifier::Include(labels)) if labels.labels == ["le"])
            ),
            _ => false,
        },
        _ => false,
    }
}

#[test]
fn every_query_for_cloudwatch_is_json_and_shows_one_result() {
    for Shipped { name, query, .. } in shipped().into_iter().filter(|one| one.provider == "cloudwatch") {
        let queries: Vec<Value> =
            serde_json::from_str(&query).unwrap_or_else(|error| panic!("{name}: {error}: {query}"));
        let shown = queries.iter().filter(|query| query["ReturnData"] != false).count();
        assert_eq!(1, shown, "{name}: {query}");
        let ids: Vec<&str> = queries.iter().filter_map(|query| query["Id"].as_str()).collect();
        for expression in queries.iter().filter_map(|query| query["Expression"].as_str()) {
            let words = expression.split(|c: char| !c.is_ascii_lowercase()).filter(|word| !word.is_empty());
            assert!(words.clone().count() > 1, "{name}: {expression}");
            for word in words {
                assert!(ids.contains(&word), "{name}: {word} of {expression} is none of {ids:?}");
            }
        }
    }
}

/// Languages without a parser outside of their service, and Loki's.
#[test]
fn every_other_query_closes_its_quotes_and_brackets() {
    for Shipped { provider, name, query, .. } in shipped() {
        for (open, close) in [('(', ')'), ('{', '}'), ('[', ']')] {
            let counted = (outside_texts(&query, open), outside_texts(&query, close));
            assert_eq!(counted.0, counted.1, "{provider}/{name}: {query}");
        }
    }
}

/// How often `wanted` stands in a query outside of its quoted texts.
fn outside_texts(query: &str, wanted: char) -> usize {
    let (mut quote, mut found) = (None, 0);
    for c in query.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if matches!(c, '"' | '`' | '\'') => quote = Some(c),
            None => found += usize::from(c == wanted),
        }
    }
    assert_eq!(quote, None, "a text is not closed: {query}");
    found
}

/// The signs of trouble, in the order of the table by service.
const SIGNS: [&str; 8] =
    ["errors", "latency", "404", "gRPC", "saturation", "queues", "restarts", "error logs"];

#[test]
fn the_tables_of_the_readme_have_a_file_or_a_reason_in_each_cell_and_each_file_in_a_cell() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("metric-templates");
    let readme = fs::read_to_string(folder.join("README.md")).expect("a README");
    let (mut services, mut meshes, mut named) = (BTreeSet::new(), 0, BTreeSet::new());
    let mut header: Vec<String> = Vec::new();
    for line in readme.lines() {
        let Some(row) = line.strip_prefix("| ") else {
            if !line.starts_with('|') {
                header.clear();
            }
            continue;
        };
        let cells: Vec<String> =
            row.trim_end_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
        if header.is_empty() {
            header = cells;
            continue;
        }
        assert_eq!(header.len(), cells.len(), "{line}");
        let by = header[0].as_str();
        let provider = match by {
            "service" => {
                assert_eq!(SIGNS.as_slice(), &header[1..]);
                cells[0].trim_matches('`')
            }
            "mesh or ingress" => {
                assert_eq!(&SIGNS[..4], &header[1..]);
                meshes += 1;
                "prometheus"
            }
            _ => "",
        };
        services.insert(provider.to_owned());
        for (sign, cell) in header.iter().zip(&cells).skip(1) {
            let files: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
            for file in &files {
                let file =
                    if provider.is_empty() { (*file).to_owned() } else { format!("{provider}/{file}") };
                assert!(folder.join(format!("{file}.yaml")).is_file(), "{}, {sign}: no {file}", cells[0]);
                services.extend(file.split_once('/').map(|(provider, _)| provider.to_owned()));
                named.insert(file);
            }
            let words = cell.split_whitespace().count();
            assert!(
                !files.is_empty() || words > 2,
                "{}, {sign}: neither file nor reason: {cell:?}",
                cells[0]
            );
        }
    }
    services.remove("");
    assert_eq!(known().into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), services);
    assert_eq!(14, meshes);
    let there: BTreeSet<String> =
        shipped().iter().map(|Shipped { provider, name, .. }| format!("{provider}/{name}")).collect();
    assert_eq!(there, named);
}

#[test]
fn every_built_in_check_is_promql_that_sums_up_to_one_value() {
    let settings = Settings::default();
    for mesh in MESHES {
        for provider in mesh.providers {
            let release = release_of(provider.as_str(), "frontend");
            let checks = registry::checks(&release, &settings).expect("checks");
            for check in [Builtin::SuccessRate, Builtin::Duration] {
                let query = checks.query(check, &release, "1m");
                let expression = promql_parser::parser::parse(&query)
                    .unwrap_or_else(|error| panic!("{provider} {check:?}: {error}: {query}"));
                assert!(is_one_value(&expression), "{provider} {check:?}: {query}");
            }
        }
    }
}
