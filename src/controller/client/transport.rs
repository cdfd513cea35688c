//! The connections to a real API server. A peer that vanishes without a word (a firewall that forgets us, a machine
//! that is cut off) is noticed by the operating system: it asks connections at rest for a sign of life.

use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::Config;
use kube::client::{Body, ConfigExt};
use tower::util::BoxCloneSyncService;
use tower::{BoxError, ServiceBuilder, ServiceExt};

/// Sends requests to the API server, with its address, our credentials and nothing else.
pub(super) type Transport = BoxCloneSyncService<Request<Body>, Response<Incoming>, BoxError>;

/// Makes what sends requests to the API server of `config`.
///
/// # Errors
/// If TLS or the way to log in cannot be set up, or a proxy is asked for.
pub(super) fn transport(config: &Config) -> Result<Transport, kube::Error> {
    if let Some(proxy) = &config.proxy_url {
        let (proxy_url, protocol_feature) = (Box::new(proxy.clone()), "none: proxies are not supported");
        return Err(kube::Error::ProxyProtocolDisabled { proxy_url, protocol_feature });
    }
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_connect_timeout(config.connect_timeout);
    tcp.set_keepalive(Some(QUIET));
    tcp.set_keepalive_interval(Some(BETWEEN_PROBES));
    tcp.set_keepalive_retries(Some(PROBES));
    // Keep-alive watches connections at rest alone; this one those on which something was sent.
    #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
    tcp.set_tcp_user_timeout(Some(UNANSWERED));
    let tls = config.rustls_https_connector_with_connector(tcp)?;
    let client: legacy::Client<_, Body> = legacy::Builder::new(TokioExecutor::new()).build(tls);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(client);
    Ok(BoxCloneSyncService::new(service.map_err(BoxError::from)))
}

/// A connection that has been at rest for so long is asked for a sign of life.
const QUIET: Duration = Duration::from_secs(15);
const BETWEEN_PROBES: Duration = Duration::from_secs(5);
/// So many probes without an answer, and the connection is closed: after half a minute in all.
const PROBES: u32 = 3;
/// What was sent and is not acknowledged for so long closes the connection.
#[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
const UNANSWERED: Duration = Duration::from_secs(30);
