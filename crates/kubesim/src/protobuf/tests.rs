use proptest::prelude::*;
use serde::Deserialize;

use super::*;

/// An object as Go's serializer writes it, and as Go tells it in JSON.
#[derive(Deserialize)]
struct Sample {
    protobuf: String,
    json: Value,
}

fn samples() -> Vec<(Vec<u8>, Value)> {
    let samples: Vec<Sample> = serde_json::from_str(include_str!("samples.json")).expect("samples are JSON");
    samples.into_iter().map(|s| (BASE64.decode(s.protobuf).expect("base64"), s.json)).collect()
}

/// One field of a message.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = content.len();
    while length > 0x7f {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend(content);
    out
}

fn body(api_version: &str, kind: &str, message: &[u8]) -> Vec<u8> {
    let type_meta = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
    [MAGIC, &field(1, &type_meta), &field(2, message)].concat()
}

#[test]
fn every_kind_reads_as_go_tells_it_in_json() {
    let samples = samples();
    assert!(samples.len() > 2 * 30, "each kind has a full and an empty sample");
    for (protobuf, json) in samples {
        let read = to_json(&protobuf).unwrap_or_else(|why| panic!("{}: {why}", json["kind"]));
        assert_eq!(json, read, "{}", json["kind"]);
    }
}

#[test]
fn each_built_in_kind_of_the_cluster_can_be_sent() {
    for kind in crate::kinds::builtin() {
        let known = messages::KINDS.iter().any(|(v, k, _)| *v == kind.api_version() && *k == kind.kind);
        assert!(known, "{} {}", kind.api_version(), kind.kind);
    }
}

#[test]
fn fields_are_in_the_order_of_their_numbers() {
    fn check(message: &Message, depth: usize) {
        assert!(message.fields.is_sorted_by_key(|field| field.number));
        for field in message.fields {
            if let (Type::Object(inner), true) = (field.content, depth < 12) {
                check(inner, depth + 1);
            }
        }
    }
    for (_, _, message) in messages::KINDS {
        check(message, 0);
    }
}

#[test]
fn a_wrong_body_is_told_with_its_place() {
    let complaint = |body: &[u8]| to_json(body).expect_err("it is wrong").to_string();
    assert_eq!(r#"protobuf of Kubernetes begins with "k8s\0""#, complaint(b"{}"));
    assert_eq!(
        r#""Widget" of "example.com/v1" is not read from protobuf: send application/json"#,
        complaint(&body("example.com/v1", "Widget", &[]))
    );
    let named = |name: &[u8]| body("v1", "Namespace", &field(1, &field(1, name)));
    assert_eq!("metadata.name: the text is not UTF-8", complaint(&named(&[0xff])));
    let mut cut = body("v1", "Namespace", &field(1, &[0x0a, 0x09, b'a']));
    assert_eq!("metadata: the message ends in the middle of a field", complaint(&cut));
    cut.truncate(cut.len() - 1);
    assert_eq!("the message ends in the middle of a field", complaint(&cut));
    assert_eq!(
        "metadata.name: a number stands where bytes belong",
        complaint(&body("v1", "Namespace", &field(1, &[0x08, 0x01])))
    );
    assert_eq!("a number has more than 64 bits", complaint(&[MAGIC, &[0xff; 11]].concat()));
}

#[test]
fn a_schema_that_holds_itself_too_often_is_refused() {
    // spec.versions[].schema.openAPIV3Schema, then `not` in `not` without end.
    let mut schema = Vec::new();
    for _ in 0..10_000 {
        // The key of `not`, number 28, takes two bytes.
        schema = [vec![0xe2, 0x01], field(1, &schema)[1..].to_vec()].concat();
    }
    let version = field(4, &field(1, &schema));
    let body = body("apiextensions.k8s.io/v1", "CustomResourceDefinition", &field(2, &field(7, &version)));
    let why = to_json(&body).expect_err("too deep").to_string();
    assert!(why.ends_with("not.not: messages are nested deeper than 100"), "{why}");
}

proptest! {
    #[test]
    fn whatever_comes_is_read_or_refused(nonsense in proptest::collection::vec(any::<u8>(), 0..400), kind in any::<prop::sample::Index>()) {
        let (api_version, kind, _) = messages::KINDS[kind.index(messages::KINDS.len())];
        let _ = to_json(&body(api_version, kind, &nonsense));
        let _ = to_json(&[MAGIC, &nonsense].concat());
        let _ = to_json(&nonsense);
    }

    #[test]
    fn a_true_body_that_was_cut_or_garbled_is_read_or_refused(
        sample in any::<prop::sample::Index>(),
        cut in any::<prop::sample::Index>(),
        garbled in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let samples = samples();
        let (mut body, _) = samples[sample.index(samples.len())].clone();
        for (at, byte) in garbled {
            let at = at.index(body.len());
            body[at] = byte;
        }
        let _ = to_json(&body);
        body.truncate(cut.index(body.len()));
        let _ = to_json(&body);
    }
}
