//! The HTTP client of the users: keeps connections, and sends again what a server that went away cannot have seen.
//!
//! A server may close a connection that nobody uses at the very moment at which a request is on its way to it. Every client
//! that users have sends such a request once more if it is idempotent (RFC 9110, 9.2.2), and so does this one: only on a
//! connection that had been used before, only if not one byte of an answer came, only once, and it says that it did.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

use crate::pace;

/// How often is looked whether an answer is too late.
const LOOK: Duration = Duration::from_secs(1);

/// Asks one server.
pub struct Client {
    target: SocketAddr,
    patience: Duration,
    idle: Mutex<Vec<Connection>>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// The request was sent twice.
    pub retried: bool,
}

struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    /// Bytes that the server has sent.
    heard: Arc<AtomicU64>,
    task: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Why an attempt failed.
struct Failure {
    reason: String,
    /// Nobody can have answered it: it may be sent again.
    unheard: bool,
}

impl Client {
    /// A client of one server that waits no longer than `patience` for an answer, or longer on a slow machine.
    pub fn new(target: SocketAddr, patience: Duration) -> Client {
        Client { target, patience, idle: Mutex::default() }
    }

    /// Makes an idempotent request without a body; its URI is a path.
    ///
    /// # Errors
    /// There was no complete answer; the text says why.
    pub async fn ask(&self, request: Request<Empty<Bytes>>) -> Result<Answer, String> {
        let start = Instant::now();
        let too_late = async {
            // The limit is looked at again and again, because it grows while the machine stands still.
            while start.elapsed() <= pace::stretched(self.patience) {
                sleep(LOOK).await;
            }
        };
        tokio::select! {
            biased;
            result = self.ask_twice(request) => result,
            () = too_late => Err(format!("no answer within {} s", start.elapsed().as_secs())),
        }
    }

    async fn ask_twice(&self, request: Request<Empty<Bytes>>) -> Result<Answer, String> {
        if let Some(used) = self.take().await {
            match self.attempt(used, request.clone(), false).await {
                Err(failure) if failure.unheard => {}
                result => return result.map_err(|failure| failure.reason),
            }
            let fresh = self.connect().await?;
            return self.attempt(fresh, request, true).await.map_err(|failure| failure.reason);
        }
        let fresh = self.connect().await?;
        self.attempt(fresh, request, false).await.map_err(|failure| failure.reason)
    }

    async fn attempt(
        &self,
        mut connection: Connection,
        request: Request<Empty<Bytes>>,
        retried: bool,
    ) -> Result<Answer, Failure> {
        let before = connection.heard.load(Ordering::SeqCst);
        let response = connection.sender.send_request(request).await.map_err(|error| Failure {
            reason: root_cause(&error),
            unheard: connection.heard.load(Ordering::SeqCst) == before,
        })?;
        let (head, body) = response.into_parts();
        let body = body.collect().await;
        let body = body.map_err(|error| Failure { reason: root_cause(&error), unheard: false })?.to_bytes();
        if let Ok(mut idle) = self.idle.lock() {
            idle.push(connection);
        }
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body, retried })
    }

    /// A connection that was used before and is not known to be closed.
    async fn take(&self) -> Option<Connection> {
        loop {
            let mut connection = self.idle.lock().ok()?.pop()?;
            if connection.sender.ready().await.is_ok() {
                return Some(connection);
            }
        }
    }

    async fn connect(&self) -> Result<Connection, String> {
        let stream = TcpStream::connect(self.target).await.map_err(|error| error.to_string())?;
        // Without it small requests wait for each other.
        let _ = stream.set_nodelay(true);
        let heard = Arc::new(AtomicU64::new(0));
        let counting = Counting { stream, heard: heard.clone() };
        let (sender, work) = handshake(TokioIo::new(counting)).await.map_err(|error| root_cause(&error))?;
        // How it ends is told to whoever waits for an answer.
        let task = tokio::spawn(async move { _ = work.await }).abort_handle();
        Ok(Connection { sender, heard, task })
    }
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// A stream that counts what it reads.
struct Counting {
    stream: TcpStream,
    heard: Arc<AtomicU64>,
}

impl AsyncRead for Counting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        let read = buffer.filled().len() - before;
        self.heard.fetch_add(u64::try_from(read).unwrap_or(u64::MAX), Ordering::SeqCst);
        result
    }
}

impl AsyncWrite for Counting {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const WHOLE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    const HALF: &[u8] = b"HTTP/1.1 200";

    /// A server that answers the requests of each connection with these bytes, one after the other, and then hangs up.
    async fn serve(connections: Vec<Vec<&'static [u8]>>) -> Client {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            for answers in connections {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                for answer in answers {
                    let mut request = [0; 1024];
                    let _ = stream.read(&mut request).await;
                    let _ = stream.write_all(answer).await;
                }
            }
        });
        Client::new(address, Duration::from_secs(10))
    }

    async fn ask(client: &Client) -> Result<bool, String> {
        let request = Request::get("/").header("host", "shop").body(Empty::new()).expect("a request");
        client.ask(request).await.map(|answer| answer.retried)
    }

    #[tokio::test]
    async fn a_used_connection_that_ends_without_a_byte_costs_a_second_try() {
        let client = serve(vec![vec![WHOLE, b""], vec![WHOLE]]).await;
        assert_eq!(ask(&client).await, Ok(false));
        assert_eq!(ask(&client).await, Ok(true));
    }

    #[tokio::test]
    async fn half_an_answer_is_a_loss() {
        let client = serve(vec![vec![WHOLE, HALF], vec![WHOLE]]).await;
        assert_eq!(ask(&client).await, Ok(false));
        assert!(ask(&client).await.is_err());
    }

    #[tokio::test]
    async fn a_fresh_connection_that_ends_is_a_loss_also_on_the_second_try() {
        let client = serve(vec![vec![b""], vec![WHOLE, b""], vec![b""]]).await;
        assert!(ask(&client).await.is_err());
        assert_eq!(ask(&client).await, Ok(false));
        assert!(ask(&client).await.is_err());
    }
}
