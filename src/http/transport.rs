//! What carries a call: the real network, through reqwest and rustls, or something that stands for it.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::BytesMut;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use url::Url;

use super::egress::{Denied, Egress, Guarded};
use super::error::{Cause, tls_error, unconnected};
use super::redact::shown_url;
use super::request::{Auth, Request};
use super::response::Response;
use super::smtp;

/// Carries one attempt of a call. It may leave time limit, retries and counting to the [`Client`]; of the body it
/// should read `max_bytes` and one more byte at most, the client then deals with what is too long.
pub trait Transport: Send + Sync {
    /// Makes one attempt of `request`. An answer of any status is `Ok`.
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Cause>>;
}

/// Makes ring the TLS implementation of the process; done once, however often it is called. Building a client of
/// reqwest or kube without it panics.
pub fn install_tls_provider() {
    static DONE: OnceLock<()> = OnceLock::new();
    DONE.get_or_init(|| {
        // Fails only if there is one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// The real network. Connections are kept and shared by all calls of the same profile.
pub struct ReqwestTransport {
    clients: Mutex<BTreeMap<Profile, reqwest::Client>>,
    egress: Arc<Egress>,
}

/// What reqwest can only set for a whole client.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Profile {
    insecure: bool,
    proxy: Option<String>,
    own_address: bool,
    ca: Option<String>,
    identity: Option<String>,
}

impl ReqwestTransport {
    /// A transport without any connection; it opens them as calls need them, and none that `egress` denies.
    pub fn new(egress: Egress) -> Self {
        install_tls_provider();
        Self { clients: Mutex::default(), egress: Arc::new(egress) }
    }

    fn client(&self, profile: Profile) -> Result<reqwest::Client, Cause> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&profile) {
            return Ok(client.clone());
        }
        if clients.len() >= MAX_PROFILES {
            clients.clear();
        }
        let client = self.build(&profile)?;
        clients.insert(profile, client.clone());
        Ok(client)
    }

    fn egress(&self, own_address: bool) -> Arc<Egress> {
        if own_address { Arc::new(self.egress.for_own_addresses()) } else { Arc::clone(&self.egress) }
    }

    fn build(&self, profile: &Profile) -> Result<reqwest::Client, Cause> {
        let proxy = match &profile.proxy {
            Some(proxy) => {
                if let Ok(url) = Url::parse(proxy) {
                    self.egress.check_literal(&url)?;
                }
                Some(reqwest::Proxy::all(proxy).map_err(|error| bad_proxy(proxy, &error))?)
            }
            None => None,
        };
        let roots = match &profile.ca {
            Some(pem) => Some(
                reqwest::Certificate::from_pem_bundle(pem.as_bytes())
                    .map_err(|error| Cause::Tls(format!("the CA cannot be read: {}", root(&error))))?,
            ),
            None => None,
        };
        let identity = match &profile.identity {
            Some(pem) => Some(reqwest::Identity::from_pem(pem.as_bytes()).map_err(|error| {
                Cause::Tls(format!("the client's certificate cannot be used: {}", root(&error)))
            })?),
            None => None,
        };
        let builder = || {
            let builder = reqwest::Client::builder()
                .user_agent(concat!("vexil/", env!("CARGO_PKG_VERSION")))
                .redirect(within_the_origin())
                .dns_resolver(Guarded(self.egress(profile.own_address)))
                .referer(false)
                .pool_max_idle_per_host(8)
                // Nothing is won by HTTP/2 for calls that are few.
                .http1_only()
                .tls_danger_accept_invalid_certs(profile.insecure);
            let builder = match &roots {
                Some(roots) => builder.tls_certs_only(roots.clone()),
                None => builder,
            };
            let builder = match &identity {
                Some(identity) => builder.identity(identity.clone()),
                None => builder,
            };
            match &proxy {
                Some(proxy) => builder.proxy(proxy.clone()),
                None => builder,
            }
        };
        // Without any root certificate on the machine there is no verifier, not even for plain http: then go on with
        // an empty list of roots, which fails only where a certificate has to be judged.
        builder()
            .build()
            .or_else(|_| builder().tls_certs_only([]).build())
            .map_err(|error| Cause::Connect(root(&error)))
    }

    async fn exchange(&self, request: Request) -> Result<Response, Cause> {
        if let Some(envelope) = &request.mail {
            return smtp::deliver(&request, envelope, &self.egress).await;
        }
        let (proxy, own_address) = (request.proxy.clone(), request.own_address);
        let (ca, identity) = (request.ca.clone(), request.identity.clone());
        let profile = Profile { insecure: request.insecure, proxy: proxy.clone(), own_address, ca, identity };
        let client = self.client(profile)?;
        let url = target(&request)?;
        self.egress(own_address).check_literal(&url)?;
        let peer = peer(proxy.as_deref(), &url);
        // The builder turns a user in the URL into basic authentication, which our own headers then replace.
        let mut builder = client.request(request.method.clone(), url).headers(headers(&request)?);
        if !request.body.is_empty() {
            builder = builder.body(request.body);
        }
        let mut answer = builder.send().await.map_err(|error| cause(error, &peer))?;
        let mut body = BytesMut::new();
        while body.len() <= request.max_bytes
            && let Some(chunk) = answer.chunk().await.map_err(|error| cause(error, &peer))?
        {
            // One byte too many tells the client that there was more.
            let room = request.max_bytes.saturating_add(1) - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        }
        Ok(Response {
            headers: answer.headers().clone(),
            ..Response::new(answer.status().as_u16(), body.freeze())
        })
    }
}

