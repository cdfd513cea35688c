//! What is found wrong while a manifest is read: collected, so that a user sees all of it at once.

use crate::model::release::Problem;

/// Problems, for which there is no release, and warnings, for which there is one.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub problems: Vec<Problem>,
    pub warnings: Vec<Problem>,
}

impl Notes {
    pub fn refuse(&mut self, field: &str, message: String) {
        self.problems.push(Problem { field: field.to_owned(), message });
    }

    pub fn warn(&mut self, field: &str, message: String) {
        self.warnings.push(Problem { field: field.to_owned(), message });
    }
}

/// A value as messages show it: in quotes, and not longer than people read.
pub(super) fn shown(value: &str) -> String {
    match value.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("\"{}…\"", &value[..end]),
        None => format!("\"{value}\""),
    }
}

const LONGEST: usize = 80;
