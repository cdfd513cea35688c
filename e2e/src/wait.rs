//! Waiting for a condition with a deadline: the only kind of waiting that a noisy machine allows.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

/// How often conditions are looked at.
const PAUSE: Duration = Duration::from_millis(200);

/// Waits until the condition holds.
///
/// # Errors
/// The deadline passed, or the condition itself failed.
pub async fn until(
    what: &str,
    deadline: Duration,
    mut condition: impl AsyncFnMut() -> Result<bool>,
) -> Result<()> {
    some(what, deadline, async || Ok(condition().await?.then_some(()))).await
}

/// Waits until there is something to give.
///
/// # Errors
/// The deadline passed, or looking failed.
pub async fn some<T>(
    what: &str,
    deadline: Duration,
    mut look: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if start.elapsed() > deadline {
            bail!("waited {} s in vain: {what}", deadline.as_secs());
        }
        sleep(PAUSE).await;
    }
}
