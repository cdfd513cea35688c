//! What several backends need: an address with a path, credentials, and words for answers that are none.

use http::StatusCode;
use url::Url;

use super::{Error, SecretData};

/// `address` with `path` behind its own. Path and user of the address stay, its parameters do not.
pub(super) fn endpoint(provider: &'static str, address: &str, path: &str) -> Result<String, Error> {
    // What stands before an `@` may be a password.
    let shown = || address.rsplit_once('@').map_or(address.to_owned(), |(_, rest)| format!("xxxxx@{rest}"));
    let invalid = || Error::Address { provider, address: shown() };
    let mut url = Url::parse(address).map_err(|_| invalid())?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(invalid());
    }
    let path = format!("{}{path}", url.path().trim_end_matches('/'));
    url.set_path(&path);
    url.set_query(None);
    url.set_fragment(None);
    Ok(url.into())
}

/// The value of `key` without blanks around it; none if there is no such key.
pub(super) fn credential(
    provider: &'static str,
    secret: &SecretData,
    key: &str,
) -> Result<Option<String>, Error> {
    match secret.get(key).map(|value| str::from_utf8(value.trim_ascii())) {
        None => Ok(None),
        Some(Ok(value)) => Ok(Some(value.to_owned())),
        Some(Err(_)) => Err(problem(provider, &format!("contain a {key} that is not text"))),
    }
}

pub(super) fn problem(provider: &'static str, problem: &str) -> Error {
    Error::Credentials { provider, problem: problem.to_owned() }
}

/// Why a body cannot be read as JSON.
pub(super) fn not_json(body: &[u8]) -> String {
    // What came instead is not repeated: it may come from anywhere, and the log has it at level debug.
    match body.trim_ascii() {
        [] => "the answer is empty".to_owned(),
        [b'<', ..] => "the answer is not JSON but a web page".to_owned(),
        text => format!("the answer is not JSON but {} bytes of something else", text.len()),
    }
}

/// The words for a status, such as `Not Found`.
pub(super) fn reason(status: u16) -> &'static str {
    StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default()
}

pub(super) const NO_VALUES: &str = "no values found";
pub(super) const MULTIPLE: &str = "query returned multiple values";
/// Characters of a server's own words that get into an event.
pub(super) const SHOWN: usize = 500;
