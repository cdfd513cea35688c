//! The way to a Service of the cluster from outside: through the proxy of the API server.

use std::sync::Mutex;

use url::{Host, Url};

use crate::metrics::{Asked, Provider};
use crate::model::answer::Measured;
use crate::model::call::{Address, Auth, Call, Heard, Next, What};
use crate::model::object::{Kind, ObjectId};

use super::asker;

/// The Service that an address seems to name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub namespace: String,
    pub name: String,
    pub scheme: String,
    pub port: u16,
    /// Whether it can mean nothing else. `gate.shop` may be a Service of namespace shop, or a host of the domain shop.
    pub surely: bool,
}

impl Named {
    pub(super) fn id(&self) -> ObjectId {
        Kind::SERVICE.at(&self.namespace, &self.name)
    }

    /// `prometheus.monitoring:9090`.
    pub(super) fn title(&self) -> String {
        format!("{}.{}:{}", self.name, self.namespace, self.port)
    }

    /// The path of the API under which the address answers.
    fn path(&self, below: &str) -> String {
        let scheme = if self.scheme == "https" { "https:" } else { "" };
        let Self { namespace, name, port, .. } = self;
        format!("/api/v1/namespaces/{namespace}/services/{scheme}{name}:{port}/proxy{below}")
    }

    /// Whether the Service has the port, and if not, those that it has.
    pub(super) fn lacks_port(&self, service: &serde_json::Value) -> Option<String> {
        let ports: Vec<String> = service["spec"]["ports"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|port| port["port"].to_string())
            .collect();
        let has = ports.contains(&self.port.to_string());
        (!has).then(|| {
            format!(
                "the Service {}.{} has no port {} (it has {})",
                self.name,
                self.namespace,
                self.port,
                ports.join(", ")
            )
        })
    }
}

/// The Service that `address` names for somebody in `namespace`; `None` for what is outside of the cluster.
pub(super) fn named(address: &str, namespace: &str) -> Option<Named> {
    let url = Url::parse(address).ok()?;
    let Host::Domain(host) = url.host()? else { return None };
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let labels: Vec<&str> = host.split('.').collect();
    let (name, of, surely) = match labels.as_slice() {
        ["localhost"] | [] => return None,
        [name] => (*name, namespace, true),
        [name, of] => (*name, *of, false),
        [name, of, "svc", ..] => (*name, *of, true),
        _ => return None,
    };
    let port = url.port_or_known_default()?;
    let scheme = url.scheme().to_owned();
    Some(Named { namespace: of.to_owned(), name: name.to_owned(), scheme, port, surely })
}

/// The call through the proxy.
///
/// # Errors
/// Why it cannot be made so.
pub(super) fn through(call: &Call, to: &Named) -> Result<Call, String> {
    let url = match &call.to {
        Address::Cluster(_) => return Ok(call.clone()),
        Address::Url(url) => Url::parse(url).map_err(|_| "its address is no URL".to_owned())?,
    };
    let in_headers = call.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    if call.auth != Auth::None || in_headers || url.password().is_some() || !url.username().is_empty() {
        return Err("it asks for credentials, which the API server's proxy does not hand on".to_owned());
    }
    let mut query: Vec<(String, String)> =
        url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
    query.extend(call.query.iter().cloned());
    Ok(Call { to: Address::Cluster(to.path(url.path())), query, ..call.clone() })
}

/// A backend that is asked through the proxy, or by the cluster's own API.
pub(super) struct Proxied<'a> {
    provider: &'a dyn Provider,
    to: Option<&'a Named>,
    /// What the API server said itself, in place of the backend: status and message.
    said: Mutex<Option<(u16, String)>>,
}

impl<'a> Proxied<'a> {
    pub(super) fn new(provider: &'a dyn Provider, to: Option<&'a Named>) -> Self {
        Self { provider, to, said: Mutex::new(None) }
    }

