//! The kinds of routes that can be adopted, and how each of them writes its rules and backends.

use serde_json::{Value, json};

use crate::model::object::Kind;
use crate::model::release::{AdoptedRoute, Release};
use crate::router::ingress::INGRESS;

const GATEWAY: &str = "gateway.networking.k8s.io";
const ISTIO: &str = "networking.istio.io";
/// The kind of backends where nothing else is said.
const SERVICE: &str = "Service";

/// How the objects of a kind are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    pub kind: Kind,
    pub dialect: Dialect,
}

/// A family of kinds that write backends alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Routes of the Gateway API, by what their rules can tell apart.
    Gateway(Requests),
    /// Istio's VirtualService.
    Istio,
    /// Contour's HTTPProxy.
    Contour,
    /// Traefik's TraefikService, as far as it is weighted.
    Traefik,
}

/// What the rules of a kind of the Gateway API see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Requests {
    Http,
    Grpc,
    /// Connections, which have neither matches nor filters.
    None,
}

const fn gateway(
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    requests: Requests,
) -> Form {
    Form { kind: Kind::new(GATEWAY, version, kind, plural), dialect: Dialect::Gateway(requests) }
}

const fn istio(version: &'static str) -> Form {
    Form { kind: Kind::new(ISTIO, version, "VirtualService", "virtualservices"), dialect: Dialect::Istio }
}

/// Every kind, in each version that is understood.
pub(super) const FORMS: [Form; 17] = [
    gateway("v1", "HTTPRoute", "httproutes", Requests::Http),
    gateway("v1beta1", "HTTPRoute", "httproutes", Requests::Http),
    gateway("v1", "GRPCRoute", "grpcroutes", Requests::Grpc),
    gateway("v1alpha2", "GRPCRoute", "grpcroutes", Requests::Grpc),
    gateway("v1", "TLSRoute", "tlsroutes", Requests::None),
    gateway("v1alpha3", "TLSRoute", "tlsroutes", Requests::None),
    gateway("v1alpha2", "TLSRoute", "tlsroutes", Requests::None),
    gateway("v1", "TCPRoute", "tcproutes", Requests::None),
    gateway("v1alpha2", "TCPRoute", "tcproutes", Requests::None),
    gateway("v1", "UDPRoute", "udproutes", Requests::None),
    gateway("v1alpha2", "UDPRoute", "udproutes", Requests::None),
    istio("v1"),
    istio("v1beta1"),
    istio("v1alpha3"),
    Form {
        kind: Kind::new("projectcontour.io", "v1", "HTTPProxy", "httpproxies"),
        dialect: Dialect::Contour,
    },
    Form {
        kind: Kind::new("traefik.io", "v1alpha1", "TraefikService", "traefikservices"),
        dialect: Dialect::Traefik,
    },
    Form {
        kind: Kind::new("traefik.containo.us", "v1alpha1", "TraefikService", "traefikservices"),
        dialect: Dialect::Traefik,
    },
];

/// The form of a kind by what a manifest says of it.
pub(super) fn form(api_version: &str, kind: &str) -> Option<Form> {
    FORMS.into_iter().find(|form| form.kind.kind == kind && form.kind.api_version() == api_version)
}

/// The versions that are understood of a kind.
pub(super) fn versions(kind: &str) -> Vec<String> {
    let all = FORMS.iter().map(|form| form.kind).chain([INGRESS]);
    all.filter(|known| known.kind == kind).map(|known| known.api_version()).collect()
}

/// The names of all kinds, each once.
pub(super) fn names() -> Vec<&'static str> {
    let mut names: Vec<&str> = FORMS.iter().map(|form| form.kind.kind).chain([INGRESS.kind]).collect();
    names.dedup();
    names
}

/// Which side of the release a backend is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Apex,
    Primary,
    Canary,
}

/// The Services of a release as the backends of a route in `route_namespace`, or what stands in their place.
pub(super) struct Names {
    /// Their group and kind.
    group: String,
    kind: String,
    pub apex: String,
    pub primary: String,
    pub canary: String,
    namespace: String,
    route_namespace: String,
}

impl Names {
    pub(super) fn of(release: &Release, entry: &AdoptedRoute) -> Self {
        let others = entry.backends.as_ref();
        let [apex, primary, canary] = match others {
            Some(others) => [&others.apex, &others.primary, &others.canary].map(Clone::clone),
            None => [release.apex.clone(), release.primary_service(), release.canary_service()],
        };
        let (group, kind) = others.map_or(("", SERVICE), |others| (&others.group, &others.kind));
        Self {
            group: group.to_owned(),
            kind: kind.to_owned(),
            apex,
            primary,
            canary,
            namespace: release.namespace.clone(),
            route_namespace: entry.route.namespace.clone(),
        }
    }

    /// Whether a reference of the Gateway API is of the kind.
    fn are_of(&self, group: &str, kind: &str) -> bool {
        // The core group has two names.
        let plain = |group: &str| if group == "core" { String::new() } else { group.to_owned() };
        plain(group) == plain(&self.group) && kind == self.kind
    }

    /// The kind, and the names of apex and primary, for a message: `Service frontend or frontend-primary`.
    pub(super) fn told(&self) -> String {
        format!("{} {} or {}", self.kind, self.apex, self.primary)
    }

