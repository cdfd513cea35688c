//! The words that the decision core, routers and workloads share: a release with every default filled in, traffic,
//! cluster objects as values and the writes that change them, answers to questions. No I/O.

#![warn(missing_docs)]

pub mod answer;
pub mod by_hand;
pub mod call;
pub mod moment;
mod nearest;
pub mod object;
pub mod quantity;
pub mod release;
pub mod secrets;
pub mod signature;
#[cfg(test)]
pub mod testing;
pub mod traffic;
pub mod workload;

pub use nearest::nearest;
