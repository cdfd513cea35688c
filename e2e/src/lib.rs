//! The end-to-end harness: a real Kubernetes control plane, a real mesh and real traffic, without containers.
//!
//! ```text
//! outside ── namespaces ──▶ cluster (etcd, kube-apiserver, kube-controller-manager, service addresses, names)
//!    │                         └─ node (pods are processes)
//!    └── enters ──▶ drive ──▶ install (Istio, gateway, Prometheus, the chart) ──▶ runs ──▶ audit, report
//! ```
//!
//! `e2e/README.md` explains it in a page.

pub mod adapter;
pub mod apps;
pub mod audit;
pub mod busy;
pub mod cluster;
pub mod commands;
pub mod dashboards;
pub mod drive;
pub mod inbox;
pub mod install;
pub mod node;
pub mod outside;
pub mod pace;
pub mod place;
pub mod planes;
pub mod process;
pub mod report;
pub mod retry;
pub mod routes;
pub mod runs;
pub mod shares;
pub mod shop;
pub mod tools;
pub mod wait;
pub mod world;
