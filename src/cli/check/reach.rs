//! Asks metrics backends from outside of the cluster, as far as that can be done: those that are a Service of it, or an
//! API of its own. No other address is called, and no credential leaves the cluster.

use std::time::Duration;

use crate::controller::clock::Clock;
use crate::metrics::{self, Prometheus, Provider};
use crate::model::answer::Measured;
use crate::model::call::{Address, Call, Next};

use super::asker::{Asker, NotAsked};
use super::proxy::{self, Named, Proxied};

/// What came of a question to a backend.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Told<T> {
    /// It has answered.
    Said(T),
    /// It can only be asked from inside of the cluster.
    Inside(String),
    /// It cannot be reached, also not from inside.
    Broken { why: String, cure: String },
    /// Whoever runs the command may not ask.
    NotAsked(NotAsked),
}

/// Asks `asked` of `provider`, as somebody in `namespace` would.
pub(super) async fn measure(
    asker: &Asker,
    provider: &dyn Provider,
    asked: &metrics::Asked,
    namespace: &str,
) -> Told<Measured> {
    let first = match provider.next(asked, &[]) {
        Next::Send(call) => call,
        Next::Done(measured) => return Told::Said(measured),
        Next::Wait(_) => return Told::Inside("it is asked in several steps".to_owned()),
    };
    let to = match way(asker, &first, namespace).await {
        Ok(to) => to,
        Err(told) => return told,
    };
    let proxied = Proxied::new(provider, to.as_ref());
    let measured = asker.calls.measure(&proxied, asked).await;
    refused(&proxied, to.as_ref()).unwrap_or(Told::Said(measured))
}

/// Whether the Prometheus at `address` answers somebody in `namespace`.
pub(super) async fn probe(asker: &Asker, address: &str, namespace: &str) -> Told<Result<(), String>> {
    let server = match Prometheus::server(address) {
        Ok(server) => server,
        Err(why) => {
            return Told::Broken {
                why: why.to_string(),
                cure: "write it with its scheme, like http://prometheus.monitoring:9090".to_owned(),
            };
        }
    };
    let now = Clock::system().now();
    let asked = metrics::Asked { query: "vector(1)".to_owned(), interval: Duration::from_secs(60), now };
    let Next::Send(first) = server.next(&asked, &[]) else { return Told::Said(Ok(())) };
    let to = match way(asker, &first, namespace).await {
        Ok(to) => to,
        Err(told) => return told,
    };
    let proxied = Proxied::new(&server, to.as_ref());
    let answered = asker.calls.online(&proxied, &asked).await;
    refused(&proxied, to.as_ref()).unwrap_or(Told::Said(answered))
}

/// The Service to which a call goes; `None` for a call of the cluster's own API.
async fn way<T>(asker: &Asker, call: &Call, namespace: &str) -> Result<Option<Named>, Told<T>> {
    let Address::Url(url) = &call.to else { return Ok(None) };
    let outside = || {
        let host = call.host();
        Told::Inside(format!("{host} is no Service of the cluster, and is only asked from inside"))
    };
    let to = proxy::named(url, namespace).ok_or_else(outside)?;
    match asker.get(&to.id()).await {
        Err(why) => return Err(Told::NotAsked(why)),
        Ok(None) if !to.surely => return Err(outside()),
        Ok(None) => {
            return Err(Told::Broken {
                why: format!("there is no Service {} in namespace {}", to.name, to.namespace),
                cure: "write the address of one that is there, with its namespace".to_owned(),
            });
        }
        Ok(Some(service)) => {
            if let Some(why) = to.lacks_port(&service) {
                return Err(Told::Broken { why, cure: "write one of its ports behind the name".to_owned() });
            }
        }
    }
    match proxy::through(call, &to) {
        Ok(_) => Ok(Some(to)),
        Err(why) => Err(Told::Inside(why)),
    }
}

/// What the API server said in place of the backend.
fn refused<T>(proxied: &Proxied<'_>, to: Option<&Named>) -> Option<Told<T>> {
    let (status, message) = proxied.api_said()?;
    let title = to.map_or_else(|| "the API".to_owned(), Named::title);
    Some(match status {
        401 | 403 => {
            let namespace = to.map_or("", |to| to.namespace.as_str());
            Told::NotAsked(NotAsked {
                cure: format!(
                    "needed is a Role in namespace {namespace} with: resources [services/proxy], verbs [get, create]"
                ),
                ..NotAsked::new(format!("you may not use the proxy to {title}: {message}"))
            })
        }
        _ => Told::Broken {
            why: format!("{title} does not answer: {message}"),
            cure: "look at its pods: are they ready, and do they listen on that port?".to_owned(),
        },
    })
}
