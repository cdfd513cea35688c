//! Tasks of type `load`: requests over HTTP or gRPC at a rate, without any command.

mod grpc;
mod plan;
mod report;
mod run;

pub use grpc::STATUSES;
pub use plan::{Limits, Plan};
pub use report::Report;
pub use run::run;
