//! The integration tests: one binary, a module a topic.

mod alerts;
mod bad_input;
mod crds;
mod deploy;
mod house;
mod promises;

mod releases;
