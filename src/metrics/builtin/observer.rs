//! Whose metrics tell of a canary (spec 04 §1.2, 02 §7.2).

use std::fmt;

use crate::model::release::{Release, Settings, TargetKind};

/// Whose metrics tell of a canary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observer {
    AppMesh,
    Linkerd,
    Istio,
    Contour,
    Gloo,
    Nginx,
    /// The application's own metrics.
    Http,
    Skipper,
    Traefik,
    Osm,
    Kuma,
    Apisix,
    Knative,
}

/// Who observes `release`.
pub fn observer(release: &Release, settings: &Settings) -> Observer {
    of(provider(release, settings))
}

/// What messages call the provider: the observed one, marked when the target is a Service.
pub fn label(release: &Release, settings: &Settings) -> String {
    let provider = provider(release, settings);
    match release.target.kind {
        TargetKind::Service => format!("{provider}:service"),
        TargetKind::Deployment | TargetKind::DaemonSet | TargetKind::Knative => provider.to_owned(),
    }
}

fn provider<'a>(release: &'a Release, settings: &'a Settings) -> &'a str {
    let global = settings.mesh_provider.as_str();
    match &release.own_provider {
        // Linkerd with an ingress: the canary names the ingress, the mesh has the metrics.
        Some(_) if global.contains("linkerd") => "linkerd",
        Some(own) => own,
        None if global.contains("crossover") => "crossover",
        None => global,
    }
}

fn of(provider: &str) -> Observer {
    match provider {
        _ if provider.starts_with("appmesh") => Observer::AppMesh,
        "linkerd" => Observer::Linkerd,
        "contour" => Observer::Contour,
        _ if provider.starts_with("gloo") => Observer::Gloo,
        "nginx" => Observer::Nginx,
        "kubernetes" => Observer::Http,
        _ if provider.starts_with("gatewayapi") => Observer::Http,
        "skipper" => Observer::Skipper,
        "traefik" => Observer::Traefik,
        "osm" => Observer::Osm,
        "kuma" => Observer::Kuma,
        "apisix" => Observer::Apisix,
        "knative" => Observer::Knative,
        // As Flagger: SMI, crossover and what nobody knows are looked for in Istio's metrics.
        _ => Observer::Istio,
    }
}

impl fmt::Display for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AppMesh => "appmesh",
            Self::Linkerd => "linkerd",
            Self::Istio => "istio",
            Self::Contour => "contour",
            Self::Gloo => "gloo",
            Self::Nginx => "nginx",
            Self::Http => "kubernetes",
            Self::Skipper => "skipper",
            Self::Traefik => "traefik",
            Self::Osm => "osm",
            Self::Kuma => "kuma",
            Self::Apisix => "apisix",
            Self::Knative => "knative",
        })
    }
}
