//! The programs that pods run: the demo application; and the load that users would make.

pub mod client;
pub mod demo;
pub mod health;
pub mod jar;
pub mod load;
