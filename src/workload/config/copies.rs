//! The copies that a primary refers to (spec 02 §4.3): `{name}-primary`, written when the primary is created and
//! when a revision is promoted, and left alone in between.
//!
//! Several Canaries may share one copy, as long as they want the same of it. Where they do not (one promotes a
//! change that the other has not analysed yet), the copy stays as it is for the other one, and the promoted contents
//! go to a copy of their own, `{name}-primary-{canary}`. So they do where the usual name is that of a user's object.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Tracked, checksum, digest};
use crate::model::object::{
    ObjectId, Objects, Write, is_any_canary, is_canary, merge_patch, owner_references,
};
use crate::model::release::{Release, Settings};
use crate::workload::inherited::included;
use crate::workload::{Error, owner};

/// The occasion on which copies are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::workload) enum Occasion {
    /// The primary is created. Copies that this very Canary made before stay as they are, since a primary that is
    /// built again must not promote anything.
    Creation,
    /// A revision is promoted to the primary.
    Promotion,
}

/// The copies of one primary, and the writes that create or update them.
#[derive(Default)]
pub(in crate::workload) struct Copies {
    /// The name of the copy of each object.
    pub names: BTreeMap<ObjectId, String>,
    /// Checksum of the contents of all copies together.
    pub digest: Option<String>,
    /// The writes that must come before those of the primary.
    before: Vec<Write>,
    /// The writes that must come after them.
    after: Vec<Write>,
}

impl Copies {
    /// Plans the copies of `tracked`. The objects that [`needed`] names must be in `seen` with their contents.
    ///
    /// # Errors
    /// If another controller owns an object with the name of a copy, or a ConfigMap or Secret is missing or cannot be
    /// read.
    pub fn plan(
        release: &Release,
        settings: &Settings,
        tracked: &Tracked<'_>,
        seen: &Objects,
        occasion: Occasion,
    ) -> Result<Self, Error> {
        let (mut planned, mut sums) = (Self::default(), Vec::new());
        for copy in all(release, tracked, seen, occasion)? {
            planned.names.insert(copy.source_id.clone(), copy.id.name.clone());
            sums.push((copy.source_id, checksum::checksum(copy.contents())));
            planned.before.extend(copy.writes(release, settings)?);
            planned.after.extend(copy.farewell(release, seen));
        }
        planned.digest = digest(sums.into_iter());
        Ok(planned)
    }

    /// All writes in their order, those of the primary among them.
    pub fn around(self, primary: impl IntoIterator<Item = Write>) -> Vec<Write> {
        self.before.into_iter().chain(primary).chain(self.after).collect()
    }
}

/// The objects whose contents are copied, or replaced, on this occasion.
///
/// # Errors
/// As [`Copies::plan`].
pub(in crate::workload) fn needed(
    release: &Release,
    tracked: &Tracked<'_>,
    seen: &Objects,
    occasion: Occasion,
) -> Result<Vec<ObjectId>, Error> {
    let copies = all(release, tracked, seen, occasion)?;
    let ids = copies.iter().flat_map(|copy| match copy.way {
        Way::Keep | Way::Share => Vec::new(),
        Way::Create | Way::Replace => vec![copy.source_id.clone()],
        Way::Fill => vec![copy.source_id.clone(), copy.id.clone()],
    });
    Ok(ids.collect())
}

/// Names of the copies of `name`: the usual one, and the one that no other Canary shares.
pub(super) fn names(release: &Release, name: &str) -> [String; 2] {
    [format!("{name}-primary"), format!("{name}-primary-{}", release.name)]
}

/// Whether `copy` is one of the names that the release's copy of `name` may have.
pub(in crate::workload) fn is_copy(release: &Release, name: &str, copy: &str) -> bool {
    names(release, name).iter().any(|known| known == copy)
}

/// One copy.
struct Copy<'a> {
    source_id: &'a ObjectId,
    source: &'a Value,
    id: ObjectId,
    present: Option<&'a Value>,
    way: Way,
}

