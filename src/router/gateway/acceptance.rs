//! Whether the gateways work by the route (spec 03 §6.3): what they say of it in its status.

use serde_json::Value;

use super::live::list;
use super::parents;
use crate::model::object::ObjectId;
use crate::model::release::Release;
use crate::model::traffic::Acceptance;

/// What the parents that the release names say of the live route.
///
/// The controller of a Gateway has to say something, so its silence means that it has not got there yet, or that there
/// is no such Gateway. Behind other parents, a mesh's Services, there may be nobody who writes a status: they are taken
/// at their word. Where several controllers speak for one parent, one that works by the route is enough: another one
/// may have left its words behind.
pub(super) fn of(release: &Release, id: &ObjectId, live: &Value) -> Acceptance {
    // A manifest without parents is refused elsewhere.
    by(&parents::of(release).unwrap_or_default(), id, live)
}

/// What these parents say of the live route.
pub(super) fn by(parents: &[Value], id: &ObjectId, live: &Value) -> Acceptance {
    let generation = live["metadata"]["generation"].as_i64().unwrap_or_default();
    for parent in parents {
        let title = parents::title(parent, &id.namespace);
        let is_gateway = parents::is_gateway(parent);
        let entries = list(&live["status"]["parents"]).iter();
        let said = entries.filter(|entry| parents::same(&entry["parentRef"], parent, &id.namespace));
        let objections: Vec<Option<String>> =
            said.map(|entry| objection(entry, generation, is_gateway)).collect();
        if objections.contains(&None) {
            continue;
        }
        match objections.into_iter().flatten().next() {
            Some(why) => return Acceptance::Pending(format!("{id} at {title} {why}")),
            None if is_gateway => {
                return Acceptance::Pending(format!(
                    "{title} says nothing of {id} yet: is there such a Gateway, and a controller of its class?"
                ));
            }
            None => {}
        }
    }
    Acceptance::Accepted
}

/// What a controller has against the route; `None` if it works by it.
fn objection(entry: &Value, generation: i64, is_gateway: bool) -> Option<String> {
    let condition =
        |kind: &str| list(&entry["conditions"]).iter().find(|condition| condition["type"] == kind);
    // Not every controller says of which generation it speaks.
    let is_stale = |condition: &Value| {
        condition["observedGeneration"].as_i64().is_some_and(|seen| seen > 0 && seen < generation)
    };
    let Some(accepted) = condition("Accepted") else {
        return is_gateway.then(|| "is neither accepted nor refused yet".to_owned());
    };
    if is_stale(accepted) {
        return Some("has not been taken in since its last change".to_owned());
    }
    if accepted["status"] != "True" {
        return Some(format!("is not accepted: {}", words(accepted)));
    }
    let resolved = condition("ResolvedRefs").filter(|resolved| !is_stale(resolved));
    if let Some(resolved) = resolved.filter(|resolved| resolved["status"] == "False") {
        return Some(format!("refers to what cannot be used: {}", words(resolved)));
    }
    let partial = condition("PartiallyInvalid").filter(|partial| !is_stale(partial));
    partial
        .filter(|partial| partial["status"] == "True")
        .map(|partial| format!("is only used in part: {}", words(partial)))
}

/// Reason and message of a condition, of which a line is enough.
fn words(condition: &Value) -> String {
    let text = |field: &str| condition[field].as_str().map(str::trim).filter(|text| !text.is_empty());
    let all: Vec<&str> = [text("reason"), text("message")].into_iter().flatten().collect();
    match all.join(", ") {
        none if none.is_empty() => "no reason is given".to_owned(),
        words => words.chars().take(LONGEST).collect(),
    }
}

/// The longest reason that is passed on, in characters.
const LONGEST: usize = 300;
