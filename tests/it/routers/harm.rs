//! Somebody edits the objects of a mesh by hand: whatever is taken out or turned into nonsense comes back, and nothing
//! panics.

use serde_json::{Value, json};

use super::case::{Case, applied, title};
use super::holds;
use vexil::router::Error;

#[test]
fn what_is_taken_out_of_an_object_comes_back() {
    holds(|case| {
        each_part(case, |object, path| {
            let (parent, name) = path.rsplit_once('/').unwrap_or_default();
            match object.pointer_mut(parent) {
                Some(Value::Object(fields)) => {
                    fields.remove(&name.replace("~1", "/").replace("~0", "~"));
                }
                Some(Value::Array(items)) => {
                    items.remove(name.parse().expect("an index"));
                }
                _ => {}
            }
        })
    });
}

#[test]
fn nonsense_in_an_object_is_put_right() {
    for nonsense in [json!("x"), json!(-7), json!({}), json!([1, null, {"a": []}])] {
        holds(|case| {
            // The API server holds the objects of the Gateway API to the types of their fields.
            let typed = case.release.provider.as_str().starts_with("gatewayapi:") || is_adopted(case);
            each_part(case, |object, path| {
                if let Some(part) = object.pointer_mut(path)
                    && (!typed
                        || (part.is_string() && nonsense.is_string())
                        || (part.is_i64() && nonsense.is_i64()))
                {
                    *part = nonsense.clone();
                }
            })
        });
    }
}

/// Does `harm` to each part of each spec that the router has written, one by one, and looks whether it is mended.
fn each_part(case: &Case, harm: impl Fn(&mut Value, &str)) -> Result<(), String> {
    let whole = case.after();
    let wanted = case.looking(&case.before, |view| case.mesh.router.desired(view, &case.wish));
    for wanted in wanted.map_err(|error| error.to_string())? {
        let Some(index) = whole.iter().position(|object| title(object) == wanted.id.to_string()) else {
            continue;
        };
        let mut paths = Vec::new();
        collect(&wanted.fields["spec"], &whole[index]["spec"], "/spec", &mut paths);
        for path in paths {
            let mut objects = whole.clone();
            harm(&mut objects[index], &path);
            let at = format!("{} {path}", wanted.id);
            // A mesh is told something in any case, be it that this is no route of ours.
            let _ = case.looking(&objects, |view| case.mesh.router.state(view));
            let writes = match case.plan(&case.wish, &objects) {
                // A user may take their own route to pieces: that is said, and nothing of it made anew.
                Err(Error::Object(why)) if is_adopted(case) && why.starts_with("spec.routeRefs[") => continue,
                // Or one of several, and the others go on.
                Ok(_) if is_adopted(case) && !leads_here(case, &objects[index]) => continue,
                planned => planned.map_err(|error| format!("{at}: {error}"))?,
            };
            let mended = applied(&objects, &writes);
            let state = case.looking(&mended, |view| case.mesh.router.state(view));
            match state {
                Ok(Some(state)) if state.split == case.wish.split => {}
                // What is left of the user's route has no place for the release any more, which is said.
                Err(Error::Object(why)) if is_adopted(case) && why.starts_with("spec.routeRefs[") => continue,
                other => return Err(format!("{at}: {other:?} is read of\n{}", super::case::yaml(&mended))),
            }
            let again = case.plan(&case.wish, &mended).map_err(|error| format!("{at}: {error}"))?;
            if !again.is_empty() {
                return Err(format!("{at}: a second plan is not empty: {again:#?}"));
            }
        }
    }
    Ok(())
}

fn is_adopted(case: &Case) -> bool {
    !case.release.adopted.is_empty()
}

/// Whether a Service of the release is named in a route.
fn leads_here(case: &Case, object: &Value) -> bool {
    let text = object["spec"].to_string();
    [case.release.primary_service(), case.release.apex.clone()]
        .iter()
        .any(|name| text.contains(&format!("\"{name}")))
}

/// The paths of everything in `ours` that stands in `live`: fields, items, and what is in them.
fn collect(ours: &Value, live: &Value, path: &str, paths: &mut Vec<String>) {
    let mut go = |name: &str, ours: &Value, live: Option<&Value>| {
        if let (Some(live), false) = (live, ours.is_null()) {
            let below = format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
            collect(ours, live, &below, paths);
            paths.push(below);
        }
    };
    match ours {
        Value::Object(fields) => fields.iter().for_each(|(name, ours)| go(name, ours, live.get(name))),
        Value::Array(items) => (0..).zip(items).for_each(|(index, ours): (usize, _)| {
            go(&index.to_string(), ours, live.get(index));
        }),
        _ => {}
    }
}
