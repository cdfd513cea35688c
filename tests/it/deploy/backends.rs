//! The pages of receivers and metrics backends: the tables of what the registries know, and in the section of each objects
//! that can be used as they are.

use std::time::Duration;

use serde_json::Value;
use vexil::alert;
use vexil::api::MetricTemplateSpec;
use vexil::manifest::decode;
use vexil::metrics::{self, Asked, Next, SecretData, Template, Variables};

use super::{holds_between, read};

#[test]
fn the_page_of_the_receivers_has_a_section_for_each() {
    let mut table = String::from(
        "\n| type | what it is | Secret, beside `address` | `channel` | `threads` |\n|---|---|---|---|---|\n",
    );
    let page = read("docs/alerts.md");
    for entry in alert::registered() {
        let name = entry.name;
        let threads = if entry.threads { "yes" } else { "" };
        table += &format!(
            "| [`{name}`](#{name}) | {} | {} | {} | {threads} |\n",
            entry.about,
            keys(entry.keys),
            entry.channel
        );
        receiver_is_shown(&page, &entry);
    }
    holds_between("docs/alerts.md", "<!-- receivers: begin", "<!-- receivers: end", &(table + "\n"));
}

#[test]
fn the_page_of_the_metrics_backends_has_a_section_for_each() {
    let mut table =
        String::from("\n| type | address | Secret | window | which value |\n|---|---|---|---|---|\n");
    let page = read("docs/metrics.md");
    for entry in metrics::registered() {
        let name = entry.name;
        let keys = if entry.keys.is_empty() { "–".to_owned() } else { keys(entry.keys) };
        table += &format!(
            "| [`{name}`](#{name}) | {} | {keys} | {} | {} |\n",
            entry.address, entry.window, entry.value
        );
        backend_is_shown(&page, &entry);
    }
    holds_between("docs/metrics.md", "<!-- backends: begin", "<!-- backends: end", &(table + "\n"));
}

/// Keys of a Secret, with the mark of those that have to be there behind their code.
fn keys(all: &[&str]) -> String {
    let key = |key: &&str| match key.strip_suffix('!') {
        Some(key) => format!("`{key}`!"),
        None => format!("`{key}`"),
    };
    all.iter().map(key).collect::<Vec<_>>().join(", ")
}

/// The section of `page` under this name, up to the next one.
fn section<'a>(page: &'a str, name: &str) -> &'a str {
    let (_, section) =
        page.split_once(&format!("\n## {name}\n")).unwrap_or_else(|| panic!("no section {name}"));
    section.split("\n## ").next().unwrap_or_default()
}

/// The objects in each block of YAML.
fn blocks(section: &str) -> Vec<Vec<Value>> {
    let texts = section.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let objects =
        |text: &str| serde_saphyr::from_multiple(text).unwrap_or_else(|why| panic!("{why}: {text}"));
    texts.map(objects).collect()
}

/// What a Secret holds.
fn data(secret: &Value) -> SecretData {
    let text = |value: &Value| value.as_str().expect("a text").as_bytes().to_vec();
    let pairs = secret["stringData"].as_object().expect("stringData").iter();
    pairs.map(|(key, value)| (key.clone(), text(value))).collect()
}

/// The section of a receiver shows an AlertProvider and a Secret that can be used as they are, with the keys that it
/// needs.
fn receiver_is_shown(page: &str, entry: &alert::Entry) {
    let name = entry.name;
    let blocks = blocks(section(page, name));
    let Some([provider, secret]) = blocks.first().map(Vec::as_slice) else { panic!("{name}: {blocks:?}") };
    let provider = decode::alert_provider(provider).expect(name);
    assert_eq!((Some(name), true), (provider.spec.kind.as_deref(), provider.spec.secret_ref.is_some()));
    let mut data = data(secret);
    let made = |data: &SecretData| alert::notifier(&provider.spec, Some(data)).map(|made| made.is_some());
    assert_eq!(Ok(true), made(&data), "{name}");
    for key in entry.keys.iter().filter_map(|key| key.strip_suffix('!')) {
        let value = data.remove(key).unwrap_or_else(|| panic!("{name}: no {key}"));
        assert!(made(&data).is_err(), "{name} can do without {key}");
        data.insert(key.to_owned(), value);
    }
}

/// The section of a metrics backend shows MetricTemplates and Secrets that can be used as they are: each gives a call, and says
/// what it lacks if a key is left out that it needs, or the address.
fn backend_is_shown(page: &str, entry: &metrics::Entry) {
    let name = entry.name;
    let section = section(page, name);
    for key in entry.keys {
        let key = key.trim_end_matches('!');
        let said = section.contains(&format!("`{key}`")) || section.contains(&format!("{key}: "));
        assert!(said, "{name}: nothing is said of the key {key}");
    }
    let mut shown = Vec::new();
    for block in blocks(section) {
        let Some(template) = block.iter().find(|object| object["kind"] == "MetricTemplate") else { continue };
        let template = decode::metric_template(template).unwrap_or_else(|why| panic!("{name}: {why}"));
        assert_eq!(name, template.spec.provider.kind);
        let secret = template.spec.provider.secret_ref.as_ref().map(|wanted| {
            let named =
                |object: &&Value| object["kind"] == "Secret" && object["metadata"]["name"] == *wanted.name;
            data(block.iter().find(named).unwrap_or_else(|| panic!("{name}: no Secret {}", wanted.name)))
        });
        let made = metrics::provider(&template.spec.provider, secret.as_ref());
        let step = made.unwrap_or_else(|why| panic!("{name}: {why}")).next(&asked(&template.spec), &[]);
        assert!(matches!(step, Next::Send(_)), "{name}: {step:?}");
        needs_its_keys(entry, &template.spec, &secret.unwrap_or_default());
        shown.push(template.spec);
    }
    let first = shown.first().unwrap_or_else(|| panic!("{name}: no MetricTemplate"));
    if entry.address == metrics::REQUIRED {
        let mut without = first.provider.clone();
        without.address = None;
        let why = metrics::provider(&without, None).err().map(|why| why.to_string()).unwrap_or_default();
        assert!(why.contains("address") || why.contains("endpoint"), "{name}, without an address: {why:?}");
    }
}

fn needs_its_keys(entry: &metrics::Entry, spec: &MetricTemplateSpec, secret: &SecretData) {
    let name = entry.name;
    for key in secret.keys() {
        let known = entry.keys.iter().any(|known| known.trim_end_matches('!') == key);
        assert!(known, "{name} knows no key {key}");
    }
    for key in entry.keys.iter().filter_map(|key| key.strip_suffix('!')) {
        let mut without = secret.clone();
        assert!(without.remove(key).is_some(), "{name}: its Secret shows no {key}");
        let why = metrics::provider(&spec.provider, Some(&without)).err().map(|why| why.to_string());
        assert!(why.as_ref().is_some_and(|why| why.contains(key)), "{name}, without {key}: {why:?}");
    }
}

/// The query of a template, for the Deployment `frontend` in `shop`.
fn asked(spec: &MetricTemplateSpec) -> Asked {
    let variables = Variables {
        name: "frontend".into(),
        namespace: "shop".into(),
        target: "frontend".into(),
        service: "frontend".into(),
        interval: "1m".into(),
        ..Variables::default()
    };
    let query = Template::parse(&spec.query).and_then(|template| template.render(&variables));
    let now = "2026-07-21T12:00:00Z".parse().expect("a time");
    Asked { query: query.expect("a query"), interval: Duration::from_secs(60), now }
}
