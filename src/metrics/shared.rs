//! What several backends need: an address with a path, credentials, the conversation that is one call and its answer,
//! and words for answers that are none.

use std::time::Duration;

use chrono::{DateTime, Utc};
use http::StatusCode;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use crate::api::metric_template::MetricProvider;
use crate::model::answer::said;
use crate::model::call::{Answer, Auth, Call, Heard, Next, Secret, What};

use super::{Asked, Error, Measured, SecretData};

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

/// The value of a key without which nothing can be asked. `lacking` says what the Secret does, if the key is not there
/// or blank: `does not contain …`.
pub(super) fn required(
    provider: &'static str,
    secret: Option<&SecretData>,
    key: &str,
    lacking: &str,
) -> Result<String, Error> {
    let value = secret.map_or(Ok(None), |secret| credential(provider, secret, key))?;
    value.filter(|value| !value.is_empty()).ok_or_else(|| problem(provider, lacking))
}

/// User and password, both of which the Secret has to name. If one is blank, no credentials are sent.
pub(super) fn basic(provider: &'static str, secret: &SecretData) -> Result<Auth, Error> {
    let text = |key: &str| {
        credential(provider, secret, key)?
            .ok_or_else(|| problem(provider, &format!("does not contain a {key}")))
    };
    let (username, password) = (text("username")?, text("password")?);
    Ok(if username.is_empty() || password.is_empty() {
        Auth::None
    } else {
        Auth::Basic { username, password: password.into() }
    })
}

/// A token, if the Secret has that key; else user and password.
pub(super) fn token_or_basic(provider: &'static str, secret: &SecretData) -> Result<Auth, Error> {
    match credential(provider, secret, "token")? {
        Some(token) if token.is_empty() => Ok(Auth::None),
        Some(token) => Ok(Auth::Bearer(token.into())),
        None => basic(provider, secret),
    }
}

/// What the Secret says of TLS: whom to trust (`ca.crt`), and the certificate with which the caller shows who it is (`tls.crt`
/// and `tls.key`), as Secrets of the type `kubernetes.io/tls` have them.
pub(super) fn tls(
    provider: &'static str,
    secret: &SecretData,
) -> Result<(Option<String>, Option<Secret>), Error> {
    let filled =
        |key: &str| Ok::<_, Error>(credential(provider, secret, key)?.filter(|value| !value.is_empty()));
    let certificates = |key: &str, pem: &str| match CertificateDer::pem_slice_iter(pem.as_bytes()).next() {
        Some(Ok(_)) => Ok(()),
        _ => Err(problem(provider, &format!("contain a {key} that is no certificate in PEM"))),
    };
    let ca = filled("ca.crt")?;
    ca.as_deref().map_or(Ok(()), |pem| certificates("ca.crt", pem))?;
    match (filled("tls.crt")?, filled("tls.key")?) {
        (None, None) => Ok((ca, None)),
        (Some(certificate), Some(key)) => {
            certificates("tls.crt", &certificate)?;
            if PrivateKeyDer::from_pem_slice(key.as_bytes()).is_err() {
                return Err(problem(provider, "contain a tls.key that is no key in PEM"));
            }
            Ok((ca, Some(Secret::new(format!("{certificate}\n{key}\n")))))
        }
        _ => Err(problem(provider, "contain one of tls.crt and tls.key, which belong together")),
    }
}

/// The headers that the manifest adds to each call. Their values may be secrets.
pub(super) fn headers(spec: &MetricProvider) -> Vec<(String, Secret)> {
    let headers = spec.headers.iter().flatten();
    headers
        .flat_map(|(name, values)| values.iter().map(|value| (name.clone(), value.as_str().into())))
        .collect()
}

pub(super) fn problem(provider: &'static str, problem: &str) -> Error {
    Error::Credentials { provider, problem: problem.to_owned() }
}

/// The query without white space around it.
pub(super) fn query(provider: &'static str, asked: &Asked) -> Result<String, String> {
    match asked.query.trim() {
        "" => Err(Error::EmptyQuery { provider }.to_string()),
        query => Ok(query.to_owned()),
    }
}

/// Every run of white space becomes one blank, inside string literals as well.
pub(super) fn collapsed(query: &str) -> String {
    let mut text = String::with_capacity(query.len());
    for c in query.chars() {
        match c {
            ' ' | '\t' | '\n' | '\r' | '\x0c' if text.ends_with(' ') => {}
            ' ' | '\t' | '\n' | '\r' | '\x0c' => text.push(' '),
            other => text.push(other),
        }
    }
    text
}

