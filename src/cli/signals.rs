//! How a process is told to stop.

use tokio::signal::unix::{SignalKind, signal};
use tracing::warn;

/// Waits for SIGTERM or Ctrl-C.
pub(super) async fn shutdown_signal() {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => {
                terminate.recv().await;
            }
            Err(error) => {
                warn!(%error, "SIGTERM cannot be heard");
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        biased;
        () = terminated => {}
        interrupted = tokio::signal::ctrl_c() => {
            if let Err(error) = interrupted {
                warn!(%error, "Ctrl-C cannot be heard");
            }
        }
    }
}
