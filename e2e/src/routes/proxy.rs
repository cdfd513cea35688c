//! The proxies, and how each tells which weights its traffic follows.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

/// A proxy that can be asked for its weights.
#[derive(Clone, Debug)]
pub enum Proxy {
    /// The gateway that istiod serves; its administration is at port 15000.
    Istio(IpAddr),
    /// An Envoy that Contour serves; its administration is at a socket.
    Contour(PathBuf),
    /// An Envoy of Envoy Gateway; its administration is at port 19000.
    EnvoyGateway(IpAddr),
    /// Traefik's own API.
    Traefik(SocketAddr),
}

impl Proxy {
    /// A client that reaches it.
    pub fn client(&self) -> reqwest::Client {
        let builder = reqwest::Client::builder().timeout(Duration::from_secs(30)).no_proxy();
        let builder = match self {
            Proxy::Contour(socket) => builder.unix_socket(socket.as_path()),
            Proxy::Istio(_) | Proxy::EnvoyGateway(_) | Proxy::Traefik(_) => builder,
        };
        builder.build().unwrap_or_default()
    }

    /// The canary's weights in a namespace as they are now, rule by rule; none if it does not say.
    pub async fn weights(&self, client: &reqwest::Client, namespace: &str) -> Option<Vec<i64>> {
        let answer: Value = client.get(self.url()).send().await.ok()?.json().await.ok()?;
        match self {
            Proxy::Istio(_) => {
                let suffix = format!(".{namespace}.svc.cluster.local");
                envoy_weights(&answer, |cluster| cluster.ends_with(&suffix))
            }
            Proxy::Contour(_) => {
                let prefix = format!("{namespace}/");
                envoy_weights(&answer, |cluster| cluster.starts_with(&prefix))
            }
            Proxy::EnvoyGateway(_) => {
                let weights = locality_weights(&answer, &format!("httproute/{namespace}/"));
                (!weights.is_empty()).then_some(weights)
            }
            Proxy::Traefik(_) => {
                let weights = traefik_weights(answer.as_array()?, namespace);
                (!weights.is_empty()).then_some(weights)
            }
        }
    }

    fn url(&self) -> String {
        const DUMP: &str = "config_dump?resource=dynamic_route_configs";
        match self {
            Proxy::Istio(address) => format!("http://{address}:15000/{DUMP}"),
            Proxy::Contour(_) => format!("http://envoy/{DUMP}"),
            Proxy::EnvoyGateway(address) => {
                format!("http://{address}:19000/config_dump?resource=dynamic_endpoint_configs&include_eds")
            }
            Proxy::Traefik(api) => format!("http://{api}/api/http/services?per_page=10000"),
        }
    }
}

/// The canary's weight in each of the routes that lead to clusters of ours; 0 where all goes elsewhere.
fn envoy_weights(dump: &Value, is_ours: impl Fn(&str) -> bool) -> Option<Vec<i64>> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let configs = list(&dump["configs"]);
    let mut hosts = configs.iter().flat_map(|config| list(&config["route_config"]["virtual_hosts"]));
    // The namespace's hosts have the same routes.
    hosts.find_map(|host| {
        let weights: Vec<i64> =
            list(&host["routes"]).iter().filter_map(|route| weight(&route["route"], &is_ours)).collect();
        (!weights.is_empty()).then_some(weights)
    })
}

/// None when it leads out of the namespace.
fn weight(route: &Value, is_ours: impl Fn(&str) -> bool) -> Option<i64> {
    // istiod writes the Service as a host name, Contour as a part of a path.
    let is_canary = |name: &str| name.contains("-canary.") || name.contains("-canary/");
    let single = route["cluster"].as_str().unwrap_or_default();
    if is_ours(single) {
        return Some(if is_canary(single) { 100 } else { 0 });
    }
    let mut found = None;
    for cluster in route["weighted_clusters"]["clusters"].as_array().into_iter().flatten() {
        let name = cluster["name"].as_str().unwrap_or_default();
        if is_ours(name) {
            let weight = if is_canary(name) { cluster["weight"].as_i64().unwrap_or(0) } else { 0 };
            found = Some(found.unwrap_or(0) + weight);
        }
    }
    found
}

