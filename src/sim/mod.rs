//! The simulated world: an embedded cluster, applications whose versions behave as told, a metrics backend that
//! answers for them, and the real controller in the middle. On a paused clock an hour passes in milliseconds.

#![warn(missing_docs)]

mod backend;
mod gateways;
mod knative;
mod mesh;
mod observed;
mod routes;
pub mod simulate;
mod traffic_watch;
mod world;

pub use backend::{Backend, Fault, HookCall, Sample, Version};
pub use mesh::{adopted_crds, crds};
pub use routes::Routes;
pub use traffic_watch::TrafficWatch;
pub use world::{Running, World, WorldBuilder};
