//! Mail: one message over one connection (RFC 5321). The address says how that is encrypted: `smtps:` from the first byte,
//! `smtp:` after STARTTLS, without which nothing is sent, and `smtp:` with `?tls=none` never.
//!
//! What the server says becomes the HTTP status that means the same, so that the client above treats a mail as any call:
//! 200 taken, 207 taken for some, 400 and 401 refused, 503 not now.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use lettre::Address;
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream};
use lettre::transport::smtp::commands::{Data, Ehlo, Mail, Rcpt, Starttls};
use lettre::transport::smtp::extension::ClientId;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::Url;

use super::egress::{Denied, Egress};
use super::error::{Cause, tls_error, unconnected};
use super::request::{Auth, Envelope, Request};
use super::response::Response;

/// The port of a mail server's address.
pub(super) fn port(url: &Url) -> u16 {
    url.port().unwrap_or(if url.scheme() == "smtps" { 465 } else { 587 })
}

/// Hands a mail to the server of the request's address.
pub(super) async fn deliver(
    request: &Request,
    envelope: &Envelope,
    egress: &Egress,
) -> Result<Response, Cause> {
    let url = Url::parse(&request.url).map_err(|error| Cause::InvalidUrl(error.to_string()))?;
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let peer = format!("{}:{}", url.host_str().unwrap_or_default(), port(&url));
    let mut socket = connect(host, port(&url), &peer, egress).await?;
    let address = socket.peer_addr().map_err(|error| broken(&error))?;
    let hello = match socket.local_addr().map_err(|error| broken(&error))?.ip() {
        IpAddr::V4(address) => ClientId::Ipv4(address),
        IpAddr::V6(address) => ClientId::Ipv6(address),
    };
    if url.scheme() == "smtps" {
        let secure = encrypted(socket, host, request.ca.as_deref(), &peer).await?;
        return converse(Line::new(secure, address, b""), &hello, request, envelope).await;
    }
    if url.query_pairs().any(|(name, value)| name == "tls" && value == "none") {
        return converse(Line::new(socket, address, b""), &hello, request, envelope).await;
    }
    if let Some(refusal) = start_tls(&mut socket, &hello).await? {
        return Ok(refusal);
    }
    let secure = encrypted(socket, host, request.ca.as_deref(), &peer).await?;
    // A server greets once, and the client that goes on from here waits for a greeting.
    converse(Line::new(secure, address, b"220 encrypted\r\n"), &hello, request, envelope).await
}

async fn connect(host: &str, port: u16, peer: &str, egress: &Egress) -> Result<TcpStream, Cause> {
    let unreachable = |error: &io::Error| {
        let text = error.to_string();
        let why = text.split(" (os error ").next().unwrap_or_default();
        Cause::Connect(unconnected(why, error.kind() == io::ErrorKind::ConnectionRefused, peer))
    };
    let addresses = match egress.addresses(host, port).await {
        Ok(addresses) => addresses,
        Err(error) => {
            return Err(match error.downcast::<Denied>() {
                Ok(denied) => Cause::Denied(*denied),
                Err(error) => unreachable(&io::Error::other(error)),
            });
        }
    };
    let mut last = io::Error::other("the name stands for no address");
    for address in addresses {
        match timeout(CONNECTING, TcpStream::connect(address)).await {
            Ok(Ok(socket)) => return Ok(socket),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::Error::other("i/o timeout"),
        }
    }
    Err(unreachable(&last))
}

async fn encrypted(
    socket: TcpStream,
    host: &str,
    ca: Option<&str>,
    peer: &str,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Cause> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| Cause::InvalidUrl(format!("{host:?} is no name that a certificate could have")))?;
    let connector = TlsConnector::from(Arc::new(trusting(ca)?));
    connector.connect(name, socket).await.map_err(|error| match tls_error(&error) {
        Some(rustls::Error::InvalidCertificate(reason)) => Cause::Tls(reason.to_string()),
        _ => Cause::Connect(format!("TLS with {peer}: {error}")),
    })
}

