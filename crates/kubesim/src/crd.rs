//! Custom kinds: what a CustomResourceDefinition says about its objects, and what becomes of them on a write.
//!
//! A write goes: [`CrdVersion::prune`] (unknown fields go) → [`CrdVersion::default`] (missing fields come) →
//! [`CrdVersion::validate`] (schema, then CEL rules).

mod formats;
#[cfg(feature = "cel")]
mod rules;
#[cfg(not(feature = "cel"))]
#[path = "crd/rules_absent.rs"]
mod rules;
mod schema;
pub mod shape;
mod validate;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::error::FieldError;
use super::kinds::{ALL_VERBS, ResourceKind};
use super::merge_schema::MergeSchema;
use schema::Schema;

/// One version of a custom kind.
#[derive(Clone)]
pub struct CrdVersion {
    pub kind: ResourceKind,
    pub served: bool,
    pub storage: bool,
    /// What to tell clients that use this version; none if it is not deprecated.
    pub deprecation: Option<String>,
    /// `openAPIV3Schema` as given.
    pub schema: Value,
    pub printer_columns: Vec<PrinterColumn>,
    /// Where the replicas are, if there is a scale subresource.
    pub scale: Option<ScalePaths>,
    tree: Arc<Schema>,
}

/// One column of `kubectl get`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrinterColumn {
    pub name: String,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub type_: String,
    pub format: String,
    pub description: String,
    /// Columns above 0 show only with `-o wide`.
    pub priority: i32,
    /// e.g. `.status.phase`.
    pub json_path: String,
}

/// The paths that `scale` reads and writes, e.g. `.spec.replicas`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScalePaths {
    pub spec_replicas_path: String,
    pub status_replicas_path: String,
    pub label_selector_path: Option<String>,
}

/// Reads all versions of a CustomResourceDefinition.
///
/// # Errors
/// What a real API server would refuse it for: names or group missing, not exactly one stored version, a version
/// without schema, or a schema that is none. The text names the field. Rules are
/// compiled when they are first needed: one that does not compile shows in the first object that meets it.
pub fn parse_crd(definition: &Value) -> Result<Vec<CrdVersion>, String> {
    let spec = &definition["spec"];
    let group = required(spec, "spec", "group")?;
    let names = Names::read(&spec["names"])?;
    let namespaced = match spec["scope"].as_str() {
        Some("Namespaced") => true,
        Some("Cluster") => false,
        other => {
            return Err(format!(
                "spec.scope: Unsupported value: {:?}: supported values: \"Cluster\", \"Namespaced\"",
                other.unwrap_or_default()
            ));
        }
    };
    let versions = spec["versions"].as_array().filter(|v| !v.is_empty());
    let versions = versions.ok_or("spec.versions: Required value: must have at least one version")?;
    let stored = versions.iter().filter(|v| v["storage"] == true).count();
    if stored != 1 {
        return Err(format!(
            "spec.versions: Invalid value: {stored}: must have exactly one version marked as storage version"
        ));
    }
    let mut seen = BTreeSet::new();
    let mut out = Vec::new();
    for (i, version) in versions.iter().enumerate() {
        let path = format!("spec.versions[{i}]");
        let name = required(version, &path, "name")?;
        if !seen.insert(name.clone()) {
            return Err(format!("{path}.name: Duplicate value: {name:?}"));
        }
        let kind = names.kind(&group, &name, namespaced, &version["subresources"]);
        out.push(CrdVersion::read(version, kind, &path)?);
    }
    Ok(out)
}

impl CrdVersion {
    fn read(version: &Value, kind: ResourceKind, path: &str) -> Result<Self, String> {
        let schema = &version["schema"]["openAPIV3Schema"];
        let at = format!("{path}.schema.openAPIV3Schema");
        if !schema.is_object() {
            return Err(format!("{at}: Required value: schemas are required"));
        }
        let tree = Schema::read(schema, &at)?;
        let deprecated = version["deprecated"] == true;
        let warning = || {
            let api_version = kind.api_version();
            format!("{api_version} {} is deprecated", kind.kind)
        };
        let deprecation =
            deprecated.then(|| version["deprecationWarning"].as_str().map_or_else(warning, String::from));
        Ok(Self {
            deprecation,
            served: version["served"] == true,
            storage: version["storage"] == true,
            schema: schema.clone(),
            printer_columns: columns(&version["additionalPrinterColumns"], path)?,
            scale: ScalePaths::read(&version["subresources"]["scale"], path)?,
            tree: Arc::new(tree),
            kind,
        })
    }

