//! Fault injection: a hook that sees each resource request and decides its fate.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::error::ApiStatus;

use super::log::RequestInfo;

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// It is served.
    Pass,
    /// It is not carried out; the answer is this status.
    Fail(ApiStatus),
    /// It is carried out, but answered with this status: a lost answer.
    FailAfter(ApiStatus),
    /// It is not carried out and never answered.
    Drop,
    /// It is carried out and never answered.
    DropAfter,
    /// It is not carried out; the connection breaks.
    Disconnect,
    /// It is carried out; the connection breaks before the answer.
    DisconnectAfter,
    /// It is served, but if it is a watch, its stream never says anything and never ends.
    HalfOpen,
    /// It is served after this time.
    Delay(Duration),
}

/// The hook of [`super::KubeSim::intercept`].
pub type Interceptor = Arc<dyn Fn(&RequestInfo) -> Fate + Send + Sync>;

/// The error of a client whose connection broke by [`Fate::Disconnect`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disconnected;

impl fmt::Display for Disconnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection to the embedded cluster broke (injected fault)")
    }
}

impl std::error::Error for Disconnected {}
