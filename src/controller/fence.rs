//! The fence knows whether this process may write, and until when. The leader publishes its claim here, and every
//! writer asks before each write.
//!
//! A claim carries its own end, which is compared with the time at each write. So a leader that hangs, is cut off or
//! sleeps stops writing even if nobody can tell it (promise 7). The figures fit together so that a deposed leader's
//! last write is over before another can lead: the claim ends 15 s after the last renewal that succeeded, a write
//! takes 30 s at most, and the lease that others wait for lasts 60 s.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;

/// The right of this process to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It may not write: another process leads, or none does.
    None,
    /// It leads, and may write until this time, unless the claim is renewed before.
    Until(Instant),
    /// It may always write, as there is no leader election.
    Always,
}

impl Claim {
    /// Whether it allows a write at `now`.
    pub fn is_valid(self, now: Instant) -> bool {
        match self {
            Self::None => false,
            Self::Until(end) => now < end,
            Self::Always => true,
        }
    }
}

/// The error for a write of a process that does not lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this instance does not lead: writes are left to the holder of the lease")]
pub struct NotLeading;

/// The gate that all writes pass. Clones are the same gate.
#[derive(Clone, Debug)]
pub struct Fence(Arc<Gate>);

#[derive(Debug)]
struct Gate {
    claim: watch::Sender<Claim>,
    writes: watch::Sender<usize>,
}

impl Fence {
    /// A fence that stands at `claim`.
    pub fn new(claim: Claim) -> Self {
        Self(Arc::new(Gate { claim: watch::Sender::new(claim), writes: watch::Sender::new(0) }))
    }

    /// The claim as last published. Check it with [`Claim::is_valid`].
    pub fn claim(&self) -> Claim {
        *self.0.claim.borrow()
    }

    /// To be told of changes. A claim that ends without renewal is not a change: the reader has to look at its end.
    pub fn watch(&self) -> watch::Receiver<Claim> {
        self.0.claim.subscribe()
    }

    /// Publishes a claim.
    pub fn publish(&self, claim: Claim) {
        self.0.claim.send_replace(claim);
    }

    /// Asks to write. The write counts as in flight until the pass is dropped.
    ///
    /// # Errors
    /// If the claim is not valid at `now`.
    pub fn enter(&self, now: Instant) -> Result<Pass, NotLeading> {
        // Counted before the claim is looked at: whoever closes the fence and then sees no write in flight knows
        // that there will be none.
        self.0.writes.send_modify(|writes| *writes += 1);
        let pass = Pass(Arc::clone(&self.0));
        if self.claim().is_valid(now) { Ok(pass) } else { Err(NotLeading) }
    }

    /// Waits until no write is in flight.
    pub async fn drained(&self) {
        let mut writes = self.0.writes.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _ = writes.wait_for(|writes| *writes == 0).await;
    }
}

/// One write in flight.
#[derive(Debug)]
pub struct Pass(Arc<Gate>);

impl Drop for Pass {
    fn drop(&mut self) {
        self.0.writes.send_modify(|writes| *writes = writes.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_claim_ends_by_itself() {
        let fence = Fence::new(Claim::None);
        assert!(fence.enter(Instant::now()).is_err());
        fence.publish(Claim::Until(Instant::now() + Duration::from_secs(15)));
        tokio::time::advance(Duration::from_millis(14_999)).await;
        assert!(fence.enter(Instant::now()).is_ok());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(Some(NotLeading), fence.enter(Instant::now()).err());
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_drained_when_the_last_write_is_over() {
        let fence = Fence::new(Claim::Always);
        let pass = fence.enter(Instant::now()).expect("open");
        fence.publish(Claim::None);
        let waiting = tokio::time::timeout(Duration::from_secs(5), fence.drained()).await;
        assert!(waiting.is_err(), "a write is still in flight");
        drop(pass);
        fence.drained().await;
        assert!(fence.enter(Instant::now()).is_err());
        fence.drained().await;
    }
}
