//! What the Gateway API takes as a name, a host, a path.

use crate::model::release::Problem;
use crate::router::problem;

/// The methods that a rule can ask for.
pub(super) const METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

/// The longest value of a header.
pub(super) const HEADER_VALUE: usize = 4096;

/// The longest value of a query parameter.
pub(super) const PARAMETER_VALUE: usize = 1024;

/// The longest path.
const PATH: usize = 1024;

/// Refuses what is no name of a header or of a query parameter.
pub(super) fn token(name: &str, field: &str) -> Result<(), Problem> {
    const MARKS: &str = "!#$%&'*+-.^_`|~";
    let valid = !name.is_empty()
        && name.chars().count() <= 256
        && name.chars().all(|c| c.is_ascii_alphanumeric() || MARKS.contains(c));
    if valid {
        return Ok(());
    }
    let message = format!(
        "\"{name}\" is no name for the Gateway API: write 1 to 256 letters, digits and marks of {MARKS} (the host \
         belongs into spec.service.hosts, the path into uri)"
    );
    Err(problem(field, message))
}

/// Refuses a value that is empty or too long.
pub(super) fn text(value: &str, longest: usize, field: &str) -> Result<(), Problem> {
    match value.chars().count() {
        0 => Err(problem(
            field,
            "is empty, which the Gateway API does not take: write a value or leave it out",
        )),
        length if length > longest => {
            Err(problem(field, format!("has {length} characters, and the Gateway API takes {longest}")))
        }
        _ => Ok(()),
    }
}

/// Refuses what is no host name; `*.` may stand for one label in front where `wildcard` says so.
pub(super) fn host(name: &str, wildcard: bool, field: &str) -> Result<(), Problem> {
    let rest = name.strip_prefix("*.").filter(|_| wildcard).unwrap_or(name);
    let label = |label: &str| {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !label.is_empty() && label.chars().all(inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    if name.len() <= 253 && rest.split('.').all(label) {
        return Ok(());
    }
    let message = match name {
        "*" => "\"*\" is no host name for the Gateway API: leave it out to take the requests for every host"
            .into(),
        _ => {
            format!("\"{name}\" is no host name for the Gateway API: write lower-case labels, without a port")
        }
    };
    Err(problem(field, message))
}

/// Refuses a path that a rule cannot compare (`Exact` and `PathPrefix`).
pub(super) fn path(value: &str, field: &str) -> Result<(), Problem> {
    text(value, PATH, field)?;
    if !value.starts_with('/') {
        return Err(problem(field, format!("\"{value}\" is no path for the Gateway API: begin it with /")));
    }
    let unclean = ["//", "/./", "/../", "%2f", "%2F", "#"].into_iter().find(|part| value.contains(part));
    let unclean = unclean.or_else(|| ["/..", "/."].into_iter().find(|end| value.ends_with(end)));
    if let Some(part) = unclean {
        return Err(problem(
            field,
            format!("\"{value}\" has {part}, which the Gateway API does not take in a path"),
        ));
    }
    if !only_path_characters(value) {
        let message = format!("\"{value}\" has a character that no path has: write it as % and two digits");
        return Err(problem(field, message));
    }
    Ok(())
}

/// Refuses an expression that is too long to be one.
pub(super) fn path_expression(value: &str, field: &str) -> Result<(), Problem> {
    text(value, PATH, field)
}

fn only_path_characters(value: &str) -> bool {
    const MARKS: &[u8] = b"-/._~!$&'()*+,;=:@";
    let mut rest = value.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = match (first, after) {
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => after,
            (byte, after) if byte.is_ascii_alphanumeric() || MARKS.contains(byte) => after,
            _ => return false,
        };
    }
    true
}
