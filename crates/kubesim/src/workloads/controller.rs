//! Controllers of others, for kinds that are not built in.

use std::time::Duration;

use super::api::ControllerApi;
use crate::store::{Object, ObjectId};

/// A controller that runs inside the cluster beside the built-in ones; see
/// [`KubeSim::add_controller`](crate::KubeSim::add_controller).
pub trait Controller: Send {
    /// Whether a change of this object concerns the controller.
    fn watches(&self, object: &Object) -> bool;

    /// Brings an object one step further, after it has changed. It may be gone by now.
    ///
    /// The answer is the time until the controller looks at the object again; with `None` it waits for a change.
    fn sync(&mut self, api: &mut ControllerApi<'_>, id: &ObjectId) -> Option<Duration>;
}
