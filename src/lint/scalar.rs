//! What an unquoted word of YAML means, as kubectl reads it.

use serde_json::{Number, Value};

/// The value of a plain scalar.
pub fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ if is_word(text) => Value::Bool(matches!(text.to_ascii_lowercase().as_str(), "yes" | "on" | "y")),
        _ => number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number),
    }
}

/// Whether it is a truth value in YAML 1.1 alone.
pub fn is_word(text: &str) -> bool {
    const WORDS: [&str; 4] = ["yes", "no", "on", "off"];
    let Some(word) = WORDS.into_iter().find(|word| word.eq_ignore_ascii_case(text)) else { return false };
    let (first, rest) = text.split_at(1);
    text == word || (first != &word[..1] && (rest == &word[1..] || rest.chars().all(char::is_uppercase)))
}

fn number(text: &str) -> Option<Number> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    whole(text, unsigned).or_else(|| fraction(text, unsigned))
}

fn whole(text: &str, unsigned: &str) -> Option<Number> {
    let digits = unsigned.replace('_', "");
    let parse = |digits: &str, radix| {
        let only = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
        only.then(|| i128::from_str_radix(digits, radix).ok()).flatten()
    };
    let value = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => parse(&digits[2..], 16),
        [b'0', b'o' | b'O', ..] => parse(&digits[2..], 8),
        [b'0', b'b' | b'B', ..] => parse(&digits[2..], 2),
        [b'0', _, ..] => parse(&digits[1..], 8),
        _ => parse(&digits, 10),
    }?;
    let value = if text.starts_with('-') { -value } else { value };
    i64::try_from(value).map(Number::from).or_else(|_| u64::try_from(value).map(Number::from)).ok()
}

fn fraction(text: &str, unsigned: &str) -> Option<Number> {
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    let (before, behind) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent_is_one = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    if !digits(before) || !digits(behind) || (before.is_empty() && behind.is_empty()) || !exponent_is_one {
        return None;
    }
    text.parse::<f64>().ok().and_then(Number::from_f64)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case("", json!(null))]
    #[case("~", json!(null))]
    #[case("true", json!(true))]
    #[case("yes", json!(true))]
    #[case("Off", json!(false))]
    #[case("oN", json!("oN"))]
    #[case("80", json!(80))]
    #[case("-1", json!(-1))]
    #[case("+7", json!(7))]
    #[case("1_000", json!(1000))]
    #[case("010", json!(8))]
    #[case("0o10", json!(8))]
    #[case("0x1F", json!(31))]
    #[case("08", json!(8.0))]
    #[case("99.5", json!(99.5))]
    #[case(".5", json!(0.5))]
    #[case("1e3", json!(1000.0))]
    #[case("1m", json!("1m"))]
    #[case("1.2.3", json!("1.2.3"))]
    #[case("-", json!("-"))]
    #[case(".", json!("."))]
    #[case("18446744073709551615", json!(u64::MAX))]
    #[case("2026-01-01", json!("2026-01-01"))]
    #[case(".inf", json!(".inf"))]
    fn a_word_is_what_kubectl_takes_it_for(#[case] text: &str, #[case] value: Value) {
        assert_eq!(plain(text), value);
    }
}