    /// Removes the fields that the schema does not know, and says which: `spec.foo`, `spec.list[0].bar`.
    pub fn prune(&self, object: &mut Value) -> Vec<String> {
        shape::prune_root(&self.tree, object)
    }

    /// Fills in the schema's defaults. A null where none is allowed counts as missing.
    pub fn default(&self, object: &mut Value) {
        shape::default(&self.tree, object);
    }

    /// What is wrong with an object that is about to take the place of `old` (none for a new one).
    ///
    /// Values that are as they were are not looked at again, so that a schema may become stricter.
    pub fn validate(&self, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let mut errors = validate::errors(&self.tree, new, old);
        if self.tree.has_rules {
            if errors.iter().any(is_blocking) {
                errors.push(FieldError::invalid("<nil>", &Value::Null, RULES_NOT_CHECKED));
            } else {
                errors.extend(rules::errors(&self.tree, new, old));
            }
        }
        errors
    }

    /// How objects of this version merge under server-side apply.
    pub fn merge_schema(&self) -> MergeSchema {
        MergeSchema::from_crd_schema(&self.schema).with_status_subresource(self.kind.has_status)
    }
}

const RULES_NOT_CHECKED: &str = "some validation rules were not checked because the object was invalid; \
                                 correct the existing errors to complete validation";

/// Whether rules could not be trusted on an object that has this error.
fn is_blocking(error: &FieldError) -> bool {
    matches!(
        error.reason,
        "FieldValueRequired" | "FieldValueTooLong" | "FieldValueTooMany" | "FieldValueTypeInvalid"
    )
}

impl fmt::Debug for CrdVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CrdVersion")
            .field("kind", &self.kind)
            .field("served", &self.served)
            .field("storage", &self.storage)
            .finish_non_exhaustive()
    }
}

struct Names {
    kind: String,
    list_kind: String,
    plural: String,
    singular: String,
    short_names: Vec<String>,
    categories: Vec<String>,
}

impl Names {
    fn read(names: &Value) -> Result<Self, String> {
        let kind = required(names, "spec.names", "kind")?;
        let text = |field: &str| names[field].as_str().filter(|t| !t.is_empty()).map(String::from);
        let list = |field: &str| {
            names[field]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(String::from)
                .collect()
        };
        Ok(Self {
            plural: required(names, "spec.names", "plural")?,
            list_kind: text("listKind").unwrap_or_else(|| format!("{kind}List")),
            singular: text("singular").unwrap_or_else(|| kind.to_lowercase()),
            short_names: list("shortNames"),
            categories: list("categories"),
            kind,
        })
    }

    fn kind(&self, group: &str, version: &str, namespaced: bool, subresources: &Value) -> ResourceKind {
        ResourceKind {
            group: group.into(),
            version: version.into(),
            kind: self.kind.clone(),
            list_kind: self.list_kind.clone(),
            plural: self.plural.clone(),
            singular: self.singular.clone(),
            short_names: self.short_names.clone(),
            categories: self.categories.clone(),
            namespaced,
            has_status: subresources["status"].is_object(),
            has_scale: subresources["scale"].is_object(),
            verbs: ALL_VERBS.to_vec(),
        }
    }
}

impl ScalePaths {
    fn read(scale: &Value, path: &str) -> Result<Option<Self>, String> {
        if !scale.is_object() {
            return Ok(None);
        }
        let path = format!("{path}.subresources.scale");
        Ok(Some(Self {
            spec_replicas_path: required(scale, &path, "specReplicasPath")?,
            status_replicas_path: required(scale, &path, "statusReplicasPath")?,
            label_selector_path: scale["labelSelectorPath"].as_str().map(String::from),
        }))
    }
}

fn columns(columns: &Value, path: &str) -> Result<Vec<PrinterColumn>, String> {
    let read = |(i, column): (usize, &Value)| {
        let path = format!("{path}.additionalPrinterColumns[{i}]");
        let text = |field: &str| column[field].as_str().unwrap_or_default().to_string();
        Ok(PrinterColumn {
            name: required(column, &path, "name")?,
            type_: required(column, &path, "type")?,
            json_path: required(column, &path, "jsonPath")?,
            format: text("format"),
            description: text("description"),
            priority: column["priority"].as_i64().and_then(|p| i32::try_from(p).ok()).unwrap_or(0),
        })
    };
    columns.as_array().into_iter().flatten().enumerate().map(read).collect()
}

fn required(object: &Value, path: &str, field: &str) -> Result<String, String> {
    let text = object[field].as_str().filter(|text| !text.is_empty());
    text.map(String::from).ok_or_else(|| format!("{path}.{field}: Required value"))
}

#[cfg(test)]
mod tests;
