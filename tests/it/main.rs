//! The integration tests: one binary, a module a topic.

mod alerts;
mod bad_input;
mod by_hand;
mod checklist;
mod configs;
mod crds;
mod demo;
mod deploy;
mod examples;
mod fuzz;
mod hooks;
mod house;
mod kubectl;
mod lifecycle;
mod metric_templates;
mod promises;
mod releases;
mod rights;
mod routers;
mod story;
mod strategies;
mod targets;
