//! The backends of `tests/data/metrics`, with all that lies between them and a server on a socket.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use futures::future::BoxFuture;
use serde::Deserialize;
use url::Url;
use vexil::api::metric_template::MetricProvider;
use vexil::controller::calls::Calls;
use vexil::controller::client::{Layers, config, connect};
use vexil::controller::fence::{Claim, Fence};
use vexil::controller::telemetry::Telemetry;
use vexil::http::{Cause, Client, Egress, Limits, Request, ReqwestTransport, Response, Transport};
use vexil::metrics::{self, Asked, Measured, Provider, SecretData};

/// A backend, its answers, and the call that it is asked with.
#[derive(Deserialize)]
pub struct Sample {
    /// That of its file.
    #[serde(skip)]
    pub name: String,
    provider: MetricProvider,
    secret: BTreeMap<String, String>,
    #[serde(default)]
    query: Option<String>,
    pub call: Expected,
    pub probe: Probe,
    pub value: f64,
    pub answers: BTreeMap<String, String>,
    /// Making one takes a while: it reads all certificates of the machine.
    #[serde(skip, default = "network")]
    network: Arc<ReqwestTransport>,
}

/// A backend that finds a server where it expects the service.
pub struct Asking {
    backend: Box<dyn Provider>,
    calls: Calls,
    asked: Asked,
}

impl Asking {
    /// What it measures.
    pub async fn measure(&self) -> Measured {
        self.calls.measure(self.backend.as_ref(), &self.asked).await
    }

    /// Whether it is there.
    pub async fn online(&self) -> Result<(), String> {
        self.calls.online(self.backend.as_ref(), &self.asked).await
    }
}

/// What a call has to be like, so that the real service would take it.
#[derive(Clone, Deserialize)]
pub struct Expected {
    /// None if a conversation has several.
    method: Option<String>,
    /// That of a service which has one for all.
    host: Option<String>,
    /// The beginning of it.
    path: String,
    /// What shows whose call it is, and the beginning of each value.
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

/// How the service answers who asks whether it is there.
#[derive(Clone, Deserialize)]
pub struct Probe {
    path: String,
    pub status: u16,
    pub body: String,
}

impl Expected {
    pub fn is(&self, request: &wiremock::Request) -> bool {
        self.method.as_deref().is_none_or(|method| method == request.method.as_str())
            && self.host.as_deref().is_none_or(|host| host == header(request, "Host"))
            && request.url.path().starts_with(&self.path)
            && self.has_login(request)
    }

    fn has_login(&self, request: &wiremock::Request) -> bool {
        self.headers.iter().all(|(name, begin)| header(request, name).starts_with(begin))
    }
}

fn header<'a>(request: &'a wiremock::Request, name: &str) -> &'a str {
    request.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

impl Sample {
    /// Whether this is how it asks if its service is there.
    pub fn is_probe(&self, request: &wiremock::Request) -> bool {
        request.url.path() == self.probe.path && self.call.has_login(request)
    }

    pub fn of(name: &str) -> Self {
        Self::read(name, &network())
    }

    fn read(name: &str, network: &Arc<ReqwestTransport>) -> Self {
        let text = std::fs::read_to_string(format!("{FOLDER}/{name}.yaml")).expect(name);
        let sample = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        Self { name: name.to_owned(), network: Arc::clone(network), ..sample }
    }

    /// At least one for each registered backend.
    pub fn all() -> Vec<Self> {
        let files = std::fs::read_dir(FOLDER).expect("a folder").flatten();
        let mut names: Vec<_> =
            files.filter_map(|file| Some(file.path().file_stem()?.to_str()?.to_owned())).collect();
        names.sort();
        let network = network();
        let all: Vec<Self> = names.iter().map(|name| Self::read(name, &network)).collect();
        for backend in metrics::known() {
            assert!(all.iter().any(|sample| sample.provider.kind == backend), "no answers of {backend}");
        }
        all
    }

    /// All that is secret in it.
    pub fn credentials(&self) -> Vec<&str> {
        let headers = self.provider.headers.iter().flat_map(BTreeMap::values).flatten();
        let all = self.secret.values().chain(headers).map(String::as_str);
        let password = "s3cret-pw";
        let in_address = self.provider.address.iter().filter(|address| address.contains(password));
        all.chain(in_address.map(|_| password)).collect()
    }

    /// Whether a text says whose answer it speaks of; texts of Prometheus do not.
    pub fn is_named_in(&self, text: &str) -> bool {
        let kind = self.provider.kind.as_str();
        kind == "prometheus" || text.to_lowercase().contains(kind)
    }

    /// The backend, with `server` in the place of its service.
    pub async fn at(&self, server: &str) -> Asking {
        Asking { backend: self.backend(server), calls: self.calls(server).await, asked: self.asked() }
    }

    fn asked(&self) -> Asked {
        Asked {
            query: self.query.clone().unwrap_or_else(|| "up".to_owned()),
            interval: Duration::from_secs(60),
            now: DateTime::from_timestamp(1_792_000_000, 0).expect("a time"),
        }
    }

    /// What has no host of its own is asked at the address of the server, as a user would write it.
    fn backend(&self, server: &str) -> Box<dyn Provider> {
        let mut spec = self.provider.clone();
        if let (Some(address), None) = (&mut spec.address, &self.call.host) {
            let mut url = Url::parse(address).expect("a URL");
            leads_to(&mut url, server);
            *address = url.into();
        }
        let data: SecretData =
            self.secret.iter().map(|(key, value)| (key.clone(), value.as_bytes().to_vec())).collect();
        metrics::provider(&spec, Some(&data)).unwrap_or_else(|why| panic!("{}: {why}", self.name))
    }

    /// Calls as the controller makes them: to the address as it stands, to a service whose name leads to the server, or to a
    /// cluster whose API it is.
    async fn calls(&self, server: &str) -> Calls {
        let network = Arc::clone(&self.network);
        let over = |transport| Client::over(transport, Limits::default());
        match (&self.call.host, &self.provider.address) {
            (Some(_), _) => Calls::outside(over(Arc::new(Led { network, server: server.to_owned() }))),
            (None, Some(_)) => Calls::outside(over(network)),
            (None, None) => {
                let fence = Fence::new(Claim::Always);
                let telemetry = Arc::new(Telemetry::new("0.1.0", "istio", fence.clone()));
                let config = config("", server).await.expect("an address");
                let client = connect(&config, Layers { fence, telemetry, limit: None }).expect("a client");
                Calls::new(client, over(network))
            }
        }
    }
}

/// Leads all calls to the server. The name stays, since it is signed, and since a service goes by it.
pub struct Led {
    pub network: Arc<ReqwestTransport>,
    pub server: String,
}

impl Transport for Led {
    fn send(&self, mut request: Request) -> BoxFuture<'_, Result<Response, Cause>> {
        let mut url = Url::parse(&request.url).expect("a URL");
        assert_eq!("https", url.scheme(), "{url}");
        request.headers.push(("Host".to_owned(), url.host_str().expect("a host").to_owned()));
        leads_to(&mut url, &self.server);
        request.url = url.into();
        self.network.send(request)
    }
}

/// The network, without any connection yet.
pub fn network() -> Arc<ReqwestTransport> {
    Arc::new(ReqwestTransport::new(Egress::default()))
}

/// Scheme, host and port of `server`; user and path stay.
fn leads_to(url: &mut Url, server: &str) {
    let server = Url::parse(server).expect("a URL");
    url.set_scheme(server.scheme()).expect("a scheme of the web");
    url.set_host(server.host_str()).expect("a host");
    url.set_port(server.port()).expect("a port");
}

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/metrics");
