//! Marks on what others may have written into our objects, and which of them a write has lost.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use vexil::model::traffic::RouteWish;
use vexil::router::{Items, Lists};

use super::case::{Case, applied, title};

/// Puts a field that is nobody's into each item of the list at `path`.
pub fn mark(value: &mut Value, path: &[&str]) {
    let Some((first, rest)) = path.split_first() else {
        for item in value.as_array_mut().into_iter().flatten().filter(|item| item.is_object()) {
            item["x-foreign"] = json!(1);
        }
        return;
    };
    match first.strip_suffix("[]") {
        Some(list) => {
            for item in value[list].as_array_mut().into_iter().flatten() {
                mark(item, rest);
            }
        }
        None if value.get(first).is_some() => mark(&mut value[*first], rest),
        None => {}
    }
}

/// The marks that were there `before` and are not there `after`, but for those of items that the wish has no use for: a
/// side without a share may not be in the list at all.
pub fn lost(case: &Case, wish: &RouteWish, before: &[Value], after: &[Value]) -> Result<Vec<String>, String> {
    let wanted = case.looking(before, |view| case.mesh.router.desired(view, wish));
    let anew = applied(&case.before, &case.plan(wish, &case.before).map_err(|error| error.to_string())?);
    let mut gone = Vec::new();
    for wanted in wanted.map_err(|error| error.to_string())? {
        let named = |objects: &[Value]| {
            objects.iter().find(|object| title(object) == wanted.id.to_string()).cloned().unwrap_or_default()
        };
        let items = |object: &Value| {
            let mut found = BTreeMap::new();
            marks(object, "", "", wanted.lists, &mut found);
            found
        };
        let (before, after, anew) = (named(before), named(after), items(&named(&anew)));
        if !before["spec"]["x-foreign"].is_null() && after["spec"]["x-foreign"].is_null() {
            gone.push("spec".to_owned());
        }
        let (before, after) = (items(&before), items(&after));
        let were = before.iter().filter(|(item, marked)| **marked && anew.contains_key(*item));
        gone.extend(were.filter(|(item, _)| after.get(*item) != Some(&true)).map(|(item, _)| item.clone()));
    }
    Ok(gone)
}

/// The items of the lists that are shared with others, by what tells them apart, and whether each has the mark.
fn marks(value: &Value, path: &str, name: &str, lists: Lists, found: &mut BTreeMap<String, bool>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                marks(value, &path, &format!("{name}.{key}"), lists, found);
            }
        }
        Value::Array(items) => {
            let how = lists.iter().find(|(list, _)| *list == path).map(|(_, items)| *items);
            for (index, item) in items.iter().enumerate() {
                let name = match how {
                    Some(Items::Keyed(key) | Items::Matched(key)) => {
                        let name = format!("{name}[{}]", item[key]);
                        found.insert(name.clone(), !item["x-foreign"].is_null());
                        name
                    }
                    Some(Items::Whole | Items::Verbatim | Items::MatchedAt(_)) | None => {
                        format!("{name}[{index}]")
                    }
                };
                marks(item, &format!("{path}[]"), &name, lists, found);
            }
        }
        _ => {}
    }
}
