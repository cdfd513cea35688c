//! Laws about what others write into our objects: what is ours comes back, what is not stays.

use serde_json::{Map, Value, json};

use super::{Broken, Trial, Verdict, next_wishes, title};
use crate::router::live::is_nothing;

/// Whatever somebody changes of what is written is found, and put right.
///
/// # Errors
/// If a change is taken for granted.
pub fn each_drift_is_found(trial: &Trial) -> Verdict {
    let after = trial.after()?;
    let wanted = trial.looking(&after, |view| trial.router.desired(view, &trial.wish))?;
    for wanted in wanted {
        let Some(place) = after.iter().position(|object| title(object) == wanted.id.to_string()) else {
            continue;
        };
        let metadata = json!({"labels": wanted.labels, "annotations": wanted.annotations});
        let mut written = Value::Object(wanted.fields.clone());
        written["metadata"] = metadata;
        let mut leaves = Vec::new();
        leaves_of(&written, &mut Vec::new(), &mut leaves);
        for leaf in leaves {
            for (what, change) in [("changed", bent as fn(&Value) -> Value), ("removed", |_| Value::Null)] {
                let mut objects = after.clone();
                let pointer = pointer(&leaf);
                let Some(value) = objects[place].pointer_mut(&pointer) else { continue };
                *value = change(value);
                let bent = objects.clone();
                let mended = trial
                    .wished(&trial.wish, &objects)
                    .map_err(|why| Broken::new(why.why).shown_by(&bent))?;
                if mended[place].pointer(&pointer) != after[place].pointer(&pointer) {
                    let why = format!("{}: {pointer} is {what} by somebody, and stays so", wanted.id);
                    return Err(Broken::new(why).shown_by(&bent[place..=place]));
                }
            }
        }
    }
    Ok(())
}

/// Fields that others add stay, in the objects and in the items of `lists`, which are named by their paths.
///
/// # Errors
/// If one is lost, or counts as drift.
pub fn what_is_not_ours_stays(trial: &Trial, lists: &[String]) -> Verdict {
    let mut objects = trial.after()?;
    let mut marked = 0;
    for object in &mut objects {
        let others = json!({
            "metadata": {"labels": {"team": "web"}, "annotations": {"team": "web"}},
            "spec": {"x-foreign": {"a": 1}},
        });
        json_patch::merge(object, &others);
        for list in lists {
            marked += mark(object, &list.split('.').collect::<Vec<_>>());
        }
    }
    if let [first, ..] = trial.plan(&trial.wish, &objects)?.as_slice() {
        let why = format!("what others add counts as drift: {}", super::written(first));
        return Err(Broken::new(why).shown_by(&objects));
    }
    for wish in next_wishes() {
        let left = trial.wished(&wish, &objects)?;
        let kept = left.iter().all(|object| {
            object["metadata"]["labels"]["team"] == "web" && !object["spec"]["x-foreign"].is_null()
        });
        // A side without a share may not be in the list at all.
        let fewer = trial.wished(&wish, &trial.before).map(|fresh| marks(&fresh, lists))?;
        let least = marked.min(fewer);
        let there: usize = left.iter().map(marks_of).sum();
        if !kept || there < least {
            let why = format!("what others add is lost at {} % for the canary", wish.split.canary());
            return Err(Broken::new(why).shown_by(&left));
        }
    }
    Ok(())
}

/// How many items the lists of the objects have.
fn marks(objects: &[Value], lists: &[String]) -> usize {
    let mut objects = objects.to_vec();
    let of = |object: &mut Value| -> usize {
        lists.iter().map(|list| mark(object, &list.split('.').collect::<Vec<_>>())).sum()
    };
    objects.iter_mut().map(of).sum()
}

fn marks_of(value: &Value) -> usize {
    match value {
        Value::Object(fields) => {
            usize::from(fields.contains_key(MARK)) + fields.values().map(marks_of).sum::<usize>()
        }
        Value::Array(items) => items.iter().map(marks_of).sum(),
        _ => 0,
    }
}

/// Puts a field that is nobody's into each item of the list at `path`; how many there are.
fn mark(value: &mut Value, path: &[&str]) -> usize {
    let Some((first, rest)) = path.split_first() else {
        let items = value.as_array_mut().into_iter().flatten().filter(|item| item.is_object());
        return items.map(|item| item[MARK] = json!(1)).count();
    };
    match first.strip_suffix("[]") {
        Some(list) => {
            let items = value.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
            items.map(|item| mark(item, rest)).sum()
        }
        None => value.get_mut(*first).map_or(0, |value| mark(value, rest)),
    }
}

/// The ways to all that is neither object nor list, but for what is nothing.
fn leaves_of(value: &Value, way: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    let steps: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(items) => {
            items.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect()
        }
        _ if is_nothing(value) => return,
        _ => return found.push(way.clone()),
    };
    for (step, value) in steps {
        way.push(step);
        leaves_of(value, way, found);
        way.pop();
    }
}

fn pointer(way: &[String]) -> String {
    way.iter().map(|step| format!("/{}", step.replace('~', "~0").replace('/', "~1"))).collect()
}

/// Another value of the same type.
fn bent(value: &Value) -> Value {
    match value {
        Value::String(text) => json!(format!("{text}-bent")),
        Value::Number(number) => json!(number.as_i64().unwrap_or(0).saturating_add(7)),
        Value::Bool(bool) => json!(!bool),
        _ => Value::Object(Map::new()),
    }
}

const MARK: &str = "x-foreign-item";
