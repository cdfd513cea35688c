use std::time::Duration;

use proptest::prelude::*;
use rstest::rstest;

use super::{DurationError, format, parse, parse_nanos};

const MS: i64 = 1_000_000;
const S: i64 = 1_000 * MS;
const M: i64 = 60 * S;
const H: i64 = 60 * M;

/// The vectors that Go publishes for its own parser.
#[rstest]
#[case("0", 0)]
#[case("5s", 5 * S)]
#[case("30s", 30 * S)]
#[case("1478s", 1478 * S)]
#[case("-5s", -5 * S)]
#[case("+5s", 5 * S)]
#[case("-0", 0)]
#[case("+0", 0)]
#[case("5.0s", 5 * S)]
#[case("5.6s", 5 * S + 600 * MS)]
#[case("5.s", 5 * S)]
#[case(".5s", 500 * MS)]
#[case("1.0s", S)]
#[case("1.00s", S)]
#[case("1.004s", S + 4 * MS)]
#[case("1.0040s", S + 4 * MS)]
#[case("100.00100s", 100 * S + MS)]
#[case("10ns", 10)]
#[case("11us", 11_000)]
#[case("12µs", 12_000)]
#[case("12μs", 12_000)]
#[case("13ms", 13 * MS)]
#[case("14s", 14 * S)]
#[case("15m", 15 * M)]
#[case("16h", 16 * H)]
#[case("3h30m", 3 * H + 30 * M)]
#[case("10.5s4m", 4 * M + 10 * S + 500 * MS)]
#[case("-2m3.4s", -(2 * M + 3 * S + 400 * MS))]
#[case("1h2m3s4ms5us6ns", H + 2 * M + 3 * S + 4 * MS + 5_006)]
#[case("39h9m14.425s", 39 * H + 9 * M + 14 * S + 425 * MS)]
#[case("52763797000ns", 52_763_797_000)]
#[case("0.3333333333333333333h", 20 * M)]
#[case("9007199254740993ns", (1 << 53) + 1)]
#[case("9223372036854775807ns", i64::MAX)]
#[case("9223372036854775.807us", i64::MAX)]
#[case("9223372036s854ms775us807ns", i64::MAX)]
#[case("-9223372036854775808ns", i64::MIN)]
#[case("-9223372036854775.808us", i64::MIN)]
#[case("-9223372036s854ms775us808ns", i64::MIN)]
#[case("-2562047h47m16.854775808s", i64::MIN)]
#[case("0.100000000000000000000h", 6 * M)]
#[case("0.830103483285477580700h", 49 * M + 48 * S + 372_539_827)]
fn the_whole_grammar_of_go_is_understood(#[case] text: &str, #[case] nanos: i64) {
    assert_eq!(parse_nanos(text), Ok(nanos));
}

#[rstest]
#[case("", r#"time: invalid duration """#)]
#[case("3", r#"time: missing unit in duration "3""#)]
#[case("-", r#"time: invalid duration "-""#)]
#[case("s", r#"time: invalid duration "s""#)]
#[case(".", r#"time: invalid duration ".""#)]
#[case("-.", r#"time: invalid duration "-.""#)]
#[case(".s", r#"time: invalid duration ".s""#)]
#[case("+.s", r#"time: invalid duration "+.s""#)]
#[case("1d", r#"time: unknown unit "d" in duration "1d""#)]
#[case("5minutes", r#"time: unknown unit "minutes" in duration "5minutes""#)]
#[case("1m 30s", r#"time: unknown unit "m " in duration "1m 30s""#)]
#[case("\u{85}\u{85}", r#"time: invalid duration "\xc2\x85\xc2\x85""#)]
#[case("\u{ffff}", r#"time: invalid duration "\xef\xbf\xbf""#)]
#[case("hello \u{ffff} world", r#"time: invalid duration "hello \xef\xbf\xbf world""#)]
#[case("1\"\\", r#"time: unknown unit "\"\\" in duration "1\"\\""#)]
#[case("9223372036854775810ns", r#"time: invalid duration "9223372036854775810ns""#)]
#[case("9223372036854775808ns", r#"time: invalid duration "9223372036854775808ns""#)]
#[case("-9223372036854775809ns", r#"time: invalid duration "-9223372036854775809ns""#)]
#[case("9223372036854776us", r#"time: invalid duration "9223372036854776us""#)]
#[case("3000000h", r#"time: invalid duration "3000000h""#)]
#[case("9223372036854775.808us", r#"time: invalid duration "9223372036854775.808us""#)]
#[case("9223372036854ms775us808ns", r#"time: invalid duration "9223372036854ms775us808ns""#)]
fn what_is_not_a_duration_is_refused_in_gos_words(#[case] text: &str, #[case] message: &str) {
    assert_eq!(parse_nanos(text).expect_err("not a duration").to_string(), message);
}

#[test]
fn a_duration_below_zero_is_refused_where_it_makes_no_sense() {
    assert_eq!(parse("-5s"), Err(DurationError::Negative("-5s".into())));
    assert_eq!(parse("1m30s"), Ok(Duration::from_secs(90)));
}

// spec: 01/API-119
#[rstest]
#[case(0, "0s")]
#[case(1, "1ns")]
#[case(1_100, "1.1µs")]
#[case(2_200_000, "2.2ms")]
#[case(500_000_000, "500ms")]
#[case(1_515_000_000, "1.515s")]
#[case(3_300_000_000, "3.3s")]
#[case(60_000_000_000, "1m0s")]
#[case(120_000_000_000, "2m0s")]
#[case(245_000_000_000, "4m5s")]
#[case(245_001_000_000, "4m5.001s")]
#[case(18_367_001_000_000, "5h6m7.001s")]
#[case(480_000_000_001, "8m0.000000001s")]
#[case(3_600_000_000_000, "1h0m0s")]
#[case(9_223_372_036_854_775_807, "2562047h47m16.854775807s")]
fn durations_print_as_in_go(#[case] nanos: u64, #[case] text: &str) {
    assert_eq!(format(Duration::from_nanos(nanos)), text);
}

proptest! {
    #[test]
    fn what_is_printed_can_be_read_again(nanos in 0..=i64::MAX) {
        let duration = Duration::from_nanos(nanos.unsigned_abs());
        // Fractions of a second have at most nine digits, which a float holds.
        prop_assert_eq!(parse(&format(duration)), Ok(duration));
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in r"[-+]?([0-9.]{0,25}(ns|us|µs|ms|s|m|h| |é)?){0,4}") {
        let _ = parse_nanos(&text);
    }
}
