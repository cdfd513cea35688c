//! What a release says of requests, for the meshes that look at a path's beginning and at texts in headers.

use std::collections::BTreeMap;

use super::problem;
use crate::api::analysis::AnalysisMatch;
use crate::api::service::StringMatch;
use crate::model::release::{Problem, Release};

/// The one text that a condition compares with, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Text<'a> {
    /// All of the value is this text.
    Exact(&'a str),
    /// The value begins with this text.
    Prefix(&'a str),
    /// The value ends with this text.
    Suffix(&'a str),
    /// All of the value matches this expression (RE2).
    Regex(&'a str),
}

impl<'a> Text<'a> {
    /// The text of a condition; `None` if there is none, or more than one. An empty text counts as none: a mesh
    /// takes it for "the header is there", which is more than was asked for.
    pub fn of(condition: &'a StringMatch) -> Option<Self> {
        let some = |text: &'a Option<String>| text.as_deref().filter(|text| !text.is_empty());
        let texts = [
            some(&condition.exact).map(Self::Exact),
            some(&condition.prefix).map(Self::Prefix),
            some(&condition.suffix).map(Self::Suffix),
            some(&condition.regex).map(Self::Regex),
        ];
        let mut texts = texts.into_iter().flatten();
        texts.next().filter(|_| texts.next().is_none())
    }
}

/// Conditions by the name of the header or parameter, as `analysis.match` writes them.
pub(super) type Conditions = BTreeMap<String, StringMatch>;

/// The conditions of one field of an entry of `analysis.match`, each with its text.
///
/// # Errors
/// If a condition has no text to compare with, or several: the rule would take more requests than was asked for.
pub(super) fn texts<'a>(
    conditions: Option<&'a Conditions>,
    path: &str,
) -> Result<Vec<(&'a str, Text<'a>)>, Problem> {
    let text = |(name, condition): (&'a String, &'a StringMatch)| match Text::of(condition) {
        Some(text) => Ok((name.as_str(), text)),
        None => Err(problem(
            format!("{path}.{name}"),
            "needs one text to compare with, or the rule would take requests that were not asked for: write one of \
             exact, prefix, suffix or regex",
        )),
    };
    conditions.into_iter().flatten().map(text).collect()
}

/// Refuses what only a mesh knows, whose proxies stand beside the pods that make the requests.
///
/// # Errors
/// If the entry of `analysis.match` names labels of the source.
pub(super) fn no_source_labels(entry: &AnalysisMatch, path: &str) -> Result<(), Problem> {
    match &entry.source_labels {
        Some(labels) if !labels.is_empty() => Err(problem(
            format!("{path}.sourceLabels"),
            "are not known to this router: match a header instead",
        )),
        _ => Ok(()),
    }
}

/// The beginning of the paths that a release takes: that of the first entry of `service.match`.
pub(super) fn prefix(release: &Release) -> &str {
    let first = release.service.matches.as_ref().and_then(|matches| matches.first());
    first.and_then(|entry| entry["uri"]["prefix"].as_str()).filter(|text| !text.is_empty()).unwrap_or("/")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    #[rstest]
    #[case(json!({"exact": "a"}), Some(Text::Exact("a")))]
    #[case(json!({"prefix": "a", "exact": ""}), Some(Text::Prefix("a")))]
    #[case(json!({"suffix": "a"}), Some(Text::Suffix("a")))]
    #[case(json!({"regex": "a.*"}), Some(Text::Regex("a.*")))]
    #[case::nothing(json!({}), None)]
    #[case::an_empty_text(json!({"exact": ""}), None)]
    #[case::two(json!({"exact": "a", "regex": "a.*"}), None)]
    fn a_condition_has_one_text(#[case] condition: Value, #[case] expected: Option<Text<'_>>) {
        let condition: StringMatch = serde_json::from_value(condition).expect("a condition");
        assert_eq!(Text::of(&condition), expected);
    }
}
