//! How watches come back: every half second, for as long as it takes, because runs stop the API server on purpose.

use std::time::Duration;

use kube::runtime::utils::Backoff;

/// Half a second, always.
#[derive(Clone, Copy, Debug, Default)]
pub struct Steady;

impl Iterator for Steady {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(Duration::from_millis(500))
    }
}

impl Backoff for Steady {
    fn reset(&mut self) {}
}
