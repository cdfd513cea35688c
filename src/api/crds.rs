//! The CustomResourceDefinitions of our kinds, and their text under `crds/`.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionVersion, CustomResourceSubresourceStatus,
    CustomResourceSubresources, CustomResourceValidation, JSONSchemaProps,
};
use kube::CustomResourceExt;
use schemars::JsonSchema;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::{Value, json};

use super::schema::structural;
use super::status::CanaryStatus;
use super::{
    AlertProvider, AlertProviderSpec, Canary, CanarySpec, MetricTemplate, MetricTemplateSpec, RouteTemplate,
    RouteTemplateSpec, canary::OLD_API_VERSION,
};

/// The definitions, in the order in which they are to be applied.
pub fn crds() -> Vec<CustomResourceDefinition> {
    vec![canary(), metric_template(), alert_provider(), route_template()]
}

/// `canaries.flagger.app`. Manifests of `v1alpha3` are still taken, with a warning; both versions have one schema.
pub fn canary() -> CustomResourceDefinition {
    let schema = root_schema::<CanarySpec>(
        "A release: the workload under control, how it is exposed, and how a new revision is judged.",
        Some(structural::<CanaryStatus>()),
    );
    let mut crd = complete(Canary::crd(), schema);
    if let Some(today) = crd.spec.versions.first().cloned() {
        let (_, old) = OLD_API_VERSION.split_once('/').unwrap_or_default();
        crd.spec.versions.push(CustomResourceDefinitionVersion {
            name: old.to_owned(),
            storage: false,
            deprecated: Some(true),
            deprecation_warning: Some(format!(
                "{OLD_API_VERSION} Canary is deprecated: write apiVersion flagger.app/v1beta1, and analysis for \
                 canaryAnalysis"
            )),
            ..today
        });
    }
    crd
}

/// `metrictemplates.flagger.app`.
pub fn metric_template() -> CustomResourceDefinition {
    let schema =
        root_schema::<MetricTemplateSpec>("A query with holes, and the backend that answers it.", None);
    complete(MetricTemplate::crd(), schema)
}

/// `alertproviders.flagger.app`.
pub fn alert_provider() -> CustomResourceDefinition {
    complete(AlertProvider::crd(), root_schema::<AlertProviderSpec>("Where alerts are sent.", None))
}

/// `routetemplates.flagger.app`.
pub fn route_template() -> CustomResourceDefinition {
    let description =
        "A router in a file: the objects that a mesh reads, and where they say what the canary gets.";
    complete(RouteTemplate::crd(), root_schema::<RouteTemplateSpec>(description, None))
}

/// The definition as YAML, always the same text for the same definition.
pub fn to_yaml(crd: &CustomResourceDefinition) -> String {
    let value = serde_json::to_value(crd).unwrap_or_default();
    serde_saphyr::to_string(&Ordered(&value)).expect("plain JSON can be written as YAML")
}

/// Name of the file under `crds/`.
pub fn file_name(crd: &CustomResourceDefinition) -> String {
    format!("{}.yaml", crd.spec.names.kind.to_lowercase())
}

fn root_schema<Spec: JsonSchema>(description: &str, status: Option<Value>) -> JSONSchemaProps {
    let mut root = json!({
        "description": description,
        "type": "object",
        "properties": {
            "apiVersion": {"type": "string", "description": "Group and version of the object."},
            "kind": {"type": "string", "description": "Kind of the object."},
            "metadata": {"type": "object"},
            "spec": structural::<Spec>(),
        },
    });
    if let Some(status) = status {
        root["properties"]["status"] = status;
    }
    serde_json::from_value(root).expect("our own schema is one that the API server knows")
}

/// Adds what the derive leaves out.
fn complete(mut crd: CustomResourceDefinition, schema: JSONSchemaProps) -> CustomResourceDefinition {
    crd.spec.names.list_kind = Some(format!("{}List", crd.spec.names.kind));
    for version in &mut crd.spec.versions {
        version.schema = Some(CustomResourceValidation { open_api_v3_schema: Some(schema.clone()) });
        version.subresources = Some(CustomResourceSubresources {
            status: Some(CustomResourceSubresourceStatus(json!({}))),
            ..CustomResourceSubresources::default()
        });
    }
    crd
}

/// A JSON value whose keys come in an order that people expect: what it is, then the rest by the alphabet.
struct Ordered<'a>(&'a Value);

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(fields) => {
                let mut fields: Vec<_> = fields.iter().collect();
                fields.sort_by_key(|(key, _)| (rank(key), *key));
                let mut map = to.serialize_map(Some(fields.len()))?;
                for (key, value) in fields {
                    map.serialize_entry(key, &Ordered(value))?;
                }
                map.end()
            }
            Value::Array(items) => {
                let mut list = to.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(&Ordered(item))?;
                }
                list.end()
            }
            // Bounds are floats in the types; `minimum: 1` reads better than `1.0`.
            #[allow(clippy::cast_possible_truncation)]
            Value::Number(number) => match number.as_f64() {
                Some(float) if float.fract() == 0.0 && float.abs() < 1e15 => to.serialize_i64(float as i64),
                _ => number.serialize(to),
            },
            other => other.serialize(to),
        }
    }
}

fn rank(key: &str) -> usize {
    FIRST.iter().position(|first| *first == key).unwrap_or(FIRST.len())
}

/// Keys that come before all others.
const FIRST: [&str; 7] = ["apiVersion", "kind", "metadata", "name", "description", "type", "required"];

#[cfg(test)]
mod tests;
