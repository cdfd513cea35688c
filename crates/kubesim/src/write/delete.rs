//! Deletion: preconditions, finalizers, grace, and what it leaves to the garbage collector.

use std::sync::Arc;

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{Target, metadata};
use crate::clock::stamp;
use crate::cluster::Cluster;
use crate::error::ApiStatus;
use crate::registry::Served;
use crate::route::Query;
use crate::store::{Key, Object};

/// What happens to the dependents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// The owner goes first, its dependents soon after.
    Background,
    /// The dependents go first.
    Foreground,
    /// The dependents stay.
    Orphan,
}

/// The garbage collector's finalizers.
pub const FOREGROUND: &str = "foregroundDeletion";
pub const ORPHAN: &str = "orphan";

/// `DeleteOptions`, of query or body.
#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    pub propagation: Option<Propagation>,
    pub grace: Option<i64>,
    pub uid: Option<String>,
    pub resource_version: Option<String>,
    pub dry_run: bool,
}

/// How far a deletion got.
#[derive(Clone, Debug)]
pub enum Deleted {
    Gone(Arc<Object>),
    /// Something still holds it.
    Marked(Arc<Object>),
}

impl DeleteOptions {
    /// The options of a request: what the body says, else the query.
    pub fn read(query: &Query, body: Option<&Value>) -> Result<Self, ApiStatus> {
        let empty = Value::Null;
        let body = body.unwrap_or(&empty);
        let policy = body["propagationPolicy"].as_str().or(query.propagation_policy.as_deref());
        let orphan = body["orphanDependents"].as_bool().or(query.orphan_dependents);
        let propagation = match (policy, orphan) {
            (Some("Background"), _) => Some(Propagation::Background),
            (Some("Foreground"), _) => Some(Propagation::Foreground),
            (Some("Orphan"), _) | (None, Some(true)) => Some(Propagation::Orphan),
            (None, Some(false)) => Some(Propagation::Background),
            (None, None) => None,
            (Some(other), _) => {
                return Err(ApiStatus::bad_request(format!(
                    "propagationPolicy: Unsupported value: {other:?}: supported values: \"Background\", \"Foreground\", \"Orphan\""
                )));
            }
        };
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Ok(Self {
            propagation,
            grace: body["gracePeriodSeconds"].as_i64().or(query.grace_period),
            uid: text(&body["preconditions"]["uid"]),
            resource_version: text(&body["preconditions"]["resourceVersion"]),
            dry_run: !query.dry_run.is_empty() || body["dryRun"].as_array().is_some_and(|d| !d.is_empty()),
        })
    }
}

impl Cluster {
    /// Deletes an object, or marks it for deletion.
    pub fn delete(&mut self, target: &Target, options: &DeleteOptions) -> Result<Deleted, ApiStatus> {
        let object = self.existing(target)?;
        check_preconditions(target, &object, options)?;
        let mut value = object.value().clone();
        let mut finalizers: Vec<&str> = metadata::finalizers(object.value());
        if let Some(propagation) = options.propagation {
            finalizers.retain(|f| *f != FOREGROUND && *f != ORPHAN);
            match propagation {
                Propagation::Background => {}
                Propagation::Foreground => finalizers.push(FOREGROUND),
                Propagation::Orphan => finalizers.push(ORPHAN),
            }
        }
        let grace = self.grace(&target.served, &object, options.grace);
        let was_terminating = object.is_terminating();
        let meta = &mut value["metadata"];
        if finalizers.is_empty() {
            metadata::clear(meta, &["finalizers"]);
        } else {
            meta["finalizers"] = json!(finalizers);
        }
        let grace = match meta["deletionGracePeriodSeconds"].as_i64().filter(|_| was_terminating) {
            Some(running) => running.min(grace),
            None => grace,
        };
        if !was_terminating || meta["deletionGracePeriodSeconds"] != json!(grace) {
            meta["deletionTimestamp"] = json!(stamp(self.clock.now() + TimeDelta::seconds(grace)));
            meta["deletionGracePeriodSeconds"] = json!(grace);
        }
        if !was_terminating && target.served.counts_generations() {
            metadata::bump_generation(&mut value);
        }
        if target.served.is("", "Namespace") {
            value["status"]["phase"] = json!("Terminating");
        }
        let goes = metadata::may_go(&value);
        if options.dry_run {
            let draft = Arc::new(Object::draft(value, object.revision()));
            return Ok(if goes { Deleted::Gone(draft) } else { Deleted::Marked(draft) });
        }
        if goes {
            let gone = self.remove(&target.served, &target.key).unwrap_or(object);
            return Ok(Deleted::Gone(gone));
        }
        Ok(Deleted::Marked(self.store.put(target.served.bucket, &target.key, value)))
    }

    /// Takes an object out of the store, with what hangs on it at once.
    pub fn remove(&mut self, served: &Arc<Served>, key: &Key) -> Option<Arc<Object>> {
        let gone = self.store.remove(served.bucket, key)?;
        if served.is("apiextensions.k8s.io", "CustomResourceDefinition") {
            self.drop_definition(gone.value());
        }
        if served.is("", "Service") {
            self.note_address(gone.value(), false);
        }
        Some(gone)
    }

    /// How long a pod may take to stop; nothing else has a grace period.
    fn grace(&self, served: &Served, object: &Object, asked: Option<i64>) -> i64 {
        let value = object.value();
        let runs = served.is("", "Pod")
            && self.runs_pods
            && value["spec"]["nodeName"].is_string()
            && !matches!(value["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
        match runs {
            true => asked.or(value["spec"]["terminationGracePeriodSeconds"].as_i64()).unwrap_or(30).max(0),
            false => 0,
        }
    }
}

fn check_preconditions(
    target: &Target,
    object: &Arc<Object>,
    options: &DeleteOptions,
) -> Result<(), ApiStatus> {
    let (kind, name) = (&target.served.kind, &*target.key.name);
    if let Some(uid) = options.uid.as_deref().filter(|uid| *uid != object.uid()) {
        return Err(ApiStatus::uid_precondition(kind, name, uid, object.uid()));
    }
    let current = metadata::version_of(object);
    if let Some(version) = options.resource_version.as_deref().filter(|v| *v != current) {
        return Err(ApiStatus::version_precondition(kind, name, version, &current));
    }
    Ok(())
}
