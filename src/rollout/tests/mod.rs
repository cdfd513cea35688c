//! The tables of spec 02, told on a stage: no runtime, no cluster.

mod acceptance;
mod account;
mod by_hand;
mod change;
mod checkable;
mod configs;
mod evidence;
mod failures;
mod found;
mod gates;
mod interlock;
mod lifecycle;
mod line;
mod safety;
mod timelines;
mod verdicts;
