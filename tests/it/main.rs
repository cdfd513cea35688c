//! The integration tests: one binary, a module a topic.

mod bad_input;
mod crds;
mod promises;

mod releases;
