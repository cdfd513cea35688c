//! Targets: what is known of a workload and its primary, and the writes that create, promote and scale them.
//! Nothing here does I/O: objects in, facts or writes out. A new kind of target is one file and one line in
//! `registry.rs`; one that runs pods from a template implements [`templated::Templated`] and gets the rest.

#![warn(missing_docs)]

use chrono::{DateTime, Utc};
use thiserror::Error;

use crate::model::object::{ObjectId, Objects, Write};
use crate::model::release::{Release, Settings};
use crate::model::workload::{Presence, PrimaryFacts, TargetFacts, TargetShape};

pub mod config;
pub mod daemonset;
pub mod deployment;
mod inherited;
pub mod knative;
mod live;
mod owner;
mod primary;
pub mod readiness;
pub mod registry;
pub mod revision;
pub mod scaler;
mod selectors;
pub mod service;
mod shape;
pub mod target_port;
mod templated;
#[cfg(test)]
mod testing;

/// A kind of workload (spec 02 §3).
pub trait Workload: Send + Sync {
    /// The objects that have to be read before anything is asked of this target: itself, its primary, and their
    /// autoscalers.
    fn reads(&self, release: &Release) -> Vec<ObjectId>;

    /// The ConfigMaps and Secrets that the target refers to, and the primary's copies of them. The target has to be in
    /// `seen`.
    fn config_reads(&self, _release: &Release, _seen: &Objects) -> Vec<ObjectId> {
        Vec::new()
    }

    /// The objects to be read whose names stand in the target (Knative revisions). The target has to be in `seen`.
    fn named_reads(&self, _release: &Release, _seen: &Objects) -> Vec<ObjectId> {
        Vec::new()
    }

    /// The writes that create or update the Service in front of the canary, for a target from which that Service is
    /// copied; `None` if the router makes it from the manifest.
    fn canary_service(&self, _release: &Release, _seen: &Objects) -> Option<Result<Vec<Write>, Error>> {
        None
    }

    /// Images of the target's containers, for people.
    fn images(&self, _release: &Release, _seen: &Objects) -> Vec<String> {
        Vec::new()
    }

    /// How the target's pods are selected and which ports they have.
    ///
    /// # Errors
    /// If the target is missing, or has none of the selector labels.
    fn shape(&self, release: &Release, settings: &Settings, seen: &Objects) -> Result<TargetShape, Error>;

    /// The target as observed at `now`.
    ///
    /// # Errors
    /// If the target is missing or unusable.
    fn target(
        &self,
        release: &Release,
        settings: &Settings,
        seen: &Objects,
        now: DateTime<Utc>,
    ) -> Result<TargetFacts, Error>;

    /// The primary as observed at `now`; `None` while it does not exist.
    fn primary(
        &self,
        release: &Release,
        settings: &Settings,
        seen: &Objects,
        now: DateTime<Utc>,
    ) -> Option<PrimaryFacts>;

    /// The primary, for a target of which it is an object of its own that can be made again from what it was.
    fn primary_id(&self, _release: &Release) -> Option<ObjectId> {
        None
    }

    /// Creates the primary as a copy of the target. `id` becomes its `flagger-id`.
    ///
    /// # Errors
    /// If the target is missing or cannot be copied.
    fn create_primary(
        &self,
        release: &Release,
        settings: &Settings,
        seen: &Objects,
        id: &str,
    ) -> Result<Vec<Write>, Error>;

    /// Gives the primary the target's template. `id` becomes its `flagger-id`; without a change of the template
    /// nothing is written, so that repeating it after a crash does not roll the pods again.
    ///
    /// # Errors
    /// If one of the two is missing.
    fn promote(
        &self,
        release: &Release,
        settings: &Settings,
        seen: &Objects,
        id: &str,
    ) -> Result<Vec<Write>, Error>;

    /// The objects among [`Workload::config_reads`] whose contents, not only their checksums, must be in `seen` when
    /// the primary is created or promoted.
    ///
    /// # Errors
    /// As [`Workload::create_primary`] and [`Workload::promote`].
    fn contents(
        &self,
        _release: &Release,
        _settings: &Settings,
        _seen: &Objects,
    ) -> Result<Vec<ObjectId>, Error> {
        Ok(Vec::new())
    }

    /// Deletes those of `owned`, the ConfigMaps and Secrets that belong to the Canary, to which the primary does not
    /// refer any more.
    fn prune(&self, _release: &Release, _seen: &Objects, _owned: &Objects) -> Vec<Write> {
        Vec::new()
    }

    /// Restarts the target's pods, so that they start with the present contents of their ConfigMaps and Secrets.
    fn renew(&self, _release: &Release, _settings: &Settings, _seen: &Objects) -> Vec<Write> {
        Vec::new()
    }

    /// Takes the target's pods away. Such a target is called parked.
    fn scale_to_zero(&self, release: &Release, seen: &Objects) -> Vec<Write>;

    /// Gives the target pods again, as many as spec 02 §3.3 says.
    fn scale_up(&self, release: &Release, seen: &Objects) -> Vec<Write>;

    /// Gives the target back what it had before, at deletion with `revertOnDeletion`.
    fn revert(&self, release: &Release, seen: &Objects) -> Vec<Write>;

    /// Whether the primary's autoscaler is there; with `update` also whether it agrees with the target's.
    fn scaler(&self, release: &Release, settings: &Settings, seen: &Objects, update: bool) -> Presence {
        scaler::of(release).map_or(Presence::InPlace, |scaler| scaler.presence(settings, seen, update))
    }

    /// Creates the primary's autoscaler, or with `update` brings it in line with the target's.
    ///
    /// # Errors
    /// If the target's autoscaler is missing.
    fn reconcile_scaler(
        &self,
        release: &Release,
        settings: &Settings,
        seen: &Objects,
        update: bool,
    ) -> Result<Vec<Write>, Error> {
        let Some(scaler) = scaler::of(release) else { return Ok(Vec::new()) };
        Ok(scaler.reconcile(settings, seen, update)?.into_iter().collect())
    }

    /// Stops the target's autoscaler while the target is parked (KEDA; an HPA idles by itself).
    fn pause_scaler(&self, release: &Release, seen: &Objects) -> Vec<Write> {
        scaler::of(release).and_then(|scaler| scaler.pause(seen)).into_iter().collect()
    }

    /// Lets the target's autoscaler work again.
    fn resume_scaler(&self, release: &Release, seen: &Objects) -> Vec<Write> {
        scaler::of(release).and_then(|scaler| scaler.resume(seen)).into_iter().collect()
    }
}

/// Why a workload cannot be used. The texts are those of spec 01 §8.5.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Error {
    /// It, or something that it refers to, does not exist.
    #[error("{0}")]
    Missing(String),
    /// It exists, and is written in a way that cannot be released.
    #[error("{0}")]
    Unusable(String),
}

impl Error {
    /// Puts the failed action in front of the message.
    fn within(self, what: &str) -> Self {
        match self {
            Self::Missing(text) => Self::Missing(format!("{what}: {text}")),
            Self::Unusable(text) => Self::Unusable(format!("{what}: {text}")),
        }
    }
}
