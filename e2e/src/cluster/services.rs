//! Service addresses: a TCP proxy on the node, in place of kube-proxy.
//!
//! Every Service address is local to the node (see [`super::network`]), so a listener on address and port is all that a
//! Service needs; no packet filter, which a machine's kernel may lack. A Service without endpoints has no listener:
//! connections are refused, as kube-proxy refuses them. An open connection stays with its endpoint when that leaves.
//! UDP is not proxied: the only UDP service here is the name server, which listens by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::select;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
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
    let services = watcher(Api::<Service>::all(client.clone()), watcher::Config::default());
    let slices = watcher(Api::<EndpointSlice>::all(client), watcher::Config::default());
    let mut events = std::pin::pin!(select(
        services.backoff(crate::retry::Steady).map(|event| event.map(|event| News::Service(Box::new(event)))),
        slices.backoff(crate::retry::Steady).map(|event| event.map(|event| News::Slice(Box::new(event))))
    ));
    let mut table = Table::default();
    let mut listeners = Listeners::default();
    while let Some(event) = events.next().await {
        // A failed watch is tried again by the stream; until then the last known endpoints serve.
        let Ok(news) = event else { continue };
        for key in table.take(news) {
            let Some((addresses, routes)) = table.of(&key) else {
                if let Ok(mut names) = names.write() {
                    names.remove(&key);
                }
                listeners.become_as(&key, BTreeMap::new());
                continue;
            };
            if let Ok(mut names) = names.write() {
                names.insert(key.clone(), addresses);
            }
            listeners.become_as(&key, routes);
        }
    }
}

/// Namespace and name of a Service.
type Key = (String, String);
type Routes = BTreeMap<SocketAddr, Vec<SocketAddr>>;

enum News {
    Service(Box<watcher::Event<Service>>),
    Slice(Box<watcher::Event<EndpointSlice>>),
}

/// What is known, so that a change touches the one Service that it is about.
#[derive(Default)]
struct Table {
    services: BTreeMap<Key, Service>,
    /// By Service, then by their own names.
    slices: BTreeMap<Key, BTreeMap<String, EndpointSlice>>,
    /// What a list that is still coming in has not named yet.
    unseen_services: BTreeSet<Key>,
    unseen_slices: BTreeSet<(Key, String)>,
}

impl Table {
    /// Takes news in, and names the Services that may have changed by it.
    fn take(&mut self, news: News) -> Vec<Key> {
        match news {
            News::Service(event) => self.take_service(*event),
            News::Slice(event) => self.take_slice(*event),
        }
    }

    fn take_service(&mut self, event: watcher::Event<Service>) -> Vec<Key> {
        let key = |service: &Service| (service.namespace().unwrap_or_default(), service.name_any());
        match event {
            watcher::Event::Init => {
                self.unseen_services = self.services.keys().cloned().collect();
                Vec::new()
            }
            watcher::Event::InitApply(service) | watcher::Event::Apply(service) => {
                let key = key(&service);
                self.unseen_services.remove(&key);
                self.services.insert(key.clone(), service);
                vec![key]
            }
            watcher::Event::InitDone => {
                let gone: Vec<Key> = std::mem::take(&mut self.unseen_services).into_iter().collect();
                gone.iter().for_each(|key| drop(self.services.remove(key)));
                gone
            }
            watcher::Event::Delete(service) => {
                let key = key(&service);
                self.services.remove(&key);
                vec![key]
            }
        }
    }

    fn take_slice(&mut self, event: watcher::Event<EndpointSlice>) -> Vec<Key> {
        let service = |slice: &EndpointSlice| {
            let name = slice.labels().get("kubernetes.io/service-name")?;
            Some((slice.namespace().unwrap_or_default(), name.clone()))
        };
        match event {
            watcher::Event::Init => {
                let all = self
                    .slices
                    .iter()
                    .flat_map(|(key, own)| own.keys().map(move |name| (key.clone(), name.clone())));
                self.unseen_slices = all.collect();
                Vec::new()
            }
            watcher::Event::InitApply(slice) | watcher::Event::Apply(slice) => {
                let Some(key) = service(&slice) else { return Vec::new() };
                let name = slice.name_any();
                self.unseen_slices.remove(&(key.clone(), name.clone()));
                self.slices.entry(key.clone()).or_default().insert(name, slice);
                vec![key]
            }
            watcher::Event::InitDone => {
                let gone = std::mem::take(&mut self.unseen_slices);
                gone.into_iter().map(|(key, name)| self.forget(key, &name)).collect()
            }
            watcher::Event::Delete(slice) => match service(&slice) {
                Some(key) => vec![self.forget(key, &slice.name_any())],
                None => Vec::new(),
            },
        }
    }

    fn forget(&mut self, key: Key, slice: &str) -> Key {
        if let Some(own) = self.slices.get_mut(&key) {
            own.remove(slice);
            if own.is_empty() {
                self.slices.remove(&key);
            }
        }
        key
    }

