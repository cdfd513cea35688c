//! Laying our fields over a live object, so that everything else stays as it is: what others own, and what the API
//! server fills in by itself, also within the items of lists.

use serde_json::{Map, Value};

use super::live::{is_nothing, same};
use super::path::Path;

/// How a list of ours is brought in line with the live one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Items<'a> {
    /// The list is ours as a whole, and so is every field of its items. So it is with every list that is not named.
    Whole,
    /// The value is a copy: ours as a whole and to the letter, since what is empty may say something there
    /// (`roundRobin: {}`).
    Verbatim,
    /// The items are ours by what stands in the field that tells which requests they are for; fields of theirs that
    /// we do not name stay. An item that we do not name goes, and one that is for other requests starts afresh.
    Matched(&'a str),
    /// The items are ours by the field that names them; fields of theirs that we do not name stay. An item that we do
    /// not name goes: where items share the traffic, somebody else's would take some of it.
    Keyed(&'a str),
    /// As `Matched`, by what stands at this path within an item.
    MatchedAt(&'a Path),
}

/// Lists by their path from the object's root, with `[]` for the items of a list: `spec.routes[].services`.
pub type Lists<'a> = &'a [(&'a str, Items<'a>)];

/// `live` with `ours` laid over it. Where the two mean the same the live value stays, so that equal meaning is equal
/// text. A null of ours takes the field away.
pub fn laid_over(live: &Value, ours: &Map<String, Value>, lists: Lists<'_>) -> Value {
    object(live, ours, lists, "")
}

/// `ours` as a new object: without the nulls, which only say what must not be there.
pub fn fresh(ours: &Value) -> Value {
    match ours {
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| (key.clone(), fresh(value)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(fresh).collect()),
        scalar => scalar.clone(),
    }
}

fn object(live: &Value, ours: &Map<String, Value>, lists: Lists<'_>, path: &str) -> Value {
    let mut result = live.as_object().cloned().unwrap_or_default();
    for (key, wanted) in ours {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let verbatim = how(lists, &path) == Some(Items::Verbatim);
        match result.get(key) {
            _ if wanted.is_null() && verbatim => {
                result.remove(key);
            }
            _ if wanted.is_null() => {
                // Absent, null and empty are one to a mesh.
                if result.get(key).is_some_and(|present| !is_nothing(present)) {
                    result.remove(key);
                }
            }
            Some(present) => {
                let value = value(present, wanted, lists, &path);
                result.insert(key.clone(), value);
            }
            None if is_nothing(wanted) && !verbatim => {}
            None => {
                result.insert(key.clone(), fresh(wanted));
            }
        }
    }
    Value::Object(result)
}

fn value(live: &Value, ours: &Value, lists: Lists<'_>, path: &str) -> Value {
    match ours {
        _ if how(lists, path) == Some(Items::Whole) => whole(live, ours),
        _ if how(lists, path) == Some(Items::Verbatim) => fresh(ours),
        Value::Object(fields) => object(live, fields, lists, path),
        Value::Array(items) => match how(lists, path) {
            None | Some(Items::Whole | Items::Verbatim) => whole(live, ours),
            Some(Items::Matched(field)) => matched(live, items, |item| &item[field], lists, path),
            Some(Items::MatchedAt(at)) => {
                matched(live, items, |item| at.first(item).unwrap_or(&Value::Null), lists, path)
            }
            Some(Items::Keyed(key)) => keyed(live, items, key, lists, path),
        },
        scalar => whole(live, scalar),
    }
}

/// Items in our order, each over the live one that is for the same requests.
fn matched<'v>(
    live: &'v Value,
    items: &'v [Value],
    meant: impl Fn(&'v Value) -> &'v Value,
    lists: Lists<'_>,
    path: &str,
) -> Value {
    let mut present: Vec<&Value> = live.as_array().into_iter().flatten().collect();
    let items = items.iter().map(|item| {
        let same = present.iter().position(|present| same(meant(present), &fresh(meant(item))));
        let live = same.map_or(&Value::Null, |index| present.remove(index));
        one(live, item, lists, path)
    });
    Value::Array(items.collect())
}

/// Items in the order of the live list, new ones behind.
fn keyed(live: &Value, items: &[Value], key: &str, lists: Lists<'_>, path: &str) -> Value {
    let present = live.as_array().map_or(&[][..], Vec::as_slice);
    // Of two with one name the first counts: the other one would get a share of its own.
    let first = |index: usize| !present[..index].iter().any(|before| before[key] == present[index][key]);
    let kept = present.iter().enumerate().filter(|(index, _)| first(*index)).filter_map(|(_, present)| {
        let wanted = items.iter().find(|item| item[key] == present[key])?;
        Some(one(present, wanted, lists, path))
    });
    let new = items.iter().filter(|item| !present.iter().any(|present| present[key] == item[key]));
    Value::Array(kept.chain(new.map(fresh)).collect())
}

fn one(live: &Value, item: &Value, lists: Lists<'_>, path: &str) -> Value {
    if live.is_null() { fresh(item) } else { value(live, item, lists, &format!("{path}[]")) }
}

fn whole(live: &Value, ours: &Value) -> Value {
    let ours = fresh(ours);
    if same(live, &ours) { live.clone() } else { ours }
}

fn how<'a>(lists: Lists<'a>, path: &str) -> Option<Items<'a>> {
    lists.iter().find(|(named, _)| *named == path).map(|(_, items)| *items)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    const LISTS: Lists = &[
        ("spec.rules", Items::Matched("for")),
        ("spec.rules[].backends", Items::Keyed("name")),
        ("spec.policy", Items::Whole),
        ("spec.copy", Items::Verbatim),
    ];

    #[rstest]
    #[case::defaults_of_the_server_stay(
        json!({"spec": {"rules": [{"kind": "Service", "backends": [{"name": "a", "group": "", "weight": 1}]}]}}),
        json!({"spec": {"rules": [{"backends": [{"name": "a", "weight": 2}]}]}}),
        json!({"spec": {"rules": [{"kind": "Service", "backends": [{"name": "a", "group": "", "weight": 2}]}]}})
    )]
    #[case::an_item_that_we_do_not_name_goes(
        json!({"spec": {"rules": [{"backends": [{"name": "x"}, {"name": "a"}]}, {"old": 1}]}}),
        json!({"spec": {"rules": [{"backends": [{"name": "a", "weight": 2}, {"name": "b"}]}]}}),
        json!({"spec": {"rules": [{"backends": [{"name": "a", "weight": 2}, {"name": "b"}]}]}})
    )]
    #[case::a_null_takes_a_field_away(
        json!({"spec": {"rules": [{"timeout": "1s", "other": 1}], "a": 1}}),
        json!({"spec": {"rules": [{"timeout": null}], "a": null, "b": null}}),
        json!({"spec": {"rules": [{"other": 1}]}})
    )]
    #[case::a_whole_object_keeps_nothing(
        json!({"spec": {"policy": {"a": 1, "b": 2}, "x": 1}}),
        json!({"spec": {"policy": {"a": 3}}}),
        json!({"spec": {"policy": {"a": 3}, "x": 1}})
    )]
    #[case::what_is_empty_is_copied(
        json!({"spec": {"copy": {"random": {}}}}),
        json!({"spec": {"copy": {"roundRobin": {}}}}),
        json!({"spec": {"copy": {"roundRobin": {}}}})
    )]
    #[case::what_is_empty_is_copied_where_nothing_is(
        json!({"spec": {}}),
        json!({"spec": {"copy": {"roundRobin": {}}}}),
        json!({"spec": {"copy": {"roundRobin": {}}}})
    )]
    #[case::what_is_empty_goes_with_its_original(
        json!({"spec": {"copy": {"roundRobin": {}}}}),
        json!({"spec": {"copy": null}}),
        json!({"spec": {}})
    )]
    #[case::an_unnamed_list_is_ours_as_a_whole(
        json!({"spec": {"hosts": ["a", "b"]}}),
        json!({"spec": {"hosts": ["a"]}}),
        json!({"spec": {"hosts": ["a"]}})
    )]
    #[case::new_items_come_without_nulls(
        json!({"spec": {}}),
        json!({"spec": {"rules": [{"timeout": null, "backends": [{"name": "a", "mirror": null}]}]}}),
        json!({"spec": {"rules": [{"backends": [{"name": "a"}]}]}})
    )]
    fn our_fields_are_laid_over(#[case] live: Value, #[case] ours: Value, #[case] expected: Value) {
        let ours = ours.as_object().expect("an object");
        let result = laid_over(&live, ours, LISTS);
        assert_eq!(result, expected);
        assert_eq!(laid_over(&result, ours, LISTS), expected, "once is enough");
    }

    #[rstest]
    #[case::empty_and_absent(json!({"spec": {}}), json!({"spec": {"hosts": [], "a": {}}}))]
    #[case::numbers(json!({"spec": {"a": 50.0}}), json!({"spec": {"a": 50}}))]
    #[case::order_of_keyed_items(
        json!({"spec": {"rules": [{"backends": [{"name": "b"}, {"name": "a"}]}]}}),
        json!({"spec": {"rules": [{"backends": [{"name": "a"}, {"name": "b"}]}]}})
    )]
    fn what_means_the_same_is_left_alone(#[case] live: Value, #[case] ours: Value) {
        assert_eq!(laid_over(&live, ours.as_object().expect("an object"), LISTS), live);
    }
}
