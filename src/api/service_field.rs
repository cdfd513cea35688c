//! The fields of `spec.service` that a mesh may honour or ignore (spec 03 §23).

use super::service::CanaryService;

/// A field of `spec.service` that only some routers understand. Names, ports and metadata are not among them: the
/// Services honour those whatever the router does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ServiceField {
    /// `hosts`
    Hosts,
    /// `gateways`
    Gateways,
    /// `gatewayRefs`
    GatewayRefs,
    /// `delegation`
    Delegation,
    /// `match`
    Match,
    /// `rewrite`
    Rewrite,
    /// `retries`
    Retries,
    /// `timeout`
    Timeout,
    /// `backendTimeout`
    BackendTimeout,
    /// `headers`
    Headers,
    /// `mirror`
    Mirror,
    /// `corsPolicy`
    CorsPolicy,
    /// `trafficPolicy`
    TrafficPolicy,
    /// `meshName`
    MeshName,
    /// `backends`
    Backends,
}

impl ServiceField {
    /// Every such field.
    pub const ALL: [Self; 15] = [
        Self::Hosts,
        Self::Gateways,
        Self::GatewayRefs,
        Self::Delegation,
        Self::Match,
        Self::Rewrite,
        Self::Retries,
        Self::Timeout,
        Self::BackendTimeout,
        Self::Headers,
        Self::Mirror,
        Self::CorsPolicy,
        Self::TrafficPolicy,
        Self::MeshName,
        Self::Backends,
    ];

    /// The field's name in a manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hosts => "hosts",
            Self::Gateways => "gateways",
            Self::GatewayRefs => "gatewayRefs",
            Self::Delegation => "delegation",
            Self::Match => "match",
            Self::Rewrite => "rewrite",
            Self::Retries => "retries",
            Self::Timeout => "timeout",
            Self::BackendTimeout => "backendTimeout",
            Self::Headers => "headers",
            Self::Mirror => "mirror",
            Self::CorsPolicy => "corsPolicy",
            Self::TrafficPolicy => "trafficPolicy",
            Self::MeshName => "meshName",
            Self::Backends => "backends",
        }
    }

    /// Whether the manifest says something there. An empty list or text says nothing.
    pub fn is_set(self, service: &CanaryService) -> bool {
        let list = |list: &Option<Vec<_>>| {
            list.as_ref().is_some_and(|list: &Vec<serde_json::Value>| !list.is_empty())
        };
        let texts = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
        let text = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        let value = |value: &Option<serde_json::Value>| value.as_ref().is_some_and(|value| !value.is_null());
        match self {
            Self::Hosts => texts(&service.hosts),
            Self::Gateways => texts(&service.gateways),
            Self::GatewayRefs => list(&service.gateway_refs),
            Self::Delegation => service.delegation.unwrap_or(false),
            Self::Match => list(&service.matches),
            Self::Rewrite => service.rewrite.is_some(),
            Self::Retries => value(&service.retries),
            Self::Timeout => text(&service.timeout),
            Self::BackendTimeout => text(&service.backend_timeout),
            Self::Headers => value(&service.headers),
            Self::Mirror => list(&service.mirror),
            Self::CorsPolicy => value(&service.cors_policy),
            Self::TrafficPolicy => value(&service.traffic_policy),
            Self::MeshName => text(&service.mesh_name),
            Self::Backends => texts(&service.backends),
        }
    }
}
