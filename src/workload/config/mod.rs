//! Tracking of ConfigMaps and Secrets (spec 02 §4): those that a target's pods refer to are part of its revision,
//! and its primary has copies that change with a promotion only.
//!
//! ```text
//!  target ──refers to──▶ settings ──copied at creation and promotion──▶ settings-primary ◀──refers to── primary
//! ```
//!
//! What is decided here needs no contents: the caches hold checksums ([`reduced`]). Contents are looked at for one
//! moment, when they are copied.
//!
//! The pods of both sides may carry the annotation `flagger.app/config-checksum`, the checksum of all that they
//! refer to. On the primary it tells a promotion that was done from one that was interrupted. On the target it is
//! how pods are renewed when nothing but a ConfigMap or Secret changes in the middle of a run (spec 02 E1.22): like
//! `kubectl rollout restart`, it is an annotation of the pod template that no manifest names, so that kubectl, Helm,
//! Flux and Argo CD leave it alone; it is no part of the revision, and it goes when the target is parked.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Error;
use super::live::missing;
use crate::model::object::{Kind, ObjectId, Objects};
use crate::model::release::{Release, Settings};

mod checksum;
mod copies;
mod prune;
mod references;

pub use checksum::{holds_the_same, reduced};
pub(super) use copies::{Copies, Occasion, is_copy, needed};
pub(super) use prune::prune;
pub(super) use references::{places, rename};

/// The kinds that are tracked.
pub const KINDS: [Kind; 2] = [Kind::CONFIG_MAP, Kind::SECRET];

/// A stand-in for an object that the API refuses to show, with the reason.
pub fn unreadable(why: &str) -> Value {
    json!({UNREADABLE: why})
}

/// Replaces checksums that Flagger recorded by our own, where the contents are the same: Flagger leaves out binary
/// data.
pub fn understood(recorded: &mut BTreeMap<String, String>, seen: &Objects) {
    for (id, object) in seen.iter().filter(|(id, _)| KINDS.contains(&id.kind)) {
        if let Some(value) = recorded.get_mut(&key(id))
            && *value == checksum::flaggers_checksum(object)
        {
            *value = checksum::checksum(object);
        }
    }
}

/// The ConfigMaps and Secrets that a template refers to, and the objects that may be the primary's copies of them.
pub(super) fn reads(release: &Release, template: &Value) -> Vec<ObjectId> {
    let mut ids = Vec::new();
    for place in places(template) {
        let copies = copies::names(release, &place.name);
        ids.extend(copies.map(|name| place.kind.at(&release.namespace, &name)));
        ids.push(place.kind.at(&release.namespace, &place.name));
    }
    ids.sort();
    ids.dedup();
    ids
}

/// The ConfigMaps and Secrets of a template, as observed.
pub(super) struct Tracked<'a> {
    sources: BTreeMap<ObjectId, &'a Value>,
    /// The message about the first one that does not exist and is not optional.
    missing: Option<String>,
    /// The message about the first one that the API refuses to show.
    unknown: Option<String>,
}

/// The tracked ConfigMaps and Secrets that `template` refers to; `None` with tracking off.
pub(super) fn track<'a>(
    release: &Release,
    settings: &Settings,
    template: &Value,
    seen: &'a Objects,
) -> Option<Tracked<'a>> {
    if !settings.config_tracking {
        return None;
    }
    let mut optional = BTreeMap::new();
    for place in places(template) {
        // Of several references the last one decides.
        optional.insert(place.kind.at(&release.namespace, &place.name), place.optional);
    }
    let mut tracked = Tracked { sources: BTreeMap::new(), missing: None, unknown: None };
    for (id, optional) in optional {
        let called = id.kind.kind.to_lowercase();
        match seen.get(&id) {
            None if optional => {}
            None => {
                tracked.missing.get_or_insert_with(|| missing(&called, &id));
            }
            Some(object) => match object[UNREADABLE].as_str() {
                Some(why) => {
                    let title = format!("{called} {}.{}", id.name, id.namespace);
                    tracked.unknown.get_or_insert(format!("{title} get query error: {why}"));
                }
                None if is_followed(&id, object) => {
                    tracked.sources.insert(id, object);
                }
                None => {}
            },
        }
    }
    Some(tracked)
}

