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
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(time.as_bytes());
    mac.update(b".");
    mac.update(body);
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    [(TIMESTAMP.to_owned(), time), (SIGNATURE.to_owned(), format!("sha256={hex}"))]
}
