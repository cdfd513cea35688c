//! How a process is told to stop.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::warn;

/// Waits for SIGTERM or Ctrl-C. They are heard from this call on, whenever the answer is waited for: a process that is
/// told to stop while it starts ends in order too.
pub(super) fn shutdown_signal() -> impl Future<Output = ()> {
    let terminated = heard(SignalKind::terminate(), "SIGTERM");
    let interrupted = heard(SignalKind::interrupt(), "Ctrl-C");
    async {
        tokio::select! {
            biased;
            () = come(terminated) => {}
            () = come(interrupted) => {}
        }
    }
}

fn heard(kind: SignalKind, name: &str) -> Option<Signal> {
    match signal(kind) {
        Ok(signal) => Some(signal),
        Err(error) => {
            warn!(%error, "{name} cannot be heard");
            None
        }
    }
}

async fn come(signal: Option<Signal>) {
    match signal {
        Some(mut signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}