/// The canary's share, in percent, in each rule whose cluster's name begins so, in the order of the rules. Envoy Gateway has one
/// cluster a rule, in which each backend is a locality; the canary is the second.
fn locality_weights(dump: &Value, prefix: &str) -> Vec<i64> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let configs = list(&dump["configs"]).into_iter().map(|config| config["endpoint_config"].clone());
    let mut clusters: Vec<(String, Value)> = configs
        .map(|config| (config["cluster_name"].as_str().unwrap_or_default().to_owned(), config))
        .filter(|(name, _)| name.starts_with(prefix))
        .collect();
    clusters.sort_by(|(one, _), (other, _)| one.cmp(other));
    let weights = clusters.iter().filter_map(|(_, config)| {
        let sides = list(&config["endpoints"]);
        let weight = |side: &Value| side["load_balancing_weight"].as_i64().unwrap_or(0);
        let is_canary = |side: &&Value| {
            side["locality"]["region"].as_str().is_some_and(|region| region.ends_with("/backend/1"))
        };
        let all: i64 = sides.iter().map(weight).sum();
        let canary: i64 = sides.iter().filter(is_canary).map(weight).sum();
        (all > 0).then(|| canary * 100 / all)
    });
    weights.collect()
}

/// The canary's share, in percent, in each weighted service of a namespace that Traefik names, in the order of their names.
pub fn traefik_weights(services: &[Value], namespace: &str) -> Vec<i64> {
    let name = |service: &Value| service["name"].as_str().unwrap_or_default().to_owned();
    let mut ours: Vec<&Value> = services.iter().filter(|service| name(service).contains(namespace)).collect();
    ours.sort_by_key(|service| name(service));
    let weights = ours.iter().filter_map(|service| {
        let members = service["weighted"]["services"].as_array()?;
        let weight = |member: &Value| member["weight"].as_i64().unwrap_or(1);
        let is_canary = |member: &&Value| name(member).contains("-canary");
        let all: i64 = members.iter().map(weight).sum();
        let canary: i64 = members.iter().filter(is_canary).map(weight).sum();
        (all > 0).then(|| canary * 100 / all)
    });
    weights.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn dump(clusters: [&str; 2]) -> Value {
        let [primary, canary] = clusters;
        json!({"configs": [{"route_config": {"virtual_hosts": [{"routes": [
            {"route": {"cluster": canary}},
            {"route": {"cluster": primary}},
            {"route": {"weighted_clusters": {"clusters": [
                {"name": primary, "weight": 70}, {"name": canary, "weight": 30},
            ]}}},
        ]}]}}]})
    }

    #[test]
    fn the_weights_are_read_from_the_routes_of_the_gateway() {
        let dump = dump([
            "outbound|80||frontend-primary.shop.svc.cluster.local",
            "outbound|80||frontend-canary.shop.svc.cluster.local",
        ]);
        let weights = |namespace: &str| {
            envoy_weights(&dump, |cluster| cluster.ends_with(&format!(".{namespace}.svc.cluster.local")))
        };
        assert_eq!(weights("shop"), Some(vec![100, 0, 30]));
        assert_eq!(weights("other"), None);
    }

    #[test]
    fn contours_clusters_are_paths() {
        let dump = dump(["shop/frontend-primary/80/da39a3ee5e", "shop/frontend-canary/80/da39a3ee5e"]);
        assert_eq!(envoy_weights(&dump, |cluster| cluster.starts_with("shop/")), Some(vec![100, 0, 30]));
    }

    #[test]
    fn the_weights_are_read_from_the_localities_of_envoy_gateway() {
        let side = |n: usize, weight: i64| json!({"locality": {"region": format!("httproute/shop/frontend/rule/0/backend/{n}")}, "load_balancing_weight": weight});
        let dump = json!({"configs": [{"endpoint_config": {
            "cluster_name": "httproute/shop/frontend/rule/0", "endpoints": [side(0, 75), side(1, 25)],
        }}]});
        assert_eq!(locality_weights(&dump, "httproute/shop/"), [25]);
        assert_eq!(locality_weights(&dump, "httproute/other/"), [0; 0]);
    }

    #[test]
    fn the_weights_are_read_from_what_traefik_calls_its_services() {
        let weighted = |name: &str, primary: &str, canary: &str| json!({"name": name, "weighted": {"services": [{"name": primary, "weight": 80}, {"name": canary, "weight": 20}]}});
        let services = [
            weighted("crd-frontend@kubernetescrd", "crd-frontend-primary-80", "crd-frontend-canary-80"),
            json!({"name": "crd-frontend-canary-80@kubernetescrd", "loadBalancer": {}}),
            weighted(
                "ingress-frontend-frontend-80-wrr@kubernetesingressnginx",
                "ingress-frontend-frontend-80",
                "ingress-frontend-frontend-80-canary",
            ),
        ];
        assert_eq!(traefik_weights(&services, "crd"), [20]);
        assert_eq!(traefik_weights(&services, "ingress"), [20]);
        assert_eq!(traefik_weights(&services, "other"), [0; 0]);
    }
}
