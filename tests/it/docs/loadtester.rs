//! The page of the load tester: its tables are what the program says, and its hooks are taken by both ends.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use vexil::judge::route_template::Known;
use vexil::loadtester::{Declared, KEYS, Limits, Rules, series, understand};

use super::manifests::{canary, documents};
use super::markdown::{Block, Page};
use super::root;
use crate::deploy::holds_between;

const PAGE: &str = "docs/loadtester.md";
const QUARTERS: &str = include_str!("../../data/shop/frontend-quarters.yaml");

#[test]
fn the_table_of_the_keys_of_a_load_lists_each() {
    let mut table = String::from("\n| key | default | |\n|---|---|---|\n");
    for key in KEYS {
        let names: Vec<String> =
            key.names.iter().map(|name| format!("`{}`", name.replace('*', "<Name>"))).collect();
        let default = if key.default.is_empty() { String::new() } else { format!("`{}`", key.default) };
        let _ = writeln!(table, "| {} | {default} | {} |", names.join(", "), key.about);
    }
    holds_between(PAGE, "<!-- keys: begin", "<!-- keys: end", &(table + "\n"));
}

#[test]
fn the_table_of_the_series_lists_each() {
    let mut table = String::from("\n| series | type | labels | what it says |\n|---|---|---|---|\n");
    for series in series() {
        let labels: Vec<String> = series.labels.iter().map(|label| format!("`{label}`")).collect();
        let _ = writeln!(
            table,
            "| `{}` | {} | {} | {} |",
            series.name,
            series.kind,
            labels.join(", "),
            series.help
        );
    }
    holds_between(PAGE, "<!-- series: begin", "<!-- series: end", &(table + "\n"));
}

#[test]
fn each_hook_of_the_page_is_one_of_a_canary_and_a_load_that_is_made_without_a_flag() {
    let (mut hooks, mut loads) = (0, 0);
    for block in Page::read(&root().join(PAGE)).blocks(&["yaml"]) {
        for hook in hooks_in(&block) {
            hooks += 1;
            let mut object: Value = documents(QUARTERS)
                .expect("YAML")
                .into_iter()
                .find(|object| object["kind"] == "Canary")
                .expect("a Canary");
            object["spec"]["analysis"]["webhooks"] = json!([hook]);
            canary(&object, &Known::default()).unwrap_or_else(|why| panic!("{}: {why}", block.place));
            if hook["metadata"]["type"] == "load" {
                loads += 1;
                let payload = json!({"name": "podinfo", "namespace": "test", "metadata": hook["metadata"]});
                takes(&block, &payload, Declared::default());
            }
        }
    }
    assert!(hooks > 3 && loads > 2, "{hooks} hooks, {loads} loads");
}

#[test]
fn each_declared_task_of_the_page_can_be_asked_for() {
    let mut tasks = 0;
    for block in Page::read(&root().join(PAGE)).blocks(&["yaml"]) {
        let Some(all) = read(&block)["tasks"].as_object().cloned() else { continue };
        for (name, task) in all {
            tasks += 1;
            let declared = Declared::read(&block.text).unwrap_or_else(|why| panic!("{}: {why}", block.place));
            let namespace = task["namespaces"][0].as_str().unwrap_or("test");
            takes(
                &block,
                &json!({"name": "podinfo", "namespace": namespace, "metadata": {"task": name}}),
                declared,
            );
        }
    }
    assert!(tasks > 0);
}

/// The load tester takes this call although nobody has allowed commands.
fn takes(block: &Block, payload: &Value, declared: Declared) {
    let load = Limits { qps: 1000, connections: 100, hosts: Vec::new() };
    let rules = Rules { allow_commands: false, declared, load, timeout: Duration::from_secs(3600) };
    let taken = understand(payload.to_string().as_bytes(), &rules);
    taken.unwrap_or_else(|why| panic!("{}: {why}", block.place));
}

fn read(block: &Block) -> Value {
    let mut all = documents(&block.text).unwrap_or_else(|why| panic!("{}: {why}", block.place));
    assert_eq!(1, all.len(), "{}", block.place);
    all.remove(0)
}

/// The hooks that a block shows: as a list, with the word above it, or a part of one.
fn hooks_in(block: &Block) -> Vec<Value> {
    let shown = read(block);
    let with = |metadata: &Value| json!({"name": "load", "url": "http://flagger-loadtester.test/", "metadata": metadata});
    if let Some(hooks) = shown.as_array().or(shown["webhooks"].as_array()) {
        hooks.clone()
    } else if shown["metadata"].is_object() {
        vec![with(&shown["metadata"])]
    } else if shown["url"].is_string() {
        let mut metadata: BTreeMap<String, Value> =
            shown.as_object().expect("an object").clone().into_iter().collect();
        metadata.insert("type".to_owned(), "load".into());
        vec![with(&json!(metadata))]
    } else {
        assert!(shown["tasks"].is_object(), "{}: neither hook nor task", block.place);
        Vec::new()
    }
}
