//! An object as a watch delivers it.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::api::ApiResource;
use kube::core::DynamicResourceScope;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::model::by_hand::REQUEST;
use crate::model::object::Kind;

use super::shelf::{Key, key};

/// An object of any kind. Unlike kube's `DynamicObject` it is read in one go and never taken apart: most of what comes is
/// of no interest.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    /// Only what the watch itself looks at.
    meta: ObjectMeta,
    fields: Map<String, Value>,
}

impl Watched {
    /// The key of the object; `None` without a name.
    pub fn key(&self) -> Option<Key> {
        Some(key(self.meta.namespace.as_deref().unwrap_or_default(), self.meta.name.as_deref()?))
    }

    /// The object as an object of `kind`. Of the record of field managers, which is half of an object, only who made a
    /// request by hand is kept.
    pub fn into_value(mut self, kind: Kind) -> Value {
        // Lists leave them out.
        self.fields.insert("apiVersion".to_owned(), kind.api_version().into());
        self.fields.insert("kind".to_owned(), kind.kind.into());
        let mut object = Value::Object(self.fields);
        slim(&mut object);
        object
    }
}

/// Takes the record of field managers from an object, but for who made a request by hand.
pub(super) fn slim(object: &mut Value) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let Some(record) = metadata.remove("managedFields") else { return };
    let asked = metadata.get("annotations").is_some_and(|annotations| annotations.get(REQUEST).is_some());
    let Value::Array(mut entries) = record else { return };
    if !asked {
        return;
    }
    entries.retain_mut(|entry| {
        let fields = entry.as_object_mut().and_then(|entry| entry.remove("fieldsV1")).unwrap_or_default();
        !fields["f:metadata"]["f:annotations"][format!("f:{REQUEST}")].is_null()
    });
    metadata.insert("managedFields".to_owned(), entries.into());
}

impl<'de> Deserialize<'de> for Watched {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = Map::deserialize(deserializer)?;
        let text = |name: &str| fields.get("metadata")?.get(name)?.as_str().map(str::to_owned);
        let meta = ObjectMeta {
            name: text("name"),
            namespace: text("namespace"),
            resource_version: text("resourceVersion"),
            ..ObjectMeta::default()
        };
        Ok(Self { meta, fields })
    }
}

impl Resource for Watched {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(of: &ApiResource) -> Cow<'_, str> {
        of.kind.as_str().into()
    }

    fn group(of: &ApiResource) -> Cow<'_, str> {
        of.group.as_str().into()
    }

    fn version(of: &ApiResource) -> Cow<'_, str> {
        of.version.as_str().into()
    }

    fn plural(of: &ApiResource) -> Cow<'_, str> {
        of.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(object: Value) -> Watched {
        serde_json::from_value(object).expect("an object")
    }

    #[test]
    fn an_object_of_a_list_is_that_of_a_watch() {
        let bare =
            json!({"metadata": {"name": "a", "namespace": "b", "resourceVersion": "7"}, "spec": {"x": 1}});
        let mut typed = bare.clone();
        typed["apiVersion"] = "apps/v1".into();
        typed["kind"] = "Deployment".into();
        let listed = read(bare);
        assert_eq!(listed.key().as_deref(), Some("b/a"));
        assert_eq!(listed.meta().resource_version.as_deref(), Some("7"));
        assert_eq!(listed.into_value(Kind::DEPLOYMENT), typed);
        assert_eq!(read(typed.clone()).into_value(Kind::DEPLOYMENT), typed);
    }

    #[test]
    fn of_the_record_of_field_managers_only_who_asked_by_hand_is_kept() {
        let annotation = format!("f:{REQUEST}");
        let record = json!([
            {"manager": "kubectl", "fieldsV1": {"f:metadata": {"f:annotations": {annotation: {}}}}},
            {"manager": "flux", "fieldsV1": {"f:spec": {}}},
        ]);
        let object = |annotations: Value| {
            read(json!({"metadata": {"name": "a", "annotations": annotations, "managedFields": record}}))
                .into_value(Kind::CANARY)
        };
        assert_eq!(object(json!({}))["metadata"]["managedFields"], Value::Null);
        assert_eq!(
            object(json!({REQUEST: "pause x"}))["metadata"]["managedFields"],
            json!([{"manager": "kubectl"}])
        );
    }

    #[test]
    fn what_has_no_name_has_no_key() {
        assert_eq!(read(json!({"metadata": "nonsense"})).key(), None);
    }
}
