//! Actions that forward to target groups, in the words of the AWS Load Balancer Controller.

use serde_json::{Value, json};

use crate::model::release::Release;
use crate::model::traffic::Split;
use crate::router::weights;

/// An action that divides the requests so. Nobody is kept on the side that they met first: that would hold some on the
/// canary after a rollback.
pub(super) fn to_both(release: &Release, split: Split) -> String {
    action(vec![
        group(release, &release.primary_service(), split.primary()),
        group(release, &release.canary_service(), split.canary()),
    ])
}

/// An action that forwards to the apex Service alone.
pub(super) fn to_the_apex(release: &Release) -> String {
    action(vec![group(release, &release.apex, 100)])
}

fn group(release: &Release, service: &str, weight: u32) -> Value {
    json!({"serviceName": service, "servicePort": release.service.port, "weight": weight})
}

fn action(groups: Vec<Value>) -> String {
    let config = json!({"targetGroups": groups, "targetGroupStickinessConfig": {"enabled": false}});
    json!({"type": "forward", "forwardConfig": config}).to_string()
}

/// The canary's share of what an action gives to the release, in percent; `None` if it leads to neither side.
///
/// # Errors
/// If the action cannot be read. The text goes behind the name of the annotation.
pub(super) fn canary_share(release: &Release, text: &str) -> Result<Option<u32>, String> {
    let groups = groups(text)?;
    let sum = |names: &[String]| -> i128 {
        let those = groups.iter().filter(|group| names.contains(&group.service));
        those.map(|group| i128::from(group.weight)).sum()
    };
    let primary = sum(&[release.apex.clone(), release.primary_service()]);
    let canary = sum(&[release.canary_service()]);
    Ok(weights::split(primary, canary).map(Split::canary))
}

/// Whether an action has a place for the canary, so that it is ours.
pub(super) fn has_canary(release: &Release, text: &str) -> bool {
    let canary = release.canary_service();
    groups(text).is_ok_and(|groups| groups.iter().any(|group| group.service == canary))
}

/// Whether an action that its user wrote may be replaced by ours: it forwards to the apex Service or the primary, and to
/// nothing else.
///
/// # Errors
/// If it does not. The text goes behind the name of the annotation.
pub(super) fn leads_here(release: &Release, text: &str) -> Result<(), String> {
    let sides = [release.apex.clone(), release.primary_service()];
    let groups = groups(text)?;
    match groups.iter().find(|group| !sides.contains(&group.service)) {
        None if !groups.is_empty() => Ok(()),
        other => {
            let to = other.map_or("nothing", |group| group.service.as_str());
            Err(format!(
                "forwards to {to}, which is no part of the release: let it forward to Service {} alone, or remove it",
                release.apex
            ))
        }
    }
}

/// A target group of an action.
struct Group {
    /// The Service, or what else it is said to be.
    service: String,
    weight: u64,
}

fn groups(text: &str) -> Result<Vec<Group>, String> {
    let action: Value =
        serde_json::from_str(text).map_err(|why| format!("is no JSON, correct or remove it: {why}"))?;
    if field(&action, "type").as_str().is_none_or(|kind| !kind.eq_ignore_ascii_case("forward")) {
        return Err("is no action that forwards: write type forward, or remove it".to_owned());
    }
    let config = field(&action, "forwardConfig");
    let listed = field(config, "targetGroups").as_array().cloned().unwrap_or_default();
    let single = (!field(&action, "targetGroupARN").is_null()).then(|| action.clone());
    let group = |group: &Value| {
        let name = field(group, "serviceName").as_str().or(field(group, "targetGroupARN").as_str());
        // The load balancer's own default.
        let weight = field(group, "weight").as_u64().unwrap_or(1);
        Group { service: name.unwrap_or("?").to_owned(), weight }
    };
    Ok(listed.iter().chain(&single).map(group).collect())
}

/// A field, however its letters are written: the controller's reader does not tell them apart.
fn field<'a>(value: &'a Value, name: &str) -> &'a Value {
    let fields = value.as_object().into_iter().flatten();
    fields
        .into_iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map_or(&Value::Null, |(_, value)| value)
}
