//! The client over a scripted transport in virtual time, and over real sockets.

mod network;
mod policy;
mod smtp;
