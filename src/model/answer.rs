//! The answers to what a release asks: measurements of metric checks and verdicts of hooks.
//! The rooms that translate them and the core that judges them share these words.

use serde::Serialize;
use serde_json::Value;

/// What a metrics backend said to one query.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Measured {
    /// A finite number.
    Value(f64),
    /// The query worked and found nothing; the text says so, `no values found` for example.
    NoData(String),
    /// The query worked and its result is NaN, which usually is a division of zero by zero.
    NotANumber,
    /// There is no answer to judge: not reachable, refused, unreadable; the text is for the user.
    Failed(String),
}

impl Measured {
    /// The one rule for all backends: NaN says nothing, and no threshold can judge an infinite value. Compared as
    /// numbers both would pass checks.
    pub fn number(value: f64) -> Self {
        if value.is_nan() {
            Self::NotANumber
        } else if value.is_infinite() {
            let sign = if value > 0.0 { '+' } else { '-' };
            Self::Failed(format!("the result is {sign}Inf, which no threshold can judge"))
        } else {
            Self::Value(value)
        }
    }
}

/// What a hook answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Verdict {
    /// The hook allows the release to go on.
    Passed,
    /// The reason is for the user.
    Failed(String),
}

/// The beginning of somebody's answer, fit for one line of an event: at most `max` characters, no control
/// characters, white space collapsed.
pub fn excerpt(body: &[u8], max: usize) -> String {
    // A character takes four bytes at most; more than that need not be looked at, unless it is white space.
    let window = &body[..body.len().min(max.saturating_mul(4).saturating_add(1024))];
    let text = String::from_utf8_lossy(window);
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).collect();
    let line = words.join(" ");
    match line.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None if window.len() < body.len() => format!("{line}…"),
        None => line,
    }
}

/// What a redirect means that is left to the caller: it leads away from the origin that was called.
pub const ELSEWHERE: &str =
    "a redirect to another scheme, host or port, which is not followed: write the address that it leads to";

/// What an answer that refuses says, as far as it may be repeated where many read it, in an event or a status: the
/// text of an error that has one of the usual shapes, or plain text; at most `max` characters, and words that look
/// like credentials hidden. Who may write an address chooses whose answer this is, so that anything else is
/// described and not repeated. Empty if the answer is.
pub fn said(body: &[u8], max: usize) -> String {
    let size = body.len();
    let unsaid = |what: &str| format!("({what} of {size} bytes, in the log at level debug)");
    let text = body.trim_ascii();
    match text.first() {
        None => String::new(),
        Some(b'{' | b'[' | b'"') => {
            let json = serde_json::from_slice(text).ok();
            let words = json.map(|json: Value| error_texts(&json, 0).join("; ")).unwrap_or_default();
            if words.is_empty() { unsaid("JSON") } else { unkeyed(words.as_bytes(), max) }
        }
        Some(b'<') => unsaid("a page"),
        Some(_)
            if str::from_utf8(&text[..text.len().min(1024)]).is_err_and(|bad| bad.error_len().is_some()) =>
        {
            unsaid("something that is no text")
        }
        Some(_) => unkeyed(text, max),
    }
}

/// The beginning of `body` with keys hidden. They are looked for in a little more than is shown, so that none is cut down
/// to what is no longer taken for one.
fn unkeyed(body: &[u8], max: usize) -> String {
    excerpt(hidden(&excerpt(body, max.saturating_add(200))).as_bytes(), max)
}

/// The texts in the members that services tell their errors in.
fn error_texts(json: &Value, depth: usize) -> Vec<String> {
    const MEMBERS: [&str; 9] =
        ["errorType", "error", "errors", "message", "messages", "Message", "detail", "reason", "text"];
    let inside = |value: &Value| match value {
        Value::String(text) => vec![text.clone()],
        other if depth < 3 => error_texts(other, depth + 1),
        _ => Vec::new(),
    };
    match json {
        Value::Object(members) => {
            MEMBERS.iter().filter_map(|name| members.get(*name)).flat_map(inside).collect()
        }
        // Members of a list count, texts in it only inside of a member that has such a name.
        Value::Array(items) if depth > 0 => items.iter().take(5).flat_map(inside).collect(),
        Value::Array(items) => {
            items.iter().take(5).filter(|item| item.is_object()).flat_map(inside).collect()
        }
        _ => Vec::new(),
    }
}

/// `text` with `xxxxx` for what looks like a key or a token: twenty characters or more of upper case and digits mixed,
/// or 32 of hexadecimal digits. Names of pods and images stay.
fn hidden(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(in_key) {
        let end = rest[start..].find(|c| !in_key(c)).map_or(rest.len(), |length| start + length);
        let word = &rest[start..end];
        shown.push_str(&rest[..start]);
        shown.push_str(if is_key(word) { "xxxxx" } else { word });
        rest = &rest[end..];
    }
    shown + rest
}

