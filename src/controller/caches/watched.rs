//! An object as a watch delivers it.

use std::borrow::Cow;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::api::ApiResource;
use kube::core::DynamicResourceScope;
use serde::de::{DeserializeSeed, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::model::by_hand::REQUEST;
use crate::model::object::Kind;
use crate::router::adopt::ADOPTED;

use super::shelf::{Key, key};

/// An object of any kind. Most of what comes is of no interest, so only its name is read at once; the rest stays text
/// until somebody wants it.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    /// Only what the watch itself looks at.
    meta: ObjectMeta,
    text: Box<RawValue>,
}

impl Watched {
    /// The key of the object; `None` without a name.
    pub fn key(&self) -> Option<Key> {
        Some(key(self.meta.namespace.as_deref().unwrap_or_default(), self.meta.name.as_deref()?))
    }

    /// The object as an object of `kind`. Of the record of field managers, which is half of an object, only who made a
    /// request by hand is kept.
    pub fn into_value(self, kind: Kind) -> Value {
        let read = Slim.deserialize(&mut serde_json::Deserializer::from_str(self.text.get()));
        let mut object = read.unwrap_or_else(|_| {
            // It is nested too deeply to be read: nothing that we look at is.
            let ObjectMeta { name, namespace, resource_version, .. } = self.meta;
            let metadata = json!({"name": name, "namespace": namespace, "resourceVersion": resource_version});
            Map::from_iter([("metadata".to_owned(), metadata)])
        });
        // Lists leave them out.
        object.insert("apiVersion".to_owned(), kind.api_version().into());
        object.insert("kind".to_owned(), kind.kind.into());
        Value::Object(object)
    }
}

/// Reads an object without its record of field managers.
struct Slim;

impl<'de> DeserializeSeed<'de> for Slim {
    type Value = Map<String, Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Slim {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = match name.as_str() {
                "metadata" => members.next_value::<Metadata>()?.0,
                _ => members.next_value()?,
            };
            object.insert(name, value);
        }
        Ok(object)
    }
}

/// The metadata of an object, whose record of field managers is skipped unless a request by hand needs it.
struct Metadata(Value);

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Metadata;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("metadata")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Metadata, A::Error> {
                let mut metadata = Map::new();
                let mut record: Option<&RawValue> = None;
                while let Some(name) = members.next_key::<String>()? {
                    if name == "managedFields" {
                        record = Some(members.next_value()?);
                    } else {
                        metadata.insert(name, members.next_value()?);
                    }
                }
                if let Some(record) = record.filter(|_| is_of_use(metadata.get("annotations"))) {
                    let entries = serde_json::from_str(record.get()).unwrap_or_default();
                    metadata.insert("managedFields".to_owned(), managers(entries));
                }
                Ok(Metadata(Value::Object(metadata)))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

/// Takes the record of field managers from an object, but for who made a request by hand, or writes the spec of an
/// adopted route.
pub(super) fn slim(object: &mut Value) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let Some(record) = metadata.remove("managedFields") else { return };
    if let (true, Value::Array(entries)) = (is_of_use(metadata.get("annotations")), record) {
        metadata.insert("managedFields".to_owned(), managers(entries));
    }
}

/// Whether somebody has a use for the field managers of an object with these annotations.
fn is_of_use(annotations: Option<&Value>) -> bool {
    annotations.is_some_and(|found| [REQUEST, ADOPTED].iter().any(|key| found.get(key).is_some()))
}

/// The entries of those who set the annotation of requests by hand, or a part of the spec of an adopted route, without
/// what else they set.
fn managers(mut entries: Vec<Value>) -> Value {
    entries.retain_mut(|entry| {
        let fields = entry.as_object_mut().and_then(|entry| entry.remove("fieldsV1")).unwrap_or_default();
        let asked = !fields["f:metadata"]["f:annotations"][format!("f:{REQUEST}")].is_null();
        asked || ROUTES.iter().any(|list| !fields["f:spec"][*list].is_null())
    });
    entries.into()
}

/// The fields in which the kinds of routes that can be adopted have their rules.
const ROUTES: [&str; 7] = ["f:rules", "f:http", "f:tls", "f:tcp", "f:routes", "f:tcpproxy", "f:weighted"];

/// What the watch itself looks at.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Head {
    metadata: Names,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Names {
    name: Option<String>,
    namespace: Option<String>,
    resource_version: Option<String>,
}

impl<'de> Deserialize<'de> for Watched {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        // What has no usable name is passed over.
        let Head { metadata } = serde_json::from_str(text.get()).unwrap_or_default();
        let meta = ObjectMeta {
            name: metadata.name,
            namespace: metadata.namespace,
            resource_version: metadata.resource_version,
            ..ObjectMeta::default()
        };
        Ok(Self { meta, text })
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
    fn an_object_that_is_nested_too_deeply_keeps_its_name() {
        let deep = format!("{}1{}", "[".repeat(500), "]".repeat(500));
        let text = format!(r#"{{"metadata": {{"name": "a", "namespace": "b"}}, "spec": {deep}}}"#);
        let read: Watched = serde_json::from_str(&text).expect("an object");
        assert_eq!(read.key().as_deref(), Some("b/a"));
        assert_eq!(read.into_value(Kind::DEPLOYMENT)["metadata"]["name"], "a");
    }

    #[test]
    fn what_has_no_name_has_no_key() {
        assert_eq!(read(json!({"metadata": "nonsense"})).key(), None);
    }
}
