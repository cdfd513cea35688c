//! `deploy/prometheus-rule.yaml`: its series exist, and the page on operations says what to do.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::Value;
use vexil::controller::telemetry::Telemetry;

use super::markdown::Page;
use super::root;

#[test]
fn each_alert_asks_for_series_that_exist_and_has_a_line_in_the_page_on_operations() {
    let text = std::fs::read_to_string(root().join("deploy/prometheus-rule.yaml")).expect("the rules");
    let rule: Value = serde_saphyr::from_str(&text).expect("YAML");
    let page = Page::read(&root().join("docs/operations.md"));
    let series: BTreeMap<&str, &[&str]> =
        Telemetry::catalogue().iter().map(|series| (series.name, series.labels)).collect();
    let name = Regex::new(r"\b(?:vexil|flagger)_\w+").expect("a pattern");
    let label = Regex::new(r"(\w+)\s*(?:!?=~?)\s*\x22|by \(([^)]*)\)").expect("a pattern");
    let shown = Regex::new(r"\$labels\.(\w+)").expect("a pattern");
    let alerts = rule["spec"]["groups"][0]["rules"].as_array().expect("rules");
    assert!(alerts.len() >= 6, "{alerts:#?}");
    for alert in alerts {
        let title = alert["alert"].as_str().expect("a name");
        let expression = alert["expr"].as_str().expect("an expression");
        let asked: Vec<&str> = name.find_iter(expression).map(|found| found.as_str()).collect();
        assert!(!asked.is_empty(), "{title} asks for nothing of ours: {expression}");
        for asked in asked {
            let labels = series.get(asked).unwrap_or_else(|| panic!("{title}: there is no series {asked}"));
            let used = label.captures_iter(expression).flat_map(|found| {
                let list = found.get(1).or(found.get(2)).map_or("", |list| list.as_str());
                list.split(',').map(|label| label.trim().to_owned()).collect::<Vec<_>>()
            });
            for used in used {
                assert!(labels.contains(&used.as_str()), "{title}: {asked} has no label {used}");
            }
            for text in alert["annotations"].as_object().expect("annotations").values() {
                for used in shown.captures_iter(text.as_str().unwrap_or_default()) {
                    assert!(labels.contains(&&used[1]), "{title}: {asked} has no label {}", &used[1]);
                }
            }
        }
        let severity = alert["labels"]["severity"].as_str().expect("a severity");
        let row = format!("| `{title}` | {severity} | ");
        assert!(page.text.contains(&row), "docs/operations.md has no row {row:?}");
    }
}
