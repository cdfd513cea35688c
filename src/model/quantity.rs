//! Quantities of Kubernetes: `1000m` and `1` are the same amount, `1Gi` and `1024Mi` as well.

use serde_json::Value;

/// The amount in billionths, as text; a value that is no quantity stays as it is.
pub fn canonical(value: &Value) -> Value {
    billionths(value).map_or_else(|| value.clone(), |amount| Value::from(format!("{amount}n")))
}

/// The amount in billionths, of a text (`"900m"`) or a number; `None` if the value is no quantity.
pub fn billionths(value: &Value) -> Option<i128> {
    match value {
        Value::String(text) => parse(text),
        Value::Number(number) => parse(&number.to_string()),
        _ => None,
    }
}

/// A quantity as a number; none if the text is no quantity.
pub fn number(text: &str) -> Option<f64> {
    // A f64 holds what a metric means, not each of the 39 digits.
    parse(text).map(|billionths| billionths as f64 / 1e9)
}

/// A quantity in billionths, rounded up as Kubernetes does.
fn parse(text: &str) -> Option<i128> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let (factor, exponent) = scale(suffix)?;
    // Billionths: nine more powers of ten, less those that the fraction took.
    let power = exponent + 9 - i32::try_from(fraction.len()).ok()?;
    let scaled = digits.checked_mul(factor)?;
    let amount = if power >= 0 {
        scaled.checked_mul(10_i128.checked_pow(power.unsigned_abs())?)?
    } else {
        let divisor = 10_i128.checked_pow(power.unsigned_abs())?;
        scaled / divisor + i128::from(scaled % divisor != 0)
    };
    Some(if negative { -amount } else { amount })
}

/// The factor and the power of ten that a suffix stands for.
fn scale(suffix: &str) -> Option<(i128, i32)> {
    let binary = |power: u32| (1_i128 << (10 * power), 0);
    Some(match suffix {
        "" => (1, 0),
        "n" => (1, -9),
        "u" => (1, -6),
        "m" => (1, -3),
        "k" => (1, 3),
        "M" => (1, 6),
        "G" => (1, 9),
        "T" => (1, 12),
        "P" => (1, 15),
        "E" => (1, 18),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        _ => (1, suffix.strip_prefix(['e', 'E'])?.parse().ok().filter(|power: &i32| power.abs() <= 27)?),
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case(json!("1"), json!("1000m"))]
    #[case(json!("1"), json!(1))]
    #[case(json!("0.5"), json!("500m"))]
    #[case(json!("1Gi"), json!("1024Mi"))]
    #[case(json!("0.5Gi"), json!("512Mi"))]
    #[case(json!("1e3"), json!("1k"))]
    #[case(json!("1E3"), json!("1000"))]
    #[case(json!("128974848"), json!("123Mi"))]
    #[case(json!("0.0000000001"), json!("1n"))]
    fn equal_amounts_have_one_form(#[case] one: Value, #[case] other: Value) {
        assert_eq!(canonical(&one), canonical(&other));
    }

    #[rstest]
    #[case(json!("1"), json!("1m"))]
    #[case(json!("1G"), json!("1Gi"))]
    #[case(json!("1"), json!("-1"))]
    fn different_amounts_stay_apart(#[case] one: Value, #[case] other: Value) {
        assert_ne!(canonical(&one), canonical(&other));
    }

    #[rstest]
    #[case("1111100u", Some(1.1111))]
    #[case("250m", Some(0.25))]
    #[case("1k", Some(1000.0))]
    #[case("-3", Some(-3.0))]
    #[case("0", Some(0.0))]
    #[case("12e6", Some(12_000_000.0))]
    #[case("NaN", None)]
    #[case("", None)]
    fn a_quantity_is_a_number(#[case] text: &str, #[case] expected: Option<f64>) {
        assert_eq!(expected, number(text));
    }

    #[rstest]
    #[case(json!("much"))]
    #[case(json!(""))]
    #[case(json!("."))]
    #[case(json!("1.2.3"))]
    #[case(json!("1Xi"))]
    #[case(json!("1e999999999999"))]
    #[case(json!("99999999999999999999999999999999999999999Ei"))]
    #[case(json!({"a": 1}))]
    fn what_is_no_quantity_stays_as_it_is(#[case] value: Value) {
        assert_eq!(canonical(&value), value);
    }
}