impl Tracked<'_> {
    /// Checksums as the status records them; `None` while they are not all known.
    pub fn record(&self) -> Option<BTreeMap<String, String>> {
        self.complete()
            .is_ok()
            .then(|| self.sources.iter().map(|(id, object)| (key(id), checksum::checksum(object))).collect())
    }

    /// The message about what is missing or cannot be read.
    pub fn problem(&self) -> Option<String> {
        self.complete().err().map(|error| error.to_string())
    }

    /// Checksum of all contents together; `None` if nothing is tracked.
    pub fn digest(&self) -> Option<String> {
        digest(self.sources.iter().map(|(id, object)| (id, checksum::checksum(object))))
    }

    /// Fails unless all of them exist and can be read: only then they can be copied.
    ///
    /// # Errors
    /// If one is missing or cannot be read.
    pub fn complete(&self) -> Result<(), Error> {
        match (&self.missing, &self.unknown) {
            (Some(text), _) => Err(Error::Missing(text.clone())),
            (_, Some(text)) => Err(Error::Unusable(text.clone())),
            _ => Ok(()),
        }
    }

    /// Whether a primary with the pod template `primary` runs with these contents. It counts as true while some of
    /// them are missing or cannot be read.
    pub fn agree(&self, release: &Release, primary: &Value, seen: &Objects) -> bool {
        if self.complete().is_err() {
            return true;
        }
        if let Some(mark) = mark(primary) {
            return Some(mark) == self.digest().as_deref();
        }
        // A primary that has no mark is Flagger's, or older than the tracking: what counts is what its copies hold.
        places(primary).iter().all(|place| {
            let copy = place.kind.at(&release.namespace, &place.name);
            let mut sources = self
                .sources
                .iter()
                .filter(|(id, _)| id.kind == place.kind && is_copy(release, &id.name, &place.name));
            sources.all(|(_, source)| {
                seen.get(&copy).is_some_and(|copy| {
                    checksum::flaggers_checksum(copy) == checksum::flaggers_checksum(source)
                })
            })
        })
    }
}

/// Checksum of the contents of several objects; `None` if there are none.
fn digest<'a>(contents: impl Iterator<Item = (&'a ObjectId, String)>) -> Option<String> {
    let lines: Vec<String> = contents.map(|(id, sum)| format!("{}={sum}\n", key(id))).collect();
    (!lines.is_empty()).then(|| checksum::digest(&lines.concat()))
}

/// The checksum with which the pods of a template are marked.
pub(super) fn mark(template: &Value) -> Option<&str> {
    template["metadata"]["annotations"][MARK].as_str()
}

/// The merge patch that restarts the target's pods with the present contents, by a changed mark on their template.
pub(super) fn renewal(release: &Release, settings: &Settings, template: &Value, seen: &Objects) -> Value {
    let tracked = track(release, settings, template, seen).filter(|tracked| tracked.complete().is_ok());
    match tracked {
        Some(tracked) => on_pods(json!(tracked.digest().as_deref().unwrap_or("none"))),
        None => json!({}),
    }
}

/// The merge patch that removes the mark that [`renewal`] wrote.
pub(super) fn unmarked(template: &Value) -> Value {
    if mark(template).is_some() { on_pods(Value::Null) } else { json!({}) }
}

fn on_pods(mark: Value) -> Value {
    json!({"spec": {"template": {"metadata": {"annotations": {MARK: mark}}}}})
}

/// Whether a ConfigMap or Secret is tracked: a Secret of [`SECRET_TYPES`] only, and nothing that opted out by
/// annotation.
fn is_followed(id: &ObjectId, object: &Value) -> bool {
    let opted_out = object["metadata"]["annotations"][TRACKING]
        .as_str()
        .is_some_and(|value| value.starts_with("disable"));
    let usual = || SECRET_TYPES.contains(&object["type"].as_str().unwrap_or(SECRET_TYPES[0]));
    !opted_out && (id.kind != Kind::SECRET || usual())
}

/// The name of an object in the status: `configmap/settings`.
fn key(id: &ObjectId) -> String {
    format!("{}/{}", id.kind.kind.to_lowercase(), id.name)
}

/// Annotation of pods with the checksum of the ConfigMaps and Secrets that they refer to.
pub(super) const MARK: &str = "flagger.app/config-checksum";

/// Annotation by which a ConfigMap or Secret opts out of tracking.
const TRACKING: &str = "flagger.app/config-tracking";

const SECRET_TYPES: [&str; 4] =
    ["Opaque", "kubernetes.io/basic-auth", "kubernetes.io/ssh-auth", "kubernetes.io/tls"];

const UNREADABLE: &str = "vexil.unreadable";

#[cfg(test)]
mod tests;
