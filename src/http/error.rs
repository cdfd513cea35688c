//! Why a call got no usable answer.

use std::io;
use std::time::Duration;

use reqwest::Method;
use thiserror::Error;

use super::egress::Denied;

/// A call that got no usable answer. Holds no secret: a password in the URL is hidden, parameters are left out.
#[derive(Clone, Debug, Error, PartialEq)]
#[error("{method} {url}: {cause}")]
pub struct Error {
    /// The method of the call.
    pub method: Method,
    /// As it may be shown.
    pub url: String,
    /// Attempts made; 0 when the request could not even be tried.
    pub attempts: u32,
    /// Why the last attempt failed.
    pub cause: Cause,
}

/// Why one attempt failed.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum Cause {
    /// The address is not a URL that can be called; the text says why.
    #[error("invalid URL: {0}")]
    InvalidUrl(String),
    /// The name or the value of this header is not valid in HTTP.
    #[error("invalid header {0:?}")]
    InvalidHeader(String),
    /// The client itself cannot be set up as asked.
    #[error("invalid proxy {proxy}: {reason}")]
    InvalidProxy {
        /// The address of the proxy, without its password.
        proxy: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The address is in a network that may not be called.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// A client that only asks (a shadow's) makes no such call.
    #[error("not sent: this instance is a shadow (-shadow), which calls no hooks and sends no alerts")]
    Shadowed,
    /// So many calls are under way, to this host or in all, that it was not this one's turn for so long.
    #[error("not sent: no connection was free within {0:?}, too many calls are under way")]
    Busy(Duration),
    /// So many calls wait already that this one was turned away.
    #[error("not sent: too many calls wait for a connection")]
    Crowded,
    /// The attempt took longer than the request allows.
    #[error("no complete answer within {0:?}: context deadline exceeded")]
    Timeout(Duration),
    /// Not reachable: name, network, handshake. The text has the words of Go's dialer, `dial tcp 10.0.0.7:9090: connect:
    /// connection refused`, since alerts search for them.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The server's certificate is not trusted.
    #[error("certificate not trusted: {0}")]
    Tls(String),
    /// The server redirected the call more often than the client follows.
    #[error("too many redirects")]
    TooManyRedirects,
    /// The answer is longer than the request allows.
    #[error("the answer is longer than {limit} bytes")]
    TooLarge {
        /// How many bytes the request allows.
        limit: usize,
    },
    /// The connection broke off, or what came is not HTTP.
    #[error("connection failed: {0}")]
    Broken(String),
}

impl Cause {
    /// Whether the same call may succeed a little later.
    pub(super) fn worth_retrying(&self) -> bool {
        matches!(self, Self::Timeout(_) | Self::Connect(_) | Self::Broken(_))
    }

    /// Whether the call was not its receiver's affair: it was not made for want of a connection.
    pub(super) fn no_place(&self) -> bool {
        matches!(self, Self::Busy(_) | Self::Crowded)
    }

    /// Whether the call was given up before anything was sent, because it is wrong in itself
    /// or not allowed.
    pub(crate) fn never_sent(&self) -> bool {
        matches!(
            self,
            Self::InvalidUrl(_)
                | Self::InvalidHeader(_)
                | Self::InvalidProxy { .. }
                | Self::Denied(_)
                | Self::Shadowed
        )
    }
}

/// Why there is no connection to `peer`, in the words that alerts and dashboards search for.
pub(super) fn unconnected(why: &str, refused: bool, peer: &str) -> String {
    let host = peer.rsplit_once(':').map_or(peer, |(host, _)| host);
    if refused {
        format!("dial tcp {peer}: connect: connection refused")
    } else if UNKNOWN_NAME.iter().any(|unknown| why.contains(unknown)) {
        format!("dial tcp: lookup {host}: no such host")
    } else if let Some(why) = why.strip_prefix(LOOKUP) {
        format!("dial tcp: lookup {host}{why}")
    } else {
        format!("dial tcp {peer}: {why}")
    }
}

/// An io::Error hides the error that it was made from: its `source` is the source of that error.
pub(super) fn tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    match error.downcast_ref::<io::Error>() {
        Some(error) => tls_error(error.get_ref()?),
        None => error.downcast_ref(),
    }
}

/// How the resolver begins to say that it has found nothing.
const LOOKUP: &str = "failed to lookup address information";
/// What it says of names that do not exist.
const UNKNOWN_NAME: [&str; 3] =
    ["Name or service not known", "Name does not resolve", "No address associated with hostname"];
