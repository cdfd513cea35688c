//! The answers to what a release asks: measurements of metric checks and verdicts of hooks.
//! The rooms that translate them and the core that judges them share these words.

use serde::Serialize;

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

    #[test]
    fn an_excerpt_of_a_huge_body_looks_at_its_beginning_only() {
        assert_eq!("…", excerpt(&vec![b' '; 10_000_000], 10));
        assert_eq!("xxxxxxxxxx…", excerpt(&vec![b'x'; 10_000_000], 10));
    }
}
