//! Routers translate between a release and the objects of a mesh or ingress. They do no I/O and write nothing: a
//! router says what should be, and [`plan`] brings it about, in the same way for all.
//!
//! ```text
//! Canary ──▶ Release ─┐
//! live objects ───────┼─▶ Router::state    what the mesh is told now
//! wish for traffic ───┴─▶ Router::desired  which objects there should be, with which fields of ours
//!                                  │
//!                                  ▼
//!                    plan: create, own, take over, overlay, refuse, delete, restore ──▶ writes
//! ```
//!
//! A new mesh is one file here, one line in [`registry`], and a folder of cases under `tests/data/routers`. What its
//! users can read of it (names, texts, rights, chart values, docs) follows from its [`Mesh`], and the laws in
//! `tests/it/routers` hold over every mesh that is registered.

#![warn(missing_docs)]

use std::time::Duration;

use thiserror::Error;

use crate::api::{Provider, ServiceField};
use crate::model::object::{Kind, ObjectId, Objects};
use crate::model::release::{Problem, Release, Settings};
use crate::model::traffic::{Acceptance, Capabilities, RouteState, RouteWish, SETTLE};
use crate::model::workload::TargetShape;

pub mod adopt;
mod affinity;
mod alb;
mod apisix;
mod appmesh;
pub mod checks;
mod conditions;
mod contour;
mod desired;
pub mod endpoints;
mod gateway;
mod gloo;
mod ingress;
mod istio;
mod knative;
mod kubernetes;
mod kuma;
pub mod laws;
mod live;
mod marks;
mod nginx;
mod overlay;
mod owner;
mod path;
pub mod plan;
mod predicates;
mod promql;
pub mod registry;
pub mod services;
mod shares;
mod skipper;
mod smi;
pub mod templated;
#[cfg(test)]
mod testing;
mod traefik;
mod weights;

pub use checks::Checks;
pub use desired::Desired;
pub use overlay::{Items, Lists};

/// A mesh, ingress or gateway as it registers itself: everything that is its own, in one place.
pub struct Mesh {
    /// The providers that mean it.
    pub providers: &'static [Provider],
    /// Its name and the objects that it writes, for people: `Contour (HTTPProxy)`.
    pub title: &'static str,
    /// The translation.
    pub router: &'static dyn Router,
    /// All that it can do; what of it a release may use is [`Router::capabilities`]'s to say.
    pub abilities: Capabilities,
    /// The built-in checks that ask its metrics.
    pub checks: &'static Checks,
    /// The fields of `spec.service` that its routes honour. A Canary that sets another one is warned.
    pub honours: &'static [ServiceField],
    /// What the controller may do with which kinds; the chart's rights are made of it.
    pub rights: &'static [Right],
}

/// A right that a router needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Right {
    /// The kind of the objects.
    pub kind: Kind,
    /// What is done with them.
    pub access: Access,
}

/// What a router does with the objects of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It creates, changes and deletes them.
    Own,
    /// It creates and changes them; the cluster collects them with the Canary.
    Make,
    /// It changes those of others.
    Change,
    /// It reads them.
    Read,
}

/// What a router looks at: one release, and the objects around it as the caches hold them.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The release.
    pub release: &'a Release,
    /// How the pods of the target are selected, and their ports.
    pub shape: &'a TargetShape,
    /// What the controller was told.
    pub settings: &'a Settings,
    /// The objects that [`Router::reads`] names, as far as they exist.
    pub seen: &'a Objects,
}

/// The translation between a release and one mesh (spec 03). Pure: the same view gives the same answer.
pub trait Router: Send + Sync {
    /// What it can do for this release. Everything else is refused, or ignored with a warning, before a run starts.
    fn capabilities(&self, release: &Release) -> Capabilities;

    /// What it cannot do with this manifest, with field and remedy. A Canary with such a problem is refused before
    /// anything happens.
    fn problems(&self, _release: &Release, _settings: &Settings) -> Vec<Problem> {
        Vec::new()
    }

    /// What of this manifest it leaves out, with field and remedy, beside the fields that the mesh does not honour at
    /// all. The release goes on.
    fn warnings(&self, _release: &Release) -> Vec<Problem> {
        Vec::new()
    }

    /// The objects that it looks at. Those that it makes are among them.
    fn reads(&self, release: &Release) -> Vec<ObjectId>;

    /// What the mesh is told now; `None` while its objects are not there, or lead to neither side.
    ///
    /// # Errors
    /// If an object of ours is there and does not route to both sides.
    fn state(&self, view: &View<'_>) -> Result<Option<RouteState>, Error>;

    /// Whether the mesh works by what it is told. A mesh that never says is taken at its word.
    fn acceptance(&self, _view: &View<'_>) -> Acceptance {
        Acceptance::Accepted
    }

    /// How long the mesh takes until it works by a change of its routes, or of the pods behind them, where it does not say
    /// so itself.
    fn settles(&self, _view: &View<'_>) -> Duration {
        SETTLE
    }

    /// The objects that have to stand before the primary's pods start, without routing anything. They are among
    /// those of [`Router::desired`] as well.
    ///
    /// # Errors
    /// As [`Router::desired`].
    fn groundwork(&self, _view: &View<'_>) -> Result<Vec<Desired>, Error> {
        Ok(Vec::new())
    }

    /// The objects that there should be, in the order in which they are to be written, each with the fields that are
    /// ours. A wish for the present traffic is how drift is found.
    ///
    /// # Errors
    /// If the manifest asks for what this router cannot do, or an object that it builds upon is not there.
    fn desired(&self, view: &View<'_>, wish: &RouteWish) -> Result<Vec<Desired>, Error>;

    /// The objects whose spec is given back when the Canary goes and is to leave everything as it was. An object
    /// that is only read must not be among them.
    fn gives_back(&self, release: &Release) -> Vec<ObjectId> {
        self.reads(release)
    }

    /// The objects of ours that are deleted when the Canary goes and is to leave everything as it was. The others are
    /// left to the cluster to collect; while one of these stood, it would lead requests to what goes with the Canary.
    fn deletes(&self, _release: &Release) -> Vec<ObjectId> {
        Vec::new()
    }

    /// Whether [`Router::released`] is brought about with every deletion, also where the Canary does not ask for it: the
    /// user's own objects would lead to what goes with the Canary.
    fn always_releases(&self) -> bool {
        false
    }

    /// What an object that was never ours should say once the Canary is gone, where giving back its saved spec is
    /// not enough.
    ///
    /// # Errors
    /// As [`Router::desired`].
    fn released(&self, _view: &View<'_>) -> Result<Vec<Desired>, Error> {
        Ok(Vec::new())
    }
}

/// Why a router cannot do what it is asked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Error {
    /// The manifest asks for what this router cannot do. Useless to retry until it changes.
    #[error("{0}")]
    Unsupported(Problem),
    /// An object stands in the way, or is not as this router left it.
    #[error("{0}")]
    Object(String),
    /// Somebody else keeps changing an object back. It is left alone until they are told to, or we are.
    #[error("{0}")]
    Held(String),
}

/// Shorthand of registrations.
const fn right(kind: Kind, access: Access) -> Right {
    Right { kind, access }
}

/// A problem with a field of the manifest: what is wrong, and what to do.
fn problem(field: impl Into<String>, message: impl Into<String>) -> Problem {
    Problem { field: field.into(), message: message.into() }
}