fn in_key(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '=' | '_')
}

fn is_key(word: &str) -> bool {
    let any = |test: fn(&char) -> bool| word.chars().any(|c| test(&c));
    let mixed = any(char::is_ascii_uppercase) && any(char::is_ascii_digit);
    word.len() >= 20 && mixed || word.len() >= 32 && word.chars().all(|c| c.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::finite(99.5, Measured::Value(99.5))]
    #[case::nan(f64::NAN, Measured::NotANumber)]
    #[case::infinite(f64::INFINITY, Measured::Failed("the result is +Inf, which no threshold can judge".into()))]
    #[case::negative(f64::NEG_INFINITY, Measured::Failed("the result is -Inf, which no threshold can judge".into()))]
    fn only_finite_numbers_are_values(#[case] number: f64, #[case] expected: Measured) {
        // spec: 04/TH-07
        assert_eq!(expected, Measured::number(number));
    }

    #[rstest]
    #[case::short(b"denied", "denied")]
    #[case::lines(b" a\r\n\tb \x1b[0m\0c\n", "a b [0m c")]
    #[case::long(b"0123456789abcdef", "0123456789…")]
    #[case::exact(b"0123456789", "0123456789")]
    #[case::wide("ääääääääääää".as_bytes(), "ääääääääää…")]
    #[case::not_utf8(b"a\xff\xfeb", "a\u{fffd}\u{fffd}b")]
    #[case::empty(b"", "")]
    fn an_excerpt_is_one_short_clean_line(#[case] body: &[u8], #[case] expected: &str) {
        assert_eq!(expected, excerpt(body, 10));
    }

    #[rstest]
    #[case::nothing(" \n", "")]
    #[case::plain("no healthy\n upstream", "no healthy upstream")]
    #[case::names(
        "pod podinfo-primary-7d9f8b6c5d-x2x4z of ghcr.io/stefanprodan/podinfo:6.0.0 is gone",
        "pod podinfo-primary-7d9f8b6c5d-x2x4z of ghcr.io/stefanprodan/podinfo:6.0.0 is gone"
    )]
    #[case::error(r#"{"error":"no such metric","token":"s3cret"}"#, "no such metric")]
    #[case::prometheus(
        r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#,
        "bad_data; parse error"
    )]
    #[case::errors(r#"{"errors":["Forbidden","x"]}"#, "Forbidden; x")]
    #[case::nested(r#"[{"error":{"code":403,"message":"denied","key":"s3cret"}}]"#, "denied")]
    #[case::graphql(r#"{"errors":[{"message":"bad NRQL","path":["s3cret"]}]}"#, "bad NRQL")]
    #[case::credentials(
        r#"{"AccessKeyId":"AKIA","SecretAccessKey":"s3cret"}"#,
        "(JSON of 49 bytes, in the log at level debug)"
    )]
    #[case::list(r#"["s3cret"]"#, "(JSON of 10 bytes, in the log at level debug)")]
    #[case::broken(r#"{"token":"s3cret"#, "(JSON of 16 bytes, in the log at level debug)")]
    #[case::page("<html>s3cret", "(a page of 12 bytes, in the log at level debug)")]
    #[case::key("bad key AKIAIOSFODNN7EXAMPLE!", "bad key xxxxx!")]
    #[case::token("no: eyJhbGciOiJIUzI1NiIsInR5cCI6.eyJzdWIiOiIxMjM0NTY3ODkw", "no: xxxxx.xxxxx")]
    #[case::hex("0123456789abcdef0123456789abcdef ", "xxxxx")]
    #[case::key_at_the_end(
        "0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 01 AKIAIOSFODNN7EXAMPLE",
        "0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 01 xxxxx"
    )]
    #[case::key_in_json(r#"{"message":"bad key AKIAIOSFODNN7EXAMPLE"}"#, "bad key xxxxx")]
    fn of_an_answer_only_the_words_of_an_error_are_repeated(#[case] body: &str, #[case] expected: &str) {
        assert_eq!(expected, said(body.as_bytes(), 100));
    }

    #[test]
    fn bytes_that_are_no_text_are_not_repeated() {
        assert_eq!(
            "(something that is no text of 5 bytes, in the log at level debug)",
            said(b"a\xff\xfebc", 100)
        );
        // A letter that is cut in two by the end of what is looked at is no reason.
        assert_eq!(
            format!("{}…", "ä".repeat(10)),
            said(&format!("x{}", "ä".repeat(1000)).as_bytes()[1..], 10)
        );
        assert!(said(&"[".repeat(100_000).into_bytes(), 10).starts_with("(JSON of 100000"));
    }

    #[test]
    fn an_excerpt_of_a_huge_body_looks_at_its_beginning_only() {
        assert_eq!("…", excerpt(&vec![b' '; 10_000_000], 10));
        assert_eq!("xxxxxxxxxx…", excerpt(&vec![b'x'; 10_000_000], 10));
    }
}
