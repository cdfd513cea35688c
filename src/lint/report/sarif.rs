//! SARIF 2.1.0, which code hosts show beside the lines of a change.

use serde_json::{Value, json};

use super::name_of;
use crate::lint::code::{Code, Severity};
use crate::lint::finding::Finding;
use crate::lint::{Input, Report};

/// The report as a log of one run.
pub fn sarif(inputs: &[Input], report: &Report, version: &str) -> Value {
    let rules: Vec<Value> = Code::ALL.iter().map(|code| rule(*code)).collect();
    let results: Vec<Value> = report.findings.iter().map(|finding| result(inputs, finding)).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "vexil lint", "version": version, "rules": rules}},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn rule(code: Code) -> Value {
    json!({
        "id": code.id(),
        "name": format!("{code:?}"),
        "shortDescription": {"text": code.meaning()},
        "help": {"text": code.cure()},
        "defaultConfiguration": {"level": level(code.severity())},
    })
}

fn result(inputs: &[Input], finding: &Finding) -> Value {
    let index = Code::ALL.iter().position(|code| *code == finding.code);
    let field = if finding.field.is_empty() { String::new() } else { format!("{}: ", finding.field) };
    let mut location = json!({"physicalLocation": {
        "artifactLocation": {"uri": uri(name_of(inputs, finding.input))},
        "region": {
            "startLine": finding.span.line.max(1),
            "startColumn": finding.span.column.max(1),
            "endLine": finding.span.end_line.max(1),
            "endColumn": finding.span.end_column.max(1),
        },
    }});
    if let Some(object) = &finding.object {
        let name = format!("{object} {}", finding.field);
        location["logicalLocations"] = json!([{"fullyQualifiedName": name.trim_end()}]);
    }
    json!({
        "ruleId": finding.code.id(),
        "ruleIndex": index,
        "level": level(finding.severity),
        "message": {"text": format!("{field}{}. {}.", finding.message, capitalized(&finding.cure))},
        "locations": [location],
    })
}

fn level(severity: Severity) -> &'static str {
    severity.as_str()
}

/// A path as a relative reference: everything that is not plain in one is escaped.
fn uri(path: &str) -> String {
    let path = path.strip_prefix("./").unwrap_or(path);
    let mut uri = String::new();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