impl Transport for ReqwestTransport {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Cause>> {
        self.exchange(request).boxed()
    }
}

/// Follows where scheme, host and port stay the same; what leads elsewhere is the answer. Who answers would otherwise
/// choose whom the controller calls next, and with which headers.
fn within_the_origin() -> Policy {
    Policy::custom(|attempt| {
        let origin = attempt.previous().first().map(Url::origin);
        match origin {
            Some(origin) if origin != attempt.url().origin() => attempt.stop(),
            _ if attempt.previous().len() > MAX_REDIRECTS => attempt.error("too many redirects"),
            _ => attempt.follow(),
        }
    })
}

fn bad_proxy(proxy: &str, error: &reqwest::Error) -> Cause {
    Cause::InvalidProxy { proxy: shown_url(proxy), reason: root(error) }
}

fn target(request: &Request) -> Result<Url, Cause> {
    let mut url = Url::parse(&request.url).map_err(|error| Cause::InvalidUrl(error.to_string()))?;
    if !request.query.is_empty() {
        url.query_pairs_mut().extend_pairs(&request.query);
    }
    Ok(url)
}

fn headers(request: &Request) -> Result<HeaderMap, Cause> {
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        let bad = || Cause::InvalidHeader(name.clone());
        let key = HeaderName::try_from(name.as_str()).map_err(|_| bad())?;
        headers.append(key, HeaderValue::try_from(value.as_str()).map_err(|_| bad())?);
    }
    let credentials = match &request.auth {
        Auth::None => return Ok(headers),
        Auth::Bearer(token) => format!("Bearer {token}"),
        Auth::Basic { username, password } => {
            format!("Basic {}", BASE64.encode(format!("{username}:{password}")))
        }
    };
    let mut value = HeaderValue::try_from(credentials)
        .map_err(|_| Cause::InvalidHeader(AUTHORIZATION.as_str().to_owned()))?;
    value.set_sensitive(true);
    headers.insert(AUTHORIZATION, value);
    Ok(headers)
}

/// Whom the connection is made to, as `host:port`.
fn peer(proxy: Option<&str>, url: &Url) -> String {
    let proxy = proxy.and_then(|proxy| Url::parse(proxy).ok());
    let to = proxy.as_ref().unwrap_or(url);
    format!("{}:{}", to.host_str().unwrap_or_default(), to.port_or_known_default().unwrap_or_default())
}

fn refused(error: &reqwest::Error) -> bool {
    let mut next = error.source();
    while let Some(error) = next {
        if error.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::ConnectionRefused) {
            return true;
        }
        next = error.source();
    }
    false
}

fn cause(error: reqwest::Error, peer: &str) -> Cause {
    if let Some(denied) = denied(&error) {
        Cause::Denied(denied)
    } else if error.is_builder() {
        Cause::InvalidUrl(root(&error))
    } else if error.is_redirect() {
        // A redirect to another scheme ends here as well; its text says so.
        match root(&error) {
            text if text.contains("too many") => Cause::TooManyRedirects,
            text => Cause::InvalidUrl(text),
        }
    } else if let Some(text) = distrust(&error) {
        Cause::Tls(text)
    } else if error.is_connect() {
        Cause::Connect(unconnected(&root(&error), refused(&error), peer))
    } else {
        Cause::Broken(root(&error))
    }
}

/// What the resolver has said of an address that may not be called.
fn denied(error: &reqwest::Error) -> Option<Denied> {
    let mut next = error.source();
    while let Some(error) = next {
        if let Some(denied) = error.downcast_ref::<Denied>() {
            return Some(denied.clone());
        }
        next = error.source();
    }
    None
}

/// Why the certificate was not accepted, if that is what went wrong.
fn distrust(error: &reqwest::Error) -> Option<String> {
    let mut next = error.source();
    while let Some(error) = next {
        if let Some(rustls::Error::InvalidCertificate(reason)) = tls_error(error) {
            return Some(reason.to_string());
        }
        next = error.source();
    }
    None
}

/// The innermost text: the outer ones say in general words what it says exactly, and one of them holds the URL.
fn root(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut next = error.source();
    while let Some(error) = next {
        text = error.to_string();
        next = error.source();
    }
    if text.is_empty() {
        // `Display` of reqwest's error without its source names the URL: leave that out.
        text =
            if error.is_builder() { "it cannot be used".to_owned() } else { "the request failed".to_owned() };
    }
    match text.find(" (os error ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

const MAX_REDIRECTS: usize = 10;
/// Different combinations of options for which connections are kept.
const MAX_PROFILES: usize = 32;

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::nobody_listens("Connection refused", true, "dial tcp db.ops:9090: connect: connection refused")]
    #[case::no_such_name(
        "failed to lookup address information: Name or service not known",
        false,
        "dial tcp: lookup db.ops: no such host"
    )]
    #[case::no_such_name_with_musl(
        "failed to lookup address information: Name does not resolve",
        false,
        "dial tcp: lookup db.ops: no such host"
    )]
    #[case::no_resolver(
        "failed to lookup address information: Temporary failure in name resolution",
        false,
        "dial tcp: lookup db.ops: Temporary failure in name resolution"
    )]
    #[case::no_route("No route to host", false, "dial tcp db.ops:9090: No route to host")]
    fn why_there_is_no_connection_is_said_in_the_words_that_alerts_search_for(
        #[case] why: &str,
        #[case] refused: bool,
        #[case] expected: &str,
    ) {
        assert_eq!(expected, unconnected(why, refused, "db.ops:9090"));
    }
}
