//! Findings as texts: for people, for programs, and for what shows them beside the code.

use std::fmt::Write as _;

use super::code::Severity;
use super::{Input, Report};

mod json;
mod sarif;
mod text;

pub use json::json;
pub use sarif::sarif;
pub use text::{Look, text};

/// How many findings of each severity there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Errors.
    pub errors: usize,
    /// Warnings.
    pub warnings: usize,
    /// Notes.
    pub notes: usize,
}

impl Counts {
    /// Those of a report.
    pub fn of(report: &Report) -> Self {
        let count = |severity| report.findings.iter().filter(|finding| finding.severity == severity).count();
        Self {
            errors: count(Severity::Error),
            warnings: count(Severity::Warning),
            notes: count(Severity::Note),
        }
    }
}

/// `2 errors, 1 warning` and the like; nothing for none.
fn counted(counts: Counts) -> String {
    let mut said = String::new();
    for (count, one, many) in [
        (counts.errors, "error", "errors"),
        (counts.warnings, "warning", "warnings"),
        (counts.notes, "note", "notes"),
    ] {
        if count > 0 {
            let comma = if said.is_empty() { "" } else { ", " };
            // Writing to a string cannot fail.
            let _ = write!(said, "{comma}{count} {}", if count == 1 { one } else { many });
        }
    }
    said
}

/// The line of a finding, without its end.
fn line_of(inputs: &[Input], input: usize, line: usize) -> &str {
    let text = inputs.get(input).map_or("", |input| input.text.as_str());
    text.strip_prefix('\u{feff}').unwrap_or(text).lines().nth(line.saturating_sub(1)).unwrap_or_default()
}

fn name_of(inputs: &[Input], input: usize) -> &str {
    inputs.get(input).map_or("", |input| input.name.as_str())
}
