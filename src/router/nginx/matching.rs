//! Which requests go to the canary in an A/B test: `analysis.match` as annotations of NGINX (spec 03 §13).
//!
//! NGINX compares one header and one cookie, and either is enough. What would ask for more is refused: a condition that
//! is left out lets more requests through than were meant.

use crate::api::analysis::AnalysisMatch;
use crate::api::service::StringMatch;
use crate::model::release::Problem;
use crate::router::problem;
use crate::router::promql::escaped;

/// The annotations, without their prefix.
///
/// # Errors
/// With the first condition that NGINX cannot check as it is meant.
pub(super) fn annotations(matches: &[AnalysisMatch]) -> Result<Vec<(&'static str, String)>, Problem> {
    let mut all: Vec<(&'static str, String)> = Vec::new();
    for (index, entry) in matches.iter().enumerate() {
        let path = format!("spec.analysis.match[{index}]");
        let (name, text) = condition(entry, &path)?;
        let path = format!("{path}.headers.{name}");
        let new = if name.eq_ignore_ascii_case("cookie") {
            vec![("canary-by-cookie", cookie(text, &path)?)]
        } else {
            header(name, text, &path)?
        };
        let taken = |(order, _): &(&'static str, String)| all.iter().any(|(other, _)| other == order);
        if new.iter().any(taken) {
            let message = "is one too many, since NGINX compares one header and one cookie: join the values of a \
                           header in one regex";
            return Err(problem(path, message));
        }
        all.extend(new);
    }
    Ok(all)
}

/// The only condition of an entry.
fn condition<'a>(entry: &'a AnalysisMatch, path: &str) -> Result<(&'a str, &'a StringMatch), Problem> {
    if entry.query_params.as_ref().is_some_and(|params| !params.is_empty()) {
        let message = "cannot be checked by NGINX: match a header or a cookie instead";
        return Err(problem(format!("{path}.queryParams"), message));
    }
    if entry.source_labels.as_ref().is_some_and(|labels| !labels.is_empty()) {
        let message = "are not known at an ingress: match a header or a cookie instead";
        return Err(problem(format!("{path}.sourceLabels"), message));
    }
    let mut headers = entry.headers.iter().flatten();
    match (headers.next(), headers.next()) {
        (Some((name, text)), None) => Ok((name, text)),
        (None, _) => {
            let message = "has no condition, so that nobody could be told apart: give it a header";
            Err(problem(path, message))
        }
        (Some(_), Some(_)) => Err(problem(
            format!("{path}.headers"),
            "all have to match, but NGINX takes a header or a cookie that matches alone: leave one, or make entries \
             of them if either is enough",
        )),
    }
}

fn header(name: &str, text: &StringMatch, path: &str) -> Result<Vec<(&'static str, String)>, Problem> {
    if !is_token(name) {
        return Err(problem(path, "is no name of a header: write letters, digits and dashes"));
    }
    let (order, value) = match one(text, path)? {
        Text::Exact(exact) => ("canary-by-header-value", exact.to_owned()),
        Text::Prefix(prefix) => ("canary-by-header-pattern", format!("^{}", escaped(prefix))),
        Text::Suffix(suffix) => ("canary-by-header-pattern", format!("{}$", escaped(suffix))),
        Text::Regex(regex) => ("canary-by-header-pattern", regex.to_owned()),
    };
    Ok(vec![("canary-by-header", name.to_owned()), (order, value)])
}

/// The name of a cookie, which NGINX compares with the value `always`.
fn cookie(text: &StringMatch, path: &str) -> Result<String, Problem> {
    let remedy = "NGINX takes a cookie whose value is always: write exact with the cookie's name";
    let Text::Exact(exact) = one(text, path)? else {
        return Err(problem(path, format!("is not exact, but {remedy}")));
    };
    match exact.split_once('=') {
        None if is_token(exact) => Ok(exact.to_owned()),
        Some((name, "always")) if is_token(name) => Ok(name.to_owned()),
        _ => Err(problem(format!("{path}.exact"), format!("\"{exact}\" is no name, and {remedy}"))),
    }
}

/// What a header is compared with.
enum Text<'a> {
    Exact(&'a str),
    Prefix(&'a str),
    Suffix(&'a str),
    Regex(&'a str),
}

/// The only way to compare that is given. To NGINX an empty text is none.
fn one<'a>(text: &'a StringMatch, path: &str) -> Result<Text<'a>, Problem> {
    let some = |text: &'a Option<String>| text.as_deref().filter(|text| !text.is_empty());
    match (some(&text.exact), some(&text.prefix), some(&text.suffix), some(&text.regex)) {
        (Some(text), None, None, None) => Ok(Text::Exact(text)),
        (None, Some(text), None, None) => Ok(Text::Prefix(text)),
        (None, None, Some(text), None) => Ok(Text::Suffix(text)),
        (None, None, None, Some(text)) => Ok(Text::Regex(text)),
        _ => Err(problem(path, "needs one text to compare with: write exact, prefix, suffix or regex")),
    }
}

fn is_token(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}
