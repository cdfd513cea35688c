//! Resource quantities (`100m`, `2Gi`), for environment variables that ask for a limit.

/// The quantity as a number, or none when it is no quantity.
pub fn parse(text: &str) -> Option<f64> {
    let split =
        text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-' || c == '+')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let number: f64 = number.parse().ok()?;
    let factor = match suffix {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024.0 * 1024.0 * 1024.0,
        "Ti" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    Some(number * factor)
}

/// The quantity in units of the divisor, rounded up, as Kubernetes puts it into an environment variable.
pub fn in_units(quantity: &str, divisor: &str) -> Option<i64> {
    let divisor = match divisor {
        "" | "0" => 1.0,
        other => parse(other)?,
    };
    // Quantities of this harness are far below 2^53.
    #[allow(clippy::cast_possible_truncation)]
    Some((parse(quantity)? / divisor).ceil() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_rounded_up_to_the_divisor() {
        assert_eq!(in_units("1500m", "1"), Some(2));
        assert_eq!(in_units("2Gi", "1Mi"), Some(2048));
        assert_eq!(in_units("64", "0"), Some(64));
        assert_eq!(in_units("many", ""), None);
    }
}
