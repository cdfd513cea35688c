//! The meshes and ingresses that a Canary can name (spec 03 §1.2).

use std::fmt;

use serde::{Serialize, Serializer};

/// A mesh, ingress or gateway: `spec.provider` of a Canary, or `--mesh-provider`. This is the one list of their names;
/// which of them can be used is the router registry's to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provider {
    /// `alb`: AWS Application Load Balancers.
    Alb,
    /// `apisix`: Apache APISIX.
    Apisix,
    /// `appmesh`: AWS App Mesh, v1beta1.
    AppMesh,
    /// `appmesh:v1beta2`: AWS App Mesh, v1beta2.
    AppMeshV1Beta2,
    /// `contour`: Contour's HTTPProxy.
    Contour,
    /// `gatewayapi:v1`: the Gateway API's HTTPRoute.
    GatewayApiV1,
    /// `gatewayapi:v1beta1`: the Gateway API's HTTPRoute of v1beta1.
    GatewayApiV1Beta1,
    /// `gloo`: Gloo Edge.
    Gloo,
    /// `istio`: Istio's VirtualService.
    Istio,
    /// `knative`: Knative Serving.
    Knative,
    /// `kubernetes`: Services alone.
    Kubernetes,
    /// `kuma`: Kuma's TrafficRoute.
    Kuma,
    /// `linkerd`: Linkerd, through SMI.
    Linkerd,
    /// `nginx`: the NGINX ingress controller.
    Nginx,
    /// `osm`: Open Service Mesh, through SMI.
    Osm,
    /// `skipper`: Zalando's Skipper.
    Skipper,
    /// `smi:v1alpha1`: SMI's TrafficSplit, v1alpha1.
    SmiV1Alpha1,
    /// `smi:v1alpha2`: SMI's TrafficSplit, v1alpha2.
    SmiV1Alpha2,
    /// `smi:v1alpha3`: SMI's TrafficSplit, v1alpha3.
    SmiV1Alpha3,
    /// `traefik`: Traefik's TraefikService.
    Traefik,
}

impl Provider {
    /// Every provider, in the order of their names.
    pub const ALL: [Self; 20] = [
        Self::Alb,
        Self::Apisix,
        Self::AppMesh,
        Self::AppMeshV1Beta2,
        Self::Contour,
        Self::GatewayApiV1,
        Self::GatewayApiV1Beta1,
        Self::Gloo,
        Self::Istio,
        Self::Knative,
        Self::Kubernetes,
        Self::Kuma,
        Self::Linkerd,
        Self::Nginx,
        Self::Osm,
        Self::Skipper,
        Self::SmiV1Alpha1,
        Self::SmiV1Alpha2,
        Self::SmiV1Alpha3,
        Self::Traefik,
    ];

    /// The names of all providers, which are the values that the CRD takes.
    pub const NAMES: [&str; 20] = names();

    /// The provider's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alb => "alb",
            Self::Apisix => "apisix",
            Self::AppMesh => "appmesh",
            Self::AppMeshV1Beta2 => "appmesh:v1beta2",
            Self::Contour => "contour",
            Self::GatewayApiV1 => "gatewayapi:v1",
            Self::GatewayApiV1Beta1 => "gatewayapi:v1beta1",
            Self::Gloo => "gloo",
            Self::Istio => "istio",
            Self::Knative => "knative",
            Self::Kubernetes => "kubernetes",
            Self::Kuma => "kuma",
            Self::Linkerd => "linkerd",
            Self::Nginx => "nginx",
            Self::Osm => "osm",
            Self::Skipper => "skipper",
            Self::SmiV1Alpha1 => "smi:v1alpha1",
            Self::SmiV1Alpha2 => "smi:v1alpha2",
            Self::SmiV1Alpha3 => "smi:v1alpha3",
            Self::Traefik => "traefik",
        }
    }

    /// The provider that `name` means. The flag takes more than the CRD: a version of the Gateway API that is not in
    /// the list means v1, and SMI may name the mesh behind it (`smi:v1alpha1:istio`). The colon is needed: the reference
    /// takes `smi:v1alpha10` for v1alpha1. A name that means nothing is not taken for Istio, as the reference does.
    pub fn parse(name: &str) -> Option<Self> {
        let exact = Self::ALL.into_iter().find(|provider| provider.as_str() == name);
        // In this order: the longer prefix comes first.
        const PREFIXES: [(&str, Provider); 7] = [
            ("appmesh:v1beta2", Provider::AppMeshV1Beta2),
            ("smi:v1alpha1:", Provider::SmiV1Alpha1),
            ("smi:v1alpha2:", Provider::SmiV1Alpha2),
            ("smi:v1alpha3:", Provider::SmiV1Alpha3),
            ("gatewayapi:v1beta1", Provider::GatewayApiV1Beta1),
            ("gatewayapi:v1", Provider::GatewayApiV1),
            ("gloo:", Provider::Gloo),
        ];
        exact.or_else(|| PREFIXES.into_iter().find_map(|(prefix, of)| name.starts_with(prefix).then_some(of)))
    }
}

const fn names() -> [&'static str; 20] {
    let mut names = [""; 20];
    let mut index = 0;
    while index < names.len() {
        names[index] = Provider::ALL[index].as_str();
        index += 1;
    }
    names
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Provider {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn every_name_means_its_provider() {
        for provider in Provider::ALL {
            assert_eq!(Provider::parse(provider.as_str()), Some(provider));
        }
        assert!(Provider::NAMES.is_sorted());
    }

    // spec: 03/SEL-02 03/SEL-03 03/SEL-04
    #[rstest]
    #[case("gloo:anything", Provider::Gloo)]
    #[case("gatewayapi:v1alpha2", Provider::GatewayApiV1)]
    #[case("gatewayapi:v1beta1", Provider::GatewayApiV1Beta1)]
    #[case("smi:v1alpha1:istio", Provider::SmiV1Alpha1)]
    #[case("smi:v1alpha2:linkerd", Provider::SmiV1Alpha2)]
    #[case("smi:v1alpha3:a:b", Provider::SmiV1Alpha3)]
    #[case("smi:v1alpha3:", Provider::SmiV1Alpha3)]
    #[case("appmesh:v1beta2", Provider::AppMeshV1Beta2)]
    fn a_version_of_its_own_is_understood(#[case] name: &str, #[case] expected: Provider) {
        assert_eq!(Provider::parse(name), Some(expected));
    }

    // spec: 03/SEL-05
    #[rstest]
    #[case("foo")]
    #[case("")]
    #[case("Istio")]
    #[case("istio:v1")]
    #[case("none")]
    #[case("gatewayapi")]
    #[case::no_version("smi:istio")]
    #[case::a_version_that_begins_like_another("smi:v1alpha10")]
    #[case::a_mesh_without_a_colon("smi:v1alpha1istio")]
    #[case::a_version_that_is_not_spoken("smi:v1alpha4")]
    #[case("SMI:v1alpha1")]
    #[case("linkerd:v1")]
    #[case("osm ")]
    fn an_unknown_provider_is_not_taken_for_istio(#[case] name: &str) {
        assert_eq!(Provider::parse(name), None);
    }
}
