//! What proves to a receiver that a call is ours, and from when it is.
//!
//! ```text
//! X-Vexil-Timestamp: 1763726400
//! X-Vexil-Signature: sha256=<hex of HMAC-SHA256(key, "1763726400." + body)>
//! ```
//!
//! The time is part of what is signed, so that a receiver can refuse calls that somebody repeats.

use chrono::{DateTime, Utc};
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// The header with the time of a signed call, in seconds since 1970.
pub const TIMESTAMP: &str = "X-Vexil-Timestamp";

/// The header with the signature.
pub const SIGNATURE: &str = "X-Vexil-Signature";

/// The two headers that sign `body` with `key`, as of `at`.
pub fn signed(key: &[u8], at: DateTime<Utc>, body: &[u8]) -> [(String, String); 2] {
    let time = at.timestamp().to_string();
    let hex: String =
        mac(key, &time, body).finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    [(TIMESTAMP.to_owned(), time), (SIGNATURE.to_owned(), format!("sha256={hex}"))]
}

/// Whether `signature`, the value of the header [`SIGNATURE`], is that of `time` and `body` under `key`. How long it
/// takes says nothing about the key. Whether `time` is recent is for the caller to see.
pub fn is_signed(key: &[u8], time: &str, body: &[u8], signature: &str) -> bool {
    let Some(hex) = signature.strip_prefix("sha256=").filter(|hex| hex.is_ascii() && hex.len() == 64) else {
        return false;
    };
    let digits = (0..32).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16));
    digits
        .collect::<Result<Vec<u8>, _>>()
        .is_ok_and(|bytes| mac(key, time, body).verify_slice(&bytes).is_ok())
}

fn mac(key: &[u8], time: &str, body: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(time.as_bytes());
    mac.update(b".");
    mac.update(body);
    mac
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::as_it_was_sent("s3cr3t", "1763726400", "{}", true)]
    #[case::another_key("s3cret", "1763726400", "{}", false)]
    #[case::another_time("s3cr3t", "1763726401", "{}", false)]
    #[case::another_body("s3cr3t", "1763726400", "{ }", false)]
    #[case::dot_elsewhere("s3cr3t", "17637264", "00.{}", false)]
    fn a_receiver_knows_what_was_signed_from_what_was_not(
        #[case] key: &str,
        #[case] time: &str,
        #[case] body: &str,
        #[case] good: bool,
    ) {
        let at = DateTime::from_timestamp(1_763_726_400, 0).expect("a time");
        let [_, (_, signature)] = signed(b"s3cr3t", at, b"{}");
        assert_eq!(good, is_signed(key.as_bytes(), time, body.as_bytes(), &signature));
        for bad in [
            "",
            "sha256=",
            &signature[..70],
            &format!("{signature}0"),
            &format!("sha256={}", "é".repeat(32)),
            &format!("sha256={}", "+1".repeat(32)),
        ] {
            assert!(!is_signed(key.as_bytes(), time, body.as_bytes(), bad), "{bad}");
        }
    }
}
