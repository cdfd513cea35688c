//! The integration tests: one binary, a module a topic.

mod bad_input;
mod crds;
mod house;
mod promises;

mod releases;
