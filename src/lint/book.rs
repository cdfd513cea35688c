//! Where the checks write down what they find of one object.

use super::code::{Code, Severity};
use super::finding::{Finding, harmless, parted};
use super::place;
use super::world::Object;
use crate::model::release::Problem;

/// The findings of one object.
pub struct Book<'a> {
    object: &'a Object,
    /// What was found.
    pub findings: Vec<Finding>,
}

impl<'a> Book<'a> {
    /// An empty one.
    pub fn new(object: &'a Object) -> Self {
        Self { object, findings: Vec::new() }
    }

    /// Writes down a sentence that says what is wrong and what to do.
    pub fn say(&mut self, code: Code, field: &str, sentence: &str) {
        self.say_as(code, code.severity(), field, sentence);
    }

    /// The same with another severity than that of the code.
    pub fn say_as(&mut self, code: Code, severity: Severity, field: &str, sentence: &str) {
        let node = &self.object.node;
        let span = if matches!(code, Code::UnknownField | Code::Metadata | Code::OldAnalysis | Code::NoEffect)
        {
            place::of_name(node, field)
        } else {
            place::of(node, field)
        };
        let (message, cure) = parted(sentence);
        self.findings.push(Finding {
            code,
            severity,
            input: self.object.input,
            span,
            object: Some(self.object.title()),
            field: harmless(field),
            message: harmless(message),
            cure: harmless(cure.unwrap_or(code.cure())),
        });
    }

    /// Writes down what the controller would say.
    pub fn problem(&mut self, code: Code, problem: &Problem) {
        self.say(code, &problem.field, &problem.message);
    }

    /// The path of the analysis, under the name by which it is written.
    pub fn analysis(&self) -> &'static str {
        let spec = &self.object.value["spec"];
        if spec["analysis"].is_null() && !spec["canaryAnalysis"].is_null() {
            "spec.canaryAnalysis"
        } else {
            "spec.analysis"
        }
    }

    /// Whether there is an analysis.
    pub fn analysis_is_written(&self) -> bool {
        !self.object.value["spec"]["analysis"].is_null()
            || !self.object.value["spec"]["canaryAnalysis"].is_null()
    }

    /// Whether the field is there.
    pub fn exists(&self, field: &str) -> bool {
        place::exists(&self.object.node, field)
    }

    /// Whether something was said of this field.
    pub fn has(&self, field: &str) -> bool {
        self.findings.iter().any(|finding| finding.field == field)
    }
}
