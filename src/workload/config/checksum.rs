//! What a ConfigMap or Secret holds, as sixteen hex digits (spec 02 §4.2), and the object without its contents:
//! nobody here keeps a Secret in memory.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// Identity of the contents: data, and binary data where there is some.
pub(super) fn checksum(object: &Value) -> String {
    object[CHECKSUM].as_str().map_or_else(
        || match binary_data(object) {
            Some(binary) => digest(&format!("{}{}", go_json(&object["data"]), go_json(binary))),
            None => digest(&go_json(&object["data"])),
        },
        ToOwned::to_owned,
    )
}

/// The checksum that Flagger computes, which leaves binary data out.
pub(super) fn flaggers_checksum(object: &Value) -> String {
    if let Some(kept) = object[FLAGGERS].as_str() {
        return kept.to_owned();
    }
    if is_reduced(object) { checksum(object) } else { digest(&go_json(&object["data"])) }
}

/// A ConfigMap or Secret as the caches keep it: identity, labels and owners, and a checksum instead of its contents.
/// kubectl's note of what it applied last goes as well, since it repeats them.
pub fn reduced(object: &Value) -> Value {
    let mut metadata = Map::new();
    for field in ["name", "namespace", "uid", "resourceVersion", "labels", "ownerReferences"] {
        if let Some(value) = object["metadata"].get(field) {
            metadata.insert(field.to_owned(), value.clone());
        }
    }
    if let Some(tracking) = object["metadata"]["annotations"].get(super::TRACKING) {
        metadata.insert("annotations".to_owned(), json!({super::TRACKING: tracking}));
    }
    let mut kept = Map::from_iter([("metadata".to_owned(), Value::Object(metadata))]);
    for field in ["apiVersion", "kind", "type", "immutable"] {
        if let Some(value) = object.get(field).filter(|value| !value.is_null()) {
            kept.insert(field.to_owned(), value.clone());
        }
    }
    kept.insert(CHECKSUM.to_owned(), checksum(object).into());
    if binary_data(object).is_some() {
        kept.insert(FLAGGERS.to_owned(), flaggers_checksum(object).into());
    }
    Value::Object(kept)
}

/// Whether two objects have the same contents; either may be [`reduced`].
pub fn holds_the_same(one: &Value, other: &Value) -> bool {
    checksum(one) == checksum(other)
}

/// Whether an object has a checksum instead of its contents.
pub(super) fn is_reduced(object: &Value) -> bool {
    !object[CHECKSUM].is_null()
}

/// The first eight bytes of a SHA-256.
pub(super) fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn binary_data(object: &Value) -> Option<&Value> {
    let binary = &object["binaryData"];
    binary.as_object().is_some_and(|data| !data.is_empty()).then_some(binary)
}

/// Compact JSON with sorted keys and with `<`, `>` and `&` escaped, as Go writes it: recorded checksums are of this
/// form.
fn go_json(data: &Value) -> String {
    let mut text = match data.as_object() {
        None => return "null".to_owned(),
        Some(data) => {
            let mut keys: Vec<&String> = data.keys().collect();
            keys.sort();
            let pairs: Vec<String> = keys
                .iter()
                .map(|key| format!("{}:{}", Value::from(key.as_str()), data[key.as_str()]))
                .collect();
            format!("{{{}}}", pairs.join(","))
        }
    };
    for (character, escaped) in ESCAPED {
        // All of them occur in nothing but keys and values.
        text = text.replace(character, escaped);
    }
    text
}

const ESCAPED: [(char, &str); 5] =
    [('<', "\\u003c"), ('>', "\\u003e"), ('&', "\\u0026"), ('\u{2028}', "\\u2028"), ('\u{2029}', "\\u2029")];

/// Field of a reduced object that holds its checksum; no field of a real object has such a name.
const CHECKSUM: &str = "vexil.checksum";
/// Field of a reduced object that holds the checksum without binary data, if that is another.
const FLAGGERS: &str = "vexil.checksum.data";

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    // spec: 02/C79
    #[rstest]
    #[case::sorted(json!({"b": "2", "a": "1", "B": "0"}), r#"{"B":"0","a":"1","b":"2"}"#)]
    #[case::html(json!({"<k>": "a&b"}), r#"{"\u003ck\u003e":"a\u0026b"}"#)]
    #[case::line_separators(json!({"k": "\u{2028}\u{2029}"}), r#"{"k":"\u2028\u2029"}"#)]
    #[case::short_escapes(json!({"k": "\u{8}\u{c}\n\r\t\"\\"}), r#"{"k":"\b\f\n\r\t\"\\"}"#)]
    #[case::other_controls(json!({"k": "\u{1f}\u{7f}"}), "{\"k\":\"\\u001f\u{7f}\"}")]
    #[case::other_letters(json!({"k": "grün 🎉"}), r#"{"k":"grün 🎉"}"#)]
    #[case::empty(json!({}), "{}")]
    #[case::absent(Value::Null, "null")]
    fn contents_are_written_as_the_recorded_checksums_expect(#[case] data: Value, #[case] expected: &str) {
        assert_eq!(go_json(&data), expected);
    }
}
