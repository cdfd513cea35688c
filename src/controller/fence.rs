//! The fence knows whether this process may write, and until when. The leader publishes its claim here, and every
//! writer asks before each write.
//!
//! A claim carries its own end, which is compared with the time at each write. So a leader that hangs, is cut off or
//! sleeps stops writing even if nobody can tell it (promise 7). The figures fit together so that a deposed leader's
//! last write is over before another can lead: the claim ends 7 s after the last renewal that succeeded, a write that is
//! on its way then is given up 2 s later, and the lease that others wait for lasts 10 s.
//!
//! The fence of a shadow lets nothing through at all, neither events nor leases, and cannot be opened.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

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

/// The error for a write of a shadow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this instance is a shadow (-shadow): it changes nothing")]
pub struct Shadowed;

/// The gate that all writes pass. Clones are the same gate.
#[derive(Clone, Debug)]
pub struct Fence(Arc<Gate>);

#[derive(Debug)]
struct Gate {
    claim: watch::Sender<Claim>,
    writes: watch::Sender<usize>,
    shadow: bool,
}

impl Fence {
    /// A fence that stands at `claim`.
    pub fn new(claim: Claim) -> Self {
        Self::made(claim, false)
    }

    /// The fence of a process that decides, and never writes.
    pub fn shadow() -> Self {
        Self::made(Claim::Always, true)
    }

    fn made(claim: Claim, shadow: bool) -> Self {
        Self(Arc::new(Gate { claim: watch::Sender::new(claim), writes: watch::Sender::new(0), shadow }))
    }

    /// Whether it is the fence of a shadow, which no write passes, whatever the claim says.
    pub fn is_shadow(&self) -> bool {
        self.0.shadow
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

    /// Waits until the claim has ended, and a write that is still on its way has to be given up.
    pub async fn overdue(&self) {
        let mut changes = self.watch();
        loop {
            let ends = match *changes.borrow_and_update() {
                Claim::None => Some(Instant::now()),
                Claim::Until(end) => Some(end),
                Claim::Always => None,
            };
            let over = async {
                match ends {
                    Some(end) => sleep_until(end + LAST_WRITE).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                // The sender lives in `self`, so waiting cannot fail.
                _ = changes.changed() => {}
                () = over => return,
            }
        }
    }

    /// Waits until no write is in flight.
    pub async fn drained(&self) {
        let mut writes = self.0.writes.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _ = writes.wait_for(|writes| *writes == 0).await;
    }
}

/// How long a write may take that is on its way when the claim ends.
const LAST_WRITE: Duration = Duration::from_secs(2);

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
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_write_is_given_up_two_seconds_after_the_claim_has_ended() {
        let fence = Fence::new(Claim::None);
        let began = Instant::now();
        let until = |seconds| fence.publish(Claim::Until(began + Duration::from_secs(seconds)));
        until(7);
        let renew = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            until(12);
            // It lapses for a moment, and is ours again.
            tokio::time::sleep(Duration::from_secs(8)).await;
            until(20);
        };
        tokio::join!(fence.overdue(), renew);
        assert_eq!(Duration::from_secs(22), began.elapsed());
    }

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