/// What has to be done so that a copy holds the right contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Leave it as it is.
    Keep,
    /// Only add owners and labels: it has the contents already.
    Share,
    Create,
    /// Change the contents in place.
    Fill,
    /// Delete it and create it anew: the API does not let it be changed in place.
    Replace,
}

fn all<'a>(
    release: &Release,
    tracked: &'a Tracked<'_>,
    seen: &'a Objects,
    occasion: Occasion,
) -> Result<Vec<Copy<'a>>, Error> {
    tracked.complete()?;
    tracked.sources.keys().map(|source_id| Copy::new(release, source_id, seen, occasion)).collect()
}

impl<'a> Copy<'a> {
    fn new(
        release: &Release,
        source_id: &'a ObjectId,
        seen: &'a Objects,
        occasion: Occasion,
    ) -> Result<Self, Error> {
        // The contents may have been added to what was observed.
        let source = seen.get(source_id).unwrap_or(&Value::Null);
        let [usual, own] =
            names(release, &source_id.name).map(|name| source_id.kind.at(&release.namespace, &name));
        let is_ours = |id: &ObjectId| seen.get(id).is_some_and(|copy| is_owned_by(copy, &release.uid));
        let rebuilt = [&usual, &own].into_iter().find(|id| occasion == Occasion::Creation && is_ours(id));
        let kept = rebuilt.is_some();
        let id = match rebuilt {
            Some(id) => id.clone(),
            None if seen.get(&usual).is_none_or(|copy| is_free(release, copy, source)) => usual,
            None => {
                if let Some(copy) = seen.get(&own) {
                    owner::check(release, &own, copy)?;
                }
                own
            }
        };
        let present = seen.get(&id);
        let way = match present {
            None => Way::Create,
            Some(_) if kept => Way::Keep,
            Some(copy) if holds_same(copy, source) => Way::Share,
            Some(copy) if is_fixed(copy, source) => Way::Replace,
            Some(_) => Way::Fill,
        };
        Ok(Self { source_id, source, id, present, way })
    }

    /// The object that has what the copy will hold.
    fn contents(&self) -> &'a Value {
        match (self.way, self.present) {
            (Way::Keep, Some(copy)) => copy,
            _ => self.source,
        }
    }

    fn writes(&self, release: &Release, settings: &Settings) -> Result<Vec<Write>, Error> {
        let read = |object: &Value, id: &ObjectId| match checksum::is_reduced(object) {
            true => Err(Error::Unusable(format!("contents of {id} were not read"))),
            false => Ok(()),
        };
        let (id, labels) = (self.id.clone(), labels(settings, self.source));
        Ok(match (self.way, self.present) {
            (Way::Keep, _) => Vec::new(),
            (Way::Share, Some(copy)) => {
                let changes = json!({"metadata": self.adoption(release, settings, copy)});
                Write::merge(id, copy, &changes).into_iter().collect()
            }
            (Way::Fill, Some(copy)) => {
                read(self.source, self.source_id)?;
                read(copy, &id)?;
                let mut changes =
                    Map::from_iter([("metadata".to_owned(), self.adoption(release, settings, copy))]);
                if let Some(Value::Object(fields)) = merge_patch(&contents(copy), &contents(self.source)) {
                    changes.extend(fields);
                }
                Write::merge(id, copy, &Value::Object(changes)).into_iter().collect()
            }
            (_, present) => {
                read(self.source, self.source_id)?;
                let delete = present.map(|_| Write::Delete { id: id.clone() });
                let mut object = contents(self.source);
                object["apiVersion"] = id.kind.api_version().into();
                object["kind"] = id.kind.kind.into();
                object["metadata"] = json!({
                    "name": id.name,
                    "namespace": id.namespace,
                    "ownerReferences": owners(release, present),
                });
                if !labels.is_empty() {
                    object["metadata"]["labels"] = Value::Object(labels);
                }
                delete.into_iter().chain([Write::Create { id, object }]).collect()
            }
        })
    }

    /// The merge patch of `metadata` that adds this Canary to the owners of a present copy, and sets its labels.
    fn adoption(&self, release: &Release, settings: &Settings, copy: &Value) -> Value {
        let mut wanted = labels(settings, copy);
        wanted.values_mut().for_each(|value| *value = Value::Null);
        wanted.extend(labels(settings, self.source));
        let mut metadata = json!({"labels": wanted});
        let owners = owners(release, Some(copy));
        if owners != copy["metadata"]["ownerReferences"] {
            metadata["ownerReferences"] = owners;
        }
        metadata
    }

    /// The write that removes this Canary from the owners of a shared copy, once its primary has a copy of its own.
    fn farewell(&self, release: &Release, seen: &Objects) -> Option<Write> {
        let [usual, _] = names(release, &self.source_id.name);
        let id = self.id.kind.at(&self.id.namespace, &usual);
        let shared = seen.get(&id).filter(|_| id != self.id && self.way != Way::Keep)?;
        let others = other_owners(release, shared)?;
        Some(Write::patch(id, shared, json!({"metadata": {"ownerReferences": others}})))
    }
}

