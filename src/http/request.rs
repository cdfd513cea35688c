//! A call to be made, as a value.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;

use super::redact::shown_url;

/// A call to be made. The defaults are those of most callers: see [`Request::new`]. What it holds is for the origin
/// (scheme, host, port) of its URL alone: a redirect to another is not followed, it is the answer.
#[derive(Clone, PartialEq)]
pub struct Request {
    /// The method of the call.
    pub method: Method,
    /// A user and password in it are sent as basic authentication, unless `auth` or a header says otherwise.
    pub url: String,
    /// Added to those of the URL.
    pub query: Vec<(String, String)>,
    /// A name that appears twice is sent twice.
    pub headers: Vec<(String, String)>,
    /// The bytes that are sent; empty for a call without a body.
    pub body: Bytes,
    /// The credentials that are sent in the `Authorization` header.
    pub auth: Auth,
    /// How long one attempt may take, from the first byte sent to the last byte read.
    pub timeout: Duration,
    /// How much of an answer's body is read.
    pub max_bytes: usize,
    /// What happens to an answer that is longer.
    pub oversize: Oversize,
    /// Further attempts after the first, where another attempt can help.
    pub retries: u32,
    /// Accept any certificate.
    pub insecure: bool,
    /// Certificates in PEM that are trusted in place of the roots of the machine.
    pub ca: Option<String>,
    /// The certificate of the caller and its key, in PEM. Not for mails.
    pub identity: Option<String>,
    /// Makes the body a mail, which goes to an address that begins with `smtp:` or `smtps:`.
    pub mail: Option<Envelope>,
    /// Overrides the proxy of the environment.
    pub proxy: Option<String>,
    /// Whether the address is one that the controller itself has chosen, as that of the machine's metadata service: what
    /// is denied to the addresses of users is not denied to it.
    pub own_address: bool,
    /// Whether it makes or changes something at the other side, so that it may not be sent once for several who ask.
    pub creates: bool,
}

/// From whom a mail comes and whom it is delivered to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The address of the sender.
    pub from: String,
    /// The addresses of those who get it.
    pub to: Vec<String>,
}

/// How a call authenticates. Wins over an `Authorization` header and over the user in the URL.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Auth {
    /// The request adds no credentials of its own.
    #[default]
    None,
    /// The request sends a bearer token.
    Bearer(String),
    /// The request sends basic authentication.
    Basic {
        /// The user name, which logs may show.
        username: String,
        /// The password, which logs never show.
        password: String,
    },
}

/// What happens to an answer that is longer than the caller reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Oversize {
    /// It is an error: half an answer would be misread.
    #[default]
    Refuse,
    /// Its beginning is enough: the status is what counts.
    Cut,
}

impl Request {
    /// A call of 10 s at most, that reads up to 1 MiB and is not repeated.
    pub fn new(method: Method, url: impl Into<String>) -> Self {
        Self {
            creates: matches!(method, Method::PUT | Method::DELETE | Method::PATCH),
            method,
            url: url.into(),
            query: Vec::new(),
            headers: Vec::new(),
            body: Bytes::new(),
            auth: Auth::None,
            timeout: Duration::from_secs(10),
            max_bytes: 1024 * 1024,
            oversize: Oversize::Refuse,
            retries: 0,
            insecure: false,
            ca: None,
            identity: None,
            mail: None,
            proxy: None,
            own_address: false,
        }
    }

    /// A GET without a body.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new(Method::GET, url)
    }

    /// A POST of `body`, with `content_type` as its `Content-Type`.
    pub fn post(url: impl Into<String>, content_type: &str, body: impl Into<Bytes>) -> Self {
        let headers = vec![("Content-Type".to_owned(), content_type.to_owned())];
        Self { headers, body: body.into(), ..Self::new(Method::POST, url) }
    }

    /// A POST of `fields` as a form.
    pub fn form(url: impl Into<String>, fields: &[(String, String)]) -> Self {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        Self::post(url, "application/x-www-form-urlencoded", body)
    }

    /// The URL as people may see it; without `query`.
    pub fn shown_url(&self) -> String {
        shown_url(&self.url)
    }
}

/// Names, never values: headers, parameters and bodies may hold secrets.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names =
            |pairs: &[(String, String)]| pairs.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("url", &self.shown_url())
            .field("query", &names(&self.query))
            .field("headers", &names(&self.headers))
            .field("body_bytes", &self.body.len())
            .field("auth", &self.auth)
            .field("timeout", &self.timeout)
            .field("retries", &self.retries)
            .field("insecure", &self.insecure)
            .field("proxy", &self.proxy.as_deref().map(shown_url))
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Bearer(_) => f.write_str("Bearer(xxxxx)"),
            Self::Basic { username, .. } => write!(f, "Basic({username}:xxxxx)"),
        }
    }
}
