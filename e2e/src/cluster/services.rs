//! Service addresses: a TCP proxy on the node, in place of kube-proxy.
//!
//! Every Service address is local to the node (see [`super::network`]), so a listener on address and port is all that a
//! Service needs; no packet filter, which a machine's kernel may lack. A Service without endpoints has no listener:
//! connections are refused, as kube-proxy refuses them. An open connection stays with its endpoint when that leaves.
//! UDP is not proxied: the only UDP service here is the name server, which listens by itself.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::select;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// What the name server asks: namespace and name of a Service to its addresses.
pub type Names = Arc<RwLock<BTreeMap<(String, String), Vec<Ipv4Addr>>>>;

/// Starts the proxy; the result is kept up to date for the name server.
pub fn start(client: Client) -> Names {
    let names = Names::default();
    tokio::spawn(run(client, names.clone()));
    names
}

async fn run(client: Client, names: Names) {
    let (services, writer) = reflector::store::<Service>();
    let service_events = reflector::reflector(
        writer,
        watcher(Api::<Service>::all(client.clone()), watcher::Config::default())
            .backoff(crate::retry::Steady),
    );
    let (slices, writer) = reflector::store::<EndpointSlice>();
    let slice_events = reflector::reflector(
        writer,
        watcher(Api::<EndpointSlice>::all(client), watcher::Config::default()).backoff(crate::retry::Steady),
    );
    let mut events = std::pin::pin!(select(
        service_events.map(|event| event.map(drop)),
        slice_events.map(|event| event.map(drop))
    ));
    let mut listeners = Listeners::default();
    while let Some(event) = events.next().await {
        // A failed watch is tried again by the stream; until then the last known endpoints serve.
        if event.is_ok() {
            let table = Table::from(&services, &slices);
            if let Ok(mut names) = names.write() {
                *names = table.names;
            }
            listeners.become_as(table.routes);
        }
    }
}

#[derive(Default)]
struct Table {
    names: BTreeMap<(String, String), Vec<Ipv4Addr>>,
    routes: BTreeMap<SocketAddr, Vec<SocketAddr>>,
}

impl Table {
    fn from(services: &Store<Service>, slices: &Store<EndpointSlice>) -> Table {
        let slices = slices.state();
        let mut table = Table::default();
        for service in services.state() {
            let namespace = service.namespace().unwrap_or_default();
            let name = service.name_any();
            let own: Vec<_> = slices
                .iter()
                .filter(|slice| {
                    slice.namespace().as_deref() == Some(&namespace)
                        && slice.labels().get("kubernetes.io/service-name") == Some(&name)
                })
                .collect();
            let spec = service.spec.clone().unwrap_or_default();
            let address = spec.cluster_ip.as_deref().and_then(|ip| ip.parse::<Ipv4Addr>().ok());
            let Some(address) = address else {
                let mut all: Vec<Ipv4Addr> = own
                    .iter()
                    .flat_map(|slice| serving(slice.endpoints.as_deref().unwrap_or_default()))
                    .collect();
                all.sort_unstable();
                table.names.insert((namespace, name), all);
                continue;
            };
            table.names.insert((namespace, name), vec![address]);
            for port in spec.ports.unwrap_or_default() {
                if port.protocol.as_deref().unwrap_or("TCP") != "TCP" {
                    continue;
                }
                let Ok(number) = u16::try_from(port.port) else { continue };
                let mut targets: Vec<SocketAddr> = own
                    .iter()
                    .flat_map(|slice| {
                        let target = slice
                            .ports
                            .iter()
                            .flatten()
                            .find(|p| p.name.as_deref().unwrap_or("") == port.name.as_deref().unwrap_or(""))
                            .and_then(|p| p.port)
                            .and_then(|p| u16::try_from(p).ok());
                        let addresses = if target.is_some() {
                            serving(slice.endpoints.as_deref().unwrap_or_default())
                        } else {
                            Vec::new()
                        };
                        addresses
                            .into_iter()
                            .map(move |ip| SocketAddr::new(IpAddr::V4(ip), target.unwrap_or(0)))
                    })
                    .collect();
                targets.sort_unstable();
                table.routes.insert(SocketAddr::new(IpAddr::V4(address), number), targets);
            }
        }
        table
    }
}

/// The ready endpoints; if there is none, those that still serve while they terminate, as kube-proxy does.
fn serving(endpoints: &[Endpoint]) -> Vec<Ipv4Addr> {
    let pick = |wanted: &dyn Fn(&Endpoint) -> bool| -> Vec<Ipv4Addr> {
        endpoints
            .iter()
            .filter(|endpoint| wanted(endpoint))
            .flat_map(|endpoint| endpoint.addresses.iter())
            .filter_map(|address| address.parse().ok())
            .collect()
    };
    let ready = pick(&|e| e.conditions.as_ref().and_then(|c| c.ready).unwrap_or(true));
    if !ready.is_empty() {
        return ready;
    }
    pick(&|e| e.conditions.as_ref().and_then(|c| c.serving).unwrap_or(false))
}

#[derive(Default)]
struct Listeners(BTreeMap<SocketAddr, Listener>);

struct Listener {
    targets: watch::Sender<Vec<SocketAddr>>,
    task: JoinHandle<()>,
}

impl Listeners {
    fn become_as(&mut self, routes: BTreeMap<SocketAddr, Vec<SocketAddr>>) {
        self.0.retain(|address, listener| {
            let keep = routes.get(address).is_some_and(|targets| !targets.is_empty());
            if !keep {
                listener.task.abort();
            }
            keep
        });
        for (address, targets) in routes {
            if targets.is_empty() {
                continue;
            }
            match self.0.get(&address) {
                Some(listener) => {
                    listener.targets.send_if_modified(|now| {
                        let changed = *now != targets;
                        *now = targets;
                        changed
                    });
                }
                None => {
                    let (sender, receiver) = watch::channel(targets);
                    let task = tokio::spawn(accept(address, receiver));
                    self.0.insert(address, Listener { targets: sender, task });
                }
            }
        }
    }
}

async fn accept(address: SocketAddr, targets: watch::Receiver<Vec<SocketAddr>>) {
    let listener = loop {
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            // The former listener of this address may be on its way out.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    };
    let mut turn = 0usize;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                turn = turn.wrapping_add(1);
                tokio::spawn(forward(stream, targets.borrow().clone(), turn));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// Joins the connection with the first endpoint, in turn, that takes it.
async fn forward(mut from: TcpStream, targets: Vec<SocketAddr>, turn: usize) {
    for offset in 0..targets.len() {
        let target = targets[(turn + offset) % targets.len()];
        if let Ok(Ok(mut to)) = timeout(Duration::from_secs(2), TcpStream::connect(target)).await {
            let _ = (from.set_nodelay(true), to.set_nodelay(true));
            // Either side may end it; that is no failure of the proxy.
            let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
            return;
        }
    }
}