/// Trusts `ca`, or else the roots of the machine.
fn trusting(ca: Option<&str>) -> Result<ClientConfig, Cause> {
    super::install_tls_provider();
    let builder = ClientConfig::builder();
    let Some(pem) = ca else {
        let builder = builder.with_platform_verifier().map_err(|error| Cause::Tls(error.to_string()))?;
        return Ok(builder.with_no_client_auth());
    };
    let unreadable = |why: String| Cause::Tls(format!("the CA cannot be read: {why}"));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unreadable(error.to_string()))?;
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Asks the server to go on encrypted; what it says if it does not. Reads no byte beyond its consent: what somebody on the
/// way has added to that would otherwise count as said under encryption.
async fn start_tls(socket: &mut TcpStream, hello: &ClientId) -> Result<Option<Response>, Cause> {
    let greeting = reply(socket).await?;
    if greeting.0 != 220 {
        return Ok(Some(said(greeting.0, &greeting.1)));
    }
    let (code, abilities) = ask(socket, &Ehlo::new(hello.clone()).to_string()).await?;
    if code != 250 {
        return Ok(Some(said(code, &abilities)));
    }
    if !abilities.lines().any(|line| line.trim().eq_ignore_ascii_case("STARTTLS")) {
        return Ok(Some(Response::new(400, UNENCRYPTED)));
    }
    let (code, text) = ask(socket, &Starttls.to_string()).await?;
    Ok((code != 220).then(|| said(code, &text)))
}

async fn ask(socket: &mut TcpStream, command: &str) -> Result<(u16, String), Cause> {
    socket.write_all(command.as_bytes()).await.map_err(|error| broken(&error))?;
    reply(socket).await
}

/// One reply: its code and its lines without it.
async fn reply(socket: &mut TcpStream) -> Result<(u16, String), Cause> {
    let (mut line, mut text) = (Vec::new(), String::new());
    for _ in 0..LONGEST_REPLY {
        let byte = socket.read_u8().await.map_err(|error| broken(&error))?;
        if byte != b'\n' {
            line.push(byte);
            continue;
        }
        let code =
            line.get(..3).and_then(|code| str::from_utf8(code).ok()).and_then(|code| code.parse().ok());
        let (Some(code @ 200..=599), Some(b' ' | b'-' | b'\r') | None) = (code, line.get(3)) else {
            return Err(Cause::Broken(NO_SMTP.to_owned()));
        };
        text += String::from_utf8_lossy(line.get(4..).unwrap_or_default()).trim();
        if line.get(3) != Some(&b'-') {
            return Ok((code, text));
        }
        text.push('\n');
        line.clear();
    }
    Err(Cause::Broken("the mail server's reply has no end".to_owned()))
}