    /// The kind, and the names of both sides, for a message.
    pub(super) fn sides(&self) -> String {
        format!("{}s {} and {}", self.kind, self.primary, self.canary)
    }

    fn which(&self, name: &str, namespace: &str) -> Option<Which> {
        let sides =
            [(&self.apex, Which::Apex), (&self.primary, Which::Primary), (&self.canary, Which::Canary)];
        let found = sides.into_iter().find(|(side, _)| *side == name).map(|(_, which)| which);
        found.filter(|_| namespace == self.namespace)
    }
}

impl Dialect {
    /// The lists of the spec that hold rules.
    pub(super) fn lists(self) -> &'static [&'static str] {
        match self {
            Self::Gateway(_) => &["rules"],
            Self::Istio => &["http", "tls", "tcp"],
            Self::Contour => &["routes"],
            Self::Traefik => &[],
        }
    }

    /// The fields of the spec that are a rule by themselves.
    pub(super) fn singles(self) -> &'static [&'static str] {
        match self {
            Self::Contour => &["tcpproxy"],
            Self::Traefik => &["weighted"],
            Self::Gateway(_) | Self::Istio => &[],
        }
    }

    /// The field of a rule that lists its backends.
    pub(super) fn backends(self) -> &'static str {
        match self {
            Self::Gateway(_) => "backendRefs",
            Self::Istio => "route",
            Self::Contour | Self::Traefik => "services",
        }
    }

    /// The field of a rule that says which requests it is for.
    pub(super) fn matches(self) -> &'static str {
        match self {
            Self::Gateway(_) => "matches",
            Self::Contour => "conditions",
            Self::Istio | Self::Traefik => "match",
        }
    }

    /// Whether the rules in this list can be given a match of ours, and copies of requests.
    pub(super) fn tells_requests_apart(self, list: &str) -> bool {
        match self {
            Self::Gateway(requests) => requests != Requests::None,
            Self::Istio => list == "http",
            Self::Contour | Self::Traefik => false,
        }
    }

    /// Which Service of the release a backend is; `None` if it is somebody else's.
    pub(super) fn which(self, names: &Names, backend: &Value) -> Option<Which> {
        let text = |field: &str, default: &str| backend[field].as_str().unwrap_or(default).to_owned();
        let namespace = text("namespace", &names.route_namespace);
        let name = backend["name"].as_str().unwrap_or_default();
        match self {
            Self::Gateway(_) => {
                let is_meant = names.are_of(&text("group", ""), &text("kind", SERVICE));
                names.which(name, &namespace).filter(|_| is_meant)
            }
            // Its CRD has no namespace beside the name, and copies are no share of the traffic.
            Self::Contour if backend["mirror"] == true => None,
            Self::Contour => names.which(name, &names.route_namespace),
            Self::Traefik => names.which(name, &namespace).filter(|_| text("kind", SERVICE) == SERVICE),
            Self::Istio => {
                let destination = &backend["destination"];
                let is_part = destination["subset"].as_str().is_some_and(|subset| !subset.is_empty());
                host(names, destination["host"].as_str().unwrap_or_default()).filter(|_| !is_part)
            }
        }
    }

    /// Whether a reference to a single backend, a mirror's for example, leads to the canary.
    pub(super) fn is_canary(self, names: &Names, reference: &Value) -> bool {
        match self {
            Self::Istio => host(names, reference["host"].as_str().unwrap_or_default()) == Some(Which::Canary),
            _ => self.which(names, reference) == Some(Which::Canary),
        }
    }

    /// The backend with the Service `name` in the place of its own.
    pub(super) fn renamed(self, backend: &Value, name: &str) -> Value {
        let mut renamed = backend.clone();
        if self == Self::Istio {
            let host = backend["destination"]["host"].as_str().unwrap_or_default();
            let domain = host.split_once('.').map_or(String::new(), |(_, domain)| format!(".{domain}"));
            renamed["destination"]["host"] = json!(format!("{name}{domain}"));
        } else {
            renamed["name"] = json!(name);
        }
        renamed
    }

    /// The port of a backend, as it is written.
    pub(super) fn port(self, backend: &Value) -> &Value {
        if self == Self::Istio { &backend["destination"]["port"]["number"] } else { &backend["port"] }
    }

    /// What each of these backends weighs.
    pub(super) fn weights(self, backends: &[Value]) -> Vec<u64> {
        let unsaid = match self {
            Self::Gateway(_) | Self::Traefik => 1,
            Self::Istio | Self::Contour => 0,
        };
        let all: Vec<u64> =
            backends.iter().map(|backend| backend["weight"].as_u64().unwrap_or(unsaid)).collect();
        // To these two meshes backends that all weigh nothing are alike.
        if unsaid == 0 && all.iter().all(|weight| *weight == 0) { vec![1; backends.len()] } else { all }
    }
}

/// Which Service a host of Istio is, however much of its domain is written.
fn host(names: &Names, host: &str) -> Option<Which> {
    let mut parts = host.splitn(3, '.');
    let name = parts.next().unwrap_or_default();
    let namespace = parts.next().unwrap_or(&names.route_namespace);
    let is_of_a_service = parts.next().is_none_or(|rest| rest == "svc" || rest.starts_with("svc."));
    names.which(name, namespace).filter(|_| is_of_a_service)
}
