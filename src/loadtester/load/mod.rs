//! Tasks of type `load`: HTTP requests at a rate, without any command.

mod plan;
mod report;
mod run;

pub use plan::{Limits, Plan};
pub use report::Report;
pub use run::run;
