//! Strategic merge patches: directives, and lists that merge by key.

use serde_json::{Map, Value};

use super::super::merge_schema::{MergeSchema, Node, PatchStrategy};
use super::PatchError;

type Fields = Map<String, Value>;

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const ELEMENT_ORDER: &str = "$setElementOrder/";
const DELETE_VALUES: &str = "$deleteFromPrimitiveList/";

pub(super) fn merge(live: &Value, patch: &Value, group: &str, kind: &str) -> Result<Value, PatchError> {
    let (Some(live), Some(patch)) = (live.as_object(), patch.as_object()) else {
        return Err(PatchError::Malformed("a strategic merge patch is an object".into()));
    };
    let schema = MergeSchema::for_builtin(group, kind);
    merge_object(live.clone(), patch, schema.root()).map(Value::Object)
}

fn merge_object(mut live: Fields, patch: &Fields, node: &Node) -> Result<Fields, PatchError> {
    match directive(patch)? {
        Some(Directive::Replace) => {
            let mut fields = patch.clone();
            fields.remove(PATCH);
            return Ok(fields);
        }
        Some(Directive::Delete) => return Ok(Fields::new()),
        Some(Directive::Merge) | None => {}
    }
    retain_keys(&mut live, patch)?;
    for (key, value) in patch {
        if let Some(field) = key.strip_prefix(DELETE_VALUES) {
            delete_values(&mut live, field, value)?;
        }
    }
    for (key, value) in patch.iter().filter(|(key, _)| !key.starts_with('$')) {
        let node = node.field(key);
        let order = patch.get(&format!("{ELEMENT_ORDER}{key}"));
        match (live.remove(key), value) {
            (_, Value::Null) => {}
            (Some(Value::Object(old)), Value::Object(new)) => {
                live.insert(key.clone(), Value::Object(merge_object(old, new, node)?));
            }
            (Some(Value::Array(old)), Value::Array(new)) => {
                live.insert(key.clone(), Value::Array(merge_list(old, new, order, node)?));
            }
            (_, new) => {
                live.insert(key.clone(), without_directives(new));
            }
        }
    }
    order_untouched_lists(&mut live, patch, node)?;
    Ok(live)
}

enum Directive {
    Replace,
    Delete,
    Merge,
}

fn directive(patch: &Fields) -> Result<Option<Directive>, PatchError> {
    match patch.get(PATCH) {
        None => Ok(None),
        Some(Value::String(word)) if word == "replace" => Ok(Some(Directive::Replace)),
        Some(Value::String(word)) if word == "delete" => Ok(Some(Directive::Delete)),
        Some(Value::String(word)) if word == "merge" => Ok(Some(Directive::Merge)),
        Some(other) => Err(malformed(format!("unknown patch type found: {other}"))),
    }
}

/// `$retainKeys` names all fields that the object shall have afterwards.
fn retain_keys(live: &mut Fields, patch: &Fields) -> Result<(), PatchError> {
    let Some(keys) = patch.get(RETAIN_KEYS) else {
        return Ok(());
    };
    let keys = keys.as_array().ok_or_else(|| malformed(format!("{RETAIN_KEYS} is not a list")))?;
    let kept = |name: &str| keys.iter().any(|k| k == name);
    let stray = patch.iter().find(|(k, v)| !v.is_null() && !k.starts_with('$') && !kept(k));
    if let Some((name, _)) = stray {
        return Err(malformed(format!("field {name:?} is patched but not in {RETAIN_KEYS}")));
    }
    live.retain(|name, _| kept(name));
    Ok(())
}

fn delete_values(live: &mut Fields, field: &str, values: &Value) -> Result<(), PatchError> {
    let values =
        values.as_array().ok_or_else(|| malformed(format!("{DELETE_VALUES}{field} is not a list")))?;
    if let Some(Value::Array(list)) = live.get_mut(field) {
        list.retain(|value| !values.contains(value));
    }
    Ok(())
}

fn merge_list(
    live: Vec<Value>,
    patch: &[Value],
    order: Option<&Value>,
    node: &Node,
) -> Result<Vec<Value>, PatchError> {
    let key = match node.patch_strategy() {
        PatchStrategy::Replace => return Ok(patch.iter().map(without_directives).collect()),
        PatchStrategy::MergeValues => None,
        PatchStrategy::MergeBy(key) => Some(key.as_str()),
    };
    let before = live.clone();
    let merged = match key {
        None => merge_values(live, patch),
        Some(key) => match merge_items(live, patch, key, node.item())? {
            Items::Replaced(items) => return Ok(items),
            Items::Merged(items) => items,
        },
    };
    let order = order.and_then(Value::as_array).map_or(patch, Vec::as_slice);
    Ok(in_order(merged, order, &before, key))
}

