//! What a RouteTemplate wants of its objects.

use serde_json::{Map, Value};

use super::compiled::{Compiled, Object};
use super::words::rendered;
use crate::model::object::ObjectId;
use crate::model::release::Release;
use crate::model::traffic::RouteWish;
use crate::router::overlay::{Items, laid_over};
use crate::router::owner::Owner;
use crate::router::{Desired, Error, View};

/// The objects that there should be.
pub(super) fn desired(compiled: &Compiled, view: &View<'_>, wish: &RouteWish) -> Result<Vec<Desired>, Error> {
    compiled.objects.iter().map(|object| one(object, view, wish)).collect()
}

fn one(object: &Object, view: &View<'_>, wish: &RouteWish) -> Result<Desired, Error> {
    let wrong = |why: String| Error::Object(format!("{}: {why}", object.field));
    let id = object.id(view.release).map_err(wrong)?;
    let mut written = object.fields(view.release, wish).map_err(wrong)?;
    let live = view.seen.get(&id);
    if let Some(live) = live
        && id.namespace.is_empty()
        && Owner::of(view.release, live) == Owner::Foreign
    {
        return Err(Error::Object(format!(
            "{id} belongs to the whole cluster, and Canary {} has not made it: delete it, or let the RouteTemplate name \
             another one",
            view.release.title()
        )));
    }
    let metadata = written.remove("metadata");
    let spec = written.remove("spec").unwrap_or(Value::Null);
    let lists: Vec<(&str, Items<'_>)> =
        object.lists.iter().map(|(list, key)| (list.as_str(), Items::MatchedAt(key))).collect();
    // The lists are brought in line here, so that from now on each is ours as a whole.
    let ours = Map::from_iter([("spec".to_owned(), spec)]);
    let before = live.cloned().unwrap_or_default();
    let laid = laid_over(&before, &ours, &lists);
    let spec = settled(&ours["spec"], laid.get("spec").unwrap_or(&Value::Null));
    let mut wanted = Desired::new(id.clone(), spec).apex_metadata(view);
    wanted.if_made_by_us = written;
    for (field, all) in [("labels", &mut wanted.labels), ("annotations", &mut wanted.annotations)] {
        let own = metadata.as_ref().and_then(|metadata| metadata[field].as_object());
        all.extend(own.cloned().unwrap_or_default());
    }
    Ok(if id.namespace.is_empty() { wanted } else { wanted.keeping_the_original() })
}

/// `ours`, with what was laid over in place of its lists. Its nulls stay.
fn settled(ours: &Value, laid: &Value) -> Value {
    match (ours, laid) {
        (Value::Object(fields), laid) => {
            let field = |(key, value): (&String, &Value)| {
                (key.clone(), settled(value, laid.get(key).unwrap_or(&Value::Null)))
            };
            Value::Object(fields.iter().map(field).collect())
        }
        (Value::Array(_), Value::Array(_)) => laid.clone(),
        (ours, _) => ours.clone(),
    }
}

impl Object {
    /// The object of a release.
    pub fn id(&self, release: &Release) -> Result<ObjectId, String> {
        let name = rendered(&self.name, release, None).map_err(|why| format!("name: {why}"))?;
        let name = name.trim();
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        let is_name = name.len() <= 253
            && name.chars().all(fits)
            && edge(name.chars().next())
            && edge(name.chars().next_back());
        if !is_name {
            return Err(format!(
                "name: {name:?} cannot be the name of an object: write small letters, digits, dashes and dots"
            ));
        }
        Ok(self.kind.at(if self.kind.cluster_wide { "" } else { &release.namespace }, name))
    }

    /// The fields that the template writes.
    pub fn fields(&self, release: &Release, wish: &RouteWish) -> Result<Map<String, Value>, String> {
        let wrong = |why: String| format!("template: {why}");
        let text = rendered(&self.template, release, Some(wish)).map_err(wrong)?;
        let fields = yaml(&text).map_err(wrong)?;
        self.checked(fields).map_err(wrong)
    }

    fn checked(&self, mut fields: Map<String, Value>) -> Result<Map<String, Value>, String> {
        for (field, expected) in
            [("apiVersion", self.kind.api_version()), ("kind", self.kind.kind.to_owned())]
        {
            match fields.remove(field) {
                Some(Value::String(written)) if written != expected => {
                    return Err(format!(
                        "writes {field} {written:?}, but the object has {expected:?}: remove it"
                    ));
                }
                _ => {}
            }
        }
        if fields.contains_key("status") {
            return Err("writes status, which is the mesh's to write: remove it".to_owned());
        }
        if !fields.get("spec").is_some_and(Value::is_object) {
            return Err("writes no spec: write the fields of the object below spec:".to_owned());
        }
        let metadata = match fields.get("metadata") {
            None | Some(Value::Null) => return Ok(fields),
            Some(Value::Object(metadata)) => metadata,
            Some(_) => return Err("metadata is no object: write labels and annotations below it".to_owned()),
        };
        for (field, entries) in metadata {
            if !["labels", "annotations"].contains(&field.as_str()) {
                return Err(format!(
                    "writes metadata.{field}: name and namespace follow from the Canary, write labels and annotations \
                     alone"
                ));
            }
            for (key, value) in entries.as_object().into_iter().flatten() {
                if !value.is_string() && !value.is_null() {
                    return Err(format!(
                        "metadata.{field}[{key}] is {value}, and has to be a text: put it in quotes"
                    ));
                }
            }
        }
        Ok(fields)
    }
}

/// A YAML document that is an object.
fn yaml(text: &str) -> Result<Map<String, Value>, String> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: MOST_DEPTH, max_nodes: MOST_NODES, max_aliases: 0, max_anchors: 0 },
        with_snippet: false,
    };
    let read: Result<Value, _> = serde_saphyr::from_str_with_options(text, options);
    match read {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err("gives no object: write spec: and what belongs below it".to_owned()),
        Err(why) => Err(format!("gives no YAML: {why}")),
    }
}

const MOST_DEPTH: usize = 48;
const MOST_NODES: usize = 10_000;
