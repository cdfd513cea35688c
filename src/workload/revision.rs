//! The change fence (DESIGN §4): the identity of a pod template, and whether a primary runs what a target asks.
//!
//! Both work on the *meaning* of a template. The API server writes the same template in more than one way: with
//! or without its defaults, `1` or `1000m`, an empty list or none; and a newer server may know more defaults.
//! [`normal`] brings all of them to one form, so that none of this ever looks like a new revision.

use chrono::DateTime;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::config;
use super::primary::{items, own_selectors};
use crate::model::workload::REVISION_PREFIX;

mod normal;

/// Identity of a pod template. Two templates that mean the same have the same one; an annotation is part of it,
/// so `kubectl rollout restart` makes a new revision.
pub fn revision(template: &Value) -> String {
    of(&normal::template(template))
}

/// Identity of a value that is normalised already.
pub(super) fn of(value: &Value) -> String {
    let mut text = String::new();
    write_canonical(value, &mut text);
    let digest = Sha256::digest(text.as_bytes());
    let hex: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{REVISION_PREFIX}{hex}")
}

/// A generation computed from `text`, for targets that have none of their own, or one that counts other things.
pub(super) fn generation(text: &str) -> i64 {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(6).fold(0, |number, byte| number << 8 | i64::from(*byte))
}

/// The hash that Flagger records of a text (spec 02 §3.2): where it can be computed, it is compared like our own.
pub(super) fn flaggers_text_hash(text: &str) -> String {
    let dump = format!("(string){text}");
    let hash =
        dump.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let digits = b"456789bcdf";
    hash.to_string().bytes().map(|digit| char::from(digits[usize::from(digit - b'0')])).collect()
}

/// Whether the primary's template means the same as `wanted`, which is the target's after rewriting. Differences
/// that no release makes do not count: the primary's own marks, a restart of the primary alone, copies of ConfigMaps and
/// Secrets in place of what `wanted` names (`is_copy` knows the names of a name's copies), and the finer rewriting
/// of affinity that Flagger leaves out.
pub fn matches_primary(wanted: &Value, primary: &Value, is_copy: impl Fn(&str, &str) -> bool) -> bool {
    let (mut wanted, mut primary) = (normal::template(wanted), normal::template(primary));
    forgive_restart(&mut wanted, &mut primary);
    let named = config::places(&wanted);
    config::rename(&mut primary, |index, place| {
        let source = named.get(index).filter(|source| source.kind == place.kind)?;
        is_copy(&source.name, &place.name).then(|| source.name.clone())
    });
    for template in [&mut wanted, &mut primary] {
        forgive_affinity(template);
    }
    wanted == primary
}

/// Removes the mark of a restart (`kubectl rollout restart`) that only concerns the primary: one that is later than
/// the target's. A target that was restarted after the primary is a change.
fn forgive_restart(wanted: &mut Value, primary: &mut Value) {
    let at = |template: &Value| {
        template["metadata"]["annotations"][RESTARTED_AT]
            .as_str()
            .map(|text| DateTime::parse_from_rfc3339(text).ok())
    };
    let own = match (at(wanted), at(primary)) {
        (None, Some(_)) => true,
        (Some(Some(target)), Some(Some(primary))) => primary > target,
        _ => false,
    };
    if own {
        for template in [wanted, primary] {
            normal::remove_annotation(template, RESTARTED_AT);
        }
    }
}

/// Drops `-primary` from values in affinity selectors.
fn forgive_affinity(template: &mut Value) {
    for selector in own_selectors(template) {
        for label in selector.get_mut("matchLabels").and_then(Value::as_object_mut).into_iter().flatten() {
            strip(label.1);
        }
        for expression in items(selector, "/matchExpressions") {
            items(expression, "/values").for_each(strip);
        }
    }
}

fn strip(value: &mut Value) {
    if let Some(stem) = value.as_str().and_then(|text| text.strip_suffix("-primary")) {
        *value = Value::from(stem);
    }
}

/// JSON with sorted keys, whether or not `serde_json` is built to keep the order of insertion.
fn write_canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut keys: Vec<_> = fields.keys().collect();
            keys.sort();
            text.push('{');
            for key in keys {
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                write_canonical(&fields[key], text);
                text.push(',');
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for item in items {
                write_canonical(item, text);
                text.push(',');
            }
            text.push(']');
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}

/// Annotation that `kubectl rollout restart` writes.
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

#[cfg(test)]
mod tests;
