//! Tasks of type `load`: requests over HTTP or gRPC at a rate, without any command.

mod grpc;
mod keys;
mod plan;
mod report;
mod run;

pub use grpc::STATUSES;
pub use keys::{KEYS, Key};
pub use plan::{Limits, Plan};
pub use report::Report;
pub use run::run;