/// The last ten intervals in whole seconds, for backends whose newest values are usually incomplete.
pub(super) fn window(asked: &Asked) -> (DateTime<Utc>, DateTime<Utc>) {
    let to = DateTime::from_timestamp(asked.now.timestamp(), 0).unwrap_or(asked.now);
    let back = Duration::from_secs(asked.interval.as_secs()).saturating_mul(10);
    let from = chrono::Duration::from_std(back).ok().and_then(|back| to.checked_sub_signed(back));
    (from.unwrap_or(DateTime::UNIX_EPOCH), to)
}

/// A conversation of one call. `call` may say why there is none to make, and `read` why an answer of status 200 has no
/// result; every other status is a refusal.
pub(super) fn one_call(
    provider: &'static str,
    heard: &[Heard],
    call: impl FnOnce() -> Result<Call, String>,
    read: impl FnOnce(&[u8]) -> Result<Measured, String>,
) -> Next<Measured> {
    Next::Done(match heard.last().map(|heard| &heard.what) {
        None | Some(What::Waited) => match call() {
            Ok(call) => return Next::send(call),
            Err(why) => Measured::Failed(why),
        },
        Some(what) => match accepted(provider, what) {
            Ok(body) => read(body).unwrap_or_else(|why| Measured::Failed(format!("{provider}: {why}"))),
            Err(why) => Measured::Failed(why),
        },
    })
}

/// A probe of one call. `read` may say why an answer of status 200 is not enough.
pub(super) fn one_probe(
    provider: &'static str,
    heard: &[Heard],
    call: impl FnOnce() -> Call,
    read: impl FnOnce(&[u8]) -> Result<(), String>,
) -> Next<Result<(), String>> {
    match heard.last().map(|heard| &heard.what) {
        None | Some(What::Waited) => Next::send(call()),
        Some(what) => Next::Done(
            accepted(provider, what).and_then(|body| read(body).map_err(|why| format!("{provider}: {why}"))),
        ),
    }
}

/// The body of an answer that is no refusal.
pub(super) fn accepted<'a>(provider: &'static str, what: &'a What) -> Result<&'a [u8], String> {
    match what {
        What::Answer(answer) if answer.status == 200 => Ok(&answer.body),
        What::Answer(answer) => Err(refused(provider, answer)),
        What::Silence(silence) => Err(format!("{provider} request failed: {silence}")),
        What::Waited => Err(format!("{provider} request was not made")),
    }
}

/// What a server said instead of an answer, and how long it wants to be left alone.
pub(super) fn refused(provider: &'static str, answer: &Answer) -> String {
    let Answer { status, body, .. } = answer;
    let (said, reason) = (said(body, SHOWN), reason(*status));
    format!("{provider} error response: {said}: {status} {reason}{}", come_back(answer))
}

/// When a server that is overloaded wants to be asked again, if it says so.
pub(super) fn come_back(answer: &Answer) -> String {
    let pause = answer.retry_after.map(|pause| format!(" (try again after {}s)", pause.as_secs()));
    pause.unwrap_or_default()
}

/// The body as JSON; the error is for the user.
pub(super) fn json(body: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(body).map_err(|_| not_json(body))
}

/// What a backend said as a `T`; the error is for the user.
pub(super) fn typed<T: DeserializeOwned>(json: Value) -> Result<T, String> {
    serde_json::from_value(json).map_err(|_| format!("{NOT_A_QUERY}: its members have other types"))
}

/// The body as a `T` that is an object: serde would take an array for a structure as well, field by field.
pub(super) fn object<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    match json(body)? {
        object @ Value::Object(_) => typed(object),
        _ => Err(format!("{NOT_A_QUERY}: it is no object")),
    }
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

/// Why there is nothing to judge, with the beginning of what the backend said.
pub(super) fn no_data(provider: &'static str, body: &[u8]) -> Measured {
    Measured::NoData(format!("{provider} invalid response: {}: {NO_VALUES}", said(body, SHOWN)))
}

/// The words for a status, such as `Not Found`.
pub(super) fn reason(status: u16) -> &'static str {
    StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default()
}

pub(super) const NO_VALUES: &str = "no values found";
pub(super) const MULTIPLE: &str = "query returned multiple values";
pub(super) const NOT_A_QUERY: &str = "the answer is not one of a query";
/// Characters of a server's own words that get into an event.
pub(super) const SHOWN: usize = 500;
/// How long most backends may take to answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);
