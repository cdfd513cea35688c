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
    let spec = &template["spec"];
    for (at, volume) in items(&spec["volumes"]) {
        let path = || format!("/spec/volumes/{at}");
        look(&mut found, volume, VOLUME, &path);
        for (source_at, source) in items(&volume["projected"]["sources"]) {
            look(&mut found, source, PROJECTED, &|| format!("{}/projected/sources/{source_at}", path()));
        }
    }
    for list in ["containers", "initContainers"] {
        for (at, container) in items(&spec[list]) {
            let path = || format!("/spec/{list}/{at}");
            for (variable_at, variable) in items(&container["env"]) {
                look(&mut found, variable, VARIABLE, &|| format!("{}/env/{variable_at}", path()));
            }
            for (source_at, source) in items(&container["envFrom"]) {
                look(&mut found, source, VARIABLES, &|| format!("{}/envFrom/{source_at}", path()));
            }
        }
    }
    found
}

/// Takes in what `item` names. Its path is only made where it names something: templates have many items that do not, and
/// each look goes through all of them.
fn look(found: &mut Vec<Place>, item: &Value, sources: &[Source], path: &dyn Fn() -> String) {
    for (source, field, kind) in sources {
        let Some(reference) = source.iter().try_fold(item, |value, step| value.get(step)) else { continue };
        let Some(name) = reference[*field].as_str().filter(|name| !name.is_empty()) else { continue };
        found.push(Place {
            kind: *kind,
            name: name.to_owned(),
            optional: reference["optional"] == true,
            pointer: format!("{}/{}/{field}", path(), source.join("/")),
        });
    }
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

/// The items of a list with their places.
fn items(list: &Value) -> impl Iterator<Item = (usize, &Value)> {
    list.as_array().into_iter().flatten().enumerate()
}

/// A kind of reference: its path in the item, the field that holds the name, and the kind of the object named.
type Source = (&'static [&'static str], &'static str, Kind);

const VOLUME: &[Source] =
    &[(&["configMap"], "name", Kind::CONFIG_MAP), (&["secret"], "secretName", Kind::SECRET)];
const PROJECTED: &[Source] =
    &[(&["configMap"], "name", Kind::CONFIG_MAP), (&["secret"], "name", Kind::SECRET)];
const VARIABLE: &[Source] = &[
    (&["valueFrom", "configMapKeyRef"], "name", Kind::CONFIG_MAP),
    (&["valueFrom", "secretKeyRef"], "name", Kind::SECRET),
];
const VARIABLES: &[Source] =
    &[(&["configMapRef"], "name", Kind::CONFIG_MAP), (&["secretRef"], "name", Kind::SECRET)];
