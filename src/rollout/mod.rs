//! The decision core: pure. A [`Snapshot`] goes in, the next [`Step`] comes out; no I/O, no clock, no chance.
//!
//! ```text
//!  Initializing ──▶ Initialized ──change──▶ Waiting ──gate──▶ Progressing ◀──┐ step, or failed check
//!                        ▲                     ▲                 │  │  └──────┘
//!                        │                     │    gate closed  │  │ passed
//!                        │                     │  WaitingPromotion ─┤
//!                        │                     │                    ▼
//!                    Succeeded ◀── Finalising ◀── Promoting     failed n times ──▶ Failed
//!                        └──────────change─────────┴──────────────────change─────────┘
//! ```
//!
//! `machine.rs` leads from a phase to its function; a strategy (`strategy/`) says what traffic comes next and
//! whether the analysis is over. The behaviour is that of spec 02; docs/differences.md lists where it is better.

#![warn(missing_docs)]

mod account;
pub mod analysis;
mod blockers;
mod by_hand;
pub mod change;
mod checkable;
mod evidence;
mod flow;
mod gates;
mod holds;
mod initialize;
pub mod interlock;
pub mod line;
mod machine;
pub mod messages;
mod progress;
mod promote;
pub mod question;
mod ready;
mod resting;
mod revision;
mod rollback;
mod safety;
pub mod snapshot;
pub mod status;
pub mod step;
pub mod strategy;
mod terminate;
mod upkeep;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use by_hand::objection;
pub use machine::next;
pub use question::{Answer, Ask, Question};
pub use safety::protect;
pub use snapshot::{
    Answers, Checkable, Endpoints, Lifecycle, Place, RoutesSeen, SecretsLooked, ServicesSeen, Snapshot, Turn,
};
pub use step::{Alert, Effect, Event, EventKind, Outcome, Plan, Reason, Side, Step, Wait};
pub use upkeep::cookies;
