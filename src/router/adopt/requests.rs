//! Rules for a part of the requests, and copies of requests, in the words of each kind.

use serde_json::{Value, json};

use super::kinds::{Dialect, Names, Requests};
use crate::model::release::{Problem, Release};
use crate::router::live::same;
use crate::router::{gateway, istio, problem};

/// What `spec.analysis.match` asks for in this dialect.
///
/// # Errors
/// If the kind cannot compare that, with field and remedy.
pub(super) fn conditions(dialect: Dialect, release: &Release) -> Result<Vec<Value>, Problem> {
    match dialect {
        Dialect::Gateway(Requests::Http) => gateway::conditions(release),
        Dialect::Gateway(_) => {
            let entries = release.analysis.matches.iter().enumerate();
            for (index, entry) in entries {
                if entry.query_params.as_ref().is_some_and(|params| !params.is_empty()) {
                    let field = format!("spec.analysis.match[{index}].queryParams");
                    return Err(problem(field, "are not known to gRPC: match a header instead"));
                }
            }
            gateway::conditions(release)
        }
        _ => istio::conditions(release),
    }
}

/// The `matches` of a rule for those of its requests that meet one of the conditions.
pub(super) fn within(dialect: Dialect, rule: &Value, conditions: &[Value]) -> Value {
    let own = rule[dialect.matches()].as_array().map_or(&[][..], Vec::as_slice);
    let Dialect::Gateway(requests) = dialect else { return Value::Array(istio::within(own, conditions)) };
    let everything = [json!({})];
    let own = if own.is_empty() { &everything[..] } else { own };
    let both = |entry: &Value, condition: &Value| {
        let mut both = entry.clone();
        if requests == Requests::Http && both["path"].is_null() {
            // As the API fills it in.
            both["path"] = json!({"type": "PathPrefix", "value": "/"});
        }
        for (field, folds) in [("headers", true), ("queryParams", false)] {
            let wanted = condition[field].as_array().map_or(&[][..], Vec::as_slice);
            if wanted.is_empty() {
                continue;
            }
            let name = |one: &Value| {
                let name = one["name"].as_str().unwrap_or_default();
                if folds { name.to_lowercase() } else { name.to_owned() }
            };
            let mut all = both[field].as_array().cloned().unwrap_or_default();
            // Of two conditions on one header it is the narrower one's.
            all.retain(|present| !wanted.iter().any(|wanted| name(wanted) == name(present)));
            all.extend(wanted.iter().cloned());
            both[field] = json!(all);
        }
        both
    };
    conditions.iter().flat_map(|condition| own.iter().map(move |entry| both(entry, condition))).collect()
}

const MIRROR: &str = "RequestMirror";

/// Whether a rule copies requests to the canary.
pub(super) fn mirrors(dialect: Dialect, names: &Names, rule: &Value) -> bool {
    match dialect {
        Dialect::Gateway(_) => filters(rule).iter().any(|filter| is_mirror(dialect, names, filter)),
        Dialect::Istio => dialect.is_canary(names, &rule["mirror"]),
        Dialect::Contour | Dialect::Traefik => false,
    }
}

/// Takes the copies to the canary out of a rule. Gives what was there.
pub(super) fn without_mirror(dialect: Dialect, names: &Names, rule: &mut Value) -> Option<Value> {
    if !mirrors(dialect, names, rule) {
        return None;
    }
    if dialect == Dialect::Istio {
        let fields = rule.as_object_mut()?;
        fields.remove("mirrorPercentage");
        return fields.remove("mirror");
    }
    let mut kept = filters(rule).to_vec();
    let place = kept.iter().position(|filter| is_mirror(dialect, names, filter))?;
    let taken = kept.remove(place);
    if kept.is_empty() {
        rule.as_object_mut()?.remove("filters");
    } else {
        rule["filters"] = json!(kept);
    }
    Some(taken)
}

/// Has a rule copy its requests to the canary, whose backend is written like `model`. `before` is the copy that is there.
///
/// # Errors
/// If the rule has a mirror already, and may have one.
pub(super) fn with_mirror(
    dialect: Dialect,
    names: &Names,
    release: &Release,
    rule: &mut Value,
    model: &Value,
    before: Option<&Value>,
) -> Result<(), String> {
    let percent = release.analysis.mirror_weight.filter(|percent| (1..100).contains(percent));
    if dialect == Dialect::Istio {
        if !rule["mirror"].is_null() || !rule["mirrors"].is_null() {
            return Err(
                "it has a mirror of its own, and Istio takes one: remove that, or spec.analysis.mirror"
                    .to_owned(),
            );
        }
        rule["mirror"] = dialect.renamed(model, &names.canary)["destination"].clone();
        rule["mirrorPercentage"] = json!({"value": percent.unwrap_or(100)});
        return Ok(());
    }
    let mut backend = dialect.renamed(model, &names.canary);
    if let Some(fields) = backend.as_object_mut() {
        fields.retain(|field, _| ["group", "kind", "name", "namespace", "port"].contains(&field.as_str()));
    }
    let mut filter = json!({"type": MIRROR, "requestMirror": {"backendRef": backend}});
    // An API that does not know the share yet leaves the rest.
    let kept = before.is_some_and(|before| {
        let share = |field: &str| before["requestMirror"][field].is_null();
        share("percent") && share("fraction") && same(&before["requestMirror"]["backendRef"], &backend)
    });
    if let Some(percent) = percent.filter(|_| !kept) {
        filter["requestMirror"]["percent"] = json!(percent);
    }
    let mut all = filters(rule).to_vec();
    all.push(filter);
    rule["filters"] = json!(all);
    Ok(())
}

fn is_mirror(dialect: Dialect, names: &Names, filter: &Value) -> bool {
    filter["type"] == MIRROR && dialect.is_canary(names, &filter["requestMirror"]["backendRef"])
}

fn filters(rule: &Value) -> &[Value] {
    rule["filters"].as_array().map_or(&[][..], Vec::as_slice)
}
