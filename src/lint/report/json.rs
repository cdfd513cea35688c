//! For programs.

use serde_json::{Value, json};

use super::{Counts, name_of};
use crate::lint::{Input, Outlook, Report};

/// The report as JSON. Fields are added and never taken away while `version` is 1.
pub fn json(inputs: &[Input], report: &Report) -> Value {
    let counts = Counts::of(report);
    let findings: Vec<Value> = report
        .findings
        .iter()
        .map(|finding| {
            json!({
                "code": finding.code.id(),
                "severity": finding.severity,
                "file": name_of(inputs, finding.input),
                "line": finding.span.line,
                "column": finding.span.column,
                "endLine": finding.span.end_line,
                "endColumn": finding.span.end_column,
                "object": finding.object.as_ref().map(|object| json!({
                    "kind": object.kind, "namespace": object.namespace, "name": object.name,
                })),
                "field": finding.field,
                "message": finding.message,
                "cure": finding.cure,
            })
        })
        .collect();
    json!({
        "version": 1,
        "summary": {
            "errors": counts.errors, "warnings": counts.warnings, "notes": counts.notes,
            "files": inputs.len(), "objects": report.objects, "lookedAt": report.looked_at,
        },
        "findings": findings,
        "canaries": report.outlooks.iter().map(|outlook| canary(inputs, outlook)).collect::<Vec<_>>(),
    })
}

fn canary(inputs: &[Input], outlook: &Outlook) -> Value {
    let sight = outlook.sight.as_ref().map(|sight| {
        let steps = sight.steps.iter().map(|step| {
            json!({"share": step.share, "requests": step.requests, "allowed": step.allowed, "seen": rounded(step.seen)})
        });
        let promoted = sight
            .promoted
            .iter()
            .map(|(rate, chance)| json!({"errorRate": rounded(*rate), "promoted": rounded(*chance)}));
        json!({
            "min": sight.min,
            "steps": steps.collect::<Vec<_>>(),
            "promoted": promoted.collect::<Vec<_>>(),
        })
    });
    json!({
        "file": name_of(inputs, outlook.input),
        "namespace": outlook.canary.namespace,
        "name": outlook.canary.name,
        "steps": outlook.steps,
        "seconds": outlook.length.as_secs(),
        "sight": sight,
    })
}

/// Two digits behind the point are more than such estimates are worth.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
