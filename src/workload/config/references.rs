//! Where a pod template names ConfigMaps and Secrets (spec 02 §4.1). `imagePullSecrets`, service accounts and the
//! secrets of other volume types are not followed.

use serde_json::Value;

use crate::model::object::Kind;

/// A place in a template that names a ConfigMap or a Secret.
pub(in crate::workload) struct Place {
    pub kind: Kind,
    pub name: String,
    /// Whether pods start without the object.
    pub optional: bool,
    /// JSON pointer to the name.
    pub pointer: String,
}

/// All such places, in the order in which they are scanned: volumes, containers, init containers.
pub(in crate::workload) fn places(template: &Value) -> Vec<Place> {
    let mut found = Vec::new();
    let mut look = |item: &str, sources: &[Source]| {
        for (source, field, kind) in sources {
            let Some(reference) = template.pointer(&format!("{item}{source}")) else { continue };
            let Some(name) = reference[*field].as_str().filter(|name| !name.is_empty()) else { continue };
            found.push(Place {
                kind: *kind,
                name: name.to_owned(),
                optional: reference["optional"] == true,
                pointer: format!("{item}{source}/{field}"),
            });
        }
    };
    for volume in items(template, "/spec/volumes") {
        look(&volume, VOLUME);
        for source in items(template, &format!("{volume}/projected/sources")) {
            look(&source, PROJECTED);
        }
    }
    for list in ["/spec/containers", "/spec/initContainers"] {
        for container in items(template, list) {
            for variable in items(template, &format!("{container}/env")) {
                look(&variable, VARIABLE);
            }
            for source in items(template, &format!("{container}/envFrom")) {
                look(&source, VARIABLES);
            }
        }
    }
    found
}

/// Changes the name at every place of `template` to the one that `rename` returns; where it returns none the name
/// stays.
pub(in crate::workload) fn rename(template: &mut Value, rename: impl Fn(usize, &Place) -> Option<String>) {
    for (index, place) in places(template).iter().enumerate() {
        if let (Some(name), Some(at)) = (rename(index, place), template.pointer_mut(&place.pointer)) {
            *at = Value::from(name);
        }
    }
}

/// Pointers to the items of a list.
fn items(template: &Value, list: &str) -> impl Iterator<Item = String> + use<> {
    let length = template.pointer(list).and_then(Value::as_array).map_or(0, Vec::len);
    let list = list.to_owned();
    (0..length).map(move |index| format!("{list}/{index}"))
}

/// A kind of reference: its path in the item, the field that holds the name, and the kind of the object named.
type Source = (&'static str, &'static str, Kind);

const VOLUME: &[Source] =
    &[("/configMap", "name", Kind::CONFIG_MAP), ("/secret", "secretName", Kind::SECRET)];
const PROJECTED: &[Source] = &[("/configMap", "name", Kind::CONFIG_MAP), ("/secret", "name", Kind::SECRET)];
const VARIABLE: &[Source] = &[
    ("/valueFrom/configMapKeyRef", "name", Kind::CONFIG_MAP),
    ("/valueFrom/secretKeyRef", "name", Kind::SECRET),
];
const VARIABLES: &[Source] =
    &[("/configMapRef", "name", Kind::CONFIG_MAP), ("/secretRef", "name", Kind::SECRET)];
