//! Routers translate: a wish for the traffic into writes, and the objects of a mesh into what it is told now.
//! They do no I/O. A new mesh is one file here and one line in `registry.rs`.

use thiserror::Error;

use crate::model::object::{ObjectId, Objects, Write};
use crate::model::release::Release;
use crate::model::traffic::{Capabilities, RouteState, RouteWish};
use crate::model::workload::TargetShape;

mod affinity;
pub mod istio;
pub mod knative;
pub mod kubernetes;
mod live;
mod marks;
mod owner;
pub mod registry;
pub mod services;
#[cfg(test)]
mod testing;

/// A mesh or ingress (spec 03).
pub trait Router: Send + Sync {
    /// What it can do for this release.
    fn capabilities(&self, release: &Release) -> Capabilities;

    /// The objects that it looks at.
    fn reads(&self, release: &Release) -> Vec<ObjectId>;

    /// What the mesh is told now; `None` while its objects are not there.
    ///
    /// # Errors
    /// If an object of ours is there and does not route to both sides.
    fn state(&self, release: &Release, seen: &Objects) -> Result<Option<RouteState>, Error>;

    /// The writes that bring the mesh from what is seen to what is wished; none if it is there. Repairs drift as
    /// well, so that asking for the present state of the traffic is how drift is found.
    ///
    /// # Errors
    /// If the manifest asks for what this router cannot do, or an object cannot be taken over.
    fn plan(
        &self,
        release: &Release,
        shape: &TargetShape,
        wish: &RouteWish,
        seen: &Objects,
    ) -> Result<Vec<Write>, Error>;

    /// The writes that give taken-over objects back what they had before; what is gone needs nothing.
    ///
    /// # Errors
    /// As [`Router::plan`].
    fn finalize(&self, release: &Release, seen: &Objects) -> Result<Vec<Write>, Error>;
}

/// Why a router cannot do what it is asked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Error {
    /// The manifest asks for what this router cannot do. Useless to retry until it changes.
    #[error("{0}")]
    Unsupported(String),
    /// An object stands in the way, or is not as this router left it.
    #[error("{0}")]
    Object(String),
}
