//! Which meshes and ingresses there are. A new one is its file and a line here.

use super::Router;
use super::istio::Istio;
use super::knative::Knative;
use super::kubernetes::Kubernetes;

/// The providers that can be named, in the order of the alphabet.
pub const KNOWN: &[&str] = &["istio", "knative", "kubernetes"];

/// The router of a provider; `None` if there is none of this name.
pub fn router(provider: &str) -> Option<&'static dyn Router> {
    match provider {
        "istio" => Some(&Istio),
        "knative" => Some(&Knative),
        "kubernetes" => Some(&Kubernetes),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn every_known_provider_has_a_router() {
        for provider in KNOWN {
            assert!(router(provider).is_some(), "{provider}");
        }
        assert!(KNOWN.is_sorted());
    }

    // spec: 03/SEL-05
    #[rstest]
    #[case("foo")]
    #[case("")]
    #[case("Istio")]
    #[case("istio:v1")]
    #[case("none")]
    fn an_unknown_provider_is_not_taken_for_istio(#[case] provider: &str) {
        assert!(router(provider).is_none());
    }
}
