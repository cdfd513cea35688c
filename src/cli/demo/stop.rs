//! How the demo is told to end: Ctrl-C, `kill`, and a terminal that goes away. In all of these cases it ends in order,
//! so that nothing is left behind.

use std::future::poll_fn;
use std::task::Poll;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that end the demo. They are heard from the beginning on, whenever they are asked for.
pub(super) struct Stop(Vec<Signal>);

impl Stop {
    /// Begins to hear them.
    ///
    /// # Errors
    /// If they cannot be heard.
    pub(super) fn hear() -> anyhow::Result<Self> {
        let mut kinds = vec![
            (SignalKind::interrupt(), "Ctrl-C"),
            (SignalKind::terminate(), "SIGTERM"),
            (SignalKind::quit(), "SIGQUIT"),
        ];
        // Under nohup it goes on without its terminal.
        if !is_ignored(SignalKind::hangup()) {
            kinds.push((SignalKind::hangup(), "SIGHUP"));
        }
        let heard =
            kinds.into_iter().map(|(kind, name)| signal(kind).context(format!("{name} cannot be heard")));
        Ok(Self(heard.collect::<anyhow::Result<_>>()?))
    }

    /// Waits for one of them.
    pub(super) async fn heard(&mut self) {
        poll_fn(|cx| {
            let come = self.0.iter_mut().any(|signal| signal.poll_recv(cx).is_ready());
            if come { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// Whether whoever started this process wanted it to ignore the signal. Only Linux tells.
fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (kind.as_raw_value() - 1) & 1 == 1
}