    /// What the API server said itself, if the proxy did not lead to the backend.
    pub(super) fn api_said(&self) -> Option<(u16, String)> {
        self.said.lock().map(|said| said.clone()).unwrap_or_default()
    }

    fn turned<T>(&self, next: Next<T>, failed: fn(String) -> T, heard: &[Heard]) -> Next<T> {
        if let Some(What::Answer(answer)) = heard.last().map(|heard| &heard.what)
            && let Some(message) = asker::api_status(answer)
        {
            if let Ok(mut said) = self.said.lock() {
                *said = Some((answer.status, message.clone()));
            }
            return Next::Done(failed(message));
        }
        match (next, self.to) {
            (Next::Send(call), Some(to)) => match through(&call, to) {
                Ok(call) => Next::send(call),
                Err(why) => Next::Done(failed(why)),
            },
            (next, _) => next,
        }
    }
}

impl Provider for Proxied<'_> {
    fn name(&self) -> &'static str {
        self.provider.name()
    }

    fn next(&self, asked: &Asked, heard: &[Heard]) -> Next<Measured> {
        self.turned(self.provider.next(asked, heard), Measured::Failed, heard)
    }

    fn probe(&self, asked: &Asked, heard: &[Heard]) -> Next<Result<(), String>> {
        self.turned(self.provider.probe(asked, heard), Err, heard)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::bare("http://prometheus:9090", Some(("prometheus", "ops", 9090, true)))]
    #[case::of_a_namespace("http://prometheus.monitoring:9090", Some(("prometheus", "monitoring", 9090, false)))]
    #[case::svc("http://prometheus.monitoring.svc/x", Some(("prometheus", "monitoring", 80, true)))]
    #[case::in_full("https://p.monitoring.svc.cluster.local.", Some(("p", "monitoring", 443, true)))]
    #[case::other_cluster_domain("http://p.monitoring.svc.corp.example", Some(("p", "monitoring", 80, true)))]
    #[case::outside("https://metrics.example.com", None)]
    #[case::an_address("http://10.0.0.7:9090", None)]
    #[case::this_machine("http://localhost:9090", None)]
    #[case::nothing("", None)]
    fn an_address_is_a_service_or_outside(
        #[case] url: &str,
        #[case] expected: Option<(&str, &str, u16, bool)>,
    ) {
        let found = named(url, "ops");
        let found = found.as_ref().map(|it| (it.name.as_str(), it.namespace.as_str(), it.port, it.surely));
        assert_eq!(expected, found);
    }

    #[rstest]
    #[case::plain(
        "http://p.ops:9090/api/v1/query",
        "/api/v1/namespaces/ops/services/p:9090/proxy/api/v1/query"
    )]
    #[case::tls("https://p.ops/", "/api/v1/namespaces/ops/services/https:p:443/proxy/")]
    fn a_call_goes_through_the_proxy(#[case] url: &str, #[case] path: &str) {
        let call = Call { query: vec![("query".into(), "up".into())], ..Call::get(format!("{url}?a=b")) };
        let call = through(&call, &named(url, "x").expect("a Service")).expect("a way");
        assert_eq!(path, call.url());
        assert_eq!(vec![("a".to_owned(), "b".to_owned()), ("query".to_owned(), "up".to_owned())], call.query);
    }

    #[rstest]
    #[case::bearer(Call { auth: Auth::Bearer("t".into()), ..Call::get("http://p.ops/") })]
    #[case::header(Call { headers: vec![("authorization".into(), "x".into())], ..Call::get("http://p.ops/") })]
    #[case::password(Call::get("http://me:secret@p.ops/"))]
    fn credentials_do_not_go_through_the_proxy(#[case] call: Call) {
        let why = through(&call, &named("http://p.ops/", "x").expect("a Service")).expect_err("no way");
        assert!(why.contains("credentials") && !why.contains("secret"), "{why}");
    }
}