fn merge_values(mut live: Vec<Value>, patch: &[Value]) -> Vec<Value> {
    for value in patch {
        if !live.contains(value) {
            live.push(value.clone());
        }
    }
    live
}

enum Items {
    Merged(Vec<Value>),
    Replaced(Vec<Value>),
}

fn merge_items(mut live: Vec<Value>, patch: &[Value], key: &str, node: &Node) -> Result<Items, PatchError> {
    let mut replace = false;
    let mut changes = Vec::new();
    for item in patch {
        let fields =
            item.as_object().ok_or_else(|| malformed(format!("list item {item} is not an object")))?;
        match directive(fields)? {
            Some(Directive::Delete) => {
                let name = key_of(item, key)?;
                live.retain(|old| old.get(key) != Some(name));
            }
            Some(Directive::Replace) => replace = true,
            Some(Directive::Merge) | None => changes.push((item, fields)),
        }
    }
    if replace {
        return Ok(Items::Replaced(changes.into_iter().map(|(item, _)| without_directives(item)).collect()));
    }
    for (item, fields) in changes {
        let name = key_of(item, key)?;
        let found = live.iter_mut().find(|old| old.get(key) == Some(name));
        match found {
            Some(slot) => {
                let old = slot.as_object().cloned().unwrap_or_default();
                *slot = Value::Object(merge_object(old, fields, node)?);
            }
            None => live.push(without_directives(item)),
        }
    }
    Ok(Items::Merged(live))
}

fn key_of<'a>(item: &'a Value, key: &str) -> Result<&'a Value, PatchError> {
    item.get(key).ok_or_else(|| malformed(format!("map: {item} does not contain declared merge key: {key}")))
}

/// An order may be given for a list that the patch otherwise leaves alone.
fn order_untouched_lists(live: &mut Fields, patch: &Fields, node: &Node) -> Result<(), PatchError> {
    for (directive, order) in patch {
        let Some(field) = directive.strip_prefix(ELEMENT_ORDER) else {
            continue;
        };
        let order = order.as_array().ok_or_else(|| malformed(format!("{directive} is not a list")))?;
        let key = match node.field(field).patch_strategy() {
            PatchStrategy::Replace => continue,
            PatchStrategy::MergeValues => None,
            PatchStrategy::MergeBy(key) => Some(key.as_str()),
        };
        if let Some(Value::Array(list)) = live.get_mut(field).filter(|_| !patch.contains_key(field)) {
            let before = list.clone();
            *list = in_order(std::mem::take(list), order, &before, key);
        }
    }
    Ok(())
}

/// Items named in `order` follow it; the others keep their place relative to those that stood behind them.
fn in_order(items: Vec<Value>, order: &[Value], before: &[Value], key: Option<&str>) -> Vec<Value> {
    let name = |item: &Value| key.map_or_else(|| item.clone(), |k| item.get(k).cloned().unwrap_or_default());
    let place = |list: &[Value], item: &Value| {
        let wanted = name(item);
        list.iter().position(|other| name(other) == wanted)
    };
    let (mut ordered, others): (Vec<_>, Vec<_>) =
        items.into_iter().partition(|item| place(order, item).is_some());
    ordered.sort_by_key(|item| place(order, item));
    let mut out = Vec::with_capacity(ordered.len() + others.len());
    let mut others = others.into_iter().peekable();
    for item in ordered {
        let here = place(before, &item);
        while let Some(other) =
            others.next_if(|other| here.is_some_and(|h| place(before, other).is_some_and(|o| o < h)))
        {
            out.push(other);
        }
        out.push(item);
    }
    out.extend(others);
    out
}

/// A value that is taken as a whole carries no directives and no nulls along.
fn without_directives(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(key, value)| {
                let is_directive = *key == PATCH
                    || *key == RETAIN_KEYS
                    || key.starts_with(ELEMENT_ORDER)
                    || key.starts_with(DELETE_VALUES);
                !is_directive && !value.is_null()
            });
            kept.map(|(key, value)| (key.clone(), without_directives(value))).collect()
        }
        Value::Array(items) => {
            let is_directive =
                |item: &&Value| item.get(PATCH).is_some_and(|word| word == "delete" || word == "replace");
            items.iter().filter(|item| !is_directive(item)).map(without_directives).collect()
        }
        other => other.clone(),
    }
}

fn malformed(why: String) -> PatchError {
    PatchError::Malformed(why)
}
