//! What a caller sends: the payload of a Canary's webhook (spec 04 §5.3).

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

/// The metadata of a hook.
pub type Metadata = BTreeMap<String, String>;

/// Names a Canary. Both parts are names as Kubernetes allows them, so neither can be taken for something else in a path, a
/// label or a line of the log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Canary {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for Canary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.name, self.namespace)
    }
}

/// A payload that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// Whom the call is for.
    pub canary: Canary,
    /// The phase of the release, as the caller says.
    pub phase: String,
    /// Identifies the revision; empty if the caller does not say it.
    pub checksum: String,
    /// What is to be done.
    pub metadata: Metadata,
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    name: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    phase: String,
    #[serde(default)]
    checksum: String,
    #[serde(default)]
    metadata: Option<Metadata>,
}

/// Reads a body.
///
/// # Errors
/// If it is not such a payload, or does not say for which Canary it is. The text says what is wrong.
pub fn read(body: &[u8]) -> Result<Payload, String> {
    let wire: Wire = serde_json::from_slice(body).map_err(|error| {
        // It may repeat what was sent.
        let why: String = error.to_string().chars().take(200).collect();
        format!("the body is not the JSON of a webhook (name, namespace, phase, checksum, metadata of strings): {why}")
    })?;
    if !is_name(&wire.name, 253, true) {
        return Err(format!("name {:?} is not the name of a Canary", shortened(&wire.name)));
    }
    if !is_name(&wire.namespace, 63, false) {
        return Err(format!("namespace {:?} is not the name of a namespace", shortened(&wire.namespace)));
    }
    let word = |text: &str| text.len() <= 64 && text.chars().all(|c| c.is_ascii_alphanumeric());
    for (field, text) in [("phase", &wire.phase), ("checksum", &wire.checksum)] {
        if !word(text) {
            return Err(format!("{field} {:?} is not one word", shortened(text)));
        }
    }
    Ok(Payload {
        canary: Canary { namespace: wire.namespace, name: wire.name },
        phase: wire.phase,
        checksum: wire.checksum,
        metadata: wire.metadata.unwrap_or_default(),
    })
}

/// A name of Kubernetes: small letters, digits, dashes, and dots where there may be some.
pub fn is_name(text: &str, longest: usize, dots: bool) -> bool {
    let label = |label: &str| {
        let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
        !label.is_empty()
            && label.bytes().all(|byte| inner(&byte))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= longest && if dots { text.split('.').all(label) } else { label(text) }
}

/// Go's words for yes.
pub fn is_true(text: &str) -> bool {
    matches!(text, "1" | "t" | "T" | "TRUE" | "true" | "True")
}

/// At most 80 characters, for answers and the log.
pub fn shortened(text: &str) -> String {
    let mut chars = text.chars();
    let mut short: String = chars.by_ref().take(80).collect();
    if chars.next().is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn what_a_canary_sends_is_read() {
        let body = r#"{"name":"podinfo","namespace":"test","phase":"Progressing","checksum":"758df7c9fc","metadata":{"type":"bash"}}"#;
        let payload = read(body.as_bytes()).expect("a payload");
        assert_eq!(
            ("podinfo.test", "758df7c9fc"),
            (payload.canary.to_string().as_str(), payload.checksum.as_str())
        );
        assert_eq!(payload.metadata["type"], "bash");
        let null = read(br#"{"name":"podinfo","namespace":"test","metadata":null}"#).expect("a payload");
        assert!(null.metadata.is_empty());
    }

    #[rstest]
    #[case::nothing("")]
    #[case::no_json("name=podinfo")]
    #[case::a_list("[]")]
    #[case::empty("{}")]
    #[case::no_namespace(r#"{"name":"podinfo"}"#)]
    #[case::two_namespaces(r#"{"name":"podinfo","namespace":"test","namespace":"prod"}"#)]
    #[case::a_path(r#"{"name":"podinfo","namespace":"../prod"}"#)]
    #[case::a_dot(r#"{"name":"podinfo","namespace":"a.b"}"#)]
    #[case::a_line(r#"{"name":"podinfo\n","namespace":"test"}"#)]
    #[case::an_underscore(r#"{"name":"podinfo","namespace":"_all"}"#)]
    #[case::a_long_phase(r#"{"name":"podinfo","namespace":"test","phase":"a b"}"#)]
    #[case::numbers(r#"{"name":"podinfo","namespace":"test","metadata":{"qps":1}}"#)]
    #[case::more(r#"{"name":"podinfo","namespace":"test"} {}"#)]
    #[case::deep(&"[".repeat(100_000))]
    fn anything_else_is_refused_with_a_reason(#[case] body: &str) {
        let why = read(body.as_bytes()).expect_err("refused");
        assert!(why.len() > 10 && why.len() < 400, "{why}");
    }
}
