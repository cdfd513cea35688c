//! The load tester: an HTTP service that the webhooks of Canaries call, to run loads and tests and to ask whether a gate is
//! open (spec 04 §5).
//!
//! ```text
//! request ──▶ who is it? ──▶ may it, for this namespace? ──▶ gates ──▶ store (ConfigMap, file)
//!                                                        └─▶ task ──▶ queue ──▶ load · command · concord · ngrinder
//! ```
//!
//! A request is not trusted: what it may run has been declared by the one who runs the load tester, or been allowed by a
//! flag. It does not decide about releases: it answers hooks as anybody's service might.

#![warn(missing_docs)]

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::net::TcpListener;
use tracing::{info, warn};

mod access;
mod book;
mod command;
pub mod concord;
mod declared;
mod descendants;
mod gates;
mod load;
pub mod ngrinder;
mod payload;
mod proof;
mod queue;
mod routes;
mod store;
mod task;
mod telemetry;

pub use access::Namespaces;
pub use declared::{Declared, Entry};
pub use load::{KEYS, Key, Limits};
pub use proof::Proofs;
pub use queue::Room;
pub use store::{Store, Trouble};
pub use task::Rules;
pub use telemetry::{Series, series};

use crate::http;
use gates::Gates;
use payload::{Canary, Payload};
use queue::Queue;
use task::{Task, Tools};
use telemetry::Telemetry;

/// How a load tester is to be.
pub struct Settings {
    /// The port; 0 for any free one.
    pub port: u16,
    /// The namespaces that are served.
    pub namespaces: Namespaces,
    /// How callers prove who they are.
    pub proofs: Proofs,
    /// Which tasks may be run.
    pub rules: Rules,
    /// How many of them.
    pub room: Room,
    /// Where gates are kept.
    pub store: Store,
    /// What tasks may call.
    pub egress: http::Egress,
    /// The time.
    pub now: fn() -> DateTime<Utc>,
    /// The series about the process, as text for Prometheus.
    pub process: fn() -> String,
}

/// A load tester that has its port, and answers once [`LoadTester::run`] is called.
pub struct LoadTester {
    listener: TcpListener,
    address: SocketAddr,
    parts: Arc<Parts>,
}

/// What requests need.
struct Parts {
    settings: Answers,
    proofs: Proofs,
    rules: Rules,
    gates: Gates,
    queue: Queue,
    telemetry: Arc<Telemetry>,
}

/// The settings that answers follow.
struct Answers {
    namespaces: Namespaces,
    now: fn() -> DateTime<Utc>,
    process: fn() -> String,
}

/// Why a load tester cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot listen.
    #[error("port {port} cannot be listened on: {source} (choose another with -port)")]
    Port {
        /// The port that was asked for.
        port: u16,
        /// The reason.
        source: std::io::Error,
    },
    /// A declared task cannot be run.
    #[error("-tasks: task {name}: {why}")]
    Task {
        /// The name of the task.
        name: String,
        /// The reason.
        why: String,
    },
    /// The gates cannot be read.
    #[error(transparent)]
    Gates(#[from] Trouble),
}

impl LoadTester {
    /// Looks whether all that it needs is there, and takes the port.
    ///
    /// # Errors
    /// If a declared task cannot be run, the gates cannot be read, or the port cannot be had.
    pub async fn bind(settings: Settings) -> Result<Self, Error> {
        look_through(&settings.rules)?;
        let gates = Gates::new(settings.store);
        gates.open().await?;
        let port = settings.port;
        let failed = |source| Error::Port { port, source };
        let listener = match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
            Ok(listener) => listener,
            // A machine without IPv6; any other trouble shows here again.
            Err(_) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await.map_err(failed)?,
        };
        let address = listener.local_addr().map_err(failed)?;
        let telemetry = Arc::new(Telemetry::default());
        let http = http::Client::within(settings.egress.clone());
        let tools = Tools { http, egress: settings.egress, telemetry: Arc::clone(&telemetry) };
        let queue = Queue::new(settings.room, tools);
        let answers =
            Answers { namespaces: settings.namespaces, now: settings.now, process: settings.process };
        let (proofs, rules) = (settings.proofs, settings.rules);
        let parts = Arc::new(Parts { settings: answers, proofs, rules, gates, queue, telemetry });
        Ok(Self { listener, address, parts })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop` is done. Requests that have begun then have a minute to end; tasks that still run end with it.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Self { listener, address, parts } = self;
        info!("Starting load tester v{} API on port {}", env!("CARGO_PKG_VERSION"), address.port());
        if let Some(text) = parts.settings.namespaces.warning() {
            warn!("{text}");
        }
        let ended = http::serve(listener, routes::routes(Arc::clone(&parts)), CONNECTIONS, stop, GRACE).await;
        parts.queue.stop().await;
        if ended {
            info!("HTTP server stopped");
        } else {
            warn!("HTTP server stopped although requests still run after {GRACE:?}");
        }
    }
}

/// Whether the task in a payload would be run under these rules. Nothing is.
///
/// # Errors
/// If not; the text is what its caller would be told.
pub fn understand(body: &[u8], rules: &Rules) -> Result<(), String> {
    let payload = payload::read(body)?;
    Task::read(&payload, rules).map(drop).map_err(|refused| refused.text)
}

/// Until when a call with this body would open a gate; none if until it is closed. None is opened.
///
/// # Errors
/// If it would not; the text is what its caller would be told.
pub fn opens(body: &[u8], now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, String> {
    let payload = payload::read(body)?;
    gates::opening(&payload, "", now).map(|open| open.until)
}

/// A mistake in a declared task shows at the start, not in the middle of a release.
fn look_through(rules: &Rules) -> Result<(), Error> {
    for (name, entry) in rules.declared.entries() {
        let namespace = entry.namespaces().next().unwrap_or("default").to_owned();
        let canary = Canary { namespace, name: "any".to_owned() };
        let metadata = entry.metadata.clone();
        let payload = Payload { canary, phase: String::new(), checksum: String::new(), metadata };
        Task::read(&payload, &Rules { allow_commands: true, ..rules.clone() })
            .map_err(|refused| Error::Task { name: name.to_owned(), why: refused.text })?;
    }
    Ok(())
}

const GRACE: Duration = Duration::from_secs(60);
/// Connections at once.
const CONNECTIONS: usize = 256;