async fn converse<S>(
    line: Line<S>,
    hello: &ClientId,
    request: &Request,
    envelope: &Envelope,
) -> Result<Response, Cause>
where
    Line<S>: AsyncTokioStream + 'static,
{
    let parse = |address: &String| {
        address.parse::<Address>().map_err(|_| Cause::InvalidUrl("an address of the mail is none".to_owned()))
    };
    let from = parse(&envelope.from)?;
    let to = envelope.to.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    let talk = async {
        let mut server = AsyncSmtpConnection::connect_with_transport(Box::new(line), hello).await?;
        if let Auth::Basic { username, password } = &request.auth {
            if server.server_info().get_auth_mechanism(&MECHANISMS).is_none() {
                return Ok(Response::new(400, NO_LOGIN));
            }
            let credentials = Credentials::new(username.clone(), password.clone());
            server.auth(&MECHANISMS, &credentials).await?;
        }
        server.command(Mail::new(Some(from), Vec::new())).await?;
        let (mut refused, mut last) = (Vec::new(), None);
        for address in &to {
            match server.command(Rcpt::new(address.clone(), Vec::new())).await {
                Ok(_) => {}
                Err(error) if error.status().is_none() => return Err(error),
                Err(error) => {
                    refused.push(format!("{address} ({})", told(&error)));
                    last = Some(error);
                }
            }
        }
        if let Some(error) = last.filter(|_| refused.len() == to.len()) {
            return Err(error);
        }
        server.command(Data).await?;
        // The end of the mail brings a line break of its own.
        let text = request.body.strip_suffix(b"\r\n").unwrap_or(&request.body);
        let taken = server.message(text).await?;
        // The mail is theirs now, whatever they say to the end.
        let _ = timeout(PARTING, server.quit()).await;
        Ok(match refused.is_empty() {
            true => Response::new(200, taken.message().collect::<Vec<_>>().join(" ")),
            false => Response::new(207, refused.join(", ")),
        })
    };
    talk.await.or_else(|error: SmtpError| match error.status() {
        Some(code) => Ok(said(u16::from(code), &told(&error))),
        None => Err(Cause::Broken(match std::error::Error::source(&error) {
            Some(_) if error.is_response() => NO_SMTP.to_owned(),
            Some(inner) => inner.to_string(),
            None => error.to_string(),
        })),
    })
}

/// What a server has said beside the code.
fn told(error: &SmtpError) -> String {
    let code = error.status().map(|code| code.to_string()).unwrap_or_default();
    let text = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    format!("{code} {text}").trim().to_owned()
}

/// The answer that means what a server has said with `code`.
fn said(code: u16, text: &str) -> Response {
    let status = match code {
        200..400 => 200,
        400..500 => 503,
        530 | 534 | 535 | 538 => 401,
        _ => 400,
    };
    let text = text.replace('\n', " ");
    let coded = text.starts_with(&code.to_string());
    Response::new(status, if coded { text } else { format!("{code} {text}") })
}

fn broken(error: &io::Error) -> Cause {
    Cause::Broken(match error.kind() {
        io::ErrorKind::UnexpectedEof => "the mail server has hung up".to_owned(),
        _ => error.to_string(),
    })
}

/// A connection from which so much is read and no more.
#[derive(Debug)]
struct Line<S> {
    stream: S,
    peer: SocketAddr,
    /// What is read before anything of the connection.
    first: &'static [u8],
    left: usize,
}

impl<S> Line<S> {
    fn new(stream: S, peer: SocketAddr, first: &'static [u8]) -> Self {
        Self { stream, peer, first, left: LONGEST_TALK }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Line<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let (now, later) = self.first.split_at(self.first.len().min(into.remaining()));
            into.put_slice(now);
            self.first = later;
            return Poll::Ready(Ok(()));
        }
        if self.left == 0 {
            return Poll::Ready(Err(io::Error::other("the mail server says too much")));
        }
        let before = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, into);
        self.left = self.left.saturating_sub(into.filled().len() - before);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Line<S> {
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

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin + std::fmt::Debug> AsyncTokioStream for Line<S> {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}

const MECHANISMS: [Mechanism; 2] = [Mechanism::Plain, Mechanism::Login];
const NO_SMTP: &str = "what answers is no mail server";
const UNENCRYPTED: &str = "the server offers no encryption (STARTTLS): write smtps:// if it encrypts from the start, or add ?tls=none to the address of a relay in the cluster";
const NO_LOGIN: &str = "the server takes no login with a password (AUTH PLAIN or LOGIN): leave out username and password, or use another port of it";
/// How long one address may take to be connected to.
const CONNECTING: Duration = Duration::from_secs(10);
/// How long a server may take to say goodbye.
const PARTING: Duration = Duration::from_secs(2);
/// Bytes of a reply before encryption.
const LONGEST_REPLY: usize = 16 * 1024;
/// Bytes that a server may say while it takes one mail.
const LONGEST_TALK: usize = 64 * 1024;
