//! Vexil: progressive delivery for Kubernetes. A `Canary` points to a workload; when that changes, the change is
//! released step by step, measured, and promoted or rolled back.
//!
//! ```text
//!  cluster ──watch──▶ observe ──▶ decide ──▶ act ──▶ cluster
//!                        ▲          │
//!                        └── ask ◀──┘        (metrics, hooks, gates)
//! ```
//!
//! `rollout` decides and is pure; `controller` observes, asks and acts; `router`, `workload`, `metrics` and
//! `webhook` translate; `kubesim` is a cluster in memory, `sim` a world around it. Start reading at
//! [`rollout`], then one of its strategies, then [`controller`].

#![forbid(unsafe_code)]

pub mod alert;
pub mod api;
pub mod cli;
pub mod controller;
pub mod http;
pub mod judge;
#[cfg(feature = "embedded")]
pub mod lint;
pub mod loadtester;
pub mod manifest;
pub mod metrics;
pub mod model;
pub mod rollout;
pub mod router;
#[cfg(feature = "embedded")]
pub mod sim;
pub mod template;
pub mod webhook;
pub mod workload;
