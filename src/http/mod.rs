//! The one HTTP client that all outgoing calls share: metrics, hooks, alerts.
//!
//! Every call is bounded in time, size, redirects and number, goes to no denied network, and no secret gets into a log
//! line or an error. Each is made on behalf of a party, of which none can take the places of the others:
//!
//! ```text
//! Request ──▶ Client (slots, time limit, retries, size rule) ──▶ Transport ──▶ the network, or a simulation
//! ```
//!
//! What it is the other way round, connections that others make to us, is in `serve`.
//! A mail is such a call as well: it goes over SMTP, and what a mail server says becomes the status that means the same.
//!
//! What goes over the wire stands behind [`Transport`], so that a whole controller can run without a socket.

#![warn(missing_docs)]

mod client;
mod egress;
mod error;
mod flights;
mod party;
mod redact;
mod request;
mod response;
mod server;
mod slots;
mod smtp;
mod transport;

#[cfg(test)]
mod tests;

pub use client::Client;
pub use egress::{Denied, Egress, NotANetwork};
pub use error::{Cause, Error};
pub use party::{Party, Sort};
pub use redact::shown_url;
pub use request::{Auth, Envelope, Oversize, Request};
pub use reqwest::Method;
pub use reqwest::header::HeaderMap;
pub use response::Response;
pub use server::{Until, Working, serve};
pub use slots::{Limit, Limits};
pub use transport::{ReqwestTransport, Transport, install_tls_provider};
