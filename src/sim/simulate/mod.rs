//! A release of a user's own manifests in the simulated world, under a scenario: the real controller, requests drawn by
//! chance, and what became of them. One run, or many for the probabilities.
//!
//! ```text
//! manifests ──▶ Plan ──┐
//!                      ├──▶ run ──▶ Outcome       (one release, as it went)
//! settings ─▶ Scenario ┘└─▶ study ─▶ Study        (many, as numbers)
//! ```

mod chance;
mod flow;
mod missing;
mod network;
mod outcome;
mod plan;
mod record;
mod run;
mod scenario;
mod study;
mod traffic;
pub mod values;

pub use outcome::{Check, Entry, EntryKind, Outcome, Point, Requests, Verdict};
pub use plan::{Plan, Source, Subject};
pub use run::run;
pub use scenario::{Conditions, Pods, Scenario, Settings};
pub use study::{Interval, Study, quantile, runs, study, wilson};
