//! Waiting for a condition with a deadline: the only kind of waiting that a noisy machine allows.
//!
//! Deadlines are stretched by how slow the machine is ([`crate::pace`]), and an API server that cannot be reached for a while
//! is no answer: it is asked again until the deadline.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

use crate::pace;

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
/// The deadline passed, or looking failed for another reason than an API server that could not be reached.
pub async fn some<T>(
    what: &str,
    deadline: Duration,
    mut look: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    let mut away = String::new();
    loop {
        match look().await {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => away.clear(),
            Err(error) if is_away(&error) => away = format!("; the API server: {error:#}"),
            Err(error) => return Err(error),
        }
        if start.elapsed() > pace::stretched(deadline) {
            bail!("waited {} s in vain: {what}{away}", start.elapsed().as_secs());
        }
        sleep(PAUSE).await;
    }
}

/// Asks the API server something, again if it cannot be reached.
///
/// # Errors
/// It said no, or could not be reached for a minute.
pub async fn calmly<T>(mut ask: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    some("the API server answers", Duration::from_secs(60), async || ask().await.map(Some)).await
}

/// Whether the API server could not be reached, or could not do its work: it has not said no.
fn is_away(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|cause| cause.downcast_ref::<kube::Error>()).any(|error| match error {
        kube::Error::Api(status) => status.code >= 500 || status.code == 429,
        kube::Error::HyperError(_) | kube::Error::Service(_) | kube::Error::ReadEvents(_) => true,
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(code: u16) -> anyhow::Error {
        let status = kube::core::Status { code, ..Default::default() };
        anyhow::Error::new(kube::Error::Api(Box::new(status))).context("asking")
    }

    #[tokio::test]
    async fn an_api_server_that_is_away_is_asked_again_and_one_that_says_no_is_not() {
        let mut tries = 0;
        let answer = calmly(async || {
            tries += 1;
            if tries < 3 { Err(api(503)) } else { Ok(tries) }
        });
        assert_eq!(answer.await.expect("an answer"), 3);
        assert!(calmly::<()>(async || Err(api(403))).await.is_err());
    }
}
