//! The label selectors inside a pod template.

use serde_json::Value;

/// The label selectors by which pods of one workload keep away from each other: pod anti-affinity and topology
/// spread. Affinity to other pods is not among them.
pub(super) fn own_selectors(template: &mut Value) -> Vec<&mut Value> {
    let mut selectors = Vec::new();
    let Some(spec) = template.get_mut("spec").and_then(Value::as_object_mut) else {
        return selectors;
    };
    for (key, value) in spec {
        match key.as_str() {
            "topologySpreadConstraints" => {
                selectors
                    .extend(items(value, "").filter_map(|constraint| constraint.get_mut("labelSelector")));
            }
            "affinity" => {
                let Some(rules) = value.get_mut("podAntiAffinity").and_then(Value::as_object_mut) else {
                    continue;
                };
                for (name, rule) in rules {
                    let place = match name.as_str() {
                        "preferredDuringSchedulingIgnoredDuringExecution" => "/podAffinityTerm/labelSelector",
                        "requiredDuringSchedulingIgnoredDuringExecution" => "/labelSelector",
                        _ => continue,
                    };
                    selectors.extend(items(rule, "").filter_map(|term| term.pointer_mut(place)));
                }
            }
            _ => {}
        }
    }
    selectors
}

/// The items of the list at a place, none if there is no list.
pub(super) fn items<'a>(value: &'a mut Value, place: &str) -> impl Iterator<Item = &'a mut Value> + use<'a> {
    value.pointer_mut(place).and_then(Value::as_array_mut).into_iter().flatten()
}
