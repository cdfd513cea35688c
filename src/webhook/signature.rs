//! What proves to a receiver who calls: headers from a Secret, and a signature.
//!
//! ```text
//! X-Vexil-Timestamp: 1763726400
//! X-Vexil-Signature: sha256=<hex of HMAC-SHA256(key, "1763726400." + body)>
//! ```
//!
//! The time is part of what is signed, so that a receiver can refuse calls that somebody repeats.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use hmac::{Hmac, Mac};
use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use sha2::Sha256;

use super::Draft;

/// The contents of a Secret.
pub type SecretData = BTreeMap<String, Vec<u8>>;

/// The headers of `draft` at `now`, with the contents of the Secrets that it names.
///
/// # Errors
/// If a Secret, or the key in it, is missing, or what it holds is no header. The text names object and key, never a
/// value.
pub(super) fn headers(
    draft: &Draft,
    secrets: &BTreeMap<String, SecretData>,
    now: DateTime<Utc>,
) -> Result<Vec<(String, String)>, String> {
    let title = |name: &str| format!("secret {name}.{}", draft.namespace);
    let find = |name: &str| secrets.get(name).ok_or_else(|| format!("{} not found", title(name)));
    let mut headers = Vec::new();
    if let Some(secret) = &draft.credentials.headers {
        let key =
            draft.credentials.signing.as_ref().filter(|(signing, _)| signing == secret).map(|(_, key)| key);
        // One Secret may serve both: the key itself is for nobody.
        for (name, value) in find(secret)?.iter().filter(|(name, _)| Some(*name) != key) {
            headers.push(header(name, value).map_err(|why| format!("{} key {name:?} {why}", title(secret)))?);
        }
    }
    if let Some((secret, key)) = &draft.credentials.signing {
        let bytes = find(secret)?.get(key).filter(|bytes| !bytes.is_empty());
        let bytes = bytes.ok_or_else(|| format!("{} has no key {key:?} to sign with", title(secret)))?;
        let time = now.timestamp().to_string();
        headers.push((TIMESTAMP.to_owned(), time.clone()));
        headers.push((
            SIGNATURE.to_owned(),
            format!("sha256={}", signed(bytes, &time, &draft.call.body.bytes())),
        ));
    }
    Ok(headers)
}

fn header(name: &str, value: &[u8]) -> Result<(String, String), &'static str> {
    let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| "is no name of a header")?;
    let set = [HOST, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING].contains(&parsed);
    if set || [TIMESTAMP, SIGNATURE].iter().any(|ours| ours.eq_ignore_ascii_case(name)) {
        return Err("is a header that the call itself sets");
    }
    // A file that was made by an editor ends with a line end.
    let text = std::str::from_utf8(value).map_err(|_| "does not hold the text of a header")?.trim_end();
    HeaderValue::from_str(text).map_err(|_| "does not hold the text of a header")?;
    Ok((name.to_owned(), text.to_owned()))
}

fn signed(key: &[u8], time: &str, body: &[u8]) -> String {
    mac(key, time, body).finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
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

/// The header with the time of a signed call, in seconds since 1970-01-01T00:00:00Z.
pub const TIMESTAMP: &str = "X-Vexil-Timestamp";
/// The header with the signature of a call.
pub const SIGNATURE: &str = "X-Vexil-Signature";

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::model::call::{Body, Call};
    use crate::model::release::Credentials;

    fn call(credentials: Credentials) -> Draft {
        let call = Call::post("http://gate/", Body::Json(b"{\"name\":\"podinfo\"}".to_vec()));
        Draft { call, credentials, namespace: "test".into() }
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).expect("a time")
    }

    fn secret(data: &[(&str, &str)]) -> BTreeMap<String, SecretData> {
        let data = data.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect();
        BTreeMap::from([("hook".to_owned(), data)])
    }

    #[test]
    fn the_signature_is_that_of_time_and_body() {
        let signing = Credentials { signing: Some(("hook".into(), "key".into())), ..Credentials::default() };
        let headers =
            headers(&call(signing), &secret(&[("key", "s3cr3t")]), at(1_763_726_400)).expect("headers");
        // printf '1763726400.{"name":"podinfo"}' | openssl dgst -sha256 -hmac s3cr3t
        assert_eq!(
            headers,
            [
                ("X-Vexil-Timestamp".to_owned(), "1763726400".to_owned()),
                ("X-Vexil-Signature".to_owned(), format!("sha256={EXPECTED}")),
            ]
        );
    }

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
        let signature = format!("sha256={}", signed(b"s3cr3t", "1763726400", b"{}"));
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

    const EXPECTED: &str = "5218e404552095c3a8dd03495bf441db9146efe0edb6df12b450c9d2bd1c840a";

    #[test]
    fn each_key_of_the_secret_is_a_header() {
        let named = Credentials { headers: Some("hook".into()), ..Credentials::default() };
        let data = secret(&[("Authorization", "Bearer t0ken\n"), ("X-Team", "web")]);
        assert_eq!(
            headers(&call(named), &data, at(0)).expect("headers"),
            [
                ("Authorization".to_owned(), "Bearer t0ken".to_owned()),
                ("X-Team".to_owned(), "web".to_owned())
            ]
        );
    }

    #[test]
    fn the_key_of_the_signature_is_never_sent() {
        let both = Credentials { headers: Some("hook".into()), signing: Some(("hook".into(), "key".into())) };
        let sent =
            headers(&call(both), &secret(&[("X-Team", "web"), ("key", "s3cr3t")]), at(0)).expect("headers");
        let names: Vec<&str> = sent.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["X-Team", "X-Vexil-Timestamp", "X-Vexil-Signature"]);
        assert!(sent.iter().all(|(_, value)| !value.contains("s3cr3t")));
    }

    #[rstest]
    #[case::ours_as_well("hook", "hook", &[("x-vexil-signature", "t0ken")], "secret hook.test key \"x-vexil-signature\" is a header that the call itself sets")]
    #[case::no_secret("gone", "hook", &[], "secret gone.test not found")]
    #[case::no_name("hook", "hook", &[("a b", "t0ken")], "secret hook.test key \"a b\" is no name of a header")]
    #[case::no_text("hook", "hook", &[("X-A", "t0\nken")], "secret hook.test key \"X-A\" does not hold the text of a header")]
    #[case::ours("hook", "hook", &[("Host", "t0ken")], "secret hook.test key \"Host\" is a header that the call itself sets")]
    #[case::no_key("hook", "hook", &[("X-A", "t0ken")], "secret hook.test has no key \"key\" to sign with")]
    fn what_cannot_be_used_is_named_without_its_value(
        #[case] from: &str,
        #[case] signing: &str,
        #[case] data: &[(&str, &str)],
        #[case] expected: &str,
    ) {
        let credentials =
            Credentials { headers: Some(from.into()), signing: Some((signing.into(), "key".into())) };
        let error = headers(&call(credentials), &secret(data), at(0)).expect_err("an error");
        assert_eq!(error, expected);
    }
}