/// Whether an object with the usual name is a copy that can be given the contents of `source` without changing what
/// another Canary runs, or what is somebody's own.
fn is_free(release: &Release, copy: &Value, source: &Value) -> bool {
    let owners = || copy["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    let canaries = || owners().filter(|owner| is_any_canary(owner));
    let foreign = owners().any(|owner| owner["controller"] == true && !is_any_canary(owner));
    let alone = canaries().all(|owner| is_this_canary(release, owner));
    let same =
        checksum::holds_the_same(copy, source) && (holds_same(copy, source) || !is_fixed(copy, source));
    canaries().next().is_some() && !foreign && (alone || same)
}

fn holds_same(copy: &Value, source: &Value) -> bool {
    checksum::holds_the_same(copy, source)
        && ["type", "immutable"].iter().all(|field| copy[*field] == source[*field])
}

/// Whether the API refuses to turn the copy into `source`.
fn is_fixed(copy: &Value, source: &Value) -> bool {
    copy["immutable"] == true || copy["type"] != source["type"]
}

/// The owner references of a copy: this Canary as the controller, then all other owners that it has already.
fn owners(release: &Release, copy: Option<&Value>) -> Value {
    let mut owners = owner_references(&release.name, &release.uid);
    let present = copy.and_then(|copy| copy["metadata"]["ownerReferences"].as_array()).into_iter().flatten();
    let others = present.filter(|owner| !is_this_canary(release, owner)).map(|owner| {
        let mut owner = owner.clone();
        owner["controller"] = json!(false);
        owner
    });
    if let Some(owners) = owners.as_array_mut() {
        owners.extend(others);
    }
    owners
}

/// The owners of an object without this Canary; `None` if it is not among them.
pub(super) fn other_owners<'a>(release: &Release, object: &'a Value) -> Option<Vec<&'a Value>> {
    let owners = object["metadata"]["ownerReferences"].as_array()?;
    let others: Vec<&Value> = owners.iter().filter(|owner| !is_this_canary(release, owner)).collect();
    (others.len() < owners.len()).then_some(others)
}

fn is_this_canary(release: &Release, owner: &Value) -> bool {
    is_canary(owner, &release.name)
}

fn is_owned_by(object: &Value, uid: &str) -> bool {
    let mut owners = object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    owners.any(|owner| owner["uid"] == uid)
}

/// The labels of an object that its copy gets.
fn labels(settings: &Settings, object: &Value) -> Map<String, Value> {
    included(settings, &object["metadata"]["labels"])
}

/// The part of an object that is copied.
fn contents(object: &Value) -> Value {
    let fields = object.as_object().into_iter().flatten();
    fields
        .filter(|(name, value)| CONTENTS.contains(&name.as_str()) && !value.is_null())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

const CONTENTS: [&str; 4] = ["data", "binaryData", "immutable", "type"];
