//! An embedded Kubernetes cluster: an in-memory API server as a `tower::Service`, with the controllers that make
//! workloads run.
//!
//! A stock `kube::Client` runs on it, and a stock `kubectl` through [`KubeSim::listen`]. All time is tokio's clock:
//! under a paused clock an hour of the cluster passes in milliseconds, the same way every time.
//!
//! ```text
//! kube::Client ─▶ service ─▶ route ─▶ write / read ─▶ store ─▶ watch ─▶ kube::Client
//! kubectl ─▶ listen ─┘                                  ▲│
//!                                     workloads, gc ────┘└─▶ (changes)
//! ```

mod apply;
mod builder;
mod builtin;
mod clock;
mod cluster;
mod convert;
mod crd;
mod definitions;
mod discovery;
mod fault;
mod gc;
mod handle;
mod kinds;
mod listen;
mod log;
mod merge_schema;
mod openapi;
mod patch;
mod protobuf;
mod read;
mod registry;
mod render;
mod review;
mod route;
mod select;
mod service;
pub mod status;
mod store;
mod table;
mod watch;
mod workloads;
mod write;

pub use self::builder::Builder;
pub use self::fault::{Disconnected, Fate};
pub use self::handle::KubeSim;
pub use self::listen::Listening;
pub use self::log::{Request, RequestInfo};
pub use self::route::Verb;
pub use self::service::{ApiService, Body};
pub use self::status::ApiStatus;
pub use self::store::{Change, ChangeKind, Key, Object};
pub use self::workloads::{PodBehaviour, PodFacts, PodRules};

#[cfg(test)]
mod tests;
