//! OpenAPI version 2 as protobuf: the fields that kubectl looks at, and no more.
//!
//! A field on the wire is its number and kind, then its content; messages and texts begin with their length.

use super::super::discovery;
use super::super::kinds::ResourceKind;

/// A `Document` that has, for each resource, the PATCH operation with its parameters.
pub(super) fn document(kinds: &[ResourceKind]) -> Vec<u8> {
    let version = discovery::version();
    let mut info = text(1, "Kubernetes");
    info.extend(text(2, version["gitVersion"].as_str().unwrap_or_default()));
    let paths: Vec<u8> = kinds.iter().flat_map(|kind| message(2, &path_item(kind))).collect();

    let mut document = text(1, "2.0");
    document.extend(message(2, &info));
    document.extend(message(8, &paths));
    document
}

/// A `NamedPathItem`.
fn path_item(kind: &ResourceKind) -> Vec<u8> {
    let (_, path) = super::item_paths(kind);
    let patch = message(8, &operation(kind));
    let mut named = text(1, &path);
    named.extend(message(2, &patch));
    named
}

fn operation(kind: &ResourceKind) -> Vec<u8> {
    let mut operation = Vec::new();
    for name in super::query_parameters("patch") {
        // ParametersItem → Parameter → NonBodyParameter → QueryParameterSubSchema
        let mut query = text(2, "query");
        query.extend(text(4, name));
        let wrapped = message(1, &message(2, &message(3, &query)));
        operation.extend(message(8, &wrapped));
    }
    let words = format!("group: {:?}\nkind: {}\nversion: {}\n", kind.group, kind.kind, kind.version);
    let mut extension = text(1, "x-kubernetes-group-version-kind");
    extension.extend(message(2, &text(2, &words)));
    operation.extend(message(13, &extension));
    operation
}

fn text(field: u64, content: &str) -> Vec<u8> {
    message(field, content.as_bytes())
}

fn message(field: u64, content: &[u8]) -> Vec<u8> {
    const LENGTH_DELIMITED: u64 = 2;
    let mut out = varint(field << 3 | LENGTH_DELIMITED);
    out.extend(varint(content.len() as u64));
    out.extend(content);
    out
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            out.push(low);
            return out;
        }
        out.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::kinds;

    #[rstest]
    #[case(1, &[1])]
    #[case(127, &[0x7f])]
    #[case(128, &[0x80, 0x01])]
    #[case(300, &[0xac, 0x02])]
    fn a_number_takes_seven_bits_a_byte(#[case] number: u64, #[case] bytes: &[u8]) {
        assert_eq!(bytes, varint(number));
    }

    /// Fields of a message, each with its content.
    fn fields(mut bytes: &[u8]) -> Vec<(u64, &[u8])> {
        let mut out = Vec::new();
        let read = |bytes: &mut &[u8]| {
            let (mut number, mut shift) = (0_u64, 0);
            while let Some((first, rest)) = bytes.split_first() {
                *bytes = rest;
                number |= u64::from(first & 0x7f) << shift;
                shift += 7;
                if first & 0x80 == 0 {
                    break;
                }
            }
            number
        };
        while !bytes.is_empty() {
            let key = read(&mut bytes);
            let length = read(&mut bytes) as usize;
            out.push((key >> 3, &bytes[..length]));
            bytes = &bytes[length..];
        }
        out
    }

    #[test]
    fn the_document_tells_of_each_resource_that_a_patch_can_be_a_trial() {
        let kind = kinds::find("apps", "Deployment").expect("built in");
        let bytes = document(&[kind]);
        let document = fields(&bytes);
        assert_eq!((1, "2.0".as_bytes()), document[0]);
        let named = fields(fields(document[2].1)[0].1);
        assert_eq!("/apis/apps/v1/namespaces/{namespace}/deployments/{name}".as_bytes(), named[0].1);
        let operation = fields(fields(named[1].1)[0].1);
        let first = fields(fields(fields(fields(operation[0].1)[0].1)[0].1)[0].1);
        assert_eq!(vec![(2, "query".as_bytes()), (4, "dryRun".as_bytes())], first);
        let (field, extension) = operation[operation.len() - 1];
        assert_eq!(13, field);
        assert_eq!(
            "group: \"apps\"\nkind: Deployment\nversion: v1\n".as_bytes(),
            fields(fields(extension)[1].1)[0].1
        );
    }
}
