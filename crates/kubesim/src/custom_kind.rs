//! A custom kind without a cluster: what an API server would say of its objects.

use serde_json::Value;

use super::crd::{CrdVersion, parse_crd};
use super::error::Cause;

/// A CustomResourceDefinition, read, for checking objects of its kind.
#[derive(Clone, Debug)]
pub struct CustomKind {
    versions: Vec<CrdVersion>,
}

impl CustomKind {
    /// Reads a CustomResourceDefinition.
    ///
    /// # Errors
    /// What an API server would refuse the definition for.
    pub fn read(definition: &Value) -> Result<Self, String> {
        parse_crd(definition).map(|versions| Self { versions })
    }

    /// Its versions as objects write them, `flagger.app/v1beta1`, those that are served.
    pub fn api_versions(&self) -> impl Iterator<Item = String> + '_ {
        self.versions.iter().filter(|version| version.served).map(|version| version.kind.api_version())
    }

    /// What an API server would refuse a new `object` for: one cause a field, in its words. Unknown fields are dropped
    /// and defaults filled in before, as there. `None` if the kind has no such version.
    pub fn refusals(&self, object: &Value) -> Option<Vec<Cause>> {
        let version = self
            .versions
            .iter()
            .find(|version| version.served && object["apiVersion"] == version.kind.api_version().as_str())?;
        let mut object = object.clone();
        version.prune(&mut object);
        version.default(&mut object);
        Some(version.validate(&object, None).iter().map(super::error::FieldError::cause).collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_is_refused_with_its_fields_and_in_the_words_of_the_server() {
        let properties = json!({"size": {"type": "integer", "maximum": 3}});
        let spec = json!({"type": "object", "required": ["size"], "properties": properties});
        let schema = json!({"type": "object", "properties": {"spec": spec}});
        let kind = CustomKind::read(&json!({"spec": {
            "group": "shop.test", "scope": "Namespaced",
            "names": {"kind": "Cake", "plural": "cakes", "listKind": "CakeList", "singular": "cake"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
        }}))
        .expect("a definition");
        let cake = |spec: Value| json!({"apiVersion": "shop.test/v1", "kind": "Cake", "spec": spec});
        let fields = |object: &Value| {
            let causes = kind.refusals(object).expect("a version");
            causes.into_iter().map(|cause| (cause.reason, cause.field)).collect::<Vec<_>>()
        };
        assert_eq!(fields(&cake(json!({"size": 2, "colour": "red"}))), []);
        let expected = |reason: &str| [(reason.to_owned(), "spec.size".to_owned())];
        assert_eq!(fields(&cake(json!({"size": 5}))), expected("FieldValueInvalid"));
        assert_eq!(fields(&cake(json!({}))), expected("FieldValueRequired"));
        assert!(kind.refusals(&json!({"apiVersion": "shop.test/v2", "kind": "Cake"})).is_none());
        assert_eq!(kind.api_versions().collect::<Vec<_>>(), ["shop.test/v1"]);
    }
}
