//! An embedded Kubernetes cluster: an in-memory API server as a `tower::Service`, with the controllers that make
//! workloads run.
//!
//! A stock `kube::Client` runs on it, and a stock `kubectl` through [`KubeSim::listen`]. All time is tokio's clock:
//! under a paused clock an hour of the cluster passes in milliseconds, the same way every time.
//!
//! ```
//! use kubesim::{ChangeKind, KubeSim};
//! use serde_json::json;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let sim = KubeSim::builder().nodes(3).build();
//! sim.observe(|change| {
//!     if change.kind == ChangeKind::Deleted {
//!         println!("{} is gone", change.id.key.name);
//!     }
//! });
//! sim.put(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "colours"}, "data": {"sky": "blue"}}));
//! assert_eq!(json!("blue"), sim.get("cm", "default", "colours").unwrap()["data"]["sky"]);
//! # }
//! ```
//!
//! ```text
//! kube::Client ─▶ service ─▶ route ─▶ write / read ─▶ store ─▶ watch ─▶ kube::Client
//! kubectl ─▶ listen ─┘                                  ▲│
//!                         workloads ─▶ workloads::api ──┘└─▶ (changes)
//! ```

#![warn(missing_docs)]

mod apply;
mod builder;
mod builtin;
mod clock;
mod cluster;
mod convert;
mod crd;
mod custom_kind;
mod definitions;
mod discovery;
pub mod error;
mod fault;
mod handle;
mod kinds;
#[cfg(feature = "listen")]
mod listen;
mod log;
mod merge_schema;
mod openapi;
mod patch;
#[cfg(feature = "protobuf")]
mod protobuf;
mod read;
mod registry;
mod render;
mod review;
mod route;
mod select;
mod service;
mod store;
#[cfg(feature = "table")]
mod table;
#[cfg(not(feature = "table"))]
#[path = "table_absent.rs"]
mod table;
mod watch;
mod workloads;
mod write;

pub use self::builder::Builder;
pub use self::crd::shape::METADATA;
pub use self::custom_kind::CustomKind;
pub use self::error::ApiStatus;
pub use self::fault::{Disconnected, Fate};
pub use self::handle::KubeSim;
#[cfg(feature = "listen")]
pub use self::listen::Listening;
pub use self::log::{Request, RequestInfo};
pub use self::route::Verb;
pub use self::service::{ApiService, Body};
pub use self::store::{Change, ChangeKind, Key, Object, ObjectId};
pub use self::workloads::{Controller, ControllerApi, PodBehaviour, PodFacts, PodRules};

#[cfg(test)]
mod tests;

/// The README, so that its example is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