    /// A Service's addresses by name, and where each of its ports leads; none when there is no such Service.
    fn of(&self, key: &Key) -> Option<(Vec<Ipv4Addr>, Routes)> {
        let service = self.services.get(key)?;
        let slices = || self.slices.get(key).into_iter().flat_map(BTreeMap::values);
        let spec = service.spec.clone().unwrap_or_default();
        let mut routes = Routes::new();
        let Some(address) = spec.cluster_ip.as_deref().and_then(|ip| ip.parse::<Ipv4Addr>().ok()) else {
            let mut all: Vec<Ipv4Addr> =
                slices().flat_map(|slice| serving(slice.endpoints.as_deref().unwrap_or_default())).collect();
            all.sort_unstable();
            return Some((all, routes));
        };
        for port in spec.ports.unwrap_or_default() {
            if port.protocol.as_deref().unwrap_or("TCP") != "TCP" {
                continue;
            }
            let Ok(number) = u16::try_from(port.port) else { continue };
            let name = port.name.as_deref().unwrap_or("");
            let mut targets: Vec<SocketAddr> = slices().flat_map(|slice| targets(slice, name)).collect();
            targets.sort_unstable();
            routes.insert(SocketAddr::new(IpAddr::V4(address), number), targets);
        }
        Some((vec![address], routes))
    }
}

/// The endpoints of a slice that serve a port.
fn targets(slice: &EndpointSlice, port: &str) -> Vec<SocketAddr> {
    let ports = slice.ports.iter().flatten();
    let own = ports.filter(|own| own.name.as_deref().unwrap_or("") == port).find_map(|own| own.port);
    let Some(number) = own.and_then(|number| u16::try_from(number).ok()) else { return Vec::new() };
    let addresses = serving(slice.endpoints.as_deref().unwrap_or_default());
    addresses.into_iter().map(|ip| SocketAddr::new(IpAddr::V4(ip), number)).collect()
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

/// By Service.
#[derive(Default)]
struct Listeners(BTreeMap<Key, BTreeMap<SocketAddr, Listener>>);

struct Listener {
    targets: watch::Sender<Vec<SocketAddr>>,
    task: JoinHandle<()>,
}

impl Listeners {
    /// Listens for one Service where somebody would answer, and nowhere else.
    fn become_as(&mut self, key: &Key, mut routes: Routes) {
        routes.retain(|_, targets| !targets.is_empty());
        let own = self.0.entry(key.clone()).or_default();
        own.retain(|address, listener| {
            let keep = routes.contains_key(address);
            if !keep {
                listener.task.abort();
            }
            keep
        });
        for (address, targets) in routes {
            match own.get(&address) {
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
                    own.insert(address, Listener { targets: sender, task });
                }
            }
        }
        if own.is_empty() {
            self.0.remove(key);
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service(address: &str) -> Service {
        let spec = json!({"clusterIP": address, "ports": [{"name": "http", "port": 80}]});
        serde_json::from_value(json!({"metadata": {"namespace": "shop", "name": "frontend"}, "spec": spec}))
            .expect("a Service")
    }

    fn slice(name: &str, ip: &str, ready: bool) -> EndpointSlice {
        let labels = json!({"kubernetes.io/service-name": "frontend"});
        serde_json::from_value(json!({
            "metadata": {"namespace": "shop", "name": name, "labels": labels},
            "addressType": "IPv4", "ports": [{"name": "http", "port": 8080}],
            "endpoints": [{"addresses": [ip], "conditions": {"ready": ready, "serving": ready}}],
        }))
        .expect("an EndpointSlice")
    }

    fn slices(event: watcher::Event<EndpointSlice>) -> News {
        News::Slice(Box::new(event))
    }

    #[test]
    fn each_change_is_about_one_service_and_a_new_list_forgets_what_it_does_not_name() {
        let key = ("shop".to_owned(), "frontend".to_owned());
        let leads = |table: &Table| {
            let (_, routes) = table.of(&key).expect("a Service");
            let all = routes.values().flatten().map(SocketAddr::to_string).collect::<Vec<_>>();
            all.join(" ")
        };
        let mut table = Table::default();
        let news = [
            slices(watcher::Event::Apply(slice("a", "10.250.1.1", true))),
            News::Service(Box::new(watcher::Event::Apply(service("10.96.0.20")))),
            slices(watcher::Event::Apply(slice("b", "10.250.1.2", true))),
        ];
        for event in news {
            assert_eq!(table.take(event), std::slice::from_ref(&key));
        }
        assert_eq!(leads(&table), "10.250.1.1:8080 10.250.1.2:8080");
        table.take(slices(watcher::Event::Apply(slice("a", "10.250.1.1", false))));
        assert_eq!(leads(&table), "10.250.1.2:8080");
        table.take(slices(watcher::Event::Init));
        table.take(slices(watcher::Event::InitApply(slice("a", "10.250.1.1", true))));
        assert_eq!(table.take(slices(watcher::Event::InitDone)), std::slice::from_ref(&key));
        assert_eq!(leads(&table), "10.250.1.1:8080");
        assert_eq!(
            table.take(News::Service(Box::new(watcher::Event::Delete(service("10.96.0.20"))))),
            std::slice::from_ref(&key)
        );
        assert!(table.of(&key).is_none());
    }
}
