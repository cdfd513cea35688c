//! Whole numbers in manifests. The schema calls them `number`, so `10.0` is a valid way to write 10,
//! while `5.5` is a mistake that must be reported on that object only (spec 01 EC-5).

use serde::{Deserialize, Deserializer, de::Error as _};

/// Reads an optional whole number; a fraction is an error that shows the value.
///
/// # Errors
/// If the value is not a number, not whole, or does not fit `T`.
pub fn option<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<i64>,
{
    Option::<serde_json::Number>::deserialize(deserializer)?
        .map(|number| whole::<T>(&number).map_err(D::Error::custom))
        .transpose()
}

/// Reads a list of whole numbers.
///
/// # Errors
/// As [`option`].
pub fn list<'de, D, T>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<i64>,
{
    Option::<Vec<serde_json::Number>>::deserialize(deserializer)?
        .map(|numbers| numbers.iter().map(|n| whole::<T>(n).map_err(D::Error::custom)).collect())
        .transpose()
}

/// Reads a whole number that is 0 when absent.
///
/// # Errors
/// As [`option`].
pub fn or_zero<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<i64> + Default,
{
    Ok(option(deserializer)?.unwrap_or_default())
}

/// Writes a number as Go's `%v` does, as thresholds stand in messages: `99`, `0.5`, `1e+06` (spec 01 §8.1).
pub fn shortest(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    match exponent.parse::<i32>() {
        Ok(exponent @ (..-4 | 6..)) => {
            format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.unsigned_abs())
        }
        _ => format!("{value}"),
    }
}

fn whole<T: TryFrom<i64>>(number: &serde_json::Number) -> Result<T, String> {
    let value = match (number.as_i64(), number.as_f64()) {
        (Some(integer), _) => Some(integer),
        // Beyond 2^53 a float no longer names one whole number.
        #[allow(clippy::cast_possible_truncation)]
        (None, Some(float)) if float.fract() == 0.0 && float.abs() < 9_007_199_254_740_992.0 => {
            Some(float as i64)
        }
        _ => None,
    };
    value
        .and_then(|value| T::try_from(value).ok())
        .ok_or_else(|| format!("{number} is not a whole number in range"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::shortest;

    // spec: 01/API-119
    #[rstest]
    #[case(99.0, "99")]
    #[case(0.5, "0.5")]
    #[case(99.99, "99.99")]
    #[case(500.0, "500")]
    #[case(-3.25, "-3.25")]
    #[case(0.0, "0")]
    #[case(100_000.0, "100000")]
    #[case(999_999.9, "999999.9")]
    #[case(1_000_000.0, "1e+06")]
    #[case(1_234_567.0, "1.234567e+06")]
    #[case(1e21, "1e+21")]
    #[case(1e100, "1e+100")]
    #[case(0.0001, "0.0001")]
    #[case(0.00001, "1e-05")]
    #[case(0.1 + 0.2, "0.30000000000000004")]
    #[case(f64::NAN, "NaN")]
    #[case(f64::NEG_INFINITY, "-Inf")]
    fn numbers_in_messages_are_as_short_as_in_go(#[case] value: f64, #[case] text: &str) {
        assert_eq!(shortest(value), text);
    }
}
