//! Objects as the caches keep them: JSON, compressed. A parsed object takes ten times the room of its text, and is
//! needed only while somebody looks at it.

use std::sync::Arc;

use lz4_flex::block::{compress_with_dict, decompress_with_dict};
use serde_json::Value;

/// An object whose text is compressed. Two of the same [`Packer`] are equal if and only if their objects are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    bytes: Arc<[u8]>,
    /// What the compressed text refers to.
    sample: Arc<[u8]>,
    /// Bytes of the text.
    size: u32,
    version: u64,
}

impl Packed {
    /// The resource version of the object; 0 if it has none.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The object.
    pub fn open(&self) -> Value {
        // Nobody else makes such bytes, so that both steps succeed; an object that could not be read would be one
        // without any field, which everybody who looks at objects can deal with.
        let text = decompress_with_dict(&self.bytes, self.size as usize, &self.sample).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }
}

/// Packs objects that are much alike, such as those of one kind: the first of them is the sample that the others are
/// compressed against.
#[derive(Debug, Default)]
pub struct Packer {
    sample: Option<Arc<[u8]>>,
}

impl Packer {
    /// Packs an object.
    pub fn pack(&mut self, object: &Value) -> Packed {
        // The members of an object are written in the order of their names, so that the same object has one text.
        let text = object.to_string().into_bytes();
        let sample = self.sample.get_or_insert_with(|| Arc::from(&text[..text.len().min(SAMPLE)]));
        Packed {
            bytes: compress_with_dict(&text, sample).into(),
            sample: Arc::clone(sample),
            // No object of a cluster is that large: etcd takes some MiB at most.
            size: u32::try_from(text.len()).unwrap_or(u32::MAX),
            version: version(object).unwrap_or(0),
        }
    }
}

fn version(object: &Value) -> Option<u64> {
    object.get("metadata")?.get("resourceVersion")?.as_str()?.parse().ok()
}

/// Bytes of an object that others are compressed against. Each compression looks at all of them.
const SAMPLE: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn deployment(name: &str, image: &str) -> Value {
        let env: Vec<Value> =
            (0..40).map(|n| json!({"name": format!("VARIABLE_{n}"), "value": "on"})).collect();
        json!({"metadata": {"name": name}, "spec": {"template": {"spec": {"containers": [
            {"name": "app", "image": image, "env": env},
        ]}}}})
    }

    #[test]
    fn what_is_packed_comes_out_again() {
        let mut packer = Packer::default();
        for object in [deployment("a", "a:1"), deployment("b", "b:1"), json!({}), json!(null), json!("ü")] {
            assert_eq!(packer.pack(&object).open(), object);
        }
    }

    #[test]
    fn an_object_like_the_first_takes_a_fraction_of_its_text() {
        let mut packer = Packer::default();
        packer.pack(&deployment("frontend", "registry.example.com/frontend:1"));
        let second = deployment("backend", "registry.example.com/backend:1");
        let packed = packer.pack(&second);
        assert!(packed.bytes.len() * 10 < second.to_string().len(), "{} bytes", packed.bytes.len());
    }

    proptest! {
        #[test]
        fn equal_objects_are_equal_when_they_are_packed(texts in prop::collection::vec(".{0,40}", 1..6)) {
            let mut packer = Packer::default();
            let objects: Vec<Value> = texts.iter().map(|text| json!({"a": text})).collect();
            let packed: Vec<Packed> = objects.iter().map(|object| packer.pack(object)).collect();
            for (one, object) in packed.iter().zip(&objects) {
                prop_assert_eq!(&one.open(), object);
                for (other, another) in packed.iter().zip(&objects) {
                    prop_assert_eq!(one == other, object == another);
                }
            }
        }
    }
}
