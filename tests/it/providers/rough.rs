//! A server that does what no library for servers would do.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// In which way it answers wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It takes the call and says nothing.
    Silent,
    /// It sends the first half of its answer and no more.
    Stalls,
    /// The connection is lost within the headers.
    Lost,
    /// The connection is lost within the body.
    Short,
    /// It sends its answer, and blanks until there are more than a megabyte.
    Huge,
}

impl Manner {
    /// One of these is said of it: the cluster's own client has other words.
    pub fn said(self) -> &'static [&'static str] {
        match self {
            Self::Silent | Self::Stalls => &["no complete answer within"],
            Self::Lost => &["connection closed before message completed"],
            Self::Short => &["end of file before message length reached"],
            Self::Huge => &["longer than 1048576 bytes"],
        }
    }
}

/// A server that answers everybody in the same manner.
pub struct Rough {
    pub url: String,
    asked: Arc<Notify>,
    task: AbortHandle,
}

impl Rough {
    /// A server whose answer would have been `body`.
    pub async fn start(body: &str, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let asked = Arc::new(Notify::new());
        let (body, told) = (body.to_owned(), asked.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, body.clone(), manner, told.clone()));
            }
        });
        Self { url, asked, task: task.abort_handle() }
    }

    /// Ends when a call has come.
    pub async fn has_been_asked(&self) {
        self.asked.notified().await;
    }
}

impl Drop for Rough {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, mut body: String, manner: Manner, asked: Arc<Notify>) {
    if !request(&mut stream).await {
        return;
    }
    if manner == Manner::Huge {
        body += &" ".repeat(1024 * 1024 + 1);
    }
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let half = format!("{head}{}", &body[..body.len() / 2]);
    let said = match manner {
        Manner::Silent => String::new(),
        Manner::Stalls | Manner::Short => half,
        Manner::Lost => head[..head.len() / 2].to_owned(),
        Manner::Huge => head + &body,
    };
    // Who has read enough hangs up.
    let _ = stream.write_all(said.as_bytes()).await;
    asked.notify_one();
    if matches!(manner, Manner::Silent | Manner::Stalls) {
        std::future::pending::<()>().await;
    }
}

/// Reads a request to its end, since a connection that is closed before is reset; false if there is none.
async fn request(stream: &mut TcpStream) -> bool {
    let (mut text, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut piece).await {
            Ok(length @ 1..) => text.extend_from_slice(&piece[..length]),
            _ => return false,
        }
        let shown = String::from_utf8_lossy(&text).to_ascii_lowercase();
        let Some((head, _)) = shown.split_once("\r\n\r\n") else { continue };
        let body = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        if text.len() >= head.len() + 4 + body.unwrap_or(0_usize) {
            return true;
        }
    }
}
