//! The control planes beside istiod, each with the proxy that takes its routes: put up by the runs that need them.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::place::Place;
use crate::routes::Proxy;
use crate::world::{self, World};
use crate::{install, tools, wait};

const CONTOUR: &str = include_str!("../manifests/contour.yaml");
const ENVOY_GATEWAY: &str = include_str!("../manifests/envoy-gateway.yaml");
const TRAEFIK: &str = include_str!("../manifests/traefik.yaml");

/// How long a control plane and its proxy may take to come up.
const UP: Duration = Duration::from_secs(120);

/// The Gateway of Envoy Gateway, as routes name it.
pub fn shops() -> Value {
    json!({"name": "shops", "namespace": "envoy-gateway-system"})
}

/// A proxy that is up.
pub struct Front {
    /// Where users ask.
    pub gateway: SocketAddr,
    /// How it is asked what it does.
    pub proxy: Proxy,
}

/// Contour with an Envoy.
pub async fn contour(world: &Arc<World>) -> Result<Front> {
    put_up("contour", world, |place| {
        // The CRDs are there: see `install`.
        for file in ["00-common.yaml", "02-role-contour.yaml", "02-rbac.yaml"] {
            install::kubectl_apply(place, &std::fs::read_to_string(tools::contour_manifests().join(file))?)?;
        }
        install::kubectl_apply(place, CONTOUR)
    })
    .await?;
    let envoy = pod(world, "projectcontour", "app=envoy").await?;
    let pid = world::main_pid(&envoy).context("Contour's Envoy does not run")?;
    // Such a path is short enough for a socket, whatever the folder of the cluster.
    let socket = PathBuf::from(format!("/proc/{pid}/root/admin/admin.sock"));
    Ok(Front { gateway: SocketAddr::new(address(&envoy)?, 8080), proxy: Proxy::Contour(socket) })
}

/// Envoy Gateway by its chart, and the Envoy that it puts up for a Gateway.
pub async fn envoy_gateway(world: &Arc<World>) -> Result<Front> {
    const SYSTEM: &str = "envoy-gateway-system";
    put_up("envoy-gateway", world, |place| {
        let chart = tools::envoy_gateway_chart();
        let crds = chart.join("charts/crds/crds/generated");
        install::kubectl(place, &["apply", "--server-side", "-f", install::path(&crds)?])?;
        let namespace = ["--namespace", SYSTEM, "--create-namespace"];
        // Those of the Gateway API are there; nobody wants the zones of this one node.
        let values = ["--skip-crds", "--set", "crds.enabled=false,topologyInjector.enabled=false"];
        let arguments = ["upgrade", "--install", "envoy-gateway", install::path(&chart)?];
        install::helm(place, &[&arguments[..], &namespace, &values].concat())?;
        install::kubectl_apply(place, ENVOY_GATEWAY)
    })
    .await?;
    let labels = "gateway.envoyproxy.io/owning-gateway-name=shops";
    let address = address(&pod(world, SYSTEM, labels).await?)?;
    // It adds 10000 to the ports of a Gateway that only root could open.
    Ok(Front { gateway: SocketAddr::new(address, 10080), proxy: Proxy::EnvoyGateway(address) })
}

/// Traefik, which is both in one.
pub async fn traefik(world: &Arc<World>) -> Result<Front> {
    put_up("traefik", world, |place| install::kubectl_apply(place, TRAEFIK)).await?;
    let address = address(&pod(world, "traefik", "app=traefik").await?)?;
    let api = SocketAddr::new(address, 8080);
    Ok(Front { gateway: SocketAddr::new(address, 8000), proxy: Proxy::Traefik(api) })
}

/// The planes that this process has put up.
static THERE: Mutex<BTreeSet<&'static str>> = Mutex::const_new(BTreeSet::new());

/// Applies what a plane consists of, once: of the runs that want it at the same time one does, and the others wait.
async fn put_up(
    name: &'static str,
    world: &Arc<World>,
    work: impl FnOnce(&Place) -> Result<String> + Send + 'static,
) -> Result<()> {
    let mut there = THERE.lock().await;
    if !there.contains(name) {
        let place = world.place.clone();
        tokio::task::spawn_blocking(move || work(&place))
            .await?
            .with_context(|| format!("cannot put up {name}"))?;
        there.insert(name);
    }
    Ok(())
}

/// The ready pod with these labels, once there is one.
async fn pod(world: &Arc<World>, namespace: &str, labels: &str) -> Result<Pod> {
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), namespace);
    wait::some(&format!("a pod {labels} in {namespace} is ready"), UP, async || {
        let all = pods.list(&ListParams::default().labels(labels)).await?;
        Ok(all.items.into_iter().find(world::is_ready))
    })
    .await
}

fn address(pod: &Pod) -> Result<IpAddr> {
    let status = pod.status.as_ref().and_then(|status| status.pod_ip.as_ref());
    Ok(status.context("a pod has no address")?.parse()?)
}
