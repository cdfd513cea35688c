//! What happens around a CustomResourceDefinition: its status, and the end of its objects.

use serde_json::{Value, json};

use super::cluster::Cluster;
use super::crd;
use super::error::{ApiStatus, FieldError};

impl Cluster {
    /// Checks a definition and says in its status that its kinds are served.
    pub(super) fn accept_definition(&mut self, name: &str, object: &mut Value) -> Result<(), ApiStatus> {
        let refuse = |errors: &[FieldError]| {
            let kind = super::kinds::find("apiextensions.k8s.io", "CustomResourceDefinition");
            kind.map_or_else(
                || ApiStatus::internal("no kind of definitions"),
                |kind| ApiStatus::invalid(&kind, name, errors),
            )
        };
        let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let expected = format!("{}.{}", text("/spec/names/plural"), text("/spec/group"));
        if name != expected {
            let error = FieldError::invalid(
                "metadata.name",
                &json!(name),
                &format!("must be spec.names.plural+\".\"+spec.group (here {expected:?})"),
            );
            return Err(refuse(&[error]));
        }
        if let Err(why) = crd::parse_crd(object) {
            let (path, message) = why.split_once(": ").unwrap_or(("spec", &why));
            let error =
                FieldError { path: path.into(), reason: "FieldValueInvalid", message: message.into() };
            return Err(refuse(&[error]));
        }
        let kind = text("/spec/names/kind");
        let names = &mut object["spec"]["names"];
        for (field, value) in [("listKind", format!("{kind}List")), ("singular", kind.to_lowercase())] {
            if names[field].as_str().is_none_or(str::is_empty) {
                names[field] = json!(value);
            }
        }
        if object["spec"]["conversion"].is_null() {
            object["spec"]["conversion"] = json!({"strategy": "None"});
        }
        self.establish(object);
        Ok(())
    }

    fn establish(&self, object: &mut Value) {
        let versions = object["spec"]["versions"].as_array();
        let stored: Vec<Value> = versions
            .into_iter()
            .flatten()
            .filter(|v| v["storage"] == true)
            .map(|v| v["name"].clone())
            .collect();
        let names = object["spec"]["names"].clone();
        let now = self.clock.stamp();
        let condition = |kind: &str, reason: &str, message: &str| json!({"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": now});
        let status = &mut object["status"];
        status["acceptedNames"] = names;
        status["storedVersions"] = json!(stored);
        if status["conditions"].as_array().is_none_or(Vec::is_empty) {
            status["conditions"] = json!([
                condition("NamesAccepted", "NoConflicts", "no conflicts found"),
                condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
            ]);
        }
    }

    /// Removes all objects of a definition that is gone, and stops serving its kinds.
    pub(super) fn drop_definition(&mut self, definition: &Value) {
        let text = |path: &str| definition.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let (group, plural) = (text("/spec/group"), text("/spec/names/plural"));
        if let Some(bucket) = self.registry.bucket(group, plural) {
            let keys: Vec<_> = self.store.list(bucket, None, None).map(|(key, _)| key.clone()).collect();
            for key in keys {
                self.store.remove(bucket, &key);
            }
        }
        self.registry.unregister(group, plural);
    }
}
