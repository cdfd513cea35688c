//! The end of a watch that has fallen silent. A watch that works says something at least every minute: the API server
//! sends bookmarks. One that says nothing for longer is cut off somewhere, and nobody else would tell us.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};
use tracing::{debug, info};

/// The body of a watch: it ends, as if the server had ended it, when nothing came for [`SILENCE`]. The reader then
/// watches on from where it was.
pub struct Watched<B> {
    /// None once it has ended.
    body: Option<Pin<Box<B>>>,
    silence: Pin<Box<Sleep>>,
    resource: String,
    heard: bool,
}

impl<B> Watched<B> {
    /// Wraps the `body` of a watch of `resource`, which is its name in the log. Needs a runtime.
    pub fn new(body: B, resource: String) -> Self {
        let silence = Box::pin(tokio::time::sleep(SILENCE));
        Self { body: Some(Box::pin(body)), silence, resource, heard: false }
    }
}

impl<B: Body> Body for Watched<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        match body.as_mut().poll_frame(cx) {
            Poll::Ready(Some(frame)) => {
                self.heard = true;
                self.silence.as_mut().reset(Instant::now() + SILENCE);
                Poll::Ready(Some(frame))
            }
            Poll::Ready(None) => {
                self.body = None;
                Poll::Ready(None)
            }
            Poll::Pending => {
                std::task::ready!(self.silence.as_mut().poll(cx));
                // Closes the connection as well.
                self.body = None;
                if self.heard {
                    info!(resource = self.resource, "the watch has fallen silent: watching anew");
                } else {
                    // Old servers send no bookmarks of kinds in which nothing ever happened.
                    debug!(resource = self.resource, "the watch never said anything: watching anew");
                }
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(|body| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// A little longer than the minute between two bookmarks, with the second by which servers may be late.
pub const SILENCE: Duration = Duration::from_secs(70);
